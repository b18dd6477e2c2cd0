"""An image and its mask through the same random resize, flip and crop: what networks with a label a pixel train on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


class PairTransform:
    """Longer side resized to a random length, flip, normalisation, square crop at a random place.

    crop_size: side of the crop, pixels. resize_min, resize_max: range of the longer side, pixels, both included.
    mean, std: for RGB in [0, 1]. jitter: colours of the image change a little, as in training of priors.
    Calling it with an image, a mask and a seed gives (3, crop, crop) float32 and (crop, crop) uint8; the same seed, the
    same result. Padding is 0 in the image, the mean colour, and 255 in the mask. The image is resized bicubically, the
    mask by nearest neighbour.
    Raises ValueError for an empty range.
    """

    def __init__(self, crop_size: int, resize_min: int, resize_max: int, mean, std, *, jitter: bool = False):
        if not (1 <= resize_min <= resize_max and crop_size >= 1):
            raise ValueError(
                f"resize_min and resize_max must be an ascending range of pixels and crop_size positive, got "
                f"{resize_min}, {resize_max} and {crop_size}"
            )
        self.resize_min, self.resize_max = resize_min, resize_max
        fill = {tv_tensors.Image: 0.0, tv_tensors.Mask: VOID}
        colours = [v2.ColorJitter(0.3, 0.3, 0.3, 0.1)] if jitter else []
        self.rest = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                *colours,
                v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
                v2.Normalize(list(mean), list(std)),
                v2.RandomCrop(crop_size, pad_if_needed=True, fill=fill),
            ]
        )

    def __call__(self, image: Image.Image, mask: np.ndarray, seed: int) -> tuple[Tensor, Tensor]:
        if mask.shape != image.size[::-1]:
            raise DataError(
                f"image is {image.size[::-1]} and its mask {mask.shape} (H, W): they belong to different images"
            )
        pair = tv_tensors.Image(v2.functional.pil_to_tensor(image)), tv_tensors.Mask(torch.from_numpy(mask.copy()))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            longer = int(torch.randint(self.resize_min, self.resize_max + 1, ()))
            sides = [max(1, round(side * longer / max(image.size))) for side in mask.shape]
            pair = v2.functional.resize(pair[0], sides, InterpolationMode.BICUBIC), v2.functional.resize(pair[1], sides)
            pixels, labels = self.rest(*pair)
        return pixels.as_subclass(Tensor), labels.as_subclass(Tensor)


@dataclass(frozen=True)
class PairSamples(Dataset):
    """Crops of images and masks; item (epoch, index) is the same in every process and at every time.

    mask: from an id to (H, W) uint8. `transform`: called with image, mask and a seed.
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
