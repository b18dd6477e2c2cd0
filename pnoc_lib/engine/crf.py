"""Dense CRF (Kraehenbuehl and Koltun 2011): labels that follow the colours of the image. One place for its settings.

    refined = crf.refine_labels(image, labels, 3, crf.AFFINITY_LABELS)          # background and two classes

Pixels are energies: a unary one from labels or probabilities, and two pairwise ones that charge neighbours for
unlike labels, a Gaussian in position (smooth regions) and a bilateral one in position and colour (edges of the image).
The settings are those of the code published with the paper, which names none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydensecrf.densecrf import DenseCRF2D

from pnoc_lib.engine import processes

CLIP = 1e-5  # the least probability that a softmax unary believes
PRESENT = 0.01  # a class that reaches this probability at no pixel is absent


@dataclass(frozen=True)
class Settings:
    """How a dense CRF is run.

    iterations: of mean-field inference. certainty: how far a given label is believed, in (0, 1); None where the
    unary is made of probabilities. gaussian: (width in pixels, weight). bilateral: (width in pixels, width in
    grey levels of 0 to 255, weight).
    """

    iterations: int
    certainty: float | None
    gaussian: tuple[float, float]
    bilateral: tuple[float, float, float]

    def __str__(self) -> str:
        """The settings in one line, printed beside every score that a CRF touched."""
        unary = "probabilities" if self.certainty is None else f"labels at {self.certainty:g}"
        smooth, (xy, rgb, weight) = "{:g} px x{:g}".format(*self.gaussian), self.bilateral
        return (
            f"dense CRF: {unary}, {self.iterations} iteration{'s' * (self.iterations != 1)}, Gaussian {smooth}, "
            f"bilateral {xy:g} px {rgb:g} grey x{weight:g}"
        )


AFFINITY_LABELS = Settings(10, 0.7, (3, 3), (50, 5, 10))
SALIENCY = Settings(10, 0.7, (3, 3), (50, 5, 10))
PRIORS = Settings(10, 0.7, (3, 3), (50, 5, 10))
PSEUDO_MASKS = Settings(1, 0.9, (3, 3), (50, 5, 10))
ALPHA_LABELS = Settings(10, None, (3, 3), (80, 13, 10))
SEGMENTATION = Settings(10, None, (1, 3), (67, 3, 4))


def refine_labels(image: np.ndarray, labels: np.ndarray, count: int, settings: Settings) -> np.ndarray:
    """Labels of one image after the CRF, with every pixel believed to `settings.certainty`.

    image: (H, W, 3) uint8 RGB at its original size. labels: (H, W) from 0 to count - 1, 0 background.
    count: labels of this image, background and present classes; 1 is run as 2, as the CRF needs two.
    Returns (H, W) uint8. Labels that are all the same come back as they are: nothing could change them.
    Raises ValueError for shapes, labels or settings that do not fit.
    """
    return refine_several(image, [labels], count, settings)[0]


def refine_several(
    image: np.ndarray, several: Sequence[np.ndarray], count: int, settings: Settings
) -> list[np.ndarray]:
    """What `refine_labels` gives for each of several labels of one image: what the CRF makes of its colours, 20 of the
    50 ms of ten iterations, is made once (at 160 x 120 pixels). Arguments and errors as there.
    """
    count = max(count, 2)
    if settings.certainty is None:
        raise ValueError("these settings are for probabilities: use refine_probabilities, or settings with a certainty")
    field, refined = None, []
    for labels in several:
        _check(image, labels.shape)
        if labels.size and not 0 <= labels.min() <= labels.max() < count:
            raise ValueError(
                f"labels must be 0 to {count - 1}, got {labels.min()} to {labels.max()}: void has no place"
            )
        if labels.size == 0 or (labels == labels.flat[0]).all():
            refined.append(labels.astype(np.uint8))
            continue
        field = field or _field(image, count, settings)
        energy = unary_from_labels(labels, count, settings.certainty)
        refined.append(_infer(field, energy, settings).argmax(0).astype(np.uint8))
    return refined


def refine_probabilities(
    image: np.ndarray, probabilities: np.ndarray, settings: Settings, *, present: float = PRESENT
) -> np.ndarray:
    """Most probable label of every pixel of one image after the CRF.

    image: (H, W, 3) uint8 RGB. probabilities: (K, H, W) in [0, 1], with sum 1 over K.
    present: classes that stay below this everywhere are left out (time grows with their number); 0 keeps all.
    Returns (H, W) uint8 from 0 to K - 1. Raises ValueError for shapes or settings that do not fit.
    """
    _check(image, probabilities.shape[1:])
    if settings.certainty is not None:
        raise ValueError("these settings are for labels: use refine_labels, or settings whose certainty is None")
    kept = np.flatnonzero(probabilities.reshape(len(probabilities), -1).max(1) >= present)
    if len(kept) < 2:
        return probabilities.argmax(0).astype(np.uint8)
    refined = _infer(_field(image, len(kept), settings), unary_from_probabilities(probabilities[kept]), settings)
    return kept[refined.argmax(0)].astype(np.uint8)


def refine_many(
    refine: Callable[..., np.ndarray],
    items: Sequence,
    load: Callable[[Any], tuple],
    *,
    workers: int | None = None,
    progress: str | None = None,
) -> Iterator[np.ndarray]:
    """Yield `refine(*load(item))` of every item in order, over a pool of processes; bit for bit the same as without.

    refine: `refine_labels`, `refine_probabilities`, or any importable function of arrays that calls them.
    load: gives its arguments, in this process. workers, progress: as in `processes.each`.
    What comes back between processes is what `refine` returns: index maps, a byte a pixel.
    """
    return processes.each(refine, items, load, workers=workers, progress=progress)


def unary_from_labels(labels: np.ndarray, count: int, certainty: float) -> np.ndarray:
    """Energies (count, H, W) float32: -log certainty for the given label, the rest shared evenly by the others."""
    energy = np.full((count, *labels.shape), -np.log((1 - certainty) / (count - 1)), np.float32)
    np.put_along_axis(energy, labels[None].astype(np.int64), np.float32(-np.log(certainty)), 0)
    return energy


def unary_from_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Energies (K, H, W) float32: -log p, with p no smaller than `CLIP`."""
    return -np.log(np.clip(probabilities, CLIP, 1.0, dtype=np.float32))


def _field(image: np.ndarray, count: int, settings: Settings) -> DenseCRF2D:
    """The pairwise energies of an image, for `count` labels."""
    field = DenseCRF2D(image.shape[1], image.shape[0], count)
    sxy, weight = settings.gaussian
    field.addPairwiseGaussian(sxy=sxy, compat=weight)
    sxy, srgb, weight = settings.bilateral
    field.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=np.array(image, order="C"), compat=weight)
    return field


def _infer(field: DenseCRF2D, energy: np.ndarray, settings: Settings) -> np.ndarray:
    """Probabilities (K, H, W) after mean-field inference."""
    field.setUnaryEnergy(np.ascontiguousarray(energy.reshape(len(energy), -1)))
    return np.asarray(field.inference(settings.iterations)).reshape(energy.shape)


def _check(image: np.ndarray, size: tuple[int, ...]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (H, W, 3) uint8 RGB, got {image.dtype} {image.shape}")
    if image.shape[:2] != tuple(size):
        raise ValueError(f"image is {image.shape[:2]} and the labels are {tuple(size)} (H, W): give both at one size")
