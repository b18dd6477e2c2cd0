"""kill -9 at any moment, run again: the weights and tables of a training that was never killed, to the last bit.

Every training runs in a process of its own, forked from a server that has imported everything and computed nothing.
"""

import multiprocessing
import os
import random
import signal
import time
from multiprocessing import forkserver

import pytest
import tiny
import torch
from test_loop import build, recipe
from test_loop import state as left_by_recipe
from torch import nn

from pnoc_lib import files
from pnoc_lib.priors import networks, training

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
SERVER = multiprocessing.get_context("forkserver")
SHORT = {"epochs": 2, "batch_size": 6, "crop_size": 32, "resize_min": 30, "resize_max": 40, "momentum": 0.9, "lr": 0.02}


def job(images, folder, settings, num_workers=0, seconds=0.0, die_at_rename=None, die_in_epoch=None):
    """Train; killed, if asked for, just before the n-th file gets its name, or in the evaluation of an epoch."""
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of the workers: no server of their own
    rename, count = os.replace, 0

    def counted(source, target):
        nonlocal count
        count += 1
        if count == die_at_rename:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    def after_epoch(network, epoch):
        if epoch == die_in_epoch:
            os.kill(os.getpid(), signal.SIGKILL)
        torch.rand(epoch)
        return {"size": sum(p.abs().sum().item() for p in network.parameters())}

    os.replace = counted
    network = networks.CAMNetwork("test_efficientnet", 2)
    network.head = nn.Sequential(nn.Dropout(0.3), network.head)  # one more thing that draws random numbers
    options = {"after_epoch": after_epoch, "num_workers": num_workers, "checkpoint_seconds": seconds}
    training.train(network, images, folder, settings, cpu=True, progress=False, **options)


def start(*arguments, **options):
    process = SERVER.Process(target=job, args=arguments, kwargs=options)
    process.start()
    return process


@pytest.fixture(scope="module", autouse=True)
def server():
    """The imports, done before anything is timed; in a server of these tests' own, if another module's runs already."""
    forkserver._forkserver._stop()  # it would import everything anew for every process
    SERVER.set_forkserver_preload(["pnoc_lib.priors.training", "pytest"])
    process = SERVER.Process(target=int)
    process.start()
    process.join(100)


def finish(*arguments, **options):
    """Run a training to its end, or to its own kill; its exit code."""
    process = start(*arguments, **options)
    process.join(100)
    return process.exitcode


def left(folder):
    """What a training leaves: bytes of every weight, and the tables; those of the `oc` trained before it as well."""
    tensors, _ = files.read_tensors(folder / "weights.safetensors")
    weights = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
    tables = [(folder / name).read_bytes() for name in ("steps.csv", "epochs.csv", "training.json")]
    return weights, tables, left(folder / "oc") if (folder / "oc").is_dir() else None


def position(folder):
    """Iterations of the last checkpoint; None without one."""
    try:
        metadata = files.read_tensors(folder / "checkpoint.safetensors")[1]
    except (FileNotFoundError, RuntimeError):  # not there yet, or replaced while it was opened
        return None
    return int(metadata["position"].split('"step": ')[1].split(",")[0])


def kill_amid(process, folder, step, seconds):
    """Kill a training some seconds after its checkpoint reached an iteration; where it was then."""
    while process.is_alive() and (position(folder) or 0) < step:
        time.sleep(0.005)
    process.join(seconds)
    process.kill()
    process.join(20)
    return position(folder)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny.squares(tmp_path_factory.mktemp("tiny"), 33)[0]


@pytest.mark.parametrize(
    ("changes", "num_workers"),
    [
        ({"epochs": 4, "precision": "no"}, 0),
        ({"epochs": 4, "precision": "no", "accumulation": 2}, 1),  # 5 iterations an epoch: steps cross epochs
        ({"epochs": 4, "precision": "bf16"}, 0),
        ({"strategy": "p-noc", "accumulation": 2, "k_noc": 2, "precision": "no"}, 0),  # its oc is trained first
    ],
)
def test_kills_at_random_moments_change_nothing(images, tmp_path, changes, num_workers):
    settings = training.TrainingSettings(**SHORT | changes)
    iterations = settings.epochs * (len(images) // settings.batch_size)
    started = time.monotonic()
    assert finish(images, tmp_path / "whole", settings) == 0
    duration = time.monotonic() - started
    moments, reached = random.Random(0), []
    for chain in range(20):
        folder = tmp_path / f"killed{chain}"
        process = start(images, folder, settings, num_workers)
        process.join(moments.uniform(0.1, 1.0) * duration)  # anywhere: while it starts, in its oc, after its end
        process.kill()
        process.join(20)
        for step in sorted(moments.sample(range(1, iterations), 3)):
            process = start(images, folder, settings, num_workers)
            reached.append(kill_amid(process, folder, step, moments.uniform(0, 0.02)))
        assert finish(images, folder, settings, num_workers) == 0
        assert left(folder) == left(tmp_path / "whole")
        if len({step for step in reached if step is not None and 0 < step < iterations}) >= 3:
            return
    pytest.fail(f"no three kills fell amid the training: {reached}")


def test_a_kill_while_a_file_is_written_changes_nothing(images, tmp_path):
    settings = training.TrainingSettings(**SHORT | {"precision": "no"})
    few = images.subset(images.ids[:12])  # 2 iterations an epoch
    assert finish(few, tmp_path / "whole", settings) == 0
    for number in range(1, 30):
        folder = tmp_path / f"killed{number}"
        if finish(few, folder, settings, die_at_rename=number) == 0:
            break
        assert finish(few, folder, settings) == 0
        assert left(folder) == left(tmp_path / "whole"), number
    # two epochs of two checkpoints, a table and a checkpoint; four files at the end
    assert number == 1 + 2 * 4 + 4


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_kill_in_the_evaluation_of_an_epoch_changes_nothing(images, tmp_path, epoch):
    settings = training.TrainingSettings(**SHORT | {"precision": "no"})
    assert finish(images, tmp_path / "whole", settings) == 0
    assert finish(images, tmp_path / "killed", settings, die_in_epoch=epoch) == -signal.SIGKILL
    assert position(tmp_path / "killed") == 5 * epoch
    assert finish(images, tmp_path / "killed", settings, die_in_epoch=epoch) == -signal.SIGKILL  # evaluated again
    assert finish(images, tmp_path / "killed", settings) == 0
    assert left(tmp_path / "killed") == left(tmp_path / "whole")


def toy(folder):
    """A recipe with Adam, accumulation and a data set of its own, slowed down so that a kill falls amid it."""
    torch.set_num_threads(1)
    recipe(folder, build(), epochs=20, seconds=0.0, watch=lambda at: time.sleep(0.01))


def test_adam_and_a_data_set_of_its_own_survive_kills_at_random_moments(tmp_path):
    recipe(tmp_path / "whole", build(), epochs=20)
    moments, reached = random.Random(1), set()
    for step in sorted(moments.sample(range(1, 40), 6)):
        process = SERVER.Process(target=toy, args=(tmp_path / "killed",))
        process.start()
        reached.add(kill_amid(process, tmp_path / "killed", step, moments.uniform(0, 0.02)))
    recipe(tmp_path / "killed", build(), epochs=20)
    assert left_by_recipe(tmp_path / "killed") == left_by_recipe(tmp_path / "whole")
    assert len({step for step in reached if step and step < 40}) >= 2
