"""Training: a step worked by hand, accumulation, history, what stops it, what is read back."""

import math

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import watched

from pnoc_lib import files
from pnoc_lib.data import samples
from pnoc_lib.data.augment import TrainingTransform
from pnoc_lib.engine import order, schedules
from pnoc_lib.priors import cam, networks, training
from pnoc_lib.priors.training import TrainingSettings

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = {
    "batch_size": 6,
    "crop_size": 40,
    "resize_min": 36,
    "resize_max": 48,
    "augment": "none",
    "precision": "no",
    "lr": 0.05,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny.squares(tmp_path_factory.mktemp("tiny"), 18)[0]


def settings(**changes):
    return TrainingSettings(**(QUICK | {"epochs": 2} | changes))


def network(seed=0, backbone="test_efficientnet"):
    return networks.CAMNetwork(backbone, 2, seed=seed)


def run(images, folder, *, after_epoch=None, seconds=60.0, workers=0, **changes):
    ours = network()
    options = {"after_epoch": after_epoch, "checkpoint_seconds": seconds, "num_workers": workers}
    steps, epochs = training.train(ours, images, folder, settings(**changes), cpu=True, progress=False, **options)
    return ours, steps, epochs


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same(ours, theirs):
    for name, tensor in weights(ours).items():
        assert torch.equal(tensor, weights(theirs)[name]), name


def by_hand(images, s):
    """The same training as a plain loop: gradients by autograd, updates written out."""
    ours = network().train()
    transform = TrainingTransform(s.crop_size, s.resize_min, s.resize_max, ours.mean, ours.std, s.augment)
    drawn = samples.TrainingSamples(images, transform, s.seed)
    parameters = dict(ours.named_parameters())
    sums = {name: torch.zeros_like(p) for name, p in parameters.items()}
    momentum = {name: torch.zeros_like(p) for name, p in parameters.items()}
    losses = []
    batches = list(order.TrainingOrder(len(images), s.batch_size, s.epochs, s.seed))
    for number, keys in enumerate(batches):
        pictures, labels = zip(*(drawn[key] for key in keys), strict=True)
        targets = torch.stack(labels) * (1 - s.label_smoothing) + s.label_smoothing / 2
        logits = ours(torch.stack(pictures)).mean((2, 3))
        loss = torch.nn.functional.multilabel_soft_margin_loss(logits, targets)
        losses.append(loss.item())
        for name, gradient in zip(sums, torch.autograd.grad(loss, list(parameters.values())), strict=True):
            sums[name] += gradient / s.accumulation if s.average_accumulated else gradient
        if (number + 1) % s.accumulation:
            continue
        done, total = number // s.accumulation, len(batches) // s.accumulation
        for name, parameter in parameters.items():
            bias = name.endswith("bias")
            rate = (
                s.lr
                * (1 - done / total) ** s.power
                * (s.new_factor if name.startswith("head.") else 1)
                * (2 if bias else 1)
            )
            decayed = sums[name] + (0 if bias else s.weight_decay) * parameter.data
            momentum[name] = s.momentum * momentum[name] + decayed
            parameter.data -= rate * momentum[name]
            sums[name].zero_()
    return ours, losses


@pytest.mark.parametrize(
    "changes",
    [
        {"lr": 0.01, "weight_decay": 0.01, "label_smoothing": 0.1},
        {"lr": 0.01, "momentum": 0.9, "new_factor": 3.0, "power": 0.5},
        {"lr": 0.01, "accumulation": 2},
        {"lr": 0.01, "accumulation": 4, "average_accumulated": True, "augment": "randaugment"},
    ],
)
def test_training_is_that_of_a_plain_loop(images, tmp_path, changes):
    """Also: accumulated gradients are summed, and the schedule counts optimiser steps, not iterations."""
    ours, steps, _ = run(images, tmp_path, **changes)
    theirs, losses = by_hand(images, settings(**changes))
    assert steps["loss"].tolist() == pytest.approx(losses, rel=1e-4)
    initial = network().state_dict()
    for name, parameter in theirs.named_parameters():
        change, expected = ours.state_dict()[name] - initial[name], parameter.data - initial[name]
        assert (change - expected).abs().max() <= 0.01 * expected.abs().max() + 1e-7, name


def test_the_schedule_counts_optimiser_steps(images, tmp_path):
    rates = run(images, tmp_path, accumulation=3, epochs=3)[1]["lr"].tolist()
    assert rates == pytest.approx([0.05 * schedules.poly(step // 3, 3) for step in range(9)])
    assert rates[0] == 0.05


def test_the_loss_goes_down_and_the_classes_are_told_apart(images, tmp_path):
    _, steps, epochs = run(images, tmp_path, epochs=10, momentum=0.9)
    assert epochs["loss"].iloc[0] > 0.3
    assert epochs["loss"].iloc[-1] < 0.5 * epochs["loss"].iloc[0]
    assert epochs["loss"].tolist() == pytest.approx(steps.groupby("epoch")["loss"].mean().tolist())


def test_history_and_files(images, tmp_path):
    seen = []

    def after_epoch(ours, epoch):
        assert not ours.training
        seen.append(epoch)
        return {"miou": epoch / 10, "threshold": 0.2}

    ours, steps, epochs = run(images, tmp_path / "out", after_epoch=after_epoch)
    assert seen == [1, 2]
    assert not ours.training
    assert list(steps.columns) == ["step", "epoch", "lr", "loss"]
    assert steps["step"].tolist() == list(range(6))
    assert steps["epoch"].tolist() == [1, 1, 1, 2, 2, 2]
    assert list(epochs.columns) == ["epoch", "loss", "miou", "threshold"]
    assert epochs["miou"].tolist() == [0.1, 0.2]
    names = {"weights.safetensors", "steps.csv", "epochs.csv", "training.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names  # no checkpoint, nothing temporary
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out" / "steps.csv"), steps)
    assert_same(networks.load_network(tmp_path / "out" / "weights.safetensors"), ours)
    assert files.read_json(tmp_path / "out" / "training.json")["processes"] == 1


def test_what_follows_an_epoch_does_not_change_the_training(images, tmp_path):
    def after_epoch(ours, epoch):
        torch.rand(epoch)
        np.random.rand()
        ours(torch.randn(1, 3, 32, 32))
        return {}

    assert_same(run(images, tmp_path / "a", after_epoch=after_epoch)[0], run(images, tmp_path / "b")[0])


def test_workers_checkpoints_and_global_random_numbers_do_not_change_the_training(images, tmp_path):
    plain = run(images, tmp_path / "a", augment="randaugment")[0]
    torch.manual_seed(77)
    assert_same(run(images, tmp_path / "b", augment="randaugment", workers=2, seconds=0.0)[0], plain)


def test_the_seed_decides(images, tmp_path):
    first, other = run(images, tmp_path / "a")[1], run(images, tmp_path / "b", seed=1)[1]
    pd.testing.assert_frame_equal(run(images, tmp_path / "c")[1], first, check_exact=True)
    assert other["loss"].tolist() != first["loss"].tolist()


def test_images_without_a_class_are_passed_over(images, tmp_path):
    labels = images.labels.copy()
    labels[::3] = 0
    with_empty = type(images)(images.name, "some", images.classes, images.ids, labels, images.paths)
    ours, steps, _ = run(with_empty, tmp_path / "a", batch_size=4)
    theirs, _, _ = run(with_empty.with_labels(), tmp_path / "b", batch_size=4)
    assert len(steps) == 2 * (12 // 4)
    assert_same(ours, theirs)


def test_one_batch_of_everything_and_batches_of_one(images, tmp_path):
    assert len(run(images, tmp_path / "a", batch_size=18)[1]) == 2
    few = images.subset(images.ids[:2])
    steps = run(few, tmp_path / "b", batch_size=1, crop_size=64)[1]
    assert len(steps) == 4
    assert steps["loss"].map(math.isfinite).all()


def test_bfloat16_is_near_float32(images, tmp_path):
    half, steps, _ = run(images, tmp_path / "a", precision="bf16", lr=0.01)
    _, plain, _ = run(images, tmp_path / "b", lr=0.01)
    assert half.head.weight.dtype == torch.float32
    assert steps["loss"].tolist() != plain["loss"].tolist()  # it was really used
    assert steps["loss"].tolist() == pytest.approx(plain["loss"].tolist(), abs=0.05)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", training.PRECISIONS)
def test_training_on_a_gpu(images, tmp_path, precision):
    steps, _ = training.train(network(), images, tmp_path, settings(precision=precision, lr=0.01), progress=False)
    with torch.random.fork_rng():
        _, plain, _ = run(images, tmp_path / "cpu", lr=0.01)
    assert steps["loss"].tolist() == pytest.approx(plain["loss"].tolist(), abs=0.05)


# what is read back, what goes on, what starts anew


def test_a_finished_training_is_read_back(images, tmp_path):
    ours, steps, epochs = run(images, tmp_path)
    with watched.iterations() as done:
        again, read_steps, read_epochs = run(images, tmp_path)
    assert done == []
    assert_same(again, ours)
    assert not again.training
    pd.testing.assert_frame_equal(read_steps, steps)
    pd.testing.assert_frame_equal(read_epochs, epochs)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"lr": 0.01}, "lr was 0.05, is 0.01"), ({"seed": 3}, "seed was 0, is 3"), ({"epochs": 3}, "epochs was 2, is 3")],
)
def test_other_settings_start_anew_and_say_so(images, tmp_path, capsys, changes, sentence):
    run(images, tmp_path / "a")
    _, steps, _ = run(images, tmp_path / "a", **changes)
    assert f"holds a finished training of other settings ({sentence}): starting anew" in capsys.readouterr().out
    _, expected, _ = run(images, tmp_path / "b", **changes)
    pd.testing.assert_frame_equal(steps, expected, check_exact=True)


def stopped(images, folder, at, **changes):
    """A training that ended with an exception after some iterations, its last checkpoint written just before."""
    with watched.stopped_at(at):
        run(images, folder, seconds=0.0, **changes)


def test_an_unfinished_training_of_other_settings_or_data_starts_anew(images, tmp_path, capsys):
    stopped(images, tmp_path, 4)
    run(images.subset(images.ids[:12]), tmp_path)
    said = capsys.readouterr().out
    assert "holds an unfinished training of other settings (images was" in said
    assert "starting anew" in said
    assert len(pd.read_csv(tmp_path / "steps.csv")) == 4


@pytest.mark.parametrize("at", [1, 3, 4])
@pytest.mark.parametrize("changes", [{}, {"momentum": 0.9, "accumulation": 2}], ids=["plain", "accumulated"])
def test_an_interrupted_training_goes_on_where_it_was(images, tmp_path, at, changes):
    """Three iterations an epoch: with accumulation 2 the first epoch ends amid an optimiser step."""
    stopped(images, tmp_path / "a", at, **changes)
    with watched.iterations() as done:
        ours, steps, epochs = run(images, tmp_path / "a", **changes)
    assert done == list(range(at, 6))
    theirs, expected, expected_epochs = run(images, tmp_path / "b", **changes)
    assert_same(ours, theirs)
    pd.testing.assert_frame_equal(steps, expected, check_exact=True)
    pd.testing.assert_frame_equal(epochs, expected_epochs, check_exact=True)


def test_weights_are_never_taken_for_those_of_another_training(images, tmp_path, monkeypatch):
    """Killed while the files of a second training get their names: that of the first makes way, and is found again."""
    first = run(images, tmp_path)[0]
    write_csv = files.write_csv

    def stop_at_steps(path, *rest, **options):
        if path.name == "steps.csv":
            raise KeyboardInterrupt
        write_csv(path, *rest, **options)

    monkeypatch.setattr(files, "write_csv", stop_at_steps)
    with pytest.raises(KeyboardInterrupt):
        run(images, tmp_path, lr=0.01)
    monkeypatch.undo()
    with watched.iterations() as done:
        assert_same(run(images, tmp_path)[0], first)
    assert done == []


def test_a_damaged_checkpoint_is_named(images, tmp_path):
    stopped(images, tmp_path, 4)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"checkpoint.safetensors is damaged .*: delete it, and the"):
        run(images, tmp_path)


def test_checkpoints_follow_the_clock(images, tmp_path, monkeypatch):
    written, write = [], files.write_tensors
    monkeypatch.setattr(files, "write_tensors", lambda path, *a: written.append(path.name) or write(path, *a))
    run(images, tmp_path / "a", seconds=1e9)
    rare = written.count("checkpoint.safetensors")
    written.clear()
    run(images, tmp_path / "b", seconds=0.0)
    assert rare == 2 * 2  # at the end of an epoch, and with its evaluation
    assert written.count("checkpoint.safetensors") == rare + 4


# what stops a training


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(images, tmp_path, monkeypatch):
    loss, calls = cam.classification_loss, []

    def broken(logits, targets):
        calls.append(1)
        return loss(logits, targets) * (math.nan if len(calls) == 5 else 1)

    monkeypatch.setattr(cam, "classification_loss", broken)
    with pytest.raises(
        FloatingPointError, match=r"no longer finite at iteration 6 \(precision no\): lower the rate; the last"
    ):
        run(images, tmp_path / "a")
    monkeypatch.undo()
    metadata = files.read_tensors(tmp_path / "a" / "checkpoint.safetensors")[1]
    assert '"step": 3' in metadata["position"]
    assert not (tmp_path / "a" / "weights.safetensors").exists()
    assert_same(run(images, tmp_path / "a")[0], run(images, tmp_path / "b")[0])


def test_a_rate_that_is_too_high_is_noticed(images, tmp_path):
    with pytest.raises(FloatingPointError, match="the loss is no longer finite"):
        run(images, tmp_path, lr=1e20, epochs=4)


def test_a_batch_larger_than_the_data_is_refused(images, tmp_path):
    sentence = "a batch of 19 is larger than the 18 samples of the training: give a smaller batch_size"
    with pytest.raises(ValueError, match=sentence):
        run(images, tmp_path, batch_size=19)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["epochs", "batch_size", "accumulation", "crop_size", "lr", "new_factor"])
@pytest.mark.parametrize("value", [0, -1])
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be positive, got {value}: "):
        settings(**{name: value})


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="unknown precision 'fp8': choose one of no, bf16, fp16"):
        settings(precision="fp8")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"augment": "mixup"}, "unknown augmentation 'mixup'"),
        ({"resize_min": 50}, "must be an ascending range of pixels, got 50 and 48"),
        ({"label_smoothing": 1.5}, r"smoothing must be a fraction in \[0, 1\], got 1.5"),
        ({"power": -1.0}, "poly decay needs total > 0 and power >= 0"),
    ],
)
def test_what_other_modules_refuse_stops_before_anything_is_written(images, tmp_path, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(images, tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_defaults_are_those_of_the_paper():
    """Section 6.1, for VOC12 and the networks that take a batch of 32."""
    assert TrainingSettings() == TrainingSettings(
        epochs=15, batch_size=32, crop_size=512, resize_min=320, resize_max=640, lr=0.1, new_factor=10.0, power=0.9
    )
    assert (TrainingSettings().weight_decay, TrainingSettings().momentum) == (1e-4, 0.0)


def test_progress_is_shown(images, tmp_path, capsys):
    ours = network()
    training.train(ours, images, tmp_path, settings(), cpu=True)
    shown = capsys.readouterr().err
    assert "cam: 100%" in shown  # the strategy
    assert "6/6" in shown
    assert "loss=" in shown
    assert "epoch=2/2" in shown
