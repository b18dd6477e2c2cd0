"""The table of stages: one line a notebook, with what its runs need and take. The graph is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PRIORS, SALIENCY, AFFINITY, SEGMENTATION = "01_train_priors", "04_saliency", "05_affinity", "06_segmentation"
INFERENCE, ANALYSIS, BUDGET, START = "02_infer_priors", "03_analyse_priors", "09_error_budget", "start_here"


@dataclass(frozen=True)
class Stage:
    """One notebook of the pipeline.

    runs: the block of the preset's `runs` that names what it makes; "" where it runs once an experiment.
    needs: parameters that name runs (of the same seed), and the stage whose runs they are.
    library: packages and modules of pnoc_lib on which its results depend; a change of any other makes no run stale.
    whole: whether it starts a process on every core itself, so that nothing shall run beside it.
    minutes, mem_mb: what one run takes in the demo; a preset says its own, and how many GPUs, under `resources`.
    """

    name: str
    runs: str
    needs: Mapping[str, str] = field(default_factory=dict)
    library: str = ""
    whole: bool = False
    minutes: float = 1
    mem_mb: int = 2000


GROUND = "files parameters runs data"
STAGES = {
    stage.name: stage
    for stage in (
        Stage("00_data", "", library="toyvoc evaluation/analysis evaluation/distributions", whole=True, minutes=0.5),
        Stage(PRIORS, "priors", {"oc_run": PRIORS}, "engine priors evaluation/estimate", minutes=2.2, mem_mb=4500),
        Stage(INFERENCE, "priors", {"run": PRIORS}, "engine priors evaluation/metrics", minutes=0.6, mem_mb=2500),
        Stage(ANALYSIS, "", {"priors": INFERENCE}, "priors evaluation paper", minutes=0.3),
        Stage(
            SALIENCY, "saliency", {"hints": INFERENCE, "segmentation_priors": INFERENCE, "beside": SALIENCY},
            "engine priors saliency evaluation/metrics evaluation/saliency", minutes=2.6, mem_mb=3500,
        ),
        Stage(
            AFFINITY, "affinity", {"prior": INFERENCE, "saliency": SALIENCY, "beside": AFFINITY},
            "engine priors saliency affinity evaluation/metrics evaluation/affinity evaluation/masks",
            minutes=2.3, mem_mb=3500,
        ),
        Stage(
            SEGMENTATION, "segmentation", {"masks": AFFINITY, "encoder": PRIORS, "beside": SEGMENTATION},
            "engine segmentation evaluation/analysis evaluation/metrics evaluation/masks paper/segmentation_rows",
            minutes=1.8, mem_mb=2500,
        ),
        Stage(
            BUDGET, "", {"networks": SEGMENTATION},
            "engine priors saliency affinity segmentation evaluation/analysis evaluation/budget evaluation/chain "
            "evaluation/cost evaluation/flows evaluation/masks evaluation/metrics evaluation/saliency", minutes=0.4,
        ),
        Stage(  # the lesson that comes first and looks at what all others left; where the preset has a block for it
            START, "",
            {"priors": INFERENCE, "saliency": SALIENCY, "affinity": AFFINITY, "segmentation": SEGMENTATION},
            "engine priors evaluation", minutes=0.2, mem_mb=3000,
        ),
        Stage("07_paper_beside_ours", "", library="evaluation paper audit", minutes=0.5),
        Stage("08_audit", "", library="evaluation paper audit", minutes=0.5),
        Stage("10_mechanism", "", library="evaluation priors", minutes=0.5),
    )
}  # fmt: skip
GROUND_TRUTH = "ground-truth"  # in place of a run of 05: the masks of the data set
BLOCKS = {stage.runs for stage in STAGES.values()} - {""}
