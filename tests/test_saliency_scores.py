"""Table 6's protocol by hand on images of 3 x 3 pixels, and the two readings of its rows with the ground truth."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pnoc_lib.data import stores
from pnoc_lib.data.images import Masks
from pnoc_lib.data.problems import DataError
from pnoc_lib.evaluation import analysis, metrics, saliency, saliency_pictures
from pnoc_lib.evaluation import masks as scoring

CAMS = np.array(
    [[[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.2, 0.0, 0.0]], [[0.3, 0.4, 0.0], [0.5, 0.6, 0.1], [0.2, 0.0, 0.9]]],
    np.float32,
)
MASK = np.array([[1, 3, 0], [1, 3, 0], [255, 0, 3]], np.uint8)


def stored(folder, **maps):
    store = stores.MapStore(folder)
    for image_id, values in maps.items():
        values = np.asarray(values, np.float32)
        values = values[None] if values.ndim == 2 else values
        store.write(image_id, values, np.arange(len(values)) * 2, values.shape[1:])
    return store


def masks(**arrays):
    return Masks(("a", "b", "c"), tuple(arrays), tuple(arrays.values()), lambda array: array)


def test_a_binary_map_by_hand():
    salient = np.array([[1, 1, 1], [1, 1, 1], [0, 0, 1]], np.float32)
    guess = saliency.combine(CAMS, [0, 2], salient)
    # where salient the strongest class, the lower of two equal ones, background where all maps are 0
    assert guess.tolist() == [[1, 3, 0], [1, 3, 3], [0, 0, 3]]


def test_a_soft_map_by_hand():
    guess = saliency.combine(CAMS, [0, 2], np.full((3, 3), 0.5, np.float32))
    assert guess.tolist() == [[1, 0, 0], [0, 3, 0], [0, 0, 3]]  # above 0.5, not at it


def test_no_class_is_all_background():
    assert saliency.combine(CAMS[:0], [], np.ones((3, 3))).tolist() == [[0] * 3] * 3


def test_the_confusion_of_priors_by_hand(tmp_path):
    salient = np.array([[1, 1, 1], [1, 1, 1], [0, 0, 1]], np.float32)
    confusion = saliency.with_priors(
        stored(tmp_path / "p", x=CAMS), stored(tmp_path / "s", x=salient), masks(x=MASK), ids=["x"]
    )
    assert confusion.tolist() == [[2, 0, 0, 1], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 3]]
    iou = metrics.class_scores(confusion, ["a", "b", "c"]).set_index("class")["iou"]
    assert iou["background"] == pytest.approx(2 / 3) and iou["a"] == 1 and iou["c"] == 3 / 4


def test_the_ground_truth_of_two_classes_by_hand(tmp_path):
    salient = np.array([[0.9, 0.1, 0.9], [0.9, 0.9, 0.1], [0.9, 0.1, 0.1]])
    both = saliency.with_ground_truth(stored(tmp_path, x=salient), masks(x=MASK), "b", ids=["x"], thresholds=(0.5,))
    assert both.confusion(0).tolist() == [[2, 1], [2, 3]]  # 2/5 and 3/6
    assert metrics.threshold_sweep(both)["miou"].item() == pytest.approx((2 / 5 + 3 / 6) / 2)


def test_the_ground_truth_of_all_classes_by_hand(tmp_path):
    salient = np.array([[0.9, 0.1, 0.9], [0.9, 0.9, 0.1], [0.9, 0.1, 0.1]])
    given = {"ids": ["x"], "thresholds": (0.5,)}
    every = saliency.with_ground_truth(stored(tmp_path, x=salient), masks(x=MASK), "a", seed=3, **given)
    confusion = every.confusion(0)
    assert confusion[1].tolist() == [0, 2, 0, 0] and confusion[3].tolist() == [2, 0, 0, 1]
    assert confusion[0, 0] == 2 and confusion[0, 2] == 0 and confusion[0, [1, 3]].sum() == 1  # drawn from a and c
    again = saliency.with_ground_truth(stored(tmp_path, x=salient), masks(x=MASK), "a", seed=3, **given)
    np.testing.assert_array_equal(again.counts, every.counts)


def test_false_positives_are_spread_over_the_classes_of_the_image(tmp_path):
    mask = np.zeros((60, 60), np.uint8)
    mask[0, 0], mask[0, 1] = 1, 3
    store, truth = stored(tmp_path, x=np.ones((60, 60))), masks(x=mask)
    of = {s: saliency.with_ground_truth(store, truth, "a", ids=["x"], seed=s).confusion(0)[0] for s in (0, 1)}
    assert of[0][1] + of[0][3] == mask.size - 2 and of[0][2] == 0
    assert abs(of[0][1] / mask.size - 0.5) < 0.05 and of[0].tolist() != of[1].tolist()
    empty = masks(x=np.zeros((60, 60), np.uint8))
    drawn = saliency.with_ground_truth(store, empty, "a", ids=["x"]).confusion(0)[0]
    assert (drawn[1:] > 1000).all()  # from all classes where the image has none


def test_perfect_saliency_is_worth_one_and_none_is_worth_the_background(tmp_path):
    object_pixels = ((MASK > 0) & (MASK != 255)).astype(np.float32)
    perfect, blind = stored(tmp_path / "1", x=object_pixels), stored(tmp_path / "0", x=np.zeros((3, 3)))
    for reading in saliency.READINGS:
        best = metrics.threshold_sweep(saliency.with_ground_truth(perfect, masks(x=MASK), reading, ids=["x"]))["miou"]
        assert (best == 1).all()
        worst = saliency.with_ground_truth(blind, masks(x=MASK), reading, ids=["x"]).confusion(5)
        assert worst[:, 1:].sum() == 0


def test_how_clean_hints_are_by_hand(tmp_path):
    table = saliency.hint_precision(stored(tmp_path, x=CAMS), masks(x=MASK), ids=["x"], deltas=(0.45, 0.95))
    columns = ["delta_fg", "precision", "recall", "images"]
    assert table.columns.tolist() == columns
    assert table.loc[0].tolist() == pytest.approx([0.45, 1.0, 4 / 5, 1.0])  # 0.9, 0.5, 0.6 and 0.9: all objects, of 5
    assert np.isnan(table.loc[1, "precision"]) and table.loc[1, ["recall", "images"]].tolist() == [0, 0]


def test_errors_say_what_to_do(tmp_path):
    store = stored(tmp_path, x=np.ones((3, 3)))
    with pytest.raises(ValueError, match="unknown reading 'c': choose one of a, b"):
        saliency.with_ground_truth(store, masks(x=MASK), "c", ids=["x"])
    with pytest.raises(ValueError, match=r"1 of 2 images have no map: y; finish the store, or give the images"):
        saliency.with_ground_truth(store, masks(x=MASK, y=MASK), "b", ids=["x", "y"])


def test_masks_that_are_void_altogether_are_not_scored_silently(tmp_path):
    store, void = stored(tmp_path, x=np.ones((3, 3))), masks(x=np.full((3, 3), 255, np.uint8))
    for scored in (
        lambda: saliency.with_priors(store, store, void, ids=["x"]),
        lambda: scoring.scores(void, void),
        lambda: analysis.pixel_counts(void, progress=False),
    ):
        with pytest.raises(DataError, match=r"every pixel of .*masks is void \(255\)"):
            scored()
    assert scoring.scores(void, masks(x=MASK))[1]["miou"] == pytest.approx(3 / 8 / 3)  # guesses may be: background


def test_the_miou_of_one_image_by_hand():
    """Truth: 3 pixels of background, 2 of a, 3 of c, 1 void; the guess has a right, c void, which is background."""
    guess = np.array([[1, 255, 0], [1, 255, 0], [2, 0, 255]], np.uint8)
    found = scoring.image_miou(masks(x=guess), masks(x=MASK), "x")
    assert found == pytest.approx((3 / 6 + 1 + 0) / 3)
    assert np.isnan(scoring.image_miou(masks(x=guess), masks(x=np.full((3, 3), 255, np.uint8)), "x"))


def test_the_rows_of_a_run_by_hand(tmp_path):
    binary = ((MASK > 0) & (MASK != 255)).astype(np.float32)
    maps = {"P.": stored(tmp_path / "p", x=binary), "R.": stored(tmp_path / "r", x=0.2 + 0.6 * binary)}
    priors = {"RS269 P": stored(tmp_path / "c", x=CAMS)}
    table = saliency.table_rows("C2AM RN50", priors, maps, masks(x=MASK), ids=["x"], split="train")
    assert table.columns.tolist() == [
        "table",
        "row",
        "column",
        "value",
        "split",
        "threshold",
        "chosen_on",
        "images",
        "note",
    ]
    assert table["row"].unique().tolist() == ["C2AM RN50: RS269 P", "C2AM RN50: GT", "C2AM RN50: GT, two classes"]
    assert table.loc[table["row"].str.contains("GT"), "value"].tolist() == [100] * 4
    oracle = table[table["chosen_on"] == "oracle"]
    assert oracle["column"].unique().tolist() == ["R."] and (oracle["threshold"] == 0.2).all()  # above 0.2, the byte 51
    assert table["threshold"].isna().sum() == 4  # where nothing was chosen
    iou = metrics.class_scores(
        saliency.with_priors(priors["RS269 P"], maps["P."], masks(x=MASK), ids=["x"]), ["a", "b", "c"]
    )
    assert table["value"][0] == pytest.approx(100 * iou["iou"].mean())
    some = saliency.table_rows("n", priors, maps, masks(x=MASK), ids=["x"], split="train", score_classes=["a"])
    assert some["value"][0] == pytest.approx(100 * iou.set_index("class")["iou"]["a"])


def test_edges_by_hand(tmp_path):
    mask = np.zeros((20, 20), np.uint8)
    mask[:, 10:] = 1
    shifted = np.zeros((20, 20))
    shifted[:, 11:] = 1  # one column of 4 beside the outline is wrong
    far = (mask > 0).astype(float)
    far[:, 0] = 1  # right at the outline, wrong elsewhere
    stores_of = {name: stored(tmp_path / name, x=values) for name, values in (("shifted", shifted), ("far", far))}
    table = saliency.edge_scores(stores_of, masks(x=mask), ids=["x"], width=2)
    assert table.loc["shifted"].tolist() == [0.75, 1.0]
    assert table.loc["far"].tolist() == [1.0, 15 / 16]


def test_hints_are_drawn_where_they_are():
    image = Image.new("RGB", (3, 1), (100, 100, 100))
    picture = saliency_pictures.overlay_hints(image, np.array([[0.5, 0.2, 0.0]]), 0.4)
    assert picture[0, 1].tolist() == [100] * 3
    assert picture[0, 0].argmax() == 0 and picture[0, 2].argmax() == 2
    fig = saliency_pictures.lines(pd.DataFrame({"precision": [0.5, 1.0]}, index=[0.1, 0.2]), mark=0.1, ylabel="share")
    assert len(fig.axes[0].lines) == 2
