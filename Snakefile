"""The pipeline as a graph of notebook runs. `make run PRESET=demo` starts it; by hand, with changes in a file of yours
(such as `common: {data_root: FOLDER}`) laid over the preset:

    snakemake --cores all --rerun-incomplete --configfile configs/voc12.yaml changes.yaml

On a SLURM cluster (Python 3.11 or newer; pip install snakemake-executor-plugin-slurm), one notebook run a job:

    snakemake --profile profiles/slurm --configfile configs/voc12.yaml changes.yaml

One rule serves all stages: a stage is a line of tools/stages.py, and tools/graph.py knows what a preset's runs need.
A run leaves a manifest, the last thing that its notebook writes, and the executed notebook; both are only replaced by
a run that ended well. Checkpoints are not declared: a stage that was stopped goes on from its own.
"""

import os
import shlex
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import graph
import presets
import warm
from stages import STAGES

for name, value in warm.QUICK.items():
    os.environ.setdefault(name, value)

try:
    PIPELINE = graph.Graph(config)
except presets.PresetError as problem:
    print(problem, file=sys.stderr)
    sys.exit(1)


def key(stage, wildcards):
    """Stage, name and seed of the run behind some wildcards; without a name where it runs once an experiment."""
    seed = getattr(wildcards, "seed", None)
    return stage, getattr(wildcards, "run", ""), None if seed is None else int(seed)


def needed(stage):
    """The manifests that must be there before a run of a stage begins."""
    return lambda wildcards: PIPELINE.manifests(PIPELINE.runs[key(stage, wildcards)].needs)


def named(stage):
    """Files that the parameters of a run name."""
    return lambda wildcards: PIPELINE.named(key(stage, wildcards))


def given(stage):
    """The parameters of a run of a stage."""
    return lambda wildcards: PIPELINE.parameters(*key(stage, wildcards))


def urgency(stage):
    """What comes first of the runs that may start: the one with the longest chain behind it."""
    return lambda wildcards: PIPELINE.urgency(key(stage, wildcards))


def word(path):
    """A path as a word of the shell that Snakemake does not take for a pattern."""
    return shlex.quote(str(path)).replace("{", "{{").replace("}", "}}")


TOOL = word(os.path.relpath(ROOT / "tools" / "execute.py"))
THREADS = "OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads}"
EXECUTE = f"{THREADS} {word(sys.executable)} {TOOL} {{input.notebook:q}} {{output.notebook:q}} {{params.parameters:q}} 2>&1"


wildcard_constraints:
    run=presets.NAME.pattern,
    seed=r"\d+",


onstart:
    graph.remember()


rule all:
    input:
        PIPELINE.manifests(PIPELINE.runs),
        PIPELINE.reports(PIPELINE.runs),
    default_target: True


for stage in PIPELINE.declared:

    rule:
        name:
            stage
        input:
            needed(stage),
            notebook=PIPELINE.notebook(stage),
            library=PIPELINE.library(stage),
            data=PIPELINE.data(stage),
            named=named(stage),
        output:
            manifest=update(PIPELINE.manifest(stage)),
            notebook=update(PIPELINE.report(stage)),
        params:
            parameters=given(stage),
        threads: (workflow.cores or PIPELINE.threads) if STAGES[stage].whole else PIPELINE.threads
        priority: urgency(stage)
        resources:
            **PIPELINE.resources(stage),
        shell:
            EXECUTE.replace("{threads}", str(PIPELINE.threads)) if STAGES[stage].whole else EXECUTE
