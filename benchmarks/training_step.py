"""One training step of the vanilla classifier: float32 as published code runs it, against bf16, channels last and the
fast backward pass of depthwise convolutions.

    python benchmarks/training_step.py --backbone tf_efficientnet_lite0 --batch-size 16 --crop-size 224

Each form is timed in turn, round after round; the median of the rounds and the ratio to the first form are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import nullcontext

import torch

from pnoc_lib.engine import backward
from pnoc_lib.priors import cam, networks

FORMS = {  # name -> (bf16, channels last, fast depthwise)
    "float32, NCHW": (False, False, False),
    "float32, channels last": (False, True, False),
    "bf16, channels last": (True, True, False),
    "float32, channels last, fast": (False, True, True),
    "bf16, channels last, fast": (True, True, True),
}


def step(network: networks.CAMNetwork, images: torch.Tensor, labels: torch.Tensor, *, bf16: bool, fast: bool) -> None:
    """Forward and backward pass; gradients are dropped."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), backward.QuickBackward() if fast else nullcontext():
        loss = cam.classification_loss(cam.gap(network(images)), labels)
    loss.backward()
    network.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--crop-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    size = (options.batch_size, 3, options.crop_size, options.crop_size)
    images, labels = torch.randn(size), torch.randint(0, 2, (options.batch_size, 20)).float()
    network = networks.CAMNetwork(options.backbone, 20).train()
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    for _ in range(options.rounds + 1):  # the first round warms up
        for name, (bf16, channels_last, fast) in FORMS.items():
            layout = torch.channels_last if channels_last else torch.contiguous_format
            network.to(memory_format=layout)
            pixels = images.contiguous(memory_format=layout)
            began = time.perf_counter()
            step(network, pixels, labels, bf16=bf16, fast=fast)
            times[name].append(time.perf_counter() - began)
    first = statistics.median(next(iter(times.values()))[1:])
    print(f"{options.backbone}, batch {options.batch_size}, {options.crop_size} px, {torch.get_num_threads()} threads")
    for name, measured in times.items():
        median = statistics.median(measured[1:])
        print(f"{name:32}{median:8.3f} s{first / median:8.2f}x")


if __name__ == "__main__":
    main()
