"""What was measured so far: rows of the paper's tables, from the files that finished stages left.

A stage leaves rows itself as measured-tableNN.csv beside its manifest (columns as `compare.beside` takes them), or they
are derived: class properties from 00_data, epochs from 01_train_priors, Tables 1, 2, 4 and 5 from rows of Table 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pnoc_lib import files, runs
from pnoc_lib.evaluation import analysis, tables
from pnoc_lib.paper import compare, reader

NAMES = {column: name for name, column in analysis.TABLE_3.items()}  # columns of Tables 1 and 3 under their own names
BACKBONES = {"resnest269e": "RS269", "resnest101e": "RS101"}
TTA = "TTA"


@dataclass(frozen=True, eq=False)
class Finished:
    """One finished run of a stage: where it lies, and its manifest."""

    experiment: str
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def stage(self) -> str:
        return self.manifest["stage"]

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.manifest["parameters"]


def finished(runs_root: Path | str, experiments: Sequence[str] = ()) -> list[Finished]:
    """Finished runs below runs_root/experiment/stage, sorted; of all experiments unless some are named.

    A folder without a manifest was not finished and does not count. No folder at all is no run.
    Raises FileNotFoundError for a named experiment that has no folder.
    """
    root = Path(runs_root)
    there = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if absent := sorted(set(experiments) - set(there)):
        known = ", ".join(there) or "none"
        raise FileNotFoundError(
            f"no experiment {', '.join(absent)} in {root}: there are {known}; name one, or none for all"
        )
    found = []
    for experiment in experiments or there:
        folder = root / experiment
        depths = ("*", "*/*", "*/*/*")  # stage, stage/run, stage/run/split
        for path in sorted(path for depth in depths for path in folder.glob(f"{depth}/{runs.MANIFEST}")):
            manifest = files.read_json(path)
            if isinstance(manifest, dict) and {"stage", "parameters"} <= manifest.keys():
                found.append(Finished(experiment, path.parent, manifest))
    return found


def overview(found: Sequence[Finished]) -> pd.DataFrame:
    """One line an experiment and stage: its runs, data and scored split, backbone, minutes in all, device."""
    lines = []
    for one in found:
        parts = one.folder.parts
        given = one.parameters
        lines.append(
            {
                "experiment": one.experiment,
                "stage": one.stage,
                "runs": "/".join(parts[parts.index(one.stage) + 1 :]) if one.stage in parts else "",
                "data": f"{given.get('dataset', '')} {given.get('eval_split', '')}".strip(),
                "backbone": given.get("backbone", ""),
                "minutes": one.manifest.get("duration_s", 0.0) / 60,
                "device": one.manifest.get("device", ""),
            }
        )
    columns = ["experiment", "stage", "runs", "data", "backbone", "minutes", "device"]
    each = pd.DataFrame(lines, columns=columns)
    together = {name: _listed for name in columns[2:] if name != "minutes"} | {"minutes": "sum"}
    return each.groupby(columns[:2], as_index=False, sort=False).agg(together)[columns]


def _listed(texts: pd.Series) -> str:
    """The different ones of some texts, in a list."""
    return ", ".join(dict.fromkeys(text for text in texts if text))


def measured(found: Sequence[Finished]) -> dict[int, pd.DataFrame]:
    """Measured rows by table number: experiment, row, column, mean, and what `compare.beside` knows besides.

    What a stage wrote itself goes before what is derived, where both give the same cell.
    """
    left: dict[int, list[pd.DataFrame]] = {}
    for one in found:
        for path in sorted(one.folder.glob("measured-table*.csv")):
            number = int(path.stem.removeprefix("measured-table"))
            rows = pd.read_csv(path).assign(experiment=one.experiment)
            if number == 3 and one.parameters.get("dataset") == "coco14":
                number, rows = 5, as_table(5, rows)
            left.setdefault(number, []).append(rows)
    for number, rows in _own_rows(found):
        left.setdefault(number, []).append(rows)
    for one in found:
        if one.stage == "00_data" and one.parameters.get("dataset") != "coco14":
            left.setdefault(3, []).append(_properties(one))
    for number, rows in (*_epochs(found), *_with_augmentation(found, left)):
        left.setdefault(number, []).append(rows)
    if 3 in left:
        left.setdefault(1, []).append(_as_table_1(pd.concat(left[3])))
    together = {}
    for number in sorted(left):
        rows = [part for part in left[number] if len(part)]
        if rows:
            together[number] = pd.concat(rows, ignore_index=True).drop_duplicates(["experiment", "row", "column"])
    return together


def _own_rows(found: Sequence[Finished]) -> Iterator[tuple[int, pd.DataFrame]]:
    """What stages wrote to rows.csv, by table and experiment: mean and spread over the seeds of each cell.

    Where a cell was scored at a fixed threshold and at an oracle's, the fixed one becomes a row of its own.
    """
    parts = [
        pd.read_csv(one.folder / runs.ROWS_FILE).assign(experiment=one.experiment, seed=one.parameters.get("seed", 0))
        for one in found
        if (one.folder / runs.ROWS_FILE).is_file()
    ]
    if not parts:
        return
    rows = pd.concat(parts, ignore_index=True).drop_duplicates()  # two runs may tell of one that stands beside both
    cell = ["table", "experiment", "row", "column"]
    twice = (rows.groupby(cell)["chosen_on"].transform("nunique") > 1) & (rows["chosen_on"] == "fixed")
    rows.loc[twice, "row"] += rows["threshold"].map(" (threshold {:g})".format)  # the paper's cell is the oracle's
    data = {one.experiment: one.parameters["dataset"] for one in found if one.parameters.get("dataset")}
    for (number, experiment), part in rows.groupby(["table", "experiment"], sort=False):
        cells = part.groupby(["row", "column"], sort=False)
        together = cells["value"].agg(mean="mean", sd="std", seeds="count") / [100.0, 100.0, 1.0]
        together["threshold"] = cells["threshold"].mean()
        for name in ("split", "chosen_on"):
            together[name] = cells[name].agg(lambda texts: ", ".join(dict.fromkeys(texts.dropna().astype(str))))
        together["split"] = f"{data.get(experiment, '')} ".lstrip() + together["split"]
        yield int(number), together.reset_index().assign(preset=experiment, experiment=experiment)


def beside(number: int, rows: pd.DataFrame | None, *, verdicts: pd.DataFrame | None = None) -> dict[str, pd.DataFrame]:
    """`compare.beside` of a table, by experiment; under the name "" when nobody measured it."""
    if rows is None or rows.empty:
        return {"": compare.beside(number, verdicts=verdicts)}
    return {
        str(experiment): compare.beside(number, part.drop(columns="experiment"), verdicts=verdicts)
        for experiment, part in rows.groupby("experiment", sort=False)
    }


def counts(rows: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """For each table: title, data, how many numbers the paper prints, and how many of them each experiment measured."""
    names = list(dict.fromkeys(name for part in rows.values() for name in part["experiment"]))
    lines = {}
    for number, info in reader.table_info().iterrows():
        compared = beside(number, rows.get(number))
        line = {"title": info["title"], "data": info["dataset"], "printed": len(reader.cells(number))}
        for name in names:
            of = compared.get(name)
            line[name] = 0 if of is None else int(((of["published"] != "") & (of["measured"] != compare.NOT_RUN)).sum())
        lines[number] = line
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("table")


def trainings(found: Sequence[Finished]) -> dict[tuple[str, int], Finished]:
    """The finished trainings among runs of one experiment, by name and seed."""
    return {
        (one.parameters.get("run") or one.parameters["strategy"], one.parameters["seed"]): one
        for one in found
        if one.stage == "01_train_priors"
    }


def method_name(parameters: Mapping[str, Any]) -> str:
    """What the paper calls a training, by its strategy and label smoothing; a variant keeps the name of its run."""
    strategy = parameters["strategy"]
    if (parameters.get("run") or strategy) != strategy:
        return parameters["run"]
    return analysis.method_name(strategy, parameters.get("label_smoothing"))


def method_names(runs: Sequence[str], trained: Mapping[tuple[str, int], Finished]) -> dict[str, str]:
    """What each of some trainings is called, see `method_name`; by its run's name alone where there is none to ask.

    trained: as from `trainings`. Raises ValueError when two would bear one name.
    """
    known = {run: method_name(one.parameters) for (run, _), one in trained.items()}
    names = {run: known.get(run) or analysis.method_name(run) for run in runs}
    for run, name in names.items():
        if alike := [other for other in names if names[other] == name and other != run]:
            raise ValueError(
                f"{run} and {alike[0]} were trained as one and the same, {name}: name one of them, "
                "or leave label_smoothing to the strategies when you train"
            )
    return names


def model_name(parameters: Mapping[str, Any]) -> str:
    """The row of Tables 2 and 4 that a training belongs to, "RS269 CAM"; other backbones keep their own name."""
    return f"{BACKBONES.get(parameters['backbone'], parameters['backbone'])} {method_name(parameters)}"


def as_table(number: int, rows: pd.DataFrame) -> pd.DataFrame:
    """Class scores written as for Table 3, under the names of Table 1, 3 or 5; rows that it has not are dropped."""
    if number == 3:
        return rows
    return _as_table_1(rows) if number == 1 else _as_table_5(rows)


def _as_table_1(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of Table 3 that Table 1 repeats, under its names."""
    one, three = reader.table(1, printed=True), reader.table(3, printed=True)
    names = {twin: row for row, twin in reader.twin_rows(one, three).items()}
    kept = rows[rows["row"].isin(list(names)) & rows["column"].isin(reader.number_columns(one))]
    return kept.assign(row=kept["row"].map(names))


def _as_table_5(rows: pd.DataFrame) -> pd.DataFrame:
    """Class scores on COCO, written as for Table 3, under the names of Table 5; rows that it has not are dropped."""
    table = reader.table(5, printed=True)
    names = {"overall μ": "overall"} | {row: row for row in table.index}
    kept = rows[rows["row"].isin(list(names))]
    return kept.assign(row=kept["row"].map(names), column=kept["column"].replace(NAMES))


def _properties(one: Finished) -> pd.DataFrame:
    """The columns O, %S, %C and L of Table 3, from what 00_data counted in the masks."""
    path, split = one.folder / "properties.csv", one.parameters.get("eval_split", "")
    images = one.manifest.get("metrics", {}).get("images", {}).get(split)
    if not path.is_file() or not images:
        return pd.DataFrame()
    table = pd.read_csv(path, index_col="class")[list(analysis.PROPERTIES)]
    parts = [table, analysis.overall(table).rename(index={"mean": "overall μ", "sigma": "overall σ"})]
    means = analysis.group_means(table, analysis.class_groups(table, images))
    means.index = [_group_row(grouping, group, table.index) for grouping, group in means.index]
    related = analysis.correlations(table).rename(index=lambda name: f"ρ {analysis.PROPERTIES[name]}")
    values = pd.concat([*parts, means, related]).rename(columns=analysis.PROPERTIES)
    rows = values.rename_axis("row").reset_index().melt("row", var_name="column", value_name="mean").dropna()
    data = one.parameters.get("dataset", "")
    return rows.assign(experiment=one.experiment, split=f"{data} {split}", preset=one.experiment)


def _group_row(grouping: str, group: str, classes: Sequence[str]) -> str:
    """The row of Table 3 for a group of `analysis.class_groups`."""
    return f"{group} freq." if grouping == "frequency" else f"{group} (group)" if group in classes else group


def _epochs(found: Sequence[Finished]) -> Iterator[tuple[int, pd.DataFrame]]:
    """Columns E1, E2, ... of Table 2, or of Table 4 for COCO: mean and spread of the seeds of one training."""
    alike: dict[tuple[str, str], list[Finished]] = {}
    for one in found:
        if one.stage == "01_train_priors" and (one.folder / "epochs.csv").is_file():
            alike.setdefault((one.experiment, model_name(one.parameters)), []).append(one)
    for (experiment, row), group in alike.items():
        given = group[0].parameters
        split = given["eval_split"]
        lines = tables.epoch_scores(
            {(row, k): pd.read_csv(one.folder / "epochs.csv") for k, one in enumerate(group)},
            split=f"{given['dataset']} {split}, {given.get('estimate_images', 0)} images at most",
            chosen_on=split,
            preset=experiment,
            experiment=experiment,
        )
        if len(lines):
            yield (4 if given["dataset"] == "coco14" else 2), lines


def _with_augmentation(
    found: Sequence[Finished], left: Mapping[int, Sequence[pd.DataFrame]]
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Column TTA of Tables 2 and 4: the overall mIoU of Tables 3 and 5, under the name of the training behind it."""
    trained = {(one.experiment, method_name(one.parameters)): one for one in found if one.stage == "01_train_priors"}
    rows_of = {key: model_name(one.parameters) for key, one in trained.items()}
    for number, target, row in ((3, 2, "overall μ"), (5, 4, "overall")):
        for rows in left.get(number, ()):
            if rows.empty:
                continue
            means = rows[rows["row"] == row]
            keys = zip(means["experiment"], means["column"].replace(NAMES), strict=True)
            means = means.assign(row=[rows_of.get(key) for key in keys], column=TTA)
            yield target, means.dropna(subset="row")
