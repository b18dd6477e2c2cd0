"""What hard erasure leaves and where the evidence lies: by hand, and with a classifier whose maps are known."""

import copy

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import nn

from pnoc_lib.evaluation import evidence
from pnoc_lib.priors import networks


class Colours(nn.Module):
    """Raw CAMs at stride 8 for `tiny.squares`: how much redder, or greener, than the rest, plus a constant."""

    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

    def __init__(self, offset=0.0, stride=8):
        super().__init__()
        self.offset, self.stride = nn.Parameter(torch.tensor(offset)), stride

    def forward(self, images):
        red, green, blue = F.avg_pool2d(images, self.stride, ceil_mode=True).unbind(1)
        return torch.stack([red - green.maximum(blue), green - red.maximum(blue)], 1) + self.offset


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return tiny.squares(tmp_path_factory.mktemp("tiny"), 6)


# the shares of one image


def test_shares_by_hand():
    """Four of six pixels are left, one of them object: 1/4; its evidence is 3 of 3 + 1 + 1 + 1: one half."""
    left = np.array([[1, 1, 0], [1, 1, 0]], bool)
    strength = np.array([[3.0, 1.0, 50.0], [1.0, 1.0, 50.0]])
    thing = np.array([[1, 0, 1], [0, 0, 1]], bool)
    assert evidence.of_leftover(left, strength, thing) == (0.25, 0.5)


def test_even_evidence_has_the_share_of_the_object():
    generator = np.random.default_rng(0)
    left, thing = generator.random((20, 20)) < 0.7, generator.random((20, 20)) < 0.3
    share, on_object = evidence.of_leftover(left, np.full((20, 20), 0.4), thing)
    assert share == pytest.approx(on_object)


def test_void_counts_for_nobody():
    left, thing = np.ones((1, 4), bool), np.array([[1, 0, 1, 0]], bool)
    void = np.array([[0, 0, 1, 1]], bool)
    assert evidence.of_leftover(left, np.array([[1.0, 3.0, 90.0, 90.0]]), thing, void) == (0.5, 0.25)


def test_nothing_left_and_no_evidence_have_no_shares():
    nothing, flat = np.zeros((2, 2), bool), np.zeros((2, 2))
    assert np.isnan(evidence.of_leftover(nothing, flat + 1, ~nothing)).all()
    share, on_object = evidence.of_leftover(~nothing, flat, ~nothing)
    assert share == 1 and np.isnan(on_object)


# over images


def test_a_row_for_every_image_class_and_delta(squares):
    images, masks = squares
    measured = evidence.measure(Colours(), images, masks, (0.2, 0.6), progress=False)
    assert len(measured) == 2 * images.labels.sum()
    assert set(measured["class"]) == {"red", "green"}
    shares = measured.drop(columns=["id", "class"]).to_numpy()
    assert (np.isnan(shares) | ((shares >= 0) & (shares <= 1))).all()


def test_larger_deltas_erase_less(squares):
    measured = evidence.measure(Colours(), *squares, (0.1, 0.4, 0.8), progress=False)
    for _, own in measured.groupby(["id", "class"]):
        assert own["erased"].is_monotonic_decreasing and own["object_erased"].is_monotonic_decreasing
        assert own["object_share"].is_monotonic_increasing
        assert own["p_whole"].nunique() == 1


def test_a_classifier_that_sees_the_object_has_its_evidence_on_what_is_left_of_it(squares):
    measured = evidence.measure(Colours(), *squares, (0.8,), progress=False).dropna()
    assert (measured["evidence_share"] > 3 * measured["object_share"]).all()


def test_a_classifier_that_looks_nowhere_is_at_chance(squares):
    """A constant alone: the map is even over whatever is left."""

    class Even(Colours):
        def forward(self, images):
            return 0 * super().forward(images) + 1.0

    measured = evidence.measure(Even(), *squares, (1.0,), progress=False)  # nothing is erased
    np.testing.assert_allclose(measured["evidence_share"], measured["object_share"], rtol=1e-4)
    assert (measured["p_hard"] == measured["p_whole"]).all()


def test_without_masks_what_needs_none_is_the_same(squares):
    images, masks = squares
    with_masks = evidence.measure(Colours(), images, masks, (0.5,), progress=False)
    without = evidence.measure(Colours(), images, None, (0.5,), progress=False)
    pd.testing.assert_frame_equal(without, with_masks[without.columns])
    assert "object_share" not in without


def test_the_classifier_is_left_as_it_was(squares):
    images, masks = squares
    oc = networks.CAMNetwork("test_resnet", 2).train()
    before = copy.deepcopy(oc.state_dict())
    evidence.measure(oc, images.subset(images.ids[:2]), masks, (0.5,), progress=False)
    assert oc.training and all(p.requires_grad and p.grad is None for p in oc.parameters())
    assert all(torch.equal(value, before[name]) for name, value in oc.state_dict().items())


def test_images_without_a_class_are_passed_over(squares):
    images, masks = squares
    labels = images.labels.copy()
    labels[0] = 0
    some = type(images)("some", "train", images.classes, images.ids, labels, images.paths)
    assert images.ids[0] not in set(evidence.measure(Colours(), some, masks, (0.5,), progress=False)["id"])


# groups


def test_groups_by_hand():
    lines = [("a", "red", 0.2, 0.1, 0.2), ("b", "red", 0.2, 0.3, 0.4), ("a", "green", 0.2, 0.5, 0.1)]
    measured = pd.DataFrame(lines, columns=["id", "class", "delta", "object_share", "evidence_share"])
    measured["rim_share"], measured["rim_evidence"] = 0.5, 0.25
    table = evidence.by_group(measured, {"size": {"small": ("red",), "large": ("green",)}})
    assert table.loc[("all", "all", 0.2), "pairs"] == 3
    assert table.loc[("all", "all", 0.2), "object_share"] == pytest.approx(0.3)
    assert table.loc[("size", "small", 0.2), "lift"] == pytest.approx(0.3 / 0.2)
    assert table.loc[("size", "large", 0.2), "lift"] == pytest.approx(0.2)
    assert (table["rim_lift"] == 0.5).all()


def test_pairs_without_evidence_are_left_out_of_all_means():
    lines = [("a", "red", 0.2, 0.1, np.nan), ("b", "red", 0.2, 0.3, 0.6)]
    measured = pd.DataFrame(lines, columns=["id", "class", "delta", "object_share", "evidence_share"])
    measured["rim_share"], measured["rim_evidence"] = 0.5, 0.25
    row = evidence.by_group(measured, {}).loc[("all", "all", 0.2)]
    assert (row["pairs"], row["object_share"], row["lift"]) == (1, 0.3, pytest.approx(2))
