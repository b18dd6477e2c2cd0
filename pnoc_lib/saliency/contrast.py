"""C2AM's contrast between the two halves of images, and the hints of C2AM-H: every term of Eqs. (7) and (11)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LOWEST, HIGHEST = 0.0005, 0.9995  # similarities are clamped to this range: their logarithms stay finite
ALPHA = 0.25  # how fast the weight of a pair falls with its rank (Xie et al. 2022)


def halves(features: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
    """The two vectors of each image: v_f, the mean of phi Z, and v_b, the mean of (1 - phi) Z (Section 2.4.4).

    features: (N, K, h, w), Z. phi: (N, 1, h, w) in [0, 1], how much a position belongs to the first half.
    Returns v_f and v_b, (N, K) float32 each; the one of an empty half is zero.
    """
    weights = torch.cat([phi, 1 - phi], dim=1).flatten(2)  # (N, 2, hw)
    vectors = weights.to(features.dtype) @ features.flatten(2).mT / weights.shape[-1]  # (N, 2, K)
    foreground, background = vectors.float().unbind(1)
    return foreground, background


def similarity(one: Tensor, other: Tensor) -> Tensor:
    """s_ij: cosine similarity of every vector of `one` with every one of `other`, clamped.

    one, other: (N, K). Returns (N, N) float32 in [`LOWEST`, `HIGHEST`]; a clamped pair has no gradient.
    """
    cosine = F.normalize(one.float(), dim=1) @ F.normalize(other.float(), dim=1).mT
    return cosine.clamp(LOWEST, HIGHEST)


@torch.no_grad()
def ranks(similarities: Tensor) -> Tensor:
    """rank_ij: how many images are more similar to image i than image j is; the nearest other has rank 0.

    similarities: (N, N). Returns (N, N) int64, without gradient; an image's rank to itself is -1.
    Beyond the paper: ties, which the clamp makes, go to the image that comes first in the batch.
    """
    own = torch.eye(len(similarities), dtype=torch.bool, device=similarities.device)
    order = similarities.masked_fill(own, torch.inf).argsort(dim=1, descending=True, stable=True)
    return order.argsort(dim=1) - 1


def rank_weights(ranked: Tensor, alpha: float = ALPHA) -> Tensor:
    """w_ij = exp(-alpha rank_ij): pairs that look alike count most, others are left alone (Eq. 7).

    ranked: (N, N), as from `ranks`. alpha: at least 0; with 0 all pairs count the same.
    Returns (N, N) float32: 1 for the nearest other image, then 0.7788, 0.6065, ... with the alpha of C2AM.
    """
    return torch.exp(-alpha * ranked.float())


def attraction(vectors: Tensor, alpha: float = ALPHA) -> Tensor:
    """L_pos-f or L_pos-b of Eq. (7): halves of one kind draw together, -w_ij log s_ij in the mean of all pairs i != j.

    vectors: (N, K), v_f or v_b of the images of a batch. alpha: see `rank_weights`.
    Returns a scalar, at least 0. Raises ValueError for a batch of one, which has no pair.
    Reads the paper as: with a minus. Eq. (7) prints +w log s, which minimised would push like features apart.
    Beyond the paper: nothing in the factor; the published code takes the mean of all n^2 pairs, which is
    (n - 1) / n of this, and a constant.
    """
    count = len(vectors)
    if count < 2:
        raise ValueError("one image has no pair to be compared with: give a batch of at least 2 a process")
    pairs = similarity(vectors, vectors)
    weighted = -rank_weights(ranks(pairs), alpha) * pairs.log()
    others = ~torch.eye(count, dtype=torch.bool, device=vectors.device)
    return weighted[others].sum() / (count * (count - 1))


def repulsion(foreground: Tensor, background: Tensor) -> Tensor:
    """L_neg of Eq. (7): the two halves part, within images and between them, -log(1 - s_ij) in the mean of all pairs.

    foreground, background: (N, K), v_f and v_b. Returns a scalar, at least 0.
    """
    return -(1 - similarity(background, foreground)).log().mean()


def hint_pixels(hint: Tensor, delta_fg: float = 0.4) -> Tensor:
    """Where the prior is sure of an object: [max_c A^c >= delta_fg] (Section 4.1).

    hint: (N, 1, h, w), the strongest normalised CAM of each pixel, in [0, 1]. delta_fg: in [0, 1]; paper 0.4.
    Returns (N, 1, h, w) bool. Pixels below are no hint of background: CAMs miss too much of an object for that.
    """
    if not 0 <= delta_fg <= 1:
        raise ValueError(f"delta_fg must be in [0, 1], got {delta_fg}: the paper's value is 0.4")
    return hint >= delta_fg


def hint_loss(logits: Tensor, hint: Tensor, delta_fg: float = 0.4, *, smoothing: float = 0.0) -> Tensor:
    """L_hint of Eq. (11): hint pixels belong to the first half; the mean over all hint pixels of a batch.

    logits: (N, 1, h, w), q with phi = sigmoid(q). hint, delta_fg: as for `hint_pixels`.
    smoothing: in [0, 1); the target is 1 - smoothing / 2. Without it a pixel gives -log phi.
    Returns a scalar; 0, with a gradient of 0, when no pixel is a hint.
    Reads the paper as: a mean. Eq. (11) prints a sum over pixels and images, which would dwarf the other terms.
    """
    sure = hint_pixels(hint, delta_fg)
    each = F.binary_cross_entropy_with_logits(
        logits.float(), torch.full_like(logits, 1 - smoothing / 2, dtype=torch.float32), reduction="none"
    )
    return (each * sure).sum() / sure.sum().clamp_min(1)


def terms(features: Tensor, logits: Tensor, alpha: float = ALPHA) -> dict[str, Tensor]:
    """The three terms of Eq. (7) by name, for the features (N, K, h, w) and logits (N, 1, h, w) of a batch."""
    foreground, background = halves(features, logits.float().sigmoid())
    return {
        "pos_f": attraction(foreground, alpha),
        "pos_b": attraction(background, alpha),
        "neg": repulsion(foreground, background),
    }
