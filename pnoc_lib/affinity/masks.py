"""From walked priors to pseudo masks: their own size, a threshold, one iteration of the CRF (Section 5, Table 7)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F

from pnoc_lib.affinity import paths
from pnoc_lib.data import index_masks, stores
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.engine import crf

THRESHOLD = 0.30  # of the walked prior, as in the published VOC12 and COCO14 masks
SWEEP = (0.25, 0.30, 0.35)  # those that Table 7 chooses from, on the masks of the split: an oracle


def enlarge(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Walked maps (K, h, w) at the size (H, W) of their image: bilinear by four, cropped, divided by the one peak.

    Maps on another grid than that of the image's quarter (see `scale` of `inference.edges`) are brought to its size.

    Returns (K, H, W) float32 in [0, 1]; no maps stay no maps, and a map without a peak stays zero.
    """
    if not len(maps):
        return np.zeros((0, *size), np.float32)
    quarter = tuple(-(-side // paths.STRIDE) for side in size)
    wanted = [paths.STRIDE * side for side in quarter] if maps.shape[1:] == quarter else size
    large = F.interpolate(torch.from_numpy(maps)[None], wanted, mode="bilinear")[0, :, : size[0], : size[1]].numpy()
    return large / max(large.max(), 1 / (2 * stores.LEVELS))


def cut(maps: np.ndarray, classes: np.ndarray, threshold: float) -> np.ndarray:
    """The sharp mask, (H, W) uint8: argmax over [threshold, maps]; all background without a class."""
    if not len(maps):
        return np.zeros(maps.shape[1:], np.uint8)
    return np.where(maps.max(0) > threshold, np.asarray(classes)[maps.argmax(0)] + 1, 0).astype(np.uint8)


def refine(image: np.ndarray, maps: np.ndarray, classes: np.ndarray, thresholds: tuple[float, ...]) -> np.ndarray:
    """The mask at each threshold after one iteration of the CRF, (T, H, W) uint8; all background without a class.

    image: (H, W, 3) uint8. maps: (K, h, w), walked, on the stride-4 grid.
    """
    large, values = enlarge(maps, image.shape[:2]), np.concatenate([[0], np.asarray(classes, int) + 1])
    if not len(large):
        return np.zeros((len(thresholds), *image.shape[:2]), np.uint8)
    cuts = [cut(large, np.arange(len(large)), threshold) for threshold in thresholds]
    refined = crf.refine_several(image, cuts, len(large) + 1, crf.PSEUDO_MASKS)
    return values[np.stack(refined)].astype(np.uint8)


def fill(
    folders: Mapping[float, index_masks.MaskFolder],
    images: LabeledImages,
    walked: stores.MapStore,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> int:
    """Write the pseudo masks of every image that one of the folders lacks, one folder a threshold, over a pool.

    Returns the number of images done; those of other walked maps or settings are made anew.
    """
    walked.require(images, split=images.split)
    for threshold, folder in folders.items():
        folder.renew({"walked": walked.digest(images.ids), "threshold": threshold, "crf": str(crf.PSEUDO_MASKS)})
    lacking = {image_id for folder in folders.values() for image_id in folder.missing(images.ids)}
    todo = [image_id for image_id in images.ids if image_id in lacking]

    def load(image_id: str) -> tuple:
        stored = walked.read(image_id)
        return np.asarray(images.image(image_id)), stored.maps, stored.classes, tuple(folders)

    bar = "pseudo masks" if progress else None
    for image_id, found in zip(todo, crf.refine_many(refine, todo, load, workers=workers, progress=bar), strict=True):
        for folder, mask in zip(folders.values(), found, strict=True):
            folder.write(image_id, mask)
    return len(todo)
