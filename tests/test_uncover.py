"""Uncovering an image: what stays to be seen, and how sure a classifier is of it."""

import numpy as np
import pytest
import torch

from pnoc_lib.evaluation import uncover

IMAGE = torch.arange(3 * 4 * 5, dtype=torch.uint8).reshape(3, 4, 5)


def test_the_hottest_pixels_are_seen_and_no_other():
    heat = torch.zeros(4, 5)
    heat[1, 2], heat[3, 4] = 2.0, 1.0
    shown = uncover.cover(IMAGE, heat, 2 / 20)
    seen = (shown != uncover.COVER).any(0)
    assert seen.nonzero().tolist() == [[1, 2], [3, 4]]
    assert torch.equal(shown[:, seen], IMAGE[:, seen])


def test_nothing_and_everything():
    heat = torch.rand(4, 5)
    assert (uncover.cover(IMAGE, heat, 0) == uncover.COVER).all()
    assert torch.equal(uncover.cover(IMAGE, heat, 1), IMAGE)


def red(pixels):
    """One class, whose map is the red channel above grey at a quarter of the side."""
    return torch.nn.functional.avg_pool2d(pixels[:, :1].float() - uncover.COVER, 4) / 20


def test_a_class_that_a_patch_gives_away_is_named_from_the_patch():
    image = torch.full((3, 32, 32), uncover.COVER, dtype=torch.uint8)
    image[0, 8:16, 8:16] = 255
    hottest = uncover.sureness(red, image, 0, [0, 0.1, 1])
    random = uncover.sureness(red, image, 0, [0, 0.1, 1], order="random", seed=3)
    assert hottest[0] == random[0] == pytest.approx(0.5)
    assert hottest[1] == pytest.approx(hottest[2])  # the rest adds nothing
    assert random[1] < hottest[1] and random[2] == hottest[2]


def test_random_order_is_that_of_the_seed():
    image = torch.randint(0, 255, (3, 32, 32), dtype=torch.uint8)
    runs = [uncover.sureness(red, image, 0, [0.1, 0.3], order="random", seed=s) for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_fraction(share):
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\]"):
        uncover.cover(IMAGE, torch.zeros(4, 5), share)


def test_other_faults_are_said():
    with pytest.raises(ValueError, match="heat must be"):
        uncover.cover(IMAGE, torch.zeros(5, 4), 0.5)
    with pytest.raises(ValueError, match="unknown order 'coldest'"):
        uncover.sureness(red, IMAGE, 0, [0.5], order="coldest")
