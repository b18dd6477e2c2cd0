"""What all tests share: a quiet, offline environment in which kernels and subprocesses find the library."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# before torch is imported: idle OpenMP threads sleep, and no weights are looked for on the network
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("PNOC_WARM", "no")  # notebooks of tests import little
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def pytest_xdist_auto_num_workers() -> int:
    """Of `-n auto`: one more than cores, for a worker often waits for a kernel or a process that it started."""
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@pytest.fixture
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="module")
def one_thread():
    """Sums in one order, and no waiting for other processes' cores; a module asks for it with `usefixtures`."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
