"""One step of P-NOC (Algorithm 1): as published code runs it, against ours, with the share of each part and the limit.

    python benchmarks/adversarial_step.py --backbone tf_efficientnet_lite0 --batch-size 16 --crop-size 224

The literal step runs in float32 and NCHW: whole images, tiles, erased images one after the other, gradients in `noc`
that are thrown away, losses brought to the host. Forms are timed in turn; medians and ratios are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import gpu  # beside this file
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pnoc_lib.engine import backward, batchnorm
from pnoc_lib.priors import cam, erasing, networks, puzzle, training

PARTS = {  # part -> strategies whose steps differ by it
    "l_cls of the whole images (CAM)": ("cam", None),
    "tiles, merge and L_re": ("puzzle", "cam"),
    "soft erasure, through oc": ("oc-cse", "cam"),
    "hard erasure, noc's own step": ("p-noc", "p-oc"),
}


def literal(f: networks.CAMNetwork, noc: networks.CAMNetwork) -> Callable[[Tensor, Tensor], None]:
    """Algorithm 1 without any economy."""
    f.train()
    batchnorm.freeze_batchnorm(noc.train())
    rates = {"lr": 1e-4, "weight_decay": 1e-4}
    optimizers = [torch.optim.SGD(network.parameters(), **rates) for network in (f, noc)]

    def step(images: Tensor, labels: Tensor) -> None:
        r = erasing.draw_class(labels)
        maps = f(images)
        merged = puzzle.merge(f(puzzle.tile(images)))
        cls, re_cls = (cam.classification_loss(cam.gap(m), labels) for m in (maps, merged))
        re = puzzle.reconstruction_loss(maps, merged, labels)
        cse = erasing.cse_loss(noc(erasing.erase_soft(images, maps, r)), labels, r)
        loss = erasing.p_oc(cls, re_cls, re, cse, lambda_re=4.0, lambda_cse=1.0)
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        erased = torch.from_numpy(erasing.erase_hard(images, maps, r).numpy())
        noc_loss = erasing.noc_loss(noc(erased), labels, lambda_noc=1.0)
        optimizers[1].zero_grad()
        noc_loss.backward()
        optimizers[1].step()
        [term.item() for term in (loss, cls, re_cls, re, cse, noc_loss)]

    return step


def ours(strategy: str, f, oc, options: argparse.Namespace, precision: str) -> Callable[[Tensor, Tensor], object]:
    """The step of `training.train`, taken where it is handed to the loop."""
    settings = training.TrainingSettings(
        strategy=strategy, batch_size=options.batch_size, crop_size=options.crop_size, precision=precision, lr=1e-4
    )
    images = gpu.no_images(options.batch_size)
    return gpu.taken(lambda folder: training.train(f, images, folder, settings, oc=oc))


def rate(form: Callable[[], object], flops: float, rounds: int = 5) -> float:
    """GFLOP a second of `form`, the best of some rounds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        form()
        times.append(time.perf_counter() - began)
    return flops / min(times) / 1e9


def limit(f: networks.CAMNetwork, images: Tensor) -> None:
    """Arithmetic of the passes that a step needs, over the rates of this machine."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        f(images)
    forward = counter.get_total_flops() / 1e9
    needed = (3 + 3 + 2 + 3) * forward
    a, b = (torch.randn(4096, 1024).bfloat16(), torch.randn(1024, 1024).bfloat16())
    matmul = rate(lambda: a @ b, 2 * 4096 * 1024 * 1024)
    x = torch.randn(16, 192, 14, 14).bfloat16().contiguous(memory_format=torch.channels_last)
    w = torch.randn(1152, 192, 1, 1).bfloat16()
    with torch.no_grad():
        pointwise = rate(lambda: torch.nn.functional.conv2d(x, w), 2 * 16 * 14 * 14 * 192 * 1152)
    print(f"\nforward pass {forward:.1f} GFLOP; needed 11 of them (f: 3 whole, 3 tiles; noc: 2 for f, 3 of its own)")
    for name, speed in {"matrix product": matmul, "1x1 convolution": pointwise}.items():
        print(f"at the rate of a bf16 {name:16}{speed:7.0f} GFLOP/s: {needed / speed:6.3f} s a step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--crop-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = (options.batch_size, 3, options.crop_size, options.crop_size)
    images, labels = torch.randn(size), torch.randint(0, 2, (options.batch_size, 20)).float()
    labels[:, 0] = 1

    def network() -> networks.CAMNetwork:
        return networks.CAMNetwork(options.backbone, 20).to(device)

    forms = {"literal: float32, NCHW": literal(network(), network())}
    forms["float32, channels last, fast"] = ours("p-noc", network(), network(), options, "no")
    forms["bf16, channels last, fast"] = ours("p-noc", network(), network(), options, "bf16")
    for strategy in ("cam", "puzzle", "oc-cse", "p-oc"):
        forms[strategy] = ours(strategy, network(), network(), options, "bf16")
    forms["p-noc"] = forms["bf16, channels last, fast"]
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(options.rounds + 1):  # the first round warms up
        for name, form in forms.items():
            first = name.startswith("literal")
            began = time.perf_counter()
            with nullcontext() if first else backward.QuickBackward():
                form(images.to(device) if first else images, labels.to(device) if first else labels)
            if device == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - began)
    median = {name: statistics.median(values[1:]) for name, values in times.items()}
    print(f"{options.backbone}, batch {options.batch_size}, {options.crop_size} px, {torch.get_num_threads()} threads")
    slow = median["literal: float32, NCHW"]
    for name in list(forms)[:3]:
        print(f"{name:32}{median[name]:8.3f} s{slow / median[name]:8.2f}x")
    print("\nshares of our step")
    for part, (more, less) in PARTS.items():
        seconds = median[more] - (median[less] if less else 0.0)
        print(f"{part:36}{seconds:8.3f} s{100 * seconds / median['p-noc']:7.0f} %")
    if device == "cpu":
        limit(network(), images)


if __name__ == "__main__":
    main()
