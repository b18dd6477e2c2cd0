"""The error budget of a made chain of 4 x 4 masks, worked by hand."""

import numpy as np
import pandas as pd
import pytest

from pnoc_lib.evaluation import budget, flows

V = 255
TRUTH = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [2, 2, 0, 0], [2, V, 0, V]], np.uint8)
PRIOR = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [1, 2, 0, 0], [0, 1, 0, 1]], np.uint8)
PSEUDO = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [2, 2, 0, V], [0, 0, 0, 0]], np.uint8)
NETWORK = np.array([[1, 1, 1, 0], [0, 0, 0, 2], [2, 1, 0, 0], [2, 0, 0, 0]], np.uint8)
# pixel by pixel, right (r) or wrong (w) at the three stages:
#   rrr wrr www rrr | rrw www rrr rrw | wrr rrw rrr rrr | wwr void rrr void     14 pixels


@pytest.fixture
def made():
    chain = budget.ErrorBudget(["prior", "pseudo mask", "network"], ["cat", "dog"])
    chain.add([PRIOR, PSEUDO, NETWORK], TRUTH)
    return chain


def test_stages_by_hand(made):
    table = budget.stage_table(made).set_index("stage") * 14
    assert table["wrong"].round(9).tolist() == [5, 3, 5]
    assert table["broken"].round(9).tolist()[1:] == [0, 3]
    assert table["mended"].round(9).tolist()[1:] == [2, 1]
    assert table["missed"].round(9).tolist() == [3, 2, 2]
    assert table["invented"].round(9).tolist() == [1, 1, 2]
    assert table["confused"].round(9).tolist() == [1, 0, 1]
    assert table["wrong at the end since"].round(9).tolist() == [2, 0, 3]
    assert table["right at the end since"].round(9).tolist() == [6, 2, 1]
    assert np.isnan(table["broken"].iloc[0]) and np.isnan(table["mended"].iloc[0])


def test_every_pixel_is_settled_once(made):
    table = budget.stage_table(made)
    assert (table["wrong at the end since"] + table["right at the end since"]).sum() == pytest.approx(1)
    assert table["wrong at the end since"].sum() == pytest.approx(table["wrong"].iloc[-1])
    difference = table["wrong"].diff().iloc[1:]
    np.testing.assert_allclose(difference, (table["broken"] - table["mended"]).iloc[1:])


def test_blame_by_group(made):
    groups = {"background": ["background"], "cats": ["cat"], "dogs": ["dog"], "all": ["background", "cat", "dog"]}
    table = budget.blame(made, groups).set_index("group")
    assert table["pixels"].tolist() == [7, 4, 3, 14]
    assert table.loc["background", ["prior", "pseudo mask", "network"]].tolist() == [0.5, 0, 0.5]
    assert table.loc["cats", ["prior", "pseudo mask", "network"]].tolist() == [0.5, 0, 0.5]
    assert table.loc["dogs", ["prior", "pseudo mask", "network"]].tolist() == [0, 0, 1]
    assert table.loc["all", "wrong"] == pytest.approx(5 / 14)


def test_a_group_without_errors_has_no_blame():
    chain = budget.ErrorBudget(["a", "b"], ["x"])
    chain.add([np.zeros((2, 2)), np.zeros((2, 2))], np.zeros((2, 2), np.uint8))
    row = budget.blame(chain, {"background": ["background"], "x": ["x"]}).set_index("group")
    assert row.loc["background", "wrong"] == 0 and row.loc["background", ["a", "b"]].isna().all()
    assert np.isnan(row.loc["x", "wrong"])


def test_flow_by_hand(made):
    table = budget.flow(made)
    assert table.groupby(["from", "to"], sort=False)["share"].sum().tolist() == pytest.approx([1, 1])
    step = table[table["from"] == "prior"].set_index(["before", "after"])["share"] * 14
    assert step["missed", "right"] == pytest.approx(1) and step["missed", "missed"] == pytest.approx(2)
    assert step["confused", "right"] == pytest.approx(1) and step["invented", "invented"] == pytest.approx(1)
    last = table[table["from"] == "pseudo mask"].set_index(["before", "after"])["share"] * 14
    assert last["right", "invented"] == pytest.approx(1) and last["right", "confused"] == pytest.approx(1)
    assert last["right", "missed"] == pytest.approx(1) and last["missed", "right"] == pytest.approx(1)


def test_images_add_up(made):
    once = made.counts.copy()
    made.add([PRIOR, PSEUDO, NETWORK], TRUTH)
    np.testing.assert_array_equal(made.counts, 2 * once)
    assert once.sum() == 14


def test_representative_pixel():
    masks = [np.zeros((7, 9), np.uint8), np.zeros((7, 9), np.uint8)]
    masks[1][1:6, 1:6] = 1  # broken by the second stage: a square of 5, and a single pixel
    masks[1][0, 8] = 1
    truth = np.zeros((7, 9), np.uint8)
    assert budget.representative(masks, truth, [True, False]) == (3, 3)
    truth[2:5, 2:5] = V
    assert budget.representative(masks, truth, [True, False]) != (3, 3)
    assert budget.representative(masks, truth, [False, None]) is None


def test_what_does_not_fit_is_refused(made):
    with pytest.raises(ValueError, match="got 2 masks for the 3 stages"):
        made.add([PRIOR, PSEUDO], TRUTH)
    with pytest.raises(ValueError, match="give all at the image's size"):
        made.add([PRIOR, PSEUDO, NETWORK[:2]], TRUTH)
    with pytest.raises(ValueError, match="two stages or more"):
        budget.ErrorBudget(["prior"], ["x"])


def test_groups_of_the_data_set_keep_their_classes():
    groups = budget.class_groups(
        {"frequency": {"low": ["cat", "cow"]}, "semantic": {"animals": ["cow"]}}, ["cat", "dog"]
    )
    assert groups == {"background": ["background"], "all classes": ["cat", "dog"], "low freq.": ["cat"]}


def test_flow_picture_draws_every_step(made):
    fig = flows.flow_picture(made)
    texts = " ".join(text.get_text() for text in fig.axes[0].texts)
    assert "prior" in texts and "network" in texts
    step = budget.flow(made)
    moving = step[(step["share"] > 0) & ((step["before"] != "right") | (step["after"] != "right"))]
    assert len([patch for patch in fig.axes[0].collections]) >= len(moving)
    assert isinstance(step, pd.DataFrame)
