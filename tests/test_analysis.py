"""Class properties, groups and correlations: small examples by hand, and Table 3 from the real masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pnoc_lib import paper
from pnoc_lib.data.images import Masks
from pnoc_lib.data.voc import VOC_CLASSES, read_masks
from pnoc_lib.evaluation import analysis
from pnoc_lib.priors import strategies

REAL_MASKS = Path(__file__).resolve().parents[2] / "shared" / "voc12-train-masks"

# Table 3 as printed: semantic group, size, frequency, O, %S, %C, L, then the IoU of CAM, CSE, P, POC, PNOC
METHODS = ("CAM", "CSE", "P", "POC", "PNOC")
CLASSES = {
    "aeroplane": ("singleton", "small", "mid", 88, 11.8, 9.1, 1.1, 47.5, 53.6, 61.4, 62.3, 58.2),
    "bicycle": ("traffic", "small", "low", 65, 6.4, 76.9, 2.2, 32.2, 34.7, 38.6, 45.0, 42.8),
    "bird": ("singleton", "small", "high", 105, 11.8, 11.4, 1.2, 49.5, 51.5, 71.4, 62.8, 71.8),
    "boat": ("singleton", "small", "low", 78, 10.8, 32.1, 1.4, 40.8, 35.4, 51.3, 43.9, 49.5),
    "bottle": ("room", "small", "mid", 87, 9.5, 70.1, 2.3, 49.0, 60.8, 56.0, 65.9, 64.5),
    "bus": ("traffic", "large", "low", 78, 31.5, 51.3, 1.7, 72.1, 65.9, 78.4, 75.1, 80.6),
    "car": ("traffic", "mid", "high", 128, 15.5, 61.7, 1.9, 62.6, 63.3, 70.4, 74.6, 74.4),
    "cat": ("singleton", "large", "high", 131, 28.6, 26.0, 1.3, 54.8, 78.4, 83.7, 79.8, 83.6),
    "chair": ("room", "small", "high", 148, 10.6, 87.8, 2.4, 30.7, 24.0, 27.2, 23.1, 28.9),
    "cow": ("singleton", "mid", "low", 64, 18.0, 29.7, 1.4, 55.1, 68.2, 73.6, 70.6, 69.0),
    "diningtable": ("room", "large", "mid", 82, 22.5, 95.1, 2.6, 52.5, 46.3, 39.2, 51.0, 52.2),
    "dog": ("animal", "large", "high", 121, 19.8, 38.0, 1.5, 61.3, 61.2, 80.8, 76.9, 79.5),
    "horse": ("animal", "large", "low", 68, 19.1, 47.1, 1.6, 55.9, 68.9, 69.0, 69.8, 70.3),
    "motorbike": ("traffic", "large", "mid", 81, 19.6, 56.8, 1.7, 67.8, 68.3, 73.2, 76.6, 75.9),
    "person": ("person", "mid", "high", 442, 15.2, 83.0, 2.1, 63.6, 63.8, 50.3, 70.2, 70.2),
    "pottedplant": ("room", "small", "mid", 82, 11.2, 63.4, 2.1, 46.8, 42.5, 56.3, 57.2, 56.1),
    "sheep": ("singleton", "large", "low", 63, 19.7, 19.0, 1.3, 55.3, 75.0, 75.9, 73.9, 73.6),
    "sofa": ("room", "large", "mid", 93, 21.6, 80.6, 2.4, 50.0, 45.3, 35.5, 34.8, 43.6),
    "train": ("singleton", "large", "mid", 83, 26.6, 20.5, 1.2, 63.9, 45.5, 68.2, 50.9, 68.0),
    "tvmonitor": ("room", "mid", "mid", 84, 15.5, 65.1, 2.1, 38.6, 41.5, 33.8, 49.8, 37.2),
}
BACKGROUND = (69.5, 81.0, 82.2, 86.0, 85.6, 86.8)  # %S, then the IoU
OTHERS = {  # O, %S, %C, L, then the IoU
    ("overall", "overall mean"): (108.6, 19.8, 51.2, 1.8, 53.9, 56.0, 61.0, 61.9, 63.7),
    ("overall", "overall sigma"): (82.0, 6.7, 26.8, 0.5, 11.2, 14.9, 17.4, 15.7, 15.6),
    ("size", "small"): (93.3, 10.3, 50.1, 1.8, 42.4, 43.2, 51.7, 51.5, 53.1),
    ("size", "mid"): (179.5, 16.1, 59.9, 1.9, 55.0, 59.2, 57.0, 66.3, 62.7),
    ("size", "large"): (88.9, 23.2, 48.3, 1.7, 59.3, 61.6, 67.1, 65.4, 69.7),
    ("frequency", "low freq."): (69.3, 17.6, 42.7, 1.6, 51.9, 58.0, 64.5, 63.0, 64.3),
    ("frequency", "mid freq."): (85.0, 17.3, 57.6, 1.9, 52.0, 50.5, 52.9, 56.1, 57.0),
    ("frequency", "high freq."): (179.2, 16.9, 51.3, 1.7, 53.8, 57.0, 64.0, 64.6, 68.1),
    ("semantic", "singleton"): (87.4, 18.2, 21.1, 1.3, 52.4, 58.2, 69.3, 63.5, 67.7),
    ("semantic", "person"): (442.0, 15.2, 83.0, 2.1, 63.6, 63.8, 50.3, 70.2, 70.2),
    ("semantic", "animal"): (94.5, 19.5, 42.5, 1.5, 58.6, 65.0, 74.9, 73.3, 74.9),
    ("semantic", "room"): (96.0, 15.2, 77.0, 2.3, 44.6, 43.4, 41.3, 47.0, 47.1),
    ("semantic", "traffic"): (88.0, 18.3, 61.7, 1.9, 58.7, 58.0, 65.1, 67.8, 68.4),
    ("correlation", "rho O"): (100.0, -6.5, 30.0, 20.4, 19.9, 10.4, -12.8, 10.7, 10.7),
    ("correlation", "rho %S"): (-6.5, 100.0, -18.0, -23.4, 70.3, 51.5, 48.4, 38.3, 53.1),
    ("correlation", "rho %C"): (30.0, -18.0, 100.0, 97.6, -22.9, -38.4, -71.0, -42.9, -51.4),
    ("correlation", "rho L"): (20.4, -23.4, 97.6, 100.0, -32.9, -44.5, -75.8, -49.7, -58.2),
}
PROPERTIES = ("O", "%S", "%C", "L")


def printed_ious():
    return {
        method: pd.Series({"background": BACKGROUND[1 + i], **{name: row[7 + i] for name, row in CLASSES.items()}})
        / 100
        for i, method in enumerate(METHODS)
    }


def masks_of(arrays, classes=("cat", "dog", "sofa")):
    ids = tuple(f"im{index}" for index in range(len(arrays)))
    return Masks(classes, ids, tuple(arrays), lambda values: np.array(values, dtype=np.uint8))


@pytest.fixture
def three_masks():
    """10, 4 and 2 pixels: cat with void, cat and dog without background, background only."""
    return masks_of([[[0, 0, 0, 1, 1], [0, 0, 255, 255, 1]], [[1, 2], [2, 2]], [[0, 0]]])


def test_pixel_counts_by_hand(three_masks, capsys):
    counts = analysis.pixel_counts(three_masks)
    assert counts.columns.tolist() == ["background", "cat", "dog", "sofa", "void", "size"]
    assert counts.loc["im0"].tolist() == [5, 3, 0, 0, 2, 10]
    assert counts.loc["im1"].tolist() == [0, 1, 3, 0, 0, 4]
    assert counts.loc["im2"].tolist() == [2, 0, 0, 0, 0, 2]
    assert counts.index.name == "id"
    assert "count pixels: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [1, 4])
def test_workers_and_progress_change_nothing(three_masks, workers, capsys):
    first = analysis.pixel_counts(three_masks, workers=workers, progress=False)
    pd.testing.assert_frame_equal(first, analysis.pixel_counts(three_masks))
    assert analysis.pixel_counts(masks_of([]), progress=False).shape == (0, 6)


def test_what_pixel_counts_refuses():
    with pytest.raises(ValueError, match=r"1 problem in the data:\s+mask of im1 holds index 40, .* 1\.\.3"):
        analysis.pixel_counts(masks_of([[[0]], [[40]]]), progress=False)
    with pytest.raises(ValueError, match="no class may be called background, void or size, got cat, size: rename it"):
        analysis.pixel_counts(masks_of([[[0]]], classes=("cat", "size")), progress=False)


def test_class_properties_by_hand(three_masks):
    properties = analysis.class_properties(analysis.pixel_counts(three_masks, progress=False))
    assert properties.columns.tolist() == ["occurrence", "relative_size", "cooccurrence", "cardinality"]
    assert properties.index.tolist() == ["background", "cat", "dog", "sofa"]
    assert properties.loc["cat"].tolist() == pytest.approx([2, 4 / 14, 1 / 2, 1.5])
    assert properties.loc["dog"].tolist() == pytest.approx([1, 3 / 4, 1, 2])
    assert properties.loc["background", "relative_size"] == pytest.approx(7 / 12)  # image 1 owns no background
    assert properties.loc["background"].drop("relative_size").isna().all()
    assert properties.loc["sofa", "occurrence"] == 0 and properties.loc["sofa"].drop("occurrence").isna().all()


def test_no_mask_has_no_properties():
    with pytest.raises(ValueError, match="give pixel_counts of at least one mask"):
        analysis.class_properties(analysis.pixel_counts(masks_of([]), progress=False))


def test_cooccurrence_by_hand(three_masks):
    labels = analysis.label_sets(analysis.pixel_counts(three_masks, progress=False))
    assert analysis.class_cooccurrence(labels).tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    many = np.ones((300, 2), dtype=np.uint8)  # more images than a uint8 counts
    assert analysis.class_cooccurrence(many).tolist() == [[300, 300], [300, 300]]
    with pytest.raises(ValueError, match="labels must be"):
        analysis.class_cooccurrence(np.array([[0, 2]]))


def small_properties(**columns):
    index = pd.Index(["background", "a", "b", "c", "d"], name="class")
    table = pd.DataFrame(
        {
            "occurrence": [np.nan, 4, 8, 12, 0],
            "relative_size": [0.7, 0.1, 0.135, 0.3, np.nan],
            "cooccurrence": [np.nan, 0.2, 0.4, 0.6, np.nan],
            "cardinality": [np.nan, 1.0, 1.0, 1.0, np.nan],
        },
        index=index,
    )
    return table.assign(**columns)


def test_groups_by_hand():
    groups = analysis.class_groups(small_properties(), images=100, frequency_cuts=[0.08, 0.11])
    assert groups == {
        "size": {"small": ("a",), "mid": ("b",), "large": ("c",)},
        "frequency": {"low": ("a",), "mid": ("b",), "high": ("c",)},  # a cut belongs to the group above it
    }
    assert analysis.class_groups(small_properties(), images=10)["frequency"] == {"high": ("a", "b", "c")}
    with pytest.raises(ValueError, match=r"cuts for small, mid, large must be 2 ascending numbers, got \[0\.4, 0\.2\]"):
        analysis.class_groups(small_properties(), images=10, size_cuts=[0.4, 0.2])


def test_semantic_groups_hold_only_what_occurs():
    properties = small_properties().rename({"a": "dog", "b": "sofa", "c": "chair", "d": "horse"})
    groups = analysis.class_groups(properties, images=100)
    assert groups["semantic"] == {"animal": ("dog",), "room": ("chair", "sofa")}


def test_semantic_groups_cover_voc():
    assert sorted(name for names in analysis.SEMANTIC_GROUPS.values() for name in names) == sorted(VOC_CLASSES)


def test_group_means_and_overall_by_hand():
    table = small_properties(iou=[0.9, 0.2, 0.4, np.nan, np.nan])
    means = analysis.group_means(table, {"size": {"low": ("a", "b"), "rest": ("c",)}})
    assert means.loc[("size", "low"), "occurrence"] == 6 and means.loc[("size", "low"), "iou"] == pytest.approx(0.3)
    assert np.isnan(means.loc[("size", "rest"), "iou"])
    overall = analysis.overall(table)
    assert overall.loc["mean", "occurrence"] == 6  # class d occurs in no image, and that counts
    assert overall.loc["mean", "relative_size"] == pytest.approx((0.7 + 0.1 + 0.135 + 0.3) / 4)
    assert overall.loc["mean", "iou"] == pytest.approx(0.5)
    assert overall.loc["sigma", "iou"] == pytest.approx(0.2 / np.sqrt(2))  # foreground only, n - 1
    assert analysis.group_means(table, {}).empty


def test_correlations_by_hand():
    iou = pd.Series({"background": 0.9, "a": 0.6, "b": 0.4, "c": 0.2})
    rho = analysis.correlations(small_properties(), {"CAM": iou, "two": iou[:3]})
    assert rho.index.tolist() == ["occurrence", "relative_size", "cooccurrence", "cardinality"]
    assert rho.columns.tolist() == [*rho.index, "CAM", "two"]
    assert rho.loc["cooccurrence", "CAM"] == pytest.approx(-1) and rho.loc[
        "occurrence", "cooccurrence"
    ] == pytest.approx(1)
    assert rho.loc["cooccurrence", "relative_size"] == pytest.approx(
        np.corrcoef([0.2, 0.4, 0.6], [0.1, 0.135, 0.3])[0, 1]
    )
    assert rho["two"].isna().all()  # two foreground classes are no correlation
    assert rho.loc["cardinality"].isna().all()  # constant


def test_table_refuses_foreign_classes():
    with pytest.raises(ValueError, match='"CAM" does not fit: no properties of zebra, give a Series by class name'):
        analysis.group_table(small_properties(), {"CAM": pd.Series({"zebra": 0.1})}, {})
    with pytest.raises(ValueError, match="a property bears its name"):
        analysis.correlations(small_properties(), {"occurrence": pd.Series({"a": 0.1})})


def test_table_without_semantic_groups():
    properties = small_properties()
    table = analysis.group_table(properties, {}, analysis.class_groups(properties, images=100))
    assert table["part"].unique().tolist() == ["classes", "overall", "size", "frequency", "correlation"]
    assert (table.loc[table["part"] == "classes", "Group"] == "-").all()


@pytest.fixture(scope="module")
def voc():
    """Pixel counts of the 1464 masks of VOC12 train."""
    if not (REAL_MASKS / "train.txt").is_file():
        pytest.skip("needs the VOC12 train masks in ../shared/voc12-train-masks, which are not here")
    ids = (REAL_MASKS / "train.txt").read_text().split()
    return analysis.pixel_counts(read_masks(REAL_MASKS / "SegmentationClassAug", ids), progress=False)


def test_voc12_totals(voc):
    totals = voc.sum()
    assert (totals["size"], totals["background"], totals["void"]) == (262462800, 182014429, 14335564)
    labels = analysis.label_sets(voc).sum(axis=1)
    assert [(labels == 1).sum(), (labels == 2).sum(), (labels == 3).sum(), (labels >= 4).sum()] == [933, 383, 124, 24]
    assert labels.max() == 5 and (voc["background"] > 0).sum() == 1460


def test_voc12_table_3_class_by_class(voc):
    properties = analysis.class_properties(voc)
    for name, (*_, occurrence, size, cooccurrence, cardinality) in ((n, row[:7]) for n, row in CLASSES.items()):
        measured = properties.loc[name]
        assert measured["occurrence"] == (83 if name == "tvmonitor" else occurrence), name  # the paper prints 84 for tv
        assert 100 * measured["relative_size"] == pytest.approx(size, abs=0.05), name
        assert 100 * measured["cooccurrence"] == pytest.approx(cooccurrence, abs=0.05), name
        assert measured["cardinality"] == pytest.approx(cardinality, abs=0.05), name
    assert 100 * properties.loc["background", "relative_size"] == pytest.approx(BACKGROUND[0], abs=0.05)


def test_voc12_groups_are_those_of_the_paper(voc):
    groups = analysis.class_groups(analysis.class_properties(voc), len(voc))
    for column, grouping in enumerate(("semantic", "size", "frequency")):
        expected = {}
        for name, row in CLASSES.items():
            expected.setdefault(row[column], set()).add(name)
        assert {group: set(names) for group, names in groups[grouping].items()} == expected


def test_voc12_table_3_groups_and_correlations(voc):
    properties, ious = analysis.class_properties(voc), printed_ious()
    properties.loc["tvmonitor", "occurrence"] = 84  # as printed: the other rows of the paper were made with it
    groups = analysis.class_groups(properties, len(voc))
    means, overall, rho = (
        analysis.group_means(properties.assign(**ious), groups),
        analysis.overall(properties.assign(**ious)),
        100 * analysis.correlations(properties, ious),
    )
    scale = np.array([1, 100, 100, 1, *[100] * len(METHODS)])
    for (part, label), printed in OTHERS.items():
        if part == "correlation":
            row = dict(zip(PROPERTIES, rho.index, strict=True))[label.removeprefix("rho ")]
            np.testing.assert_allclose(rho.loc[row], printed, atol=0.1, err_msg=label)
            continue
        table, key = (overall, label.split()[1]) if part == "overall" else (means, (part, label.removesuffix(" freq.")))
        # properties within print rounding; the IoU columns are means of rounded numbers, so once more that
        tolerance = np.array([0.0501] * 4 + [0.101] * len(METHODS))
        assert (np.abs(table.loc[key].to_numpy() * scale - printed) <= tolerance).all(), (part, label)


def test_voc12_table_has_the_rows_of_the_paper(voc):
    properties = analysis.class_properties(voc)
    table = analysis.group_table(properties, printed_ious(), analysis.class_groups(properties, len(voc)))
    assert table.columns.tolist() == ["part", "Class", "Group", "Size", "Freq.", *PROPERTIES, *METHODS]
    assert list(zip(table["part"], table["Class"], strict=True))[21:] == list(OTHERS)
    table = table.set_index("Class")
    assert table.index[:5].tolist() == ["background", "a.plane", "bike", "bird", "boat"]
    assert table.loc["d.table"].tolist() == [
        "classes",
        "room",
        "large",
        "mid",
        82,
        22.5,
        95.1,
        2.6,
        *CLASSES["diningtable"][7:],
    ]
    assert table.loc["animal", ["Group", "O", "%S"]].tolist() == ["dog horse", 94.5, 19.5]
    assert table.loc["background", ["Group", "Size", "Freq.", "%S"]].tolist() == ["-", "-", "-", 69.5]


# names


def test_every_strategy_has_a_name():
    assert set(analysis.METHODS) == set(strategies.STRATEGIES)
    assert len(set(analysis.METHODS.values())) == len(analysis.METHODS)


def test_names_are_those_of_the_tables():
    """All methods of Tables 1 to 5, and every name of ours that the paper has not is known to be ours."""
    rows = {row.split(" ", 1)[1] for number in (2, 4) for row in paper.table(number).index}
    names = set(analysis.METHODS.values())
    assert rows <= names and set(paper.table(5).columns) - {"Class"} <= names
    columns = {analysis.TABLE_3.get(name, name) for name in names}
    assert {"CAM", "CSE", "P"} <= columns and set(METHODS) <= columns
    assert not columns & {"OC-CSE", "P-OC+LS", "P-NOC+LS"} and len(columns) == len(names)


@pytest.mark.parametrize(
    ("strategy", "smoothing", "name"),
    [
        ("cam", None, "CAM"),
        ("cam", 0.1, "CAM"),  # the paper is silent there
        ("cam-ls", None, "CAM+LS"),
        ("cam-more", None, "CAM+"),
        ("cam-more-ls", None, "CAM+ +LS"),
        ("puzzle", 0.1, "P"),
        ("p-oc", None, "P-OC"),
        ("p-oc", 0.0, "P-OC"),
        ("p-oc", 0.1, "P-OC+LS"),
        ("p-noc-ls", None, "P-NOC+LS"),
        ("p-noc-ls", 0.1, "P-NOC+LS"),
        ("p-noc-ls", 0.0, "P-NOC"),
        ("my own", None, "my own"),
    ],
)
def test_label_smoothing_shows_in_the_name(strategy, smoothing, name):
    assert analysis.method_name(strategy, smoothing) == name


def test_chance_correlation_by_simulation():
    """Of 4000 pairs of unrelated columns about 5 % lie above it."""
    draws = np.random.default_rng(0)
    for classes in (5, 20, 80):
        x, y = (draws.normal(size=(4000, classes)) for _ in range(2))
        x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
        rho = (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
        assert np.mean(np.abs(rho) > analysis.chance_correlation(classes)) == pytest.approx(0.05, abs=0.012)
    assert round(analysis.chance_correlation(20), 2) == 0.44
    assert analysis.chance_correlation(2) == 1.0
