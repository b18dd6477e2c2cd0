"""Distributions, drawn with seaborn: over seeds, classes, pairs of classes. Every function returns its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pnoc_lib.evaluation import looks
from pnoc_lib.evaluation.looks import GROUP_COLOURS
from pnoc_lib.evaluation.pictures import _closed, plain


def over_seeds(scores: pd.DataFrame, *, value: str = "mIoU") -> Figure:
    """One panel for every way to choose the threshold: a dot for each seed of a method, a bar for mean ± deviation.

    scores: a row for a method, a seed and a way: columns "method", "seed", "chosen by" and `value`, a fraction.
    A bar is one standard deviation (n - 1) to each side; a method of one seed has none. Methods stand in the paper's
    order, in the colours of their names (`looks`).
    """
    scores = scores.assign(**{value: 100 * scores[value]})
    known = list(looks.METHOD_LOOKS)
    methods = sorted(
        dict.fromkeys(scores["method"]), key=lambda name: known.index(name) if name in known else len(known)
    )
    ways = list(dict.fromkeys(scores["chosen by"]))
    colours = {name: look["color"] for name, look in zip(methods, looks.of_methods(methods), strict=True)}
    with plt.rc_context(plain):
        size = 3.6 * len(ways) + 0.8, 0.3 * len(methods) + 1.0
        fig, axes = plt.subplots(1, len(ways), figsize=size, sharex=True, sharey=True, squeeze=False)
        for axis, way in zip(axes[0], ways, strict=True):
            drawn = {"data": scores[scores["chosen by"] == way], "x": value, "y": "method", "order": methods}
            drawn |= {"hue": "method", "palette": colours, "legend": False, "ax": axis}
            seaborn.stripplot(**drawn, jitter=False, size=6, alpha=0.5)
            seaborn.pointplot(**drawn, errorbar="sd", marker="|", markersize=13, capsize=0.25, err_kws={"lw": 1.3})
            axis.set(title=way, xlabel=f"{value} (%)", ylabel="")
        fig.tight_layout()
    return _closed(fig)


def cooccurrence(counts: np.ndarray, names: Sequence[str], *, title: str = "") -> Figure:
    """How often two classes share an image, as a share of the images of the row's class.

    counts: (C, C) images that show both classes, occurrences on the diagonal. Rows of absent classes stay empty.
    """
    counts = np.asarray(counts, float)
    occurrence = np.diag(counts)
    share = np.divide(
        100 * counts, occurrence[:, None], out=np.full_like(counts, np.nan), where=occurrence[:, None] > 0
    )
    np.fill_diagonal(share, np.nan)
    words = [[f"{value:.0f}" if value >= 10 else "" for value in row] for row in share]
    shown = [name.replace("$", r"\$") for name in names]  # no formula
    side = max(4.0, 0.27 * len(names) + 1.4)
    with plt.rc_context(plain):
        fig, axis = plt.subplots(figsize=(side + 1.0, side))
        axis.set_facecolor("0.93")
        axis.grid(False)
        seaborn.heatmap(
            share,
            **{"vmin": 0, "vmax": 100, "cmap": "Blues", "square": True, "ax": axis},
            **{"annot": np.array(words, dtype=object).reshape(share.shape), "fmt": "", "annot_kws": {"size": 6}},
            cbar_kws={"shrink": 0.8, "label": "share of the row's images (%)"},
            xticklabels=shown,
            yticklabels=[f"{n} ({int(o)})" for n, o in zip(shown, occurrence, strict=True)],
        )
        axis.tick_params("x", rotation=90)
        axis.tick_params("y", rotation=0)
        axis.set(
            xlabel="... this class as well", ylabel="of the images with this class (their number) show", title=title
        )
    return _closed(fig)


def against_properties(
    ious: pd.Series, properties: pd.DataFrame, groups: Mapping[str, Sequence[str]] | None = None
) -> Figure:
    """IoU of every class against each property and Pearson's rho (last rows of Table 3), with a least-squares line.

    The band around a line holds it in 95 of 100 resamplings of the classes: where a horizontal line fits into it, these
    classes are too few to tell. ious: fractions; rows of `properties` are classes.
    """
    group_of = {name: group for group, members in (groups or {}).items() for name in members}
    columns, pairs = list(properties.columns), {}
    with plt.rc_context(plain):
        fig, axes = plt.subplots(1, len(columns), figsize=(2.9 * len(columns), 2.9), sharey=True, squeeze=False)
        for axis, column in zip(axes[0], columns, strict=True):
            pair = pd.DataFrame({"x": properties[column], "y": 100 * ious}).dropna().astype(float)
            pairs[column], title = pair, column
            if len(pair) > 2 and pair["x"].nunique() > 1:
                line = {"color": "0.5", "truncate": True, "scatter": False, "line_kws": {"lw": 1}}
                seaborn.regplot(pair, x="x", y="y", **line, n_boot=500, seed=0, ax=axis)
                title += f"   ρ = {100 * pair['x'].corr(pair['y']):.1f}"
            colours = [GROUP_COLOURS.get(group_of.get(name, ""), "0.55") for name in pair.index]
            axis.scatter(pair["x"], pair["y"], c=colours, s=22, zorder=3)
            axis.set(title=title, xlabel="", ylabel="")
        values = pd.concat(list(pairs.values()))["y"]
        if len(values):
            room = 0.1 * (np.ptp(values) or 10)
            axes[0, 0].set_ylim(values.min() - room, values.max() + room)  # the points decide, bands may leave
        axes[0, 0].set(ylabel="IoU (%)")
        fig.tight_layout()
        for axis, pair in zip(axes[0], pairs.values(), strict=True):  # when all sizes are final
            looks.label_points(axis, pair["x"], pair["y"], pair.index)
    return _closed(fig)
