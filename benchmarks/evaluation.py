"""Scores at every threshold: re-reading each image for each threshold, as published, against one pass.

    python benchmarks/evaluation.py            # the VOC12 train masks beside the repository, else drawn ones
    python benchmarks/evaluation.py --root FOLDER --images 400

The priors are made from the masks (blurred, with noise), so no network is needed. The published way reads full-size
float32 maps, ours the stride-4 store; both see the same values, and the counts of all thresholds must be equal.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from pnoc_lib.data import voc
from pnoc_lib.data.images import VOID, Masks, read_index_mask
from pnoc_lib.data.stores import MapStore
from pnoc_lib.evaluation import metrics

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "voc12-train-masks"
CLASSES = len(voc.VOC_CLASSES)


def draw_masks(folder: Path, count: int, random: np.random.Generator) -> None:
    """Masks of VOC's size with one to three ellipses, each with a border of void."""
    rows, columns = np.mgrid[:375, :500]
    for index in range(count):
        mask = np.zeros((375, 500), dtype=np.uint8)
        for label in random.choice(CLASSES, random.integers(1, 4), replace=False) + 1:
            centre, radius = random.uniform((80, 80), (295, 420)), random.uniform(30, 140, 2)
            distance = np.hypot((rows - centre[0]) / radius[0], (columns - centre[1]) / radius[1])
            mask[distance < 1.05] = VOID
            mask[distance < 1] = label
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(folder / f"drawn_{index:04d}.png")


def find_masks(root: Path, count: int) -> Masks:
    """Every n-th mask of a VOC-style tree or of a folder of PNG files, so that `count` remain."""
    folders = [root / name for name in ("SegmentationClassAug", "SegmentationClass")]
    masks = voc.read_masks(next((folder for folder in folders if folder.is_dir()), root))
    return masks.subset(masks.ids[:: max(1, len(masks) // count)][:count])


def make_priors(masks: Masks, store: MapStore, full: Path, random: np.random.Generator) -> None:
    """Write the stride-4 store and, for the published way, an .npz of full-size float32 maps an image."""
    full.mkdir()
    for id in tqdm(masks.ids, desc="make priors"):
        mask = masks.mask(id)
        classes = np.setdiff1d(mask, [0, VOID]).astype(np.int64) - 1
        cam = (mask[::4, ::4] == classes[:, None, None] + 1).astype(np.float32)  # (K, h, w)
        cam = gaussian_filter(cam, (0, 4, 4))
        cam += gaussian_filter(random.normal(0, 1, cam.shape), (0, 3, 3)) * 0.6
        cam = np.clip(cam, 0, None)
        store.write(id, cam / (cam.max(axis=(1, 2), keepdims=True) + 1e-5), classes, mask.shape)
        np.savez(full / f"{id}.npz", cam=store.full_size(id), keys=np.append(0, classes + 1))


def read_and_threshold(masks: Masks, full: Path, id: str, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Guess and truth of one image at one threshold, from the files."""
    with np.load(full / f"{id}.npz") as data:
        cam, keys = data["cam"], data["keys"]
    truth = read_index_mask(masks.source(id))
    padded = np.pad(cam, ((1, 0), (0, 0), (0, 0)), constant_values=threshold)
    return keys[padded.argmax(axis=0)], truth


def count_by_class(masks: Masks, full: Path) -> np.ndarray:
    """The published way: common, predicted and true pixels, class by class; (thresholds, 3, C + 1)."""
    counts = np.zeros((len(metrics.THRESHOLDS), 3, CLASSES + 1), dtype=np.int64)
    for index, threshold in enumerate(tqdm(metrics.THRESHOLDS, desc="as published")):
        for id in masks.ids:
            guess, truth = read_and_threshold(masks, full, id, threshold)
            valid = truth < VOID
            hit = (guess == truth) * valid
            for label in range(CLASSES + 1):
                counts[index, 0, label] += np.sum((truth == label) * hit)
                counts[index, 1, label] += np.sum((guess == label) * valid)
                counts[index, 2, label] += np.sum((truth == label) * valid)
    return counts


def count_by_matrix(masks: Masks, full: Path) -> np.ndarray:
    """The same reading with a quicker count: one confusion matrix an image; (thresholds, C + 1, C + 1)."""
    confusion = np.zeros((len(metrics.THRESHOLDS), CLASSES + 1, CLASSES + 1), dtype=np.int64)
    for index, threshold in enumerate(tqdm(metrics.THRESHOLDS, desc="confusion matrices")):
        for id in masks.ids:
            guess, truth = read_and_threshold(masks, full, id, threshold)
            confusion[index] += metrics.confusion_matrix(guess, truth, CLASSES + 1)
    return confusion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=BESIDE, help="VOC-style tree or folder of masks")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    random = np.random.default_rng(settings.seed)

    with tempfile.TemporaryDirectory() as scratch:
        root, full, store = settings.root, Path(scratch, "full"), MapStore(Path(scratch, "store"))
        if root == BESIDE and not root.is_dir():
            root = Path(scratch, "masks")
            draw_masks(root, settings.images, random)
        masks = find_masks(root, settings.images)
        make_priors(masks, store, full, random)

        rows, results = [], {}
        ways = {
            "per threshold, class by class (as published)": lambda: count_by_class(masks, full),
            "per threshold, confusion matrix": lambda: count_by_matrix(masks, full),
            "one pass, 1 thread": lambda: metrics.evaluate(store, masks, workers=1),
            f"one pass, {os.cpu_count()} threads": lambda: metrics.evaluate(store, masks),
        }
        metrics.evaluate(store, masks, ids=masks.ids[:5], progress=False)  # start-up costs are no one's
        for way, run in ways.items():
            started = time.perf_counter()
            results[way] = run()
            rows.append({"way": way, "seconds": time.perf_counter() - started})

    published, matrix, *histograms = results.values()
    for histogram in histograms:
        assert all(np.array_equal(histogram.confusion(index), matrix[index]) for index in range(len(matrix)))
    assert np.array_equal(published[:, 0], matrix.diagonal(axis1=1, axis2=2))
    assert np.array_equal(published[:, 1], matrix.sum(axis=1)) and np.array_equal(published[:, 2], matrix.sum(axis=2))

    table = pd.DataFrame(rows)
    table["ms an image"] = 1000 * table["seconds"] / len(masks)
    table["times faster than published"] = table.loc[0, "seconds"] / table["seconds"]
    table["than confusion matrix"] = table.loc[1, "seconds"] / table["seconds"]
    best = metrics.threshold_sweep(histograms[0])["miou"].max()
    print(f"\n{len(masks)} images of {root.name}, {len(matrix)} thresholds, counts equal, best mIoU {best:.3f}")
    print(table.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
