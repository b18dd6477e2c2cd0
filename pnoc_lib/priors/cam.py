"""Class activation maps: Equations (1) and (2), the classification loss, label smoothing (Sections 2.4.1 and 6.1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def gap(cam: Tensor) -> Tensor:
    """Average every map over its positions: GAP in Eq. (1), the logits before the sigmoid.

    cam: (N, C, H, W) raw activations, no unit.
    Returns (N, C) in float32, whatever the precision of `cam`.
    Raises ValueError unless `cam` has four axes.
    """
    _check_axes(cam)
    return cam.float().mean(dim=(-2, -1))


def normalize_cam(cam: Tensor, eps: float = 1e-5) -> Tensor:
    """Scale every class map to [0, 1] by its own peak: psi in Eq. (2).

    cam: (N, C, H, W) raw activations, no unit.
    Returns (N, C, H, W) in [0, 1]; a map without a positive pixel stays zero.
    Raises ValueError unless `cam` has four axes.
    Beyond the paper: `eps` is added to the peak, so that a silent class is not divided by zero.
    """
    _check_axes(cam)
    positive = cam.relu()
    peak = positive.amax(dim=(-2, -1), keepdim=True)  # (N, C, 1, 1)
    return positive / (peak + eps)


def smooth_labels(labels: Tensor, smoothing: float) -> Tensor:
    """Pull binary targets towards one half: (1 - smoothing) y + smoothing / 2 (label smoothing, Section 6.1).

    labels: (N, C) in {0, 1}. smoothing: fraction in [0, 1]; 0.1 turns {0, 1} into {0.05, 0.95}.
    Returns (N, C) float.
    Raises ValueError when `smoothing` is outside [0, 1].
    Reads the paper as: every class is a two-way problem, so the mass given away is shared by "present" and "absent".
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing must be a fraction in [0, 1], got {smoothing}: the paper's value is 0.1")
    return labels.float() * (1 - smoothing) + smoothing / 2


def classification_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Multi-label soft margin loss l_cls of Equations (3), (6), (8) and (10): the mean over images and classes.

    logits: (N, C) before the sigmoid, no unit. targets: (N, C) in [0, 1], hard or smoothed.
    Returns a scalar in float32; log 2 for zero logits, whatever the targets.
    Raises ValueError when the shapes differ.
    Beyond the paper: written on logits rather than on probabilities, so that log(sigmoid) never meets a rounded zero.
    """
    if logits.shape != targets.shape:
        raise ValueError(
            f"logits and targets must have one shape, got {tuple(logits.shape)} and {tuple(targets.shape)}: "
            "both are (images, classes)"
        )
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float())


def _check_axes(cam: Tensor) -> None:
    if cam.ndim != 4:
        raise ValueError(f"cam must be (N, C, H, W), got {tuple(cam.shape)}")
