"""Splits have the same classes, masks go with labels, and data that changed are noticed."""

import dataclasses

import numpy as np
import pytest
from trees import CLASSES, mask_of, voc_tree, write_image, write_mask

from pnoc_lib.data import agreement, voc
from pnoc_lib.data.problems import DataError


@pytest.fixture
def split(tmp_path):
    return voc.read_voc(voc_tree(tmp_path), "train", classes=CLASSES)


def test_the_same_classes_in_the_same_order(split):
    images, _ = split
    agreement.same_classes(images, images)
    val = dataclasses.replace(images, split="val", classes=("cat", "dog", "emu"))
    with pytest.raises(
        DataError, match=r'"train" and "val" of voc have .* \(cow only in train; emu only in val\): name'
    ):
        agreement.same_classes(images, images, val)
    with pytest.raises(DataError, match="in another order"):
        agreement.same_classes(images, dataclasses.replace(images, classes=CLASSES[::-1]))


def test_a_digest_knows_labels_sizes_and_ids_but_no_place(split, tmp_path):
    images, masks = split
    first = agreement.digest(images, masks)
    assert set(first) == {"images", "masks"} and all(len(name) == 16 for name in first.values())
    elsewhere = voc_tree(tmp_path / "elsewhere")
    for path in (tmp_path / "JPEGImages").iterdir():  # noise of the same size has other bytes
        (elsewhere / "JPEGImages" / path.name).write_bytes(path.read_bytes())
    assert agreement.digest(*voc.read_voc(elsewhere, "train", classes=CLASSES)) == first
    assert agreement.digest(images) == {"images": first["images"]}
    labels = images.labels.copy()
    labels[0] = 1 - labels[0]
    changed = agreement.digest(dataclasses.replace(images, labels=labels), masks)
    assert changed["images"] != first["images"] and changed["masks"] == first["masks"]
    assert agreement.digest(images.subset(images.ids[::-1]))["images"] != first["images"]
    images.paths[0].unlink()
    assert agreement.digest(images)["images"] != first["images"]


def test_what_changed_is_named(split, tmp_path):
    images, masks = split
    recorded = {agreement.key(images): agreement.digest(images, masks)}
    agreement.unchanged(recorded, images, masks)
    agreement.unchanged({}, images, masks)  # nobody has looked before
    write_mask(tmp_path / "SegmentationClass" / "a2.png", mask_of(1, width=60))
    agreement.unchanged(recorded, images)  # images alone are as they were
    with pytest.raises(DataError, match=r'^masks of split "train" of voc changed since .*: run 00_data again'):
        agreement.unchanged(recorded, images, masks)
    write_image(tmp_path / "JPEGImages" / "a2.jpg", size=(60, 4))
    with pytest.raises(DataError, match=r"^images and masks of split"):
        agreement.unchanged(recorded, images, masks)


def test_masks_that_contradict_most_labels():
    labels = np.eye(3, dtype=np.uint8)
    assert agreement.contradictions(labels, labels) == ""
    assert agreement.contradictions(labels, 0 * labels) == ""  # a boxed object may own no pixel
    one_wrong = labels.copy()
    one_wrong[0] = [0, 1, 0]
    assert agreement.contradictions(labels, one_wrong) == ""
    assert agreement.contradictions(labels, labels[[1, 2, 0]]).startswith("masks of 3 of 3 images show classes that")
    assert agreement.contradictions(labels[:1], labels[1:2]) == ""  # one image proves nothing
