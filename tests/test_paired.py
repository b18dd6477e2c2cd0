"""Paired differences over seeds, by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pnoc_lib.evaluation import paired


def scores(**variants):
    rows = [(name, seed, value) for name, values in variants.items() for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["variant", "seed", "miou"]).dropna()


def test_a_difference_by_hand():
    """1, 2 and 3 apart: mean 2, standard deviation 1, standard error 1 / sqrt(3)."""
    found = paired.difference(scores(a=[11.0, 22.0, 33.0], b=[10.0, 20.0, 30.0]), "a", "b", "miou")
    assert (found["n"], found["mean"], found["verdict"]) == (3, 2.0, paired.HOLDS)
    assert found["se"] == pytest.approx(1 / np.sqrt(3))
    assert found["high"] - found["mean"] == pytest.approx(4.303 / np.sqrt(3), rel=1e-3)


def test_it_is_the_interval_of_a_paired_t_test():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=8), generator.normal(size=8)
    found = paired.difference(scores(a=a, b=b), "a", "b", "miou")
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx(tuple(interval))


def test_pairing_takes_out_what_seeds_share():
    shared = np.array([0.0, 30.0, -20.0, 5.0])
    found = paired.difference(scores(a=shared + np.array([1.0, 1.1, 0.9, 1.0]), b=shared), "a", "b", "miou")
    assert found["verdict"] == paired.HOLDS
    assert found["se"] < 0.1


def test_the_other_side_is_a_refutation_and_near_zero_is_open():
    table = scores(a=[1.0, 1.1, 0.9], b=[2.0, 2.2, 2.1], c=[1.2, 0.9, 1.0])
    assert paired.difference(table, "a", "b", "miou")["verdict"] == paired.REFUTED
    assert paired.difference(table, "a", "c", "miou")["verdict"] == paired.OPEN


def test_seeds_of_one_variant_alone_do_not_count():
    found = paired.difference(scores(a=[1.0, 2.0, 3.0], b=[0.0, np.nan, 1.0]), "a", "b", "miou")
    assert (found["n"], found["mean"]) == (2, 1.5)


def test_one_seed_proves_nothing():
    found = paired.difference(scores(a=[9.0], b=[1.0]), "a", "b", "miou")
    assert (found["n"], found["mean"], found["verdict"]) == (1, 8.0, paired.OPEN)
    assert np.isnan(found["se"])
    assert paired.difference(scores(a=[9.0]), "a", "b", "miou")["n"] == 0


def test_a_seed_that_stands_there_twice_is_refused():
    table = pd.concat([scores(a=[1.0], b=[0.0])] * 2)
    with pytest.raises(ValueError, match="seed 0 of 'a' stands there twice: keep one"):
        paired.difference(table, "a", "b", "miou")


def test_a_row_for_every_statement_and_score():
    table = scores(a=[1.0, 1.1], b=[2.0, 2.2]).assign(other=1.0)
    statements = pd.DataFrame({"statement": ["b above a", "a above b"], "higher": ["b", "a"], "lower": ["a", "b"]})
    found = paired.verdicts(table, statements, ["miou", "other"])
    assert found["verdict"].tolist() == [paired.HOLDS, paired.OPEN, paired.REFUTED, paired.OPEN]
    assert found["score"].tolist() == ["miou", "other"] * 2
