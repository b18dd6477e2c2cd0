"""The trained network at work: edges of an image, and the walk over a split (Section 5)."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as TF
from tqdm import tqdm

from pnoc_lib.affinity import walk
from pnoc_lib.affinity.network import EdgeNetwork
from pnoc_lib.affinity.paths import STRIDE
from pnoc_lib.data import stores
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.engine import checkpoints, multiscale


@torch.inference_mode()
def edges(network: EdgeNetwork, images: Tensor, *, least: int = 512, scale: float = 1.0) -> Tensor:
    """Probability of an edge, (N, ceil(H / 4), ceil(W / 4)) in [0, 1], as the mean logit of image and mirror.

    images: (N, 3, H, W) uint8 RGB of one size. least: sides are padded with the mean colour to at least this, pixels;
    the published code pads to the 512 of its crops, as the normalisation of the head sees the padding.
    scale: factor of the image's side before all that; then the grid is that of the scaled image.
    Beyond the paper: `scale`, for images much smaller than VOC's, on whose grid an outline is as wide as an object.
    """
    device = next(network.parameters()).device
    if scale != 1:
        sides = [max(1, round(side * scale)) for side in images.shape[-2:]]
        images = TF.resize(images, sides, interpolation=TF.InterpolationMode.BICUBIC, antialias=True)
    height, width = images.shape[-2:]
    mean, std = (torch.tensor(values, device=device)[:, None, None] * 255 for values in (network.mean, network.std))
    pixels = (images.to(device).float() - mean) / std
    both = torch.cat([pixels, pixels.flip(-1)])
    both = F.pad(both, (0, max(0, least - width), 0, max(0, least - height)))
    logits = network(both)[:, : math.ceil(height / STRIDE), : math.ceil(width / STRIDE)]
    plain, mirrored = logits.chunk(2)
    return ((plain + mirrored.flip(-1)) / 2).sigmoid()


def fill_walked(
    network: EdgeNetwork,
    images: LabeledImages,
    priors: stores.MapStore,
    walked: stores.MapStore,
    settings: walk.WalkSettings = walk.PAPER,
    *,
    least: int = 512,
    scale: float = 1.0,
    batch_size: int = 1,
    progress: bool = True,
) -> int:
    """Write the walked priors of every image that `walked` lacks; classes as in `priors`, none for an image without.

    network: trained. least, scale: see `edges`; priors are brought to its grid, and walked ones have it.
    batch_size: images of equal size that walk together.
    Returns the number of images written; those of other weights, priors or settings are made anew.
    Raises DataError when `priors` lacks images, or holds those of another split or other classes.
    """
    priors.require(images, split=images.split)
    made_of = {
        "network": checkpoints.digest(network),
        "priors": priors.digest(images.ids),
        "least": least,
        "scale": scale,
    }
    walked.renew(made_of | asdict(settings) | {"data": images.name, "split": images.split})
    sources = stores.sources(images)
    todo = images.subset(walked.missing(images.ids, sources))
    bar = tqdm(total=len(images), initial=len(images) - len(todo), desc="walks", unit="image", disable=not progress)
    with bar, ThreadPoolExecutor(2) as threads:
        for ids, pixels in multiscale.batches(todo, batch_size, threads):
            held = [priors.read(image_id) for image_id in ids]
            maps = _together([prior.maps for prior in held]).to(next(network.parameters()).device)
            edge = edges(network, pixels, least=least, scale=scale)
            done = walk.walk(on_grid(maps, edge), edge, settings).cpu().numpy()
            for image_id, prior, maps in zip(ids, held, done, strict=True):
                kept = maps[: len(prior.classes)]
                walked.write(image_id, kept, prior.classes, prior.size, source=sources[image_id])
            bar.update(len(ids))
    return len(todo)


def on_grid(maps: Tensor, edge: Tensor) -> Tensor:
    """Maps (..., K, h, w) on the grid of an edge map, bilinear; as they are where they have it."""
    if maps.shape[-2:] == edge.shape[-2:]:
        return maps
    resized = F.interpolate(maps if maps.ndim == 4 else maps[None], edge.shape[-2:], mode="bilinear")
    return resized.view(*maps.shape[:-2], *edge.shape[-2:])


def _together(maps: list[np.ndarray]) -> Tensor:
    """Maps of several images of one size as one tensor (N, K, h, w): K of the richest, the others have zeros."""
    held = torch.zeros(len(maps), max(1, max(map(len, maps))), *maps[0].shape[1:])
    for row, own in zip(held, maps, strict=True):
        row[: len(own)] = torch.from_numpy(own)
    return held
