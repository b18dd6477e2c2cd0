"""Index masks: what is written is what the reader of VOC reads."""

import numpy as np
import pytest
from PIL import Image

from pnoc_lib.data import index_masks, voc


def test_masks_come_back_through_the_reader_of_voc(tmp_path):
    folder = index_masks.MaskFolder(tmp_path / "SegmentationClass")
    masks = {"2007_000032": np.array([[0, 1, 20], [255, 5, 0]]), "thin": np.full((7, 1), 3, np.int64)}
    for image_id, mask in masks.items():
        folder.write(image_id, mask)
    read = voc.read_masks(folder.folder)
    assert read.ids == ("2007_000032", "thin")
    for image_id, mask in masks.items():
        np.testing.assert_array_equal(read.mask(image_id), mask)
    with Image.open(folder.path("2007_000032")) as image:
        assert image.mode == "P" and image.getpalette()[:6] == [0, 0, 0, 128, 0, 0]
        assert image.convert("RGB").getpixel((0, 1)) == (224, 224, 192)  # void


def test_a_folder_is_filled_up_until_it_is_made_of_something_else(tmp_path):
    folder = index_masks.MaskFolder(tmp_path)
    assert folder.renew({"threshold": 0.3, "sizes": (1, 2)}) == 0
    folder.write("a", np.zeros((2, 2), int))
    assert folder.renew({"threshold": 0.3, "sizes": (1, 2)}) == 0 and folder.missing(["a", "b"]) == ["b"]
    assert folder.renew({"threshold": 0.4, "sizes": (1, 2)}) == 1 and folder.missing(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize("mask", [np.zeros((2, 2, 3), int), np.zeros((0, 4), int), np.zeros((2, 2))])
def test_what_is_no_mask_is_refused(tmp_path, mask):
    with pytest.raises(ValueError, match=r"must be \(H, W\) class indices, got .* for x.png"):
        index_masks.write_mask(tmp_path / "x.png", mask)
    assert not list(tmp_path.iterdir())


def test_values_that_are_no_byte_are_refused(tmp_path):
    with pytest.raises(ValueError, match="0 to 255, got 0 to 256"):
        index_masks.write_mask(tmp_path / "x.png", np.array([[0, 256]]))


def test_masks_of_images_that_changed_go(tmp_path):
    folder = index_masks.MaskFolder(tmp_path)
    assert folder.drop_changed({"a": "1", "b": "1"}) == 0
    for image_id in "ab":
        folder.write(image_id, np.zeros((2, 2), int))
    assert folder.drop_changed({"a": "1", "b": "2"}) == 1 and folder.missing("ab") == ["b"]
    assert folder.drop_changed({"a": "1"}) == 0  # another part of the split
    folder.write("b", np.zeros((2, 2), int))
    assert folder.drop_changed({"b": "2"}) == 0 and folder.missing("ab") == []
