"""What decides a training, with the paper's values as defaults (Sections 2.4, 3.2 and 6.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pnoc_lib.engine import backbones
from pnoc_lib.engine.pace import PRECISIONS, Paced
from pnoc_lib.priors import erasing, puzzle, strategies

__all__ = ["PRECISIONS", "UNUSED_BY_CAM", "TrainingSettings"]

UNUSED_BY_CAM = (
    "lambda_re",
    "ramp_re",
    "reconstruction",
    "lambda_cse_first",
    "lambda_cse",
    "lambda_noc",
    "noc_rate",
    "delta_noc",
    "k_noc",
    "erase_scope",
    "tile_statistics",
    "leaky_noc",
)


@dataclass(frozen=True)
class TrainingSettings(Paced):
    """Everything that decides a training but the images and the networks; the defaults are the paper's (Section 6.1).

    strategy: a name in `strategies.STRATEGIES`; augment and label_smoothing: None for the strategy's own (resolved at
    once: `dataclasses.replace` with another strategy keeps them).
    Sides in pixels, rates per optimiser step, `batch_size` in images over all processes and per iteration;
    `accumulation` iterations make one optimiser step, their gradients summed (`average_accumulated`: averaged).
    lambda_re rises from 0 within the share `ramp_re` of the training; lambda_cse from `lambda_cse_first`, lambda_noc
    from 0, both until its end. erase_scope: whose peak divides the soft mask, "batch" or "image".
    reconstruction: whether the "raw" maps are compared or the "normalised" ones (beyond the paper).
    noc_rate: factor of all rates of `noc` (beyond the paper, which has 1).
    batchnorm: "normal", or "fixed": statistics and affine parameters of the generator stay as they are at the start.
    tile_statistics: whether tiles enter the running statistics of BatchNorm as whole images do (normal mode).
    from_oc: the generator starts from the weights of `oc` instead of the backbone's.
    leaky_noc: leave in `noc` the gradients of the generator's step, as the published code does, for comparison.
    Raises ValueError for an impossible value.
    """

    strategy: str = "cam"
    epochs: int = 15
    batch_size: int = 32
    accumulation: int = 1
    average_accumulated: bool = False
    crop_size: int = 512
    resize_min: int = 320
    resize_max: int = 640
    augment: str | None = None
    label_smoothing: float | None = None
    lr: float = 0.1
    new_factor: float = 10.0
    momentum: float = 0.0
    weight_decay: float = 1e-4
    power: float = 0.9
    lambda_re: float = 4.0
    ramp_re: float = 0.5
    reconstruction: str = "raw"
    lambda_cse_first: float = 0.3
    lambda_cse: float = 1.0
    lambda_noc: float = 1.0
    delta_noc: float = 0.2
    k_noc: int = 1
    noc_rate: float = 1.0
    erase_scope: str = "batch"
    batchnorm: str = "normal"
    tile_statistics: bool = True
    from_oc: bool = False
    leaky_noc: bool = False
    precision: str = "bf16"
    seed: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """From the parameters of a notebook: those that are settings; augment "" is the strategy's own, as None is."""
        return super().of({**values, "augment": values.get("augment") or None})

    def __post_init__(self):
        plan = strategies.named(self.strategy)
        own = {"augment": plan.augment, "label_smoothing": plan.label_smoothing}
        for name, value in own.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        hint = "see Section 6.1 for the paper's"
        self._must(("crop_size", "lr", "new_factor", "k_noc", "noc_rate"), be="positive", hint=hint)
        lambdas = ("lambda_re", "lambda_cse_first", "lambda_cse", "lambda_noc")
        self._must(lambdas, be="not negative", hint="0 leaves its term out")
        for name, choices in {
            "erase_scope": erasing.SCOPES,
            "batchnorm": ("normal", "fixed"),
            "reconstruction": puzzle.RECONSTRUCTIONS,
        }.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}: choose one of {', '.join(choices)}")
        erasing.check_threshold(self.delta_noc)
        self.pace  # noqa: B018 (has checks of its own)
        if self.puzzle and self.crop_size % (2 * backbones.OUTPUT_STRIDE):
            raise ValueError(
                f"crop_size {self.crop_size} cannot be tiled: the puzzle needs a multiple of "
                f"{2 * backbones.OUTPUT_STRIDE}"
            )

    @property
    def terms(self) -> dict[str, str | bool]:
        """How the terms of the generator's loss are computed, for `objectives.generator_terms`."""
        return {
            "scope": self.erase_scope,
            "leaky": self.leaky_noc,
            "tile_statistics": self.tile_statistics,
            "reconstruction": self.reconstruction,
        }

    @property
    def plan(self) -> strategies.Strategy:
        """The two switches of the strategy, with the label smoothing and augmentation of this training."""
        plan = strategies.named(self.strategy)
        return replace(plan, label_smoothing=self.label_smoothing, augment=self.augment)

    @property
    def puzzle(self) -> bool:
        return strategies.named(self.strategy).puzzle

    @property
    def needs_oc(self) -> bool:
        """True when an ordinary classifier takes part: as eraser, as the beginning of `noc`, or of the generator."""
        return self.from_oc or strategies.named(self.strategy).eraser is not None

    def of_oc(self) -> TrainingSettings:
        """The settings under which the ordinary classifier itself is trained: the vanilla strategy's."""
        plan, usual = strategies.named("cam"), TrainingSettings()
        own = {"augment": plan.augment, "label_smoothing": plan.label_smoothing, "from_oc": False}
        unused = {name: getattr(usual, name) for name in UNUSED_BY_CAM}  # their changes are none of its training
        return replace(self, strategy="cam", **own, **unused)
