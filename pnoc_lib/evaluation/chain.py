"""The masks of one image at every stage of a chain: what the error budget compares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pnoc_lib import runs
from pnoc_lib.data import stores, voc
from pnoc_lib.data.images import LabeledImages, Masks
from pnoc_lib.evaluation import metrics, saliency

PRIOR, AWARE, PSEUDO, NETWORK = "prior", "saliency-aware prior", "pseudo mask", "network"


@dataclass(frozen=True, eq=False)
class Chain:
    """The stores and folders that one network of 06 goes back to, on one split.

    name: of the network. priors, saliency (None where the chain has none): map stores. pseudo, network: index masks.
    threshold: background threshold of the prior alone, in [0, 1].
    """

    name: str
    priors: stores.MapStore
    saliency: stores.MapStore | None
    pseudo: Masks
    network: Masks
    threshold: float

    @property
    def stages(self) -> list[str]:
        """Names of the stages in their order."""
        return [PRIOR, *([AWARE] if self.saliency else []), PSEUDO, NETWORK]

    def masks(self, id: str) -> list[np.ndarray]:
        """(H, W) uint8 masks of one image, one a stage: 0 background, 1..C, 255 uncertain."""
        classes, maps = self.priors.read(id).classes, self.priors.full_size(id)
        found = [metrics.predict(maps, classes, self.threshold)]
        if self.saliency:
            found.append(saliency.combine(maps, classes, self.saliency.single(id)))
        return [*found, self.pseudo.mask(id), self.network.mask(id)]

    def values(self, id: str, pixel: tuple[int, int], names: tuple[str, ...]) -> list[str]:
        """What a pixel (row, column) is at every stage, in words; names: of the classes."""
        row, column = pixel
        classes, maps = self.priors.read(id).classes, self.priors.full_size(id)
        called = ["background", *names]
        words = [called[value] if value < len(called) else "uncertain" for value in (m[pixel] for m in self.masks(id))]
        if len(maps):
            strongest = int(maps[:, row, column].argmax())
            words[0] += f"\n{names[classes[strongest]]} {maps[strongest, row, column]:.2f}"
        if self.saliency:
            words[1] += f"\nsaliency {self.saliency.single(id)[pixel]:.2f}"
        return words


def of(
    runs_root: Path | str,
    experiment: str,
    network: str,
    seed: int,
    images: LabeledImages,
    *,
    threshold: float = 0.3,
) -> tuple[Chain, list[str]]:
    """The chain of a network, followed back by the manifests of its stages, and the images that all stages have.

    images: of the split that is asked for. Raises FileNotFoundError for a stage that has not ended, ValueError for the
    fully supervised reference, which has no chain, and where no image has masks of all stages.
    """

    def found(notebook: str, run: str) -> Path:
        return runs.require(runs.folder(runs_root, experiment, notebook, run=run, seed=seed), notebook)

    last = found("06_segmentation", network)
    learned = runs.manifest(last)["parameters"]["masks"]
    if learned == "ground-truth":
        raise ValueError(f"{network!r} learned from the truth and has no chain: name a network of pseudo masks")
    made = found("05_affinity", learned)
    said, split = runs.manifest(made)["parameters"], images.split
    aware = stores.MapStore(found("04_saliency", said["saliency"]) / split / "saliency") if said["saliency"] else None
    priors = stores.MapStore(found("02_infer_priors", said["prior"]) / split / "cams")
    folders = [made / split / "SegmentationClass", last / split / "SegmentationClass"]
    held = [{path.stem for path in folder.glob("[!.]*.png")} for folder in folders]
    held += [set(store.ids()) for store in (priors, aware) if store]
    ids = [id for id in images.ids if all(id in some for some in held)]
    if not ids:
        raise ValueError(f"no image of {split!r} has masks of all stages of {network!r}: run 06 on this split")
    pseudo, own = (voc.read_masks(folder, ids, classes=images.classes) for folder in folders)
    return Chain(network, priors, aware, pseudo, own, threshold), ids
