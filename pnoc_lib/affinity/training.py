"""Train the edge head on affinity labels (Section 5): the common loop with one learner and a frozen backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from pnoc_lib.affinity import network as networks
from pnoc_lib.affinity import paths
from pnoc_lib.data import images as readers
from pnoc_lib.data import index_masks, pairs
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.data.problems import DataError
from pnoc_lib.engine import checkpoints
from pnoc_lib.engine.history import History
from pnoc_lib.engine.loop import Loop, Moment, Pace


@dataclass(frozen=True)
class EdgeSettings:
    """What decides the training of the edge head but images and labels; the defaults are those of the published code.

    radius: of the pairs, in cells of 4 pixels. crop_size, resize_min, resize_max: pixels (see `pairs.PairTransform`).
    lr: of the head, there is no other; weight_decay: on all of it.
    Raises ValueError for a crop in which no pair of this radius fits.
    """

    pace: Pace = field(default_factory=lambda: Pace(epochs=3, batch_size=32))
    radius: int = 10
    crop_size: int = 512
    resize_min: int = 320
    resize_max: int = 640
    lr: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        if self.crop_size // paths.STRIDE < 2 * self.radius - 1:
            raise ValueError(
                f"in a crop of {self.crop_size} pixels, {self.crop_size // paths.STRIDE} cells, no pair within "
                f"{self.radius} cells to all sides fits: give a crop of {4 * (2 * self.radius - 1)} or more"
            )


def train(
    network: networks.EdgeNetwork,
    images: LabeledImages,
    labels: index_masks.MaskFolder,
    folder: Path | str,
    settings: EdgeSettings,
    *,
    num_workers: int = 0,
    checkpoint_seconds: float = 60.0,
    cpu: bool = False,
    progress: bool = True,
) -> History:
    """Train the head of `network` on the affinity labels of `images`; `folder` gets weights.safetensors and the tables.

    images: those without a class have no label and are passed over. labels: as from `labels.fill`.
    Returns the history: loss, its three terms without weights, and pairs, those that count for each cell of the grid.
    Raises DataError when images have no label, and what `Loop` raises.
    """
    images = images.with_labels()
    if missing := labels.missing(images.ids):
        raise DataError(
            f"{len(missing)} of {len(images)} images have no affinity label: fill the folder first", labels.folder
        )
    loop = Loop(folder, settings.pace, len(images), _identity(network, images, labels, settings), cpu=cpu)  # who am I
    network.to(loop.device)  # where it will be used, too
    if loop.finished("weights.safetensors"):  # done before?
        networks.load_head(network, loop.folder / "weights.safetensors")
        return loop.history()
    head = loop.learner("head", network.head, _optimizer(settings))  # who learns

    def step(pixels: Tensor, label: Tensor, *, at: Moment) -> dict[str, Tensor]:
        features = network.features(pixels)  # frozen: once a batch, without gradient
        edge = head(features, pixels.shape[-2:]).float().sigmoid()
        affinity = paths.affinities(edge, settings.radius)
        kinds = networks.pair_kinds(networks.to_grid(label), settings.radius)
        terms = networks.loss_terms(affinity, kinds)
        loss = networks.loss(terms)
        head.update(loss)
        return {"loss": loss} | {f"loss_{kind}": term for kind, term in terms.items()} | _pairs(kinds, edge)

    longer = settings.resize_min, settings.resize_max
    transform = pairs.PairTransform(settings.crop_size, network.mean, network.std, longer)
    samples = pairs.PairSamples(
        images, lambda i: readers.read_index_mask(labels.path(i)), transform, settings.pace.seed
    )
    results = {"weights.safetensors": lambda path: networks.save_head(network, path)}
    return loop.run(  # go
        step,
        samples,
        results,
        num_workers=num_workers,
        checkpoint_seconds=checkpoint_seconds,
        progress=progress,
        title="edges",
    )


def _optimizer(settings: EdgeSettings) -> Callable[[nn.Module], torch.optim.Optimizer]:
    rates = {"lr": settings.lr, "momentum": settings.momentum, "weight_decay": settings.weight_decay}
    return lambda head: torch.optim.SGD(head.parameters(), **rates)


def _identity(network, images: LabeledImages, labels: index_masks.MaskFolder, settings: EdgeSettings) -> dict:
    own = {name: value for name, value in asdict(settings).items() if name != "pace"}
    return checkpoints.identity(network, images) | {"labels": labels.digest(images.ids)} | own


def _pairs(kinds: dict[str, Tensor], edge: Tensor) -> dict[str, Tensor]:
    """Pairs of each kind for a cell of the grid."""
    return {f"pairs_{kind}": where.sum() / edge.numel() for kind, where in kinds.items()}
