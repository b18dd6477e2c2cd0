"""ToyVOC: VOC's statistics by construction, the same bytes from the same seed, and nothing overwritten."""

from __future__ import annotations

import hashlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from pnoc_lib import files, toyvoc

MASKS = Path(__file__).parents[2] / "shared" / "voc12-train-masks"


def facts(sets):
    """Occurrence, co-occurrence (both as counts) and cardinality of every class."""
    has = np.zeros((len(sets), 20))
    for row, kind in zip(has, sets, strict=True):
        row[list(kind)] = 1
    size = has.sum(1, keepdims=True)
    return has.sum(0), (has * (size > 1)).sum(0), (has * size).sum(0) / np.maximum(has.sum(0), 1)


def digest(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(root).rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return toyvoc.write(tmp_path_factory.mktemp("toy") / "set", train=20, val=6, size=96, progress=False, workers=2)


def test_all_of_voc_is_voc():
    occurrence, together, _ = facts(toyvoc.label_sets(1464))
    named = dict(zip(toyvoc.CLASSES, occurrence, strict=True))
    assert (named["person"], named["aeroplane"], named["sheep"]) == (442, 88, 63)  # Table 3: 30.2 %, 6.0 %, 4.3 %
    assert together[toyvoc.CLASSES.index("diningtable")] / named["diningtable"] > 0.9


@pytest.mark.skipif(not MASKS.is_dir(), reason="the masks of VOC12 train are not beside the repository")
def test_label_sets_are_those_of_the_masks():
    names = [Path(line).stem for line in (MASKS / "train.txt").read_text().split()][::25]
    known = set(toyvoc.label_sets(1464))
    for name in names:
        with Image.open(MASKS / "SegmentationClassAug" / f"{name}.png") as mask:
            values = np.unique(np.asarray(mask))
        assert tuple(int(v) - 1 for v in values if 0 < v < 255) in known


@pytest.mark.parametrize("n", [24, 100, 400])
def test_fewer_label_sets_keep_the_proportions(n):
    occurrence, together, cardinality = facts(toyvoc.label_sets(n))
    whole = facts(toyvoc.label_sets(1464))
    assert np.abs(occurrence - whole[0] * n / 1464).max() < 1 + 0.01 * n
    assert occurrence.min() >= 1
    if n == 400:
        assert np.abs(occurrence / n - whole[0] / 1464).max() < 0.003
        assert np.abs(together / occurrence - whole[1] / whole[0]).max() < 0.05
        assert np.abs(cardinality - whole[2]).max() < 0.15


def test_more_label_sets_than_voc_go_round():
    assert len(toyvoc.label_sets(1500)) == 1500
    assert np.all(facts(toyvoc.label_sets(2928))[0] == 2 * facts(toyvoc.label_sets(1464))[0])


def test_areas_average_to_table_3_and_vary():
    sets = toyvoc.label_sets(400)
    shares = toyvoc.areas(sets, np.random.default_rng(5))
    for c, wanted in enumerate(toyvoc.RELATIVE_SIZE + toyvoc.LOST):
        mine = np.array([share[kind.index(c)] for kind, share in zip(sets, shares, strict=True) if c in kind])
        assert mine.mean() == pytest.approx(wanted, abs=0.005), toyvoc.CLASSES[c]
        assert mine.max() > 4 * mine.min()
    assert max(share.sum() for share in shares) < 0.76


def test_drawn_areas_come_near_table_3():
    """A quarter of the 400 images, at 96 pixels: what is drawn is on average what was asked for."""
    jobs = toyvoc._jobs("train", 0, 400, 3)[::4]
    asked, seen = np.zeros(20), np.zeros(20)
    for _, kind, shares, seed in jobs:
        mask = toyvoc.draw(kind, np.random.default_rng(seed), 96, shares=shares)[1]
        share = np.bincount(mask.ravel(), minlength=256)[1:21] / mask.size
        assert set(np.flatnonzero(share)) == set(kind)
        asked[list(kind)] += np.asarray(shares) - toyvoc.LOST[list(kind)]
        seen += share
    n = np.array([sum(c in kind for _, kind, _, _ in jobs) for c in range(20)])
    error = np.abs(seen - asked) / np.maximum(n, 1)
    assert error.mean() < 0.02
    assert error[n >= 6].max() < 0.05


def test_an_image_is_its_mask_and_boxes():
    image, mask, boxes = toyvoc.draw((7, 17), 4, 120)
    assert image.mode == "RGB" and max(image.size) == 120 and mask.shape == image.size[::-1] and mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 8, 18, 255}
    assert {c for c, *_ in boxes} == {7, 17}
    for c, x0, y0, x1, y1 in boxes:
        assert 1 <= x0 <= x1 <= image.width and 1 <= y0 <= y1 <= image.height
        assert (mask[y0 - 1 : y1, x0 - 1 : x1] == c + 1).any() or (mask == 255).any()


def test_void_runs_between_a_thing_and_what_is_beside_it():
    mask = toyvoc.draw((5,), 1, 160)[1]
    assert not (((mask[:, 1:] == 6) & (mask[:, :-1] == 0)) | ((mask[:, 1:] == 0) & (mask[:, :-1] == 6))).any()
    assert 0.002 < (mask == 255).mean() < 0.15


@pytest.mark.parametrize("size", [64, 97, 300])
def test_every_class_can_be_drawn_alone(size):
    for c in range(0, 20, 1 if size == 64 else 7):
        image, mask, _ = toyvoc.draw((c,), c, size)
        assert max(image.size) == size and set(np.unique(mask)) <= {0, c + 1, 255} and (mask == c + 1).any()


def test_an_image_is_drawn_alone_as_in_the_set(tree):
    name, kind, shares, seed = toyvoc._jobs("val", 1, 6, 0)[3]
    _, mask, _ = toyvoc.draw(kind, np.random.default_rng(seed), 96, shares=shares)
    with Image.open(tree / "SegmentationClass" / f"{name}.png") as written:
        np.testing.assert_array_equal(np.asarray(written), mask)


def test_same_seed_same_bytes_other_seed_other_set(tree, tmp_path):
    again = toyvoc.write(tmp_path / "again", train=20, val=6, size=96, progress=False, workers=1)
    assert digest(again) == digest(tree)
    other = toyvoc.write(tmp_path / "other", train=20, val=6, size=96, seed=1, progress=False)
    assert digest(other)["JPEGImages/train_000000.jpg"] != digest(tree)["JPEGImages/train_000000.jpg"]


def test_tree_is_laid_out_as_voc(tree):
    ids = (tree / "ImageSets" / "Segmentation" / "train.txt").read_text().split()
    assert len(ids) == 20 and len((tree / "ImageSets" / "Segmentation" / "val.txt").read_text().split()) == 6
    for name in ids:
        with (
            Image.open(tree / "SegmentationClass" / f"{name}.png") as mask,
            Image.open(tree / "JPEGImages" / f"{name}.jpg") as image,
        ):
            assert mask.mode == "P" and mask.size == image.size
            assert mask.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
            assert mask.getpalette()[-3:] == [224, 224, 192]  # void
            inside = {toyvoc.CLASSES[v - 1] for v in np.unique(np.asarray(mask)) if 0 < v < 255}
        notes = ElementTree.parse(tree / "Annotations" / f"{name}.xml")
        assert {node.text for node in notes.iterfind("object/name")} == inside
    assert files.read_json(tree / toyvoc.MARKER)["train"] == 20


def test_a_finished_set_is_left_alone(tree):
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    toyvoc.write(tree, train=20, val=6, size=96, progress=False)
    assert before == {path: path.stat().st_mtime_ns for path in tree.rglob("*")}


def test_an_interrupted_set_goes_on(tmp_path, monkeypatch):
    root, draw, calls = tmp_path / "set", toyvoc.draw, []

    def tired(*args, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return draw(*args, **options)

    monkeypatch.setattr(toyvoc, "draw", tired)
    with pytest.raises(KeyboardInterrupt):
        toyvoc.write(root, train=5, val=1, size=64, progress=False)
    assert not (root / toyvoc.MARKER).exists()
    with pytest.raises(FileExistsError, match=r"seed 0 \(not 2\)"):
        toyvoc.write(root, train=5, val=1, size=64, seed=2, progress=False)
    toyvoc.write(root, train=5, val=1, size=64, progress=False)
    assert len(calls) == 7  # three kept, one repeated, two more
    whole = toyvoc.write(tmp_path / "whole", train=5, val=1, size=64, progress=False)
    assert digest(root) == digest(whole)


def test_other_content_is_refused(tree, tmp_path):
    with pytest.raises(FileExistsError, match=r"size 96 \(not 128\).*delete that folder"):
        toyvoc.write(tree, train=20, val=6, size=128, progress=False)
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(FileExistsError, match="did not write"):
        toyvoc.write(tmp_path, train=1, val=1, progress=False)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": 32}, "32 pixels: give one from 64 to 1024"),
        ({"train": 0}, "train=0: ask for 1 or more"),
        ({"val": -1}, "val=-1: ask for 1 or more"),
        ({"seed": -1}, "seed=-1: give 0 or more"),
    ],
)
def test_impossible_numbers(tmp_path, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        toyvoc.write(tmp_path / "no", **options)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("label_set", [(), (20,), (3, 3)])
def test_impossible_label_sets(label_set):
    with pytest.raises(ValueError, match="give different class indices"):
        toyvoc.draw(label_set, 0)
    with pytest.raises(ValueError, match="ask for 1 or more"):
        toyvoc.label_sets(0)
