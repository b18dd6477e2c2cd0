import numpy as np
import pytest
from trees import folder_tree, mask_of, write_image, write_mask

from pnoc_lib.data import folder, reading
from pnoc_lib.data.problems import DataError

LISTED = "image,labels,split\none.png,cat; dog ,train\npets/two.jpg,,val\n"
COLUMNS = "image,dog,cat\none.png,1,1\npets/two.jpg,0,0\n"


def test_column_of_names(tmp_path):
    images, masks = reading.read("folder", folder_tree(tmp_path / "zoo", LISTED), "all")
    assert masks is None
    assert (images.name, images.label_source) == ("zoo", "csv")
    assert images.ids == ("one", "pets__two")
    assert images.classes == ("cat", "dog")  # sorted
    np.testing.assert_array_equal(images.labels, [[1, 1], [0, 0]])
    assert images.image("pets__two").size == (6, 4)
    assert reading.check(images, progress=False).empty


def test_one_column_a_class(tmp_path):
    images, _ = folder.read_folder(folder_tree(tmp_path, COLUMNS))
    assert images.classes == ("dog", "cat")  # as in the header
    np.testing.assert_array_equal(images.labels, [[1, 1], [0, 0]])


def test_both_forms_agree(tmp_path):
    root = folder_tree(tmp_path, LISTED)
    (root / "columns.csv").write_text(COLUMNS)
    listed, _ = folder.read_folder(root, classes=["cat", "dog"])
    columns, _ = folder.read_folder(root, "columns", labels_csv="columns.csv", classes=["cat", "dog"])
    np.testing.assert_array_equal(listed.labels, columns.labels)
    assert listed.ids == columns.ids


def test_splits_by_column_and_by_file(tmp_path):
    root = folder_tree(tmp_path, LISTED)
    assert folder.read_folder(root, "train")[0].ids == ("one",)
    (root / "val.csv").write_text("image,labels\npets/two.jpg,dog\n")
    assert folder.read_folder(root, "val")[0].ids == ("pets__two",)


def test_masks_with_the_classes_named(tmp_path):
    root = folder_tree(tmp_path, LISTED)
    write_mask(root / "masks" / "one.png", mask_of(1, 2))
    write_mask(root / "masks" / "pets" / "two.png", mask_of(255))
    images, masks = folder.read_folder(root, masks_dir="masks", classes=["dog", "cat"])
    np.testing.assert_array_equal(masks.mask("one"), mask_of(1, 2))
    assert images.classes == masks.classes == ("dog", "cat")
    assert reading.check(images, masks, progress=False).empty


def test_images_may_lie_in_a_folder_of_their_own(tmp_path):
    root = folder_tree(tmp_path, "image,labels\nthree.png,cat\n")
    write_image(root / "images" / "three.png", size=(9, 2))
    assert folder.read_folder(root)[0].image("three").size == (9, 2)


def test_quotes_blank_lines_and_byte_order_mark(tmp_path):
    text = '\ufeffimage,labels\r\n\r\n"one.png","cat;sea lion"\r\n'
    root = folder_tree(tmp_path, "")
    (root / "labels.csv").write_bytes(text.encode())
    images, _ = folder.read_folder(root)
    assert images.classes == ("cat", "sea lion")


@pytest.mark.parametrize("value", ["yes", "", "2", "1.0"])
def test_only_0_and_1_in_class_columns(tmp_path, value):
    root = folder_tree(tmp_path, f"image,cat\none.png,{value}\n")
    with pytest.raises(DataError, match=f'line 2 has "{value}" in column cat: write 1 or 0'):
        folder.read_folder(root)


def test_all_bad_lines_are_named_at_once(tmp_path):
    root = folder_tree(tmp_path, "image,labels\none.png,cat\npets/two.jpg,cow\nfour.png,owl;ant\n")
    with pytest.raises(DataError) as error:
        folder.read_folder(root, classes=["cat"])
    assert str(error.value).startswith("3 problems in the data:")
    assert 'line 3 names class "cow": use one of cat' in str(error.value)
    assert 'line 4 names class "ant"' in str(error.value)
