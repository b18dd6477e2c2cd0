"""Scores of several runs as rows of the paper's tables: mean and spread over seeds, with the settings in every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pnoc_lib.evaluation import analysis, metrics


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
        runs = {run: group_cells(iou, properties, groups) for (name, run), iou in ious.items() if name == method}
        cells = pd.DataFrame(runs)
        threshold = float(np.mean([thresholds[method, run] for run in runs]))
        spread = cells.std(axis=1, ddof=1) if len(runs) > 1 else pd.Series(np.nan, cells.index)
        for row, mean in cells.mean(axis=1).dropna().items():
            rows.append({"row": row, "column": method, "mean": mean, "sd": spread[row], "seeds": len(runs)})
            rows[-1] |= {"threshold": threshold, **settings}
    return pd.DataFrame(rows)


def group_cells(
    iou: pd.Series, properties: pd.DataFrame, groups: Mapping[str, Mapping[str, Sequence[str]]]
) -> pd.Series:
    """One IoU column of Table 3 for one run, by the names of its rows; fractions, NaN where there is no value."""
    table = iou.to_frame("iou")
    overall = analysis.overall(table)["iou"]
    cells = {**iou, "overall μ": overall["mean"], "overall σ": overall["sigma"]}
    for (grouping, group), value in analysis.group_means(table, groups)["iou"].items():
        name = f"{group} freq." if grouping == "frequency" else f"{group} (group)" if group in iou.index else group
        cells[name] = value
    for name, value in analysis.correlations(properties, {"iou": iou})["iou"].items():
        cells[f"ρ {analysis.PROPERTIES[name]}"] = value
    return pd.Series(cells, dtype=float)


def class_ious(confusion: np.ndarray, classes: Sequence[str], kept: Sequence[str] | None = None) -> pd.Series:
    """IoU by class, background first; NaN for a class without a pixel and, with `kept`, for those not named there."""
    ious = metrics.class_scores(confusion, classes).set_index("class")["iou"]
    return ious.where(ious.index.isin(list(kept))) if kept else ious


def groups_with_spread(
    rows: pd.DataFrame, properties: pd.DataFrame, groups: Mapping[str, Mapping[str, Sequence[str]]]
) -> pd.DataFrame:
    """Table 1: groups with their members, O, %S, %C and L, and mean ± sd of every method, all as text.

    rows: as from `class_group_scores`. properties, groups: as from `analysis`.
    """
    table = analysis.group_table(properties, {}, groups)
    background = table["Class"] == analysis.BACKGROUND
    table = table[(background | (table["part"] != "classes")) & (table["Class"] != "overall sigma")]
    names = []
    for part, name in table[["part", "Class"]].to_numpy():
        both = part == "semantic" and name in properties.index  # a class and a group of one name
        names.append(f"{name} (group)" if both else name.replace("overall mean", "overall μ").replace("rho", "ρ"))
    shown = table[["Class", "Group", *analysis.PROPERTIES.values()]].copy()
    for label in analysis.PROPERTIES.values():
        shown[label] = shown[label].map(lambda value: "" if np.isnan(value) else f"{value:.1f}")
    text = wide(rows).reindex(names).fillna("").set_axis(shown.index)
    return shown.join(text).rename(columns={"Class": "Group", "Group": "Classes"})


def epoch_scores(curves: Mapping[tuple[str, int], pd.DataFrame], **settings: str) -> pd.DataFrame:
    """Columns E1, E2, ... of Tables 2 and 4: estimates after every epoch, mean and spread of the seeds of each row.

    curves: (row, seed) -> epochs.csv of a training: epoch, and miou and threshold where it was estimated.
    Returns row, column, mean, sd (n - 1; NaN for one), seeds, threshold (mean) and the settings; no lines where nothing
    was estimated.
    """
    parts = []
    for row in dict.fromkeys(row for row, _ in curves):
        known = [curve for (name, _), curve in curves.items() if name == row and "miou" in curve]
        known = [curve.dropna(subset="miou") for curve in known if curve["miou"].notna().any()]
        if not known:
            continue
        by_epoch = pd.concat(known).groupby("epoch")
        score = by_epoch["miou"]
        lines = pd.DataFrame({"mean": score.mean(), "sd": score.std(ddof=1), "seeds": score.count()})
        if "threshold" in known[0]:
            lines["threshold"] = by_epoch["threshold"].mean()
        columns = [f"E{epoch}" for epoch in lines.index]
        parts.append(lines.assign(row=row, column=columns, **settings).reset_index(drop=True))
    columns = ["row", "column", "mean", "sd", "seeds"]
    if not parts:
        return pd.DataFrame(columns=columns)
    together = pd.concat(parts, ignore_index=True)
    return together[[*columns, *together.columns.difference(columns, sort=False)]]


def with_spread(mean: float, sd: float = float("nan"), *, between: str = " ") -> str:
    """A fraction in percent with its spread, "53.9 ± 0.4"; without one "53.9", and "" for NaN."""
    if np.isnan(mean):
        return ""
    return f"{100 * mean:.1f}" + ("" if np.isnan(sd) else f"{between}± {100 * sd:.1f}")


def wide(rows: pd.DataFrame, *, between: str = " ") -> pd.DataFrame:
    """Rows as from `class_group_scores` or `epoch_scores` in the shape of a printed table: mean ± sd in percent.

    Rows and columns stand in the order in which they come first; a cell that nobody measured is empty.
    """
    names, columns = (list(dict.fromkeys(rows[name])) for name in ("row", "column"))
    text = [with_spread(line.mean, line.sd, between=between) for line in rows.itertuples()]
    table = rows.assign(text=text).pivot(index="row", columns="column", values="text")
    return table.reindex(index=names, columns=columns).fillna("").rename_axis(columns=None)
