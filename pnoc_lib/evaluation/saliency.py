"""What saliency is worth: Table 6's protocol, with priors and with the classes of the ground truth (Section 6.2)."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.ndimage import binary_dilation, binary_erosion

from pnoc_lib.data import problems, stores
from pnoc_lib.data.images import VOID, Masks
from pnoc_lib.evaluation import masks as scoring
from pnoc_lib.evaluation import metrics

READINGS = ("a", "b")  # of the rows of Table 6 whose priors are the ground truth


def combine(cams: np.ndarray, classes: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Mask of a prior with a saliency map in place of the threshold: argmax over [1 - saliency, maps] (Section 6.2).

    cams: (K, H, W) normalised maps in [0, 1]. classes: (K,) foreground indices from 0. saliency: (H, W) in [0, 1].
    Returns (H, W) uint8, 0 background, else class index + 1; all background when K = 0. Ties go to the background, then
    to the lower class: with a binary map a salient pixel gets its strongest class, and the background where all are 0.
    """
    if not len(cams):
        return np.zeros(saliency.shape, np.uint8)
    values = np.asarray(classes)[cams.argmax(axis=0)] + 1
    return np.where(cams.max(axis=0) > 1 - saliency, values, 0).astype(np.uint8)


def with_priors(
    priors: stores.MapStore, saliency: stores.MapStore, masks: Masks, *, ids: Sequence[str], progress: bool = False
) -> np.ndarray:
    """Confusion matrix (C + 1, C + 1), pixels [true, predicted], of priors combined with saliency maps.

    ids: the images to score. Raises DataError when one has no prior or no saliency map, or all pixels are void.
    """
    count = len(masks.classes) + 1
    total, lock = np.zeros((count, count), np.int64), threading.Lock()

    def add(image_id: str) -> None:
        prior = priors.read(image_id)
        guess = combine(stores.resize_maps(prior.maps, prior.size), prior.classes, saliency.single(image_id))
        one = metrics.confusion_matrix(guess, masks.mask(image_id), count)
        with lock:
            np.add(total, one, out=total)

    _each(add, ids, (priors, saliency), progress)
    return scoring.scorable(total)


def with_ground_truth(
    saliency: stores.MapStore,
    masks: Masks,
    reading: str,
    *,
    ids: Sequence[str],
    seed: int = 0,
    thresholds: Sequence[float] = metrics.THRESHOLDS,
    progress: bool = False,
) -> metrics.ThresholdHistogram:
    """Saliency alone, as if the class of every pixel were known: the rows "GT" of Table 6, at every threshold.

    reading: the paper does not say what a salient pixel of the background counts as. "a": as a class drawn at random
    from those in the image (from all, where there is none), mIoU over all classes; the draw is a function of `seed` and
    the image. "b": classes are one, mIoU over background and foreground.
    Binary maps give the same at every threshold.
    """
    if reading not in READINGS:
        raise ValueError(f"unknown reading {reading!r}: choose one of {', '.join(READINGS)}")
    count = len(masks.classes)
    total, lock = metrics.ThresholdHistogram(1 if reading == "b" else count, thresholds), threading.Lock()

    def add(image_id: str) -> None:
        mask, maps = masks.mask(image_id), saliency.single(image_id)[None]
        if reading == "b":
            classes, mask = np.zeros(1, int), np.where(mask == VOID, VOID, mask > 0).astype(np.uint8)
        else:
            draw = np.random.default_rng([seed, zlib.crc32(image_id.encode())])
            classes, names = known_classes(mask, count, draw)
            maps = maps * (names[None] == classes[:, None, None])
        with lock:
            total.update(maps, classes, mask)

    _each(add, ids, (saliency,), progress)
    return total


def known_classes(mask: np.ndarray, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The class that every pixel has when it is called salient: its own, on the background one drawn for that pixel.

    mask: (H, W) uint8, 0 background, 1..count, 255 void. Returns the classes in question (K,), indices from 0, and the
    index (H, W) of each pixel's.
    """
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=VOID + 1)[1 : count + 1])
    classes = present if present.size else np.arange(count)
    drawn = random.choice(classes, mask.shape)
    return classes, np.where((mask > 0) & (mask != VOID), mask.astype(np.int64) - 1, drawn)


def hint_precision(
    priors: stores.MapStore, masks: Masks, *, ids: Sequence[str], deltas: Sequence[float] = metrics.THRESHOLDS
) -> pd.DataFrame:
    """How clean hints are, for information only: one row a delta_fg.

    Columns: delta_fg; precision, the share of the hint pixels that show an object; recall, the share of the pixels of
    objects that are hints; images, the share of the images with a hint. Fractions; void counts for nobody.
    """
    deltas = np.asarray(deltas, np.float32)
    counts = np.zeros((len(deltas), 3))
    objects = 0
    for image_id in ids:
        prior, mask = priors.read(image_id), masks.mask(image_id)
        maps = stores.resize_maps(prior.maps, prior.size)
        strongest = maps.max(axis=0) if len(maps) else np.zeros(mask.shape, np.float32)
        true, valid = (mask > 0) & (mask != VOID), mask != VOID
        objects += true.sum()
        for k, delta in enumerate(deltas):
            hint = (strongest >= delta) & valid
            counts[k] += hint.sum(), (hint & true).sum(), hint.any()
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {"precision": counts[:, 1] / counts[:, 0], "recall": counts[:, 1] / max(objects, 1)}
    return pd.DataFrame({"delta_fg": deltas.round(4)} | columns | {"images": counts[:, 2] / max(len(ids), 1)})


def _each(function, ids: Sequence[str], read: Sequence[stores.MapStore], progress: bool) -> list:
    for store in read:
        missing = store.missing(ids)
        if missing:
            raise problems.DataError(
                f"{len(missing)} of {len(ids)} images have no map: {', '.join(missing[:5])}; finish the store, or give "
                "the images to score as ids",
                store.folder,
            )
    return problems.gather(function, list(ids), progress="score" if progress else None)


def table_rows(
    name: str,
    priors: Mapping[str, stores.MapStore],
    maps: Mapping[str, stores.MapStore],
    masks: Masks,
    *,
    ids: Sequence[str],
    split: str,
    seed: int = 0,
    readings: Sequence[str] = READINGS,
    score_classes: Collection[str] | None = None,
) -> pd.DataFrame:
    """The rows of Table 6 of one saliency run, as a stage leaves them in rows.csv; value in percent, unrounded.

    name: "C2AM-H RS269 [RS269 P-OC]"; a row is called after it and the priors. priors: by the paper's name of their
    training. maps: by column, "P." (binary) and "R." (PoolNet). seed: of the draw of reading "a".
    readings: of the rows with the ground truth in place of priors.
    Nothing is chosen with priors: the map takes the place of the threshold. With the ground truth a soft map gets its
    best threshold, an oracle; reading "b" has a row of its own.
    """
    rows, common = [], {"table": 6, "split": split, "images": len(ids)}
    names = list(masks.classes)
    for column, store in maps.items():
        for prior, cams in priors.items():
            scores = metrics.class_scores(with_priors(cams, store, masks, ids=ids), names)
            value = 100 * metrics.mean_scores(scores, score_classes)["miou"]
            rows.append(common | {"row": f"{name}: {prior}", "column": column, "value": value, "chosen_on": "fixed"})
        for reading in readings:
            histogram = with_ground_truth(store, masks, reading, ids=ids, seed=seed)
            scored = {"class_names": names, "score_classes": score_classes} if reading == "a" else {}
            sweep = metrics.threshold_sweep(histogram, **scored)
            best = metrics.best_threshold(sweep)
            soft = bool(sweep["miou"].nunique() > 1)
            row = f"{name}: GT" if reading == "a" else f"{name}: GT, two classes"
            value = 100 * float(sweep["miou"].max())
            note = f"a: false positives drawn, seed {seed}" if reading == "a" else "b: salient or not"
            chosen = {"threshold": best, "chosen_on": "oracle"} if soft else {"chosen_on": "fixed"}
            rows.append(common | {"row": row, "column": column, "value": value, "note": note} | chosen)
    columns = ["table", "row", "column", "value", "split", "threshold", "chosen_on", "images", "note"]
    return pd.DataFrame(rows).reindex(columns=columns)


def edge_scores(
    maps: Mapping[str, stores.MapStore], masks: Masks, *, ids: Sequence[str], width: int = 4, threshold: float = 0.5
) -> pd.DataFrame:
    """How often saliency is right near the outlines of objects and elsewhere: one row a name, for information only.

    maps: stores of saliency by name. width: pixels on either side of an outline. threshold: above it is salient.
    Returns the columns edge and elsewhere, shares of the pixels that are right; void counts for nobody.
    """
    right = {name: np.zeros((2, 2)) for name in maps}
    for image_id in ids:
        mask = masks.mask(image_id)
        objects, valid = mask > 0, mask != VOID  # void lies on the outlines: part of both sides
        grown = binary_dilation(objects, iterations=width)
        shrunk = binary_erosion(objects, iterations=width, border_value=1)
        edge = grown & ~shrunk & valid
        for name, store in maps.items():
            correct = (store.single(image_id) > threshold) == objects
            for k, where in enumerate((edge, valid & ~edge)):
                right[name][k] += (correct & where).sum(), where.sum()
    shares = {name: counts[:, 0] / np.maximum(counts[:, 1], 1) for name, counts in right.items()}
    return pd.DataFrame.from_dict(shares, orient="index", columns=["edge", "elsewhere"])
