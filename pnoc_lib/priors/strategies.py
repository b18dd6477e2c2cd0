"""The six strategies as data: puzzle on or off, erasing by nobody, `oc` or `noc`, label smoothing, augmentation.

CAM, P (Puzzle), OC-CSE, P-OC, NOC-CSE and P-NOC are names for combinations of the two switches; one function computes
the terms of whichever loss they make (Sections 2.4, 3.1 and 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from pnoc_lib.engine import batchnorm
from pnoc_lib.priors import cam, erasing, puzzle

ERASERS = (None, "oc", "noc")
SMOOTHING = 0.1  # of the strategies whose name ends in -ls (Section 6.1)


@dataclass(frozen=True)
class Strategy:
    """Two switches and what goes with them.

    puzzle: Eq. (3). eraser: None; "oc", a fixed ordinary classifier, Eq. (6); "noc", one that learns, Eq. (10).
    label_smoothing: fraction in [0, 1]. augment: one of `augment.AUGMENTATIONS`.
    Raises ValueError for an unknown eraser.
    """

    puzzle: bool = False
    eraser: str | None = None
    label_smoothing: float = 0.0
    augment: str = "jitter"

    def __post_init__(self):
        if self.eraser not in ERASERS:
            raise ValueError(f"unknown eraser {self.eraser!r}: choose one of {', '.join(map(str, ERASERS))}")


def _named() -> dict[str, Strategy]:
    plain = {
        "cam": Strategy(augment="randaugment"),
        "cam-more": Strategy(),  # an ordinary classifier trained on: the fair rival of what starts from one
        "puzzle": Strategy(puzzle=True),
        "oc-cse": Strategy(eraser="oc"),
        "p-oc": Strategy(puzzle=True, eraser="oc"),
        "noc-cse": Strategy(eraser="noc"),
        "p-noc": Strategy(puzzle=True, eraser="noc"),
    }
    smoothed = {f"{name}-ls": replace(strategy, label_smoothing=SMOOTHING) for name, strategy in plain.items()}
    return plain | smoothed


STRATEGIES = _named()  # the paper's (Sections 2.4, 3.1, 3.2), and cam-more; -ls: with label smoothing


def named(name: str) -> Strategy:
    """The strategy of a name; ValueError tells the names there are."""
    if name not in STRATEGIES:
        raise ValueError(f"unknown strategy {name!r}: choose one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def generator_terms(
    generator: nn.Module,
    eraser: nn.Module | None,
    images: Tensor,
    labels: Tensor,
    erased_class: Tensor | None,
    strategy: Strategy,
    *,
    scope: str = "batch",
    leaky: bool = False,
    tile_statistics: bool = True,
) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
    """The terms of the generator's loss, lines 4 and 5 of Algorithm 1: those that the strategy has.

    generator, eraser: networks from images to raw CAMs; the eraser is `oc` or `noc`, fixed here: gradients pass through
    it to the erased image and none stay in it (`leaky`: they stay, as in the published code).
    images: (N, 3, H, W) normalised. labels: (N, C), 0 or 1. erased_class: (N,), from `erasing.draw_class`.
    tile_statistics: whether the pass over the tiles enters the running statistics of BatchNorm.
    Returns the terms cls, re_cls, re, cse by name (scalars without weights); A = f(x), (N, C, h, w); the eraser's CAMs
    of the softly erased images, or None.
    """
    targets = cam.smooth_labels(labels, strategy.label_smoothing)
    maps, seen = generator(images), None  # A
    terms = {"cls": cam.classification_loss(cam.gap(maps), targets)}
    if strategy.puzzle:
        with batchnorm.keep_statistics(generator, keep=not tile_statistics):
            merged = puzzle.merge(generator(puzzle.tile(images)))  # A^re
        terms["re_cls"] = cam.classification_loss(cam.gap(merged), targets)
        terms["re"] = puzzle.reconstruction_loss(maps, merged, labels)
    if strategy.eraser:
        with batchnorm.fixed(eraser, parameters=not leaky):
            seen = eraser(erasing.erase_soft(images, maps, erased_class, scope=scope))
        terms["cse"] = erasing.cse_loss(seen, labels, erased_class, smoothing=strategy.label_smoothing)
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
