"""Call a function in several processes, one a GPU (or on the CPU), through torch's elastic launcher."""

from __future__ import annotations

import copy
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch


def run(processes: int, function: Callable[..., Any], *arguments: Any, cpu: bool = False, **options: Any) -> None:
    """Call `function(*arguments, cpu=cpu, **options)` in `processes` processes, which train together (`loop.Loop`).

    function: importable by name, so of a module, not of a notebook. What it returns is dropped: it leaves files.
    arguments, options: each process gets a copy of its own.
    cpu: stay on the CPU even where there are GPUs; where there are none, that is done anyway. The number of threads of
    each process is that of this one.
    Raises ValueError when there are fewer GPUs than processes, RuntimeError when a process fails.
    """
    cpu = cpu or not torch.cuda.is_available()
    if not cpu and processes > torch.cuda.device_count():
        raise ValueError(
            f"{processes} processes need as many GPUs, and there are {torch.cuda.device_count()}: lower processes"
        )
    with tempfile.TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="train",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            start_method="spawn",
            max_restarts=0,
            monitor_interval=0.1,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            with _signals():
                elastic_launch(config, _enter)(function, torch.get_num_threads(), arguments, options | {"cpu": cpu})
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            told = failure.message["message"] if isinstance(failure.message, dict) else f"code {failure.exitcode}"
            raise RuntimeError(f"process {rank} of {processes} failed: {told}; what it printed stands above") from None


@contextmanager
def _signals() -> Iterator[None]:
    """The launcher puts its own handlers in place; afterwards a kernel is interrupted as before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@record
def _enter(function: Callable[..., Any], threads: int, arguments: tuple, options: dict[str, Any]) -> None:
    """What each process does."""
    torch.set_num_threads(threads)
    if options["cpu"]:  # or they would meet on a GPU of the number of each
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # tensors arrive in memory that all processes share
    arguments, options = copy.deepcopy((arguments, options))
    try:
        function(*arguments, **options)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
