"""Train a CAM generating network with image-level labels (Sections 2.4.1 and 6.1), so that a kill costs nothing.

Every draw is a function of (seed, iteration, image): the order of the images, their augmentation, dropout. A checkpoint
therefore needs weights, optimiser and iteration alone, and a resumed training ends with the weights of an unbroken one.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from pnoc_lib import cam, depthwise, files, models, sampling, schedules
from pnoc_lib.augment import TrainingTransform
from pnoc_lib.data import LabeledImages

PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a training but the images and the network; the defaults are the paper's (Section 6.1).

    Sides in pixels, rates per optimiser step, `batch_size` in images over all processes and per iteration;
    `accumulation` iterations make one optimiser step, their gradients summed (`average_accumulated`: averaged).
    Raises ValueError for an impossible value.
    """

    epochs: int = 15
    batch_size: int = 32
    accumulation: int = 1
    average_accumulated: bool = False
    crop_size: int = 512
    resize_min: int = 320
    resize_max: int = 640
    augment: str = "randaugment"
    label_smoothing: float = 0.0
    lr: float = 0.1
    new_factor: float = 10.0
    momentum: float = 0.0
    weight_decay: float = 1e-4
    power: float = 0.9
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "batch_size", "accumulation", "crop_size", "lr", "new_factor"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}: see Section 6.1 for the paper's")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}: choose one of {', '.join(PRECISIONS)}")


def train(
    network: models.CAMNetwork,
    images: LabeledImages,
    folder: Path | str,
    settings: TrainingSettings,
    *,
    after_epoch: Callable[[models.CAMNetwork, int], dict[str, float]] | None = None,
    num_workers: int = 0,
    checkpoint_seconds: float = 60.0,
    cpu: bool = False,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train the vanilla classifier, Eq. (1) with l_cls; `folder` gets weights.safetensors, steps.csv and epochs.csv.

    images: only image-level labels can be reached through them; images without a class are passed over.
    after_epoch: called with the network (evaluation mode) and the epoch from 1; what it returns is kept, never used.
    A finished training of the same settings is read back; an unfinished one goes on; one of other settings starts anew.
    Returns two tables: step, epoch, lr, loss of every iteration; epoch, loss, what `after_epoch` gave of every epoch.
    Raises ValueError when a batch is larger than the data, FloatingPointError when the loss is no longer finite.
    """
    run = _Run(network, images, Path(folder), settings, cpu=cpu)
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
        desc="train",
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
    """What one training remembers: network, optimiser, position, history."""

    def __init__(self, network: models.CAMNetwork, images: LabeledImages, folder: Path, settings, *, cpu: bool):
        labelled = images.labels.any(axis=1)
        self.images = (
            images if labelled.all() else images.subset([i for i, ok in zip(images.ids, labelled, strict=True) if ok])
        )
        self.settings, self.folder = settings, folder
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
        groups = models.parameter_groups(
            network, settings.lr, new_factor=settings.new_factor, weight_decay=settings.weight_decay
        )
        optimizer = torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
        self.network = network.to(memory_format=torch.channels_last)
        self.parallel, self.optimizer = self.accelerator.prepare(self.network, optimizer)
        self.step, self.rows, self.epochs, self.saved = 0, [], [], time.monotonic()
        self.pending: list[Tensor] = []
        self.identity = _identity(network, self.images, settings)
        self.weights, self.checkpoint = folder / "weights.safetensors", folder / "checkpoint.safetensors"
        self.record = folder / "training.json"

    def loader(self, num_workers: int) -> DataLoader:
        s = self.settings
        transform = TrainingTransform(
            s.crop_size, s.resize_min, s.resize_max, self.network.mean, self.network.std, s.augment
        )
        order = sampling.TrainingOrder(len(self.images), s.batch_size, s.epochs, s.seed, start=self.step)
        order = replace(order, rank=self.accelerator.process_index, world=self.accelerator.num_processes)
        return DataLoader(
            sampling.TrainingSamples(self.images, transform, s.seed),
            batch_sampler=order,
            num_workers=num_workers,
            pin_memory=self.accelerator.device.type == "cuda",
            prefetch_factor=4 if num_workers else None,
        )

    def iterate(self, images: Tensor, labels: Tensor) -> Tensor:
        """One iteration: forward, backward and, every `accumulation` iterations, one optimiser step."""
        s = self.settings
        torch.manual_seed(
            sampling.mix(s.seed, self.step, self.accelerator.process_index)
        )  # dropout, where a backbone has it
        self.network.train()
        device = self.accelerator.device
        images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
        with depthwise.FastDepthwise():
            logits = cam.gap(self.parallel(images))  # Eq. (1)
        loss = cam.classification_loss(logits, cam.smooth_labels(labels.to(device), s.label_smoothing))
        share = 1 / s.accumulation if s.average_accumulated else 1.0
        self.accelerator.backward(loss * share)
        factor = schedules.poly(self.step // s.accumulation, max(1, self.total // s.accumulation), power=s.power)
        if (self.step + 1) % s.accumulation == 0:
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.rows.append({"step": self.step, "epoch": self.step // self.steps_per_epoch + 1, "lr": s.lr * factor})
        self.pending.append(loss.detach())
        self.step += 1
        return loss.detach()

    def check_finite(self) -> None:
        """Bring the pending losses to the host and stop on one that is not finite."""
        if not self.pending:
            return
        losses = self.accelerator.reduce(torch.stack(self.pending), "mean").tolist()
        for row, loss in zip(self.rows[-len(losses) :], losses, strict=True):
            row["loss"] = loss
        self.pending.clear()
        if not all(map(math.isfinite, losses)):
            raise FloatingPointError(
                f"the loss is no longer finite at iteration {self.step} (lr {self.settings.lr}, precision "
                f"{self.settings.precision}): lower lr; the last good checkpoint is kept in {self.folder}"
            )

    def end_epoch(self, after_epoch) -> None:
        """Evaluate the epochs that are complete and not yet in the history."""
        epoch = self.step // self.steps_per_epoch
        if self.step % self.steps_per_epoch or len(self.epochs) >= epoch:
            return
        self.check_finite()
        row = {"epoch": epoch, "loss": float(np.mean([r["loss"] for r in self.rows if r["epoch"] == epoch]))}
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
        names = {parameter: name for name, parameter in self.network.named_parameters()}
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for parameter, state in self.optimizer.state.items():
            if state.get("momentum_buffer") is not None:
                tensors[f"momentum.{names[parameter]}"] = state["momentum_buffer"]
        if self.step % self.settings.accumulation:  # an epoch may end amid an optimiser step
            tensors |= {f"gradient.{name}": p.grad for p, name in names.items() if p.grad is not None}
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else {}
        position = {"step": self.step, "rows": self.rows, "epochs": self.epochs, "scaler": scaler}
        files.write_tensors(
            self.checkpoint, tensors, {"identity": json.dumps(self.identity), "position": json.dumps(position)}
        )

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one of the same settings."""
        if not self.checkpoint.is_file():
            if self.main and self.record.is_file():
                changed = _changed(files.read_json(self.record), self.identity)
                tqdm.write(f"{self.folder} holds a finished training of other settings ({changed}): starting anew")
            return
        tensors, metadata = files.read_tensors(self.checkpoint)
        if json.loads(metadata["identity"]) != self.identity:
            changed = _changed(json.loads(metadata["identity"]), self.identity)
            if self.main:
                tqdm.write(f"{self.folder} holds a training of other settings ({changed}): starting anew")
            return
        position = json.loads(metadata["position"])
        self.step, self.rows, self.epochs = position["step"], position["rows"], position["epochs"]
        self.network.load_state_dict({n[8:]: t for n, t in tensors.items() if n.startswith("network.")})
        parameters = dict(self.network.named_parameters())
        for name, buffer in tensors.items():
            part, _, name = name.partition(".")
            if part == "network":
                continue
            # the layout of the parameter, so that the arithmetic is the same to the last bit
            restored = torch.empty_like(parameters[name], requires_grad=False).copy_(buffer)
            if part == "momentum":
                self.optimizer.state[parameters[name]]["momentum_buffer"] = restored
            else:
                parameters[name].grad = restored
        if position["scaler"] and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(position["scaler"])

    def finished(self) -> bool:
        """True when the weights of this very training are there."""
        if not (self.weights.is_file() and self.record.is_file()):
            return False
        told = files.read_json(self.record)
        return {key: told.get(key) for key in self.identity} == self.identity

    def finish(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Write what the training leaves; the checkpoint goes last."""
        self.network.eval()
        self.accelerator.unwrap_model(self.parallel, keep_fp32_wrapper=False)
        if self.main:
            self.record.unlink(missing_ok=True)  # of a training of other settings: its weights go now
            models.save_network(self.network, self.weights)
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


def _identity(network: nn.Module, images: LabeledImages, settings: TrainingSettings) -> dict:
    state = hashlib.sha256()
    for tensor in network.state_dict().values():
        state.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    data = hashlib.sha256("\n".join((*images.classes, *images.ids)).encode() + images.labels.tobytes())
    identity = {
        "backbone": network.backbone,
        "initial weights": state.hexdigest()[:16],
        "images": data.hexdigest()[:16],
    }
    return identity | asdict(settings)


def _changed(old: dict, new: dict) -> str:
    differ = [key for key in new if old.get(key) != new[key]]
    return ", ".join(f"{key} was {old.get(key)}, is {new[key]}" for key in differ)
