"""Any timm backbone as an encoder, with one map or several, and the parameter groups of its optimiser (Section 6.1)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence

import timm
from timm.data import resolve_data_config
from timm.layers.pool2d_same import AvgPool2dSame
from torch import Tensor, nn

from pnoc_lib.engine.weights import check_arrived, read_weights

OUTPUT_STRIDE = 16
LAST_TWO = (-2, -1)  # C2AM and C2AM-H: 1024 and 2048 channels of a ResNet
ALL_LEVELS = (0, 1, 2, 3, 4)  # AffinityNet, PoolNet: the stem and the four stages

logging.getLogger("timm.models._builder").setLevel(logging.ERROR)  # of left-over classifiers; see check_arrived


class Encoder(nn.Module):
    """A timm model up to the map that its own classifier averages; `channels` of it, `stride` in pixels.

    `mean` and `std` are the backbone's own, for RGB in [0, 1].
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        if isinstance(getattr(model, "head", None), nn.Module):
            model.head = nn.Identity()  # comes after the map: no parameter may stay without a gradient (processes)
        if hasattr(model, "num_features"):
            self.channels, self.stride = model.num_features, model.feature_info[-1]["reduction"]
        else:  # made with features_only
            self.channels, self.stride = model.feature_info.channels()[-1], model.feature_info.reduction()[-1]
        self.mean, self.std = _input_statistics(model)

    def forward(self, images: Tensor) -> Tensor:
        if hasattr(self.model, "patch_embed"):  # a transformer: its tokens as a map
            return self.model.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)[-1]
        return (
            self.model.forward_features(images) if hasattr(self.model, "forward_features") else self.model(images)[-1]
        )


class Pyramid(nn.Module):
    """A timm model that gives several of its maps, from fine to coarse.

    `channels` and `strides` (pixels): one each a map. `mean` and `std` are the backbone's own, for RGB in [0, 1].
    Calling it takes (N, 3, H, W) normalised images and gives a list of (N, K, h, w).
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.channels, self.strides = tuple(model.feature_info.channels()), tuple(model.feature_info.reduction())
        self.mean, self.std = _input_statistics(model)

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.model(images)


def parameter_groups(network: nn.Module, lr: float, *, new_factor: float = 10.0, weight_decay: float = 1e-4) -> list:
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


def build_encoder(backbone: str, weights: str) -> Encoder:
    """The encoder of a timm backbone at `OUTPUT_STRIDE`, with weights; errors as in `priors.networks.CAMNetwork`."""
    stride = {"output_stride": OUTPUT_STRIDE}
    whole = {"num_classes": 0, "global_pool": ""}
    transformer = {"dynamic_img_size": True, "dynamic_img_pad": True}
    # CNNs; transformers; CNNs that know the stride in this form only; the rest
    ways = (whole | stride, whole | transformer, {"features_only": True} | stride, whole)
    model, given = _create(backbone, weights, ways)
    encoder = Encoder(model)
    if given:
        check_arrived(encoder, given, backbone, weights)
    _check_stride(encoder.stride, OUTPUT_STRIDE, backbone)
    return encoder


def build_pyramid(
    backbone: str, weights: str, levels: Sequence[int] = ALL_LEVELS, *, output_stride: int | None = OUTPUT_STRIDE
) -> Pyramid:
    """Several maps of a timm backbone, with weights as for `build_encoder`.

    levels: ascending, as timm counts them; of the ResNet family 0 is the stem after its activation and before its
    max-pool (stride 2), 1 to 4 are the stages; negative ones count from the last. `LAST_TWO` is what C2AM takes,
    `ALL_LEVELS` what AffinityNet and PoolNet take, (1, -1) what DeepLabV3+ takes.
    output_stride: of the last map of the backbone in pixels, by dilation: 8, 16 or None for the backbone's own.
    A vision transformer has the same stride at each of its levels.
    Raises ValueError for an unknown backbone, levels that it does not have, a stride that it cannot have, or weights
    that do not fit; FileNotFoundError when the weights cannot be had.
    """
    levels = tuple(levels)
    if not levels:
        raise ValueError("no level of the backbone was asked for: give for example ALL_LEVELS")
    several = {"features_only": True, "out_indices": levels}
    ways = [several | {"dynamic_img_size": True, "dynamic_img_pad": True}, several]
    if output_stride is not None:
        ways = [several | {"output_stride": output_stride}, *ways]
    model, given = _create(backbone, weights, ways)
    pyramid, last = Pyramid(model), len(model.feature_info.info) - 1
    places = [level % (last + 1) for level in levels]
    if places != sorted(set(places)):
        raise ValueError(f"levels {levels} do not ascend from fine to coarse: give some of 0 to {last}")
    if given:
        check_arrived(pyramid, given, backbone, weights)
    if output_stride is not None:
        _check_stride(model.feature_info.info[-1]["reduction"], output_stride, backbone)
    return pyramid


def fix_stages(pyramid: Pyramid, count: int) -> None:
    """Let the stem and the finest `count` levels of the backbone learn nothing: no gradient is computed there.

    Beyond the paper: these levels have the largest maps and the most general features, edges and colours, so fixing
    them saves much of a step. count: from 0 on; the coarsest level always learns. In training their BatchNorm goes on
    with the statistics of the batch: with those of ImageNet C2AM lost two points on drawn images (one seed).
    Raises ValueError for a count that the backbone does not have, or whose levels cannot be told apart.
    """
    levels = [info["module"] for info in pyramid.model.feature_info.info]
    if not 0 <= count < len(levels):
        raise ValueError(
            f"{count} stages cannot be fixed: give 0 to {len(levels) - 1}, this backbone has {len(levels)}"
        )
    if count:
        names, modules = zip(*pyramid.model.named_modules(), strict=True)
        last = levels[count - 1]  # timm flattens some names, and puts a prefix before others
        within = tuple(f"{name}." for name in (last, last.replace(".", "_"), f"model.{last}"))
        inside = [place for place, name in enumerate(names) if f"{name}.".startswith(within)]
        if not inside:
            raise ValueError("the levels of this backbone cannot be told apart: give 0 fixed stages")
        for module in modules[: inside[-1] + 1]:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)


def _input_statistics(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    config = resolve_data_config({}, model=model)
    return tuple(config["mean"]), tuple(config["std"])


def _check_stride(stride: int, wanted: int, backbone: str) -> None:
    if stride != wanted:
        raise ValueError(
            f"backbone {backbone!r} has its last map at stride {stride}, not {wanted}: "
            f"choose one that takes timm's output_stride={wanted}, or a vision transformer with patches of {wanted} "
            "pixels"
        )


def _create(backbone: str, weights: str, ways: Sequence[Mapping]) -> tuple[nn.Module, dict[str, Tensor]]:
    """The model made in the first of `ways` that its architecture knows, and the tensors of the file, if any."""
    if not timm.is_model(backbone):
        near = ", ".join(timm.list_models(f"*{backbone.split('_')[0]}*")[:5]) or "see timm.list_models()"
        raise ValueError(f"unknown backbone {backbone!r}: give a timm model name ({near})")
    options: dict = {}
    given: dict[str, Tensor] = {}
    if weights == "timm":
        options["pretrained"] = True
    elif weights != "none":
        given = read_weights(backbone, weights)
        options.update(pretrained=True, pretrained_cfg_overlay={"state_dict": dict(given)})
    error: Exception | None = None
    for way in ways:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _as_published(timm.create_model(backbone, **way, **options)), given
        except (TypeError, AssertionError, IndexError) as refused:  # this architecture does not know the option
            error = refused
        except (OSError, RuntimeError, KeyError) as failed:
            if weights == "timm":
                raise FileNotFoundError(
                    f"the ImageNet weights of {backbone!r} could not be downloaded ({type(failed).__name__}): connect, "
                    "or save timm's model.safetensors of this backbone anywhere and give its path as `weights`"
                ) from failed
            raise ValueError(f"the weights {weights!r} do not fit backbone {backbone!r}: {failed}") from failed
    raise ValueError(
        f"backbone {backbone!r} gives no such feature maps ({error}): choose another timm model, or levels that it has"
    )


def _as_published(model: nn.Module) -> nn.Module:
    """Make the first block of a dilated stage what the published networks have there; changes and returns `model`.

    Where a stage dilates in place of a stride, timm leaves a 2x2 average pool of stride 1 on the shortcut, which shifts
    it by half a cell, and a ResNeSt loses the 3x3 pool beside its split attention. The published networks have neither
    fault: no pool on the shortcut, and a 3x3 pool of stride 1. Neither has parameters, so all weights fit.
    """
    blocks = [block for block in model.modules() if hasattr(block, "avd_last")]  # of a ResNeSt
    for kind in ("avd_first", "avd_last"):
        if any(getattr(block, kind) is not None for block in blocks):  # this one pools there
            for block in blocks:
                if block.downsample is not None and _is_left_over(block.downsample[0]):
                    setattr(block, kind, nn.AvgPool2d(3, 1, padding=1))
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if _is_left_over(child):
                setattr(parent, name, nn.Identity())
    return model


def _is_left_over(module: nn.Module) -> bool:
    """A 2x2 average pool whose stride has become a dilation."""
    return isinstance(module, AvgPool2dSame) and tuple(module.stride) == (1, 1) and tuple(module.kernel_size) == (2, 2)
