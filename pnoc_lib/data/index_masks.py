"""A folder of index masks as VOC keeps them, `SegmentationClass`: PNGs with VOC's palette, read by `voc.read_masks`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pnoc_lib import files

MADE_OF, SOURCES = "made_of.json", "sources.json"


class MaskFolder:
    """A folder of `<id>.png`, filled image by image; an interrupted one is simply filled up."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def path(self, image_id: str) -> Path:
        """The file of an image, there or not."""
        return self.folder / f"{image_id}.png"

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of `ids` that have no mask, in their order."""
        held = {path.stem for path in self.folder.glob("[!.]*.png")}
        return [image_id for image_id in ids if image_id not in held]

    def write(self, image_id: str, mask: np.ndarray) -> None:
        """Keep the mask of one image; see `write_mask`."""
        write_mask(self.path(image_id), mask)

    def digest(self, ids: Iterable[str]) -> str:
        """Sixteen hexadecimal digits of the masks of these images: what a training that reads them depends on."""
        state = hashlib.sha256()
        for image_id in ids:
            state.update(image_id.encode() + b"\0" + self.path(image_id).read_bytes())
        return state.hexdigest()[:16]

    def renew(self, made_of: Mapping[str, Any]) -> int:
        """Empty the folder unless its masks were made of the same: weights, stores, settings.

        Returns the number of masks that were removed; 0 for a new folder and for one that may be filled up.
        """
        note, made_of = self.folder / MADE_OF, json.loads(json.dumps(made_of))
        if note.is_file() and files.read_json(note) == made_of:
            return 0
        note.unlink(missing_ok=True)  # first: a kill amid the removal leaves no folder that seems whole
        stale = list(self.folder.glob("[!.]*.png"))
        for path in stale:
            path.unlink()
        files.write_json(note, made_of)
        return len(stale)

    def drop_changed(self, sources: Mapping[str, str]) -> int:
        """Remove the masks of images that have changed since this was last called; returns how many.

        sources: a digest by id, as from `stores.sources`; those of other ids stay noted.
        """
        note = self.folder / SOURCES
        before = files.read_json(note) if note.is_file() else {}
        changed = [self.path(i) for i, own in sources.items() if before.get(i, own) != own and self.path(i).is_file()]
        for path in changed:
            path.unlink()
        files.write_json(note, before | dict(sources))
        return len(changed)


def write_mask(path: Path | str, mask: np.ndarray) -> None:
    """Write one mask as an indexed PNG with VOC's palette, atomically.

    mask: (H, W) whole numbers: 0 background, 1..C class index + 1, 255 void or uncertain.
    Raises ValueError for another shape, or values that are no byte.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or not mask.size or mask.dtype.kind not in "iu":
        raise ValueError(f"a mask must be (H, W) class indices, got {mask.dtype} {mask.shape} for {Path(path).name}")
    if not 0 <= mask.min() <= mask.max() <= 255:
        raise ValueError(f"mask values must be 0 to 255, got {mask.min()} to {mask.max()} for {Path(path).name}")
    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette(palette().ravel().tolist())
    with files.atomic(path) as temporary:
        image.save(temporary)


def palette() -> np.ndarray:
    """VOC's colours, (256, 3) uint8: the bits of the index, dealt to red, green and blue from the top."""
    index = np.arange(256)[:, None]
    colours = np.zeros((256, 3), int)
    for k in range(8):
        colours |= ((index >> (3 * k + np.arange(3))) & 1) << (7 - k)
    return colours.astype(np.uint8)
