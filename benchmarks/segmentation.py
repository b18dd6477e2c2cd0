"""Seconds of a DeepLabV3+ training step and of inference with CRF, beside literal forms of both.

    python benchmarks/segmentation.py [--size 160] [--images 8]

Step: bfloat16, channels last, quick depthwise convolutions against float32, NCHW. Inference: mirrors together, maps
enlarged once, BatchNorm folded, bfloat16, CRF over present classes in other processes against one pass an image, by way
of the scaled image, CRF over all classes in turn. CPU seconds would hide the processes, so these are of the wall clock.
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
from torchvision.transforms.v2 import functional as TF

from pnoc_lib.data.images import LabeledImages
from pnoc_lib.engine import backward, crf
from pnoc_lib.engine.fixed import FixedEncoder
from pnoc_lib.segmentation import deeplab, inference, losses

SCALES = (0.5, 1.0, 1.5)


def step_seconds(network, size: int, *, literal: bool, fixed: bool = False, repeats: int = 3) -> float:
    """Fastest of some steps on a batch of 8; fixed: the encoder stays as it is."""
    layout = torch.contiguous_format if literal else torch.channels_last
    network = network.train().to(memory_format=layout)
    network.encoder.requires_grad_(not fixed).train(not fixed)
    encoder = FixedEncoder(network.encoder, torch.bfloat16) if fixed else None
    images = torch.rand(8, 3, size, size).contiguous(memory_format=layout)
    masks = torch.randint(0, 21, (8, size, size))
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=1e-4, momentum=0.9, nesterov=True)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        optimizer.zero_grad()
        if literal:
            maps = network(images)
        else:
            with backward.QuickBackward(), torch.autocast("cpu", torch.bfloat16):
                maps = network(images, encoder)
        losses.multi_scale_loss(maps, masks, smoothing=0.1).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


@torch.no_grad()
def literal_inference(network, images: LabeledImages) -> dict[str, np.ndarray]:
    """One image, scale and mirror at a time, in float32; all classes in the CRF."""
    masks = {}
    for id in images.ids:
        image, total = images.image(id), 0
        for scale in SCALES:
            scaled = TF.resize(image, [round(scale * side) for side in image.size[::-1]])
            for mirror in (False, True):
                seen = TF.hflip(scaled) if mirror else scaled
                pixels = TF.normalize(TF.pil_to_tensor(seen).float() / 255, network.mean, network.std)[None]
                logits = network(pixels)[0]
                logits = logits.flip(-1) if mirror else logits
                total = total + F.interpolate(logits, image.size[::-1], mode="bilinear") / len(SCALES)
        shares = total.softmax(1)[0].numpy()
        masks[id] = crf.refine_probabilities(np.asarray(image), shares, crf.SEGMENTATION, present=0.0)
    return masks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=160, help="side of images and crops, pixels")
    parser.add_argument("--images", type=int, default=160, help="few hide behind the start of processes")
    parser.add_argument("--weights", type=Path, help="weights.safetensors of 06, for masks that mean something")
    given = parser.parse_args()
    network = deeplab.DeepLabV3Plus("tf_efficientnet_lite0", 20, width=64, low_width=32)
    if given.weights:
        network = deeplab.load_network(given.weights)
    slow, fast = (step_seconds(network, given.size, literal=literal) for literal in (True, False))
    head = step_seconds(network, given.size, literal=False, fixed=True)
    told = f"literal {slow:.2f} s, ours {fast:.2f} s, {slow / fast:.1f} times"
    print(f"training step, 8 images of {given.size} px: {told}; fixed encoder {head:.2f} s, {slow / head:.1f} times")
    with tempfile.TemporaryDirectory() as folder:
        ids = tuple(f"i{number}" for number in range(given.images))
        for id in ids:
            Image.effect_noise((given.size, given.size * 3 // 4), 60).convert("RGB").save(Path(folder, f"{id}.png"))
        labels, paths = np.ones((len(ids), 20), np.uint8), tuple(Path(folder, f"{id}.png") for id in ids)
        images = LabeledImages("noise", "test", tuple(map(str, range(20))), ids, labels, paths)
        network = network.eval().to(memory_format=torch.contiguous_format)
        begin = time.perf_counter()
        slow_masks = literal_inference(network, images)
        middle = time.perf_counter()
        segmenter = inference.Segmenter(network)
        ours = {i: m for i, m, _ in inference.predict(segmenter, images, scales=SCALES, batch_size=8, progress=False)}
        end = time.perf_counter()
    equal = np.mean([(ours[id] == slow_masks[id]).mean() for id in ids])
    slow, fast = middle - begin, end - middle
    told = f"literal {slow:.2f} s, ours {fast:.2f} s, {slow / fast:.1f} times; {equal:.1%} of the pixels alike"
    print(f"inference of {len(ids)} images: {told}")


if __name__ == "__main__":
    main()
