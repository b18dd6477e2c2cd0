"""Do the data agree: one split with another, masks with labels, and today's files with those that were looked at?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pnoc_lib.data.images import LabeledImages, Masks
from pnoc_lib.data.problems import DataError

CONTRADICTION = 0.5  # of the images with masks: more than this share is no slip of an annotator


def same_classes(first: LabeledImages, *others: LabeledImages) -> None:
    """Raise DataError unless all splits have the same classes in the same order: index 3 means one thing everywhere."""
    for other in others:
        if other.classes == first.classes:
            continue
        missing = [name for name in first.classes if name not in other.classes]
        more = [name for name in other.classes if name not in first.classes]
        told = [f"{', '.join(missing[:5])} only in {first.split}"] if missing else []
        told += [f"{', '.join(more[:5])} only in {other.split}"] if more else []
        raise DataError(
            f'splits "{first.split}" and "{other.split}" of {first.name} have different classes '
            f"({'; '.join(told) or 'in another order'}): name the same classes in the same order for both"
        )


def digest(images: LabeledImages, masks: Masks | None = None) -> dict[str, str]:
    """Short names of what a split holds: equal as long as ids, classes, labels, sizes of photos and masks are.

    Returns {"images": ..., "masks": ...} (without masks the first alone), each 16 hexadecimal digits. Photos count by
    their size, since reading gigabytes takes minutes; mask files by their bytes. Places do not count, and a file
    that is missing is another one.
    """
    found = {"images": _name(images.classes, images.ids, images.labels.tobytes(), [_size(p) for p in images.paths])}
    if masks is not None:
        sources = [_bytes(source) if isinstance(source, Path) else repr(source) for source in masks.sources]
        found["masks"] = _name(masks.classes, masks.ids, sources)
    return found


def key(images: LabeledImages) -> str:
    """What a split is recorded under: its name and its number of images, since a list may have cut it short."""
    return f"{images.split}, {len(images)} images"


def unchanged(recorded: Mapping[str, Any], images: LabeledImages, masks: Masks | None = None) -> None:
    """Raise DataError when a split is not what it was when its digest was recorded.

    recorded: digests by `key`. A split that is not among them passes: nobody has looked at it before.
    """
    before = recorded.get(key(images), {})
    changed = [what for what, name in digest(images, masks).items() if before.get(what, name) != name]
    if changed:
        raise DataError(
            f'{" and ".join(changed)} of split "{images.split}" of {images.name} changed since they were looked at '
            "(ids, labels, masks or sizes of files): run 00_data again, then the stages after it"
        )


def contradictions(labels: np.ndarray, in_masks: np.ndarray) -> str:
    """One sentence when the masks of most images show classes that their labels do not name, else "".

    labels, in_masks: (n, C) 0 or 1, by image-level label and by mask. One image proves nothing: two are needed.
    """
    wrong = ((in_masks > 0) & (labels == 0)).any(axis=1)
    shown = (in_masks > 0).any(axis=1)
    if shown.sum() < 2 or wrong[shown].mean() <= CONTRADICTION:
        return ""
    return (
        f"masks of {int(wrong.sum())} of {int(shown.sum())} images show classes that their labels do not name: "
        "the order of the classes or the palette of the masks is another one, correct it"
    )


def _name(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _bytes(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
