import json

import numpy as np
import pytest
from pycocotools import mask as rle
from trees import coco_tree, square

from pnoc_lib.data import coco, reading
from pnoc_lib.data.problems import DataError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools on numpy 2


def change_annotation(position, **values):
    return lambda content: content["annotations"][position].update(values)


def test_classes_by_category_id_and_labels(tmp_path):
    images, masks = reading.read("coco14", coco_tree(tmp_path), "train")
    assert images.classes == masks.classes == ("cat", "dog")  # ids 3 and 7
    assert images.ids == masks.ids == ("p5", "p9", "p12")
    assert (images.name, images.split, images.label_source) == ("coco14", "train2014", "instances")
    np.testing.assert_array_equal(images.labels, [[1, 1], [1, 1], [0, 0]])
    assert images.image("p9").size == (10, 8)
    assert images.with_labels().ids == ("p5", "p9")


def test_smaller_object_lies_on_top(tmp_path):
    _, masks = coco.read_coco(coco_tree(tmp_path), "train")
    expected = np.zeros((8, 10), np.uint8)
    expected[0:5, 1:6] = 1  # the cat of 25 pixels comes later in the file
    expected[2:4, 3:5] = 2
    np.testing.assert_array_equal(masks.mask("p5"), expected)


def test_crowd_is_void_and_lies_below(tmp_path):
    _, masks = coco.read_coco(coco_tree(tmp_path), "train")
    expected = np.zeros((8, 10), np.uint8)
    expected[:, 0:2] = 255
    expected[1:3, 1:3] = 2  # its first polygon has two corners, no area
    np.testing.assert_array_equal(masks.mask("p9"), expected)


def test_image_without_an_object_is_background(tmp_path):
    images, masks = coco.read_coco(coco_tree(tmp_path), "train")
    assert masks.mask("p12").shape == (8, 10)
    assert not masks.mask("p12").any()
    assert reading.check(images, masks, progress=False).empty


@pytest.mark.parametrize("compressed", [True, False])
def test_run_length_codes(tmp_path, compressed):
    inside = np.zeros((8, 10), np.uint8, order="F")
    inside[2:7, 3:9] = 1
    code = {"size": [8, 10], "counts": [26, 5, 3, 5, 3, 5, 3, 5, 3, 5, 3, 5, 9]}  # down the columns
    if compressed:
        code["counts"] = rle.encode(inside)["counts"].decode()
    entry = {"id": 5, "image_id": 12, "category_id": 7, "segmentation": code}
    _, masks = coco.read_coco(coco_tree(tmp_path, lambda content: content["annotations"].append(entry)), "train")
    np.testing.assert_array_equal(masks.mask("p12"), 2 * inside)


def test_run_lengths_undo_the_compression():
    generator = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 1.0):
        inside = np.asfortranarray(generator.random((37, 53)) < share, dtype=np.uint8)
        runs = coco._run_lengths(rle.encode(inside)["counts"].decode())
        assert sum(runs) == inside.size
        assert sum(runs[1::2]) == inside.sum()


def test_list_of_ids_and_other_places(tmp_path):
    root = coco_tree(tmp_path)
    (root / "mine.txt").write_text("p12\np5\n")
    (root / "images").mkdir()
    (root / "train2014").rename(root / "images" / "train2014")
    (root / "annotations" / "instances_train2014.json").rename(root / "other.json")
    images, masks = coco.read_coco(root, "train2014", annotations=root / "other.json", ids_file=root / "mine.txt")
    assert images.ids == masks.ids == ("p12", "p5")
    assert images.image("p5").size == (10, 8)


def test_boxes_alone_give_labels_without_masks(tmp_path):
    def drop_outlines(content):
        for entry in content["annotations"]:
            del entry["segmentation"]

    images, masks = coco.read_coco(coco_tree(tmp_path, drop_outlines), "train")
    assert masks is None
    assert images.labels.sum() == 4


def test_reader_is_silent(tmp_path, capsys):
    coco.read_coco(coco_tree(tmp_path), "train")[1].mask("p5")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("outline", "words"),
    [
        (None, "no outline"),
        ([[0, 0, 1, 1, 2]], "a corner without x and y"),
        ([[0, 0, float("nan"), 1, 2, 2]], "a corner without x and y"),
        ([["a", 0, 1, 1, 2, 2]], "could not convert"),
        ({"size": [8, 10], "counts": [10, 5]}, r"runs of 15 pixels for \[8, 10\], the image has \[8, 10\]"),
        ({"size": [10, 8], "counts": [40, 40]}, r"runs of 80 pixels for \[10, 8\], the image has \[8, 10\]"),
        ({"size": [8, 10], "counts": "garbage!"}, "runs of"),
        ({"counts": [40, 40]}, "KeyError: 'size'"),
        ({"size": [8, 10], "counts": ""}, "runs of 0 pixels"),
        ({"size": [8, 10], "counts": [40.5, 39.5]}, "runs must be whole numbers"),
        ({"size": [8, 10], "counts": [-5, 85]}, "runs must be whole numbers"),
        ({"size": [8, 10], "counts": None}, "TypeError"),
        (7, "TypeError"),
    ],
)
def test_broken_outline_names_image_and_class(tmp_path, outline, words):
    images, masks = coco.read_coco(coco_tree(tmp_path, change_annotation(0, segmentation=outline)), "train")
    with pytest.raises(DataError, match=f"mask of p5 cannot be painted, an object of class 2 .*{words}"):
        masks.mask("p5")
    problems = reading.check(images, masks, progress=False)
    assert problems["id"].tolist() == ["p5"]
    assert problems["file"][0].endswith("p5.jpg")


def test_square_covers_what_its_name_says(tmp_path):
    change = change_annotation(0, segmentation=[square(2, 3, 4)])
    _, masks = coco.read_coco(coco_tree(tmp_path, lambda c: (change(c), c["annotations"].pop(1))), "train")
    expected = np.zeros((8, 10), np.uint8)
    expected[3:7, 2:6] = 2
    np.testing.assert_array_equal(masks.mask("p5"), expected)


@pytest.mark.parametrize("corner", [1e30, -1e30, 1e9, 21.0, -11.0])
def test_a_corner_far_outside_does_not_reach_the_painter(tmp_path, corner):
    """pycocotools ends the whole process on such a number."""
    outline = [[corner, 0, 1, 1, 2, 2]]
    _, masks = coco.read_coco(coco_tree(tmp_path, change_annotation(0, segmentation=outline)), "train")
    with pytest.raises(DataError, match=r"p5 cannot be painted.*a corner further outside the image of 10 x 8 pixels"):
        masks.mask("p5")


def change_record(part, position, **values):
    return lambda content: content[part][position].update(values)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (change_record("categories", 0, id=3), '"categories" has the id 3 more than once: keep one entry'),
        (change_record("images", 0, id=5), '"images" has the id 5 more than once: keep one entry'),
        (change_record("categories", 0, id="7"), "\"categories\" has the id '7': ids are whole numbers"),
        (change_record("images", 0, id=None), '"images" has the id None: ids are whole numbers'),
        (change_record("images", 0, id=[1]), r'"images" has the id \[1\]: ids are whole numbers'),
        (change_record("images", 0, id=True), '"images" has the id True: ids are whole numbers'),
        (change_record("categories", 1, name=None), "category 3 has the name None: give it a word"),
        (change_record("categories", 1, name=" "), "category 3 has the name ' ': give it a word"),
        (change_record("images", 0, height=None), "image 12 has the height None: give 1 to 65500 whole pixels"),
        (change_record("images", 0, height="8"), "image 12 has the height '8': give"),
        (change_record("images", 0, width=-4), "image 12 has the width -4: give"),
        (change_record("images", 0, width=10**6), "image 12 has the width 1000000: give"),
        (change_record("images", 0, height=8.5), "image 12 has the height 8.5: give"),
        (change_record("images", 0, file_name=None), "image 12 has the file_name None: name a file in the folder"),
        (change_record("images", 0, file_name=""), "image 12 has the file_name '': name a file"),
        (change_record("images", 0, file_name="/etc/hosts"), "image 12 has the file_name '/etc/hosts': name a file"),
        (change_record("images", 0, file_name="../x.jpg"), "image 12 has the file_name '../x.jpg': name a file"),
        (change_record("annotations", 0, image_id=[5]), r"annotation 1 has unknown image \[5\]: add it to images"),
        (change_record("annotations", 0, category_id=None), "annotation 1 has unknown category None: add it"),
    ],
)
def test_values_that_are_none_of_cocos_get_a_sentence(tmp_path, change, sentence):
    root = coco_tree(tmp_path)
    path = root / "annotations" / "instances_train2014.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=sentence):
        coco.read_coco(root, "train")


def test_deep_nesting_is_no_readable_json(tmp_path):
    root = coco_tree(tmp_path)
    (root / "annotations" / "instances_train2014.json").write_text("[" * 200_000)
    with pytest.raises(DataError, match="annotation file is no readable JSON"):
        coco.read_coco(root, "train")


def test_annotations_need_no_id(tmp_path):
    def drop_ids(content):
        for entry in content["annotations"]:
            del entry["id"]

    images, masks = coco.read_coco(coco_tree(tmp_path, drop_ids), "train")
    assert images.labels.sum() == 4
    assert masks.mask("p5").max() == 2


def test_eighty_categories(tmp_path):
    ids = [number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]

    def eighty(content):
        content["categories"] = [{"id": id, "name": f"c{id}"} for id in reversed(ids)]

    images, _ = coco.read_coco(coco_tree(tmp_path, eighty), "train")
    assert len(images.classes) == 80
    assert images.classes[0] == "c1" and images.classes[11] == "c13" and images.classes[79] == "c90"
    assert json.loads((tmp_path / "annotations" / "instances_train2014.json").read_text())["images"][0]["id"] == 12
