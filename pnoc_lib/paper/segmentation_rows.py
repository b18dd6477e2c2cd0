"""Which row of Tables 8 to 10 a segmentation network belongs to, and its scores as rows of these tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pnoc_lib import runs
from pnoc_lib.evaluation import analysis
from pnoc_lib.paper import collect, reader

SHORT = {"deeplabv2": "V2", "deeplabv3+": "V3+"}
REFERENCE = {"deeplabv2": "DeepLabV2", "deeplabv3+": "DeepLabV3+"}
COLUMNS = runs.ROWS


def row_name(architecture: str, prior: str = "", saliency: str = "") -> str:
    """The row of a network: its masks' prior and saliency, then V2 or V3+ where the paper has both.

    prior: as the paper calls it ("P", "P-OC", "P-NOC+LS"), "" for the fully supervised reference. saliency: "c2am-h",
    "c2am" or "".
    Where the paper has no such row (P-NOC without label smoothing), the name says so and stands for none.
    """
    if not prior:
        return REFERENCE[architecture]
    name = prior + {"c2am-h": "+C2AM-H", "c2am": "+C2AM"}.get(saliency, f"+{saliency}" if saliency else "")
    name = {"P": "Puzzle-CAM"}.get(name, name)
    long, known = f"{name} {SHORT[architecture]}", _known()
    return name if name in known and long not in known and architecture == "deeplabv3+" else long


def origin(runs_root: Path | str, experiment: str, masks: str, seed: int) -> tuple[str, str]:
    """What pseudo masks go back to, by the manifests of their stages: the paper's name of the prior, and the saliency.

    masks: a run of 05. Returns such as ("P-NOC+LS", "c2am-h"), the second "" where no saliency took part.
    Raises FileNotFoundError for a stage that has not ended.
    """

    def told(notebook: str, run: str) -> Mapping[str, Any]:
        folder = runs.folder(runs_root, experiment, notebook, run=run, seed=seed)
        return runs.manifest(runs.require(folder, notebook))["parameters"]

    made = told("05_affinity", masks)
    prior = collect.method_name(told("01_train_priors", made["prior"]))
    return prior, told("04_saliency", made["saliency"])["method"] if made.get("saliency") else ""


def rows(
    name: str,
    architecture: str,
    scores: pd.DataFrame,
    miou: float,
    *,
    dataset: str,
    split: str,
    images: int,
    note: str = "",
) -> pd.DataFrame:
    """Rows of Table 8 (and, by class, 10) for VOC, of Table 9 for COCO: `COLUMNS`, values in percent.

    scores: as from `metrics.class_scores`. Table 10 is of the test set in print, here of `split`: the note says so.
    """
    shared = {"split": split, "threshold": float("nan"), "chosen_on": "fixed", "images": images}
    number = 9 if dataset == "coco14" else 8
    lines = [{"table": number, "row": name, "column": "Val", "value": 100 * miou, "note": note} | shared]
    if number == 8:
        labels: Mapping[str, str] = {analysis.BACKGROUND: "bg", **reader.class_groups()["label in Table 10"].to_dict()}
        own = f"of {split}, not of the test set; {note}".strip("; ")
        by_class = [*zip(scores["class"].map(labels), scores["iou"], strict=True), ("avg.", miou)]
        lines += [
            {"table": 10, "row": _of_table_10(name), "column": column, "value": 100 * iou, "note": own} | shared
            for column, iou in by_class
            if pd.notna(iou) and pd.notna(column)
        ]
    return pd.DataFrame(lines, columns=list(COLUMNS))


def _known() -> set[str]:
    return {row for number in (8, 9) for row in reader.table(number).index}


def _of_table_10(name: str) -> str:
    """Table 10 leaves saliency and smoothing out of its names."""
    known = {
        "P-OC+C2AM-H": "P-OC",
        "P-NOC+LS+C2AM-H V3+": "P-NOC V3+",
        "P-NOC+LS+C2AM-H V2": "P-NOC V2",
    }
    return known.get(name, name)
