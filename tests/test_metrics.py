"""Metrics: the one-pass histogram against the literal loop over thresholds, and scores worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pnoc_lib.data.images import Masks
from pnoc_lib.data.stores import MapStore, StoredMaps
from pnoc_lib.evaluation import metrics

VOID = 255


def literal_confusion(images, num_classes, threshold):
    """The definition: for one threshold, argmax over [tau, maps] of every image, pixel by pixel counts."""
    confusion = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    for cam, classes, mask in images:
        background = np.full((1, *mask.shape), threshold, dtype=np.float32)
        keys = np.concatenate([[0], np.asarray(classes, dtype=np.int64) + 1])
        guess = keys[np.concatenate([background, cam]).argmax(axis=0)]
        for true, predicted in zip(mask[mask < VOID], guess[mask < VOID], strict=True):
            confusion[true, predicted] += 1
    return confusion


def random_images(num_classes, seed, count=12):
    """Images of odd sizes with 0 to 4 classes, many values exactly at a threshold, ties among classes, and void."""
    random = np.random.default_rng(seed)
    images = []
    for index in range(count):
        shape, present = random.integers(1, 14, 2), min(index % 5, num_classes)
        classes = np.sort(random.choice(num_classes, present, replace=False))
        cam = random.random((present, *shape)).astype(np.float32)
        steps = (random.integers(0, 21, cam.shape) * 0.05).astype(np.float32)  # the thresholds themselves, in float32
        cam = np.where(random.random(cam.shape) < 0.6, steps, cam)
        values = np.append(np.arange(num_classes + 1), [VOID] * 3)
        images.append((cam, classes, random.choice(values, shape).astype(np.uint8)))
    images.append((images[-1][0], images[-1][1], np.full_like(images[-1][2], VOID)))
    return images


def histogram_of(images, num_classes, thresholds=metrics.THRESHOLDS):
    histogram = metrics.ThresholdHistogram(num_classes, thresholds)
    for image in images:
        histogram.update(*image)
    return histogram


@pytest.mark.parametrize("num_classes", [1, 6, 20])
def test_one_pass_equals_the_loop_over_thresholds(num_classes):
    images = random_images(num_classes, seed=num_classes)
    histogram = histogram_of(images, num_classes)
    for index, threshold in enumerate(metrics.THRESHOLDS):
        np.testing.assert_array_equal(histogram.confusion(index), literal_confusion(images, num_classes, threshold))


def test_many_classes_and_thresholds_need_wider_keys():
    random, thresholds = np.random.default_rng(3), np.linspace(0, 1, 301)
    classes = np.arange(0, 80, 4)
    images = [(random.random((20, 9, 7)).astype(np.float32), classes, random.integers(0, 81, (9, 7)).astype(np.uint8))]
    histogram = histogram_of(images, 80, thresholds)
    for index in (0, 57, 255, 256, 300):
        np.testing.assert_array_equal(histogram.confusion(index), literal_confusion(images, 80, thresholds[index]))


def test_a_value_at_the_threshold_is_background_and_equal_classes_go_to_the_lower():
    cam = np.array([[[0.35, 0.5]], [[0.2, 0.5]]], dtype=np.float32)
    histogram = histogram_of([(cam, [1, 4], np.array([[2, 2]], dtype=np.uint8))], 5, [0.30, 0.35])
    assert histogram.confusion(0)[2, 2] == 2  # both exceed 0.30, the tie goes to class 1
    assert histogram.confusion(1)[2].tolist() == [1, 0, 1, 0, 0, 0]


def test_half_precision_and_tensors_are_read_as_they_are():
    cam = torch.rand(2, 8, 9, generator=torch.Generator().manual_seed(0)).half()
    mask = np.ones((8, 9), dtype=np.uint8)
    histogram = histogram_of([(cam, torch.tensor([0, 2]), mask)], 3, [0.1, 0.5])
    expected = (cam.amax(dim=0) <= np.float16(0.1)).sum().item()
    assert histogram.confusion(0)[1, 0] == expected and histogram.confusion(1).sum() == 72


def test_no_class_is_background_everywhere_and_void_counts_for_nobody():
    mask = np.array([[0, 2, 255]], dtype=np.uint8)
    histogram = histogram_of([(np.zeros((0, 1, 3), np.float32), [], mask)], 3)
    for index in range(16):
        assert histogram.confusion(index)[:, 0].tolist() == [1, 0, 1, 0]
        assert histogram.confusion(index).sum() == 2
    void = histogram_of([(np.ones((1, 1, 3), np.float32), [0], np.full((1, 3), VOID, np.uint8))], 3)
    assert void.counts.sum() == 0


def test_merge_adds_and_confusion_index_is_checked():
    images = random_images(6, seed=9)
    whole, first, second = (histogram_of(part, 6) for part in (images, images[:5], images[5:]))
    first.merge(second)
    np.testing.assert_array_equal(first.counts, whole.counts)
    np.testing.assert_array_equal(first.confusion(-1), whole.confusion(15))
    with pytest.raises(IndexError):
        whole.confusion(16)
    with pytest.raises(ValueError, match=r"histograms differ: 6 classes .* make both with the same settings"):
        first.merge(metrics.ThresholdHistogram(6, [0.5]))


def test_default_thresholds_are_exact_decimals():
    assert metrics.THRESHOLDS == (
        0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cam", "classes", "mask", "words"),
    [
        (np.zeros((1, 4, 5)), [0], np.zeros((4, 6)), r"CAM has 4 x 5 pixels \(rows x columns\), the mask 4 x 6: make"),
        (np.zeros((1, 4, 5)), [20], np.zeros((4, 5)), r"class index 20 is out of range: .* 0\.\.19"),
        (np.zeros((1, 4, 5)), [-1], np.zeros((4, 5)), r"class index -1 is out of range"),
        (np.zeros((2, 4, 5)), [3, 3], np.zeros((4, 5)), r"classes must ascend, got \[3, 3\]"),
        (np.zeros((2, 4, 5)), [3], np.zeros((4, 5)), r"cam must be \(K, H, W\) with K classes, got \(2, 4, 5\)"),
        (np.zeros((1, 4, 5)), [3], np.full((4, 5), 40), r"the mask holds 40, which is no class: .* 1\.\.20"),
        (np.full((1, 4, 5), np.nan), [3], np.zeros((4, 5)), r"values that are not finite"),
        (np.zeros((1, 4, 5, 3)), [3], np.zeros((4, 5)), r"cam must be \(K, H, W\)"),
        (np.zeros((1, 4, 5)), [3], np.zeros((4, 5, 3)), r"mask must be \(H, W\) uint8, got \(4, 5, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(cam, classes, mask, words):
    with pytest.raises(ValueError, match=words):
        metrics.ThresholdHistogram(20).update(cam.astype(np.float32), classes, mask.astype(np.uint8))


def test_integer_maps_and_wide_masks_are_refused():
    histogram = metrics.ThresholdHistogram(20)
    with pytest.raises(ValueError, match=r"cam must be floating point .* got uint8"):
        histogram.update(np.zeros((1, 2, 2), np.uint8), [0], np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match=r"mask must be .* int64"):
        histogram.update(np.zeros((1, 2, 2), np.float32), [0], np.zeros((2, 2), np.int64))


@pytest.mark.parametrize("thresholds", [[], [0.2, 0.2], [0.4, 0.3], [-0.1, 0.3], [0.3, 1.1], [[0.1]], [0.1, np.nan]])
def test_thresholds_are_checked(thresholds):
    with pytest.raises(ValueError, match=r"thresholds must lie in \[0, 1\], each above the one before"):
        metrics.ThresholdHistogram(20, thresholds)


def test_number_of_classes_is_checked():
    with pytest.raises(ValueError, match="1 to 254 foreground classes, got 0"):
        metrics.ThresholdHistogram(0)


# background 6 of 8 pixels right and 1 too many, cat 2 of 3 right and 2 too many, dog predicted but never true
CONFUSION = np.array([[6, 2, 0], [1, 2, 0], [0, 0, 0]])


def test_scores_worked_by_hand():
    scores = metrics.class_scores(CONFUSION, ["cat", "dog"]).set_index("class")
    assert scores.loc["background"].tolist() == pytest.approx([6 / 9, 1 / 9, 2 / 9])
    assert scores.loc["cat"].tolist() == pytest.approx([2 / 5, 2 / 5, 1 / 5])
    assert scores.loc["dog"].isna().all()
    mean = metrics.mean_scores(scores.reset_index())
    assert mean == pytest.approx({"miou": (6 / 9 + 2 / 5) / 2, "fpr": 2 / 5, "fnr": 1 / 5})


def test_absent_classes_are_named_and_left_out_even_where_predicted():
    confusion = CONFUSION.copy()
    confusion[0, 2] = 4  # dog predicted on background
    scores = metrics.class_scores(confusion, ["cat", "dog"])
    assert metrics.absent_classes(scores) == ["dog"]
    assert metrics.mean_scores(scores)["miou"] == pytest.approx((6 / 13 + 2 / 5) / 2)


def test_the_three_shares_add_up_to_one():
    histogram = histogram_of(random_images(6, seed=5), 6)
    scores = metrics.class_scores(histogram.confusion(4), list("abcdef"))
    np.testing.assert_allclose(scores[["iou", "fp_share", "fn_share"]].sum(axis=1), 1.0)


def test_score_classes_restrict_the_means():
    scores = metrics.class_scores(CONFUSION, ["cat", "dog"])
    assert metrics.mean_scores(scores, ["cat", "dog"])["miou"] == pytest.approx(2 / 5)
    only_background = metrics.mean_scores(scores, ["background"])
    assert only_background["miou"] == pytest.approx(6 / 9) and np.isnan(only_background["fpr"])
    with pytest.raises(
        ValueError, match=r"score_classes holds cow, which the data set does not have: .*background, cat"
    ):
        metrics.mean_scores(scores, ["cow", "cat"])
    with pytest.raises(ValueError, match=r"confusion must be \(C \+ 1, C \+ 1\), got \(3, 3\) for 3 classes"):
        metrics.class_scores(CONFUSION, ["background", "cat", "dog"])


def test_sweep_and_best_threshold():
    cam = np.array([[[0.9, 0.6, 0.6, 0.1]]], dtype=np.float32)
    mask = np.array([[1, 1, 0, 0]], dtype=np.uint8)
    histogram = histogram_of([(cam, [0], mask)], 1, [0.05, 0.5, 0.7, 0.95])
    sweep = metrics.threshold_sweep(histogram)
    assert sweep.columns.tolist() == ["threshold", "miou", "fpr", "fnr"]
    assert sweep["threshold"].tolist() == [0.05, 0.5, 0.7, 0.95]
    assert sweep["miou"].tolist() == pytest.approx([1 / 4, (1 / 2 + 2 / 3) / 2, (2 / 3 + 1 / 2) / 2, 1 / 4])
    assert sweep["fpr"].tolist() == pytest.approx([1 / 2, 1 / 3, 0, 0])
    assert sweep["fnr"].tolist() == pytest.approx([0, 0, 1 / 2, 1])
    assert metrics.best_threshold(sweep) == 0.5  # the lower of two equals
    cat = metrics.threshold_sweep(histogram, class_names=["cat"], score_classes=["cat"])
    assert cat["miou"].tolist() == pytest.approx([1 / 2, 2 / 3, 1 / 2, 0])
    with pytest.raises(ValueError, match="no threshold has an mIoU"):
        metrics.best_threshold(metrics.threshold_sweep(metrics.ThresholdHistogram(3)))


def test_void_counts_for_nobody():
    truth, guess = torch.tensor([[0, 1], [1, 255]]), torch.tensor([[0, 1], [0, 1]])
    assert metrics.miou(guess, truth, num_classes=2) == pytest.approx(0.5)  # both classes 1/2
    assert np.isnan(metrics.miou(guess, torch.full((2, 2), 255), num_classes=2))
    with pytest.raises(ValueError, match=r"guess must hold 0\.\.1 outside void, got 0\.\.2"):
        metrics.miou(guess * 2, truth, num_classes=2)
    with pytest.raises(ValueError, match="must have one shape"):
        metrics.miou(guess[0], truth, num_classes=2)


class FakeStore:
    """CAMs in memory, with the interface of a CAM store; remembers what was read."""

    def __init__(self, cams):
        self.cams, self.reads = cams, []

    def ids(self):
        return sorted(self.cams)

    def read(self, id):
        self.reads.append(id)
        cam, classes = self.cams[id]
        return StoredMaps(cam, classes, cam.shape[1:])


def as_masks(arrays, num_classes):
    return Masks(tuple("abcdefghij"[:num_classes]), tuple(arrays), tuple(arrays.values()), lambda array: array)


@pytest.fixture
def stored():
    images = random_images(6, seed=11)
    cams = {f"im{index}": image[:2] for index, image in enumerate(images)}
    return images, FakeStore(cams), {f"im{index}": image[2] for index, image in enumerate(images)}


@pytest.mark.parametrize("workers", [1, 3, None])
def test_evaluate_reads_each_image_once(stored, workers):
    images, store, masks = stored
    histogram = metrics.evaluate(store, as_masks(masks, 6), workers=workers, progress=False)
    np.testing.assert_array_equal(histogram.counts, histogram_of(images, 6).counts)
    assert sorted(store.reads) == store.ids()


def test_evaluate_takes_a_cam_store(tmp_path):
    store, random = MapStore(tmp_path), np.random.default_rng(0)
    masks = {id: random.integers(0, 7, (22, 31)).astype(np.uint8) for id in "xyz"}
    for id, classes in zip(masks, ([], [2], [0, 5]), strict=True):
        store.write(id, random.random((len(classes), 6, 8)), np.array(classes, dtype=int), (22, 31))
    images = [(store.full_size(id), store.read(id).classes, masks[id]) for id in masks]
    histogram = metrics.evaluate(store, as_masks(masks, 6), progress=False)
    for index, threshold in enumerate(metrics.THRESHOLDS):
        np.testing.assert_array_equal(histogram.confusion(index), literal_confusion(images, 6, threshold))


def test_evaluate_shows_progress(stored, capsys):
    metrics.evaluate(stored[1], as_masks(stored[2], 6), workers=1)
    assert "evaluate: 100%" in capsys.readouterr().err


def test_evaluate_some_ids(stored):
    images, store, masks = stored
    histogram = metrics.evaluate(store, as_masks(masks, 6), [0.4], ids=["im3", "im1"], progress=False)
    np.testing.assert_array_equal(histogram.counts, histogram_of([images[1], images[3]], 6, [0.4]).counts)


def test_evaluate_names_what_is_missing(stored):
    _, store, masks = stored
    del store.cams["im2"]
    with pytest.raises(ValueError, match=r"1 of 13 images have no map: im2; finish the store"):
        metrics.evaluate(store, as_masks(masks, 6), progress=False)
    with pytest.raises(ValueError, match=r"7 of 8 images have no map: x0, x1, x2, x3, x4, \.\.\.; finish"):
        metrics.evaluate(store, as_masks(masks, 6), ids=["im1", *(f"x{i}" for i in range(7))], progress=False)
    del masks["im2"], masks["im4"]
    with pytest.raises(ValueError, match="1 of 12 images have no mask: im4; take the masks of the same split, or give"):
        metrics.evaluate(store, as_masks(masks, 6), progress=False)


def test_evaluate_names_every_image_that_does_not_fit(stored):
    _, store, masks = stored
    masks["im7"] = np.full_like(masks["im7"], 40)
    masks["im9"] = np.zeros((30, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="2 problems in the data") as caught:
        metrics.evaluate(store, as_masks(masks, 6), progress=False)
    assert "mask of im7 holds index 40" in str(caught.value)
    assert "image im9: the CAM has" in str(caught.value) and "the mask 30 x 3" in str(caught.value)
