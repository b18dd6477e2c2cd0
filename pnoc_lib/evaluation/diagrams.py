"""Figure 3 as a drawing: networks, what passes between them, the losses, and who is fixed while another learns."""

from __future__ import annotations

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from pnoc_lib.evaluation.looks import CYCLE
from pnoc_lib.evaluation.pictures import _closed, plain

LEARNS, FIXED, LOSS, DATA, UNUSED = CYCLE[0], "0.45", CYCLE[1], "0.15", "0.82"


def strategy(*, puzzle: bool, eraser: str | None) -> Figure:
    """One step of training: what a strategy with these switches computes. What it does not use is pale.

    puzzle: tiles are mapped too. eraser: None, "oc" (fixed for ever) or "noc" (learns, from hard erasures, while `f`
    is fixed). Blue networks learn, grey ones are fixed in that line, vermilion are the losses.
    """
    erasing, adversary = eraser is not None, eraser == "noc"
    with plt.rc_context(plain):
        fig, axis = plt.subplots(figsize=(9.2, 3.9))
        axis.set(xlim=(0, 100), ylim=(0, 44))
        axis.axis("off")
        _row(axis, 38, [("image x", DATA), ("f", LEARNS), ("maps A", DATA), ("cls: names y", LOSS)], used=True)
        _row(
            axis,
            27,
            [("four tiles", DATA), ("f", LEARNS), ("merged, A re", DATA), ("re-cls; re: A = A re", LOSS)],
            used=puzzle,
        )
        judge = f"{eraser or 'oc'} (fixed)"
        _row(
            axis,
            16,
            [("x (1 - ψ(A r))", DATA), (judge, FIXED), ("sees r?", DATA), ("cse: r is gone", LOSS)],
            used=erasing,
        )
        _row(
            axis,
            5,
            [("x [ψ(A r) ≤ δ]", DATA), ("noc", LEARNS), ("sees r?", DATA), ("noc: finds r", LOSS)],
            used=adversary,
        )
        notes = {
            38: "f learns",
            27: "f learns" if puzzle else "not used",
            16: "f learns through the mask" if erasing else "not used",
            5: "noc learns, f is fixed" if adversary else "not used",
        }
        for height, text in notes.items():
            axis.text(83, height, text, va="center", fontsize=8, color="0.35" if text != "not used" else "0.7")
        style = {"color": DATA if puzzle else UNUSED, "lw": 1, "ls": ":"}
        axis.annotate("", (11, 30.4), (11, 34.6), arrowprops={"arrowstyle": "->", **style})
        for height, used in ((16, erasing), (5, adversary)):  # both erasures need the maps of the first line
            style = {"color": DATA if used else UNUSED, "lw": 1, "ls": ":"}
            down = 61.5 + (height == 5)
            axis.plot([down, down, 11], [34.6, height + 5.2, height + 5.2], **style)
            axis.annotate("", (11, height + 3.4), (11, height + 5.4), arrowprops={"arrowstyle": "->", **style})
        fig.tight_layout(pad=0.2)
    return _closed(fig)


def _row(axis: Axes, height: float, boxes: list[tuple[str, str]], *, used: bool) -> None:
    """Four boxes from left to right, with arrows between them."""
    lefts, widths = (2, 26, 47, 64), (18, 14, 13, 17)
    for number, ((text, colour), left, width) in enumerate(zip(boxes, lefts, widths, strict=True)):
        colour = colour if used else UNUSED
        filled = colour in (LEARNS, FIXED)
        box = FancyBboxPatch(
            (left, height - 3.2), width, 6.4, boxstyle="round,pad=0.2", ec=colour, fc=colour if filled else "w", lw=1.3
        )
        axis.add_patch(box)
        ink = "w" if filled else colour if used else "0.7"
        axis.text(left + width / 2, height, text, ha="center", va="center", fontsize=9, color=ink)
        if number:
            before = lefts[number - 1] + widths[number - 1] + 0.4
            style = {"arrowstyle": "->", "color": DATA if used else UNUSED}
            axis.annotate("", (left - 0.3, height), (before, height), arrowprops=style)
