"""Eqs. (7) and (11) against double loops and values worked by hand, and the minus sign that Eq. (7) does not print."""

import math

import pytest
import torch
from torch.nn import functional as F

from pnoc_lib.saliency import contrast

pytestmark = pytest.mark.usefixtures("one_thread")


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def batch():
    return random(5, 7, 4, 6).relu(), random(5, 1, 4, 6, seed=1)


def slow_terms(features, logits, alpha):
    """Eq. (7) as a double loop, one pair and one position at a time."""
    count, _, height, width = features.shape
    v = {"f": [], "b": []}
    for i in range(count):
        front, back = 0.0, 0.0
        for y in range(height):
            for x in range(width):
                phi = 1 / (1 + math.exp(-logits[i, 0, y, x].item()))
                front = front + phi * features[i, :, y, x]
                back = back + (1 - phi) * features[i, :, y, x]
        v["f"].append(front / (height * width))
        v["b"].append(back / (height * width))

    def cosine(a, b):
        return min(max((a @ b / a.norm() / b.norm()).item(), 0.0005), 0.9995)

    losses = {"neg": 0.0}
    for kind in ("f", "b"):
        total = 0.0
        for i in range(count):
            others = sorted((j for j in range(count) if j != i), key=lambda j: (-cosine(v[kind][i], v[kind][j]), j))
            for rank, j in enumerate(others):
                total -= math.exp(-alpha * rank) * math.log(cosine(v[kind][i], v[kind][j]))
        losses[f"pos_{kind}"] = total / (count * (count - 1))
    for i in range(count):
        for j in range(count):
            losses["neg"] -= math.log(1 - cosine(v["b"][i], v["f"][j])) / count**2
    return losses


def test_the_terms_are_those_of_a_double_loop(batch):
    for alpha in (0.0, 0.25, 1.0):
        slow = slow_terms(*batch, alpha)
        fast = contrast.terms(*batch, alpha)
        assert {name: value.item() for name, value in fast.items()} == pytest.approx(slow, rel=1e-4)


def test_halves_add_up_to_the_mean(batch):
    features, logits = batch
    front, back = contrast.halves(features, logits.sigmoid())
    torch.testing.assert_close(front + back, features.mean((2, 3)))
    all_front, nothing = contrast.halves(features, torch.ones_like(logits))
    torch.testing.assert_close(all_front, features.mean((2, 3)))
    assert nothing.abs().max() == 0


def test_identical_images_are_as_similar_as_can_be_and_teach_nothing():
    features = random(1, 6, 3, 3).relu().expand(4, -1, -1, -1)
    logits = random(1, 1, 3, 3, seed=2).expand(4, -1, -1, -1).clone().requires_grad_()
    front, _ = contrast.halves(features, logits.sigmoid())
    assert torch.equal(contrast.similarity(front, front), torch.full((4, 4), 0.9995))
    terms = contrast.terms(features, logits)
    (terms["pos_f"] + terms["pos_b"]).backward()
    assert logits.grad.abs().max() == 0
    mean_weight = (1 + math.exp(-0.25) + math.exp(-0.5)) / 3
    assert terms["pos_f"].item() == pytest.approx(-math.log(0.9995) * mean_weight, rel=1e-3)


def test_rank_weights_of_the_nearest_others():
    similarities = torch.tensor([[1.0, 0.2, 0.9, 0.5]]).repeat(4, 1)
    ranked = contrast.ranks(similarities)
    assert ranked[0].tolist() == [-1, 2, 0, 1]
    assert contrast.rank_weights(ranked)[0, 1:].tolist() == pytest.approx([0.6065, 1, 0.7788], abs=1e-4)
    assert contrast.rank_weights(ranked, 0.0).unique().tolist() == [1.0]


def test_ties_go_to_the_image_that_comes_first():
    assert contrast.ranks(torch.full((4, 4), 0.9995)).tolist() == [
        [-1, 0, 1, 2],
        [0, -1, 1, 2],
        [0, 1, -1, 2],
        [0, 1, 2, -1],
    ]


def test_the_order_of_a_batch_changes_nothing_and_its_company_does(batch):
    features, logits = batch
    order = torch.tensor([3, 0, 4, 1, 2])
    whole, other = contrast.terms(features, logits), contrast.terms(features[order], logits[order])
    for name, value in whole.items():
        torch.testing.assert_close(other[name], value)
    assert not torch.isclose(contrast.terms(features[:4], logits[:4])["pos_f"], whole["pos_f"])


def test_swapping_the_halves_changes_nothing(batch):
    features, logits = batch
    one, other = contrast.terms(features, logits), contrast.terms(features, -logits)
    torch.testing.assert_close(other["pos_f"], one["pos_b"])
    torch.testing.assert_close(other["neg"], one["neg"])


def test_the_minus_draws_like_halves_together_and_the_printed_plus_pushes_them_apart():
    vectors = random(3, 8).abs().requires_grad_()
    before = contrast.similarity(vectors, vectors)[0, 1].item()
    (gradient,) = torch.autograd.grad(contrast.attraction(vectors), vectors)
    assert contrast.attraction(vectors) > 0
    for sign, nearer in ((-1, True), (1, False)):  # a step down the term as it is, and down its printed twin
        after = vectors.detach() + sign * 0.05 * gradient
        assert (contrast.similarity(after, after)[0, 1].item() > before) == nearer


def test_repulsion_parts_the_halves():
    front, back = random(3, 8).abs().requires_grad_(), random(3, 8, seed=1).abs()
    (gradient,) = torch.autograd.grad(contrast.repulsion(front, back), front)
    after = front.detach() - 0.05 * gradient
    assert contrast.similarity(after, back).mean() < contrast.similarity(front, back).mean()


def test_a_batch_of_one_has_no_pair():
    with pytest.raises(ValueError, match="one image has no pair to be compared with: give a batch of at least 2"):
        contrast.attraction(random(1, 4))


def test_hints_by_hand():
    logits = torch.tensor([0.0, 2.0, -1.0, 3.0]).reshape(1, 1, 2, 2)
    hint = torch.tensor([0.4, 0.39, 0.9, 0.0]).reshape(1, 1, 2, 2)
    plain = -(math.log(0.5) + math.log(1 / (1 + math.e))) / 2
    assert contrast.hint_loss(logits, hint).item() == pytest.approx(plain)  # -log phi, at the first and the third
    smoothed = contrast.hint_loss(logits, hint, smoothing=0.1)
    expected = F.binary_cross_entropy_with_logits(torch.tensor([0.0, -1.0]), torch.tensor([0.95, 0.95]))
    assert smoothed.item() == pytest.approx(expected.item())


def test_hints_empty_and_full(batch):
    logits = batch[1].clone().requires_grad_()
    none = contrast.hint_loss(logits, torch.zeros_like(batch[1]))
    none.backward()
    assert none.item() == 0 and logits.grad.abs().max() == 0
    full = contrast.hint_loss(logits, torch.ones_like(batch[1]))
    torch.testing.assert_close(full, -F.logsigmoid(logits).mean())
    (gradient,) = torch.autograd.grad(full, logits)
    assert (gradient < 0).all()  # every step makes phi larger


def test_pixels_that_are_no_hint_have_no_gradient(batch):
    logits = batch[1].clone().requires_grad_()
    hint = torch.zeros_like(batch[1])
    hint[0, 0, 0, 0] = 0.8
    contrast.hint_loss(logits, hint).backward()
    assert (logits.grad != 0).sum() == 1


@pytest.mark.parametrize("delta", [-0.1, 1.1])
def test_a_threshold_out_of_range_is_refused(batch, delta):
    with pytest.raises(ValueError, match=rf"delta_fg must be in \[0, 1\], got {delta}: the paper's value is 0.4"):
        contrast.hint_loss(batch[1], batch[1], delta)


def test_half_precision_gives_float32_terms(batch):
    features, logits = batch
    half = contrast.terms(features.bfloat16(), logits.bfloat16())
    for name, value in contrast.terms(features, logits).items():
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], value, rtol=0.03, atol=0.02)
