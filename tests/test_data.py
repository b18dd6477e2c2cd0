import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image
from trees import CLASSES, IDS, box, mask_of, voc_tree, write_image, write_list, write_mask, write_xml

from pnoc_lib.data import reading, voc
from pnoc_lib.data.images import VOID, LabeledImages
from pnoc_lib.data.problems import DataError

SHARED = Path(__file__).parents[2] / "shared"
ANIMALS = SHARED / "voc12-animals"


def read(root, split="train", **options):
    return reading.read("voc", root, split, classes=CLASSES, **options)


def test_labels_from_masks_need_one_pixel_and_void_counts_for_nobody(tmp_path):
    images, masks = read(voc_tree(tmp_path))
    assert images.label_source == "masks"
    assert images.ids == masks.ids == IDS
    np.testing.assert_array_equal(images.labels, [[1, 0, 0], [0, 1, 1], [0, 0, 1]])
    assert images.labels.dtype == np.uint8
    np.testing.assert_array_equal(masks.mask("a1"), mask_of(1, 255))
    assert images.label_counts().to_dict() == {"cat": 1, "dog": 1, "cow": 2}


def test_labels_from_boxes_when_every_id_has_them(tmp_path):
    root = voc_tree(tmp_path)
    write_xml(root, "a1", box("dog"), box("cow", right=1), box("cat", bottom=1))  # no width, no height
    write_xml(root, "a2", box("cat"), box("cat"))
    with pytest.raises(DataError, match=r"1 of 3 images have no annotation, such as a3.xml: add them, or read labels="):
        read(root)
    write_xml(root, "a3")
    images, _ = read(root)
    assert images.label_source == "boxes"
    np.testing.assert_array_equal(images.labels, [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert read(root, labels="masks")[0].label("a3").tolist() == [0, 0, 1]
    assert images.with_labels().ids == ("a1", "a2")


def test_parts_of_an_object_are_no_objects(tmp_path):
    root = voc_tree(tmp_path)
    for id in IDS:
        write_xml(root, id, box("cat").replace("</object>", "<part><name>head</name></part></object>"))
    assert read(root)[0].labels.sum(axis=0).tolist() == [3, 0, 0]


def test_masks_of_the_augmented_folder_come_first(tmp_path):
    root = voc_tree(tmp_path)
    write_mask(root / "SegmentationClassAug" / "a2.png", mask_of(1))
    images, masks = read(root)
    assert masks.source("a2").parent.name == "SegmentationClassAug"
    assert masks.source("a1").parent.name == "SegmentationClass"
    assert images.label("a2").tolist() == [1, 0, 0]


def test_boxes_do_without_masks(tmp_path):
    root = voc_tree(tmp_path, masks_folder="elsewhere")
    for id in IDS:
        write_xml(root, id, box("cow"))
    images, masks = read(root)
    assert masks is None
    assert images.label_source == "boxes"


@pytest.mark.parametrize("name", ["trainaug", "train_aug"])
@pytest.mark.parametrize("split", ["trainaug", "train_aug"])
def test_trainaug_is_found_under_both_names(tmp_path, name, split):
    root = voc_tree(tmp_path, masks_folder="SegmentationClassAug")
    write_list(root, name, "/JPEGImages/a2.jpg /SegmentationClassAug/a2.png\n/JPEGImages/a1.jpg /x/a1.png\n")
    assert read(root, split)[0].ids == ("a2", "a1")


def test_list_of_ids_from_a_file(tmp_path):
    root = voc_tree(tmp_path / "tree")
    (tmp_path / "mine.txt").write_bytes(b"\xef\xbb\xbf# a comment\r\n\r\n a3 \r\na1\r\n")
    images, masks = read(root, "mine", ids_file=tmp_path / "mine.txt")
    assert images.ids == masks.ids == ("a3", "a1")
    assert images.split == "mine"


@pytest.mark.parametrize("above", [".", "..", "../.."])
def test_tree_is_found_from_above(tmp_path, above):
    root = voc_tree(tmp_path / "VOCdevkit" / "VOC2012")
    assert len(read(root / above)[0]) == 3


def test_images_of_other_suffixes(tmp_path):
    root = voc_tree(tmp_path)
    (root / "JPEGImages" / "a1.jpg").rename(root / "JPEGImages" / "a1.JPG")
    write_image(root / "JPEGImages" / "a2.png", size=(3, 3))  # beside a2.jpg, which wins
    images, _ = read(root)
    assert images.image("a1").size == images.image("a2").size == (6, 4)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "RGBA", "LA"])
def test_images_of_any_mode_become_rgb(tmp_path, mode):
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    Image.new("RGB", (5, 3), (255, 255, 255)).convert(mode).save(path)
    image = LabeledImages("x", "train", ("cat",), ("x",), np.ones((1, 1), np.uint8), (path,)).image("x")
    assert (image.mode, image.size, image.getpixel((1, 1))) == ("RGB", (5, 3), (255, 255, 255))


def test_grey_of_16_bits_keeps_the_upper_eight(tmp_path):
    Image.fromarray(np.array([[0, 256, 128 * 256 + 17, 65535]], np.uint16)).save(tmp_path / "x.png")
    images = LabeledImages("x", "", ("cat",), ("x",), np.ones((1, 1), np.uint8), (tmp_path / "x.png",))
    assert np.asarray(images.image("x"))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_orientation_in_exif_is_ignored(tmp_path):
    root = voc_tree(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (6, 4)).save(root / "JPEGImages" / "a1.jpg", exif=exif)
    images, masks = read(root)
    assert images.image("a1").size == (6, 4)
    assert reading.check(images, masks, progress=False).empty


def test_subset_keeps_order_and_pairs(tmp_path):
    images, masks = read(voc_tree(tmp_path))
    part = images.subset(["a3", "a1"])
    assert part.ids == ("a3", "a1")
    assert part.label("a1").tolist() == images.label("a1").tolist()
    assert part.paths[part.index("a3")] == images.paths[2]
    np.testing.assert_array_equal(masks.subset(["a3"]).mask("a3"), masks.mask("a3"))
    assert len(images.subset([])) == len(masks.subset([])) == 0


def test_training_cannot_reach_masks(tmp_path):
    images, _ = read(voc_tree(tmp_path))
    names = {field.name for field in dataclasses.fields(images)} - {"_position"}
    assert names == {"name", "split", "classes", "ids", "labels", "paths", "label_source"}
    assert b"Segmentation" not in pickle.dumps(images)


def test_both_travel_to_worker_processes(tmp_path):
    images, masks = pickle.loads(pickle.dumps(read(voc_tree(tmp_path))))
    assert images.label("a2").tolist() == [0, 1, 1]
    assert masks.mask("a2").max() == 3
    error = pickle.loads(pickle.dumps(DataError("broken", Path("x.png"))))
    assert str(error) == "x.png: broken"


def test_short_form_names_what_it_is(tmp_path):
    images, masks = read(voc_tree(tmp_path))
    assert repr(images) == "<voc train: 3 images, 3 classes, labels from masks>"
    assert repr(masks) == "<3 masks, 3 classes>"


def test_masks_of_a_folder_alone(tmp_path):
    root = voc_tree(tmp_path)
    masks = voc.read_masks(root / "SegmentationClass", classes=CLASSES)
    assert masks.ids == IDS
    assert voc.read_masks(root / "SegmentationClass", ["a2"], classes=CLASSES).mask("a2").max() == 3


def test_check_finds_nothing_in_good_data(tmp_path):
    problems = reading.check(*read(voc_tree(tmp_path)), progress=False)
    assert list(problems.columns) == ["id", "file", "problem"]
    assert problems.empty
    reading.report(problems)


def test_check_lists_all_problems_at_once_in_order(tmp_path):
    root = voc_tree(tmp_path)
    images, masks = read(root)
    (root / "JPEGImages" / "a1.jpg").unlink()
    write_mask(root / "SegmentationClass" / "a1.png", mask_of(9))
    write_mask(root / "SegmentationClass" / "a3.png", mask_of(1, width=7))
    problems = reading.check(images, masks, workers=2, progress=False)
    assert problems["id"].tolist() == ["a1", "a1", "a3"]
    assert [Path(file).name for file in problems["file"]] == ["a1.jpg", "a1.png", "a3.png"]
    with pytest.raises(DataError) as error:
        reading.report(problems)
    assert len(str(error.value).splitlines()) == 4
    assert "3 problems in the data:" in str(error.value)


def test_report_is_cut_after_twenty_lines(tmp_path):
    root = voc_tree(tmp_path)
    images, _ = read(root)
    many = tuple(f"b{number:02}" for number in range(25))
    labels = np.ones((25, 3), np.uint8)
    images = dataclasses.replace(images, ids=many, labels=labels, paths=tuple(root / f"{id}.jpg" for id in many))
    with pytest.raises(DataError) as error:
        reading.report(reading.check(images, progress=False))
    lines = str(error.value).splitlines()
    assert lines[0] == "25 problems in the data:"
    assert len(lines) == 22
    assert lines[-1].strip() == "... and 5 more"


def test_check_shows_a_progress_bar(tmp_path, capsys):
    reading.check(*read(voc_tree(tmp_path)))
    assert "3/3" in capsys.readouterr().err


def test_some_images_may_have_no_class_but_not_all(tmp_path):
    images, masks = read(voc_tree(tmp_path))
    labels = images.labels.copy()
    labels[1:] = 0
    assert reading.check(dataclasses.replace(images, labels=labels), masks, progress=False).empty
    problems = reading.check(dataclasses.replace(images, labels=0 * labels), masks, progress=False)
    assert problems["problem"].tolist() == ['no image of split "train" of voc has a class: add labels']


def fake_download(monkeypatch, action):
    def download(root, **options):
        assert options == {"year": "2012", "image_set": "trainval", "download": True}
        action(Path(root))

    monkeypatch.setattr(torchvision.datasets, "VOCSegmentation", download)


def write_both_splits(root):
    tree = voc_tree(root / "VOCdevkit" / "VOC2012")
    write_list(tree, "train", "a1\na2\n")
    write_list(tree, "val", "a3\n")


def test_download_leaves_a_complete_tree_alone(tmp_path, monkeypatch):
    calls = []
    fake_download(monkeypatch, lambda root: (calls.append(root), write_both_splits(root)))
    folder = voc.download_voc(tmp_path)
    assert len(read(folder)[0]) == 2
    voc.download_voc(tmp_path)
    assert calls == [tmp_path]
    (folder / "SegmentationClass" / "a3.png").unlink()  # as if unpacking had been interrupted
    voc.download_voc(tmp_path)
    assert calls == [tmp_path, tmp_path]


def test_download_tells_where_files_go_when_offline(tmp_path, monkeypatch):
    def fail(root):
        raise OSError("no route to host")

    fake_download(monkeypatch, fail)
    with pytest.raises(DataError, match=r"could not be downloaded \(no route to host\): get VOCtrainval_11-May"):
        voc.download_voc(tmp_path)


def test_download_that_lacks_files_is_noticed(tmp_path, monkeypatch):
    fake_download(monkeypatch, lambda root: voc_tree(root / "VOCdevkit" / "VOC2012"))
    with pytest.raises(DataError, match="files of train and val are missing"):
        voc.download_voc(tmp_path)


def test_classes_of_voc_in_their_order():
    assert len(voc.VOC_CLASSES) == 20
    assert list(voc.VOC_CLASSES) == sorted(voc.VOC_CLASSES)  # VOC's order is the alphabet's
    assert voc.VOC_CLASSES[14] == "person"
    assert VOID == 255


@pytest.mark.skipif(
    not ANIMALS.is_dir(), reason="real VOC12 images are not beside the repository (shared/voc12-animals)"
)
def test_real_images():
    images, masks = reading.read("voc", ANIMALS, "train")
    assert len(images) == 437
    assert images.label_source == "masks"
    animals = [images.classes.index(name) for name in ("cat", "cow", "dog", "horse", "sheep")]
    assert images.labels[:, animals].any(axis=1).all()
    first = images.ids[:20]
    assert reading.check(images.subset(first), masks.subset(first), progress=False).empty
    assert len(reading.read("voc", ANIMALS, "trainaug")[0]) == 800


def test_one_split_has_one_list_of_ids():
    given = [("train", "half.txt"), ("train", "half.txt"), ("val", ""), ("", "any.txt")]
    assert reading.lists_of_ids(given) == {"train": "half.txt", "val": ""}
    for other in ("", "other.txt"):
        with pytest.raises(ValueError, match="split 'train' has two lists of ids"):
            reading.lists_of_ids([("train", "half.txt"), ("train", other)])
