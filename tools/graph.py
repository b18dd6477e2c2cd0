"""The pipeline as data: a table of stages, and the runs of notebooks that a preset asks for with them.

The Snakefile makes one rule of each line of `STAGES`, and tools/run.py checks a preset before Snakemake starts. Nothing
here imports PyTorch: a start takes a second.
"""

from __future__ import annotations

import functools
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import freshness
import presets
from stages import (
    AFFINITY,
    ANALYSIS,
    BUDGET,
    GROUND,
    GROUND_TRUTH,
    INFERENCE,
    PRIORS,
    SALIENCY,
    SEGMENTATION,
    STAGES,
    START,
    Stage,
)

from pnoc_lib import parameters
from pnoc_lib.priors import strategies

NO_DATA = ("07_paper_beside_ours", "08_audit", "10_mechanism")
SPLITS = ("eval_split", "train_split", "val_split")  # parameters that name one
AT_WORK = Path(".snakemake/at-work.json")  # host and process of the Snakemake that was started last


@dataclass(frozen=True)
class Run:
    """One run of a notebook: its name and seed ("" and None where it runs once), parameters, and the runs it needs."""

    stage: Stage
    name: str = ""
    seed: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[tuple[str, str, int | None], ...] = ()

    @property
    def key(self) -> tuple[str, str, int | None]:
        return self.stage.name, self.name, self.seed


class Graph:
    """The runs that a preset asks for, each checked.

    runs: by (stage, name, seed), every run after those that it needs. Raises PresetError.
    """

    def __init__(self, config: Mapping[str, Any]):
        self.config = presets.checked(config)
        self.experiment, self.threads = self.config["experiment"], self.config["threads"]
        self.declared = {name: self._declared(stage) for name, stage in STAGES.items() if self._wanted(stage)}
        self._check_names()
        self.runs: dict[tuple[str, str, int | None], Run] = {}
        for seed in self.config["seeds"]:
            for stage in (SALIENCY, AFFINITY, SEGMENTATION, INFERENCE):
                for name in self.config["runs"].get(STAGES[stage].runs, {}):
                    self._add(stage, name, seed)
        for stage in ("00_data", ANALYSIS, BUDGET, START, "07_paper_beside_ours", "08_audit", "10_mechanism"):
            if stage in self.declared:
                self._add(stage, "", None)
        self._give_splits()

    def folder(self, stage: str) -> str:
        """Folder of a stage's files; {run} and {seed} stand for those of its run."""
        folder = f"{self.config['runs_root']}/{self.experiment}/{stage}"
        return folder + "/{run}-s{seed}" * bool(STAGES[stage].runs)

    def manifest(self, stage: str) -> str:
        """The file that a finished run leaves last."""
        return f"{self.folder(stage)}/manifest.json"

    def report(self, stage: str) -> str:
        """The executed notebook."""
        one = "-{run}-s{seed}" * bool(STAGES[stage].runs)
        return f"{self.config['reports_root']}/{self.experiment}/{stage}{one}.ipynb"

    def manifests(self, keys: Iterator[tuple[str, str, int | None]]) -> list[str]:
        """Manifests of some runs."""
        return [self.manifest(stage).format(run=name, seed=seed) for stage, name, seed in keys]

    def reports(self, keys: Iterator[tuple[str, str, int | None]]) -> list[str]:
        """Executed notebooks of some runs."""
        return [self.report(stage).format(run=name, seed=seed) for stage, name, seed in keys]

    def notebook(self, stage: str) -> str:
        """The notebook's source."""
        return f"{self.config['notebooks']}/{stage}.ipynb"

    def library(self, stage: str) -> list[str]:
        """Files of pnoc_lib that the stage's results depend on; those that are not there yet are left out."""
        found: set[Path] = set()
        for part in f"{GROUND} {STAGES[stage].library}".split():
            place = Path("pnoc_lib", part)
            found |= {path for path in place.rglob("*") if path.suffix in (".py", ".csv")}
            found |= {place.with_suffix(".py")} & set(place.parent.glob("*.py"))
        return sorted(map(str, found))

    @property
    def record(self) -> Path | None:
        """The file that tells of the data set's files (see freshness.py); None for one that 00 draws itself."""
        drawn = self.config["common"].get("dataset") == "toyvoc"
        return None if drawn or not self._data_root() else Path(self.config["runs_root"], self.experiment, "data.json")

    def note_data(self) -> bool:
        """Look whether the files of the data set are those of the last time; True when they are not."""
        return self.record is not None and freshness.note(self._data_root(), self.record)

    def data(self, stage: str) -> list[str]:
        """The record of the data set, for a stage that reads it; the tables that 10 is about."""
        if stage == "10_mechanism":
            return sorted(map(str, Path("reports", "mechanism").glob("*.csv")))
        known = stage not in NO_DATA and self.record is not None and self.record.is_file()
        return [str(self.record)] if known else []

    def named(self, key: tuple[str, str, int | None]) -> list[str]:
        """Files that a run's parameters name: lists of ids, and weights; when they change it is due again."""
        given = self.runs[key].parameters.items()
        texts = [value for name, value in given if name.endswith(("_ids", "weights")) and isinstance(value, str)]
        return sorted({value for value in texts if Path(value).is_file()})

    def _data_root(self) -> Path | None:
        given = self.config["common"].get("data_root") or (self.config.get("00_data") or {}).get("data_root")
        return Path(_filled(given, self.experiment)) if given else None

    def resources(self, stage: str) -> dict[str, int]:
        """What a scheduler is asked for: mem_mb, runtime (minutes, three times what is expected), gpu where any."""
        own = self.config["resources"].get(stage) or {}
        asked = {"mem_mb": int(own.get("mem_mb", STAGES[stage].mem_mb))}
        asked["runtime"] = max(10, round(3 * self.minutes(stage)))
        return asked | ({"gpu": int(own["gpu"])} if own.get("gpu") else {})

    def minutes(self, stage: str) -> float:
        """How long one run of a stage is expected to take."""
        return (self.config["resources"].get(stage) or {}).get("minutes", STAGES[stage].minutes)

    def urgency(self, key: tuple[str, str, int | None]) -> float:
        """Minutes of the longest chain of runs that begins with this one: of those that may start it comes first."""
        return self._chains[key]

    @functools.cached_property
    def _chains(self) -> dict[tuple[str, str, int | None], float]:
        left = {key: self.minutes(key[0]) for key in self.runs}
        for key in reversed(self.runs):  # every run stands after those that it needs
            for earlier in self.runs[key].needs:
                left[earlier] = max(left[earlier], self.minutes(earlier[0]) + left[key])
        return left

    def parameters(self, stage: str, name: str, seed: int | None) -> str:
        """Parameters of a run as JSON."""
        return json.dumps(dict(self.runs[stage, name, seed].parameters), sort_keys=True)

    def _wanted(self, stage: Stage) -> bool:
        if stage.name == START:
            return bool(self.config.get(START))
        block = {ANALYSIS: "priors", BUDGET: "segmentation"}.get(stage.name, stage.runs)
        return not block or bool(self.config["runs"].get(block))

    def _declared(self, stage: Stage) -> dict[str, parameters.Parameter]:
        """The parameters that a notebook has, from the cell that declares them."""
        path = Path(self.notebook(stage.name))
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        except (OSError, ValueError, KeyError):
            raise presets.PresetError(
                f"no notebook {path}: the preset asks for this stage, put its notebook there"
            ) from None
        cell = next((cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])), {"source": ""})
        return parameters.declared("".join(cell["source"]))

    def _check_names(self) -> None:
        """Every parameter of the preset is declared by a notebook that gets it."""
        anywhere = {name for declared in self.declared.values() for name in declared}
        anywhere |= {"train_split", "eval_split", "val_split"}  # they also say what is inferred
        presets.known_names(self.config["common"], anywhere, "common")
        for stage in STAGES:
            given = self.config.get(stage) or {}
            presets.known_names(given, self.declared.get(stage, given), stage)
        for block in presets.BLOCKS:
            stages = [name for name, stage in STAGES.items() if stage.runs == block and name in self.declared]
            known = {name for stage in stages for name in self.declared[stage]} - {"run", "seed", "splits"}
            for name, given in self.config["runs"].get(block, {}).items():
                presets.known_names(given, known, f"runs.{block}.{name}")

    def _add(self, stage: str, name: str, seed: int | None, asked_by: str = "") -> None:
        """Add a run and, before it, all that it needs."""
        if (stage, name, seed) in self.runs:
            if self.runs[stage, name, seed] is None:
                raise presets.PresetError(f"{stage} {name} needs itself, by way of {asked_by}: name another run there")
            return
        if stage not in self.declared or (STAGES[stage].runs and not self._known_run(stage, name)):
            known = ", ".join(self.config["runs"].get(STAGES[stage].runs, {})) or "none"
            raise presets.PresetError(
                f"{asked_by} needs run {name!r} of {stage}, which the preset does not make: "
                f"name it under runs.{STAGES[stage].runs}, or use one of {known}"
            )
        self.runs[stage, name, seed] = None  # type: ignore[assignment]  # in the making
        given = self._given(STAGES[stage], name, seed)
        needs = list(dict.fromkeys(self._needs(stage, name, seed, given)))
        for key in needs:
            self._add(*key, asked_by=f"{stage} {name}".strip())
        del self.runs[stage, name, seed]  # so that it comes after what it needs
        self.runs[stage, name, seed] = Run(STAGES[stage], name, seed, given, tuple(needs))

    def _known_run(self, stage: str, name: str) -> bool:
        return name in self.config["runs"].get(STAGES[stage].runs, {}) or (stage, name) == (PRIORS, "cam")

    def _given(self, stage: Stage, name: str, seed: int | None) -> dict[str, Any]:
        """The parameters that a run is given, of those that its notebook declares."""
        declared, config = self.declared[stage.name], self.config
        own = dict(config["runs"].get(stage.runs, {}).get(name) or {})
        if stage.name == INFERENCE:  # what both notebooks of a prior have, such as batch_size, is meant for the first
            own = {key: value for key, value in own.items() if key not in self.declared[PRIORS]}
        given = {key: config[key] for key in ("experiment", "runs_root", "reports_root", "seeds")}
        given |= {"priors": list(config["runs"].get("priors", {}))} | config["common"]
        trained = config["runs"].get("segmentation", {})
        given |= {"networks": [key for key, own in trained.items() if (own or {}).get("masks") != GROUND_TRUTH]}
        given |= (config.get(stage.name) or {}) | ({"strategy": name} if stage.runs == "priors" else {}) | own
        if seed is not None:
            given |= {"run": name, "seed": seed}
        if given.get("from_oc") and given.get("oc_run", "cam") == name:
            given["from_oc"] = False  # it is the ordinary classifier
        given = {key: _filled(value, self.experiment) for key, value in given.items() if key in declared}
        problems = parameters.problems(declared, given)
        if stage.name == PRIORS and given.get("strategy", "cam") not in strategies.STRATEGIES:
            problems.append(
                f"strategy must be one of {', '.join(strategies.STRATEGIES)}, got {given['strategy']!r}: a run of "
                "another name says which, as in {strategy: puzzle}"
            )
        if problems:
            where = f"{stage.name} {name}".strip()
            raise presets.PresetError(f"{where} cannot run: {'; '.join(problems)}")
        return given

    def _needs(self, stage: str, name: str, seed: int | None, given: Mapping[str, Any]) -> Iterator[tuple]:
        """The runs that must be finished before this one."""
        if stage == "07_paper_beside_ours":
            yield from [key for key in self.runs if key != (stage, name, seed)]
        if stage in ("00_data", "07_paper_beside_ours", "08_audit", "10_mechanism"):
            return
        yield "00_data", "", None
        values = {key: one.default for key, one in self.declared[stage].items()} | dict(given) | {"run": name}
        for parameter, earlier in STAGES[stage].needs.items():
            if parameter == "oc_run" and not self._begins_with_oc(name, values):
                continue
            named = values.get(parameter) or []
            for other in [named] if isinstance(named, str) else named:
                if other == GROUND_TRUTH:
                    continue
                for each in [seed] if seed is not None else self.config["seeds"]:
                    yield earlier, other, each

    @staticmethod
    def _begins_with_oc(name: str, values: Mapping[str, Any]) -> bool:
        if values.get("oc_weights") or values.get("oc_run", "cam") == name:
            return False
        strategy = values.get("strategy", "cam")
        return bool(values.get("from_oc") or strategies.STRATEGIES[strategy].eraser)

    def _give_splits(self) -> None:
        """Maps are made of the splits that are scored, that train (saliency), and that a later stage reads."""
        readers = {INFERENCE: (SALIENCY, AFFINITY, START), SALIENCY: (AFFINITY, START)}
        for key, run in self.runs.items():
            if "splits" not in self.declared[run.stage.name] or "splits" in run.parameters:
                continue
            common = {name: self.config["common"].get(name) for name in SPLITS[: 1 + (run.stage.name == SALIENCY)]}
            wanted = list((common | self._splits(run, list(common))).values())
            for other in self.runs.values():
                if other.stage.name in readers.get(run.stage.name, ()) and key in other.needs:
                    wanted += self._splits(other, SPLITS).values()
            splits = list(dict.fromkeys(split for split in wanted if split))
            self.runs[key] = replace(run, parameters={**run.parameters, "splits": splits})

    def _splits(self, run: Run, names: Sequence[str]) -> dict[str, str]:
        """The splits that a run's notebook is given, or has by default, of those that it declares."""
        declared = self.declared[run.stage.name]
        return {name: run.parameters.get(name, declared[name].default) for name in names if name in declared}


def remember() -> None:
    """Note on which host and by which process this folder is worked in: its lock means nothing elsewhere."""
    AT_WORK.parent.mkdir(exist_ok=True)
    AT_WORK.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}) + "\n")


def _filled(value: Any, experiment: str) -> Any:
    """{experiment} in texts, also inside of lists, is the experiment's name."""
    if isinstance(value, list):
        return [_filled(each, experiment) for each in value]
    return value.replace("{experiment}", experiment) if isinstance(value, str) else value
