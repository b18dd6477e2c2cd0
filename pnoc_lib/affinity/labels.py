"""Affinity labels: the pixels whose class one may trust, those of the background, and the uncertain rest (Section 5).

Every form takes the image (H, W, 3) uint8, the priors `maps` (K, H, W) in [0, 1] and their `classes` (K,), ascending
indices from 0, and gives (H, W) uint8: 0 background, class index + 1, 255 uncertain. They differ in who may say
background.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from pnoc_lib.data import index_masks, stores
from pnoc_lib.data.images import VOID, LabeledImages
from pnoc_lib.data.problems import DataError
from pnoc_lib.engine import crf

FORMS = ("saliency-aware", "conventional", "alpha")


def background_of_priors(delta_fg: float, delta_bg: float) -> float:
    """delta_bg for conventional labels: the one that saliency has, where it lies below delta_fg; else delta_fg / 4.

    Saliency's may lie above (0.8 on MS COCO); of priors that would leave nothing uncertain. A quarter is VOC12's ratio.
    """
    return delta_bg if delta_bg < delta_fg else delta_fg / 4


@dataclass(frozen=True)
class LabelSettings:
    """How affinity labels are made.

    form: one of `FORMS`. delta_fg: priors above it name their class. delta_bg: below it is background, of priors
    (conventional) or of saliency (saliency-aware). alphas: low and high, of the form "alpha" alone.
    Raises ValueError for an unknown form and for thresholds or powers that are crossed or out of range.
    """

    form: str = "saliency-aware"
    delta_fg: float = 0.4
    delta_bg: float = 0.1
    alphas: tuple[float, float] = (4.0, 32.0)

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"unknown form of affinity labels {self.form!r}: choose one of {', '.join(FORMS)}")
        if not (0 < self.delta_bg < 1 and 0 < self.delta_fg < 1):
            raise ValueError(f"thresholds lie in (0, 1), got delta_fg {self.delta_fg} and delta_bg {self.delta_bg}")
        if self.form == "conventional" and self.delta_bg >= self.delta_fg:
            raise ValueError(
                f"thresholds are crossed: delta_bg {self.delta_bg} must lie below delta_fg {self.delta_fg}, or nothing "
                "is uncertain; the paper's code has 0.1 and 0.4"
            )
        if not 0 < self.alphas[0] < self.alphas[1]:
            raise ValueError(f"alphas must be two positive powers, the low one first, got {self.alphas}: PSA has 4, 32")


def coarse(maps: np.ndarray, classes: np.ndarray, delta_fg: float, delta_bg: float) -> np.ndarray:
    """Two thresholds and no CRF: column (b) of Figure 5."""
    peak = maps.max(0)
    return _decide(_cut(maps, delta_fg), peak <= delta_bg, classes)


def conventional(
    image: np.ndarray, maps: np.ndarray, classes: np.ndarray, delta_fg: float, delta_bg: float
) -> np.ndarray:
    """Both thresholds, each with a CRF; where the two do not agree, nobody knows: column (c) of Figure 5.

    Reads the paper as: the form of IRNet, a constant background, though it cites PSA (see `alpha`).
    """
    cuts = [_cut(maps, tau) for tau in (delta_fg, delta_bg)]
    sure, maybe = crf.refine_several(image, cuts, len(maps) + 1, crf.AFFINITY_LABELS)
    return _decide(sure, maybe == 0, classes)


def saliency_aware(
    image: np.ndarray, maps: np.ndarray, classes: np.ndarray, saliency: np.ndarray, delta_fg: float, delta_bg: float
) -> np.ndarray:
    """What is not salient is background, whatever its prior; strong priors keep their class: column (d) of Figure 5.

    saliency: (H, W) in [0, 1]. Uncertain is what is salient and has no strong prior.
    """
    salient = crf.refine_labels(image, (saliency > delta_bg).astype(int), 2, crf.AFFINITY_LABELS) == 1
    strong = np.where(salient, _cut(maps, delta_fg), 0)
    sure = crf.refine_labels(image, strong, len(maps) + 1, crf.AFFINITY_LABELS)
    return _decide(sure, ~salient, classes)


def alpha(image: np.ndarray, maps: np.ndarray, classes: np.ndarray, alphas: tuple[float, float]) -> np.ndarray:
    """PSA's form: the background has the score (1 - peak)^alpha; a low alpha is generous with it, a high one sparing.

    What a generous background leaves is a class; what a sparing one takes is background; the rest is uncertain.
    """
    background = 1 - maps.max(0, keepdims=True)
    generous, sparing = (
        crf.refine_probabilities(image, np.concatenate([background**power, maps]), crf.ALPHA_LABELS) for power in alphas
    )
    return _decide(np.where(sparing == 0, 0, generous), sparing == 0, classes)


def make(
    image: np.ndarray, maps: np.ndarray, classes: np.ndarray, saliency: np.ndarray | None, settings: LabelSettings
) -> np.ndarray:
    """The label of one image, by the form of the settings. Raises ValueError for an image without a class."""
    if not len(maps):
        raise ValueError("an image without a class has no affinity label: leave it out with images.with_labels()")
    s = settings
    if s.form == "conventional":
        return conventional(image, maps, classes, s.delta_fg, s.delta_bg)
    if s.form == "alpha":
        return alpha(image, maps, classes, s.alphas)
    if saliency is None:
        raise ValueError("saliency-aware labels need a saliency map: name a run of 04_saliency, or take another form")
    return saliency_aware(image, maps, classes, saliency, s.delta_fg, s.delta_bg)


def fill(
    folder: index_masks.MaskFolder,
    images: LabeledImages,
    priors: stores.MapStore,
    saliency: stores.MapStore | None,
    settings: LabelSettings,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> int:
    """Write the affinity label of every image that `folder` lacks, over a pool of processes. Images without a class
    have none.

    priors, saliency: map stores that hold all images; saliency None for the forms that take none.
    Returns the number of labels written; those of other settings or stores are made anew.
    Raises DataError when a store lacks images, or holds those of another split or other classes.
    """
    images = images.with_labels()
    if not len(images):
        raise DataError(f"no image of split {images.split!r} has a class: there is nothing to learn an edge from")
    priors.require(images, split=images.split)
    if saliency is not None:
        saliency.require(images, by_class=False, split=images.split)
    made_of = asdict(settings) | {"priors": priors.digest(images.ids), "crf": str(crf.AFFINITY_LABELS)}
    folder.renew(made_of | {"saliency": saliency.digest(images.ids) if saliency else None})
    todo = folder.missing(images.ids)

    def load(image_id: str) -> tuple:
        shown = None if saliency is None else saliency.single(image_id)
        pixels = np.asarray(images.image(image_id))
        return pixels, priors.full_size(image_id), priors.read(image_id).classes, shown, settings

    bar = "affinity labels" if progress else None
    for image_id, label in zip(todo, crf.refine_many(make, todo, load, workers=workers, progress=bar), strict=True):
        folder.write(image_id, label)
    return len(todo)


def _cut(maps: np.ndarray, threshold: float) -> np.ndarray:
    """argmax over [threshold, maps]: (H, W) from 0, background, to K."""
    return np.where(maps.max(0) > threshold, maps.argmax(0) + 1, 0)


def _decide(sure: np.ndarray, background: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The class where one is sure (0 to K, 0 for none), else 0 where background is said, else uncertain."""
    values = np.concatenate([[VOID], np.asarray(classes) + 1]).astype(np.uint8)
    return np.where((sure == 0) & background, 0, values[sure]).astype(np.uint8)
