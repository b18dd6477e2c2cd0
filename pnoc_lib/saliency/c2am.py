"""C2AM's network: two stages of a backbone and a disentangler that splits an image into two halves (Section 4)."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pnoc_lib import files
from pnoc_lib.engine import backbones


class Disentangler(nn.Module):
    """phi in the paper, as a logit: one 3x3 convolution to one channel without bias, then BatchNorm.

    channels: of the features. Calling it takes (N, K, h, w) and gives q (N, 1, h, w); phi = sigmoid(q).
    `inverted` is stored with the weights: with it the halves change places, q becomes -q, which is 1 - phi.
    Beyond the paper: the published C2AM gives 1 - q for an inverted map, which is not the other half: positions with q
    between 0 and 1 would be in both.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.convolution = nn.Conv2d(channels, 1, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(1)
        self.register_buffer("inverted", torch.tensor(False))

    def forward(self, features: Tensor) -> Tensor:
        logits = self.norm(self.convolution(features))
        return torch.where(self.inverted, -logits, logits)


class C2AM(nn.Module):
    """The network of C2AM and C2AM-H: the last two stages of a backbone, side by side, and the disentangler.

    backbone, weights: as for `backbones.build_pyramid`. seed: of what is initialised at random.
    `mean` and `std` (RGB, of values in [0, 1]) are the backbone's own; `stride` is in pixels.
    Calling it takes (N, 3, H, W) normalised images and gives the features (N, K, h, w) and q (N, 1, h, w).
    """

    def __init__(self, backbone: str, *, weights: str = "none", seed: int = 0):
        super().__init__()
        self.backbone = backbone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = backbones.build_pyramid(backbone, weights, backbones.LAST_TWO)
            self.head = Disentangler(sum(self.encoder.channels))
        self.stride = self.encoder.strides[0]
        self.mean, self.std = self.encoder.mean, self.encoder.std

    def features(self, images: Tensor) -> Tensor:
        """Both maps side by side, at the grid of the finer: (N, 3, H, W) normalised -> (N, K, h, w)."""
        finer, coarser = self.encoder(images)
        if finer.shape[-2:] != coarser.shape[-2:]:  # of a backbone that does not dilate its last stage
            coarser = F.interpolate(coarser, finer.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([finer, coarser], dim=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(images)
        return features, self.head(features)


def border_mean(phi: Tensor, share: float = 1 / 7) -> Tensor:
    """The mean of phi over four strips along the border, where objects are rare: above 1/2 the halves are swapped.

    phi: (N, 1, h, w) in [0, 1]. share: width of a strip as a part of the side, at least one position.
    Returns a scalar. C2AM takes strips of 4 positions on a grid of 28, which is the default; corners count twice.
    """
    height, width = phi.shape[-2:]
    rows, columns = max(1, round(share * height)), max(1, round(share * width))
    strips = (phi[..., :rows, :], phi[..., -rows:, :], phi[..., :, :columns], phi[..., :, -columns:])
    return torch.cat([strip.flatten() for strip in strips]).mean()


def save_network(network: nn.Module, path: Path | str, **more: str) -> None:
    """Write the weights of a network of this stage, with its kind and its backbone beside them, as safetensors.

    more: whatever else its constructor needs, as text.
    """
    files.write_tensors(
        path, network.state_dict(), {"kind": type(network).__name__, "backbone": network.backbone, **more}
    )


def load_network(path: Path | str) -> C2AM:
    """Build the network that `save_network` wrote at `path`, in evaluation mode.

    Raises FileNotFoundError when there is none, ValueError when the file is truncated or of another kind.
    """
    tensors, metadata = files.read_tensors(path)
    if metadata.get("kind") != C2AM.__name__:
        raise ValueError(
            f"{path} holds no network of C2AM but {metadata.get('kind', 'something else')}: give its weights"
        )
    network = C2AM(metadata["backbone"])
    network.load_state_dict(tensors)
    return network.eval()
