"""The door to all data: readers behind one call, and a look at every file before training starts.

    images, masks = data.read("voc", root, "trainaug")     # masks are for evaluation; training takes images only
    data.report(data.check(images, masks))                 # raises, with the file names, unless all is well

What comes back is described in `images`; the readers are in `voc`, `coco` and `folder`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pnoc_lib.data import agreement
from pnoc_lib.data.coco import read_coco
from pnoc_lib.data.folder import read_folder
from pnoc_lib.data.images import VOID, LabeledImages, Masks, present_classes
from pnoc_lib.data.problems import DataError, gather, raise_all
from pnoc_lib.data.voc import VOC_CLASSES, download_voc, read_masks, read_voc

__all__ = [
    "VOC_CLASSES",
    "VOID",
    "DataError",
    "LabeledImages",
    "Masks",
    "check",
    "download_voc",
    "lists_of_ids",
    "read",
    "read_coco",
    "read_folder",
    "read_masks",
    "read_voc",
    "report",
]

READERS: dict[str, Callable[..., tuple[LabeledImages, Masks | None]]] = {
    "voc": read_voc,
    "toyvoc": read_voc,  # drawn by `toyvoc.write`, in the layout of VOC
    "coco14": read_coco,
    "folder": read_folder,
}


def read(kind: str, root: Path | str, split: str, **options: Any) -> tuple[LabeledImages, Masks | None]:
    """Images with labels, and masks where there are any, of one split, by the reader of that kind.

    kind: "voc", "toyvoc", "coco14" or "folder". options: the reader's own keyword arguments; "" stands for not given.
    Raises DataError for an unknown kind or option, and whatever the reader raises.
    """
    options = {name: value for name, value in options.items() if value != ""}
    if kind not in READERS:
        raise DataError(f'unknown kind of data "{kind}": use one of {", ".join(READERS)}')
    known = [name for name in inspect.signature(READERS[kind]).parameters if name not in ("root", "split")]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise DataError(f'data of kind "{kind}" take no option {", ".join(unknown)}: use {", ".join(known)}')
    if kind == "toyvoc" and not Path(root).exists():
        raise DataError("no ToyVOC here: draw it first, by 00_data or toyvoc.write", root)
    images, masks = READERS[kind](root, split, **options)
    return dataclasses.replace(images, name=kind) if kind == "toyvoc" else images, masks


def lists_of_ids(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The file of ids of every split, "" for all of its images.

    named: pairs of a split, "" for none, and its file. Raises ValueError when one split has two lists.
    """
    lists: dict[str, str] = {}
    for split, file in named:
        if split and lists.setdefault(split, file) != file:
            raise ValueError(
                f"split {split!r} has two lists of ids, {lists[split] or 'all of them'!r} and "
                f"{file or 'all of them'!r}: give both the same file, or name two splits"
            )
    return lists


def check(
    images: LabeledImages,
    masks: Masks | None = None,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Open every image and every mask, and list what is wrong: columns id, file, problem; no row when all is well.

    Found are images and masks that are missing, empty, cut short or no image, masks of another size than their
    image, with colours in place of indices, or with an index that no class has, images without a mask, masks that
    contradict most labels, and a split without images or without any label.
    An image without a class is no problem: training passes over it, and in evaluation it is all background.
    workers: threads, default one a processor and at most 8.   progress: show a progress bar.
    A class in the label and not in the mask is no problem: a boxed object may own no pixel.
    """

    in_masks = np.zeros_like(images.labels)

    def look(id: str) -> list[tuple[str, str, str]]:
        path = images.paths[images.index(id)]
        found, size, shape = [], None, None
        try:
            size = images.image(id).size
        except DataError as error:
            found.append((id, error.file or str(path), error.problem))
        if masks is None:
            return found
        try:
            mask = masks.mask(id)
            shape, in_masks[images.index(id)] = mask.shape, present_classes(mask, len(images.classes))
        except DataError as error:
            found.append((id, error.file or str(path), error.problem))
        if size and shape and size != shape[::-1]:
            source = masks.source(id)
            problem = (
                f"mask is {shape[1]} x {shape[0]} pixels and image {size[0]} x {size[1]}: make the two equal in size"
            )
            found.append((id, str(source if isinstance(source, Path) else path), problem))
        return found

    rows = [
        row
        for rows in gather(look, images.ids, workers=workers, progress="check" if progress else None)
        for row in rows
    ]
    if not len(images):
        rows.append(("", "", f'split "{images.split}" of {images.name} is empty: give a list that names images'))
    elif not images.labels.any():
        rows.append(("", "", f'no image of split "{images.split}" of {images.name} has a class: add labels'))
    elif images.label_source == "boxes" and (sentence := agreement.contradictions(images.labels, in_masks)):
        rows.append(("", "", sentence))
    return pd.DataFrame(rows, columns=["id", "file", "problem"], dtype=str)


def report(problems: pd.DataFrame) -> None:
    """Raise DataError with the number of problems and the first 20 of them, or return when `check` found none."""
    lines = [
        str(DataError(problem, file or None))
        for file, problem in zip(problems["file"], problems["problem"], strict=True)
    ]
    raise_all(lines)
