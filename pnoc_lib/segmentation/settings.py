"""What decides a segmentation training, with the paper's values (Section 6.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from pnoc_lib.engine.pace import Paced
from pnoc_lib.segmentation.deeplab import ARCHITECTURES

DATASETS = ("voc12", "coco14")


@dataclass(frozen=True)
class SegmentationSettings(Paced):
    """Everything that decides a training but images, masks and network; the defaults are those of V3+ on VOC12.

    epochs: passes over the images. batch_size: images over all processes and per iteration; `accumulation` iterations
    make one optimiser step, their gradients averaged. crop_size: pixels.
    resize_min, resize_max: range of the longer side, pixels; not used where factors are given, of which one is drawn.
    jitter: whether colours are changed. label_smoothing: share of the target that all classes get, in [0, 1).
    fixed_encoder: beyond the paper, the backbone stays as it is and the head alone learns, in half the time.
    lr: rate of pretrained weights; biases x2, new weights x `new_factor`, new biases twice that.
    nesterov: where there is a momentum. rate_every: optimiser steps between two changes of the rate. The rest is as in
    `engine.loop.Pace`.
    Raises ValueError for an impossible value.
    """

    average_accumulated: ClassVar[bool] = True

    architecture: str = "deeplabv3+"
    epochs: int = 50
    batch_size: int = 16
    accumulation: int = 1
    crop_size: int = 512
    resize_min: int = 256
    resize_max: int = 1024
    factors: tuple[float, ...] = ()
    jitter: bool = True
    label_smoothing: float = 0.1
    lr: float = 0.007
    new_factor: float = 10.0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 4e-5
    power: float = 0.9
    rate_every: int = 1
    fixed_encoder: bool = False
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"unknown architecture {self.architecture!r}: choose one of {', '.join(ARCHITECTURES)}")
        self._must(("crop_size", "lr", "new_factor"), be="positive", hint="see Section 6.3 for the paper's")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}: the paper's value is 0.1")
        self._must(("momentum", "weight_decay"), be="not negative")
        self._must(("resize_min",), be="positive")
        if self.resize_max < self.resize_min:
            raise ValueError(f"resize_max must be at least resize_min, {self.resize_min}, got {self.resize_max}")
        object.__setattr__(self, "factors", tuple(self.factors))
        if any(factor <= 0 for factor in self.factors):
            raise ValueError(f"factors must be positive, got {self.factors}: they are multiplied with an image's side")
        _ = self.pace  # checks the rest

    @property
    def longer(self) -> tuple[int, int] | None:
        """Range of the longer side, or None where a factor is drawn."""
        return None if self.factors else (self.resize_min, self.resize_max)


def paper(architecture: str, dataset: str = "voc12") -> SegmentationSettings:
    """The settings of Section 6.3 for "deeplabv2" or "deeplabv3+", on "voc12" or "coco14".

    Raises ValueError for another name.
    Reads the paper as: V2 is trained for whole epochs, 10 of VOC12's 10,582 images in batches of 10 (10,580 iterations,
    the paper 10,000) and 3 of COCO14's 82,081 (24,624; the paper 20,000).
    """
    if dataset not in DATASETS:
        raise ValueError(f"unknown dataset {dataset!r}: choose one of {', '.join(DATASETS)}")
    coco = dataset == "coco14"
    if architecture == "deeplabv2":
        factors = (0.5, 0.75, 1.0, 1.25, 1.5) + ((1.75, 2.0) if coco else ())
        return SegmentationSettings(
            "deeplabv2",
            epochs=3 if coco else 10,
            batch_size=10,
            crop_size=481 if coco else 321,
            factors=factors,
            jitter=False,
            label_smoothing=0.0,
            lr=2e-4 if coco else 2.5e-4,
            nesterov=False,
            weight_decay=5e-4,
            rate_every=10,
        )
    of_voc = SegmentationSettings(architecture)
    return replace(of_voc, crop_size=640, resize_min=320, lr=0.004) if coco else of_voc
