"""Resize, flip, colour, crop: sizes, ranges, and every draw from the generator that was given."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from pnoc_lib.data import augment
from pnoc_lib.data.augment import RandAugment, TrainingTransform

HALF = (0.5, 0.5, 0.5)
DIRECTED = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
PAPER = TrainingTransform(512, 320, 640, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "randaugment")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def picture(width=40, height=30):
    """Waves with noise, no pixel black."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / (5 + c)) + np.cos(y / (7 - c)) for c in range(3)], -1)
    noise = np.random.default_rng(0).normal(0, 15, waves.shape)
    return Image.fromarray((100 + 30 * waves + noise).clip(1, 255).astype(np.uint8))


def values(image):
    return np.asarray(image).astype(int)


# operations


@pytest.mark.parametrize("name", RandAugment.NAMES)
def test_operations_keep_size_and_mode_at_every_magnitude(name):
    for size in ((40, 30), (7, 12), (1, 1)):
        image = picture(*size)
        before = image.tobytes()
        for magnitude in range(1, 10):
            for sign in (-1, 1):
                changed = augment.apply_operation(image, name, magnitude, sign)
                assert changed.size == size
                assert changed.mode == "RGB"
        assert image.tobytes() == before


@pytest.mark.parametrize("name", sorted(set(RandAugment.NAMES) - {"identity"}))
def test_operations_change_the_picture(name):
    image = Image.fromarray(np.asarray(picture()) // 2 + 100)  # bright enough for solarize, flat enough for the others
    assert (values(augment.apply_operation(image, name, 5)) != values(image)).mean() > 0.05


@pytest.mark.parametrize("name", DIRECTED)
def test_directed_operations_have_two_directions(name):
    ways = [augment.apply_operation(picture(), name, 6, sign).tobytes() for sign in (-1, 1)]
    assert ways[0] != ways[1]


@pytest.mark.parametrize("name", ["brightness", "color", "contrast", "sharpness"])
def test_factors_of_enhancements(name):
    """0.09 v + 0.05: from 0.14, almost black, grey, flat or blurred, to 0.86, almost the picture."""
    image = picture()
    change = [np.abs(values(augment.apply_operation(image, name, v)) - values(image)).mean() for v in range(1, 10)]
    assert all(a > b for a, b in pairwise(change))
    if name == "brightness":
        grey = Image.new("RGB", (2, 2), (100, 100, 100))
        assert [values(augment.apply_operation(grey, name, v))[0, 0, 0] for v in (1, 5, 9)] == [14, 50, 86]


def test_posterize_by_hand():
    """4 + floor(0.4 v) bits: 4, 5, 6 and 7."""
    image = Image.new("RGB", (2, 2), (255, 255, 255))
    kept = [values(augment.apply_operation(image, "posterize", v))[0, 0, 0] for v in (1, 3, 5, 8)]
    assert kept == [0b11110000, 0b11111000, 0b11111100, 0b11111110]


def test_solarize_by_hand():
    """256 - floor(25.6 v): 231 for v = 1, 128 for v = 5; brighter values are mirrored."""
    image = Image.fromarray(np.array([[[230, 231, 255]]], np.uint8))
    assert values(augment.apply_operation(image, "solarize", 1)).tolist() == [[[230, 24, 0]]]
    image = Image.fromarray(np.array([[[127, 128, 10]]], np.uint8))
    assert values(augment.apply_operation(image, "solarize", 5)).tolist() == [[[127, 127, 10]]]


@pytest.mark.parametrize(("name", "axis"), [("translate_x", 1), ("translate_y", 0)])
def test_translation_by_hand(name, axis):
    """floor(0.03 v side) pixels: 9 of 60 for v = 5; what comes in is black."""
    image = picture(60, 60)
    moved = values(augment.apply_operation(image, name, 5, 1))
    np.testing.assert_array_equal(np.take(moved, range(9, 60), axis), np.take(values(image), range(51), axis))
    assert np.take(moved, range(9), axis).max() == 0


def test_rotation_and_shear_by_hand():
    """3 v degrees and a slope of 0.03 v: a line from the centre to the border, 100 pixels long, moves that far."""
    line = np.zeros((201, 201, 3), np.uint8)
    line[100, :] = 255
    for name, slope in (("rotate", np.tan(np.radians(27))), ("shear_y", 0.27)):
        moved = values(augment.apply_operation(Image.fromarray(line), name, 9, 1))[..., 0]
        rows = [np.flatnonzero(moved[:, column]).mean() for column in (20, 180)]
        assert abs(rows[1] - rows[0]) == pytest.approx(160 * slope, abs=3)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", ["shear_x", "shear_y"])
def test_shear_leaves_the_top_left_corner_in_place(name, sign):
    """x_in = x + 0.21 y about the corner of the image, pixel by pixel."""
    image, slope = picture(60, 40), 0.21 * sign
    rows = (1, slope, 0, 0, 1, 0) if name == "shear_x" else (1, 0, 0, slope, 1, 0)
    expected = image.transform(image.size, Image.Transform.AFFINE, rows)
    np.testing.assert_array_equal(values(augment.apply_operation(image, name, 7, sign)), values(expected))


def test_unknown_operations_are_refused():
    with pytest.raises(ValueError, match="unknown operation 'blur': choose one of autocontrast, brightness"):
        augment.apply_operation(picture(), "blur", 5)


# RandAugment


def test_cutout_is_always_there():
    for seed in range(40):
        changed = values(RandAugment(operations=0)(picture(64, 48), generator(seed)))
        black = (changed == 0).all(-1)
        rows, columns = np.flatnonzero(black.any(1)), np.flatnonzero(black.any(0))
        assert black[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # one rectangle
        assert 9 <= len(rows) <= 17
        assert 9 <= len(columns) <= 17
        np.testing.assert_array_equal(changed[~black], values(picture(64, 48))[~black])


def test_cutout_lies_anywhere_and_is_clipped_by_the_border():
    places = np.array([np.asarray(RandAugment(operations=0)(picture(64, 48), generator(s))) for s in range(300)])
    black = (places == 0).all(-1)
    assert black.any(0).mean() > 0.98
    areas = black.sum((1, 2))
    assert areas.max() == 17 * 17  # both ends are drawn
    assert areas.min() < 200
    assert np.median(areas) == 17 * 17


def test_operations_are_drawn_evenly_and_used_half_of_the_time(monkeypatch):
    used = []
    monkeypatch.setattr(augment, "apply_operation", lambda image, *choice: used.append(choice) or image)
    draws = generator()
    for _ in range(2000):
        RandAugment()(picture(4, 4), draws)
    names, magnitudes, signs = zip(*used, strict=True)
    assert len(used) == pytest.approx(2000, abs=130)  # two draws, each used with probability one half
    counts = [names.count(name) for name in RandAugment.NAMES]
    assert max(counts) < 2 * min(counts)
    assert set(magnitudes) == set(range(1, 10))
    assert np.mean(magnitudes) == pytest.approx(5, abs=0.25)
    assert np.mean(signs) == pytest.approx(0, abs=0.1)


# colour jitter


def test_jitter_stays_in_its_range():
    grey = Image.new("RGB", (4, 4), (100, 100, 100))
    means = [values(augment.color_jitter(grey, generator(seed))).mean() for seed in range(200)]
    assert 69 <= min(means) < 75  # brightness by 1 +- 0.3; contrast and saturation do nothing to a flat grey
    assert 125 < max(means) <= 131
    unchanged = values(augment.color_jitter(picture(), generator(), strength=0, hue=0))
    assert np.abs(unchanged - values(picture())).max() <= 6  # hue goes through HSV in bytes


def test_jitter_changes_hue_and_saturation():
    red = Image.new("RGB", (4, 4), (200, 40, 40))
    hues = [values(augment.color_jitter(red, generator(s)).convert("HSV"))[0, 0, 0] for s in range(100)]
    turned = np.array(hues) / 255
    turned = np.where(turned > 0.5, turned - 1, turned)
    assert np.abs(turned).max() <= 0.11
    assert turned.min() < -0.05
    assert turned.max() > 0.05


# geometry


@pytest.mark.parametrize(
    ("size", "longer", "expected"),
    [((40, 30), 20, (20, 15)), ((30, 40), 80, (60, 80)), ((500, 333), 320, (320, 213)), ((300, 2), 50, (50, 1))],
)
def test_the_longer_side_is_what_was_asked_for(size, longer, expected):
    assert augment.resize_longer(picture(*size), longer).size == expected


def test_resizing_keeps_flat_colours():
    flat = Image.new("RGB", (31, 17), (10, 200, 90))
    assert augment.resize_longer(flat, 77).getcolors() == [(77 * 42, (10, 200, 90))]


def test_normalisation_by_hand():
    image = Image.fromarray(np.array([[[0, 255, 51]]], np.uint8))
    pixels = augment.normalize(image, (0.5, 0.5, 0.1), (0.5, 0.25, 0.1))
    torch.testing.assert_close(pixels, torch.tensor([-1.0, 2.0, 1.0])[:, None, None])


def test_a_crop_smaller_than_the_image_is_a_part_of_it():
    image = torch.arange(3 * 9 * 11.0).reshape(3, 9, 11) + 1
    seen = set()
    for seed in range(200):
        crop = augment.random_crop(image, 4, generator(seed))
        start = int(crop[0, 0, 0]) - 1
        top, left = divmod(start, 11)
        seen.add((top, left))
        torch.testing.assert_close(crop, image[:, top : top + 4, left : left + 4])
    assert {top for top, _ in seen} == set(range(6))
    assert {left for _, left in seen} == set(range(8))


def test_a_crop_larger_than_the_image_is_padded_with_zeros_on_all_sides():
    image = torch.ones(3, 4, 5)
    corners = set()
    for seed in range(200):
        crop = augment.random_crop(image, 8, generator(seed))
        assert crop.sum() == 3 * 4 * 5
        rows, columns = np.nonzero(crop[0].numpy())
        assert (rows.max() - rows.min(), columns.max() - columns.min()) == (3, 4)
        corners.add((rows.min(), columns.min()))
    assert {row for row, _ in corners} == set(range(5))
    assert {column for _, column in corners} == set(range(4))


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 3, 20), (3, 20, 3), (3, 1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_a_crop_has_its_size_whatever_the_image(shape, dtype):
    crop = augment.random_crop(torch.ones(shape, dtype=dtype), 8, generator())
    assert crop.shape == (3, 8, 8)
    assert crop.dtype == dtype
    assert crop.sum() == 3 * min(8, shape[1]) * min(8, shape[2])


# all together


@pytest.mark.parametrize("kind", augment.AUGMENTATIONS)
def test_the_generator_alone_decides(kind):
    transform = TrainingTransform(32, 20, 60, HALF, HALF, kind)
    torch.manual_seed(1)
    np.random.seed(1)
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = [transform(picture(), generator(seed)) for seed in range(12)]
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numbers).all()
    torch.manual_seed(2)
    for seed, image in enumerate(first):
        torch.testing.assert_close(transform(picture(), generator(seed)), image, rtol=0, atol=0)
        assert seed == 0 or not torch.equal(image, first[0])


@pytest.mark.parametrize("kind", augment.AUGMENTATIONS)
@pytest.mark.parametrize("size", [(50, 40), (40, 50), (3, 90), (1, 1)])
def test_any_image_becomes_a_crop(kind, size):
    crop = TrainingTransform(32, 20, 60, HALF, HALF, kind)(picture(*size), generator())
    assert crop.shape == (3, 32, 32)
    assert crop.dtype == torch.float32
    assert ((crop >= -1) & (crop <= 1)).all()


def test_longer_side_covers_its_range(monkeypatch):
    sides = []
    resize = augment.resize_longer
    monkeypatch.setattr(augment, "resize_longer", lambda i, side: sides.append(side) or resize(i, side))
    draws = generator()
    for _ in range(300):
        TrainingTransform(8, 9, 14, HALF, HALF)(picture(10, 10), draws)
    assert set(sides) == set(range(9, 15))  # both ends included


def test_half_of_the_images_are_mirrored():
    wedge = Image.fromarray(np.tile(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], (24, 1, 3)))
    transform = TrainingTransform(24, 24, 24, HALF, HALF)
    mirrored = [bool(crop[0, 0, 0] > crop[0, 0, -1]) for crop in (transform(wedge, generator(s)) for s in range(400))]
    assert 160 < sum(mirrored) < 240


def test_padding_is_the_mean_colour():
    crop = TrainingTransform(64, 20, 20, HALF, HALF, "randaugment")(picture(), generator())
    assert (crop == 0).all(0).sum() >= 64 * 64 - 20 * 15


def test_defaults_of_the_paper_make_its_crop():
    assert PAPER(picture(50, 37), generator()).shape == (3, 512, 512)


@pytest.mark.parametrize(("low", "high"), [(0, 10), (20, 19), (-3, 5)])
def test_impossible_ranges_are_refused(low, high):
    with pytest.raises(ValueError, match=rf"ascending range of pixels, got {low} and {high}: the paper's are 320 and"):
        TrainingTransform(8, low, high, HALF, HALF)


def test_unknown_augmentation_is_refused():
    with pytest.raises(ValueError, match="unknown augmentation 'mixup': choose one of randaugment, jitter, none"):
        TrainingTransform(8, 4, 8, HALF, HALF, "mixup")
