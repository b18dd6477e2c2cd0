"""Training on masks: it learns, goes on to the same bytes after a kill, full supervision differs by its masks alone."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch

from pnoc_lib.data import index_masks
from pnoc_lib.engine.fixed import FixedEncoder
from pnoc_lib.evaluation import masks as scoring
from pnoc_lib.segmentation import deeplab, inference, targets, training
from pnoc_lib.segmentation.settings import SegmentationSettings, paper
from tests import tiny

pytestmark = pytest.mark.usefixtures("one_thread")
BACKBONE = "test_resnet"  # timm's own for tests
QUICK = {
    "epochs": 2,
    "batch_size": 2,
    "crop_size": 32,
    "resize_min": 40,
    "resize_max": 56,
    "precision": "no",
    "lr": 0.02,
}


def network(architecture="deeplabv3+"):
    options = {"width": 8, "low_width": 4} if architecture == "deeplabv3+" else {"scales": (0.5,)}
    return deeplab.build(architecture, BACKBONE, 2, **options)


def settings(architecture="deeplabv3+", **changes):
    return SegmentationSettings(architecture, **(QUICK | changes))


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return tiny.squares(tmp_path_factory.mktemp("squares"), 6)


@pytest.fixture(scope="module")
def copied(squares, tmp_path_factory):
    """The same masks as a folder that an earlier stage could have left."""
    folder = tmp_path_factory.mktemp("pseudo")
    for id in squares[1].ids:
        index_masks.write_mask(folder / f"{id}.png", squares[1].mask(id))
    return targets.PseudoMasks(folder, tiny.CLASSES)


def train(folder, squares, target, architecture="deeplabv3+", **changes):
    one = network(architecture)
    history = training.train(
        one, squares[0], target, folder, settings(architecture, **changes), progress=False, cpu=True
    )
    return one, history


def digest(folder):
    return hashlib.sha256((folder / training.WEIGHTS).read_bytes()).hexdigest()


@pytest.mark.parametrize("architecture", deeplab.ARCHITECTURES)
def test_weak_and_full_supervision_differ_in_the_masks_alone(architecture, squares, copied, tmp_path):
    """The same masks by either way give the same weights, to the bit."""
    train(tmp_path / "weak", squares, copied, architecture)
    train(tmp_path / "full", squares, targets.SupervisedMasks(squares[1]), architecture)
    assert digest(tmp_path / "weak") == digest(tmp_path / "full")


class Killed(Exception):
    pass


@pytest.mark.parametrize("architecture", deeplab.ARCHITECTURES)
def test_a_killed_training_ends_with_the_same_bytes(architecture, squares, copied, tmp_path, monkeypatch):
    train(tmp_path / "whole", squares, copied, architecture)
    plain, calls = training.losses.multi_scale_loss, []

    def dies(*args, **options):
        calls.append(1)
        if len(calls) == 5:  # in the second epoch, after its first iteration
            raise Killed
        return plain(*args, **options)

    monkeypatch.setattr(training.losses, "multi_scale_loss", dies)
    options = {"checkpoint_seconds": 0.0, "progress": False, "cpu": True}
    with pytest.raises(Killed):
        training.train(network(architecture), squares[0], copied, tmp_path / "cut", settings(architecture), **options)
    monkeypatch.undo()
    _, history = train(tmp_path / "cut", squares, copied, architecture)
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
    assert history.steps["loss"].equals(pd.read_csv(tmp_path / "whole" / "steps.csv")["loss"])


def test_a_finished_training_is_read_back_and_other_masks_train_anew(squares, copied, tmp_path):
    _, first = train(tmp_path / "run", squares, copied)
    done = digest(tmp_path / "run")
    one, again = train(tmp_path / "run", squares, copied)
    assert again.steps["loss"].equals(first.steps["loss"]) and not one.training
    other = targets.PseudoMasks((tmp_path / "other").mkdir() or tmp_path / "other", tiny.CLASSES)
    for id in squares[1].ids:
        index_masks.write_mask(other.folder / f"{id}.png", np.zeros_like(squares[1].mask(id)))
    train(tmp_path / "run", squares, other)
    assert digest(tmp_path / "run") != done


def test_a_bare_v2_is_no_finished_v2_of_four_looks(squares, copied, tmp_path):
    how, losses = settings("deeplabv2", epochs=1, momentum=0.0), []  # Nesterov's step wants a momentum
    for scales in ((), (0.5,), (0.5,)):
        one = deeplab.DeepLabV2(BACKBONE, 2, scales=scales)
        losses.append(training.train(one, squares[0], copied, tmp_path / "run", how, progress=False, cpu=True).steps)
    assert not losses[0]["loss"].equals(losses[1]["loss"]) and losses[1].equals(losses[2])


def test_it_learns_the_squares(squares, tmp_path):
    one, history = train(
        tmp_path / "run",
        squares,
        targets.SupervisedMasks(squares[1]),
        epochs=24,
        lr=0.05,
        label_smoothing=0.0,
        jitter=False,
    )
    losses = history.epochs["loss"]
    assert losses.iloc[-1] < 0.5 * losses.iloc[0]
    for id, mask, _ in inference.predict(
        inference.Segmenter(one, precision="no"), squares[0], scales=[1.0], with_crf=False, progress=False
    ):
        index_masks.write_mask(tmp_path / "masks" / f"{id}.png", mask)
    guesses = targets.PseudoMasks(tmp_path / "masks", tiny.CLASSES).of(squares[0].ids)
    assert scoring.scores(guesses, squares[1])[1]["miou"] > 0.4


@pytest.mark.parametrize("architecture", ["deeplabv2", "deeplabv3+"])
def test_a_fixed_encoder_stays_and_the_head_learns(architecture, squares, copied, tmp_path, monkeypatch):
    before, trained = network(architecture).state_dict(), network(architecture)
    calls, quick = [], FixedEncoder.forward
    monkeypatch.setattr(FixedEncoder, "forward", lambda one, images: calls.append(1) or quick(one, images))
    chosen = settings(architecture, fixed_encoder=True)
    training.train(trained, squares[0], copied, tmp_path, chosen, progress=False, cpu=True)
    assert len(calls) >= chosen.epochs * (6 // chosen.batch_size)
    same = {name: torch.equal(tensor, before[name]) for name, tensor in trained.state_dict().items()}
    assert all(same[name] for name in same if name.startswith("encoder."))  # BatchNorm's statistics, too
    assert not any(same[name] for name in same if name.startswith("head.") and name.endswith("weight"))


def test_after_an_epoch_it_is_looked_at_but_never_chosen(squares, copied, tmp_path):
    seen = []
    training.train(
        network(), squares[0], copied, tmp_path, settings(), progress=False, cpu=True,
        after_epoch=lambda one, epoch: seen.append((one.training, epoch)) or {"miou": 1.0 / epoch},
    )  # fmt: skip
    assert seen == [(False, 1), (False, 2)]
    assert pd.read_csv(tmp_path / "epochs.csv")["miou"].tolist() == [1.0, 0.5]


def test_masks_must_say_what_they_are(squares, tmp_path):
    with pytest.raises(TypeError, match="SupervisedMasks"):
        train(tmp_path, squares, squares[1])
    with pytest.raises(ValueError, match="the settings are for 'deeplabv2'"):
        training.train(
            network(), squares[0], targets.SupervisedMasks(squares[1]), tmp_path, settings("deeplabv2"), cpu=True
        )


def test_rates_and_decay_of_v3():
    """x1 and x2 for the backbone, x10 and x20 for the head; GroupNorm scales decay (Section 23)."""
    one = network()
    by_name = {g["name"]: g for g in training.groups(one, paper("deeplabv3+"))}
    rates = {name: (g["lr"] / 0.007, g["weight_decay"]) for name, g in by_name.items()}
    assert rates == {
        "pretrained weights": (1, 4e-5), "pretrained biases": (2, 0), "new weights": (10, 4e-5), "new biases": (20, 0),
    }  # fmt: skip
    scales = {id(p) for p in by_name["new weights"]["params"]}
    assert all(id(m.weight) in scales for m in one.head.modules() if isinstance(m, torch.nn.GroupNorm))


def test_rates_of_v2_leave_batchnorm_out():
    one = network("deeplabv2")
    by_name = {g["name"]: g for g in training.groups(one, paper("deeplabv2"))}
    assert {name: round(g["lr"] / 2.5e-4) for name, g in by_name.items()} == {
        "pretrained weights": 1, "new weights": 10, "new biases": 20,
    }  # fmt: skip
    held = {id(p) for g in by_name.values() for p in g["params"]}
    assert not any(id(p) in held for m in one.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters())
    assert by_name["new biases"]["weight_decay"] == 0


def test_the_rate_of_v2_changes_every_ten_iterations(squares, copied, tmp_path):
    _, history = train(tmp_path, squares, copied, "deeplabv2", epochs=8, rate_every=10, lr=0.01)
    rates = history.steps["lr"].to_numpy()
    by_hand = [0.01 * (1 - 10 * ((i - 1) // 10) / 24) ** 0.9 for i in range(1, 25)]
    np.testing.assert_allclose(rates, by_hand, rtol=1e-6)


def test_settings_of_the_paper():
    v2, v3 = paper("deeplabv2"), paper("deeplabv3+")
    assert (v2.batch_size, v2.crop_size, v2.lr, v2.weight_decay, v2.rate_every) == (10, 321, 2.5e-4, 5e-4, 10)
    assert v2.factors == (0.5, 0.75, 1.0, 1.25, 1.5) and v2.longer is None and not v2.nesterov
    assert (v3.batch_size, v3.epochs, v3.crop_size, v3.lr, v3.longer) == (16, 50, 512, 0.007, (256, 1024))
    assert v3.pace.average_accumulated and v3.nesterov and v3.label_smoothing == 0.1
    coco2, coco3 = paper("deeplabv2", "coco14"), paper("deeplabv3+", "coco14")
    assert (coco2.crop_size, coco2.lr, coco2.factors[-2:]) == (481, 2e-4, (1.75, 2.0))
    assert (coco3.crop_size, coco3.lr, coco3.longer) == (640, 0.004, (320, 1024))
    with pytest.raises(ValueError, match="unknown dataset"):
        paper("deeplabv2", "voc07")


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "fcn"},
        {"label_smoothing": 1.0},
        {"lr": 0.0},
        {"epochs": 0},
        {"factors": (1.0, 0.0)},
        {"resize_min": 0},
        {"resize_max": 100, "resize_min": 500},
        {"momentum": -1.0},
        {"weight_decay": -1.0},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        SegmentationSettings(**change)
