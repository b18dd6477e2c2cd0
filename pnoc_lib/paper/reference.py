"""An own run beside the committed one: number by number, with a verdict that knows how much seeds alone would change.

The numbers are those of the reports: tables/priors_scores.csv and tables/paper_tableNN.csv of an experiment. The spread
is that of an experiment with several seeds of the same preset. Two runs that differ in nothing but the seed differ by
less than 2 sqrt(2) sd in about 95 of 100 cases; an own run that differs by more is not explained by chance.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pnoc_lib.paper.compare import NOT_RUN

SAME, WITHIN, OUTSIDE = "same to the digit", "within the spread of seeds", "outside"
ALONE = "not in the reference"
BOUND = 2 * 2**0.5  # sd of one run: 2 for 95 %, sqrt(2) for the difference of two runs
KEYS = ["table", "row", "column", "chosen by"]


def numbers(folder: Path | str) -> pd.DataFrame:
    """What a report folder says it measured: table, row, column, chosen by, seed, value (percent or count).

    folder: reports/EXPERIMENT. Read are priors_scores.csv (one line a seed) and the measured cells of paper_tableNN.csv
    that are of this experiment (means over its seeds, seed NaN). No file, no line.
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
                    }
                )
            )
    found = [part for part in parts if len(part)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*KEYS, "seed", "value"])


def spread(folder: Path | str) -> pd.Series:
    """Standard deviation over the seeds of every number of a report with several, indexed by `KEYS`; may be empty."""
    folder = Path(folder)
    each = numbers(folder)
    each = each[each["seed"].notna()].groupby(KEYS)["value"].std().dropna()
    cells = []
    for path in sorted((folder / "tables").glob("paper_table[0-9][0-9].csv")):
        frame = pd.read_csv(path)
        frame = frame[(frame["experiment"] == folder.name) & (pd.to_numeric(frame["seeds"]) > 1) & frame["sd"].notna()]
        keys = [
            (f"Table {int(path.stem[-2:])}", row, column, "")
            for row, column in zip(frame["row"], frame["column"], strict=True)
        ]
        cells += list(zip(keys, frame["sd"].astype(float), strict=True))
    more = (
        pd.Series(
            [sd for _, sd in cells], index=pd.MultiIndex.from_tuples([key for key, _ in cells], names=KEYS), dtype=float
        )
        if cells
        else pd.Series(dtype=float)
    )
    return pd.concat([part for part in (each, more) if len(part)]) if len(each) or len(more) else each


def beside(own: pd.DataFrame, reference: pd.DataFrame, spreads: pd.Series | None = None) -> pd.DataFrame:
    """Every own number with that of the reference, their difference, the spread, and a verdict.

    own, reference: as from `numbers`. spreads: as from `spread`; a number without one gets the median of its table,
    or of all (`spread of` says so), and where there is none at all every difference is outside.
    Returns table, row, column, chosen by, seed, own, reference, difference, sd, spread of, verdict; a number that the
    reference lacks comes last.
    """
    both = own.merge(reference, on=[*KEYS, "seed"], how="left", suffixes=("", " reference"))
    both = both.rename(columns={"value": "own", "value reference": "reference"})
    both["difference"] = both["own"] - both["reference"]
    spreads = pd.Series(dtype=float) if spreads is None else spreads
    tables = spreads.groupby(level=0).median() if len(spreads) else spreads
    found = [_spread_of(tuple(key), spreads, tables) for key in both[KEYS].to_numpy()]
    both["sd"], both["spread of"] = [sd for sd, _ in found], [source for _, source in found]
    both["verdict"] = [verdict(*line) for line in both[["own", "reference", "sd"]].to_numpy(float)]
    order = both["verdict"].eq(ALONE)
    return both.loc[order.sort_values(kind="stable").index].reset_index(drop=True)


def verdict(own: float, reference: float, sd: float = np.nan) -> str:
    """What a pair of numbers is: the same to the last digit, within what another seed would change, or outside."""
    if np.isnan(reference):
        return ALONE
    if own == reference:
        return SAME
    return WITHIN if abs(own - reference) <= BOUND * sd else OUTSIDE


def overall(lines: pd.DataFrame) -> str:
    """The worst verdict of some: `OUTSIDE`, `WITHIN`, `SAME`, or `ALONE` where nothing could be compared.

    Of many numbers some lie outside by chance: 5 in 100 are allowed before the whole is called so.
    """
    compared = lines[lines["verdict"] != ALONE]
    if compared.empty:
        return ALONE
    if (compared["verdict"] == OUTSIDE).mean() > 0.05:
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


def _spread_of(key: tuple, spreads: pd.Series, tables: pd.Series) -> tuple[float, str]:
    if key in spreads.index:
        return float(spreads[key]), "this number"
    if key[0] in tables.index:
        return float(tables[key[0]]), "the median of the table"
    return (float(spreads.median()), "the median of all") if len(spreads) else (np.nan, "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
