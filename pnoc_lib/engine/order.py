"""Which images make up which batch: a function of (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrainingOrder:
    """Batches of (epoch, index) for the iterations `start` and after; one shuffle an epoch, incomplete batches dropped.

    count: images. batch_size: over all `world` processes, of which this is number `rank`.
    """

    count: int
    batch_size: int
    epochs: int
    seed: int
    start: int = 0
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        return self.epochs * (self.count // self.batch_size) - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        per_epoch = self.count // self.batch_size
        for epoch in range(self.start // per_epoch, self.epochs):
            shuffle = np.random.default_rng([self.seed, epoch]).permutation(self.count)
            first = self.start % per_epoch if epoch == self.start // per_epoch else 0
            for k in range(first, per_epoch):
                batch = shuffle[k * self.batch_size : (k + 1) * self.batch_size][self.rank :: self.world]
                yield [(epoch, int(index)) for index in batch]
