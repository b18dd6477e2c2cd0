"""The audit for the eye: every printed cell with its verdict, findings in words, and how far the prints are off."""

from __future__ import annotations

from html import escape

import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas.io.formats.style import Styler

from pnoc_lib.audit import verdicts
from pnoc_lib.evaluation.curves import CYCLE
from pnoc_lib.evaluation.pictures import plain, plt
from pnoc_lib.paper import compare, grids, reader, show
from pnoc_lib.paper.rounding import AGREES, CONTRADICTS, EXPLAINED, UNCHECKED

DOUBTED = "§"  # a sentence of the text does not fit the cell
EQUALITIES = ("print rounding", "recipe", "no recipe fits", "improbable rounding", "whole images")  # rules of the audit
VERDICT_MARKS = {AGREES: ("o", CYCLE[2], 12), EXPLAINED: ("D", CYCLE[4], 24), CONTRADICTS: ("X", CYCLE[1], 42)}


def printed(number: int, lines: pd.DataFrame, text: pd.DataFrame | None = None) -> Styler:
    """A printed table with the verdict of the audit on each cell: colour, sign, and the checks as a tooltip.

    lines: from `verdicts.run`; text: the printed table, by default the paper's. A cell without colour is one that
    nothing was checked about; § marks a cell that a sentence of the text does not fit.
    """
    text = reader.table(number, printed=True) if text is None else text
    columns = reader.number_columns(text) + (["Classes"] if "Classes" in text else [])
    cells, looks = text[columns].map(escape), pd.DataFrame("", index=text.index, columns=columns)
    for cell in verdicts.cell_verdicts(number, lines).itertuples():
        if cell.row not in cells.index or cell.column not in columns:
            continue
        sign = show.SIGNS.get(cell.verdict, "") + (DOUBTED if cell.text else "")
        why = escape(cell.why, quote=True).replace("\n", "&#10;")
        printed = cells.at[cell.row, cell.column]
        if printed or cell.verdict != UNCHECKED:
            cells.at[cell.row, cell.column] = f'<span title="{why}">{printed} <small>{sign}</small></span>'
            looks.at[cell.row, cell.column] = show.LOOKS.get(cell.verdict, "")
    cells.index.name = None
    styler = (
        cells.style.apply(lambda _: looks, axis=None)
        .set_table_styles(grids.FRAME)
        .set_caption(escape(compare.title(number)))
    )
    if "Classes" in columns:
        members = {"selector": f"td.col{len(columns) - 1}", "props": "text-align: left"}
        styler = styler.set_table_styles([members], overwrite=False)
    return styler


def findings(lines: pd.DataFrame) -> Styler:
    """Lines of the audit for reading: by rule, where, what was checked, printed, recomputed, and what was found."""
    kinds = {rule: place for place, rule in enumerate(lines["rule"].value_counts().index)}
    shown = pd.DataFrame(
        {
            "": lines["verdict"].map(show.SIGNS),
            "rule": lines["rule"],
            "where": verdicts.place(lines),
            "check": lines["check"],
            "printed": lines["printed"],
            "recomputed": lines["recomputed"],
            "found": lines["explanation"],
        }
    ).sort_values("rule", key=lambda rules: rules.map(kinds), kind="stable", ignore_index=True)
    looks = shown[""].map({show.SIGNS[verdict]: look for verdict, look in show.LOOKS.items()}).fillna("")
    return (
        shown.style.apply(lambda _: looks, subset=[""])
        .format(escape="html")
        .hide(axis="index")
        .set_table_styles(grids.WORDS)
    )


def summary(counts: pd.DataFrame) -> Styler:
    """The counts of `verdicts.summary`, each verdict's column in its colour; zeros are faint."""
    styler = counts.style.format_index(lambda name: f"{show.SIGNS.get(name, '')} {name}".strip(), axis=1)
    for verdict, look in show.LOOKS.items():
        styler = styler.map(lambda count, look=look: look if count else "color: #999", subset=[verdict])
    return styler


def rules(counts: pd.DataFrame) -> Styler:
    """The counts of `verdicts.by_rule`: narrow numbers, then the words."""
    styles = [
        {"selector": "td, th.col_heading", "props": "padding: 3px 6px; vertical-align: top"},
        {"selector": "td.col4, td.col5, th.col4, th.col5", "props": "text-align: left"},
        {"selector": "td.col4", "props": "min-width: 9em"},
        {"selector": "td.col5", "props": "min-width: 13em"},
    ]
    return summary(counts).format(escape="html").set_table_styles(styles)


def legend() -> HTML:
    """What the colours and signs of the verdicts mean."""
    words = {
        AGREES: "agrees within print rounding",
        EXPLAINED: "explained by another recipe",
        CONTRADICTS: "contradicts",
        UNCHECKED: "cannot be checked",
    }
    parts = [
        f'<span style="{show.LOOKS[v]}; padding: 1px 8px">{show.SIGNS[v]} {what}</span>' for v, what in words.items()
    ]
    parts += ["no colour: nothing to check it against", f"{DOUBTED} a sentence of the text does not fit the cell"]
    return HTML(f"<p>{' &ensp; '.join(parts)}</p>")


def differences(lines: pd.DataFrame) -> Figure:
    """Every audited number: printed minus recomputed, in units of what rounding allows; one row a table.

    lines: from `verdicts.run`; what is compared exactly (repeated prints, ranks, members) or only bounded is left out.
    """
    shown = lines[lines["rule"].isin(EQUALITIES) & (lines["tolerance"] > 0) & lines["difference"].notna()]
    names = list(dict.fromkeys(lines["table"]))
    names.sort(key=lambda name: int(name) if name.isdigit() else 99)
    names = [name for name in names if name in set(shown["table"])]
    with plt.rc_context({**plain, "axes.grid.axis": "x"}):
        fig, axis = plt.subplots(figsize=(8.6, 0.5 * len(names) + 1.2))
        axis.axvspan(-1, 1, color=CYCLE[2], alpha=0.10, lw=0)
        for place, name in enumerate(names):
            part = shown[shown["table"] == name]
            part = part.assign(ratio=part["difference"] / part["tolerance"]).sort_values("ratio")
            part["height"] = place + 0.3 * (np.arange(len(part)) * 0.618 % 1 * 2 - 1)  # spread evenly, always the same
            for verdict, (mark, colour, size) in VERDICT_MARKS.items():
                of = part[part["verdict"] == verdict]
                style = {"marker": mark, "color": colour, "s": size, "edgecolors": "w", "linewidths": 0.4, "zorder": 3}
                axis.scatter(of["ratio"], of["height"], **style)
        axis.set_xscale("symlog", linthresh=1.0, linscale=1.6)
        ticks = [-10, -3, -1, -0.5, 0, 0.5, 1, 3, 10, 30]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ratios = shown["difference"] / shown["tolerance"]
        ends = min(-1.5, 1.4 * float(ratios.min())), max(1.5, 1.4 * float(ratios.max()))
        axis.set(ylim=(len(names) - 0.5, -0.5), xlim=ends)
        axis.set_xlabel("printed minus recomputed, in units of what rounding allows")
        axis.set_yticks(range(len(names)), [f"Table {name}" if name.isdigit() else "in the text" for name in names])
        handles = [
            Line2D([], [], marker=mark, ls="", ms=size**0.5 + 1.5, color=colour, mec="w", mew=0.4, label=verdict)
            for verdict, (mark, colour, size) in VERDICT_MARKS.items()
        ]
        axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 1.14 + 0.1 / len(names)), ncols=3)
        fig.tight_layout()
        plt.close(fig)
    return fig
