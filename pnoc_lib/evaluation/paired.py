"""Paired differences over seeds: what two variants that share data and starting weights differ by, and how surely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

HOLDS, REFUTED, OPEN = "holds", "refuted", "open"
ERRORS = 2.0  # standard errors beyond which a statement holds or is refuted


def difference(scores: pd.DataFrame, higher: str, lower: str, column: str) -> dict[str, float | int | str]:
    """Mean over seeds of `higher` minus `lower`, in the unit of the column.

    scores: one row a training, with columns variant, seed and `column`; a seed counts where both variants have it.
    Returns n, mean, se (standard error of the mean), low and high (95 % by Student's t), and the verdict on "higher is
    above lower": `HOLDS` or `REFUTED` when the mean is more than `ERRORS` standard errors on that side, else `OPEN`.
    With fewer than two seeds there is no spread: se, low and high are NaN and the verdict is `OPEN`.
    Raises ValueError when a seed of a variant stands there twice.
    """
    twice = scores.duplicated(["variant", "seed"])
    if twice.any():
        row = scores[twice].iloc[0]
        raise ValueError(f"seed {row['seed']} of {row['variant']!r} stands there twice: keep one training of each seed")
    wide = scores.pivot(index="seed", columns="variant", values=column)
    pairs = wide.reindex(columns=[higher, lower]).dropna()
    apart = (pairs[higher] - pairs[lower]).to_numpy()
    n, mean = len(apart), float(apart.mean()) if len(apart) else np.nan
    if n < 2:
        return {"n": n, "mean": mean, "se": np.nan, "low": np.nan, "high": np.nan, "verdict": OPEN}
    se = float(apart.std(ddof=1) / np.sqrt(n))
    reach = float(special.stdtrit(n - 1, 0.975)) * se
    verdict = HOLDS if mean > ERRORS * se else REFUTED if mean < -ERRORS * se else OPEN
    return {"n": n, "mean": mean, "se": se, "low": mean - reach, "high": mean + reach, "verdict": verdict}


def verdicts(scores: pd.DataFrame, statements: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """`difference` of every statement in every column: one row each, in the order of the statements.

    statements: columns statement (text), higher and lower (names of variants); others are kept.
    """
    rows = [
        row.to_dict() | {"score": column} | difference(scores, row["higher"], row["lower"], column)
        for _, row in statements.iterrows()
        for column in columns
    ]
    return pd.DataFrame(rows)
