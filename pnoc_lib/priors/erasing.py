"""Class-specific erasing: what is left of an image without one of its classes, Equations (4)-(6) and (8)-(10)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pnoc_lib.priors import cam as cams
from pnoc_lib.priors import puzzle

SCOPES = ("batch", "image")


def draw_class(labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One present class an image, each as likely as the others: r in line 2 of Algorithm 1.

    labels: (N, C), 0 or 1. Returns (N,) int64 class indices.
    Raises ValueError when an image has no class.
    """
    if labels.ndim != 2 or not (labels > 0).any(dim=1).all():
        raise ValueError(f"every row of labels (N, C) must have a class to draw, got {tuple(labels.shape)}")
    return torch.multinomial((labels > 0).float(), 1, generator=generator)[:, 0]


def attention(cam: Tensor, erased_class: Tensor, size: tuple[int, int], *, scope: str, eps: float = 1e-5) -> Tensor:
    """psi(A^r) at the size of the image: the normalised map of the erased class, Eq. (2), enlarged.

    cam: (N, C, h, w) raw activations. erased_class: (N,) indices. size: (H, W) in pixels.
    scope: the peak that divides, of each "image" (Eq. 2) or of the whole "batch".
    Returns (N, 1, H, W) float32 in [0, 1], differentiable, peak included; zero where the class has no positive value.
    Raises ValueError for another scope.
    Reads the paper as: rectified before the bilinear enlarging.
    """
    if scope not in SCOPES:
        raise ValueError(f"unknown scope {scope!r} of the peak: choose one of {', '.join(SCOPES)}")
    own = cam[torch.arange(len(cam), device=cam.device), erased_class][:, None]  # (N, 1, h, w)
    large = F.interpolate(own.float().relu(), size, mode="bilinear", align_corners=False)  # (N, 1, H, W)
    peak = large.amax(dim=(1, 2, 3), keepdim=True) if scope == "image" else large.amax()
    return large / (peak + eps)


def erase_soft(images: Tensor, cam: Tensor, erased_class: Tensor, *, scope: str = "batch") -> Tensor:
    """x o (1 - psi(A^r)), Equations (4) and (5): fade what the map of class r covers, differentiably in `cam`.

    images: (N, 3, H, W) normalised, so that 0 is the data set's mean colour. cam: (N, C, h, w) raw activations.
    erased_class: (N,) indices. Returns (N, 3, H, W).
    Reads the paper as: divided by the peak of the whole batch (scope "batch"), as published code does; Eq. (2) says
    "image". With "batch" the result of an image depends on its neighbours, and most images are erased only in part; the
    batch is what one process holds of it, so that several processes have each its own peak.
    """
    return images * (1 - attention(cam, erased_class, images.shape[-2:], scope=scope))


def erase_hard(images: Tensor, cam: Tensor, erased_class: Tensor, delta_noc: float = 0.2) -> Tensor:
    """x o [psi(A^r) <= delta_noc]: cut out all that the map of class r covers; line 9 of Algorithm 1.

    images, cam, erased_class: as for `erase_soft`; each map by its own peak. delta_noc: in [0, 1]; paper 0.2.
    Returns (N, 3, H, W) without a gradient into `cam`; an image whose class has no positive value is left whole.
    Raises ValueError when `delta_noc` is outside [0, 1].
    Reads the paper as: kept where psi <= delta_noc. Its `1 - psi > delta_noc` would keep psi < 0.8, four fifths of the
    core; the text ("completely removing") and the code agree on ours.
    """
    check_threshold(delta_noc)
    return images * (attention(cam.detach(), erased_class, images.shape[-2:], scope="image") <= delta_noc)


def check_threshold(delta_noc: float) -> None:
    """Raises ValueError when `delta_noc`, what is cut out of a normalised map, is outside [0, 1]."""
    if not 0 <= delta_noc <= 1:
        raise ValueError(f"delta_noc must be in [0, 1], got {delta_noc}: the paper's value is 0.2")


def without(labels: Tensor, erased_class: Tensor) -> Tensor:
    """y minus {r} in Equations (6), (8) and (9): labels (N, C) with the erased class of each image set to 0."""
    return labels.scatter(1, erased_class[:, None], 0)


def cse_loss(erased_cam: Tensor, labels: Tensor, erased_class: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """What the classifier still sees of r in the erased image: l_cls(p^oc, y minus {r}) of Equations (6), (8), (9).

    erased_cam: (N, C, h, w), `oc` or `noc` of the softly erased images. labels: (N, C), 0 or 1. Returns a scalar.
    Reads the paper as: the target is smoothed after r was removed, so r counts as an absent class.
    """
    targets = cams.smooth_labels(without(labels, erased_class), smoothing)
    return cams.classification_loss(cams.gap(erased_cam), targets)


def oc_cse(cls: Tensor, cse: Tensor, *, lambda_cse: float) -> Tensor:
    """L_OC-CSE, Eq. (6), from its terms: l_cls of the image and `cse_loss`; with `noc` for `oc` NOC-CSE and Eq. (9)."""
    return cls + lambda_cse * cse


def p_oc(cls: Tensor, re_cls: Tensor, re: Tensor, cse: Tensor, *, lambda_re: float, lambda_cse: float) -> Tensor:
    """L_P-OC, Eq. (8): Eq. (3) and the erasing term; with `noc` for `oc`, the generator's loss of P-NOC."""
    return puzzle.loss(cls, re_cls, re, lambda_re=lambda_re) + lambda_cse * cse


def noc_loss(erased_cam: Tensor, labels: Tensor, *, lambda_noc: float, smoothing: float = 0.0) -> Tensor:
    """L_noc, Eq. (10): `noc` is to find every class, r included, in what hard erasure left.

    erased_cam: (N, C, h, w), `noc` of the images that `erase_hard` gave. labels: (N, C), 0 or 1. Returns a scalar.
    """
    return lambda_noc * cams.classification_loss(cams.gap(erased_cam), cams.smooth_labels(labels, smoothing))
