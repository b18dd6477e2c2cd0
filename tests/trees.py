"""Small data sets on disk for the tests of the readers."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "cow")
IDS = ("a1", "a2", "a3")


def write_mask(path, mask):
    """Index mask as PNG with a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(mask, dtype=np.uint8)).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    image.save(path)


def write_image(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 40).convert("RGB").save(path)


def mask_of(*indices, height=4, width=6):
    """(4, 6) background with one pixel of every index along the first row."""
    mask = np.zeros((height, width), np.uint8)
    mask[0, : len(indices)] = indices
    return mask


def box(name, left=1, top=1, right=3, bottom=3):
    return (
        f"<object><name>{name}</name><difficult>1</difficult><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
    )


def write_xml(root, id, *objects):
    (root / "Annotations").mkdir(exist_ok=True)
    (root / "Annotations" / f"{id}.xml").write_text(f"<annotation>{''.join(objects)}</annotation>")


def write_list(root, split, text):
    folder = root / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}.txt").write_text(text)


def voc_tree(root: Path, masks_folder="SegmentationClass") -> Path:
    """Three images of 6 x 4 pixels: a1 shows cat and void, a2 dog and cow, a3 cow."""
    for id, indices in zip(IDS, [(1, 255), (2, 3), (3,)], strict=True):
        write_image(root / "JPEGImages" / f"{id}.jpg")
        write_mask(root / masks_folder / f"{id}.png", mask_of(*indices))
    write_list(root, "train", "a1\na2\na3\n")
    return root


def square(left, top, side):
    """A polygon that covers pixels left..left+side-1, top..top+side-1."""
    right, bottom = left + side, top + side
    return [left, top, right, top, right, bottom, left, bottom]


def coco_tree(root: Path, change=lambda content: None) -> Path:
    """Two photos of 10 x 8 pixels and one without an object; categories 7 (dog) and 3 (cat), in this order."""
    crowd = {"size": [8, 10], "counts": [0, 16, 64]}  # columns 0 and 1
    content = {
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "images": [{"id": number, "file_name": f"p{number}.jpg", "height": 8, "width": 10} for number in (12, 5, 9)],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 7, "segmentation": [square(3, 2, 2)]},
            {"id": 2, "image_id": 5, "category_id": 3, "segmentation": [square(1, 0, 5)]},
            {"id": 3, "image_id": 9, "category_id": 3, "iscrowd": 1, "segmentation": crowd},
            {"id": 4, "image_id": 9, "category_id": 7, "segmentation": [[5, 5, 2, 2], square(1, 1, 2)]},
        ],
    }
    change(content)
    for record in content["images"]:
        write_image(root / "train2014" / f"p{record['id']}.jpg", size=(10, 8))
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "annotations" / "instances_train2014.json").write_text(json.dumps(content))
    return root


def folder_tree(root: Path, text: str, name="labels.csv") -> Path:
    """Images one.png and pets/two.jpg, and a CSV with the given text."""
    write_image(root / "one.png")
    write_image(root / "pets" / "two.jpg")
    (root / name).write_text(text)
    return root
