"""What a training must remember to go on bit for bit after a kill: its parts, and what made it what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pnoc_lib.data.images import LabeledImages


@dataclass
class Part:
    """A network that learns, its optimiser, and the scaler of its gradients (None unless in fp16)."""

    network: nn.Module
    optimizer: Optimizer
    scaler: Any = None


def pack(parts: Mapping[str, Part], *, gradients: bool) -> dict[str, Tensor]:
    """Weights, momenta and, amid an optimiser step, `gradients` of all parts: tensors as PART.KIND.NAME."""
    tensors: dict[str, Tensor] = {}
    for part, held in parts.items():
        tensors |= {f"{part}.network.{name}": tensor for name, tensor in held.network.state_dict().items()}
        for name, parameter in held.network.named_parameters():
            momentum = held.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"{part}.momentum.{name}"] = momentum
            if gradients and parameter.grad is not None:
                tensors[f"{part}.gradient.{name}"] = parameter.grad
    return tensors


def unpack(tensors: Mapping[str, Tensor], parts: Mapping[str, Part]) -> None:
    """Put back what `pack` took."""
    for part, held in parts.items():
        of_kind: dict[str, dict[str, Tensor]] = {"network": {}, "momentum": {}, "gradient": {}}
        for key, tensor in tensors.items():
            owner, kind, name = key.split(".", 2)
            if owner == part:
                of_kind[kind][name] = tensor
        held.network.load_state_dict(of_kind["network"])
        for name, parameter in held.network.named_parameters():
            if name in of_kind["momentum"]:
                held.optimizer.state[parameter]["momentum_buffer"] = _laid_out(of_kind["momentum"][name], parameter)
            if name in of_kind["gradient"]:
                parameter.grad = _laid_out(of_kind["gradient"][name], parameter)


def _laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """A copy in the memory layout of `like`, so that the arithmetic is the same to the last bit."""
    return torch.empty_like(like, requires_grad=False).copy_(tensor)


def identity(network: nn.Module, images: LabeledImages, settings: Any, oc: nn.Module | None = None) -> dict[str, Any]:
    """All that decides the outcome of a training, as plain values: equal identities end with equal weights."""
    data = hashlib.sha256("\n".join((*images.classes, *images.ids)).encode() + images.labels.tobytes())
    sizes = [path.stat().st_size if path.is_file() else 0 for path in images.paths]  # tells redrawn images apart
    data.update(",".join(map(str, sizes)).encode())
    parts = {
        "backbone": network.backbone,
        "initial weights": digest(network),
        "images": data.hexdigest()[:16],
    }
    if oc is not None:
        parts["oc"] = digest(oc)
    return parts | asdict(settings)


def digest(network: nn.Module) -> str:
    """Sixteen hexadecimal digits of the values of all tensors of a network."""
    state = hashlib.sha256()
    for tensor in network.state_dict().values():
        state.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()[:16]


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """In words, what differs between two identities."""
    differ = [key for key in new if old.get(key) != new[key]]
    return ", ".join(f"{key} was {old.get(key)}, is {new[key]}" for key in differ)
