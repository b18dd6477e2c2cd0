"""Train CAM generating networks with image-level labels: Algorithm 1 and its special cases (Sections 2.4, 3.2, 6.1)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pnoc_lib import files
from pnoc_lib.data.augment import TrainingTransform
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.data.samples import TrainingSamples
from pnoc_lib.engine import backbones, batchnorm, checkpoints, loop
from pnoc_lib.engine.history import History
from pnoc_lib.priors import erasing, networks, objectives
from pnoc_lib.priors.settings import PRECISIONS, TrainingSettings

__all__ = ["PRECISIONS", "TrainingSettings", "train"]


def train(
    network: networks.CAMNetwork,
    images: LabeledImages,
    folder: Path | str,
    settings: TrainingSettings,
    *,
    oc: networks.CAMNetwork | None = None,
    after_epoch: Callable[[networks.CAMNetwork, int], dict[str, float]] | None = None,
    cpu: bool = False,
    **how: Any,
) -> History:
    """Train the generator by the strategy of the settings; `folder` gets weights.safetensors, steps.csv, epochs.csv.

    network: the generator, from its initial weights; afterwards it has those of the last epoch, in evaluation mode.
    images: only image-level labels can be reached through them; images without a class are passed over.
    oc: the ordinary classifier, left untouched; where the strategy needs one and none is given, it is trained first,
    from the same initial weights, in `folder`/oc, and found there the next time.
    after_epoch: called with the network (evaluation mode) and the epoch from 1; what it returns is kept, never used.
    cpu: compute on the CPU even where there is a GPU.
    how: num_workers, checkpoint_seconds and progress, as for `loop.Loop.run`; they change no weight.
    A finished training of the same settings is read back; an unfinished one goes on; the files of one of other settings
    are kept aside. A `noc` leaves its own weights in noc.safetensors, to be looked at.
    Returns two tables. Of every iteration: step, epoch, lr, loss; the terms of the loss, without weights, where it has
    several; p_soft = p(r | soft erasure) and erased_soft, the share of pixels, where there is an eraser; loss_noc,
    p_hard = p(r | hard erasure) and erased_hard where `noc` learns. Of every epoch: the means, and what `after_epoch`
    gave.
    Raises ValueError when a batch is larger than the data, a network would never learn or `oc` is of another kind,
    FloatingPointError when a loss is no longer finite.
    """
    s, plan, folder, images = settings, settings.plan, Path(folder), images.with_labels()
    oc = _ordinary_classifier(network, images, folder, s, oc, cpu=cpu, **how) if s.needs_oc else None

    # who am I
    identity = checkpoints.identity(network, images) | asdict(s) | ({"oc": checkpoints.digest(oc)} if oc else {})
    training = loop.Loop(folder, s.pace, len(images), identity, cpu=cpu)

    # done before?
    names = ["noc.safetensors"] * (plan.eraser == "noc") + ["weights.safetensors"]
    if training.finished(*names):
        network.load_state_dict(files.read_tensors(folder / "weights.safetensors")[0])
        network.to(training.device).eval()
        return training.history()

    # who learns
    def sgd(learner: nn.Module, rate: float = 1.0) -> torch.optim.Optimizer:
        lr = s.lr * rate
        groups = backbones.parameter_groups(learner, lr, new_factor=s.new_factor, weight_decay=s.weight_decay)
        return torch.optim.SGD(groups, lr=lr, momentum=s.momentum)

    def still(learner: nn.Module) -> nn.Module:
        return batchnorm.freeze_batchnorm(learner.train())

    if s.from_oc:
        network.load_state_dict(oc.state_dict())
    f = training.learner("generator", network, sgd, mode=still if s.batchnorm == "fixed" else nn.Module.train)
    saved, noc, eraser = [network], None, None
    if plan.eraser == "noc":  # begins as oc
        eraser = copy.deepcopy(oc).requires_grad_(True)
        noc = training.learner("noc", eraser, partial(sgd, rate=s.noc_rate), every=s.k_noc, mode=still)
        saved = [eraser, network]
    elif plan.eraser == "oc":
        example = torch.zeros(1, 3, 4 * network.stride, 4 * network.stride, device=next(oc.parameters()).device)
        eraser = batchnorm.fold_batchnorm(oc, example).requires_grad_(False)
        eraser = eraser.to(training.device, memory_format=torch.channels_last)

    def step(x: Tensor, y: Tensor, at: loop.Moment) -> dict[str, Tensor]:
        """Algorithm 1, lines 2 to 11; strategies without puzzle, eraser or `noc` leave out their lines of it."""
        r = erasing.draw_class(y, torch.Generator().manual_seed(at.draw(1))) if eraser else None  # line 2
        x, y, r = training.place(x, y, r)
        with training.arithmetic():  # lines 3 to 5: fix noc, compute Eq. (8)
            terms, maps, seen = objectives.generator_terms(f, eraser, x, y, r, plan, **s.terms)
        lambda_re, lambda_cse = at.ramp(0.0, s.lambda_re, share=s.ramp_re), at.ramp(s.lambda_cse_first, s.lambda_cse)
        loss = objectives.generator_loss(terms, lambda_re=lambda_re, lambda_cse=lambda_cse)
        f.update(loss)  # line 6
        measured = {"loss": loss} | (terms if len(terms) > 1 else {})
        if eraser:
            measured["p_soft"] = objectives.confidence(seen, r)
            measured["erased_soft"] = objectives.erased_share(maps, r, x.shape[-2:], scope=s.erase_scope)
        if noc and (at.step + 1) % s.k_noc == 0:  # line 7
            with training.arithmetic():  # lines 8 to 10: fix f, compute Eq. (10)
                left = noc(erasing.erase_hard(x, maps, r, s.delta_noc))
            lambda_noc = at.ramp(0.0, s.lambda_noc)
            loss_noc = erasing.noc_loss(left, y, lambda_noc=lambda_noc, smoothing=plan.label_smoothing)
            noc.update(loss_noc)  # line 11
            share = objectives.erased_share(maps, r, x.shape[-2:], scope="image", delta=s.delta_noc)
            measured |= {"loss_noc": loss_noc, "p_hard": objectives.confidence(left, r), "erased_hard": share}
        return measured

    # go
    transform = TrainingTransform(s.crop_size, s.resize_min, s.resize_max, network.mean, network.std, s.augment)
    history = training.run(
        step,
        TrainingSamples(images, transform, s.seed),
        {name: lambda path, own=own: networks.save_network(own, path) for name, own in zip(names, saved, strict=True)},
        after_epoch=after_epoch and (lambda epoch: after_epoch(network, epoch)),
        place=False,  # r is drawn on the host, before a GPU is waited for
        title=s.strategy,
        **how,
    )
    if s.batchnorm == "fixed":
        batchnorm.freeze_batchnorm(network, frozen=False)
    return history


def _ordinary_classifier(network, images, folder: Path, settings, oc, **how) -> networks.CAMNetwork:
    """The `oc` that was given, or one that is trained first; ValueError when it is of another kind."""
    if oc is None:
        oc = copy.deepcopy(network)
        train(oc, images, folder / "oc", settings.of_oc(), **how)
        # as it was written: the statistics of BatchNorm are each process's own until then
        oc.load_state_dict(files.read_tensors(folder / "oc" / "weights.safetensors")[0])
    if (oc.backbone, oc.num_classes) != (network.backbone, network.num_classes):
        raise ValueError(
            f"oc is {oc.backbone!r} with {oc.num_classes} classes, the network {network.backbone!r} with "
            f"{network.num_classes}: train an ordinary classifier of the same kind, or give none"
        )
    return oc
