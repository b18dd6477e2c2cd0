"""Published beside measured, cell by cell: rows that were not run say so."""

from __future__ import annotations

import math

import pandas as pd

from pnoc_lib.paper.reader import cells, class_groups, table_info, unit

SETTINGS = ["seeds", "split", "threshold", "chosen_on", "preset"]
NOT_RUN = "not run"


def beside(number: int, measured: pd.DataFrame | None = None, *, verdicts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Table `number` of the paper with one line a printed number, and what was measured for it.

    measured: row and column of the paper's table (classes also by VOC's names), mean; and where known sd, seeds, split,
    threshold, chosen_on (the split that chose it), preset. Scores, shares and correlations are fractions as everywhere
    in the code; O and L of Tables 1 and 3 are counts. None, or no lines: nothing was run.
    verdicts: from `audit.run`; then `note` repeats what it found about the cell.
    Returns row, column, published and measured (text with the paper's decimals; "not run"), difference (measured minus
    published, in the units of print), mean and sd (same units), the settings, note. Measured cells that the paper does
    not have come last, with an empty `published`.
    Raises ValueError when `measured` lacks a column or gives a cell twice.
    """
    paper = cells(number)
    measured = pd.DataFrame(columns=["row", "column", "mean"]) if measured is None else measured.copy()
    lacking = {"row", "column", "mean"} - set(measured.columns)
    if lacking:
        raise ValueError(
            f"measured scores lack {', '.join(sorted(lacking))}: got the columns "
            f"{', '.join(map(str, measured.columns))}, give row, column and mean"
        )
    rows, columns = _labels(number)
    measured["row"], measured["column"] = measured["row"].replace(rows), measured["column"].replace(columns)
    twice = measured[measured.duplicated(["row", "column"])]
    if len(twice):
        first = twice.iloc[0]
        raise ValueError(
            f"{len(twice)} cells are measured twice: row {first['row']}, column {first['column']} for one, average them"
        )
    measured = measured.reindex(columns=["row", "column", "mean", "sd", *SETTINGS])
    both = paper.merge(measured.astype({"row": str, "column": str}), on=["row", "column"], how="outer", sort=False)
    order = {cell: place for place, cell in enumerate(zip(paper["row"], paper["column"], strict=True))}
    both["place"] = [order.get(cell, len(order)) for cell in zip(both["row"], both["column"], strict=True)]
    both = both.sort_values("place", kind="stable", ignore_index=True)
    both["printed"] = both["printed"].fillna("")
    both["unit"] = [
        u if isinstance(u, str) else unit(number, "", column)
        for u, column in zip(both["unit"], both["column"], strict=True)
    ]
    scale = both["unit"].map({"percent": 100.0, "count": 1.0})
    both["mean"], both["sd"] = (pd.to_numeric(both[name]) * scale for name in ("mean", "sd"))
    both["difference"] = both["mean"] - both["value"]
    shares = set(both.loc[both["printed"].str.endswith("%"), "column"])  # columns that are printed with a sign
    signs = [
        "%" * (printed.endswith("%") or (not printed and column in shares))
        for printed, column in zip(both["printed"], both["column"], strict=True)
    ]
    both["measured"] = [_text(*line) for line in zip(both["printed"], both["mean"], both["sd"], signs, strict=True)]
    both["note"] = _notes(number, both, verdicts)
    names = ["row", "column", "printed", "measured", "difference", "mean", "sd", *SETTINGS, "note"]
    return both[names].rename(columns={"printed": "published"})


def settings(compared: pd.DataFrame) -> pd.DataFrame:
    """The settings of the measured lines of `beside`: each combination once, with its number of cells."""
    run = compared[compared["measured"] != NOT_RUN]
    known = run[SETTINGS].astype(object).where(run[SETTINGS].notna(), "")
    return known.groupby(SETTINGS, sort=False).size().rename("cells").reset_index()


def standing(methods: pd.DataFrame, own: str = "P-NOC") -> pd.DataFrame:
    """Where a method stands, one row a score: its place in its year and now, and the best today with the lead.

    methods: as from `reader.newer_methods`. "no extra" counts those that use image-level labels and ImageNet-1k alone.
    Places are from 1; equals share the better one. Raises ValueError when `own` is not among the methods.
    """
    if own not in set(methods["method"]):
        raise ValueError(f"no such method: got {own!r}, use one of {', '.join(methods['method'])}")
    mine = methods.set_index("method").loc[own]
    rows = {}
    for score in ("voc12_val", "voc12_test", "coco14_val"):
        known = methods[methods[score].notna()]
        alike = known[known["extra"] == ""]
        then = alike[alike["year"] <= mine["year"]]
        row = {"score": mine[score]}
        for name, rivals in (("in its year, no extra", then), ("now, no extra", alike), ("now, all", known)):
            row[name] = f"{int((rivals[score] > mine[score]).sum()) + 1} of {len(rivals)}"
        for name, rivals in (("best, no extra", alike), ("best, all", known)):
            best = rivals.loc[rivals[score].idxmax()]
            row[name] = f"{best['method']} ({best['year']}), {best[score] - mine[score]:+.1f}"
        rows[score] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _labels(number: int) -> tuple[dict[str, str], dict[str, str]]:
    """VOC's class names to the labels of the table, for its rows and for its columns."""
    groups = class_groups()
    rows = groups["label"].to_dict() if number == 3 else {}
    columns = {"background": "bg", **groups["label in Table 10"]} if number == 10 else {}
    return rows, columns


def _text(printed: str, mean: float, sd: float, sign: str) -> str:
    """A measured number with as many decimals as the printed one (one when there is none), and the column's sign."""
    if math.isnan(mean):
        return NOT_RUN
    plain = printed.rstrip("%")
    decimals = len(plain.partition(".")[2]) if plain else 1
    spread = "" if math.isnan(sd) else f" ± {sd:.{max(decimals, 1)}f}"
    return f"{mean:.{decimals}f}{spread}{sign}"


def _notes(number: int, both: pd.DataFrame, verdicts: pd.DataFrame | None) -> list[str]:
    """What the audit found about each cell, the words of the text with it; empty without `verdicts`."""
    if verdicts is None:
        return [""] * len(both)
    found: dict[str, list[str]] = {}
    for line in verdicts[verdicts["verdict"].isin(["explained", "contradicts"])].itertuples():
        said = f'"{line.column}": ' if line.table == "text" else ""
        for cell in line.about.split("; "):
            found.setdefault(cell, []).append(f"{said}{line.verdict} ({line.check}): {line.explanation}")
    return [
        " | ".join(found.get(f"T{number}|{row}|{column}", []))
        for row, column in zip(both["row"], both["column"], strict=True)
    ]


def title(number: int) -> str:
    """Heading of a table: its number, title, data set and split."""
    info = table_info().loc[number]
    return f"Table {number}. {info['title']} ({info['dataset']}, {info['split']})"
