"""Tables in the shape of the paper, for the eye: measured below published."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import pandas as pd
from IPython.display import HTML
from pandas.io.formats.style import Styler

from pnoc_lib.paper import show
from pnoc_lib.paper.compare import NOT_RUN, settings, title
from pnoc_lib.paper.reader import number_columns, table

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


def words(table: pd.DataFrame) -> Styler:
    """A table of sentences: wrapped, at the left and at the top."""
    return table.style.format(escape="html").hide(axis="index").set_table_styles(WORDS)


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
