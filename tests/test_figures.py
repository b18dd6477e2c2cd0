"""Figures: colours and numbers that are drawn; returned, neither shown nor saved."""

import base64
import errno
import io
import os

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from pnoc_lib.data import augment, index_masks
from pnoc_lib.evaluation import analysis, curves, distributions, looks, pictures

CLASSES = ["cat", "dog", "cow"]
GREY = Image.new("RGB", (6, 4), (100, 100, 100))


def sweep(shift=0.0):
    miou = np.array([0.2, 0.5, 0.4]) + shift
    return pd.DataFrame({"threshold": [0.1, 0.2, 0.3], "miou": miou, "fpr": [0.6, 0.3, 0.1], "fnr": [0.1, 0.2, 0.5]})


def history(columns=()):
    steps = pd.DataFrame(
        {"step": range(6), "epoch": [1, 1, 1, 2, 2, 2], "lr": 0.1, "loss": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]}
    )
    epochs = pd.DataFrame({"epoch": [1, 2], "loss": [0.8, 0.5]}).assign(**{name: [0.1, 0.3] for name in columns})
    return steps, epochs


def game(names):
    """The history of a strategy whose terms are `names`: every value is its place in the table."""
    steps, epochs = history()
    terms = {name: [k + 1.0 for k in range(6)] for name in names}
    return steps.assign(**terms), epochs.assign(**{name: [2.0, 5.0] for name in names})


ERASED = ["p_soft", "erased_soft", "loss_noc", "p_hard", "erased_hard"]
RAMPS = pd.DataFrame({"rises": [0.0, 2.0, 4.0], "falls": [1.0, 0.5, 0.0]}, [0.0, 0.5, 1.0])
PROPERTIES = pd.DataFrame({"O": [3.0, 2.0, 1.0], "%S": [20.0, 10.0, 15.0]}, index=CLASSES)
GROUPS = {"animal": ["cat", "dog"], "person": ["cow"]}
DRAWN = {
    "grid": lambda: pictures.show_grid({"image": [GREY, None], "cam": [np.zeros((4, 6))]}, ["a", "b"], cam_scale=True),
    "one cell": lambda: pictures.show_grid({"image": [GREY]}),
    "legend": lambda: pictures.class_legend(CLASSES),
    "co-occurrence": lambda: distributions.cooccurrence(np.array([[4, 2, 0], [2, 3, 0], [0, 0, 0]]), CLASSES),
    "bars": lambda: curves.class_bars(PROPERTIES, GROUPS, reference=PROPERTIES * 1.1),
    "one column of bars": lambda: curves.class_bars(PROPERTIES[["O"]]),
    "training": lambda: curves.training_curves(*history(["miou"])),
    "training without estimate": lambda: curves.training_curves(*history()),
    "schedules": lambda: curves.schedule_curves({"weights": RAMPS, "steps": RAMPS[["falls"]]}, ["rises"]),
    "terms": lambda: curves.game_curves(*game(["cls", "re_cls", "re", "cse", *ERASED])),
    "terms of the puzzle": lambda: curves.game_curves(*game(["cls", "re_cls", "re"])),
    "thresholds": lambda: curves.threshold_curves({"CAM": sweep(), "P-NOC": [sweep(), sweep(0.1)]}, fixed=0.3),
    "properties": lambda: distributions.against_properties(PROPERTIES["O"] / 10, PROPERTIES, GROUPS),
    "one class": lambda: distributions.against_properties(PROPERTIES["O"][:1] / 10, PROPERTIES[:1]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_returned_not_shown_and_not_saved(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("shown"))
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: pytest.fail("saved"))
    before, style = plt.get_fignums(), dict(matplotlib.rcParams)
    fig = DRAWN[name]()
    assert isinstance(fig, Figure)
    assert plt.get_fignums() == before  # a notebook shows it once
    assert dict(matplotlib.rcParams) == style
    assert not list(tmp_path.iterdir())
    fig.canvas.draw()


# colours


def test_palette_is_vocs():
    """The first colours of VOC, person and the last class, as its development kit lists them."""
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        3: (128, 128, 0),
        4: (0, 0, 128),
        5: (128, 0, 128),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
    }
    palette = index_masks.palette()
    assert {index: tuple(palette[index].tolist()) for index in known} == known
    assert tuple(palette[255]) == pictures.VOID_COLOUR == (224, 224, 192)
    assert len({tuple(colour) for colour in palette[:81]}) == 81


def test_masks_take_the_colours_of_their_classes():
    mask = np.array([[0, 1], [15, 255]], np.uint8)
    expected = [[[0, 0, 0], [128, 0, 0]], [[192, 128, 128], [224, 224, 192]]]
    assert pictures.color_mask(mask, outline=False).tolist() == expected


def test_the_rim_of_a_class_is_lighter_and_void_has_none():
    mask = np.zeros((5, 6), np.uint8)
    mask[1:4, 1:4], mask[:, 5] = 8, 255
    drawn = pictures.color_mask(mask)
    assert drawn[2, 2].tolist() == [64, 0, 0]  # a cat, nearly black
    assert drawn[1, 1].tolist() == [159, 127, 127] and drawn[0, 0].tolist() == [0, 0, 0]
    assert drawn[2, 5].tolist() == [224, 224, 192]
    assert pictures.color_mask(np.full((2, 2), 8, np.uint8)).tolist() == [[[64, 0, 0]] * 2] * 2  # no rim at the border


def test_a_mask_over_an_image_by_hand():
    mask = np.array([[0, 1, 255, 0, 0, 0]] * 4, np.uint8)
    over = pictures.overlay_mask(GREY, mask, strength=0.5)
    assert over.shape == (4, 6, 3)
    assert over.dtype == np.uint8
    assert over[0, :3].tolist() == [[100, 100, 100], [114, 50, 50], [162, 162, 146]]  # background is the grey image


def test_a_cam_over_an_image_by_hand():
    cam = np.array([[0, 0.5, 1, -3, 7, 0]] * 4)
    over = pictures.overlay_cam(GREY, cam, strength=0.5)
    scale = matplotlib.colormaps[pictures.CAM_COLOURS]
    expected = [[int(50 + 127.5 * part) for part in scale(value)[:3]] for value in (0.0, 0.5, 1.0, 0.0, 1.0, 0.0)]
    assert over[0].tolist() == expected  # one fixed range for all: what lies outside is at its ends
    assert pictures.overlay_cam(GREY, np.ones((4, 6)), strength=0).max() == 100


def test_maps_of_one_class_each_over_their_images():
    """Two maps that rise to 2 and 4 at the right, by thirds: alike by their own peaks, not by that of the second."""
    cams = torch.zeros(2, 3, 1, 2)
    cams[0, 1, 0, 1], cams[1, 2, 0, 1] = 2, 4
    classes = torch.tensor([1, 2])
    first, second = pictures.overlay_classes([GREY, GREY], cams, classes)
    expected = pictures.overlay_cam(GREY, np.array([[0, 0, 1 / 3, 2 / 3, 1, 1]] * 4))
    assert np.abs(first.astype(int) - expected).max() <= 1
    assert np.abs(first.astype(int) - second).max() <= 1
    faint, _ = pictures.overlay_classes([GREY, GREY], cams, classes, peak=torch.tensor([4.0, 4.0]))
    assert np.abs(faint.astype(int) - pictures.overlay_cam(GREY, np.array([[0, 0, 1, 2, 3, 3]] * 4) / 6)).max() <= 1
    dark = pictures.overlay_cam(GREY, np.zeros((4, 6)))
    np.testing.assert_array_equal(pictures.overlay_classes([GREY], -cams, classes)[0], dark)  # and the first image only


def test_normalisation_can_be_undone():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    restored = pictures.denormalize(augment.normalize(image, mean, std), mean, std)
    np.testing.assert_array_equal(restored, np.asarray(image))
    assert pictures.denormalize(torch.full((3, 1, 1), 99.0), mean, std).max() == 255  # clipped, not wrapped


def test_an_image_as_tensor():
    tensor = pictures.as_tensor(Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3)))
    assert tensor.shape == (3, 2, 4)
    assert tensor.dtype == torch.uint8
    assert tensor[:, 0, 1].tolist() == [3, 4, 5]


def test_a_method_looks_the_same_whatever_stands_beside_it():
    names = list(analysis.METHODS.values())
    alone = [looks.of_methods([name])[0] for name in names]
    assert looks.of_methods(names) == alone == looks.of_methods(names[::-1])[::-1]
    assert len({(look["color"], look["ls"]) for look in alone}) == len(names)
    assert looks.of_method("P-NOC+LS")["color"] == looks.of_method("P-NOC")["color"] != looks.of_method("P-OC")["color"]
    mixed = looks.of_methods(["my variant", "CAM", "another"])
    assert mixed[1] == looks.of_method("CAM") and len({(look["color"], look["ls"]) for look in mixed}) == 3


def test_labels_of_points_keep_apart():
    fig, axis = plt.subplots(figsize=(3, 3))
    axis.set(xlim=(0, 100), ylim=(0, 100))
    places = [(50, 50), (51, 50.5), (52, 49), (50.5, 51), (99, 99)]
    looks.label_points(axis, *zip(*places, strict=True), ["aeroplane", "bicycle", "bird", "$x$", "edge"])
    renderer = fig.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axis.texts]
    plt.close(fig)
    overlapping = [(k, m) for k in range(5) for m in range(k) if boxes[k].overlaps(boxes[m])]
    assert len(overlapping) <= 2  # of six, were all written to the upper right


def test_a_label_that_finds_no_place_stands_off_with_a_line():
    fig, axis = plt.subplots(figsize=(3, 3))
    axis.set(xlim=(0, 100), ylim=(0, 100))
    spread = np.linspace(-4, 4, 4)
    xs, ys = (50 + np.array(values).ravel() for values in np.meshgrid(spread, spread))
    looks.label_points(axis, xs, ys, ["a long name"] * len(xs))
    for line in axis.lines:
        assert np.hypot(line.get_xdata() - xs[:, None], line.get_ydata() - ys[:, None]).min() < 1e-9  # from its point
    plt.close(fig)
    assert axis.lines


def test_names_stay_within_the_axes():
    fig, axis = plt.subplots(figsize=(3, 3))
    axis.set(xlim=(0, 100), ylim=(0, 100))
    looks.label_points(axis, [50, 99], [50, 99], ["middle", "edge"])
    assert not axis.lines  # there was room beside the points
    boxes = [text.get_window_extent(fig.canvas.get_renderer()) for text in axis.texts]
    plt.close(fig)
    assert boxes[-1].x1 <= axis.get_window_extent().x1 + 1  # stays inside
    looks.label_points(axis, [], [], [])


def test_a_figure_with_a_colour_scale_is_not_dithered(tmp_path):
    ramp = np.tile(np.linspace(0, 1, 200), (100, 1))
    for name, scale in {"with": True, "without": False}.items():
        pictures.save(pictures.show_grid({"map": [ramp]}, cam_scale=scale), tmp_path / name, pdf=False)
    assert Image.open(tmp_path / "with.png").mode != "P" and Image.open(tmp_path / "without.png").mode == "P"


def test_cycle_is_told_apart_in_grey():
    shades = [np.dot(matplotlib.colors.to_rgb(c), (0.299, 0.587, 0.114)) for c in curves.CYCLE[:2]]
    assert abs(shades[0] - shades[1]) > 0.1
    assert len(set(curves.CYCLE)) == len(curves.CYCLE)


# what is drawn


def test_a_grid_has_a_cell_for_every_picture_and_empty_ones():
    rows = {"image": [GREY, GREY, None], "cam": [np.full((4, 6), 0.5)]}
    axes = pictures.show_grid(rows, ["first", "second"]).axes
    assert len(axes) == 6
    assert [len(axis.images) for axis in axes] == [1, 1, 0, 1, 0, 0]
    assert [axis.get_title() for axis in axes[:3]] == ["first", "second", ""]
    assert [axes[0].get_ylabel(), axes[3].get_ylabel()] == ["image", "cam"]
    assert axes[3].images[0].get_clim() == (0, 1)
    assert axes[3].images[0].get_cmap().name == pictures.CAM_COLOURS


def test_pictures_may_have_a_caption_each():
    rows = {"image": [GREY, GREY], "cam": [np.full((4, 6), 0.5)] * 2}
    axes = pictures.show_grid(rows, captions={"cam": ["p(r) 0.10", "p(r) 0.90"]}).axes
    assert [[text.get_text() for text in axis.texts] for axis in axes] == [[], [], ["p(r) 0.10"], ["p(r) 0.90"]]


def test_the_scale_of_cams_runs_from_0_to_1():
    fig = pictures.show_grid({"cam": [np.full((4, 6), 0.5)]}, cam_scale=True)
    assert len(fig.axes) == 2
    assert fig.axes[1].get_ylim() == (0, 1)
    assert "Eq. (2)" in fig.axes[1].get_ylabel()


def test_the_legend_names_background_classes_and_void():
    legend = pictures.class_legend(CLASSES).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["background", *CLASSES, "void"]
    colours = [tuple(round(255 * part) for part in line.get_color()) for line in legend.legend_handles]
    assert colours == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (224, 224, 192)]


def test_cooccurrence_by_hand():
    """4 images show a cat, 2 of them a dog too: one half; absent classes and the diagonal are empty."""
    axis = distributions.cooccurrence(np.array([[4, 2, 0], [2, 3, 0], [0, 0, 0]]), CLASSES, title="train").axes[0]
    drawn = np.ma.filled(axis.collections[0].get_array().astype(float), np.nan).reshape(3, 3)
    np.testing.assert_allclose(drawn, [[np.nan, 50, 0], [200 / 3, np.nan, 0], [np.nan, np.nan, np.nan]])
    assert sorted(text.get_text() for text in axis.texts if text.get_text()) == ["50", "67"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cat (4)", "dog (3)", "cow (0)"]


def test_bars_by_hand():
    fig = curves.class_bars(PROPERTIES, GROUPS, reference=PROPERTIES[["O"]] * 2)
    first, second = fig.axes
    assert [bar.get_width() for bar in first.patches] == [3, 2, 1]
    assert [matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in first.patches] == [
        *[curves.GROUP_COLOURS["animal"]] * 2,
        curves.GROUP_COLOURS["person"],
    ]
    assert first.lines[0].get_xdata().tolist() == [6, 4, 2]  # the reference
    assert not second.lines
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["person", "animal", "published"]


def test_training_curves_by_hand():
    loss, rate, miou = curves.training_curves(*history(["miou"])).axes
    np.testing.assert_allclose(loss.lines[0].get_xdata(), np.arange(1, 7) / 3)
    assert loss.lines[1].get_ydata().tolist() == [0.8, 0.5]
    assert loss.lines[1].get_xdata().tolist() == [0.5, 1.5]  # amid the epoch that it is the mean of
    assert rate.lines[0].get_ydata().tolist() == [0.1] * 6
    np.testing.assert_allclose(miou.lines[0].get_ydata(), [10, 30])
    assert len(curves.training_curves(*history()).axes) == 2


def test_schedules_tell_what_plays_no_part():
    first, second = curves.schedule_curves({"weights": RAMPS, "steps": RAMPS[["falls"]]}, ["rises"]).axes
    assert [line.get_label() for line in first.lines] == ["rises", "falls (not in this run)"]
    assert first.lines[0].get_xdata().tolist() == [0, 0.5, 1]
    assert first.lines[0].get_ydata().tolist() == [0, 2, 4]
    assert (first.get_title(), second.get_title()) == ("weights", "steps")
    assert first.lines[0].get_linewidth() > first.lines[1].get_linewidth()


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (["cls", "re_cls", "re"], [3]),
        (["cls", "cse", "p_soft", "erased_soft"], [2, 1, 1]),
        (["cls", "re_cls", "re", "cse", *ERASED], [4, 1, 2, 2]),
    ],
)
def test_the_game_has_a_panel_for_what_there_is(names, lines):
    axes = curves.game_curves(*game(names)).axes
    assert [len(axis.lines) for axis in axes] == [2 * count for count in lines]  # iterations and epochs
    assert axes[0].lines[1].get_ydata().tolist() == [2, 5]
    np.testing.assert_allclose(axes[0].lines[0].get_xdata(), np.arange(1, 7) / 3)


def test_steps_without_noc_leave_no_hole_in_its_curve():
    steps, epochs = game(["cls", "loss_noc"])
    steps.loc[::2, "loss_noc"] = np.nan  # k_noc = 2
    line = curves.game_curves(steps, epochs).axes[1].lines[0]
    assert line.get_ydata().tolist() == [2, 4, 6]
    np.testing.assert_allclose(line.get_xdata(), [2 / 3, 4 / 3, 2])


def test_a_loss_of_one_term_has_no_game():
    with pytest.raises(ValueError, match="draw a loss of one term with training_curves"):
        curves.game_curves(*history(["miou"]))


def test_threshold_curves_by_hand():
    left, right = curves.threshold_curves({"CAM": sweep(), "P-NOC": [sweep(), sweep(0.1)]}, fixed=0.3).axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [20, 50, 40])
    assert (left.lines[1].get_xdata()[0], left.lines[1].get_ydata()[0]) == (0.2, pytest.approx(50))  # the best, marked
    np.testing.assert_allclose(left.lines[2].get_ydata(), [25, 55, 45])  # the mean of two seeds
    assert len(left.collections) == 1  # and their span
    np.testing.assert_allclose(right.lines[0].get_ydata(), [60, 30, 10])
    np.testing.assert_allclose(right.lines[1].get_ydata(), [10, 20, 50])
    assert right.lines[0].get_linestyle() != right.lines[1].get_linestyle()
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["CAM", "P-NOC", "best (oracle)"]
    assert left.lines[-1].get_xdata() == [0.3, 0.3]


def test_scatter_and_correlation_by_hand():
    """IoU 0.3, 0.2, 0.1 against O 3, 2, 1: a straight line, rho 100; against %S the order is broken."""
    first, second = distributions.against_properties(PROPERTIES["O"] / 10, PROPERTIES, GROUPS).axes
    assert first.get_title() == "O   ρ = 100.0"
    assert second.get_title() == "%S   ρ = 50.0"
    np.testing.assert_allclose(first.lines[0].get_ydata()[[0, -1]], [10, 30])
    np.testing.assert_allclose(first.collections[-1].get_offsets(), [[3, 30], [2, 20], [1, 10]])
    assert [text.get_text() for text in first.texts] == CLASSES


def test_seeds_beside_their_mean_by_hand():
    """Two seeds, 0.3 and 0.5: dots at 30 and 50, mean 40, a bar of one standard deviation, 14.14, to each side."""
    scores = pd.DataFrame({"method": ["CAM", "CAM", "P"], "chosen by": "fixed", "mIoU": [0.3, 0.5, 0.2]})
    scores = pd.concat([scores, scores.assign(**{"chosen by": "oracle", "mIoU": 0.6})])
    fixed, oracle = distributions.over_seeds(scores).axes
    assert (fixed.get_title(), oracle.get_title()) == ("fixed", "oracle")
    assert [label.get_text() for label in fixed.get_yticklabels()] == ["CAM", "P"]
    dots = np.concatenate([drawn.get_offsets() for drawn in fixed.collections])
    np.testing.assert_allclose(sorted(map(tuple, dots)), [(20, 1), (30, 0), (50, 0)])
    lines = [np.asarray(line.get_xdata(), float) for line in fixed.lines]
    ends = [(np.nanmin(x), np.nanmax(x)) for x in lines if np.isfinite(x).any()]
    for low, high in [(40, 40), (40 - 200**0.5, 40 + 200**0.5), (20, 20)]:
        assert any(np.allclose(pair, (low, high)) for pair in ends)


def test_classes_without_a_value_are_left_out_of_a_scatter():
    ious = pd.Series({"cat": 0.3, "dog": np.nan, "cow": 0.1})
    axis = distributions.against_properties(ious, PROPERTIES).axes[0]
    assert [text.get_text() for text in axis.texts] == ["cat", "cow"]
    assert axis.get_title() == "O"  # two points are no correlation


# files


def test_saving_leaves_png_pdf_and_the_numbers(tmp_path):
    pictures.save(DRAWN["thresholds"](), tmp_path / "new" / "fig06_threshold", data=sweep())
    names = ["fig06_threshold.csv", "fig06_threshold.pdf", "fig06_threshold.png"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    assert (tmp_path / "new" / names[1]).read_bytes()[:5] == b"%PDF-"
    with Image.open(tmp_path / "new" / names[2]) as picture:
        assert min(picture.size) > 100
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / names[0]), sweep())


def test_a_grid_of_photographs_is_one_small_file(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 180, 3), np.uint8))
    for name, pdf in {"as a drawing": True, "as a photograph": False}.items():
        pictures.save(pictures.show_grid({"image": [noise]}), tmp_path / name, pdf=pdf)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sorted(sizes) == ["as a drawing.pdf", "as a drawing.png", "as a photograph.png"]
    assert sizes["as a photograph.png"] < 0.55 * sizes["as a drawing.png"]
    shown = [Image.open(tmp_path / f"as a {name}.png").convert("RGB") for name in ("drawing", "photograph")]
    assert np.abs(np.subtract(*(np.asarray(picture, float) for picture in shown))).mean() < 12


@pytest.mark.parametrize("pdf", [True, False])
def test_a_saved_figure_is_shown_as_it_was_drawn(pdf, tmp_path, monkeypatch):
    fig, shown = pictures.show_grid({"image": [np.zeros((40, 60, 3), np.uint8)]}), []
    pictures.save(fig, tmp_path / "fig", pdf=pdf)
    monkeypatch.setattr(pictures, "display", lambda forms, raw: shown.append(forms))
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: pytest.fail("it was drawn again"))
    fig._ipython_display_()
    assert shown[0].keys() == {"image/png", "text/plain"} and shown[0]["text/plain"].startswith("<Figure size")
    picture = Image.open(io.BytesIO(base64.b64decode(shown[0]["image/png"]))).convert("RGB")
    saved = Image.open(tmp_path / "fig.png").convert("RGB")
    assert picture.size == saved.size
    assert np.abs(np.asarray(picture, float) - np.asarray(saved, float)).mean() < 2  # few colours, if no PDF


def test_a_stem_may_hold_a_dot_and_the_same_figure_gives_the_same_files(tmp_path):
    for name in ("v1.2", "again"):
        pictures.save(DRAWN["legend"](), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.pdf", "again.png", "v1.2.pdf", "v1.2.png"]
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"v1.2.{suffix}").read_bytes() == (tmp_path / f"again.{suffix}").read_bytes()


def test_a_full_disk_leaves_the_old_figure(tmp_path, monkeypatch):
    pictures.save(DRAWN["legend"](), tmp_path / "fig")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"disk full while writing .*fig.png"):
        pictures.save(DRAWN["bars"](), tmp_path / "fig")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# many methods


def many(count):
    return {f"method {number}": [sweep(0.01 * number), sweep(0.02 * number)] for number in range(count)}


def played(*columns, epochs=3, shift=0.0):
    return pd.DataFrame({"epoch": range(1, epochs + 1)}).assign(
        **{name: np.linspace(0.8, 0.4, epochs) + shift for name in columns}
    )


def test_many_methods_get_a_panel_for_each_share_and_a_line_style_each():
    fig = curves.threshold_curves(many(9), fixed=0.3)
    miou, positive, negative = fig.axes
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [*many(9), "best (oracle)"]
    np.testing.assert_allclose(positive.lines[1].get_ydata(), [60, 30, 10])
    np.testing.assert_allclose(negative.lines[1].get_ydata(), [10, 20, 50])
    drawn = {(line.get_color(), line.get_linestyle()) for line in positive.lines[:9]}
    assert len(drawn) == 9
    assert len(miou.collections) == 9  # a band each
    assert miou.get_legend() is None
    fig.canvas.draw()
    assert len(curves.threshold_curves(many(3)).axes) == 2


def test_the_game_over_seeds_by_hand():
    playing = {
        "CAM": [],
        "OC-CSE": [played("p_soft", "erased_soft"), played("p_soft", "erased_soft", shift=0.1)],
        "P-NOC": [played("p_soft", "erased_soft", "p_hard", "erased_hard")],
    }
    fig = curves.game_over_seeds(playing)
    soft, hard, share = fig.axes
    np.testing.assert_allclose(soft.lines[0].get_ydata(), [85, 65, 45])  # the mean of two seeds
    np.testing.assert_allclose(soft.lines[1].get_ydata(), [80, 60, 40])
    assert len(soft.collections) == 1 and not hard.collections  # a band needs two seeds
    assert len(hard.lines) == 1 and len(share.lines) == 3
    assert [line.get_linestyle() for line in share.lines] == ["-", "-", "--"]
    assert soft.lines[0].get_color() == looks.of_method("OC-CSE")["color"]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["OC-CSE", "P-NOC", "hard erasure"]
    assert soft.get_ylim()[0] == 0 and soft.get_ylim()[1] >= 100
    assert len(curves.game_over_seeds({"OC-CSE": playing["OC-CSE"]}).axes) == 2


def test_seeds_of_different_length_meet_in_the_epochs_that_both_have():
    fig = curves.game_over_seeds({"OC-CSE": [played("p_soft"), played("p_soft", epochs=2)]})
    assert fig.axes[0].lines[0].get_xdata().tolist() == [1, 2]


def test_no_game_without_an_eraser():
    with pytest.raises(ValueError, match="no method has p_soft in its epochs: give those of strategies that erase"):
        curves.game_over_seeds({"CAM": [played()]})
    with pytest.raises(ValueError, match="no method has p_soft"):
        curves.game_over_seeds({})


def test_the_colour_bar_does_not_take_from_the_pictures():
    """They are as large with it as without."""
    rows = {f"row {number}": [np.zeros((40, 60))] * 4 for number in range(6)}
    sizes = []
    for bar in (False, True):
        fig = pictures.show_grid(rows, cam_scale=bar)
        fig.canvas.draw()
        sizes.append(fig.axes[0].get_window_extent().size)
    assert (sizes[1] >= sizes[0] - 1).all()
