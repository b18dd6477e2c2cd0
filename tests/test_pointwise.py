"""A convolution and its activation as one kernel: the same bits, and nothing where they are not a pair."""

import copy

import pytest
import timm
import torch
from torch import nn

from pnoc_lib.engine import batchnorm, multiscale, pointwise
from pnoc_lib.priors import networks

pytestmark = pytest.mark.usefixtures("one_thread")


def image(height=64, width=64, dtype=torch.float32):
    x = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height))
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def ones(network):
    return sum(isinstance(module, pointwise.ReadyConvolution) for module in network.modules())


@pytest.mark.parametrize(("name", "pairs"), [("tf_efficientnet_lite0", 27), ("resnet18", 9), ("test_efficientnet", 0)])
def test_the_same_bits_at_any_size(name, pairs):
    dtype = torch.bfloat16
    network = timm.create_model(name, features_only=True, exportable=False).eval()
    plain = batchnorm.fold_batchnorm(network, image()).to(dtype).to(memory_format=torch.channels_last)
    fused = pointwise.ready(plain, lambda one: one(image(dtype=dtype)))
    assert fused_ones(fused) >= pairs and (fused_ones(fused) > 0) == (pairs > 0) and ones(plain) == 0 < ones(fused)
    with torch.inference_mode():
        for height, width in ((64, 64), (75, 101), (75, 101), (32, 160), (75, 101)):  # again: weights laid out
            x = image(height, width, dtype)
            for one, other in zip(plain(x), fused(x), strict=True):
                assert torch.equal(one, other)


def fused_ones(network):
    ready = [module for module in network.modules() if isinstance(module, pointwise.ReadyConvolution)]
    return sum(module.kernel[0] != "none" for module in ready)


def test_weights_are_laid_out_for_sizes_that_come_again_and_not_for_all(monkeypatch):
    plain = nn.Conv2d(3, 4, 3, bias=False).to(torch.bfloat16, memory_format=torch.channels_last)
    one = pointwise.ReadyConvolution(plain)
    with torch.inference_mode():
        for width in (8, 9, 8, 8):
            x = image(8, width, torch.bfloat16)
            assert torch.equal(one(x), plain(x))
        assert [kept is not None for kept in one._laid_out.values()] == [False, True]  # the last seen comes last
        for width in range(10, 10 + pointwise.LAYOUTS):
            one(image(8, width, torch.bfloat16))
        copied = copy.deepcopy(one)  # without what oneDNN holds
        assert not copied._laid_out and torch.equal(copied(x), plain(x))
        assert len(one._laid_out) == pointwise.LAYOUTS and (8, 8) not in one._laid_out
        monkeypatch.setattr(pointwise, "LARGEST", 3 * 4 * 9 - 1)
        large = pointwise.ReadyConvolution(plain)
        for _ in range(3):
            large(x)
        assert not large._laid_out


class Branch(nn.Module):
    """What the convolution gives is used beside the activation, or the activation is used twice."""

    def __init__(self, shared):
        super().__init__()
        self.first, self.second, self.act, self.shared = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.ReLU(), shared

    def forward(self, x):
        before = self.first(x)
        if self.shared:
            return self.act(self.second(self.act(before) - 1))
        return before + self.act(before)


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_no_pair_stays_as_it_is(shared):
    network = Branch(shared).eval()
    fused = pointwise.ready(network, lambda one: one(image()))
    assert fused is network and ones(fused) == 0


def test_without_the_operator_the_network_stays_as_it_is(monkeypatch):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6()).eval().to(torch.bfloat16, memory_format=torch.channels_last)
    run = lambda one: one(image(dtype=torch.bfloat16))  # noqa: E731  # in float32 some processors have another kernel
    assert ones(pointwise.ready(network, run)) == 1

    def lacks(*arguments):
        raise NotImplementedError("no oneDNN here")

    monkeypatch.setattr(pointwise.ReadyConvolution, "forward", lacks)
    assert pointwise.ready(network, run) is network


def test_a_predictor_uses_it_on_a_cpu_in_bf16():
    network = networks.CAMNetwork("tf_efficientnet_lite0", 3)
    of = {precision: multiscale.Predictor(network, precision=precision, device="cpu") for precision in ("bf16", "no")}
    assert ones(of["bf16"].network) >= 27 and ones(of["no"].network) == 0 and ones(network) == 0
