"""Train DeepLabV2 or DeepLabV3+ on index masks (Section 6.3): on pseudo masks, or, as the reference, on the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from pnoc_lib import files
from pnoc_lib.data import pairs
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.engine import backbones, checkpoints, fixed
from pnoc_lib.engine.history import History
from pnoc_lib.engine.loop import Loop
from pnoc_lib.engine.multiscale import PRECISIONS
from pnoc_lib.engine.pace import Moment
from pnoc_lib.segmentation import deeplab, losses
from pnoc_lib.segmentation.settings import SegmentationSettings
from pnoc_lib.segmentation.targets import PseudoMasks, SupervisedMasks, Targets

WEIGHTS = "weights.safetensors"


def train(
    network: deeplab.DeepLab,
    images: LabeledImages,
    targets: Targets,
    folder: Path | str,
    settings: SegmentationSettings,
    *,
    after_epoch: Callable[[deeplab.DeepLab, int], dict[str, float]] | None = None,
    num_workers: int = 0,
    checkpoint_seconds: float = 60.0,
    cpu: bool = False,
    progress: bool = True,
) -> History:
    """Train `network` on the masks of `images`; `folder` gets weights.safetensors, steps.csv, epochs.csv.

    targets: `PseudoMasks`, or `SupervisedMasks` for the fully supervised reference: the rows of Tables 8 and 9 differ
    in nothing else. The weights are those of the last epoch: no mask selects an epoch.
    after_epoch: called with the network (evaluation mode) and the epoch from 1; what it returns is kept, never used.
    A finished training of the same settings is read back; an unfinished one goes on, to the same bytes.
    Returns two tables: of iterations step, epoch, lr, loss; of epochs their means and what `after_epoch` gave.
    Raises TypeError for masks that do not say what they are, DataError for missing ones, ValueError for a network of
    another architecture, and whatever `engine.loop.Loop` raises.
    """
    if not isinstance(targets, (PseudoMasks, SupervisedMasks)):
        raise TypeError(
            f"targets are {type(targets).__name__}: give PseudoMasks(folder, classes), or SupervisedMasks(masks) for "
            "the fully supervised reference"
        )
    if network.architecture != settings.architecture:
        raise ValueError(f"the settings are for {settings.architecture!r}, the network is {network.architecture!r}")
    targets.check(images)
    who = checkpoints.identity(network, images) | asdict(settings) | network.looks
    who |= {"supervision": targets.supervision, "masks": targets.digest(images.ids)}
    loop = Loop(folder, settings.pace, len(images), who, cpu=cpu)
    if loop.finished(WEIGHTS):
        network.load_state_dict(files.read_tensors(Path(folder) / WEIGHTS)[0])
        network.eval()
        return loop.history()
    if settings.fixed_encoder:
        network.encoder.requires_grad_(False)

    def sgd(network: deeplab.DeepLab) -> torch.optim.Optimizer:
        rest = {
            "lr": settings.lr,
            "momentum": settings.momentum,
            "nesterov": settings.nesterov and settings.momentum > 0,
        }
        return torch.optim.SGD(groups(network, settings), **rest)

    def mode(network: deeplab.DeepLab) -> None:
        network.train()
        if settings.fixed_encoder:
            network.encoder.eval()

    learner = loop.learner("network", network, sgd, mode=mode)
    encoder = fixed.FixedEncoder(network.encoder, PRECISIONS[settings.precision]) if settings.fixed_encoder else None

    def step(pixels: Tensor, masks: Tensor, at: Moment) -> dict[str, Tensor]:
        with loop.arithmetic():
            maps = learner(pixels, encoder)
        loss = losses.multi_scale_loss(maps, masks, smoothing=settings.label_smoothing)
        learner.update(loss)
        return {"loss": loss}

    transform = pairs.PairTransform(
        settings.crop_size, network.mean, network.std, settings.longer, settings.factors, settings.jitter
    )
    return loop.run(
        step,
        pairs.PairSamples(images, targets.mask, transform, settings.seed),
        {WEIGHTS: lambda path: deeplab.save_network(network, path)},
        after_epoch=after_epoch and (lambda epoch: after_epoch(network, epoch)),
        num_workers=num_workers,
        checkpoint_seconds=checkpoint_seconds,
        progress=progress,
        title=settings.architecture,
    )


def groups(network: deeplab.DeepLab, settings: SegmentationSettings) -> list[dict]:
    """Groups of the optimiser: pretrained weights x1 and biases x2, new weights x10 and biases x20 without decay.

    What is frozen, the BatchNorm of V2, is in no group (Section 22). V2's backbone has no other bias.
    """
    of_all = backbones.parameter_groups(
        network, settings.lr, new_factor=settings.new_factor, weight_decay=settings.weight_decay
    )
    learning = [group | {"params": [p for p in group["params"] if p.requires_grad]} for group in of_all]
    return [group for group in learning if group["params"]]
