"""Several maps of any backbone, and the first block of a dilated stage as the published networks have it."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from pnoc_lib.engine import backbones

BACKBONES = ["test_resnet", "test_efficientnet", "test_byobnet", "test_nfnet", "regnetx_002", "resnet10t"]


def pictures(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("output_stride", [8, 16, None])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_five_maps_from_fine_to_coarse(backbone, output_stride):
    pyramid = backbones.build_pyramid(backbone, "none", output_stride=output_stride)
    maps = pyramid(pictures(2, 3, 64, 96))
    assert pyramid.strides == tuple(min(stride, output_stride or 32) for stride in (2, 4, 8, 16, 32))
    assert [tuple(m.shape) for m in maps] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(pyramid.channels, pyramid.strides, strict=True)
    ]
    sum(m.square().sum() for m in maps).backward()
    assert all(parameter.grad is not None for parameter in pyramid.parameters())  # several processes wait for each


def test_the_last_two_maps_are_the_last_two_of_five():
    torch.manual_seed(0)
    every = backbones.build_pyramid("test_resnet", "none").eval()
    two = backbones.build_pyramid("test_resnet", "none", backbones.LAST_TWO).eval()
    two.load_state_dict(every.state_dict())
    images = pictures(1, 3, 50, 70)
    assert two.channels == every.channels[-2:] and two.strides == (16, 16)
    for ours, theirs in zip(two(images), every(images)[-2:], strict=True):
        assert torch.equal(ours, theirs)


def test_the_last_map_of_a_resnet_is_that_of_its_encoder():
    encoder = backbones.build_encoder("resnet10t", "none").eval()
    pyramid = backbones.build_pyramid("resnet10t", "none", (1, -1)).eval()
    pyramid.model.load_state_dict(encoder.model.state_dict())
    images = pictures(1, 3, 64, 64)
    assert torch.equal(pyramid(images)[-1], encoder(images))
    assert (pyramid.mean, pyramid.std) == (encoder.mean, encoder.std)


def test_the_stem_comes_before_the_max_pool():
    pyramid = backbones.build_pyramid("resnet10t", "none", (0, -1)).eval()
    images = pictures(1, 3, 64, 64)
    model = pyramid.model
    assert torch.equal(pyramid(images)[0], model.act1(model.bn1(model.conv1(images))))


def test_a_transformer_has_one_stride_at_all_levels():
    pyramid = backbones.build_pyramid("test_vit", "none", backbones.LAST_TWO)
    assert pyramid.strides == (16, 16)
    assert [tuple(m.shape) for m in pyramid(pictures(1, 3, 70, 50))] == [(1, 64, 5, 4)] * 2


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet", "test_vit"])
def test_weights_of_a_file_arrive(tmp_path, backbone, suffix):
    torch.manual_seed(8)
    full = timm.create_model(backbone)
    path = tmp_path / f"weights{suffix}"
    save_file(full.state_dict(), path) if suffix == ".safetensors" else torch.save(full.state_dict(), path)
    pyramid = backbones.build_pyramid(backbone, str(path))
    values = {tuple(tensor.flatten().tolist()) for tensor in full.state_dict().values()}
    assert all(tuple(tensor.flatten().tolist()) in values for tensor in pyramid.state_dict().values())


@pytest.mark.parametrize("build", [backbones.build_encoder, backbones.build_pyramid])
@pytest.mark.parametrize("lost", ["layer4.0.conv1.weight", "layer1.0.bn1.weight", "layer2.0.bn2.running_mean"])
def test_a_file_that_lacks_a_tensor_is_refused(tmp_path, build, lost):
    """timm leaves random what the file lacks, and says nothing."""
    torch.manual_seed(1)
    state = timm.create_model("test_resnet").state_dict()
    for name in state:  # values as after a training: no two tensors alike
        if state[name].is_floating_point():
            state[name] = torch.rand_like(state[name])
    save_file(state, tmp_path / "w.safetensors")
    build("test_resnet", str(tmp_path / "w.safetensors"))
    del state[lost]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w.safetensors' do not fit backbone 'test_resnet'"):
        build("test_resnet", str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        (("resnet51", "none"), {}, r"unknown backbone 'resnet51': give a timm model name"),
        (("test_resnet", "none", ()), {}, "no level of the backbone was asked for: give"),
        (("test_resnet", "none", (2, 1)), {}, r"levels \(2, 1\) do not ascend .*: give some of 0 to 4"),
        (("test_resnet", "none", (4, -1)), {}, "do not ascend"),
        (("test_resnet", "none", (1, 9)), {}, r"'test_resnet' gives no such feature maps .*levels that it has"),
        (("test_vit", "none", (0, 1)), {"output_stride": 8}, "its last map at stride 16, not 8: choose one"),
        (("test_resnet", "nowhere.pth"), {}, "no weights at 'nowhere.pth': give"),
    ],
)
def test_what_cannot_be_built(arguments, options, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        backbones.build_pyramid(*arguments, **options)


# the first block of a dilated stage


def first_blocks(model):
    return [getattr(model, f"layer{number}")[0] for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("build", [backbones.build_encoder, backbones.build_pyramid])
def test_resnest_dilates_as_the_published_network(build):
    model = build("resnest14d", "none").model
    blocks = first_blocks(model)
    assert isinstance(blocks[3].downsample[0], nn.Identity)
    assert (blocks[3].avd_last.kernel_size, blocks[3].avd_last.stride, blocks[3].avd_last.padding) == (3, 1, 1)
    assert blocks[0].avd_last is None and blocks[0].avd_first is None  # no stride to replace there
    for block in blocks[1:3]:  # strides stay pools
        assert (block.downsample[0].stride, block.avd_last.stride) == (2, 2)


def test_resnest_at_stride_8_dilates_two_stages():
    blocks = first_blocks(backbones.build_pyramid("resnest14d", "none", output_stride=8).model)
    for block in blocks[2:]:
        assert isinstance(block.downsample[0], nn.Identity)
        assert (block.avd_last.kernel_size, block.avd_last.stride, block.avd_last.padding) == (3, 1, 1)
    assert blocks[1].downsample[0].stride == 2


def test_resnest_that_pools_first_keeps_its_order():
    block = first_blocks(backbones.build_encoder("resnest50d_1s4x24d", "none").model)[3]
    assert block.avd_last is None
    assert (block.avd_first.kernel_size, block.avd_first.stride) == (3, 1)


def test_any_network_with_pools_on_its_shortcuts():
    blocks = first_blocks(backbones.build_encoder("resnet26d", "none").model)
    assert isinstance(blocks[3].downsample[0], nn.Identity)
    assert isinstance(blocks[2].downsample[0], nn.AvgPool2d)
    assert not hasattr(blocks[3], "avd_last")


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["resnest14d", "resnet26d"])
def test_the_shortcut_is_not_shifted(backbone):
    """With kernels that are their own mirror, an image's mirror has the mirrored map: half a cell breaks that.

    The side is one more than a multiple of the stride, so that every strided grid is symmetric.
    """
    torch.manual_seed(0)
    model = backbones.build_encoder(backbone, "none").eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.copy_((module.weight + module.weight.flip(-1)) / 2)
    block = model.model.layer4[0]
    maps = pictures(1, block.conv1.in_channels, 5, 5)
    torch.testing.assert_close(block(maps.flip(-1)), block(maps).flip(-1), rtol=1e-4, atol=1e-4)
    raw = timm.create_model(backbone, num_classes=0, global_pool="", output_stride=16).eval()
    raw.load_state_dict(model.model.state_dict())
    shifted = raw.layer4[0]
    assert (shifted(maps.flip(-1)) - shifted(maps).flip(-1)).abs().max() > 0.01  # what timm builds


def test_backbones_without_such_pools_are_left_alone():
    torch.manual_seed(0)
    ours = backbones.build_encoder("test_efficientnet", "none").eval()
    theirs = timm.create_model("test_efficientnet", num_classes=0, global_pool="", output_stride=16).eval()
    theirs.load_state_dict(ours.model.state_dict())
    images = pictures(1, 3, 48, 64)
    assert torch.equal(ours(images), theirs.forward_features(images))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "resnet10t", "test_convnext"])
def test_fixed_stages_get_no_gradient_and_all_others_do(name):
    pyramid = backbones.build_pyramid(name, "none", backbones.LAST_TWO)
    levels = [info["module"] for info in pyramid.model.feature_info.info]
    levels = [level if level in dict(pyramid.model.named_modules()) else level.replace(".", "_") for level in levels]
    backbones.fix_stages(pyramid, 2)
    sum(maps.mean() for maps in pyramid(torch.randn(2, 3, 64, 64))).backward()
    learning = [key for key, parameter in pyramid.model.named_parameters() if parameter.grad is not None]
    still = [key for key, parameter in pyramid.model.named_parameters() if not parameter.requires_grad]
    assert still + learning == [key for key, _ in pyramid.model.named_parameters()]  # the first of them, without a gap
    assert any(key.startswith(f"{levels[1]}.") for key in still) and not any(k.startswith(levels[2]) for k in still)


def test_fixed_blocks_of_a_transformer():
    pyramid = backbones.build_pyramid("test_vit", "none", backbones.LAST_TWO)
    backbones.fix_stages(pyramid, 1)
    still = {name for name, parameter in pyramid.model.named_parameters() if not parameter.requires_grad}
    assert any("blocks.0." in name for name in still) and not any("blocks.1." in name for name in still)


def test_levels_that_cannot_be_told_apart():
    pyramid = backbones.build_pyramid("resnet10t", "none")
    pyramid.model.feature_info.info[0]["module"] = "elsewhere"
    with pytest.raises(ValueError, match="cannot be told apart: give 0 fixed stages"):
        backbones.fix_stages(pyramid, 1)


def test_no_stage_or_all_of_them():
    pyramid = backbones.build_pyramid("resnet10t", "none")
    backbones.fix_stages(pyramid, 0)
    assert all(parameter.requires_grad for parameter in pyramid.parameters())
    for count in (-1, 5):
        with pytest.raises(ValueError, match=f"{count} stages cannot be fixed: give 0 to 4, this backbone has 5"):
            backbones.fix_stages(pyramid, count)
