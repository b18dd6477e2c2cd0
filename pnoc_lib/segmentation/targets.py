"""What a segmentation network learns from: pseudo masks of a folder, or, for the fully supervised reference, the truth.

The two are different types, so that a call shows which of them trains: `train(network, images, PseudoMasks(...), ...)`
is weakly supervised, `train(network, images, SupervisedMasks(masks), ...)` is the reference row of Tables 8 and 9.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pnoc_lib.data import voc
from pnoc_lib.data.images import LabeledImages, Masks
from pnoc_lib.data.problems import DataError

IMAGE_FOLDERS = ("jpegimages", "images", "train2014", "val2014")  # beside which a data set keeps its masks


@dataclass(frozen=True, eq=False)
class PseudoMasks:
    """Index masks that an earlier stage made from image-level labels: a folder of <id>.png.

    folder: of the files. classes: C names; values are 0 background, 1..C, 255 uncertain: nothing is learned there.
    Raises DataError when the folder is missing.
    """

    folder: Path
    classes: tuple[str, ...]
    supervision = "image-level labels"

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))
        if not self.folder.is_dir():
            raise DataError("no such folder of pseudo masks: run the stage that makes them first", self.folder)

    def mask(self, id: str) -> np.ndarray:
        """(H, W) uint8 of one image; DataError when it is missing, unreadable or holds a value of no class."""
        return self.of([id]).mask(id)

    def of(self, ids: Sequence[str]) -> Masks:
        """The masks of these images, to be compared with the truth."""
        return voc.read_masks(self.folder, ids, classes=self.classes)

    def check(self, images: LabeledImages) -> None:
        """Raise DataError when masks are missing, or when the folder is the data set's own: that would be the truth."""
        own = images.paths[0].resolve().parent if images.paths else None
        data = own.parent if own and own.name.lower() in IMAGE_FOLDERS else own
        if data and self.folder.resolve().is_relative_to(data):
            raise DataError(
                "this folder lies in the data set: its masks are ground truth, not pseudo masks; "
                "the fully supervised reference takes SupervisedMasks",
                self.folder,
            )
        missing = [id for id in images.ids if not (self.folder / f"{id}.png").is_file()]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(images)} images have no pseudo mask, such as {', '.join(missing[:3])}: "
                f"make them for split {images.split!r} first",
                self.folder,
            )

    def digest(self, ids: Iterable[str]) -> str:
        """Sixteen hexadecimal digits of the files of these images."""
        state = hashlib.sha256()
        for id in ids:
            state.update((self.folder / f"{id}.png").read_bytes())
        return state.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class SupervisedMasks:
    """Ground truth as a target: the fully supervised reference, the only training of this project that sees a mask."""

    masks: Masks
    supervision = "masks"

    @property
    def classes(self) -> tuple[str, ...]:
        return self.masks.classes

    def mask(self, id: str) -> np.ndarray:
        """(H, W) uint8 of one image, as `Masks.mask`."""
        return self.masks.mask(id)

    def of(self, ids: Sequence[str]) -> Masks:
        """The masks of these images."""
        return self.masks.subset(ids)

    def check(self, images: LabeledImages) -> None:
        """Raise DataError when an image has no mask."""
        self.masks.subset(images.ids)

    def digest(self, ids: Iterable[str]) -> str:
        """Sixteen hexadecimal digits of the pixels of these images' masks."""
        state = hashlib.sha256()
        for id in ids:
            state.update(self.masks.mask(id).tobytes())
        return state.hexdigest()[:16]


Targets = PseudoMasks | SupervisedMasks
