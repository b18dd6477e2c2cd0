"""An own run beside the committed one: number by number, with a verdict that knows how much seeds alone would change.

The numbers are those of the reports: tables/priors_scores.csv and tables/paper_tableNN.csv of an experiment. The spread
is that of an experiment with several seeds of the same preset. Two runs that differ in nothing but the seed differ by
less than t sqrt(2) sd in 95 of 100 cases, with Student's t for the seeds behind sd: 4.3 for three, 2 for many; means
over n and m seeds by less than t sqrt(1/n + 1/m) sd.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pnoc_lib.paper.compare import NOT_RUN

SAME, WITHIN, OUTSIDE = "same to the digit", "within the spread of seeds", "outside"
ALONE = "not in the reference"
CHANCE = 0.05  # of two runs that differ in the seed alone to be called outside
KEYS = ["table", "row", "column", "chosen by"]


def numbers(folder: Path | str) -> pd.DataFrame:
    """What a report folder says it measured: table, row, column, chosen by, seed, value (percent or count), runs.

    folder: reports/EXPERIMENT. Read are priors_scores.csv (one line a seed) and the measured cells of paper_tableNN.csv
    that are of this experiment (means over as many seeds as `runs` says, seed NaN). No file, no line.
    """
    folder, parts = Path(folder), []
    scores = folder / "tables" / "priors_scores.csv"
    if scores.is_file():
        frame = pd.read_csv(scores)
        parts.append(
            pd.DataFrame(
                {
                    "table": "priors",
                    "row": frame["method"],
                    "column": "mIoU",
                    "chosen by": frame["chosen by"],
                    "seed": frame["seed"].astype(float),
                    "value": 100 * frame["mIoU"],
                    "runs": 1.0,
                }
            )
        )
    for path in sorted((folder / "tables").glob("paper_table[0-9][0-9].csv")):
        frame = pd.read_csv(path)
        frame = frame[(frame["measured"] != NOT_RUN) & (frame["experiment"] == folder.name) & frame["mean"].notna()]
        if len(frame):
            parts.append(
                pd.DataFrame(
                    {
                        "table": f"Table {int(path.stem[-2:])}",
                        "row": frame["row"],
                        "column": frame["column"],
                        "chosen by": "",
                        "seed": np.nan,
                        "value": frame["mean"].astype(float),
                        "runs": pd.to_numeric(frame["seeds"], errors="coerce").fillna(1.0).clip(lower=1.0),
                    }
                )
            )
    found = [part for part in parts if len(part)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*KEYS, "seed", "value", "runs"])


def spread(folder: Path | str) -> pd.DataFrame:
    """Standard deviation `sd` over how many `seeds` of every number of a report, indexed by `KEYS`; may be empty."""
    folder = Path(folder)
    each = numbers(folder)
    each = each[each["seed"].notna()].groupby(KEYS)["value"].agg(sd="std", seeds="count")
    parts = [each[each["seeds"] > 1]]
    for path in sorted((folder / "tables").glob("paper_table[0-9][0-9].csv")):
        frame = pd.read_csv(path)
        frame = frame[(frame["experiment"] == folder.name) & (pd.to_numeric(frame["seeds"]) > 1) & frame["sd"].notna()]
        named = frame.assign(table=f"Table {int(path.stem[-2:])}", **{"chosen by": ""})
        parts.append(named.set_index(KEYS)[["sd", "seeds"]].astype({"sd": float, "seeds": int}))
    return pd.concat([part for part in parts if len(part)] or parts[:1])


def beside(own: pd.DataFrame, reference: pd.DataFrame, spreads: pd.DataFrame | None = None) -> pd.DataFrame:
    """Every own number with that of the reference, their difference, the spread, and a verdict.

    own, reference: as from `numbers`. spreads: as from `spread`; a number without one gets the median of its table,
    or of all (`spread of` says so), and where there is none at all every difference is outside.
    Returns table, row, column, chosen by, seed, own, runs, reference, runs reference, difference, sd, seeds, spread of,
    verdict; what the reference lacks comes last.
    """
    both = own.merge(reference, on=[*KEYS, "seed"], how="left", suffixes=("", " reference"))
    both = both.rename(columns={"value": "own", "value reference": "reference"})
    both["difference"] = both["own"] - both["reference"]
    spreads = pd.DataFrame(columns=["sd", "seeds"], dtype=float) if spreads is None else spreads
    tables = spreads.groupby(level=0).median() if len(spreads) else spreads
    found = [_spread_of(tuple(key), spreads, tables) for key in both[KEYS].to_numpy()]
    both[["sd", "seeds", "spread of"]] = pd.DataFrame(found, columns=["sd", "seeds", "spread of"], index=both.index)
    given = both[["own", "reference", "sd", "seeds", "runs", "runs reference"]].to_numpy(float)
    both["verdict"] = [verdict(*line) for line in given]
    order = both["verdict"].eq(ALONE)
    return both.loc[order.sort_values(kind="stable").index].reset_index(drop=True)


def verdict(
    own: float, reference: float, sd: float = np.nan, seeds: float = np.inf, runs: float = 1, others: float = 1
) -> str:
    """What a pair of numbers is: the same to the last digit, within what another seed would change, or outside.

    sd: of one run, estimated from so many seeds, at least 2; the fewer, the less it is to be trusted. runs, others: of
    how many own and reference are the mean.
    """
    if np.isnan(reference):
        return ALONE
    if own == reference:
        return SAME
    bound = (1 / runs + 1 / others) ** 0.5 * stats.t.ppf(1 - CHANCE / 2, seeds - 1)  # of the difference of two means
    return WITHIN if abs(own - reference) <= bound * sd else OUTSIDE


def overall(lines: pd.DataFrame) -> str:
    """The worst verdict of some: `OUTSIDE`, `WITHIN`, `SAME`, or `ALONE` where nothing could be compared.

    Of many numbers some lie outside by chance, 5 in 100: the whole is called so where all do, or more than chance gives
    once in a hundred times to numbers that vary each for itself. These do not (a weak prior gives weak masks), so that
    chance alone is a little more often called so.
    """
    compared = lines[lines["verdict"] != ALONE]
    if compared.empty:
        return ALONE
    allowed = min(stats.binom.ppf(0.99, len(compared), CHANCE), len(compared) - 1)
    if (compared["verdict"] == OUTSIDE).sum() > allowed:
        return OUTSIDE
    return SAME if (compared["verdict"] == SAME).all() else WITHIN


def summary(lines: pd.DataFrame) -> pd.DataFrame:
    """How many numbers of each table have each verdict, and the largest difference in units of the spread."""
    words = [word for word in (SAME, WITHIN, OUTSIDE, ALONE) if (lines["verdict"] == word).any()]
    table = lines.groupby(["table", "verdict"], sort=False).size().unstack(fill_value=0).reindex(columns=words)
    steps = (lines["difference"].abs() / lines["sd"].where(lines["sd"] > 0)).groupby(lines["table"], sort=False).max()
    return table.rename_axis(columns=None).assign(**{"largest difference / sd": steps})


def made_with(manifests: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """What some runs were made with: columns what, value; several values of one thing are all listed.

    manifests: of finished stages. Versions, threads and device are theirs, the processor is that of this machine.
    """
    found: dict[str, list[str]] = {}
    for manifest in manifests:
        values = {**manifest.get("versions", {}), "threads": manifest.get("threads"), "device": manifest.get("device")}
        for what, value in values.items():
            if value is not None and str(value) not in found.setdefault(what, []):
                found[what].append(str(value))
    found["processor"] = [_processor()]
    return pd.DataFrame([(what, ", ".join(values)) for what, values in found.items()], columns=["what", "value"])


def _spread_of(key: tuple, spreads: pd.DataFrame, tables: pd.DataFrame) -> tuple[float, float, str]:
    if key in spreads.index:
        return *spreads.loc[key, ["sd", "seeds"]].astype(float), "this number"
    if key[0] in tables.index:
        return *tables.loc[key[0], ["sd", "seeds"]].astype(float), "the median of the table"
    return (*spreads.median().astype(float), "the median of all") if len(spreads) else (np.nan, np.nan, "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
