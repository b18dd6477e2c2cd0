"""Any timm backbone as an encoder at output stride 16, and the parameter groups of its optimiser (Section 6.1)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import timm
from torch import Tensor, nn

from pnoc_lib.engine.weights import check_arrived, read_weights

OUTPUT_STRIDE = 16


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
    encoder = Encoder(_create(backbone, options, weights))
    if given:
        check_arrived(encoder, given, backbone, weights)
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
