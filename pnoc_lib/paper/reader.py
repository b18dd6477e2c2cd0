"""Read the printed tables of the paper: as text, so that no decimal is lost, or as numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pnoc_lib.paper import rounding

FOLDER = Path(__file__).parent
TEXT_COLUMNS = {
    "section",
    "Classes",
    "Group",
    "Size",
    "Freq.",
    "Strategy",
    "Class",
    "Method",
    "Citation",
    "Mark",
    "Sup.",
}
TEXT_COLUMNS |= {"Backbone", "Seg.", "Network", "B.bone", "Hints", "Segm. Priors", "+LS", "+C2AM-H", "+NOC"}


def _csv(name: str, index: str | None = None) -> pd.DataFrame:
    return pd.read_csv(FOLDER / name, dtype=str, keep_default_na=False, index_col=index)


def table_info() -> pd.DataFrame:
    """What each table measures: title, dataset, split, quantity, runs averaged (empty where the paper is silent)."""
    info = _csv("tables.csv")
    return info.assign(number=info["number"].astype(int)).set_index("number")


def table_names() -> dict[int, str]:
    """Numbers and titles of the ten tables."""
    return table_info()["title"].to_dict()


def table(number: int, *, printed: bool = False) -> pd.DataFrame:
    """Table `number` of the paper, rows and columns in its order; the index `row` names every row once.

    printed: text exactly as printed ("69.5%", "73.50"), "" where the paper has no value. By default numbers instead,
    as printed in percent or as counts, NaN where there is none; columns of words stay text.
    Raises ValueError for a number that is no table.
    """
    info = table_info()
    if number not in info.index:
        known = ", ".join(map(str, info.index))
        raise ValueError(f"no such table in the paper data: got {number!r}, ask for one of {known}")
    text = _csv(f"table{int(number):02}.csv", index="row")
    return text if printed else as_numbers(text)


def tables() -> dict[int, pd.DataFrame]:
    """All ten tables as printed text, by number: what `audit.run` takes."""
    return {n: table(n, printed=True) for n in table_info().index}


def as_numbers(text: pd.DataFrame) -> pd.DataFrame:
    """The columns of numbers of a printed table as float, the columns of words as they are."""
    return text.apply(
        lambda column: column if column.name in TEXT_COLUMNS else column.map(rounding.number).astype(float)
    )


def number_columns(text: pd.DataFrame) -> list[str]:
    """Columns of a printed table that hold numbers."""
    return [column for column in text.columns if column not in TEXT_COLUMNS]


def printed(number: int, row: str, column: str) -> str:
    """One cell as printed. Raises ValueError, with the names there are, when table, row or column is unknown."""
    return lookup(table(number, printed=True), f"Table {number}", row, column)


def lookup(text: pd.DataFrame, name: str, row: str, column: str) -> str:
    """The cell (row, column) of a printed table called `name` in messages."""
    for what, given, known in (("row", row, text.index), ("column", column, text.columns)):
        if given not in known:
            raise ValueError(f"{name} has no such {what}: got {given!r}, ask for one of {', '.join(known)}")
    return text.at[row, column]


def unit(number: int, row_section: str, column: str) -> str:
    """ "count" for O and L outside the correlation rows of Tables 1 and 3, else "percent"."""
    counted = number in (1, 3) and column in ("O", "L") and row_section != "correlation"
    return "count" if counted else "percent"


def cells(number: int) -> pd.DataFrame:
    """Table `number` with one line a printed number: row, column, printed (text), value (float), unit.

    unit: "percent" or "count" (O and L). Cells that the paper leaves empty are left out.
    """
    text = table(number, printed=True)
    sections = text["section"] if "section" in text else pd.Series("", index=text.index)
    lines = [
        {"row": row, "column": column, "printed": text.at[row, column], "unit": unit(number, sections[row], column)}
        for row in text.index
        for column in number_columns(text)
        if text.at[row, column] != ""
    ]
    frame = pd.DataFrame(lines, columns=["row", "column", "printed", "unit"])
    frame.insert(3, "value", frame["printed"].map(rounding.number).astype(float))
    return frame


def class_groups() -> pd.DataFrame:
    """VOC's class names with the paper's labels (Table 3, Table 10) and size, frequency and semantic group of Table 3.

    The semantic group is that of the class row: cat and cow are singletons, though the group row does not list them.
    """
    return _csv("class_groups.csv", index="class")


def hyper_parameters(*, printed: bool = False) -> pd.DataFrame:
    """Section 6 and Figure 4: symbol, meaning, applies_to, dataset, value (float; text if `printed`), unit, section."""
    frame = _csv("hyper_parameters.csv", index="key")
    return frame if printed else frame.assign(value=frame["value"].astype(float))


def newer_methods() -> pd.DataFrame:
    """Scores of methods by year: voc12_val, voc12_test, coco14_val (percent, NaN where unknown), extra, source, note.

    extra: data or models beyond image-level labels and ImageNet-1k, as their authors or the paper mark them.
    """
    frame = _csv("newer_methods.csv")
    scores = ["voc12_val", "voc12_test", "coco14_val"]
    return frame.assign(year=frame["year"].astype(int), **{score: pd.to_numeric(frame[score]) for score in scores})


def twin_rows(one: pd.DataFrame, three: pd.DataFrame) -> dict[str, str]:
    """The row of Table 3 that repeats each row of Table 1, by name: "Overall" is "overall μ", "Large" is "large"."""
    other = {"Overall": "overall μ", "Person": "person (group)"}
    return {row: other.get(row, row if row in three.index else row.lower()) for row in one.index}


def same_cells() -> pd.DataFrame:
    """Pairs of cells in different tables that print one quantity twice (Tables 1 and 3 apart, which share all rows)."""
    frame = _csv("same_cells.csv")
    return frame.astype({"table": int, "table2": int})


def claims() -> pd.DataFrame:
    """What the text says about the tables: claim, section, quote (shortened), kind, claimed, cells, among.

    `paper.statements` and `paper.references` say how they are written.
    """
    return _csv("claims.csv")
