"""What an image goes through before training (Section 6.1): resize, flip, colour, crop; one generator draws all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from PIL import Image, ImageDraw
from torch import Generator, Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

AUGMENTATIONS = ("randaugment", "jitter", "none")


@dataclass(frozen=True)
class TrainingTransform:
    """Turns an RGB image into a normalised crop, in the order of the paper's training.

    crop_size: side of the square crop, pixels. resize_min, resize_max: range of the longer side, pixels, both included.
    mean, std: of the backbone, for RGB in [0, 1].
    augment: "randaugment" (vanilla CAM), "jitter" (Puzzle-CAM and those after it) or "none".
    Calling it gives (3, crop_size, crop_size) float32; padding is 0, the data set's mean colour.
    Raises ValueError for an empty range or an unknown `augment`.
    """

    crop_size: int
    resize_min: int
    resize_max: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    augment: str = "none"

    def __post_init__(self):
        if not 1 <= self.resize_min <= self.resize_max:
            raise ValueError(
                f"resize_min and resize_max must be an ascending range of pixels, got {self.resize_min} and "
                f"{self.resize_max}: the paper's are 320 and 640"
            )
        if self.augment not in AUGMENTATIONS:
            raise ValueError(f"unknown augmentation {self.augment!r}: choose one of {', '.join(AUGMENTATIONS)}")

    def __call__(self, image: Image.Image, generator: Generator) -> Tensor:
        image = resize_longer(image, _integer(self.resize_min, self.resize_max, generator))
        if _uniform(0, 1, generator) < 0.5:
            image = F.horizontal_flip(image)
        if self.augment == "randaugment":
            image = RandAugment()(image, generator)
        elif self.augment == "jitter":
            image = color_jitter(image, generator)
        return random_crop(normalize(image, self.mean, self.std), self.crop_size, generator)


def resize_longer(image: Image.Image, longer: int) -> Image.Image:
    """Resize (bicubic) so that the longer side is `longer` pixels; the shorter keeps the aspect ratio, at least 1."""
    factor = longer / max(image.size)
    size = [max(1, round(side * factor)) for side in reversed(image.size)]
    return F.resize(image, size, interpolation=InterpolationMode.BICUBIC)


def normalize(image: Image.Image, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """RGB image -> (3, H, W) float32, (value / 255 - mean) / std per channel."""
    return F.normalize(F.to_dtype(F.pil_to_tensor(image), torch.float32, scale=True), list(mean), list(std))


def random_crop(image: Tensor, size: int, generator: Generator) -> Tensor:
    """Square crop at a random place; an image smaller than the crop lies at a random offset on a canvas of zeros.

    image: (3, H, W). Returns (3, size, size) of the same type.
    """
    canvas = image.new_zeros(image.shape[0], size, size)
    source, target = [], []
    for length in image.shape[-2:]:
        offset = _integer(0, abs(size - length), generator)
        kept = min(size, length)
        source.append(slice(offset, offset + kept) if length > size else slice(0, kept))
        target.append(slice(0, kept) if length > size else slice(offset, offset + kept))
    canvas[:, target[0], target[1]] = image[:, source[0], source[1]]
    return canvas


def color_jitter(image: Image.Image, generator: Generator, *, strength: float = 0.3, hue: float = 0.1) -> Image.Image:
    """Weak colour change of Section 6.1: brightness, contrast, saturation by 1 +- `strength`, hue by +- `hue` turns.

    The four changes come in random order.
    Beyond the paper: saturation is changed as well, as in the code published with the paper.
    """
    changes = [
        (F.adjust_brightness, _uniform(1 - strength, 1 + strength, generator)),
        (F.adjust_contrast, _uniform(1 - strength, 1 + strength, generator)),
        (F.adjust_saturation, _uniform(1 - strength, 1 + strength, generator)),
        (F.adjust_hue, _uniform(-hue, hue, generator)),
    ]
    for position in torch.randperm(len(changes), generator=generator).tolist():
        change, amount = changes[position]
        image = change(image, amount)
    return image


@dataclass(frozen=True)
class RandAugment:
    """RandAugment as the vanilla classifiers of the paper use it (Section 6.1), cut-out included.

    Draws `operations` of `NAMES` with replacement; each is applied with probability 0.5, magnitude 1 to 9 of 10.
    Afterwards one black square of `cutout` + 1 pixels a side (clipped by the border) is always drawn.
    Beyond the paper: the operations and their ranges are those of the code published with the paper, the shear about
    the top left corner and the square's odd pixel, both ends of which are drawn, among them.
    """

    operations: int = 2
    cutout: int = 16
    NAMES: ClassVar[tuple[str, ...]] = (
        *("autocontrast", "brightness", "color", "contrast", "sharpness", "equalize", "identity", "posterize"),
        *("rotate", "shear_x", "shear_y", "solarize", "translate_x", "translate_y"),
    )

    def __call__(self, image: Image.Image, generator: Generator) -> Image.Image:
        for _ in range(self.operations):
            name = self.NAMES[_integer(0, len(self.NAMES) - 1, generator)]
            used, magnitude = _uniform(0, 1, generator) < 0.5, _integer(1, 9, generator)
            sign = 1 if _uniform(0, 1, generator) < 0.5 else -1
            if used:
                image = apply_operation(image, name, magnitude, sign)
        return self._cut_out(image, generator)

    def _cut_out(self, image: Image.Image, generator: Generator) -> Image.Image:
        centre = [_integer(0, side - 1, generator) for side in image.size]
        corner = [max(0, c - self.cutout // 2) for c in centre]
        image = image.copy()
        far = [min(side - 1, c + self.cutout) for c, side in zip(corner, image.size, strict=True)]
        ImageDraw.Draw(image).rectangle((*corner, *far), fill=(0, 0, 0))
        return image


def apply_operation(image: Image.Image, name: str, magnitude: int, sign: int = 1) -> Image.Image:
    """One operation of `RandAugment.NAMES` at a magnitude of 1 to 9; `sign` is its direction, where it has one.

    Raises ValueError for an unknown name.
    """
    v, factor = magnitude, 0.09 * magnitude + 0.05
    width, height = image.size
    match name:
        case "identity":
            return image
        case "autocontrast":
            return F.autocontrast(image)
        case "equalize":
            return F.equalize(image)
        case "brightness":
            return F.adjust_brightness(image, factor)
        case "color":
            return F.adjust_saturation(image, factor)
        case "contrast":
            return F.adjust_contrast(image, factor)
        case "sharpness":
            return F.adjust_sharpness(image, factor)
        case "posterize":
            return F.posterize(image, bits=4 + int(0.4 * v))
        case "solarize":
            return F.solarize(image, threshold=256 - int(25.6 * v))
        case "rotate":
            return _affine(image, angle=sign * (3 * v))
        case "shear_x":
            return _affine(image, shear=(sign * math.degrees(math.atan(0.03 * v)), 0.0), center=[0, 0])
        case "shear_y":
            return _affine(image, shear=(0.0, sign * math.degrees(math.atan(0.03 * v))), center=[0, 0])
        case "translate_x":
            return _affine(image, translate=(sign * int(0.03 * v * width), 0))
        case "translate_y":
            return _affine(image, translate=(0, sign * int(0.03 * v * height)))
    raise ValueError(f"unknown operation {name!r}: choose one of {', '.join(RandAugment.NAMES)}")


def _affine(image: Image.Image, *, angle=0.0, translate=(0, 0), shear=(0.0, 0.0), center=None) -> Image.Image:
    return F.affine(image, angle=angle, translate=list(translate), scale=1.0, shear=list(shear), center=center)


def _uniform(low: float, high: float, generator: Generator) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()


def _integer(low: int, high: int, generator: Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator).item())
