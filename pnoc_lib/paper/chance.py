"""Verdicts on a statement, and how often they come out so when nothing is there to be found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

HOLDS, WITHIN, FAILS = "holds", "within spread", "does not hold"
EQUAL = "equal"
PRINTED = 0.05  # percent points: what lies below is nothing in a table with one decimal
KINDS: dict[str, Callable[[float, Sequence[float]], float]] = {
    "above": lambda own, others: own - max(others),
    "below": lambda own, others: min(others) - own,
    "stronger": lambda own, others: abs(own) - max(map(abs, others)),
    "between": lambda own, others: min(own - min(others), max(others) - own),
}
DRAWS = 4000


def verdict(differences: Sequence[float]) -> str:
    """What one difference a seed (percent points), positive where the statement is true, makes of it.

    A mean below print rounding is "equal". The spread is the standard deviation over the seeds (n - 1); a mean no
    larger than it, in either direction, is "within spread". One seed has no spread: its sign decides.
    """
    mean = float(np.mean(differences))
    if abs(mean) < PRINTED:
        return EQUAL
    if len(differences) > 1 and abs(mean) <= np.std(differences, ddof=1):
        return WITHIN
    return HOLDS if mean > 0 else FAILS


@lru_cache(maxsize=256)
def of_holding(kind: str, others: int, seeds: int, *, constant: bool = False) -> float:
    """How often a statement "holds" when all its methods are the same in truth: a fraction.

    kind: of `KINDS`. others: methods that it is compared with. seeds: of the runs. constant: it is compared with a
    fixed number, which equals the method in truth. NaN without a seed.
    The scores are drawn from one normal distribution, so wide that no two are equal, by the rule of `verdict`. With
    one seed the best of five is so 1 in 5 times, a pair 1 in 2.
    """
    if seeds < 1:
        return float("nan")
    draws = np.random.default_rng(0).normal(scale=100, size=(DRAWS, seeds, 1 + others))
    if constant:
        draws[:, :, 1:] = 0
    words = [verdict([KINDS[kind](own, rest) for own, *rest in run]) for run in draws.tolist()]
    return words.count(HOLDS) / DRAWS
