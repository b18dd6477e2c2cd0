"""An image and its mask, changed together: scale, flip, crop; colours of the image alone (Sections 19, 22 and 23)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from pnoc_lib.data.images import VOID, LabeledImages
from pnoc_lib.data.problems import DataError
from pnoc_lib.data.samples import mix


@dataclass(frozen=True)
class PairTransform:
    """Turns an RGB image and its index mask into a normalised crop and the mask of that crop.

    crop_size: side of the square crop, pixels. longer: range of the longer side after scaling, pixels, both ends
    included; None where factors: of the side, one of which is drawn (DeepLabV2), are given instead.
    jitter: whether colours change. mean, std: of the backbone, for RGB in [0, 1].
    Calling it gives (3, S, S) float32 and (S, S) int64; where a crop reaches beyond its image, the image is the mean
    colour and the mask void. Images are scaled by bicubic interpolation, by bilinear one where factors are given, as
    published; masks by that of the nearest neighbour.
    Raises ValueError for an impossible crop or range, or unless exactly one of the two ways of scaling is given.
    """

    crop_size: int
    mean: Sequence[float]
    std: Sequence[float]
    longer: tuple[int, int] | None = None
    factors: Sequence[float] = ()
    jitter: bool = False
    _after: v2.Compose = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.crop_size < 1:
            raise ValueError(f"crop_size must be positive, got {self.crop_size}")
        if (self.longer is None) == (not self.factors):
            raise ValueError(f"give either longer or factors, got {self.longer} and {self.factors}")
        if self.longer and not 1 <= self.longer[0] <= self.longer[1]:
            raise ValueError(
                f"longer (resize_min, resize_max) must be an ascending range of pixels, got {self.longer}: the paper's "
                "are 320, 640 for affinity and 256, 1024 for segmentation"
            )
        jitter = [v2.ColorJitter(0.3, 0.3, 0.3, 0.1)] if self.jitter else []
        steps = [
            v2.RandomHorizontalFlip(),
            *jitter,  # of the PIL image, as published: its change of hue takes a tenth of the time of a tensor's
            v2.ToImage(),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize(list(self.mean), list(self.std)),
            v2.RandomCrop(self.crop_size, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: VOID}),
        ]
        object.__setattr__(self, "_after", v2.Compose(steps))

    def __call__(self, image: Image.Image, mask: np.ndarray, seed: int) -> tuple[Tensor, Tensor]:
        """image: RGB. mask: (H, W) uint8. seed: of all that is drawn; the same seed gives the same crop.

        Raises DataError when they differ in size.
        """
        if image.size[::-1] != tuple(mask.shape):
            raise DataError(
                f"the image has {image.size[1]} x {image.size[0]} pixels (rows x columns) and its mask "
                f"{mask.shape[0]} x {mask.shape[1]}: get the mask that belongs to it"
            )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed writes down its callers thrice: 1 ms
            sides = self._sides(image.size[::-1])
            smooth = InterpolationMode.BILINEAR if self.factors else InterpolationMode.BICUBIC
            pixels = v2.functional.resize(image, sides, interpolation=smooth, antialias=True)
            classes = torch.from_numpy(mask.copy())[None]
            classes = v2.functional.resize(classes, sides, interpolation=InterpolationMode.NEAREST_EXACT)
            pixels, classes = self._after(pixels, tv_tensors.Mask(classes))
        return pixels.as_subclass(Tensor), classes[0].as_subclass(Tensor).long()

    def _sides(self, size: tuple[int, int]) -> list[int]:
        """Height and width after a random scale."""
        if self.longer:
            low, high = self.longer
            factor = int(torch.randint(low, high + 1, ())) / max(size)
        else:
            factor = self.factors[int(torch.randint(len(self.factors), ()))]
        return [max(1, round(side * factor)) for side in size]


@dataclass(frozen=True)
class PairSamples(Dataset):
    """Crops of images and masks; item (epoch, index) is the same in every process and at every time.

    mask: from an id to (H, W) uint8. transform: called with image, mask and a seed.
    """

    images: LabeledImages
    mask: Callable[[str], np.ndarray]
    transform: Callable[[Image.Image, np.ndarray, int], Sequence[Tensor]]
    seed: int

    def __getitem__(self, key: tuple[int, int]) -> Sequence[Tensor]:
        epoch, index = key
        image_id = self.images.ids[index]
        try:
            return self.transform(self.images.image(image_id), self.mask(image_id), mix(self.seed, epoch, index))
        except DataError as error:
            raise DataError(f"image {image_id}: {error.problem}", error.file or None) from None
