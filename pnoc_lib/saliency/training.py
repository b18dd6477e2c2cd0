"""Train the disentangler: C2AM without any label, C2AM-H with hints of a prior (Section 4, settings of Section 6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pnoc_lib import files
from pnoc_lib.data import stores
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.data.problems import DataError
from pnoc_lib.engine import backbones, checkpoints
from pnoc_lib.engine.history import History
from pnoc_lib.engine.loop import Loop, Moment
from pnoc_lib.engine.pace import Paced
from pnoc_lib.saliency import c2am, contrast, samples

METHODS = ("c2am", "c2am-h")
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Settings(Paced):
    """Everything that decides a training but the images, the hints and the network; defaults as in the paper.

    method: "c2am" or "c2am-h".
    epochs, batch_size (images over all processes; each compares its own), accumulation, power, precision, seed: of the
    pace. Accumulation adds gradients: it does not enlarge the set of images that are compared.
    resize, crop_size: sides in pixels; resize 0 takes the method's own, 8/7 of the crop, with hints 1.15 of it.
    lr: base rate, that of pretrained weights. head_factor: of the disentangler's rate; 0 takes the method's own, 1 for
    C2AM and 10 for C2AM-H. momentum, weight_decay: of SGD.
    fixed_stages: beyond the paper, how many of the backbone's finest levels learn nothing (`backbones.fix_stages`).
    alpha: of the rank weights. delta_fg, lambda_h, hint_smoothing: of the hints; nothing to C2AM.
    Raises ValueError for an impossible value.
    """

    method: str = "c2am"
    epochs: int = 10
    batch_size: int = 32
    accumulation: int = 1
    resize: int = 0
    crop_size: int = 448
    lr: float = 0.001
    head_factor: float = 0.0
    momentum: float = 0.0
    weight_decay: float = 1e-4
    power: float = 0.9
    fixed_stages: int = 0
    alpha: float = contrast.ALPHA
    delta_fg: float = 0.4
    lambda_h: float = 1.0
    hint_smoothing: float = 0.1
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}: choose one of {', '.join(METHODS)}")
        resize = int(1.15 * self.crop_size) if self.hinted else round(self.crop_size * 8 / 7)
        for name, own in {"resize": resize, "head_factor": 10.0 if self.hinted else 1.0}.items():
            object.__setattr__(self, name, getattr(self, name) or own)
        self._must(("lr", "head_factor"), be="positive", hint="the paper's lr is 0.001")
        self._must(("alpha", "lambda_h", "momentum", "weight_decay", "fixed_stages"), be="not negative")
        self._must(("delta_fg", "hint_smoothing"), be="in [0, 1]")
        self.pace  # noqa: B018  checks what it holds

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Settings:
        """The settings among the parameters of a notebook, others are passed over; ValueError for an impossible one.

        A run of C2AM-H needs the name of the run that gives the hints under "hints", C2AM takes none.
        """
        made = super().of(parameters)
        if made.hinted != bool(parameters["hints"]):
            word = "needs" if made.hinted else "takes no"
            raise ValueError(f"method {made.method} {word} hints, got {parameters['hints']!r}")
        return made

    @property
    def hinted(self) -> bool:
        """Whether hints take part: C2AM-H."""
        return self.method == "c2am-h"


def train(
    network: c2am.C2AM,
    images: LabeledImages,
    folder: Path | str,
    settings: Settings,
    *,
    hints: stores.MapStore | None = None,
    cpu: bool = False,
    **options,
) -> History:
    """Train the network by the method of the settings; `folder` gets weights.safetensors, steps.csv and epochs.csv.

    images: all take part, with or without a class; their labels are not read.
    hints: for C2AM-H, the priors of these images; C2AM takes none.
    options: num_workers, checkpoint_seconds, progress, after_epoch of `Loop.run`.
    After its first epoch C2AM looks at the border of its last batch and swaps the halves where phi is high there.
    A finished training of the same settings is read back; an unfinished one goes on.
    Returns the tables of iterations and epochs: loss, pos_f, pos_b, neg; border, the mean of phi there; with hints
    hint, and hinted, the share of positions that are hints.
    Raises ValueError for hints where there should be none, none where there should be, a batch without a pair, or more
    fixed stages than the backbone has; DataError when priors are missing or no image has a hint pixel.
    """
    if settings.hinted != (hints is not None):
        raise ValueError(f"method {settings.method!r} {'needs' if settings.hinted else 'takes no'} hints: see `method`")
    read = {} if hints is None else {"hints": _checked(hints, images, settings.delta_fg).digest(images.ids)}
    loop = Loop(
        folder, settings.pace, len(images), checkpoints.identity(network, images) | read | asdict(settings), cpu=cpu
    )
    if loop.finished(WEIGHTS):
        network.load_state_dict(files.read_tensors(Path(folder) / WEIGHTS)[0])
        network.eval()
        return loop.history()
    if not settings.hinted:
        _fix_scales(network)
    backbones.fix_stages(network.encoder, settings.fixed_stages)
    learner = loop.learner("disentangler", network, partial(_optimizer, settings))

    def step(x: Tensor, hint: Tensor | None = None, *, at: Moment) -> dict[str, Tensor]:
        with loop.arithmetic():
            features, logits = learner(x)
        terms = contrast.terms(features, logits, settings.alpha)  # Eq. (7)
        loss = terms["pos_f"] + terms["pos_b"] + terms["neg"]
        measured = terms | {"border": c2am.border_mean(logits.detach().float().sigmoid())}
        if hint is not None:  # Eq. (11)
            hint = F.interpolate(hint, logits.shape[-2:], mode="bicubic", align_corners=False)
            measured["hint"] = contrast.hint_loss(logits, hint, settings.delta_fg, smoothing=settings.hint_smoothing)
            measured["hinted"] = contrast.hint_pixels(hint, settings.delta_fg).float().mean()
            loss = loss + settings.lambda_h * measured["hint"]
        learner.update(loss)
        if at.step + 1 == loop.per_epoch and not settings.hinted:
            border = loop.accelerator.reduce(measured["border"], "mean")
            network.head.inverted.copy_(border > 0.5)
        return {"loss": loss} | measured

    square = samples.Square(settings.resize, settings.crop_size, network.mean, network.std)
    drawn = samples.SaliencySamples(images, square, settings.seed, hints)
    results = {WEIGHTS: partial(c2am.save_network, network)}
    return loop.run(step, drawn, results, title=settings.method, **options)


def _checked(hints: stores.MapStore, images: LabeledImages, delta_fg: float) -> stores.MapStore:
    """The store, when it holds the priors of these images and at least one of them has a hint."""
    hints.require(images)
    highest = max((float(samples.strongest(hints, image_id).max(initial=0.0)) for image_id in images.ids), default=0.0)
    if highest < delta_fg:
        raise DataError(
            f"no image has a prior of {delta_fg:g} or more, its highest is {highest:.2g}: lower delta_fg, or give "
            "hints of another prior",
            hints.folder,
        )
    return hints


def _optimizer(settings: Settings, network: nn.Module) -> torch.optim.Optimizer:
    """SGD with the groups of Section 6.1."""
    groups = backbones.parameter_groups(
        network, settings.lr, new_factor=settings.head_factor, weight_decay=settings.weight_decay
    )
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)


def _fix_scales(network: nn.Module) -> None:
    """Leave scales and shifts of every BatchNorm as they are, as the published C2AM does; its statistics go on."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(False)
