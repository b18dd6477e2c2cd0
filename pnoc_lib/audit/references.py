"""How claims name cells: T4|RS269 P|TTA is a cell of Table 4, H|epochs|value a hyper-parameter, "-" a cell not there.

Rivals of a cell are "columns A; B" in its row, "rows A; B" or "rows *" in its column, "section size" or
"where Sup. = I|I+S; Hints != ; Segm. Priors ~ P-OC" (is one of, is none of, contains) in its column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from pnoc_lib.paper.reader import lookup, number_columns

Ref = tuple[str, str, str]  # table ("T4" or "H"), row, column
Texts = Mapping[str, pd.DataFrame]  # printed tables by "T4" or "H"


def parse(cells: str, separator: str = ";") -> list[Ref | None]:
    """The references in a list of cells; None for "-". Raises ValueError for anything that is neither."""
    parts = [part.strip() for part in cells.split(separator)]
    for part in parts:
        if part != "-" and part.count("|") != 2:
            raise ValueError(f"a cell must be table|row|column: got {part!r}, write it like T4|RS269 P|TTA")
    return [None if part == "-" else tuple(part.split("|")) for part in parts]


def cell(texts: Texts, ref: Ref) -> str:
    """The printed text of a cell. Raises ValueError when there is no such table, row or column."""
    table, row, column = ref
    if table not in texts:
        raise ValueError(f"no such table: got {table!r}, use one of {', '.join(texts)}")
    return lookup(texts[table], table, row, column)


def name(ref: Ref) -> str:
    """A reference in words: "Table 4, RS269 P, TTA"."""
    return f"{ref[0].replace('T', 'Table ')}, {ref[1]}, {ref[2]}"


def where(text: pd.DataFrame, conditions: str) -> list[str]:
    """Rows of a printed table that fulfil all conditions."""
    keep = pd.Series(True, index=text.index)
    for condition in conditions.split(";"):
        match = re.fullmatch(r"\s*(.+?) (=|!=|~)\s*(.*?)\s*", condition)
        if match is None or match[1] not in text:
            raise ValueError(f"no condition on a column: got {condition!r}, write it like Seg. = V2|V3+")
        column, sign, wanted = text[match[1]], match[2], match[3]
        found = column.str.contains(wanted, regex=False) if sign == "~" else column.isin(wanted.split("|"))
        keep &= ~found if sign == "!=" else found
    return list(text.index[keep])


def rivals(texts: Texts, ref: Ref, among: str) -> list[Ref]:
    """The cells that `among` names, without `ref` itself and without empty ones."""
    table, row, column = ref
    text = texts[table]
    how, _, what = among.partition(" ")
    listed = [part.strip() for part in what.split(";")]
    if how == "columns":
        found = [(table, row, other) for other in listed]
    elif how == "rows":
        found = [(table, other, column) for other in (text.index if what == "*" else listed)]
    elif how == "section":
        found = [(table, other, column) for other in text.index[text["section"] == what]]
    elif how == "where":
        found = [(table, other, column) for other in where(text, what)]
    else:
        raise ValueError(f"rivals must be columns, rows, section or where, got {among!r}")
    return [rival for rival in found if rival != ref and cell(texts, rival)]


def stands(texts: Texts, ref: Ref, printed: str) -> str:
    """Where else in the table of `ref` a number is printed, for the explanation of a mismatch."""
    text = texts[ref[0]]
    hits = [(row, column) for column in number_columns(text) for row in text.index[text[column] == printed]]
    hits.sort(key=lambda hit: (hit[0] != ref[1], hit[1] != ref[2]))  # nearest first: same row, then same column
    places = [f"{row}, {column}" for row, column in hits]
    found = f"stands at {' and '.join(places[:4])}" if places else "stands nowhere in that table"
    return f"{name(ref)}; {printed} {found}"
