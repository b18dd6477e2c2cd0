"""Strategies: two switches, the terms that each one has, what is fixed, where gradients go."""

import copy
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pnoc_lib.data import augment
from pnoc_lib.engine import batchnorm
from pnoc_lib.priors import erasing, networks, objectives, puzzle, strategies

SWITCHES = {  # puzzle, eraser, augmentation: Sections 2.4, 3.1, 3.2 and 6.1
    "cam": (False, None, "randaugment"),
    "cam-more": (False, None, "jitter"),
    "puzzle": (True, None, "jitter"),
    "oc-cse": (False, "oc", "jitter"),
    "p-oc": (True, "oc", "jitter"),
    "noc-cse": (False, "noc", "jitter"),
    "p-noc": (True, "noc", "jitter"),
}
TERMS = {
    "cam": ["cls"],
    "cam-more": ["cls"],
    "puzzle": ["cls", "re_cls", "re"],
    "oc-cse": ["cls", "cse"],
    "p-oc": ["cls", "re_cls", "re", "cse"],
    "noc-cse": ["cls", "cse"],
    "p-noc": ["cls", "re_cls", "re", "cse"],
}
LABELS = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 1]])
ERASED = torch.tensor([2, 1, 0, 2])


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(count=4, side=16):
    return random(count, 3, side, side)


def network(seed=0):
    """Maps of a quarter of the side, with a look at neighbours, BatchNorm and dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(3, 8, 7, stride=4, padding=3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5)]
        built = nn.Sequential(*layers, nn.Conv2d(8, 3, 1, bias=False))
        built[1].running_mean.normal_(0, 0.1), built[1].running_var.uniform_(0.5, 1.5)
    return built


def terms_of(name, f=None, eraser=None, *, count=4, **options):
    f, eraser = f or network(0).eval(), eraser or network(1)
    plan = replace(strategies.named(name), **options.pop("plan", {}))
    return objectives.generator_terms(f, eraser, images(count), LABELS[:count], ERASED[:count], plan, **options)


def gradients(module):
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None and p.grad.any()}


# strategies as data


def test_the_strategies_of_the_paper():
    assert list(strategies.STRATEGIES) == [*SWITCHES, *(f"{name}-ls" for name in SWITCHES)]
    for name, switches in SWITCHES.items():
        plain = strategies.named(name)
        assert (plain.puzzle, plain.eraser, plain.augment) == switches
        assert plain.label_smoothing == 0
        assert plain.augment in augment.AUGMENTATIONS
        assert strategies.named(f"{name}-ls") == replace(plain, label_smoothing=0.1)


def test_strategies_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        strategies.named("p-noc").eraser = "oc"


def test_unknown_names_come_with_those_there_are():
    with pytest.raises(
        ValueError, match="unknown strategy 'p-nocs': choose one of cam, cam-more, puzzle, oc-cse, p-oc"
    ):
        strategies.named("p-nocs")
    with pytest.raises(ValueError, match="unknown eraser 'f': choose one of None, oc, noc"):
        strategies.Strategy(eraser="f")


# the terms


@pytest.mark.parametrize("name", strategies.STRATEGIES)
@pytest.mark.parametrize("count", [1, 4])
def test_every_strategy_has_its_terms(name, count):
    terms, maps, seen = terms_of(name, count=count)
    assert list(terms) == TERMS[name.removesuffix("-ls")]
    assert all(term.shape == () and term.dtype == torch.float32 and term.isfinite() for term in terms.values())
    assert maps.shape == (count, 3, 4, 4)
    assert (seen is None) == (strategies.named(name).eraser is None)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_terms_of_p_noc_written_out(smoothing):
    """Lines 4 and 5 of Algorithm 1, slowly; r counts as absent and is smoothed, the mask of L_re is not."""
    f, noc, x = network(0).eval(), network(1), images()
    terms, maps, seen = terms_of("p-noc", f, noc, plan={"label_smoothing": smoothing})
    a = f(x)
    top, bottom = x[:, :, :8], x[:, :, 8:]
    pieces = [f(piece) for piece in (top[..., :8], top[..., 8:], bottom[..., :8], bottom[..., 8:])]
    merged = torch.cat([torch.cat(pieces[:2], 3), torch.cat(pieces[2:], 3)], 2)
    large = F.interpolate(
        torch.stack([a[n, r] for n, r in enumerate(ERASED)])[:, None].relu(), (16, 16), mode="bilinear"
    )
    expected_seen = copy.deepcopy(noc).eval()(x * (1 - large / (large.max() + 1e-5)))
    others = LABELS.clone()
    others[range(4), ERASED] = 0

    def l_cls(cam, y):
        return F.multilabel_soft_margin_loss(cam.mean((2, 3)), y * (1 - smoothing) + smoothing / 2)

    expected = {
        "cls": l_cls(a, LABELS),
        "re_cls": l_cls(merged, LABELS),
        "re": sum((a - merged)[n, c].abs().mean() for n, c in LABELS.nonzero().tolist()) / (4 * 3),
        "cse": l_cls(expected_seen, others),
    }
    torch.testing.assert_close(terms, expected)
    torch.testing.assert_close(maps, a)
    torch.testing.assert_close(seen, expected_seen)


@pytest.mark.parametrize("name", ["oc-cse", "p-oc"])
def test_the_scope_of_the_peak_is_handed_on(name):
    batch, image = terms_of(name, scope="batch")[0], terms_of(name, scope="image")[0]
    assert torch.equal(terms_of(name)[0]["cse"], batch["cse"])
    assert batch["cse"] != image["cse"]
    assert batch["cls"] == image["cls"]


def test_label_smoothing_changes_the_classified_terms_alone():
    plain, smooth = terms_of("p-noc")[0], terms_of("p-noc-ls")[0]
    assert [name for name in plain if plain[name] != smooth[name]] == ["cls", "re_cls", "cse"]


def test_a_pointwise_generator_has_no_puzzle_to_solve():
    f = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Tanh(), nn.Conv2d(8, 3, 1))
    terms = terms_of("puzzle", f)[0]
    assert terms["re"].item() < 1e-7
    torch.testing.assert_close(terms["re_cls"], terms["cls"])  # GAP of the merged maps is GAP of the maps


def test_the_generator_sees_images_then_tiles_and_nothing_twice():
    f, seen = network(0), []
    f.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    terms_of("p-oc", f)
    assert [tuple(batch.shape) for batch in seen] == [(4, 3, 16, 16), (16, 3, 8, 8)]
    assert torch.equal(seen[1], puzzle.tile(seen[0]))
    terms_of("oc-cse", f)
    assert len(seen) == 3


@pytest.mark.parametrize("enters", [True, False])
def test_whether_tiles_enter_the_running_statistics(enters):
    f = network(0).train()
    terms_of("puzzle", f, tile_statistics=enters)
    one, two = network(0).train(), network(0).train()
    one(images())
    two(images()), two(puzzle.tile(images()))
    expected = (two if enters else one)[1]
    torch.testing.assert_close(f[1].running_mean, expected.running_mean)
    torch.testing.assert_close(f[1].running_var, expected.running_var)
    assert not torch.allclose(one[1].running_var, two[1].running_var)


# fixed, and the way of the gradients


@pytest.mark.parametrize("training", [True, False])
def test_the_eraser_is_fixed_in_evaluation_mode(training):
    """Its dropout and its BatchNorm's statistics of the batch are out of play; afterwards it is as before."""
    noc = network(1).train(training)
    before = {name: tensor.clone() for name, tensor in noc.state_dict().items()}
    terms, _, seen = terms_of("noc-cse", eraser=noc)
    assert torch.equal(seen, terms_of("noc-cse", eraser=noc.eval())[2])
    noc.train(training)
    terms["cse"].backward()
    assert not gradients(noc)
    assert all(torch.equal(noc.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(p.requires_grad for p in noc.parameters())


@pytest.mark.parametrize("name", strategies.STRATEGIES)
def test_gradients_reach_f_and_stay_in_no_eraser(name):
    f, eraser = network(0).train(), network(1).train()
    objectives.generator_loss(terms_of(name, f, eraser)[0], lambda_re=4, lambda_cse=1).backward()
    assert gradients(f).keys() == dict(f.named_parameters()).keys()
    assert all(p.grad is None for p in eraser.parameters())


def test_every_term_alone_reaches_f():
    """The erasing term through the eraser, the erased image and the mask, peak included."""
    for term in TERMS["p-noc"]:
        f = network(0).eval()
        terms_of("p-noc", f)[0][term].backward()
        assert gradients(f).keys() == dict(f.named_parameters()).keys()


def test_the_erasing_term_moves_the_map_of_r_alone():
    _, maps, seen = terms_of("noc-cse")
    (gradient,) = torch.autograd.grad(erasing.cse_loss(seen, LABELS, ERASED), maps)
    assert (gradient.abs().sum((2, 3)) > 0).nonzero().tolist() == [[n, r] for n, r in enumerate(ERASED.tolist())]


def test_a_leaky_eraser_keeps_what_pushes_it_away_from_r():
    """The gradient of cse with regard to noc itself; values and the gradient of f are the same."""
    f, noc, tight, sealed = network(0).eval(), network(1).eval(), network(0).eval(), network(1)
    leaking, kept = terms_of("p-noc", f, noc, leaky=True)[0], terms_of("p-noc", tight, sealed)[0]
    assert all(torch.equal(leaking[name], kept[name]) for name in kept)
    expected = torch.autograd.grad(leaking["cse"], list(noc.parameters()), retain_graph=True)
    sum(leaking.values()).backward(), sum(kept.values()).backward()
    for parameter, gradient in zip(noc.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
        assert gradient.any()
    for one, other in zip(f.parameters(), tight.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("name", ["puzzle", "p-noc"])
def test_terms_in_bfloat16_are_near_those_in_float32(name):
    with torch.autocast("cpu", torch.bfloat16):
        half, maps, _ = terms_of(name)
    assert maps.dtype == torch.bfloat16
    for term, value in terms_of(name)[0].items():
        assert half[term].dtype == torch.float32
        assert half[term].item() == pytest.approx(value.item(), rel=0.05)


@torch.no_grad()
def test_a_folded_eraser_gives_the_terms_of_the_plain_one():
    oc = networks.CAMNetwork("test_efficientnet", 3)
    for module in oc.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.2 * random(*module.running_mean.shape))
            module.running_var.copy_(0.5 + random(*module.running_var.shape, seed=1).sigmoid())
    folded = batchnorm.fold_batchnorm(oc, torch.zeros(1, 3, 64, 64))
    x, f = random(4, 3, 64, 64), networks.CAMNetwork("test_efficientnet", 3, seed=1).eval()
    plain, fast = (
        objectives.generator_terms(f, eraser, x, LABELS, ERASED, strategies.named("oc-cse"))[0]["cse"].item()
        for eraser in (oc, folded)
    )
    assert fast == pytest.approx(plain, rel=1e-4)


# the loss made of the terms

VALUES = {name: torch.tensor(value) for name, value in {"cls": 0.5, "re_cls": 0.25, "re": 0.125, "cse": 0.0625}.items()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cam", 0.5),
        ("cam-more", 0.5),
        ("puzzle", 0.5 + 0.25 + 4 * 0.125),  # Eq. (3)
        ("oc-cse", 0.5 + 2 * 0.0625),  # Eq. (6)
        ("p-oc", 0.5 + 0.25 + 4 * 0.125 + 2 * 0.0625),  # Eq. (8)
        ("noc-cse", 0.5 + 2 * 0.0625),  # Eq. (9)
        ("p-noc", 0.5 + 0.25 + 4 * 0.125 + 2 * 0.0625),
    ],
)
def test_the_loss_is_the_equation_of_its_terms(name, expected):
    terms = {term: VALUES[term] for term in TERMS[name]}
    assert objectives.generator_loss(terms, lambda_re=4.0, lambda_cse=2.0).item() == expected


def test_without_erasure_p_oc_is_puzzle_and_oc_cse_is_cam():
    for with_eraser, without in (("p-oc", "puzzle"), ("oc-cse", "cam")):
        loss, other = (
            objectives.generator_loss(terms_of(name)[0], lambda_re=4.0, lambda_cse=0.0)
            for name in (with_eraser, without)
        )
        assert torch.equal(loss, other)
