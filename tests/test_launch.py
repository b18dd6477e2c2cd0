"""Several processes: gradients meet once an optimiser step, and one process reads back what all of them left."""

import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import watched
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from trees import mask_of, voc_tree, write_image, write_list, write_mask

from pnoc_lib import files
from pnoc_lib.data import reading, stores
from pnoc_lib.engine import launch, loop
from pnoc_lib.priors import networks, training
from pnoc_lib.saliency import poolnet, refinement

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
NETWORK = {"backbone": "test_vit", "weights": "none", "seed": 0}  # no BatchNorm: two halves of a batch are the whole


@pytest.fixture
def images(tmp_path):
    root = voc_tree(tmp_path / "voc")
    for image_id in ("a1", "a2", "a3"):
        write_image(root / "JPEGImages" / f"{image_id}.jpg", size=(40, 32))
    write_list(root, "pairs", "a1\na3\n")
    told = {"kind": "voc", "root": str(root), "classes": ["cat", "dog", "cow"]}
    return lambda split: reading.read(**told, split=split)[0]


def settings(**changes):
    return training.TrainingSettings(
        **{"epochs": 2, "batch_size": 2, "crop_size": 32, "resize_min": 32, "resize_max": 40, "precision": "no"}
        | {"lr": 0.01, "momentum": 0.9}
        | changes
    )


def network(**changes):
    return networks.CAMNetwork(num_classes=3, **NETWORK | changes)


def assert_near(ours, theirs):
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("changes", [{"strategy": "puzzle"}, {"strategy": "p-noc", "erase_scope": "image"}])
def test_two_processes_do_what_one_does(images, tmp_path, changes):
    """Images of one class, so that all draw the same r, each erased by its own peak: the peak of a batch is that of a
    process's part. In the third iteration noc has learned. What they leave is read back."""
    given, pairs, oc, one = settings(epochs=3, **changes), images("pairs"), network(seed=1), network()
    launch.run(2, training.train, one, pairs, tmp_path / "two", given, oc=oc, cpu=True, progress=False)
    assert all(torch.equal(tensor, one.state_dict()[name]) for name, tensor in network().state_dict().items())
    assert files.read_json(tmp_path / "two" / "training.json")["processes"] == 2
    alone = training.train(one, pairs, tmp_path / "one", given, oc=oc, cpu=True, progress=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "two" / "steps.csv"), alone.steps, rtol=1e-3, atol=1e-4)
    again = network()
    with watched.iterations() as done:
        training.train(again, pairs, tmp_path / "two", given, oc=oc, cpu=True, progress=False)
    assert done == []
    assert_near(one.state_dict(), again.state_dict())


def test_poolnet_on_two_processes_does_what_one_does(tmp_path):
    """Images of many sizes: one process has more passes a step than the other, and they meet once all the same."""
    root = voc_tree(tmp_path / "voc")
    for image_id, size in {"a1": (40, 32), "a2": (40, 32), "a3": (32, 48)}.items():
        write_image(root / "JPEGImages" / f"{image_id}.jpg", size=size)
    for image_id in ("a4", "a5", "a6"):
        write_image(root / "JPEGImages" / f"{image_id}.jpg", size=(56, 40))
    write_list(root, "six", "a1\na2\na3\na4\na5\na6\n")
    for image_id in ("a4", "a5", "a6"):
        write_mask(root / "SegmentationClass" / f"{image_id}.png", mask_of(1, height=40, width=56))
    six = reading.read("voc", str(root), "six", classes=["cat", "dog", "cow"])[0]
    maps = stores.MapStore(tmp_path / "maps")
    maps.renew({"weights": "none"})
    for image_id in six.ids:
        width, height = six.image(image_id).size
        salient = np.zeros((1, height, width), np.float32)
        salient[:, : height // 2] = 1
        maps.write(image_id, salient, [0], (height, width), source=stores.source(six, image_id))
    given = refinement.Settings(epochs=2, accumulation=4, lr=1e-3, precision="no")

    def made():
        return poolnet.PoolNet("test_resnet", width=8)

    launch.run(2, refinement.train, made(), six, maps, tmp_path / "two", given, cpu=True, progress=False)
    assert files.read_json(tmp_path / "two" / "training.json")["processes"] == 2
    alone = refinement.train(made(), six, maps, tmp_path / "one", given, cpu=True, progress=False)
    told = pd.read_csv(tmp_path / "two" / "steps.csv")
    np.testing.assert_allclose(told["loss"], alone.steps["loss"], rtol=1e-3)
    ours, theirs = (files.read_tensors(tmp_path / name / "poolnet.safetensors")[0] for name in ("two", "one"))
    apart = torch.cat([(ours[name] - theirs[name]).float().abs().flatten() for name in ours]).mean()
    assert apart < 2e-5  # of two steps of 1e-3; a gradient near zero may change its sign


def test_two_processes_with_batchnorm_and_an_oc_of_their_own(images, tmp_path):
    """Whole images and tiles in one step, noc beside f."""
    f = network(backbone="test_efficientnet")
    given = settings(strategy="p-noc", accumulation=2, k_noc=1)
    launch.run(2, training.train, f, images("train"), tmp_path, given, cpu=True, progress=False)
    assert files.read_json(tmp_path / "oc" / "training.json")["identity"]["strategy"] == "cam"
    steps = pd.read_csv(tmp_path / "steps.csv")
    assert steps["step"].tolist() == [0, 1]
    assert steps.notna().all(axis=None)
    assert {"re", "cse", "loss_noc"} <= set(steps.columns)


def exchange(folder, *, cpu):
    """A recipe in four iterations of two an optimiser step; how often gradients were exchanged goes to a file."""
    counted = []

    def hook(state, bucket):
        counted.append(1)
        return default_hooks.allreduce_hook(state, bucket)

    torch.manual_seed(0)
    pace = loop.Pace(epochs=1, batch_size=2, accumulation=2, precision="no")
    toy = loop.Loop(folder, pace, 8, {}, cpu=cpu)
    f = toy.learner("f", nn.Linear(3, 1), lambda n: torch.optim.Adam(n.parameters(), lr=0.1))
    f.parallel.register_comm_hook(None, hook)

    def step(points, at):
        loss = f(points).square().mean()
        f.update(loss)
        return {"loss": loss}

    options = {"checkpoint_seconds": 0.0, "progress": False}
    toy.run(step, Numbers(), {}, **options)
    if toy.main:
        Path(folder, "exchanged").write_text(str(len(counted)))


class Numbers(torch.utils.data.Dataset):
    """Item (epoch, index) is three numbers."""

    def __getitem__(self, key):
        return (torch.full((3,), float(key[1])),)


def test_gradients_are_exchanged_once_an_optimiser_step(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    launch.run(2, exchange, tmp_path, cpu=True)
    assert signal.getsignal(signal.SIGINT) is before  # a kernel can be interrupted afterwards
    assert (tmp_path / "exchanged").read_text() == "2"  # four iterations, two an optimiser step


def test_a_process_that_fails_is_told(tmp_path):
    with pytest.raises(RuntimeError, match=r"process [01] of 2 failed: .*batch_size 3 is not divisible by 2 processes"):
        launch.run(2, failing, tmp_path, cpu=True)


def failing(folder, *, cpu):
    loop.Loop(folder, loop.Pace(epochs=1, batch_size=3), 8, {}, cpu=cpu)


def test_processes_that_do_not_know_of_each_other_stop(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")  # as a launcher says it, of whose processes accelerate sees one
    monkeypatch.setattr(loop, "Accelerator", lambda **options: Alone())
    with pytest.raises(RuntimeError, match="2 processes were started and train in groups of 1"):
        loop.Loop(tmp_path, loop.Pace(epochs=1, batch_size=2), 8, {}, cpu=True)


class Alone:
    device, is_main_process, process_index, num_processes = torch.device("cpu"), True, 0, 1


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="2 processes need as many GPUs, and there are 1: lower processes"):
        launch.run(2, exchange, "nowhere")
