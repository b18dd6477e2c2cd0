"""A list of bad inputs, what each ought to lead to, and a count of what it leads to, by kind.

    python tests/bad_inputs.py            a table of counts
    python tests/bad_inputs.py --list     and every case that is not as it ought to be

A case is done to a fresh folder. It ends as one of
    sentence         refused in one sentence of the library's own: what is wrong, what was given, what to do
    went on          rightly, with the right result
    traceback        an error of another library, or of Python, comes through
    silently wrong   accepted, though it ought to be refused, or with a wrong result
    lost             something that was there before is gone
    no end           nothing within 20 s, or the process died
"""

import multiprocessing
import os
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from trees import CLASSES, box, coco_tree, folder_tree, mask_of, voc_tree, write_image, write_list, write_mask

from pnoc_lib import files, toyvoc
from pnoc_lib.data import coco, folder, reading, voc
from pnoc_lib.data.problems import DataError

KINDS = ("sentence", "went on", "traceback", "silently wrong", "lost", "no end")
REFUSE, GO_ON = "refuse", "go on"


class Lost(Exception):
    """Something that was there before is gone."""


class Wrong(Exception):
    """The library went on with a wrong result."""


def right(condition, what=""):
    if not condition:
        raise Wrong(what)


def xml(root, **bodies):
    """Annotations of the three images of `voc_tree`; a body that begins with < and no <object> is the whole file."""
    (root / "Annotations").mkdir(exist_ok=True)
    for id, name in zip(("a1", "a2", "a3"), ("cat", "dog", "cow"), strict=True):
        body = bodies.get(id, box(name))
        text = body if body.startswith(("<html", "<annotation", "<!", "<?")) else f"<annotation>{body}</annotation>"
        (root / "Annotations" / f"{id}.xml").write_text(text)


def read_voc(spoil, then=lambda images, masks: None, **options):
    def case(root):
        voc_tree(root)
        spoil(root)
        then(*voc.read_voc(root, "train", classes=CLASSES, **options))

    return case


def check_voc(spoil):
    def case(root):
        voc_tree(root)
        spoil(root)
        images, masks = voc.read_voc(root, "train", classes=CLASSES)
        reading.report(reading.check(images, masks, progress=False))

    return case


def read_coco(change, split="train"):
    def case(root):
        coco_tree(root, change)
        images, masks = coco.read_coco(root, split)
        problems = reading.check(images, masks, progress=False)
        reading.report(problems)

    return case


def read_folder(text, then=lambda images, masks: None, **options):
    def case(root):
        folder_tree(root, "")
        (root / "labels.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        then(*folder.read_folder(root, **options))

    return case


def photo(make):
    """An image a2.jpg made by `make(path)`, whatever its suffix says."""

    def spoil(root):
        path = root / "JPEGImages" / "a2.jpg"
        path.unlink()
        make(path)

    return spoil


def mask(make):
    def spoil(root):
        path = root / "SegmentationClass" / "a2.png"
        path.unlink()
        make(path)

    return spoil


def save(array, format, **options):
    return lambda path: Image.fromarray(array).save(path, format=format, **options)


def noise(mode, size=(6, 4), format="PNG"):
    return lambda path: Image.effect_noise(size, 60).convert("RGB").convert(mode).save(path, format=format)


def looks_like(array):
    """The image that was saved comes back as a picture, not black."""

    def then(images, masks):
        found = np.asarray(images.image("a2").convert("L"), float)
        right(abs(found.mean() - array.mean()) < 16, f"mean {found.mean():.0f} for {array.mean():.0f}")

    return then


def labels_are(*rows):
    return lambda images, masks: right(images.labels.tolist() == [list(row) for row in rows], images.labels.tolist())


def classes_are(*names):
    return lambda images, masks: right(images.classes == names, images.classes)


RAMP = np.linspace(20, 230, 24).reshape(4, 6)
PERMUTED = {1: 2, 2: 3, 3: 1}


def permute_masks(root):
    xml(root, a2=box("dog") + box("cow"))
    for id, indices in zip(("a1", "a2", "a3"), [(1,), (2, 3), (3,)], strict=True):
        write_mask(root / "SegmentationClass" / f"{id}.png", mask_of(*(PERMUTED[i] for i in indices)))


def namespace(root):
    xml(root, a2=f'<annotation xmlns="http://voc">{box("dog")}</annotation>')


def sized(body, width=6, height=4):
    return f"<size><width>{width}</width><height>{height}</height></size>{body}"


VOC = {
    "annotation with a name space": (REFUSE, read_voc(namespace)),
    "annotation that is a web page": (REFUSE, read_voc(lambda root: xml(root, a2="<html><p>404</p></html>"))),
    "annotation with entities": (
        REFUSE,
        read_voc(
            lambda root: xml(
                root, a2='<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>&e;</annotation>'
            )
        ),
    ),
    "annotation of no bytes": (
        REFUSE,
        read_voc(lambda root: (xml(root), (root / "Annotations/a2.xml").write_text(""))),
    ),
    "box with its corners exchanged": (REFUSE, read_voc(lambda root: xml(root, a2=box("dog", 5, 3, 1, 1)))),
    "box outside of the image": (REFUSE, read_voc(lambda root: xml(root, a2=sized(box("dog", 50, 30, 70, 40))))),
    "box left of the image": (REFUSE, read_voc(lambda root: xml(root, a2=sized(box("dog", -9, -9, -1, -1))))),
    "box without an end": (REFUSE, read_voc(lambda root: xml(root, a2=box("dog", 1, 1, "inf", 3)))),
    "box that is no number": (REFUSE, read_voc(lambda root: xml(root, a2=box("dog", 1, 1, "nan", 3)))),
    "box in words": (REFUSE, read_voc(lambda root: xml(root, a2=box("dog", "one", 1, 3, 3)))),
    "object without a name": (REFUSE, read_voc(lambda root: xml(root, a2=box("")))),
    "object that is a part": (REFUSE, read_voc(lambda root: xml(root, a2=box("head")))),
    "one annotation missing": (
        REFUSE,
        read_voc(lambda root: (xml(root), (root / "Annotations/a2.xml").unlink())),
    ),
    "annotation called .XML": (
        GO_ON,
        read_voc(
            lambda root: (xml(root), (root / "Annotations/a2.xml").rename(root / "Annotations/a2.XML")),
            lambda images, masks: right(images.label_source == "boxes", images.label_source),
        ),
    ),
    "box without width": (
        GO_ON,
        read_voc(lambda root: xml(root, a2=box("dog", 2, 1, 2, 3)), labels_are((1, 0, 0), (0, 0, 0), (0, 0, 1))),
    ),
    "masks with another palette than the labels": (REFUSE, check_voc(permute_masks)),
    "list with a byte order mark and Windows ends": (
        GO_ON,
        read_voc(
            lambda root: (root / "ImageSets/Segmentation/train.txt").write_bytes(b"\xef\xbb\xbfa1\r\na2\r\n"),
            lambda images, masks: right(images.ids == ("a1", "a2"), images.ids),
        ),
    ),
    "list with a NUL": (REFUSE, read_voc(lambda root: write_list(root, "train", "a1\x00\na2\n"))),
    "id of 280 letters": (REFUSE, read_voc(lambda root: write_list(root, "train", "a1\n" + "x" * 280 + "\n"))),
    "list that is a folder": (
        REFUSE,
        read_voc(
            lambda root: (
                (root / "ImageSets/Segmentation/train.txt").unlink(),
                (root / "ImageSets/Segmentation/train.txt").mkdir(),
            )
        ),
    ),
    "image that is a pipe": (REFUSE, check_voc(photo(os.mkfifo))),
    "image that is a ring of links": (REFUSE, check_voc(photo(lambda path: path.symlink_to(path)))),
    "image that is a link to nothing": (REFUSE, check_voc(photo(lambda path: path.symlink_to("nowhere.jpg")))),
    "image of floats in [0, 1]": (REFUSE, check_voc(photo(save((RAMP / 255).astype(np.float32), "TIFF")))),
    "image of floats up to 255": (REFUSE, check_voc(photo(save(RAMP.astype(np.float32), "TIFF")))),
    "image of 32-bit numbers": (REFUSE, check_voc(photo(save(RAMP.astype(np.int32), "TIFF")))),
    "image in 16-bit grey": (
        GO_ON,
        read_voc(photo(save((RAMP * 257).astype(np.uint16), "PNG")), looks_like(RAMP)),
    ),
    "image in 8-bit grey": (GO_ON, read_voc(photo(save(RAMP.astype(np.uint8), "PNG")), looks_like(RAMP))),
    "image with transparency": (GO_ON, check_voc(photo(noise("RGBA")))),
    "image in CMYK": (GO_ON, check_voc(photo(noise("CMYK", format="JPEG")))),
    "image in black and white": (GO_ON, check_voc(photo(noise("1")))),
    "image with a palette": (GO_ON, check_voc(photo(noise("P")))),
    "image in Lab": (GO_ON, check_voc(photo(lambda path: Image.new("LAB", (6, 4), 99).save(path, "TIFF")))),
    "animated image": (
        GO_ON,
        check_voc(
            photo(
                lambda path: Image.new("RGB", (6, 4)).save(
                    path, "GIF", save_all=True, append_images=[Image.new("RGB", (6, 4), "red")]
                )
            )
        ),
    ),
    "image with an unheard-of number of pixels": (
        REFUSE,
        check_voc(photo(lambda path: Image.new("1", (20000, 20000)).save(path, "PNG"))),
    ),
    "image of 20000 x 1 pixels": (
        REFUSE,
        check_voc(
            lambda root: (
                write_image(root / "JPEGImages/a2.jpg", (20000, 1)),
                write_mask(root / "SegmentationClass/a2.png", mask_of(2, height=1, width=20000)),
            )
        ),
    ),
    "mask in 16 bits": (REFUSE, check_voc(mask(save(mask_of(2).astype(np.uint16), "PNG")))),
    "mask in floats": (REFUSE, check_voc(mask(save(mask_of(2).astype(np.float32), "TIFF")))),
    "mask in black and white": (REFUSE, check_voc(mask(lambda path: Image.new("1", (6, 4)).save(path)))),
    "mask that is a JPEG": (
        REFUSE,
        check_voc(mask(lambda path: Image.fromarray(mask_of(2)).save(path, format="JPEG", quality=100))),
    ),
    "mask of no bytes": (REFUSE, check_voc(mask(lambda path: path.write_bytes(b"")))),
    "mask that is a pipe": (REFUSE, check_voc(mask(os.mkfifo))),
    "mask with transparency": (REFUSE, check_voc(mask(noise("LA")))),
    "no image has a class": (
        REFUSE,
        check_voc(
            lambda root: [write_mask(root / f"SegmentationClass/{id}.png", mask_of(255)) for id in ("a1", "a2", "a3")]
        ),
    ),
    "one image has no class": (
        GO_ON,
        check_voc(lambda root: write_mask(root / "SegmentationClass/a2.png", mask_of(255))),
    ),
    "root is a file": (REFUSE, lambda root: voc.read_voc(save_text(root / "a.txt"), "train")),
    "split is a path": (REFUSE, read_voc(lambda root: None, ids_file="../../etc")),
}


def save_text(path, text="x"):
    path.write_text(text)
    return path


def first(part, **values):
    return lambda content: content[part][0].update(values)


COCO = {
    "image without an object": (
        GO_ON,
        read_coco(lambda content: content["annotations"].__delitem__(slice(0, 2))),
    ),
    "two categories of one id": (
        REFUSE,
        read_coco(lambda content: content["categories"][-1].update(id=content["categories"][0]["id"])),
    ),
    "two categories of one name": (
        REFUSE,
        read_coco(lambda content: content["categories"][-1].update(name=content["categories"][0]["name"])),
    ),
    "category without a name": (REFUSE, read_coco(first("categories", name=None))),
    "category of no letters": (REFUSE, read_coco(first("categories", name=""))),
    "category ids of two types": (REFUSE, read_coco(first("categories", id="3"))),
    "category id of none": (REFUSE, read_coco(first("categories", id=None))),
    "category id that is a list": (REFUSE, read_coco(first("categories", id=[3]))),
    "image id of none": (REFUSE, read_coco(first("images", id=None))),
    "image id that is a list": (REFUSE, read_coco(first("images", id=[9]))),
    "two images of one id": (REFUSE, read_coco(first("images", id=5))),
    "height of none": (REFUSE, read_coco(first("images", height=None))),
    "height in words": (REFUSE, read_coco(first("images", height="tall"))),
    "height below zero": (REFUSE, read_coco(first("images", height=-8))),
    "height of a million": (REFUSE, read_coco(first("images", height=10**6))),
    "file name of none": (REFUSE, read_coco(first("images", file_name=None))),
    "file name that is a number": (REFUSE, read_coco(first("images", file_name=5))),
    "file name from the root": (REFUSE, read_coco(first("images", file_name="/etc/hostname"))),
    "file name above the folder": (REFUSE, read_coco(first("images", file_name="../../x.jpg"))),
    "annotations that are a dictionary": (REFUSE, read_coco(lambda content: content.update(annotations={}))),
    "annotation that is a number": (REFUSE, read_coco(lambda content: content["annotations"].append(5))),
    "annotation of category none": (REFUSE, read_coco(first("annotations", category_id=None))),
    "annotation of a list": (REFUSE, read_coco(first("annotations", category_id=[7]))),
    "annotation of an image that is a list": (REFUSE, read_coco(first("annotations", image_id=[5]))),
    "outline of an odd number of values": (
        REFUSE,
        read_coco(first("annotations", segmentation=[[1, 2, 3, 4, 5, 6, 7]])),
    ),
    "outline in words": (REFUSE, read_coco(first("annotations", segmentation=[["a", "b", 1, 2, 3, 4]]))),
    "outline without an end": (REFUSE, read_coco(first("annotations", segmentation=[[1, 1, float("inf"), 2, 3, 3]]))),
    "run lengths below zero": (
        REFUSE,
        read_coco(first("annotations", segmentation={"size": [8, 10], "counts": [-5, 85]})),
    ),
    "run lengths of another image": (
        REFUSE,
        read_coco(first("annotations", segmentation={"size": [4, 4], "counts": [8, 8]})),
    ),
    "run lengths that are not whole": (
        REFUSE,
        read_coco(first("annotations", segmentation={"size": [8, 10], "counts": [39.5, 40.5]})),
    ),
    "run lengths in broken code": (
        REFUSE,
        read_coco(first("annotations", segmentation={"size": [8, 10], "counts": "~~"})),
    ),
    "JSON that is a list": (REFUSE, lambda root: coco.read_coco(coco_text(root, "[1, 2]"), "train")),
    "JSON of no bytes": (REFUSE, lambda root: coco.read_coco(coco_text(root, ""), "train")),
    "JSON nested deep": (REFUSE, lambda root: coco.read_coco(coco_text(root, "[" * 100_000), "train")),
    "JSON in UTF-16": (
        REFUSE,
        lambda root: coco.read_coco(coco_text(root, '{"images": []}'.encode("utf-16")), "train"),
    ),
}


def coco_text(root, text):
    coco_tree(root)
    path = root / "annotations" / "instances_train2014.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def other_categories(root):
    """Two splits whose files name different categories."""
    coco_tree(root)
    train = root / "annotations" / "instances_train2014.json"
    text = train.read_text()
    (root / "val2014").symlink_to(root / "train2014", target_is_directory=True)
    (root / "annotations" / "instances_val2014.json").write_text(text.replace('"dog"', '"emu"'))
    both(coco.read_coco(root, "train")[0], coco.read_coco(root, "val")[0])


def both(images, scored):
    """What the notebooks do with the two splits that they read."""
    from pnoc_lib.data import agreement

    agreement.same_classes(images, scored)


def split_classes(root):
    """Two splits of one CSV in which different classes occur: both must know all three."""
    text = "image,labels,split\none.png,cat;dog,train\npets/two.jpg,emu,val\n"
    folder_tree(root, text)
    images, scored = (folder.read_folder(root, split)[0] for split in ("train", "val"))
    both(images, scored)
    right(images.classes == ("cat", "dog", "emu"), images.classes)


def split_files(root):
    folder_tree(root, "image,labels\none.png,cat;dog\n", "train.csv")
    folder_tree(root, "image,labels\npets/two.jpg,cat;emu\n", "val.csv")
    both(*(folder.read_folder(root, split)[0] for split in ("train", "val")))


def drawn_names(images, masks):
    """Class names stand in figures: whatever is accepted can be drawn, and stays what it is."""
    from pnoc_lib.evaluation import distributions, pictures

    figure = distributions.cooccurrence(np.zeros((len(images.classes),) * 2), images.classes, title="shared images (%)")
    figure.canvas.draw()
    figure = pictures.show_grid({"image": [images.image(images.ids[0])]}, [", ".join(images.classes)])
    figure.canvas.draw()


def header(*names):
    return "image," + ",".join(names) + "\none.png," + ",".join("1" for _ in names) + "\n"


FOLDER = {
    "classes that differ by split": (GO_ON, split_classes),
    "CSV files of two splits with other classes": (REFUSE, split_files),
    "COCO files of two splits with other categories": (REFUSE, other_categories),
    "class names with formulas": (GO_ON, read_folder(header("cost $5 or $^", "a_b^c\\frac"), drawn_names)),
    "class name of 3000 letters": (REFUSE, read_folder(header("x" * 3000), drawn_names)),
    "class names that differ in capitals": (REFUSE, read_folder(header("Cat", "cat"))),
    "class names in two forms of Unicode": (REFUSE, read_folder(header("caf\u00e9", "cafe\u0301"))),
    "class names with a space that nobody sees": (REFUSE, read_folder(header("cat", "c\u200bat"))),
    "class name with a NUL": (REFUSE, read_folder(header("c\x00at"))),
    "class name that writes from right to left": (REFUSE, read_folder(header("\u202ecat"))),
    "class names in other scripts": (
        GO_ON,
        read_folder(
            header("\u732b", "\u0441\u043e\u0431\u0430\u043a\u0430"),
            classes_are("\u732b", "\u0441\u043e\u0431\u0430\u043a\u0430"),
        ),
    ),
    "class names of two spaces": (REFUSE, read_folder(header("sea lion", "sea  lion"))),
    "255 classes": (REFUSE, read_folder(header(*(f"c{k}" for k in range(255))))),
    "row without a class": (
        GO_ON,
        read_folder(
            "image,labels\none.png,cat\npets/two.jpg,\n",
            lambda images, masks: reading.report(reading.check(images, progress=False)),
        ),
    ),
    "CSV in Latin-1": (REFUSE, read_folder("image,labels\none.png,caf\u00e9\n".encode("latin-1"))),
    "CSV in UTF-16": (REFUSE, read_folder("image,labels\none.png,cat\n".encode("utf-16"))),
    "CSV with a NUL": (REFUSE, read_folder("image,labels\none.png,c\x00at\n")),
    "CSV with a field of a megabyte": (REFUSE, read_folder("image,labels\none.png," + "x" * 10**6 + "\n")),
    "CSV with an open quote": (REFUSE, read_folder('image,labels\none.png,"cat\npets/two.jpg,dog\n')),
    "CSV with quotes": (GO_ON, read_folder('image,labels\n"one.png","cat;dog"\n', classes_are("cat", "dog"))),
    "CSV with blanks around": (
        GO_ON,
        read_folder("image , labels\n one.png , cat ; dog \n", classes_are("cat", "dog")),
    ),
    "image from the root": (REFUSE, read_folder("image,labels\n/etc/hostname,cat\n")),
    "image that is the folder": (REFUSE, read_folder("image,labels\n.,cat\n")),
    "image of no name": (REFUSE, read_folder("image,labels\n,cat\n")),
    "image that is not there": (
        REFUSE,
        read_folder(
            "image,labels\nnine.png,cat\n",
            lambda images, masks: reading.report(reading.check(images, progress=False)),
        ),
    ),
    "labels_csv that is not there": (REFUSE, read_folder("image,labels\none.png,cat\n", labels_csv="no.csv")),
    "root is not there": (REFUSE, lambda root: reading.read("folder", root / "nowhere", "all")),
    "ToyVOC is not there": (
        REFUSE,
        lambda root: refused_without(reading.read, "VOCtrainval", "toyvoc", root / "nowhere", "train"),
    ),
    "unknown kind": (REFUSE, lambda root: reading.read("imagenet", root, "train")),
}


def refused_without(function, word, *arguments):
    """The refusal must not give advice that leads elsewhere."""
    try:
        function(*arguments)
    except DataError as error:
        right(word not in str(error), f"advice about {word}")
        raise


def tensors(path, content=None, kept=None):
    files.write_tensors(path, {"w": torch.ones(9)})
    data = content if content is not None else path.read_bytes()[:kept]
    path.write_bytes(data)
    files.read_tensors(path)


def keeps(function, path, content="kept"):
    """A failed call leaves what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    try:
        function()
    finally:
        if not path.is_file() or path.read_text() != content:
            raise Lost(path.name)


def foreign(root):
    keeps(lambda: toyvoc.write(root, train=1, val=1, size=64, progress=False), root / "notebooks" / "mine.ipynb")


def foreign_photos(root):
    keeps(lambda: toyvoc.write(root, train=1, val=1, size=64, progress=False), root / "JPEGImages" / "train_000000.jpg")


def mended(spoil):
    """A ToyVOC that a power cut has left torn is drawn again, with the same bytes."""

    def case(root):
        options = {"train": 2, "val": 1, "size": 64, "progress": False}
        toyvoc.write(root, **options)
        before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
        spoil(root)
        toyvoc.write(root, **options)
        right({path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before, "torn files stay")

    return case


def full_disk(root):
    from safetensors import SafetensorError

    def fail(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    kept = files.save_file
    files.save_file = fail
    try:
        keeps(lambda: files.write_tensors(root / "w.safetensors", {"w": torch.ones(9)}), root / "w.safetensors")
    finally:
        files.save_file = kept


def changed_data(change):
    """Data that were corrected after they were looked at are noticed."""

    def case(root):
        from pnoc_lib.data import agreement

        voc_tree(root)
        xml(root)
        images, masks = voc.read_voc(root, "train", classes=CLASSES)
        recorded = {agreement.key(images): agreement.digest(images, masks)}
        change(root)
        agreement.unchanged(recorded, *voc.read_voc(root, "train", classes=CLASSES))

    return case


def loader_process(root):
    """A bad image that a loader process meets."""
    from torch.utils.data import DataLoader

    voc_tree(root)
    images, _ = voc.read_voc(root, "train", classes=CLASSES)
    (root / "JPEGImages" / "a2.jpg").write_bytes(b"")
    loader = DataLoader(Photos(images), num_workers=1, batch_size=None)
    try:
        list(loader)
    except DataError as error:
        right("Traceback" not in str(error), "a traceback inside the sentence")
        raise
    finally:
        del loader


class Photos(torch.utils.data.Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return np.asarray(self.images.image(self.images.ids[index]))


def equal_bytes(root):
    texts = {f"key {k}": "x" for k in range(40)}
    for name in ("a", "b"):
        files.write_tensors(root / name, {"w": torch.ones(9)}, texts)
    right((root / "a").read_bytes() == (root / "b").read_bytes(), "equal tensors, other bytes")
    right((root / "a").stat().st_mode & 0o044, "nobody else can read it")


FILES = {
    "JSON of no bytes": (REFUSE, lambda root: files.read_json(save_text(root / "a.json", ""))),
    "JSON cut short": (REFUSE, lambda root: files.read_json(save_text(root / "a.json", '{"a": '))),
    "JSON nested deep": (REFUSE, lambda root: files.read_json(save_text(root / "a.json", "[" * 100_000))),
    "JSON of bytes": (
        REFUSE,
        lambda root: ((root / "a.json").write_bytes(b"\xff\xfe\x00"), files.read_json(root / "a.json")),
    ),
    "tensors of no bytes": (REFUSE, lambda root: tensors(root / "a", b"")),
    "tensors cut in the header": (REFUSE, lambda root: tensors(root / "a", kept=20)),
    "tensors cut at the end": (REFUSE, lambda root: tensors(root / "a", kept=-4)),
    "tensors with a header of terabytes": (REFUSE, lambda root: tensors(root / "a", b"\xff" * 7 + b"\x00{}")),
    "tensors that are text": (REFUSE, lambda root: tensors(root / "a", b"these are no weights, not at all")),
    "tensors that are a pickle": (
        REFUSE,
        lambda root: tensors(root / "a", b"\x80\x04cos\nsystem\n(S'touch executed'\ntR."),
    ),
    "tensors that are not there": (REFUSE, lambda root: files.read_tensors(root / "nowhere")),
    "disk full while weights are written": (REFUSE, full_disk),
    "equal tensors": (GO_ON, equal_bytes),
    "ToyVOC into a folder of other things": (REFUSE, foreign),
    "ToyVOC into somebody's photos": (REFUSE, foreign_photos),
    "ToyVOC into a file": (REFUSE, lambda root: toyvoc.write(save_text(root / "a"), train=1, val=1, size=64)),
    "ToyVOC of other numbers": (
        REFUSE,
        lambda root: [toyvoc.write(root, train=n, val=1, size=64, progress=False) for n in (1, 2)],
    ),
    "ToyVOC with an empty marker": (
        REFUSE,
        mended(lambda root: (root / "toyvoc.json").write_text("")),
    ),
    "ToyVOC with a photo of no bytes": (GO_ON, mended(lambda root: next(root.glob("JPEGImages/*")).write_bytes(b""))),
    "ToyVOC with a mask missing": (GO_ON, mended(lambda root: next(root.glob("SegmentationClass/*")).unlink())),
    "ToyVOC with half a list": (
        GO_ON,
        mended(lambda root: (root / "ImageSets/Segmentation/train.txt").write_text("train_000000\n")),
    ),
    "label changed after the look": (
        REFUSE,
        changed_data(lambda root: (root / "Annotations/a2.xml").write_text(f"<annotation>{box('cow')}</annotation>")),
    ),
    "image changed after the look": (
        REFUSE,
        changed_data(lambda root: write_image(root / "JPEGImages/a2.jpg", (60, 40))),
    ),
    "mask changed after the look": (
        REFUSE,
        changed_data(lambda root: write_mask(root / "SegmentationClass/a2.png", mask_of(height=40, width=60))),
    ),
    "list shortened after the look": (GO_ON, changed_data(lambda root: write_list(root, "train", "a1\na2\n"))),
    "bad image in a loader process": (REFUSE, loader_process),
}


def known():
    """The cases that the tests of the readers hold, with their sentences: `test_bad_input`."""
    import test_bad_input as tests

    found = {}
    for name, (spoil, options, _) in tests.READ_VOC.items():
        found["VOC", name] = (
            REFUSE,
            lambda root, s=spoil, o=options: (
                voc_tree(root),
                s(root),
                voc.read_voc(**{"root": root, "split": "train", "classes": CLASSES, **o}),
            ),
        )
    for name, (spoil, *_) in tests.CHECK_VOC.items():
        found["VOC", name] = (REFUSE, lambda root, s=spoil: checked_after(root, s))
    for name, (spoil, _) in tests.READ_COCO.items():
        found["COCO", name] = (REFUSE, lambda root, s=spoil: (coco_tree(root), s(root), coco.read_coco(root, "train")))
    for name, (text, options, _) in tests.READ_FOLDER.items():
        if text is not None:
            found["folder", name] = (REFUSE, read_folder(text, **options))
    return found


def checked_after(root, spoil):
    voc_tree(root)
    images, masks = voc.read_voc(root, "train", classes=CLASSES)
    spoil(root)
    reading.report(reading.check(images, masks, progress=False))


def cases():
    """All cases: (group, name) -> (what ought to happen, function of an empty folder)."""
    groups = {"VOC": VOC, "COCO": COCO, "folder": FOLDER, "files": FILES}
    new = {(group, name): case for group, members in groups.items() for name, case in members.items()}
    return new | known()


def outcome(expected, case, root):
    """(kind, what came) of one case."""
    try:
        case(root)
    except Wrong as error:
        return "silently wrong", str(error)
    except Lost as error:
        return "lost", str(error)
    except (ValueError, OSError) as error:
        ours = isinstance(error, DataError) or "pnoc_lib" in traceback.extract_tb(error.__traceback__)[-1].filename
        plain = ours and str(error) and ": " in str(error) and "Traceback" not in str(error)
        if not plain:
            return "traceback", f"{type(error).__name__}: {error}"
        return ("sentence" if expected == REFUSE else "silently wrong"), str(error)
    except Exception as error:  # whatever comes through is what is counted here
        return "traceback", f"{type(error).__name__}: {error}"
    return ("went on" if expected == GO_ON else "silently wrong"), "accepted"


def alone(expected, case, root):
    """`outcome` in a process of its own, which may hang or die."""
    context = multiprocessing.get_context("fork")
    there, here = context.Pipe(duplex=False)
    process = context.Process(target=lambda: here.send(outcome(expected, case, root)))
    process.start()
    here.close()
    try:
        return there.recv() if there.poll(20) else ("no end", "still at it after 20 s")
    except EOFError:
        return "no end", "the process died"
    finally:
        process.kill()
        process.join()


def measure(try_out=alone):
    """One row a case: group, name, what it ought to lead to, kind, what came."""
    rows = []
    for (group, name), (expected, case) in cases().items():
        with tempfile.TemporaryDirectory() as root:
            rows.append((group, name, expected, *try_out(expected, case, Path(root))))
    return pd.DataFrame(rows, columns=["group", "case", "ought to", "kind", "what came"])


if __name__ == "__main__":
    table = measure()
    counts = table.groupby("group")["kind"].apply(Counter).unstack().reindex(columns=KINDS).fillna(0).astype(int)
    counts.loc["all"] = counts.sum()
    print(counts.assign(tried=counts.sum(axis=1)).to_string())
    if "--list" in sys.argv:
        for row in table[~table["kind"].isin(["sentence", "went on"])].itertuples(index=False):
            print(f"{row[0]:7} {row[1]:45} {row[3]:15} {row[4][:120]}")
