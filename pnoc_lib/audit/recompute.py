"""Tables 1 and 3 from their class rows: group means, overall mean and sigma, correlations; class rows from real masks.

Every check yields lines of the audit. Where the plain recipe fails, declared alternatives are tried (other members,
other rows, another count of O), so that an explanation is found by computing and never typed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from pnoc_lib.paper.reader import class_groups, number_columns
from pnoc_lib.paper.rounding import Estimate, Judgement, half_unit, judge, number, propagate

Book = Mapping[int, pd.DataFrame]  # printed tables by number
Line = dict[str, Any]  # one line of the audit
PROPERTY_COLUMNS = {"O": "occurrence", "%S": "relative_size", "%C": "cooccurrence", "L": "cardinality"}
GROUPING = {"size": "Size", "frequency": "Freq.", "group": "Group"}  # section of a group row: column of the class rows
FOREGROUND, ALL_ROWS = "over the 20 foreground classes", "over all class rows that have a value"


@dataclass(frozen=True, eq=False)
class ClassRows:
    """One number a class: values and their half units, (21 classes x columns), and where they come from."""

    name: str
    values: pd.DataFrame
    halves: pd.DataFrame

    def estimate(self, recipe: Callable[[np.ndarray], float], rows: Sequence[str], *columns: str) -> Estimate:
        """`recipe` of the (len(columns), rows) values without NaN; NaN when nothing is left or a class is unknown."""
        at, to = self.values.index.get_indexer(list(rows)), self.values.columns.get_indexer(list(columns))
        if (at < 0).any():
            return Estimate(np.nan)
        values, halves = (frame.to_numpy()[np.ix_(at, to)].T for frame in (self.values, self.halves))
        known = ~np.isnan(values).any(axis=0)
        if not known.any():
            return Estimate(np.nan)
        values, halves = values[:, known], halves[:, known]
        return propagate(lambda flat: recipe(flat.reshape(values.shape)), values.ravel(), halves.ravel())


def line(table: int | str, row: str, column: str, check: str, printed: str, judgement: Judgement) -> Line:
    """One line of the audit; `about` names its cell as claims do."""
    cell = {"table": str(table), "row": row, "column": column, "check": check, "printed": printed}
    return {**cell, **judgement._asdict(), "about": f"T{table}|{row}|{column}"}


def mean(values: np.ndarray) -> float:
    """Of a (1, n) array."""
    return float(values.mean())


def sigma(values: np.ndarray) -> float:
    """Sample standard deviation, n - 1, of a (1, n) array."""
    return float(values.std(ddof=1)) if values.size > 1 else np.nan


def sigma_population(values: np.ndarray) -> float:
    """Standard deviation with n of a (1, n) array."""
    return float(values.std())


def rho(values: np.ndarray) -> float:
    """100 times the Pearson correlation of the two rows of a (2, n) array."""
    x, y = values - values.mean(axis=1, keepdims=True)
    return 100.0 * float(x @ y / np.sqrt((x @ x) * (y @ y)))


def printed_rows(book: Book) -> ClassRows:
    """The class rows of Table 3 as printed; O is a count and thus exact."""
    text = book[3][book[3]["section"] == "class"]
    columns = number_columns(text)
    halves = text[columns].map(half_unit)
    halves["O"] = 0.0
    return ClassRows("printed class rows", text[columns].map(number), halves)


def mask_rows(book: Book, properties: pd.DataFrame) -> list[ClassRows]:
    """Class rows with the properties of real masks: with the counted O, and with the printed O.

    properties: as from `analysis.class_properties`, indexed by VOC's class names, shares as fractions.
    """
    plain = printed_rows(book)
    labels = {"background": "background", **class_groups()["label"]}
    known = properties.rename(index=labels).reindex(plain.values.index)
    values, halves = plain.values.copy(), plain.halves.copy()
    for column, name in PROPERTY_COLUMNS.items():
        values[column] = known[name] * (100.0 if column.startswith("%") else 1.0)
        halves[column] = 0.0
    values.loc["background", ["O", "%C", "L"]] = np.nan  # the paper has none for background
    counted = ClassRows("properties of the masks", values, halves)
    as_printed = values.assign(O=plain.values["O"])
    return [counted, replace(counted, name="properties of the masks, O as printed", values=as_printed)]


def group_rows(book: Book, sources: Sequence[ClassRows], columns: Sequence[str] | None = None) -> Iterator[Line]:
    """Group means of Tables 1 and 3: over the members that the row lists, or over those that the class rows name."""
    for table in (1, 3):
        text = book[table]
        for row in text.index[text["section"].isin(list(GROUPING))]:
            listed = text.at[row, "Classes"].split()
            named = named_members(book, text.at[row, "section"], row)
            for column in columns or number_columns(text):
                recipes = [
                    (
                        f"mean of the {len(who)} members {how}, {source.name}",
                        partial(source.estimate, mean, who, column),
                    )
                    for how, who in (("listed", listed), ("that the class rows name", named))
                    for source in sources
                ]
                printed = text.at[row, column]
                yield line(table, row, column, f"group mean, {sources[0].name}", printed, judge(printed, recipes))


def overall_rows(book: Book, sources: Sequence[ClassRows], columns: Sequence[str] | None = None) -> Iterator[Line]:
    """Overall mean (Tables 1 and 3) and sigma (Table 3): over all class rows, or over the foreground."""
    for table, row, recipes in (
        (1, "Overall", {"mean": mean}),
        (3, "overall μ", {"mean": mean}),
        (3, "overall σ", {"sample standard deviation": sigma, "standard deviation with n": sigma_population}),
    ):
        text = book[table]
        for column in columns or number_columns(text):
            estimates = [
                (f"{name} {where}, {source.name}", partial(source.estimate, recipe, rows, column))
                for name, recipe in recipes.items()
                for where, rows in _populations(sources[0])
                for source in sources
            ]
            printed = text.at[row, column]
            yield line(table, row, column, f"overall, {sources[0].name}", printed, judge(printed, estimates))


def correlation_rows(book: Book, sources: Sequence[ClassRows]) -> Iterator[Line]:
    """Correlation of every property with every column, Tables 1 and 3."""
    for table in (1, 3):
        text = book[table]
        for row in text.index[text["section"] == "correlation"]:
            own = row.removeprefix("ρ ")
            for column in number_columns(text):
                estimates = [
                    (f"correlation {where}, {source.name}", partial(source.estimate, rho, rows, own, column))
                    for where, rows in _populations(sources[0])
                    for source in sources
                ]
                printed = text.at[row, column]
                yield line(table, row, column, f"correlation, {sources[0].name}", printed, judge(printed, estimates))


def class_cells(book: Book, counted: ClassRows) -> Iterator[Line]:
    """Class properties of Table 3, cell by cell, against real masks."""
    text = book[3]
    for row in counted.values.index:
        for column in PROPERTY_COLUMNS:
            printed = text.at[row, column]
            if row == "background" and column != "%S":
                continue
            estimate = Estimate(float(counted.values.at[row, column]))
            judgement = judge(printed, [(counted.name, estimate)], exact=column == "O")
            yield line(3, row, column, "class property, masks", printed, judgement)


def _populations(source: ClassRows) -> list[tuple[str, list[str]]]:
    rows = list(source.values.index)
    return [(ALL_ROWS, rows), (FOREGROUND, [row for row in rows if row != "background"])]


def named_members(book: Book, section: str, row: str) -> list[str]:
    """Classes of Table 3 whose row names the group of a group row."""
    label = row.lower().removesuffix(" freq.").removesuffix(" (group)")
    classes = book[3][book[3]["section"] == "class"]
    return list(classes.index[classes[GROUPING[section]] == label])
