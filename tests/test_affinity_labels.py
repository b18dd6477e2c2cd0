"""Affinity labels of every form on a made image, and the folder that holds those of a split."""

import numpy as np
import pytest
from PIL import Image

from pnoc_lib.affinity import labels
from pnoc_lib.data import index_masks, stores, voc
from pnoc_lib.data.images import VOID, LabeledImages
from pnoc_lib.data.problems import DataError

SIZE = (24, 40)
CLASSES = np.array([4, 14])
WHERE = np.broadcast_to(np.arange(SIZE[1]) // 10, SIZE)  # four flat bands: sky, thing, its dull end, ground


@pytest.fixture
def image() -> np.ndarray:
    colours = np.array([[30, 60, 200], [200, 40, 40], [220, 180, 40], [30, 160, 60]], np.uint8)
    return colours[WHERE]


@pytest.fixture
def maps() -> np.ndarray:
    """Strong on the thing, weak on its dull end, almost nothing around; a second class that is nowhere strong."""
    first = np.array([0.02, 0.9, 0.2, 0.05], np.float32)[WHERE]
    return np.stack([first, first / 3])


def bands(label: np.ndarray) -> list[int]:
    """The value of each band; every one of its pixels has it."""
    values = [np.unique(label[band == WHERE]) for band in range(4)]
    assert all(len(value) == 1 for value in values), values
    return [int(value[0]) for value in values]


def test_coarse_labels_by_hand(maps):
    assert bands(labels.coarse(maps, CLASSES, 0.4, 0.1)) == [0, 5, VOID, 0]
    assert bands(labels.coarse(maps, CLASSES, 0.4, 0.03)) == [0, 5, VOID, VOID]


def test_conventional_labels_by_hand(image, maps):
    assert bands(labels.conventional(image, maps, CLASSES, 0.4, 0.1)) == [0, 5, VOID, 0]


def test_saliency_turns_uncertain_into_what_it_knows(image, maps):
    salient = np.array([0.0, 1.0, 0.0, 0.3])[WHERE]  # the dull end is none of it, the ground perhaps
    assert bands(labels.saliency_aware(image, maps, CLASSES, salient, 0.4, 0.1)) == [0, 5, 0, VOID]


def test_a_strong_prior_off_the_saliency_is_background(image, maps):
    nothing = np.zeros(SIZE)
    assert bands(labels.saliency_aware(image, maps, CLASSES, nothing, 0.4, 0.1)) == [0, 0, 0, 0]


def test_alpha_form_by_hand(image):
    peak = np.array([0.01, 0.95, 0.4, 0.02], np.float32)[WHERE]
    # 0.6^2 = 0.36 < 0.4 < 0.6^1: the low power is generous with the background, the high one sparing
    assert bands(labels.alpha(image, peak[None], CLASSES[:1], (1.0, 8.0))) == [0, 5, VOID, 0]
    assert bands(labels.alpha(image, peak[None], CLASSES[:1], (3.0, 8.0))) == [0, 5, 5, 0]


def test_the_crf_moves_labels_to_edges_of_the_image(image, maps):
    off = np.roll(maps, 3, axis=2)
    off[..., :3] = 0
    rough, fine = (labels.make(image, m, CLASSES, None, labels.LabelSettings("conventional")) for m in (maps, off))
    assert (labels.coarse(off, CLASSES, 0.4, 0.1) != labels.coarse(maps, CLASSES, 0.4, 0.1)).mean() > 0.1
    assert (fine != rough).mean() < 0.02


@pytest.fixture
def split(tmp_path, image, maps):
    """Three images of one split, the last without a class, with priors and saliency in stores."""
    ids, present = ("a", "b", "c"), np.zeros((3, 20), np.uint8)
    present[:2, CLASSES] = 1
    for image_id in ids:
        Image.fromarray(image).save(tmp_path / f"{image_id}.png")
    paths = tuple(tmp_path / f"{image_id}.png" for image_id in ids)
    images = LabeledImages("voc", "train", voc.VOC_CLASSES, ids, present, paths)
    priors, saliency = stores.MapStore(tmp_path / "cams"), stores.MapStore(tmp_path / "saliency")
    for store, kept, classes in ((priors, maps, CLASSES), (saliency, maps[:1] > 0.1, np.zeros(1, int))):
        store.renew({"split": "train"})
        for image_id, source in stores.sources(images).items():
            own = (kept, classes) if image_id != "c" or store is saliency else (kept[:0], classes[:0])
            store.write(image_id, *own, SIZE, source=source)
    return images, priors, saliency, index_masks.MaskFolder(tmp_path / "labels")


def test_labels_of_a_split_are_written_once_and_the_same_by_a_pool(split, tmp_path):
    images, priors, saliency, folder = split
    settings = labels.LabelSettings()
    assert labels.fill(folder, images, priors, saliency, settings, workers=1, progress=False) == 2
    assert labels.fill(folder, images, priors, saliency, settings, workers=1, progress=False) == 0
    assert folder.missing(images.ids) == ["c"]
    found = voc.read_masks(folder.folder).mask("a")
    wanted = labels.make(np.asarray(images.image("a")), priors.full_size("a"), CLASSES, saliency.single("a"), settings)
    np.testing.assert_array_equal(found, wanted)
    pool = index_masks.MaskFolder(tmp_path / "pool")
    many = images.subset(["a", "b"])
    labels.fill(pool, many, priors, saliency, settings, workers=2, progress=False)
    assert pool.digest(["a", "b"]) == folder.digest(["a", "b"])
    other = labels.LabelSettings("conventional")
    assert labels.fill(folder, images, priors, None, other, workers=1, progress=False) == 2


def test_stores_of_another_split_or_another_label_are_refused(split, maps):
    images, priors, saliency, folder = split
    settings = labels.LabelSettings()
    saliency.renew({"split": "val"})
    with pytest.raises(DataError, match="split 'val', not 'train'"):
        labels.fill(folder, images, priors, saliency, settings, progress=False)
    priors.write("a", maps[:1], CLASSES[:1], SIZE, source=stores.source(images, "a"))
    with pytest.raises(DataError, match="1 of 2 images have maps made from another image or label: a"):
        labels.fill(folder, images, priors, None, labels.LabelSettings("conventional"), progress=False)
    with pytest.raises(DataError, match="no image of split 'train' has a class"):
        labels.fill(folder, images.subset(["c"]), priors, None, settings, progress=False)


def test_bad_settings_get_one_sentence(image, maps):
    with pytest.raises(ValueError, match=r"thresholds are crossed: delta_bg 0.5 must lie below delta_fg 0.4"):
        labels.LabelSettings("conventional", delta_bg=0.5)
    with pytest.raises(ValueError, match="unknown form of affinity labels 'psa'"):
        labels.LabelSettings("psa")
    with pytest.raises(ValueError, match="the low one first"):
        labels.LabelSettings("alpha", alphas=(8, 4))
    with pytest.raises(ValueError, match=r"thresholds lie in \(0, 1\)"):
        labels.LabelSettings(delta_fg=1.0)
    with pytest.raises(ValueError, match="need a saliency map"):
        labels.make(image, maps, CLASSES, None, labels.LabelSettings())
    with pytest.raises(ValueError, match="without a class has no affinity label"):
        labels.make(image, maps[:0], CLASSES[:0], None, labels.LabelSettings())
