"""An encoder that does not learn: the maps of evaluation mode, no gradient, and a training that is the same with it."""

import pytest
import torch

from pnoc_lib.engine import backbones, fixed
from pnoc_lib.saliency import poolnet
from pnoc_lib.segmentation import deeplab

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = "tf_efficientnet_lite0"


def image(height=48, width=65, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_it_gives_the_maps_of_evaluation_mode_in_its_own_precision(dtype, apart):
    encoder = backbones.build_pyramid(NAME, "none")
    for module in encoder.modules():  # statistics that folding must not lose
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    one = fixed.FixedEncoder(encoder.train(), dtype).train()
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        seen = [one(image()) for _ in range(3)]
    assert bool(one._ready) == (dtype == torch.bfloat16) and one._ready[:1] != [one.network]
    plain = encoder.eval()(image())
    for first, again, third, wanted in zip(*seen, plain, strict=True):
        assert first.dtype == dtype and not first.requires_grad
        assert torch.equal(first, again) and torch.equal(first, third)
        assert (first.float() - wanted).abs().max() <= apart * wanted.abs().max()
    assert not any(module.training for module in one.modules())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("made", ["deeplabv2", "deeplabv3+", "poolnet"])
def test_a_network_takes_its_maps_from_it_and_the_rest_still_learns(made):
    if made == "poolnet":
        network = poolnet.PoolNet(NAME, width=8)
    else:
        network = deeplab.build(made, NAME, 3, **({"width": 8, "low_width": 4} if made == "deeplabv3+" else {}))
    network.eval()
    encoder = fixed.FixedEncoder(network.encoder, torch.float32)
    x = image(64, 64)
    plain, quick = network(x), network(x, encoder)
    for one, other in zip(*([maps] if made == "poolnet" else maps for maps in (plain, quick)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * one.abs().max().item())
    last = quick if made == "poolnet" else quick[-1]
    last.square().mean().backward()
    learned = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learned and not any(name.startswith("encoder.") for name in learned)
