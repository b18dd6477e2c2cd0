"""Train PoolNet on the binary maps of a disentangler, as if they were annotations (Section 6.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from pnoc_lib import files
from pnoc_lib.data import augment, stores
from pnoc_lib.data.images import LabeledImages
from pnoc_lib.data.samples import mix
from pnoc_lib.engine import batchnorm, checkpoints, fixed
from pnoc_lib.engine.history import History
from pnoc_lib.engine.loop import Loop, Moment, Pace
from pnoc_lib.engine.multiscale import PRECISIONS
from pnoc_lib.engine.pace import Paced
from pnoc_lib.saliency import poolnet

WEIGHTS = "poolnet.safetensors"
TOGETHER = 2**18  # pixels up to which images of one size run together; a photograph of VOC12 has 187,500 and runs alone
TOGETHER_ON_GPU = 2**22  # there ten photographs of one size took 6.6 GB, and a sixth of the time of one by one


@dataclass(frozen=True)
class Settings(Paced):
    """Everything that decides a training but images, maps and network; defaults as published.

    epochs; accumulation: images an optimiser step, whose gradients are added; lr, weight_decay: of Adam, constant;
    fixed_encoder: beyond the paper, the backbone stays as it is and the rest alone learns, at a third of the work.
    precision, seed. Images keep their own size: those of one step that share it run together, others one by one.
    Raises ValueError for an impossible value.
    """

    epochs: int = 9
    accumulation: int = 10
    lr: float = 5e-5
    weight_decay: float = 5e-4
    fixed_encoder: bool = False
    precision: str = "bf16"
    seed: int = 0

    def __post_init__(self):
        self._must(("lr",), be="positive", hint="the paper's is 5e-5")
        self._must(("weight_decay",), be="not negative")
        self.pace  # noqa: B018  checks what it holds

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Settings:
        """The settings among the parameters of a notebook, where those of PoolNet alone begin with pool_."""
        names = ("epochs", "accumulation", "lr", "weight_decay", "fixed_encoder")
        own = {name: parameters[f"pool_{name}"] for name in names}
        return cls(**own, precision=parameters["precision"], seed=parameters["seed"])

    @property
    def pace(self) -> Pace:
        """How long and how fast: an iteration is an optimiser step, at a constant rate."""
        own = {name: getattr(self, name) for name in ("epochs", "precision", "seed")}
        return Pace(batch_size=self.accumulation, power=0.0, **own)


@dataclass(frozen=True)
class NativeSamples(Dataset):
    """Images at their own size with their binary maps, mirrored together every other time.

    Item (epoch, index) is (3, H, W) normalised and (1, H, W) in [0, 1], the same at every time.
    """

    images: LabeledImages
    maps: stores.MapStore
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    seed: int

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = key
        image_id = self.images.ids[index]
        generator = torch.Generator().manual_seed(mix(self.seed, epoch, index))
        pixels = augment.normalize(self.images.image(image_id), self.mean, self.std)
        target = torch.from_numpy(self.maps.single(image_id))[None]
        flip = torch.rand((), generator=generator).item() < 0.5
        return (pixels.flip(-1), target.flip(-1)) if flip else (pixels, target)


def saliency_loss(logits: Tensor, target: Tensor, accumulation: int) -> Tensor:
    """Binary cross-entropy, added up over the pixels of all images, divided by the images of an optimiser step.

    logits, target: (N, 1, H, W), target in [0, 1]. Returns a scalar.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), target, reduction="sum") / accumulation


def train(
    network: poolnet.PoolNet,
    images: LabeledImages,
    maps: stores.MapStore,
    folder: Path | str,
    settings: Settings,
    *,
    cpu: bool = False,
    **options,
) -> History:
    """Train PoolNet on the binary maps of `images`; `folder` gets poolnet.safetensors, steps.csv and epochs.csv.

    images: those with a class; the others have no map to learn from. No mask is read: the maps are the teacher.
    options: num_workers, checkpoint_seconds, progress, after_epoch of `Loop.run`.
    BatchNorm of the backbone stays as it is. A finished training of the same settings and maps is read back.
    Returns the tables of iterations and epochs: loss, as above; bce, its mean over the pixels; salient, the share of
    pixels that the map calls salient, and found, the share that the network does.
    Raises DataError when maps are missing or of other images.
    Unlike the published code: images with a side of at most 100 pixels are not passed over, those of MS COCO not padded
    to 224.
    """
    images = images.with_labels()
    maps.require(images, by_class=False)
    identity = checkpoints.identity(network, images) | {"maps": maps.digest(images.ids), "width": network.width}
    count = min(settings.accumulation, len(images))  # of an optimiser step
    loop = Loop(folder, replace(settings.pace, batch_size=count), len(images), identity | asdict(settings), cpu=cpu)
    if loop.finished(WEIGHTS):
        network.load_state_dict(files.read_tensors(Path(folder) / WEIGHTS)[0])
        network.eval()
        return loop.history()
    batchnorm.freeze_batchnorm(network)  # before the optimiser: its scales and shifts do not learn
    if settings.fixed_encoder:
        network.encoder.requires_grad_(False)

    def adam(network) -> torch.optim.Optimizer:
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return torch.optim.Adam(learning, lr=settings.lr, weight_decay=settings.weight_decay)

    learner = loop.learner("poolnet", network, adam, mode=lambda network: batchnorm.freeze_batchnorm(network.train()))
    encoder = fixed.FixedEncoder(network.encoder, PRECISIONS[settings.precision]) if settings.fixed_encoder else None

    def step(*pairs: tuple[Tensor, Tensor], at: Moment) -> dict[str, Tensor]:
        groups = list(alike(pairs, TOGETHER if loop.device.type == "cpu" else TOGETHER_ON_GPU))
        pixels = sum(target.numel() for _, target in pairs)
        measured: dict[str, Tensor] = {}
        for left, group in zip(range(len(groups) - 1, -1, -1), groups, strict=True):
            x, target = loop.place(*group)
            with learner.adding() if left else nullcontext():
                with loop.arithmetic():
                    logits = learner(x, encoder)
                loss = saliency_loss(logits, target, len(pairs))
                learner.update(loss)
            part = {"loss": loss.detach(), "salient": target.sum() / pixels, "found": (logits > 0).sum() / pixels}
            measured = {name: measured.get(name, 0) + value for name, value in part.items()}
        return measured | {"bce": measured["loss"] * len(pairs) / pixels}

    drawn = NativeSamples(images, maps, network.mean, network.std, settings.seed)
    results = {WEIGHTS: partial(poolnet.save_network, network)}
    history = loop.run(step, drawn, results, title="PoolNet", collate=list, place=False, **options)
    batchnorm.freeze_batchnorm(network, frozen=False)
    network.encoder.requires_grad_(True)
    return history


def alike(pairs: Sequence[tuple[Tensor, Tensor]], pixels: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and maps stacked with others of their size, at most so many pixels of them, in the order they came."""
    by_size: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
    for pair in pairs:
        by_size.setdefault(tuple(pair[0].shape), []).append(pair)
    for (_, height, width), same in by_size.items():
        most = max(1, pixels // (height * width))
        for start in range(0, len(same), most):
            images, maps = zip(*same[start : start + most], strict=True)
            yield torch.stack(images), torch.stack(maps)
