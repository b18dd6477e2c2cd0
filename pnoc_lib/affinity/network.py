"""AffinityNet as the published code trains it, the edge branch of IRNet (Ahn et al. 2019), and its loss (Section 5).

The paper cites PSA's AffinityNet, which compares features of two pixels; its code learns an edge a pixel, and two
pixels are alike when no edge lies between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pnoc_lib import files
from pnoc_lib.affinity import paths
from pnoc_lib.affinity.paths import STRIDE
from pnoc_lib.data.images import VOID
from pnoc_lib.engine import backbones, fixed

WIDTH, GROUPS = 32, 4  # of what is taken from each tap
EPS = 1e-5  # of logarithms and means, as in the published code


class EdgeHead(nn.Module):
    """From five maps of a backbone to an edge map: the part that learns.

    channels, strides: of the maps, finest first; those finer than `STRIDE` are pooled, coarser ones enlarged.
    Torch's default initialisation; 127457 parameters on a ResNeSt, 125409 on a ResNet.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int]):
        super().__init__()
        self.strides = tuple(strides)
        self.taps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, WIDTH, 1, bias=False), nn.GroupNorm(GROUPS, WIDTH)) for width in channels
        )
        self.edge = nn.Conv2d(WIDTH * len(self.taps), 1, 1)

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Edge logits (N, h, w) of maps of an image of `size` (H, W): one a cell of 4 x 4 pixels."""
        grid = math.ceil(size[0] / STRIDE), math.ceil(size[1] / STRIDE)
        taken = []
        with torch.autocast(features[0].device.type, enabled=False):  # an affinity is a power of it: float32
            for tap, stride, feature in zip(self.taps, self.strides, features, strict=True):
                seen = tap(feature.float())
                if stride > STRIDE:
                    seen = F.interpolate(seen, scale_factor=stride // STRIDE, mode="bilinear", align_corners=False)
                taken.append(F.relu(seen[..., : grid[0], : grid[1]]))
            return self.edge(torch.cat(taken, 1))[:, 0]


class EdgeNetwork(nn.Module):
    """A frozen backbone with its ImageNet weights, and the `head` that learns where edges are.

    backbone, weights: as for `backbones.build_pyramid`. seed: of the initial head.
    precision: of the backbone, "no" (float32) or "bf16"; the head is float32 throughout.
    """

    def __init__(self, backbone: str, *, weights: str = "none", seed: int = 0, precision: str = "bf16"):
        super().__init__()
        self.backbone, self.weights = backbone, weights
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            pyramid = backbones.build_pyramid(backbone, weights)
            self.head = EdgeHead(pyramid.channels, pyramid.strides)
        self.mean, self.std, self.strides = pyramid.mean, pyramid.std, pyramid.strides
        self.pyramid = fixed.FixedEncoder(pyramid, torch.bfloat16 if precision == "bf16" else torch.float32)

    @torch.no_grad()
    def features(self, images: Tensor) -> list[Tensor]:
        """Five maps, at strides 4, 4, 8, 16, 16 for a ResNet, of (N, 3, H, W) normalised images; never a gradient.

        The stem is pooled as ResNets pool it (3x3, stride 2) until it is at stride 4.
        """
        return [_pooled(map_, stride) for map_, stride in zip(self.pyramid(images), self.strides, strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """Edge logits (N, ceil(H / 4), ceil(W / 4)) of (N, 3, H, W) normalised images."""
        return self.head(self.features(images), images.shape[-2:])


def _pooled(feature: Tensor, stride: int) -> Tensor:
    while stride < STRIDE:
        feature, stride = F.max_pool2d(feature, 3, stride=2, padding=1), stride * 2
    return feature


def pair_kinds(labels: Tensor, radius: int) -> dict[str, Tensor]:
    """Which pairs attract and which repel, as masks (N, P, rows, columns) over the pairs of `paths.affinities`.

    labels: (N, h, w) affinity labels on the grid. A pair with an uncertain end is in none of the three.
    Returns "background" and "foreground" (both ends of one class), and "negative" (of two).
    """
    source, target = paths.shifted(labels, radius)
    known, same = (source != VOID) & (target != VOID), source == target
    return {
        "background": known & same & (source == 0),
        "foreground": known & same & (source != 0),
        "negative": known & ~same,
    }


def loss_terms(affinity: Tensor, kinds: dict[str, Tensor]) -> dict[str, Tensor]:
    """Means over the pairs of each kind: -log a where they attract, -log(1 - a) where they repel; 0 without a pair.

    affinity: (N, P, rows, columns) in [0, 1]. kinds: as from `pair_kinds`.
    """
    cost = {True: -torch.log(affinity + EPS), False: -torch.log(1 + EPS - affinity)}
    return {kind: (cost[kind != "negative"] * pairs).sum() / (pairs.sum() + EPS) for kind, pairs in kinds.items()}


def loss(terms: dict[str, Tensor]) -> Tensor:
    """Attraction and repulsion weigh the same; so do the two kinds of attraction."""
    return (terms["background"] + terms["foreground"]) / 4 + terms["negative"] / 2


def to_grid(labels: Tensor) -> Tensor:
    """Labels (N, H, W) on the grid of the edge map (N, ceil(H / 4), ceil(W / 4)): that of the pixel in the middle."""
    size = [math.ceil(side / STRIDE) for side in labels.shape[-2:]]
    return F.interpolate(labels[:, None].float(), size, mode="nearest-exact")[:, 0].to(labels.dtype)


def save_head(network: EdgeNetwork, path: Path | str) -> None:
    """Write the head; the backbone is as its weights were, and only named."""
    told = {"backbone": network.backbone, "weights": network.weights}
    files.write_tensors(path, network.head.state_dict(), told)


def load_head(network: EdgeNetwork, path: Path | str) -> EdgeNetwork:
    """Put the head at `path` into `network`, in evaluation mode; ValueError for that of another backbone."""
    tensors, told = files.read_tensors(path)
    if told.get("backbone") != network.backbone:
        raise ValueError(
            f"{path} is the head of {told.get('backbone')!r}, the network is {network.backbone!r}: train it anew"
        )
    network.head.load_state_dict(tensors)
    return network.eval()
