"""Backward passes on a CPU that cost no more than the forward ones: convolutions, ReLU6, resizing; and dropout.

The CPU kernels of torch have no quick backward pass for depthwise convolutions in bfloat16 unless they are 3x3, without
dilation and without stride; on a mobile backbone that is most of a training step. Both gradients can be had from
kernels that are quick: the one of the input is a depthwise convolution of the output's gradient with the mirrored
kernel, the one of a larger or dilated kernel is put together of 3x3 ones. Taps of any kernel that are dilated so far
that they see nothing but margin are left out. ReLU6 in place keeps a copy of what it overwrites; what comes out says as
much. Dropout asks for a coin a value, which takes three times as long as a uniform number. Values, but for what is
dropped, are those of the plain form up to rounding; everything else is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

PAIRS = 1000  # of positions of two maps up to which products of all pairs are quicker than kernels
QUICK = 3  # side of the largest kernel whose gradient has a quick kernel in bfloat16


def resize(maps: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """Maps at another size, bilinear, as `F.interpolate` has it: (N, C, h, w) float32 -> (N, C, *size).

    On a CPU two products with matrices, forward and backward, which is quicker.
    """
    if maps.device.type != "cpu":
        return F.interpolate(maps, size, mode="bilinear", align_corners=align_corners)
    rows, columns = (
        F.interpolate(torch.eye(old)[None], new, mode="linear", align_corners=align_corners)[0]
        for old, new in zip(maps.shape[2:], size, strict=True)
    )
    with torch.autocast("cpu", enabled=False):
        return rows.T @ (maps.contiguous() @ columns)


class QuickBackward(TorchFunctionMode):
    """Within `with QuickBackward():` `conv2d`, ReLU6 and dropout on a CPU are those of this module.

    A convolution of few input channels (a network's first) runs in float32 under autocast, for the same reason.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        ours = {F.conv2d: _convolve, F.hardtanh: _bounded, F.dropout: _drop}.get(func)
        if ours is None or not args or args[0].device.type != "cpu" or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        return ours(*args, **kwargs)


def _bounded(image: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    if not image.requires_grad or (min_val, max_val) != (0, 6):
        return F.hardtanh(image, min_val, max_val, inplace)
    return _ReLU6.apply(image, inplace)


class _ReLU6(torch.autograd.Function):
    """ReLU6 that keeps its output alone: a gradient passes where that is neither 0 nor 6."""

    @staticmethod
    def forward(ctx, image: Tensor, inplace: bool) -> Tensor:
        if inplace:
            ctx.mark_dirty(image)
        out = image.clamp_(0, 6) if inplace else image.clamp(0, 6)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return torch.ops.aten.hardtanh_backward(gradient, *ctx.saved_tensors, 0, 6), None


def _drop(values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or not 0 < p < 1:
        return F.dropout(values, p, training, inplace)
    kept = torch.rand_like(values, dtype=torch.float32) >= p
    return values * kept.to(values.dtype).div_(1 - p)


def _convolve(image: Tensor, weight: Tensor, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    if image.dim() != 4:
        return F.conv2d(image, weight, bias, stride, padding, dilation, groups)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else image.dtype
    if image.shape[1] <= 4 and dtype != torch.float32:
        with torch.autocast("cpu", enabled=False):
            plain = F.conv2d(image.float(), weight.float(), bias, stride, padding, dilation, groups)
        return plain.to(dtype)
    stride, padding, dilation = (_pair(value) for value in (stride, padding, dilation))
    reach = None if isinstance(padding, str) else [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if groups == 1 and reach is not None:
        weight, padding = _without_blind_taps(weight, padding, dilation, image.shape[2:])
    if groups == 1 or weight.shape[:2] != (groups, 1) or reach is None or any(map(int.__gt__, padding, reach)):
        return F.conv2d(image, weight, bias, stride, padding, dilation, groups)
    out = _Depthwise.apply(image.to(dtype), weight.to(dtype), stride, padding, dilation)
    return out if bias is None else out + bias.to(dtype)[:, None, None]


def _without_blind_taps(weight: Tensor, padding, dilation, size) -> tuple[Tensor, tuple[int, ...]]:
    """Kernel and padding without taps that see only zeros: with a dilation of 12, on a map of 8, but the middle."""
    seen, padding = weight, list(padding)
    for axis in (0, 1):
        side = seen.shape[axis + 2]
        while side > 2 and padding[axis] >= size[axis] and 2 * padding[axis] == dilation[axis] * (side - 1):
            side, padding[axis] = side - 2, padding[axis] - dilation[axis]
            seen = seen.narrow(axis + 2, 1, side)
    return weight if seen is weight else seen.contiguous(), tuple(padding)


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
    if stride == (1, 1):
        around = [d * (k - 1) - p for d, k, p in zip(dilation, weight.shape[2:], padding, strict=True)]
        return F.conv2d(gradient, weight.flip(-1, -2), None, 1, around, dilation, len(weight))
    if gradient.dtype == torch.float32 or dilation != (1, 1):
        return _plain_backward(gradient, image, weight, stride, padding, dilation, [True, False, False])[0]
    (height, width), (ph, pw) = image.shape[2:], padding
    shape = *image.shape[:2], height + 2 * ph, width + 2 * pw
    padded = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last)
    if not all(map(_all_seen, shape[2:], gradient.shape[2:], weight.shape[2:], stride)):
        padded.zero_()
    for rows, columns in _strides(weight, stride):  # pixels that see the same taps
        taps = weight[:, :, rows, columns]
        seen = F.conv2d(gradient, taps.flip(-1, -2), None, 1, [k - 1 for k in taps.shape[2:]], 1, len(weight))
        padded[:, :, rows, columns][:, :, : seen.shape[2], : seen.shape[3]] = seen
    return padded[:, :, ph : ph + height, pw : pw + width]


def _all_seen(inputs: int, outputs: int, taps: int, stride: int) -> bool:
    """Whether each of the inputs is seen by a tap of some output, of one dimension without padding."""
    return taps >= stride and inputs == (outputs - 1) * stride + taps


def _weight_gradient(gradient: Tensor, image: Tensor, weight: Tensor, stride, padding, dilation) -> Tensor:
    if gradient.dtype != torch.float32 and (dilation != (1, 1) or max(weight.shape[2:]) > QUICK):
        if gradient[0, 0].numel() * image[0, 0].numel() <= PAIRS:
            return _by_pairs(gradient, image, weight, stride, padding, dilation)
        if stride == (1, 1):
            return _by_pieces(gradient, image, weight, padding, dilation)
        if dilation == (1, 1):
            return _by_strides(gradient, image, weight, stride, padding)
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


def _strides(weight: Tensor, stride: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Every sh-th row and sw-th column, from each start at which a kernel has a tap."""
    starts = [range(min(step, size)) for step, size in zip(stride, weight.shape[2:], strict=True)]
    return [(slice(u, None, stride[0]), slice(v, None, stride[1])) for u in starts[0] for v in starts[1]]


def _by_strides(gradient: Tensor, image: Tensor, weight: Tensor, stride, padding) -> Tensor:
    """The gradient of a kernel with stride from those of its taps at every sh-th row and sw-th column."""
    (height, width), (ph, pw) = gradient.shape[2:], padding
    image, of_weight = F.pad(image, (pw, pw, ph, ph)), torch.empty_like(weight)
    for rows, columns in _strides(weight, stride):
        taps = weight[:, :, rows, columns]
        seen = image[:, :, rows, columns][:, :, : height + taps.shape[2] - 1, : width + taps.shape[3] - 1]
        of_weight[:, :, rows, columns] = _by_pieces(gradient, seen, taps, (0, 0), (1, 1))
    return of_weight


def _by_pairs(gradient: Tensor, image: Tensor, weight: Tensor, stride, padding, dilation) -> Tensor:
    """The gradient of a kernel from the products of each position of a small map with each of another.

    A tap takes part in those of the pairs that lie as far apart as it looks.
    """
    whole = {"dtype": torch.float32, "memory_format": torch.contiguous_format}
    left, right = gradient.flatten(2).permute(1, 2, 0).to(**whole), image.flatten(2).permute(1, 0, 2).to(**whole)
    sides = zip(gradient.shape[2:], image.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    taps = torch.einsum("yYu,xXv->yxYXuv", *(_seen(*side) for side in sides))  # a 1 for each pair and tap that meet
    products = torch.bmm(left, right).flatten(1)  # (C, h w H W)
    return (products @ taps.reshape(products.shape[1], -1)).view_as(weight).to(weight.dtype)


def _seen(outputs: int, inputs: int, taps: int, stride: int, padding: int, dilation: int) -> Tensor:
    """1 where an output sees an input through a tap, of one dimension: (outputs, inputs, taps)."""
    place = torch.arange(outputs)[:, None] * stride + torch.arange(taps) * dilation - padding
    return (torch.arange(inputs)[:, None] == place[:, None]).float()


def _by_pieces(gradient: Tensor, image: Tensor, weight: Tensor, padding, dilation) -> Tensor:
    """The gradient of a kernel from those of its parts of at most 3x3, each from an image moved by as much."""
    (height, width), (ph, pw), (dh, dw) = gradient.shape[2:], padding, dilation
    below, beside = -height % dh, -width % dw  # zeros that change no sum, for phases of one size
    if below or beside:
        gradient = F.pad(gradient, (0, beside, 0, below))
    gradient = _phases(gradient, dilation)
    image = F.pad(image, (pw, pw + beside, ph, ph + below))
    of_weight = torch.empty_like(weight)
    for rows in _parts(weight.shape[2]):
        for columns in _parts(weight.shape[3]):
            part = weight[:, :, rows, columns].contiguous()
            end = dh * (rows.stop - 1) + height + below, dw * (columns.stop - 1) + width + beside
            moved = _phases(image[:, :, dh * rows.start : end[0], dw * columns.start : end[1]], dilation)
            plain = (1, 1), (0, 0), (1, 1)
            of_weight[:, :, rows, columns] = _plain_backward(gradient, moved, part, *plain, [False, True, False])[1]
    return of_weight


def _parts(size: int) -> list[slice]:
    """Parts of at most `QUICK` that cover a kernel's side; the last ones may overlap."""
    width = min(size, QUICK)
    return [slice(start, start + width) for start in (min(s, size - width) for s in range(0, size, QUICK))]


def _phases(maps: Tensor, dilation: tuple[int, int]) -> Tensor:
    """Every dh-th row and dw-th column as images of their own: (N, C, H, W) -> (dh dw N, C, H / dh, W / dw).

    To them a dilated kernel is a plain one.
    """
    (_, channels, height, width), (dh, dw) = maps.shape, dilation
    if (dh, dw) == (1, 1):
        return maps.contiguous(memory_format=torch.channels_last)
    rows = maps.permute(0, 2, 3, 1).unflatten(1, (height // dh, dh)).unflatten(3, (width // dw, dw))
    apart = rows.permute(2, 4, 0, 1, 3, 5).reshape(-1, height // dh, width // dw, channels)
    return apart.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _plain_backward(gradient, image, weight, stride, padding, dilation, wanted):
    return torch.ops.aten.convolution_backward(
        gradient, image, weight, None, stride, padding, dilation, False, [0, 0], len(weight), wanted
    )


def _pair(value):
    return value if isinstance(value, str) else (value, value) if isinstance(value, int) else tuple(value)
