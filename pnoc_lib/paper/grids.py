"""Tables in the shape of the paper, for the eye: measured below published, and every printed cell with its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import pandas as pd
from IPython.display import HTML
from pandas.io.formats.style import Styler

from pnoc_lib.audit import verdicts as audit
from pnoc_lib.paper import show
from pnoc_lib.paper.compare import NOT_RUN, settings, title
from pnoc_lib.paper.reader import number_columns, table
from pnoc_lib.paper.rounding import AGREES, CONTRADICTS, EXPLAINED, UNCHECKED

DOUBTED = "§"  # a sentence of the text does not fit the cell
GREY = "color: #6b6b6b"
WORDS = [
    {"selector": "td, th.col_heading", "props": "text-align: left; vertical-align: top; padding: 3px 10px 3px 6px"},
]
FRAME = [
    {"selector": "th.col_heading", "props": "vertical-align: bottom; text-align: right; padding: 2px 6px"},
    {"selector": "th.row_heading", "props": "text-align: left; white-space: nowrap; padding: 2px 8px 2px 0"},
    {"selector": "td", "props": "text-align: right; white-space: nowrap; padding: 2px 6px"},
    {"selector": "caption", "props": "text-align: left; font-weight: bold; padding: 6px 0; caption-side: top"},
]


def beside(number: int, compared: pd.DataFrame, *, limit: float = 20.0) -> Styler:
    """The lines of `compare.beside` in the shape of Table `number`: published, below it measured and the difference.

    A row or column in which nothing was measured says "not run" in its heading, any other such cell says so itself.
    limit: percent points of difference at which the colour is full; counts (O and L) are not coloured.
    """
    order = number_columns(table(number, printed=True))
    rows, columns = (list(dict.fromkeys(compared[name])) for name in ("row", "column"))
    columns = [*(name for name in order if name in columns), *(name for name in columns if name not in order)]
    texts = pd.DataFrame("", index=rows, columns=columns)
    looks = texts.copy()
    run = compared[compared["measured"] != NOT_RUN]
    run_rows, run_columns = set(run["row"]), set(run["column"])
    silent_columns = set()  # columns without a run of which the rows do not tell
    for line in compared.to_dict("records"):
        at, published = (line["row"], line["column"]), escape(line["published"]) or "&nbsp;"
        if line["measured"] != NOT_RUN:
            gap = (
                ""
                if pd.isna(line["difference"])
                else f" <small>{show.arrow(line['difference']).replace(' ', '&thinsp;')}</small>"
            )
            score, _, spread = escape(line["measured"]).partition(" ± ")
            spread = f"<small>&nbsp;±&nbsp;{spread}</small>" if spread else ""
            texts.loc[at] = f"{published}<br><b>{score}</b>{spread}{gap}"
            counted = number in (1, 3) and line["column"] in ("O", "L") and not line["row"].startswith("ρ")
            looks.loc[at] = "" if counted else show.shade(line["difference"], limit)
        else:
            if line["row"] in run_rows and line["column"] not in run_columns:
                silent_columns.add(line["column"])
            own = line["row"] in run_rows and line["column"] in run_columns
            texts.loc[at] = f"{published}<br><i>{NOT_RUN}</i>" if own else published
            looks.loc[at] = GREY
    silent_rows = set(rows) - run_rows if len(run) else set()
    labels = {row: f"{escape(row)} <i>{NOT_RUN}</i>" if row in silent_rows else escape(row) for row in rows}
    heads = {
        name: f"{escape(name)}<br><i>{NOT_RUN}</i>" if name in silent_columns else escape(name) for name in columns
    }
    texts, looks = (frame.rename(index=labels, columns=heads) for frame in (texts, looks))
    caption = title(number) if len(run) else f"{title(number)}: {NOT_RUN}"
    return texts.style.apply(lambda _: looks, axis=None).set_table_styles(FRAME).set_caption(escape(caption))


def experiments(number: int, parts: Mapping[str, pd.DataFrame], *, first: str = "", limit: float = 20.0) -> HTML:
    """Table `number` of every experiment, one below the other, each with its settings and folded but for one.

    parts: from `collect.beside`. first: the experiment to show unfolded; else the first that measured something.
    """
    names = sorted(parts, key=lambda name: name != first)
    blocks = []
    for name in names:
        grid = beside(number, parts[name], limit=limit)
        if not name:
            blocks.append(_folded(f"Table {number}: {NOT_RUN}", grid.to_html()))
            continue
        how = (
            settings(parts[name]).style.format({"seeds": _short, "threshold": _short}, escape="html").hide(axis="index")
        )
        blocks.append(_folded(f"Table {number}: {name}", grid.to_html() + how.to_html(), opened=name == names[0]))
    return HTML("\n".join(blocks))


def verdicts(number: int, lines: pd.DataFrame, text: pd.DataFrame | None = None) -> Styler:
    """A printed table with the verdict of the audit on each cell: colour, sign, and the checks as a tooltip.

    lines: from `verdicts.run`; text: the printed table, by default the paper's. A cell without colour is one that
    nothing was checked about; § marks a cell that a sentence of the text does not fit.
    """
    text = table(number, printed=True) if text is None else text
    columns = number_columns(text) + (["Classes"] if "Classes" in text else [])
    cells, looks = text[columns].map(escape), pd.DataFrame("", index=text.index, columns=columns)
    for cell in audit.cell_verdicts(number, lines).itertuples():
        if cell.row not in cells.index or cell.column not in columns:
            continue
        sign = show.SIGNS.get(cell.verdict, "") + (DOUBTED if cell.text else "")
        why = escape(cell.why, quote=True).replace("\n", "&#10;")
        printed = cells.at[cell.row, cell.column]
        if printed or cell.verdict != UNCHECKED:
            cells.at[cell.row, cell.column] = f'<span title="{why}">{printed} <small>{sign}</small></span>'
            looks.at[cell.row, cell.column] = show.LOOKS.get(cell.verdict, "")
    cells.index.name = None
    styler = cells.style.apply(lambda _: looks, axis=None).set_table_styles(FRAME).set_caption(escape(title(number)))
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
            "where": audit.place(lines),
            "check": lines["check"],
            "printed": lines["printed"],
            "recomputed": lines["recomputed"],
            "found": lines["explanation"],
        }
    ).sort_values("rule", key=lambda rules: rules.map(kinds), kind="stable", ignore_index=True)
    looks = shown[""].map({show.SIGNS[verdict]: look for verdict, look in show.LOOKS.items()}).fillna("")
    return (
        shown.style.apply(lambda _: looks, subset=[""]).format(escape="html").hide(axis="index").set_table_styles(WORDS)
    )


def words(table: pd.DataFrame) -> Styler:
    """A table of sentences: wrapped, at the left and at the top."""
    return table.style.format(escape="html").hide(axis="index").set_table_styles(WORDS)


def rules(counts: pd.DataFrame) -> Styler:
    """The counts of `verdicts.by_rule`: narrow numbers, then the words."""
    styles = [
        {"selector": "td, th.col_heading", "props": "padding: 3px 6px; vertical-align: top"},
        {"selector": "td.col4, td.col5, th.col4, th.col5", "props": "text-align: left"},
        {"selector": "td.col4", "props": "min-width: 9em"},
        {"selector": "td.col5", "props": "min-width: 13em"},
    ]
    return show.style_summary(counts).format(escape="html").set_table_styles(styles)


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


def fold(tables: Mapping[str, Styler | str], *, opened: bool = False) -> HTML:
    """Each table below a line that opens it; a text instead of a table is shown as a paragraph."""
    return HTML(
        "\n".join(
            _folded(line, f"<p>{escape(inside)}</p>" if isinstance(inside, str) else inside.to_html(), opened=opened)
            for line, inside in tables.items()
        )
    )


def _folded(line: str, html: str, *, opened: bool = False) -> str:
    state = " open" if opened else ""
    return f'<details{state}><summary>{escape(line)}</summary><div style="overflow-x: auto">{html}</div></details>'


def _short(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
