"""CAM store: the normalised maps of the present classes, one small file an image, at a quarter of the image's side."""

from __future__ import annotations

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

LEVELS = 255  # a map in [0, 1] is kept as one byte a pixel: its error is at most 1 / 510


@dataclass(frozen=True, eq=False)
class StoredCAM:
    """CAMs of one image as stored.

    cam: (K, h, w) float32 in [0, 1]. classes: (K,) int64, ascending foreground indices from 0. size: (H, W), pixels.
    """

    cam: np.ndarray
    classes: np.ndarray
    size: tuple[int, int]


class CAMStore:
    """A folder of `<id>.npz` files: `cam` uint8 (K, h, w), `classes` int16 (K,), `size` int32 (2,).

    Files are written atomically and read one at a time, without pickle; an interrupted store is simply filled up.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def __contains__(self, image_id: str) -> bool:
        return self._path(image_id).is_file()

    def ids(self) -> list[str]:
        """Sorted ids of the images in the store; empty when there is no store."""
        return sorted(path.name[: -len(".npz")] for path in self.folder.glob("[!.]*.npz"))

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of `ids` that the store does not hold, in their order."""
        held = set(self.ids())
        return [image_id for image_id in ids if image_id not in held]

    def renew(self, made_of: Mapping[str, Any]) -> int:
        """Empty the store unless it was made of the same: weights, scales, whatever the caller names.

        Returns the number of images that were removed; 0 for a new store and for one that may be filled up.
        """
        note = self.folder / "made_of.json"
        old = files.read_json(note) if note.is_file() else None
        if old == json.loads(json.dumps(made_of)):
            return 0
        note.unlink(missing_ok=True)  # first, so that a kill amid the removal leaves no store that seems whole
        stale = self.ids()
        for image_id in stale:
            self._path(image_id).unlink()
        files.write_json(note, dict(made_of))
        return len(stale)

    def write(self, image_id: str, cam: np.ndarray, classes: np.ndarray, size: tuple[int, int]) -> None:
        """Keep the maps of one image.

        cam: (K, h, w) in [0, 1], normalised per map. classes: (K,) foreground indices from 0. size: (H, W), pixels.
        Raises ValueError when they do not fit each other or a value lies outside [0, 1].
        """
        cam, classes = np.asarray(cam, np.float32), np.asarray(classes)
        if cam.ndim != 3 or classes.shape != cam.shape[:1]:
            raise ValueError(f"cam must be (K, h, w) with K classes, got {cam.shape} and {classes.shape} ({image_id})")
        if cam.size and not (cam.min() >= 0 and cam.max() <= 1):  # also refuses NaN
            raise ValueError(f"cam must lie in [0, 1], got {cam.min()} to {cam.max()} ({image_id}): normalise it first")
        order = np.argsort(classes)
        with files.atomic(self._path(image_id)) as temporary:
            np.savez_compressed(
                temporary,
                cam=np.round(cam[order] * LEVELS).astype(np.uint8),
                classes=classes[order].astype(np.int16),
                size=np.asarray(size, np.int32),
            )

    def read(self, image_id: str) -> StoredCAM:
        """Maps of one image as they are stored.

        Raises FileNotFoundError when the store lacks it, ValueError when its file is truncated or of another kind.
        """
        path = self._path(image_id)
        try:
            with np.load(path, allow_pickle=False) as data:
                cam, classes, size = data["cam"], data["classes"], data["size"]
        except FileNotFoundError:
            raise FileNotFoundError(
                f"no CAM of image {image_id!r} in {self.folder}: run notebooks/02_infer_priors.ipynb first"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged ({error}): delete it and run 02_infer_priors again") from None
        return StoredCAM(cam.astype(np.float32) / LEVELS, classes.astype(np.int64), (int(size[0]), int(size[1])))

    def full_size(self, image_id: str) -> np.ndarray:
        """Maps at the image's own size: (K, H, W) float32 in [0, 1], bilinear, corners not aligned."""
        stored = self.read(image_id)
        return resize_maps(stored.cam, stored.size)

    def bytes(self) -> int:
        """Bytes on disk of all files of the store."""
        return sum(path.stat().st_size for path in self.folder.glob("[!.]*.npz"))

    def _path(self, image_id: str) -> Path:
        return self.folder / f"{image_id}.npz"


def resize_maps(cam: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear resize of (K, h, w) maps to (K, H, W), corners not aligned; no maps stay no maps."""
    if not len(cam):
        return np.zeros((0, *size), np.float32)
    return F.interpolate(torch.from_numpy(cam)[None], size, mode="bilinear", align_corners=False)[0].numpy()
