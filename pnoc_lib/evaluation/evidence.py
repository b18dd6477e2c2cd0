"""What hard erasure leaves, and where the classifier then finds its evidence: can a `noc` learn the object there?

The question of Section 3.2 put to an ordinary classifier before any `noc` is trained. Line 9 of Algorithm 1 cuts out
what the map of class r covers; Eq. (10) then tells `noc` that r is still there. If the rest holds little of the object,
and the classifier's evidence lies no more on that little than on the rest, the label teaches context.
Masks are read here for information alone: nothing of this trains anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from pnoc_lib.data import augment
from pnoc_lib.data.images import VOID, LabeledImages, Masks
from pnoc_lib.engine import batchnorm
from pnoc_lib.priors import cam, erasing, networks

DELTAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
RIM = 0.5  # of the erased region: what lies in its neighbourhood without having been erased


def of_leftover(
    left: np.ndarray, evidence: np.ndarray, thing: np.ndarray, void: np.ndarray | None = None
) -> tuple[float, float]:
    """Share of the object in what erasure left, and share of the evidence there that lies on the object.

    left: (H, W) bool, kept pixels. evidence: (H, W), rectified map of the erased class on the erased image, at least 0.
    thing: (H, W) bool, the object. void: (H, W) bool, pixels that count for nobody.
    Returns two fractions. Evidence spread without regard to the object has the same share as the object: chance.
    The first is NaN where nothing is left, the second also where nothing that is left gives evidence.
    """
    left = left if void is None else left & ~void
    pixels, strength = left.sum(), float(evidence[left].sum())
    on_object = left & thing
    share = on_object.sum() / pixels if pixels else np.nan
    return float(share), float(evidence[on_object].sum()) / strength if strength > 0 else np.nan


@torch.no_grad()
def measure(
    oc: networks.CAMNetwork,
    images: LabeledImages,
    masks: Masks | None = None,
    deltas: Sequence[float] = DELTAS,
    *,
    progress: bool = True,
) -> pd.DataFrame:
    """One row for every image, class of its label and delta_noc.

    oc: an ordinary classifier, in any mode, left untouched: it draws the map that erases, and looks at what is left.
    masks: for information; without them the columns that need them are missing.
    deltas: values of delta_noc, fractions; a pixel is erased where psi(A^r) is above.
    Columns: id, class, delta; p_whole = p(r | image), p_hard = p(r | hard erasure); erased, the share of the pixels cut
    out; rim_share and rim_evidence, the shares of what is left, and of the evidence there, that lie where psi is above
    half of delta: the stand-in that needs no mask. With masks also object_erased, the share of the object that is cut
    out; object_share and evidence_share, as from `of_leftover`.
    """
    rows = []
    device = next(oc.parameters()).device
    with batchnorm.fixed(oc):
        for image_id in tqdm(images.ids, desc="evidence", unit="image", mininterval=1, disable=not progress):
            image = augment.normalize(images.image(image_id), oc.mean, oc.std)[None].to(device)
            classes = np.flatnonzero(images.label(image_id))
            if not len(classes):
                continue
            mask = None if masks is None else masks.mask(image_id)
            rows += _of_image(oc, image, classes, mask, deltas, {"id": image_id}, images.classes)
    return pd.DataFrame(rows)


def _of_image(oc, image: Tensor, classes: np.ndarray, mask, deltas, row: dict, names: Sequence[str]) -> list[dict]:
    size = tuple(image.shape[-2:])
    maps = oc(image)  # (1, C, h, w)
    r = torch.from_numpy(classes).to(image.device)
    some = (image.expand(len(r), -1, -1, -1), maps.expand(len(r), -1, -1, -1), r)
    psi = erasing.attention(*some[1:], size, scope="image")[:, 0].cpu().numpy()  # (K, H, W)
    whole = cam.gap(maps)[0, r].sigmoid()
    found = []
    for delta in deltas:
        seen = oc(erasing.erase_hard(*some, delta))
        p_hard = cam.gap(seen).gather(1, r[:, None])[:, 0].sigmoid()
        own = seen[torch.arange(len(r), device=r.device), r][:, None].float().relu()
        evidence = F.interpolate(own, size, mode="bilinear", align_corners=False)[:, 0].cpu().numpy()
        for k, c in enumerate(classes):
            left = psi[k] <= delta
            rim_share, rim_evidence = of_leftover(left, evidence[k], psi[k] > RIM * delta)
            line = row | {"class": names[c], "delta": delta, "p_whole": float(whole[k]), "p_hard": float(p_hard[k])}
            line |= {"erased": 1 - float(left.mean()), "rim_share": rim_share, "rim_evidence": rim_evidence}
            if mask is not None:
                thing = mask == c + 1
                share, on_object = of_leftover(left, evidence[k], thing, mask == VOID)
                erased = float(1 - left[thing].mean()) if thing.any() else np.nan
                line |= {"object_erased": erased, "object_share": share, "evidence_share": on_object}
            found.append(line)
    return found


def by_group(measured: pd.DataFrame, groups: Mapping[str, Mapping[str, Sequence[str]]]) -> pd.DataFrame:
    """Means by delta over all images, and over the images of each group of classes.

    measured: as from `measure`. groups: as from `analysis.class_groups`.
    Returns rows (grouping, group, delta), first "all"; columns pairs (images times classes that have both shares), the
    means of `measure`, and two ratios of means: lift, of evidence_share to object_share (1: chance), and rim_lift.
    """
    every = sorted(set(measured["class"]))
    members = {("all", "all"): every} | {
        (grouping, group): list(names) for grouping, some in groups.items() for group, names in some.items()
    }
    parts = []
    for (grouping, group), names in members.items():
        own = measured[measured["class"].isin(names)].drop(columns=["id", "class"])
        means = own.dropna().groupby("delta").mean()
        means.insert(0, "pairs", own.dropna().groupby("delta").size())
        parts.append(means.assign(grouping=grouping, group=group).reset_index())
    table = pd.concat(parts).set_index(["grouping", "group", "delta"])
    table["rim_lift"] = table["rim_evidence"] / table["rim_share"]
    if "evidence_share" in table:
        table["lift"] = table["evidence_share"] / table["object_share"]
    return table
