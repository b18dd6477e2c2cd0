"""What a stage leaves: its folder, and the manifest that says how its files came to be."""

from __future__ import annotations

import hashlib
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pnoc_lib import files

MANIFEST = "manifest.json"
BEFORE = "manifest-before.json"  # of the run before, while another is at work
ROWS_FILE = "rows.csv"
ROWS = ("table", "row", "column", "value", "split", "threshold", "chosen_on", "images", "note")
WORK = ("started", "duration_s", "peak_memory_mib", "device", "threads")  # what tells of the run that did the work
PACKAGES = ("torch", "torchvision", "timm", "accelerate", "numpy", "pandas", "pillow", "pnoc-companion")


@dataclass(frozen=True)
class Stage:
    """A stage that has begun. `finish` writes its manifest."""

    folder: Path
    notebook: str
    settings: Mapping[str, Any]
    started: datetime
    clock: float

    def finish(
        self,
        metrics: Mapping[str, Any] | None = None,
        outputs: Iterable[Path | str] = (),
        rows: pd.DataFrame | Iterable[Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Write `manifest.json`, as the last thing that a stage does: it stands for success.

        metrics: numbers worth comparing between runs; scores are fractions.
        outputs: files and folders that the stage leaves; they are listed with their sizes, files with their SHA-256.
        rows: what was measured for the paper's tables, one line a cell with the columns `ROWS`: rows and columns as in
        paper/tableNN.csv, value in percent; kept as rows.csv. None: what the stage wrote there itself stays.
        Returns the manifest: stage, parameters, seed, metrics, outputs, started (UTC), duration_s, peak memory in MiB
        (of this process, of its largest child, of the GPU), device, versions, git revision. No path in it is
        absolute, and no host is named. Where the same parameters left the same outputs before, and took longer, this
        run only read back: time, memory, device and threads are those of the run that did the work.
        Raises FileNotFoundError for an output that is not there, ValueError for rows with other columns.
        """
        if rows is not None:
            self._write_rows(pd.DataFrame(rows))
        manifest = {
            "stage": self.notebook,
            "parameters": portable(dict(self.settings)),
            "seed": self.settings.get("seed"),
            "metrics": portable(dict(metrics or {})),
            "outputs": [_describe(Path(path)) for path in outputs],
            "started": self.started.isoformat(timespec="seconds"),
            "duration_s": round(time.perf_counter() - self.clock, 1),
            "peak_memory_mib": _peak_memory(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "threads": torch.get_num_threads(),
            "versions": _versions(),
            "code": _revision(),
        }
        before = _read(self.folder / BEFORE)
        if before.get("duration_s", 0) > manifest["duration_s"] and all(
            before.get(name) == manifest[name] for name in ("parameters", "outputs")
        ):
            manifest |= {name: before[name] for name in WORK if name in before}
        files.write_json(self.folder / MANIFEST, manifest)
        (self.folder / BEFORE).unlink(missing_ok=True)
        return manifest

    def _write_rows(self, rows: pd.DataFrame) -> None:
        (self.folder / ROWS_FILE).unlink(missing_ok=True)
        if rows.empty:
            return
        if wrong := sorted(set(rows.columns) ^ set(ROWS)):
            raise ValueError(f"rows of tables have the columns {', '.join(ROWS)}: {', '.join(wrong)} lack or are none")
        files.write_csv(self.folder / ROWS_FILE, rows[list(ROWS)])


def folder(
    root: Path | str, experiment: str, notebook: str, *, run: str | None = None, seed: int = 0, split: str = ""
) -> Path:
    """Where a stage keeps its files: root/experiment/notebook[/run-sSEED[/split]].

    Raises ValueError for a name that is not that of one folder, and so could lead out of the root.
    """
    for kind, name in {"experiment": experiment, "run": run or "", "split": split}.items():
        if name and not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(f"{kind} {name!r} names no folder: use letters, figures and . + - _, a letter first")
    if not experiment:
        raise ValueError("experiment is empty: give it a name, which its folders bear")
    path = Path(root) / experiment / notebook
    return path if run is None else path / f"{run}-s{seed}" / split


def start(folder: Path | str, settings: Mapping[str, Any], *, notebook: str) -> Stage:
    """Begin a stage: make its folder and put the manifest of an earlier run aside, so that a manifest means success.

    Everything else stays: a checkpoint is what an interrupted run goes on from. Only what a killed one had
    half written goes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files.sweep(folder)
    if (folder / MANIFEST).is_file():
        (folder / MANIFEST).replace(folder / BEFORE)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    return Stage(folder, notebook, dict(settings), datetime.now(timezone.utc), time.perf_counter())


def begin(settings: Mapping[str, Any], notebook: str) -> Stage:
    """Begin the stage that a notebook's checked parameters name; see `folder` and `start`."""
    return start(_place(settings, notebook, settings.get("run"), settings.get("seed", 0)), settings, notebook=notebook)


def earlier(
    settings: Mapping[str, Any],
    notebook: str,
    what: str = "results",
    *,
    run: str | None = None,
    seed: int | None = None,
) -> Path:
    """The folder of an earlier stage of the same experiment; `require` says what to do when it has not ended well.

    run: name of its run, where it has several. seed: that of the settings, unless another is given.
    """
    seed = settings.get("seed", 0) if seed is None else seed
    return require(_place(settings, notebook, run, seed), notebook, what)


def earlier_weights(settings: Mapping[str, Any], notebook: str, run: str) -> str:
    """The file of weights of an earlier stage, with the same seed; "" where it has not ended well."""
    place = _place(settings, notebook, run, settings["seed"])
    return str(weights(place)) if _read(place / MANIFEST) else ""


def _place(settings: Mapping[str, Any], notebook: str, run: str | None, seed: int) -> Path:
    return folder(settings["runs_root"], settings["experiment"], notebook, run=run, seed=seed)


def require(folder: Path | str, notebook: str, what: str = "results") -> Path:
    """The folder of a stage that has ended well.

    notebook: the stage, such as "01_train_priors"; what: what is looked for there, for the message.
    Raises FileNotFoundError when the folder holds no manifest.
    """
    folder = Path(folder)
    if not _read(folder / MANIFEST):
        state = "an unfinished run" if folder.is_dir() and any(folder.iterdir()) else f"no {what}"
        raise FileNotFoundError(f"{state} in {folder}: run notebooks/{notebook}.ipynb with the same parameters first")
    return folder


def weights(folder: Path | str, name: str = "weights.safetensors") -> Path:
    """The file of weights of a finished stage, when it is the one that the stage left.

    Raises ValueError when its SHA-256 is not that of the manifest: somebody put another file in its place.
    """
    path = Path(folder) / name
    listed = {Path(output["path"]).name: output.get("sha256") for output in manifest(folder)["outputs"]}
    if name not in listed or _describe(path)["sha256"] != listed[name]:
        raise ValueError(
            f"{path} is not the file that its stage left ({MANIFEST} has another digest): run the stage again"
        )
    return path


def manifest(folder: Path | str) -> dict[str, Any]:
    """Read the manifest of a finished stage."""
    return files.read_json(Path(folder) / MANIFEST)


def portable(value: Any) -> Any:
    """`value` as plain JSON values, with absolute paths made relative to the working folder.

    Of an absolute path elsewhere the last two parts are kept, after "...".
    """
    if isinstance(value, Mapping):
        return {str(key): portable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [portable(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path) or (isinstance(value, str) and value.startswith("/") and "\n" not in value):
        path = Path(value)
        if not path.is_absolute():
            return path.as_posix()
        if path.is_relative_to(Path.cwd()):
            return path.relative_to(Path.cwd()).as_posix()
        return Path("...", *path.parts[1:][-2:]).as_posix()
    return value


def _read(path: Path) -> dict[str, Any]:
    """A manifest; empty where there is none that is whole."""
    try:
        return files.read_json(path)
    except (OSError, ValueError):
        return {}


def _describe(path: Path) -> dict[str, Any]:
    if path.is_dir():
        sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")]
        return {"path": portable(path), "files": len(sizes), "bytes": sum(sizes)}
    if not path.is_file():
        raise FileNotFoundError(f"the stage was to leave {path}, which is not there: look at the cell that writes it")
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return {"path": portable(path), "bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _peak_memory() -> dict[str, int]:
    """Peak resident memory in MiB: of this process, of its largest child that has ended, and of the GPU."""
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB on Linux
    peak = {
        "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit,
        "largest_child": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // unit,
    }
    if torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated() // 2**20
    return peak


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _revision() -> dict[str, Any]:
    """Git commit of the library's sources and whether they differ from it; None where there is no git."""

    def git(*command: str) -> str:
        here = Path(__file__).resolve().parent
        return subprocess.run(
            ["git", "-C", str(here), *command], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # fails for a copy inside somebody else's repository
        top = git("rev-parse", "--show-toplevel")
        changed = git("-C", top, "status", "--porcelain", "--", "pnoc_lib", "notebooks", "configs", "Snakefile")
        return {"revision": git("rev-parse", "HEAD"), "changed": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return {"revision": None, "changed": None}
