"""DeepLabV2 and DeepLabV3+: parameters and maps of the paper's networks, the multi-scale maximum, weights on disk."""

import pytest
import timm
import torch
from torch import nn

from pnoc_lib.engine import batchnorm
from pnoc_lib.segmentation import caffe, deeplab

TINY = "test_resnet"  # timm's own for tests
pytestmark = pytest.mark.usefixtures("one_thread")


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.fixture(scope="module")
def paper_v3():
    with torch.device("meta"):
        return deeplab.DeepLabV3Plus("resnest269e", 20)


def test_v3_of_the_paper_has_the_published_number_of_parameters(paper_v3):
    assert count(paper_v3.head.aspp) == 15_535_104
    assert count(paper_v3.head.tap, paper_v3.head.decoder) == 1_309_045
    assert count(paper_v3) == 125_724_629


def test_v3_of_the_paper_learns_from_a_step(paper_v3):
    """On the meta device: every shape of a forward and a backward pass, without the arithmetic."""
    paper_v3.train()
    taken = []
    paper_v3.head.register_forward_hook(lambda head, maps, out: taken.extend(tuple(m.shape) for m in maps))
    (logits,) = paper_v3(torch.empty(2, 3, 512, 512, device="meta"))
    assert logits.shape == (2, 21, 512, 512)
    assert taken == [(2, 256, 128, 128), (2, 2048, 32, 32)]  # the first stage, and the last at a stride of 16
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in paper_v3.parameters())


@pytest.fixture(scope="module")
def paper_v2():
    with torch.device("meta"):
        return deeplab.DeepLabV2("resnet101", 20)


@pytest.mark.parametrize(("size", "side"), [((321, 321), (41, 41)), ((513, 513), (65, 65)), ((375, 500), (48, 63))])
def test_v2_of_the_paper_has_the_maps_of_caffe(paper_v2, size, side):
    assert paper_v2.eval().single(torch.empty(1, 3, *size, device="meta")).shape == (1, 21, *side)


def test_v2_of_the_paper_learns_from_a_step(paper_v2):
    maps = paper_v2.train()(torch.empty(1, 3, 321, 321, device="meta"))
    assert [tuple(m.shape) for m in maps] == [(1, 21, side, side) for side in (41, 31, 21, 41)]
    torch.stack([m.sum() for m in maps]).sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in paper_v2.parameters())


def test_v2_of_the_paper_has_four_classifiers_with_bias():
    with torch.device("meta"):
        head = deeplab.SummedASPP(2048, 21)
    assert count(head) == 4 * (2048 * 21 * 9 + 21)
    assert [view.dilation for view in head.views] == [(6, 6), (12, 12), (18, 18), (24, 24)]


def test_v2_starts_near_zero_and_adds_its_views():
    torch.manual_seed(0)
    head, x = deeplab.SummedASPP(8, 3), torch.rand(1, 8, 9, 9)
    assert all(0.008 < view.weight.std() < 0.012 and not view.bias.any() for view in head.views)
    torch.testing.assert_close(head(x), head.views[0](x) + head.views[1](x) + head.views[2](x) + head.views[3](x))


class Means(nn.Module):
    """Stands in for encoder and head: the mean colour of every 8 x 8 block as two logits."""

    def forward(self, images):
        return nn.functional.avg_pool2d(images[:, :2], 8, ceil_mode=True)


def test_multi_scale_maximum_by_hand():
    network = deeplab.DeepLabV2(TINY, 1, scales=(0.5,))
    network.encoder, network.head = nn.Identity(), Means()
    network.single = lambda images, encoder: network.head(images)
    images = torch.zeros(1, 3, 16, 16)
    images[:, :, :8, :8] = 1.0  # one block of four; half the size is a single block, a quarter bright
    first, half, highest = network(images)
    torch.testing.assert_close(first[0, 0], torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(half[0, 0], torch.tensor([[0.25]]))
    torch.testing.assert_close(highest[0, 0], torch.tensor([[1.0, 0.25], [0.25, 0.25]]))
    torch.testing.assert_close(network.coarse(images), highest)


def test_batchnorm_of_v2_is_never_trained():
    network = deeplab.DeepLabV2(TINY, 2).train()
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [norm.running_mean.clone() for norm in norms]
    network(torch.rand(2, 3, 64, 64))[-1].sum().backward()
    assert norms and not any(norm.training for norm in norms)
    assert all(norm.weight.grad is None and not norm.weight.requires_grad for norm in norms)
    assert all(torch.equal(a, norm.running_mean) for a, norm in zip(before, norms, strict=True))


def test_groups_of_v3_are_four_channels_wide_and_image_pooling_takes_one_position():
    network = deeplab.DeepLabV3Plus(TINY, 2, width=16, low_width=8).train()
    norms = [m for m in network.head.modules() if isinstance(m, nn.GroupNorm)]
    assert len(norms) == 9 and {norm.num_groups for norm in norms} == {4}
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.head.modules())
    (logits,) = network(torch.rand(1, 3, 33, 49))  # a batch of one, odd sides
    assert logits.shape == (1, 3, 33, 49)


def test_aligned_corners():
    """The corners of the image get the corners of the decoder's map, unmixed."""
    network = deeplab.DeepLabV3Plus(TINY, 2, width=16, low_width=8).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        coarse, (full,) = network.coarse(images), network(images)
    torch.testing.assert_close(full[..., ::63, ::63], coarse[..., ::15, ::15])


def test_caffe_changes_resnets_alone():
    for name in ("resnet18", "tf_efficientnet_lite0"):  # no bottlenecks; no ResNet
        model = timm.create_model(name)
        before = str(model)
        assert str(caffe.like_caffe(model)) == before


def test_caffe_keeps_weights_and_moves_strides():
    plain, moved = (timm.create_model("resnet26", output_stride=8, num_classes=0) for _ in range(2))
    caffe.like_caffe(moved).load_state_dict(plain.state_dict())
    assert (moved.layer2[0].conv1.stride, moved.layer2[0].conv2.stride) == ((2, 2), (1, 1))
    assert [block.conv2.dilation for block in moved.layer3] == [(2, 2)] * 2
    assert [block.conv2.dilation for block in moved.layer4] == [(4, 4)] * 2


@pytest.mark.parametrize(
    "network", [deeplab.DeepLabV2(TINY, 3, scales=(0.5,)), deeplab.DeepLabV3Plus(TINY, 3, width=8, low_width=4)]
)
def test_networks_come_back_from_disk(network, tmp_path):
    deeplab.save_network(network, tmp_path / "weights.safetensors")
    back = deeplab.load_network(tmp_path / "weights.safetensors")
    images = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        torch.testing.assert_close(back.coarse(images), network.eval().coarse(images))
    assert (back.mean, back.std, back.num_outputs) == (network.mean, network.std, 4)


def test_the_seed_decides_the_head():
    first, same, other = (
        deeplab.build("deeplabv3+", TINY, 2, width=8, low_width=4, seed=s).state_dict() for s in (1, 1, 2)
    )
    key = "head.aspp.views.0.0.weight"
    assert torch.equal(first[key], same[key]) and not torch.equal(first[key], other[key])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="multiples of 4"):
        deeplab.DeepLabV3Plus(TINY, 2, width=10)
    with pytest.raises(ValueError, match="unknown architecture 'unet'"):
        deeplab.build("unet", TINY, 2)
    with pytest.raises(ValueError, match="at least 1"):
        deeplab.DeepLabV2(TINY, 0)


def test_folding_changes_nothing():
    network = deeplab.DeepLabV2(TINY, 2).eval()
    images = torch.rand(1, 3, 64, 64)
    folded = batchnorm.fold_batchnorm(network, images)
    with torch.no_grad():
        torch.testing.assert_close(folded.coarse(images), network.coarse(images), rtol=1e-4, atol=1e-4)
