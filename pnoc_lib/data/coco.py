"""Read COCO14: instances JSON and photos; labels and masks are made from the object outlines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from pnoc_lib.data.images import VOID
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.data.images import Masks
from pnoc_lib.data.problems import DataError
from pnoc_lib.data.problems import raise_all
from pnoc_lib.data.voc import read_ids

WHERE_COCO_GOES = "put COCO's annotations/instances_{split}.json and the folder {split} of photos into {root}"


@dataclass(frozen=True)
class Region:
    """One annotated object.   outline: polygons [[x, y, x, y, ...], ...] in pixels, or a run-length code."""

    index: int  # mask index, 1..C
    crowd: bool
    outline: Any


@dataclass(frozen=True)
class Scene:
    """What the mask of one image is painted from.   height, width: pixels."""

    id: str
    height: int
    width: int
    regions: tuple[Region, ...]


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
    Raises DataError, with all problems at once, for missing files, a JSON of another form, unknown categories or
    images, and an empty split.
    """
    root = Path(root)
    split = f"{split}2014" if split in ("train", "val") else split
    path = Path(annotations) if annotations else root / "annotations" / f"instances_{split}.json"
    content = _load(path, WHERE_COCO_GOES.format(split=split, root=root))
    categories = sorted(content["categories"], key=lambda category: category["id"])
    indices = {category["id"]: position for position, category in enumerate(categories, start=1)}
    classes = tuple(str(category["name"]) for category in categories)
    records = sorted(content["images"], key=lambda record: record["id"])
    if not records:
        raise DataError("the split is empty, this file names no image: give another one", path)
    regions = _regions_by_image(content["annotations"], indices, {record["id"] for record in records}, path)

    photos = _photo_folder(root, split)
    scenes, paths = [], []
    for record in records:
        id = Path(record["file_name"]).stem
        scenes.append(Scene(id, int(record["height"]), int(record["width"]), tuple(regions.get(record["id"], ()))))
        paths.append(photos / record["file_name"])
    labels = np.zeros((len(scenes), len(classes)), np.uint8)
    for row, scene in zip(labels, scenes, strict=True):
        row[[region.index - 1 for region in scene.regions]] = 1

    ids = tuple(scene.id for scene in scenes)
    images = LabeledImages("coco14", split, classes, ids, labels, tuple(paths), "instances")
    masks = None
    if any(region.outline for scene in scenes for region in scene.regions):
        masks = Masks(classes, ids, tuple(scenes), paint)
    if ids_file is not None:
        wanted = read_ids(Path(ids_file))
        images, masks = images.subset(wanted), masks and masks.subset(wanted)
    return images, masks


def paint(scene: Scene) -> np.ndarray:
    """(H, W) uint8 mask of one image: background 0, objects by class index 1..C, 255 void.

    Beyond the paper: crowd regions come first and are void, since they are outlined coarsely; objects follow from
    many pixels to few, so that where two overlap the smaller one is seen. Polygons with fewer than three corners
    have no area and are left out.
    Raises DataError when an object has no outline or a broken one.
    """
    mask = np.zeros((scene.height, scene.width), np.uint8)
    objects = [(region, _inside(region, scene)) for region in scene.regions]
    for region, inside in sorted(objects, key=lambda item: (not item[0].crowd, -item[1].sum())):
        mask[inside] = VOID if region.crowd else region.index
    return mask


def _inside(region: Region, scene: Scene) -> np.ndarray:
    """(H, W) bool, True in the object."""
    size = (scene.height, scene.width)
    try:
        if isinstance(region.outline, Mapping):
            return _from_runs(region.outline, size)
        return _from_polygons(region.outline or (), size)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"mask of {scene.id} cannot be painted, an object of class {region.index} has a broken outline "
            f"({type(error).__name__}: {error}): correct the annotation or leave the image out"
        ) from None


def _from_polygons(outline: Sequence[Sequence[float]], size: tuple[int, int]) -> np.ndarray:
    polygons = [np.asarray(polygon, dtype=np.float64).ravel() for polygon in outline]
    if not polygons:
        raise ValueError("no outline")
    if any(polygon.size % 2 or not np.isfinite(polygon).all() for polygon in polygons):
        raise ValueError("a corner without x and y")
    codes = rle.frPyObjects([polygon.tolist() for polygon in polygons if polygon.size >= 6] or [[0.0] * 6], *size)
    return rle.decode(rle.merge(codes)).astype(bool)


def _from_runs(outline: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    counts = outline["counts"]
    runs = counts if isinstance(counts, list) else _run_lengths(counts)
    if tuple(outline["size"]) != size or sum(runs) != size[0] * size[1] or min(runs) < 0:
        raise ValueError(f"runs of {sum(runs)} pixels for {outline['size']}, the image has {list(size)}")
    return rle.decode(rle.frPyObjects({"size": list(size), "counts": runs}, *size)).astype(bool)


def _run_lengths(text: str) -> list[int]:
    """Run lengths of COCO's compressed code, so that a broken one is noticed before pycocotools decodes it.

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
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def _load(path: Path, advice: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"no such annotation file: {advice}", path) from None
    except (OSError, ValueError) as error:
        raise DataError(f"annotation file is no readable JSON ({error}): get the file again", path) from None
    needed = {"images": ("id", "file_name", "height", "width"), "annotations": ("image_id", "category_id")}
    needed["categories"] = ("id", "name")
    for part, keys in needed.items():
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


def _regions_by_image(
    annotations: list[dict[str, Any]], indices: dict[int, int], images: set[int], path: Path
) -> dict[int, list[Region]]:
    found: dict[int, list[Region]] = {}
    problems = []
    for entry in annotations:
        name = f"{path}: annotation {entry.get('id', '?')}"
        if entry["category_id"] not in indices:
            problems.append(f"{name} has unknown category {entry['category_id']}: add it to categories or drop it")
        elif entry["image_id"] not in images:
            problems.append(f"{name} has unknown image {entry['image_id']}: add it to images or drop it")
        else:
            region = Region(indices[entry["category_id"]], bool(entry.get("iscrowd")), entry.get("segmentation"))
            found.setdefault(entry["image_id"], []).append(region)
    raise_all(problems)
    return found


def _photo_folder(root: Path, split: str) -> Path:
    folders = [root / split, root / "images" / split, root / "images"]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise DataError(f"no folder of photos here: {WHERE_COCO_GOES.format(split=split, root=root)}", root)
