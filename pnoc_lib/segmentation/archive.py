"""The archive that the test server of Pascal VOC takes, and a look at it with the server's eyes."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from pnoc_lib import files
from pnoc_lib.data import index_masks

COMPETITIONS = ("comp5", "comp6")  # segmentation with VOC's data alone, and with any other: ImageNet makes it comp6
FOLDER = "results/VOC2012/Segmentation/{competition}_test_cls"
LIMIT = 5  # names in a message


def write(masks: Path | str, archive: Path | str, sizes: Mapping[str, tuple[int, int]], competition: str) -> Path:
    """Pack the index masks of the test images as the server wants them: a .tgz of FOLDER/<id>.png.

    masks: folder of <id>.png. archive: file to write. sizes: by id, (H, W) in pixels, of the test images.
    competition: "comp5" or "comp6". Returns the path of the archive; the same masks give the same bytes.
    Raises ValueError, with all that the server would refuse, and then writes nothing.
    """
    folder = PurePosixPath(_folder(competition))
    with files.atomic(archive) as temporary:
        with (
            temporary.open("wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as tar,
        ):
            for id in sorted(sizes):
                path = Path(masks) / f"{id}.png"
                if path.is_file():
                    entry = tarfile.TarInfo(str(folder / path.name))
                    entry.size = path.stat().st_size
                    with path.open("rb") as content:
                        tar.addfile(entry, content)
        refused = check(temporary, sizes, competition)
        if refused:
            raise ValueError("the test server would refuse these masks:\n" + "\n".join(refused))
    return Path(archive)


def check(
    archive: Path | str, sizes: Mapping[str, tuple[int, int]], competition: str, *, num_classes: int = 20
) -> list[str]:
    """What the test server would refuse about an archive, one sentence a fault; empty when all is well.

    sizes: by id, (H, W) in pixels. Looked for: a file that is no .tgz; files in other folders; ids that are missing,
    unknown or there twice; files that are no PNG; colours instead of indices; another palette than VOC's; another size
    than the image's; values that are no class (255, void, among them: a prediction decides every pixel); no `sizes`.
    """
    folder = _folder(competition)
    if not sizes:
        return ["the test list is empty: give the size of every test image"]
    try:
        with gzip.open(archive) as packed:
            content = io.BytesIO(packed.read())  # to its end, where the checksum is
        with tarfile.open(fileobj=content) as tar:
            entries = [(entry.name, tar.extractfile(entry).read()) for entry in tar if entry.isfile()]
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        return [f"the archive is no readable .tgz ({error}): pack it again"]
    faults: dict[str, list[str]] = {}
    seen: Counter[str] = Counter()
    for name, content in entries:
        path = PurePosixPath(name)
        if str(path.parent) != folder or path.suffix != ".png":
            faults.setdefault(f"do not lie as <id>.png in {folder}", []).append(name)
            continue
        seen[path.stem] += 1
        if path.stem not in sizes:
            faults.setdefault("are no image of the test list", []).append(path.stem)
        elif fault := _fault(content, sizes[path.stem], num_classes):
            faults.setdefault(fault, []).append(path.stem)
    for fault, ids in (
        ("are missing", [id for id in sizes if not seen[id]]),
        ("are there more than once", [id for id, count in seen.items() if count > 1]),
    ):
        if ids:
            faults[fault] = ids
    return [
        f"{len(ids)} {fault}: {', '.join(ids[:LIMIT])}{', ...' * (len(ids) > LIMIT)}" for fault, ids in faults.items()
    ]


def _fault(content: bytes, size: tuple[int, int], num_classes: int) -> str:
    """What is wrong with one mask; "" when nothing is."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception as error:  # a broken file makes Pillow raise many kinds of exception
        return f"cannot be decoded ({type(error).__name__})"
    if image.format != "PNG":
        return f"are no PNG but {image.format}"
    if image.mode != "P":
        return f"hold colours or grey (mode {image.mode}) where indices with a palette are wanted"
    palette = np.array(image.getpalette()).reshape(-1, 3)[: num_classes + 1]
    if not np.array_equal(palette, index_masks.palette()[: num_classes + 1]):
        return "have another palette than VOC's"
    if image.size[::-1] != tuple(size):
        return "have another size than their image"
    if np.asarray(image).max() > num_classes:
        return f"hold values above {num_classes}, which are no class"
    return ""


def _folder(competition: str) -> str:
    if competition not in COMPETITIONS:
        raise ValueError(f"unknown competition {competition!r}: choose one of {', '.join(COMPETITIONS)}")
    return FOLDER.format(competition=competition)
