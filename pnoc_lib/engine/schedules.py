"""What changes during training: learning rates and, later, the weights of the loss terms (Section 6.1)."""

from __future__ import annotations


def linear(step: int, total: int, start: float, end: float, *, share: float = 1.0) -> float:
    """Ramp from `start` to `end`, complete after `share` of the training (the lambdas of Section 6.1).

    step: iterations done, from 0. total: iterations of the whole training. share: fraction in (0, 1].
    Returns the value at `step`; it stays at `end` once there.
    Raises ValueError when `total` or `share` is not positive.
    """
    if total <= 0 or not 0 < share <= 1:
        raise ValueError(f"a ramp needs total > 0 and share in (0, 1], got total={total}, share={share}")
    return start + (end - start) * min(step / (total * share), 1.0)


def poly(step: int, total: int, *, power: float = 0.9) -> float:
    """Factor of the learning rate after `step` of `total` optimiser steps: (1 - step / total) ** power.

    Returns a factor in [0, 1]; 1 at the first step, 0 at and after the end.
    Raises ValueError when `total` is not positive or `power` is negative.
    Reads the paper as: "linearly decaying" (Section 6.1) is the usual power of 0.9, which is almost a straight line.
    """
    if total <= 0 or power < 0:
        raise ValueError(f"poly decay needs total > 0 and power >= 0, got total={total}, power={power}")
    return max(1 - step / total, 0.0) ** power
