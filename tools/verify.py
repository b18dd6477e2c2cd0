"""Say whether an own run gives the committed numbers: python tools/verify.py [EXPERIMENT] [--strict]

Own results (results/EXPERIMENT) beside the reference (reports/EXPERIMENT): the same to the digit, within the spread of
seeds, or outside. Exit status 0: same, or within the spread (with --strict the same alone); 1: outside; 2: nothing to
compare.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from pnoc_lib.paper import reference

ROOT = Path(__file__).resolve().parent.parent
LIGHTS = {reference.SAME: "GREEN", reference.WITHIN: "AMBER", reference.OUTSIDE: "RED"}


def verify(experiment: str, own: Path, committed: Path, *, seeds: str = "", strict: bool = False) -> int:
    """Print about ten lines and return the exit status.

    own, committed: folders that hold the report of `experiment`. seeds: the report that tells the spread; by default
    that of the experiment itself where it has several seeds, else EXPERIMENT-seeds.
    """
    there = reference.numbers(committed / experiment)
    here = reference.numbers(own / experiment)
    if here.empty or there.empty:
        missing, advice = (
            (own / experiment, f"make run PRESET={experiment}")
            if here.empty
            else (committed / experiment, "nothing was committed for this experiment: there is nothing to compare with")
        )
        print(f"no scores in {_short(missing)}: {advice}", file=sys.stderr)
        return 2
    sources = [seeds] if seeds else [experiment, f"{experiment}-seeds"]
    spreads = next((found for name in sources if len(found := reference.spread(committed / name))), None)
    lines = reference.beside(here, there, spreads)
    word = reference.overall(lines)
    print(f"{_short(own / experiment)} beside {_short(committed / experiment)}: {len(lines)} numbers")
    for verdict, count in lines["verdict"].value_counts().items():
        print(f"  {verdict:28}{count:6}")
    steps = lines.assign(steps=lines["difference"].abs() / lines["sd"])
    off = steps[steps["difference"].abs() > 0]
    for line in off.sort_values("steps", ascending=False).head(2).itertuples():
        where = ", ".join(part for part in (line.table, line.row, line.column, line[4]) if part)
        print(f"  furthest: {where}: {line.own:.2f} for {line.reference:.2f}, spread {line.sd:.2f}")
    for text in _differences(own / experiment, committed / experiment):
        print(f"  {text}")
    if word == reference.ALONE:
        print("NOTHING TO COMPARE: none of these numbers is in the reference")
        return 2
    print(f"{LIGHTS[word]}: {word}")
    return int(word == reference.OUTSIDE or (strict and word != reference.SAME))


def _differences(own: Path, committed: Path) -> list[str]:
    """What the two were made with, where it differs, in one line."""
    paths = [folder / "tables" / "made_with.csv" for folder in (own, committed)]
    if not all(path.is_file() for path in paths):
        return []
    here, there = (pd.read_csv(path, dtype=str, index_col="what")["value"] for path in paths)
    texts = [
        f"{what} {here[what]} (reference {there[what]})"
        for what in here.index.intersection(there.index)
        if here[what] != there[what]
    ]
    return (
        ["made with other: " + "; ".join(texts[:4])]
        if texts
        else ["made with the same versions, threads and processor"]
    )


def _short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", nargs="?", default="demo")
    parser.add_argument("--own", type=Path, default=ROOT / "results")
    parser.add_argument("--reference", type=Path, default=ROOT / "reports")
    parser.add_argument("--seeds", default="", help="the report that tells the spread")
    parser.add_argument("--strict", action="store_true", help="within the spread is not enough")
    given = parser.parse_args()
    sys.exit(verify(given.experiment, given.own, given.reference, seeds=given.seeds, strict=given.strict))
