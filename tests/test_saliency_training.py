"""C2AM, C2AM-H and PoolNet on coloured squares: recipes, resume, stores, and what may be wrong with the input."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from pnoc_lib import files
from pnoc_lib.data import stores
from pnoc_lib.engine import crf, learner, multiscale
from pnoc_lib.engine.fixed import FixedEncoder
from pnoc_lib.saliency import c2am, inference, poolnet, refinement, samples, training

pytestmark = pytest.mark.usefixtures("one_thread")
BACKBONE = "test_resnet"
PLAIN = training.Settings(epochs=2, batch_size=4, crop_size=32, precision="no")
HINTED = training.Settings("c2am-h", epochs=2, batch_size=4, crop_size=32, precision="no")
REFINE = refinement.Settings(epochs=2, accumulation=3, precision="no", lr=1e-3)
QUIET = {"cpu": True, "progress": False}


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return tiny.squares(tmp_path_factory.mktemp("squares"), 9)


@pytest.fixture(scope="module")
def priors(squares, tmp_path_factory):
    """Priors that know the objects: 1 inside, 0 outside, at a quarter of the side."""
    images, masks = squares
    return teach(images, masks, stores.MapStore(tmp_path_factory.mktemp("priors")))


def teach(images, masks, store, *, one=False):
    store.renew({"weights": "none"})
    for image_id in images.ids:
        mask, classes = masks.mask(image_id), np.flatnonzero(images.label(image_id))
        maps = np.stack([(mask == c + 1).astype(np.float32) for c in classes])
        maps, classes = (maps.max(0, keepdims=True), [0]) if one else (maps[:, ::4, ::4], classes)
        store.write(image_id, maps, classes, mask.shape, source=stores.source(images, image_id))
    return store


def network(seed=0):
    return c2am.C2AM(BACKBONE, seed=seed)


def tensors(path):
    return files.read_tensors(path)[0]


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# the network


def test_the_maps_of_two_stages_lie_side_by_side():
    ours = network().eval()
    features, logits = ours(torch.randn(2, 3, 48, 64))
    assert features.shape == (2, sum(ours.encoder.channels), 3, 4) and logits.shape == (2, 1, 3, 4)
    torch.testing.assert_close(ours.head(features), logits)


def test_an_inverted_head_gives_the_other_half():
    ours = network().eval()
    features = torch.randn(2, sum(ours.encoder.channels), 3, 4)
    before = ours.head(features).sigmoid()
    ours.head.inverted.fill_(True)
    torch.testing.assert_close(ours.head(features).sigmoid(), 1 - before)


def test_the_border_by_hand():
    phi = torch.zeros(1, 1, 28, 28)
    phi[..., 4:-4, 4:-4] = 1
    assert c2am.border_mean(phi).item() == 0  # strips of 4 positions
    assert c2am.border_mean(1 - phi).item() == 1
    phi[..., 3, 10] = 1
    assert c2am.border_mean(phi).item() == pytest.approx(1 / (4 * 4 * 28))
    assert c2am.border_mean(torch.ones(1, 1, 2, 3)).item() == 1


def test_a_saved_network_is_the_same_with_its_orientation(tmp_path):
    ours = network(3).eval()
    ours.head.inverted.fill_(True)
    c2am.save_network(ours, tmp_path / "w.safetensors")
    again = c2am.load_network(tmp_path / "w.safetensors")
    assert again.head.inverted and equal(ours.state_dict(), again.state_dict())
    with pytest.raises(ValueError, match="holds no PoolNet but C2AM: give the weights of a PoolNet"):
        poolnet.load_network(tmp_path / "w.safetensors")


# what it sees


def test_image_and_hint_share_one_crop(squares, tmp_path):
    images, masks = squares
    square = samples.Square(64, 48, (0, 0, 0), (1, 1, 1))
    drawn = samples.SaliencySamples(images, square, 0, teach(images, masks, stores.MapStore(tmp_path), one=True))
    for index in range(9):
        pixels, hint = drawn[0, index]
        assert pixels.shape == (3, 48, 48) and hint.shape == (1, 48, 48)
        coloured = (pixels.amax(0) - pixels.amin(0)) > 0.5  # a square is colourful, the ground is grey
        inside = hint[0] > 0.5
        overlap = (coloured & inside).sum() / (coloured | inside).sum().clamp_min(1)
        assert overlap > 0.65, index  # the border of the squares is void
        assert torch.equal(drawn[0, index][0], pixels)  # the same at every time
        assert not torch.equal(drawn[1, index][0], pixels)  # and another in every epoch


def test_a_crop_larger_than_the_square_is_refused():
    with pytest.raises(ValueError, match="a crop of 65 pixels does not fit 64"):
        samples.Square(64, 65, (0, 0, 0), (1, 1, 1))


def test_the_geometry_of_the_paper():
    assert training.Settings(batch_size=128).resize == 512 and training.Settings().crop_size == 448
    hinted = training.Settings("c2am-h")
    assert (hinted.resize, hinted.head_factor, training.Settings().head_factor) == (515, 10, 1)
    assert (hinted.epochs, hinted.lr, hinted.alpha, hinted.delta_fg, hinted.lambda_h) == (10, 0.001, 0.25, 0.4, 1)


# trainings


def test_c2am_reads_no_label_and_keeps_its_scales(squares, tmp_path):
    images = squares[0]
    blind = type(images)(images.name, images.split, images.classes, images.ids, images.labels * 0, images.paths)
    one, other = network(), network()
    history = training.train(one, images, tmp_path / "a", PLAIN, **QUIET)
    training.train(other, blind, tmp_path / "b", PLAIN, **QUIET)
    assert equal(tensors(tmp_path / "a/weights.safetensors"), tensors(tmp_path / "b/weights.safetensors"))
    assert history.steps.columns.tolist() == ["step", "epoch", "lr", "loss", "pos_f", "pos_b", "neg", "border"]
    torch.testing.assert_close(one.head.norm.weight, network().head.norm.weight)
    assert not torch.equal(one.head.convolution.weight, network().head.convolution.weight)
    border = history.steps["border"][1]  # of the last batch of the first epoch
    assert bool(one.head.inverted) == (border > 0.5)


def test_a_flipped_head_learns_the_same_thing_and_is_told_apart(squares, tmp_path):
    one, other = network(), network()
    other.head.convolution.weight.data.neg_()
    training.train(one, squares[0], tmp_path / "a", PLAIN, **QUIET)
    training.train(other, squares[0], tmp_path / "b", PLAIN, **QUIET)
    assert bool(one.head.inverted) != bool(other.head.inverted)
    pixels = torch.randn(1, 3, 48, 48)
    torch.testing.assert_close(one(pixels)[1], other(pixels)[1], rtol=1e-3, atol=1e-4)


def test_hints_draw_phi_up_where_they_lie(squares, priors, tmp_path):
    settings = replace(HINTED, epochs=8, lr=0.01)
    history = training.train(network(), squares[0], tmp_path, settings, hints=priors, **QUIET)
    assert history.epochs["hint"].iloc[-1] < 0.8 * history.epochs["hint"].iloc[0]
    assert history.steps["hinted"].min() > 0 and history.steps["hinted"].max() < 0.7


def test_fixed_stages_stay_and_the_rest_learns(squares, tmp_path):
    net, before = network(), network().state_dict()
    training.train(net, squares[0], tmp_path / "run", replace(PLAIN, fixed_stages=1), **QUIET)
    after = net.state_dict()
    level = net.encoder.model.feature_info.info[0]["module"]
    fixed = [name for name in before if name.startswith(("encoder.model.conv1", f"encoder.model.{level}."))]
    fixed = [name for name in fixed if name.endswith(("weight", "bias"))]
    assert fixed and all(torch.equal(before[name], after[name]) for name in fixed)
    deep = [name for name in before if name.startswith("encoder.model.layer4") and "weight" in name and "conv" in name]
    assert deep and not any(torch.equal(before[name], after[name]) for name in deep)
    with pytest.raises(ValueError, match="fixed_stages must not be negative"):
        training.Settings(fixed_stages=-1)


def test_a_finished_training_is_read_back(squares, priors, tmp_path):
    first = network()
    training.train(first, squares[0], tmp_path, HINTED, hints=priors, **QUIET)
    before = (tmp_path / "weights.safetensors").stat().st_mtime_ns
    again = network()
    training.train(again, squares[0], tmp_path, HINTED, hints=priors, **QUIET)
    assert (tmp_path / "weights.safetensors").stat().st_mtime_ns == before and equal(
        first.state_dict(), again.state_dict()
    )


def test_other_hints_are_another_training(squares, tmp_path):
    images, masks = squares
    store = teach(images, masks, stores.MapStore(tmp_path / "priors"))
    training.train(network(), images, tmp_path / "run", HINTED, hints=store, **QUIET)
    before = tensors(tmp_path / "run/weights.safetensors")
    store.write("i000", np.ones((1, 4, 4)), [0], (40, 48), source=stores.source(images, "i000"))
    training.train(network(), images, tmp_path / "run", HINTED, hints=store, **QUIET)
    assert not equal(before, tensors(tmp_path / "run/weights.safetensors"))


def train_one(which, images, masks, folder, **options):
    if which == "poolnet":
        maps = teach(images, masks, stores.MapStore(folder.parent / "binary"), one=True)
        net = poolnet.PoolNet(BACKBONE, width=8)
        return refinement.train(net, images, maps, folder, REFINE, **QUIET, **options)
    hints = teach(images, masks, stores.MapStore(folder.parent / "priors")) if which == "c2am-h" else None
    settings = HINTED if hints is not None else PLAIN
    return training.train(network(), images, folder, settings, hints=hints, **QUIET, **options)


class Killed(BaseException):
    """The process goes here."""


@pytest.mark.parametrize(("which", "after"), [("c2am", 3), ("c2am-h", 3), ("poolnet", 4)])
def test_a_killed_training_ends_as_an_unbroken_one(squares, tmp_path, monkeypatch, which, after):
    """Amid an epoch, for PoolNet with its Adam; at the border test of C2AM as well."""
    update, count = learner.Learner.update, []

    def dying(self, loss):
        update(self, loss)
        count.append(loss)
        if len(count) == after:
            raise Killed

    monkeypatch.setattr(learner.Learner, "update", dying)
    with pytest.raises(Killed):
        train_one(which, *squares, tmp_path / "a/run", checkpoint_seconds=0.0)
    assert (tmp_path / "a/run/checkpoint.safetensors").is_file()
    monkeypatch.undo()
    train_one(which, *squares, tmp_path / "a/run")
    train_one(which, *squares, tmp_path / "b/run")
    name = "poolnet.safetensors" if which == "poolnet" else "weights.safetensors"
    assert equal(tensors(tmp_path / "a/run" / name), tensors(tmp_path / "b/run" / name))
    for table in ("steps.csv", "epochs.csv"):
        assert (tmp_path / "a/run" / table).read_text() == (tmp_path / "b/run" / table).read_text()


# stores


def test_proposals_and_binary_maps(squares, tmp_path):
    images = squares[0]
    labels = images.labels.copy()
    labels[1] = 0
    some = type(images)(images.name, images.split, images.classes, images.ids, labels, images.paths)
    predictor = multiscale.Predictor(network(), precision="no", device="cpu")
    proposals, binary = stores.MapStore(tmp_path / "p"), stores.MapStore(tmp_path / "b")
    assert inference.fill_proposals(predictor, some, proposals, scales=(1.0,), progress=False) == 9
    assert inference.fill_binary(proposals, some, binary, workers=1, progress=False) == 9
    assert inference.fill_binary(proposals, some, binary, workers=1, progress=False) == 0
    for image_id in some.ids:
        expected = inference.binarize(proposals.single(image_id), 0.2)
        refined = crf.refine_labels(np.asarray(some.image(image_id)), expected, 2, crf.SALIENCY)
        np.testing.assert_array_equal(binary.single(image_id), refined)
        assert proposals.single(image_id).max() in (0, pytest.approx(1, abs=0.01))
    assert binary.single("i001").max() == 0 and proposals.read("i001").maps.shape[0] == 0
    assert inference.fill_binary(proposals, some, binary, tau_s=0.5, workers=1, progress=False) == 9  # others: anew


def test_phi_itself_is_another_store(squares, tmp_path):
    images, store = squares[0].subset(squares[0].ids[:2]), stores.MapStore(tmp_path)
    predictor = multiscale.Predictor(network(), precision="no", device="cpu")
    inference.fill_proposals(predictor, images, store, scales=(1.0,), progress=False)
    before = store.single("i000")
    assert inference.fill_proposals(predictor, images, store, scales=(1.0,), activation="sigmoid", progress=False) == 2
    assert not np.array_equal(store.single("i000"), before)
    with pytest.raises(ValueError, match="unknown activation 'tanh': choose one of relu, sigmoid"):
        inference.fill_proposals(predictor, images, store, activation="tanh")


def test_a_binary_map_by_hand():
    assert inference.binarize(np.array([[0.1, 0.2, 0.21]], np.float32)).tolist() == [[0, 0, 1]]


# PoolNet


def test_the_published_form_has_the_published_number_of_parameters():
    with torch.device("meta"):
        full = poolnet.PoolNet("resnet50")
    norms = [m for m in full.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert sum(p.numel() for p in full.parameters()) == 68_261_057
    assert sum(p.numel() for m in norms for p in m.parameters()) == 68_261_057 - 68_207_937


@pytest.mark.parametrize("size", [(64, 48), (61, 37), (17, 130), (16, 16)])
def test_poolnet_takes_any_size(size):
    net = poolnet.PoolNet(BACKBONE, width=8).eval()
    assert net(torch.randn(2, 3, *size)).shape == (2, 1, *size)


def test_an_aggregation_of_a_constant_map_by_hand():
    layer = poolnet.Aggregation(1, 1, enlarged=False, fused=False)
    for module in layer.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.zero_()
            module.weight.data[0, 0, 1, 1] = 1
    torch.testing.assert_close(layer(torch.full((1, 1, 8, 8), 0.5)), torch.full((1, 1, 8, 8), 2.0))


@pytest.mark.parametrize("width", [0, 6])
def test_a_width_that_cannot_be_quartered_is_refused(width):
    with pytest.raises(ValueError, match=f"width must be a positive multiple of 4, got {width}"):
        poolnet.PoolNet(BACKBONE, width=width)


def test_the_loss_is_a_sum_over_pixels():
    logits, target = torch.zeros(1, 1, 2, 3), torch.ones(1, 1, 2, 3)
    assert refinement.saliency_loss(logits, target, 10).item() == pytest.approx(6 * np.log(2) / 10)


def test_images_of_one_size_run_together_as_far_as_memory_allows():
    sizes = [(4, 6), (6, 4), (4, 6), (4, 6), (5, 5)]
    pairs = [(torch.full((3, *size), float(k)), torch.full((1, *size), float(k))) for k, size in enumerate(sizes)]
    groups = list(refinement.alike(pairs, 2 * 24 + 1))
    assert [[int(v) for v in maps[:, 0, 0, 0]] for _, maps in groups] == [[0, 2], [3], [1], [4]]
    assert all(torch.equal(images[:, :1], maps) for images, maps in groups)
    assert [len(images) for images, _ in refinement.alike(pairs, 1)] == [1] * 5


def test_together_or_one_by_one_poolnet_learns_the_same(squares, tmp_path, monkeypatch):
    """Gradients of a step are those of its images added up, whichever share a pass."""
    once = replace(REFINE, epochs=1, accumulation=9)
    maps = teach(*squares, stores.MapStore(tmp_path / "maps"), one=True)
    trained, tables = [], []
    for name, pixels in {"together": 2**18, "pairs": 2 * 40 * 48, "alone": 1}.items():
        monkeypatch.setattr(refinement, "TOGETHER", pixels)
        net = poolnet.PoolNet(BACKBONE, width=8)
        tables.append(refinement.train(net, squares[0], maps, tmp_path / name, once, **QUIET).steps)
        trained.append(tensors(tmp_path / name / "poolnet.safetensors"))
    learned = [name for name, _ in net.named_parameters() if not torch.equal(trained[0][name], trained[0][name] * 0)]

    def apart(one, other):
        return torch.cat([(one[name] - other[name]).abs().flatten() for name in learned]).mean().item()

    assert apart(poolnet.PoolNet(BACKBONE, width=8).state_dict(), trained[0]) > 1e-4
    for others, table in zip(trained[1:], tables[1:], strict=True):
        assert apart(trained[0], others) < 2e-5  # of steps of 1e-3 each; a gradient near zero may change its sign
        np.testing.assert_allclose(tables[0], table, rtol=1e-4)


def test_a_fixed_encoder_stays_and_the_rest_learns(squares, tmp_path, monkeypatch):
    maps = teach(*squares, stores.MapStore(tmp_path / "maps"), one=True)
    net, before = poolnet.PoolNet(BACKBONE, width=8), poolnet.PoolNet(BACKBONE, width=8).state_dict()
    calls, quick = [], FixedEncoder.forward
    monkeypatch.setattr(FixedEncoder, "forward", lambda one, images: calls.append(1) or quick(one, images))
    refinement.train(net, squares[0], maps, tmp_path / "run", replace(REFINE, fixed_encoder=True), **QUIET)
    assert calls
    same = {name: torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items()}
    assert all(same[name] for name in same if name.startswith("encoder."))
    assert not any(same[name] for name in same if name.startswith(("head.weight", "aggregations", "laterals")))


def test_fewer_images_than_a_step_takes_make_a_step_of_them_all(squares, tmp_path):
    maps = teach(*squares, stores.MapStore(tmp_path / "maps"), one=True)
    few = squares[0].subset(squares[0].ids[:2])
    history = refinement.train(poolnet.PoolNet(BACKBONE, width=8), few, maps, tmp_path / "run", REFINE, **QUIET)
    assert len(history.steps) == 2
    np.testing.assert_allclose(history.steps["loss"], history.steps["bce"] * 40 * 48, rtol=1e-5)


def test_poolnet_learns_the_maps_and_leaves_batchnorm_alone(squares, tmp_path):
    images, masks = squares
    maps = teach(images, masks, stores.MapStore(tmp_path / "maps"), one=True)
    net = poolnet.PoolNet(BACKBONE, width=8)
    norms = {name: t.clone() for name, t in net.state_dict().items() if "running" in name or "bn" in name}
    history = refinement.train(net, images, maps, tmp_path / "run", replace(REFINE, epochs=6), **QUIET)
    assert history.epochs["bce"].iloc[-1] < history.epochs["bce"].iloc[0]
    assert norms and all(torch.equal(net.state_dict()[name], t) for name, t in norms.items())
    assert history.steps["lr"].nunique() == 1
    store = stores.MapStore(tmp_path / "refined")
    predictor = multiscale.Predictor(
        poolnet.load_network(tmp_path / "run/poolnet.safetensors"), precision="no", device="cpu"
    )
    assert inference.fill_refined(predictor, images, store, progress=False) == 9
    pixels = torch.from_numpy(np.array(images.image("i000"))).permute(2, 0, 1)[None]
    mean, std = (torch.tensor(v)[:, None, None] for v in (net.mean, net.std))
    with torch.no_grad():
        expected = net.eval()((pixels / 255 - mean) / std).sigmoid()[0, 0].numpy()
    assert store.read("i000").maps.shape == (1, 40, 48)
    assert np.abs(store.single("i000") - expected).max() < 0.01


# what may be wrong


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": "c2am-x"}, "unknown method 'c2am-x': choose one of c2am, c2am-h"),
        ({"alpha": -1.0}, "alpha must not be negative, got -1.0"),
        ({"delta_fg": 1.5}, r"delta_fg must be in \[0, 1\], got 1.5"),
        ({"lr": 0.0}, "lr must be positive, got 0.0"),
        ({"epochs": 0}, "epochs must be positive, got 0"),
    ],
)
def test_impossible_settings_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        training.Settings(**change)


def test_hints_where_there_should_be_none_and_none_where_there_should_be(squares, priors, tmp_path):
    for settings, hints, word in ((PLAIN, priors, "takes no hints"), (HINTED, None, "needs hints")):
        with pytest.raises(ValueError, match=word):
            training.train(network(), squares[0], tmp_path, settings, hints=hints, **QUIET)


def test_priors_of_other_images_are_refused(squares, priors, tmp_path):
    images = squares[0]
    less = teach(images.subset(images.ids[:3]), squares[1], stores.MapStore(tmp_path / "less"))
    with pytest.raises(ValueError, match=r"6 of 9 images have no map: i003"):
        training.train(network(), images, tmp_path / "run", HINTED, hints=less, **QUIET)
    labels = images.labels.copy()
    labels[0] = 1
    other = type(images)(images.name, images.split, images.classes, images.ids, labels, images.paths)
    with pytest.raises(ValueError, match=r"1 of 9 images have maps made from another image or label: i000"):
        training.train(network(), other, tmp_path / "run", HINTED, hints=priors, **QUIET)


def test_no_image_with_a_hint_is_refused(squares, tmp_path):
    store = stores.MapStore(tmp_path / "faint")
    for image_id in squares[0].ids:
        classes = np.flatnonzero(squares[0].label(image_id))
        source = stores.source(squares[0], image_id)
        store.write(image_id, np.full((len(classes), 4, 4), 0.3), classes, (40, 48), source=source)
    with pytest.raises(ValueError, match=r"no image has a prior of 0.4 or more, its highest is 0.3"):
        training.train(network(), squares[0], tmp_path / "run", HINTED, hints=store, **QUIET)


def test_a_batch_of_one_is_refused(squares, tmp_path):
    with pytest.raises(ValueError, match="one image has no pair to be compared with"):
        training.train(network(), squares[0], tmp_path, replace(PLAIN, batch_size=1), **QUIET)
