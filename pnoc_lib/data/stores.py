"""Map store: the maps of an image in one small file, at any resolution, with what they were made of beside them."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pnoc_lib import files
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.data.problems import DataError

LEVELS = 255  # a map in [0, 1] is kept as one byte a pixel: its error is at most 1 / 510
LONGEST_NAME = 160  # bytes of a file's name: leaves room for the temporary name within the usual 255
NOTE = "made_of.json"


@dataclass(frozen=True, eq=False)
class StoredMaps:
    """Maps of one image as stored.

    maps: (K, h, w) float32 in [0, 1]. classes: (K,) int64, ascending foreground indices from 0; 0 for a saliency map.
    size: (H, W) of the image, pixels.
    """

    maps: np.ndarray
    classes: np.ndarray
    size: tuple[int, int]


class MapStore:
    """A folder with one `.npz` file an image: K class maps (CAMs) or a single one (saliency), one byte a pixel.

    Arrays of a file: `maps` uint8 (K, h, w), `classes` int16 (K,), `size` int32 (2,); `image` and `source`, text in
    UTF-8. Files are written atomically and read one at a time, without pickle; an interrupted store is filled up.
    Any text will do as an id: what a file's name cannot hold is written otherwise there.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def __contains__(self, image_id: str) -> bool:
        return self._path(image_id).is_file()

    def ids(self) -> list[str]:
        """Sorted ids of the images in the store; empty when there is no store."""
        return sorted(self._id(path) for path in self._files())

    def missing(self, ids: Iterable[str], sources: Mapping[str, str] | None = None) -> list[str]:
        """Those of `ids` that the store does not hold, in their order.

        sources: by id, what an image's maps are made from now (see `source`): maps that were made from something else,
        before an image or a label was mended, count as missing.
        """
        held = set(self.ids())
        return [
            image_id
            for image_id in ids
            if image_id not in held or (sources is not None and self._text(image_id, "source") != sources[image_id])
        ]

    def renew(self, made_of: Mapping[str, Any]) -> int:
        """Empty the store unless it was made of the same: weights, scales, split, whatever the caller names.

        Returns the number of images that were removed; 0 for a new store and for one that may be filled up.
        """
        if self.made_of() == json.loads(json.dumps(made_of)):
            return 0
        note = self.folder / NOTE
        note.unlink(missing_ok=True)  # first, so that a kill amid the removal leaves no store that seems whole
        stale = self._files()
        for path in stale:
            path.unlink()
        files.write_json(note, dict(made_of))
        return len(stale)

    def made_of(self) -> dict[str, Any] | None:
        """What the store was made of, as `renew` was told; None when nobody said."""
        note = self.folder / NOTE
        return files.read_json(note) if note.is_file() else None

    def require(self, images: LabeledImages, *, by_class: bool = True, **made_of: Any) -> MapStore:
        """This store, when it holds the maps of all `images` and was made of what is named.

        by_class: the maps of an image must be those of the classes of its label; False for saliency.
        made_of: some of what `renew` was told, such as network="0123abcd" or split="train".
        Raises DataError when images are missing, were mended since, show other classes now, or when the store was made
        of something else: it is of another split, other weights or another prior.
        """
        held = self.made_of() or {}
        wrong = [
            f"{name} {held.get(name)!r}, not {value!r}" for name, value in made_of.items() if held.get(name) != value
        ]
        if wrong:
            raise DataError(
                f"the maps were made of {', '.join(wrong)}: make them anew, or name the run that they are of",
                self.folder,
            )
        missing = self.missing(images.ids)
        if missing:
            raise DataError(
                f"{len(missing)} of {len(images)} images have no map: {_some(missing)}; finish the store", self.folder
            )
        stale = self.missing(images.ids, sources(images))
        if by_class:
            stale += [
                i for i in images.ids if not np.array_equal(self.read(i).classes, np.flatnonzero(images.label(i)))
            ]
        if stale:
            stale = list(dict.fromkeys(stale))
            raise DataError(
                f"{len(stale)} of {len(images)} images have maps made from another image or label: {_some(stale)}; "
                "make them anew",
                self.folder,
            )
        return self

    def digest(self, ids: Iterable[str]) -> str:
        """Sixteen hexadecimal digits of the files of these images: what a training that reads them depends on."""
        state = hashlib.sha256()
        for image_id in ids:
            state.update(image_id.encode() + b"\0" + self._path(image_id).read_bytes())
        return state.hexdigest()[:16]

    def write(
        self, image_id: str, maps: np.ndarray, classes: np.ndarray, size: tuple[int, int], *, source: str = ""
    ) -> None:
        """Keep the maps of one image.

        maps: (K, h, w) in [0, 1], normalised per map, at any resolution. classes: (K,) foreground indices from 0.
        size: (H, W) of the image, pixels. source: what they are made from (see `source`).
        Raises ValueError when they do not fit each other or a value lies outside [0, 1].
        """
        maps, classes = np.asarray(maps, np.float32), np.asarray(classes)
        if maps.ndim != 3 or classes.shape != maps.shape[:1]:
            raise ValueError(
                f"maps must be (K, h, w) with K classes, got {maps.shape} and {classes.shape} ({image_id})"
            )
        if maps.size and not (maps.min() >= 0 and maps.max() <= 1):  # also refuses NaN
            raise ValueError(f"maps must lie in [0, 1], got {maps.min()} to {maps.max()} ({image_id}): normalise first")
        order = np.argsort(classes)
        with files.atomic(self._path(image_id)) as temporary:
            np.savez_compressed(
                temporary,
                maps=np.round(maps[order] * LEVELS).astype(np.uint8),
                classes=classes[order].astype(np.int16),
                size=np.asarray(size, np.int32),
                image=_bytes(image_id),
                source=_bytes(source),
            )

    def read(self, image_id: str) -> StoredMaps:
        """Maps of one image as they are stored.

        Raises FileNotFoundError when the store lacks it, ValueError when its file is truncated or of another kind.
        """
        maps, classes, size = self._arrays(image_id, "maps", "classes", "size")
        try:
            if maps.ndim != 3 or maps.dtype != np.uint8 or classes.shape != maps.shape[:1] or min(size) < 1:
                raise ValueError(f"maps {maps.dtype} {maps.shape}, classes {classes.shape}, size {size}")
            height, width = (int(side) for side in size)
            return StoredMaps(maps.astype(np.float32) / LEVELS, classes.astype(np.int64), (height, width))
        except (ValueError, TypeError) as error:
            raise self._damaged(image_id, error) from None

    def full_size(self, image_id: str) -> np.ndarray:
        """Maps at the image's own size: (K, H, W) float32 in [0, 1], bilinear, corners not aligned."""
        stored = self.read(image_id)
        return resize_maps(stored.maps, stored.size)

    def single(self, image_id: str) -> np.ndarray:
        """The one map of an image at its own size, (H, W) float32 in [0, 1]; zeros for an image that has none.

        Raises ValueError when it has several: they are CAMs, not saliency.
        """
        stored = self.read(image_id)
        if len(stored.maps) > 1:
            raise ValueError(
                f"{image_id} has {len(stored.maps)} maps in {self.folder}, not one: give a store of saliency"
            )
        return resize_maps(stored.maps, stored.size)[0] if len(stored.maps) else np.zeros(stored.size, np.float32)

    def bytes(self) -> int:
        """Bytes on disk of all maps of the store."""
        return sum(path.stat().st_size for path in self._files())

    def _files(self) -> list[Path]:
        return list(self.folder.glob("[!.]*.npz"))

    def _path(self, image_id: str) -> Path:
        return self.folder / f"{file_name(image_id)}.npz"

    def _id(self, path: Path) -> str:
        """The id of a file, from its name where that tells it, else from its content."""
        name = path.name[: -len(".npz")]
        if name.startswith("%~"):
            with np.load(path, allow_pickle=False) as data:
                return data["image"].tobytes().decode()
        return name.replace("%2F", "/").replace("%2E", ".").replace("%25", "%") if "%" in name else name

    def _text(self, image_id: str, name: str) -> str:
        return self._arrays(image_id, name)[0].tobytes().decode(errors="replace")

    def _arrays(self, image_id: str, *names: str) -> list[np.ndarray]:
        try:
            with np.load(self._path(image_id), allow_pickle=False) as data:
                return [data[name] for name in names]
        except FileNotFoundError:
            raise FileNotFoundError(f"no map of image {image_id!r} in {self.folder}: make the store first") from None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise self._damaged(image_id, error) from None

    def _damaged(self, image_id: str, error: Exception) -> ValueError:
        return ValueError(f"{self._path(image_id)} is damaged ({error}): delete it and make the store again")


def source(images: LabeledImages, image_id: str) -> str:
    """Sixteen hexadecimal digits of what the maps of an image are made from: its id, label and the size of its file."""
    place = images.index(image_id)
    path = images.paths[place]
    state = hashlib.sha256(image_id.encode() + b"\0" + images.labels[place].tobytes())
    state.update(str(path.stat().st_size if path.is_file() else 0).encode())
    return state.hexdigest()[:16]


def sources(images: LabeledImages) -> dict[str, str]:
    """`source` of every image, by id."""
    return {image_id: source(images, image_id) for image_id in images.ids}


def file_name(image_id: str) -> str:
    """The id as the stem of a file's name: itself but for a slash, a leading point and "%"; if too long, a digest."""
    name = image_id.replace("%", "%25").replace("/", "%2F")
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    return name if len(name.encode()) <= LONGEST_NAME else f"%~{hashlib.sha256(image_id.encode()).hexdigest()[:40]}"


def resize_maps(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear resize of (K, h, w) maps to (K, H, W), corners not aligned; no maps stay no maps."""
    if not len(maps):
        return np.zeros((0, *size), np.float32)
    if maps.shape[1:] == tuple(size):
        return maps
    return F.interpolate(torch.from_numpy(maps)[None], size, mode="bilinear", align_corners=False)[0].numpy()


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
