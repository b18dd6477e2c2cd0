"""What happens to probabilities in other processes: dense CRF and argmax. Light to import, without PyTorch."""

from __future__ import annotations

import numpy as np

from pnoc_lib.engine import crf


def masks(
    pictures: list[np.ndarray], shares: list[np.ndarray], classes: list[np.ndarray], with_crf: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks of some images after the CRF of Section 21, and before it.

    pictures: (H, W, 3) uint8 RGB. shares: (K, H, W) float32 probabilities of the classes that reach `crf.PRESENT`.
    classes: (K,) their indices, 0 background. with_crf: False gives the same mask twice.
    Returns a pair of (H, W) uint8 an image.
    """
    result = []
    for picture, share, kept in zip(pictures, shares, classes, strict=True):
        plain = kept[share.argmax(axis=0)].astype(np.uint8)
        refined = (
            kept[crf.refine_probabilities(picture, share, crf.SEGMENTATION)].astype(np.uint8) if with_crf else plain
        )
        result.append((refined, plain))
    return result
