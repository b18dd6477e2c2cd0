"""PoolNet (Liu et al. 2019): a saliency detector that pools coarse meaning down to fine edges (Section 6.2)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pnoc_lib import files
from pnoc_lib.engine import backbones
from pnoc_lib.engine.fixed import Encode
from pnoc_lib.saliency import c2am

WIDTH = 512  # channels at the coarsest levels; the published ones
PYRAMID = (1, 3, 5)  # cells a side of the pooled branches of the PPM
POOLS = (2, 4, 8)  # sides of the average pools of an aggregation


class PyramidPooling(nn.Module):
    """PPM: what is in the whole image, in 3 x 3 and in 5 x 5 parts of it, beside the map itself.

    inputs, width: channels in and out. (N, inputs, h, w) -> (N, width, h, w).
    """

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.reduce = nn.Conv2d(inputs, width, 1, bias=False)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(cells), nn.Conv2d(width, width, 1, bias=False), nn.ReLU())
            for cells in PYRAMID
        )
        self.join = nn.Sequential(nn.Conv2d(width * (1 + len(PYRAMID)), width, 3, padding=1, bias=False), nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        reduced = self.reduce(features)
        parts = [reduced, *(resized(branch(reduced), reduced) for branch in self.branches)]
        return self.join(torch.cat(parts, dim=1))


class Aggregation(nn.Module):
    """FAM: a map and its averages over 2, 4 and 8 positions a side, added up and refined.

    inputs, outputs: channels. enlarged: whether the sum is resized to the next finer map first; fused: whether that
    map and its guidance are added at the end.
    """

    def __init__(self, inputs: int, outputs: int, *, enlarged: bool, fused: bool):
        super().__init__()
        self.enlarged = enlarged
        self.pooled = nn.ModuleList(nn.Conv2d(inputs, inputs, 3, padding=1, bias=False) for _ in POOLS)
        self.narrow = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.fuse = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False) if fused else None

    def forward(self, x: Tensor, lateral: Tensor | None = None, guidance: Tensor | None = None) -> Tensor:
        total = x
        for side, convolution in zip(POOLS, self.pooled, strict=True):
            window = [min(side, length) for length in x.shape[-2:]]  # of a small image the map is smaller than 8
            total = total + resized(convolution(F.avg_pool2d(x, window)), x)
        total = total.relu()
        if self.enlarged:
            total = resized(total, lateral)
        total = self.narrow(total)
        return total if self.fuse is None else self.fuse(total + lateral + guidance)


class PoolNet(nn.Module):
    """A U-shaped network on five maps of a backbone, with guidance from the PPM at each level; a saliency logit out.

    backbone, weights, seed: as for C2AM. width: channels at the coarsest levels, a multiple of 4; paper 512, and then,
    on the maps of a ResNet-50 (timm "resnet50"), 68,261,057 parameters.
    `mean` and `std` (RGB, of values in [0, 1]) are the backbone's own; `stride` is in pixels.
    Calling it takes (N, 3, H, W) normalised images of any size and gives logits (N, 1, H, W).
    Raises ValueError for another width; else as `backbones.build_pyramid`.
    Beyond the paper: the published network has Caffe's ResNet-50 (stride in the first convolution of a block, max-pool
    that rounds up) on BGR; this one takes timm's backbones as they are. New weights are drawn with the published 0.01
    at the published width, and wider for fewer channels, or a narrow network's signal fades from layer to layer.
    """

    def __init__(self, backbone: str, *, width: int = WIDTH, weights: str = "none", seed: int = 0):
        super().__init__()
        if width < 4 or width % 4:
            raise ValueError(f"width must be a positive multiple of 4, got {width}: the paper's is {WIDTH}")
        self.backbone, self.width = backbone, width
        wide, middle, narrow = width, width // 2, width // 4
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = backbones.build_pyramid(backbone, weights, backbones.ALL_LEVELS)
            laterals = (narrow, middle, middle, wide, wide)
            self.laterals = nn.ModuleList(
                nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.ReLU())
                for inputs, outputs in zip(self.encoder.channels, laterals, strict=True)
            )
            self.pooling = PyramidPooling(self.encoder.channels[-1], wide)
            guides = (wide, middle, middle, narrow)
            self.guides = nn.ModuleList(
                nn.Sequential(nn.Conv2d(wide, outputs, 3, padding=1, bias=False), nn.ReLU()) for outputs in guides
            )
            self.aggregations = nn.ModuleList(
                [
                    Aggregation(wide, wide, enlarged=False, fused=True),
                    Aggregation(wide, middle, enlarged=True, fused=True),
                    Aggregation(middle, middle, enlarged=True, fused=True),
                    Aggregation(middle, narrow, enlarged=True, fused=True),
                    Aggregation(narrow, narrow, enlarged=False, fused=False),
                ]
            )
            self.head = nn.Conv2d(narrow, 1, 1)
            for part in (self.laterals, self.pooling, self.guides, self.aggregations, self.head):
                part.apply(partial(_initialise, std=0.01 * (WIDTH / width) ** 0.5))
        self.stride = self.encoder.strides[-1]
        self.mean, self.std = self.encoder.mean, self.encoder.std

    def features(self, images: Tensor, encoder: Encode | None = None) -> Tensor:
        """What the score is read from: (N, 3, H, W) normalised -> (N, width / 4, h, w) at the finest map.

        encoder: what gives the five maps in place of its own, such as a quick copy of it.
        """
        taps = (encoder or self.encoder)(images)  # fine to coarse
        meaning = self.pooling(taps[-1])
        finer = taps[-2::-1]  # the level that each aggregation but the last leads to
        guidance = [guide(resized(meaning, tap)) for guide, tap in zip(self.guides, finer, strict=True)]
        x, *laterals = [lateral(tap) for lateral, tap in zip(self.laterals[::-1], taps[::-1], strict=True)]
        for aggregate, lateral, guide in zip(self.aggregations, laterals, guidance, strict=False):
            x = aggregate(x, lateral, guide)
        return self.aggregations[-1](x)

    def forward(self, images: Tensor, encoder: Encode | None = None) -> Tensor:
        return F.interpolate(
            self.head(self.features(images, encoder)), images.shape[-2:], mode="bilinear", align_corners=True
        )


def resized(x: Tensor, like: Tensor) -> Tensor:
    """x (N, K, h, w) at the size of `like`, bilinear, corners aligned."""
    if x.shape[-2:] == like.shape[-2:]:
        return x
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)


def save_network(network: PoolNet, path: Path | str) -> None:
    """Write the weights, with backbone and width beside them, as safetensors."""
    c2am.save_network(network, path, width=str(network.width))


def load_network(path: Path | str) -> PoolNet:
    """Build the PoolNet that `save_network` wrote at `path`, in evaluation mode; errors as in `c2am.load_network`."""
    tensors, metadata = files.read_tensors(path)
    kind = metadata.get("kind", "something else")
    if kind != PoolNet.__name__:
        raise ValueError(f"{path} holds no PoolNet but {kind}: give the weights of a PoolNet")
    network = PoolNet(metadata["backbone"], width=int(metadata["width"]))
    network.load_state_dict(tensors)
    return network.eval()


def _initialise(module: nn.Module, std: float) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0, std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
