"""What C2AM and C2AM-H see of an image, and where its hint comes from: one geometry for both (Section 6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as TF

from pnoc_lib.data import augment, stores
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.data.samples import mix


@dataclass(frozen=True)
class Square:
    """Image and hint resized to a square, whatever their aspect ratio, then one random crop and one flip for both.

    resize, crop: sides in pixels; paper 512 and 448, with hints 515. mean, std: of the backbone, for RGB in [0, 1].
    Raises ValueError when the crop is larger than the square.
    """

    resize: int
    crop: int
    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self):
        if not 1 <= self.crop <= self.resize:
            raise ValueError(f"a crop of {self.crop} pixels does not fit {self.resize}: the paper has 448 of 512")

    def __call__(self, image, hint: Tensor | None, generator: torch.Generator) -> tuple[Tensor, ...]:
        """image: PIL RGB. hint: (1, h, w) at any resolution, or None. Returns (3, crop, crop), and (1, crop, crop)."""
        top, left = (int(torch.randint(0, self.resize - self.crop + 1, (), generator=generator)) for _ in range(2))
        flip = torch.rand((), generator=generator).item() < 0.5
        pixels = augment.normalize(TF.resize(image, [self.resize, self.resize]), self.mean, self.std)
        parts = [pixels] if hint is None else [pixels, TF.resize(hint, [self.resize, self.resize], antialias=True)]
        parts = [part[:, top : top + self.crop, left : left + self.crop] for part in parts]
        return tuple((part.flip(-1) if flip else part).contiguous() for part in parts)


@dataclass(frozen=True)
class SaliencySamples(Dataset):
    """Images, with their hints where there are any; item (epoch, index) is the same in every process, at every time.

    hints: a store of priors, or None. No label is read: of a prior only its strongest map counts.
    """

    images: LabeledImages
    square: Square
    seed: int
    hints: stores.MapStore | None = None

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, ...]:
        epoch, index = key
        image_id = self.images.ids[index]
        hint = None if self.hints is None else torch.from_numpy(strongest(self.hints, image_id))[None]
        generator = torch.Generator().manual_seed(mix(self.seed, epoch, index))
        return self.square(self.images.image(image_id), hint, generator)


def strongest(priors: stores.MapStore, image_id: str) -> np.ndarray:
    """a = max_c A^c: the strongest map of each pixel of a prior, (h, w) float32 in [0, 1] at the resolution stored.

    Zeros for an image without classes.
    """
    maps = priors.read(image_id).maps
    return maps.max(axis=0) if len(maps) else np.zeros(maps.shape[1:], np.float32)
