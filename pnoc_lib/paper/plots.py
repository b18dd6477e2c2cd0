"""Figures about numbers of the paper: methods by year, classes published and measured."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator
from scipy import optimize

from pnoc_lib.evaluation import looks
from pnoc_lib.evaluation.looks import CYCLE, GROUP_COLOURS
from pnoc_lib.evaluation.pictures import plain, plt
from pnoc_lib.paper import reader, readings
from pnoc_lib.paper.compare import NOT_RUN

SCORES = {"voc12_val": "VOC12 val", "voc12_test": "VOC12 test", "coco14_val": "COCO14 val"}
OWN = "P-NOC"
OURS = (OWN, "P-NOC (V2)", "P-OC")  # rows of this paper
MARKS = {  # what goes beyond image-level labels and ImageNet-1k: marker, colour, legend
    "": ("o", CYCLE[0], "image-level labels, ImageNet-1k"),
    "saliency": ("^", CYCLE[2], "+ saliency maps"),
    "MS COCO": ("p", CYCLE[7], "+ MS COCO"),
    "ImageNet-21k": ("s", CYCLE[4], "+ ImageNet-21k"),
    "CLIP": ("D", CYCLE[1], "+ CLIP"),
    "CLIP+SAM": ("P", CYCLE[3], "+ CLIP + SAM"),
}
LANE, LABEL = 0.095, 7.2  # years between points side by side; font size of labels in points


def by_year(methods: pd.DataFrame, *, own: str = OWN) -> Figure:
    """Scores against the year of publication, one panel a data set, `own` highlighted.

    methods: as from `reader.newer_methods`. The marker says what a method uses beyond image-level labels and
    ImageNet-1k; the line is the best so far among those that use nothing more.
    """
    unknown = sorted(set(methods["extra"]) - set(MARKS))
    if unknown:
        raise ValueError(
            f"no marker for {', '.join(unknown)}: known are {', '.join(filter(None, MARKS))}; add it to MARKS"
        )
    first, last = methods["year"].min(), methods["year"].max()
    with plt.rc_context({**plain, "axes.grid.axis": "y", "axes.titlelocation": "left"}):
        heights = [0.9 + 0.095 * methods[score].notna().sum() for score in SCORES]
        fig, axes = plt.subplots(3, 1, figsize=(8.7, sum(heights) + 1.4), height_ratios=heights, sharex=True)
        for axis, (score, name) in zip(axes, SCORES.items(), strict=True):
            shown = methods[methods[score].notna()]
            low, high = shown[score].min(), shown[score].max()
            axis.set(
                ylim=(np.floor(low - 1.5), np.ceil(high + 1.5)), xlim=(first - 0.25, last + 0.95), ylabel="mIoU (%)"
            )
            axis.set_title(name)
            axis.yaxis.set_major_locator(MultipleLocator(5))
        axes[-1].set_xticks(range(first, last + 1))
        axes[-1].tick_params(axis="x", length=0)
        fig.tight_layout(rect=(0, 0.5 / fig.get_figheight(), 1, 1))
        for axis, score in zip(axes, SCORES, strict=True):
            _panel(axis, methods[methods[score].notna()], score, own)
        used = [mark for extra, mark in MARKS.items() if extra in set(methods["extra"])]
        handles = [Line2D([], [], marker=m, ls="", ms=6.5, mfc=c, mec="w", mew=0.5, label=text) for m, c, text in used]
        handles += [
            Line2D([], [], color=CYCLE[0], lw=1.4, alpha=0.45, label="best so far without any extra"),
            Line2D([], [], marker="*", ls="", ms=13, color="k", label=own),
            Line2D([], [], marker="*", ls="", ms=9, mfc="w", mec="k", label="others of this paper"),
        ]
        fig.legend(handles=handles, loc="lower center", ncols=-(-len(handles) // 2), columnspacing=1.4, fontsize=8)
    return _closed(fig)


def classes(compared: Mapping[str, pd.DataFrame]) -> Figure | None:
    """IoU of every class, published against measured, one panel an experiment and method; None without any.

    compared: Table 3 by experiment, as from `collect.beside`. The title has Spearman's rank correlation: do the same
    classes come out well, at whatever level?
    """
    groups = reader.class_groups().set_index("label")["group"]
    properties = set(reader.table(1).columns[2:6])
    panels = {}
    for experiment, lines in compared.items():
        known = lines[(lines["measured"] != NOT_RUN) & lines["row"].isin(groups.index) & (lines["published"] != "")]
        for column, cells in known[~known["column"].isin(properties)].groupby("column", sort=False):
            if len(cells) > 2:
                panels[f"{experiment}, {column}"] = cells.assign(value=cells["published"].astype(float)).set_index(
                    "row"
                )
    if not panels:
        return None
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    with plt.rc_context(plain):
        fig, axes = plt.subplots(down, across, figsize=(3.6 * across + 0.3, 3.8 * down + 0.5), squeeze=False)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis, (name, cells) in zip(axes.flat, panels.items(), strict=False):
            axis.axline((0, 0), slope=1, color="0.6", lw=1, ls="--")
            axis.scatter(
                cells["value"], cells["mean"], c=[GROUP_COLOURS[groups[row]] for row in cells.index], s=24, zorder=3
            )
            rank = cells["value"].rank().corr(cells["mean"].rank())
            axis.set(
                xlim=(0, 100), ylim=(0, 100), aspect="equal", xlabel="published IoU (%)", ylabel="measured IoU (%)"
            )
            told = textwrap.fill(readings.rank_correlation(rank, len(cells)), 44)
            axis.set_title(f"{name}\n{told}", fontsize=8)
        handles = [Line2D([], [], marker="o", ls="", ms=5, color=c, label=group) for group, c in GROUP_COLOURS.items()]
        handles.append(Line2D([], [], color="0.6", ls="--", label="equal"))
        fig.tight_layout(rect=(0, 0.45 / fig.get_figheight(), 1, 1), h_pad=2.5)
        for axis, cells in zip(axes.flat, panels.values(), strict=False):
            looks.label_points(axis, cells["value"], cells["mean"], cells.index)
        fig.legend(handles=handles, loc="lower center", ncols=3 if across == 1 else 6, fontsize=8)
    return _closed(fig)


def _panel(axis: Axes, shown: pd.DataFrame, score: str, own: str) -> None:
    """Points of one data set with labels that keep clear of each other, year by year."""
    bottom, top = axis.get_ylim()
    points = axis.get_position().height * axis.figure.get_figheight() * 72
    unit = (top - bottom) / points  # of the score, in one typographic point
    plainest = shown[shown["extra"] == ""].groupby("year")[score].max().cummax()
    years = [*plainest.index, axis.get_xlim()[1]]
    axis.step(years, [*plainest, plainest.iloc[-1]], where="post", color=CYCLE[0], lw=1.4, alpha=0.45, zorder=1)
    if own in set(shown["method"]):
        line = shown.set_index("method").loc[own]
        axis.hlines(line[score], line["year"], axis.get_xlim()[1], color="k", lw=0.8, ls=":", zorder=1)
    for year, group in shown.groupby("year"):
        group = group.sort_values(score)
        largest = LABEL + 1.5 if own in set(group["method"]) else LABEL
        lanes = _lanes(group[score].to_numpy(), 6.6 * unit)
        heights = _apart(group[score].to_numpy(), 1.13 * largest * unit)
        heights += max(0.0, bottom + 0.6 * LABEL * unit - heights[0])
        step = LANE * 1.7 if largest > LABEL else LANE
        text_at = year + step * max(lanes) + 0.12
        for row, lane, height in zip(group.itertuples(), lanes, heights, strict=True):
            value, x = getattr(row, score), year + step * lane
            marker, colour, _ = MARKS[row.extra]
            look = {"marker": marker, "ms": 6, "mfc": colour, "mec": "w", "mew": 0.5, "zorder": 4}
            if row.method in OURS:
                look |= {"marker": "*", "ms": 14 if row.method == own else 10, "mec": "k", "mew": 0.8, "zorder": 5}
                look["mfc"] = "k" if row.method == own else "w"
            axis.plot(x, value, ls="", **look)
            axis.plot([x, text_at - 0.02], [value, height], color="0.75", lw=0.6, zorder=2)
            strong = {"fontsize": LABEL + 1.5, "fontweight": "bold"} if row.method == own else {"fontsize": LABEL}
            halo = [patheffects.withStroke(linewidth=2.5, foreground="w")]
            name = _label(row.method, row.extra)
            axis.text(text_at, height, name, va="center", zorder=6, path_effects=halo, **strong)


def _label(method: str, extra: str) -> str:
    """The name of a method without the brackets that only repeat its marker."""
    name, _, inside = method.rstrip(")").partition(" (")
    return name if extra and inside and inside in extra else method


def _lanes(values: np.ndarray, clear: float) -> list[int]:
    """Lane 0, 1, ... of each of the ascending values, so that those in one lane are `clear` of each other."""
    tops: list[float] = []
    lanes = []
    for value in values:
        free = next((lane for lane, top in enumerate(tops) if value - top >= clear), len(tops))
        tops[free : free + 1] = [value]
        lanes.append(free)
    return lanes


def _apart(values: np.ndarray, gap: float) -> np.ndarray:
    """The ascending values, moved as little as possible (least squares) to be `gap` apart."""
    places = gap * np.arange(len(values))
    return optimize.isotonic_regression(values - places).x + places


def _closed(fig: Figure) -> Figure:
    plt.close(fig)
    return fig
