"""Rows of the paper's tables from several runs."""

import math

import numpy as np
import pandas as pd
import pytest

from pnoc_lib.evaluation import analysis, tables

CLASSES = ["background", "cat", "dog", "person"]
PROPERTIES = pd.DataFrame(
    {
        "occurrence": [10, 4, 3, 2],
        "relative_size": [0.7, 0.1, 0.2, 0.3],
        "cooccurrence": [0.0, 0.5, 0.4, 0.6],
        "cardinality": [1.5, 1.6, 2.0, 1.0],
    },
    index=CLASSES,
)
GROUPS = {
    "size": {"small": ["cat"], "large": ["dog", "person"]},
    "frequency": {"low": ["person"], "high": ["cat", "dog"]},
    "semantic": {"animal": ["cat", "dog"], "person": ["person"]},
}


def scores(*values):
    return pd.Series(values, CLASSES)


def table(ious, thresholds=None, **settings):
    return tables.class_group_scores(ious, PROPERTIES, GROUPS, thresholds or dict.fromkeys(ious, 0.3), **settings)


def cell(rows, row, column="CAM"):
    (found,) = rows[(rows["row"] == row) & (rows["column"] == column)].to_dict("records")
    return found


def test_one_run_by_hand():
    rows = table({("CAM", 0): scores(0.8, 0.4, 0.6, 0.2)}, {("CAM", 0): 0.25}, split="train", preset="demo")
    assert [cell(rows, name)["mean"] for name in CLASSES] == pytest.approx([0.8, 0.4, 0.6, 0.2])
    assert cell(rows, "animal")["mean"] == pytest.approx(0.5)
    assert cell(rows, "person (group)")["mean"] == pytest.approx(0.2)  # a group and a class of one name
    assert cell(rows, "large")["mean"] == pytest.approx(0.4)
    assert cell(rows, "high freq.")["mean"] == pytest.approx(0.5)
    assert cell(rows, "overall μ")["mean"] == pytest.approx(0.5)
    known = cell(rows, "cat")
    assert (known["seeds"], known["threshold"], known["split"], known["preset"]) == (1, 0.25, "train", "demo")
    assert math.isnan(known["sd"])


def test_seeds_are_averaged_with_their_spread():
    ious = {("CAM", 0): scores(0.8, 0.4, 0.6, 0.2), ("CAM", 3): scores(0.6, 0.5, 0.6, 0.4)}
    rows = table(ious, {("CAM", 0): 0.2, ("CAM", 3): 0.4})
    assert cell(rows, "background")["mean"] == pytest.approx(0.7)
    assert cell(rows, "background")["sd"] == pytest.approx(np.std([0.8, 0.6], ddof=1))
    assert cell(rows, "dog")["sd"] == pytest.approx(0, abs=1e-12)
    assert cell(rows, "overall μ")["mean"] == pytest.approx((0.5 + 0.525) / 2)  # means of each run, then of the runs
    assert (cell(rows, "cat")["seeds"], cell(rows, "cat")["threshold"]) == (2, pytest.approx(0.3))


def test_methods_stay_apart_and_in_order():
    ious = {("P-OC", 0): scores(*[0.5] * 4), ("CAM", 0): scores(*[0.1] * 4), ("P-OC", 1): scores(*[0.7] * 4)}
    rows = table(ious)
    assert rows["column"].drop_duplicates().tolist() == ["P-OC", "CAM"]
    assert cell(rows, "cat", "P-OC")["mean"] == pytest.approx(0.6)
    assert cell(rows, "cat", "CAM")["mean"] == pytest.approx(0.1)


def test_classes_without_a_score_have_no_row():
    rows = table({("CAM", 0): scores(0.8, np.nan, 0.6, 0.2)})
    assert "cat" not in set(rows["row"])
    assert cell(rows, "animal")["mean"] == pytest.approx(0.6)


def test_overall_and_correlations_are_those_of_the_analysis():
    iou = scores(0.8, 0.4, 0.6, 0.2)
    rows = table({("CAM", 0): iou})
    sigma = analysis.overall(iou.to_frame("iou"))["iou"]["sigma"]
    assert cell(rows, "overall σ")["mean"] == pytest.approx(sigma)
    for name, value in analysis.correlations(PROPERTIES, {"iou": iou})["iou"].items():
        assert cell(rows, f"ρ {analysis.PROPERTIES[name]}")["mean"] == pytest.approx(value)


def test_nothing_run_is_an_empty_table():
    assert len(table({})) == 0


def test_ious_of_classes_by_hand():
    confusion = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    ious = tables.class_ious(confusion, ["cat", "dog"])
    assert ious["background"] == pytest.approx(6 / 9) and ious["cat"] == pytest.approx(3 / 6) and np.isnan(ious["dog"])
    kept = tables.class_ious(confusion, ["cat", "dog"], ["cat"])
    assert np.isnan(kept["background"]) and kept["cat"] == pytest.approx(0.5)


def curve(*miou, **columns):
    return pd.DataFrame({"epoch": range(1, len(miou) + 1), "miou": miou, **columns})


def test_epochs_are_averaged_with_their_spread():
    curves = {
        ("P", 0): curve(0.5, 0.6, threshold=0.2),
        ("CAM", 0): curve(0.3),
        ("P", 1): curve(0.7, 0.6, threshold=0.4),
    }
    rows = tables.epoch_scores(curves, split="train")
    assert rows[["row", "column"]].to_numpy().tolist() == [["P", "E1"], ["P", "E2"], ["CAM", "E1"]]
    assert rows["mean"].tolist() == pytest.approx([0.6, 0.6, 0.3]) and rows["seeds"].tolist() == [2, 2, 1]
    assert rows["sd"][0] == pytest.approx(np.std([0.5, 0.7], ddof=1)) and np.isnan(rows["sd"][2])
    assert rows["threshold"][0] == pytest.approx(0.3) and set(rows["split"]) == {"train"}


def test_epochs_without_estimates_have_no_row():
    loss = pd.DataFrame({"epoch": [1], "loss": [0.1]})
    assert tables.epoch_scores({("CAM", 0): loss, ("P", 0): curve(np.nan)}).empty
    part = tables.epoch_scores({("CAM", 0): loss, ("CAM", 1): curve(np.nan, 0.4)})
    assert part[["column", "seeds"]].to_numpy().tolist() == [["E2", 1]]
    assert tables.epoch_scores({}).columns.tolist() == ["row", "column", "mean", "sd", "seeds"]


def test_wide_by_hand():
    rows = pd.DataFrame(
        [("P", "E2", 0.5, 0.01), ("CAM", "E1", 0.25, np.nan), ("P", "TTA", 0.6, 0.0)],
        columns=["row", "column", "mean", "sd"],
    )
    shown = tables.wide(rows)
    assert shown.index.tolist() == ["P", "CAM"] and shown.columns.tolist() == ["E2", "E1", "TTA"]
    assert shown.to_numpy().tolist() == [["50.0 ± 1.0", "", "60.0 ± 0.0"], ["", "25.0", ""]]
    assert tables.wide(rows, between="<br>").at["P", "E2"] == "50.0<br>± 1.0"
    assert tables.with_spread(float("nan"), 0.1) == ""


def test_table_1_by_hand():
    ious = {("CAM", 0): scores(0.8, 0.4, 0.6, 0.2), ("CAM", 1): scores(0.8, 0.4, 0.8, 0.2)}
    shown = tables.groups_with_spread(table(ious), PROPERTIES, GROUPS).set_index("Group")
    assert shown.columns.tolist() == ["Classes", "O", "%S", "%C", "L", "CAM"]
    assert shown.index.tolist() == [
        "background", "overall mean", "small", "large", "low freq.", "high freq.", "animal", "person", *RHO,
    ]  # fmt: skip
    assert shown.at["animal", "CAM"] == "55.0 ± 7.1" and shown.at["person", "CAM"] == "20.0 ± 0.0"
    assert shown.at["animal", "Classes"] == "cat dog" and shown.at["animal", "O"] == "3.5"
    assert shown.at["overall mean", "CAM"] == "52.5 ± 3.5" and shown.at["background", "CAM"] == "80.0 ± 0.0"
    rho = [analysis.correlations(PROPERTIES, {"iou": iou}).at["relative_size", "iou"] for iou in ious.values()]
    assert shown.at["rho %S", "CAM"] == tables.with_spread(np.mean(rho), np.std(rho, ddof=1))


RHO = ["rho O", "rho %S", "rho %C", "rho L"]
