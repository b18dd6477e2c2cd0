"""The paper as data: shapes and types of every CSV, the reader, paper beside measured, and how tables are shown."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from pnoc_lib import paper
from pnoc_lib.audit import verdicts
from pnoc_lib.paper import reader, rounding, show

SHAPES = {
    1: (17, 9),
    2: (9, 17),
    3: (38, 14),
    4: (4, 17),
    5: (82, 5),
    6: (15, 7),
    7: (7, 7),
    8: (30, 8),
    9: (14, 7),
    10: (10, 24),
}
CELLS = {1: 116, 2: 144, 3: 334, 4: 64, 5: 328, 6: 28, 7: 15, 8: 60, 9: 14, 10: 220}


@pytest.mark.parametrize("number", SHAPES)
def test_every_table_has_its_shape_and_its_printed_numbers(number):
    text = paper.table(number, printed=True)
    assert text.shape == SHAPES[number]
    assert text.index.is_unique and text.index.name == "row"
    printed = text[reader.number_columns(text)].to_numpy().ravel()
    assert sum(cell != "" for cell in printed) == CELLS[number]
    assert all(re.fullmatch(r"-?\d+(\.\d{1,2})?%?", cell) for cell in printed if cell)


@pytest.mark.parametrize("number", SHAPES)
def test_numbers_are_the_printed_text(number):
    text, values = paper.table(number, printed=True), paper.table(number)
    for column in reader.number_columns(text):
        assert values[column].dtype == np.float64
        assert [math.isnan(value) for value in values[column]] == [cell == "" for cell in text[column]]
    cells = paper.cells(number)
    assert len(cells) == CELLS[number] and set(cells["unit"]) <= {"percent", "count"}
    assert all(float(cell.rstrip("%")) == value for cell, value in zip(cells["printed"], cells["value"], strict=True))
    assert cells.loc[cells["unit"] == "percent", "value"].between(-100, 100).all()


def test_print_keeps_its_decimals():
    assert paper.printed(7, "P-OC", "VOC12 Train") == "73.50"
    assert paper.printed(3, "ρ O", "O") == "100.0" and paper.printed(3, "background", "%S") == "69.5%"
    assert math.isnan(paper.table(3).at["large", "O"]) and paper.printed(3, "large", "O") == ""


def test_unknown_names_are_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"no such table in the paper data: got 11, ask for one of 1, 2, .*10"):
        paper.table(11)
    with pytest.raises(ValueError, match=r"Table 2 has no such row: got 'RS269', ask for one of RS101 CAM"):
        paper.printed(2, "RS269", "TTA")
    with pytest.raises(ValueError, match=r"Table 2 has no such column: got 'E16'"):
        paper.printed(2, "RS269 P", "E16")
    with pytest.raises(ValueError, match="a printed number was expected"):
        rounding.number("7O.2")
    assert list(paper.table_names()) == list(range(1, 11))


def test_class_groups_are_those_of_the_class_rows():
    groups, rows = paper.class_groups(), paper.table(3, printed=True)
    assert len(groups) == 20 and list(groups["label"]) == list(rows.index[1:21])
    for ours, printed in (("size", "Size"), ("frequency", "Freq."), ("group", "Group")):
        assert list(groups[ours]) == list(rows[printed].iloc[1:21])
    assert list(groups["label in Table 10"]) == reader.number_columns(paper.table(10, printed=True))[1:-1]


def test_hyper_parameters_and_newer_methods_have_types_and_sources():
    settings = paper.hyper_parameters()
    assert settings.index.is_unique and settings["value"].notna().all() and (settings["section"] != "").all()
    assert settings.at["delta_noc", "value"] == 0.2 and settings.at["lambda_re end", "value"] == 4
    methods = paper.newer_methods()
    assert methods["method"].is_unique and methods["year"].between(2018, 2026).all()
    assert methods["source"].str.match(r"Tables? [89]( and 9)? of the paper|README of \S+/\S+").all()
    scores = methods[["voc12_val", "voc12_test", "coco14_val"]]
    assert scores.notna().any(axis=1).all() and scores.stack().dropna().between(30, 85).all()


def test_newer_methods_repeat_tables_8_and_9():
    methods = paper.newer_methods().set_index("method")
    val, test, coco = paper.table(8)["Val"], paper.table(8)["Test"], paper.table(9)["Val"]
    for method, row8, row9 in (
        ("P-NOC", "P-NOC+LS+C2AM-H V3+", "P-NOC+C2AM-H V3+"),
        ("AMN", "AMN", "AMN"),
        ("ToCo", "ToCo", "ToCo"),
    ):
        assert list(methods.loc[method, ["voc12_val", "voc12_test", "coco14_val"]]) == [
            val[row8],
            test[row8],
            coco[row9],
        ]
    weak = paper.table(8, printed=True)["Sup."] != "F"
    from_table_8 = methods[methods["source"].str.contains("8")]
    assert sorted(from_table_8["voc12_test"]) == sorted(test[weak])
    assert sorted(methods.loc[methods["source"].str.contains("9 of"), "coco14_val"]) == sorted(coco)


def test_every_pair_of_same_cells_exists():
    for pair in paper.same_cells().itertuples():
        assert paper.printed(pair.table, pair.row, pair.column) and paper.printed(pair.table2, pair.row2, pair.column2)


def test_rounding_is_carried_along():
    halves = [rounding.half_unit(text) for text in ("53.9", "73.50", "19.8%", "84")]
    assert halves == pytest.approx([0.05, 0.005, 0.05, 0.5])
    mean = rounding.propagate(lambda values: values.mean(), [1.0, 2.0, 3.0, 4.0], [0.05] * 4)
    assert mean.value == 2.5 and mean.worst == pytest.approx(0.05) and mean.spread == pytest.approx(0.05 / 3**0.5 / 2)
    exact = rounding.propagate(lambda values: values.mean(), [1.0, 2.0], [0.0, 0.0])
    assert exact.spread == exact.worst == 0


def test_verdicts_by_hand():
    def judged(text, *values, **options):
        return rounding.judge(text, [(str(value), rounding.Estimate(value)) for value in values], **options).verdict

    assert judged("53.9", 53.857) == "agrees"
    assert judged("53.9", 53.96) == "contradicts"
    assert judged("53.9", 53.96, 53.88) == "explained"
    assert judged("", 53.9) == judged("53.9") == judged("53.9", math.nan) == "cannot be checked"
    assert judged("84", 83.6) == "agrees" and judged("84", 83.6, exact=True) == "contradicts"
    assert rounding.judge_repeat("36.40", "36.4").verdict == "agrees"
    assert rounding.judge_repeat("68.2", "68.3").verdict == "contradicts"


# paper beside measured


def measured(**more):
    line = {"row": "person", "column": "CAM", "mean": 0.5, "sd": 0.012, "seeds": 3, "split": "val", "threshold": 0.35}
    return pd.DataFrame([{**line, "chosen_on": "val", "preset": "demo", **more}])


def test_nothing_measured_is_not_run():
    compared = paper.beside(2)
    assert len(compared) == CELLS[2] and set(compared["measured"]) == {"not run"}
    assert compared["difference"].isna().all() and list(compared["published"][:2]) == ["48.7", "48.2"]
    assert paper.settings(compared).empty


def test_measured_fractions_stand_beside_percent():
    line = paper.beside(3, measured()).set_index(["row", "column"]).loc[("person", "CAM")]
    assert line["published"] == "63.6" and line["measured"] == "50.0 ± 1.2"
    assert line["difference"] == pytest.approx(-13.6) and line["mean"] == 50 and line["preset"] == "demo"


def test_a_share_has_its_sign_where_the_paper_prints_none():
    line = {"row": ["cat", "large"], "column": ["%C", "%C"], "mean": [0.15, 0.484]}
    cells = paper.beside(3, pd.DataFrame(line)).set_index(["row", "column"])
    assert cells.at[("large", "%C"), "published"] == ""
    assert cells.at[("cat", "%C"), "measured"].endswith("%") and cells.at[("large", "%C"), "measured"] == "48.4%"


def test_units_names_and_cells_the_paper_lacks():
    runs = pd.concat(
        [
            measured(row="tvmonitor", column="O", mean=83, sd=np.nan),
            measured(row="tvmonitor", column="%S", mean=0.1547, sd=np.nan),
            measured(row="ρ O", column="O", mean=1.0, sd=np.nan),
            measured(row="unicorn"),
        ]
    )
    compared = paper.beside(3, runs).set_index(["row", "column"])
    assert compared.at[("tv", "O"), "measured"] == "83" and compared.at[("tv", "O"), "difference"] == -1
    assert compared.at[("tv", "%S"), "measured"] == "15.5%" and compared.at[("ρ O", "O"), "measured"] == "100.0"
    assert compared.index[-1] == ("unicorn", "CAM") and compared.at[("unicorn", "CAM"), "published"] == ""
    assert len(paper.settings(compared.reset_index())) == 1 and paper.settings(compared.reset_index())["cells"][0] == 4


def test_classes_are_columns_of_table_10():
    line = {"row": "P-NOC V3+", "column": "diningtable", "mean": 0.6}
    compared = paper.beside(10, pd.DataFrame([line])).set_index(["row", "column"])
    assert compared.at[("P-NOC V3+", "table"), "measured"] == "60.0" and len(compared) == CELLS[10]


def test_bad_measurements_are_refused():
    with pytest.raises(ValueError, match=r"measured scores lack mean: got the columns row, column, give"):
        paper.beside(2, pd.DataFrame({"row": [], "column": []}))
    with pytest.raises(ValueError, match=r"1 cells are measured twice: row person, column CAM"):
        paper.beside(3, pd.concat([measured(), measured()]))


def test_notes_repeat_the_audit():
    lines = verdicts.run()
    notes = paper.beside(8, verdicts=lines).set_index(["row", "column"])["note"]
    assert "contradicts (printed twice): Table 10, OC-CSE" in notes[("OC-CSE", "Test")]
    assert "72.4% -> 73.5%" in notes[("P-NOC+LS+C2AM-H V3+", "Test")] and notes[("SEAM", "Val")] == ""


def test_export_writes_csv_and_latex(tmp_path):
    compared = paper.beside(3, measured())
    csv, tex = show.export(compared, tmp_path / "table03_groups", caption="Classes & groups")
    assert list(pd.read_csv(csv)["row"].unique()) == list(paper.table(3).index)
    text = tex.read_text(encoding="utf-8")
    assert r"\toprule" in text and r"50.0 $\pm$ 1.2" in text and r"69.5\%" in text and r"$\rho$ O" in text
    assert text.isascii()
