"""What the generator minimises: the terms of whichever loss a strategy makes, Equations (1), (3), (6), (8) and (9)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pnoc_lib.engine import batchnorm
from pnoc_lib.priors import cam, erasing, puzzle
from pnoc_lib.priors.strategies import Strategy


def generator_terms(
    generator: Callable[[Tensor], Tensor],
    eraser: nn.Module | None,
    images: Tensor,
    labels: Tensor,
    erased_class: Tensor | None,
    plan: Strategy,
    *,
    scope: str = "batch",
    leaky: bool = False,
    tile_statistics: bool = True,
    reconstruction: str = "raw",
) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
    """The terms of the generator's loss, lines 4 and 5 of Algorithm 1: those that the strategy has.

    generator, eraser: networks (or a learner of one) from images to raw CAMs. The eraser is `oc` or `noc`, fixed here:
    gradients pass through it to the erased image and none stay in it (`leaky`: they stay, as in the published code).
    images: (N, 3, H, W) normalised. labels: (N, C), 0 or 1. erased_class: (N,), from `erasing.draw_class`.
    reconstruction: what the puzzle compares, "raw" maps or "normalised" ones, see `puzzle.reconstruction_loss`.
    tile_statistics: whether the pass over the tiles enters the running statistics of BatchNorm.
    Returns the terms cls, re_cls, re, cse by name (scalars without weights); A = f(x), (N, C, h, w); the eraser's CAMs
    of the softly erased images, or None.
    """
    targets = cam.smooth_labels(labels, plan.label_smoothing)
    maps, seen = generator(images), None  # A
    terms = {"cls": cam.classification_loss(cam.gap(maps), targets)}
    if plan.puzzle:
        with batchnorm.keep_statistics(generator, keep=not tile_statistics):
            merged = puzzle.merge(generator(puzzle.tile(images)))  # A^re
        terms["re_cls"] = cam.classification_loss(cam.gap(merged), targets)
        terms["re"] = puzzle.reconstruction_loss(maps, merged, labels, reconstruction=reconstruction)
    if plan.eraser:
        with batchnorm.fixed(eraser, parameters=not leaky):
            seen = eraser(erasing.erase_soft(images, maps, erased_class, scope=scope))
        terms["cse"] = erasing.cse_loss(seen, labels, erased_class, smoothing=plan.label_smoothing)
    return terms, maps, seen


def generator_loss(terms: dict[str, Tensor], *, lambda_re: float, lambda_cse: float) -> Tensor:
    """The equation that the terms are those of: l_cls alone, Eq. (3), Eq. (6) or Eq. (8)."""
    if "re" in terms and "cse" in terms:
        return erasing.p_oc(**terms, lambda_re=lambda_re, lambda_cse=lambda_cse)
    if "re" in terms:
        return puzzle.loss(**terms, lambda_re=lambda_re)
    if "cse" in terms:
        return erasing.oc_cse(**terms, lambda_cse=lambda_cse)
    return terms["cls"]


def confidence(seen: Tensor, erased_class: Tensor) -> Tensor:
    """Mean probability of the erased class, given the eraser's CAMs (N, C, h, w) of erased images: a scalar."""
    return cam.gap(seen.detach()).gather(1, erased_class[:, None]).sigmoid().mean()


@torch.no_grad()
def erased_share(
    maps: Tensor, erased_class: Tensor, size: tuple[int, int], *, scope: str, delta: float | None = None
) -> Tensor:
    """Share of the pixels that was erased, in [0, 1]: the mean of the soft mask, or of the hard one at `delta`.

    maps: (N, C, h, w) raw. erased_class: (N,). size: (H, W) in pixels. scope: as for `erasing.attention`.
    """
    mask = erasing.attention(maps, erased_class, size, scope=scope)
    return mask.mean() if delta is None else (mask > delta).float().mean()
