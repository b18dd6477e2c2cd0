"""The edge head, its loss and its training: counts, double loops, what learns and what does not, kills."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from pnoc_lib.affinity import inference, masks, network, paths, training, walk
from pnoc_lib.data import index_masks, pairs, stores, voc
from pnoc_lib.data.images import VOID
from pnoc_lib.data.problems import DataError
from pnoc_lib.engine import pointwise
from pnoc_lib.engine.loop import Pace
from pnoc_lib.evaluation import affinity as measures
from tests import tiny

pytestmark = pytest.mark.usefixtures("one_thread")
BACKBONE = "test_efficientnet"
QUICK = training.EdgeSettings(
    Pace(epochs=2, batch_size=2, precision="no"), radius=3, crop_size=32, resize_min=40, resize_max=56, lr=0.5
)


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return tiny.squares(tmp_path_factory.mktemp("squares"), 6)


@pytest.fixture(scope="module")
def labels(squares, tmp_path_factory):
    """Masks in the place of affinity labels, their void uncertain."""
    folder = index_masks.MaskFolder(tmp_path_factory.mktemp("labels"))
    for image_id in squares[1].ids:
        folder.write(image_id, squares[1].mask(image_id))
    return folder


@pytest.fixture(scope="module")
def priors(squares, tmp_path_factory):
    """A blurred quarter of every mask's sides, as a store."""
    images, truth = squares
    store = stores.MapStore(tmp_path_factory.mktemp("cams"))
    store.renew({"split": "train"})
    for image_id, source in stores.sources(images).items():
        mask, classes = truth.mask(image_id), np.flatnonzero(images.label(image_id))
        maps = np.stack([(mask == c + 1)[2::4, 2::4] for c in classes]) * 0.8
        store.write(image_id, maps, classes, mask.shape, source=source)
    return store


def made(seed=0):
    return network.EdgeNetwork(BACKBONE, seed=seed, precision="no")


@pytest.mark.parametrize(("backbone", "count"), [("resnest101e", 127457), ("resnest50d", 125409)])
def test_parameters_of_the_head_are_the_published_ones(backbone, count):
    with torch.device("meta"):
        stem = 128 if backbone == "resnest101e" else 64
        head = network.EdgeHead((stem, 256, 512, 1024, 2048), (2, 4, 8, 16, 16))
    assert sum(parameter.numel() for parameter in head.parameters()) == count


def test_pairs_of_a_12_by_12_grid_are_counted():
    labels = torch.zeros(1, 12, 12, dtype=torch.uint8)
    labels[:, :, 6:] = 1
    kinds = network.pair_kinds(labels, 5)
    wanted = {"background": 0, "foreground": 0, "negative": 0}
    for y in range(12 - 4):
        for x in range(4, 12 - 4):
            for dy, dx in paths.offsets(5):
                ends = {int(labels[0, y, x]), int(labels[0, y + dy, x + dx])}
                wanted["negative" if len(ends) == 2 else "foreground" if ends == {1} else "background"] += 1
    assert {kind: int(where.sum()) for kind, where in kinds.items()} == wanted
    assert sum(wanted.values()) == 34 * 8 * 4
    labels[:] = VOID
    assert not any(where.any() for where in network.pair_kinds(labels, 5).values())


def test_loss_is_that_of_a_double_loop():
    generator = torch.Generator().manual_seed(0)
    edge = torch.rand(2, 9, 11, generator=generator)
    labels = torch.tensor([0, 1, 2, VOID], dtype=torch.uint8)[torch.randint(0, 4, (2, 9, 11), generator=generator)]
    affinity = paths.affinities(edge, 3)
    sums, counts = dict.fromkeys(("background", "foreground", "negative"), 0.0), {}
    for n in range(2):
        for y in range(7):
            for x in range(2, 9):
                for number, (dy, dx) in enumerate(paths.offsets(3)):
                    a, b = int(labels[n, y, x]), int(labels[n, y + dy, x + dx])
                    if VOID in (a, b):
                        continue
                    kind = "negative" if a != b else "foreground" if a else "background"
                    value = float(affinity[n, number, y, x - 2])
                    sums[kind] += -np.log(1 + 1e-5 - value) if kind == "negative" else -np.log(value + 1e-5)
                    counts[kind] = counts.get(kind, 0) + 1
    means = {kind: sums[kind] / (counts[kind] + 1e-5) for kind in sums}
    terms = network.loss_terms(affinity, network.pair_kinds(labels, 3))
    assert {kind: float(term) for kind, term in terms.items()} == pytest.approx(means, rel=1e-4)
    wanted = (means["background"] + means["foreground"]) / 4 + means["negative"] / 2
    assert float(network.loss(terms)) == pytest.approx(wanted, rel=1e-4)


def test_no_pair_costs_nothing():
    labels = torch.full((1, 9, 11), VOID, dtype=torch.uint8)
    affinity = paths.affinities(torch.rand(1, 9, 11), 3)
    assert float(network.loss(network.loss_terms(affinity, network.pair_kinds(labels, 3)))) == 0


@pytest.mark.parametrize("size", [(64, 64), (61, 35), (33, 130)])
def test_one_edge_a_cell_of_odd_images_too(size):
    one = made()
    assert one(torch.randn(1, 3, *size)).shape == (1, -(-size[0] // 4), -(-size[1] // 4))
    labels = torch.randint(0, 3, (1, *size), dtype=torch.uint8)
    assert network.to_grid(labels).shape[1:] == (-(-size[0] // 4), -(-size[1] // 4))


def test_fused_activations_change_no_bit_and_are_no_part_of_the_network():
    one = network.EdgeNetwork("tf_efficientnet_lite0", precision="bf16")
    before = list(one.state_dict())
    image = torch.randn(2, 3, 75, 101)
    plain = one.pyramid.network(image.to(torch.bfloat16, memory_format=torch.channels_last))
    fused = one.features(image)
    for stride, whole, seen in zip(one.strides, plain, fused, strict=True):
        assert torch.equal(network._pooled(whole, stride), seen)
    assert any(isinstance(part, pointwise.ReadyConvolution) for part in one.pyramid._ready[0].modules())
    assert list(one.state_dict()) == before


def test_the_label_of_a_cell_is_that_of_its_middle():
    labels = torch.arange(64, dtype=torch.uint8).view(1, 8, 8)
    assert network.to_grid(labels)[0].tolist() == [[18, 22], [50, 54]]


def test_only_the_head_learns(squares, labels, tmp_path):
    one = made()
    frozen = {name: value.clone() for name, value in one.pyramid.state_dict().items()}
    start = {name: value.clone() for name, value in one.head.state_dict().items()}
    history = training.train(one, squares[0], labels, tmp_path, QUICK, cpu=True, progress=False)
    assert all(torch.equal(value, frozen[name]) for name, value in one.pyramid.state_dict().items())
    assert any(not torch.equal(value, start[name]) for name, value in one.head.state_dict().items())
    assert not one.pyramid.training and {"loss_background", "pairs_negative"} <= set(history.steps)
    assert all(not feature.requires_grad for feature in one.features(torch.randn(1, 3, 32, 32)))


def test_edges_are_learned_from_labels_of_regions(squares, labels, tmp_path):
    longer = dataclasses.replace(QUICK, pace=Pace(epochs=30, batch_size=3, precision="no"), momentum=0.9, lr=0.1)
    history = training.train(made(), squares[0], labels, tmp_path, longer, cpu=True, progress=False)
    assert history.epochs["loss"].iloc[-1] < 0.75 * history.epochs["loss"].iloc[0]


class Killed(Exception):
    pass


def test_a_killed_training_ends_with_the_same_bytes(squares, labels, tmp_path, monkeypatch):
    whole = training.train(made(), squares[0], labels, tmp_path / "whole", QUICK, cpu=True, progress=False)
    real, left = network.loss, [4]

    def loss(terms):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return real(terms)

    monkeypatch.setattr(network, "loss", loss)
    options = {"cpu": True, "progress": False, "checkpoint_seconds": 0.0}
    with pytest.raises(Killed):
        training.train(made(), squares[0], labels, tmp_path / "parts", QUICK, **options)
    left[0] = 1000
    parts = training.train(made(), squares[0], labels, tmp_path / "parts", QUICK, **options)
    one, other = (tmp_path / name / "weights.safetensors" for name in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()
    assert parts.steps.equals(whole.steps)
    left[0] = 0  # a finished one is read back
    again = made(seed=0)
    training.train(again, squares[0], labels, tmp_path / "whole", QUICK, **options)
    assert not again.training


def test_from_priors_to_masks_with_resume(squares, priors, tmp_path):
    images, _ = squares
    one, walked = made(), stores.MapStore(tmp_path / "walked")
    short = walk.WalkSettings(radius=3, steps=8)
    options = {"least": 32, "batch_size": 4, "progress": False}
    assert inference.fill_walked(one, images.subset(images.ids[:2]), priors, walked, short, **options) == 2
    folders = {0.3: index_masks.MaskFolder(tmp_path / "a"), 0.5: index_masks.MaskFolder(tmp_path / "b")}
    inference.fill_walked(one, images, priors, walked, short, **options)
    assert inference.fill_walked(one, images, priors, walked, short, **options) == 0
    alone = stores.MapStore(tmp_path / "alone")
    inference.fill_walked(one, images, priors, alone, short, least=32, batch_size=1, progress=False)
    for image_id in images.ids:
        np.testing.assert_allclose(walked.read(image_id).maps, alone.read(image_id).maps, atol=1.01 / 255)
        assert walked.read(image_id).classes.tolist() == np.flatnonzero(images.label(image_id)).tolist()
    assert masks.fill(folders, images, walked, workers=1, progress=False) == 6
    folders[0.3].path(images.ids[2]).unlink()
    assert masks.fill(folders, images, walked, workers=1, progress=False) == 1
    found = voc.read_masks(tmp_path / "a", images.ids, classes=tiny.CLASSES)
    assert set(np.unique(found.mask("i000"))) <= {0, 1} and found.mask("i000").shape == (40, 48)


def test_stores_that_do_not_belong_are_refused(squares, priors, tmp_path):
    images, _ = squares
    other = dataclasses.replace(images, split="val")
    with pytest.raises(DataError, match="split 'train', not 'val'"):
        inference.fill_walked(made(), other, priors, stores.MapStore(tmp_path / "w"), progress=False)
    with pytest.raises(DataError, match="6 of 6 images have no affinity label"):
        training.train(made(), images, index_masks.MaskFolder(tmp_path), tmp_path, QUICK, cpu=True, progress=False)
    with pytest.raises(ValueError, match="no pair within 10 cells"):
        dataclasses.replace(QUICK, radius=10)
    network.save_head(made(), tmp_path / "head.safetensors")
    two = made()
    two.backbone = "resnet50"
    with pytest.raises(ValueError, match="is the head of 'test_efficientnet', the network is 'resnet50'"):
        network.load_head(two, tmp_path / "head.safetensors")


def test_masks_by_hand():
    maps = np.zeros((2, 3, 4), np.float32)
    maps[0, :, :2], maps[1, :, 2:] = 0.5, 0.25
    large = masks.enlarge(maps, (10, 15))
    assert large.shape == (2, 10, 15) and large.max() == 1
    cut = masks.cut(large, np.array([3, 7]), 0.6)
    assert (cut[:, :6] == 4).all() and (cut[:, 12:] == 0).all() and set(np.unique(cut)) == {0, 4}
    assert set(np.unique(masks.cut(large, np.array([3, 7]), 0.3))) == {4, 8}
    flat = np.repeat([[40] * 7 + [200] * 8], 10, 0)[..., None].repeat(3, -1).astype(np.uint8)
    high, low = masks.refine(flat, maps, np.array([3, 7]), (0.6, 0.3))
    assert set(np.unique(high)) == {0, 4} and set(np.unique(low)) == {4, 8} and low.dtype == np.uint8


def test_an_image_without_a_class_is_background():
    image = np.random.default_rng(0).integers(0, 255, (9, 13, 3)).astype(np.uint8)
    nothing = np.zeros((0, 3, 4), np.float32)
    assert masks.refine(image, nothing, np.zeros(0, int), (0.3, 0.5)).tolist() == np.zeros((2, 9, 13)).tolist()
    silent = np.zeros((1, 3, 4), np.float32)  # with a class, of which nothing is left
    assert not masks.refine(image, silent, np.array([4]), (0.3,)).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (5, 7)])
def test_tiny_images_have_edges_and_walk(size):
    edge = inference.edges(made(), torch.randint(0, 255, (1, 3, *size), dtype=torch.uint8), least=32)
    assert edge.shape == (1, -(-size[0] // 4), -(-size[1] // 4))
    assert torch.isfinite(walk.walk(torch.rand(1, 2, *edge.shape[1:]), edge)).all()


def test_image_and_label_have_one_geometry():
    transform = pairs.PairTransform(40, (0, 0, 0), (1, 1, 1), (30, 60))
    random = np.random.default_rng(0)
    for seed in range(20):
        mask = np.kron(random.integers(0, 2, (4, 5)), np.ones((10, 10))).astype(np.uint8)
        image = Image.fromarray(np.repeat(mask[..., None] * 255, 3, 2))
        pixels, label = transform(image, mask, seed)
        known = label != VOID
        assert pixels.shape == (3, 40, 40) and label.dtype == torch.int64
        assert (((pixels[0] > 0.5) == (label == 1)) | ~known).float().mean() > 0.93
        assert (pixels[:, ~known] == 0).all()  # padding
        again = transform(image, mask, seed)
        assert torch.equal(pixels, again[0]) and torch.equal(label, again[1])
    with pytest.raises(DataError, match="get the mask that belongs to it"):
        transform(image, mask[1:], 0)


def test_quality_of_labels_by_hand(squares, labels):
    images, truth = squares
    found = voc.read_masks(labels.folder, images.ids, classes=tiny.CLASSES)
    told = measures.label_quality(found, truth, images.ids, 3)
    assert told["precision of background"] == told["precision of foreground"] == 1
    assert told["uncertain"] + told["background"] + told["foreground"] == pytest.approx(1)
    assert told["negative pairs"] > 0
    assert np.isnan(measures.label_quality(found, None, images.ids[:1], 3)["precision of background"])


def test_a_perfect_outline_keeps_its_walkers():
    mask = np.zeros((40, 40), np.uint8)
    mask[:20] = 1
    edge = torch.zeros(10, 10)
    open_ = measures.staying(edge, mask, (1, 16), walk.PAPER).set_index(["class", "steps"])["stays"]
    edge[5] = 1
    shut = measures.staying(edge, mask, (1, 16), walk.PAPER).set_index(["class", "steps"])["stays"]
    assert shut[1, 16] == pytest.approx(1, abs=1e-4) and open_[1, 16] < open_[1, 1] < 1


def test_rows_of_table_7_are_named_as_printed():
    assert measures.table7_row("puzzle", 0.0) == "P"
    assert measures.table7_row("p-oc-ls", 0.1, "c2am-h") == "P-OC +LS +C2AM-H"
    assert measures.table7_row("p-noc-ls", 0.1, "c2am-h") == "P-OC +LS +C2AM-H +NOC"
    assert measures.table7_row("cam", 0.0) == "CAM"


def test_a_small_image_may_walk_on_a_finer_grid(squares, priors, tmp_path):
    images, _ = squares
    one, walked = made(), stores.MapStore(tmp_path / "walked")
    options = {"least": 32, "scale": 2.0, "batch_size": 3, "progress": False}
    inference.fill_walked(one, images, priors, walked, walk.WalkSettings(radius=3, steps=8), **options)
    kept = walked.read("i000")
    assert kept.maps.shape == (1, 20, 24) and kept.size == (40, 48)
    assert masks.enlarge(kept.maps, kept.size).shape == (1, 40, 48)


def test_outlines_of_a_mask_are_where_classes_meet():
    mask = np.zeros((40, 40), np.uint8)
    mask[12:28, 12:28] = 5
    edge = measures.outlines(mask, (10, 10))
    assert edge[4:6, 4:6].sum() == 0 and edge[3:7, 3:7].sum() == 12 and edge.sum() == 12


def test_parts_of_the_walk_are_scored_alike(squares, priors):
    images, truth = squares
    table = measures.what_helps(lambda i: torch.zeros(10, 12), priors, truth, images.ids, walk.WalkSettings(steps=4))
    scores = table.set_index("maps")["miou"]
    assert scores["prior"] == scores["prior o (1 - edge)"] and scores["walked"] == scores["walked, without 1 - edge"]
    assert scores["prior"] > scores["walked"] > 0  # without edges everything leaks
    assert scores["walked by the outlines of the masks"] > scores["walked"]


def test_nobody_stays_where_all_is_void():
    found = measures.staying(torch.zeros(4, 4), np.full((16, 16), 255, np.uint8), (1, 16), walk.PAPER)
    assert found.empty and list(found) == ["class", "steps", "stays"]
