"""Three pictures of why the paper's order needs large images, and what brings it back on small ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pnoc_lib.evaluation import paired
from pnoc_lib.evaluation.curves import CYCLE
from pnoc_lib.evaluation.pictures import plain


def peak_and_mean(measured: pd.DataFrame) -> Figure:
    """Peak and mean of a present class's rectified map against the size of the image, and their ratio.

    measured: one row an image, class and size; columns data, seed, size (pixels of the longer side), mean, peak.
    """
    own = measured.assign(ratio=100 * measured["mean"] / measured["peak"])
    by_seed = own.groupby(["data", "seed", "size"])[["mean", "peak", "ratio"]].mean()
    with plt.rc_context(plain):
        fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
        for colour, (data, part) in zip(CYCLE, by_seed.groupby("data"), strict=False):
            middle = part.groupby("size").mean()
            for column, line in (("peak", "-"), ("mean", "--")):
                left.plot(middle.index, middle[column], line, color=colour, marker="o", label=f"{column}, {data}")
            for _, one in part["ratio"].groupby("seed"):
                right.plot(one.index.get_level_values("size"), one, color=colour, lw=0.8, alpha=0.5)
            right.plot(middle.index, middle["ratio"], color=colour, marker="o", label=data)
        left.set(xlabel="longer side, pixels", ylabel="activation", title="(a) peak and mean of a map", ylim=(0, None))
        right.set(xlabel="longer side, pixels", ylabel="mean / peak, %", title="(b) their ratio", ylim=(0, None))
        left.legend(), right.legend()
    plt.close(fig)
    return fig


def evidence_curves(table: pd.DataFrame) -> Figure:
    """What hard erasure leaves of the object, where the evidence lies, and what the classifier still says, by delta.

    table: one row a seed and delta, as from `evidence.by_group` over all classes, with a column seed.
    """
    seeds = table["seed"].nunique()
    middle, spread = (getattr(table.groupby("delta"), how)(numeric_only=True) for how in ("mean", "std"))
    shares = {
        "object_share": ("the object's share of what is left (chance)", "--"),
        "evidence_share": ("the evidence's share that lies on it", "-"),
    }
    lifts = {"lift": ("lift: with masks", "-"), "rim_lift": ("rim: without masks", ":")}
    said = {"p_whole": ("p(r | whole image)", "--"), "p_hard": ("p(r | hard erasure)", "-")}
    panels = {
        "(a) shares, %": (shares, 100),
        "(b) evidence against chance": (lifts, 1),
        "(c) the classifier": (said, 1),
    }
    with plt.rc_context(plain):
        fig, axes = plt.subplots(1, 3, figsize=(10.5, 3.1), layout="constrained")
        for axis, (title, (lines, unit)) in zip(axes, panels.items(), strict=True):
            for colour, (column, (label, style)) in zip(CYCLE, lines.items(), strict=False):
                value, sd = unit * middle[column], unit * spread[column].fillna(0)
                axis.plot(value.index, value, style, color=colour, marker="o", label=label)
                axis.fill_between(value.index, value - sd, value + sd, color=colour, alpha=0.2, lw=0)
            axis.set(xlabel="delta_noc (paper 0.2)", title=title, ylim=(0, None))
            axis.set_ylim(0, 1.3 * axis.get_ylim()[1])  # room for the legend
            axis.legend(loc="upper left")
        axes[1].axhline(1, color="0.5", lw=0.8)
        fig.suptitle(f"{seeds} seeds, one standard deviation shaded", fontsize="small")
    return fig


def order(scores: pd.DataFrame, rows: Mapping[str, str], columns: Mapping[str, str], *, rival: str) -> Figure:
    """Differences of variants from their fair rival, a dot a seed, with mean and two standard errors.

    scores: columns variant, seed and those of `columns`, fractions. rows: variant -> label, from top to bottom.
    columns: column -> title of its panel. rival: the variant that all are compared with.
    """
    with plt.rc_context(plain):
        size = (3.1 * len(columns) + 1.2, 0.42 * len(rows) + 1.1)
        fig, axes = plt.subplots(1, len(columns), figsize=size, sharey=True, layout="constrained", squeeze=False)
        for axis, (column, title) in zip(axes[0], columns.items(), strict=True):
            apart = {variant: paired.difference(scores, variant, rival, column) for variant in rows}
            wide = 100 * scores.pivot(index="seed", columns="variant", values=column)
            for place, (variant, found) in enumerate(apart.items()):
                if not found["n"]:
                    continue
                dots = (wide[variant] - wide[rival]).dropna()
                colour = {paired.HOLDS: CYCLE[2], paired.REFUTED: CYCLE[1]}.get(found["verdict"], "0.4")
                axis.plot(dots, [place + 0.18] * len(dots), "o", color=colour, alpha=0.5, ms=3)
                reach = 100 * paired.ERRORS * found["se"]
                axis.errorbar(100 * found["mean"], place, xerr=reach, fmt="D", color=colour, ms=4, capsize=2)
            axis.axvline(0, color="k", lw=0.8)
            axis.set(title=title, xlabel=f"points of mIoU above {rival}")
        axes[0, 0].set_yticks(range(len(rows)), list(rows.values()))
        axes[0, 0].invert_yaxis()
    return fig


def table_of_scores(scores: pd.DataFrame, order_of: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Percent, "mean ± sd", and the number of seeds, one row a variant that was run."""
    shown = {}
    for variant in order_of:
        own = 100 * scores.loc[scores["variant"] == variant, list(columns)]
        if len(own):
            cells = {c: f"{own[c].mean():.1f}" + (f" ± {own[c].std():.1f}" if len(own) > 1 else "") for c in columns}
            shown[variant] = {"seeds": len(own)} | cells
    return pd.DataFrame.from_dict(shown, orient="index")
