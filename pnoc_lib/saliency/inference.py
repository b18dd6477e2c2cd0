"""From a disentangler to saliency: proposals by test-time augmentation, and binary maps by a dense CRF (Section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pnoc_lib.data import stores
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.engine import crf, multiscale

ACTIVATIONS = ("relu", "sigmoid")


def fill_proposals(
    predictor: multiscale.Predictor,
    images: LabeledImages,
    store: stores.MapStore,
    *,
    scales: Sequence[float] = multiscale.SCALES,
    activation: str = "relu",
    batch_size: int = 1,
    progress: bool = True,
) -> int:
    """Write the saliency proposal of every image that `store` lacks: the disentangler's map, augmented as a prior is.

    activation: "relu" of the logit q, as published, or "sigmoid": phi itself; either is divided by its image's peak.
    An image without a class gets no map, which reads as zeros. Other arguments and what is returned: as for priors.
    Raises ValueError for an unknown activation.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}: choose one of {', '.join(ACTIVATIONS)}")
    made_of = {"network": predictor.digest, "scales": list(scales), "precision": str(predictor.dtype)}

    def saliency(pixels: Tensor) -> Tensor:
        positive = predictor if activation == "relu" else lambda scaled: predictor(scaled).sigmoid()
        return multiscale.augmented_maps(positive, pixels, scales)

    return multiscale.fill_store(
        saliency,
        images,
        store,
        only_map,
        made_of | {"activation": activation},
        batch_size=batch_size,
        progress="saliency" if progress else None,
    )


def only_map(maps: Tensor, label: np.ndarray) -> tuple[np.ndarray, Tensor]:
    """The saliency map of an image (1, h, w), divided by its peak; no map for an image whose label (C,) is empty."""
    if not label.any():
        return np.zeros(0, int), maps[:0]
    return np.zeros(1, int), maps / (maps.amax() + 1e-5)


def binarize(saliency: np.ndarray, tau_s: float = 0.2) -> np.ndarray:
    """Salient or not: the argmax over [tau_s, saliency], ties to the background.

    saliency: (H, W) in [0, 1]. tau_s: in [0, 1]; 0.2 in the code published with the paper, 0.3 in that of C2AM.
    Returns (H, W) uint8, 1 where salient.
    """
    return (saliency > np.float32(tau_s)).astype(np.uint8)


def fill_binary(
    proposals: stores.MapStore,
    images: LabeledImages,
    store: stores.MapStore,
    *,
    tau_s: float = 0.2,
    settings: crf.Settings = crf.SALIENCY,
    workers: int | None = None,
    progress: bool = True,
) -> int:
    """Write the binary map of every image that `store` lacks: its proposal above `tau_s`, refined by the dense CRF.

    These are the pseudo labels of PoolNet and the column P. of Table 6. workers: processes, None for one a core.
    Returns the number of images written. Raises DataError when proposals are missing or of other images.
    """
    proposals.require(images, by_class=False)
    sources = stores.sources(images)
    store.renew({"proposals": proposals.made_of(), "tau_s": tau_s, "crf": str(settings)})
    todo = store.missing(images.ids, sources)
    filled = [image_id for image_id in todo if len(proposals.read(image_id).maps)]

    def load(image_id: str) -> tuple:
        return np.asarray(images.image(image_id)), binarize(proposals.single(image_id), tau_s), 2, settings

    refined = crf.refine_many(crf.refine_labels, filled, load, workers=workers, progress="CRF" if progress else None)
    for image_id, labels in zip(filled, refined, strict=True):
        store.write(image_id, labels[None].astype(np.float32), np.zeros(1), labels.shape, source=sources[image_id])
    for image_id in set(todo) - set(filled):
        store.write(image_id, np.zeros((0, 1, 1)), np.zeros(0), proposals.read(image_id).size, source=sources[image_id])
    return len(todo)


def fill_refined(
    predictor: multiscale.Predictor,
    images: LabeledImages,
    store: stores.MapStore,
    *,
    batch_size: int = 1,
    progress: bool = True,
) -> int:
    """Write the saliency map of every image that `store` lacks, as PoolNet sees it: one scale, at its own size.

    An image without a class gets no map, which reads as zeros. The column R. of Table 6.
    """

    def saliency(pixels: Tensor) -> Tensor:
        logits = predictor(pixels)
        size = pixels.shape[-2:]
        return torch.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=True).sigmoid()

    def keep(maps: Tensor, label: np.ndarray) -> tuple[np.ndarray, Tensor]:
        return (np.zeros(1, int), maps) if label.any() else (np.zeros(0, int), maps[:0])

    made_of = {"network": predictor.digest, "precision": str(predictor.dtype)}
    text = "PoolNet" if progress else None
    return multiscale.fill_store(saliency, images, store, keep, made_of, batch_size=batch_size, progress=text)
