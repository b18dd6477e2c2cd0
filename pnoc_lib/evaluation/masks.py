"""Scores of index masks, pseudo masks and predictions alike: one confusion matrix over all images (Tables 7 to 10)."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from pnoc_lib.data import problems
from pnoc_lib.data.images import VOID, Masks
from pnoc_lib.data.problems import DataError
from pnoc_lib.evaluation import metrics


def confusion(
    guesses: Masks,
    truth: Masks,
    ids: Sequence[str] | None = None,
    *,
    workers: int | None = None,
    progress: bool = False,
) -> np.ndarray:
    """(C + 1, C + 1) int64 [true, predicted], in pixels, of the masks of all images; void of the truth is left out.

    guesses: predicted masks; where one is void (a pseudo mask may be uncertain), the pixel counts as background.
    ids: the images to score, by default all of `truth`. workers: threads, by default one a processor, at most 8.
    Raises DataError that names the masks that are missing, unreadable or of another size, or when all pixels are void.
    """
    count, lock = len(truth.classes) + 1, threading.Lock()
    total = np.zeros((count, count), np.int64)

    def add(id: str) -> None:
        guess, mask = guesses.mask(id), truth.mask(id)
        if guess.shape != mask.shape:
            raise DataError(f"image {id}: the predicted mask is {guess.shape}, the true one {mask.shape} (H, W)")
        counts = metrics.confusion_matrix(np.where(guess == VOID, 0, guess), mask, count)
        with lock:
            total.__iadd__(counts)

    problems.gather(
        add, list(truth.ids if ids is None else ids), workers=workers, progress="score" if progress else None
    )
    return scorable(total)


def scorable(confusion: np.ndarray) -> np.ndarray:
    """The confusion matrix of a split as it is; DataError where no pixel is in it, whose scores would be no numbers."""
    if not confusion.any():
        raise DataError("nothing can be scored: every pixel of the masks is void (255); are they those of this split?")
    return confusion


def scores(
    guesses: Masks,
    truth: Masks,
    ids: Sequence[str] | None = None,
    *,
    score_classes: Collection[str] | None = None,
    progress: bool = False,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Scores by class, as `metrics.class_scores`, and their means, as `metrics.mean_scores`; all fractions."""
    by_class = metrics.class_scores(confusion(guesses, truth, ids, progress=progress), truth.classes)
    return by_class, metrics.mean_scores(by_class, score_classes or None)


def image_miou(guesses: Masks, truth: Masks, id: str) -> float:
    """Mean IoU over the classes in the true mask of one image, background included; NaN where all of it is void.

    A void pixel of the guess counts as background.
    """
    guess = guesses.mask(id)
    return metrics.miou(np.where(guess == VOID, 0, guess), truth.mask(id), len(truth.classes) + 1)
