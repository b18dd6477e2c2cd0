"""An image and its mask, changed together: scale, flip, crop; colours of the image alone (Sections 22 and 23)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from pnoc_lib.data import samples
from pnoc_lib.data.images import VOID, LabeledImages
from pnoc_lib.segmentation.targets import Targets


@dataclass(frozen=True)
class PairTransform:
    """Turns an RGB image and its index mask into a normalised crop and the mask of that crop.

    crop_size: side of the square crop, pixels. longer: range of the longer side after scaling, pixels (V3+); None where
    factors: of the side, one of which is drawn (V2), are given instead. jitter: whether colours change.
    mean, std: of the backbone, for RGB in [0, 1].
    Calling it gives (3, S, S) float32 and (S, S) int64; where a crop reaches beyond its image, the image is the mean
    colour and the mask void. Images are scaled by bicubic, masks by nearest-neighbour interpolation.
    Raises ValueError unless exactly one of the two ways of scaling is given.
    """

    crop_size: int
    mean: Sequence[float]
    std: Sequence[float]
    longer: tuple[int, int] | None = None
    factors: Sequence[float] = ()
    jitter: bool = True
    _after: v2.Compose = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.longer is None) == (not self.factors):
            raise ValueError(f"give either longer or factors, got {self.longer} and {self.factors}")
        if self.longer and not 1 <= self.longer[0] <= self.longer[1]:
            raise ValueError(
                f"longer must be an ascending range of pixels, got {self.longer}: the paper's is 256, 1024"
            )
        steps = [v2.RandomHorizontalFlip()]
        if self.jitter:
            steps.append(v2.ColorJitter(0.3, 0.3, 0.3, 0.1))
        steps += [
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize(list(self.mean), list(self.std)),
            v2.RandomCrop(self.crop_size, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: VOID}),
        ]
        object.__setattr__(self, "_after", v2.Compose(steps))

    def __call__(self, image: Image.Image, mask: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """image: RGB. mask: (H, W) uint8. seed: of all that is drawn; the same seed gives the same crop."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sides = self._sides(image.size[::-1])
            pixels = F.resize(image, sides, interpolation=v2.InterpolationMode.BICUBIC, antialias=True)
            classes = F.resize(mask[None], sides, interpolation=v2.InterpolationMode.NEAREST_EXACT)
            pixels, classes = self._after(tv_tensors.Image(F.pil_to_tensor(pixels)), tv_tensors.Mask(classes))
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
class MaskedSamples(Dataset):
    """Augmented images with their masks; item (epoch, index) is the same in every process and at every time."""

    images: LabeledImages
    targets: Targets
    transform: PairTransform
    seed: int

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = key
        id = self.images.ids[index]
        mask = torch.from_numpy(self.targets.mask(id))
        image = self.images.image(id)
        if image.size[::-1] != tuple(mask.shape):
            raise ValueError(
                f"image {id} has {image.size[1]} x {image.size[0]} pixels (rows x columns) and its mask "
                f"{mask.shape[0]} x {mask.shape[1]}: get the mask that belongs to it"
            )
        return self.transform(image, mask, samples.mix(self.seed, epoch, index))
