"""What a training remembers of its iterations and epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
import torch
from accelerate import Accelerator
from torch import Tensor

POSITION = ["step", "epoch", "lr"]  # columns that no mean is taken of


class History(NamedTuple):
    """Two tables: of every iteration step, epoch, lr and what was measured; of every epoch the means of that."""

    steps: pd.DataFrame
    epochs: pd.DataFrame


class Rows:
    """The history while it grows: what an iteration measured stays on the device until somebody asks for it.

    per_epoch: iterations an epoch.
    """

    def __init__(self, accelerator: Accelerator, per_epoch: int):
        self.accelerator, self.per_epoch = accelerator, per_epoch
        self.steps: list[dict[str, Any]] = []
        self.epochs: list[dict[str, Any]] = []
        self.pending: list[dict[str, Tensor]] = []

    def add(self, step: int, rate: float, measured: Mapping[str, Tensor]) -> None:
        """Remember what an iteration measured: scalars by name, still on the device."""
        self.steps.append({"step": step, "epoch": step // self.per_epoch + 1, "lr": rate})
        self.pending.append({name: value.detach().float() for name, value in measured.items()})

    def settle(self) -> str:
        """Bring what is pending to the host, as means over all processes; the name of a loss that is not finite."""
        if not self.pending:
            return ""
        values = torch.stack([value for measured in self.pending for value in measured.values()])
        values = iter(self.accelerator.reduce(values, "mean").tolist())
        rows = self.steps[-len(self.pending) :]
        for row, measured in zip(rows, self.pending, strict=True):
            row |= {name: next(values) for name in measured}
        self.pending.clear()
        for row in rows:
            for name, value in row.items():
                if name.startswith("loss") and not math.isfinite(value):
                    return name
        return ""

    def end_epoch(self, epoch: int, extra: Mapping[str, float]) -> None:
        """The means of an epoch, over the iterations that measured a thing, and what its evaluation gave."""
        table = pd.DataFrame([row for row in self.steps if row["epoch"] == epoch])
        means = {name: float(table[name].mean()) for name in table.columns.drop(POSITION)}
        self.epochs.append({"epoch": epoch} | means | dict(extra))

    def history(self) -> History:
        """The tables so far."""
        return History(pd.DataFrame(self.steps), pd.DataFrame(self.epochs))
