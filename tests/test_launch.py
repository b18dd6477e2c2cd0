"""Several processes: both take part, and what they leave is read back by a single one."""

import pandas as pd
import pytest
import torch
from trees import voc_tree, write_image, write_list

from pnoc_lib import files
from pnoc_lib.data import reading
from pnoc_lib.data.problems import DataError
from pnoc_lib.priors import launch, networks, training

NETWORK = {"backbone": "test_vit", "weights": "none", "seed": 0}  # no BatchNorm: two halves of a batch are the whole


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = voc_tree(tmp_path_factory.mktemp("voc"))
    for image_id in ("a1", "a2", "a3"):
        write_image(root / "JPEGImages" / f"{image_id}.jpg", size=(40, 32))
    return root


def settings(**changes):
    return training.TrainingSettings(
        **{"epochs": 2, "batch_size": 2, "crop_size": 32, "resize_min": 32, "resize_max": 40, "precision": "no"}
        | {"lr": 0.01, "momentum": 0.9}
        | changes
    )


@pytest.fixture
def described(tree):
    return {"kind": "voc", "root": str(tree), "split": "train", "classes": ["cat", "dog", "cow"]}


@pytest.mark.slow
def test_two_processes_on_a_cpu(described, tmp_path, monkeypatch):
    folder = tmp_path / "two"
    launch.train(2, data=described, network=NETWORK, folder=folder, settings=settings(), cpu=True)
    assert files.read_json(folder / "training.json")["processes"] == 2
    images, _ = reading.read(**described)
    one = networks.CAMNetwork(num_classes=3, **NETWORK)
    alone, _ = training.train(one, images, tmp_path / "one", settings(), cpu=True, progress=False)
    # the mean of the two gradients is the gradient of the whole batch: each process has seen its half
    assert pd.read_csv(folder / "steps.csv")["loss"].tolist() == pytest.approx(alone["loss"].tolist(), rel=1e-3)
    written, _ = files.read_tensors(folder / "weights.safetensors")
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(written[name], tensor, rtol=1e-3, atol=1e-4)
    again = networks.CAMNetwork(num_classes=3, **NETWORK)
    monkeypatch.setattr(training._Run, "iterate", None)  # read back, not trained again
    steps, epochs = training.train(again, images, folder, settings(), cpu=True, progress=False)
    assert steps["step"].tolist() == [0, 1]
    assert epochs["epoch"].tolist() == [1, 2]
    for name, tensor in again.state_dict().items():
        assert torch.equal(written[name], tensor), name


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"strategy": "puzzle"}, {"strategy": "p-noc", "erase_scope": "image"}])
def test_two_processes_do_what_one_does(described, tree, tmp_path, changes):
    """Images of one class, so that all draw the same r, each erased by its own peak: the peak of a batch is that of a
    process's part. In the third iteration noc has learned."""
    write_list(tree, "pairs", "a1\na3\n")
    told, given = {**described, "split": "pairs"}, settings(epochs=3, **changes)
    oc = networks.CAMNetwork(num_classes=3, **NETWORK | {"seed": 1})
    networks.save_network(oc, tmp_path / "oc.safetensors")
    job = {"data": told, "network": NETWORK, "folder": tmp_path / "two", "settings": given, "cpu": True}
    launch.train(2, **job, oc=tmp_path / "oc.safetensors")
    one = networks.CAMNetwork(num_classes=3, **NETWORK)
    alone, _ = training.train(one, reading.read(**told)[0], tmp_path / "one", given, oc=oc, cpu=True, progress=False)
    steps = pd.read_csv(tmp_path / "two" / "steps.csv")
    pd.testing.assert_frame_equal(steps, alone, rtol=1e-3, atol=1e-4)
    written, _ = files.read_tensors(tmp_path / "two" / "weights.safetensors")
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(written[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_two_processes_with_batchnorm_and_an_oc_of_their_own(described, tmp_path, monkeypatch):
    """Whole images and tiles in one step, noc beside f; what they leave is read back by one process."""
    kind = NETWORK | {"backbone": "test_efficientnet"}
    given = settings(strategy="p-noc", accumulation=2, k_noc=1)
    launch.train(2, data=described, network=kind, folder=tmp_path, settings=given, cpu=True)
    assert files.read_json(tmp_path / "oc" / "training.json")["strategy"] == "cam"
    monkeypatch.setattr(training._Run, "iterate", None)
    images, again = reading.read(**described)[0], networks.CAMNetwork(num_classes=3, **kind)
    steps, _ = training.train(again, images, tmp_path, given, cpu=True, progress=False)
    assert steps["step"].tolist() == [0, 1]
    assert steps.notna().all(axis=None)
    assert {"re", "cse", "loss_noc"} <= set(steps.columns)
    assert all(tensor.isfinite().all() for tensor in again.state_dict().values())


def test_the_job_of_a_process(tree, described, tmp_path):
    """What each process runs, with the estimate after every epoch, in this process."""
    told = {**described, "classes": ["cat", "dog", "cow"]}
    job = {"data": told, "network": NETWORK, "folder": str(tmp_path), "settings": {**vars(settings())}}
    for image_id in ("a1", "a2", "a3"):
        write_image(tree / "JPEGImages" / f"{image_id}.jpg", size=(6, 4))  # the size of the masks
    launch.run(job | {"estimate": told, "estimate_size": 32, "num_workers": 0, "cpu": True})
    epochs = pd.read_csv(tmp_path / "epochs.csv")
    assert list(epochs.columns) == ["epoch", "loss", "miou", "threshold"]
    assert epochs["miou"].between(0, 1).all()


def test_a_job_that_fails_is_noticed(described, tmp_path, monkeypatch):
    missing = {**described, "split": "nowhere"}
    job = {"data": missing, "network": NETWORK, "folder": str(tmp_path / "out"), "settings": vars(settings())}
    with pytest.raises(DataError, match="nowhere"):
        launch.run(job | {"estimate": None, "num_workers": 0, "cpu": True})
    monkeypatch.setattr(launch.sys, "executable", "/bin/false")  # in place of a torchrun whose processes fail
    with pytest.raises(RuntimeError, match="training in 2 processes failed with code 1: see the lines above"):
        launch.train(2, data=missing, network=NETWORK, folder=tmp_path / "out", settings=settings(), cpu=True)
    assert not (tmp_path / "out").exists()


def test_the_ordinary_classifier_reaches_the_processes(described, tmp_path):
    path = tmp_path / "oc.safetensors"
    oc = networks.CAMNetwork(num_classes=3, **NETWORK | {"seed": 1})
    networks.save_network(oc, path)
    images, _ = reading.read(**described)
    given = settings(strategy="oc-cse", epochs=1)
    job = {"data": described, "network": NETWORK, "folder": str(tmp_path / "job"), "settings": vars(given)}
    launch.run(job | {"oc": str(path), "estimate": None, "num_workers": 0, "cpu": True})
    alone = networks.CAMNetwork(num_classes=3, **NETWORK)
    training.train(alone, images, tmp_path / "alone", given, oc=oc, cpu=True, progress=False)
    written, _ = files.read_tensors(tmp_path / "job" / "weights.safetensors")
    for name, tensor in alone.state_dict().items():
        assert torch.equal(written[name], tensor), name
    assert not (tmp_path / "job" / "oc").exists()  # none was trained


def test_an_ordinary_classifier_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "oc.safetensors"
    networks.save_network(networks.CAMNetwork(num_classes=3, **NETWORK), path)
    assert not launch.ordinary_classifier(path, "test_vit", 3).training
    for backbone, classes in (("test_vit", 4), ("test_efficientnet", 3)):
        with pytest.raises(ValueError, match=f"a test_vit of 3 .* and the generator a {backbone} of {classes}:"):
            launch.ordinary_classifier(path, backbone, classes)
