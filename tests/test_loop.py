"""The loop: a toy recipe with Adam and a data set of its own, killed and resumed; other settings; what stops it."""

import contextlib
import os

import pandas as pd
import pytest
import torch
from torch import nn

from pnoc_lib import files
from pnoc_lib.engine import backward, loop, schedules

pytestmark = pytest.mark.usefixtures("one_thread")


class Points(torch.utils.data.Dataset):
    """Ten points of three numbers, and what is to be learned of them: item (epoch, index)."""

    def __getitem__(self, key):
        point = torch.randn(3, generator=torch.Generator().manual_seed(key[1]))
        return point, point.sum()


def build(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 1))


def recipe(folder, network, *, lr=0.01, watch=lambda at: None, seconds=60.0, after_epoch=None, **pace):
    """A training as one writes it: who am I, done before?, who learns, the step, go."""
    pace = loop.Pace(**({"epochs": 3, "batch_size": 4, "accumulation": 2, "precision": "no"} | pace))
    toy = loop.Loop(folder, pace, 10, {"lr": lr}, cpu=True)
    if toy.finished("weights.safetensors"):
        network.load_state_dict(files.read_tensors(folder / "weights.safetensors")[0])
        return toy.history()
    learner = toy.learner("f", network, lambda f: torch.optim.Adam(f.parameters(), lr=lr, weight_decay=0.01))

    def step(points, targets, at):
        watch(at)
        with toy.arithmetic():
            loss = (learner(points)[:, 0] - targets).square().mean()
        learner.update(loss)
        return {"loss": loss}

    results = {"weights.safetensors": lambda path: files.write_tensors(path, network.state_dict())}
    options = {"after_epoch": after_epoch, "checkpoint_seconds": seconds, "progress": False}
    return toy.run(step, Points(), results, **options)


def test_a_finished_training_is_read_back(tmp_path):
    first, again, asked = build(), build(1), []
    done = recipe(tmp_path, first, after_epoch=lambda epoch: {"size": float(epoch)})
    read = recipe(tmp_path, again, watch=asked.append)
    assert asked == []
    assert all(torch.equal(tensor, first.state_dict()[name]) for name, tensor in again.state_dict().items())
    pd.testing.assert_frame_equal(read.steps, done.steps)
    pd.testing.assert_frame_equal(read.epochs, done.epochs)
    assert done.epochs["size"].tolist() == [1, 2, 3]


def state(folder):
    """What a training leaves: the bytes of weights, tables and record."""
    names = ("weights.safetensors", "steps.csv", "epochs.csv", "training.json")
    tensors, _ = files.read_tensors(folder / names[0])
    return {name: t.numpy().tobytes() for name, t in tensors.items()}, [(folder / n).read_bytes() for n in names[1:]]


def killed_at(folder, moment, **options):
    """A training that ended in an iteration, its last checkpoint written just before."""

    def stop(at):
        if at.step == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipe(folder, build(), watch=stop, seconds=0.0, **options)


def test_adam_goes_on_bit_for_bit_from_any_iteration(tmp_path):
    """Accumulation 2 and three kills in a row: amid optimiser steps, between them, at the ends of epochs."""
    recipe(tmp_path / "whole", build(), epochs=5)
    for first in range(1, 8):
        folder = tmp_path / f"killed{first}"
        for moment in (first, first + 1, min(first + 3, 9)):
            killed_at(folder, moment, epochs=5)
        recipe(folder, build(), epochs=5)
        assert state(folder) == state(tmp_path / "whole"), first


def test_other_settings_keep_an_unfinished_training_and_going_back_finds_it(tmp_path, capsys):
    recipe(tmp_path / "whole", build())
    killed_at(tmp_path / "a", 3)
    recipe(tmp_path / "a", build(), lr=0.5)
    said = capsys.readouterr().out
    assert "a holds an unfinished training of other settings (lr was 0.01, is 0.5): starting anew" in said
    assert "its files are kept as *-" in said
    done = []
    recipe(tmp_path / "a", build(), watch=lambda at: done.append(at.step))
    assert done == [3, 4, 5]
    assert state(tmp_path / "a") == state(tmp_path / "whole")
    asked = []
    for lr in (0.5, 0.01, 0.5):  # both are finished now, and found
        recipe(tmp_path / "a", build(), lr=lr, watch=asked.append)
    assert asked == []


@pytest.mark.parametrize("kill", range(1, 12))
def test_a_kill_while_files_make_way_loses_nothing(tmp_path, monkeypatch, kill):
    """Stopped before any of the renames; then either training is asked for."""
    first, second, rename, count = build(), build(), os.replace, []
    recipe(tmp_path, first)
    recipe(tmp_path, second, lr=0.5)

    def counted(source, target):
        count.append(1)
        if len(count) == kill:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "replace", counted)
    with contextlib.suppress(KeyboardInterrupt):
        recipe(tmp_path, build())
    monkeypatch.setattr(os, "replace", rename)
    for lr, expected in [((0.5, second), (0.01, first)), ((0.01, first), (0.5, second))][kill % 2]:
        asked, found = [], build(3)
        recipe(tmp_path, found, lr=lr, watch=asked.append)
        assert asked == []
        assert all(torch.equal(t, expected.state_dict()[name]) for name, t in found.state_dict().items())


@pytest.mark.parametrize("name", ["steps.csv", "epochs.csv", "weights.safetensors"])
@pytest.mark.parametrize("keep", [0, 60])
def test_what_is_not_whole_is_no_finished_training(tmp_path, name, keep):
    recipe(tmp_path, build())
    expected = state(tmp_path)
    if name == "weights.safetensors" and keep:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:keep] if keep and "steps" in name else b"")
    recipe(tmp_path, build())
    assert state(tmp_path) == expected


def test_a_checkpoint_that_no_training_leaves_is_refused(tmp_path):
    killed_at(tmp_path, 3)
    path = tmp_path / "checkpoint.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(ValueError, match=r"the checkpoint .* is damaged .*: delete it, and the training begins anew"):
        recipe(tmp_path, build())
    path.write_bytes(whole)
    tensors, metadata = files.read_tensors(path)
    files.write_tensors(path, tensors, metadata | {"position": metadata["position"].replace('"step": 3', '"step": 30')})
    with pytest.raises(ValueError, match="stands at iteration 30 of 6, with 3 in its history: no training leaves that"):
        recipe(tmp_path, build())


def test_an_optimiser_that_never_steps_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'f' would never learn: its optimiser steps every 7 .* has 6: lower"):
        recipe(tmp_path, build(), accumulation=7)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("pace", "sentence"),
    [
        ({"seed": 2**64}, r"seed must be a whole number from 0 to 2\*\*63 - 1, got 18446744073709551616"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"epochs": 1.5}, "epochs must be positive, got 1.5: give a whole number"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"batch_size": 11}, "a batch of 11 is larger than the 10 samples of the training: give a smaller batch_size"),
        ({"batch_size": 1, "accumulation": 1}, "BatchNorm was given a single value a channel .*: give a larger batch"),
    ],
)
def test_impossible_paces_are_refused(tmp_path, pace, sentence):
    with pytest.raises(ValueError, match=sentence):
        recipe(tmp_path, build(), **pace)


def test_a_loss_that_is_never_finite_promises_no_checkpoint(tmp_path):
    with pytest.raises(FloatingPointError, match=r"no longer finite .*: lower the rate; no checkpoint was written yet"):
        recipe(tmp_path, build(), lr=float("inf"), accumulation=1, batch_size=2, epochs=4)


def test_the_rate_may_change_every_few_optimiser_steps(tmp_path):
    rates = recipe(tmp_path, build(), epochs=4, accumulation=1, rate_every=3).steps["lr"].tolist()
    assert rates == pytest.approx([0.01 * schedules.poly(step, 8) for step in (0, 0, 0, 3, 3, 3, 6, 6)])


def test_threads_are_part_of_the_identity_on_a_cpu(tmp_path):
    recipe(tmp_path, build())
    assert files.read_json(tmp_path / "training.json")["identity"]["threads"] == 1


def test_only_a_cpu_looks_at_every_call_for_a_quicker_one(tmp_path):
    toy = loop.Loop(tmp_path, loop.Pace(epochs=1, batch_size=2, precision="no"), 4, {}, cpu=True)

    def watched():
        with toy.arithmetic():
            return backward.QuickBackward in map(type, torch.overrides._get_current_function_mode_stack())

    assert watched()
    toy.device = torch.device("cuda")
    assert not watched()
