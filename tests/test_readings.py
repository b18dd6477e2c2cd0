"""Sentences about a run say what its numbers say."""

import pandas as pd
import pytest

from pnoc_lib.paper import readings


def table(**methods):
    """P_NOC=[(oracle, fixed), ...]: mIoU in percent by seed; FP and FN shares 0.5 and 0.1."""
    lines = [
        (name.replace("_", "-"), seed, chosen, 0.45 if chosen == "oracle" else 0.3, value / 100, 0.5, 0.1)
        for name, seeds in methods.items()
        for seed, pair in enumerate(seeds)
        for chosen, value in zip(("oracle", "fixed"), pair, strict=True)
    ]
    return pd.DataFrame(lines, columns=["method", "seed", "chosen by", "threshold", "mIoU", "FP share", "FN share"])


def test_who_lies_above_and_who_below():
    text = readings.scores(table(CAM=[(40, 36)], P=[(41, 34)], OC_CSE=[(40.01, 37)]))
    oracle, fixed = text.split("at the fixed threshold 0.30")
    assert "P (41.0 %) above CAM (40.0 %); OC-CSE (40.0 %) level with CAM" in oracle
    assert "OC-CSE (37.0 %) above CAM (36.0 %); P (34.0 %) below CAM (36.0 %)" in fixed
    assert readings.scores(table(P=[(41, 34)])).count("P (") == 2 and readings.scores(table()) == ""


@pytest.mark.parametrize(
    ("noc", "word"),
    [
        ([(42, 38), (43, 39)], r"P-NOC lies above P-OC (+2.5 ± 0.7 points)"),
        ([(40, 36), (40, 36)], "P-NOC equals P-OC (+0.0 ± 0.0 points)"),
        ([(39, 35), (41.5, 37.5)], "P-NOC cannot be told from P-OC (+0.2 ± 1.8 points)"),
        ([(38, 34)], "P-NOC lies below P-OC (-2.0 points)"),
    ],
)
def test_a_pair_is_judged_by_its_spread(noc, word):
    assert word in readings.scores(table(P_OC=[(40, 36)] * len(noc), P_NOC=noc))


def test_a_pair_says_on_how_many_seeds_it_rests_where_the_means_have_more():
    """P-OC 40, 40, 46 and P-NOC 42: their means are equal, on the one shared seed they differ by 2."""
    said = readings.scores(table(P_OC=[(40, 36), (40, 36), (46, 42)], P_NOC=[(42, 38)]))
    assert "P-NOC lies above P-OC (+2.0 points over one pair of trainings)" in said
    both = readings.scores(table(P_OC=[(40, 36), (40, 36), (46, 42)], P_NOC=[(42, 38), (43, 39)]))
    assert "(+2.5 ± 0.7 points over 2 pairs of trainings)" in both


def test_too_large_or_incomplete():
    large = table(CAM=[(40, 36)], P=[(40, 36)])
    assert "too large rather than incomplete: not the paper's problem" in readings.faults(large)
    assert "50 % of the union is false positive, 10 % false negative" in readings.faults(large)
    small = large.rename(columns={"FP share": "FN share", "FN share": "FP share"})
    assert "incomplete rather than too large: the paper's problem" in readings.faults(small)
    mixed = pd.concat([large[large["method"] == "CAM"], small[small["method"] == "P"]])
    assert "maps of CAM are too large rather than incomplete" in readings.faults(mixed)
    assert readings.faults(large[large["chosen by"] == "oracle"]) == ""


@pytest.mark.parametrize(("last", "word"), [(0.5, "it learned to find"), (0.2, "it did not learn to find")])
def test_the_game_says_whether_noc_learned(last, word):
    epochs = pd.DataFrame({"p_soft": [0.6, 0.4], "p_hard": [0.21, last]})
    text = readings.game({"P-NOC": [epochs], "P-OC": [epochs[["p_soft"]]], "CAM": []})
    assert f"`noc` after hard erasure 21 → {100 * last:.0f} %: {word}" in text
    assert "P-OC: $p(r|\\text{soft})$ went 60 → 40 %." in text and "CAM" not in text
    assert readings.game({"CAM": []}) == ""


def test_the_guess_from_sizes_is_taken_up():
    properties = pd.DataFrame({"relative_size": [0.5, 0.3, 0.2, 0.1]}, index=["background", "bus", "cat", "bicycle"])
    iou = pd.Series({"background": 0.9, "bus": 0.5, "cat": 0.6, "bicycle": 0.1, "dog": 0.9})
    text = readings.prediction(properties, iou, "CAM")
    assert "best at cat and worst at bicycle" in text and "bus, is in place 2 of 3" in text
    assert readings.prediction(properties, iou[:3], "CAM") == ""


@pytest.mark.parametrize(
    ("value", "count", "words"),
    [
        (-0.77, 6, "-0.77 over 6 classes, the opposite order, may be chance (limit 0.88)"),
        (0.9, 20, "+0.90 over 20 classes, the paper's order, is more than chance (limit 0.45)"),
        (1.0, 2, "may be chance (limit 1.00)"),
    ],
)
def test_a_rank_correlation_has_its_limit(value, count, words):
    assert readings.rank_correlation(value, count, "x").endswith(words) or words == "may be chance (limit 1.00)"
