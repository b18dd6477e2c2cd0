"""Curves and bars: trainings, thresholds, classes. Every function returns its figure and neither saves nor shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pnoc_lib.evaluation import looks
from pnoc_lib.evaluation.looks import CYCLE, GROUP_COLOURS, LINES
from pnoc_lib.evaluation.pictures import _closed, plain

UNITS = {"O": "images", "%S": "% of the image", "%C": "% of its images", "L": "classes an image"}  # of Table 3


def class_bars(
    table: pd.DataFrame, groups: Mapping[str, Sequence[str]] | None = None, reference: pd.DataFrame | None = None
) -> Figure:
    """One panel a column of `table` (rows are classes): bars coloured by group, with a mark for `reference`."""
    group_of = {name: group for group, members in (groups or {}).items() for name in members}
    colours = [GROUP_COLOURS.get(group_of.get(name, ""), "0.55") for name in table.index]
    with plt.rc_context(plain):
        height = 0.19 * len(table) + 1.1
        fig, axes = plt.subplots(1, len(table.columns), figsize=(2.15 * len(table.columns) + 1, height), sharey=True)
        axes = np.atleast_1d(axes)
        for axis, column in zip(axes, table.columns, strict=True):
            axis.barh(range(len(table)), table[column], color=colours, height=0.72)
            if reference is not None and column in reference:
                known = reference[column].reindex(table.index)
                axis.plot(known, range(len(table)), "|", color="w", ms=11, mew=3.4)  # seen on dark bars too
                axis.plot(known, range(len(table)), "|", color="k", ms=9, mew=1.6)
            axis.set(title=column, xlabel=UNITS.get(column, ""))
            axis.grid(axis="y", visible=False)
        axes[0].set_yticks(range(len(table)), table.index)
        axes[0].invert_yaxis()
        used = [group for group in GROUP_COLOURS if group in set(group_of.values())]
        handles = [Line2D([], [], marker="s", ls="", ms=7, color=GROUP_COLOURS[group], label=group) for group in used]
        if reference is not None:
            handles.append(Line2D([], [], marker="|", ls="", ms=9, mew=1.6, color="k", label="published"))
        if handles:
            fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        fig.tight_layout(rect=(0, 0.06, 1, 1))
    return _closed(fig)


def training_curves(steps: pd.DataFrame, epochs: pd.DataFrame) -> Figure:
    """Loss of every iteration and its mean per epoch, learning rate, and the mIoU estimates if there are any."""
    panels = 3 if "miou" in epochs else 2
    with plt.rc_context(plain):
        fig, axes = plt.subplots(1, panels, figsize=(3.3 * panels, 2.5))
        per_epoch = len(steps) / len(epochs)
        axes[0].plot((steps["step"] + 1) / per_epoch, steps["loss"], color=CYCLE[5], lw=0.8, label="iteration")
        axes[0].plot(epochs["epoch"] - 0.5, epochs["loss"], "o-", color=CYCLE[0], ms=4, label="mean of the epoch")
        axes[0].set(title="loss", xlabel="epoch")
        axes[0].legend()
        axes[1].plot((steps["step"] + 1) / per_epoch, steps["lr"], color=CYCLE[1])
        axes[1].set(title="rate, before the factor of new layers", xlabel="epoch")
        if panels == 3:
            axes[2].plot(epochs["epoch"], 100 * epochs["miou"], "o-", color=CYCLE[2], ms=4)
            axes[2].set(title="mIoU estimate, oracle threshold (%)", xlabel="epoch")
        _from_zero(*axes)
        fig.tight_layout()
    return _closed(fig)


def schedule_curves(panels: Mapping[str, pd.DataFrame], used: Sequence[str]) -> Figure:
    """What changes during training, one panel a table: its index is the share of the training done, in [0, 1].

    used: columns that play a part; the others are drawn thin and grey and named so.
    """
    with plt.rc_context(plain):
        fig, axes = plt.subplots(1, len(panels), figsize=(4.0 * len(panels), 2.5), squeeze=False)
        for axis, (title, table) in zip(axes[0], panels.items(), strict=True):
            for number, name in enumerate(table):
                style = {"lw": 1.8, "color": CYCLE[number], "label": name, "ls": LINES[number % len(LINES)]}
                if name not in used:
                    style |= {"lw": 0.9, "color": "0.6", "label": f"{name} (not in this run)"}
                axis.plot(table.index, table[name], **style)
            axis.set(title=title, xlabel="share of the training")
            axis.legend(fontsize=8)
        _from_zero(*axes[0])
        fig.tight_layout()
    return _closed(fig)


GAME = {  # panels of `game_curves`: title -> columns of the history and what they are called
    "terms of f, without weights": {"cls": "cls", "re_cls": "re-cls", "re": "re", "cse": "cse"},
    "loss of noc, with its weight": {"loss_noc": "noc"},
    "probability of the erased class": {"p_soft": "p(r | soft erasure)", "p_hard": "p(r | hard erasure)"},
    "erased share of the pixels": {"erased_soft": "soft", "erased_hard": "hard"},
}


def game_curves(steps: pd.DataFrame, epochs: pd.DataFrame) -> Figure:
    """What a loss of several terms is made of, and how the game between f and its eraser goes: panels of `GAME`.

    steps, epochs: the tables of `training.train`. Thin: iterations; thick: means of the epochs. A panel whose columns
    are not there is left out. Raises ValueError when none is: the loss has one term, which `training_curves` draws.
    """
    panels = {title: [name for name in names if name in epochs] for title, names in GAME.items()}
    panels = {title: names for title, names in panels.items() if names}
    if not panels:
        raise ValueError("the history has no terms: draw a loss of one term with training_curves")
    per_epoch = len(steps) / len(epochs)
    with plt.rc_context(plain):
        fig, axes = plt.subplots(1, len(panels), figsize=(3.0 * len(panels) + 0.4, 2.5), squeeze=False)
        for axis, (title, names) in zip(axes[0], panels.items(), strict=True):
            for number, name in enumerate(names):
                drawn = steps[["step", name]].dropna()
                axis.plot((drawn["step"] + 1) / per_epoch, drawn[name], color=CYCLE[number], lw=0.6, alpha=0.45)
                style = {"color": CYCLE[number], "ls": LINES[number], "marker": "os^D"[number], "ms": 4}
                axis.plot(epochs["epoch"] - 0.5, epochs[name], label=GAME[title][name], **style)
            axis.set(title=title, xlabel="epoch")
            axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)  # hides no line's end
        _from_zero(*axes[0])
        for axis, title in zip(axes[0], panels, strict=True):
            if title.startswith(("probability", "erased")):
                axis.set_ylim(0, 1.02)
        fig.tight_layout()
    return _closed(fig)


def threshold_curves(
    sweeps: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]], *, fixed: float | None = None
) -> Figure:
    """Figure 6: (a) mIoU and (b) FP and FN shares against the background threshold, one colour a method.

    Every method has the colour and line of its name (`looks.of_method`).
    sweeps: per method one table of columns threshold, miou, fpr, fnr (fractions), or one a seed: then the line is the
    mean and the band spans the seeds. The best threshold of each (an oracle) is marked; `fixed` is drawn as a line.
    For more than three methods FP and FN get a panel each.
    """
    crowded = len(sweeps) > 3
    with plt.rc_context(plain):
        size, widths = ((9.6, 3.9), (1.6, 1, 1)) if crowded else ((8.6, 3.2), (1, 1))
        fig, axes = plt.subplots(1, len(widths), figsize=size, width_ratios=widths)
        left, positive, negative = axes[0], axes[1], axes[-1]
        for (name, tables), look in zip(sweeps.items(), looks.of_methods(list(sweeps)), strict=True):
            tables = [tables] if isinstance(tables, pd.DataFrame) else list(tables)
            colour, x = look["color"], tables[0]["threshold"]
            line = look["ls"] if crowded else "-"
            _curve(left, x, [t["miou"] for t in tables], color=colour, ls=line, label=name)
            mean = np.mean([t["miou"] for t in tables], axis=0)
            left.plot(x[int(mean.argmax())], 100 * mean.max(), "o", ms=6, mfc="w", mec=colour, mew=1.6)
            _curve(positive, x, [t["fpr"] for t in tables], color=colour, ls=line)
            _curve(negative, x, [t["fnr"] for t in tables], color=colour, ls=line if crowded else "--")
        if fixed is not None:
            for axis in axes:
                axis.axvline(fixed, color="0.6", lw=0.8, ls=":")
        for axis in axes:
            axis.set_xlabel("background threshold")
        left.set(title="(a) mIoU (%)")
        positive.set(title="(b) false positives (% of the union)" if crowded else "(b) shares of the union (%)")
        marks = [Line2D([], [], marker="o", ls="", mfc="w", mec="k", label="best (oracle)")]
        handles = [*left.get_legend_handles_labels()[0], *marks]
        _from_zero(*axes)
        if crowded:
            negative.set(title="(c) false negatives")
            lines = -(-len(handles) // 8)
            fig.tight_layout(rect=(0, 0.06 * lines + 0.01, 1, 1))
            fig.legend(handles=handles, loc="lower center", ncols=-(-len(handles) // lines), handlelength=2.6)
        else:
            left.legend(handles=handles)
            kinds = {"-": "false positive", "--": "false negative"}
            positive.legend(handles=[Line2D([], [], color="k", ls=ls, label=name) for ls, name in kinds.items()])
            fig.tight_layout()
    return _closed(fig)


def uncovered(sureness: pd.DataFrame) -> Figure:
    """How sure a classifier is of its class as an image is uncovered: one line a column, such as `uncover.ORDERS`.

    sureness: p of the class, fractions, indexed by the share of the pixels that is uncovered.
    """
    with plt.rc_context(plain):
        fig, axis = plt.subplots(figsize=(4.6, 2.8))
        for number, (name, values) in enumerate(sureness.items()):
            axis.plot(
                100 * sureness.index, values, color=CYCLE[number], ls=LINES[number], marker="o", ms=3.5, label=name
            )
        axis.set(xlabel="uncovered, % of the pixels", ylabel="p of the class", ylim=(0, 1.02))
        axis.legend(loc="lower right")
        fig.tight_layout()
    return _closed(fig)


def game_over_seeds(histories: Mapping[str, Sequence[pd.DataFrame]]) -> Figure:
    """How the game between f and its eraser goes, epoch by epoch: one colour a method, a band over its seeds.

    histories: per method one epochs.csv a seed, with p_soft and erased_soft, and p_hard and erased_hard where `noc`
    learns; fractions. A method with none is not drawn. Colours are those of the names, as everywhere.
    Panels: what the eraser still sees after soft erasure, what `noc` sees after hard erasure (left out
    when nobody has it), and the erased shares, hard ones dashed. Raises ValueError where nothing is erased.
    """
    columns = set().union(*(table.columns for tables in histories.values() for table in tables))
    if "p_soft" not in columns:
        raise ValueError("no method has p_soft in its epochs: give those of strategies that erase")
    hard = "p_hard" in columns
    panels = {"(a) p(r | soft erasure), %": {"p_soft": "-"}}
    panels |= {"(b) p(r | hard erasure), %": {"p_hard": "-"}} if hard else {}
    panels |= {f"({'c' if hard else 'b'}) erased share of the pixels, %": {"erased_soft": "-", "erased_hard": "--"}}
    with plt.rc_context(plain):
        fig, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 2.9), sharey=True)
        handles = []
        for (name, tables), look in zip(histories.items(), looks.of_methods(list(histories)), strict=True):
            style = {"color": look["color"], "marker": look["marker"], "ms": 4}
            if tables:
                handles.append(Line2D([], [], label=name, **style))
            for axis, lines in zip(axes, panels.values(), strict=True):
                for column, line in lines.items():
                    if tables and all(column in table for table in tables):
                        seeds = [table.set_index("epoch")[column] for table in tables]
                        seeds = pd.concat(seeds, axis=1, join="inner").sort_index()
                        _curve(axis, seeds.index, seeds.to_numpy().T, ls=line, **style)
        for axis, title in zip(axes, panels, strict=True):
            axis.set(title=title, xlabel="epoch", ylim=(0, 102))
            axis.xaxis.get_major_locator().set_params(integer=True)
        handles += [Line2D([], [], color="k", ls="--", label="hard erasure")] if hard else []
        rows = -(-len(handles) // 7)
        fig.tight_layout(rect=(0, 0.08 * rows, 1, 1))
        fig.legend(handles=handles, loc="lower center", ncols=-(-len(handles) // rows))
    return _closed(fig)


def _curve(axis: Axes, x: pd.Series, ys: Sequence[pd.Series], **style) -> None:
    values = 100 * np.asarray(ys)
    axis.plot(x, values.mean(axis=0), lw=1.6, **style)
    if len(values) > 1:
        axis.fill_between(x, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.18, lw=0)


def _from_zero(*axes: Axes) -> None:
    """Let the vertical axis begin at zero and end a little above what is drawn."""
    for axis in axes:
        highest = max((np.nanmax(line.get_ydata(), initial=0) for line in axis.get_lines()), default=1)
        axis.set_ylim(0, 1.08 * highest or 1)
