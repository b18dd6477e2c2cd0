"""Depthwise convolutions on a CPU, with a backward pass that is as fast as the forward one.

The CPU kernels of torch have no quick backward pass for depthwise convolutions in bfloat16, with dilation or with
stride; on a mobile backbone that is most of a training step. Both gradients can be had from kernels that are quick:
the one of the input is a depthwise convolution of the output's gradient with the mirrored kernel, and the one of the
weights has a quick kernel in float32. Values are those of the plain form up to rounding; other convolutions and other
devices are left alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class FastDepthwise(TorchFunctionMode):
    """Within `with FastDepthwise():` depthwise `conv2d` on a CPU has the backward pass of this module.

    A convolution of few input channels (a network's first) runs in float32 under autocast, for the same reason.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is not F.conv2d or args[0].device.type != "cpu" or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        return _convolve(*args, **kwargs)


def _convolve(image: Tensor, weight: Tensor, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else image.dtype
    if image.shape[1] <= 4 and dtype != torch.float32:
        with torch.autocast("cpu", enabled=False):
            plain = F.conv2d(image.float(), weight.float(), bias, stride, padding, dilation, groups)
        return plain.to(dtype)
    stride, padding, dilation = (_pair(value) for value in (stride, padding, dilation))
    reach = None if isinstance(padding, str) else [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if groups == 1 or weight.shape[:2] != (groups, 1) or reach is None or any(map(int.__gt__, padding, reach)):
        return F.conv2d(image, weight, bias, stride, padding, dilation, groups)
    out = _Depthwise.apply(image.to(dtype), weight.to(dtype), stride, padding, dilation)
    return out if bias is None else out + bias.to(dtype)[:, None, None]


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image: Tensor, weight: Tensor, stride, padding, dilation) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.options = stride, padding, dilation
        with torch.autocast("cpu", enabled=False):
            return F.conv2d(image, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx, gradient: Tensor):
        image, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", enabled=False):
            of_image = _image_gradient(gradient, image, weight, *ctx.options) if ctx.needs_input_grad[0] else None
            of_weight = _weight_gradient(gradient, image, weight, *ctx.options) if ctx.needs_input_grad[1] else None
        return of_image, of_weight, None, None, None


def _image_gradient(gradient: Tensor, image: Tensor, weight: Tensor, stride, padding, dilation) -> Tensor:
    if stride != (1, 1) and gradient.dtype == torch.float32:
        return _plain_backward(gradient, image, weight, stride, padding, dilation, [True, False, False])[0]
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if stride != (1, 1):  # the gradient on the grid of the padded input, zeros between and after
        sides = [n + 2 * p - r for n, p, r in zip(image.shape[2:], padding, reach, strict=True)]
        spread = gradient.new_zeros(*gradient.shape[:2], *sides).contiguous(memory_format=torch.channels_last)
        spread[:, :, :: stride[0], :: stride[1]] = gradient
        gradient = spread
    around = [r - p for r, p in zip(reach, padding, strict=True)]
    return F.conv2d(gradient, weight.flip(-1, -2), None, 1, around, dilation, len(weight))


def _weight_gradient(gradient: Tensor, image: Tensor, weight: Tensor, stride, padding, dilation) -> Tensor:
    quick = dilation == (1, 1) and max(weight.shape[2:]) <= 3  # has a bfloat16 kernel
    if gradient.dtype != torch.float32 and not quick:
        gradient, image = gradient.float(), image.float()
    if stride == (1, 1):  # maps smaller than the kernel's reach have no quick kernel: zeros around change no sum
        reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        below, beside = (max(0, r + 1 - n) for r, n in zip(reach, image.shape[2:], strict=True))
        if (below or beside) and all(2 * p == r for p, r in zip(padding, reach, strict=True)):
            gradient, image = (F.pad(maps, (0, beside, 0, below)) for maps in (gradient, image))
    of_weight = _plain_backward(
        gradient, image, weight.to(image.dtype), stride, padding, dilation, [False, True, False]
    )[1]
    return of_weight.to(weight.dtype)


def _plain_backward(gradient, image, weight, stride, padding, dilation, wanted):
    return torch.ops.aten.convolution_backward(
        gradient, image, weight, None, stride, padding, dilation, False, [0, 0], len(weight), wanted
    )


def _pair(value):
    return value if isinstance(value, str) else (value, value) if isinstance(value, int) else tuple(value)
