"""The loss of segmentation: cross-entropy over pixels, void left out, with label smoothing, for one map or several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pnoc_lib.data.images import VOID


def pixel_loss(logits: Tensor, masks: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of the pixels that are not void.

    logits: (N, C + 1, H, W). masks: (N, H, W) int64, 0 background, 1..C, 255 void. smoothing: the share of a target
    that is spread over all C + 1 classes alike, in [0, 1).
    Returns a scalar in float32; 0, with gradients of 0, where every pixel is void.
    """
    if logits.shape[-2:] != masks.shape[-2:]:
        raise ValueError(f"logits are {tuple(logits.shape[-2:])}, masks {tuple(masks.shape[-2:])} pixels: resize one")
    logits = logits.float().contiguous()  # a class after the other, as its kernels like it
    total = F.cross_entropy(logits, masks, ignore_index=VOID, reduction="sum", label_smoothing=smoothing)
    return total / (masks != VOID).sum().clamp_min(1)


def multi_scale_loss(maps: Sequence[Tensor], masks: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Sum of the losses of all logit maps, each against the masks at its own size (Section 22).

    maps: (N, C + 1, h, w) each. masks: (N, H, W) int64, resized to each map by nearest neighbour.
    """
    return torch.stack([pixel_loss(m, shrink(masks, m.shape[-2:]), smoothing=smoothing) for m in maps]).sum()


def shrink(masks: Tensor, size: Sequence[int]) -> Tensor:
    """(N, H, W) int64 masks at another size by the nearest pixel's class; at their own size as they are."""
    if masks.shape[-2:] == tuple(size):
        return masks
    small = F.interpolate(masks[:, None].to(torch.uint8), tuple(size), mode="nearest-exact")
    return small[:, 0].long()
