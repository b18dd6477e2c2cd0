"""The CAM store: small, exact to half a level, atomic, one image at a time, nothing that runs code."""

import errno
import multiprocessing
import os
import zipfile
from io import BytesIO

import numpy as np
import pytest
import tiny

from pnoc_lib.data import stores
from pnoc_lib.data.problems import DataError
from pnoc_lib.data.stores import MapStore


def maps(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def smooth(classes, height, width, seed=0):
    """Bumps like those of a CAM: stride 16 activations, rectified, enlarged to a quarter of the image."""
    random = np.random.default_rng(seed)
    small = np.maximum(random.normal(0, 1, (classes, -(-height // 16), -(-width // 16))).astype(np.float32), 0)
    small = small / small.max((1, 2), keepdims=True)
    return stores.resize_maps(small, (-(-height // 4), -(-width // 4)))


@pytest.fixture
def store(tmp_path):
    return MapStore(tmp_path / "cams")


def test_a_round_trip_loses_half_a_level_at_most(store):
    cam = maps(3, 17, 23)
    cam[0, 0, :3] = 0, 1, 0.5
    store.write("a", cam, [2, 5, 19], (67, 90))
    read = store.read("a")
    assert np.abs(read.maps - cam).max() <= 1 / 510 + 1e-7
    assert read.maps[0, 0, :2].tolist() == [0, 1]  # the ends are exact
    assert read.maps.dtype == np.float32
    assert read.classes.tolist() == [2, 5, 19]
    assert read.classes.dtype == np.int64
    assert read.size == (67, 90)


def test_classes_are_kept_in_ascending_order_with_their_maps(store):
    cam = np.stack([np.full((2, 2), value, np.float32) for value in (0.2, 0.4, 0.6)])
    store.write("a", cam, [7, 0, 3], (8, 8))
    assert store.read("a").classes.tolist() == [0, 3, 7]
    assert store.read("a").maps[:, 0, 0].tolist() == pytest.approx([0.4, 0.6, 0.2])


def test_an_image_without_a_class(store):
    store.write("a", np.zeros((0, 4, 5)), [], (16, 20))
    assert "a" in store
    assert store.read("a").maps.shape == (0, 4, 5)
    assert store.full_size("a").shape == (0, 16, 20)
    assert store.full_size("a").dtype == np.float32


@pytest.mark.parametrize("size", [(33, 41), (1, 1), (16, 20)])
def test_full_size_is_the_size_of_the_image(store, size):
    store.write("a", maps(2, -(-size[0] // 4), -(-size[1] // 4)), [0, 1], size)
    assert store.full_size("a").shape == (2, *size)


def test_full_size_by_hand(store):
    """Bilinear, corners not aligned: two pixels 0 and 1 become 0, 1/4, 3/4, 1."""
    store.write("a", np.array([[[0.0, 1.0]]]), [0], (1, 4))
    np.testing.assert_allclose(store.full_size("a")[0, 0], [0, 0.25, 0.75, 1])


def test_full_size_is_that_of_a_slow_loop(store):
    cam = np.round(maps(1, 3, 4) * 255) / 255
    store.write("a", cam, [0], (7, 9))
    slow = np.zeros((7, 9))
    for y in range(7):
        for x in range(9):
            v = min(max((y + 0.5) * 3 / 7 - 0.5, 0), 2)
            u = min(max((x + 0.5) * 4 / 9 - 0.5, 0), 3)
            y0, x0 = int(v), int(u)
            y1, x1 = min(y0 + 1, 2), min(x0 + 1, 3)
            top = cam[0, y0, x0] * (1 - u + x0) + cam[0, y0, x1] * (u - x0)
            low = cam[0, y1, x0] * (1 - u + x0) + cam[0, y1, x1] * (u - x0)
            slow[y, x] = top * (1 - v + y0) + low * (v - y0)
    np.testing.assert_allclose(store.full_size("a")[0], slow, atol=1e-5)


def test_below_a_fiftieth_of_the_bytes_of_full_float32_maps(store):
    plain = 0
    for number, classes in enumerate((1, 2, 1, 3)):
        store.write(str(number), smooth(classes, 375, 500, seed=number), range(classes), (375, 500))
        plain += classes * 375 * 500 * 4
    assert 0 < store.bytes() < plain / 50
    assert store.bytes() == sum(path.stat().st_size for path in store.folder.iterdir())


def test_nothing_in_a_file_is_pickled(store):
    store.write("a", maps(2, 3, 4), [0, 1], (12, 16))
    (path,) = store.folder.iterdir()
    with np.load(path, allow_pickle=False) as data:
        assert {name: data[name].dtype.name for name in data.files} == {
            "maps": "uint8",
            "classes": "int16",
            "size": "int32",
            "image": "uint8",
            "source": "uint8",
        }
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            assert archive.read(name)[:6] == b"\x93NUMPY"


def test_a_pickle_in_a_file_is_refused(store):
    store.folder.mkdir(parents=True)
    np.savez(store.folder / "a.npz", maps=np.array([{"code": 1}], object), classes=[0], size=[1, 1])
    with pytest.raises(ValueError, match=r"a.npz is damaged \(.*\): delete it and make the store again"):
        store.read("a")


def test_ids_and_missing(store):
    assert store.ids() == []
    assert store.missing(["b", "a"]) == ["b", "a"]
    for name in ("b", "2007_000032", "a.b"):
        store.write(name, maps(1, 2, 2), [0], (8, 8))
    assert store.ids() == ["2007_000032", "a.b", "b"]
    assert store.missing(["x", "b", "a", "a.b"]) == ["x", "a"]
    assert "b" in store
    assert "x" not in store


def test_a_store_is_kept_for_what_it_was_made_of(store):
    store.write("a", maps(1, 4, 4), np.array([0]), (16, 16))
    assert store.renew({"scales": (0.5, 1.0)}) == 1  # nobody knows what it was made of
    store.write("b", maps(1, 4, 4), np.array([0]), (16, 16))
    assert store.renew({"scales": (0.5, 1.0)}) == 0
    assert store.ids() == ["b"]
    assert store.renew({"scales": [0.5]}) == 1
    assert store.ids() == [] and store.renew({"scales": [0.5]}) == 0


def test_a_kill_amid_the_removal_leaves_no_store_that_passes_for_the_new_one(store, monkeypatch):
    store.renew({"weights": "old"})
    for name in "abc":
        store.write(name, maps(1, 4, 4), np.array([0]), (16, 16))
    unlink, removed = type(store.folder).unlink, []

    def dying(path, **options):
        if path.suffix == ".npz":
            removed.append(path)
            if len(removed) == 2:
                raise KeyboardInterrupt
        unlink(path, **options)

    monkeypatch.setattr(type(store.folder), "unlink", dying)
    with pytest.raises(KeyboardInterrupt):
        store.renew({"weights": "new"})
    monkeypatch.undo()
    assert store.renew({"weights": "old"}) == 2 and store.ids() == []


def test_a_missing_image_says_what_to_run(store):
    with pytest.raises(FileNotFoundError, match=r"no map of image 'gone' in .*cams: make the store first"):
        store.read("gone")


def test_one_image_is_read_without_the_others(store):
    store.write("a", maps(1, 2, 2), [0], (8, 8))
    (store.folder / "b.npz").write_bytes(b"broken")
    assert store.read("a").classes.tolist() == [0]


def damaged(data, kind):
    if kind == "cut short":
        return data[: len(data) // 2]
    if kind == "empty":
        return b""
    if kind == "text":
        return b"not at all what it should be"
    if kind.startswith("changed at"):  # amid the compressed maps
        place = int(kind.split()[-1])
        return data[:place] + bytes(255 - value for value in data[place : place + 20]) + data[place + 20 :]
    buffer = BytesIO()
    np.save(buffer, np.zeros(3)) if kind == "array" else np.savez(buffer, maps=np.zeros((1, 1, 1), np.uint8))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind", ["cut short", "empty", "text", "array", "incomplete", *(f"changed at {k}" for k in (0, 50, 60, 150, 900))]
)
def test_a_damaged_file_is_named(store, kind):
    store.write("a", maps(2, 30, 40), [0, 1], (120, 160))
    path = store.folder / "a.npz"
    path.write_bytes(damaged(path.read_bytes(), kind))
    with pytest.raises(ValueError, match=r"a.npz is damaged \(.*\): delete it and make the store again"):
        store.read("a")


@pytest.mark.parametrize(
    ("cam", "classes", "sentence"),
    [
        (np.full((1, 2, 2), 1.01), [0], r"maps must lie in \[0, 1\], got 1.0\d* to 1.0\d* \(a\): normalise first"),
        (np.full((1, 2, 2), -0.01), [0], r"maps must lie in \[0, 1\]"),
        (np.full((1, 2, 2), np.nan), [0], r"maps must lie in \[0, 1\], got nan to nan"),
        (np.zeros((2, 2)), [0], r"maps must be \(K, h, w\) with K classes, got \(2, 2\) and \(1,\) \(a\)"),
        (np.zeros((2, 3, 3)), [0], r"got \(2, 3, 3\) and \(1,\)"),
    ],
)
def test_maps_that_are_none_are_refused_and_not_written(store, cam, classes, sentence):
    with pytest.raises(ValueError, match=sentence):
        store.write("a", cam, classes, (8, 8))
    assert store.ids() == []


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize(
    ("place", "error", "sentence"),
    [
        ((stores.np, "savez_compressed"), OSError(errno.ENOSPC, "no space"), "disk full while writing .*a.npz: free"),
        ((os, "replace"), OSError(errno.EDQUOT, "quota"), "disk full while writing .*nothing that existed was changed"),
        ((os, "replace"), OSError(errno.EIO, "broken disk"), "broken disk"),
        ((os, "replace"), KeyboardInterrupt("stop"), "stop"),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(store, monkeypatch, place, error, sentence):
    store.write("a", np.ones((1, 2, 2)), [4], (8, 8))
    with monkeypatch.context() as patch, pytest.raises(type(error), match=sentence):
        patch.setattr(*place, failing(error))
        store.write("a", np.zeros((1, 2, 2)), [3], (8, 8))
    assert store.read("a").classes.tolist() == [4]
    assert [path.name for path in store.folder.iterdir()] == ["a.npz"]


def _die_amid(folder):
    os.replace = lambda *_: os._exit(9)
    MapStore(folder).write("a", np.zeros((1, 2, 2)), [3], (8, 8))


def test_a_killed_write_leaves_the_old_file(store):
    store.write("a", np.ones((1, 2, 2)), [4], (8, 8))
    child = multiprocessing.get_context("fork").Process(target=_die_amid, args=(store.folder,))
    child.start()
    child.join(30)
    assert child.exitcode == 9
    assert len(list(store.folder.iterdir())) == 2  # what the killed process left is in nobody's way
    assert store.ids() == ["a"]
    assert store.missing(["a", "b"]) == ["b"]
    assert store.read("a").classes.tolist() == [4]
    assert store.bytes() == (store.folder / "a.npz").stat().st_size


@pytest.mark.parametrize("image_id", [".one", "..", "a/b", "50%", "%2E", "%~x", "x" * 280, "ä" * 120, "#1"])
def test_any_id_is_written_and_listed(store, image_id):
    store.write(image_id, maps(1, 2, 2), [0], (8, 8))
    assert store.ids() == [image_id] and image_id in store and store.missing([image_id]) == []
    assert store.read(image_id).size == (8, 8)
    assert store.renew({"weights": "new"}) == 1 and store.ids() == []


def test_ids_have_files_of_their_own(store):
    names = ["a/b", "a%2Fb", "a%252Fb", "%2Ea", ".a", "x" * 280, "x" * 281]
    assert len({stores.file_name(name) for name in names}) == len(names)


def test_a_saliency_map_is_a_single_one(store):
    store.write("a", np.ones((1, 2, 2)), [0], (8, 6))
    store.write("none", np.zeros((0, 2, 2)), [], (8, 6))
    store.write("cams", np.zeros((2, 2, 2)), [0, 3], (8, 6))
    assert store.single("a").shape == (8, 6) and store.single("a").min() == 1
    assert store.single("none").shape == (8, 6) and store.single("none").max() == 0
    with pytest.raises(ValueError, match=r"cams has 2 maps in .*, not one: give a store of saliency"):
        store.single("cams")


def test_maps_at_the_size_of_the_image_come_back_as_they_are(store):
    binary = (maps(1, 9, 7) > 0.5).astype(np.float32)
    store.write("a", binary, [0], (9, 7))
    np.testing.assert_array_equal(store.single("a"), binary[0])


@pytest.fixture
def shown(tmp_path):
    return tiny.squares(tmp_path / "data", 3)[0]


def filled(store, images, **made_of):
    store.renew(made_of)
    for image_id in images.ids:
        classes = np.flatnonzero(images.label(image_id))
        source = stores.source(images, image_id)
        store.write(image_id, maps(len(classes), 4, 4), classes, (16, 16), source=source)
    return store


def with_labels(images, labels):
    return type(images)(images.name, images.split, images.classes, images.ids, labels, images.paths)


def test_a_mended_image_or_label_is_missing_again(store, shown):
    filled(store, shown)
    assert store.missing(shown.ids, stores.sources(shown)) == []
    shown.image("i000").resize((50, 50)).save(shown.paths[0])
    labels = shown.labels.copy()
    labels[1] = (1, 1)
    assert store.missing(shown.ids, stores.sources(with_labels(shown, labels))) == ["i000", "i001"]
    assert store.missing(shown.ids) == []


def test_a_store_of_something_else_is_never_taken_for_the_one_asked_for(store, shown):
    filled(store, shown.subset(shown.ids[:2]), network="0a", split="train")
    some = shown.subset(shown.ids[:2])
    assert store.require(some, network="0a") is store
    with pytest.raises(DataError, match=r"cams: the maps were made of network '0a', not '0b': make them anew"):
        store.require(some, network="0b", split="train")
    with pytest.raises(DataError, match=r"1 of 3 images have no map: i002; finish the store"):
        store.require(shown, split="train")
    labels = some.labels.copy()
    labels[1] = (1, 1)
    with pytest.raises(DataError, match=r"1 of 2 images have maps made from another image or label: i001; make"):
        store.require(with_labels(some, labels), split="train")
    with pytest.raises(DataError, match=r"split None, not 'val'"):
        MapStore(store.folder.parent / "nothing").require(some, split="val")


def test_a_swapped_file_is_noticed(store, shown):
    filled(store, shown)
    (store.folder / "i000.npz").replace(store.folder / "i001.npz")
    filled(store, shown.subset(["i000"]))
    with pytest.raises(DataError, match=r"1 of 3 images have maps made from another image or label: i001"):
        store.require(shown)


def test_a_digest_follows_the_maps(store, shown):
    before = filled(store, shown).digest(shown.ids)
    assert filled(store, shown).digest(shown.ids) == before
    assert store.digest(shown.ids[:2]) != before
    store.write("i001", np.zeros((1, 4, 4)), [1], (16, 16))
    assert store.digest(shown.ids) != before
