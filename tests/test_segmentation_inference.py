"""Masks of a segmentation network: scales and mirrors beside a literal loop, the CRF, sizes, and what is left alone."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from pnoc_lib.data import index_masks
from pnoc_lib.data.images import LabeledImages, Masks, read_index_mask
from pnoc_lib.data.problems import DataError
from pnoc_lib.engine import crf
from pnoc_lib.evaluation import masks as scoring
from pnoc_lib.segmentation import deeplab, inference
from tests import tiny

pytestmark = pytest.mark.usefixtures("one_thread")
QUIET = {"progress": False, "workers": 1}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = deeplab.DeepLabV3Plus("test_resnet", 2, width=8, low_width=4, seed=3).eval()
    for parameter in made.head.decoder[-1].parameters():
        parameter.data *= 4  # confident enough for masks with borders
    return made


@pytest.fixture(scope="module")
def segmenter(network):
    return inference.Segmenter(network, precision="no", device="cpu")


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return tiny.squares(tmp_path_factory.mktemp("squares"), 4)


def literal(network, image, scales):
    """Section 23 in the order of the published code: by way of the scaled image, a sum over the mirror, a mean."""
    total = 0
    height, width = image.shape[-2:]
    for scale in scales:
        sides = [round(scale * height), round(scale * width)]
        scaled = (
            inference.TF.resize(image, sides, interpolation=inference.InterpolationMode.BICUBIC)
            if scale != 1
            else image
        )
        for mirror in (False, True):
            seen = scaled.flip(-1) if mirror else scaled
            with torch.no_grad():
                pixels = (seen.float() / 255 - torch.tensor(network.mean)[:, None, None]) / torch.tensor(network.std)[
                    :, None, None
                ]
                logits = network(pixels)[0]
            logits = logits.flip(-1) if mirror else logits
            total = total + F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
    return total / len(scales)


def test_augmented_logits_beside_a_literal_loop(network, segmenter, squares):
    image = torch.stack([inference.TF.pil_to_tensor(squares[0].image(i)) for i in squares[0].ids])
    fast, slow = inference.augmented_logits(segmenter, image, [0.5, 1.0, 1.5]), literal(network, image, [0.5, 1.0, 1.5])
    assert fast.shape == slow.shape == (4, 3, 40, 48)
    assert (fast.argmax(1) == slow.argmax(1)).float().mean() > 0.97  # not by way of the scaled image
    assert (fast - slow).abs().mean() < 0.05 * slow.std()


def test_a_mirror_image_has_the_mirrored_mask(segmenter, squares):
    image = inference.TF.pil_to_tensor(squares[0].image("i001"))[None]
    there, back = (inference.augmented_logits(segmenter, one, [1.0]) for one in (image, image.flip(-1)))
    torch.testing.assert_close(back.flip(-1), there, rtol=1e-4, atol=1e-4)


def test_large_images_go_one_after_the_other(segmenter, squares, monkeypatch):
    image = inference.TF.pil_to_tensor(squares[0].image("i000"))[None]
    together = inference.augmented_logits(segmenter, image, [1.0])
    monkeypatch.setattr(inference, "PAIR_PIXELS", 10)
    torch.testing.assert_close(inference.augmented_logits(segmenter, image, [1.0]), together, rtol=1e-4, atol=1e-4)


def test_masks_with_and_without_crf(segmenter, squares):
    ids, masks, plain = zip(*inference.predict(segmenter, squares[0], scales=[1.0], **QUIET), strict=True)
    assert ids == squares[0].ids
    for id, mask, before in zip(ids, masks, plain, strict=True):
        image = squares[0].image(id)
        logits = inference.augmented_logits(segmenter, inference.TF.pil_to_tensor(image)[None], [1.0])
        shares = logits.softmax(1)[0].numpy()
        np.testing.assert_array_equal(before, shares.argmax(0))
        np.testing.assert_array_equal(mask, crf.refine_probabilities(np.asarray(image), shares, crf.SEGMENTATION))
        assert mask.dtype == np.uint8 and mask.shape == image.size[::-1]
    assert any((mask != before).any() for mask, before in zip(masks, plain, strict=True))
    for _, mask, before in inference.predict(segmenter, squares[0], scales=[1.0], with_crf=False, **QUIET):
        np.testing.assert_array_equal(mask, before)


def test_batches_and_processes_change_nothing(segmenter, squares):
    one, many = (
        dict(
            (id, mask) for id, mask, _ in inference.predict(segmenter, squares[0], scales=[1.0], progress=False, **how)
        )
        for how in ({"workers": 1}, {"workers": 2, "batch_size": 2})
    )
    assert list(one) == list(many)
    differ = np.mean([(one[id] != many[id]).mean() for id in one])
    assert differ < 0.002  # sums of a batch may round otherwise


def pictures(folder, sizes):
    ids = tuple(f"p{k}" for k in range(len(sizes)))
    for id, size in zip(ids, sizes, strict=True):
        Image.effect_noise(size, 60).convert("RGB").save(folder / f"{id}.png")
    labels = np.ones((len(ids), 2), np.uint8)
    return LabeledImages("x", "test", tiny.CLASSES, ids, labels, tuple(folder / f"{i}.png" for i in ids))


def test_odd_and_different_sizes_come_back(segmenter, tmp_path):
    sizes = [(33, 17), (33, 17), (20, 41), (1, 1)]
    images = pictures(tmp_path, sizes)
    masks = [mask for _, mask, _ in inference.predict(segmenter, images, scales=[1.0, 1.5], batch_size=3, **QUIET)]
    assert [mask.shape[::-1] for mask in masks] == sizes


def test_large_neighbours_run_in_smaller_chunks(segmenter, tmp_path, monkeypatch):
    images = pictures(tmp_path, [(30, 20)] * 5 + [(300, 20)] * 2)
    monkeypatch.setattr(inference, "CHUNK_PIXELS", 2000)
    chunks = list(inference._neighbours(images, 4))
    assert [len(chunk) for chunk in chunks] == [3, 2, 1, 1]
    assert [id for chunk in chunks for id in chunk] == list(images.ids)
    assert [len(chunk) for chunk in inference._neighbours(images, 1)] == [1] * 7
    seen = []
    monkeypatch.setattr(inference, "PAIR_PIXELS", 1500)
    inference._with_mirror(lambda batch: seen.append(len(batch)) or batch.float(), torch.zeros(3, 3, 20, 30))
    inference._with_mirror(lambda batch: seen.append(len(batch)) or batch.float(), torch.zeros(2, 3, 20, 30))
    assert seen == [3, 3, 4]


def test_a_longest_side_bounds_the_work(segmenter, tmp_path, monkeypatch):
    images, seen = pictures(tmp_path, [(90, 60), (30, 20)]), []
    plain = inference.augmented_logits
    monkeypatch.setattr(
        inference,
        "augmented_logits",
        lambda s, x, *more, **how: seen.append(tuple(x.shape[-2:])) or plain(s, x, *more, **how),
    )
    masks = [mask for _, mask, _ in inference.predict(segmenter, images, scales=[1.0], longest=45, **QUIET)]
    assert seen == [(30, 45), (20, 30)]
    assert masks[0].shape == (60, 90)
    np.testing.assert_array_equal(masks[0][::2, ::2], masks[0][1::2, 1::2])  # by the nearest pixel


def test_v2_is_tested_by_its_maximum(squares):
    made = deeplab.DeepLabV2("test_resnet", 2, scales=(0.5,)).eval()
    image = inference.TF.pil_to_tensor(squares[0].image("i000"))[None]
    on_cpu = inference.Segmenter(made, precision="no", device="cpu")
    got = inference.augmented_logits(on_cpu, image, inference.ONE_LOOK, mirror=False)
    pixels = (image.float() / 255 - torch.tensor(made.mean)[:, None, None]) / torch.tensor(made.std)[:, None, None]
    with torch.no_grad():
        slow = F.interpolate(made(pixels)[-1], (40, 48), mode="bilinear", align_corners=False)
    torch.testing.assert_close(got, slow, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 3)])
def test_v2_sees_images_of_a_pixel(size):
    made = deeplab.DeepLabV2("test_resnet", 2).eval()
    with torch.no_grad():
        assert torch.isfinite(made(torch.randn(1, 3, *size))[-1]).all()


def test_masks_of_a_v2_that_looks_otherwise_are_made_anew(squares, tmp_path):
    made = [
        inference.Segmenter(deeplab.DeepLabV2("test_resnet", 2, scales=s).eval(), precision="no", device="cpu")
        for s in ((0.5,), ())
    ]
    assert made[0].digest == made[1].digest  # the same weights
    folders = [index_masks.MaskFolder(tmp_path / name) for name in ("refined", "plain")]
    how = {"scales": [1.0], "mirror": False, **QUIET}
    assert [inference.fill(one, squares[0], *folders, **how) for one in (*made, made[1])] == [4, 4, 0]


def test_the_network_is_left_alone(network, squares):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    list(inference.predict(inference.Segmenter(network, precision="bf16"), squares[0], scales=[1.0], **QUIET))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_scores_of_masks_by_hand(tmp_path):
    truth, guess = np.array([[0, 1], [1, 255]], np.uint8), np.array([[0, 1], [0, 1]], np.uint8)
    for folder, mask in (("truth", truth), ("guess", guess)):
        index_masks.write_mask(tmp_path / folder / "a.png", mask)
    of = {name: Masks(("x",), ("a",), (tmp_path / name / "a.png",), read_index_mask) for name in ("truth", "guess")}
    np.testing.assert_array_equal(scoring.confusion(of["guess"], of["truth"]), [[1, 0], [1, 1]])
    table, means = scoring.scores(of["guess"], of["truth"])
    assert table["iou"].tolist() == [0.5, 0.5] and means["miou"] == 0.5


def test_an_uncertain_pseudo_mask_counts_as_background_and_sizes_must_fit(tmp_path):
    for folder, mask in (("truth", [[1, 0]]), ("guess", [[255, 0]]), ("wrong", [[1], [0]])):
        index_masks.write_mask(tmp_path / folder / "a.png", np.array(mask))
    of = {n: Masks(("x",), ("a",), (tmp_path / n / "a.png",), read_index_mask) for n in ("truth", "guess", "wrong")}
    np.testing.assert_array_equal(scoring.confusion(of["guess"], of["truth"]), [[1, 0], [1, 0]])
    with pytest.raises(DataError, match="image a: the predicted mask is"):
        scoring.confusion(of["wrong"], of["truth"])


def test_an_image_that_was_mended_gets_its_mask_anew(segmenter, tmp_path):
    images = pictures(tmp_path, [(32, 32), (32, 32)])
    folders = [index_masks.MaskFolder(tmp_path / name) for name in ("refined", "plain")]
    how = {"scales": [1.0], "workers": 1, "progress": False}
    assert inference.fill(segmenter, images, *folders, **how) == 2
    Image.effect_noise((48, 40), 60).convert("RGB").save(images.paths[0])
    assert inference.fill(segmenter, images, *folders, **how) == 1
    assert [Image.open(folder.path("p0")).size for folder in folders] == [(48, 40)] * 2
    assert inference.fill(segmenter, images, *folders, **how) == 0
