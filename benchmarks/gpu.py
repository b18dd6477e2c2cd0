"""What the paper's own settings cost on a GPU: a step of every training, inference and walk, in each precision.

    python benchmarks/gpu.py --precisions fp16 bf16 no --rounds 5

Networks, batches and crops are those of configs/voc12.yaml, weights and images random. Printed for each: milliseconds,
images a second, the operations that were counted in it over that time (10^12 a second), and the peak of the GPU's
memory; a step includes what the loop does around it, reading images does not belong to it. Needs an NVIDIA GPU.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pnoc_lib.affinity import inference as edges
from pnoc_lib.affinity import network as affinity
from pnoc_lib.affinity import training as affinity_training
from pnoc_lib.affinity import walk
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.engine import loop, multiscale
from pnoc_lib.priors import networks, training
from pnoc_lib.saliency import c2am, poolnet, refinement
from pnoc_lib.saliency import training as saliency_training
from pnoc_lib.segmentation import deeplab, settings, targets
from pnoc_lib.segmentation import training as segmentation_training

CLASSES, HEIGHT, WIDTH = 20, 375, 500
DEVICE, BACKBONE = "cuda", "resnest269e"


def no_images(count: int) -> LabeledImages:
    """Names without files: nothing of them is read."""
    ids, names = tuple(map(str, range(count))), tuple(map(str, range(CLASSES)))
    return LabeledImages(
        "none", "none", names, ids, np.ones((count, CLASSES), np.uint8), (Path("none"),) * count, "none"
    )


def taken(train: Callable[..., object]) -> Callable[..., object]:
    """One iteration of a training, as its recipe hands it to the loop: a function of a batch."""
    held = []
    with mock.patch.object(loop.Loop, "run", lambda *given, **_: held.extend(given[:2])):
        train(folder=Path(tempfile.mkdtemp()))
    one, step = held
    at = loop.Moment(0, one.total, 0)

    def iterate(*batch: Tensor) -> None:
        for learner in one.learners.values():
            learner.learn()
        step(*batch, at=at)

    return iterate


def drawn(count: int, side: int, *more: Tensor) -> tuple[Tensor, ...]:
    """Normalised images on the GPU, and what goes with them."""
    images = torch.randn(count, 3, side, side, device=DEVICE).contiguous(memory_format=torch.channels_last)
    return images, *(one.to(DEVICE) for one in more)


def priors(strategy: str, precision: str, count: int) -> Callable[[], object]:
    oc, f = (networks.CAMNetwork(BACKBONE, CLASSES) for _ in range(2))
    how = training.TrainingSettings(strategy=strategy, batch_size=count, precision=precision)
    iterate = taken(lambda folder: training.train(f, no_images(count), folder, how, oc=oc if how.needs_oc else None))
    labels = torch.zeros(count, CLASSES)
    labels[:, :2] = 1
    images = torch.randn(count, 3, 512, 512)
    return lambda: iterate(images.to(DEVICE), labels)


def disentangler(backbone: str, precision: str, count: int) -> Callable[[], object]:
    network = c2am.C2AM(backbone)
    how = saliency_training.Settings(batch_size=count, precision=precision)
    iterate = taken(lambda folder: saliency_training.train(network, no_images(count), folder, how))
    batch = drawn(count, how.crop_size)
    return lambda: iterate(*batch)


def refined(precision: str, count: int) -> Callable[[], object]:
    network = poolnet.PoolNet("resnet50", width=512)
    how = refinement.Settings(accumulation=count, precision=precision)
    maps = SimpleNamespace(require=lambda *_, **__: None, digest=lambda *_: "none")
    iterate = taken(lambda folder: refinement.train(network, no_images(count), maps, folder, how))
    pairs = [(torch.randn(3, HEIGHT, WIDTH), torch.rand(1, HEIGHT, WIDTH).round()) for _ in range(count)]
    return lambda: iterate(*pairs)


def edge_head(precision: str, count: int) -> Callable[[], object]:
    network = affinity.EdgeNetwork(BACKBONE, precision=precision)
    how = affinity_training.EdgeSettings(loop.Pace(epochs=3, batch_size=count, precision=precision))
    labels = SimpleNamespace(missing=lambda *_: [], digest=lambda *_: "none")
    iterate = taken(lambda folder: affinity_training.train(network, no_images(count), labels, folder, how))
    batch = drawn(count, 512, torch.randint(0, 3, (count, 512, 512), dtype=torch.uint8))
    return lambda: iterate(*batch)


def segmentation(network: deeplab.DeepLab, precision: str) -> tuple[int, Callable[[], object]]:
    paper = settings.paper(network.architecture)
    how = settings.replace(paper, precision=precision)
    masks = targets.PseudoMasks(Path(tempfile.mkdtemp()), tuple(map(str, range(CLASSES))))
    ways = {name: mock.patch.object(targets.PseudoMasks, name, lambda *_: "none") for name in ("check", "digest")}
    with ways["check"], ways["digest"]:
        iterate = taken(
            lambda folder: segmentation_training.train(network, no_images(how.batch_size), masks, folder, how)
        )
    size = (how.batch_size, how.crop_size, how.crop_size)
    batch = drawn(how.batch_size, how.crop_size, torch.randint(0, CLASSES + 1, size, dtype=torch.uint8))
    return how.batch_size, lambda: iterate(*batch)


def maps(precision: str, count: int) -> Callable[[], object]:
    predictor = multiscale.Predictor(networks.CAMNetwork(BACKBONE, CLASSES), precision=precision)
    images = torch.randint(0, 256, (count, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    return lambda: multiscale.augmented_maps(predictor, images, multiscale.SCALES)


def walked(count: int) -> Callable[[], object]:
    network = affinity.EdgeNetwork(BACKBONE).to(DEVICE).eval()
    images = torch.randint(0, 256, (count, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    edge = edges.edges(network, images)
    priors = torch.rand(count, 2, *edge.shape[1:], device=DEVICE)
    return lambda: walk.walk(priors, edges.edges(network, images))


def forms(precision: str) -> Iterator[tuple[str, int, Callable[[], Callable[[], object]]]]:
    """Name, images, and how to make what is measured: one at a time, so that no other lies in memory."""
    yield "01 ordinary classifier, ResNeSt-269", 32, lambda: priors("cam", precision, 32)
    yield "01 P-OC", 16, lambda: priors("p-oc", precision, 16)
    yield "01 P-NOC", 16, lambda: priors("p-noc", precision, 16)
    yield "02 four scales with mirrors", 8, lambda: maps(precision, 8)
    yield "04 C2AM, ResNet-50", 128, lambda: disentangler("resnet50", precision, 128)
    yield "04 C2AM-H, ResNeSt-269", 32, lambda: disentangler(BACKBONE, precision, 32)
    yield "04 PoolNet, native size", 10, lambda: refined(precision, 10)
    if precision != "fp16":  # its affinities are float32, its backbone bf16 or float32
        yield "05 edge head, ResNeSt-269", 32, lambda: edge_head(precision, 32)
    yield "06 DeepLabV2, ResNet-101", 10, lambda: segmentation(deeplab.DeepLabV2("resnet101", CLASSES), precision)[1]
    yield (
        "06 DeepLabV3+, ResNeSt-269",
        16,
        lambda: segmentation(deeplab.DeepLabV3Plus(BACKBONE, CLASSES), precision)[1],
    )
    if precision == "bf16":
        yield "05 edges and walk", 8, lambda: walked(8)


def measured(form: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Median seconds, operations, and the peak of memory in GB."""
    torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        form()
    times = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        began = time.perf_counter()
        form()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() / 1e9
    with FlopCounterMode(display=False) as counter:
        form()
    return statistics.median(times), float(counter.get_total_flops()), peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", nargs="+", default=["fp16", "bf16"], choices=list(multiscale.PRECISIONS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[""], help="measure what has one of these in its name")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.exit(message="there is no GPU: nothing is measured\n")
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    print(f"{'':42}{'':>6}{'images':>7}{'ms':>9}{'images/s':>10}{'Tflop/s':>9}{'GB':>7}")
    for precision in options.precisions:
        for name, count, make in forms(precision):
            if not any(part in name for part in options.only):
                continue
            form = make()
            seconds, operations, peak = measured(form, options.rounds)
            rate = operations / seconds / 1e12
            print(
                f"{name:42}{precision:>6}{count:7}{1e3 * seconds:9.1f}{count / seconds:10.1f}{rate:9.1f}{peak:7.1f}",
                flush=True,
            )
            del form
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
