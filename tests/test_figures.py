"""Figures: colours and numbers that are drawn; returned, neither shown nor saved."""

import errno
import os

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from pnoc_lib import augment, figures

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


PROPERTIES = pd.DataFrame({"O": [3.0, 2.0, 1.0], "%S": [20.0, 10.0, 15.0]}, index=CLASSES)
GROUPS = {"animal": ["cat", "dog"], "person": ["cow"]}
DRAWN = {
    "grid": lambda: figures.show_grid({"image": [GREY, None], "cam": [np.zeros((4, 6))]}, ["a", "b"], cam_scale=True),
    "one cell": lambda: figures.show_grid({"image": [GREY]}),
    "legend": lambda: figures.class_legend(CLASSES),
    "co-occurrence": lambda: figures.cooccurrence(np.array([[4, 2, 0], [2, 3, 0], [0, 0, 0]]), CLASSES),
    "bars": lambda: figures.class_bars(PROPERTIES, GROUPS, reference=PROPERTIES * 1.1),
    "one column of bars": lambda: figures.class_bars(PROPERTIES[["O"]]),
    "training": lambda: figures.training_curves(*history(["miou"])),
    "training without estimate": lambda: figures.training_curves(*history()),
    "thresholds": lambda: figures.threshold_curves({"CAM": sweep(), "P-NOC": [sweep(), sweep(0.1)]}, fixed=0.3),
    "properties": lambda: figures.against_properties(PROPERTIES["O"] / 10, PROPERTIES, GROUPS),
    "one class": lambda: figures.against_properties(PROPERTIES["O"][:1] / 10, PROPERTIES[:1]),
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
    palette = figures.voc_palette()
    assert {index: tuple(palette[index].tolist()) for index in known} == known
    assert tuple(palette[255]) == figures.VOID_COLOUR == (224, 224, 192)
    assert len({tuple(colour) for colour in palette[:81]}) == 81


def test_masks_take_the_colours_of_their_classes():
    mask = np.array([[0, 1], [15, 255]], np.uint8)
    expected = [[[0, 0, 0], [128, 0, 0]], [[192, 128, 128], [224, 224, 192]]]
    assert figures.color_mask(mask).tolist() == expected


def test_a_mask_over_an_image_by_hand():
    mask = np.array([[0, 1, 255, 0, 0, 0]] * 4, np.uint8)
    over = figures.overlay_mask(GREY, mask, strength=0.5)
    assert over.shape == (4, 6, 3)
    assert over.dtype == np.uint8
    assert over[0, :3].tolist() == [[100, 100, 100], [114, 50, 50], [162, 162, 146]]  # background is the grey image


def test_a_cam_over_an_image_by_hand():
    cam = np.array([[0, 0.5, 1, -3, 7, 0]] * 4)
    over = figures.overlay_cam(GREY, cam, strength=0.5)
    scale = matplotlib.colormaps[figures.CAM_COLOURS]
    expected = [[int(50 + 127.5 * part) for part in scale(value)[:3]] for value in (0.0, 0.5, 1.0, 0.0, 1.0, 0.0)]
    assert over[0].tolist() == expected  # one fixed range for all: what lies outside is at its ends
    assert figures.overlay_cam(GREY, np.ones((4, 6)), strength=0).max() == 100


def test_normalisation_can_be_undone():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    restored = figures.denormalize(augment.normalize(image, mean, std), mean, std)
    np.testing.assert_array_equal(restored, np.asarray(image))
    assert figures.denormalize(torch.full((3, 1, 1), 99.0), mean, std).max() == 255  # clipped, not wrapped


def test_an_image_as_tensor():
    tensor = figures.as_tensor(Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3)))
    assert tensor.shape == (3, 2, 4)
    assert tensor.dtype == torch.uint8
    assert tensor[:, 0, 1].tolist() == [3, 4, 5]


def test_cycle_is_told_apart_in_grey():
    shades = [np.dot(matplotlib.colors.to_rgb(c), (0.299, 0.587, 0.114)) for c in figures.CYCLE[:2]]
    assert abs(shades[0] - shades[1]) > 0.1
    assert len(set(figures.CYCLE)) == len(figures.CYCLE)


# what is drawn


def test_a_grid_has_a_cell_for_every_picture_and_empty_ones():
    rows = {"image": [GREY, GREY, None], "cam": [np.full((4, 6), 0.5)]}
    axes = figures.show_grid(rows, ["first", "second"]).axes
    assert len(axes) == 6
    assert [len(axis.images) for axis in axes] == [1, 1, 0, 1, 0, 0]
    assert [axis.get_title() for axis in axes[:3]] == ["first", "second", ""]
    assert [axes[0].get_ylabel(), axes[3].get_ylabel()] == ["image", "cam"]
    assert axes[3].images[0].get_clim() == (0, 1)
    assert axes[3].images[0].get_cmap().name == figures.CAM_COLOURS


def test_the_scale_of_cams_runs_from_0_to_1():
    fig = figures.show_grid({"cam": [np.full((4, 6), 0.5)]}, cam_scale=True)
    assert len(fig.axes) == 2
    assert fig.axes[1].get_ylim() == (0, 1)
    assert "Eq. (2)" in fig.axes[1].get_ylabel()


def test_the_legend_names_background_classes_and_void():
    legend = figures.class_legend(CLASSES).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["background", *CLASSES, "void"]
    colours = [tuple(round(255 * part) for part in line.get_color()) for line in legend.legend_handles]
    assert colours == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (224, 224, 192)]


def test_cooccurrence_by_hand():
    """4 images show a cat, 2 of them a dog too: one half; absent classes and the diagonal are empty."""
    axis = figures.cooccurrence(np.array([[4, 2, 0], [2, 3, 0], [0, 0, 0]]), CLASSES, title="train").axes[0]
    drawn = np.ma.filled(axis.images[0].get_array().astype(float), np.nan)
    np.testing.assert_allclose(drawn, [[np.nan, 0.5, 0], [2 / 3, np.nan, 0], [np.nan, np.nan, np.nan]])
    assert sorted(text.get_text() for text in axis.texts) == ["50", "67"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cat (4)", "dog (3)", "cow (0)"]


def test_bars_by_hand():
    fig = figures.class_bars(PROPERTIES, GROUPS, reference=PROPERTIES[["O"]] * 2)
    first, second = fig.axes
    assert [bar.get_width() for bar in first.patches] == [3, 2, 1]
    assert [matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in first.patches] == [
        *[figures.GROUP_COLOURS["animal"]] * 2,
        figures.GROUP_COLOURS["person"],
    ]
    assert first.lines[0].get_xdata().tolist() == [6, 4, 2]  # the reference
    assert not second.lines
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["person", "animal", "published"]


def test_training_curves_by_hand():
    loss, rate, miou = figures.training_curves(*history(["miou"])).axes
    np.testing.assert_allclose(loss.lines[0].get_xdata(), np.arange(1, 7) / 3)
    assert loss.lines[1].get_ydata().tolist() == [0.8, 0.5]
    assert loss.lines[1].get_xdata().tolist() == [0.5, 1.5]  # amid the epoch that it is the mean of
    assert rate.lines[0].get_ydata().tolist() == [0.1] * 6
    np.testing.assert_allclose(miou.lines[0].get_ydata(), [10, 30])
    assert len(figures.training_curves(*history()).axes) == 2


def test_threshold_curves_by_hand():
    left, right = figures.threshold_curves({"CAM": sweep(), "P-NOC": [sweep(), sweep(0.1)]}, fixed=0.3).axes
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
    first, second = figures.against_properties(PROPERTIES["O"] / 10, PROPERTIES, GROUPS).axes
    assert first.get_title() == "O   ρ = 100.0"
    assert second.get_title() == "%S   ρ = 50.0"
    np.testing.assert_allclose(first.lines[0].get_ydata(), [10, 30])
    np.testing.assert_allclose(first.collections[0].get_offsets(), [[3, 30], [2, 20], [1, 10]])
    assert [text.get_text() for text in first.texts] == CLASSES


def test_classes_without_a_value_are_left_out_of_a_scatter():
    ious = pd.Series({"cat": 0.3, "dog": np.nan, "cow": 0.1})
    axis = figures.against_properties(ious, PROPERTIES).axes[0]
    assert [text.get_text() for text in axis.texts] == ["cat", "cow"]
    assert axis.get_title() == "O"  # two points are no correlation


# files


def test_saving_leaves_png_pdf_and_the_numbers(tmp_path):
    figures.save(DRAWN["thresholds"](), tmp_path / "new" / "fig06_threshold", data=sweep())
    names = ["fig06_threshold.csv", "fig06_threshold.pdf", "fig06_threshold.png"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    assert (tmp_path / "new" / names[1]).read_bytes()[:5] == b"%PDF-"
    with Image.open(tmp_path / "new" / names[2]) as picture:
        assert min(picture.size) > 100
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / names[0]), sweep())


def test_a_stem_may_hold_a_dot_and_the_same_figure_gives_the_same_files(tmp_path):
    for name in ("v1.2", "again"):
        figures.save(DRAWN["legend"](), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.pdf", "again.png", "v1.2.pdf", "v1.2.png"]
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"v1.2.{suffix}").read_bytes() == (tmp_path / f"again.{suffix}").read_bytes()


def test_a_full_disk_leaves_the_old_figure(tmp_path, monkeypatch):
    figures.save(DRAWN["legend"](), tmp_path / "fig")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"disk full while writing .*fig.png"):
        figures.save(DRAWN["bars"](), tmp_path / "fig")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
