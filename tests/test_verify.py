"""An own run beside the reference: verdicts by hand, and what `make verify` prints and returns."""

import numpy as np
import pandas as pd
import pytest

from pnoc_lib.paper import reference


@pytest.fixture
def verify(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import verify

    return verify.verify


def write(folder, scores, cells=()):
    """A report: {(method, seed, chosen by): fraction}, and cells (row, column, mean, sd, seeds) of Table 3."""
    tables = folder / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    lines = [(*key, value) for key, value in scores.items()]
    pd.DataFrame(lines, columns=["method", "seed", "chosen by", "mIoU"]).to_csv(
        tables / "priors_scores.csv", index=False
    )
    frame = pd.DataFrame(cells, columns=["row", "column", "mean", "sd", "seeds"])
    frame.assign(measured="1.0", experiment=folder.name).to_csv(tables / "paper_table03.csv", index=False)


def scores(cam, p, seed=0):
    return {("CAM", seed, "oracle"): cam, ("P", seed, "oracle"): p}


SEEDS = {key: value for k, x in enumerate((0.39, 0.40, 0.41)) for key, value in scores(x, 0.5, k).items()}


@pytest.fixture
def reports(tmp_path):
    write(tmp_path / "reports" / "demo", scores(0.394, 0.5), [("cat", "CAM", 30.0, np.nan, 1)])
    write(tmp_path / "reports" / "demo-seeds", SEEDS, [("cat", "CAM", 31.0, 2.0, 3)])
    return tmp_path / "reports"


def test_spread_is_the_standard_deviation_over_seeds(reports):
    spread = reference.spread(reports / "demo-seeds")
    assert spread.columns.tolist() == ["sd", "seeds"] and set(spread["seeds"]) == {3}
    spread = spread["sd"]
    assert spread["priors", "CAM", "mIoU", "oracle"] == pytest.approx(1.0)  # of 39, 40, 41 percent
    assert spread["priors", "P", "mIoU", "oracle"] == 0
    assert spread["Table 3", "cat", "CAM", ""] == 2.0
    assert reference.spread(reports / "demo").empty and reference.spread(reports / "nowhere").empty


@pytest.mark.parametrize(
    ("own", "there", "sd", "seeds", "word"),
    [
        (40.0, 40.0, 0.0, 3, reference.SAME),
        (40.0, 40.0, np.nan, np.nan, reference.SAME),
        (42.7, 40.0, 1.0, np.inf, reference.WITHIN),  # of many seeds the bound is 1.96 times the square root of 2
        (37.3, 40.0, 1.0, np.inf, reference.WITHIN),
        (42.8, 40.0, 1.0, np.inf, reference.OUTSIDE),
        (46.0, 40.0, 1.0, 3, reference.WITHIN),  # of three it is 4.30 times that
        (46.1, 40.0, 1.0, 3, reference.OUTSIDE),
        (43.9, 40.0, 1.0, 5, reference.WITHIN),  # of five 2.78
        (44.0, 40.0, 1.0, 5, reference.OUTSIDE),
        (40.1, 40.0, np.nan, np.nan, reference.OUTSIDE),
        (40.1, 40.0, 0.0, 3, reference.OUTSIDE),
        (40.1, np.nan, 1.0, 3, reference.ALONE),
    ],
)
def test_verdicts(own, there, sd, seeds, word):
    assert reference.verdict(own, there, sd, seeds) == word


def test_means_over_seeds_are_held_to_their_own_bound():
    assert reference.verdict(43.5, 40.0, 1.0, 3, 3, 3) == reference.WITHIN  # 4.30 sqrt(2 / 3) = 3.51
    assert reference.verdict(43.6, 40.0, 1.0, 3, 3, 3) == reference.OUTSIDE


def test_another_seed_alone_is_called_outside_once_in_twenty():
    own, there, *seeds = np.random.default_rng(0).normal(size=(5, 20_000))
    sd = np.std(seeds, axis=0, ddof=1)
    words = [reference.verdict(*pair, 3) for pair in zip(own, there, sd, strict=True)]
    assert words.count(reference.OUTSIDE) / len(words) == pytest.approx(0.05, abs=0.006)


def test_a_number_without_a_spread_takes_that_of_its_table(reports):
    own = reference.numbers(reports / "demo").replace({"row": {"P": "OC-CSE"}})
    lines = reference.beside(own, reference.numbers(reports / "demo"), reference.spread(reports / "demo-seeds"))
    assert lines["row"].tolist() == ["CAM", "cat", "OC-CSE"]  # what the reference lacks comes last
    assert lines["verdict"].tolist() == [reference.SAME, reference.SAME, reference.ALONE]
    assert lines["spread of"].tolist() == ["this number", "this number", "the median of the table"]
    assert lines["sd"].tolist() == pytest.approx([1.0, 2.0, 0.5])
    assert reference.summary(lines).loc["priors", reference.ALONE] == 1


def test_one_in_twenty_outside_is_chance(reports):
    words = lambda outside, same: pd.DataFrame({"verdict": [reference.OUTSIDE] * outside + [reference.SAME] * same})  # noqa: E731
    assert reference.overall(words(4, 16)) == reference.WITHIN  # of 20 more than four by chance: 3 in 1000
    assert reference.overall(words(5, 15)) == reference.OUTSIDE
    assert reference.overall(words(1, 0)) == reference.overall(words(2, 0)) == reference.OUTSIDE
    assert reference.overall(words(0, 3)) == reference.SAME
    assert reference.overall(words(0, 0)) == reference.ALONE


@pytest.mark.parametrize(
    ("cam", "light", "status", "strict"),
    [(0.394, "GREEN", 0, 0), (0.40, "AMBER", 0, 1), (0.50, "RED", 1, 1)],
)
def test_verify_says_it_in_ten_lines_and_by_its_status(reports, verify, capsys, cam, light, status, strict):
    own = reports.parent / "results"
    write(own / "demo", scores(cam, 0.6 if light == "RED" else 0.5), [("cat", "CAM", 30.0, np.nan, 1)])
    assert verify("demo", own, reports) == status
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 10 and lines[-1].startswith(light)
    assert verify("demo", own, reports, strict=True) == strict


def test_nothing_to_compare(reports, verify, capsys):
    own = reports.parent / "results"
    assert verify("demo", own, reports) == 2
    assert "make run PRESET=demo" in capsys.readouterr().err
    write(own / "mine", scores(0.4, 0.5))
    assert verify("mine", own, reports) == 2
    assert "nothing was committed for this experiment" in capsys.readouterr().err


def test_what_runs_were_made_with():
    manifests = [
        {"versions": {"torch": version}, "threads": 1, "device": "cpu"} for version in ("2.13.0", "2.14.1", "2.14.1")
    ]
    table = reference.made_with(manifests).set_index("what")["value"]
    assert table["torch"] == "2.13.0, 2.14.1" and table["threads"] == "1" and table["processor"]
