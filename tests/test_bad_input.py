"""Every kind of bad data stops with a sentence: what is wrong, what was given, what to do."""

import re

import numpy as np
import pytest
from PIL import Image
from trees import (
    CLASSES,
    IDS,
    box,
    coco_tree,
    folder_tree,
    mask_of,
    voc_tree,
    write_image,
    write_list,
    write_mask,
    write_xml,
)

from pnoc_lib.data import coco, folder, reading, voc
from pnoc_lib.data.images import LabeledImages, Masks
from pnoc_lib.data.problems import DataError


def truncate(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def annotate(root, **objects):
    for id in IDS:
        write_xml(root, id, objects.get(id, box("cat")))


def write_coloured_mask(path):
    Image.new("RGB", (6, 4), (128, 0, 0)).save(path)


def append_id(root, id):
    write_list(root, "train", f"a1\na2\na3\n{id}\n")


# what is done to a good tree, and the sentence that reading it must give
READ_VOC = {
    "no JPEGImages": (
        lambda root: (root / "JPEGImages").rename(root / "Photos"),
        {},
        r"no VOC-style tree here (a folder JPEGImages): get VOCtrainval_11-May-2012.tar from the PASCAL VOC site",
    ),
    "no list of the split": (
        lambda root: None,
        {"split": "test"},
        'no list of split "test", the splits here are train: use one of them, or give ids_file',
    ),
    "no list of trainaug": (
        lambda root: None,
        {"split": "trainaug"},
        'no list of split "trainaug", the splits here are train: trainaug is not part of VOC12: put the masks',
    ),
    "no masks of trainaug": (
        lambda root: write_list(root, "trainaug", "a1\n"),
        {"split": "trainaug"},
        "no masks of trainaug to take labels from: trainaug is not part of VOC12: put the masks",
    ),
    "empty list": (
        lambda root: write_list(root, "train", "\n  \n"),
        {},
        "train.txt: the split is empty, this list names no image: write one id a line",
    ),
    "repeated id": (
        lambda root: append_id(root, "\na1"),
        {},
        'id "a1" stands on lines 1 and 5: name every image once',
    ),
    "file name for an id": (
        lambda root: append_id(root, "a4.jpg"),
        {},
        'line 4 is "a4.jpg": write the id without folder and suffix',
    ),
    "path for an id": (
        lambda root: append_id(root, "../a4"),
        {},
        'line 4 is "../a4": write the id without folder and suffix',
    ),
    "several words on a line": (
        lambda root: append_id(root, "a4 -1"),
        {},
        'line 4 is "a4 -1": write one id a line',
    ),
    "list that is no text": (
        lambda root: (root / "ImageSets" / "Segmentation" / "train.txt").write_bytes(b"\xff\xfe\x00\xd8"),
        {},
        "train.txt: list of ids is no readable UTF-8 text",
    ),
    "ids_file that is not there": (
        lambda root: None,
        {"ids_file": "nowhere.txt"},
        "nowhere.txt: no such list of ids: give a text file with one id a line",
    ),
    "unknown object name": (
        lambda root: annotate(root, a2=box("unicorn")),
        {},
        'a2.xml: unknown object name "unicorn": use one of cat, dog, cow',
    ),
    "object without a box": (
        lambda root: annotate(root, a2="<object><name>cat</name></object>"),
        {},
        'a2.xml: object "cat" has no complete box: give xmin, ymin, xmax and ymax',
    ),
    "annotation that is no XML": (
        lambda root: (annotate(root), truncate(root / "Annotations" / "a2.xml")),
        {},
        "a2.xml: annotation is no readable XML",
    ),
    "annotation missing": (
        lambda root: None,
        {"labels": "boxes"},
        'a1.xml: no such annotation: add it, or read labels="masks"',
    ),
    "neither masks nor annotations": (
        lambda root: (root / "SegmentationClass").rename(root / "Elsewhere"),
        {},
        "no labels: there are neither masks (SegmentationClassAug or SegmentationClass) nor Annotations",
    ),
    "mask missing where labels need it": (
        lambda root: (root / "SegmentationClass" / "a3.png").unlink(),
        {},
        "a3.png: no such mask: put the file there, or take its id off the list",
    ),
    "unknown source of labels": (
        lambda root: None,
        {"labels": "captions"},
        'labels="captions" is unknown: use "auto", "boxes" or "masks"',
    ),
    "class named twice": (
        lambda root: None,
        {"classes": ("cat", "dog", "cat")},
        "classes must differ, got cat more than once: name every class once",
    ),
    "one name for all classes": (
        lambda root: None,
        {"classes": ()},
        "classes must be a list of 1 to 254 names, got (): name every class once",
    ),
}

# what is done to a tree that was read, and the file and sentence that `check` must list
CHECK_VOC = {
    "image missing": (
        lambda root: (root / "JPEGImages" / "a2.jpg").unlink(),
        "a2.jpg",
        "no such image: put the file there, or take its id off the list",
    ),
    "image empty": (
        lambda root: (root / "JPEGImages" / "a2.jpg").write_bytes(b""),
        "a2.jpg",
        "image is empty: get the file again",
    ),
    "image cut short": (
        lambda root: (
            write_image(root / "JPEGImages" / "a2.jpg", size=(6, 4)),
            truncate(root / "JPEGImages" / "a2.jpg", 0.97),
        ),
        "a2.jpg",
        "image cannot be decoded (image file is truncated",
    ),
    "image that is a web page": (
        lambda root: (root / "JPEGImages" / "a2.jpg").write_text("<html>404</html>"),
        "a2.jpg",
        "image is in no format that Pillow knows: get the file again",
    ),
    "folder in place of an image": (
        lambda root: ((root / "JPEGImages" / "a2.jpg").unlink(), (root / "JPEGImages" / "a2.jpg").mkdir()),
        "a2.jpg",
        "image is no regular file: put the file there",
    ),
    "mask missing": (
        lambda root: (root / "SegmentationClass" / "a2.png").unlink(),
        "a2.png",
        "no such mask: put the file there, or take its id off the list",
    ),
    "mask cut short": (
        lambda root: truncate(root / "SegmentationClass" / "a2.png", 0.9),
        "a2.png",
        "mask cannot be decoded",
    ),
    "mask that is no image": (
        lambda root: (root / "SegmentationClass" / "a2.png").write_text("mask"),
        "a2.png",
        "mask is in no format that Pillow knows: get the file again",
    ),
    "mask in colours": (
        lambda root: write_coloured_mask(root / "SegmentationClass" / "a2.png"),
        "a2.png",
        "mask holds colours or other values (mode RGB), not class indices: save it as PNG with a palette",
    ),
    "mask of another size": (
        lambda root: write_mask(root / "SegmentationClass" / "a2.png", mask_of(1, width=5)),
        "a2.png",
        "mask is 5 x 4 pixels and image 6 x 4: make the two equal in size",
    ),
    "mask index of no class": (
        lambda root: write_mask(root / "SegmentationClass" / "a2.png", mask_of(1, 4, 77)),
        "a2.png",
        "mask of a2 holds index 4, 77, and there are 3 classes: allowed are 0 (background), 1..3 and 255 (void)",
    ),
}

READ_COCO = {
    "no annotation file": (
        lambda root: (root / "annotations" / "instances_train2014.json").unlink(),
        "no such annotation file: put COCO's annotations/instances_train2014.json and the folder train2014 of photos",
    ),
    "no photos": (
        lambda root: (root / "train2014").rename(root / "elsewhere"),
        "no folder of photos here: put COCO's annotations/instances_train2014.json",
    ),
    "annotations cut short": (
        lambda root: truncate(root / "annotations" / "instances_train2014.json"),
        "instances_train2014.json: annotation file is no readable JSON",
    ),
    "no categories": (
        lambda root: coco_tree(root, lambda content: content.pop("categories")),
        'annotation file has no list "categories": give an instances file in COCO\'s format',
    ),
    "captions in place of instances": (
        lambda root: coco_tree(root, lambda content: content["annotations"][2].pop("category_id")),
        '"annotations" entry 2 has no category_id: give an instances file in COCO\'s format',
    ),
    "unknown category": (
        lambda root: coco_tree(root, lambda content: content["annotations"][1].update(category_id=99)),
        "annotation 2 has unknown category 99: add it to categories or drop it",
    ),
    "unknown image": (
        lambda root: coco_tree(root, lambda content: content["annotations"][1].update(image_id=99)),
        "annotation 2 has unknown image 99: add it to images or drop it",
    ),
    "no image": (
        lambda root: coco_tree(root, lambda content: content.update(images=[])),
        "the split is empty, this file names no image: give another one",
    ),
    "two images of one name": (
        lambda root: coco_tree(root, lambda content: content["images"][0].update(file_name="p5.png")),
        "ids must differ, got p5 more than once: name every image once",
    ),
}

READ_FOLDER = {
    "no CSV": (None, {}, "labels.csv: no such CSV of labels: write one with the columns image,labels"),
    "empty CSV": ("", {}, 'header is "": it must have the column image, and labels or one column a class'),
    "semicolons between columns": (
        "image;labels\none.png;cat\n",
        {},
        'header is "image;labels": it must have the column image, and labels or one column a class, between commas',
    ),
    "column twice": (
        "image,cat,cat\none.png,1,0\n",
        {},
        'header "image,cat,cat" repeats a column or leaves one unnamed: name each once',
    ),
    "two forms at once": (
        "image,labels,cat\none.png,cat,1\n",
        {},
        "columns cat stand beside labels: use either labels or one column a class",
    ),
    "comma in the labels": (
        "image,labels\none.png,cat,dog\n",
        {},
        "line 2 has 3 values and the header 2: give one value a column",
    ),
    "wrong mark between names": (
        "image,labels\none.png,cat|dog\n",
        {},
        'line 2 has labels "cat|dog": put ; between class names',
    ),
    "unknown class": (
        "image,labels\none.png,catt\n",
        {"classes": ["cat", "dog"]},
        'line 2 names class "catt": use one of cat, dog',
    ),
    "image named twice": (
        "image,labels\none.png,cat\none.jpg,cat\n",
        {},
        'lines 2 and 3 have the same id "one": name every image once',
    ),
    "image outside": (
        "image,labels\n../one.png,cat\n",
        {},
        'line 2 has image "../one.png": give a path below the folder of images',
    ),
    "empty split": (
        "image,labels,split\none.png,cat,train\n",
        {"split": "val"},
        'split "val" is empty, no row of this file belongs to it: its splits are train',
    ),
    "header alone": ("image,labels\n", {}, 'split "all" is empty, no row of this file belongs to it: add one row'),
    "no column split": (
        "image,labels\none.png,cat\n",
        {"split": "val"},
        'no column split to find "val" in: add it, or use split="all"',
    ),
    "no class at all": (
        "image,labels\none.png,\n",
        {},
        "no class is named: fill the column labels, or add one column of 0 and 1 a class",
    ),
    "masks without an order of classes": (
        "image,labels\none.png,cat\n",
        {"masks_dir": "masks"},
        "masks need the order of the classes: give classes=[...], the first is mask index 1",
    ),
    "no folder of masks": (
        "image,labels\none.png,cat\n",
        {"masks_dir": "masks", "classes": ["cat"]},
        "masks: no such folder of masks: give masks_dir below the folder of images, or leave it out",
    ),
}


@pytest.mark.parametrize("kind", READ_VOC)
def test_reading_a_bad_voc_tree(tmp_path, kind):
    spoil, options, sentence = READ_VOC[kind]
    root = voc_tree(tmp_path)
    spoil(root)
    with pytest.raises(DataError, match=re.escape(sentence)):
        voc.read_voc(**{"root": root, "split": "train", "classes": CLASSES, **options})


@pytest.mark.parametrize("kind", CHECK_VOC)
def test_checking_a_bad_voc_tree(tmp_path, kind):
    spoil, file, sentence = CHECK_VOC[kind]
    root = voc_tree(tmp_path)
    images, masks = voc.read_voc(root, "train", classes=CLASSES)
    spoil(root)
    problems = reading.check(images, masks, progress=False)
    assert problems["id"].tolist() == ["a2"]
    assert problems["file"][0].endswith(file)
    assert problems["problem"][0].startswith(sentence)
    with pytest.raises(DataError, match=rf"^1 problem in the data:\n  .*{re.escape(file)}: {re.escape(sentence)}"):
        reading.report(problems)


@pytest.mark.parametrize("kind", READ_COCO)
def test_reading_bad_coco(tmp_path, kind):
    spoil, sentence = READ_COCO[kind]
    root = coco_tree(tmp_path)
    spoil(root)
    with pytest.raises(DataError, match=re.escape(sentence)):
        coco.read_coco(root, "train")


@pytest.mark.parametrize("kind", READ_FOLDER)
def test_reading_a_bad_folder(tmp_path, kind):
    text, options, sentence = READ_FOLDER[kind]
    root = folder_tree(tmp_path, text or "")
    if text is None:
        (root / "labels.csv").unlink()
    with pytest.raises(DataError, match=re.escape(sentence)):
        folder.read_folder(root, **options)


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder: give the one that holds the images"):
        folder.read_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="nowhere: no such folder of masks: give the one that holds"):
        voc.read_masks(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no mask in this folder: it must hold <id>\.png files"):
        voc.read_masks(tmp_path)


def test_unknown_kind_and_option(tmp_path):
    with pytest.raises(DataError, match='unknown kind of data "coco": use one of voc, toyvoc, coco14, folder'):
        reading.read("coco", tmp_path, "train")
    with pytest.raises(DataError, match='data of kind "folder" take no option labels: use labels_csv, masks_dir,'):
        reading.read("folder", tmp_path, "train", labels="boxes")


def test_unknown_id(tmp_path):
    images, masks = voc.read_voc(voc_tree(tmp_path), "train", classes=CLASSES)
    sentence = 'no id "b7" among the images of voc train: use one of its 3 ids, such as a1'
    for call in (images.image, images.label, images.index, lambda id: images.subset([id])):
        with pytest.raises(DataError, match=sentence):
            call("b7")
    with pytest.raises(DataError, match='no id "b7" among the masks: use one of its 3 ids'):
        masks.mask("b7")
    with pytest.raises(DataError, match="ids must differ, got a1 more than once"):
        images.subset(["a1", "a2", "a1"])


def test_image_without_mask_without_class_and_empty_split(tmp_path):
    root = voc_tree(tmp_path)
    write_mask(root / "SegmentationClass" / "a2.png", mask_of(255))
    images, masks = voc.read_voc(root, "train", classes=CLASSES)
    problems = reading.check(images, masks.subset(["a1", "a2"]), progress=False)
    assert problems["id"].tolist() == ["a3"]  # an image without a class is none: COCO14 has hundreds
    assert problems["problem"][0].startswith('no id "a3" among the masks')
    problems = reading.check(images.subset(["a2"]), masks, progress=False)
    assert problems["problem"].tolist() == ['no image of split "train" of voc has a class: add labels']
    problems = reading.check(images.subset([]), masks, progress=False)
    assert problems["problem"].tolist() == ['split "train" of voc is empty: give a list that names images']


def test_bad_files_of_a_reader_are_raised_all_at_once(tmp_path):
    root = voc_tree(tmp_path)
    for id in IDS:
        truncate(root / "SegmentationClass" / f"{id}.png", 0.9)
    with pytest.raises(DataError) as error:
        voc.read_voc(root, "train", classes=CLASSES)
    assert str(error.value).startswith("3 problems in the data:")
    assert all(f"{id}.png: mask cannot be decoded" in str(error.value) for id in IDS)


def test_labels_that_do_not_fit(tmp_path):
    good = dict(name="x", split="train", classes=CLASSES, ids=("a",), paths=(tmp_path,))
    with pytest.raises(DataError, match=r"labels must be uint8 \(images, classes\) = \(1, 3\)"):
        LabeledImages(labels=np.zeros((1, 2), np.uint8), **good)
    with pytest.raises(DataError, match="labels must be 0 or 1, got 2"):
        LabeledImages(labels=np.full((1, 3), 2, np.uint8), **good)
    with pytest.raises(DataError, match="got 1 ids and 0 mask sources"):
        Masks(CLASSES, ("a",), (), np.asarray)
