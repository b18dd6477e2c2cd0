"""Puzzle-CAM: the map of the whole image and the merged maps of its quadrants must agree, Eq. (3) (Section 2.4.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from pnoc_lib.priors import cam as cams

RECONSTRUCTIONS = ("raw", "normalised")


def tile(images: Tensor) -> Tensor:
    """Cut every image into its four quadrants: tile in Section 2.4.2 and line 4 of Algorithm 1.

    images: (N, C, H, W) of any kind, even sides; for a network of stride s they must be divisible by 2 s.
    Returns (4N, C, H / 2, W / 2): all top left, all top right, all bottom left, all bottom right quadrants.
    Raises ValueError unless there are four axes and both sides are even.
    """
    _check(images, "images")
    if images.shape[-2] % 2 or images.shape[-1] % 2:
        raise ValueError(f"images of {tuple(images.shape[-2:])} pixels have no equal quadrants: give even sides")
    top, bottom = images.chunk(2, dim=-2)
    return torch.cat([*top.chunk(2, dim=-1), *bottom.chunk(2, dim=-1)])


def merge(cams: Tensor) -> Tensor:
    """Put the maps of four quadrants back in place, A^re: the inverse of `tile` (Section 2.4.2).

    cams: (4N, C, h, w) in the order of `tile`. Returns (N, C, 2h, 2w).
    Raises ValueError unless there are four axes and the first is divisible by four.
    """
    _check(cams, "cams")
    if len(cams) % 4:
        raise ValueError(f"{len(cams)} maps are not four quadrants of each image: give what `tile` gave, mapped")
    top_left, top_right, bottom_left, bottom_right = cams.chunk(4)
    return torch.cat([torch.cat([top_left, top_right], dim=-1), torch.cat([bottom_left, bottom_right], dim=-1)], dim=-2)


def reconstruction_loss(cam: Tensor, merged: Tensor, labels: Tensor, *, reconstruction: str = "raw") -> Tensor:
    """Mean absolute difference of the maps of present classes, L_re in Eq. (3) without its weight.

    cam, merged: (N, C, h, w) raw activations of the whole image and of its merged quadrants. labels: (N, C), 0 or 1,
    never smoothed. reconstruction: what is compared, the "raw" maps or the "normalised" ones, psi of Eq. (2).
    Returns a scalar in float32; gradients flow into both maps.
    Raises ValueError when the shapes do not fit, or for another `reconstruction`.
    Beyond the paper: "normalised". Raw maps agree best when both are small, so the term also shrinks them, and the more
    the larger their mean is against their peak, as it is in small images. Normalised, it is blind to their scale.
    Reads the paper as: absent classes are masked out, yet the mean divides by all C classes (lambda_re is made for
    that): of C = 20, an image of one class counts with a twentieth of its own difference.
    """
    if cam.shape != merged.shape or cam.shape[:2] != labels.shape:
        raise ValueError(
            f"maps {tuple(cam.shape)} and {tuple(merged.shape)} with labels {tuple(labels.shape)} do not fit: "
            "give maps of one shape (N, C, h, w) and labels (N, C)"
        )
    if reconstruction not in RECONSTRUCTIONS:
        raise ValueError(f"unknown reconstruction {reconstruction!r}: choose one of {', '.join(RECONSTRUCTIONS)}")
    whole, parts = cam.float(), merged.float()
    if reconstruction == "normalised":
        whole, parts = cams.normalize_cam(whole), cams.normalize_cam(parts)
    return ((whole - parts).abs() * labels[:, :, None, None]).mean()


def loss(cls: Tensor, re_cls: Tensor, re: Tensor, *, lambda_re: float) -> Tensor:
    """L_P, Eq. (3), from its terms: l_cls of the whole image, l_cls of the merged maps, `reconstruction_loss`."""
    return cls + re_cls + lambda_re * re


def _check(maps: Tensor, name: str) -> None:
    if maps.ndim != 4:
        raise ValueError(f"{name} must be (N, C, H, W), got {tuple(maps.shape)}")
