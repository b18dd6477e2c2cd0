"""Which images make up which batch, and how each is changed: functions of (seed, epoch, index) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pnoc_lib.data.augment import TrainingTransform
from pnoc_lib.data.images import LabeledImages


@dataclass(frozen=True)
class TrainingSamples(Dataset):
    """Augmented images and their labels; item (epoch, index) is the same in every process and at every time."""

    images: LabeledImages
    transform: TrainingTransform
    seed: int

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = key
        generator = torch.Generator().manual_seed(mix(self.seed, epoch, index))
        image = self.transform(self.images.image(self.images.ids[index]), generator)
        return image, torch.from_numpy(self.images.labels[index].astype(np.float32))


def mix(*numbers: int) -> int:
    """One well-mixed 63-bit seed from several whole numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1
