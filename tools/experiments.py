"""Controlled comparisons of training settings on one data set: every variant starts from the same ordinary classifier.

    python tools/experiments.py configs/experiments/toyvoc.yaml --seeds 0 1 2

The YAML names the data, the settings that all variants share, those of the ordinary classifier, and the variants, each
with what it changes. A variant that the CSV holds already is not run again; trainings resume where they were killed.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from pnoc_lib import files, toyvoc
from pnoc_lib.data import reading, stores
from pnoc_lib.engine import multiscale
from pnoc_lib.evaluation import metrics
from pnoc_lib.priors import inference, networks, training

THRESHOLDS = np.round(np.arange(0.05, 0.801, 0.05), 2)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path, help="YAML file of a comparison")
    parser.add_argument(
        "--out", type=Path, help="CSV that takes one line a variant and seed; reports/experiments/PLAN.csv"
    )
    parser.add_argument("--data", default="", help="folder of the data set, in place of the plan's")
    parser.add_argument("--work", type=Path, default=Path("runs/experiments"), help="folder of weights")
    parser.add_argument("--oc", default="", help="weights of the ordinary classifier, {seed} in the name; else trained")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", default=[], help="names of variants to run; all by default")
    parser.add_argument("--threads", type=int, default=0, help="of each process; 0: PyTorch's choice")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out = options.out or Path("reports/experiments") / f"{options.plan.stem}.csv"
    plan = yaml.safe_load(options.plan.read_text())
    if "draw" in plan and not options.data:
        toyvoc.write(plan["data"]["root"], **plan["draw"])
    unknown = set(options.only) - set(plan["variants"])
    if unknown:
        parser.error(f"no variant {', '.join(unknown)}: the plan has {', '.join(plan['variants'])}")
    for seed in options.seeds:
        for name, change in plan["variants"].items():
            if options.only and name not in options.only:
                continue
            if done(options.out, name, seed):
                continue
            row = run(plan, name, change or {}, seed, options)
            table = pd.read_csv(options.out) if options.out.is_file() else pd.DataFrame()
            table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
            files.write_csv(options.out, table)
            files.write_text(options.out.with_suffix(".md"), markdown(table, plan))
            print(json.dumps(row), flush=True)


def done(path: Path, name: str, seed: int) -> bool:
    if not path.is_file():
        return False
    table = pd.read_csv(path)
    return bool(((table["variant"] == name) & (table["seed"] == seed)).any())


def markdown(table: pd.DataFrame, plan: dict) -> str:
    """The table to be read: percent, mean over the seeds, and what each variant changed."""
    order = [name for name in plan["variants"] if name in set(table["variant"])]
    shown = {
        "mIoU, oracle": "oracle miou",
        "at 0.3": "miou at 0.3",
        "FP share": "fp at 0.3",
        "FN share": "fn at 0.3",
        "p(r, soft)": "p_soft last",
        "p(r, hard)": "p_hard last",
        "softly erased": "erased_soft last",
    }
    lines = ["| variant | changed | seeds | " + " | ".join(shown) + " |", "|---|---|---:|" + "---:|" * len(shown)]
    for name in order:
        runs = table[table["variant"] == name]
        change = {key: value for key, value in (plan["variants"][name] or {}).items() if key != "strategy"}
        words = ", ".join(f"{key} {value}" for key, value in change.items())
        cells = [""] * len(shown)
        for place, column in enumerate(shown.values()):
            if column in runs and runs[column].notna().any():
                values = 100 * runs[column]
                spread = f" ± {values.std():.1f}" if len(values) > 1 else ""
                cells[place] = f"{values.mean():.1f}{spread}"
        lines.append(f"| {name} | {words} | {len(runs)} | " + " | ".join(cells) + " |")
    scored = int(table["images"].iloc[0])
    return (
        f"{scored} scored images; shares and mIoU in percent; the shares are those at 0.3.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def run(plan: dict, name: str, change: dict, seed: int, options: argparse.Namespace) -> dict:
    """Train one variant from the ordinary classifier of its seed, and score it."""
    source = plan["data"] | ({"root": options.data} if options.data else {})
    images, _ = reading.read(**source)
    scored, masks = reading.read(**(source | plan.get("scored", {})))
    scored = scored.subset(scored.ids[:: plan.get("every", 1)])
    start = networks.CAMNetwork(**plan["network"], num_classes=len(images.classes), seed=seed)
    folder = options.work / options.plan.stem
    oc = copy.deepcopy(start)
    base = training.TrainingSettings(seed=seed, **(plan["common"] | plan["oc"]))
    if options.oc:
        oc.load_state_dict(networks.load_network(options.oc.format(seed=seed)).state_dict())
    else:
        training.train(oc, images, folder / f"oc-s{seed}", base, num_workers=1, progress=False)
    place = folder / f"{name}-s{seed}"
    if change.get("epochs") == 0:
        network, history = oc, pd.DataFrame([{}])
        settings = base
    else:
        network = copy.deepcopy(start)
        settings = training.TrainingSettings(seed=seed, **(plan["common"] | plan["further"] | change))
        _, history = training.train(network, images, place, settings, oc=oc, num_workers=1, progress=False)
    store = stores.MapStore(place / "cams")
    inference.fill_store(multiscale.Predictor(network), scored, store, batch_size=plan.get("batch", 1), progress=False)
    histogram = metrics.evaluate(store, masks, THRESHOLDS, ids=scored.ids, progress=False)
    sweep = metrics.threshold_sweep(histogram, class_names=images.classes, score_classes=plan.get("score_classes"))
    best = sweep.loc[sweep["miou"].idxmax()]
    fixed = sweep.iloc[int(np.abs(THRESHOLDS - 0.3).argmin())]
    row = {"variant": name, "seed": seed, "strategy": settings.strategy, "epochs": settings.epochs}
    row |= {"changed": json.dumps(change)}
    row |= {"oracle miou": best["miou"], "oracle threshold": best["threshold"], "miou at 0.3": fixed["miou"]}
    row |= {"fp at 0.3": fixed["fpr"], "fn at 0.3": fixed["fnr"], "images": len(scored)}
    for column in ("p_soft", "p_hard", "erased_soft", "erased_hard", "re"):
        if column in history:
            row |= {f"{column} first": history[column].iloc[0], f"{column} last": history[column].iloc[-1]}
    return row


if __name__ == "__main__":
    main()
