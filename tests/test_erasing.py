"""Class-specific erasing: the class that is drawn, soft and hard masks, targets without r, the losses made of them."""

import math
from collections import Counter

import pytest
import torch

from pnoc_lib.priors import cam as cams
from pnoc_lib.priors import erasing, puzzle

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
EPS = 1e-5


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def maps_of(*rows):
    """One image a row, one class, one pixel high."""
    return torch.tensor(rows, dtype=torch.float32)[:, None, None, :]


def first(maps):
    """r = 0 for every image."""
    return torch.zeros(len(maps), dtype=torch.int64)


# the class that is drawn


def test_only_present_classes_are_drawn():
    labels = (random(500, 6) > 0).to(torch.uint8)
    labels[labels.sum(dim=1) == 0, 2] = 1
    drawn = erasing.draw_class(labels, torch.Generator().manual_seed(0))
    assert drawn.shape == (500,)
    assert drawn.dtype == torch.int64
    assert (labels[torch.arange(500), drawn] == 1).all()
    alone = torch.eye(5)[[3, 0, 4]]
    assert erasing.draw_class(alone).tolist() == [3, 0, 4]


@pytest.mark.parametrize("present", [(1,), (0, 3), (0, 2, 4), (0, 1, 2, 3, 4)])
def test_every_present_class_is_drawn_as_often_as_the_others(present):
    """Chi-square of 4000 images with a fixed generator: the 0.1 % bound of four degrees of freedom is 18.5."""
    labels = torch.zeros(4000, 5)
    labels[:, list(present)] = 1
    counts = Counter(erasing.draw_class(labels, torch.Generator().manual_seed(1)).tolist())
    assert counts.keys() == set(present)
    expected = 4000 / len(present)
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 18.5


def test_the_generator_decides_and_the_global_one_is_left_alone():
    labels, state = torch.ones(50, 20), torch.get_rng_state()
    one, again, other = (erasing.draw_class(labels, torch.Generator().manual_seed(s)).tolist() for s in (0, 0, 1))
    assert one == again != other
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("labels", [torch.tensor([[0, 1], [0, 0]]), torch.zeros(1, 3), torch.ones(3)])
def test_an_image_without_a_class_has_none_to_draw(labels):
    with pytest.raises(ValueError, match=r"every row of labels \(N, C\) must have a class to draw, got \("):
        erasing.draw_class(labels)


# psi of the erased class at the size of the image


@pytest.mark.parametrize("scope", erasing.SCOPES)
def test_attention_is_rectified_before_it_is_enlarged(scope):
    """Corners not aligned: 1, 0 becomes 1, 3/4, 1/4, 0; enlarged first, 1, -1 would become 1, 1/2, -1/2, -1."""
    mask = erasing.attention(maps_of([1.0, -1.0]), torch.tensor([0]), (1, 4), scope=scope)
    torch.testing.assert_close(mask[0, 0, 0], torch.tensor([1, 0.75, 0.25, 0]) / (1 + EPS))


def test_attention_is_divided_by_its_peak_at_the_size_of_the_image():
    maps = maps_of([0.0, 6.0])
    mask = erasing.attention(maps, torch.tensor([0]), (1, 1), scope="image")  # one pixel: their mean
    assert mask.item() == pytest.approx(3 / (3 + EPS))


@pytest.mark.parametrize("scope", erasing.SCOPES)
@pytest.mark.parametrize("size", [(4, 6), (32, 48), (33, 17)])
def test_attention_is_that_of_a_slow_loop(scope, size):
    maps, r = random(3, 5, 4, 6), torch.tensor([4, 0, 2])
    mask = erasing.attention(maps, r, size, scope=scope)
    large = torch.zeros(3, *size)
    for n in range(3):
        for y in range(size[0]):
            for x in range(size[1]):  # the four nearest pixels of the rectified map, corners not aligned
                v, u = (
                    max((k + 0.5) * small / side - 0.5, 0.0) for k, small, side in ((y, 4, size[0]), (x, 6, size[1]))
                )
                top, left = int(v), int(u)
                for row, a in ((top, 1 - v + top), (min(top + 1, 3), v - top)):
                    for column, b in ((left, 1 - u + left), (min(left + 1, 5), u - left)):
                        large[n, y, x] += a * b * max(maps[n, r[n], row, column].item(), 0.0)
    peaks = [large[n].max() if scope == "image" else large.max() for n in range(3)]
    expected = torch.stack([large[n] / (peaks[n] + EPS) for n in range(3)])[:, None]
    assert mask.shape == (3, 1, *size)
    torch.testing.assert_close(mask, expected, atol=1e-5, rtol=1e-4)


def test_the_scopes_are_one_for_a_batch_of_one():
    maps, r = random(1, 3, 5, 5), torch.tensor([1])
    assert torch.equal(*(erasing.attention(maps, r, (20, 20), scope=scope) for scope in erasing.SCOPES))


def test_by_its_own_peak_an_image_depends_on_itself_alone():
    maps, r = random(3, 2, 4, 4).abs() + 1, torch.tensor([0, 1, 1])
    whole = erasing.attention(maps, r, (8, 8), scope="image")
    torch.testing.assert_close(erasing.attention(1000 * maps, r, (8, 8), scope="image"), whole, atol=2e-5, rtol=0)
    assert torch.equal(erasing.attention(maps[1:2], r[1:2], (8, 8), scope="image"), whole[1:2])
    maps[2] *= 3
    assert torch.equal(erasing.attention(maps, r, (8, 8), scope="image")[:2], whole[:2])
    weaker = erasing.attention(maps, r, (8, 8), scope="batch")[:2]  # a neighbour holds the peak now
    assert weaker.max() < 0.8


@pytest.mark.parametrize("scope", erasing.SCOPES)
def test_a_silent_class_is_zero_with_a_finite_gradient(scope):
    maps = torch.stack([-torch.ones(1, 2, 2), torch.zeros(1, 2, 2)]).requires_grad_()
    mask = erasing.attention(maps, first(maps), (4, 4), scope=scope)
    assert mask.abs().max() == 0
    mask.sum().backward()
    assert maps.grad.isfinite().all()


@pytest.mark.parametrize("scope", erasing.SCOPES)
def test_the_gradient_knows_the_peak(scope):
    """With weights w on the first image alone, d/dA of sum w A / (m + eps), m the peak of the image or of the batch."""
    maps, w = maps_of([0.5, 1.0, -3.0], [0.25, 2.0, 1.5]).requires_grad_(), torch.tensor([3.0, 5.0, 7.0])
    (erasing.attention(maps, first(maps), (1, 3), scope=scope)[0, 0, 0] * w).sum().backward()
    peak = {"image": 1.0, "batch": 2.0}[scope] + EPS
    expected = torch.tensor([[3 / peak, 5 / peak, 0.0], [0.0, 0.0, 0.0]])
    through_the_peak = -(3 * 0.5 + 5 * 1.0) / peak**2
    expected[(0, 1) if scope == "image" else (1, 1)] += through_the_peak  # where the peak lies
    torch.testing.assert_close(maps.grad[:, 0, 0], expected)


def test_an_unknown_scope_is_refused():
    with pytest.raises(ValueError, match="unknown scope 'pixel' of the peak: choose one of batch, image"):
        erasing.attention(torch.zeros(1, 1, 2, 2), torch.tensor([0]), (4, 4), scope="pixel")


# soft erasure


@pytest.mark.parametrize("scope", erasing.SCOPES)
def test_one_image_is_erased_at_its_peak_up_to_eps(scope):
    maps = maps_of([0.0, 3.0, 1.5])
    left = erasing.erase_soft(torch.ones(1, 3, 1, 3), maps, torch.tensor([0]), scope=scope)
    kept = [1, EPS / (3 + EPS), 1 - 1.5 / (3 + EPS)]
    for channel in left[0, :, 0]:
        torch.testing.assert_close(channel, torch.tensor(kept), rtol=1e-4, atol=1e-7)  # 1 - M is rounded to 6e-8


def test_of_two_images_the_weaker_keeps_a_half():
    """Maxima 1 and 2, the peak of the batch: the first is never erased by more than one half; by its own peak it is."""
    maps, images = maps_of([1.0, 0.25], [2.0, -1.0]), torch.ones(2, 3, 1, 2)
    left = erasing.erase_soft(images, maps, first(maps))
    assert left[0].min() >= 0.5
    assert left[0, 0, 0].tolist() == pytest.approx([1 - 1 / (2 + EPS), 1 - 0.25 / (2 + EPS)])
    assert left[1, 0, 0].tolist() == pytest.approx([0, 1], abs=2e-5)
    assert torch.equal(erasing.erase_soft(images, maps, first(maps), scope="batch"), left)  # the default
    own = erasing.erase_soft(images, maps, first(maps), scope="image")
    assert own[0, 0, 0].tolist() == pytest.approx([0, 0.75], abs=2e-5)


def test_erasure_fades_to_zero_whatever_the_colour():
    images, maps = random(2, 3, 8, 6), random(2, 4, 4, 3)
    r = torch.tensor([1, 3])
    mask = erasing.attention(maps, r, (8, 6), scope="batch")
    left = erasing.erase_soft(images, maps, r)
    for channel in range(3):
        torch.testing.assert_close(left[:, channel], images[:, channel] * (1 - mask[:, 0]))
    silent = erasing.erase_soft(images, -maps.abs(), r)
    assert torch.equal(silent, images)


def test_soft_erasure_has_gradients_for_the_map_of_r_alone():
    images, maps = random(2, 3, 8, 8), random(2, 3, 4, 4).requires_grad_()
    erasing.erase_soft(images, maps, torch.tensor([2, 0])).square().sum().backward()
    touched = maps.grad.abs().sum(dim=(2, 3)) > 0
    assert touched.tolist() == [[False, False, True], [True, False, False]]


@pytest.mark.parametrize("erase", [erasing.erase_soft, erasing.erase_hard])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_maps_in_half_precision_erase_almost_the_same(erase, dtype):
    images, maps, r = random(3, 3, 16, 16), random(3, 2, 4, 4).to(dtype), torch.tensor([0, 1, 0])
    half, full = erase(images, maps, r), erase(images, maps.float(), r)
    assert half.dtype == torch.float32
    assert torch.equal(half, full)  # all arithmetic is in float32
    assert erasing.attention(-maps.abs(), r, (16, 16), scope="image").max() == 0


# hard erasure


@pytest.mark.parametrize("delta", [0.2, 0.25])
def test_a_pixel_at_exactly_delta_is_kept(delta):
    """With a peak of 2^20 eps vanishes in the sum and psi of these pixels is delta to the last bit, or one bit more."""
    at = torch.tensor(delta) * 2**20
    maps = torch.stack([at, torch.nextafter(at, torch.tensor(math.inf)), torch.tensor(2.0**20)])[None, None, None]
    assert erasing.attention(maps, torch.tensor([0]), (1, 3), scope="image")[0, 0, 0, 0] == torch.tensor(delta)
    left = erasing.erase_hard(torch.ones(1, 3, 1, 3), maps, torch.tensor([0]), delta)
    assert left[0].tolist() == [[[1, 0, 0]]] * 3


def test_hard_erasure_is_not_the_other_reading():
    """`1 - psi > delta_noc` would keep where psi < 0.8: most of the core. The code keeps where psi <= 0.2."""
    maps = maps_of([0.1, 0.5, 0.7, 0.9, 1.0])
    left = erasing.erase_hard(torch.ones(1, 1, 1, 5), maps, torch.tensor([0]))
    assert left.flatten().tolist() == [1, 0, 0, 0, 0]
    other = 1 - erasing.attention(maps, torch.tensor([0]), (1, 5), scope="image") > 0.2
    assert other.flatten().tolist() == [True, True, True, False, False]


def test_nothing_is_erased_where_the_class_is_silent():
    images = random(2, 3, 8, 8)
    for maps in (-random(2, 2, 4, 4).abs(), torch.zeros(2, 2, 4, 4)):
        assert torch.equal(erasing.erase_hard(images, maps, torch.tensor([0, 1])), images)


def test_every_image_is_cut_by_its_own_peak():
    """Maxima 1 and 100: by the peak of the batch the first would be left whole."""
    maps = maps_of([0.1, 1.0], [10.0, 100.0])
    left = erasing.erase_hard(torch.ones(2, 1, 1, 2), maps, first(maps))
    assert left[:, 0, 0].tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize("size", [(8, 8), (13, 7)])
def test_hard_erasure_keeps_or_cuts_every_pixel(size):
    images, maps, r = random(3, 3, *size), random(3, 4, 4, 4), torch.tensor([3, 1, 0])
    left = erasing.erase_hard(images, maps, r, 0.3)
    mask = erasing.attention(maps, r, size, scope="image")
    for n in range(3):
        for y in range(size[0]):
            for x in range(size[1]):
                expected = images[n, :, y, x] if mask[n, 0, y, x] <= 0.3 else torch.zeros(3)
                assert torch.equal(left[n, :, y, x], expected)


def test_hard_erasure_gives_the_map_no_gradient():
    images, maps = random(2, 3, 8, 8), random(2, 3, 4, 4).requires_grad_()
    assert not erasing.erase_hard(images, maps, torch.tensor([0, 1])).requires_grad
    images.requires_grad_()
    erasing.erase_hard(images, maps, torch.tensor([0, 1])).sum().backward()
    assert images.grad.unique().tolist() == [0, 1]
    assert maps.grad is None


def test_limits_of_the_threshold():
    images, maps = torch.ones(1, 3, 1, 4), maps_of([-1.0, 0.0, 0.5, 1.0])
    assert erasing.erase_hard(images, maps, torch.tensor([0]), 0.0)[0, 0, 0].tolist() == [1, 1, 0, 0]
    assert torch.equal(erasing.erase_hard(images, maps, torch.tensor([0]), 1.0), images)


@pytest.mark.parametrize("delta", [-0.01, 1.01, 20, math.nan])
def test_a_threshold_outside_its_range_is_refused(delta):
    with pytest.raises(ValueError, match=r"delta_noc must be in \[0, 1\], got .*the paper's value is 0.2"):
        erasing.erase_hard(torch.ones(1, 3, 4, 4), torch.ones(1, 1, 2, 2), torch.tensor([0]), delta)


# targets and losses


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_labels_without_the_erased_class_by_hand(dtype):
    labels = torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=dtype)
    removed = erasing.without(labels, torch.tensor([2, 1]))
    assert removed.tolist() == [[1, 0, 0], [0, 0, 0]]
    assert removed.dtype == dtype
    assert labels.tolist() == [[1, 0, 1], [0, 1, 0]]  # the given ones stay


def test_erasing_loss_by_hand():
    """Logits 2 and -1 of two present classes, the first erased: it is to be absent, the second present."""
    seen = torch.tensor([2.0, -1.0])[None, :, None, None].expand(1, 2, 3, 5)
    expected = (math.log1p(math.exp(2)) + math.log1p(math.exp(1))) / 2
    loss = erasing.cse_loss(seen, torch.tensor([[1, 1]]), torch.tensor([0]))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_targets_are_smoothed_after_the_class_was_removed():
    """So r has 0.05; smoothed before, it would have 0. The gradient is the error of the probabilities."""
    seen = random(2, 3, 2, 2).requires_grad_()
    labels = torch.tensor([[1, 0, 1], [0, 1, 0]])
    erasing.cse_loss(seen, labels, torch.tensor([0, 1]), smoothing=0.1).backward()
    targets = torch.tensor([[0.05, 0.05, 0.95], [0.05, 0.05, 0.05]])
    errors = seen.detach().mean(dim=(2, 3)).sigmoid() - targets
    torch.testing.assert_close(seen.grad, (errors / (2 * 3 * 2 * 2))[:, :, None, None].expand_as(seen))


def test_loss_of_noc_by_hand():
    """The same logits with both classes to be found: r counts as present."""
    seen = torch.tensor([2.0, -1.0])[None, :, None, None]
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2
    labels = torch.tensor([[1, 1]])
    assert erasing.noc_loss(seen, labels, lambda_noc=1.0).item() == pytest.approx(expected, rel=1e-6)
    assert erasing.noc_loss(seen, labels, lambda_noc=0.25).item() == pytest.approx(expected / 4, rel=1e-6)
    assert erasing.noc_loss(seen, labels, lambda_noc=0.0).item() == 0
    smooth = cams.classification_loss(cams.gap(seen), torch.tensor([[0.95, 0.95]]))
    assert torch.equal(erasing.noc_loss(seen, labels, lambda_noc=1.0, smoothing=0.1), smooth)


def test_losses_differ_in_what_is_wanted_of_the_erased_class():
    seen, labels, r = random(4, 3, 2, 2).requires_grad_(), torch.ones(4, 3), torch.tensor([0, 1, 2, 0])
    (pushed,) = torch.autograd.grad(erasing.cse_loss(seen, labels, r), seen)
    (pulled,) = torch.autograd.grad(erasing.noc_loss(seen, labels, lambda_noc=1.0), seen)
    own = torch.nn.functional.one_hot(r, 3).bool()
    assert (pushed[own] > 0).all() and (pulled[own] < 0).all()  # out of sight for f, into sight for noc
    assert torch.equal(pushed[~own], pulled[~own])


@pytest.mark.parametrize("smoothing", [-0.1, 1.1])
def test_losses_refuse_smoothing_outside_its_range(smoothing):
    seen, labels = torch.zeros(1, 2, 1, 1), torch.ones(1, 2)
    with pytest.raises(ValueError, match="smoothing must be a fraction"):
        erasing.cse_loss(seen, labels, torch.tensor([0]), smoothing=smoothing)
    with pytest.raises(ValueError, match="smoothing must be a fraction"):
        erasing.noc_loss(seen, labels, lambda_noc=1.0, smoothing=smoothing)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_in_half_precision_are_computed_in_float32(dtype):
    seen = torch.full((1, 2, 64, 64), 30.0, dtype=dtype)  # a sum beyond float16
    for loss in (
        erasing.cse_loss(seen, torch.ones(1, 2), torch.tensor([1])),
        erasing.noc_loss(-seen, torch.tensor([[0, 1]]), lambda_noc=1.0),
    ):
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(15, rel=1e-5)


TERMS = {name: torch.tensor(value) for name, value in {"cls": 0.5, "re_cls": 0.25, "re": 0.125, "cse": 0.0625}.items()}


def test_equations_6_and_8_by_hand():
    assert erasing.oc_cse(TERMS["cls"], TERMS["cse"], lambda_cse=2.0).item() == 0.625
    assert erasing.p_oc(**TERMS, lambda_re=4.0, lambda_cse=2.0).item() == 1.375


def test_limits_of_equation_8():
    """Without erasure it is Eq. (3); without the terms of the puzzle, Eq. (6)."""
    of_puzzle = {name: TERMS[name] for name in ("cls", "re_cls", "re")}
    assert erasing.p_oc(**TERMS, lambda_re=4.0, lambda_cse=0.0) == puzzle.loss(**of_puzzle, lambda_re=4.0)
    silent = TERMS | {"re_cls": torch.tensor(0.0)}
    of_erasing = {name: TERMS[name] for name in ("cls", "cse")}
    assert erasing.p_oc(**silent, lambda_re=0.0, lambda_cse=0.65) == erasing.oc_cse(**of_erasing, lambda_cse=0.65)


@GPU
@pytest.mark.gpu
def test_cpu_and_gpu_agree():
    images, maps, r = random(3, 3, 9, 7), random(3, 4, 3, 3), torch.tensor([3, 0, 1])
    for scope in erasing.SCOPES:
        soft = erasing.erase_soft(images.cuda(), maps.cuda(), r.cuda(), scope=scope).cpu()
        torch.testing.assert_close(soft, erasing.erase_soft(images, maps, r, scope=scope))
    hard = erasing.erase_hard(images.cuda(), maps.cuda(), r.cuda(), 0.317).cpu()
    torch.testing.assert_close(hard, erasing.erase_hard(images, maps, r, 0.317))
