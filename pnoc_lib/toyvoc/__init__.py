"""ToyVOC, the embedded data set: drawn, not downloaded, and written as a VOC tree from a seed.

The label sets are those of VOC12 `train` (Section 6 of the paper; counted, see `label_sets.csv`), and the area
of every class follows its average relative size in Table 3. So occurrence, co-occurrence and cardinality are VOC's by
construction, relative size comes close, and what the paper says of groups of classes has a meaning here too.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from tqdm import tqdm

from pnoc_lib import files
from pnoc_lib.data import index_masks
from pnoc_lib.toyvoc import scene
from pnoc_lib.toyvoc.facts import CLASSES, LARGEST, LOST, RELATIVE_SIZE

VERSION = 1  # of the drawings; another version is another data set
MARKER, STARTED = "toyvoc.json", "toyvoc.started.json"

LabelSet = tuple[int, ...]
Box = tuple[int, int, int, int, int]  # class index, then xmin, ymin, xmax, ymax in pixels from 1, both ends within


def label_sets(n: int) -> list[LabelSet]:
    """Return `n` label sets (ascending class indices 0..19) that stand for the 1,464 of VOC12 `train`.

    For n = 1464 they are VOC's own; for fewer, whole quotas first, then one by one whichever set brings occurrence,
    co-occurrence and labels per image of the classes closest to VOC's; for more, whole rounds of VOC and such a rest.
    The order is fixed and no sample of anything. Raises ValueError when n < 1.
    """
    if n < 1:
        raise ValueError(f"a data set needs images, got n={n}: ask for 1 or more")
    kinds, counts = _voc_label_sets()
    rounds, rest = divmod(n, int(counts.sum()))
    chosen = counts * rounds
    if rest:
        chosen = chosen + _representatives(kinds, counts, rest)
    return [kind for kind, count in zip(kinds, chosen, strict=True) for _ in range(count)]


@lru_cache(maxsize=1)
def _voc_label_sets() -> tuple[list[LabelSet], np.ndarray]:
    with Path(__file__).with_name("label_sets.csv").open(newline="", encoding="utf-8") as file:
        rows = [
            (tuple(CLASSES.index(name) for name in r["classes"].split()), int(r["count"])) for r in csv.DictReader(file)
        ]
    return [kind for kind, _ in rows], np.array([count for _, count in rows])


def _representatives(kinds: list[LabelSet], counts: np.ndarray, n: int) -> np.ndarray:
    """Return how often each kind of label set is taken, `n` in all and none above its count in VOC."""
    has = np.zeros((len(kinds), len(CLASSES)))
    for row, kind in zip(has, kinds, strict=True):
        row[list(kind)] = 1
    size = has.sum(1, keepdims=True)
    facts = np.hstack([has, has * (size > 1), has * size])  # what O, %C and L are made of, class by class
    goal = counts @ facts * (n / counts.sum())
    weight = 1 / np.maximum(goal, 0.05) * np.repeat([1.0, 1.0, 0.25], len(CLASSES))
    chosen = np.floor(counts * (n / counts.sum())).astype(int)
    for _ in range(n - chosen.sum()):
        off = (((chosen @ facts + facts - goal) ** 2) * weight).sum(1)
        chosen[np.argmin(np.where(chosen < counts, off, np.inf))] += 1
    for _ in range(2 * n):  # then exchange one for another as long as that helps
        gap = chosen @ facts - goal
        off = ((gap + facts[:, None] - facts[None]) ** 2 * weight).sum(-1)  # [one more of, one fewer of]
        off[chosen >= counts], off[:, chosen == 0] = np.inf, np.inf
        best = np.unravel_index(np.argmin(off), off.shape)
        if off[best] >= (gap**2 * weight).sum() - 1e-9:
            break
        chosen[best[0]] += 1
        chosen[best[1]] -= 1
    return chosen


def areas(sets: list[LabelSet], generator: np.random.Generator) -> list[np.ndarray]:
    """Return for each label set the share of the image (fractions) that each of its classes is to cover.

    Shares vary widely (their spread is about their mean, as in VOC), are smaller beside other classes, and average to
    `RELATIVE_SIZE` over the images of a class: quantiles of one distribution are dealt out, not drawn. `LOST` is added.
    """
    share = np.full((len(sets), len(CLASSES)), np.nan)
    for i, kind in enumerate(sets):
        share[i, list(kind)] = 1.0
    zoom = generator.normal(size=len(sets))  # how near the camera is: things of one image are near or far together
    crowd = 0.72 ** (np.nansum(share, 1, keepdims=True) - 1)
    for c in range(len(CLASSES)):
        rows = np.flatnonzero(share[:, c] == 1)
        rank = np.argsort(np.argsort(0.8 * zoom[rows] + 0.6 * generator.normal(size=len(rows))))
        u = (rank + generator.uniform(0.25, 0.75, len(rows))) / max(len(rows), 1)
        share[rows, c] = (-np.log1p(-u)) ** 0.85 + 0.03
    base, wanted = RELATIVE_SIZE.copy(), RELATIVE_SIZE + LOST
    for _ in range(30):
        out = np.clip(share * crowd * base, 0.006, LARGEST * np.where(crowd < 1, 0.85, 1))
        out *= np.minimum(1, 0.75 / np.nansum(out, 1, keepdims=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a class without an image has no mean
            mean = np.nanmean(out, 0)
        base = np.clip(base * np.nan_to_num(wanted / mean, nan=1.0) ** 0.8, 0.01, 3)
    return [row[list(kind)] for row, kind in zip(out, sets, strict=True)]


def draw(
    label_set: LabelSet, generator: np.random.Generator | int, size: int = 160, *, shares: np.ndarray | None = None
) -> tuple[Image.Image, np.ndarray, list[Box]]:
    """Draw one image that shows exactly the classes of `label_set`.

    size: longer side in pixels, 64 to 1024. shares: the part of the image each class is to cover; drawn when None.
    Returns (RGB image, mask (H, W) uint8 with 0 background, class index + 1, 255 void, boxes of the objects).
    Raises ValueError when the size or a class index is impossible.
    """
    _check(size=size)
    if not label_set or len(set(label_set)) < len(label_set) or not set(label_set) <= set(range(len(CLASSES))):
        raise ValueError(f"no label set: {label_set}; give different class indices from 0 to {len(CLASSES) - 1}")
    g = np.random.default_rng(generator)
    if shares is None:
        u = g.uniform(0.02, 0.98, len(label_set))
        shares = RELATIVE_SIZE[list(label_set)] * (-np.log1p(-u)) ** 0.85 * (1.25 if len(label_set) == 1 else 0.8)
        shares = np.clip(shares, 0.006, LARGEST[list(label_set)])
        shares = shares * min(1, 0.75 / shares.sum())
    return scene.draw(label_set, g, size, shares)


def write(
    root: Path | str,
    *,
    train: int = 400,
    val: int = 100,
    size: int = 160,
    seed: int = 0,
    progress: bool = True,
    workers: int | None = None,
) -> Path:
    """Write ToyVOC under `root` in the layout of VOC: JPEGImages, SegmentationClass, Annotations, ImageSets.

    train, val: images of the splits. size: longer side in pixels. workers: processes, None for one a core; the bytes
    written depend on train, val, size and seed alone. Returns `root`.
    A finished set is left as it is; an interrupted one goes on. Raises ValueError for impossible numbers, and
    FileExistsError when `root` holds something else.
    """
    _check(size=size, train=train, val=val, seed=seed)
    root = Path(root)
    wanted = {"name": "ToyVOC", "version": VERSION, "train": train, "val": val, "size": size, "seed": seed}
    if _finished(root, wanted):
        return root
    files.write_json(root / STARTED, wanted)
    jobs = [
        job for k, (split, n) in enumerate({"train": train, "val": val}.items()) for job in _jobs(split, k, n, seed)
    ]
    bar = tqdm(total=len(jobs), desc="drawing ToyVOC", unit="image", disable=not progress)
    with bar, _pool(workers, len(jobs)) as pool:
        arguments = ([str(root)] * len(jobs), jobs, [size] * len(jobs))
        done = map(_write_image, *arguments) if pool is None else pool.map(_write_image, *arguments, chunksize=4)
        try:
            for _ in done:
                bar.update()
        except BaseException:
            if pool is not None:  # do not draw the rest first
                pool.shutdown(cancel_futures=True)
            raise
    for split in ("train", "val"):
        ids = [job[0] for job in jobs if job[0].startswith(split)]
        files.write_text(root / "ImageSets" / "Segmentation" / f"{split}.txt", "\n".join(ids) + "\n")
    files.write_json(root / MARKER, wanted)
    (root / STARTED).unlink(missing_ok=True)
    return root


def _check(*, size: int = 160, train: int = 1, val: int = 1, seed: int = 0) -> None:
    if not 64 <= size <= 1024:
        raise ValueError(f"images cannot be drawn with a longer side of {size} pixels: give one from 64 to 1024")
    for name, n in (("train", train), ("val", val)):
        if n < 1:
            raise ValueError(f"the split {name} needs images, got {name}={n}: ask for 1 or more")
    if seed < 0:
        raise ValueError(f"a seed cannot be negative, got seed={seed}: give 0 or more")


def _finished(root: Path, wanted: dict) -> bool:
    """True when `root` holds exactly what is wanted; FileExistsError when it holds anything but a beginning of it.

    A file without content, as a power cut leaves it, or a list that is too short makes it a beginning: what is missing
    is drawn again.
    """
    if root.exists() and not root.is_dir():
        raise FileExistsError(f"{root} is a file: name an empty or a new folder for ToyVOC")
    for name in (MARKER, STARTED):
        if (root / name).is_file():
            if not files.has_content(root / name):
                raise FileExistsError(
                    f"{root / name} is empty, as a power cut leaves it: delete {root}, it is drawn again in seconds"
                )
            found = files.read_json(root / name)
            if found == wanted:
                return name == MARKER and _is_whole(root, wanted)
            found = found if isinstance(found, dict) else {}
            differs = ", ".join(f"{k} {found.get(k)} (not {v})" for k, v in wanted.items() if found.get(k) != v)
            raise FileExistsError(
                f"{root} holds another ToyVOC, with {differs}: delete that folder or name another one"
            )
    foreign = sorted(path.name for path in root.iterdir() if not path.name.startswith(".")) if root.is_dir() else []
    if foreign:
        raise FileExistsError(
            f"{root} holds {', '.join(foreign[:3])}{' ...' if len(foreign) > 3 else ''}, which ToyVOC did not write: "
            "name an empty or a new folder"
        )
    return False


def _is_whole(root: Path, wanted: dict) -> bool:
    for split in ("train", "val"):
        path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
        ids = path.read_text(encoding="utf-8").split() if files.has_content(path) else []
        if len(ids) != wanted[split] or not all(files.has_content(file) for id in ids for file in _files_of(root, id)):
            return False
    return True


def _files_of(root: Path | str, id: str) -> tuple[Path, Path, Path]:
    """Photo, mask and annotation of an image."""
    return (
        Path(root, "JPEGImages", f"{id}.jpg"),
        Path(root, "SegmentationClass", f"{id}.png"),
        Path(root, "Annotations", f"{id}.xml"),
    )


def _jobs(split: str, index: int, n: int, seed: int) -> list[tuple[str, LabelSet, np.ndarray, tuple[int, int, int]]]:
    """Return what to draw in a split: (id, label set, shares, seed of the image's own generator)."""
    g = np.random.default_rng((seed, index, n, 0xC0FFEE))
    sets = label_sets(n)
    sets = [sets[i] for i in g.permutation(n)]
    return [
        (f"{split}_{k:06d}", kind, share, (seed, index, k))
        for k, (kind, share) in enumerate(zip(sets, areas(sets, g), strict=True))
    ]


def _write_image(root: str, job: tuple, size: int) -> None:
    name, kind, shares, seed = job
    picture, label, notes = _files_of(root, name)
    if all(files.has_content(path) for path in (picture, label, notes)):
        return
    image, mask, boxes = draw(kind, np.random.default_rng(seed), size, shares=shares)
    with files.atomic(picture) as path:
        image.save(path, quality=92)
    index_masks.write_mask(label, mask)
    files.write_text(notes, _annotation(picture.name, mask.shape, boxes))


def _annotation(filename: str, shape: tuple[int, ...], boxes: list[Box]) -> str:
    tree = ElementTree.Element("annotation")
    ElementTree.SubElement(tree, "folder").text = "ToyVOC"
    ElementTree.SubElement(tree, "filename").text = filename
    sizes = ElementTree.SubElement(tree, "size")
    for name, value in (("width", shape[1]), ("height", shape[0]), ("depth", 3)):
        ElementTree.SubElement(sizes, name).text = str(value)
    ElementTree.SubElement(tree, "segmented").text = "1"
    for c, *corners in boxes:
        thing = ElementTree.SubElement(tree, "object")
        ElementTree.SubElement(thing, "name").text = CLASSES[c]
        ElementTree.SubElement(thing, "difficult").text = "0"
        bounds = ElementTree.SubElement(thing, "bndbox")
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            ElementTree.SubElement(bounds, name).text = str(value)
    ElementTree.indent(tree)
    return ElementTree.tostring(tree, encoding="unicode") + "\n"


def _pool(workers: int | None, jobs: int):
    """Return a pool of processes where forking is safe and worth it, else a context that holds None."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores if workers is None else workers, 16, jobs // 8)
    if workers < 2 or not sys.platform.startswith("linux") or multiprocessing.current_process().daemon:
        return nullcontext()
    warnings.filterwarnings("ignore", message=".*use of fork\\(\\) may lead to deadlocks", category=DeprecationWarning)
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork"))
