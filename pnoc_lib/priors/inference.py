"""From a trained network to CAMs: test-time augmentation into a CAM store, and the quick estimate after an epoch."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF
from tqdm import tqdm

from pnoc_lib.data.images import LabeledImages
from pnoc_lib.data.stores import CAMStore
from pnoc_lib.engine import batchnorm, checkpoints
from pnoc_lib.priors import cam, networks

STORE_STRIDE = 4  # pixels of the image per pixel of a stored map


PRECISIONS = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Predictor:
    """A network made ready for inference: BatchNorm folded, channels last, weights in the given precision.

    network: in any mode, left untouched. precision: "no" (float32), "bf16" or "fp16"; the 1x1 classifier stays float32.
    device: by default the GPU, where there is one.
    `digest` tells networks apart by their weights.
    Calling it takes (N, 3, H, W) uint8 RGB on any device and gives raw CAMs (N, C, h, w) float32 on `device`.
    Raises ValueError for an unknown precision.
    """

    def __init__(
        self, network: networks.CAMNetwork, *, precision: str = "bf16", device: torch.device | str | None = None
    ):
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
        self.dtype = PRECISIONS[precision]
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.digest = checkpoints.digest(network)
        side = 4 * network.stride
        example = torch.zeros(1, 3, side, side, device=next(network.parameters()).device)
        folded = batchnorm.fold_batchnorm(network, example).to(self.device, memory_format=torch.channels_last)
        self.encoder, self.head = folded.encoder.to(self.dtype), folded.head
        self.mean = torch.tensor(network.mean, device=self.device)[:, None, None] * 255
        self.std = torch.tensor(network.std, device=self.device)[:, None, None] * 255

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        pixels = (images.to(self.device).float() - self.mean) / self.std
        pixels = pixels.to(self.dtype).contiguous(memory_format=torch.channels_last)
        return self.head(self.encoder(pixels).float())


def augmented_cams(predictor: Predictor, images: Tensor, scales: Sequence[float]) -> Tensor:
    """Sum of the rectified CAMs of an image at all scales, each with its mirror: test-time augmentation (Section 6.1).

    images: (N, 3, H, W) uint8 RGB of one size. scales: factors of the side.
    Returns (N, C, ceil(H / 4), ceil(W / 4)) float32, at least 0, not normalised: to Eq. (2) sum and mean are one.
    Beyond the paper: rectified before the mirror is added; resized (bilinear) once, to a quarter of the image's side.
    """
    height, width = images.shape[-2:]
    size = (math.ceil(height / STORE_STRIDE), math.ceil(width / STORE_STRIDE))
    total: Tensor | float = 0.0
    for scale in scales:
        scaled = images
        if scale != 1:
            sides = [max(1, round(scale * height)), max(1, round(scale * width))]
            scaled = TF.resize(images, sides, interpolation=InterpolationMode.BICUBIC, antialias=True)
        both = predictor(torch.cat([scaled, scaled.flip(-1)])).relu()  # (2N, C, h, w)
        plain, mirrored = both.chunk(2)
        total = total + F.interpolate(plain + mirrored.flip(-1), size, mode="bilinear", align_corners=False)
    return total


def fill_store(
    predictor: Predictor,
    images: LabeledImages,
    store: CAMStore,
    *,
    scales: Sequence[float] = (0.5, 1.0, 1.5, 2.0),
    batch_size: int = 1,
    progress: bool = True,
) -> int:
    """Write the prior of every image that `store` lacks: its present classes' maps, each normalised by Eq. (2).

    batch_size: images of equal size that are run together (twice that, with their mirrors): on a CPU large images are
    fastest alone, in the caches; small ones, and any on a GPU, together.
    Returns the number of images written; those of an earlier, interrupted call are kept as they are, unless they come
    from other weights, scales or another precision: then they go.
    """
    stale = store.renew({"network": predictor.digest, "scales": list(scales), "precision": str(predictor.dtype)})
    if stale:
        tqdm.write(f"{store.folder} holds {stale} priors of other weights or scales: making all of them anew")
    todo = images.subset(store.missing(images.ids))
    bar = tqdm(
        total=len(images),
        initial=len(images) - len(todo),
        desc="priors",
        unit="image",
        mininterval=1,
        disable=not progress,
    )
    with bar, ThreadPoolExecutor(2) as threads:
        for ids, pixels in _batches(todo, batch_size, threads):
            for image_id, maps in zip(ids, augmented_cams(predictor, pixels, scales), strict=True):
                classes = np.flatnonzero(images.label(image_id))
                present = cam.normalize_cam(maps[torch.from_numpy(classes).to(maps.device)][None])[0]  # (K, h, w)
                store.write(image_id, present.cpu().numpy(), classes, tuple(pixels.shape[-2:]))
            bar.update(len(ids))
    return len(todo)


def _batches(images: LabeledImages, batch_size: int, threads: ThreadPoolExecutor) -> Iterator[tuple[list[str], Tensor]]:
    """Images of equal size together, in chunks of `batch_size`, read ahead of the network."""

    def size_of(image_id: str) -> tuple[int, int]:
        with Image.open(images.paths[images.index(image_id)]) as header:
            return header.size

    groups: dict[tuple[int, int], list[str]] = {}
    for image_id, size in zip(images.ids, threads.map(size_of, images.ids), strict=True):
        groups.setdefault(size, []).append(image_id)
    chunks = [chunk for ids in groups.values() for chunk in chunks_of(ids, batch_size)]

    def read(ids: list[str]) -> Tensor:
        return torch.stack([TF.pil_to_tensor(images.image(image_id)) for image_id in ids])

    yield from zip(chunks, ahead(threads, read, chunks, 2), strict=True)


def chunks_of(items: Sequence, size: int) -> list[list]:
    """`items` in lists of `size`, the last one shorter."""
    return [list(items[k : k + size]) for k in range(0, len(items), size)]


def ahead(threads: ThreadPoolExecutor, function, items: Sequence, depth: int) -> Iterator:
    """Like map, in threads, but never more than `depth` results ahead of the one asked for."""
    waiting: deque = deque()
    for item in items:
        waiting.append(threads.submit(function, item))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
