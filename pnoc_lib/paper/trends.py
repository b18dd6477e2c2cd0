"""The paper's statements about priors, checked against runs: trends.csv says which cells, the code below compares them.

A cell is "P|singleton": a method and a row of Table 3, or "C2AM: P-OC|R.": a row, without backbones, and a column of
Table 6, or a row and a column of Tables 7 to 9; "0" and "1/2" are numbers. What is in no table:
peak  where in the training the best estimate of an epoch lies: 0 the first epoch, 1 the last (Tables 2 and 4)
area  mean mIoU of all thresholds of the sweep (Figure 6)
uncertain, negative pairs  of affinity labels: share of the pixels, and pairs of two classes a cell (Section 5)
gain  of the pseudo masks over the prior, each at its best threshold (Tables 2 and 7)
Kinds: above (own lies above the highest of the others), below (under the lowest), stronger (above, by absolute value),
between (inside the range of the others). The difference is positive where the statement is true.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from pnoc_lib.evaluation import analysis
from pnoc_lib.paper import chance, reader, show
from pnoc_lib.paper.chance import EQUAL as SAME
from pnoc_lib.paper.chance import FAILS, HOLDS, KINDS, WITHIN
from pnoc_lib.paper.rounding import AGREES, CONTRADICTS, EXPLAINED, UNCHECKED

Runs = Mapping[tuple[str, int], pd.Series]  # (method, seed) -> cells by row, fractions
NOT_RUN, NOT_ASKED = "not run", "not asked"
NOT_MEASURED = "not measured"  # the strategies were run, but the row has no value in these data
EQUAL, NO_NUMBERS = "equal in print", ""  # of the printed numbers
LIKE = {HOLDS: AGREES, WITHIN: EXPLAINED, EQUAL: EXPLAINED, SAME: EXPLAINED, FAILS: CONTRADICTS}
CONSTANTS = {"0": 0.0, "1/2": 0.5}


def statements(dataset: str = "voc", *, table: int | None = None) -> pd.DataFrame:
    """trends.csv, by trend: section, claim (of claims.csv), table, kind, own, others, printed, statement, note.

    dataset: for "coco14" what the paper says of Tables 4 and 5, otherwise of Tables 1 to 3; and what it prints nowhere.
    table: those of one table alone, such as 6.
    printed: what its own numbers make of the statement; "" where it prints none.
    """
    frame = pd.read_csv(reader.FOLDER / "trends.csv", dtype=str, keep_default_na=False, index_col="trend")
    if table is not None:
        return frame[frame["table"] == str(table)]
    return frame[frame["table"].isin(["4", "5", ""] if dataset == "coco14" else ["1", "2", "3", ""])]


def cells(
    scores: pd.Series, sweep: pd.DataFrame, epochs: pd.DataFrame | None = None, *, continued: bool = False
) -> pd.Series:
    """What the statements ask of one run: rows of Table 3 under the paper's labels, area and peak.

    scores: as from `tables.group_cells`. sweep: as from `metrics.threshold_sweep`. epochs: epochs.csv of the training;
    peak is NaN without it, and where fewer than two epochs have an estimate.
    continued: the training went on from a trained classifier, so that its first half is none: peak is NaN.
    """
    known = pd.Series(dtype=float) if continued or epochs is None or "miou" not in epochs else epochs["miou"].dropna()
    peak = known.to_numpy().argmax() / (len(known) - 1) if len(known) > 1 else np.nan
    return pd.concat(
        [scores.rename(index=analysis.SHORT_LABELS), pd.Series({"area": sweep["miou"].mean(), "peak": peak})]
    )


def saliency_cells(rows: Mapping[int, pd.DataFrame]) -> Runs:
    """What the statements ask of Table 6: (row without backbones, seed) -> P. and R., fractions.

    rows: by seed, rows of Table 6 as stages leave them in rows.csv. Two rows that differ in a backbone alone are one,
    the first; those of reading "b" are left out, as the paper has one row.
    """
    runs = {}
    for seed, table in rows.items():
        for row, part in table.groupby("row", sort=False):
            if not row.endswith("two classes"):
                runs.setdefault((_plain(row), seed), part.set_index("column")["value"] / 100)
    return runs


def segmentation_cells(rows: Mapping[int, pd.DataFrame], table: int = 8) -> Runs:
    """What the statements ask of Tables 8 and 9: (row, seed) -> scores by column, fractions.

    rows: by seed, rows as stages leave them in rows.csv. table: 8 or 9; rows of others are passed over.
    """
    runs = {}
    for seed, frame in rows.items():
        for row, part in frame[frame["table"] == table].groupby("row", sort=False):
            runs[row, seed] = part.set_index("column")["value"] / 100
    return runs


def affinity_cells(cells: Mapping[int, pd.DataFrame]) -> Runs:
    """What the statements ask of Table 7: (row, seed) -> its columns, uncertain, negative pairs and gain, fractions.

    cells: by seed, cells.csv of the runs of 05_affinity one below the other: row, column, value in percent.
    """
    parts = {(row, seed): part for seed, table in cells.items() for row, part in table.groupby("row", sort=False)}
    return {key: part.drop_duplicates("column").set_index("column")["value"] / 100 for key, part in parts.items()}


def in_print(
    statement: Mapping[str, str] | pd.Series, tables: Mapping[int, pd.DataFrame] | None = None
) -> tuple[float, str]:
    """Difference in the paper's printed numbers, in percent points, and what it makes of the statement.

    tables: from `reader.table`, Table 3 among them, where they have been read already.
    NaN and "" for a statement of ours, which has no printed numbers. Raises ValueError for a cell that the paper lacks.
    """
    if not statement["table"] or (statement["table"] in ("6", "7", "8", "9") and not statement["printed"]):  # ours
        return float("nan"), NO_NUMBERS
    number = int(statement["table"])
    tables = tables or {n: reader.table(n) for n in {number, 3}}
    own, *others = (_printed(tables, number, cell) for cell in _cells(statement))
    difference = round(KINDS[statement["kind"]](own, others), 6)
    return difference, EQUAL if difference == 0 else HOLDS if difference > 0 else FAILS


def check(measured: Mapping[str, Runs], selected: pd.DataFrame | None = None, *, classes: int = 20) -> pd.DataFrame:
    """Every statement against the runs, one line a statement and choice of the threshold.

    measured: "oracle", "fixed" -> (method, seed) -> cells of a run by row, as from `tables.group_cells`, with peak and
    area. selected: as from `statements`. classes: foreground classes in the correlations.
    Returns trend, section, statement, table, own, others, printed (difference, percent points), in print (verdict),
    chosen by, difference (mean over the seeds that all its methods have), sd, seeds, by seed, verdict, by chance
    (fraction), note.
    Differences pair the runs of one seed, which share the order of the images and the first ordinary classifier.
    A variant is judged by its own runs alone: what is said of P-NOC+LS is not run where P-NOC was trained without
    label smoothing. `by chance` is how often the statement would hold if all its methods were the same in truth.
    """
    lines, tables = [], {number: reader.table(number) for number in range(1, 11) if number != 10}
    for trend, statement in (statements() if selected is None else selected).iterrows():
        printed, word = in_print(statement, tables)
        about = {"trend": trend, **statement[["section", "statement", "table", "own", "others"]]}
        for choice, runs in measured.items():
            line = {**about, "printed": printed, "in print": word, "chosen by": choice}
            lines.append(line | _compare(statement, runs, classes))
    columns = ["trend", "section", "statement", "table", "own", "others", "printed", "in print", "chosen by"]
    return pd.DataFrame(
        lines, columns=[*columns, "difference", "sd", "seeds", "by seed", "verdict", "by chance", "note"]
    )


def counts(lines: pd.DataFrame) -> pd.DataFrame:
    """How many statements of each section have each verdict, for each choice of the threshold, and would by chance.

    "would hold by chance" is how many would if all methods were the same in truth.
    """
    words = [HOLDS, SAME, WITHIN, FAILS, NOT_MEASURED, NOT_ASKED, NOT_RUN]
    groups = lines.groupby(["section", "chosen by"], sort=False)
    table = lines.groupby(["section", "chosen by", "verdict"], sort=False).size().unstack(fill_value=0)
    table = table.reindex(columns=[word for word in words if word in table]).rename_axis(columns=None)
    return table.assign(**{"would hold by chance": groups["by chance"].sum().reindex(table.index)})


def was_run(lines: pd.DataFrame) -> pd.Series:
    """Which lines have a difference."""
    return lines["seeds"] > 0


def side_by_side(lines: pd.DataFrame) -> pd.DataFrame:
    """One line a statement: paper, then difference and verdict of each choice of the threshold, as text; note."""
    first = lines.drop_duplicates("trend").set_index("trend")
    table = first[["section", "statement"]].copy()
    table["paper"] = [f"{value:+.1f}" if np.isfinite(value) else "" for value in first["printed"]]
    table["in print"] = first["in print"]
    for choice, part in lines.groupby("chosen by", sort=False):
        part = part.set_index("trend")
        table[choice] = [_with_spread(*values) for values in part[["difference", "sd"]].to_numpy(float)]
        table[f"verdict, {choice}"] = part["verdict"].where(part["seeds"] != 1, part["verdict"] + " (one seed)")
    notes = lines.groupby("trend", sort=False)["note"].agg(lambda notes: "; ".join(dict.fromkeys(filter(None, notes))))
    return table.assign(note=notes).reset_index(drop=True)


def style(lines: pd.DataFrame) -> Styler:
    """`side_by_side` for the eye: each verdict in words, with a sign and a colour."""
    table = side_by_side(lines)
    verdicts = ["in print", *(name for name in table if name.startswith("verdict"))]
    styler = table.style.format(escape="html").map(_look, subset=verdicts).format(_signed, subset=verdicts)
    wrapped = ["statement", "note"]
    heads = {"selector": "th", "props": [("text-align", "left"), ("white-space", "nowrap")]}
    return (
        styler.hide(axis="index")
        .set_table_styles([heads])
        .set_properties(subset=["section", *wrapped, *verdicts], **{"text-align": "left"})
        .set_properties(subset=[name for name in table if name not in wrapped], **{"white-space": "nowrap"})
    )


def _compare(statement: pd.Series, runs: Runs, classes: int) -> dict:
    """Difference, sd, seeds, by seed, verdict and note of one statement."""
    cells, note = _cells(statement), [statement["note"]]
    ran = {method for method, _ in runs}
    lacking = {method for method, _ in cells if method} - ran
    result = {"difference": np.nan, "sd": np.nan, "seeds": 0, "by seed": "", "by chance": np.nan}
    if lacking:
        known = [name for name in analysis.METHODS.values() if name in lacking]
        note.append(f"needs {', '.join(known or sorted(lacking))}")
        return result | {"verdict": NOT_RUN, "note": _joined(note)}
    by_seed = {}
    for seed in sorted({seed for _, seed in runs}):
        values = [_measured(runs, seed, cell) for cell in cells]
        if np.isfinite(values).all():
            by_seed[seed] = 100 * KINDS[statement["kind"]](values[0], values[1:])
    if not by_seed and any(row == "peak" for _, row in cells):
        note.append("the best epoch is asked of trainings from the backbone's weights alone")
        return result | {"verdict": NOT_ASKED, "note": _joined(note)}
    if not by_seed:
        note.append(f"no seed has a value for {', '.join(dict.fromkeys(row for method, row in cells if method))}")
        return result | {"verdict": NOT_MEASURED, "note": _joined(note)}
    differences = list(by_seed.values())
    mean, several = float(np.mean(differences)), len(differences) > 1
    limit = 100 * analysis.chance_correlation(classes)
    if cells[0][1].startswith("ρ") and cells[1:] == [("", "0")] and abs(mean) < limit:
        note.append(f"|ρ| below {limit:.0f} may be chance with {classes} classes")
    return {
        "difference": mean,
        "sd": float(np.std(differences, ddof=1)) if several else np.nan,
        "seeds": len(differences),
        "by seed": ", ".join(f"{seed}: {difference:+.1f}" for seed, difference in by_seed.items()),
        "verdict": chance.verdict(differences),
        "by chance": chance.of_holding(
            statement["kind"], len(cells) - 1, len(differences), constant=not any(method for method, _ in cells[1:])
        ),
        "note": _joined(note),
    }


def _cells(statement: Mapping[str, str] | pd.Series) -> list[tuple[str, str]]:
    """Own cell and the others as (method, row); a constant has no method."""
    texts = [statement["own"], *re.split(r"\s*;\s*", statement["others"])]
    return [("", text) if text in CONSTANTS else tuple(text.split("|")) for text in texts]


def _measured(runs: Runs, seed: int, cell: tuple[str, str]) -> float:
    method, row = cell
    if not method:
        return CONSTANTS[row]
    return float(runs[method, seed].get(row, np.nan)) if (method, seed) in runs else np.nan


def _printed(tables: Mapping[int, pd.DataFrame], number: int, cell: tuple[str, str]) -> float:
    """What the paper prints for a cell, in percent."""
    method, row = cell
    if not method:
        return 100 * CONSTANTS[row]
    table = tables[number]
    if row == "peak":
        scores = table.loc[f"RS269 {method}", [name for name in table if re.fullmatch(r"E\d+", name)]].astype(float)
        return 100 * scores.argmax() / (len(scores) - 1)
    if number == 6:
        rows = sorted((name for name in table.index if _plain(name) == method), key=lambda name: -name.count("RS269"))
        place = (rows[0] if rows else method, row)
    elif number in (7, 8, 9):
        place = cell
    elif number in (2, 4):
        place = (f"RS269 {method}", "TTA")
    elif number == 5:
        place = ("overall", method)
    else:
        twins = reader.twin_rows(table, tables[3]) if number == 1 else {}
        names = {three: one for one, three in twins.items()}
        place = (names.get(row, row), analysis.TABLE_3.get(method, method))
    return float(reader.lookup(table, f"Table {number}", *place))


def _plain(row: str) -> str:
    """A row of Table 6 without its backbones: "C2AM-H RS269 [RS269 P-OC]: GT" is "C2AM-H [P-OC]: GT"."""
    found = re.fullmatch(r"(C2AM(?:-H)?) \S+(?: \[\S+ (.+)\])?: (?:(\S+) )?(.+)", row)
    if not found:
        return row
    method, hints, _, prior = found.groups()
    return f"{method} [{hints}]: {prior}" if hints else f"{method}: {prior}"


def _joined(notes: Sequence[str]) -> str:
    return "; ".join(filter(None, notes))


def _with_spread(mean: float, sd: float) -> str:
    return "" if np.isnan(mean) else f"{mean:+.1f}" + ("" if np.isnan(sd) else f" ± {sd:.1f}")


def _look(word: str) -> str:
    return show.LOOKS.get(LIKE.get(word.removesuffix(" (one seed)"), UNCHECKED), "") if word else ""


def _signed(word: str) -> str:
    return f"{show.SIGNS[LIKE.get(word.removesuffix(' (one seed)'), UNCHECKED)]} {word}" if word else ""
