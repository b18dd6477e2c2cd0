"""Puzzle-CAM: quadrants out and back in place, the reconstruction loss, Eq. (3)."""

import pytest
import torch
from torch import nn

from pnoc_lib.priors import puzzle


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_tile_by_hand():
    quadrants = puzzle.tile(torch.arange(16.0).reshape(1, 1, 4, 4))
    expected = [[[0, 1], [4, 5]], [[2, 3], [6, 7]], [[8, 9], [12, 13]], [[10, 11], [14, 15]]]
    assert quadrants[:, 0].tolist() == expected  # top left, top right, bottom left, bottom right


def test_quadrants_stand_by_place_not_by_image():
    """Entry q N + n is quadrant q of image n."""
    images = random(3, 2, 4, 6)
    quadrants = puzzle.tile(images)
    assert quadrants.shape == (12, 2, 2, 3)
    for n in range(3):
        for q, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
            own = images[n, :, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
            assert torch.equal(quadrants[3 * q + n], own)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 1, 2, 2), (3, 5, 6, 14), (1, 20, 2, 10)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_merge_undoes_tile_and_tile_undoes_merge(shape, dtype):
    images = (9 * random(*shape)).to(dtype)
    assert torch.equal(puzzle.merge(puzzle.tile(images)), images)
    maps = (9 * random(4 * shape[0], *shape[1:])).to(dtype)
    assert torch.equal(puzzle.tile(puzzle.merge(maps)), maps)


def test_merge_of_odd_maps_is_that_of_a_slow_loop():
    maps = random(8, 2, 3, 5)
    slow = torch.zeros(2, 2, 6, 10)
    for n in range(2):
        for y in range(6):
            for x in range(10):
                quadrant = 2 * (y // 3) + x // 5
                slow[n, :, y, x] = maps[2 * quadrant + n, :, y % 3, x % 5]
    assert torch.equal(puzzle.merge(maps), slow)


def test_gradients_go_back_to_their_places():
    images = random(2, 1, 4, 4).requires_grad_()
    weights = random(2, 1, 4, 4, seed=1)
    (puzzle.merge(puzzle.tile(images)) * weights).sum().backward()
    assert torch.equal(images.grad, weights)


def test_a_pointwise_network_sees_the_same_in_the_whole_and_in_the_quadrants():
    f = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Tanh(), nn.Conv2d(8, 4, 1))
    images = random(2, 3, 8, 12)
    merged = puzzle.merge(f(puzzle.tile(images)))
    torch.testing.assert_close(merged, f(images))
    assert puzzle.reconstruction_loss(f(images), merged, torch.ones(2, 4)).item() < 1e-6


def test_a_network_with_context_does_not():
    f = nn.Conv2d(3, 4, 3, padding=1)
    images = random(2, 3, 8, 8)
    merged = puzzle.merge(f(puzzle.tile(images)))
    differ = (merged - f(images)).abs().amax(dim=(0, 1)) > 1e-5
    assert differ[3:5].all() and differ[:, 3:5].all()  # along the cuts
    assert not differ[:3, :3].any()


# the reconstruction loss and Eq. (3)


def test_reconstruction_by_hand():
    """Two classes, one present: |1 - 3| and |-2 - 2| of it over 2 classes of 2 pixels."""
    cam = torch.tensor([[[[1.0, -2.0]], [[5.0, 5.0]]]])
    merged = torch.tensor([[[[3.0, 2.0]], [[-50.0, 7.0]]]])
    assert puzzle.reconstruction_loss(cam, merged, torch.tensor([[1, 0]])).item() == (2 + 4) / 4
    assert puzzle.reconstruction_loss(merged, cam, torch.tensor([[1, 0]])).item() == 1.5
    assert puzzle.reconstruction_loss(cam, merged, torch.tensor([[0, 0]])).item() == 0


def test_one_of_twenty_classes_counts_with_a_twentieth():
    cam, merged = torch.zeros(3, 20, 4, 4), torch.full((3, 20, 4, 4), 2.0)
    labels = torch.zeros(3, 20)
    labels[:, 7] = 1
    assert puzzle.reconstruction_loss(cam, merged, labels).item() == pytest.approx(2 / 20)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 5, 7), (4, 2, 3, 2)])
def test_reconstruction_is_that_of_a_slow_loop(shape):
    cam, merged = random(*shape), random(*shape, seed=1)
    labels = (random(*shape[:2], seed=2) > 0).to(torch.uint8)
    total = 0.0
    for n in range(shape[0]):
        for c in range(shape[1]):
            if labels[n, c]:
                total += sum(abs(a - b) for a, b in zip(cam[n, c].flatten(), merged[n, c].flatten(), strict=True))
    expected = float(total) / cam.numel()
    assert puzzle.reconstruction_loss(cam, merged, labels).item() == pytest.approx(expected, rel=1e-5)


def test_reconstruction_pulls_both_maps_together_and_spares_absent_classes():
    cam, merged = random(2, 3, 2, 2).requires_grad_(), random(2, 3, 2, 2, seed=1).requires_grad_()
    labels = torch.tensor([[1, 0, 1], [0, 0, 1]])
    puzzle.reconstruction_loss(cam, merged, labels).backward()
    expected = (cam - merged).sign() * labels[:, :, None, None] / cam.numel()
    torch.testing.assert_close(cam.grad, expected.detach())
    torch.testing.assert_close(merged.grad, -expected.detach())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_reconstruction_in_half_precision_is_computed_in_float32(dtype):
    cam, merged = torch.full((1, 1, 64, 64), 300.0), torch.full((1, 1, 64, 64), -300.0)  # a sum beyond float16
    loss = puzzle.reconstruction_loss(cam.to(dtype), merged.to(dtype), torch.ones(1, 1))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(600, rel=0.01)


# the reconstruction of normalised maps


def test_normalised_reconstruction_by_hand():
    """psi of (4, 2, -1) is (1, 1/2, 0), of (1, 1, 0.5) it is (1, 1, 1/2): 0 + 1/2 + 1/2 over 2 classes of 3 pixels."""
    cam = torch.tensor([[[[4.0, 2.0, -1.0]], [[9.0, 0.0, 0.0]]]])
    merged = torch.tensor([[[[1.0, 1.0, 0.5]], [[0.0, 9.0, 0.0]]]])
    loss = puzzle.reconstruction_loss(cam, merged, torch.tensor([[1, 0]]), reconstruction="normalised")
    assert loss.item() == pytest.approx(1 / 6, rel=1e-4)


@pytest.mark.parametrize("which", ["whole", "parts"])
def test_normalised_reconstruction_is_blind_to_the_scale_of_either_map(which):
    cam, merged = 5 * random(2, 3, 4, 4), 5 * random(2, 3, 4, 4, seed=1)
    labels = torch.tensor([[1, 0, 1], [0, 1, 1]])
    before = puzzle.reconstruction_loss(cam, merged, labels, reconstruction="normalised")
    larger = (7 * cam, merged) if which == "whole" else (cam, 7 * merged)
    torch.testing.assert_close(
        puzzle.reconstruction_loss(*larger, labels, reconstruction="normalised"), before, rtol=1e-4, atol=1e-6
    )
    assert puzzle.reconstruction_loss(*larger, labels) > 2 * puzzle.reconstruction_loss(cam, merged, labels)


def test_normalised_reconstruction_of_a_map_and_its_multiple_is_zero():
    cam = random(2, 3, 4, 4)
    loss = puzzle.reconstruction_loss(cam, 3 * cam, torch.ones(2, 3), reconstruction="normalised")
    assert loss.item() < 1e-4


def test_normalised_reconstruction_by_its_gradient():
    """L = |a / b - q| / 2 for a map (a, b) with peak b and a merged one (q, 1): dL/da = 1 / 2b, dL/db = -a / 2b^2."""
    cam = torch.tensor([[[[3.0, 5.0]]]], requires_grad=True)
    merged = torch.tensor([[[[0.2, 1.0]]]], requires_grad=True)
    puzzle.reconstruction_loss(cam, merged, torch.ones(1, 1), reconstruction="normalised").backward()
    torch.testing.assert_close(cam.grad, torch.tensor([[[[0.1, -0.06]]]]), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(merged.grad, torch.tensor([[[[-0.5, 0.1]]]]), rtol=1e-3, atol=1e-6)
    assert (cam.grad * cam).sum().abs() < 1e-5  # along its own direction, its scale, a map is not pushed


def test_normalised_reconstruction_of_silent_maps():
    cam, merged = -random(1, 2, 3, 3).abs(), torch.zeros(1, 2, 3, 3)
    cam.requires_grad_()
    loss = puzzle.reconstruction_loss(cam, merged, torch.ones(1, 2), reconstruction="normalised")
    loss.backward()
    assert loss.item() == 0
    assert cam.grad.isfinite().all()
    one = torch.zeros(1, 2, 3, 3)
    one[0, 0, 1, 1] = 4.0  # against a silent map its whole psi differs: 1 of 18 values
    assert puzzle.reconstruction_loss(one, merged, torch.ones(1, 2), reconstruction="normalised").item() == (
        pytest.approx(1 / 18, rel=1e-4)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_normalised_reconstruction_in_half_precision_is_computed_in_float32(dtype):
    cam, merged = torch.full((1, 1, 8, 8), 300.0, dtype=dtype), torch.zeros(1, 1, 8, 8, dtype=dtype)
    loss = puzzle.reconstruction_loss(cam, merged, torch.ones(1, 1), reconstruction="normalised")
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1)


def test_another_reconstruction_is_refused():
    maps = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="unknown reconstruction 'scaled': choose one of raw, normalised"):
        puzzle.reconstruction_loss(maps, maps, torch.ones(1, 1), reconstruction="scaled")


def test_equation_3_by_hand_and_its_limit():
    terms = {"cls": torch.tensor(0.5), "re_cls": torch.tensor(0.25), "re": torch.tensor(0.125)}
    assert puzzle.loss(**terms, lambda_re=4.0).item() == 1.25
    assert puzzle.loss(**terms, lambda_re=0.0).item() == 0.75  # not l_cls: the merged maps are classified as well


# what is refused


@pytest.mark.parametrize("size", [(5, 4), (4, 7), (1, 1)])
def test_odd_sides_have_no_quadrants(size):
    with pytest.raises(ValueError, match=rf"images of \({size[0]}, {size[1]}\) pixels have no equal quadrants: give"):
        puzzle.tile(torch.zeros(1, 3, *size))


@pytest.mark.parametrize("count", [1, 2, 6])
def test_what_is_not_four_quadrants_cannot_be_merged(count):
    with pytest.raises(ValueError, match=f"{count} maps are not four quadrants of each image: give what `tile` gave"):
        puzzle.merge(torch.zeros(count, 2, 3, 3))


@pytest.mark.parametrize(("function", "name"), [(puzzle.tile, "images"), (puzzle.merge, "cams")])
def test_four_axes_are_wanted(function, name):
    with pytest.raises(ValueError, match=rf"{name} must be \(N, C, H, W\), got \(4, 4, 4\)"):
        function(torch.zeros(4, 4, 4))


@pytest.mark.parametrize(("merged", "labels"), [((2, 3, 4, 5), (2, 3)), ((2, 3, 4, 4), (2, 4)), ((2, 3, 4, 4), (3, 3))])
def test_maps_and_labels_that_do_not_fit_are_named(merged, labels):
    with pytest.raises(ValueError, match=r"maps \(2, 3, 4, 4\) and .* do not fit: give maps of one shape"):
        puzzle.reconstruction_loss(torch.zeros(2, 3, 4, 4), torch.zeros(merged), torch.zeros(labels))
