"""Read COCO14: instances JSON and photos; labels and masks are made from the object outlines, by pycocotools."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from pnoc_lib.data.images import VOID, LabeledImages, Masks
from pnoc_lib.data.problems import DataError, raise_all
from pnoc_lib.data.voc import read_ids

WHERE_COCO_GOES = "put COCO's annotations/instances_{split}.json and the folder {split} of photos into {root}"
LARGEST_SIDE = 65500  # pixels; what a JPEG can be
PARTS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("image_id", "category_id"),
    "categories": ("id", "name"),
}


def read_coco(
    root: Path | str,
    split: str,
    *,
    annotations: Path | str | None = None,
    ids_file: Path | str | None = None,
) -> tuple[LabeledImages, Masks | None]:
    """Images with labels, and masks, of one split in COCO's format.

    root: the folder that holds `annotations` and the photos (in <split>, images/<split> or images).
    split: "train" and "val" mean train2014 and val2014; other names are taken as they are.
    annotations: another JSON file than annotations/instances_<split>.json.   ids_file: a list of ids to keep.
    The classes are the categories in ascending id order (80 in COCO14: mask index 1 is person), an id is the photo's
    file name without suffix, and a class is in the image when an object of it is annotated, crowds included.
    Images without an object are kept, as all background; training leaves them out by `images.with_labels()`.
    Masks are painted when asked for (see `paint`); None when no object has an outline.
    A file of the size of instances_train2014.json takes half a minute and 2 to 4 GB of memory.
    Raises DataError, with all problems at once, for missing files, a JSON of another form, values that are none of
    COCO's, unknown or repeated categories or images, and an empty split.
    """
    root = Path(root)
    split = f"{split}2014" if split in ("train", "val") else split
    path = Path(annotations) if annotations else root / "annotations" / f"instances_{split}.json"
    content = _load(path, WHERE_COCO_GOES.format(split=split, root=root))
    if not content["images"]:
        raise DataError("the split is empty, this file names no image: give another one", path)
    raise_all([f"{path}: {problem}" for problem in _problems(content)])
    index = _index(content)
    indices = {category: position for position, category in enumerate(sorted(index.cats), start=1)}
    records = [index.imgs[number] for number in sorted(index.imgs)]

    photos = _photo_folder(root, split)
    classes = tuple(index.cats[category]["name"] for category in indices)
    labels = np.zeros((len(records), len(classes)), np.uint8)
    for row, record in zip(labels, records, strict=True):
        row[[indices[entry["category_id"]] - 1 for entry in index.imgToAnns[record["id"]]]] = 1
    ids = tuple(Path(record["file_name"]).stem for record in records)
    paths = tuple(photos / record["file_name"] for record in records)
    images = LabeledImages("coco14", split, classes, ids, labels, paths, "instances")
    masks = None
    if any(entry.get("segmentation") for entry in content["annotations"]):
        masks = Masks(classes, ids, tuple(record["id"] for record in records), partial(paint, index, indices))
    if ids_file is not None:
        wanted = read_ids(Path(ids_file))
        images, masks = images.subset(wanted), masks and masks.subset(wanted)
    return images, masks


def paint(index: COCO, indices: Mapping[int, int], image: int) -> np.ndarray:
    """(H, W) uint8 mask of one image: background 0, objects by class index 1..C, 255 void.

    index: the annotations. indices: category id -> class index. image: its id in `index`.
    Beyond the paper: crowd regions come first and are void, since they are outlined coarsely; objects follow from
    many pixels to few, so that where two overlap the smaller one is seen. Polygons with fewer than three corners
    have no area and are left out.
    Raises DataError when an object has no outline or a broken one.
    """
    record = index.imgs[image]
    size = (record["height"], record["width"])
    objects = []
    for entry in index.imgToAnns[image]:
        try:
            outline = _outline(entry.get("segmentation"), size)
            objects.append((entry, index.annToMask({"image_id": image, "segmentation": outline}).astype(bool)))
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"mask of {Path(record['file_name']).stem} cannot be painted, an object of class "
                f"{indices[entry['category_id']]} has a broken outline ({type(error).__name__}: {error}): "
                "correct the annotation or leave the image out"
            ) from None
    mask = np.zeros(size, np.uint8)
    for entry, inside in sorted(objects, key=lambda item: (not item[0].get("iscrowd"), -item[1].sum())):
        mask[inside] = VOID if entry.get("iscrowd") else indices[entry["category_id"]]
    return mask


def _outline(outline: Any, size: tuple[int, int]) -> Any:
    """The outline as pycocotools can take it: its C code trusts every number, and writes or reads where they point."""
    if isinstance(outline, Mapping):
        counts = outline["counts"]
        runs = counts if isinstance(counts, list) else _run_lengths(counts)
        if not all(isinstance(run, int) and run >= 0 for run in runs):
            raise ValueError("runs must be whole numbers of pixels, not below 0")
        if tuple(outline["size"]) != size or sum(runs) != size[0] * size[1]:
            raise ValueError(f"runs of {sum(runs)} pixels for {outline['size']}, the image has {list(size)}")
        return outline
    polygons = [np.asarray(polygon, dtype=np.float64).ravel() for polygon in outline or ()]
    if not polygons:
        raise ValueError("no outline")
    if any(polygon.size % 2 or not np.isfinite(polygon).all() for polygon in polygons):
        raise ValueError("a corner without x and y")
    reach = max(size)
    if any(((polygon < -reach) | (polygon > 2 * reach)).any() for polygon in polygons):
        raise ValueError(f"a corner further outside the image of {size[1]} x {size[0]} pixels than its longer side")
    return [polygon.tolist() for polygon in polygons if polygon.size >= 6] or [[0.0] * 6]


def _run_lengths(text: str) -> list[int]:
    """Run lengths of COCO's compressed code: one that is too short would be filled up with what the memory holds.

    A number is written in groups of 5 bits, lowest first, as characters from "0" on; bit 6 says that another group
    follows, and the highest bit of the last group is the sign. From the fourth on, a run is its change against the
    run before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            value -= (1 << shift) if group & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _load(path: Path, advice: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"no such annotation file: {advice}", path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"annotation file is no readable JSON ({error}): get the file again", path) from None
    for part, keys in PARTS.items():
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise DataError(f'annotation file has no list "{part}": give an instances file in COCO\'s format', path)
        for position, entry in enumerate(content[part]):
            lacking = [key for key in keys if not isinstance(entry, dict) or key not in entry]
            if lacking:
                raise DataError(
                    f'"{part}" entry {position} has no {", ".join(lacking)}: give an instances file in COCO\'s format',
                    path,
                )
    return content


def _problems(content: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """What is wrong with the values, a sentence each."""
    found = []
    for part in ("categories", "images"):
        ids = [entry["id"] for entry in content[part]]
        found += [f'"{part}" has the id {id!r}: ids are whole numbers' for id in ids if type(id) is not int]
        twice = [id for id, times in Counter(id for id in ids if type(id) is int).items() if times > 1]
        found += [f'"{part}" has the id {id} more than once: keep one entry of it' for id in twice]
    for category in content["categories"]:
        if not isinstance(category["name"], str) or not category["name"].strip():
            found.append(f"category {category['id']} has the name {category['name']!r}: give it a word")
    for record in content["images"]:
        if not _inside_its_folder(record["file_name"]):
            found.append(f"image {record['id']} has the file_name {record['file_name']!r}: name a file in the folder")
        for side in ("height", "width"):
            if type(record[side]) is not int or not 1 <= record[side] <= LARGEST_SIDE:
                found.append(
                    f"image {record['id']} has the {side} {record[side]!r}: give 1 to {LARGEST_SIDE} whole pixels"
                )
    return found or list(_strangers(content))


def _inside_its_folder(name: Any) -> bool:
    if not isinstance(name, str) or "\0" in name or not Path(name).stem:
        return False
    readings = PurePosixPath(name), PureWindowsPath(name)
    return not any(path.is_absolute() or path.drive or ".." in path.parts for path in readings)


def _strangers(content: Mapping[str, list[dict[str, Any]]]) -> Iterable[str]:
    """Annotations of categories or images that the file does not list."""
    known = {part: {entry["id"] for entry in content[part]} for part in ("categories", "images")}
    for entry in content["annotations"]:
        for key, part, word in (("category_id", "categories", "category"), ("image_id", "images", "image")):
            if type(entry[key]) is not int or entry[key] not in known[part]:
                yield (
                    f"annotation {entry.get('id', '?')} has unknown {word} {entry[key]!r}: add it to {part} or drop it"
                )
                break


def _index(content: dict[str, Any]) -> COCO:
    for position, entry in enumerate(content["annotations"]):
        entry.setdefault("id", position)  # nothing here asks for it, pycocotools does
    index = COCO()
    index.dataset = content
    with redirect_stdout(StringIO()):  # it reports on itself
        index.createIndex()
    return index


def _photo_folder(root: Path, split: str) -> Path:
    folders = [root / split, root / "images" / split, root / "images"]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise DataError(f"no folder of photos here: {WHERE_COCO_GOES.format(split=split, root=root)}", root)
