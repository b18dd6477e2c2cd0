"""Tables in the shape of the paper, for the eye: measured below published, and every printed cell with its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import pandas as pd
from IPython.display import HTML
from pandas.io.formats.style import Styler

from pnoc_lib.paper import audit, show
from pnoc_lib.paper.compare import NOT_RUN, title
from pnoc_lib.paper.reader import number_columns, table
from pnoc_lib.paper.rounding import AGREES, CONTRADICTS, EXPLAINED, UNCHECKED

DOUBTED = "¶"  # a sentence of the text does not fit the cell
GREY = "color: #6b6b6b"
FRAME = [
    {"selector": "th.col_heading", "props": "vertical-align: bottom; text-align: right; padding: 2px 6px"},
    {"selector": "th.row_heading", "props": "text-align: left; white-space: nowrap; padding: 2px 8px 2px 0"},
    {"selector": "td", "props": "text-align: right; white-space: nowrap; padding: 2px 6px"},
    {"selector": "td.long", "props": "white-space: normal"},
    {"selector": "caption", "props": "text-align: left; font-weight: bold; padding: 6px 0; caption-side: top"},
]


def beside(compared: pd.DataFrame, *, caption: str = "", limit: float = 20.0) -> Styler:
    """The lines of `compare.beside` in the paper's shape: published, below it measured and the difference.

    A row or column in which nothing was measured says "not run" in its heading, any other such cell says so itself.
    limit: percent points of difference at which the colour is full.
    """
    rows, columns = (list(dict.fromkeys(compared[name])) for name in ("row", "column"))
    at = compared.set_index(["row", "column"])
    run = at[at["measured"] != NOT_RUN]
    has = {name: set(run.index.get_level_values(name)) for name in ("row", "column")}
    texts = pd.DataFrame("", index=rows, columns=columns)
    looks = texts.copy()
    for (row, column), line in at.iterrows():
        published = escape(line["published"]) or "&nbsp;"
        if line["measured"] != NOT_RUN:
            gap = "" if pd.isna(line["difference"]) else f" <small>{show.arrow(line['difference'])}</small>"
            texts.at[row, column] = f"{published}<br><b>{escape(line['measured'])}</b>{gap}"
            looks.at[row, column] = show.shade(line["difference"], limit)
        else:
            own = row in has["row"] and column in has["column"]
            texts.at[row, column] = f"{published}<br><i>{NOT_RUN}</i>" if own else published
            looks.at[row, column] = GREY
    for axis, names in (("row", rows), ("column", columns)):
        label = {name: escape(name) if name in has[axis] else f"{escape(name)} <i>{NOT_RUN}</i>" for name in names}
        label = {name: text.replace(" <i>", "<br><i>") if axis == "column" else text for name, text in label.items()}
        texts, looks = (frame.rename(label, axis="index" if axis == "row" else "columns") for frame in (texts, looks))
    styler = texts.style.apply(lambda _: looks, axis=None).set_table_styles(FRAME)
    return styler.set_caption(escape(caption)) if caption else styler


def verdicts(number: int, lines: pd.DataFrame, text: pd.DataFrame | None = None) -> Styler:
    """A printed table with the verdict of the audit on each cell: colour, sign, and the checks as a tooltip.

    lines: from `audit.run`; text: the printed table, by default the paper's. A cell without colour is one that nothing
    was checked about; ¶ marks a cell that a sentence of the text does not fit.
    """
    text = table(number, printed=True) if text is None else text
    columns = [column for column in text.columns if column == "Classes" or column in number_columns(text)]
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
        styler = styler.set_properties(subset=["Classes"], **{"white-space": "normal", "text-align": "left"})
    return styler


def findings(lines: pd.DataFrame) -> Styler:
    """Lines of the audit for reading: by rule, where, what was checked, printed, recomputed, and what was found."""
    places = "Table " + lines["table"] + ", " + lines["row"] + ", " + lines["column"]
    quotes = lines["row"] + ": “" + lines["column"] + "”"
    kinds = {rule: place for place, rule in enumerate(lines["rule"].value_counts().index)}
    shown = pd.DataFrame(
        {
            "": lines["verdict"].map(show.SIGNS),
            "rule": lines["rule"],
            "where": places.where(lines["table"] != "text", quotes),
            "check": lines["check"],
            "printed": lines["printed"],
            "recomputed": lines["recomputed"],
            "found": lines["explanation"],
        }
    ).sort_values("rule", key=lambda rules: rules.map(kinds), kind="stable", ignore_index=True)
    looks = shown[""].map({show.SIGNS[verdict]: look for verdict, look in show.LOOKS.items()}).fillna("")
    words = ["rule", "where", "check", "found"]
    return (
        shown.style.apply(lambda _: looks, subset=[""])
        .format(escape="html")
        .hide(axis="index")
        .set_table_styles(FRAME)
        .set_properties(subset=words, **{"white-space": "normal", "text-align": "left", "vertical-align": "top"})
        .set_properties(subset=["where"], **{"min-width": "13em"})
        .set_properties(subset=["found"], **{"min-width": "16em"})
        .set_properties(subset=["printed", "recomputed"], **{"white-space": "normal", "vertical-align": "top"})
    )


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


def fold(tables: Mapping[str, Styler | pd.DataFrame | str], *, opened: bool = False) -> HTML:
    """Each table below a line that opens it; a text instead of a table is shown as a paragraph."""
    parts = []
    for summary, inside in tables.items():
        body = f"<p>{escape(inside)}</p>" if isinstance(inside, str) else inside.to_html()
        state = " open" if opened else ""
        parts.append(
            f'<details{state}><summary>{escape(summary)}</summary><div style="overflow-x: auto">{body}</div></details>'
        )
    return HTML("\n".join(parts))
