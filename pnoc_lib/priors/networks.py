"""The CAM generating network: a timm backbone at output stride 16 and a 1x1 classifier without bias (Section 2.4.1)."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from pnoc_lib import files
from pnoc_lib.engine.backbones import OUTPUT_STRIDE, build_encoder


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
            self.encoder = build_encoder(backbone, weights)
            self.head = nn.Conv2d(self.encoder.channels, num_classes, 1, bias=False)
            nn.init.kaiming_normal_(self.head.weight)
        self.mean, self.std = self.encoder.mean, self.encoder.std

    def features(self, images: Tensor) -> Tensor:
        """The map that the backbone's own classifier averages: (N, 3, H, W) normalised -> (N, K, H / 16, W / 16)."""
        return self.encoder(images)

    def forward(self, images: Tensor) -> Tensor:
        """Raw CAMs A = f(x): (N, 3, H, W) normalised images -> (N, C, H / 16, W / 16), no unit."""
        return self.head(self.features(images))


def save_network(network: CAMNetwork, path: Path | str) -> None:
    """Write the weights, with the backbone's name and the number of classes beside them, as safetensors."""
    metadata = {"backbone": network.backbone, "num_classes": str(network.num_classes)}
    files.write_tensors(path, network.state_dict(), metadata)


def load_network(path: Path | str) -> CAMNetwork:
    """Build the network that `save_network` wrote at `path`, in evaluation mode.

    Raises FileNotFoundError when there is none, ValueError when the file is truncated, of another kind, or holds other
    tensors than those of the network that it names.
    """
    tensors, metadata = files.read_tensors(path)
    if not {"backbone", "num_classes"} <= metadata.keys():
        raise ValueError(f"{path} is no CAM network (it names no backbone): give weights written by 01_train_priors")
    backbone, count = metadata["backbone"], metadata["num_classes"]
    if not timm.is_model(backbone) or not count.isdecimal() or int(count) < 1:
        raise ValueError(
            f"{path} names a backbone {backbone!r} with {count!r} classes, which cannot be built: give weights written "
            "by 01_train_priors"
        )
    network = CAMNetwork(backbone, int(count))
    own = network.state_dict()
    wrong = [f"lacks {name}" for name in own if name not in tensors]
    wrong += [f"has {name} besides" for name in tensors if name not in own]
    shapes = ((name, tuple(own[name].shape), tuple(tensors[name].shape)) for name in own if name in tensors)
    wrong += [f"has {name} as {given} in place of {needed}" for name, needed, given in shapes if given != needed]
    if wrong:
        raise ValueError(
            f"{path} does not hold a {backbone} of {count} classes, it {wrong[0]}"
            f"{f' ({len(wrong)} such faults)' if wrong[1:] else ''}: train it again, or give weights that belong to it"
        )
    network.load_state_dict(tensors)
    return network.eval()


def ordinary_classifier(path: Path | str, backbone: str, num_classes: int) -> CAMNetwork:
    """Read the `oc` of a training, in evaluation mode; ValueError when it is of another kind than the generator."""
    oc = load_network(path)
    if (oc.backbone, oc.num_classes) != (backbone, num_classes):
        raise ValueError(
            f"the ordinary classifier {path} is a {oc.backbone} of {oc.num_classes} classes and the generator a "
            f"{backbone} of {num_classes}: train strategy cam with the same parameters, or give its weights"
        )
    return oc
