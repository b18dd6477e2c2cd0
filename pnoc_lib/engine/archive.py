"""The files of a training in its folder; those of other settings are kept aside, where a return to them finds them.

A folder holds the files of one training, told by its record (finished) or its checkpoint (not yet). Whatever else was
trained there lies beside it as NAME-DIGEST.EXTENSION, the digest being that of its identity.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pnoc_lib import files
from pnoc_lib.engine import checkpoints
from pnoc_lib.engine.history import History

RECORD, CHECKPOINT, TABLES = "training.json", "checkpoint.safetensors", ("steps.csv", "epochs.csv")


@dataclass(frozen=True)
class Archive:
    """What a training of this identity, `total` iterations in `epochs`, leaves and finds in `folder`."""

    folder: Path
    identity: Mapping[str, Any]
    total: int
    epochs: int

    def settle(self) -> None:
        """Bring back the files of this training, if they made way for those that lie here now."""
        if self._others():
            if not self._aside():
                return
            self._move()
        aside = self._aside()
        for path in sorted(aside, key=lambda path: aside[path] not in (RECORD, CHECKPOINT)):  # the owner is told first
            if not (self.folder / aside[path]).exists():
                os.replace(path, self.folder / aside[path])

    def finished(self, *results: str) -> bool:
        """True when this very training has ended here, and its results and tables are there, whole."""
        record = _record(self.folder)
        if not record or self._differences(record["identity"]):
            return False
        paths = [self.folder / name for name in (*results, *TABLES)]
        if not all(path.is_file() and path.stat().st_size for path in paths):
            return False
        return [len(table) for table in self.history()] == [self.total, self.epochs]

    def history(self) -> History:
        """The tables of a finished training."""
        return History(*(pd.read_csv(self.folder / name) for name in TABLES))

    def make_way(self) -> str:
        """Move the files of a training of another identity aside; what was done in words, empty when nothing was."""
        self.settle()
        changed = self._others()
        if not changed:
            lost = bool(_record(self.folder)) and not (self.folder / CHECKPOINT).is_file()
            return f"{self.folder} holds the record of lost or damaged results: starting anew" if lost else ""
        kind = "an unfinished training" if (self.folder / CHECKPOINT).is_file() else "a finished training"
        return (
            f"{self.folder} holds {kind} of other settings ({changed}): starting anew; its files are kept as "
            f"*-{self._move()}.*, where the old settings find them"
        )

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and position of the checkpoint, None without one; ValueError when it cannot be gone on from."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return None
        tensors, position = files.read_tensors(path)[0], json.loads(_metadata(path)["position"])
        done = position["step"]
        if not 0 <= done <= self.total or len(position["rows"]) != done or len(position["epochs"]) > self.epochs:
            raise ValueError(
                f"the checkpoint {path} stands at iteration {done} of {self.total}, with {len(position['rows'])} in "
                "its history: no training leaves that; delete it, and the training begins anew"
            )
        return tensors, position

    def save(self, tensors: Mapping[str, Tensor], position: Mapping[str, Any]) -> None:
        """Write the checkpoint."""
        metadata = {"identity": json.dumps(self.identity), "position": json.dumps(position)}
        files.write_tensors(self.folder / CHECKPOINT, tensors, metadata)

    def finish(self, results: Mapping[str, Callable[[Path], None]], history: History, processes: int) -> None:
        """Write what the training leaves: results, tables, record; the checkpoint goes last."""
        (self.folder / RECORD).unlink(missing_ok=True)  # of lost results
        for name, write in results.items():
            write(self.folder / name)
        for name, table in zip(TABLES, history, strict=True):
            files.write_csv(self.folder / name, table)
        record = {"identity": self.identity, "processes": processes, "results": list(results)}
        files.write_json(self.folder / RECORD, record)
        (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def _owner(self) -> tuple[dict[str, Any], list[str]]:
        """Whose files lie here: the identity, empty where there is no training, and the names of the results."""
        if (self.folder / CHECKPOINT).is_file():
            told = _metadata(self.folder / CHECKPOINT)
            return json.loads(told["identity"]), json.loads(told["position"])["results"]
        record = _record(self.folder)
        return record.get("identity", {}), record.get("results", [])

    def _others(self) -> str:
        """What differs between the identity of the files that lie here and this one; empty when they are ours."""
        identity = self._owner()[0]
        return self._differences(identity) if identity else ""

    def _differences(self, identity: Mapping[str, Any]) -> str:
        """Threads count where both trainings ran on a CPU: what a GPU has trained may be looked at anywhere."""
        count = "threads" in identity and "threads" in self.identity
        old, new = ({k: v for k, v in each.items() if count or k != "threads"} for each in (identity, self.identity))
        return checkpoints.changes(old, new)

    def _move(self) -> str:
        """Move the training that lies here aside, also what the kill of an earlier move left; its digest."""
        identity, results = self._owner()
        digest = checkpoints.short(identity)
        for name in (*results, *TABLES, CHECKPOINT, RECORD):  # what tells the owner goes last
            path = self.folder / name
            if path.is_file():
                os.replace(path, path.with_name(f"{path.stem}-{digest}{path.suffix}"))
        return digest

    def _aside(self) -> dict[Path, str]:
        """Files of this training that lie aside, with their names."""
        digest = checkpoints.short(self.identity)
        found = [path for path in self.folder.glob(f"*-{digest}.*") if not path.name.startswith(".")]
        return {path: re.sub(rf"-{digest}(?=\.\w+$)", "", path.name) for path in found}


def _record(folder: Path) -> dict[str, Any]:
    """The record of a finished training, with identity, processes and results; empty when there is none."""
    path = folder / RECORD
    if not path.is_file() or not path.stat().st_size:
        return {}
    record = files.read_json(path)
    return record if isinstance(record, dict) and isinstance(record.get("identity"), dict) else {}


def _metadata(path: Path) -> dict[str, str]:
    """What a checkpoint tells of itself; ValueError says what to do when it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        problem = "" if {"identity", "position"} <= metadata.keys() else "it names no identity and position"
    except SafetensorError as error:
        problem = str(error)
    if problem:
        raise ValueError(f"the checkpoint {path} is damaged ({problem}): delete it, and the training begins anew")
    return metadata
