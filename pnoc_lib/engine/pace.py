"""How long and how fast a training goes, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pnoc_lib.data import samples
from pnoc_lib.engine import schedules

PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class Pace:
    """How long and how fast: what every training has, whatever it trains.

    epochs: passes over the samples. batch_size: samples an iteration, over all processes; an incomplete last batch is
    dropped. accumulation: iterations an optimiser step; their gradients are summed, or averaged (average_accumulated).
    power: of the poly decay of the rate, which counts optimiser steps; 0 keeps the rate.
    rate_every: optimiser steps between two changes of the rate.
    precision: one of `PRECISIONS`. seed: decides order, augmentation and dropout; from 0 to 2**63 - 1.
    Raises ValueError for an impossible value.
    """

    epochs: int
    batch_size: int
    accumulation: int = 1
    average_accumulated: bool = False
    power: float = 0.9
    rate_every: int = 1
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "batch_size", "accumulation", "rate_every"):
            value = getattr(self, name)
            if not value > 0 or value != int(value):
                raise ValueError(f"{name} must be positive, got {value}: give a whole number from 1")
        if not 0 <= self.seed < 2**63 or self.seed != int(self.seed):
            raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1, got {self.seed}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}: choose one of {', '.join(PRECISIONS)}")
        schedules.poly(0, 1, power=self.power)


class Paced:
    """What settings of trainings have in common: a dataclass among whose fields stand those of a `Pace`."""

    @property
    def pace(self) -> Pace:
        """How long and how fast: the settings whose names are those of a `Pace`; ValueError for an impossible one."""
        return Pace(**{one.name: getattr(self, one.name) for one in fields(Pace) if hasattr(self, one.name)})

    @classmethod
    def of(cls, parameters: Mapping[str, Any]):
        """The settings among the parameters of a notebook, others are passed over; ValueError for an impossible one."""
        return cls(**{one.name: parameters[one.name] for one in fields(cls) if one.name in parameters})

    def _must(self, names: tuple[str, ...], *, be: str, hint: str = "") -> None:
        """Raise ValueError for one of the names that is not "positive", "not negative" or "in [0, 1]"."""
        fits = {"positive": lambda x: x > 0, "not negative": lambda x: x >= 0, "in [0, 1]": lambda x: 0 <= x <= 1}
        for name in names:
            if not fits[be](value := getattr(self, name)):
                word = "must not be negative" if be == "not negative" else f"must be {be}"
                raise ValueError(f"{name} {word}, got {value}" + (f": {hint}" if hint else ""))


@dataclass(frozen=True)
class Moment:
    """Where a training stands: `step` iterations are done of `total`; this is process `rank`."""

    step: int
    total: int
    seed: int
    rank: int = 0

    def draw(self, kind: int = 0) -> int:
        """The seed of what is drawn in this iteration by this process; another for every kind of thing."""
        return samples.mix(self.seed, self.step, self.rank, *((kind,) if kind else ()))

    def ramp(self, first: float, last: float, *, share: float = 1.0) -> float:
        """A weight that goes linearly from first to last within a share of the training: the lambdas (Section 6.1)."""
        return schedules.linear(self.step, self.total, first, last, share=share)
