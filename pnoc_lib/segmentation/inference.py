"""From a trained segmentation network to index masks: scales and mirrors, softmax, dense CRF (Sections 21 to 23)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF
from tqdm import tqdm

from pnoc_lib.data import index_masks, stores
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.engine import crf, multiscale, processes
from pnoc_lib.segmentation import deeplab, refining

ONE_LOOK = (1.0,)  # scales of V2, without a mirror: its own wrapper looks at three sizes
PAIR_PIXELS = 2**20  # pixels of some images up to which they run together with their mirrors
CHUNK_PIXELS = 2**21  # pixels of neighbours that run together, at scale 1


class Segmenter(multiscale.Predictor):
    """A segmentation network made ready for inference: BatchNorm folded, channels last, all in the given precision.

    network: in any mode, left untouched. precision: "no" (float32), "bf16" or "fp16".
    device: by default the GPU, where there is one. `digest` tells networks apart by their weights.
    Calling it takes (N, 3, H, W) uint8 RGB and gives coarse logits (N, C + 1, h, w) float32 on `device`.
    Raises ValueError for an unknown precision.
    """

    exact = ()

    def __init__(self, network: deeplab.DeepLab, *, precision: str = "bf16", device: torch.device | str | None = None):
        super().__init__(network, precision=precision, device=device)
        self.num_outputs = network.num_outputs

    def _reduced(self, network: deeplab.DeepLab, pixels: Tensor) -> Tensor:
        return network.coarse(pixels)

    def _exact(self, features: Tensor) -> Tensor:
        return features


@torch.inference_mode()
def augmented_logits(
    segmenter: Segmenter, images: Tensor, scales: Sequence[float] = multiscale.SCALES, *, mirror: bool = True
) -> Tensor:
    """Logits at the size of the image: an image and its mirror added up, the mean over all scales (Section 23).

    images: (N, 3, H, W) uint8 RGB of one size. scales: factors of the side.
    Returns (N, C + 1, H, W) float32. No more than this and one scale of it are held at a time.
    Beyond the paper: the maps of the decoder are resized once, to the image; the published code goes by way of the
    scaled image, which at scale 2 holds four times as much and gives the same masks but for single pixels at borders.
    """
    size = tuple(images.shape[-2:])
    total = torch.zeros(len(images), segmenter.num_outputs, *size, device=segmenter.device)
    for scale in scales:
        scaled = images
        if scale != 1:
            sides = [max(1, round(scale * side)) for side in size]
            scaled = TF.resize(images, sides, interpolation=InterpolationMode.BICUBIC, antialias=True)
        maps = _with_mirror(segmenter, scaled) if mirror else segmenter(scaled)
        total += F.interpolate(maps, size, mode="bilinear", align_corners=segmenter.network.align_corners)
    return total.div_(len(scales))


def _with_mirror(segmenter: Segmenter, images: Tensor) -> Tensor:
    if len(images) * images.shape[-2] * images.shape[-1] > PAIR_PIXELS:  # one after the other: half the memory
        return segmenter(images) + segmenter(images.flip(-1)).flip(-1)
    plain, mirrored = segmenter(torch.cat([images, images.flip(-1)])).chunk(2)
    return plain + mirrored.flip(-1)


def predict(
    segmenter: Segmenter,
    images: LabeledImages,
    *,
    scales: Sequence[float] = multiscale.SCALES,
    mirror: bool = True,
    with_crf: bool = True,
    longest: int = 0,
    batch_size: int = 1,
    workers: int | None = None,
    progress: bool = True,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield (id, mask, mask before the CRF) of every image, in their order; masks are (H, W) uint8, 0..C.

    scales, mirror: of the test-time augmentation. with_crf: False gives the same mask twice.
    longest: pixels; an image with a longer side is shrunk to it first, and its mask enlarged by the nearest pixel; 0
    for no bound. batch_size: neighbours of equal size that run together, large ones fewer. workers: processes, None for
    one a core: while they run the CRF, this one runs the network.
    Raises DataError for an image that cannot be read.
    """
    size_of: dict[str, tuple[int, int]] = {}

    def load(ids: list[str]) -> tuple:
        pictures = [images.image(id) for id in ids]
        size_of.update(zip(ids, (picture.size for picture in pictures), strict=True))
        pictures = [_at_most(picture, longest) for picture in pictures]
        pixels = torch.stack([TF.pil_to_tensor(picture) for picture in pictures])
        shares = augmented_logits(segmenter, pixels, scales, mirror=mirror).softmax(dim=1)
        kept = [(share.amax(dim=(1, 2)) >= crf.PRESENT).nonzero()[:, 0] for share in shares]
        shares = [share[classes].cpu().numpy() for share, classes in zip(shares, kept, strict=True)]
        return list(map(np.asarray, pictures)), shares, [classes.cpu().numpy() for classes in kept], with_crf

    bar = tqdm(total=len(images), desc="segmentation", unit="image", mininterval=1, disable=not progress)
    chunks = list(_neighbours(images, batch_size))
    results = processes.each(refining.masks, chunks, load, workers=workers if with_crf else 1)
    with bar:
        for ids, pairs in zip(chunks, results, strict=True):
            for id, (mask, plain) in zip(ids, pairs, strict=True):
                size = size_of.pop(id)
                yield id, _enlarged(mask, size), _enlarged(plain, size)
            bar.update(len(ids))


def _neighbours(images: LabeledImages, batch_size: int) -> Iterator[list[str]]:
    """Ids in their order, in lists of at most `batch_size` images of one size, and of at most `CHUNK_PIXELS`."""
    chunk: list[str] = []
    size = None
    for id in images.ids:
        before, size = size, _size(images, id) if batch_size > 1 else (1, 1)
        most = min(batch_size, max(1, CHUNK_PIXELS // (size[0] * size[1])))
        if chunk and (before != size or len(chunk) >= most):
            yield chunk
            chunk = []
        chunk.append(id)
    if chunk:
        yield chunk


def _size(images: LabeledImages, id: str) -> tuple[int, int]:
    try:
        with Image.open(images.paths[images.index(id)]) as header:
            return header.size
    except OSError:
        return images.image(id).size  # says what is wrong with it


def _at_most(picture: Image.Image, longest: int) -> Image.Image:
    factor = longest / max(picture.size)
    if not longest or factor >= 1:
        return picture
    return picture.resize([max(1, round(factor * side)) for side in picture.size], Image.Resampling.BICUBIC)


def _enlarged(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask at `size` (W, H), by the nearest pixel."""
    if mask.shape[::-1] == size:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def fill(
    segmenter: Segmenter,
    images: LabeledImages,
    refined: index_masks.MaskFolder,
    plain: index_masks.MaskFolder,
    *,
    scales: Sequence[float] = multiscale.SCALES,
    mirror: bool = True,
    with_crf: bool = True,
    longest: int = 0,
    batch_size: int = 1,
    workers: int | None = None,
    progress: bool = True,
) -> int:
    """Write the masks of every image that one of the folders lacks: after the CRF, and before it.

    The settings are those of `predict`. Returns the number of images done; masks of another network, of other settings
    or of an image that has changed are made anew, those of an interrupted call are kept.
    """
    how = {"scales": list(scales), "mirror": mirror, "longest": longest}
    made_of = {"network": segmenter.digest, "precision": str(segmenter.dtype)} | how | segmenter.network.looks
    refined.renew(made_of | {"crf": str(crf.SEGMENTATION) if with_crf else "none"})
    plain.renew(made_of | {"crf": "none"})
    for folder in (refined, plain):
        folder.drop_changed(stores.sources(images))
    lacking = {*refined.missing(images.ids), *plain.missing(images.ids)}
    todo = images.subset(id for id in images.ids if id in lacking)
    options = {"with_crf": with_crf, "batch_size": batch_size, "workers": workers, "progress": progress}
    for id, mask, before in predict(segmenter, todo, **how, **options):
        plain.write(id, before)
        refined.write(id, mask)
    return len(todo)
