"""What the tables say twice: repeated cells, listed members, column means, and counts that must be whole.

Every check yields lines of the audit, as in `recompute`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pandas as pd

from pnoc_lib.audit.recompute import GROUPING, Book, Line, line, mean, named_members, printed_rows
from pnoc_lib.paper.reader import number_columns, same_cells, table_info, twin_rows
from pnoc_lib.paper.rounding import (
    AGREES,
    CONTRADICTS,
    EPSILON,
    EXPLAINED,
    NO_PRINT,
    Estimate,
    Judgement,
    half_unit,
    judge,
    judge_repeat,
    number,
    propagate,
    show,
)


def repeated_cells(book: Book) -> Iterator[Line]:
    """Cells printed twice: all rows that Tables 1 and 3 share, and the pairs of `reader.same_cells`.

    A difference is explained when the paper says that one of the two averages several runs and the other print follows
    from its own class rows.
    """
    one, three = book[1], book[3]
    for row, twin in twin_rows(one, three).items():
        for column in number_columns(one):
            if one.at[row, column] or three.at[twin, column]:
                first, second = one.at[row, column], three.at[twin, column]
                judgement = judge_repeat(first, second, where=f"Table 3, {twin}, {column}")
                yield line(1, row, column, "printed twice", first, judgement)
    runs, own = table_info()["runs"], printed_rows(book)
    for pair in same_cells().itertuples():
        first, second = book[pair.table].at[pair.row, pair.column], book[pair.table2].at[pair.row2, pair.column2]
        where = f"Table {pair.table2}, {pair.row2}, {pair.column2}: {pair.why}"
        judgement = judge_repeat(first, second, where=where)
        if judgement.verdict == CONTRADICTS and runs[pair.table] != runs[pair.table2] and pair.table2 in (1, 3):
            recomputed = judge(second, [("mean of its class rows", own.estimate(mean, own.values.index, pair.column2))])
            if recomputed.verdict == AGREES:
                detail = (
                    f"{where}; {runs[pair.table]} runs averaged here, class rows there give {recomputed.recomputed}"
                )
                judgement = judgement._replace(verdict=EXPLAINED, rule="runs differ", explanation=detail)
        yield line(pair.table, pair.row, pair.column, "printed twice", first, judgement)


def column_means(book: Book) -> Iterator[Line]:
    """Overall of Table 5 and avg. of Table 10 against the mean of the classes; Table 4's TTA against Table 5's mean."""
    text = book[5]
    for column in number_columns(text):
        recipes = _mean_recipes(text.loc[text.index != "overall", column], "background", "80 foreground classes")
        printed = text.at["overall", column]
        yield line(5, "overall", column, "column mean", printed, judge(printed, recipes))
        printed = book[4].at[f"RS269 {column}", "TTA"]
        yield line(4, f"RS269 {column}", "TTA", "column mean of Table 5", printed, judge(printed, recipes))
    text = book[10]
    for row in text.index:
        recipes = _mean_recipes(text.loc[row, number_columns(text)].drop("avg."), "bg", "20 foreground classes")
        yield line(10, row, "avg.", "row mean", text.at[row, "avg."], judge(text.at[row, "avg."], recipes))


def group_members(book: Book) -> Iterator[Line]:
    """Members that the group rows list, against the Group, Size and Freq. columns of the class rows of Table 3."""
    for table in (1, 3):
        text = book[table]
        for row in text.index[text["section"].isin(list(GROUPING))]:
            listed, named = text.at[row, "Classes"].split(), named_members(book, text.at[row, "section"], row)
            missing, extra = sorted(set(named) - set(listed)), sorted(set(listed) - set(named))
            parts = (("not listed", missing), ("only listed", extra))
            detail = "; ".join(f"{what}: {' '.join(who)}" for what, who in parts if who)
            verdict = CONTRADICTS if detail else AGREES
            judgement = Judgement(" ".join(named), len(listed) - len(named), 0.0, verdict, "same members", detail)
            yield line(table, row, "Classes", "members", " ".join(listed), judgement)


def integer_counts(book: Book) -> Iterator[Line]:
    """%C of a class is a share of its O images: some whole number of them must give the printed percent."""
    for row, cells in _foreground(book).iterrows():
        judgement = _whole_images(cells["%C"], cells["O"]) if cells["%C"] and cells["O"] else NO_PRINT
        yield line(3, row, "O", "%C of O images is a whole number", cells["O"], judgement)


def cardinality_bounds(book: Book) -> Iterator[Line]:
    """L is at least 1 + %C / 100: every image in which a class co-occurs has two classes or more."""
    for row, cells in _foreground(book).iterrows():
        least = 1 + number(cells["%C"]) / 100
        allowed = half_unit(cells["L"]) + half_unit(cells["%C"]) / 100
        short = number(cells["L"]) - least
        verdict = AGREES if short >= -allowed else CONTRADICTS
        judgement = Judgement(f">= {least:.3f}", short, allowed, verdict, "lower bound", "1 + %C / 100")
        if not cells["L"] or not cells["%C"]:
            judgement = NO_PRINT
        yield line(3, row, "L", "least cardinality", cells["L"], judgement)


def group_cuts(book: Book) -> Iterator[Line]:
    """Size groups must be separable by %S and frequency groups by O: one cut between neighbours."""
    rows = _foreground(book)
    for column, order, by in (("Size", ("small", "mid", "large"), "%S"), ("Freq.", ("low", "mid", "high"), "O")):
        values = rows[by].map(number)
        for low, high in pairwise(order):
            top, bottom = values[rows[column] == low].max(), values[rows[column] == high].min()
            verdict = AGREES if top < bottom else CONTRADICTS
            found, detail = f"{top:g} < {bottom:g}", f"largest of {low}, smallest of {high}"
            judgement = Judgement(found, bottom - top, 0.0, verdict, "separable", detail)
            yield line(3, f"{low} | {high}", column, f"groups are cut by {by}", f"{low} < {high}", judgement)


def _foreground(book: Book) -> pd.DataFrame:
    text = book[3]
    return text[(text["section"] == "class") & (text.index != "background")]


def _whole_images(share: str, occurrence: str) -> Judgement:
    images, allowed = round(number(occurrence)), half_unit(share)
    count, gap = _nearest_share(share, images)
    percent = show(100 * count / images)
    if gap <= allowed + EPSILON:
        return Judgement(percent, gap, allowed, AGREES, "whole images", f"{count} of {images} images")
    near = range(max(images - 2, 1), images + 3)
    others = " or ".join(str(other) for other in near if _nearest_share(share, other)[1] <= allowed + EPSILON)
    detail = f"no count out of {images} images gives {share}; O = {others or 'none nearby'} would"
    return Judgement(percent, gap, allowed, CONTRADICTS, "whole images", detail)


def _nearest_share(share: str, images: int) -> tuple[int, float]:
    """The count out of so many images that comes nearest to a percentage, and by how much it misses."""
    count = round(number(share) * images / 100)
    return count, abs(100 * count / images - number(share))


def _mean_recipes(cells: pd.Series, background: str, rest: str) -> list[tuple[str, Estimate]]:
    def over(part: pd.Series) -> Estimate:
        return propagate(lambda values: float(values.mean()), part.map(number), part.map(half_unit))

    return [(f"mean of {len(cells)} classes", over(cells)), (f"mean of the {rest}", over(cells.drop(background)))]
