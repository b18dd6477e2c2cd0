"""Algorithm 1 and its special cases: a plain loop beside it, what stays fixed, where `oc` comes from, kills."""

import copy
import math

import pandas as pd
import pytest
import tiny
import torch
import torch.nn.functional as F
import watched
from torch import nn

from pnoc_lib.data import augment, samples
from pnoc_lib.engine import backbones, backward, batchnorm, order
from pnoc_lib.priors import cam, erasing, networks, puzzle, strategies, training
from pnoc_lib.priors.training import TrainingSettings

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = {
    "strategy": "p-noc",
    "epochs": 2,
    "batch_size": 6,
    "crop_size": 64,
    "resize_min": 56,
    "resize_max": 72,
    "augment": "none",
    "precision": "no",
    "lr": 0.01,
}
FIRST = ["step", "epoch", "lr", "loss"]
PUZZLE, ERASING, NOC = ["re_cls", "re"], ["cse", "p_soft", "erased_soft"], ["loss_noc", "p_hard", "erased_hard"]
COLUMNS = {
    "cam": FIRST,
    "cam-more": FIRST,
    "puzzle": [*FIRST, "cls", *PUZZLE],
    "oc-cse": [*FIRST, "cls", *ERASING],
    "p-oc": [*FIRST, "cls", *PUZZLE, *ERASING],
    "noc-cse": [*FIRST, "cls", *ERASING, *NOC],
    "p-noc": [*FIRST, "cls", *PUZZLE, *ERASING, *NOC],
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny.squares(tmp_path_factory.mktemp("tiny"), 18)[0]


@pytest.fixture(scope="module")
def twelve(images):
    """Two iterations an epoch."""
    return images.subset(images.ids[:12])


@pytest.fixture(scope="module")
def oc(twelve, tmp_path_factory):
    """An ordinary classifier that has learned something, of other initial weights than the generator."""
    built, changes = network(seed=1), {"strategy": "cam", "epochs": 10, "momentum": 0.9}
    training.train(built, twelve, tmp_path_factory.mktemp("oc"), settings(**changes), cpu=True, progress=False)
    return built


def settings(**changes):
    return TrainingSettings(**(QUICK | changes))


def network(seed=0):
    return networks.CAMNetwork("test_efficientnet", 2, seed=seed)


def norms(module):
    return {name: part for name, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)}


def train(images, folder, oc, *, seconds=60.0, **changes):
    """The trained generator, the table of iterations, that of epochs, and `noc`."""
    ours = network()
    options = {"oc": oc, "cpu": True, "progress": False, "checkpoint_seconds": seconds}
    steps, epochs = training.train(ours, images, folder, settings(**changes), **options)
    path = folder / "noc.safetensors"
    return ours, steps, epochs, networks.load_network(path) if path.is_file() else None


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same(ours, theirs):
    ours, theirs = (value if isinstance(value, dict) else weights(value) for value in (ours, theirs))
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def moves(module, initial):
    """How far every parameter went."""
    before = dict(initial.named_parameters())
    return {name: (parameter - before[name]).detach() for name, parameter in module.named_parameters()}


def assert_moved_alike(ours, theirs, initial):
    """Every parameter has gone the same way, up to a hundredth of the longest way in its tensor."""
    change = moves(ours, initial)
    for name, expected in moves(theirs, initial).items():
        assert (change[name] - expected).abs().max() <= 0.01 * expected.abs().max() + 1e-7, name


# the plain loop


def by_hand(images, s, oc):
    """Algorithm 1 with every mask, loss, gradient and update written out; f, noc and the rows of steps.csv.

    Without puzzle, erasing or `noc` their lines are left out: that is what the other strategies are.
    """
    plan = strategies.named(s.strategy)
    f, noc = network().train(), copy.deepcopy(oc).eval()  # evaluation mode: BatchNorm as it is
    still = {f"{name}.{kind}" for name in norms(noc) for kind in ("weight", "bias")}
    learning = {"f": dict(f.named_parameters())}
    if plan.eraser == "noc":
        learning["noc"] = {name: p for name, p in noc.named_parameters() if name not in still}
    sums = {who: {name: torch.zeros_like(p) for name, p in own.items()} for who, own in learning.items()}
    momenta = {who: {name: torch.zeros_like(p) for name, p in own.items()} for who, own in learning.items()}
    transform = augment.TrainingTransform(s.crop_size, s.resize_min, s.resize_max, f.mean, f.std, s.augment)
    drawn = samples.TrainingSamples(images, transform, s.seed)
    batches = list(order.TrainingOrder(len(images), s.batch_size, s.epochs, s.seed))
    rows, half = [], s.crop_size // 2

    def l_cls(maps, labels):
        targets = labels * (1 - s.label_smoothing) + s.label_smoothing / 2
        return F.multilabel_soft_margin_loss(maps.mean((2, 3)), targets)

    def p_of(maps, r):
        return maps.mean((2, 3)).gather(1, r[:, None]).sigmoid().mean().item()

    def add(who, loss, **options):
        names, parameters = zip(*learning[who].items(), strict=True)
        for name, gradient in zip(names, torch.autograd.grad(loss, parameters, **options), strict=True):
            sums[who][name] += gradient / (s.accumulation if s.average_accumulated else 1)

    def update(who, every, t):
        if (t + 1) % every:
            return
        for name, parameter in learning[who].items():
            bias = name.endswith("bias")
            rate = s.lr * (s.new_factor if name.startswith("head.") else 1) * (2 if bias else 1)
            rate *= s.noc_rate if who == "noc" else 1
            rate *= (1 - (t // every) / (len(batches) // every)) ** s.power
            decayed = sums[who][name] + (0 if bias else s.weight_decay) * parameter.data
            momenta[who][name] = s.momentum * momenta[who][name] + decayed
            parameter.data -= rate * momenta[who][name]
            sums[who][name].zero_()

    for t, keys in enumerate(batches):  # line 1
        x, y = (torch.stack(values) for values in zip(*(drawn[key] for key in keys), strict=True))
        time, last = t / len(batches), t // s.accumulation / (len(batches) // s.accumulation)
        row = {"step": t, "epoch": t // (len(images) // s.batch_size) + 1, "lr": s.lr * (1 - last) ** s.power}
        a = f(x)
        terms, weight = {"cls": l_cls(a, y)}, {"cls": 1}
        if plan.puzzle:
            quadrants = [x[:, :, i : i + half, j : j + half] for i in (0, half) for j in (0, half)]
            pieces = f(torch.cat(quadrants)).chunk(4)
            merged = torch.cat([torch.cat(pieces[:2], 3), torch.cat(pieces[2:], 3)], 2)
            pair = (a, merged)
            if s.reconstruction == "normalised":
                pair = [maps.relu() / (maps.relu().amax((2, 3), keepdim=True) + 1e-5) for maps in pair]
            present = (pair[0] - pair[1]).abs() * y[:, :, None, None]
            terms |= {"re_cls": l_cls(merged, y), "re": present.sum() / a.numel()}
            weight |= {"re_cls": 1, "re": s.lambda_re * min(time / s.ramp_re, 1)}
        if plan.eraser:
            random = torch.Generator().manual_seed(samples.mix(s.seed, t, 0, 1))
            r = torch.multinomial(y, 1, generator=random)[:, 0]  # line 2
            large = F.interpolate(a[range(len(r)), r][:, None].relu(), x.shape[2:], mode="bilinear")
            own = large / (large.amax((1, 2, 3), keepdim=True) + 1e-5)
            soft = large / (large.max() + 1e-5) if s.erase_scope == "batch" else own
            seen, others = noc(x * (1 - soft)), y.clone()
            others[range(len(r)), r] = 0
            terms["cse"] = l_cls(seen, others)
            weight["cse"] = s.lambda_cse_first + (s.lambda_cse - s.lambda_cse_first) * time
        loss = sum(weight[name] * term for name, term in terms.items())
        row |= {"loss": loss.item()}
        if len(terms) > 1:
            row |= {name: term.item() for name, term in terms.items()}
        if plan.eraser:
            row |= {"p_soft": p_of(seen, r), "erased_soft": soft.mean().item()}
        add("f", loss, retain_graph=s.leaky_noc)
        if s.leaky_noc:
            add("noc", loss)
        update("f", s.accumulation, t)  # line 6
        if plan.eraser == "noc" and (t + 1) % s.k_noc == 0:  # line 7
            left = noc(x * (own.detach() <= s.delta_noc))  # line 9
            noc_loss = s.lambda_noc * time * l_cls(left, y)
            row |= {"loss_noc": noc_loss.item(), "p_hard": p_of(left, r)}
            row["erased_hard"] = (own > s.delta_noc).float().mean().item()
            add("noc", noc_loss)
            update("noc", s.accumulation * s.k_noc, t)  # line 11
        rows.append(row)
    return f, noc, rows


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_decay": 0.01},
        {"momentum": 0.9, "delta_noc": 0.4, "lambda_noc": 3.0, "erase_scope": "image"},
        {"accumulation": 2, "epochs": 4},
        {"k_noc": 2, "epochs": 4, "new_factor": 3.0},
        {"k_noc": 2, "accumulation": 2, "average_accumulated": True, "epochs": 4, "lambda_noc": 5.0},
        {"leaky_noc": True, "k_noc": 2, "epochs": 4},
        {"strategy": "p-noc-ls", "lambda_cse_first": 0.5, "lambda_cse": 2.0, "ramp_re": 0.25},
        {"strategy": "noc-cse-ls"},
        {"strategy": "noc-cse", "accumulation": 2, "epochs": 4},
        {"strategy": "p-oc", "momentum": 0.9},
        {"strategy": "oc-cse-ls", "erase_scope": "image"},
        {"strategy": "puzzle", "lambda_re": 9.0},
        {"reconstruction": "normalised", "noc_rate": 0.3, "delta_noc": 0.6},
        {"strategy": "cam-more-ls"},
    ],
    ids=lambda changes: " ".join(f"{name}={value}" for name, value in changes.items()),
)
def test_training_is_that_of_a_plain_loop(twelve, oc, tmp_path, changes):
    changes = {"lr": 0.002} | changes  # slow enough for roundings not to grow
    f, steps, _, noc = train(twelve, tmp_path, oc, **changes)
    plain, plain_noc, rows = by_hand(twelve, settings(**changes), oc)
    expected = pd.DataFrame(rows)
    cut = expected.columns.intersection(NOC)  # of pixels at delta_noc, some fall to the other side by rounding
    pd.testing.assert_frame_equal(steps.drop(columns=cut), expected.drop(columns=cut), rtol=1e-4, atol=1e-5)
    pd.testing.assert_frame_equal(steps[cut], expected[cut], rtol=2e-3, atol=2e-3)
    assert_moved_alike(f, plain, network())
    if len(cut):
        change, way = (torch.cat([m.flatten() for m in moves(n, oc).values()]) for n in (noc, plain_noc))
        assert (change - way).norm() <= 0.01 * way.norm()


def straight_line(images, s, oc):
    """Algorithm 1 from its first line to its last, with torch alone for what the loop does; f, noc, losses."""
    plan, f, noc = s.plan, network(), copy.deepcopy(oc).requires_grad_(True)
    f.to(memory_format=torch.channels_last), noc.to(memory_format=torch.channels_last)
    f.train(), batchnorm.freeze_batchnorm(noc.train())
    groups = {who: backbones.parameter_groups(who, s.lr, weight_decay=s.weight_decay) for who in (f, noc)}
    sgd = {who: torch.optim.SGD(groups[who], lr=s.lr, momentum=s.momentum) for who in (f, noc)}
    transform = augment.TrainingTransform(s.crop_size, s.resize_min, s.resize_max, f.mean, f.std, s.augment)
    drawn = samples.TrainingSamples(images, transform, s.seed)
    batches, losses = list(order.TrainingOrder(len(images), s.batch_size, s.epochs, s.seed)), []

    def half():
        return torch.autocast("cpu", torch.bfloat16, enabled=s.precision == "bf16")

    def update(who, period, t):
        if (t + 1) % period == 0:
            for group in sgd[who].param_groups:
                group["lr"] = group["initial_lr"] * (1 - (t // period) / (len(batches) // period)) ** s.power
            sgd[who].step()
            sgd[who].zero_grad()

    for t, keys in enumerate(batches):
        x, y = (torch.stack(values) for values in zip(*(drawn[key] for key in keys), strict=True))
        r = erasing.draw_class(y, torch.Generator().manual_seed(samples.mix(s.seed, t, 0, 1)))
        x, time = x.to(memory_format=torch.channels_last), t / len(batches)
        with backward.QuickBackward(), half():
            a = f(x).float()
            merged = puzzle.merge(f(puzzle.tile(x)).float())
            cls, re_cls = (cam.classification_loss(cam.gap(maps), y) for maps in (a, merged))
            re = puzzle.reconstruction_loss(a, merged, y)
            noc.requires_grad_(False)
            cse = erasing.cse_loss(noc.eval()(erasing.erase_soft(x, a, r)).float(), y, r)
        loss = cls + re_cls + s.lambda_re * min(time / s.ramp_re, 1) * re
        loss = loss + (s.lambda_cse_first + (s.lambda_cse - s.lambda_cse_first) * time) * cse
        loss.backward()
        update(f, s.accumulation, t)
        losses.append(loss.item())
        if (t + 1) % s.k_noc == 0:
            batchnorm.freeze_batchnorm(noc.requires_grad_(True).train())
            with backward.QuickBackward(), half():
                left = noc(erasing.erase_hard(x, a, r, s.delta_noc)).float()
            (s.lambda_noc * time * cam.classification_loss(cam.gap(left), y)).backward()
            update(noc, s.accumulation * s.k_noc, t)
    assert plan.label_smoothing == 0
    return f, noc, losses


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("changes", [{}, {"accumulation": 2, "k_noc": 2, "epochs": 4}], ids=["plain", "accumulated"])
def test_training_is_a_straight_line_to_the_last_bit(twelve, oc, tmp_path, precision, changes):
    """Weights of both networks and every loss: the loop adds nothing and rounds nothing."""
    changes = {"precision": precision, "momentum": 0.9} | changes
    f, steps, _, noc = train(twelve, tmp_path, oc, **changes)
    plain, plain_noc, losses = straight_line(twelve, settings(**changes), oc)
    assert steps["loss"].tolist() == losses
    assert_same(f, plain)
    assert_same(noc, plain_noc)


# tables


@pytest.mark.parametrize("strategy", strategies.STRATEGIES)
def test_tables_of_every_strategy(twelve, oc, tmp_path, strategy):
    """Columns; the loss is the weighted sum of its terms; shares and probabilities are such."""
    _, steps, epochs, _ = train(twelve, tmp_path, oc, strategy=strategy)
    assert list(steps.columns) == COLUMNS[strategy.removesuffix("-ls")]
    assert list(epochs.columns) == ["epoch", *steps.columns[3:]]
    assert len(steps) == 4
    assert steps.map(math.isfinite).all(axis=None)
    time = steps["step"] / 4
    weight = {"cls": 1, "re_cls": 1, "re": 4 * (2 * time).clip(upper=1), "cse": 0.3 + 0.7 * time}
    if "cls" in steps:
        expected = sum(weight[name] * steps[name] for name in steps.columns.intersection(list(weight)))
        assert steps["loss"].tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    for name in steps.columns.intersection(["p_soft", "erased_soft", "p_hard", "erased_hard"]):
        assert steps[name].between(0, 1).all()
    means = steps.groupby("epoch").mean().drop(columns=["step", "lr"]).reset_index()
    pd.testing.assert_frame_equal(epochs, means, check_exact=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "steps.csv"), steps)


def test_iterations_without_a_step_of_noc_have_no_measures_of_it(images, oc, tmp_path):
    """Three iterations an epoch, noc in every second: the means are over those that were measured."""
    _, steps, epochs, _ = train(images, tmp_path, oc, k_noc=2)
    for name in NOC:
        assert steps[name].isna().tolist() == [True, False] * 3
    assert epochs["p_hard"].tolist() == pytest.approx([steps["p_hard"][1], steps["p_hard"][[3, 5]].mean()])
    with watched.iterations() as done:
        again = train(images, tmp_path, oc, k_noc=2)
    pd.testing.assert_frame_equal(again[1], steps)
    assert done == []  # read back


# special cases


@pytest.mark.parametrize(("noc", "fixed"), [("p-noc", "p-oc"), ("noc-cse", "oc-cse")])
def test_a_noc_that_never_moves_is_an_oc(twelve, oc, tmp_path, noc, fixed):
    """lambda_noc = 0 and no weight decay; equal up to the rounding of an oc with folded BatchNorm."""
    changes = {"lambda_noc": 0.0, "weight_decay": 0.0, "epochs": 3}
    ours, steps, _, still = train(twelve, tmp_path / "noc", oc, strategy=noc, **changes)
    theirs, expected, _, _ = train(twelve, tmp_path / "oc", oc, strategy=fixed, **changes)
    assert_same(still, oc)
    assert (steps["loss_noc"] == 0).all()
    pd.testing.assert_frame_equal(steps[expected.columns], expected, rtol=1e-4, atol=1e-5)
    assert_moved_alike(ours, theirs, network())


@pytest.mark.parametrize(
    ("erasing_one", "other"), [("p-oc", "puzzle"), ("p-noc", "puzzle"), ("oc-cse", "cam-more"), ("noc-cse", "cam-more")]
)
def test_without_the_erasing_term_nothing_is_erased_in_effect(twelve, oc, tmp_path, erasing_one, other):
    changes = {"lambda_cse": 0.0, "lambda_cse_first": 0.0}
    ours = train(twelve, tmp_path / "a", oc, strategy=erasing_one, **changes)[0]
    assert_same(ours, train(twelve, tmp_path / "b", None, strategy=other)[0])


def test_without_reconstruction_the_puzzle_is_not_cam(twelve, tmp_path, monkeypatch):
    """The merged maps are classified as well, and BatchNorm sees the tiles: lambda_re = 0 leaves l_cls + l_re-cls."""
    ours, steps, _, _ = train(twelve, tmp_path / "a", None, strategy="puzzle", lambda_re=0.0)
    assert steps["loss"].tolist() == pytest.approx((steps["cls"] + steps["re_cls"]).tolist())
    plain = train(twelve, tmp_path / "b", None, strategy="cam-more")[0]
    assert not torch.allclose(ours.head.weight, plain.head.weight, rtol=1e-3)
    monkeypatch.setattr(puzzle, "reconstruction_loss", lambda maps, *_, **__: 0 * maps.sum())
    assert_same(train(twelve, tmp_path / "c", None, strategy="puzzle", lambda_re=4.0)[0], ours)


def test_noc_learns_to_find_the_erased_class(twelve, oc, tmp_path):
    """In what hard erasure leaves; an oc that stays sees less of it."""
    learns, stays = (
        train(twelve, tmp_path / str(weight), oc, lambda_noc=weight, epochs=8, weight_decay=0.0)[2]["p_hard"]
        for weight in (5.0, 0.0)
    )
    assert learns.iloc[0] == pytest.approx(stays.iloc[0], abs=0.05)
    assert learns.tail(4).mean() > stays.tail(4).mean() + 0.05


# what is fixed


@pytest.mark.parametrize("changes", [{}, {"accumulation": 2, "k_noc": 2}], ids=["every", "accumulated"])
@pytest.mark.parametrize("strategy", ["p-noc", "noc-cse"])
def test_a_step_of_one_network_leaves_the_other_alone(twelve, oc, tmp_path, strategy, changes):
    """Weights, statistics and gradients; without accumulation no network holds a gradient after its step."""
    updates, learners, before = [], {}, {}

    def gradients(module):
        return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}

    def remember(own, at):
        learners[own.name] = own.network
        before.update({name: (weights(each), gradients(each)) for name, each in learners.items()})

    def compare(own, at):
        for name, each in learners.items():
            if name != own.name:
                assert_same(weights(each), before[name][0])
                assert gradients(each).keys() == before[name][1].keys()
                assert_same(gradients(each), before[name][1])
        mine = before[own.name][0]
        moved = any(not torch.equal(tensor, mine[key]) for key, tensor in weights(own.network).items())
        assert moved == (not gradients(own.network))
        updates.append(
            (own.name, *(name in learners and bool(gradients(learners[name])) for name in ("generator", "noc")))
        )

    with watched.updates(remember, compare):
        train(twelve, tmp_path, oc, strategy=strategy, **changes)
    if changes:
        f, noc = "generator", "noc"
        expected = [(f, True, False), (f, False, False), (noc, False, True)]
        expected += [(f, True, True), (f, False, True), (noc, False, False)]
    else:
        expected = [("generator", False, False), ("noc", False, False)] * 4
    assert updates == expected


def test_the_maps_that_are_cut_out_are_those_before_the_step_of_f(twelve, oc, tmp_path, monkeypatch):
    """Line 9 takes A of line 4: the same for soft and hard erasure, of the same classes."""
    attention, given = erasing.attention, []

    def watched(maps, r, size, **options):
        given.append((maps.detach().clone(), r.clone()))
        return attention(maps, r, size, **options)

    monkeypatch.setattr(erasing, "attention", watched)
    train(twelve, tmp_path, oc, epochs=1)
    assert len(given) == 2 * 4  # soft and hard, each once more for its share
    for start in (0, 4):
        for maps, r in given[start + 1 : start + 4]:
            assert torch.equal(maps, given[start][0])
            assert torch.equal(r, given[start][1])


@pytest.mark.parametrize("leaky", [True, False])
def test_batchnorm_of_noc_never_changes(twelve, oc, tmp_path, leaky):
    f, _, _, noc = train(twelve, tmp_path, oc, leaky_noc=leaky, momentum=0.9, weight_decay=0.1)
    before, initial, after = weights(oc), weights(network()), weights(f)
    for name, tensor in weights(noc).items():
        of_norm = name.rpartition(".")[0] in norms(oc)
        assert torch.equal(tensor, before[name]) == of_norm, name  # all the rest has learned
        assert not torch.equal(after[name], initial[name])  # and all of f


@pytest.mark.parametrize("strategy", ["cam", "p-noc"])
def test_batchnorm_of_the_generator_may_stay_as_well(twelve, oc, tmp_path, strategy):
    f = train(twelve, tmp_path, oc, strategy=strategy, batchnorm="fixed", from_oc=True, weight_decay=0.1)[0]
    before = weights(oc)
    for name, tensor in weights(f).items():
        assert torch.equal(tensor, before[name]) == (name.rpartition(".")[0] in norms(f)), name


def test_tiles_may_be_kept_out_of_the_running_statistics(twelve, tmp_path):
    """After one iteration they are those of a training without a puzzle; the step itself is the same."""
    plain, without, with_tiles = (
        train(twelve, tmp_path / str(number), None, batch_size=12, epochs=1, **changes)[0]
        for number, changes in enumerate(
            [{"strategy": "cam-more"}, {"strategy": "puzzle", "tile_statistics": False}, {"strategy": "puzzle"}]
        )
    )
    assert_same(dict(without.named_parameters()), dict(with_tiles.named_parameters()))
    for name, norm in norms(without).items():
        assert torch.equal(norm.running_var, norms(plain)[name].running_var)
        assert not torch.equal(norm.running_var, norms(with_tiles)[name].running_var)


def test_a_leaky_noc_unlearns_what_f_shall_erase(twelve, oc, tmp_path):
    """As in the published code: the generator's step leaves in noc the gradient that hides r."""
    left = []

    def watch(own, at):
        if own.name == "noc":
            left.append(sum(p.grad.abs().sum().item() for p in own.network.parameters() if p.grad is not None))

    with watched.updates(watch):  # what noc holds before its own backward pass
        _, steps, _, leaky = train(twelve, tmp_path / "a", oc, leaky_noc=True, epochs=4)
    assert all(value > 0 for value in left)
    left.clear()
    with watched.updates(watch):
        _, plain, _, sealed = train(twelve, tmp_path / "b", oc, epochs=4)
    assert left == [0] * 8
    assert steps["loss"][0] == plain["loss"][0]
    assert steps["p_soft"][0] == plain["p_soft"][0]
    assert steps["p_soft"].mean() < plain["p_soft"].mean()
    assert not torch.allclose(leaky.head.weight, sealed.head.weight, rtol=1e-3)


# oc: given, trained, found again, begun from


@pytest.mark.parametrize("training_mode", [True, False])
@pytest.mark.parametrize(
    "changes", [{"strategy": "p-oc"}, {}, {"leaky_noc": True}, {"strategy": "cam", "from_oc": True}]
)
def test_a_given_oc_is_left_untouched(twelve, oc, tmp_path, changes, training_mode):
    given = copy.deepcopy(oc).train(training_mode)
    given.head.requires_grad_(False)
    train(twelve, tmp_path, given, epochs=1, **changes)
    assert_same(given, oc)
    assert all(module.training == training_mode for module in given.modules())
    assert [name for name, p in given.named_parameters() if not p.requires_grad] == ["head.weight"]
    assert all(p.grad is None for p in given.parameters())
    assert not (tmp_path / "oc").exists()


def test_without_an_oc_one_is_trained_first_and_found_again(images, tmp_path):
    def count(folder, **changes):
        with watched.iterations() as done:
            ours = train(images, folder, changes.pop("oc", None), batch_size=9, **changes)[0]
        return ours, len(done)

    ours, iterations = count(tmp_path / "a")
    assert iterations == 4 + 4
    vanilla = network()
    training.train(vanilla, images, tmp_path / "oc", settings(batch_size=9).of_oc(), cpu=True, progress=False)
    assert_same(networks.load_network(tmp_path / "a" / "oc" / "weights.safetensors"), vanilla)
    other, iterations = count(tmp_path / "b", oc=vanilla)
    assert_same(other, ours)
    assert iterations == 4

    (tmp_path / "a" / "weights.safetensors").unlink()  # as if it was lost: oc is found, the rest done again
    other, iterations = count(tmp_path / "a")
    assert_same(other, ours)
    assert iterations == 4
    other, iterations = count(tmp_path / "a")  # read back
    assert_same(other, ours)
    assert iterations == 0
    assert count(tmp_path / "a", strategy="oc-cse")[1] == 4  # another strategy, the same oc


def test_another_oc_is_another_training(twelve, oc, tmp_path, capsys):
    first = train(twelve, tmp_path, oc, epochs=1)[0]
    other = train(twelve, tmp_path, network(seed=2), epochs=1)[0]
    assert "holds a finished training of other settings (oc was " in capsys.readouterr().out
    assert not torch.equal(first.head.weight, other.head.weight)
    kept = train(twelve, tmp_path / "cam", oc, strategy="cam", epochs=1)[0]  # where no oc takes part, none counts
    with watched.iterations() as done:
        train(twelve, tmp_path / "cam", network(seed=2), strategy="cam", epochs=1)
    assert done == []
    assert_same(kept, train(twelve, tmp_path / "none", None, strategy="cam", epochs=1)[0])


@pytest.mark.parametrize("strategy", ["cam-more", "puzzle", "oc-cse", "p-noc"])
def test_the_generator_may_start_from_oc(twelve, oc, tmp_path, strategy):
    starts = []

    def remember(own, at):
        if own.name == "generator" and at == 0:
            starts.append(dict(own.network.named_parameters())["head.weight"].detach().clone())

    with watched.updates(remember):
        train(twelve, tmp_path / "a", oc, strategy=strategy, from_oc=True)
        train(twelve, tmp_path / "b", oc, strategy=strategy)
    assert torch.equal(starts[0], oc.head.weight)
    assert torch.equal(starts[1], network().head.weight)


def test_an_ordinary_classifier_trained_on(twelve, tmp_path):
    """cam-more from an oc of its own: the vanilla training first, then jitter in place of RandAugment."""
    changes = {"strategy": "cam-more", "from_oc": True, "augment": None}
    ours = train(twelve, tmp_path / "a", None, **changes)[0]
    vanilla = networks.load_network(tmp_path / "a" / "oc" / "weights.safetensors")
    assert_same(train(twelve, tmp_path / "b", vanilla, **changes)[0], ours)
    record = (tmp_path / "a" / "oc" / "training.json").read_text()
    assert '"randaugment"' in record and '"from_oc": false' in record


# settings


@pytest.mark.parametrize("strategy", strategies.STRATEGIES)
def test_what_is_not_said_is_the_strategys_own(strategy):
    own, said = strategies.named(strategy), TrainingSettings(strategy=strategy, augment="none", label_smoothing=0.3)
    resolved = TrainingSettings(strategy=strategy)
    assert (resolved.augment, resolved.label_smoothing) == (own.augment, own.label_smoothing)
    assert resolved.plan == own
    assert (said.plan.augment, said.plan.label_smoothing) == ("none", 0.3)
    assert (said.plan.puzzle, said.plan.eraser) == (own.puzzle, own.eraser)
    assert resolved.needs_oc == (own.eraser is not None)
    assert TrainingSettings(strategy=strategy, from_oc=True).needs_oc


def test_an_oc_is_trained_as_the_vanilla_strategy():
    s = settings(strategy="p-noc-ls", from_oc=True, seed=3)
    changed = {name for name, value in vars(s.of_oc()).items() if value != vars(s)[name]}
    assert changed >= {"strategy", "augment", "label_smoothing", "from_oc"}
    vanilla = TrainingSettings()
    for name in ("strategy", "augment", "label_smoothing", "from_oc"):
        assert getattr(s.of_oc(), name) == getattr(vanilla, name)
    for name in (
        "epochs",
        "batch_size",
        "crop_size",
        "resize_min",
        "resize_max",
        "lr",
        "momentum",
        "precision",
        "seed",
    ):
        assert getattr(s.of_oc(), name) == getattr(s, name)


def test_defaults_of_the_adversarial_training_are_those_of_the_paper():
    """Sections 3.2 and 6.1; k and the scope of the peak as published."""
    assert TrainingSettings(strategy="p-noc") == TrainingSettings(
        strategy="p-noc",
        lambda_re=4.0,
        ramp_re=0.5,
        lambda_cse_first=0.3,
        lambda_cse=1.0,
        lambda_noc=1.0,
        delta_noc=0.2,
        k_noc=1,
        noc_rate=1.0,
        reconstruction="raw",
        erase_scope="batch",
        augment="jitter",
        label_smoothing=0.0,
        batchnorm="normal",
        tile_statistics=True,
        from_oc=False,
        leaky_noc=False,
        average_accumulated=False,
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"strategy": "gan"}, "unknown strategy 'gan': choose one of cam, cam-more, puzzle"),
        ({"crop_size": 48}, "crop_size 48 cannot be tiled: the puzzle needs a multiple of 32"),
        ({"strategy": "puzzle", "crop_size": 40}, "crop_size 40 cannot be tiled"),
        ({"lambda_re": -1.0}, "lambda_re must not be negative, got -1.0: 0 leaves its term out"),
        ({"lambda_cse_first": -0.1}, "lambda_cse_first must not be negative, got -0.1"),
        ({"lambda_cse": math.nan}, "lambda_cse must not be negative, got nan"),
        ({"lambda_noc": -2}, "lambda_noc must not be negative, got -2"),
        ({"k_noc": 0}, "k_noc must be positive, got 0"),
        ({"noc_rate": 0.0}, "noc_rate must be positive, got 0.0"),
        ({"reconstruction": "scaled"}, "unknown reconstruction 'scaled': choose one of raw, normalised"),
        ({"erase_scope": "class"}, "unknown erase_scope 'class': choose one of batch, image"),
        ({"batchnorm": "none"}, "unknown batchnorm 'none': choose one of normal, fixed"),
        ({"delta_noc": 1.2}, r"delta_noc must be in \[0, 1\], got 1.2: the paper's value is 0.2"),
        ({"delta_noc": -0.2}, r"delta_noc must be in \[0, 1\], got -0.2"),
        ({"delta_noc": math.nan}, r"delta_noc must be in \[0, 1\], got nan"),
    ],
)
def test_impossible_settings_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        settings(**changes)


def test_without_a_puzzle_any_crop_will_do(twelve, oc, tmp_path):
    steps = train(twelve, tmp_path, oc, strategy="noc-cse", crop_size=41, epochs=1)[1]
    assert steps.map(math.isfinite).all(axis=None)


# any batch, any precision, any seed, any network


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("strategy", [*COLUMNS, "p-noc-ls"])
def test_batches_of_one_three_and_five(images, oc, tmp_path, strategy, precision):
    for count in (1, 3, 5):
        few, changes = (
            images.subset(images.ids[-count:]),
            {"precision": precision, "crop_size": 32, "batch_size": count},
        )
        ours, steps, _, _ = train(few, tmp_path / str(count), oc, strategy=strategy, **changes)
        assert len(steps) == 2
        assert steps.map(math.isfinite).all(axis=None)
        assert all(tensor.isfinite().all() for tensor in weights(ours).values())
        assert ours.head.weight.dtype == torch.float32


def test_bfloat16_is_near_float32(twelve, oc, tmp_path):
    half, plain = (train(twelve, tmp_path / p, oc, precision=p, lr=0.001)[1] for p in ("bf16", "no"))
    for name in COLUMNS["p-noc"][3:]:
        assert half[name].tolist() == pytest.approx(plain[name].tolist(), rel=0.1, abs=0.02), name
        assert half[name].tolist() != plain[name].tolist(), name  # it was really used


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", training.PRECISIONS)
def test_adversarial_training_on_a_gpu(twelve, oc, tmp_path, precision):
    changed = settings(precision=precision, lr=0.001)
    steps, _ = training.train(network(), twelve, tmp_path / "gpu", changed, oc=copy.deepcopy(oc), progress=False)
    plain = train(twelve, tmp_path / "cpu", oc, lr=0.001)[1]
    for name in COLUMNS["p-noc"][3:]:
        assert steps[name].tolist() == pytest.approx(plain[name].tolist(), rel=0.1, abs=0.02), name


@pytest.mark.slow
def test_a_step_of_resnest_269(images, tmp_path):
    """The largest network of the paper with its settings (Section 6.1), but for two small images in place of 16."""
    paper = TrainingSettings(
        strategy="p-noc", batch_size=2, accumulation=2, epochs=1, crop_size=64, resize_min=40, resize_max=80
    )
    few = images.subset(images.ids[:4])
    f, oc = (networks.CAMNetwork("resnest269e", 2, seed=seed) for seed in (0, 1))
    before = {name: tensor.clone() for name, tensor in f.state_dict().items() if name.startswith("head.")}
    steps, _ = training.train(f, few, tmp_path, paper, oc=oc, cpu=True, progress=False)
    noc = networks.load_network(tmp_path / "noc.safetensors")
    assert set(steps.columns) == set(COLUMNS["p-noc"])
    assert steps.map(math.isfinite).all(axis=None)
    assert all(tensor.isfinite().all() for tensor in f.state_dict().values())
    for name, tensor in before.items():
        assert not torch.equal(f.state_dict()[name], tensor)
    of_oc = norms(oc)
    assert all(torch.equal(norm.running_var, of_oc[name].running_var) for name, norm in norms(noc).items())
    assert not torch.equal(noc.head.weight, oc.head.weight)
    with torch.no_grad():
        assert f.eval()(torch.zeros(1, 3, 64, 96)).shape == (1, 2, 4, 6)


def test_the_seed_decides(twelve, oc, tmp_path):
    first, again = train(twelve, tmp_path / "a", oc), train(twelve, tmp_path / "b", oc, seconds=0.0)
    assert_same(first[0], again[0])
    assert_same(first[3], again[3])
    pd.testing.assert_frame_equal(first[1], again[1], check_exact=True)
    other = train(twelve, tmp_path / "c", oc, seed=1)
    assert first[1]["loss"].tolist() != other[1]["loss"].tolist()


def test_the_erased_class_is_drawn_anew_in_every_iteration(twelve, oc, tmp_path, monkeypatch):
    """Of images that show both classes: other classes with another seed and in the next iteration, not with lr."""
    both = twelve.subset(twelve.ids[2::3])
    drawn, draw = {}, erasing.draw_class

    def classes_of(name, **changes):
        drawn[name] = []
        monkeypatch.setattr(erasing, "draw_class", lambda *a: drawn[name].append(draw(*a).tolist()) or draw(*a))
        train(both, tmp_path / name, oc, batch_size=4, crop_size=32, epochs=4, **changes)

    classes_of("a"), classes_of("b", seed=1), classes_of("c", lr=0.001)
    assert len({tuple(r) for r in drawn["a"]}) > 2
    assert drawn["a"] != drawn["b"]
    assert drawn["a"] == drawn["c"]


def test_smoothing_changes_what_is_classified_and_nothing_else(twelve, oc, tmp_path):
    """With a vanishing rate both trainings see the same: the second iteration, where lambda_noc is not 0."""
    plain, smooth = (
        train(twelve, tmp_path / name, oc, strategy=name, lr=1e-12, new_factor=1.0)[1].iloc[1]
        for name in ("p-noc", "p-noc-ls")
    )
    differ = [name for name in plain.index if plain[name] != pytest.approx(smooth[name], rel=1e-6)]
    assert differ == ["loss", "cls", "re_cls", "cse", "loss_noc"]


def test_a_loss_of_noc_that_is_not_finite_stops(images, oc, tmp_path, monkeypatch):
    loss, calls = erasing.noc_loss, []
    monkeypatch.setattr(
        erasing, "noc_loss", lambda *a, **o: loss(*a, **o) * (math.nan if calls.append(1) or len(calls) == 6 else 1)
    )
    sentence = r"the loss of noc is no longer finite at iteration 6 \(precision no\): lower the rate; the last good"
    with pytest.raises(FloatingPointError, match=sentence):
        train(images, tmp_path, oc)
    assert not (tmp_path / "weights.safetensors").exists()
    monkeypatch.undo()
    assert_same(train(images, tmp_path, oc)[0], train(images, tmp_path / "whole", oc)[0])


# kills


def stopped(images, folder, oc, at, *, of=1, **changes):
    """A training that ended with an exception after some iterations, its last checkpoint written just before.

    of: 2 where the `oc` that is trained first shall end.
    """
    with watched.stopped_at(at, of=of):
        train(images, folder, oc, seconds=0.0, **changes)


@pytest.fixture(scope="module")
def whole(images, oc, tmp_path_factory):
    """Trainings without a break, each done once: three iterations an epoch, so that steps cross epochs."""
    done = {}

    def of(**changes):
        key = tuple(sorted(changes.items()))
        if key not in done:
            done[key] = train(images, tmp_path_factory.mktemp("whole"), oc, **changes)
        return done[key]

    return of


@pytest.fixture(scope="module")
def whole_with_oc(images, tmp_path_factory):
    return train(images, tmp_path_factory.mktemp("oc"), None)


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        *(({"k_noc": 1}, at) for at in (1, 2, 3, 5)),
        *(({"k_noc": 2}, at) for at in (1, 2, 3, 5)),
        ({"k_noc": 2, "leaky_noc": True, "from_oc": True}, 3),
        ({"strategy": "p-oc"}, 3),
    ],
)
def test_an_interrupted_training_goes_on_where_it_was(images, oc, tmp_path, whole, changes, at):
    """Accumulation 2: stopped amid an optimiser step of f, of noc, of both."""
    changes = {"accumulation": 2, "momentum": 0.9} | changes
    stopped(images, tmp_path, oc, at, **changes)
    with watched.iterations() as done:
        ours, steps, epochs, noc = train(images, tmp_path, oc, **changes)
    assert done == list(range(at, 6))
    theirs, expected, expected_epochs, other = whole(**changes)
    assert_same(ours, theirs)
    pd.testing.assert_frame_equal(steps, expected, check_exact=True)
    pd.testing.assert_frame_equal(epochs, expected_epochs, check_exact=True)
    if "strategy" not in changes:
        assert_same(noc, other)


@pytest.mark.parametrize(("of", "at"), [(1, 1), (2, 4)])
def test_a_training_stopped_before_or_after_its_oc_was_ready(images, tmp_path, whole_with_oc, of, at):
    stopped(images, tmp_path, None, at, of=of)
    ours, steps, _, _ = train(images, tmp_path, None)
    assert_same(ours, whole_with_oc[0])
    pd.testing.assert_frame_equal(steps, whole_with_oc[1], check_exact=True)


def test_settings_of_others_leave_the_oc_alone(twelve, tmp_path, monkeypatch):
    """What an ordinary classifier never reads does not make it a new training."""
    first = settings(erase_scope="batch").of_oc()
    assert settings(erase_scope="image", lambda_noc=0.5, delta_noc=0.1, k_noc=2, leaky_noc=True).of_oc() == first
    assert settings(lr=0.02).of_oc() != first


def test_an_oc_of_another_kind_is_refused(twelve, tmp_path):
    other = networks.CAMNetwork("test_efficientnet", 3)
    with pytest.raises(ValueError, match=r"oc is 'test_efficientnet' with 3 classes, the network .* with 2: train an"):
        training.train(network(), twelve, tmp_path, settings(), oc=other, cpu=True, progress=False)
    assert not list(tmp_path.iterdir())


def test_lost_weights_are_told_from_other_settings(twelve, tmp_path, capsys):
    for _ in range(2):
        training.train(network(), twelve, tmp_path, settings(strategy="cam"), cpu=True, progress=False)
        (tmp_path / "weights.safetensors").unlink()
    assert "holds the record of lost or damaged results: starting anew" in capsys.readouterr().out


def test_fixed_batchnorm_may_learn_again_afterwards(twelve, tmp_path):
    ours = network()
    training.train(ours, twelve, tmp_path, settings(strategy="cam", batchnorm="fixed"), cpu=True, progress=False)
    assert all(parameter.requires_grad for parameter in ours.parameters())
