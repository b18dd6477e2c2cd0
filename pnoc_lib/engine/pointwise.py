"""A convolution and the activation behind it in one pass over memory, for inference on a CPU."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

ACTIVATIONS = {nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0.0, 6.0])}  # names of oneDNN, lower and upper bound


class ConvolutionWithActivation(nn.Module):
    """`activation(convolution(x))` by one kernel of oneDNN, which bounds each value before it is written.

    convolution, activation: of `ACTIVATIONS`, made ready; their weights are shared. Inference alone.
    """

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module):
        super().__init__()
        self.convolution = convolution
        self.kernel = ACTIVATIONS[type(activation)]

    def forward(self, images: Tensor) -> Tensor:
        one, (name, bounds) = self.convolution, self.kernel
        how = (one.padding, one.stride, one.dilation, one.groups)
        return torch.ops.mkldnn._convolution_pointwise(images, one.weight, one.bias, *how, name, bounds, "")


@torch.no_grad()
def fuse_activations(network: nn.Module, example: Tensor) -> nn.Module:
    """Copy of `network` in which a convolution and the activation behind it are one, or `network` where that fails.

    network: in evaluation mode, BatchNorm folded, on a CPU. example: (1, 3, H, W) of its dtype, any image; a pass with
    it finds the pairs. The copy must give the same numbers for it, to the bit: where an activation is shared, or what
    the convolution gives is used elsewhere too, or this build of PyTorch has no oneDNN, nothing is changed.
    """
    before = _tensors(network(example))
    fused = copy.deepcopy(network)
    try:
        _replace(fused, example)
        after = _tensors(fused(example))
    except (AttributeError, NotImplementedError, RuntimeError):  # an operator that this build or this machine lacks
        return network
    same = len(before) == len(after) and all(map(torch.equal, before, after))
    return fused if same else network


def _replace(network: nn.Module, example: Tensor) -> None:
    source: dict[int, tuple[nn.Conv2d, int]] = {}
    pairs: dict[nn.Module, nn.Conv2d] = {}
    alive = []  # keeps every tensor of the pass, so that no id is given twice

    def after_convolution(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        alive.append(output)
        source[id(output)] = module, output._version

    def before_activation(module: nn.Module, inputs: tuple) -> None:
        convolution, version = source.pop(id(inputs[0]), (None, 0))
        if convolution is not None and inputs[0]._version == version:  # nothing was added to it in place
            pairs[module] = convolution

    modules = list(network.modules())
    hooks = [module.register_forward_hook(after_convolution) for module in modules if type(module) is nn.Conv2d]
    hooks += [module.register_forward_pre_hook(before_activation) for module in modules if type(module) in ACTIVATIONS]
    network(example)
    for hook in hooks:
        hook.remove()
    activation_of = {
        convolution: activation
        for activation, convolution in pairs.items()
        if not isinstance(convolution.padding, str) and convolution.padding_mode == "zeros"
    }
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in activation_of:
                setattr(parent, name, ConvolutionWithActivation(child, activation_of[child]))
            elif child in activation_of.values():
                setattr(parent, name, nn.Identity())


def _tensors(output: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else list(output)
