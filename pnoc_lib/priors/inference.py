"""From a trained network to priors: the maps of present classes, normalised, in a map store (Section 6.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pnoc_lib.data.images import LabeledImages
from pnoc_lib.data.stores import MapStore
from pnoc_lib.engine import multiscale
from pnoc_lib.priors import cam


def fill_store(
    predictor: multiscale.Predictor,
    images: LabeledImages,
    store: MapStore,
    *,
    scales: Sequence[float] = multiscale.SCALES,
    form: str = "stride-4",
    batch_size: int = 1,
    progress: bool = True,
) -> int:
    """Write the prior of every image that `store` lacks: its present classes' maps, each normalised by Eq. (2).

    form: of the maps, see `multiscale.augmented_maps`; the store tells it (`made_of`), to be named beside every score.
    batch_size: images of equal size that are run together (twice that, with their mirrors): on a CPU large images are
    fastest alone, in the caches; small ones, and any on a GPU, together.
    Returns the number of images written; see `multiscale.fill_store` for what becomes of those that are there.
    """
    made_of = {"network": predictor.digest, "scales": list(scales), "precision": str(predictor.dtype)}
    made_of["form"] = form
    return multiscale.fill_store(
        lambda pixels: multiscale.augmented_maps(predictor, pixels, scales, form=form),
        images,
        store,
        present_maps,
        made_of,
        batch_size=batch_size,
        progress="priors" if progress else None,
    )


def present_maps(maps: Tensor, label: np.ndarray) -> tuple[np.ndarray, Tensor]:
    """Classes (K,) of an image's label, and their maps of (C, h, w), each normalised by Eq. (2)."""
    classes = np.flatnonzero(label)
    return classes, cam.normalize_cam(maps[torch.from_numpy(classes).to(maps.device)][None])[0]
