"""The three pictures of the mechanism show the numbers that they are given."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from pnoc_lib.evaluation import mechanism

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def lines(axis):
    return {line.get_label(): line.get_ydata().tolist() for line in axis.lines if not line.get_label().startswith("_")}


def test_peak_and_mean_are_averaged_over_images_then_seeds():
    rows = [("drawn", 0, 160, 1.0, 4.0), ("drawn", 0, 160, 3.0, 4.0), ("drawn", 1, 160, 1.0, 8.0)]
    measured = pd.DataFrame(rows, columns=["data", "seed", "size", "mean", "peak"])
    left, right = mechanism.peak_and_mean(measured).axes
    assert lines(left) == {"peak, drawn": [6.0], "mean, drawn": [1.5]}
    assert lines(right)["drawn"] == [(50 + 12.5) / 2]


def test_evidence_by_delta():
    names = ["object_share", "evidence_share", "lift", "rim_lift", "p_whole", "p_hard"]
    rows = [(s, d, 0.1, 0.1 + 0.1 * s, 1.0 + s, 2.0, 0.9, d) for s in (0, 1) for d in (0.2, 0.6)]
    table = pd.DataFrame(rows, columns=["seed", "delta", *names])
    shares, lifts, said = mechanism.evidence_curves(table).axes
    np.testing.assert_allclose(lines(shares)["the evidence's share that lies on it"], [15, 15])
    np.testing.assert_allclose(lines(lifts)["lift: with masks"], [1.5, 1.5])
    np.testing.assert_allclose(lines(said)["p(r | hard erasure)"], [0.2, 0.6])


def scores(**variants):
    rows = [(name, seed, value) for name, values in variants.items() for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["variant", "seed", "miou"])


def test_order_shows_paired_differences():
    table = scores(base=[0.1, 0.4], a=[0.12, 0.43], gone=[])
    fig = mechanism.order(table, {"a": "A", "gone": "not run"}, {"miou": "oracle"}, rival="base")
    (axis,) = fig.axes
    dots = next(line for line in axis.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o")
    np.testing.assert_allclose(sorted(dots.get_xdata()), [2, 3])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["A", "not run"]
    assert axis.get_xlabel() == "points of mIoU above base"


def test_scores_as_printed():
    table = mechanism.table_of_scores(scores(a=[0.1, 0.2], b=[0.5]), ["b", "c", "a"], ["miou"])
    assert table.index.tolist() == ["b", "a"]  # c was not run
    assert table.loc["a", "miou"] == "15.0 ± 7.1" and table.loc["b", "miou"] == "50.0"
    assert table["seeds"].tolist() == [1, 2]


def test_a_seed_that_stands_twice_is_named():
    table = pd.concat([scores(base=[0.1], a=[0.2])] * 2)
    with pytest.raises(ValueError, match="stands there twice"):
        mechanism.order(table, {"a": "A"}, {"miou": "oracle"}, rival="base")
