"""Test-time augmentation for any network that gives maps: scales, mirrors, their sum, and a map store (Section 6.1)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF
from tqdm import tqdm

from pnoc_lib.data import stores
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.engine import batchnorm, checkpoints, pointwise

STORE_STRIDE = 4  # pixels of the image per pixel of a stored map
SCALES = (0.5, 1.0, 1.5, 2.0)  # the paper's
FORMS = ("stride-4", "published")  # of the maps that are stored and scored
PUBLISHED_STRIDE = 16
PRECISIONS = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Predictor:
    """A network made ready for inference: BatchNorm folded, channels last, weights in the given precision.

    network: with an `encoder`, `features` (images -> features), `head` (features -> maps), `stride`, `mean` and `std`;
    in any mode, left untouched. precision: of the features, "no" (float32), "bf16" or "fp16"; the head stays float32.
    device: by default the GPU, where there is one.
    `digest` tells networks apart by their weights.
    Calling it takes (N, 3, H, W) uint8 RGB on any device and gives raw maps (N, K, h, w) float32 on `device`.
    Raises ValueError for an unknown precision.
    """

    exact = ("head",)  # parts that stay in float32

    def __init__(self, network: nn.Module, *, precision: str = "bf16", device: torch.device | str | None = None):
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
        self.dtype = PRECISIONS[precision]
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.digest = checkpoints.digest(network)
        side = 4 * network.stride
        example = torch.zeros(1, 3, side, side, device=next(network.parameters()).device)
        self.network = batchnorm.fold_batchnorm(network, example).to(self.device, memory_format=torch.channels_last)
        for name, part in self.network.named_children():
            if name not in self.exact:
                part.to(self.dtype)
        if self.device.type == "cpu" and self.dtype == torch.bfloat16:  # float32 has other kernels: not the same bits
            example = torch.linspace(-2, 2, 3 * side * side).view(1, 3, side, side).to(self.dtype)
            example = example.contiguous(memory_format=torch.channels_last)
            self.network = pointwise.ready(self.network, lambda one: self._reduced(one, example))
        self.mean = torch.tensor(network.mean, device=self.device)[:, None, None] * 255
        self.std = torch.tensor(network.std, device=self.device)[:, None, None] * 255

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        pixels = (images.to(self.device).float() - self.mean) / self.std
        pixels = pixels.to(self.dtype).contiguous(memory_format=torch.channels_last)
        return self._exact(self._reduced(self.network, pixels).float())

    def _reduced(self, network: nn.Module, pixels: Tensor) -> Tensor:
        """The part of the network that runs in `dtype`."""
        return network.features(pixels)

    def _exact(self, features: Tensor) -> Tensor:
        """The part that runs in float32."""
        return self.network.head(features)


def augmented_maps(
    predictor: Callable[[Tensor], Tensor], images: Tensor, scales: Sequence[float], *, form: str = "stride-4"
) -> Tensor:
    """Sum of the rectified maps of an image at all scales, each with its mirror: test-time augmentation (Section 6.1).

    images: (N, 3, H, W) uint8 RGB of one size. scales: factors of the side.
    form: "stride-4" resizes every map (bilinear) to a quarter of the image's side; scores enlarge that to the image.
    "published" is what the published code scores: every map is enlarged to the next multiples of 16 pixels, and their
    sum is cut to the image. Where a side is no multiple of 16 it lies up to half a cell off; 16 times the room.
    Returns float32, at least 0, not normalised (to Eq. (2) sum and mean are one): (N, K, ceil(H / 4), ceil(W / 4)), or
    (N, K, H, W) when published.
    Raises ValueError for another form.
    Beyond the paper: rectified before the mirror is added; the "stride-4" form for scores (published code uses it for
    the random walk alone).
    """
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r} of maps: choose one of {', '.join(FORMS)}")
    height, width = images.shape[-2:]
    size = (math.ceil(height / STORE_STRIDE), math.ceil(width / STORE_STRIDE))
    if form == "published":
        size = tuple(PUBLISHED_STRIDE * math.ceil(side / PUBLISHED_STRIDE) for side in (height, width))
    total: Tensor | float = 0.0
    for scale in scales:
        scaled = images
        if scale != 1:
            sides = [max(1, round(scale * height)), max(1, round(scale * width))]
            scaled = TF.resize(images, sides, interpolation=InterpolationMode.BICUBIC, antialias=True)
        both = predictor(torch.cat([scaled, scaled.flip(-1)])).relu()  # (2N, K, h, w)
        plain, mirrored = both.chunk(2)
        total = total + F.interpolate(plain + mirrored.flip(-1), size, mode="bilinear", align_corners=False)
    return total[..., :height, :width]


def fill_store(
    maps_of: Callable[[Tensor], Tensor],
    images: LabeledImages,
    store: stores.MapStore,
    keep: Callable[[Tensor, np.ndarray], tuple[np.ndarray, Tensor]],
    made_of: Mapping[str, Any],
    *,
    batch_size: int = 1,
    progress: str | None = "maps",
) -> int:
    """Write the maps of every image that `store` lacks.

    maps_of: (N, 3, H, W) uint8 images of one size -> (N, K, h, w), such as `augmented_maps` of a predictor.
    keep: (maps (K, h, w), label (C,)) -> what is stored of them: classes and maps in [0, 1].
    made_of: what decides the maps: digest of the weights, scales; the data set, its split and classes are added to it.
    batch_size: images of equal size that are run together. progress: text of the bar, None for none.
    Returns the number of images written; those of an earlier, interrupted call are kept, unless they come from other
    weights, another split or whatever `made_of` says, or their image or label was mended since: those are made anew.
    """
    told = {"data": images.name, "split": images.split, "classes": list(images.classes)} | dict(made_of)
    before, stale = store.made_of(), store.renew(told)
    if stale:
        changed = checkpoints.changes(before, told) if before else "nobody knows of what they were made"
        tqdm.write(f"{store.folder} holds maps of {stale} images of another kind ({changed}): making all of them anew")
    sources = stores.sources(images)
    todo = images.subset(store.missing(images.ids, sources))
    done = len(images) - len(todo)
    bar = tqdm(total=len(images), initial=done, desc=progress, unit="image", mininterval=1, disable=progress is None)
    with bar, ThreadPoolExecutor(2) as threads:
        for ids, pixels in batches(todo, batch_size, threads):
            for image_id, maps in zip(ids, maps_of(pixels), strict=True):
                classes, kept = keep(maps, images.label(image_id))
                size = tuple(pixels.shape[-2:])
                store.write(image_id, kept.float().cpu().numpy(), classes, size, source=sources[image_id])
            bar.update(len(ids))
    return len(todo)


def batches(images: LabeledImages, batch_size: int, threads: ThreadPoolExecutor) -> Iterator[tuple[list[str], Tensor]]:
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
