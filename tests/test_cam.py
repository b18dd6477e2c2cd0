"""Equations (1) and (2), the classification loss and label smoothing."""

import math

import pytest
import torch

from pnoc_lib.priors import cam

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_gap_is_the_mean_of_the_positions():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[-1.0, 0.0], [0.0, 0.0]]]])
    torch.testing.assert_close(cam.gap(maps), torch.tensor([[3.0, -0.25]]))


def test_gap_and_the_classifier_commute():
    """Eq. (1) may be read either way: pool the maps of the 1x1 convolution, or convolve the pooled features."""
    features, weight = random(2, 6, 5, 7), random(3, 6, 1, 1, seed=1)
    maps = torch.nn.functional.conv2d(features, weight)
    torch.testing.assert_close(cam.gap(maps), cam.gap(features) @ weight[:, :, 0, 0].T)


def test_gap_of_half_precision_is_summed_in_float32():
    maps = torch.full((1, 1, 64, 64), 20.0, dtype=torch.float16)  # the sum, 81920, is more than float16 holds
    assert cam.gap(maps).dtype == torch.float32
    assert cam.gap(maps).item() == 20.0


def test_normalised_cam_by_hand():
    maps = torch.tensor([[[[-2.0, 1.0], [3.0, 4.0]], [[0.5, 0.0], [-1.0, 0.25]]]])
    expected = torch.tensor([[[[0.0, 0.25], [0.75, 1.0]], [[1.0, 0.0], [0.0, 0.5]]]])
    torch.testing.assert_close(cam.normalize_cam(maps), expected, atol=5e-5, rtol=0)
    assert cam.normalize_cam(maps, eps=1.0)[0, 0, 1, 1] == 4 / 5  # eps is added to the peak


def test_normalised_cam_is_that_of_a_slow_loop():
    maps = random(3, 4, 5, 3)
    slow = torch.zeros_like(maps)
    for n in range(3):
        for c in range(4):
            peak = max(max(v.item(), 0.0) for v in maps[n, c].flatten())
            for y in range(5):
                for x in range(3):
                    slow[n, c, y, x] = max(maps[n, c, y, x].item(), 0.0) / (peak + 1e-5)
    torch.testing.assert_close(cam.normalize_cam(maps), slow)


def test_a_silent_class_stays_zero():
    maps = torch.stack([-torch.ones(4, 4), torch.zeros(4, 4), torch.ones(4, 4)])[None]
    normal = cam.normalize_cam(maps)
    assert normal[0, :2].abs().max() == 0
    assert normal[0, 2].min() > 0.9999


def test_normalised_cam_does_not_depend_on_scale_or_neighbours():
    maps = random(2, 3, 4, 4).abs() + 1
    torch.testing.assert_close(cam.normalize_cam(1000 * maps), cam.normalize_cam(maps), atol=2e-5, rtol=0)
    torch.testing.assert_close(cam.normalize_cam(maps)[1:, 2:], cam.normalize_cam(maps[1:, 2:]))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 7, 5), (2, 0, 4, 4), (0, 3, 4, 4)])
def test_normalised_cam_of_any_size(shape):
    normal = cam.normalize_cam(random(*shape))
    assert normal.shape == shape
    assert ((normal >= 0) & (normal <= 1)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_in_range(dtype):
    maps = random(2, 3, 6, 6).to(dtype)
    normal = cam.normalize_cam(maps).float()
    assert ((normal >= 0) & (normal <= 1)).all()
    torch.testing.assert_close(normal, cam.normalize_cam(maps.float()), atol=0.01, rtol=0)
    silent = cam.normalize_cam(-torch.ones(1, 1, 3, 3, dtype=dtype))
    assert silent.abs().max() == 0


def test_gradient_of_the_normalised_cam_is_that_of_its_formula():
    maps = (random(1, 2, 3, 3).double() + 0.2).requires_grad_()
    assert torch.autograd.gradcheck(cam.normalize_cam, maps)
    cam.normalize_cam(-torch.ones(1, 1, 2, 2, requires_grad=True)).sum().backward()  # silent: no division by zero


@pytest.mark.parametrize("function", [cam.gap, cam.normalize_cam])
def test_maps_without_a_batch_are_refused(function):
    with pytest.raises(ValueError, match=r"cam must be \(N, C, H, W\), got \(3, 4, 5\)"):
        function(torch.zeros(3, 4, 5))


@pytest.mark.parametrize("targets", [torch.zeros(2, 3), torch.ones(2, 3), torch.full((2, 3), 0.3)])
def test_loss_of_zero_logits_is_log_2(targets):
    assert cam.classification_loss(torch.zeros(2, 3), targets).item() == pytest.approx(math.log(2), abs=1e-7)


def test_loss_by_hand():
    """One image, two classes: -log sigmoid(2) for the present one, -log(1 - sigmoid(-1)) for the absent one."""
    loss = cam.classification_loss(torch.tensor([[2.0, -1.0]]), torch.tensor([[1, 0]]))
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_loss_is_the_multilabel_soft_margin_loss():
    logits, targets = random(4, 5), (random(4, 5, seed=1) > 0).float()
    torch.testing.assert_close(
        cam.classification_loss(logits, targets), torch.nn.functional.multilabel_soft_margin_loss(logits, targets)
    )


def test_gradient_of_the_loss_is_the_error_of_the_probabilities():
    logits = random(2, 3).requires_grad_()
    targets = torch.tensor([[1.0, 0.0, 0.95], [0.0, 0.05, 1.0]])
    cam.classification_loss(logits, targets).backward()
    torch.testing.assert_close(logits.grad, (torch.sigmoid(logits.detach()) - targets) / 6)


def test_loss_is_finite_in_half_precision_and_computed_in_float32():
    logits = torch.tensor([[-60.0, 60.0]], dtype=torch.float16, requires_grad=True)
    loss = cam.classification_loss(logits, torch.tensor([[1, 0]]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(60.0)
    loss.backward()
    assert logits.grad.isfinite().all()


def test_loss_wants_one_target_a_logit():
    with pytest.raises(ValueError, match=r"one shape, got \(2, 3\) and \(2, 1\): both are \(images, classes\)"):
        cam.classification_loss(torch.zeros(2, 3), torch.zeros(2, 1))


def test_smoothing_by_hand():
    smoothed = cam.smooth_labels(torch.tensor([[0, 1]], dtype=torch.uint8), 0.1)
    torch.testing.assert_close(smoothed, torch.tensor([[0.05, 0.95]]))


def test_limits_of_smoothing():
    labels = torch.tensor([[0.0, 1.0, 1.0]])
    torch.testing.assert_close(cam.smooth_labels(labels, 0.0), labels)
    torch.testing.assert_close(cam.smooth_labels(labels, 1.0), torch.full((1, 3), 0.5))


@pytest.mark.parametrize("value", [-0.1, 1.01, math.nan])
def test_smoothing_outside_its_range_is_refused(value):
    with pytest.raises(ValueError, match=r"smoothing must be a fraction in \[0, 1\], got .*the paper's value is 0.1"):
        cam.smooth_labels(torch.zeros(1, 1), value)


@GPU
@pytest.mark.gpu
def test_cpu_and_gpu_agree():
    maps, targets = random(2, 3, 9, 7), torch.tensor([[1, 0, 1], [0, 0, 1]])
    torch.testing.assert_close(cam.normalize_cam(maps.cuda()).cpu(), cam.normalize_cam(maps))
    loss = cam.classification_loss(cam.gap(maps.cuda()), targets.cuda())
    torch.testing.assert_close(loss.cpu(), cam.classification_loss(cam.gap(maps), targets))
