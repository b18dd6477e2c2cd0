"""One loop for every training: batches, mixed precision, processes, history, exact resume. It knows no network or loss.

A recipe has five parts: who am I (`Loop`), done before? (`finished`), who learns (`learner`), the step, go (`run`).
Every draw is a function of (seed, iteration, image), so a checkpoint needs tensors and the iteration alone, and a
resumed training ends with the bytes of an unbroken one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pnoc_lib import files
from pnoc_lib.engine import archive, backward, learner, order
from pnoc_lib.engine.history import History, Rows
from pnoc_lib.engine.pace import Moment, Pace

__all__ = ["Loop", "Moment", "Pace"]


class Loop:
    """A training in `folder`: its pace, its identity, its learners, and `done` iterations of `total`.

    samples: how many there are. identity: plain values (as JSON) of all else that decides the outcome: settings,
    digests of initial weights and of the data and stores that are read; the pace and, on a CPU, the number of threads
    are added here. cpu: compute on the CPU even where there is an accelerator.
    Raises ValueError when a batch is larger than the samples or not divisible by the processes, RuntimeError when fewer
    processes take part than were started.
    """

    def __init__(self, folder: Path | str, pace: Pace, samples: int, identity: Mapping[str, Any], *, cpu: bool = False):
        self.folder, self.pace = Path(folder), pace
        self.per_epoch = samples // pace.batch_size
        if self.per_epoch == 0:
            raise ValueError(
                f"a batch of {pace.batch_size} is larger than the {samples} samples of the training: give a smaller "
                "batch_size"
            )
        self.total, self.done, self.samples = pace.epochs * self.per_epoch, 0, samples
        AcceleratorState._reset_state()  # a notebook may train twice, in two precisions
        asked = int(os.environ.get("WORLD_SIZE", 1))
        cpu = cpu or (asked > 1 and not torch.cuda.is_available())  # or each would train alone, in the same folder
        self.accelerator = Accelerator(cpu=cpu, mixed_precision=pace.precision)
        self.device, self.main = self.accelerator.device, self.accelerator.is_main_process
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        if self.world != asked:
            raise RuntimeError(f"{asked} processes were started and train in groups of {self.world}: ask for as many")
        if pace.batch_size % self.world:
            raise ValueError(f"batch_size {pace.batch_size} is not divisible by {self.world} processes")
        threads = {"threads": torch.get_num_threads()} if self.device.type == "cpu" else {}
        self.identity = json.loads(json.dumps(dict(identity) | asdict(pace) | threads))
        self.archive = archive.Archive(self.folder, self.identity, self.total, pace.epochs)
        self.learners: dict[str, learner.Learner] = {}
        self.rows = Rows(self.accelerator, self.per_epoch)
        self._saved, self._results = time.monotonic(), []

    def learner(
        self,
        name: str,
        network: nn.Module,
        optimizer: Callable[[nn.Module], Optimizer],
        *,
        every: int = 1,
        mode: Callable[[nn.Module], Any] = nn.Module.train,
        rate: Callable[[int, int], float] | None = None,
    ) -> learner.Learner:
        """A network that learns in this training, moved to its device.

        optimizer: from the network to its optimiser; the rates of its groups are those of the first step.
        every: iterations from one turn to the next (`k_noc`). mode: called before every iteration to put the network
        into training mode: `lambda n: batchnorm.freeze_batchnorm(n.train())` keeps BatchNorm fixed.
        rate: factor of the rates after `done` of `total` optimiser steps, in place of the poly decay of the pace.
        Raises ValueError when the training ends before the first optimiser step.
        """
        self.learners[name] = learner.Learner(self, name, network, optimizer, every, mode, rate)
        return self.learners[name]

    def finished(self, *results: str) -> bool:
        """True when this very training has ended in this folder, and its results and tables are there, whole.

        A training that made way for one of other settings is brought back.
        """
        if self.main:
            self.archive.settle()
        self.accelerator.wait_for_everyone()
        return self.archive.finished(*results)

    def history(self) -> History:
        """The tables of a finished training."""
        return self.archive.history()

    def place(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tensors on the device of the training, images in the memory layout that convolutions like."""

        def placed(tensor: Tensor) -> Tensor:
            image = tensor.ndim == 4 and tensor.is_floating_point()
            layout = torch.channels_last if image else torch.preserve_format
            return tensor.to(self.device, non_blocking=True, memory_format=layout)

        return tuple(placed(value) if isinstance(value, Tensor) else value for value in tensors)

    def arithmetic(self) -> AbstractContextManager:
        """For forward passes: the precision of the training and, on a CPU, quick backward passes."""
        stack = ExitStack()
        if self.device.type == "cpu":  # to look at every call costs time, and a GPU has nothing from it
            stack.enter_context(backward.QuickBackward())
        stack.enter_context(self.accelerator.autocast())
        return stack

    def run(
        self,
        step: Callable[..., dict[str, Tensor]],
        samples: Dataset,
        results: Mapping[str, Callable[[Path], None]],
        *,
        after_epoch: Callable[[int], dict[str, float]] | None = None,
        collate: Callable | None = None,
        place: bool = True,
        num_workers: int = 0,
        checkpoint_seconds: float = 60.0,
        progress: bool = True,
        title: str = "training",
    ) -> History:
        """Train to the end, from the checkpoint in the folder where there is one.

        step: called with a batch (on the device; as it was read: place=False) and at=Moment; forward passes belong
        within `arithmetic()`, every loss goes to a learner's `update`. It returns scalars by name: the loss, others
        that begin with "loss" (they must stay finite too), and what else shall be remembered of the iteration.
        samples: item (epoch, index) is one sample, the same at every time; `collate` makes a batch of a list of them.
        results: file name in the folder -> what writes it, at the end, in order.
        after_epoch: called with the epoch from 1, all networks in evaluation mode; what it returns is kept, never used.
        Returns the tables that steps.csv and epochs.csv hold: of iterations step, epoch, lr and what `step` gave; of
        epochs their means and what `after_epoch` gave.
        Raises FloatingPointError when a loss is no longer finite, ValueError for a damaged checkpoint.
        """
        self._results = list(results)
        self._resume()
        self._end_epoch(after_epoch)  # where the kill came between the checkpoint of an epoch and its evaluation
        loader = self._loader(samples, num_workers, collate)
        shown = progress and self.main
        with tqdm(
            total=self.total, initial=self.done, desc=title, unit="batch", mininterval=1, disable=not shown
        ) as bar:
            for batch in loader:
                loss = self._iterate(step, self.place(*batch) if place else batch)
                bar.update()
                if self.done % 10 == 0 or self.done == self.total:
                    self._check_finite()
                    epoch = (self.done - 1) // self.per_epoch + 1
                    bar.set_postfix(loss=f"{loss.item():.4f}", epoch=f"{epoch}/{self.pace.epochs}")
                ended = self.done % self.per_epoch == 0
                if ended or self._due(checkpoint_seconds):
                    self._save()
                if ended:
                    self._end_epoch(after_epoch)
        return self._finish(results)

    def _loader(self, samples: Dataset, num_workers: int, collate: Callable | None) -> DataLoader:
        batches = order.TrainingOrder(
            self.samples, self.pace.batch_size, self.pace.epochs, self.pace.seed, self.done, self.rank, self.world
        )
        return DataLoader(
            samples,
            batch_sampler=batches,
            num_workers=num_workers,
            collate_fn=collate,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if num_workers else None,
        )

    def _iterate(self, step: Callable[..., dict[str, Tensor]], batch) -> Tensor:
        at = Moment(self.done, self.total, self.pace.seed, self.rank)
        torch.manual_seed(at.draw())  # dropout, where a network has it
        for each in self.learners.values():
            each.learn()
        first = next(iter(self.learners.values()))
        rate = first.optimizer.defaults["lr"] * first.factor
        try:
            measured = step(*batch, at=at)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                f"BatchNorm was given a single value a channel ({self.pace.batch_size // self.world} samples a process "
                "and maps of one position): give a larger batch_size or crop, or fix BatchNorm"
            ) from error
        if "loss" not in measured:
            raise ValueError(f"a step must return its 'loss', got {', '.join(measured) or 'nothing'}")
        self.rows.add(self.done, rate, measured)
        self.done += 1
        return measured["loss"].detach()

    def _check_finite(self) -> None:
        bad = self.rows.settle()
        if bad:
            kept = (self.folder / archive.CHECKPOINT).is_file()
            after = f"the last good checkpoint is kept in {self.folder}" if kept else "no checkpoint was written yet"
            raise FloatingPointError(
                f"the {bad.replace('_', ' of ')} is no longer finite at iteration {self.done} (precision "
                f"{self.pace.precision}): lower the rate; {after}"
            )

    def _end_epoch(self, after_epoch) -> None:
        """Evaluate the epochs that are complete and not yet in the history."""
        epoch = self.done // self.per_epoch
        if self.done % self.per_epoch or len(self.rows.epochs) >= epoch:
            return
        self._check_finite()
        extra: dict[str, float] = {}
        if after_epoch is not None and self.main:
            for each in self.learners.values():
                each.learn(learning=False)
            with torch.random.fork_rng(devices=[]):
                extra = after_epoch(epoch)
        self.accelerator.wait_for_everyone()
        self.rows.end_epoch(epoch, extra)
        if self.main:
            files.write_csv(self.folder / "epochs.csv", self.rows.history().epochs)
        self._save()

    def _due(self, seconds: float) -> bool:
        """True when the last checkpoint is older than `seconds`; with several processes, where they meet."""
        due = time.monotonic() - self._saved > seconds
        if self.world == 1:
            return due
        if self.rows.pending:
            return False
        clock = torch.tensor(float(due and self.main), device=self.device)  # that of the first process is theirs
        return bool(self.accelerator.reduce(clock, "sum").item())

    def _save(self) -> None:
        """Write a checkpoint from which the training goes on bit for bit."""
        self._check_finite()
        self._saved = time.monotonic()
        tensors, position = learner.pack(self.learners, self.accelerator)
        position |= {"step": self.done, "results": self._results, "rows": self.rows.steps, "epochs": self.rows.epochs}
        if self.main:
            self.archive.save(tensors, position)

    def _resume(self) -> None:
        """Go on from the checkpoint, if there is one of this training; others make way."""
        said = self.archive.make_way() if self.main else ""
        if said:
            tqdm.write(said)
        self.accelerator.wait_for_everyone()
        found = self.archive.load()
        if found is not None:
            learner.unpack(self.learners, self.accelerator, *found)
            self.done, self.rows.steps, self.rows.epochs = (found[1][name] for name in ("step", "rows", "epochs"))

    def _finish(self, results: Mapping[str, Callable[[Path], None]]) -> History:
        for each in self.learners.values():
            each.learn(learning=False)
            each.leave()
        if self.main:
            self.archive.finish(results, self.rows.history(), self.world)
        self.accelerator.wait_for_everyone()
        return self.rows.history()
