"""Pictures of the error budget: where wrong pixels come from and go to, and the way of a single pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pnoc_lib.evaluation import budget, pictures

COLOURS = {"right": "#c9c9c9", "missed": "#0072b2", "invented": "#e69f00", "confused": "#882255"}
HATCHES = {"right": "", "missed": "", "invented": "//", "confused": ".."}  # told apart without colours, too
BAR = 0.14  # width of a bar, in distances of two stages


def flow_picture(chain: budget.ErrorBudget) -> Figure:
    """The wrong pixels of every stage as a bar, and as bands where they come from and go to.

    Pixels that are right at two neighbouring stages are not drawn: they would fill the picture. Heights are shares of
    all pixels; the number above a bar is the share that is wrong after that stage.
    """
    steps, table = budget.flow(chain), budget.stage_table(chain)
    top = 1.12 * max(table["wrong"].max(), 1e-9)
    with plt.rc_context(pictures.plain):
        fig, axis = plt.subplots(figsize=(2.0 + 2.0 * len(chain.stages), 3.9))
        floors = _bars(axis, table, top)
        for k, stage in enumerate(chain.stages[:-1]):
            _bands(axis, steps[steps["from"] == stage], k, floors[k], floors[k + 1], top)
        axis.set(xlim=(-0.5, len(chain.stages) - 0.5), ylim=(-0.2 * top, 1.08 * top), xticks=[], yticks=[])
        axis.axis("off")
        handles = [plt.Rectangle((0, 0), 1, 1, fc=COLOURS[s], hatch=HATCHES[s], ec="w") for s in budget.STATES[1:]]
        fig.legend(handles, budget.STATES[1:], loc="lower center", ncols=3, title="a wrong pixel is")
        fig.tight_layout(rect=(0, 0.1, 1, 1))
    plt.close(fig)
    return fig


def biography(
    panels: Mapping[str, Mapping[str, np.ndarray]],
    pixels: Mapping[str, tuple[int, int]],
    words: Mapping[str, Sequence[str]],
) -> Figure:
    """The way of chosen pixels through the stages: a row a pixel, a column a stage, a ring around the pixel.

    panels: row -> stage -> picture, (H, W, 3) uint8. pixels: row -> (row, column) of its pixel. words: row -> what
    stands below each of its pictures: the value of the pixel there.
    """
    columns = list(next(iter(panels.values())))
    with plt.rc_context(pictures.plain):
        fig, axes = plt.subplots(
            len(panels), len(columns), figsize=(1.75 * len(columns) + 1.2, 1.75 * len(panels) + 0.3), squeeze=False
        )
        for number, (line, (name, shown)) in enumerate(zip(axes, panels.items(), strict=True)):
            row, column = pixels[name]
            for axis, (stage, picture), word in zip(line, shown.items(), words[name], strict=True):
                axis.imshow(picture)
                for size, colour in ((11, "k"), (8.5, "w")):
                    axis.plot(column, row, "o", ms=size, mfc="none", mec=colour, mew=1.4)
                axis.set(xticks=[], yticks=[])
                axis.grid(False)
                axis.set_xlabel(word, fontsize=7.5)
                if number == 0:
                    axis.set_title(stage, fontsize=8.5)
            line[0].set_ylabel(name.replace(": ", ":\n"), rotation=0, ha="right", va="center", fontsize=8)
        fig.tight_layout(pad=0.4, h_pad=0.6)
    plt.close(fig)
    return fig


def _bars(axis, table, top: float) -> list[dict[str, float]]:
    """Draw the bars; for every stage, where each wrong state begins in its bar."""
    floors = []
    for k, row in table.iterrows():
        floor, begins = 0.0, {}
        for state in budget.STATES[1:]:
            begins[state] = floor
            options = {"color": COLOURS[state], "hatch": HATCHES[state], "edgecolor": "w", "linewidth": 0.5}
            axis.bar(k, row[state], BAR, bottom=floor, zorder=3, **options)
            floor += row[state]
        floors.append(begins)
        axis.text(k, floor + 0.02 * top, f"{100 * row['wrong']:.1f} %", ha="center", va="bottom", fontweight="bold")
        axis.text(k, -0.03 * top, row["stage"], ha="center", va="top")
        if k:
            change = f"breaks {100 * row['broken']:.1f}, mends {100 * row['mended']:.1f} %"
            axis.text(k, -0.11 * top, change, ha="center", va="top", fontsize=7.5, color="0.35")
    return floors


def _bands(axis, step, k: int, left: dict[str, float], right: dict[str, float], top: float) -> None:
    """Draw one step: wrong pixels that stay wrong from bar to bar; mended and broken ones fade half way."""
    left, right = dict(left), dict(right)
    t = np.linspace(0, 1, 40)
    smooth = t * t * (3 - 2 * t)
    share = step.set_index(["before", "after"])["share"]
    for before in budget.STATES:
        for after in budget.STATES:
            height = share[before, after]
            if not height or before == after == "right":
                continue
            x = k + BAR / 2 + t * (1 - BAR)
            if after == "right":
                low, colour, x = np.full_like(t, left[before]), COLOURS[before], k + BAR / 2 + t * 0.22
            elif before == "right":
                low, colour, x = np.full_like(t, right[after]), COLOURS[after], k + 1 - BAR / 2 - t * 0.22
            else:
                low, colour = left[before] + smooth * (right[after] - left[before]), COLOURS[before]
            fading = after == "right" or before == "right"
            thick = height * (1 - t) if fading else height
            axis.fill_between(x, low + (height - thick) / 2, low + (height + thick) / 2, color=colour, alpha=0.45, lw=0)
            if before != "right":
                left[before] += height
            if after != "right":
                right[after] += height
