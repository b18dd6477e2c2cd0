"""Run a preset: start Snakemake on the graph of notebook runs, with the overrides of the command line.

python tools/run.py demo --cores 4 --data ../VOCdevkit/VOC2012 --set "01_train_priors.epochs=2 seeds=[0,1]"
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", help="name of a file in configs/, or a YAML file")
    parser.add_argument("--cores", default="all")
    parser.add_argument("--data", default="", help="folder of the data set, in place of the preset's data_root")
    parser.add_argument("--set", default="", help="overrides: [notebook.]parameter=value, with YAML values")
    parser.add_argument("--dry-run", action="store_true", help="say what would run and why, and run nothing")
    options = parser.parse_args(arguments)

    changes = overrides(options.set)
    if options.data:
        if not Path(options.data).is_dir():
            sys.exit(f"no data set in {options.data}: give DATA the folder that holds the images")
        changes.setdefault("common", {})["data_root"] = options.data
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--rerun-incomplete"]
    command += ["--cores", options.cores, "--configfile", str(preset_file(options.preset))]
    if changes:
        changed = Path(".snakemake/overrides.yaml")
        changed.parent.mkdir(exist_ok=True)
        changed.write_text(yaml.safe_dump(changes))
        command += [str(changed)]
    if options.dry_run:
        sys.exit(follow([*command, "--dry-run"]))
    unlock()
    code = follow([*command, "--quiet", "all"])
    if code == 0:
        print(f"Nothing is left to run for {options.preset}.")
    sys.exit(code)


def follow(command: list[str]) -> int:
    """Run a command to its end, which Ctrl-C brings about in its own way; return its exit status."""
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def preset_file(name: str) -> Path:
    """The YAML file of a preset; exits with a sentence when there is none of that name."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else ROOT / "configs" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in (ROOT / "configs").glob("*.yaml")))
        sys.exit(f"no preset {name!r}: use one of {known}, or the path of a YAML file")
    return path


def overrides(text: str) -> dict:
    """Overrides as nested mappings, from `a.b=1 seeds=[0,1]`; values are YAML and quoted where they hold spaces."""
    result: dict = {}
    for item in shlex.split(text):
        key, equals, value = item.partition("=")
        if not equals or not key:
            sys.exit(f"cannot read the override {item!r}: write notebook.parameter=value, such as common.seed=1")
        *blocks, name = key.split(".")
        place = result
        for block in blocks:
            place = place.setdefault(block, {})
        place[name] = yaml.safe_load(value)
    return result


def unlock() -> None:
    """Remove the lock that a killed Snakemake left in this folder, unless another one is at work in it."""
    locks = Path(".snakemake/locks")
    if not locks.is_dir() or not any(locks.iterdir()):
        return
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        words = " ".join(process.info["cmdline"] or [])
        if process.info["pid"] != os.getpid() and "snakemake" in words and process.info["cwd"] == os.getcwd():
            sys.exit(f"Snakemake is at work in this folder (process {process.info['pid']}): wait for it, or stop it")
    print("An earlier run was killed: unlocking, then going on from what it finished.")
    for lock in locks.iterdir():
        lock.unlink()


if __name__ == "__main__":
    main()
