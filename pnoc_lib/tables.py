"""Scores of several runs as rows of the paper's tables: mean and spread over seeds, with the settings in every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pnoc_lib import analysis


def class_group_scores(
    ious: Mapping[tuple[str, int], pd.Series],
    properties: pd.DataFrame,
    groups: Mapping[str, Mapping[str, Sequence[str]]],
    thresholds: Mapping[tuple[str, int], float],
    **settings: str,
) -> pd.DataFrame:
    """The IoU columns of Tables 1 and 3 for what was run: classes, overall, groups, correlations.

    ious: (method, seed) -> IoU by class, background included, fractions. properties, groups: as from `analysis`.
    thresholds: (method, seed) -> the threshold that was used. settings: repeated in every row (split, preset, ...).
    Returns row and column of Table 3, mean, sd (over seeds, n - 1; NaN for one), seeds, threshold (mean), settings.
    """
    rows = []
    for method in dict.fromkeys(method for method, _ in ious):
        runs = {run: _cells(iou, properties, groups) for (name, run), iou in ious.items() if name == method}
        cells = pd.DataFrame(runs)
        threshold = float(np.mean([thresholds[method, run] for run in runs]))
        spread = cells.std(axis=1, ddof=1) if len(runs) > 1 else pd.Series(np.nan, cells.index)
        for row, mean in cells.mean(axis=1).dropna().items():
            rows.append({"row": row, "column": method, "mean": mean, "sd": spread[row], "seeds": len(runs)})
            rows[-1] |= {"threshold": threshold, **settings}
    return pd.DataFrame(rows)


def _cells(iou: pd.Series, properties: pd.DataFrame, groups: Mapping[str, Mapping[str, Sequence[str]]]) -> pd.Series:
    """One IoU column of Table 3 by the names of its rows."""
    table = iou.to_frame("iou")
    overall = analysis.overall(table)["iou"]
    cells = {**iou, "overall μ": overall["mean"], "overall σ": overall["sigma"]}
    for (grouping, group), value in analysis.group_means(table, groups)["iou"].items():
        name = f"{group} freq." if grouping == "frequency" else f"{group} (group)" if group in iou.index else group
        cells[name] = value
    for name, value in analysis.correlations(properties, {"iou": iou})["iou"].items():
        cells[f"ρ {analysis.PROPERTIES[name]}"] = value
    return pd.Series(cells, dtype=float)
