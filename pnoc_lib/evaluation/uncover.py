"""How little of an image a classifier needs to be sure: uncover its hottest pixels and ask again (Section 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pnoc_lib.priors import cam

ORDERS = ("hottest", "random")
COVER = 127  # grey of what is covered, of 0 to 255: the middle, which says least


def cover(image: Tensor, heat: Tensor, share: float) -> Tensor:
    """The image with all but its hottest pixels covered by grey.

    image: (3, H, W) uint8. heat: (H, W), any unit; pixels are uncovered in falling order of it, ties by position.
    share: of the pixels that stay to be seen, in [0, 1].
    Returns (3, H, W) uint8. Raises ValueError for a share out of range or heat of another size.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], got {share}: it is a fraction of the pixels")
    if heat.shape != image.shape[-2:]:
        raise ValueError(f"heat must be {tuple(image.shape[-2:])} like the image, got {tuple(heat.shape)}")
    seen = torch.zeros(heat.numel(), dtype=torch.bool)
    order = heat.flatten().argsort(descending=True, stable=True)
    seen[order[: round(share * heat.numel())]] = True
    return torch.where(seen.view(heat.shape), image, torch.full_like(image, COVER))


def sureness(
    predictor: Callable[[Tensor], Tensor],
    image: Tensor,
    index: int,
    shares: Sequence[float],
    *,
    order: str = "hottest",
    seed: int = 0,
) -> np.ndarray:
    """p of one class as more and more of an image is uncovered, by its own CAM or at random.

    predictor: (N, 3, H, W) uint8 -> raw CAMs (N, C, h, w). image: (3, H, W) uint8. index: of the class, from 0.
    order: "hottest": in the order of the CAM of the whole image; "random": smooth random blobs as coarse as a CAM, so
    that both orders show patches. seed: of the blobs.
    Returns (len(shares),) probabilities. Raises ValueError for another order.
    """
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}: choose one of {', '.join(ORDERS)}")
    maps = predictor(image[None])[0, index].cpu()
    if order == "random":
        maps = torch.rand(maps.shape, generator=torch.Generator().manual_seed(seed))
    heat = F.interpolate(maps[None, None].float(), image.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
    shown = torch.stack([cover(image, heat, share) for share in shares])
    return cam.gap(predictor(shown))[:, index].sigmoid().cpu().numpy()
