"""The quick estimate of mIoU after an epoch: the columns E1 to E15 of Tables 2 and 4 (Section 11 of the protocol)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from pnoc_lib.data.images import LabeledImages, Masks
from pnoc_lib.engine.multiscale import Predictor, ahead, chunks_of
from pnoc_lib.evaluation import metrics
from pnoc_lib.priors import cam


def estimate_miou(
    predictor: Predictor,
    images: LabeledImages,
    masks: Masks,
    *,
    size: int = 512,
    batch_size: int = 16,
    thresholds: Sequence[float] = (0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45),
) -> dict[str, float]:
    """Quick mIoU after an epoch, without test-time augmentation: the columns E1 to E15 of Tables 2 and 4.

    The shorter side is resized (bilinear) to `size` pixels and the top left square taken; maps are normalised by
    Eq. (2), those of absent classes left out. A cell of the maps is compared with the mask at its top left pixel: at
    stride 16 with pixel 16 i, as published, not with its centre.
    Returns {"miou": fraction at the best of `thresholds` (an oracle: chosen on masks), "threshold": that threshold}.
    Beyond the paper: an incomplete last batch is not dropped.
    """
    histogram = metrics.ThresholdHistogram(len(images.classes), thresholds)
    with ThreadPoolExecutor(2) as threads:
        jobs = ahead(
            threads, lambda i: _estimate_sample(images.image(i), masks.mask(i), size), images.ids, 4 * batch_size
        )
        for ids in chunks_of(images.ids, batch_size):
            samples = [next(jobs) for _ in ids]
            maps = cam.normalize_cam(predictor(torch.stack([pixels for pixels, _ in samples]))).cpu()
            for image_id, values, (_, mask) in zip(ids, maps, samples, strict=True):
                classes = np.flatnonzero(images.label(image_id))
                rows, columns = (np.arange(n) * side // n for n, side in zip(values.shape[1:], mask.shape, strict=True))
                grid = mask[rows[:, None], columns]
                histogram.update(values[torch.from_numpy(classes)].numpy(), classes, grid)
    sweep = metrics.threshold_sweep(histogram)
    best = sweep.loc[sweep["miou"].idxmax()]
    return {"miou": float(best["miou"]), "threshold": float(best["threshold"])}


def _estimate_sample(image: Image.Image, mask: np.ndarray, size: int) -> tuple[Tensor, np.ndarray]:
    factor = size / min(image.size)
    sides = tuple(max(size, int(side * factor)) for side in image.size)  # the longer side is truncated, as published
    pixels = TF.pil_to_tensor(image.resize(sides, Image.Resampling.BILINEAR))[:, :size, :size]
    return pixels, np.asarray(Image.fromarray(mask).resize(sides, Image.Resampling.NEAREST))[:size, :size]
