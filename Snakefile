"""The pipeline as a graph of notebook runs. `make run PRESET=demo` starts it; by hand, with changes in a file of yours
(such as `common: {data_root: FOLDER}`) laid over the preset:

    snakemake --cores all --rerun-incomplete --configfile configs/voc12.yaml changes.yaml

On a SLURM cluster (Python 3.11 or newer; pip install snakemake-executor-plugin-slurm), one notebook run a job:

    snakemake --executor slurm --jobs 8 --rerun-incomplete --configfile configs/voc12.yaml changes.yaml \
        --default-resources slurm_account=ACCOUNT slurm_partition=PARTITION gpu=1 cpus_per_task=16 mem_mb=64000 runtime=1440

Every rule runs one notebook and leaves a manifest, the last thing that a notebook writes. Checkpoints are not
declared: Snakemake removes the declared outputs of a run that failed, and a stage goes on from its checkpoint.
"""

import json
import os
import sys
from pathlib import Path

from pnoc_lib.priors.strategies import STRATEGIES

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "1073741824")  # keep freed memory, as in the Makefile
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", "4294967296")


def stop(sentence):
    print(sentence, file=sys.stderr)
    sys.exit(1)


STAGES = ["00_data", "01_train_priors", "02_infer_priors", "03_analyse_priors", "07_paper_beside_ours", "08_audit"]
SETTINGS = {"notebooks": "notebooks", "runs_root": "runs", "reports_root": "reports", "strategies": ["cam"], "seeds": [0]}

if not config:
    stop("no preset given: use make run PRESET=demo, or --configfile configs/demo.yaml")
CONFIG = {**SETTINGS, **config}
KNOWN = ["experiment", "common", *SETTINGS, *STAGES]
if unknown := sorted(set(CONFIG) - set(KNOWN)):
    stop(f"unknown key in the preset: {', '.join(unknown)}; known are {', '.join(KNOWN)}")

if unknown := sorted(set(CONFIG["strategies"]) - set(STRATEGIES)):
    stop(f"no strategy {', '.join(unknown)}: there are {', '.join(STRATEGIES)}")
for stage in STAGES:
    blocks = {name for name, value in (CONFIG.get(stage) or {}).items() if isinstance(value, dict)}
    if unknown := sorted(blocks - set(STRATEGIES)):
        stop(f"{stage} has a block for {', '.join(unknown)}, which is no strategy: there are {', '.join(STRATEGIES)}")

EXPERIMENT = CONFIG["experiment"]
RUNS, REPORTS = f"{CONFIG['runs_root']}/{EXPERIMENT}", f"{CONFIG['reports_root']}/{EXPERIMENT}"
SPLIT = (CONFIG.get("common") or {}).get("eval_split", "val")
LIBRARY = sorted(str(path) for path in Path("pnoc_lib").rglob("*") if path.suffix in (".py", ".csv"))
RUN_ID = "{strategy}-s{seed}"


def parameters(stage, *, common=True, **more):
    """The parameters of one notebook run as JSON: the preset's common ones, its own, those of the wildcards.

    A block under the name of a strategy, `01_train_priors: {p-noc: {batch_size: 16}}`, is for its runs alone.
    common: not for notebooks that read no images and so declare no data set.
    """

    def values(wildcards):
        given = {"experiment": EXPERIMENT, "runs_root": CONFIG["runs_root"], "reports_root": CONFIG["reports_root"]}
        own = CONFIG.get(stage) or {}
        given |= ((CONFIG.get("common") or {}) if common else {}) | own
        given |= own.get(getattr(wildcards, "strategy", None)) or {}
        given = {name: value for name, value in given.items() if not isinstance(value, dict)}
        if given.get("from_oc") and getattr(wildcards, "strategy", None) == "cam":
            given["from_oc"] = False  # it is the oc
        given |= {name: value(wildcards) if callable(value) else value for name, value in more.items()}
        text = json.dumps(given, sort_keys=True)
        return text.replace("{experiment}", EXPERIMENT)

    return values


def notebook(stage):
    return f"{CONFIG['notebooks']}/{stage}.ipynb"


TOOL = os.path.relpath(Path(workflow.basedir) / "tools" / "execute.py")
# the filter drops what every kernel says when it starts, that it is reached over a local socket
QUIETLY = "2> >(grep -v --line-buffered IPKernelApp >&2 || true)"
EXECUTE = f"{sys.executable!r} {TOOL!r} {{input.notebook:q}} {{output.notebook:q}} {{params.parameters:q}} {QUIETLY}"
ONE_RUN = {"strategy": lambda wildcards: wildcards.strategy, "seed": lambda wildcards: int(wildcards.seed)}
ALL_RUNS = {"strategies": CONFIG["strategies"], "seeds": CONFIG["seeds"]}


def ordinary_classifier(wildcards):
    """The run whose weights this one begins with or erases by: that of strategy cam with the same seed."""
    own = CONFIG.get("01_train_priors") or {}
    given = {**own, **(own.get(wildcards.strategy) or {})}
    needed = wildcards.strategy != "cam" and (STRATEGIES[wildcards.strategy].eraser or given.get("from_oc"))
    if not needed or given.get("oc_weights"):
        return []
    return f"{RUNS}/01_train_priors/cam-s{wildcards.seed}/manifest.json"


wildcard_constraints:
    strategy=r"[a-z-]+?",
    seed=r"\d+",


rule all:
    input:
        f"{RUNS}/03_analyse_priors/manifest.json",
        f"{RUNS}/07_paper_beside_ours/manifest.json",
        f"{RUNS}/08_audit/manifest.json",
    default_target: True


rule data:
    input:
        notebook=notebook("00_data"),
        library=LIBRARY,
    output:
        manifest=f"{RUNS}/00_data/manifest.json",
        notebook=f"{REPORTS}/00_data.ipynb",
    params:
        parameters=parameters("00_data"),
    threads: workflow.cores or 16
    shell:
        EXECUTE


rule train_priors:
    input:
        f"{RUNS}/00_data/manifest.json",
        ordinary_classifier,
        notebook=notebook("01_train_priors"),
        library=LIBRARY,
    output:
        manifest=f"{RUNS}/01_train_priors/{RUN_ID}/manifest.json",
        notebook=f"{REPORTS}/01_train_priors-{RUN_ID}.ipynb",
    params:
        parameters=parameters("01_train_priors", **ONE_RUN),
    threads: workflow.cores or 16
    shell:
        EXECUTE


rule infer_priors:
    input:
        f"{RUNS}/01_train_priors/{RUN_ID}/manifest.json",
        notebook=notebook("02_infer_priors"),
        library=LIBRARY,
    output:
        manifest=f"{RUNS}/02_infer_priors/{RUN_ID}/{SPLIT}/manifest.json",
        notebook=f"{REPORTS}/02_infer_priors-{RUN_ID}.ipynb",
    params:
        parameters=parameters("02_infer_priors", **ONE_RUN),
    threads: workflow.cores or 16
    shell:
        EXECUTE


rule analyse_priors:
    input:
        expand(f"{RUNS}/02_infer_priors/{RUN_ID}/{SPLIT}/manifest.json", strategy=CONFIG["strategies"], seed=CONFIG["seeds"]),
        notebook=notebook("03_analyse_priors"),
        library=LIBRARY,
    output:
        manifest=f"{RUNS}/03_analyse_priors/manifest.json",
        notebook=f"{REPORTS}/03_analyse_priors.ipynb",
    params:
        parameters=parameters("03_analyse_priors", **ALL_RUNS),
    threads: workflow.cores or 16
    shell:
        EXECUTE


rule paper_beside_ours:
    input:
        f"{RUNS}/03_analyse_priors/manifest.json",
        notebook=notebook("07_paper_beside_ours"),
        library=LIBRARY,
    output:
        manifest=f"{RUNS}/07_paper_beside_ours/manifest.json",
        notebook=f"{REPORTS}/07_paper_beside_ours.ipynb",
    params:
        parameters=parameters("07_paper_beside_ours", common=False),
    shell:
        EXECUTE


rule audit:
    input:
        notebook=notebook("08_audit"),
        library=LIBRARY,
    output:
        manifest=f"{RUNS}/08_audit/manifest.json",
        notebook=f"{REPORTS}/08_audit.ipynb",
    params:
        parameters=parameters("08_audit", common=False),
    shell:
        EXECUTE
