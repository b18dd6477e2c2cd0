"""Convolutions made ready for inference on a CPU: the activation behind them in one pass, weights laid out before."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
ACTIVATIONS = {nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0.0, 6.0])}  # names of oneDNN, lower and upper bound
LAYOUTS = 8  # sizes of images for which a convolution keeps its weights laid out
LARGEST = 2**20  # weights of a convolution up to which that is done: others have more to do than to lay them out


class ReadyConvolution(nn.Module):
    """`activation(convolution(x))` by one kernel of oneDNN, which bounds each value before it is written.

    convolution: its weights are shared and must not change any more. activation: of `ACTIVATIONS`, or None.
    The kernel reads weights in an order of its own, by the size of the images; from the second time on that a size is
    seen they lie there in that order, which saves up to a third of a pass over a single image. Inference alone.
    TensorFlow's "same" padding (timm's Conv2dSame) may want a pixel more behind than before, which no kernel knows: a
    kernel a channel gets a tap of zeros in front instead, which is much less than a copy of the images with a margin.
    """

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module | None = None):
        super().__init__()
        self.convolution = convolution
        self.kernel = ("none", []) if activation is None else ACTIVATIONS[type(activation)]
        self._laid_out: OrderedDict[tuple[int, ...], Tensor | None] = OrderedDict()

    def __getstate__(self) -> dict:  # a copy lays out its own: what oneDNN holds cannot be copied
        return self.__dict__ | {"_laid_out": OrderedDict()}

    def forward(self, images: Tensor) -> Tensor:
        one, (name, bounds) = self.convolution, self.kernel
        padding, behind = _padding(one, images.shape[2:])
        if any(behind) and (one.groups != one.in_channels or any(step != 1 for step in one.dilation)):
            (top, left), (below, beside) = padding, behind
            images, padding, behind = F.pad(images, (left, left + beside, top, top + below)), (0, 0), (0, 0)
        padding = tuple(map(int.__add__, padding, behind))
        how = (padding, one.stride, one.dilation, one.groups)
        weight = self._weight(tuple(images.shape), how, behind)
        return torch.ops.mkldnn._convolution_pointwise(images, weight, one.bias, *how, name, bounds, "")

    def _weight(self, shape: tuple[int, ...], how: tuple, behind: tuple[int, int]) -> Tensor:
        weight, kept, size = self.convolution.weight.detach(), self._laid_out, shape[2:]
        if kept.get(size) is not None:
            kept.move_to_end(size)
            return kept[size]
        if any(behind):
            weight = F.pad(weight, (behind[1], 0, behind[0], 0))
        if weight.numel() > LARGEST:
            return weight
        if size in kept:
            weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *how, list(shape))
        kept[size] = weight if size in kept else None
        if len(kept) > LAYOUTS:
            kept.popitem(last=False)
        return weight


def _padding(convolution: nn.Conv2d, size: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels (rows, columns) around an image of this size, and those more behind it."""
    if not isinstance(convolution, Conv2dSame):
        return convolution.padding, (0, 0)
    how = zip(size, convolution.kernel_size, convolution.stride, convolution.dilation, strict=True)
    both = [get_same_padding(*of_side) for of_side in how]
    return tuple(total // 2 for total in both), tuple(total % 2 for total in both)


@torch.inference_mode(False)  # within it no tensor tells whether it was changed in place
@torch.no_grad()
def ready(network: nn.Module, run: Callable[[nn.Module], Tensor | Sequence[Tensor]]) -> nn.Module:
    """Copy of `network` whose convolutions are ready, with the activations behind them; or itself where that fails.

    network: in evaluation mode, BatchNorm folded, on a CPU. run: a pass through a network with any image of its dtype,
    which finds convolutions and pairs; those that it does not use stay as they are. The copy must give the same numbers
    to the bit: where an activation is shared, or what a convolution gives is used elsewhere too, or this build of
    PyTorch has no oneDNN, nothing is changed.
    """
    before = _tensors(run(network))
    changed = copy.deepcopy(network)
    try:
        _replace(changed, run)
        after = [*_tensors(run(changed)), *_tensors(run(changed))]  # the second time with weights laid out
    except (AttributeError, NotImplementedError, RuntimeError):  # an operator that this build or this machine lacks
        return network
    same = len(after) == 2 * len(before) and all(map(torch.equal, before * 2, after))
    return changed if same else network


def _replace(network: nn.Module, run: Callable) -> None:
    source: dict[int, tuple[nn.Conv2d, int]] = {}
    used: set[nn.Module] = set()
    pairs: dict[nn.Module, nn.Conv2d] = {}
    alive = []  # keeps every tensor of the pass, so that no id is given twice

    def after_convolution(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        alive.append(output)
        used.add(module)
        source[id(output)] = module, output._version

    def before_activation(module: nn.Module, inputs: tuple) -> None:
        convolution, version = source.pop(id(inputs[0]), (None, 0))
        if convolution is not None and inputs[0]._version == version:  # nothing was added to it in place
            pairs[module] = convolution

    modules = list(network.modules())
    hooks = [module.register_forward_hook(after_convolution) for module in modules if type(module) in CONVOLUTIONS]
    hooks += [module.register_forward_pre_hook(before_activation) for module in modules if type(module) in ACTIVATIONS]
    run(network)
    for hook in hooks:
        hook.remove()
    plain = {one for one in used if not isinstance(one.padding, str) and one.padding_mode == "zeros"}
    activation_of = {convolution: activation for activation, convolution in pairs.items() if convolution in plain}
    for parent in modules:
        for name, child in list(parent.named_children()):
            if child in plain:
                setattr(parent, name, ReadyConvolution(child, activation_of.get(child)))
            elif child in activation_of.values():
                setattr(parent, name, nn.Identity())


def _tensors(output: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else list(output)
