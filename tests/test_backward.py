"""Quick backward passes give the values and gradients of the plain ones."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from pnoc_lib.engine import backward

CASES = [  # kernel, stride, padding, dilation, side (of a map one wider, or height and width)
    (3, 1, 1, 1, 9),
    (5, 1, 2, 1, 8),
    (5, 1, 4, 2, 10),
    (3, 2, 0, 1, 11),
    (3, 2, 1, 1, 10),
    (5, 2, 2, 1, 13),
    (3, 2, 2, 2, 12),
    # maps smaller than the reach of the kernel: padded with zeros for the gradient of the weights
    (5, 1, 4, 2, 7),
    (5, 1, 4, 2, (7, 7)),
    (5, 1, 4, 2, (5, 4)),
    (5, 1, 4, 2, (12, 3)),
    (5, 1, 4, 2, (1, 1)),
    (5, 1, 2, 1, (3, 2)),
    (3, 1, 1, 1, (1, 2)),
    (3, 1, 0, 1, (3, 3)),
    (3, 1, 2, 2, (4, 9)),
    (5, 2, 4, 2, (3, 5)),
    # kernels of several parts, the last of which overlap; sides that the dilation does not divide
    (4, 1, 1, 1, (6, 7)),
    (7, 1, 3, 1, (9, 8)),
    (5, 1, 6, 3, (10, 7)),
    (3, 1, 2, 2, (5, 9)),
    # strides: kernels of even and odd sides, without padding, shorter than the stride, pixels that no tap sees
    (4, 2, 1, 1, (9, 6)),
    (5, 2, 2, 1, (8, 11)),
    (5, 3, 1, 1, (13, 10)),
    (2, 3, 0, 1, (9, 8)),
    (2, 3, 0, 1, (8, 5)),
    (5, 2, 2, 2, (13, 12)),
]


def gradients(case, dtype, fast):
    kernel, stride, padding, dilation, side = case
    generator = torch.Generator().manual_seed(0)
    height, width = side if isinstance(side, tuple) else (side, side + 1)
    image = torch.randn(2, 6, height, width, generator=generator).bfloat16().to(dtype).requires_grad_()
    weight = torch.randn(6, 1, kernel, kernel, generator=generator).bfloat16().to(dtype).requires_grad_()
    bias = torch.randn(6, generator=generator).bfloat16().to(dtype).requires_grad_()
    if fast:
        with backward.QuickBackward():
            out = F.conv2d(image, weight, bias, stride, padding, dilation, 6)
    else:
        out = F.conv2d(image, weight, bias, stride, padding, dilation, 6)
    (out.float() * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).sum().backward()
    return [tensor.float() for tensor in (out, image.grad, weight.grad, bias.grad)]


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_the_plain_form(case):
    for ours, plain in zip(gradients(case, torch.float32, True), gradients(case, torch.float32, False), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pairs", [0, backward.PAIRS, 10**6])  # by kernels, as it is, by products of positions
@pytest.mark.parametrize("case", CASES)
def test_bfloat16_is_as_close_to_float32_as_bfloat16_allows(case, pairs, monkeypatch):
    monkeypatch.setattr(backward, "PAIRS", pairs)
    for ours, plain in zip(gradients(case, torch.bfloat16, True), gradients(case, torch.float32, False), strict=True):
        assert (ours - plain).abs().max() <= 0.03 * plain.abs().max()


def test_it_is_really_used(monkeypatch):
    calls = []
    used = backward._Depthwise.apply
    monkeypatch.setattr(backward._Depthwise, "apply", lambda *a: calls.append(1) or used(*a))
    gradients(CASES[0], torch.float32, True)
    assert calls == [1]


def test_calls_by_keyword_and_single_images_are_left_alone():
    image, weight = torch.randn(3, 8, 8, requires_grad=True), torch.randn(3, 1, 3, 3)
    plain = F.conv2d(image, weight, groups=3, padding=1)
    (gradient,) = torch.autograd.grad(plain.square().sum(), image)
    with backward.QuickBackward():
        for given in ({"input": image, "weight": weight}, {"weight": weight}):
            out = F.conv2d(*([] if "input" in given else [image]), **given, groups=3, padding=1)
            assert torch.equal(out, plain)
            torch.testing.assert_close(torch.autograd.grad(out.square().sum(), image)[0], gradient)


def test_autocast_dtype_comes_out():
    image, stem = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3, requires_grad=True)
    deep = torch.randn(4, 1, 3, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16), backward.QuickBackward():
        first = F.conv2d(image, stem, padding=1)
        assert first.dtype == F.conv2d(first, deep, padding=1, groups=4).dtype == torch.bfloat16


def test_dense_and_grouped_convolutions_are_left_alone():
    image, dense, grouped = torch.randn(1, 8, 5, 5), torch.randn(6, 8, 3, 3), torch.randn(6, 4, 3, 3)
    with backward.QuickBackward():
        torch.testing.assert_close(
            F.conv2d(image, dense),
            torch.ops.aten.convolution(image, dense, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
        )
        assert F.conv2d(image, grouped, groups=2, padding="same").shape == (1, 6, 5, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("activation", [torch.nn.ReLU6, lambda inplace: torch.nn.Hardtanh(-0.5, 0.7, inplace)])
def test_relu6_and_its_like_give_the_same_bits(activation, inplace, dtype):
    layer, values = activation(inplace=inplace), torch.tensor([-3.0, -0.5, 0.0, 0.1, 0.7, 5.9, 6.0, 9.0, torch.nan])

    def passed(mode):
        image = values.to(dtype).requires_grad_()
        with mode:
            out = layer(image * 1)
        (out * torch.arange(1.0, 10.0).to(dtype)).sum().backward()
        return out.detach(), image.grad

    for ours, plain in zip(passed(backward.QuickBackward()), passed(nullcontext()), strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=0, equal_nan=True)


def test_relu6_in_place_keeps_no_copy():
    kept = []

    def keep(tensor):
        kept.append(tensor.data_ptr())
        return tensor

    image = torch.randn(4, 4, requires_grad=True) * 1
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), backward.QuickBackward():
        out = torch.nn.ReLU6(inplace=True)(image)
    assert kept == [out.data_ptr()] == [image.data_ptr()]


def test_without_gradients_relu6_is_left_alone():
    image = torch.randn(3)
    with backward.QuickBackward():
        assert torch.nn.ReLU6(inplace=True)(image) is image
        assert image.min() >= 0 and not image.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_its_share_and_the_rest_makes_up_for_it(dtype):
    layer, values = torch.nn.Dropout(0.25), torch.ones(8, 10, 40, 50, dtype=dtype).requires_grad_()
    values = values.contiguous(memory_format=torch.channels_last)
    values.retain_grad()
    torch.manual_seed(0)
    with backward.QuickBackward():
        out = layer(values)
        again = layer(values)
        assert layer.eval()(values) is values
    out.float().sum().backward()
    assert out.dtype == dtype and not torch.equal(out, again)
    assert set(out.unique().tolist()) == {0.0, torch.tensor(4 / 3, dtype=dtype).item()}
    assert abs((out == 0).float().mean().item() - 0.25) < 0.01
    assert torch.equal(values.grad, out.detach())  # of a sum: what each value was multiplied by


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_all_or_nothing_is_dropped(p):
    values = torch.randn(4, 5)
    with backward.QuickBackward():
        assert torch.equal(torch.nn.Dropout(p)(values), values * (1 - p))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(16, 31), (5, 4), (8, 9)])
def test_maps_are_resized_as_torch_resizes_them_and_so_are_gradients(size, align_corners):
    maps = torch.randn(2, 3, 8, 9, generator=torch.manual_seed(0)).to(memory_format=torch.channels_last)
    both = [maps.clone().requires_grad_() for _ in range(2)]
    ours = backward.resize(both[0], size, align_corners=align_corners)
    plain = F.interpolate(both[1], size, mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(ours, plain)
    weights = torch.randn(ours.shape)
    for out in (ours, plain):
        (out * weights).sum().backward()
    torch.testing.assert_close(both[0].grad, both[1].grad)


@pytest.mark.parametrize(("dilation", "used"), [(3, 9), (7, 9), (8, 3), (12, 1)])  # on a map of 8 x 12
def test_taps_that_see_nothing_but_margin_are_left_out(dilation, used, monkeypatch):
    image = torch.randn(2, 4, 8, 12, requires_grad=True)
    weight = torch.randn(6, 4, 3, 3, requires_grad=True)
    plain = F.conv2d(image, weight, padding=dilation, dilation=dilation)
    given, usual = [], F.conv2d

    def seen(image, weight, *rest):
        given.append(weight.shape[2] * weight.shape[3])
        return usual(image, weight, *rest)

    with backward.QuickBackward():
        monkeypatch.setattr(backward.F, "conv2d", seen)
        ours = backward._convolve(image, weight, None, 1, dilation, dilation)
        monkeypatch.undo()
    assert given == [used]
    torch.testing.assert_close(ours, plain)
    gradients = [torch.autograd.grad(out.square().sum(), (image, weight)) for out in (ours, plain)]
    torch.testing.assert_close(*gradients)
