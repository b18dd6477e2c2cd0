"""IoU and its two losses, for every background threshold from one pass over the images (Sec. 6, Figure 6).

A prior becomes a mask when a constant map `tau`, the background, is put before the maps of the present classes and
the argmax is taken. Whatever `tau` is, only the strongest class of a pixel can win, and it wins where its value
exceeds `tau`. So one look at a pixel will do: which class is strongest, and how many thresholds lie below its value.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pnoc_lib.data import problems, stores
from pnoc_lib.data.images import VOID, Masks
from pnoc_lib.data.problems import DataError

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 17))  # 0.05, 0.10, ..., 0.80


class ThresholdHistogram:
    """Pixels by (true class, strongest class, thresholds below its value): the confusion matrix of every threshold.

    num_classes: C, foreground classes. thresholds: in [0, 1], each above the one before.
    counts: (C + 1, C, T + 1) int64, in pixels; true class 0 is background, the strongest class is a 0-based foreground
    index. Void pixels are in no cell.
    """

    def __init__(self, num_classes: int, thresholds: Sequence[float] = THRESHOLDS) -> None:
        if not 1 <= num_classes < VOID:
            raise ValueError(f"num_classes must be 1 to {VOID - 1} foreground classes, got {num_classes}")
        steps = np.asarray(thresholds, dtype=np.float64)
        if steps.ndim != 1 or not steps.size or not (0 <= steps[0] <= steps[-1] <= 1) or not (np.diff(steps) > 0).all():
            raise ValueError(f"thresholds must lie in [0, 1], each above the one before, got {thresholds}")
        self.num_classes = num_classes
        self.thresholds = steps
        self.counts = np.zeros((num_classes + 1, num_classes, steps.size + 1), dtype=np.int64)

    def update(self, cam: ArrayLike, classes: ArrayLike, mask: ArrayLike) -> None:
        """Add one image.

        cam: (K, H, W) normalised maps of the K present classes, in [0, 1], at the size of the mask, float32.
        classes: (K,) 0-based foreground indices, ascending. With K = 0 everything is predicted background.
        mask: (H, W) uint8, 0 background, 1..C class index + 1, 255 void.
        Ties go to the background, then to the lower class, as in an argmax over [tau, maps] in the maps' precision.
        Raises ValueError for sizes that differ, a class index or mask value out of range, and CAMs that are not finite.
        """
        self._add(*self._count(cam, classes, mask))

    def merge(self, other: ThresholdHistogram) -> None:
        """Add the counts of `other`; ValueError unless it has the same classes and thresholds."""
        if other.num_classes != self.num_classes or not np.array_equal(other.thresholds, self.thresholds):
            raise ValueError(
                f"histograms differ: {self.num_classes} classes at thresholds {self.thresholds.tolist()}, the other "
                f"{other.num_classes} at {other.thresholds.tolist()}: make both with the same settings"
            )
        self.counts += other.counts

    def confusion(self, index: int) -> np.ndarray:
        """(C + 1, C + 1) int64 [true, predicted], in pixels, at `thresholds[index]`."""
        split = range(self.thresholds.size)[index] + 1  # thresholds that a value must exceed to be foreground here
        background = self.counts[:, :, :split].sum(axis=(1, 2))
        return np.column_stack([background, self.counts[:, :, split:].sum(axis=2)])

    def _count(self, cam: ArrayLike, classes: ArrayLike, mask: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Classes (K,) and counts (C + 1, K, T + 1) of one image; the work that threads share."""
        cam, classes, mask = np.asarray(cam), np.asarray(classes, dtype=np.int64), np.asarray(mask)
        self._check(cam, classes, mask)
        if not classes.size:  # background at every threshold is the cell "exceeds none" of any class
            classes, cam = np.zeros(1, dtype=np.int64), np.zeros((1, *mask.shape), dtype=np.float32)
        bins = self.thresholds.size + 1
        cells = (VOID + 1) * classes.size * bins
        key = mask.astype(np.uint16 if cells <= 2**16 else np.intp)  # (true class, strongest class, bin) as one number
        key *= classes.size * bins

        value = cam[0]
        if classes.size > 1:
            value, strongest = value.copy(), np.zeros_like(key)
            for rank in range(1, classes.size):
                higher = cam[rank] > value  # strictly: the lower class keeps a tie
                np.maximum(strongest, higher * key.dtype.type(rank * bins), out=strongest)
                np.maximum(value, cam[rank], out=value)
            key += strongest
        if value.size and not np.isfinite(value.max()):
            raise ValueError("the CAM holds values that are not finite: make it again")

        below, exceeds = np.zeros(mask.shape, dtype=np.min_scalar_type(bins)), np.empty(mask.shape, dtype=bool)
        for threshold in self.thresholds.astype(value.dtype):
            np.greater(value, threshold, out=exceeds)
            below += exceeds.view(np.uint8)
        key += below
        counts = np.bincount(key.ravel(), minlength=cells).reshape(VOID + 1, classes.size, bins)
        unknown = np.flatnonzero(counts[self.num_classes + 1 : VOID].any(axis=(1, 2))) + self.num_classes + 1
        if unknown.size:
            raise ValueError(
                f"the mask holds {', '.join(map(str, unknown[:5]))}, which is no class: allowed are 0 (background), "
                f"1..{self.num_classes} (classes) and {VOID} (void); check that masks and class names belong together"
            )
        return classes, counts[: self.num_classes + 1]

    def _add(self, classes: np.ndarray, counts: np.ndarray) -> None:
        self.counts[:, classes] += counts

    def _check(self, cam: np.ndarray, classes: np.ndarray, mask: np.ndarray) -> None:
        if cam.ndim != 3 or classes.shape != cam.shape[:1]:
            raise ValueError(f"cam must be (K, H, W) with K classes, got {cam.shape} and classes of {classes.shape}")
        if not np.issubdtype(cam.dtype, np.floating):
            raise ValueError(
                f"cam must be floating point in [0, 1], got {cam.dtype}: divide stored integers by their range"
            )
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise ValueError(
                f"mask must be (H, W) uint8, got {mask.shape} {mask.dtype}: give class indices, no colours"
            )
        if cam.shape[1:] != mask.shape:
            raise ValueError(
                f"the CAM has {cam.shape[1]} x {cam.shape[2]} pixels (rows x columns), the mask {mask.shape[0]} x "
                f"{mask.shape[1]}: make the CAM at the size of its image, or get the mask that belongs to it"
            )
        wrong = classes[(classes < 0) | (classes >= self.num_classes)]
        if wrong.size:
            raise ValueError(
                f"class index {wrong[0]} is out of range: with {self.num_classes} foreground classes it must be "
                f"0..{self.num_classes - 1} (background has no map)"
            )
        if (np.diff(classes) <= 0).any():
            raise ValueError(f"classes must ascend, got {classes.tolist()}: sort the maps by class, one a class")


def evaluate(
    store: stores.MapStore,
    masks: Masks,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    ids: Sequence[str] | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> ThresholdHistogram:
    """Compare stored priors, resized to full size, with masks at every threshold; each file is read once.

    ids: the images to score; without it all of the store, and then store and masks must hold the same images.
    workers: threads that read and count; by default one a processor, at most 8.
    Raises DataError that names images without map or mask, or all images whose CAM and mask do not fit.
    """
    stored = set(store.ids())
    wanted = sorted(stored) if ids is None else list(ids)
    _require(sorted({*masks.ids, *wanted}) if ids is None else wanted, stored, "map", "finish the store")
    _require(wanted, set(masks.ids), "mask", "take the masks of the same split")
    histogram, lock = ThresholdHistogram(len(masks.classes), thresholds), threading.Lock()

    def add(id: str) -> None:
        try:
            prior = store.read(id)
            classes, counts = histogram._count(
                stores.resize_maps(prior.maps, prior.size), prior.classes, masks.mask(id)
            )
        except DataError:
            raise  # it names the file
        except ValueError as error:
            raise DataError(f"image {id}: {error}") from error
        with lock:
            histogram._add(classes, counts)

    problems.gather(add, wanted, workers=workers, progress="evaluate" if progress else None)
    return histogram


def threshold_sweep(
    histogram: ThresholdHistogram,
    *,
    class_names: Sequence[str] | None = None,
    score_classes: Collection[str] | None = None,
) -> pd.DataFrame:
    """One row a threshold: threshold, miou, fpr, fnr, all fractions (Figure 6).

    miou is the mean IoU over background and classes, fpr and fnr are the mean fp_share and fn_share over the foreground
    classes, each over those that occur in the ground truth. score_classes, with class_names: average over these only.
    """
    names = [str(index) for index in range(histogram.num_classes)] if class_names is None else class_names
    rows = [
        {"threshold": float(tau), **mean_scores(class_scores(histogram.confusion(i), names), score_classes)}
        for i, tau in enumerate(histogram.thresholds)
    ]
    return pd.DataFrame(rows)


def class_scores(confusion: ArrayLike, class_names: Sequence[str]) -> pd.DataFrame:
    """One row a class, background first: class, iou, fp_share, fn_share, all fractions.

    confusion: (C + 1, C + 1) pixels [true, predicted]. class_names: the C foreground classes.
    With T true, P predicted and TP common pixels: iou = TP / (T + P - TP), fp_share = (P - TP) / (T + P - TP) and
    fn_share = (T - TP) / (T + P - TP), so that they add up to 1. All three are NaN for a class that has no true pixel.
    Reads the paper as: "FPR" and "FNR" of Figure 6 are these shares of the union, not rates over all negatives.
    """
    confusion = np.asarray(confusion, dtype=np.int64)
    if confusion.shape != (len(class_names) + 1,) * 2:
        raise ValueError(
            f"confusion must be (C + 1, C + 1), got {confusion.shape} for {len(class_names)} classes: "
            "give the names of the foreground classes, without background"
        )
    true, predicted, common = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    union = np.where(true > 0, true + predicted - common, np.nan)
    return pd.DataFrame(
        {
            "class": ["background", *class_names],
            "iou": common / union,
            "fp_share": (predicted - common) / union,
            "fn_share": (true - common) / union,
        }
    )


def mean_scores(scores: pd.DataFrame, score_classes: Collection[str] | None = None) -> dict[str, float]:
    """miou over background and classes, fpr and fnr over foreground classes, of those that occur; NaN if none does.

    scores: as from `class_scores`. score_classes: names to average over ("background" is one of them), by default all.
    """
    if score_classes is not None:
        unknown = sorted(set(score_classes) - set(scores["class"]))
        if unknown:
            raise ValueError(
                f"score_classes holds {', '.join(unknown)}, which the data set does not have: "
                f"take names from {', '.join(scores['class'])}"
            )
        scores = scores[scores["class"].isin(list(score_classes))]
    foreground = scores[scores["class"] != "background"]
    return {
        "miou": float(scores["iou"].mean()),
        "fpr": float(foreground["fp_share"].mean()),
        "fnr": float(foreground["fn_share"].mean()),
    }


def absent_classes(scores: pd.DataFrame) -> list[str]:
    """Names of the classes without a true pixel: they have no score and are left out of every mean."""
    return scores.loc[scores["iou"].isna(), "class"].tolist()


def best_threshold(sweep: pd.DataFrame) -> float:
    """Threshold of the highest mIoU, the lowest among equals. Chosen on masks, it is an oracle: say so beside it."""
    if not sweep["miou"].notna().any():
        raise ValueError("no threshold has an mIoU: no scored class occurs in the masks, score other classes or images")
    return float(sweep.loc[sweep["miou"].idxmax(), "threshold"])


def confusion_matrix(guess: ArrayLike, truth: ArrayLike, num_classes: int) -> np.ndarray:
    """(num_classes, num_classes) int64 [true, predicted], in pixels, of two masks of equal shape.

    Both hold 0..num_classes - 1, background counted as a class; pixels where `truth` is 255 are left out.
    """
    guess, truth = np.asarray(guess), np.asarray(truth)
    if guess.shape != truth.shape:
        raise ValueError(f"guess and truth must have one shape, got {guess.shape} and {truth.shape}")
    valid = truth != VOID
    guess, truth = guess[valid].astype(np.int64), truth[valid].astype(np.int64)
    for name, mask in (("guess", guess), ("truth", truth)):
        if mask.size and not (0 <= mask.min() <= mask.max() < num_classes):
            raise ValueError(
                f"{name} must hold 0..{num_classes - 1} outside void, got {mask.min()}..{mask.max()}: "
                "count background in num_classes"
            )
    return np.bincount(truth * num_classes + guess, minlength=num_classes**2).reshape(num_classes, num_classes)


def miou(guess: ArrayLike, truth: ArrayLike, num_classes: int) -> float:
    """Mean IoU, a fraction, over the classes in `truth`; masks as in `confusion_matrix`. NaN if all is void."""
    confusion = confusion_matrix(guess, truth, num_classes)
    return mean_scores(class_scores(confusion, [str(index) for index in range(1, num_classes)]))["miou"]


def predict(cam: np.ndarray, classes: ArrayLike, threshold: float) -> np.ndarray:
    """Mask of a prior at one background threshold: argmax over [threshold, maps].

    cam: (K, H, W) normalised maps in [0, 1]. classes: (K,) foreground indices from 0.
    Returns (H, W) uint8, 0 background, else class index + 1; all background when K = 0. Ties go to the background.
    """
    if not len(cam):
        return np.zeros(cam.shape[1:], np.uint8)
    values = np.asarray(classes)[cam.argmax(axis=0)] + 1
    return np.where(cam.max(axis=0) > threshold, values, 0).astype(np.uint8)


def foreground_iou(guess: np.ndarray, mask: np.ndarray) -> float:
    """IoU of a foreground guess (H, W) bool with all classes of `mask` taken as one; void left out, NaN if all is."""
    valid, truth = mask != VOID, (mask != VOID) & (mask > 0)
    union = ((guess | truth) & valid).sum()
    return float((guess & truth).sum() / union) if union else float("nan")


def _require(ids: Sequence[str], held: Collection[str], what: str, advice: str) -> None:
    missing = [id for id in ids if id not in held]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(ids)} images have no {what}: {', '.join(missing[:5])}"
            f"{', ...' if len(missing) > 5 else ''}; {advice}, or give the images to score as ids"
        )
