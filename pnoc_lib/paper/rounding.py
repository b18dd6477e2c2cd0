"""What print rounding allows: estimates with propagated rounding, and the verdict on a printed number.

A printed number stands for any value within half a unit of its last digit. What is recomputed from printed numbers
inherits their rounding; what is recomputed from masks does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

AGREES, EXPLAINED, CONTRADICTS, UNCHECKED = "agrees", "explained", "contradicts", "cannot be checked"
VERDICTS = (AGREES, EXPLAINED, CONTRADICTS, UNCHECKED)
SPREADS = 2.0  # standard deviations of inherited rounding that are forgiven; fewer than 1 sound cell in 200 fails
EPSILON = 1e-9  # of the comparison; print has at most four decimals


@dataclass(frozen=True)
class Estimate:
    """A recomputed value, the standard deviation that the rounding of its inputs gives it, and the worst case of it."""

    value: float
    spread: float = 0.0
    worst: float = 0.0


Recipe = Estimate | Callable[[], Estimate]  # an estimate, or what makes it when it is needed


class Judgement(NamedTuple):
    """The half of an audit line that is computed; `difference` and `tolerance` are NaN where there is no number."""

    recomputed: str
    difference: float
    tolerance: float
    verdict: str
    rule: str
    explanation: str


NO_PRINT = Judgement("", math.nan, math.nan, UNCHECKED, "no print", "a cell that it is about is empty")


def number(text: str) -> float:
    """The value of a printed number ("69.5%" is 69.5); NaN for an empty cell.

    Raises ValueError when the text is no number.
    """
    plain = text.strip().rstrip("%")
    if not plain:
        return math.nan
    try:
        return float(plain)
    except ValueError:
        raise ValueError(f"a printed number was expected: got {text!r}, mend the CSV of the table") from None


def half_unit(text: str) -> float:
    """Half a unit in the last printed digit: 0.05 for "53.9", 0.005 for "73.50"; NaN for an empty cell."""
    plain = text.strip().rstrip("%")
    if not plain:
        return math.nan
    decimals = len(plain.partition(".")[2])
    return 0.5 * 10.0**-decimals


def propagate(recipe: Callable[[np.ndarray], float], values: Iterable[float], halves: Iterable[float]) -> Estimate:
    """Apply `recipe` to printed values and carry their rounding along, to first order.

    values: any number of numbers; halves: half units of the same length, 0 for exact ones.
    Each input moves the result by d when it moves by its half unit; uniform errors give the spread sqrt(sum d^2 / 3)
    and the worst case sum |d|.
    """
    values, halves = np.asarray(list(values), dtype=float), np.asarray(list(halves), dtype=float)
    effects = []
    for index in np.flatnonzero(halves > 0):
        up, down = values.copy(), values.copy()
        up[index] += halves[index]
        down[index] -= halves[index]
        effects.append(abs(recipe(up) - recipe(down)) / 2)
    effects = np.array(effects)
    return Estimate(float(recipe(values)), float(np.sqrt((effects**2).sum() / 3)), float(effects.sum()))


def tolerance(half: float, estimate: Estimate) -> float:
    """How far print and estimate may lie apart: half a unit, and `SPREADS` spreads but no more than the worst case."""
    return half + min(SPREADS * estimate.spread, estimate.worst)


def judge(printed: str, recipes: Sequence[tuple[str, Recipe]], *, exact: bool = False) -> Judgement:
    """Verdict on a printed number, given named recipes; the first is what the paper says, the others its declared
    alternatives.

    agrees: the first recipe comes within `tolerance`. explained: one of the others does; the explanation names it.
    contradicts: none does; the explanation says how far they are off. cannot be checked: no print, or no estimate.
    exact: the printed number is a count, so that nothing is forgiven for its own rounding.
    """
    known: list[tuple[str, Estimate]] = []
    value, half = number(printed), 0.0 if exact else half_unit(printed)
    for index, (name, recipe) in enumerate(recipes):
        estimate = recipe if isinstance(recipe, Estimate) else recipe()
        if math.isnan(estimate.value):
            continue
        known.append((name, estimate))
        allowed, gap = tolerance(half, estimate), value - estimate.value
        if math.isnan(value):
            break
        if abs(gap) <= allowed + EPSILON:
            verdict, rule = (AGREES, "print rounding") if index == 0 else (EXPLAINED, "recipe")
            return Judgement(show(estimate.value), gap, allowed, verdict, rule, name)
    if math.isnan(value):
        return Judgement(show(known[0][1].value) if known else "", math.nan, math.nan, UNCHECKED, "no print", "")
    if not known:
        return Judgement("", math.nan, math.nan, UNCHECKED, "no input", "what it follows from is not given")
    name, estimate = known[0]
    gap = value - estimate.value
    conspire = abs(gap) <= half + estimate.worst + EPSILON
    detail = f"{name}: off by {abs(gap):.3f}"
    if conspire:
        detail += f"; only if the rounding of the inputs conspired, {(abs(gap) - half) / estimate.spread:.1f} spreads"
    elif len(known) > 1:
        detail += "; so are " + "; ".join(f"{other} ({show(e.value)})" for other, e in known[1:])
    rule = "improbable rounding" if conspire else "no recipe fits"
    return Judgement(show(estimate.value), gap, tolerance(half, estimate), CONTRADICTS, rule, detail)


def judge_repeat(first: str, second: str, *, where: str = "") -> Judgement:
    """Verdict on one quantity printed twice: one print must be the other, or the other rounded.

    first is the print under audit, second the one it repeats, standing `where`.
    """
    if not first.strip() or not second.strip():
        return Judgement(second, math.nan, math.nan, UNCHECKED, "no print", "one of the two places is empty")
    gap = number(first) - number(second)
    halves = half_unit(first), half_unit(second)
    allowed = max(halves) if halves[0] != halves[1] else 0.0
    verdict, rule = (AGREES, "same print") if abs(gap) <= allowed + EPSILON else (CONTRADICTS, "two prints")
    return Judgement(second, gap, allowed, verdict, rule, where)


def show(value: float) -> str:
    """A recomputed number for the audit: three decimals."""
    return "" if math.isnan(value) else f"{value:.3f}"
