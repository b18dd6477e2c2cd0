"""What the paper costs: arithmetic, memory and disk of every stage in its own settings, counted without running it.

Networks are built on PyTorch's meta device, where tensors have shapes and no numbers: a forward pass counts its
floating point operations (two a multiplication with addition) and the bytes that a backward pass would need, in
seconds and without memory. Hours follow from one rate, which is given; benchmarks/gpu.py measures it, and found the
memory that is counted here within an eighth of what a GPU took, PoolNet's within a quarter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from pnoc_lib.engine import backbones
from pnoc_lib.priors import strategies
from pnoc_lib.saliency import poolnet
from pnoc_lib.segmentation import deeplab, settings

BACKWARD = 2.0  # a backward pass in forward passes: gradients of the input and of the weights
TTA = 2 * sum(scale**2 for scale in (0.5, 1.0, 1.5, 2.0))  # forward passes of one image: areas of four scales, mirrored
AFFINITY = 512  # pixels of a crop of the affinity network, on both data sets
WALK_STRIDE = 4  # pixels a cell of the grid that is walked
WALK_PRODUCTS = 68  # of a stencil with 34 planes, both ways, in place of 256 steps or 8 squarings of a dense matrix
STORED = {"of C2AM": 0.06, "of PoolNet": 0.19}  # bytes a pixel of saliency maps, as VOC12's photographs take them
CRF_SECONDS = {"seconds a label image": 0.3, "seconds a probability image": 0.6}  # of 500 x 375 pixels on one CPU core


@dataclass(frozen=True)
class Data:
    """A data set of the paper: images that train and that are evaluated, their mean sides and classes an image."""

    name: str
    train: int
    evaluated: int
    height: int
    width: int
    classes: float


DATA = {
    "voc12": Data("voc12", 10_582, 1_449, 375, 500, 1.5),
    "coco14": Data("coco14", 82_081, 40_137, 480, 640, 2.9),
}


def passes(strategy: str) -> float:
    """Forward passes of the backbone that one training image costs, backward passes counted as `BACKWARD`.

    The generator sees the image and, with puzzle, its tiles (once more the image's area); an eraser is passed through
    and gives a gradient to its input alone (one pass); `noc` then learns from hard-erased images.
    Raises ValueError for an unknown strategy.
    """
    plan = strategies.named(strategy)
    seen = (1 + BACKWARD) * (2 if plan.puzzle else 1)
    seen += 1 + BACKWARD / 2 if plan.eraser else 0
    return seen + (1 + BACKWARD if plan.eraser == "noc" else 0)


class _WithoutNorms(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return args[0] if func is F.batch_norm else func(*args, **(kwargs or {}))


def forward(network: Callable[[Tensor], object], height: int, width: int) -> float:
    """Floating point operations of a forward pass of one image; `network` lies on the meta device.

    Products and convolutions are counted: normalisations are passed over, which takes half as long.
    """
    with FlopCounterMode(display=False) as counter, _WithoutNorms(), torch.no_grad():
        network(torch.empty(1, 3, height, width, device="meta"))
    return float(counter.get_total_flops())


def kept_bytes(network: nn.Module, side: int, *, batch: int = 2) -> float:
    """Bytes a training image that a backward pass keeps from the forward one, at two bytes a number (half precision).

    network: on the meta device, in training mode. side: of the crop, pixels. What several layers keep is counted once.
    """
    seen: dict[int, Tensor] = {}
    own = {id(parameter) for parameter in network.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if id(tensor) not in own:
            seen[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(torch.empty(batch, 3, side, side, device="meta"))
    return sum(2.0 * tensor.numel() for tensor in seen.values()) / batch


def weight_bytes(network: nn.Module) -> int:
    """Bytes of weights, gradients and momenta in float32 while a network learns."""
    return 12 * sum(parameter.numel() for parameter in network.parameters())


def stages(dataset: str = "voc12", *, teraflops: float, strategy: str = "p-noc") -> pd.DataFrame:
    """One row a stage of the chain with `strategy`, in the paper's settings on "voc12" or "coco14".

    teraflops: what a GPU sustains in these networks, in 10^12 operations a second: the only number that is not counted.
    Returns stage, petaflop, GPU hours, CPU core hours (the CRF), GPU memory (GB, of the largest batch that
    the paper holds at once), disk (GB that the stage leaves), how: the sum in words.
    Raises ValueError for another data set or strategy.
    Beyond the paper: it states no cost.
    """
    if dataset not in DATA:
        raise ValueError(f"unknown dataset {dataset!r}: choose one of {', '.join(DATA)}")
    data, coco = DATA[dataset], dataset == "coco14"
    crop, names, everyone = (640 if coco else 512), (80 if coco else 20), data.train + data.evaluated
    with torch.device("meta"):
        encoder = backbones.build_encoder("resnest269e", "none").train()
        v3 = deeplab.DeepLabV3Plus("resnest269e", names).train()
        v2 = deeplab.DeepLabV2("resnet101", names).train()
        pool = poolnet.PoolNet("resnet50")
    cropped, whole = forward(encoder.eval(), crop, crop), forward(encoder, data.height, data.width)
    memory, plan = kept_bytes(encoder.train(), crop) / 1e9, strategies.named(strategy)
    held = 16 * (1 + plan.puzzle + bool(plan.eraser))  # crops of whole images, of tiles, of erased images
    points = (-(-data.height // WALK_STRIDE)) * (-(-data.width // WALK_STRIDE))
    lines = [
        _line("01 ordinary classifier", 15 * data.train * passes("cam") * cropped, memory * 32 + _gb(encoder), 0.45,
              f"15 epochs of {data.train:,} images of {crop} px"),
        _line(f"01 {strategy}", 15 * data.train * passes(strategy) * cropped,
              memory * held + 2 * _gb(encoder), 0.9,
              f"the same, {passes(strategy):g} forward passes an image"),
        _line("02 priors", everyone * TTA * whole, 4.0, everyone * data.classes * points / 1e9,
              f"{everyone:,} images, 4 scales and mirrors: {TTA:g} forward passes"),
        *_saliency(data, encoder, pool, whole, 64 if coco else 32),
        _line("05 affinity labels and network", 3 * data.train * forward(encoder.eval(), AFFINITY, AFFINITY), 8.0,
              data.train * 6e3 / 1e9, f"3 epochs of {AFFINITY} px, the backbone forward only; two CRFs an image",
              cpu=2 * data.train * CRF_SECONDS["seconds a label image"]),
        _line("05 random walk", everyone * (WALK_PRODUCTS * 136.0 * data.classes * points + 2 * whole), 4.0,
              everyone * 6e3 / 1e9, f"edges of an image and its mirror; {WALK_PRODUCTS} stencils on {points:,} cells",
              cpu=everyone * CRF_SECONDS["seconds a label image"] / 5),
    ]  # fmt: skip
    for name, network in (("06 DeepLabV2", v2), ("06 DeepLabV3+", v3)):
        how = settings.paper(network.architecture, dataset)
        side = how.crop_size
        once = forward(network.eval().coarse, side, side)
        test = forward(network.coarse, data.height, data.width) * (1 if network is v2 else TTA)
        kept = kept_bytes(network.train(), side) * how.batch_size / 1e9 + _gb(network)
        work = how.epochs * data.train * (1 + BACKWARD) * once + data.evaluated * test
        words = f"{how.epochs} epochs of {side} px, and inference on {data.evaluated:,} images with CRF"
        cpu = data.evaluated * CRF_SECONDS["seconds a probability image"]
        lines.append(_line(name, work, kept, weight_bytes(network) / 3e9 + data.evaluated * 6e3 / 1e9, words, cpu=cpu))
    table = pd.DataFrame(lines)
    table.insert(2, "GPU hours", table["petaflop"] / (teraflops * 3.6))
    return table


def _saliency(data: Data, encoder: nn.Module, pool: nn.Module, whole: float, batch: int) -> list[dict]:
    """The two lines of 04: C2AM-H on crops of 448 pixels, and PoolNet on images of their own size."""
    everyone, pixels = data.train + data.evaluated, data.height * data.width
    once = forward(pool.eval(), data.height, data.width)
    kept = kept_bytes(pool.train(), round(pixels**0.5)) * 10 / 1e9
    work = 10 * data.train * (1 + BACKWARD) * forward(encoder.eval(), 448, 448) + everyone * TTA * whole
    return [
        _line("04 C2AM-H", work, kept_bytes(encoder.train(), 448) * batch / 1e9 + _gb(encoder),
              0.45 + everyone * STORED["of C2AM"] * pixels / 1e9,
              f"10 epochs of 448 px, and inference on {everyone:,} images as in 02, with CRF",
              cpu=everyone * CRF_SECONDS["seconds a label image"]),
        _line("04 PoolNet", (9 * data.train * (1 + BACKWARD) + everyone) * once, kept + 4 / 3 * _gb(pool),
              weight_bytes(pool) / 3e9 + everyone * STORED["of PoolNet"] * pixels / 1e9,
              f"9 epochs of whole images, ten together, and inference on {everyone:,} images"),
    ]  # fmt: skip


def _line(stage: str, operations: float, memory: float, disk: float, how: str, *, cpu: float = 0.0) -> dict:
    return {
        "stage": stage,
        "petaflop": operations / 1e15,
        "CPU core hours": cpu / 3600,
        "GPU memory (GB)": memory,
        "disk (GB)": disk,
        "how": how,
    }


def _gb(network: nn.Module) -> float:
    return weight_bytes(network) / 1e9
