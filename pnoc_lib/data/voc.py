"""Read a VOC-style tree: JPEGImages, SegmentationClassAug or SegmentationClass, Annotations, ImageSets.

Real VOC12, the drawn data set and anything else in that layout come through here.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pnoc_lib.data.images import LabeledImages, Masks, present_classes, read_index_mask
from pnoc_lib.data.problems import DataError, gather, raise_all

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MASK_FOLDERS = ("SegmentationClassAug", "SegmentationClass")  # the first that has the mask wins
TRAINAUG = ("trainaug", "train_aug")  # the two usual file names of one list
WHERE_VOC_GOES = (
    "get VOCtrainval_11-May-2012.tar from the PASCAL VOC site and unpack it so that "
    "{root}/VOCdevkit/VOC2012/JPEGImages exists"
)
WHERE_SBD_GOES = (
    "trainaug is not part of VOC12: put the masks made from SBD (10,582 with those of train) "
    "into {folder}/SegmentationClassAug and their ids, one a line, into {folder}/ImageSets/Segmentation/trainaug.txt"
)


def read_voc(
    root: Path | str,
    split: str,
    *,
    ids_file: Path | str | None = None,
    labels: str = "auto",
    classes: Sequence[str] = VOC_CLASSES,
    progress: bool = False,
) -> tuple[LabeledImages, Masks | None]:
    """Images with labels, and masks, of one split of a VOC-style tree.

    root: the folder that holds JPEGImages, or the one above (VOCdevkit), or the one above that.
    split: the list ImageSets/Segmentation/<split>.txt; "trainaug" is also found as train_aug.txt.
    ids_file: another list of ids, one a line, instead; `split` is then only a name.
    labels: "boxes" for the classes of the box annotations (objects marked difficult count, boxes without width or
        height do not), "masks" for the classes with at least one mask pixel, "auto" for boxes when the ids of the list
        have XML files and masks when none has. `label_source` of the result says which it was.
    classes: names in the order of the mask indices, which start at 1; VOC12's by default.
    Masks are PNGs with class indices, from SegmentationClassAug where it has the id, else from SegmentationClass;
    None when neither folder is there. Images and masks are opened when asked for: `data.check` looks at all of them.
    Raises DataError, with all problems at once, for a missing folder or list, an empty list, repeated ids, unknown
    object names, unreadable annotations, and masks that are needed for labels and cannot be read.
    """
    classes = tuple(classes)
    if labels not in ("auto", "boxes", "masks"):
        raise DataError(f'labels="{labels}" is unknown: use "auto", "boxes" or "masks"')
    folder = _find_tree(Path(root))
    ids = read_ids(Path(ids_file) if ids_file else _split_list(folder, split))
    masks = _find_masks(folder, ids, classes)
    if labels == "auto":
        labels = "boxes" if _all_annotated(folder / "Annotations", ids) else "masks"
    if labels == "masks" and masks is None:
        raise DataError(
            f"no labels: there are neither masks ({' or '.join(MASK_FOLDERS)}) nor Annotations for every image "
            "of the list: add one of the two",
            folder,
        )
    if labels == "masks" and split in TRAINAUG and not (folder / MASK_FOLDERS[0]).is_dir():
        raise DataError(f"no masks of {split} to take labels from: {WHERE_SBD_GOES.format(folder=folder)}", folder)
    bar = f"labels from {labels}" if progress else None
    if labels == "boxes":
        notes = _by_stem(folder / "Annotations", (".xml",))
        sources = [notes.get(id, folder / "Annotations" / f"{id}.xml") for id in ids]
        rows = gather(lambda path: boxed_classes(path, classes), sources, progress=bar)
    else:
        rows = gather(lambda id: present_classes(masks.mask(id), len(classes)), ids, progress=bar)
    images = _by_stem(folder / "JPEGImages", IMAGE_SUFFIXES)
    paths = tuple(images.get(id, folder / "JPEGImages" / f"{id}.jpg") for id in ids)
    return LabeledImages("voc", split, classes, ids, np.stack(rows), paths, labels), masks


def read_masks(folder: Path | str, ids: Sequence[str] | None = None, *, classes: Sequence[str] = VOC_CLASSES) -> Masks:
    """Masks of a folder of <id>.png files with class indices; all of them, sorted, unless `ids` are given.

    Raises DataError when the folder is missing or, without `ids`, empty.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("no such folder of masks: give the one that holds the <id>.png files", folder)
    ids = tuple(sorted(_by_stem(folder, (".png",)))) if ids is None else tuple(ids)
    if not ids:
        raise DataError("no mask in this folder: it must hold <id>.png files", folder)
    return Masks(tuple(classes), ids, tuple(folder / f"{id}.png" for id in ids), read_index_mask)


def boxed_classes(path: Path, classes: Sequence[str]) -> np.ndarray:
    """(C,) uint8, 1 for every class with a box of positive width and height in a VOC annotation file.

    Raises DataError when the file is missing, broken or of another kind, or when an object has an unknown name, no
    box, one with its corners exchanged, or one that lies outside of the image whose size the file gives.
    """
    present = np.zeros(len(classes), np.uint8)
    try:
        root = ET.parse(path).getroot()
    except FileNotFoundError:
        raise DataError('no such annotation: add it, or read labels="masks"', path) from None
    except (ET.ParseError, OSError, ValueError) as error:
        raise DataError(f"annotation is no readable XML ({error}): get the file again", path) from None
    if root.tag != "annotation":  # also one with a name space, in which no object would be found
        raise DataError(f"annotation begins with <{root.tag}>, not <annotation>: give VOC's XML", path)
    width, height = (_number(root.findtext(f"size/{side}")) or np.inf for side in ("width", "height"))
    for item in root.findall("object"):
        name = (item.findtext("name") or "").strip()
        if name not in classes:
            raise DataError(f'unknown object name "{name}": use one of {", ".join(classes)}', path)
        corners = [_number(item.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")]
        if None in corners:
            raise DataError(f'object "{name}" has no complete box: give xmin, ymin, xmax and ymax', path)
        left, top, right, bottom = corners
        if right < left or bottom < top:
            raise DataError(
                f'object "{name}" has a box from {left:g}, {top:g} to {right:g}, {bottom:g}: '
                "give the upper left corner first",
                path,
            )
        if left > width or top > height or right <= 0 or bottom <= 0:
            raise DataError(
                f'object "{name}" has a box outside of the image of {width:g} x {height:g} pixels: '
                "correct the box or the size",
                path,
            )
        if right > left and bottom > top:
            present[classes.index(name)] = 1
    return present


def _number(text: str | None) -> float | None:
    """The finite number that a text is, or None."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _all_annotated(folder: Path, ids: Sequence[str]) -> bool:
    """Whether every id has its XML file (True) or none has (False); DataError where some lack it."""
    annotated = _by_stem(folder, (".xml",))
    missing = [id for id in ids if id not in annotated]
    if missing and len(missing) < len(ids):
        raise DataError(
            f"{len(missing)} of {len(ids)} images have no annotation, such as {missing[0]}.xml: "
            'add them, or read labels="masks"',
            folder,
        )
    return not missing


def read_ids(path: Path) -> tuple[str, ...]:
    """Image ids of a list file: one a line, without folder or suffix.

    Blank lines and lines that begin with # do not count. Lines such as
    `/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png`, usual for trainaug, are understood too.
    Raises DataError for a missing, unreadable or empty list and for repeated or malformed ids.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError("no such list of ids: give a text file with one id a line", path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"list of ids is no readable UTF-8 text ({error}): give one id a line", path) from None
    ids: dict[str, int] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        id = Path(words[0]).stem if "JPEGImages/" in words[0] else words[0]
        if len(words) > 1 and id == words[0]:
            problems.append(f'{path}: line {number} is "{line.strip()}": write one id a line')
        elif "/" in id or "\\" in id or id.lower().endswith(IMAGE_SUFFIXES):
            problems.append(f'{path}: line {number} is "{id}": write the id without folder and suffix')
        elif id in ids:
            problems.append(f'{path}: id "{id}" stands on lines {ids[id]} and {number}: name every image once')
        ids.setdefault(id, number)
    raise_all(problems)
    if not ids:
        raise DataError("the split is empty, this list names no image: write one id a line", path)
    return tuple(ids)


def download_voc(root: Path | str) -> Path:
    """Download VOC12 through torchvision (2 GB) into `root` and return the folder that holds JPEGImages.

    A complete tree that is already there is left alone. Raises DataError, which says where the files go by hand,
    when the download fails.
    """
    root = Path(root)
    folder = root / "VOCdevkit" / "VOC2012"
    if _is_complete(folder):
        return folder
    from torchvision.datasets import VOCSegmentation

    where = WHERE_VOC_GOES.format(root=root)
    try:
        VOCSegmentation(str(root), year="2012", image_set="trainval", download=True)
    except Exception as error:  # the network, the disk and the archive fail in many ways
        raise DataError(f"VOC12 could not be downloaded ({error}): {where}", root) from error
    if not _is_complete(folder):
        raise DataError(f"VOC12 was downloaded, but files of train and val are missing: {where}", folder)
    return folder


def _is_complete(folder: Path) -> bool:
    """Whether all images and masks of train and val are there, so that a half unpacked tree is not taken for one."""
    lists = [folder / "ImageSets" / "Segmentation" / f"{split}.txt" for split in ("train", "val")]
    if not all(path.is_file() for path in lists):
        return False
    ids = {id for path in lists for id in read_ids(path)}
    images, masks = (_by_stem(folder / name, IMAGE_SUFFIXES) for name in ("JPEGImages", "SegmentationClass"))
    return images.keys() >= ids and masks.keys() >= ids


def _find_tree(root: Path) -> Path:
    for folder in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (folder / "JPEGImages").is_dir():
            return folder
    raise DataError(f"no VOC-style tree here (a folder JPEGImages): {WHERE_VOC_GOES.format(root=root)}", root)


def _split_list(folder: Path, split: str) -> Path:
    lists = folder / "ImageSets" / "Segmentation"
    names = TRAINAUG if split in TRAINAUG else (split,)
    for name in names:
        if (lists / f"{name}.txt").is_file():
            return lists / f"{name}.txt"
    known = ", ".join(sorted(path.stem for path in lists.glob("*.txt"))) or "none"
    advice = WHERE_SBD_GOES.format(folder=folder) if split in TRAINAUG else "use one of them, or give ids_file"
    raise DataError(f'no list of split "{split}", the splits here are {known}: {advice}', lists)


def _find_masks(folder: Path, ids: tuple[str, ...], classes: tuple[str, ...]) -> Masks | None:
    folders = [folder / name for name in MASK_FOLDERS if (folder / name).is_dir()]
    if not folders:
        return None
    found = {id: path for masks in reversed(folders) for id, path in _by_stem(masks, (".png",)).items()}
    sources = tuple(found.get(id, folders[0] / f"{id}.png") for id in ids)
    return Masks(classes, ids, sources, read_index_mask)


def _by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Files of a folder by name without suffix; of two with the same name, the suffix named first wins."""
    if not folder.is_dir():
        return {}
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes]
    return {path.stem: path for path in sorted(files, key=lambda path: -suffixes.index(path.suffix.lower()))}
