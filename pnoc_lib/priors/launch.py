"""Train on several processes, one a GPU (or on the CPU, for a test): the job goes to them as JSON, through torchrun."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pnoc_lib.data import reading
from pnoc_lib.engine import multiscale
from pnoc_lib.evaluation import estimate
from pnoc_lib.priors import networks, training


def train(
    processes: int,
    *,
    data: dict[str, Any],
    network: dict[str, Any],
    folder: Path | str,
    settings: training.TrainingSettings,
    oc: Path | str = "",
    estimate: dict[str, Any] | None = None,
    estimate_size: int = 512,
    num_workers: int = 0,
    cpu: bool = False,
) -> None:
    """Run `training.train` in `processes` processes; `training.train` reads back what they left in `folder`.

    data, estimate: arguments of `reading.read` for the training images and, if wanted, the images with masks of the
    estimate after each epoch. network: arguments of `networks.CAMNetwork`. settings: `batch_size` counts all processes.
    oc: file of the ordinary classifier; empty where there is none, as in `training.train`.
    Raises RuntimeError when a process fails; what it printed stands above.
    """
    job = {
        "data": data,
        "network": network,
        "folder": str(folder),
        "settings": asdict(settings),
        "oc": str(oc),
        "estimate": estimate,
        "estimate_size": estimate_size,
        "num_workers": num_workers,
        "cpu": cpu,
    }
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        done = subprocess.run([*torchrun, "-m", "pnoc_lib.priors.launch", str(path)])
    if done.returncode:
        raise RuntimeError(f"training in {processes} processes failed with code {done.returncode}: see the lines above")


def ordinary_classifier(path: Path | str, backbone: str, num_classes: int) -> networks.CAMNetwork:
    """Read the `oc` of a training, in evaluation mode; ValueError when it is of another kind than the generator."""
    oc = networks.load_network(path)
    if (oc.backbone, oc.num_classes) != (backbone, num_classes):
        raise ValueError(
            f"the ordinary classifier {path} is a {oc.backbone} of {oc.num_classes} classes and the generator a "
            f"{backbone} of {num_classes}: train strategy cam with the same parameters, or give its weights"
        )
    return oc


def run(job: dict[str, Any]) -> None:
    """What each process does."""
    images, _ = reading.read(**job["data"])
    network = networks.CAMNetwork(num_classes=len(images.classes), **job["network"])
    oc = ordinary_classifier(job["oc"], network.backbone, network.num_classes) if job.get("oc") else None
    after_epoch = None
    if job["estimate"]:
        shown, masks = reading.read(**job["estimate"])

        def after_epoch(network: networks.CAMNetwork, epoch: int) -> dict[str, float]:
            return estimate.estimate_miou(multiscale.Predictor(network), shown, masks, size=job["estimate_size"])

    training.train(
        network,
        images,
        job["folder"],
        training.TrainingSettings(**job["settings"]),
        oc=oc,
        after_epoch=after_epoch,
        num_workers=job["num_workers"],
        cpu=job["cpu"],
    )


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
