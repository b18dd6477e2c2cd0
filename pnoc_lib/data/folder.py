"""Read a plain folder of images with a CSV of labels, and masks if there are any; any class names.

The CSV has a header, commas between columns, and one row an image, in one of two forms:

    image,labels,split                image,cat,dog,split
    pets/one.jpg,cat;dog,train        pets/one.jpg,1,1,train
    two.png,,val                      two.png,0,0,val

`image` is the path below the folder (or below its subfolder `images`); `labels` are class names between semicolons,
none for an image that shows no class; the column `split` may be left out.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from pnoc_lib.data.images import LabeledImages, Masks, read_index_mask
from pnoc_lib.data.problems import DataError, raise_all

Row = tuple[int, dict[str, str]]  # line number in the file, value by column


def read_folder(
    root: Path | str,
    split: str = "all",
    *,
    labels_csv: Path | str | None = None,
    masks_dir: Path | str | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[LabeledImages, Masks | None]:
    """Images with labels, and masks, of one split of a plain folder; the module's text shows the CSV.

    labels_csv: below `root` or absolute; by default <split>.csv where it exists, else labels.csv.
    split: the rows with this value in the column `split`; "all" takes every row. Without such a column the split
        must be "all" or the name of the CSV file.
    masks_dir: folder, below `root` or absolute, of PNGs with class indices, named like the images (pets/one.png).
    classes: names in the order of the mask indices, which start at 1. By default the columns in their order, or the
        names found in the whole CSV, sorted, so that all its splits have the same; with masks and the column `labels`
        the order must be given.
    The id of an image is its path without suffix, with "__" for each "/".
    Raises DataError, with all problems at once, for a missing or malformed CSV, unknown class names or values,
    images named twice, and an empty split.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError("no such folder: give the one that holds the images", root)
    path = _find_csv(root, split, labels_csv)
    header, all_rows = _read_csv(path)
    rows = _rows_of_split(path, header, all_rows, split)
    listed = "labels" in header
    if masks_dir is not None and listed and classes is None:
        raise DataError("masks need the order of the classes: give classes=[...], the first is mask index 1", path)
    present = _present_names(path, rows, header, listed)
    if classes is None:
        named = sorted({name for names in _present_names(path, all_rows, header, listed) for name in names})
        classes = named if listed else [column for column in header if column not in ("image", "split")]
        if not classes:
            raise DataError("no class is named: fill the column labels, or add one column of 0 and 1 a class", path)
    classes = tuple(classes)
    problems = [
        f'{path}: line {number} names class "{name}": use one of {", ".join(classes)}'
        for (number, _), names in zip(rows, present, strict=True)
        for name in names
        if name not in classes
    ]
    raise_all(problems)
    names = [PurePosixPath(row["image"].replace("\\", "/")) for _, row in rows]
    ids = _ids(path, [number for number, _ in rows], names)
    labels = np.array([[name in names for name in classes] for names in present], dtype=np.uint8)
    paths = tuple(_image_file(root, name) for name in names)
    images = LabeledImages(root.name, split, classes, ids, labels, paths, "csv")
    if masks_dir is None:
        return images, None
    folder = root / masks_dir
    if not folder.is_dir():
        raise DataError("no such folder of masks: give masks_dir below the folder of images, or leave it out", folder)
    return images, Masks(classes, ids, tuple(folder / name.with_suffix(".png") for name in names), read_index_mask)


def _find_csv(root: Path, split: str, labels_csv: Path | str | None) -> Path:
    if labels_csv is not None:
        return root / labels_csv
    own = root / f"{split}.csv"
    return own if own.is_file() else root / "labels.csv"


def _read_csv(path: Path) -> tuple[list[str], list[Row]]:
    """Header and rows of the CSV, values stripped; blank lines do not count."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, [value.strip() for value in line]) for line in reader]
    except FileNotFoundError:
        raise DataError("no such CSV of labels: write one with the columns image,labels", path) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"CSV of labels cannot be read ({error}): save it as UTF-8 with commas", path) from None
    lines = [(number, line) for number, line in lines if any(line)]
    header = lines[0][1] if lines else []
    if "image" not in header or len(header) < 2:
        raise DataError(
            f'header is "{",".join(header)}": it must have the column image, '
            "and labels or one column a class, between commas",
            path,
        )
    if len(set(header)) < len(header) or "" in header:
        raise DataError(f'header "{",".join(header)}" repeats a column or leaves one unnamed: name each once', path)
    if "labels" in header and set(header) - {"image", "labels", "split"}:
        extra = ", ".join(column for column in header if column not in ("image", "labels", "split"))
        raise DataError(f"columns {extra} stand beside labels: use either labels or one column a class", path)
    raise_all(
        [
            f"{path}: line {number} has {len(line)} values and the header {len(header)}: give one value a column"
            for number, line in lines[1:]
            if len(line) != len(header)
        ]
    )
    return header, [(number, dict(zip(header, line, strict=True))) for number, line in lines[1:]]


def _rows_of_split(path: Path, header: list[str], rows: list[Row], split: str) -> list[Row]:
    if "split" not in header and split not in ("all", path.stem):
        raise DataError(f'no column split to find "{split}" in: add it, or use split="all"', path)
    known = sorted({row["split"] for _, row in rows}) if "split" in header else []
    if split != "all" and known:
        rows = [(number, row) for number, row in rows if row["split"] == split]
    if not rows:
        advice = f"its splits are {', '.join(known)}" if known else "add one row an image"
        raise DataError(f'split "{split}" is empty, no row of this file belongs to it: {advice}', path)
    return rows


def _present_names(path: Path, rows: list[Row], header: list[str], listed: bool) -> list[list[str]]:
    """Class names of each row."""
    problems, present = [], []
    for number, row in rows:
        if listed:
            names = [name.strip() for name in row["labels"].split(";") if name.strip()]
            if any(mark in name for name in names for mark in ",|"):
                problems.append(f'{path}: line {number} has labels "{row["labels"]}": put ; between class names')
        else:
            values = {column: row[column] for column in header if column not in ("image", "split")}
            problems += [
                f'{path}: line {number} has "{value}" in column {column}: write 1 or 0'
                for column, value in values.items()
                if value not in ("0", "1")
            ]
            names = [column for column, value in values.items() if value == "1"]
        present.append(names)
    raise_all(problems)
    return present


def _ids(path: Path, numbers: list[int], names: list[PurePosixPath]) -> tuple[str, ...]:
    lines: dict[str, int] = {}
    problems = []
    for number, name in zip(numbers, names, strict=True):
        id = "__".join(name.with_suffix("").parts) if name.name else ""
        if not id or name.is_absolute() or ".." in name.parts:
            problems.append(f'{path}: line {number} has image "{name}": give a path below the folder of images')
        elif id in lines:
            problems.append(
                f'{path}: lines {lines[id]} and {number} have the same id "{id}": name every image once, '
                "and give no two images names that differ in the suffix only"
            )
        lines.setdefault(id, number)
    raise_all(problems)
    return tuple(lines)


def _image_file(root: Path, name: PurePosixPath) -> Path:
    direct, below = root / name, root / "images" / name
    return below if not direct.is_file() and below.is_file() else direct
