"""Error budget of a chain of masks: which stage made the pixels wrong that are wrong at the end, and which mended some.

A pixel has a state at every stage. Its history is the row of its states, and all questions are sums over histories: how
many pixels a stage breaks or mends, where they go from one stage to the next, and since when those are wrong that are
wrong at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import ndimage

from pnoc_lib.data.images import VOID
from pnoc_lib.evaluation import analysis

STATES = ("right", "missed", "invented", "confused")
"""right; an object's pixel called background; background called an object; an object's pixel given another class."""


class ErrorBudget:
    """Pixels by (history, true class), added up over images.

    stages: S names in the order of the chain. classes: C foreground classes.
    counts: (4 ** S, C + 1) int64, in pixels; a history is a number with one digit a stage, to the base 4, the first
    stage at the front, each digit a position in `STATES`. Void pixels of the truth are in no cell.
    """

    def __init__(self, stages: Sequence[str], classes: Sequence[str]):
        if len(stages) < 2 or len(set(stages)) != len(stages):
            raise ValueError(f"a chain needs two stages or more, of different names, got {list(stages)}")
        self.stages, self.classes = tuple(stages), tuple(classes)
        self.counts = np.zeros((len(STATES) ** len(stages), len(classes) + 1), np.int64)

    def add(self, masks: Sequence[ArrayLike], truth: ArrayLike) -> None:
        """Add one image. masks: S masks (H, W), 0..C; uncertain (255) counts as background. truth: (H, W) with void."""
        truth = np.asarray(truth)
        codes, seen = histories(masks, truth), truth != VOID
        if len(masks) != len(self.stages):
            raise ValueError(f"got {len(masks)} masks for the {len(self.stages)} stages {', '.join(self.stages)}")
        np.add.at(self.counts, (codes[seen], truth[seen].astype(np.intp)), 1)

    def states(self) -> np.ndarray:
        """(4 ** S, S) positions in `STATES`: the history that each row of `counts` stands for."""
        return np.array(list(np.ndindex(*[len(STATES)] * len(self.stages))))


def histories(masks: Sequence[ArrayLike], truth: ArrayLike) -> np.ndarray:
    """(H, W) int64: the history of every pixel as in `ErrorBudget`; that of void means nothing.

    Raises ValueError for masks of different sizes.
    """
    truth = np.asarray(truth)
    codes = np.zeros(truth.shape, np.int64)
    for mask in map(np.asarray, masks):
        if mask.shape != truth.shape:
            raise ValueError(f"a mask is {mask.shape}, the truth {truth.shape} (H, W): give all at the image's size")
        mask = np.where(mask == VOID, 0, mask)
        state = np.select([mask == truth, mask == 0, truth == 0], [0, 1, 2], 3)
        codes = codes * len(STATES) + state
    return codes


def stage_table(budget: ErrorBudget) -> pd.DataFrame:
    """One row a stage, shares of all pixels: wrong after it, broken and mended by it, and what lasts of both.

    Columns: stage, wrong, missed, invented, confused; broken (right before, wrong after) and mended (the reverse), NaN
    for the first stage; wrong at the end since (pixels that are wrong at the end and have been so since this stage),
    right at the end since (mended here for good; of the first stage: never wrong).
    """
    states, pixels = budget.states(), budget.counts.sum(axis=1)
    total, wrong = max(pixels.sum(), 1), states > 0
    since = _since(wrong)
    rows = []
    for k, stage in enumerate(budget.stages):
        row = {"stage": stage, "wrong": pixels[wrong[:, k]].sum() / total}
        row |= {name: pixels[states[:, k] == place].sum() / total for place, name in enumerate(STATES) if place}
        before = wrong[:, k - 1]
        row["broken"] = pixels[~before & wrong[:, k]].sum() / total if k else np.nan
        row["mended"] = pixels[before & ~wrong[:, k]].sum() / total if k else np.nan
        for name, which in (("wrong at the end since", wrong[:, -1]), ("right at the end since", ~wrong[:, -1])):
            row[name] = pixels[which & (since == k)].sum() / total
        rows.append(row)
    return pd.DataFrame(rows)


def blame(budget: ErrorBudget, groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Which stage is to blame for the pixels that are wrong at the end, by group of classes.

    groups: name -> classes ("background" is one) whose true pixels are looked at.
    Returns one row a group: group, pixels, wrong (share of its pixels at the end), then one column a stage: the share
    of those wrong pixels that have been wrong since that stage. They add up to 1; NaN where nothing is wrong.
    """
    wrong = budget.states() > 0
    since, names = _since(wrong), [analysis.BACKGROUND, *budget.classes]
    rows = []
    for group, members in groups.items():
        pixels = budget.counts[:, [names.index(member) for member in members]].sum(axis=1)
        bad = pixels[wrong[:, -1]].sum()
        row = {"group": group, "pixels": int(pixels.sum()), "wrong": bad / pixels.sum() if pixels.sum() else np.nan}
        for k, stage in enumerate(budget.stages):
            row[stage] = pixels[wrong[:, -1] & (since == k)].sum() / bad if bad else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def flow(budget: ErrorBudget) -> pd.DataFrame:
    """Where pixels go from each stage to the next: from, to, state before, state after, share of all pixels.

    Every pair of states has its row, empty ones too; the shares of one step add up to 1.
    """
    states, pixels = budget.states(), budget.counts.sum(axis=1)
    total = max(pixels.sum(), 1)
    return pd.DataFrame(
        {
            "from": budget.stages[k],
            "to": budget.stages[k + 1],
            "before": before,
            "after": after,
            "share": pixels[(states[:, k] == i) & (states[:, k + 1] == j)].sum() / total,
        }
        for k in range(len(budget.stages) - 1)
        for i, before in enumerate(STATES)
        for j, after in enumerate(STATES)
    )


def class_groups(
    dataset_groups: Mapping[str, Mapping[str, Sequence[str]]], classes: Sequence[str]
) -> dict[str, list[str]]:
    """Groups for `blame`: background, all classes, then those of the data set, by name; only classes that it has."""
    groups = {analysis.BACKGROUND: [analysis.BACKGROUND], "all classes": list(classes)}
    for grouping, members in dataset_groups.items():
        for name, names in members.items():
            held = [one for one in names if one in classes]
            if held:
                groups[f"{name} freq." if grouping == "frequency" else name] = held
    return groups


def representative(
    masks: Sequence[ArrayLike], truth: ArrayLike, wanted: Sequence[bool | None]
) -> tuple[int, int] | None:
    """The pixel that stands for a kind of history: the one deepest inside the largest region of that kind.

    wanted: one a stage, True right, False wrong, None either. Returns (row, column), or None when no pixel is of it.
    """
    truth = np.asarray(truth)
    fits = truth != VOID
    for mask, right in zip(masks, wanted, strict=True):
        mask = np.where(np.asarray(mask) == VOID, 0, mask)
        if right is not None:
            fits &= (mask == truth) == right
    if not fits.any():
        return None
    regions, _ = ndimage.label(fits)
    largest = regions == 1 + np.bincount(regions.ravel())[1:].argmax()
    depth = ndimage.distance_transform_edt(np.pad(largest, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return int(row), int(column)


def _since(wrong: np.ndarray) -> np.ndarray:
    """(M,) the stage since which a history (M, S) has been as it is at the end, right or wrong."""
    same = wrong == wrong[:, -1:]
    return wrong.shape[1] - np.cumprod(same[:, ::-1], axis=1).sum(axis=1)
