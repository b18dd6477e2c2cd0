"""A network that learns within a loop: its optimiser, its rate, the scaler of its gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from pnoc_lib.engine import checkpoints, schedules

if TYPE_CHECKING:
    from pnoc_lib.engine.loop import Loop


class Learner:
    """A network that learns, its optimiser, its rate and, in fp16, the scaler of its gradients; from `Loop.learner`."""

    def __init__(self, loop: Loop, name: str, network: nn.Module, optimizer, every: int, mode, rate):
        self.name, self.network, self._loop, self._mode, self._rate = name, network, loop, mode, rate
        pace = loop.pace
        self.period = pace.accumulation * every  # iterations an optimiser step
        self._adding = False
        if self.period > loop.total:
            raise ValueError(
                f"{name!r} would never learn: its optimiser steps every {self.period} iterations (accumulation "
                f"{pace.accumulation}, a turn every {every}), and the training has {loop.total}: lower them, or train "
                "longer"
            )
        self.learn()  # what is fixed is told before the network is made ready for several processes
        network.to(memory_format=torch.channels_last)
        self.parallel = loop.accelerator.prepare(network)
        self.optimizer: Optimizer = optimizer(network)
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        fp16 = pace.precision == "fp16" and loop.device.type == "cuda"
        self.part = checkpoints.Part(network, self.optimizer, torch.amp.GradScaler() if fp16 else None)

    def __call__(self, *inputs: Any) -> Any:
        """A forward pass on all processes; gradients are exchanged in the iteration of the optimiser step alone."""
        waits = isinstance(self.parallel, nn.parallel.DistributedDataParallel) and not self._steps
        with self.parallel.no_sync() if waits else nullcontext():
            return self.parallel(*inputs)

    def modules(self):
        """Those of the network."""
        return self.network.modules()

    def update(self, loss: Tensor) -> None:
        """Backward pass and, at the end of every period, a step of the optimiser at the rate of the schedule."""
        pace, scaler = self._loop.pace, self.part.scaler
        loss = loss * (1 / pace.accumulation if pace.average_accumulated else 1.0)
        (scaler.scale(loss) if scaler else loss).backward()
        if not self._steps:
            return
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.factor
        if scaler:
            scaler.step(self.optimizer)
            scaler.update()
        else:
            self.optimizer.step()
        self.optimizer.zero_grad()

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Within: another loss of this iteration follows; gradients add up, are not exchanged, and no step is made."""
        self._adding = True
        try:
            yield
        finally:
            self._adding = False

    @property
    def factor(self) -> float:
        """What multiplies the initial rates in this iteration."""
        pace, done = self._loop.pace, self.moment // self.period
        done, total = done - done % pace.rate_every, max(1, self._loop.total // self.period)
        return self._rate(done, total) if self._rate else schedules.poly(done, total, power=pace.power)

    @property
    def moment(self) -> int:
        """The iteration that is at work, from 0."""
        return self._loop.done

    @property
    def _steps(self) -> bool:
        return not self._adding and (self.moment + 1) % self.period == 0

    def learn(self, *, learning: bool = True) -> None:
        """Put the network into training mode (its own, where it has one), or into evaluation mode."""
        self._mode(self.network) if learning else self.network.eval()

    def leave(self) -> None:
        """Take the network out of the wrappers of mixed precision and processes."""
        self._loop.accelerator.unwrap_model(self.parallel, keep_fp32_wrapper=False)


def pack(learners: Mapping[str, Learner], accelerator: Accelerator) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All that learners hold: tensors, and plain values; the gradients of several processes lie side by side."""
    parts = {name: each.part for name, each in learners.items()}
    tensors, world = checkpoints.pack(parts, gradients=True), accelerator.num_processes
    if world > 1:  # gradients that wait for an optimiser step are each process's own
        for name in [name for name in tensors if ".gradient." in name]:
            tensors[name] = accelerator.gather(tensors[name][None].contiguous())
    scalers = {name: part.scaler.state_dict() for name, part in parts.items() if part.scaler}
    return tensors, {"world": world, "scalers": scalers}


def unpack(learners: Mapping[str, Learner], accelerator: Accelerator, tensors: dict[str, Tensor], values: Any) -> None:
    """Put back what `pack` took; where another number of processes goes on, each takes the mean of the gradients."""
    if values["world"] > 1:
        same, rank = values["world"] == accelerator.num_processes, accelerator.process_index
        waiting = {name: tensor for name, tensor in tensors.items() if ".gradient." in name}
        tensors = tensors | {name: each[rank] if same else each.mean(0) for name, each in waiting.items()}
    checkpoints.unpack(tensors, {name: each.part for name, each in learners.items()})
    for name, state in values["scalers"].items():
        learners[name].part.scaler.load_state_dict(state)
