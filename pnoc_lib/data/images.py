"""What every reader hands out: images with image-level labels, and masks, kept apart.

`LabeledImages` is all that training may see: it holds no mask and no way to one. `Masks` is for evaluation.
Pixels are taken as they lie in the file: an EXIF orientation is ignored, because masks are drawn on those pixels.
"""

from __future__ import annotations

import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from pnoc_lib.data.problems import DataError

LONGEST_CLASS = 100  # letters of a class name: figures and tables have no room for more
LONGEST_ID = 200  # bytes of an id: file names end at 255, and stores add to it
FLATTEST = 64  # longer side over shorter side of an image: beyond it, resizing the shorter one asks for gigabytes
VOID = 255  # mask value of pixels that count for nobody: object borders, difficult regions


@dataclass(frozen=True, eq=False, repr=False)
class LabeledImages:
    """Images with image-level labels and nothing else.

    name, split: of the data set ("voc", "trainaug").   classes: C names, background not among them.
    ids: n different names, also used as file names.    paths: n image files in the order of `ids`.
    labels: (n, C) uint8, 1 where the class is in the image.
    label_source: where the labels come from: "boxes", "masks", "instances" or "csv".
    Raises DataError for repeated ids or classes, or labels of another shape or other values than 0 and 1.
    """

    name: str
    split: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    labels: np.ndarray
    paths: tuple[Path, ...]
    label_source: str = ""
    _position: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        check_classes(self.classes)
        object.__setattr__(self, "_position", _positions(self.ids))
        shape = (len(self.ids), len(self.classes))
        if self.labels.shape != shape or self.labels.dtype != np.uint8 or len(self.paths) != len(self.ids):
            raise DataError(
                f"labels must be uint8 (images, classes) = {shape} with one path an image, got {self.labels.dtype} "
                f"{self.labels.shape} and {len(self.paths)} paths: give one row and one path for every id"
            )
        if self.labels.size and self.labels.max() > 1:
            raise DataError(f"labels must be 0 or 1, got {self.labels.max()}: 1 marks a class that is in the image")

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        source = f", labels from {self.label_source}" if self.label_source else ""
        return f"<{self.name} {self.split}: {len(self)} images, {len(self.classes)} classes{source}>"

    def index(self, id: str) -> int:
        """Position of an id in `ids`, `labels` and `paths`; DataError for an unknown one."""
        return _index(self._position, id, f"the images of {self.name} {self.split}")

    def image(self, id: str) -> Image.Image:
        """The image in RGB, decoded now (see `read_image`); DataError for an unknown id or an unreadable file."""
        return read_image(self.paths[self.index(id)])

    def label(self, id: str) -> np.ndarray:
        """(C,) uint8, 1 where the class is in the image; DataError for an unknown id."""
        return self.labels[self.index(id)]

    def subset(self, ids: Iterable[str]) -> LabeledImages:
        """The given ids, in the given order; DataError for an unknown or repeated one."""
        ids = tuple(ids)
        rows = [self.index(id) for id in ids]
        return replace(self, ids=ids, labels=self.labels[rows], paths=tuple(self.paths[row] for row in rows))

    def with_labels(self) -> LabeledImages:
        """The images that show at least one class: what a classifier trains on."""
        return self.subset(id for id, label in zip(self.ids, self.labels, strict=True) if label.any())

    def label_counts(self) -> pd.Series:
        """Images that show each class, indexed by class name."""
        return pd.Series(self.labels.sum(axis=0, dtype=np.int64), index=list(self.classes), name="images")


@dataclass(frozen=True, eq=False, repr=False)
class Masks:
    """Ground truth by pixel, for evaluation only.

    classes: C names; mask index = position + 1.   ids: n different names.
    sources: n things that `read` turns into a (H, W) uint8 mask: files for a VOC-style tree, outlines for COCO.
    Raises DataError for repeated ids or classes, or another number of sources.
    """

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    sources: tuple[Any, ...]
    read: Callable[[Any], np.ndarray]
    _position: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        check_classes(self.classes)
        object.__setattr__(self, "_position", _positions(self.ids))
        if len(self.sources) != len(self.ids):
            raise DataError(f"got {len(self.ids)} ids and {len(self.sources)} mask sources: give one for every id")

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<{len(self)} masks, {len(self.classes)} classes>"

    def source(self, id: str) -> Any:
        """The file, or whatever else the mask is made from; DataError for an unknown id."""
        return self.sources[_index(self._position, id, "the masks")]

    def mask(self, id: str) -> np.ndarray:
        """(H, W) uint8, read now: 0 background, 1..C class index + 1, 255 void.

        Raises DataError for an unknown id, an unreadable file, or an index that no class has.
        """
        source = self.source(id)
        mask = self.read(source)
        count = len(self.classes)
        if ((mask > count) & (mask != VOID)).any():
            wrong = [str(value) for value in np.unique(mask) if count < value < VOID]
            raise DataError(
                f"mask of {id} holds index {', '.join(wrong[:5])}, and there are {count} classes: "
                f"allowed are 0 (background), 1..{count} and {VOID} (void)",
                source if isinstance(source, Path) else None,
            )
        return mask

    def subset(self, ids: Iterable[str]) -> Masks:
        """The given ids, in the given order; DataError for an unknown or repeated one."""
        ids = tuple(ids)
        return replace(self, ids=ids, sources=tuple(self.source(id) for id in ids))


def read_image(path: Path) -> Image.Image:
    """Decode an image file to RGB.

    Grey, palette and CMYK images are converted, 16-bit grey keeps its 8 upper bits, transparency is dropped.
    Raises DataError when the file is missing, empty, cut short, no image, of 32 bits a channel (their range is
    anybody's guess) or more than 64 times as long as high.
    """
    image = _decode(path, "image")
    if max(image.size) > FLATTEST * min(image.size):
        raise DataError(f"image is {image.width} x {image.height} pixels: cut it to a shape nearer to a square", path)
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise DataError(f"image has 32 bits a channel (mode {image.mode}): save it with 8 or 16 bits", path)
    if image.mode.startswith("I"):  # 16-bit grey: `convert` would clip it to white
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGBA" if "transparency" in image.info else "RGB").convert("RGB")


def read_index_mask(path: Path) -> np.ndarray:
    """(H, W) uint8 class indices of a PNG with a palette (its indices, not its colours) or in 8-bit grey.

    Raises DataError when the file is missing, empty, cut short, no image, a JPEG, or holds colours.
    """
    image = _decode(path, "mask")
    if image.format == "JPEG":
        raise DataError("mask is a JPEG, which blurs class indices: save it as PNG from the source", path)
    if image.mode not in ("P", "L"):
        raise DataError(
            f"mask holds colours or other values (mode {image.mode}), not class indices: "
            "save it as PNG with a palette (mode P) or in 8-bit grey (mode L)",
            path,
        )
    return np.array(image, dtype=np.uint8)


def present_classes(mask: np.ndarray, num_classes: int) -> np.ndarray:
    """(C,) uint8, 1 for every class with at least one pixel in a mask (H, W) uint8."""
    return (np.bincount(mask.ravel(), minlength=256)[1 : num_classes + 1] > 0).astype(np.uint8)


def check_classes(classes: Sequence[str]) -> None:
    """Raise DataError unless there are 1 to 254 different class names (a mask has room for no more)."""
    if isinstance(classes, str) or not 1 <= len(classes) < VOID:
        raise DataError(f"classes must be a list of 1 to {VOID - 1} names, got {classes!r}: name every class once")
    repeated = _repeated(classes)
    if repeated:
        raise DataError(f"classes must differ, got {', '.join(repeated[:5])} more than once: name every class once")
    for name in classes:
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"a class needs a name, got {name!r}: give every class one")
        if len(name) > LONGEST_CLASS:
            raise DataError(
                f"class {name[:20]!r}... has {len(name)} letters: give it a name of at most {LONGEST_CLASS}"
            )
        if unseen := [
            sign for sign in name if unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")
        ]:
            raise DataError(f"class {name!a} holds a sign that nobody sees, {unseen[0]!a}: write it without")
    alike: dict[str, str] = {}
    for name in classes:
        other = alike.setdefault(" ".join(unicodedata.normalize("NFKC", name).casefold().split()), name)
        if other != name:
            raise DataError(f"classes {other!a} and {name!a} differ in spelling only: write one name for both")


def _decode(path: Path, what: str) -> Image.Image:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
            raise DataError(f"{what} is no regular file: put the file there", path)
        with Image.open(path) as image:
            image.load()
            return image
    except DataError:
        raise
    except FileNotFoundError:
        problem = f"no such {what}: put the file there, or take its id off the list"
    except UnidentifiedImageError:
        problem = f"{what} is empty" if path.stat().st_size == 0 else f"{what} is in no format that Pillow knows"
        problem += ": get the file again"
    except Exception as error:  # a broken file makes Pillow raise many kinds of exception
        problem = f"{what} cannot be decoded ({error}): get the file again"
    raise DataError(problem, path)


def _positions(ids: Sequence[str]) -> dict[str, int]:
    for id in ids:
        if len(id.encode(errors="replace")) > LONGEST_ID:
            raise DataError(
                f'id "{id[:40]}..." has {len(id)} letters: ids are file names, keep them below {LONGEST_ID}'
            )
        if any(unicodedata.category(sign) == "Cc" for sign in id):
            raise DataError(f"id {id!a} holds a control character: ids are file names, write it without")
    repeated = _repeated(ids)
    if repeated:
        raise DataError(f"ids must differ, got {', '.join(repeated[:5])} more than once: name every image once")
    return {id: position for position, id in enumerate(ids)}


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _index(position: dict[str, int], id: str, where: str) -> int:
    if id not in position:
        first = f", such as {next(iter(position))}" if position else ""
        raise DataError(f'no id "{id}" among {where}: use one of its {len(position)} ids{first}')
    return position[id]
