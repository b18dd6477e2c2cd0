"""The paper's statements: what its own numbers make of them, and verdicts on runs, worked by hand."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from pnoc_lib import paper
from pnoc_lib.evaluation import analysis
from pnoc_lib.paper import chance, reader, trends

STATEMENTS = pd.concat([trends.statements("voc"), trends.statements("coco14")]).loc[lambda t: ~t.index.duplicated()]
each_statement = pytest.mark.parametrize("trend", STATEMENTS.index)


def statement(own="P|room", others="CAM|room", kind="above", table="", **more):
    given = {"section": "7.1" if table else "ours", "claim": "", "table": table, "kind": kind}
    given |= {"own": own, "others": others}
    given |= {"printed": "", "statement": "", "note": "", **more}
    return pd.DataFrame([given], index=pd.Index(["t00"], name="trend"))


def runs(**methods):
    """P=[{...}, {...}]: the cells of P by row, one a seed from 0; CAM_plus is CAM+."""
    names = {"CAM_plus": "CAM+", "P_OC": "P-OC", "P_NOC": "P-NOC", "OC_CSE": "OC-CSE", "P_OC_LS": "P-OC+LS"}
    return {
        (names.get(method, method), seed): pd.Series(cells, dtype=float)
        for method, seeds in methods.items()
        for seed, cells in enumerate(seeds)
    }


def one(selected, measured, **options):
    (line,) = trends.check({"oracle": measured}, selected, **options).to_dict("records")
    return line


# the data


def test_statements_are_well_written():
    assert STATEMENTS.index.is_unique and len(STATEMENTS) > 60
    assert set(STATEMENTS["kind"]) == set(trends.KINDS) and set(STATEMENTS["section"]) == {"2.3", "7.1", "ours"}
    assert STATEMENTS["statement"].is_unique
    claims = reader.claims().set_index("claim")
    for trend, line in STATEMENTS.iterrows():
        methods = {cell.split("|")[0] for cell in re.split("; ", f"{line['own']}; {line['others']}") if "|" in cell}
        assert methods <= set(analysis.METHODS.values()), trend
        if line["claim"]:
            assert line["section"] == claims.at[line["claim"], "section"], trend


@each_statement
def test_a_statement_does_not_misquote_the_paper(trend):
    """The printed numbers make of it what trends.csv says; "does not hold" and "equal in print" stand there openly."""
    line = STATEMENTS.loc[trend]
    difference, word = trends.in_print(line)
    assert word == line["printed"]
    assert math.isnan(difference) == (line["table"] == "")
    assert line["table"] or line["note"], "a statement without printed numbers says why"


def test_statements_against_the_print_are_few_and_known():
    words = STATEMENTS["printed"].value_counts()
    assert words["does not hold"] == 1 and words["equal in print"] == 3 and words["holds"] > 50
    assert STATEMENTS.loc[STATEMENTS["printed"] == "does not hold", "own"].tolist() == ["P|peak"]


def test_every_claim_about_priors_has_a_statement():
    """Those of Sections 2.3 and 7.1 on Tables 1 to 5 that compare methods or correlations."""
    claims = reader.claims()
    kinds = ["best", "worst", "strongest", "rank", "above", "difference"]
    asked = claims[claims["section"].isin(["2.3", "7.1"]) & claims["kind"].isin(kinds)]
    about_classes, original = {"c042", "c043"}, {"c029"}  # on L of the groups; on a number that no table has
    assert set(asked["claim"]) - set(STATEMENTS["claim"]) == about_classes | original


@pytest.mark.parametrize(
    ("table", "kind", "own", "others", "difference"),
    [
        ("1", "above", "P|singleton", "CAM|singleton; OC-CSE|singleton", 69.3 - 58.2),
        ("1", "below", "P|person (group)", "CAM|person (group)", 63.6 - 50.3),
        ("2", "above", "P-NOC+LS|overall μ", "P-OC+LS|overall μ", 63.6 - 61.8),
        ("2", "below", "CAM|peak", "1/2", 100 * (1 / 2 - 2 / 14)),  # the best of E1..E15 is E3
        ("3", "above", "P-OC+LS|tv", "CAM|tv; OC-CSE|tv", 49.8 - 41.5),
        ("3", "stronger", "P|ρ %C", "CAM|ρ %C", 71.0 - 22.9),
        ("3", "between", "OC-CSE|ρ %S", "CAM|ρ %S; P|ρ %S", 51.5 - 48.4),
        ("4", "above", "P-NOC|overall μ", "P|overall μ", 40.7 - 36.8),
        ("5", "above", "P-NOC|overall μ", "CAM|overall μ", None),
    ],
)
def test_printed_differences_by_hand(table, kind, own, others, difference):
    found, _ = trends.in_print(statement(own, others, kind, table).iloc[0])
    if difference is None:
        numbers = paper.table(5).loc["overall"]
        difference = numbers["P-NOC"] - numbers["CAM"]
    assert found == pytest.approx(difference)


def test_a_cell_that_the_paper_has_not_is_refused():
    with pytest.raises(ValueError, match="Table 3 has no such row: got 'zebra'"):
        trends.in_print(statement("P|zebra", "CAM|zebra", table="3").iloc[0])


# verdicts


@pytest.mark.parametrize(
    ("differences", "word"),
    [
        ([2.0, 3.0, 4.0], "holds"),  # mean 3, sd 1
        ([-2.0, -3.0, -4.0], "does not hold"),
        ([1.0, 3.0, -1.0], "within spread"),  # mean 1, sd 2
        ([-1.0, -3.0, 1.0], "within spread"),
        ([1.0, 3.0], "holds"),  # mean 2, sd 1.41; over n it would be 1
        ([0.1, 2.2], "within spread"),  # mean 1.15, sd 1.48; over n the sd would be 1.05
        ([0.5, 0.5], "holds"),  # no spread at all
        ([0.0, 0.0], "equal"),
        ([0.1], "holds"),
        ([-0.1], "does not hold"),
        ([0.0], "equal"),
        ([0.04], "equal"),  # a table with one decimal prints 0.0
        ([-0.04, -0.02], "equal"),
    ],
)
def test_verdict_by_hand(differences, word):
    assert chance.verdict(differences) == word


def test_seeds_are_paired():
    """0.50 - 0.40, 0.60 - 0.52, 0.40 - 0.31: 10, 8 and 9 points; unpaired, the spread would swallow them."""
    measured = runs(
        P=[{"room": 0.50}, {"room": 0.60}, {"room": 0.40}], CAM=[{"room": 0.40}, {"room": 0.52}, {"room": 0.31}]
    )
    line = one(statement(), measured)
    assert line["difference"] == pytest.approx(9) and line["sd"] == pytest.approx(1) and line["seeds"] == 3
    assert line["verdict"] == "holds" and line["by seed"] == "0: +10.0, 1: +8.0, 2: +9.0"
    swapped = one(statement("CAM|room", "P|room"), measured)
    assert swapped["difference"] == pytest.approx(-9) and swapped["verdict"] == "does not hold"


def test_only_seeds_that_all_methods_have_count():
    measured = runs(P=[{"room": 0.5}, {"room": 0.9}], CAM=[{"room": 0.4}])
    line = one(statement(), measured)
    assert line["seeds"] == 1 and math.isnan(line["sd"]) and line["difference"] == pytest.approx(10)
    assert trends.side_by_side(trends.check({"oracle": measured}, statement())).loc[0, "verdict, oracle"] == (
        "holds (one seed)"
    )


@pytest.mark.parametrize(
    ("kind", "own", "others", "difference"),
    [
        ("above", 0.5, (0.2, 0.4), 10),
        ("above", 0.3, (0.2, 0.4), -10),
        ("below", 0.1, (0.2, 0.4), 10),
        ("below", 0.3, (0.2, 0.4), -10),
        ("stronger", -0.7, (0.4, -0.5), 20),
        ("stronger", 0.3, (-0.5, 0.1), -20),
        ("between", 0.25, (0.2, 0.4), 5),
        ("between", 0.5, (0.2, 0.4), -10),
    ],
)
def test_kinds_by_hand(kind, own, others, difference):
    measured = runs(P=[{"room": own}], CAM=[{"room": others[0]}], OC_CSE=[{"room": others[1]}])
    line = one(statement("P|room", "CAM|room; OC-CSE|room", kind), measured)
    assert line["difference"] == pytest.approx(difference)
    assert line["verdict"] == ("holds" if difference > 0 else "does not hold")


def test_a_strategy_that_was_not_run_is_named():
    line = one(statement("P-NOC|room", "CAM|room; P-OC|room"), runs(CAM=[{"room": 0.4}]))
    assert (line["verdict"], line["seeds"], line["note"]) == ("not run", 0, "needs P-OC, P-NOC")
    assert math.isnan(line["difference"])


def test_a_class_that_the_data_have_not_is_told():
    measured = runs(P=[{"room": np.nan}], CAM=[{"sofa": 0.4}])
    line = one(statement(), measured)
    assert (line["verdict"], line["note"]) == ("not measured", "no seed has a value for room")


def test_a_weak_correlation_may_be_chance():
    """At 20 classes |rho| of unrelated columns exceeds 0.44 in one draw of twenty; at 5 classes 0.88."""
    measured = runs(P=[{"ρ %C": -0.4}, {"ρ %C": -0.42}])
    selected = statement("P|ρ %C", "0", "below")
    line = one(selected, measured)
    assert line["verdict"] == "holds" and line["note"] == "|ρ| below 44 may be chance with 20 classes"
    strong = runs(P=[{"ρ %C": -0.6}, {"ρ %C": -0.62}])
    assert one(selected, strong)["note"] == "" and "below 88" in one(selected, strong, classes=5)["note"]


@pytest.mark.parametrize("table", ["2", "3", ""])
def test_a_smoothed_method_is_not_judged_by_a_plain_one(table):
    rows = {"overall μ": 0.5}, {"overall μ": 0.4}
    selected = statement("P-NOC+LS|overall μ", "P-OC+LS|overall μ; CAM|overall μ", table=table)
    plain = one(selected, runs(P_NOC=[rows[0]], P_OC=[rows[1]], CAM=[rows[1]]))
    assert (plain["verdict"], plain["note"]) == ("not run", "needs P-OC+LS, P-NOC+LS")
    half = one(selected, runs(P_NOC=[rows[0]], P_OC_LS=[rows[1]], CAM=[rows[1]]))
    assert (half["verdict"], half["note"]) == ("not run", "needs P-NOC+LS")


def test_the_best_epoch_is_not_asked_of_a_continuation():
    epochs = pd.DataFrame({"epoch": [1, 2, 3], "miou": [0.1, 0.3, 0.2]})
    sweep = pd.DataFrame({"threshold": [0.1], "miou": [0.2]})
    cells = trends.cells(pd.Series({"room": 0.3}), sweep, epochs, continued=True)
    line = one(statement("P|peak", "1/2", "below"), {("P", 0): cells})
    assert (line["verdict"], line["seeds"]) == ("not asked", 0) and "backbone's weights" in line["note"]


@pytest.mark.parametrize(
    ("kind", "others", "constant", "rate"),
    [
        ("above", 1, False, 1 / 2),
        ("above", 4, False, 1 / 5),  # the best of five
        ("below", 4, False, 1 / 5),
        ("stronger", 2, False, 1 / 3),
        ("between", 2, False, 1 / 3),
        ("above", 1, True, 1 / 2),
    ],
)
def test_what_chance_alone_would_make_of_one_seed(kind, others, constant, rate):
    assert chance.of_holding(kind, others, 1, constant=constant) == pytest.approx(rate, abs=0.025)


def test_seeds_make_chance_rarer():
    """A pair of equals with three seeds: t beyond sqrt(3) on one side, 11 of 100; more rivals make it rarer still."""
    pair = chance.of_holding("above", 1, 3)
    assert pair == pytest.approx(0.113, abs=0.02)
    assert chance.of_holding("above", 4, 3) < pair / 4
    assert math.isnan(chance.of_holding("above", 1, 0))
    measured = runs(P=[{"room": 0.5}], CAM=[{"room": 0.4}])
    checked = trends.check({"oracle": measured}, statement())
    assert checked["by chance"].tolist() == [chance.of_holding("above", 1, 1)]
    assert trends.counts(checked)["would hold by chance"].tolist() == checked["by chance"].tolist()


# the whole


def everything(seeds=2):
    """Runs of all methods in which every statement but those that contradict each other could come out."""
    rows = {
        cell.split("|")[1]
        for text in STATEMENTS[["own", "others"]].to_numpy().ravel()
        for cell in text.split("; ")
        if "|" in cell
    }
    draws = np.random.default_rng(0)
    return {
        (method, seed): pd.Series({row: draws.random() for row in sorted(rows)})
        for method in analysis.METHODS.values()
        for seed in range(seeds)
    }


def test_all_statements_can_be_checked():
    measured = {"oracle": everything(), "fixed": everything(1)}
    for dataset in ("voc", "coco14"):
        lines = trends.check(measured, trends.statements(dataset))
        assert trends.was_run(lines).all() and len(lines) == 2 * len(trends.statements(dataset))
        assert set(lines["verdict"]) <= {"holds", "equal", "within spread", "does not hold"}
        counts = trends.counts(lines)
        assert counts.drop(columns="would hold by chance").to_numpy().sum() == len(lines)
        assert counts["would hold by chance"].between(0.1, len(lines)).all()
        text = trends.style(lines).to_html()
        assert "(one seed)" in text and "✓" in text and "✗" in text


def test_nothing_run_says_so():
    lines = trends.check({"oracle": {}, "fixed": {}})
    assert set(lines["verdict"]) == {"not run"} and not trends.was_run(lines).any()
    assert trends.side_by_side(lines)["oracle"].eq("").all()
    assert "not run" in trends.style(lines).to_html()


def test_one_line_a_statement_with_both_thresholds():
    high, low = {"room": 0.5}, {"room": 0.4}
    lines = trends.check(
        {"oracle": runs(P=[high, high], CAM=[low, low]), "fixed": runs(P=[low, low], CAM=[high, high])}, statement()
    )
    (line,) = trends.side_by_side(lines).to_dict("records")
    assert (line["oracle"], line["verdict, oracle"]) == ("+10.0 ± 0.0", "holds")
    assert (line["fixed"], line["verdict, fixed"]) == ("-10.0 ± 0.0", "does not hold")
    assert (line["paper"], line["in print"]) == ("", "")


def test_cells_of_a_run_by_hand():
    scores = pd.Series({"background": 0.8, "tvmonitor": 0.3, "room": 0.3})
    sweep = pd.DataFrame({"threshold": [0.1, 0.2], "miou": [0.2, 0.4]})
    epochs = pd.DataFrame({"epoch": [1, 2, 3], "miou": [0.1, 0.3, 0.2]})
    cells = trends.cells(scores, sweep, epochs)
    assert cells["tv"] == 0.3 and cells["area"] == pytest.approx(0.3) and cells["peak"] == 0.5
    assert math.isnan(trends.cells(scores, sweep)["peak"])
    assert math.isnan(trends.cells(scores, sweep, epochs[:1])["peak"])
    assert math.isnan(trends.cells(scores, sweep, epochs[["epoch"]])["peak"])


def test_statements_of_table_6_are_about_rows_without_their_backbones():
    def rows(c2am, hinted, pooled):
        names = {
            "C2AM lite0: lite0 P-OC": (c2am, pooled),
            "C2AM-H lite0 [lite0 P-OC]: lite0 P-OC": (hinted, pooled + 1),
        }
        names["C2AM lite0: GT, two classes"] = (99.0, 99.0)
        lines = [
            (row, column, v) for row, values in names.items() for column, v in zip(("P.", "R."), values, strict=True)
        ]
        return pd.DataFrame(lines, columns=["row", "column", "value"])

    measured = trends.saliency_cells({0: rows(50.0, 52.0, 55.0), 1: rows(51.0, 52.0, 50.0)})
    assert set(measured) == {(name, s) for name in ("C2AM: P-OC", "C2AM-H [P-OC]: P-OC") for s in (0, 1)}
    selected = trends.statements(table=6)
    checked = trends.check({"fixed": measured}, selected).set_index("trend")
    assert (checked["in print"] == selected["printed"]).all()
    assert checked.loc["t74", "difference"] == pytest.approx(1.5) and checked.loc["t74", "verdict"] == trends.HOLDS
    assert checked.loc["t78", "by seed"] == "0: +5.0, 1: -1.0" and checked.loc["t78", "verdict"] == trends.WITHIN
    assert checked.loc["t81", "verdict"] == trends.NOT_RUN and "needs C2AM-H [P-NOC+LS]" in checked.loc["t81", "note"]
    assert checked.loc["t76", "verdict"] == trends.NOT_RUN and "+LS" in checked.loc["t76", "note"]
    assert not set(trends.statements().index) & set(selected.index)


def test_statements_of_tables_8_and_9_are_about_rows_of_networks():
    def rows(**scores):
        names = {"full": "DeepLabV3+", "noc": "P-NOC+C2AM-H V3+", "oc": "P-OC V3+"}
        lines = [{"table": 8, "row": names[key], "column": "Val", "value": value} for key, value in scores.items()]
        return pd.DataFrame([*lines, {"table": 10, "row": "DeepLabV3+", "column": "bg", "value": 1.0}])

    measured = trends.segmentation_cells({0: rows(full=60.0, noc=50.0, oc=45.0), 1: rows(full=58.0, noc=51.0, oc=52.0)})
    assert set(measured) == {(n, s) for n in ("DeepLabV3+", "P-NOC+C2AM-H V3+", "P-OC V3+") for s in (0, 1)}
    checked = trends.check({"fixed": measured}, trends.statements(table=8)).set_index("statement")
    assert (checked["in print"] == trends.statements(table=8).set_index("statement")["printed"]).all()
    above = checked.loc["The network of P-NOC and C2AM-H is above that of P-OC, without label smoothing"]
    assert above["difference"] == pytest.approx(2.0)
    assert above["verdict"] == trends.WITHIN and above["by seed"] == "0: +5.0, 1: -1.0"
    best = checked.loc["Masks of P-NOC make the best network of P, P-OC and P-NOC (V3+)"]
    assert best["verdict"] == trends.NOT_RUN and "needs" in best["note"]
    assert trends.in_print(trends.statements(table=9).iloc[0])[0] == pytest.approx(1.7)


def test_statements_of_table_7_are_about_its_rows():
    def rows(plain, salient, **more):
        values = {("P-OC", "VOC12 Train"): plain, ("P-OC +C2AM-H", "VOC12 Train"): salient} | {
            ("P-OC", name): value for name, value in more.items()
        }
        return pd.DataFrame([(*place, value) for place, value in values.items()], columns=["row", "column", "value"])

    measured = trends.affinity_cells({0: rows(40.0, 42.0, gain=-1.0), 1: rows(41.0, 42.5, gain=-2.0)})
    selected = trends.statements(table=7)
    checked = trends.check({"oracle": measured}, selected).set_index("statement")
    assert (checked["in print"] == selected.set_index("statement")["printed"]).all()
    raised = checked.loc["C2AM-H raises P-OC's masks (train)"]
    assert raised["printed"] == pytest.approx(0.4) and raised["difference"] == pytest.approx(1.75)
    assert raised["verdict"] == trends.HOLDS
    assert checked.loc["The walk raises the prior of P-OC (train)", "verdict"] == trends.FAILS
    assert checked.loc["The walk raises the prior of P (train)", "verdict"] == trends.NOT_RUN
    assert not set(trends.statements().index) & set(selected.index)
