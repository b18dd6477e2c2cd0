"""What the affinity stage costs, against literal ways of doing the same, as ratios within one run.

    python benchmarks/affinity.py

- the random walk as a short series of stencil products, against eight squarings of the dense matrix at a size that
  those can afford, and against 256 products with a sparse matrix at the size of a VOC image; time and memory;
- its cost for images of up to 2000 x 1500 pixels;
- affinities of the walk and, with their gradient, of training, against gathering all paths;
- one step of the edge head, against the same over a float32 backbone;
- the dense CRF of several labels of one image, against one by one;
- the dense CRF over a pool of two processes, against one.
Times are CPU seconds of one thread, but for the pool, which takes the clock and so two idle cores.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F

from pnoc_lib.affinity import network, paths, walk
from pnoc_lib.engine import backbones, crf


def seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """The shortest of some timings: other processes only add to it."""
    timings = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        timings.append(time.process_time() - began)
    return min(timings)


def scene(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Edges and two maps of a grid."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(height, width, generator=generator) ** 3, torch.rand(2, height, width, generator=generator)


def matrix(edge: torch.Tensor, dtype: type = np.float32) -> scipy.sparse.csr_matrix:
    """T of Section 20 of the paper's code, sparse: columns sum to 1."""
    height, width = edge.shape
    padded = F.pad(edge[None], (4, 4, 0, 4), value=1.0)
    weight = paths.affinities(padded, 5)[0].flatten(1).numpy().astype(dtype) ** 10
    number = np.arange(height * width).reshape(height, width)
    rows, columns, values = [number.ravel()], [number.ravel()], [np.ones(number.size, dtype)]
    for (dy, dx), own in zip(paths.offsets(5), weight, strict=True):
        inside = np.zeros((height, width), bool)
        inside[: height - dy, max(0, -dx) : width - max(0, dx)] = True
        source = number[inside]
        target, own = source + dy * width + dx, own[inside.ravel()]
        rows, columns, values = [*rows, source, target], [*columns, target, source], [*values, own, own]
    full = scipy.sparse.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))))
    return full.multiply(1 / full.sum(0)).tocsr().astype(dtype)


def dense_walk(maps: torch.Tensor, edge: torch.Tensor) -> torch.Tensor:
    """The literal way: eight squarings."""
    transition = torch.from_numpy(matrix(edge).toarray())
    for _ in range(8):
        transition = transition @ transition
    found = ((maps * (1 - edge)).flatten(1) @ transition).view(maps.shape)
    return found / found.max()


def sparse_walk(maps: torch.Tensor, edge: torch.Tensor, dtype: type = np.float32) -> torch.Tensor:
    """256 products with a sparse matrix."""
    transition = matrix(edge, dtype).T.tocsr()
    now = (maps * (1 - edge)).flatten(1).numpy().T.astype(dtype)
    for _ in range(256):
        now = transition @ now
    return torch.from_numpy(now.T.reshape(maps.shape) / now.max())


WAYS = {"series": lambda maps, edge: walk.walk(maps, edge), "dense": dense_walk, "sparse": sparse_walk}


def peak(way: str, size: tuple[int, int], answer) -> None:
    """In a process of its own: MiB that a walk adds to what the process held before."""
    torch.set_num_threads(1)
    edge, maps = scene(*size)
    WAYS["sparse" if way == "dense" else way](*reversed(scene(8, 8)))  # all libraries are loaded
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far (Linux)
    before = resident()
    WAYS[way](maps, edge)
    answer.put(resident() - before)


def resident() -> float:
    """The largest memory that this process has had, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def memory(way: str, size: tuple[int, int]) -> float:
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=peak, args=(way, size, answer))
    process.start()
    value = answer.get()
    process.join()
    return value


def walks() -> None:
    for other, size in (("dense", (48, 64)), ("sparse", (94, 125))):
        edge, maps = scene(*size)
        gap = float((sparse_walk(maps, edge, np.float64) - walk.walk(maps, edge)).abs().max())
        slow, fast = seconds(lambda: WAYS[other](maps, edge), 1), seconds(lambda: walk.walk(maps, edge))  # noqa: B023
        print(
            f"walk on {size[0]} x {size[1]}, two classes: {other} {slow:.2f} s, {memory(other, size):.0f} MiB; "
            f"series {fast:.3f} s, {memory('series', size):.0f} MiB ({slow / fast:.0f}x); off by {gap:.1e} of the peak"
        )
    for height, width in ((375, 500), (750, 1000), (1500, 2000)):
        edge, maps = scene(-(-height // 4), -(-width // 4))
        cost = seconds(lambda: walk.walk(maps, edge), 2)  # noqa: B023
        print(f"walk for {width} x {height} pixels: {cost:.3f} s, {1e6 * cost / (width * height):.2f} us a pixel")


def literal_affinities(edge: torch.Tensor, radius: int) -> torch.Tensor:
    """All paths gathered, with gradients, and the highest edge of each."""
    windows = edge.unfold(1, radius, 1).unfold(2, 2 * radius - 1, 1)
    found = []
    for pair in paths.offsets(radius):
        y, x = torch.tensor(paths.path(*pair)).T
        found.append(windows[..., y, x + radius - 1].amax(-1))
    return 1 - torch.stack(found, 1)


def affinities() -> None:
    for radius, size, learning in ((5, (8, 94, 128), False), (10, (4, 128, 128), True)):
        edge = torch.rand(size).requires_grad_(learning)

        def run(function) -> None:
            found = function(edge, radius)  # noqa: B023
            if learning:  # noqa: B023
                found.sum().backward()

        slow, fast = seconds(lambda: run(literal_affinities)), seconds(lambda: run(paths.affinities))
        what = "with gradient" if learning else "of a walk"
        print(f"affinities within {radius} {what}: literal {slow:.3f} s, ours {fast:.3f} s ({slow / fast:.0f}x)")


def several() -> None:
    image, labels, count, _ = load(0)
    cuts = [labels, np.minimum(labels, 1), np.roll(labels, 40, 1)]
    for name, settings in {"pseudo masks": crf.PSEUDO_MASKS, "affinity labels": crf.AFFINITY_LABELS}.items():
        slow = seconds(lambda: [crf.refine_labels(image, cut, count, settings) for cut in cuts])  # noqa: B023
        fast = seconds(lambda: crf.refine_several(image, cuts, count, settings))  # noqa: B023
        print(f"CRF of three {name} of an image: one by one {slow:.2f} s, together {fast:.2f} s ({slow / fast:.1f}x)")


def step() -> None:
    images, labels = torch.randn(16, 3, 160, 160), torch.randint(0, 3, (16, 160, 160), dtype=torch.uint8)
    kinds = network.pair_kinds(network.to_grid(labels), 10)
    ours = network.EdgeNetwork("tf_efficientnet_lite0")
    plain = backbones.build_pyramid("tf_efficientnet_lite0", "none").eval()

    def run(features, affinities) -> None:
        edge = ours.head(features(images), (160, 160)).sigmoid()
        network.loss(network.loss_terms(affinities(edge, 10), kinds)).backward()

    def literal(pixels):
        with torch.no_grad():
            return [network._pooled(each, stride) for each, stride in zip(plain(pixels), plain.strides, strict=True)]

    slow = seconds(lambda: run(literal, literal_affinities))
    fast = seconds(lambda: run(ours.features, paths.affinities))
    print(f"step of 16 crops of 160 pixels: literal {slow:.2f} s, ours {fast:.2f} s ({slow / fast:.1f}x)")


def load(seed: int) -> tuple:
    generator = np.random.default_rng(seed)
    image = np.kron(generator.integers(0, 255, (15, 20, 3)), np.ones((25, 25, 1))).astype(np.uint8)
    return image, np.kron(generator.integers(0, 3, (5, 4)), np.ones((75, 125), int)), 3, crf.AFFINITY_LABELS


def pool() -> None:
    timings, found = {}, {}
    for workers in (1, 2):
        results = crf.refine_many(crf.refine_labels, range(4 + 16), load, workers=workers)
        found[workers] = [next(results) for _ in range(4)]  # by then the processes have started
        began = time.perf_counter()
        found[workers] += results
        timings[workers] = time.perf_counter() - began
    same = all((a == b).all() for a, b in zip(found[1], found[2], strict=True))
    print(
        f"CRF of 16 images of 500 x 375, three labels: {timings[1]:.1f} s, by two processes {timings[2]:.1f} s "
        f"({timings[1] / timings[2]:.2f}x), {'the same bytes' if same else 'OTHER BYTES'}"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    walks()
    affinities()
    step()
    several()
    pool()
