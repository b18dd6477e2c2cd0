"""The live audit: every printed value that follows from others, or from real masks, recomputed and given a verdict.

agrees: within print rounding. explained: a declared alternative recipe reproduces the print. contradicts: none does.
cannot be checked: the print or its inputs are missing. The verdicts come out of `rounding`, `recompute`, `consistency`
and `statements` by computing; nothing about the outcome is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pnoc_lib.audit import consistency, recompute, statements
from pnoc_lib.paper import reader
from pnoc_lib.paper.rounding import SPREADS, VERDICTS

COLUMNS = ["table", "row", "column", "check", "printed", "recomputed", "difference", "tolerance"]
COLUMNS += ["verdict", "rule", "explanation", "about"]
RULES = {
    "print rounding": f"within half a printed unit and {SPREADS:g} spreads (at most all) of the inputs' rounding",
    "recipe": "the plain recipe fails, the named alternative is within print rounding",
    "improbable rounding": "outside print rounding, but not beyond the worst case of the inputs' rounding",
    "no recipe fits": "no declared recipe comes within print rounding",
    "same print": "two prints of one quantity are equal, or one is the other rounded",
    "two prints": "two prints of one quantity differ by more than rounding one of them",
    "runs differ": "two prints differ, but one averages several runs and the other follows from its own class rows",
    "whole images": "a percent of O images must belong to a whole number of images",
    "lower bound": "a value is below the least that another printed value allows",
    "separable": "one cut must separate neighbouring groups",
    "same members": "members that a group row lists are those whose class rows name the group",
    "rank": "place among the rivals as printed; a tie is explained, not agreed",
    "order": "greater or smaller as printed",
    "half of the epochs": "early is up to the middle epoch",
    "one factor": "two rows compared for one factor must differ in that factor only",
    "one quantity": "two tables compared must measure the same quantity",
    "row numbers": "rows counted from the first below the heading; explained if the heading counts as row 1",
    "no print": "the paper, or the text it was read from, has no value here",
    "no input": "what the value follows from is not given",
}  # the rule column of `run`, in words


def run(
    tables: Mapping[int, pd.DataFrame] | None = None,
    masks_properties: pd.DataFrame | None = None,
    *,
    claims: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One line a checked cell or claim, with the columns of `COLUMNS`; `table` is "1" to "10", or "text" for a claim.

    tables: printed tables by number, all ten; by default the paper's (`reader.tables`). masks_properties: from
    `analysis.class_properties` over the masks of VOC12 train, shares as fractions; without them class properties cannot
    be checked. claims: by default `reader.claims`.
    printed, recomputed: text. difference, tolerance: in the units of print, NaN where there is no number.
    about: the cells concerned, written T3|tv|O and separated by semicolons.
    Raises ValueError when a table is missing or a claim cannot be evaluated.
    """
    book = reader.tables() if tables is None else dict(tables)
    missing = set(reader.table_info().index) - set(book)
    if missing:
        raise ValueError(f"the audit compares tables with each other: table {sorted(missing)} is missing, give all ten")
    lines = [
        *_tables(book),
        *_masks(book, masks_properties),
        *statements.evaluate(book, reader.claims() if claims is None else claims),
    ]
    return pd.DataFrame(lines, columns=COLUMNS)


def summary(lines: pd.DataFrame) -> pd.DataFrame:
    """How many lines of each table, and of the text, got which verdict; the last row is the total."""
    counts = pd.crosstab(lines["table"], lines["verdict"]).reindex(columns=list(VERDICTS), fill_value=0)
    order = [str(number) for number in reader.table_info().index] + ["text"]
    counts = counts.reindex([name for name in order if name in counts.index])
    counts.loc["all"] = counts.sum()
    return counts.assign(checked=counts.sum(axis=1)).rename_axis(columns=None)


def by_rule(lines: pd.DataFrame) -> pd.DataFrame:
    """How many lines each rule decided which way, what it means, and its first finding; most contradictions first."""
    counts = pd.crosstab(lines["rule"], lines["verdict"]).reindex(columns=list(VERDICTS), fill_value=0)
    counts = counts.sort_values([VERDICTS[2], VERDICTS[1], VERDICTS[0]], ascending=False)
    first = {}
    for verdict in VERDICTS[1:3]:  # a contradiction replaces what is only explained
        of = lines[lines["verdict"] == verdict].drop_duplicates("rule")
        found = zip(place(of), of["printed"], of["explanation"], strict=True)
        first |= dict(zip(of["rule"], (f"{where}: {text}; {why}" for where, text, why in found), strict=True))
    words = counts.index.map(RULES)
    return counts.assign(means=words, example=[first.get(rule, "") for rule in counts.index]).rename_axis(
        index=None, columns=None
    )


def place(lines: pd.DataFrame) -> pd.Series:
    """Where each line is about, in words: "Table 3, tv, O", or the section and the sentence quoted."""
    cells = "Table " + lines["table"] + ", " + lines["row"] + ", " + lines["column"]
    return cells.where(lines["table"] != "text", lines["row"] + ": “" + lines["column"] + "”")


def findings(lines: pd.DataFrame, *, verdicts: tuple[str, ...] = VERDICTS[1:3]) -> pd.DataFrame:
    """The lines worth reading: those with one of `verdicts`, by default what is explained and what contradicts."""
    unknown = set(verdicts) - set(VERDICTS)
    if unknown:
        raise ValueError(f"no such verdict: got {', '.join(sorted(unknown))}, ask for {', '.join(VERDICTS)}")
    return lines[lines["verdict"].isin(verdicts)].reset_index(drop=True)


def recipes(lines: pd.DataFrame) -> pd.DataFrame:
    """What explains the explained lines, most frequent first: rule, explanation, number of cells, the cells."""
    explained = lines[lines["verdict"] == VERDICTS[1]]
    grouped = explained.assign(cells=place(explained)).groupby(["rule", "explanation"], sort=False)["cells"]
    found = pd.DataFrame({"times": grouped.size(), "cells": grouped.agg("; ".join)}).reset_index()
    return found.sort_values("times", ascending=False, kind="stable", ignore_index=True)


def cell_verdicts(number: int, lines: pd.DataFrame) -> pd.DataFrame:
    """One line a cell of a table that the audit says something about: row, column, verdict, text, why.

    verdict: the worst of the cell's own lines (contradicts, explained, agrees, cannot be checked); where only sentences
    of the text are about it, "agrees" if one repeats it and "" otherwise. text: whether a sentence about the cell is
    explained or contradicted. why: the lines, one below the other.
    """
    worst = [VERDICTS[2], VERDICTS[1], VERDICTS[0], VERDICTS[3]]
    own: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines.itertuples():
        for cell in line.about.split("; "):
            table, _, rest = cell.partition("|")
            if table != f"T{number}" or rest.count("|") != 1:
                continue
            found = own.setdefault(tuple(rest.split("|")), {"verdicts": [], "said": [], "why": []})
            found["said" if line.table == "text" else "verdicts"].append(line.verdict)
            said = f"“{line.column}”, {line.check}" if line.table == "text" else line.check
            recomputed = f" ({line.recomputed})" if line.recomputed else ""
            found["why"].append(f"{line.verdict}: {said}{recomputed}; {line.explanation}".rstrip("; "))
    rows = []
    for (row, column), found in own.items():
        verdict = min(found["verdicts"], key=worst.index, default=VERDICTS[0] if VERDICTS[0] in found["said"] else "")
        doubted = any(verdict in worst[:2] for verdict in found["said"])
        rows.append([row, column, verdict, doubted, "\n".join(dict.fromkeys(found["why"]))])
    return pd.DataFrame(rows, columns=["row", "column", "verdict", "text", "why"])


def coverage(lines: pd.DataFrame, tables: Mapping[int, pd.DataFrame] | None = None) -> pd.DataFrame:
    """For each table, how many printed numbers there are and how many of them a line of the audit is about.

    The rest (class IoU, scores after each epoch, the literature) is what other numbers follow from, or stands alone.
    """
    book = reader.tables() if tables is None else tables
    about = {cell for cells in lines.loc[lines["verdict"] != VERDICTS[3], "about"] for cell in cells.split("; ")}
    counts = {}
    for number, text in book.items():
        cells = [
            f"T{number}|{row}|{column}"
            for column in reader.number_columns(text)
            for row in text.index[text[column] != ""]
        ]
        counts[number] = {"printed": len(cells), "audited": len(about.intersection(cells))}
    return pd.DataFrame.from_dict(counts, orient="index").rename_axis("table")


def _tables(book: recompute.Book) -> list[recompute.Line]:
    sources = [recompute.printed_rows(book)]
    return [
        *consistency.repeated_cells(book),
        *consistency.group_members(book),
        *recompute.group_rows(book, sources),
        *recompute.overall_rows(book, sources),
        *recompute.correlation_rows(book, sources),
        *consistency.integer_counts(book),
        *consistency.cardinality_bounds(book),
        *consistency.group_cuts(book),
        *consistency.column_means(book),
    ]


def _masks(book: recompute.Book, properties: pd.DataFrame | None) -> list[recompute.Line]:
    """The checks that need the masks; without them the class cells are listed as unchecked."""
    if properties is None:
        unknown = pd.DataFrame(columns=list(recompute.PROPERTY_COLUMNS.values()), dtype=float)
        return list(recompute.class_cells(book, recompute.mask_rows(book, unknown)[0]))
    absent = set(recompute.PROPERTY_COLUMNS.values()) - set(properties.columns)
    if absent:
        raise ValueError(
            f"class properties lack {', '.join(sorted(absent))}: got {', '.join(map(str, properties.columns))}, "
            "give the frame of analysis.class_properties"
        )
    sources = recompute.mask_rows(book, properties)
    columns = list(recompute.PROPERTY_COLUMNS)
    return [
        *recompute.class_cells(book, sources[0]),
        *recompute.group_rows(book, sources, columns),
        *recompute.overall_rows(book, sources, columns),
        *recompute.correlation_rows(book, sources),
    ]
