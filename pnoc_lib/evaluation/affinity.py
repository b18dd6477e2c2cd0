"""What affinity labels and walks are worth, measured on masks: for information, nothing learns from it (Section 5)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from pnoc_lib.affinity import inference, masks, network, walk
from pnoc_lib.data import stores
from pnoc_lib.data.images import VOID, LabeledImages, Masks
from pnoc_lib.evaluation import metrics
from pnoc_lib.evaluation.pictures import plain

BASE = {"puzzle": "P", "p-oc": "P-OC", "p-noc": "P-OC"}  # first column of Table 7: +NOC stands in one of its own


def label_quality(labels: Masks, truth: Masks | None, ids: Sequence[str], radius: int) -> dict[str, float]:
    """Shares of the pixels of all images that are uncertain, background, foreground; precision of the two; pairs.

    labels: affinity labels. truth: masks, None for none (precisions are NaN); void pixels count for no precision.
    radius: of the pairs, in cells. Pairs of each kind are counted a cell of the grid, on whole images.
    """
    pixels, right, pairs, cells = np.zeros(3), np.zeros((2, 2)), np.zeros(3), 0
    for image_id in ids:
        label = labels.mask(image_id)
        kinds = [label == VOID, label == 0, (label != VOID) & (label != 0)]
        pixels += [kind.sum() for kind in kinds]
        if truth is not None:
            mask = truth.mask(image_id)
            known = mask != VOID
            right += [[(kind & known & (mask == label)).sum(), (kind & known).sum()] for kind in kinds[1:]]
        grid = network.to_grid(torch.from_numpy(label)[None])
        pairs += [float(kind.sum()) for kind in network.pair_kinds(grid, radius).values()]
        cells += grid.numel()
    shares = pixels / max(1, pixels.sum())
    precision = [part / whole if whole else float("nan") for part, whole in right]
    names = ("uncertain", "background", "foreground")
    named = dict(zip(names, shares, strict=True))
    named |= {"precision of background": precision[0], "precision of foreground": precision[1]}
    return named | dict(zip(("bg pairs", "fg pairs", "negative pairs"), pairs / max(1, cells), strict=True))


def staying(edge: Tensor, mask: np.ndarray, steps: Sequence[int], settings: walk.WalkSettings) -> pd.DataFrame:
    """How probable it is that a walker is in the class that it started in: columns class, steps, stays.

    edge: (h, w). mask: (H, W) of the image, for scoring; void belongs to no class, and a walker may end there.
    classes that own no cell of the grid have no row.
    """
    edge = edge.float().cpu()  # one walk an image: not worth a way to a GPU
    grid = _label_grid(mask, edge.shape)
    present = [int(value) for value in grid.unique() if value != VOID]
    if not present:
        return pd.DataFrame(columns=["class", "steps", "stays"])
    where = torch.stack([(grid == value).float() for value in present])
    rows = []
    for count, there in zip(steps, walk.Transition(edge[None], settings).averages(where[None], steps), strict=True):
        for value, own, found in zip(present, where, there[0], strict=True):
            rows.append({"class": value, "steps": count, "stays": float((own * found).sum() / own.sum())})
    return pd.DataFrame(rows)


def table7_row(strategy: str, smoothing: float, saliency: str = "") -> str:
    """Name of the row of Table 7 that a chain stands for, such as "P-OC +LS +C2AM-H +NOC"; others are named alike."""
    plain_name = strategy.removesuffix("-ls")
    base, noc = BASE.get(plain_name, plain_name.upper()), plain_name == "p-noc"
    parts = [("+LS", smoothing > 0), (f"+{saliency.upper()}", bool(saliency)), ("+NOC", noc)]
    return " ".join([base, *(name for name, there in parts if there)])


def table7_rows(scores: pd.DataFrame, row: str, columns: Mapping[str, str], note: str) -> pd.DataFrame:
    """Measured cells of Table 7, in percent: table, row, column, value, split, threshold, chosen_on, images, note.

    scores: columns split, threshold, chosen_on, miou (a fraction), images. columns: the table's column by split.
    """
    kept = scores[scores["split"].isin(list(columns))]
    return pd.DataFrame(
        {
            "table": 7, "row": row, "column": kept["split"].map(columns), "value": 100 * kept["miou"],
            "split": kept["split"], "threshold": kept["threshold"], "chosen_on": kept["chosen_on"],
            "images": kept["images"], "note": note,
        }
    )  # fmt: skip


def statement_cells(row: str, scores: pd.DataFrame, quality: pd.DataFrame, splits: Mapping[str, str]) -> pd.DataFrame:
    """What the statements of `trends.affinity_cells` ask of a run: row, column, value in percent (pairs: times 100).

    scores: columns split, masks, chosen_on, miou. quality: as from `label_quality`, the last line that of this run.
    splits: names of the splits for "train" and "val"; a split without scores has no value.
    """
    best = scores[scores["chosen_on"] == "oracle"].set_index(["split", "masks"])["miou"]
    cells = {f"VOC12 {name.title()}": best.get((split, "walked, CRF"), float("nan")) for name, split in splits.items()}
    cells["gain"] = cells["VOC12 Train"] - best.get((splits["train"], "prior"), float("nan"))
    cells |= quality.iloc[-1][["uncertain", "negative pairs"]].to_dict()
    return pd.DataFrame({"row": row, "column": list(cells), "value": [100 * float(value) for value in cells.values()]})


def sized(images: LabeledImages, ids: Sequence[str], wanted: int) -> str:
    """The first of `ids` with exactly `wanted` classes, else the first."""
    return next((image_id for image_id in ids if images.label(image_id).sum() == wanted), ids[0])


def spectrum_picture(steps: int, tolerance: float) -> tuple[Figure, pd.DataFrame]:
    """The power x^steps as a Chebyshev series: its coefficients by degree, and what is left of an eigenvalue.

    Returns the figure and the coefficients: degree, coefficient, rest (what the series lacks beyond this degree).
    """
    whole = walk.power_series(steps, 0.0)
    table = pd.DataFrame({"degree": list(whole), "coefficient": list(whole.values())})
    table["rest"] = (1 - table["coefficient"].cumsum()).clip(lower=0)
    last = max(walk.power_series(steps, tolerance))
    with plt.rc_context(plain):
        fig, (left, right) = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained")
        left.semilogy(table["degree"], table["rest"].clip(lower=1e-12), color="#0072B2")
        left.axvline(last, color="0.4", ls="--", lw=0.8)
        left.annotate(f"{last} products", (last, 1e-2), xytext=(6, 0), textcoords="offset points", fontsize=8)
        left.set(xlabel="degree = products with S", ylabel="what is left out", title=f"rest of the series of x^{steps}")
        value = np.linspace(0.8, 1, 400)
        for count, style in ((steps // 16, ":"), (steps // 4, "--"), (steps, "-")):
            right.plot(value, value**count, style, color="#D55E00", label=f"{count} steps")
        right.set(xlabel="eigenvalue of T", ylabel="share that is left", title="slow patterns survive, fast ones die")
        right.legend(frameon=False, fontsize=8)
    plt.close(fig)
    return fig, table


def outlines(mask: np.ndarray, size: tuple[int, int]) -> Tensor:
    """The edges that a perfect network would find, (h, w) of 0 and 1: cells beside one of another class, by the mask.

    mask: (H, W) of class indices; cells of void are edges, as they are drawn around objects. size: (h, w) of the grid.
    """
    grid = _label_grid(mask, size).float()
    around = F.pad(grid[None, None], (1, 1, 1, 1), mode="replicate")
    lowest, highest = -F.max_pool2d(-around, 3, 1)[0, 0], F.max_pool2d(around, 3, 1)[0, 0]
    return ((highest != lowest) & ((grid > 0) | (highest == VOID))).float()


def what_helps(
    edge_of: Callable[[str], Tensor],
    priors: stores.MapStore,
    truth: Masks,
    ids: Sequence[str],
    settings: walk.WalkSettings,
    *,
    score_classes: Collection[str] | None = None,
) -> pd.DataFrame:
    """The walk in its parts, and with the edges that masks would give: mIoU of sharp masks at the best threshold.

    edge_of: from an id to its edges (h, w). Columns maps, threshold, miou (a fraction). An oracle throughout.
    """
    parts: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "prior": lambda maps, edge, best: maps,
        "prior o (1 - edge)": lambda maps, edge, best: maps * (1 - edge),
        "walked, without 1 - edge": lambda maps, edge, best: walk.Transition(edge[None], settings).average(maps[None])[
            0
        ],
        "walked": lambda maps, edge, best: walk.walk(maps, edge, settings),
        "walked by the outlines of the masks": lambda maps, edge, best: walk.walk(maps, best, settings),
    }
    found = {name: metrics.ThresholdHistogram(len(truth.classes)) for name in parts}
    for image_id in ids:
        stored, mask = priors.read(image_id), truth.mask(image_id)
        edge = edge_of(image_id).float().cpu()
        best, own = outlines(mask, edge.shape), inference.on_grid(torch.from_numpy(stored.maps), edge)
        for name, part in parts.items():
            maps = part(own, edge, best).clamp_min(0).numpy()
            found[name].update(masks.enlarge(maps, mask.shape), stored.classes, mask)
    over = {"class_names": truth.classes, "score_classes": score_classes or None}
    sweeps = {name: metrics.threshold_sweep(one, **over) for name, one in found.items()}
    rows = [(name, metrics.best_threshold(sweep), sweep["miou"].max()) for name, sweep in sweeps.items()]
    return pd.DataFrame(rows, columns=["maps", "threshold", "miou"])


def _label_grid(mask: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Labels (H, W) on a grid (h, w): those of the pixels in the middle of its cells."""
    grid = F.interpolate(torch.from_numpy(mask)[None, None].float(), tuple(size), mode="nearest-exact")
    return grid[0, 0].to(torch.uint8)
