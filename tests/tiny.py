"""A data set that a tiny network learns in seconds: coloured squares on grey noise, one colour a class."""

from pathlib import Path

import numpy as np
from PIL import Image

from pnoc_lib.data.images import VOID, LabeledImages, Masks, read_index_mask

CLASSES = ("red", "green")
COLOURS = ((220, 30, 30), (30, 200, 30))


def squares(
    folder: Path, count: int, *, size: tuple[int, int] = (48, 40), seed: int = 0
) -> tuple[LabeledImages, Masks]:
    """Images and masks written below `folder`: red, green, both, red, ... as squares with a void border."""
    random = np.random.default_rng(seed)
    ids = tuple(f"i{number:03}" for number in range(count))
    labels = np.array([[(1, 0), (0, 1), (1, 1)][number % 3] for number in range(count)], np.uint8).reshape(count, 2)
    for folder_name in ("images", "masks"):
        (folder / folder_name).mkdir(parents=True)
    width, height = size
    for image_id, label in zip(ids, labels, strict=True):
        pixels = random.integers(90, 150, (height, width, 3), np.uint8)
        mask = np.zeros((height, width), np.uint8)
        for index in np.flatnonzero(label):
            side = int(random.integers(height // 3, height // 2))
            left = int(random.integers(0, width // 2 - side + 1)) + index * (width // 2)
            top = int(random.integers(0, height - side + 1))
            mask[top : top + side, left : left + side] = VOID
            mask[top + 1 : top + side - 1, left + 1 : left + side - 1] = index + 1
            pixels[top : top + side, left : left + side] = COLOURS[index]
        Image.fromarray(pixels).save(folder / "images" / f"{image_id}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{image_id}.png")
    images = LabeledImages(
        "squares", "train", CLASSES, ids, labels, tuple(folder / "images" / f"{i}.png" for i in ids), "masks"
    )
    return images, Masks(CLASSES, ids, tuple(folder / "masks" / f"{i}.png" for i in ids), read_index_mask)
