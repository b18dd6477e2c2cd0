"""What was run beside the paper: rows collected from finished stages, tables in the paper's shape, figures."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from pnoc_lib import paper
from pnoc_lib.audit import show as audit_show
from pnoc_lib.audit import verdicts
from pnoc_lib.paper import collect, grids, plots, reader
from pnoc_lib.runs import start as begun


def finish(folder, stage, *, metrics=None, **parameters):
    """A finished stage: its folder with a manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"dataset": "voc", "eval_split": "train", **parameters}
    manifest = {"stage": stage, "parameters": given, "metrics": metrics or {}, "duration_s": 60, "device": "cpu"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def scores(folder, column="CAM", shift=0.0, rows=None):
    """measured-table03.csv as 03_analyse_priors leaves it: the printed column, `shift` percent points away."""
    names = {label: name for name, label in paper.class_groups()["label"].items()}
    printed = paper.table(3)[column]
    lines = [
        {"row": names.get(row, row), "column": column, "mean": (printed[row] + shift) / 100, "sd": 0.01, "seeds": 2}
        for row in (printed.index if rows is None else rows)
    ]
    settings = {"threshold": 0.35, "split": "VOC2012 train", "chosen_on": "train", "preset": "voc12"}
    pd.DataFrame(lines).assign(**settings).to_csv(folder / "measured-table03.csv", index=False)


def train(root, strategy, seed, miou, **parameters):
    given = {"backbone": "resnest269e", "strategy": strategy, "seed": seed, "estimate_images": 50, **parameters}
    folder = finish(root / "01_train_priors" / f"{strategy}-s{seed}", "01_train_priors", **given)
    epochs = range(1, len(miou) + 1)
    pd.DataFrame({"epoch": epochs, "loss": 0.1, "miou": miou, "threshold": 0.2}).to_csv(
        folder / "epochs.csv", index=False
    )


@pytest.fixture
def runs(tmp_path):
    """Two seeds of CAM, one of P-NOC with label smoothing, the analysis, and class properties."""
    root = tmp_path / "runs" / "voc12"
    table = paper.table(3).iloc[:21]
    names = {label: name for name, label in paper.class_groups()["label"].items()}
    shares = {"relative_size": table["%S"] / 100, "cooccurrence": table["%C"] / 100}
    properties = pd.DataFrame({"occurrence": table["O"], **shares, "cardinality": table["L"]}).rename(index=names)
    data = finish(root / "00_data", "00_data", metrics={"images": {"train": 1464}})
    properties.rename_axis("class").to_csv(data / "properties.csv")
    train(root, "cam", 0, [0.50, 0.52])
    train(root, "cam", 1, [0.48, 0.50])
    train(root, "p-noc", 0, [0.60], label_smoothing=0.1)
    scores(finish(root / "03_analyse_priors", "03_analyse_priors"), shift=-2.0)
    return tmp_path / "runs"


def cell(measured, number, row, column):
    (line,) = measured[number].query("row == @row and column == @column").to_dict("records")
    return line


def test_from_nothing(tmp_path):
    assert collect.finished(tmp_path / "nowhere") == [] and collect.measured([]) == {}
    assert collect.overview([]).empty and list(collect.counts({}).columns) == ["title", "data", "printed"]
    assert set(collect.beside(2, None)[""]["measured"]) == {"not run"}


def test_only_finished_stages_count(runs):
    (runs / "voc12" / "03_analyse_priors" / "manifest.json").unlink()
    found = collect.finished(runs)
    assert [one.stage for one in found] == ["00_data"] + 3 * ["01_train_priors"]
    assert cell(collect.measured(found), 3, "tvmonitor", "O")["mean"] == 84
    assert "CAM" not in set(collect.measured(found)[3]["column"])


def test_an_unknown_experiment_is_refused(runs):
    assert len(collect.finished(runs, ["voc12"])) == 5
    with pytest.raises(FileNotFoundError, match=r"no experiment voc in .*: there are voc12"):
        collect.finished(runs, ["voc"])


def test_epochs_are_averaged_over_seeds(runs):
    measured = collect.measured(collect.finished(runs))
    second = cell(measured, 2, "RS269 CAM", "E2")
    assert second["mean"] == pytest.approx(0.51) and second["sd"] == pytest.approx(np.std([0.52, 0.50], ddof=1))
    assert second["seeds"] == 2 and second["split"] == "voc train, 50 images at most" and second["chosen_on"] == "train"
    one = cell(measured, 2, "RS269 P-NOC+LS", "E1")
    assert one["seeds"] == 1 and np.isnan(one["sd"])


def test_table_1_and_augmentation_follow_from_table_3(runs):
    measured = collect.measured(collect.finished(runs))
    assert cell(measured, 2, "RS269 CAM", "TTA")["mean"] == pytest.approx(0.519)
    for row in ("Overall", "Background", "Person", "Low freq.", "Room", "ρ %S"):
        printed = paper.table(1).at[row, "CAM"]
        assert cell(measured, 1, row, "CAM")["mean"] == pytest.approx((printed - 2) / 100), row
    compared = collect.beside(1, measured[1])["voc12"]
    cam = compared[(compared["column"] == "CAM")]
    assert np.allclose(cam["difference"], -2) and set(cam["measured"]).isdisjoint({"not run"})


def test_class_properties_come_out_as_printed(runs):
    compared = collect.beside(3, collect.measured(collect.finished(runs))[3])["voc12"]
    known = compared[compared["column"].isin(["O", "%S", "%C", "L"]) & (compared["published"] != "")]
    assert set(known["measured"]).isdisjoint({"not run"})
    spread = known[known["row"] == "overall σ"].set_index("column")["measured"]
    assert spread["%S"] == "6.7%" and spread["O"] == "82.0"
    groups = known[known["row"].isin(["small", "low freq.", "person (group)", "singleton"])]
    assert len(groups) == 16 and groups["difference"].abs().max() < 0.07


@pytest.mark.parametrize(
    ("strategy", "backbone", "smoothing", "row"),
    [
        ("cam", "resnest101e", 0.1, "RS101 CAM"),
        ("puzzle", "resnest269e", 0.0, "RS269 P"),
        ("p-oc", "resnest269e", 0.1, "RS269 P-OC+LS"),
        ("p-oc", "resnest269e", 0.0, "RS269 P-OC"),
        ("cam", "tf_efficientnet_lite0", 0.0, "tf_efficientnet_lite0 CAM"),
        ("p-oc", "resnest269e", None, "RS269 P-OC"),
        ("p-noc-ls", "resnest269e", None, "RS269 P-NOC+LS"),
        ("p-noc-ls", "resnest269e", 0.1, "RS269 P-NOC+LS"),
    ],
)
def test_rows_of_table_2_are_named_as_printed(strategy, backbone, smoothing, row):
    assert collect.model_name({"strategy": strategy, "backbone": backbone, "label_smoothing": smoothing}) == row
    assert (row in paper.table(2).index) == row.startswith("RS")


def test_a_manifest_may_say_nothing_of_smoothing():
    assert collect.model_name({"strategy": "p-oc-ls", "backbone": "resnest101e"}) == "RS101 P-OC+LS"
    assert collect.model_name({"strategy": "puzzle", "backbone": "resnest101e"}) == "RS101 P"


def test_several_strategies_fill_the_tables(tmp_path):
    """Columns of Table 3 find the row of Table 2 that they belong to: POC is P-OC with label smoothing."""
    root = tmp_path / "voc12"
    for strategy in ("oc-cse", "p-oc", "p-oc-ls", "noc-cse"):
        for seed in (0, 1):
            train(root, strategy, seed, [0.5, 0.6], label_smoothing=None, augment="")
    folder = finish(root / "03_analyse_priors", "03_analyse_priors")
    parts = {"CSE": 0.56, "P-OC": 0.61, "POC": 0.62, "NOC-CSE": 0.57}
    rows = [{"row": "overall μ", "column": column, "mean": mean, "seeds": 2} for column, mean in parts.items()]
    pd.DataFrame(rows).to_csv(folder / "measured-table03.csv", index=False)
    measured = collect.measured(collect.finished(tmp_path))
    for row, mean in {"OC-CSE": 0.56, "P-OC": 0.61, "P-OC+LS": 0.62, "NOC-CSE": 0.57}.items():
        assert cell(measured, 2, f"RS269 {row}", "TTA")["mean"] == mean
        assert cell(measured, 2, f"RS269 {row}", "E2")["seeds"] == 2
    compared = collect.beside(2, measured[2])["voc12"].set_index(["row", "column"])
    assert compared.at[("RS269 P-OC+LS", "TTA"), "published"] == "61.8"
    assert compared.at[("RS269 OC-CSE", "TTA"), "published"] == ""  # measured, and no row of the paper's table
    assert compared.at[("RS269 P-NOC", "TTA"), "measured"] == "not run"
    assert cell(measured, 1, "Overall", "CSE")["mean"] == 0.56
    three = collect.beside(3, measured[3])["voc12"].set_index(["row", "column"])
    assert three.at[("overall μ", "POC"), "measured"] == "62.0" and three.at[("overall μ", "P-OC"), "published"] == ""


def test_strategies_are_called_by_what_was_trained(tmp_path):
    train(tmp_path / "x", "p-oc", 0, [0.5], label_smoothing=0.1)
    train(tmp_path / "x", "cam", 0, [0.5], label_smoothing=None)
    trained = collect.trainings(collect.finished(tmp_path))
    assert sorted(trained) == [("cam", 0), ("p-oc", 0)]
    names = collect.method_names(["cam", "p-oc", "p-noc"], trained)
    assert names == {"cam": "CAM", "p-oc": "P-OC+LS", "p-noc": "P-NOC"}
    with pytest.raises(ValueError, match=r"p-oc and p-oc-ls were trained as one and the same, P-OC\+LS: name one"):
        collect.method_names(["p-oc", "p-oc-ls"], trained)


def test_coco_fills_tables_4_and_5(tmp_path):
    root = tmp_path / "coco14"
    train(root, "cam", 0, [0.3], dataset="coco14", eval_split="val2014")
    train(root, "p-noc", 0, [0.4], dataset="coco14", eval_split="val2014")
    folder = finish(root / "03_analyse_priors", "03_analyse_priors", dataset="coco14", eval_split="val2014")
    lines = [("zebra", 0.6), ("overall μ", 0.34), ("small", 0.1)]
    rows = [{"row": row, "column": "CAM", "mean": mean, "seeds": 1} for row, mean in lines]
    rows.append({"row": "overall μ", "column": "P-NOC", "mean": 0.41, "seeds": 1})
    pd.DataFrame(rows).to_csv(folder / "measured-table03.csv", index=False)
    measured = collect.measured(collect.finished(tmp_path))
    assert sorted(measured) == [4, 5] and list(measured[5]["row"]) == ["zebra", "overall", "overall"]
    assert cell(measured, 4, "RS269 P-NOC", "TTA")["mean"] == 0.41
    assert "not run" not in collect.beside(5, measured[5])["coco14"].query("row == 'overall'")["measured"].tolist()[::3]
    assert cell(measured, 4, "RS269 CAM", "TTA")["mean"] == 0.34 and cell(measured, 4, "RS269 CAM", "E1")["mean"] == 0.3


def test_rows_of_tables_are_gathered_over_the_seeds(tmp_path):
    row = {"table": 7, "row": "P-OC", "column": "VOC12 Val", "split": "val", "threshold": 0.4, "images": 9}
    row |= {"chosen_on": "oracle", "note": ""}
    for seed, value in enumerate((70.0, 72.0)):
        folder = tmp_path / "runs/x/05_affinity" / f"best-s{seed}"
        stage = begun(folder, {"dataset": "voc", "seed": seed, "run": "best"}, notebook="05_affinity")
        stage.finish(rows=[row | {"value": value}, row | {"row": "mine", "value": value}])
    measured = collect.measured(collect.finished(tmp_path / "runs"))
    beside = collect.beside(7, measured[7])["x"].set_index(["row", "column"])
    assert beside.at[("mine", "VOC12 Val"), "measured"] == "71.0 ± 1.4" and beside.index[-1] == ("mine", "VOC12 Val")
    line = beside.loc[("P-OC", "VOC12 Val")]
    assert (line["published"], line["measured"]) == ("72.08", "71.00 ± 1.41")
    assert (line["seeds"], line["split"], line["threshold"], line["chosen_on"]) == (2, "voc val", 0.4, "oracle")


def test_a_fixed_threshold_beside_an_oracle_is_a_row_of_its_own(tmp_path):
    row = {"table": 7, "row": "P-OC", "column": "VOC12 Val", "split": "val", "images": 9, "note": ""}
    for seed in (0, 1):
        stage = begun(tmp_path / f"x/05_affinity/a-s{seed}", {"dataset": "voc", "seed": seed}, notebook="05_affinity")
        fixed = row | {"threshold": 0.3, "chosen_on": "fixed", "value": 70.0 + seed}
        stage.finish(rows=[fixed, row | {"threshold": 0.4, "chosen_on": "oracle", "value": 74.0 + seed}])
    lines = collect.measured(collect.finished(tmp_path))[7].set_index("row")
    assert lines.loc["P-OC", ["mean", "seeds", "chosen_on"]].tolist() == [0.745, 2, "oracle"]
    own = lines.loc["P-OC (threshold 0.3)"]
    assert own[["mean", "seeds", "chosen_on"]].tolist() == [0.705, 2, "fixed"]


def test_experiments_stand_apart_and_are_counted(runs):
    other = runs / "animals"
    scores(finish(other / "03_analyse_priors", "03_analyse_priors"), rows=["cat", "dog"])
    measured = collect.measured(collect.finished(runs))
    assert list(collect.beside(3, measured[3])) == ["animals", "voc12"]
    counts = collect.counts(measured)
    assert counts.loc[3, "animals"] == 2 and counts.loc[1, "animals"] == 0 and counts.loc[2, "voc12"] == 4
    assert (counts["voc12"] <= counts["printed"]).all() and list(counts.index) == list(range(1, 11))
    lines = collect.overview(collect.finished(runs)).set_index(["experiment", "stage"])
    assert lines.at[("voc12", "01_train_priors"), "runs"] == "cam-s0, cam-s1, p-noc-s0"
    assert lines.at[("voc12", "01_train_priors"), "minutes"] == 3


# in the shape of the paper


def test_grid_shows_measured_below_published(runs):
    measured = collect.measured(collect.finished(runs))
    page = grids.beside(3, collect.beside(3, measured[3])["voc12"]).to_html()
    assert "53.9<br><b>51.9</b><small>&nbsp;±&nbsp;1.0</small> <small>▼&thinsp;-2.0</small>" in page
    assert page.count("<i>not run</i>") == 4 and "PNOC<br><i>not run</i>" in page  # the other methods, once each
    heads = [page.index(f">{name}") for name in ("O<", "%S<", "CAM<", "CSE<")]
    assert heads == sorted(heads)
    second = grids.beside(2, collect.beside(2, measured[2])["voc12"]).to_html()
    assert "RS101 CAM <i>not run</i>" in second and "E9<br><i>not run</i>" in second
    assert (
        "49.3<br><i>not run</i>" not in second
    )  # E3 was reached by nobody: the row has fewer epochs, no heading says so


def test_grid_of_nothing_says_so_once():
    page = grids.beside(7, paper.beside(7)).to_html()
    assert page.count("not run") == 1 and "73.50" in page


def test_other_experiments_are_folded(runs):
    scores(finish(runs / "animals" / "03_analyse_priors", "03_analyse_priors"), rows=["cat"])
    parts = collect.beside(3, collect.measured(collect.finished(runs))[3])
    page = grids.experiments(3, parts, first="voc12").data
    assert page.index("Table 3: voc12") < page.index("Table 3: animals")
    assert page.count("<details open>") == 1 and "VOC2012 train" in page
    assert "<details open>" not in grids.experiments(6, collect.beside(6, None)).data


@pytest.fixture(scope="module")
def lines():
    return verdicts.run()


def test_every_printed_cell_has_its_verdict(lines):
    cells = verdicts.cell_verdicts(3, lines).set_index(["row", "column"])
    assert cells.at[("tv", "O"), "verdict"] == "contradicts" and cells.at[("singleton", "P"), "verdict"] == "explained"
    assert cells.at[("overall μ", "P"), "verdict"] == "agrees" and ("bike", "CAM") not in cells.index
    assert cells.at[("cat", "%S"), "verdict"] == "cannot be checked"
    claim = verdicts.cell_verdicts(4, lines).set_index(["row", "column"]).loc[("RS269 P", "TTA")]
    assert claim["text"] and "3.9 p.p." in claim["why"]
    only_text = verdicts.cell_verdicts(9, lines).set_index(["row", "column"])
    assert only_text.at[("OC-CSE", "Val"), "verdict"] == "agrees" and only_text.at[("OC-CSE", "Val"), "text"]


def test_verdicts_are_shown_in_the_printed_table(lines):
    page = audit_show.printed(3, lines).to_html()
    assert "84 <small>✗</small>" in page and "63.5 <small>≈</small>" in page and "no count out of 84 images" in page
    book = paper.tables()
    book[3] = book[3].copy()
    book[3].at["room", "POC"] = "<b>47.9"
    assert "&lt;b&gt;47.9" in audit_show.printed(3, lines, book[3]).to_html()
    for number in reader.table_names():
        assert paper.title(number) in audit_show.printed(number, lines).to_html()


def test_rules_recipes_and_findings_are_told_in_words(lines):
    rules = verdicts.by_rule(lines)
    assert rules[["agrees", "explained", "contradicts", "cannot be checked"]].to_numpy().sum() == len(lines)
    assert rules.index[0] == "two prints" and rules.at["whole images", "example"].startswith("Table 3, tv, O: 84")
    recipes = verdicts.recipes(lines)
    assert recipes["times"].sum() == (lines["verdict"] == "explained").sum()
    assert (
        recipes.loc[0, "explanation"].startswith("mean of the 7 members")
        and "Table 1, Singleton, O" in recipes["cells"][0]
    )
    page = audit_show.findings(verdicts.findings(lines)).to_html()
    assert "Section 7.4: “a 1.1 p.p. improvement" in page and page.index("Table 4, RS269 CAM, TTA") < page.index(
        "tv, O"
    )
    assert "63.6" not in audit_show.rules(rules).to_html() and "✗" in audit_show.legend().data
    assert "&lt;&gt;" in grids.fold({"<>": "nothing"}).data


# figures


def test_methods_by_year_are_all_there_and_labels_keep_clear():
    methods = paper.newer_methods()
    fig = plots.by_year(methods)
    fig.canvas.draw()
    for axis, score in zip(fig.axes, plots.SCORES, strict=True):
        names = Counter(
            plots._label(m, e) for m, e in methods.loc[methods[score].notna(), ["method", "extra"]].to_numpy()
        )
        assert Counter(text.get_text() for text in axis.texts) == names
        boxes = [text.get_window_extent() for text in axis.texts]
        clear = 1.5  # pixels of the boxes that hold no ink
        for i, one in enumerate(boxes):
            for other in boxes[i + 1 :]:
                across = min(one.x1, other.x1) - max(one.x0, other.x0)
                assert across <= 0 or min(one.y1, other.y1) - max(one.y0, other.y0) <= clear
    with pytest.raises(ValueError, match="no marker for a crystal ball: known are saliency"):
        plots.by_year(methods.assign(extra="a crystal ball"))


def test_labels_move_as_little_as_possible():
    assert plots._apart(np.array([1.0, 5.0]), 2.0).tolist() == [1.0, 5.0]
    assert plots._apart(np.array([1.0, 1.0, 9.0]), 2.0).tolist() == [0.0, 2.0, 9.0]
    assert plots._lanes(np.array([1.0, 1.5, 4.0]), 2.0) == [0, 1, 0]


def test_standing_by_hand():
    rows = [("A", 2020, 60.0, ""), ("P-NOC", 2023, 70.0, ""), ("B", 2023, 75.0, "CLIP"), ("C", 2024, 72.5, "")]
    methods = pd.DataFrame(rows, columns=["method", "year", "voc12_val", "extra"])
    methods = methods.assign(voc12_test=methods["voc12_val"], coco14_val=methods["voc12_val"])
    line = paper.standing(methods).loc["voc12_val"]
    assert list(line)[:4] == [70.0, "1 of 2", "2 of 3", "3 of 4"]
    assert line["best, no extra"] == "C (2024), +2.5" and line["best, all"] == "B (2023), +5.0"
    with pytest.raises(ValueError, match="no such method: got 'D', use one of A, P-NOC"):
        paper.standing(methods, "D")


def test_classes_published_against_measured(runs):
    fig = plots.classes(collect.beside(3, collect.measured(collect.finished(runs))[3]))
    assert [axis.get_title() for axis in fig.axes] == [
        "voc12, CAM\n+1.00 over 20 classes, the paper's order, is\nmore than chance (limit 0.45)"
    ]
    points = fig.axes[0].collections[0].get_offsets()
    assert len(points) == 20 and np.allclose(points[:, 0] - points[:, 1], 2)
    assert plots.classes(collect.beside(3, None)) is None


def test_contradictions_lie_outside_the_band(lines):
    fig = audit_show.differences(lines)
    inside, outside = [], []
    for dots in fig.axes[0].collections:
        ratios = np.abs(np.asarray(dots.get_offsets())[:, 0])
        red = np.allclose(dots.get_facecolor()[0][:3], to_rgb(audit_show.VERDICT_MARKS["contradicts"][1]))
        (outside if red else inside).extend(ratios)
    assert max(inside) <= 1 + 1e-9 and min(outside) > 1 and len(outside) == 7
