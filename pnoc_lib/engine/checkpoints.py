"""What a training must remember to go on bit for bit after a kill: its parts, and what made it what it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
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
    """All tensors that the parts hold, by name: PART.network.NAME, PART.optimizer.KEY.NAME, PART.gradient.NAME.

    The state of an optimiser is kept whatever its keys are (momentum_buffer; step, exp_avg, exp_avg_sq; ...).
    gradients: keep those of the parameters as well, as is needed amid an optimiser step.
    """
    tensors: dict[str, Tensor] = {}
    for part, held in parts.items():
        tensors |= {f"{part}.network.{name}": tensor for name, tensor in held.network.state_dict().items()}
        for name, parameter in held.network.named_parameters():
            for key, value in held.optimizer.state.get(parameter, {}).items():
                if value is not None:
                    tensors[f"{part}.optimizer.{key}.{name}"] = torch.as_tensor(value)
            if gradients and parameter.grad is not None:
                tensors[f"{part}.gradient.{name}"] = parameter.grad
    return tensors


def unpack(tensors: Mapping[str, Tensor], parts: Mapping[str, Part]) -> None:
    """Put back what `pack` took; ValueError when the tensors are those of other networks."""
    for part, held in parts.items():
        kept = {key.removeprefix(f"{part}."): tensor for key, tensor in tensors.items() if key.split(".", 1)[0] == part}
        weights = {key.removeprefix("network."): tensor for key, tensor in kept.items() if key.startswith("network.")}
        try:
            held.network.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"the checkpoint does not fit the network {part!r}: {error}") from None
        parameters, state = dict(held.network.named_parameters()), {}
        for key, tensor in kept.items():
            kind, _, rest = key.partition(".")
            if kind == "gradient":
                parameters[rest].grad = _laid_out(tensor, parameters[rest])
            elif kind == "optimizer":
                entry, _, name = rest.partition(".")
                state.setdefault(parameters[name], {})[entry] = _laid_out(tensor, parameters[name])
        groups = held.optimizer.param_groups
        numbers = {each: n for n, each in enumerate(each for group in groups for each in group["params"])}
        numbered = {numbers[parameter]: entries for parameter, entries in state.items()}
        held.optimizer.load_state_dict({"state": numbered, "param_groups": held.optimizer.state_dict()["param_groups"]})


def _laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """A copy in the memory layout of `like`, so that the arithmetic is the same to the last bit."""
    if tensor.shape != like.shape:
        return tensor.clone()  # a counter
    return torch.empty_like(like, dtype=tensor.dtype, requires_grad=False).copy_(tensor)


def identity(network: nn.Module, images: LabeledImages) -> dict[str, Any]:
    """Who trains on what, as plain values: architecture, initial weights, classes, images and their labels."""
    data = hashlib.sha256("\n".join((*images.classes, *images.ids)).encode() + images.labels.tobytes())
    sizes = [path.stat().st_size if path.is_file() else 0 for path in images.paths]  # tells redrawn images apart
    data.update(",".join(map(str, sizes)).encode())
    return {
        "backbone": network.backbone,
        "initial weights": digest(network),
        "images": data.hexdigest()[:16],
    }


def digest(network: nn.Module) -> str:
    """Sixteen hexadecimal digits of the values of all tensors of a network."""
    state = hashlib.sha256()
    for tensor in network.state_dict().values():
        state.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()[:16]


def short(identity: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that tell one identity from another: equal ones whatever the order of their keys."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """In words, what differs between two identities; empty when nothing does."""
    differ = [key for key in (*new, *(key for key in old if key not in new)) if old.get(key) != new.get(key)]
    return ", ".join(f"{key} was {old.get(key)}, is {new.get(key)}" for key in differ)
