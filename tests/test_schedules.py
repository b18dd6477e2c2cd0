"""Ramps of the loss terms and the decay of the learning rate."""

from itertools import pairwise

import pytest

from pnoc_lib.engine import pace, schedules

QUARTERS = (0, 25, 50, 100)  # of 100 iterations


@pytest.mark.parametrize(
    ("ramp", "values"),
    [
        ({"start": 0, "end": 4, "share": 0.5}, (0, 2, 4, 4)),  # lambda_re: complete after half of the training
        ({"start": 0.3, "end": 1}, (0.3, 0.475, 0.65, 1.0)),  # lambda_cse
        ({"start": 0, "end": 1}, (0, 0.25, 0.5, 1)),  # lambda_noc
    ],
)
def test_ramps_of_the_paper(ramp, values):
    assert [schedules.linear(step, 100, **ramp) for step in QUARTERS] == pytest.approx(values, abs=1e-12)


def test_a_moment_of_a_training_has_those_ramps():
    at = [pace.Moment(step, 100, seed=0) for step in QUARTERS]
    assert [moment.ramp(0, 4, share=0.5) for moment in at] == pytest.approx([0, 2, 4, 4], abs=1e-12)
    assert [moment.ramp(0.3, 1) for moment in at] == pytest.approx([0.3, 0.475, 0.65, 1.0], abs=1e-12)


def test_the_step_of_noc_is_largest_in_the_middle():
    """lambda_noc times the rate, t/T (1 - t/T)^0.9: zero at both ends, 0.269 at t/T = 1/1.9 (Section 3.2)."""
    steps = [schedules.linear(t, 1900, 0, 1) * schedules.poly(t, 1900) for t in range(1901)]
    assert steps[0] == steps[1900] == 0
    assert max(steps) == steps[1000] == pytest.approx(0.269, abs=5e-4)


def test_a_ramp_stays_at_its_end():
    assert schedules.linear(130, 100, 0, 4) == 4
    assert schedules.linear(0, 100, 2.5, 2.5) == 2.5


def test_rate_factor_of_the_paper():
    assert [schedules.poly(step, 100) for step in QUARTERS] == pytest.approx((1, 0.7719, 0.5359, 0), abs=5e-5)


def test_rate_factor_falls_and_never_below_zero():
    factors = [schedules.poly(step, 7) for step in range(10)]
    assert all(a > b for a, b in pairwise(factors[:8]))
    assert factors[7:] == [0, 0, 0]


def test_powers():
    assert schedules.poly(3, 4, power=1) == 0.25
    assert schedules.poly(3, 4, power=0) == 1


@pytest.mark.parametrize("wrong", [{"total": 0}, {"total": -3}, {"total": 10, "share": 0}, {"total": 10, "share": 1.5}])
def test_impossible_ramps_are_refused(wrong):
    with pytest.raises(ValueError, match=r"a ramp needs total > 0 and share in \(0, 1\], got total="):
        schedules.linear(0, start=0, end=1, **wrong)


@pytest.mark.parametrize("wrong", [{"total": 0}, {"total": 5, "power": -0.1}])
def test_impossible_decays_are_refused(wrong):
    with pytest.raises(ValueError, match="poly decay needs total > 0 and power >= 0, got total="):
        schedules.poly(0, **wrong)
