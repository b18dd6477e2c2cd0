"""What is done with BatchNorm: frozen, fixed for a pass, kept from its statistics, folded into convolutions."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def freeze_batchnorm(network: nn.Module, *, frozen: bool = True) -> nn.Module:
    """Keep every BatchNorm of `network` as it is: running statistics always used, affine parameters without gradient.

    So `noc` is trained (Section 3.2): hard-erased images would shift its statistics. Holds until `train()` is called
    on the network: call this again after it. frozen: False lets the parameters learn again. Returns the network.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval().requires_grad_(not frozen)
    return network


@contextmanager
def fixed(network: nn.Module, *, parameters: bool = True) -> Iterator[nn.Module]:
    """Within the block `network` is in evaluation mode and takes no gradients: "fix noc" in line 3 of Algorithm 1.

    Gradients still flow through it to its input. parameters: False leaves them as they are (evaluation mode alone).
    """
    training = {module: module.training for module in network.modules()}
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad] if parameters else []
    try:
        network.eval()
        for parameter in learning:
            parameter.requires_grad_(False)
        yield network
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
        for module, mode in training.items():
            module.training = mode


@contextmanager
def keep_statistics(network: nn.Module, *, keep: bool = True) -> Iterator[nn.Module]:
    """Within the block a pass in training mode leaves the running statistics of every BatchNorm as they are.

    keep: False does nothing.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)] if keep else []
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield network
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def fold_batchnorm(network: nn.Module, example: Tensor) -> nn.Module:
    """Copy of `network` for inference with every BatchNorm that follows a convolution folded into it.

    example: (1, 3, H, W), any image; one forward pass with it finds which convolution feeds which BatchNorm.
    The output is that of evaluation mode up to rounding, with about half as many passes over memory.
    """
    network = copy.deepcopy(network).eval()
    source: dict[int, nn.Conv2d] = {}
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}
    alive = []  # keeps every tensor of the pass, so that no id is given twice

    def watch(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        alive.append((inputs, output))
        if isinstance(module, nn.Conv2d):
            source[id(output)] = module
        elif id(inputs[0]) in source:
            pairs[module] = source[id(inputs[0])]

    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))]
    hooks = [layer.register_forward_hook(watch) for layer in layers]
    with torch.no_grad():
        network(example)
        for hook in hooks:
            hook.remove()
        for norm, conv in pairs.items():
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            bias = norm.bias - norm.running_mean * scale + (0 if conv.bias is None else conv.bias * scale)
            conv.weight.mul_(scale[:, None, None, None])
            conv.bias = nn.Parameter(bias)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in pairs:  # timm's BatchNormAct2d carries its activation in `act`
                setattr(parent, name, getattr(child, "act", nn.Identity()))
    return network
