"""Run a preset: check it, start Snakemake on the graph of notebook runs, and say how far it is.

python tools/run.py demo --cores 4 --data ../VOCdevkit/VOC2012 --set "01_train_priors.epochs=2 seeds=[0,1]"
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import graph  # noqa: E402  # these are beside this file
import links  # noqa: E402
import presets  # noqa: E402
import warm  # noqa: E402
from stages import STAGES  # noqa: E402

from pnoc_lib.engine import processes  # noqa: E402

WORK = Path(".snakemake")
MARK = "! "  # of the lines in which tools/execute.py tells why a notebook stopped


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", help="name of a file in configs/, or a YAML file")
    parser.add_argument("--cores", default="all")
    parser.add_argument("--data", default="", help="folder of the data set, in place of the preset's data_root")
    parser.add_argument("--set", default="", help="overrides: [notebook.]parameter=value, with YAML values")
    parser.add_argument("--profile", default="", help="Snakemake profile, such as profiles/slurm for a cluster")
    parser.add_argument("--reference", action="store_true", help="write into reports/, the committed reference")
    parser.add_argument("--dry-run", action="store_true", help="say what would run and why, and run nothing")
    options = parser.parse_args(arguments)
    if options.cores != "all" and not re.fullmatch(r"[1-9]\d*", options.cores):
        sys.exit(f"CORES must be a whole number from 1 on, or all, got {options.cores!r}")
    try:
        config = presets.merged(presets.read(options.preset), presets.overrides(options.set))
        if options.data:
            if not Path(options.data).is_dir():
                sys.exit(f"no data set in {options.data}: give DATA the folder that holds the images")
            config = presets.merged(config, {"common": {"data_root": options.data}})
        if options.reference:
            config = presets.merged(config, {"reports_root": "reports"})
        pipeline = graph.Graph(config)
    except presets.PresetError as error:
        sys.exit(str(error))
    if not options.dry_run:
        unlock()
    if pipeline.note_data():
        print("Files of the data set have changed since the last run: what was made of them is made anew.")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--rerun-incomplete"]
    command += ["--configfile", str(written(config))]
    if options.profile:  # its jobs run elsewhere
        command += ["--profile", options.profile] + (["--cores", options.cores] if options.cores != "all" else [])
    else:
        command += ["--cores", options.cores, "--resources", f"mem_mb={memory()}"]
    if options.dry_run:
        sys.exit(subprocess.run([*command, "--dry-run"]).returncode)
    follower = Follower(pipeline, processes.cores() if options.cores == "all" else int(options.cores))
    if options.profile or not warm.wanted():
        code = follower.follow(command)
    else:
        with warm.Warm() as kernels:
            code = follower.follow(command, kernels.environment)
    links.mend(Path(pipeline.config["reports_root"], pipeline.experiment))
    if code == 0:
        print(f"Nothing is left to run for {options.preset}.")
    sys.exit(code)


class Follower:
    """Follows a pipeline to its end, and says of each run how many there are and how long the rest will take.

    cores: that work on it, for the first guess; later ones go by the pace so far.
    """

    def __init__(self, pipeline: graph.Graph, cores: int = 1):
        self.pipeline, self.cores, self.todo, self.started = pipeline, cores, [], 0
        self.chatter: list[str] = []
        self.told, self.begun, self.expected = False, time.monotonic(), 0.0

    def follow(self, command: list[str], environment: dict[str, str] | None = None) -> int:
        """Run Snakemake to its end, which Ctrl-C brings about in its own way; return its exit status."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
        process = subprocess.Popen(command, env=environment, **pipes)
        readers = [
            threading.Thread(target=self._read, args=(process.stdout, self._said)),
            threading.Thread(target=self._read, args=(process.stderr, self._logged)),
        ]
        for reader in readers:
            reader.start()
        stopped = False
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                stopped = True
        for reader in readers:
            reader.join()
        if stopped:
            print("Stopped. The same command goes on from what is finished, and from the last checkpoint.")
        elif code and not self.told:
            print("\n".join(self.chatter[-30:]) or f"Snakemake ended with status {code}", file=sys.stderr)
        return code

    @staticmethod
    def _read(stream, use) -> None:
        for line in stream:
            with contextlib.suppress(OSError):  # nobody reads what is said: Snakemake must not wait for that
                use(line.rstrip("\n"))

    def _said(self, line: str) -> None:
        """What a notebook's run says."""
        if line.startswith(MARK):
            self.told = True
            print(line.removeprefix(MARK), file=sys.stderr, flush=True)
        elif " -> " in line:
            self.started += 1
            print(f"[{self.started} of {max(len(self.todo), self.started)}{self._left(line)}] {line}", flush=True)
        elif "IPKernelApp" not in line:  # every kernel says when it starts that it is reached over a local socket
            print(f"    {line.strip()}" if "%|" in line else line, flush=True)

    def _logged(self, line: str) -> None:
        """What Snakemake says: its count of jobs is used, the rest is kept for the case that it fails."""
        self.chatter.append(line)
        match = re.fullmatch(r"(\w+) +(\d+)", line.strip())
        if match and match[1] in STAGES:
            self.todo += [self.pipeline.minutes(match[1])] * int(match[2])

    def _left(self, line: str) -> str:
        """About how long the rest takes: what the table expects, by the pace of this machine so far."""
        stage = re.search(r"(\w+)\.ipynb -> ", line)
        spent = (time.monotonic() - self.begun) / 60
        pace = spent / self.expected if self.expected > 0.5 else 1.0 / self.cores
        left = max(0.0, sum(self.todo) - self.expected) * pace
        self.expected += self.pipeline.minutes(stage[1]) if stage and stage[1] in STAGES else 0
        return f", about {max(1, round(left))} min left" if self.todo else ""


def written(config: dict) -> Path:
    """The preset with its overrides as a file for Snakemake; each has its own: jobs of an earlier start read theirs."""
    text = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    path = WORK / f"preset-{hashlib.sha256(text.encode()).hexdigest()[:8]}.yaml"
    try:
        WORK.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        sys.exit(f"cannot write {path} ({error.strerror}): run in a folder of yours, with space on its disk")
    return path


def memory() -> int:
    """MiB that runs side by side may take together: nine tenths of what the machine has."""
    return int(0.9 * psutil.virtual_memory().total / 2**20)


def unlock() -> None:
    """Remove the lock that a killed Snakemake left in this folder, unless another one is at work in it."""
    locks = WORK / "locks"
    if not locks.is_dir() or not any(locks.iterdir()):
        return
    try:
        at_work = json.loads(graph.AT_WORK.read_text())
    except (OSError, ValueError):
        at_work = {}
    host = at_work.get("host", socket.gethostname())
    if host != socket.gethostname():
        sys.exit(
            f"Snakemake was started in this folder on {host} (process {at_work.get('pid')}), and may be at work: wait "
            f"for it; if it was killed there, run make there, or remove {locks} and run again"
        )
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        words = " ".join(process.info["cmdline"] or [])
        if process.info["pid"] != os.getpid() and "snakemake" in words and process.info["cwd"] == os.getcwd():
            sys.exit(f"Snakemake is at work in this folder (process {process.info['pid']}): wait for it, or stop it")
    print("An earlier run was killed: unlocking, then going on from what it finished.")
    for lock in locks.iterdir():
        lock.unlink()


if __name__ == "__main__":
    main()
