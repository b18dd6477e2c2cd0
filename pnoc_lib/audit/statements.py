"""Claims of the text, evaluated against the tables: `claims.csv` names the cells, the code below computes the verdict.

Cells and rivals are written as `references` has it. Kinds and what they check:

value, same       a number of the text, or a second cell, is that of the cell
difference        "amount: start > end" adds up, start and end are in the cells, cells give the amount, like with like
best, worst, strongest, rank    of the cell among its rivals (strongest: by absolute value; rank: "2", or "2: 61.9")
above             all (or some) cells lie above the best rival
margin            above the rivals by more than above the second cell
peak              early or late: the epoch of the best score in the columns
factor            the two rows of "cell > cell" differ in the claimed column only
rows              the rows that fulfil `among` are those counted ("4-5");  product: of the cells
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from pnoc_lib.audit import references as refs
from pnoc_lib.audit.recompute import Book, Line, line
from pnoc_lib.audit.references import Ref, Texts
from pnoc_lib.paper.reader import as_numbers, hyper_parameters, table_info
from pnoc_lib.paper.rounding import (
    AGREES,
    CONTRADICTS,
    EPSILON,
    EXPLAINED,
    NO_PRINT,
    UNCHECKED,
    Estimate,
    Judgement,
    half_unit,
    judge,
    judge_repeat,
    number,
    propagate,
)

Checks = Iterator[tuple[str, str, Judgement]]  # what is checked, the print, the verdict on it
FACTORS = ("B.bone", "Hints", "Segm. Priors", "+LS", "+C2AM-H", "+NOC", "Sup.", "Backbone", "Seg.")


def evaluate(book: Book, claims: pd.DataFrame) -> Iterator[Line]:
    """Lines of the audit for every claim, in order.

    Raises ValueError for an unknown kind, or a reference to a cell that does not exist, naming the claim.
    """
    texts = {f"T{n}": text for n, text in book.items()} | {"H": hyper_parameters(printed=True)}
    for claim in claims.itertuples():
        if claim.kind not in KINDS:
            raise ValueError(
                f"claim {claim.claim} is of no known kind: got {claim.kind!r}, use one of {', '.join(KINDS)}"
            )
        place = claim.section if claim.section.startswith(("Table", "Figure")) else f"Section {claim.section}"
        try:
            for what, printed, judgement in KINDS[claim.kind](texts, claim):
                about = "; ".join(part.strip() for part in re.split("[;>]", claim.cells))
                yield {**line("text", place, claim.quote, what, printed, judgement), "about": about}
        except (KeyError, ValueError) as error:
            raise ValueError(f"claim {claim.claim} cannot be evaluated: {error}; mend claims.csv") from error


def _against(texts: Texts, printed: str, ref: Ref) -> Judgement:
    """Verdict on a number that should be that of a cell; a mismatch says where the number stands instead."""
    judgement = judge_repeat(printed, refs.cell(texts, ref), where=refs.name(ref))
    if judgement.verdict == CONTRADICTS:
        judgement = judgement._replace(explanation=refs.stands(texts, ref, printed))
    return judgement


def _value(texts: Texts, claim: Any) -> Checks:
    """The claimed number is that of the cell."""
    yield "number in a table", claim.claimed, _against(texts, claim.claimed, refs.parse(claim.cells)[0])


def _same(texts: Texts, claim: Any) -> Checks:
    """Two cells print one number."""
    first, second = refs.parse(claim.cells)
    yield "same number", refs.cell(texts, first), _against(texts, refs.cell(texts, first), second)


def _product(texts: Texts, claim: Any) -> Checks:
    """The claimed number is the product of the cells."""
    value = 1.0
    for ref in refs.parse(claim.cells):
        value *= number(refs.cell(texts, ref))
    yield "product", claim.claimed, judge(claim.claimed, [(claim.cells, Estimate(value))], exact=True)


def _minus(start: str, end: str) -> Estimate:
    """Distance between two printed numbers, with their rounding."""
    ends = number(start), number(end)
    return propagate(lambda v: abs(float(v[1] - v[0])), ends, (half_unit(start), half_unit(end)))


def _difference(texts: Texts, claim: Any) -> Checks:
    """The claimed amount, its two ends, and the cells they should be."""
    amount, _, arrow = claim.claimed.partition(":")
    start, end = (part.strip() for part in arrow.split(">"))
    first, last = refs.parse(claim.cells, ">")
    if amount:
        yield "difference adds up", amount, judge(amount, [(f"{start} to {end}", _minus(start, end))])
    for what, printed, ref in (("start", start, first), ("end", end, last)):
        nowhere = Judgement("", math.nan, math.nan, UNCHECKED, "no input", "in no table")
        yield f"{what} of a difference", printed, nowhere if ref is None else _against(texts, printed, ref)
    if first is None or last is None:
        return
    if amount:
        cells = _minus(refs.cell(texts, first), refs.cell(texts, last))
        yield "difference of the cells", amount, judge(amount, [(f"{refs.name(first)} to {refs.name(last)}", cells)])
    if first[0] != last[0]:
        info = table_info()["quantity"]
        kinds = [info[int(ref[0][1:])] for ref in (first, last)]
        verdict = AGREES if kinds[0] == kinds[1] else CONTRADICTS
        judgement = Judgement(kinds[0], math.nan, math.nan, verdict, "one quantity", refs.name(first))
        yield "like with like", kinds[1], judgement


def _ranked(key: Callable[[float], float], what: str, position: int | None = None) -> Callable[..., Checks]:
    """Check of the rank of a cell among its rivals, highest `key` first; a tie in print is explained, not agreed."""

    def check(texts: Texts, claim: Any) -> Checks:
        (ref,) = refs.parse(claim.cells)
        rank, _, value = claim.claimed.partition(":") if position is None else (str(position), "", claim.claimed)
        if value.strip():
            yield "number in a table", value.strip(), _against(texts, value.strip(), ref)
        if not refs.cell(texts, ref):
            yield what, rank, NO_PRINT
            return
        own = key(number(refs.cell(texts, ref)))
        rivals = {rival: key(number(refs.cell(texts, rival))) for rival in refs.rivals(texts, ref, claim.among)}
        above = [rival for rival, score in rivals.items() if score > own]
        ties = [rival for rival, score in rivals.items() if score == own]
        place = len(above) + 1
        detail = f"{refs.name(ref)} has {refs.cell(texts, ref)} among {len(rivals) + 1}"
        verdict = AGREES if place == int(rank) else CONTRADICTS
        if ties and place <= int(rank) <= place + len(ties):
            verdict, detail = EXPLAINED, f"{detail}, shared with " + "; ".join(f"{r[1]}, {r[2]}" for r in ties)
        elif verdict == CONTRADICTS:
            detail += "; before it: " + "; ".join(f"{r[1]}, {r[2]} {refs.cell(texts, r)}" for r in above[:4])
        yield what, rank, Judgement(str(place), place - int(rank), 0.0, verdict, "rank", detail)

    return check


def _above(texts: Texts, claim: Any) -> Checks:
    """The lowest of the cells lies above the best of the rivals."""
    own = refs.parse(claim.cells)
    rivals = [rival for rival in refs.rivals(texts, own[0], claim.among) if rival not in own]
    if not all(refs.cell(texts, ref) for ref in own):
        yield "above the others", "", NO_PRINT
        return
    lowest = min(own, key=lambda ref: number(refs.cell(texts, ref)))
    bar = number(refs.cell(texts, lowest))
    beaten = [rival for rival in rivals if number(refs.cell(texts, rival)) < bar]
    missed = [rival for rival in rivals if rival not in beaten]
    detail = f"{refs.name(lowest)} has {refs.cell(texts, lowest)}"
    if missed:
        detail += "; not below: " + "; ".join(f"{r[1]}, {r[2]} {refs.cell(texts, r)}" for r in missed[:5])
    some = claim.claimed == "some" and beaten
    verdict = AGREES if not missed else EXPLAINED if some else CONTRADICTS
    best = max(number(refs.cell(texts, rival)) for rival in rivals)
    judgement = Judgement(f"above {len(beaten)} of {len(rivals)}", bar - best, 0.0, verdict, "order", detail)
    yield "above the others", refs.cell(texts, lowest), judgement


def _margin(texts: Texts, claim: Any) -> Checks:
    """The lead over the rivals is wider than that over the second cell."""
    own, slight = refs.parse(claim.cells)
    if not refs.cell(texts, own) or not refs.cell(texts, slight):
        yield "margin", "", NO_PRINT
        return
    top = max(refs.rivals(texts, own, claim.among), key=lambda ref: number(refs.cell(texts, ref)))
    wide, narrow = (number(refs.cell(texts, own)) - number(refs.cell(texts, ref)) for ref in (top, slight))
    verdict = AGREES if wide > narrow + EPSILON else CONTRADICTS
    detail = f"{wide:.1f} over {top[1]}, {narrow:.1f} over {slight[1]}"
    yield "margin", f"> {narrow:.1f}", Judgement(f"{wide:.1f}", wide - narrow, 0.0, verdict, "order", detail)


def _peak(texts: Texts, claim: Any) -> Checks:
    """The best of the epochs lies in the claimed half."""
    table, row, columns = refs.parse(claim.cells)[0]
    first, last = (int(name[1:]) for name in columns.split("-"))
    scores = as_numbers(texts[table]).loc[row, [f"E{epoch}" for epoch in range(first, last + 1)]]
    epoch = int(str(scores.idxmax())[1:])
    found = "early" if epoch <= (first + last) / 2 else "late"
    verdict = AGREES if found == claim.claimed else CONTRADICTS
    detail = f"{row}: best {scores.max():.1f} at E{epoch}, {scores.iloc[-1]:.1f} at E{last}; early ends at the middle"
    judgement = Judgement(found, math.nan, 0.0, verdict, "half of the epochs", detail)
    yield "epoch of the best score", claim.claimed, judgement


def _factor(texts: Texts, claim: Any) -> Checks:
    """The two rows differ in the claimed column only."""
    first, last = refs.parse(claim.cells, ">")
    text = texts[first[0]]
    changed = [column for column in FACTORS if column in text and text.at[first[1], column] != text.at[last[1], column]]
    verdict = AGREES if changed == [claim.claimed] else CONTRADICTS
    detail = f"{refs.name(first)} to {last[1]}"
    if verdict == CONTRADICTS:
        detail += f"; {_alone(text, last, claim.claimed)}"
    judgement = Judgement(", ".join(changed), len(changed) - 1, 0.0, verdict, "one factor", detail)
    yield "one factor", claim.claimed, judgement


def _alone(text: pd.DataFrame, last: Ref, factor: str) -> str:
    """Rows from which `last` differs in `factor` only, with the difference that they give."""
    others = [column for column in FACTORS if column in text and column != factor]
    fixed = (text[others] == text.loc[last[1], others]).all(axis=1) & (text[factor] != text.at[last[1], factor])
    end, column = number(text.at[last[1], last[2]]), last[2]
    found = [f"{row} ({end - number(text.at[row, column]):+.2f})" for row in text.index[fixed]]
    return f"{factor} alone changes from " + "; ".join(found) if found else f"no row differs in {factor} alone"


def _rows(texts: Texts, claim: Any) -> Checks:
    """The rows that fulfil `among` are the claimed ones, counted from 1 below the heading."""
    text = texts[claim.cells]
    found = [text.index.get_loc(row) + 1 for row in refs.where(text, claim.among.removeprefix("where "))]
    first, last = (int(part) for part in claim.claimed.split("-"))
    shift = first - found[0]
    same = found == list(range(first - shift, last - shift + 1))
    verdict = CONTRADICTS if not same or shift not in (0, 1) else EXPLAINED if shift else AGREES
    detail = "rows counted from the first below the heading" if not shift else "the heading counted as row 1"
    detail = detail if same else claim.among
    judgement = Judgement(f"{found[0]}-{found[-1]}", -shift, 0.0, verdict, "row numbers", detail)
    yield "row numbers", claim.claimed, judgement


KINDS: dict[str, Callable] = {
    "value": _value,
    "same": _same,
    "product": _product,
    "difference": _difference,
    "best": _ranked(lambda score: score, "best", 1),
    "worst": _ranked(lambda score: -score, "worst", 1),
    "strongest": _ranked(abs, "strongest", 1),
    "rank": _ranked(lambda score: score, "rank"),
    "above": _above,
    "margin": _margin,
    "peak": _peak,
    "factor": _factor,
    "rows": _rows,
}
