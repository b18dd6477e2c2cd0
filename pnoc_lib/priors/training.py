"""Train CAM generating networks with image-level labels: Algorithm 1 and its special cases (Sections 2.4, 3.2 and 6.1).

Every draw is a function of (seed, iteration, image): the order of the images, their augmentation, the erased class,
dropout. A checkpoint therefore needs weights, optimisers and iteration alone, and a resumed training ends with the
weights of an unbroken one.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from pnoc_lib import files
from pnoc_lib.data import samples
from pnoc_lib.data.augment import TrainingTransform
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.engine import backbones, batchnorm, checkpoints, depthwise, order, schedules
from pnoc_lib.priors import cam, erasing, networks, strategies
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
    num_workers: int = 0,
    checkpoint_seconds: float = 60.0,
    cpu: bool = False,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train the generator by the strategy of the settings; `folder` gets weights.safetensors, steps.csv, epochs.csv.

    The weights are those of the last epoch; a `noc` leaves its own in noc.safetensors, to be looked at.
    images: only image-level labels can be reached through them; images without a class are passed over.
    oc: the ordinary classifier, left untouched; where the strategy needs one and none is given, it is trained first,
    from the same initial weights, in `folder`/oc, and found there the next time.
    after_epoch: called with the network (evaluation mode) and the epoch from 1; what it returns is kept, never used.
    A finished training of the same settings is read back; an unfinished one goes on; one of other settings starts anew.
    Returns two tables. Of every iteration: step, epoch, lr, loss; the terms of the loss, without weights, where it has
    several; p_soft = p(r | soft erasure) and erased_soft, the share of pixels, where there is an eraser; loss_noc,
    p_hard = p(r | hard erasure) and erased_hard where `noc` learns. Of every epoch: the means, and what `after_epoch`
    gave.
    Raises ValueError when a batch is larger than the data or `oc` is of another kind, FloatingPointError when a loss is
    no longer finite.
    """
    if settings.needs_oc and oc is None:
        oc = copy.deepcopy(network)
        options = {"num_workers": num_workers, "checkpoint_seconds": checkpoint_seconds, "cpu": cpu}
        train(oc, images, Path(folder) / "oc", settings.of_oc(), progress=progress, **options)
        # as it was written: the statistics of BatchNorm are each process's own until then
        oc.load_state_dict(files.read_tensors(Path(folder) / "oc" / "weights.safetensors")[0])
    if settings.needs_oc and (oc.backbone, oc.num_classes) != (network.backbone, network.num_classes):
        raise ValueError(
            f"oc is {oc.backbone!r} with {oc.num_classes} classes, the network {network.backbone!r} with "
            f"{network.num_classes}: train an ordinary classifier of the same kind, or give none"
        )
    run = _Run(network, images, Path(folder), settings, oc if settings.needs_oc else None, cpu=cpu)
    if run.finished():
        network.load_state_dict(files.read_tensors(run.weights)[0])
        network.eval()
        return run.read_history()
    run.resume()
    run.end_epoch(after_epoch)  # where the kill came between the checkpoint of an epoch and its evaluation
    loader = run.loader(num_workers)
    bar = tqdm(
        total=run.total,
        initial=run.step,
        desc=settings.strategy,
        unit="batch",
        mininterval=1,
        disable=not (progress and run.main),
    )
    for batch in loader:
        loss = run.iterate(*batch)
        bar.update()
        if run.step % 10 == 0 or run.step == run.total:
            run.check_finite()
            bar.set_postfix(
                loss=f"{loss.item():.4f}", epoch=f"{(run.step - 1) // run.steps_per_epoch + 1}/{settings.epochs}"
            )
        ended = run.step % run.steps_per_epoch == 0
        if ended or run.due(checkpoint_seconds):
            run.save()
        if ended:
            run.end_epoch(after_epoch)
    bar.close()
    return run.finish()


class _Run:
    """What one training remembers: networks, optimisers, position, history."""

    def __init__(self, network, images: LabeledImages, folder: Path, settings: TrainingSettings, oc, *, cpu: bool):
        labelled = images.labels.any(axis=1)
        self.images = (
            images if labelled.all() else images.subset([i for i, ok in zip(images.ids, labelled, strict=True) if ok])
        )
        self.settings, self.folder, self.plan = settings, folder, settings.plan
        self.steps_per_epoch = len(self.images) // settings.batch_size
        if self.steps_per_epoch == 0:
            raise ValueError(
                f"a batch of {settings.batch_size} images is larger than the {len(self.images)} labelled images of "
                f"split {images.split!r}: give a smaller batch_size"
            )
        self.total = settings.epochs * self.steps_per_epoch
        AcceleratorState._reset_state()  # a notebook may train twice, in two precisions
        self.accelerator = Accelerator(cpu=cpu, mixed_precision=settings.precision)
        if settings.batch_size % self.accelerator.num_processes:
            raise ValueError(
                f"batch_size {settings.batch_size} is not divisible by {self.accelerator.num_processes} processes"
            )
        self.main = self.accelerator.is_main_process
        self.identity = checkpoints.identity(network, self.images) | asdict(settings)
        self.identity |= {"oc": checkpoints.digest(oc)} if oc else {}
        if settings.from_oc:
            network.load_state_dict(oc.state_dict())
        self.network, self.eraser, self.discriminator = network, None, None
        if settings.batchnorm == "fixed":
            batchnorm.freeze_batchnorm(network)
        self.parallel, generator = self._part(network)
        self.parts = {"generator": generator}
        if self.plan.eraser == "oc":
            side = 4 * network.stride
            example = torch.zeros(1, 3, side, side, device=next(oc.parameters()).device)
            folded = batchnorm.fold_batchnorm(oc, example).requires_grad_(False)
            self.eraser = folded.to(self.accelerator.device, memory_format=torch.channels_last)
        if self.plan.eraser == "noc":
            self.noc = batchnorm.freeze_batchnorm(copy.deepcopy(oc).requires_grad_(True))
            self.eraser = self.noc
            self.discriminator, self.parts["noc"] = self._part(self.noc)
        self.step, self.rows, self.epochs, self.saved = 0, [], [], time.monotonic()
        self.pending: list[dict[str, Tensor]] = []
        self.weights, self.checkpoint = folder / "weights.safetensors", folder / "checkpoint.safetensors"
        self.record = folder / "training.json"

    def _part(self, network: networks.CAMNetwork) -> tuple[nn.Module, checkpoints.Part]:
        """A network ready to learn on all processes, and what must be remembered of it."""
        s = self.settings
        network.to(memory_format=torch.channels_last)
        parallel = self.accelerator.prepare(network)
        groups = backbones.parameter_groups(network, s.lr, new_factor=s.new_factor, weight_decay=s.weight_decay)
        optimizer = torch.optim.SGD(groups, lr=s.lr, momentum=s.momentum)
        fp16 = s.precision == "fp16" and self.accelerator.device.type == "cuda"
        return parallel, checkpoints.Part(network, optimizer, torch.amp.GradScaler() if fp16 else None)

    def loader(self, num_workers: int) -> DataLoader:
        s = self.settings
        transform = TrainingTransform(
            s.crop_size, s.resize_min, s.resize_max, self.network.mean, self.network.std, s.augment
        )
        batches = order.TrainingOrder(len(self.images), s.batch_size, s.epochs, s.seed, start=self.step)
        batches = replace(batches, rank=self.accelerator.process_index, world=self.accelerator.num_processes)
        return DataLoader(
            samples.TrainingSamples(self.images, transform, s.seed),
            batch_sampler=batches,
            num_workers=num_workers,
            pin_memory=self.accelerator.device.type == "cuda",
            prefetch_factor=4 if num_workers else None,
        )

    def iterate(self, images: Tensor, labels: Tensor) -> Tensor:
        """One iteration of Algorithm 1; strategies without puzzle, eraser or `noc` leave out their lines of it."""
        s, plan, step = self.settings, self.plan, self.step
        torch.manual_seed(self._draw(0))  # dropout, where a backbone has it
        r = erasing.draw_class(labels, torch.Generator().manual_seed(self._draw(1))) if plan.eraser else None  # line 2
        device = self.accelerator.device
        images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
        labels, r = labels.to(device), None if r is None else r.to(device)
        weights = self.lambdas()

        self.network.train()
        if s.batchnorm == "fixed":
            batchnorm.freeze_batchnorm(self.network)
        with depthwise.FastDepthwise(), self.accelerator.autocast():  # lines 3 to 5: fix noc, compute Eq. (8)
            terms, maps, seen = strategies.generator_terms(
                self.parallel,
                self.eraser,
                images,
                labels,
                r,
                plan,
                scope=s.erase_scope,
                leaky=s.leaky_noc,
                tile_statistics=s.tile_statistics,
            )
        loss = strategies.generator_loss(terms, lambda_re=weights["lambda_re"], lambda_cse=weights["lambda_cse"])
        factor = self._update("generator", loss)  # line 6
        measured = {"loss": loss} | (terms if len(terms) > 1 else {})
        if plan.eraser:
            measured |= {"p_soft": _confidence(seen, r), "erased_soft": self._erased(maps, r, images, s.erase_scope)}

        if plan.eraser == "noc" and (step + 1) % s.k_noc == 0:  # line 7
            batchnorm.freeze_batchnorm(self.noc.train())
            with depthwise.FastDepthwise(), self.accelerator.autocast():  # lines 8 to 10: fix f, compute Eq. (10)
                left = self.discriminator(erasing.erase_hard(images, maps, r, s.delta_noc))
            noc_loss = erasing.noc_loss(left, labels, lambda_noc=weights["lambda_noc"], smoothing=plan.label_smoothing)
            self._update("noc", noc_loss, every=s.k_noc)  # line 11
            measured |= {"loss_noc": noc_loss, "p_hard": _confidence(left, r)}
            measured["erased_hard"] = self._erased(maps, r, images, "image", s.delta_noc)

        self.rows.append({"step": step, "epoch": step // self.steps_per_epoch + 1, "lr": s.lr * factor})
        self.pending.append({name: value.detach().float() for name, value in measured.items()})
        self.step += 1
        return loss.detach()

    def lambdas(self) -> dict[str, float]:
        """The weights of the loss terms at this iteration (Section 6.1)."""
        s = self.settings
        return {
            "lambda_re": schedules.linear(self.step, self.total, 0.0, s.lambda_re, share=s.ramp_re),
            "lambda_cse": schedules.linear(self.step, self.total, s.lambda_cse_first, s.lambda_cse),
            "lambda_noc": schedules.linear(self.step, self.total, 0.0, s.lambda_noc),
        }

    def _draw(self, kind: int) -> int:
        """The seed of what is drawn in this iteration by this process."""
        more = (kind,) if kind else ()
        return samples.mix(self.settings.seed, self.step, self.accelerator.process_index, *more)

    def _update(self, name: str, loss: Tensor, *, every: int = 1) -> float:
        """Backward pass and, every `accumulation` of them, an optimiser step; returns the factor of the rates.

        every: iterations from one call to the next.
        """
        s, part = self.settings, self.parts[name]
        share = 1 / s.accumulation if s.average_accumulated else 1.0
        (part.scaler.scale(loss * share) if part.scaler else loss * share).backward()
        period = s.accumulation * every
        factor = schedules.poly(self.step // period, max(1, self.total // period), power=s.power)
        if (self.step + 1) % period == 0:
            for group in part.optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            if part.scaler:
                part.scaler.step(part.optimizer)
                part.scaler.update()
            else:
                part.optimizer.step()
            part.optimizer.zero_grad()
        return factor

    @torch.no_grad()
    def _erased(self, maps: Tensor, r: Tensor, images: Tensor, scope: str, delta: float | None = None) -> Tensor:
        """Share of the pixels that was erased: the mean of the soft mask, or of the hard one at `delta`."""
        mask = erasing.attention(maps, r, images.shape[-2:], scope=scope)
        return mask.mean() if delta is None else (mask > delta).float().mean()

    def check_finite(self) -> None:
        """Bring what is pending to the host and stop on a loss that is not finite."""
        if not self.pending:
            return
        values = torch.stack([value for measured in self.pending for value in measured.values()])
        values = iter(self.accelerator.reduce(values, "mean").tolist())
        rows = self.rows[-len(self.pending) :]
        for row, measured in zip(rows, self.pending, strict=True):
            row |= {name: next(values) for name in measured}
        self.pending.clear()
        for name in ("loss", "loss_noc"):
            if not all(math.isfinite(row.get(name, 0.0)) for row in rows):
                raise FloatingPointError(
                    f"the {name.replace('_', ' of ')} is no longer finite at iteration {self.step} (lr "
                    f"{self.settings.lr}, precision {self.settings.precision}): lower lr; the last good checkpoint is "
                    f"kept in {self.folder}"
                )

    def end_epoch(self, after_epoch) -> None:
        """Evaluate the epochs that are complete and not yet in the history."""
        epoch = self.step // self.steps_per_epoch
        if self.step % self.steps_per_epoch or len(self.epochs) >= epoch:
            return
        self.check_finite()
        own = pd.DataFrame([row for row in self.rows if row["epoch"] == epoch])
        row = {"epoch": epoch} | {name: float(own[name].mean()) for name in own.columns.drop(["step", "epoch", "lr"])}
        if after_epoch is not None and self.main:
            with torch.random.fork_rng(devices=[]):
                row |= after_epoch(self.network.eval(), epoch)
        self.accelerator.wait_for_everyone()
        self.epochs.append(row)
        if self.main:
            files.write_csv(self.folder / "epochs.csv", pd.DataFrame(self.epochs))
            self.save()

    def due(self, seconds: float) -> bool:
        """True when the last checkpoint is older than `seconds`; with several processes, where they meet."""
        together = self.accelerator.num_processes == 1 or not self.pending
        return together and time.monotonic() - self.saved > seconds

    def save(self) -> None:
        """Write a checkpoint from which training goes on bit for bit."""
        self.check_finite()
        self.saved = time.monotonic()
        if not self.main:
            return
        tensors = checkpoints.pack(self.parts, gradients=True)
        scalers = {name: part.scaler.state_dict() for name, part in self.parts.items() if part.scaler}
        position = {"step": self.step, "rows": self.rows, "epochs": self.epochs, "scalers": scalers}
        files.write_tensors(
            self.checkpoint, tensors, {"identity": json.dumps(self.identity), "position": json.dumps(position)}
        )

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one of the same settings."""
        if not self.checkpoint.is_file():
            if self.main and self.record.is_file():
                changed = checkpoints.changes(files.read_json(self.record) | {"processes": None}, self.identity)
                why = f"a finished training of other settings ({changed})" if changed else "the record of lost weights"
                tqdm.write(f"{self.folder} holds {why}: starting anew")
            return
        tensors, metadata = files.read_tensors(self.checkpoint)
        if json.loads(metadata["identity"]) != self.identity:
            changed = checkpoints.changes(json.loads(metadata["identity"]), self.identity)
            if self.main:
                tqdm.write(f"{self.folder} holds a training of other settings ({changed}): starting anew")
            return
        position = json.loads(metadata["position"])
        self.step, self.rows, self.epochs = position["step"], position["rows"], position["epochs"]
        checkpoints.unpack(tensors, self.parts)
        for name, state in position["scalers"].items():
            self.parts[name].scaler.load_state_dict(state)

    def finished(self) -> bool:
        """True when the weights of this very training are there."""
        if not (self.weights.is_file() and self.record.is_file()):
            return False
        told = files.read_json(self.record)
        return {key: told.get(key) for key in self.identity} == self.identity

    def finish(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Write what the training leaves; the checkpoint goes last."""
        self.network.eval()
        if self.settings.batchnorm == "fixed":
            batchnorm.freeze_batchnorm(self.network, frozen=False)
        self.accelerator.unwrap_model(self.parallel, keep_fp32_wrapper=False)
        if self.main:
            self.record.unlink(missing_ok=True)  # of a training of other settings: its weights go now
            if "noc" in self.parts:  # no part of the result; kept so that one can look at what it learned
                networks.save_network(self.noc, self.folder / "noc.safetensors")
            networks.save_network(self.network, self.weights)
            files.write_csv(self.folder / "steps.csv", pd.DataFrame(self.rows))
            files.write_csv(self.folder / "epochs.csv", pd.DataFrame(self.epochs))
            files.write_json(self.record, self.identity | {"processes": self.accelerator.num_processes})
            self.checkpoint.unlink(missing_ok=True)
        self.accelerator.wait_for_everyone()
        return pd.DataFrame(self.rows), pd.DataFrame(self.epochs)

    def read_history(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Tables of a finished training: iterations and epochs."""
        self.accelerator.unwrap_model(self.parallel, keep_fp32_wrapper=False)
        return pd.read_csv(self.folder / "steps.csv"), pd.read_csv(self.folder / "epochs.csv")


def _confidence(seen: Tensor, erased_class: Tensor) -> Tensor:
    """Mean probability of the erased class, given the eraser's CAMs (N, C, h, w)."""
    logits = cam.gap(seen.detach()).gather(1, erased_class[:, None])
    return logits.sigmoid().mean()
