"""The loop: a toy recipe with Adam and a data set of its own, killed and resumed; other settings; what stops it."""

import pandas as pd
import pytest
import torch
from torch import nn

from pnoc_lib import files
from pnoc_lib.engine import loop

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
