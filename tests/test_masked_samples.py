"""Image and mask under one change; the loss over pixels that are not void; who may train on what."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pnoc_lib.data import index_masks, pairs
from pnoc_lib.data.images import VOID, Masks
from pnoc_lib.data.problems import DataError
from pnoc_lib.segmentation import losses, targets
from tests import tiny

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "jitter": False}


def picture(height=30, width=40):
    """An image whose red channel says where its mask is 1: the left half."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 1
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    return Image.fromarray(pixels), mask


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("scaling", [{"longer": (20, 80)}, {"factors": (0.5, 1.0, 1.5)}])
def test_image_and_mask_stay_together(seed, scaling):
    pixels, mask = pairs.PairTransform(24, **PLAIN, **scaling)(*picture(), seed)
    assert pixels.shape == (3, 24, 24) and pixels.dtype == torch.float32
    assert mask.shape == (24, 24) and mask.dtype == torch.int64
    seen = mask != VOID
    away = seen & ((pixels[0] < 0.2) | (pixels[0] > 0.8))  # not on the blurred edge
    assert away.sum() > 0.8 * seen.sum()
    assert torch.equal(pixels[0][away] > 0.5, mask[away] == 1)


def test_a_crop_larger_than_the_image_is_void_around_it():
    pixels, mask = pairs.PairTransform(64, **PLAIN, longer=(40, 40))(*picture(), 3)
    assert (mask != VOID).sum() == 30 * 40
    assert not pixels[:, mask == VOID].any()  # the mean colour, after normalisation
    rows, columns = (mask != VOID).nonzero().T
    assert rows.max() - rows.min() == 29 and columns.max() - columns.min() == 39


def test_smaller_images_lie_anywhere_in_the_crop():
    transform = pairs.PairTransform(64, **PLAIN, longer=(40, 40))
    tops = {int((transform(*picture(), seed)[1] != VOID).nonzero()[0, 0]) for seed in range(12)}
    assert len(tops) > 4 and max(tops) <= 34


def test_a_seed_is_a_crop_and_leaves_the_generator_alone():
    transform = pairs.PairTransform(24, (0.5,) * 3, (0.5,) * 3, longer=(30, 90))
    torch.manual_seed(5)
    first, again, other = (transform(*picture(), seed) for seed in (1, 1, 2))
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    assert all(map(torch.equal, first, again)) and not torch.equal(first[0], other[0])


def test_masks_keep_their_values():
    mask = np.kron(np.array([[0, 7], [20, 255]]), np.ones((8, 8))).astype(np.uint8)
    image = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
    seen = pairs.PairTransform(48, **PLAIN, longer=(37, 37))(image, mask, 0)[1]
    assert set(seen.unique().tolist()) == {0, 7, 20, 255}


@pytest.mark.parametrize("scaling", [{}, {"longer": (2, 4), "factors": (1.0,)}, {"longer": (9, 4)}, {"longer": (0, 4)}])
def test_scaling_is_said_in_one_way(scaling):
    with pytest.raises(ValueError, match="longer"):
        pairs.PairTransform(8, **PLAIN, **scaling)


def test_a_crop_has_a_side():
    with pytest.raises(ValueError, match="crop_size must be positive, got 0"):
        pairs.PairTransform(0, **PLAIN, factors=(1,))


def test_items_are_the_same_at_every_time(tmp_path):
    images, masks = tiny.squares(tmp_path, 3)
    transform = pairs.PairTransform(32, **PLAIN, longer=(40, 60))
    made = pairs.PairSamples(images, masks.mask, transform, seed=4)
    assert all(map(torch.equal, made[2, 1], made[2, 1]))
    assert not torch.equal(made[2, 1][0], made[3, 1][0])


def test_a_mask_of_another_size_is_refused(tmp_path):
    images, _ = tiny.squares(tmp_path / "data", 1)
    index_masks.write_mask(tmp_path / "made" / "i000.png", np.zeros((4, 4), np.uint8))
    masks = targets.PseudoMasks(tmp_path / "made", tiny.CLASSES)
    made = pairs.PairSamples(images, masks.mask, pairs.PairTransform(8, **PLAIN, factors=(1,)), 0)
    with pytest.raises(DataError, match=r"image i000: the image has 40 x 48 pixels .* its mask 4 x 4"):
        made[0, 0]


def test_loss_by_hand():
    logits = torch.tensor([2.0, 0.0, 0.0]).reshape(1, 3, 1, 1).expand(1, 3, 1, 2)
    log_z = math.log(math.exp(2) + 2)
    masks = torch.tensor([[[0, 1]]])
    assert losses.pixel_loss(logits, masks).item() == pytest.approx((log_z - 2 + log_z) / 2)
    # smoothing 0.3: 0.7 for the class, 0.1 more for each of three
    smooth = (0.7 * (log_z - 2) + 0.1 * (3 * log_z - 2) + 0.7 * log_z + 0.1 * (3 * log_z - 2)) / 2
    assert losses.pixel_loss(logits, masks, smoothing=0.3).item() == pytest.approx(smooth)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_void_pixels_count_for_nobody(smoothing):
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 5, 6, requires_grad=True)
    masks = torch.randint(0, 4, (2, 5, 6))
    masks[:, 2:] = VOID
    loss = losses.pixel_loss(logits, masks, smoothing=smoothing)
    torch.testing.assert_close(loss, losses.pixel_loss(logits[:, :, :2], masks[:, :2], smoothing=smoothing))
    loss.backward()
    assert not logits.grad[:, :, 2:].any() and logits.grad[:, :, :2].any()


def test_only_void_gives_zero_and_no_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = losses.pixel_loss(logits, torch.full((1, 4, 4), VOID), smoothing=0.1)
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_several_maps_add_up_each_at_its_size():
    torch.manual_seed(0)
    masks = torch.randint(0, 3, (1, 8, 8))
    maps = [torch.randn(1, 3, 8, 8), torch.randn(1, 3, 4, 4)]
    by_hand = losses.pixel_loss(maps[0], masks) + losses.pixel_loss(maps[1], losses.shrink(masks, (4, 4)))
    torch.testing.assert_close(losses.multi_scale_loss(maps, masks), by_hand)


def test_shrunk_masks_are_those_of_pillow():
    torch.manual_seed(0)
    mask = torch.randint(0, 256, (321, 321), dtype=torch.uint8)
    small = Image.fromarray(mask.numpy()).resize((41, 41), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(losses.shrink(mask[None].long(), (41, 41))[0].numpy(), np.asarray(small))


def test_sizes_that_differ_are_refused():
    with pytest.raises(ValueError, match="resize one"):
        losses.pixel_loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 8, 8, dtype=torch.long))


def test_ground_truth_does_not_pass_for_pseudo_masks(tmp_path):
    images, masks = tiny.squares(tmp_path, 2)
    with pytest.raises(DataError, match="ground truth, not pseudo masks"):
        targets.PseudoMasks(tmp_path / "masks", tiny.CLASSES).check(images)
    assert targets.SupervisedMasks(masks).supervision != targets.PseudoMasks.supervision


def test_pseudo_masks_beside_a_folder_of_images_are_no_ground_truth(tmp_path):
    images, masks = tiny.squares(tmp_path / "pets", 1)
    flat = replace(images, paths=(tmp_path / "pets" / "i000.png",))  # images lie in the data set's folder itself
    for place in (tmp_path / "runs", tmp_path / "pets/masks"):
        index_masks.write_mask(place / "i000.png", masks.mask("i000"))
    targets.PseudoMasks(tmp_path / "runs", tiny.CLASSES).check(flat)
    with pytest.raises(DataError, match="ground truth, not pseudo masks"):
        targets.PseudoMasks(tmp_path / "pets/masks", tiny.CLASSES).check(flat)


def test_missing_pseudo_masks_are_named(tmp_path):
    images, masks = tiny.squares(tmp_path / "data", 3)
    index_masks.write_mask(tmp_path / "made" / "i001.png", masks.mask("i001"))
    with pytest.raises(DataError, match="2 of 3 images have no pseudo mask, such as i000, i002"):
        targets.PseudoMasks(tmp_path / "made", tiny.CLASSES).check(images)
    with pytest.raises(DataError, match="no such folder"):
        targets.PseudoMasks(tmp_path / "none", tiny.CLASSES)


def test_digest_tells_masks_apart(tmp_path):
    _, masks = tiny.squares(tmp_path / "data", 2)
    made = targets.PseudoMasks((tmp_path / "made").mkdir() or tmp_path / "made", tiny.CLASSES)
    for id in masks.ids:
        index_masks.write_mask(made.folder / f"{id}.png", masks.mask(id))
    before = made.digest(masks.ids), targets.SupervisedMasks(masks).digest(masks.ids)
    index_masks.write_mask(made.folder / "i001.png", np.zeros_like(masks.mask("i001")))
    assert made.digest(masks.ids) != before[0] and targets.SupervisedMasks(masks).digest(masks.ids) == before[1]


def test_pseudo_masks_read_as_masks(tmp_path):
    index_masks.write_mask(tmp_path / "a.png", np.array([[0, 2], [255, 1]]))
    made = targets.PseudoMasks(tmp_path, tiny.CLASSES)
    assert isinstance(made.of(["a"]), Masks)
    np.testing.assert_array_equal(made.mask("a"), [[0, 2], [255, 1]])
    index_masks.write_mask(tmp_path / "a.png", np.array([[3]]))
    with pytest.raises(DataError, match="holds index 3"):
        made.mask("a")


@pytest.mark.parametrize(("scaling", "name"), [({"longer": (40, 40)}, "BICUBIC"), ({"factors": [0.5]}, "BILINEAR")])
def test_images_are_scaled_as_published(scaling, name, monkeypatch):
    seen, resize = [], pairs.v2.functional.resize
    spy = lambda image, size, **how: seen.append(how["interpolation"].name) or resize(image, size, **how)  # noqa: E731
    monkeypatch.setattr(pairs.v2.functional, "resize", spy)
    pairs.PairTransform(24, **PLAIN, **scaling)(*picture(), 0)
    assert seen == [name, "NEAREST_EXACT"]
