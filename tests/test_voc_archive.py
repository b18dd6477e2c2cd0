"""The archive for the VOC test server, and every fault for which the server would refuse one."""

import io
import re
import tarfile

import numpy as np
import pytest
from PIL import Image

from pnoc_lib.data import index_masks
from pnoc_lib.segmentation import archive

SIZES = {"2008_000001": (4, 6), "2008_000002": (3, 5)}
FOLDER = "results/VOC2012/Segmentation/comp6_test_cls"


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    for number, (id, size) in enumerate(SIZES.items()):
        index_masks.write_mask(folder / f"{id}.png", np.full(size, 20 * number))
    return folder


def test_a_good_archive(masks, tmp_path):
    path = archive.write(masks, tmp_path / "results.tgz", SIZES, "comp6")
    assert archive.check(path, SIZES, "comp6") == []
    with tarfile.open(path) as tar:
        assert tar.getnames() == [f"{FOLDER}/{id}.png" for id in SIZES]
        with Image.open(tar.extractfile(f"{FOLDER}/2008_000002.png")) as image:
            assert image.mode == "P" and (np.asarray(image) == 20).all()
            assert image.getpalette()[:6] == [0, 0, 0, 128, 0, 0]
    again = archive.write(masks, tmp_path / "again.tgz", SIZES, "comp6")
    assert again.read_bytes() == path.read_bytes()


def png(mask, change=lambda image: image, kind="PNG"):
    image = Image.fromarray(np.asarray(mask, np.uint8))
    image.putpalette(index_masks.palette().ravel().tolist())
    stream = io.BytesIO()
    change(image).save(stream, kind)
    return stream.getvalue()


def repaint(image):
    image.putpalette([3, 2, 1] * 256)
    return image


def pack(path, contents):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


GOOD = {id: png(np.zeros(size)) for id, size in SIZES.items()}
FIRST, SECOND = SIZES
FAULTS = {
    "are missing: 2008_000002": {SECOND: None},
    "are no image of the test list: 2009_000009": {"2009_000009": png(np.zeros((2, 2)))},
    "have another size": {FIRST: png(np.zeros((6, 4)))},
    "hold values above 20": {FIRST: png(np.full((4, 6), 21))},
    "hold values above 20, which": {FIRST: png(np.full((4, 6), 255))},
    "have another palette": {FIRST: png(np.zeros((4, 6)), repaint)},
    r"hold colours or grey \(mode RGB\)": {FIRST: png(np.zeros((4, 6)), lambda image: image.convert("RGB"))},
    r"hold colours or grey \(mode L\)": {FIRST: png(np.zeros((4, 6)), lambda image: image.convert("L"))},
    "are no PNG but GIF": {FIRST: png(np.zeros((4, 6)), kind="GIF")},
    "cannot be decoded": {FIRST: GOOD[FIRST][:40]},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_told(fault, tmp_path):
    contents = {id: content for id, content in (GOOD | FAULTS[fault]).items() if content is not None}
    path = pack(tmp_path / "results.tgz", [(f"{FOLDER}/{id}.png", content) for id, content in contents.items()])
    (told,) = archive.check(path, SIZES, "comp6")
    assert re.match(f"1 {fault}", told)


def test_files_elsewhere_and_files_twice_are_told(tmp_path):
    entries = [(f"{FOLDER}/{id}.png", content) for id, content in GOOD.items()]
    path = pack(tmp_path / "twice.tgz", [*entries, entries[0], ("readme.txt", b"hello")])
    elsewhere, twice = archive.check(path, SIZES, "comp6")
    assert "do not lie as <id>.png in" in elsewhere and "readme.txt" in elsewhere
    assert twice == f"1 are there more than once: {FIRST}"
    assert len(archive.check(path, SIZES, "comp5")) == 2  # all in the wrong folder, so all missing


def test_a_broken_archive_is_told(masks, tmp_path):
    path = archive.write(masks, tmp_path / "results.tgz", SIZES, "comp6")
    path.write_bytes(path.read_bytes()[:60])
    (told,) = archive.check(path, SIZES, "comp6")
    assert "no readable .tgz" in told


def test_a_byte_that_changed_is_told(masks, tmp_path):
    path = archive.write(masks, tmp_path / "results.tgz", SIZES, "comp6")
    whole = path.read_bytes()
    for place in range(10, len(whole), 7):  # behind gzip's header, whose time stamp nobody checks
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        assert archive.check(path, SIZES, "comp6"), place


def test_an_empty_list_of_images_is_told(masks, tmp_path):
    with pytest.raises(ValueError, match="the test list is empty"):
        archive.write(masks, tmp_path / "results.tgz", {}, "comp6")


def test_nothing_is_written_that_would_be_refused(masks, tmp_path):
    (masks / f"{SECOND}.png").unlink()
    with pytest.raises(ValueError, match="would refuse these masks:\n1 are missing: 2008_000002"):
        archive.write(masks, tmp_path / "results.tgz", SIZES, "comp6")
    assert not (tmp_path / "results.tgz").exists()
    with pytest.raises(ValueError, match="unknown competition 'comp7'"):
        archive.write(masks, tmp_path / "results.tgz", SIZES, "comp7")
