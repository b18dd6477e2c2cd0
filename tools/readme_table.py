"""Write what is read before anything is run: the README's tables, and a README in every committed report folder.

    python tools/readme_table.py

No number in them is typed: they come from the tables of the reports.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import links  # beside this file
import nbformat
import pandas as pd

from pnoc_lib import paper
from pnoc_lib.evaluation import analysis
from pnoc_lib.paper import readings

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- begin: paper and demo -->\n", "<!-- end: paper and demo -->"
SEEDS = "mechanism"  # the report that tells the spread
VARIANTS = {  # its runs in the demo's setting, by what the paper calls them
    "cam": "CAM", "cam-more": "CAM+", "oc-cse": "OC-CSE", "puzzle-n": "P", "p-oc-n": "P-OC", "p-noc-n-0.6": "P-NOC",
}  # fmt: skip
ROUNDS = ("comparison", "second", "third")  # its tables of scores
REPORTS = ("demo", "voc12-animals")
CHAINS = ("demo", "demo-seeds", "voc12-animals")  # those whose whole chain is shown
PICTURES = {  # of a report, that its README shows where they are kept
    "fig01_priors.png": "Figure 1: the same images, every method",
    "fig09_predictions-*.png": "Figure 9: the same images, every network",
}
ROWS = {  # row of Table 3: what it is called, column and value of its group in paper/class_groups.csv
    "overall μ": ("scored classes and background", None, ""),
    "small": ("small classes", "size", "small"),
    "mid": ("mid-sized classes", "size", "mid"),
    "large": ("large classes", "size", "large"),
    "singleton": ("seen alone", "group", "singleton"),
    "room": ("in a room", "group", "room"),
    "ρ %S": ("correlation of IoU with size (%)", None, ""),
}
MASKS = "pseudo masks: walk, dense CRF, oracle threshold"
HELD = "the same on images that trained nothing"
NETWORK = "DeepLabV3+ on the masks, images that trained nothing"
TRUTH = "DeepLabV3+ on true masks, the same images"
CHAIN = {  # step: the paper's cell (table, row, column); ours (table, pattern of the row, column)
    "prior of CAM, oracle threshold": ((2, "RS269 CAM", "TTA"), (2, r"\S+ CAM", "TTA")),
    "prior of P-NOC, oracle threshold": ((2, "RS269 P-NOC+LS", "TTA"), (2, r"\S+ P-NOC", "TTA")),
    "the same, background by C2AM-H": (
        (6, "C2AM-H RS269 [RS269 P-NOC+LS]: RS269 P-NOC+LS", "P."), (6, r"C2AM-H \S+ \[\S+ P-NOC\]: \S+ P-NOC", "P."),
    ),
    "the same, refined by PoolNet": (
        (6, "C2AM-H RS269 [RS269 P-NOC+LS]: RS269 P-NOC+LS", "R."), (6, r"C2AM-H \S+ \[\S+ P-NOC\]: \S+ P-NOC", "R."),
    ),
    MASKS: (
        (7, "P-OC +LS +C2AM-H +NOC", "VOC12 Train"), (7, r"P-OC \+C2AM-H \+NOC", "VOC12 Train"),
    ),
    HELD: (
        (7, "P-OC +LS +C2AM-H +NOC", "VOC12 Val"), (7, r"P-OC \+C2AM-H \+NOC", "VOC12 Val"),
    ),
    NETWORK: (
        (8, "P-NOC+LS+C2AM-H V3+", "Val"), (8, r"P-NOC\+C2AM-H V3\+", "Val"),
    ),
    TRUTH: ((8, "DeepLabV3+", "Val"), (8, r"DeepLabV3\+", "Val")),
}  # fmt: skip
ORDER = {  # what is compared: as in CHAIN; None where the paper prints no such row
    "pseudo masks of P": ((7, "P", "VOC12 Train"), (7, "P", "VOC12 Train")),
    "pseudo masks of P-OC": ((7, "P-OC", "VOC12 Train"), (7, "P-OC", "VOC12 Train")),
    "pseudo masks of P-NOC": (None, (7, r"P-OC \+NOC", "VOC12 Train")),
    "pseudo masks of P-OC with C2AM-H": ((7, "P-OC +C2AM-H", "VOC12 Train"), (7, r"P-OC \+C2AM-H", "VOC12 Train")),
    "pseudo masks of P-NOC with C2AM-H": (None, (7, r"P-OC \+C2AM-H \+NOC", "VOC12 Train")),
    "pseudo masks of P-OC, labels smoothed": ((7, "P-OC +LS", "VOC12 Train"), (7, r"P-OC \+LS", "VOC12 Train")),
    "pseudo masks of P-NOC, labels smoothed": (
        (7, "P-OC +LS +NOC", "VOC12 Train"), (7, r"P-OC \+LS \+NOC", "VOC12 Train"),
    ),
    "pseudo masks of P-OC with C2AM-H, labels smoothed": (
        (7, "P-OC +LS +C2AM-H", "VOC12 Train"), (7, r"P-OC \+LS \+C2AM-H", "VOC12 Train"),
    ),
    "pseudo masks of P-NOC with C2AM-H, labels smoothed": (
        (7, "P-OC +LS +C2AM-H +NOC", "VOC12 Train"), (7, r"P-OC \+LS \+C2AM-H \+NOC", "VOC12 Train"),
    ),
    "DeepLabV3+ on masks of P": ((8, "Puzzle-CAM", "Val"), (8, "Puzzle-CAM", "Val")),
    "DeepLabV3+ on masks of P-OC": (None, (8, r"P-OC V3\+", "Val")),
    "DeepLabV3+ on masks of P-NOC with C2AM-H": ((8, "P-NOC+LS+C2AM-H V3+", "Val"), (8, r"P-NOC\+C2AM-H V3\+", "Val")),
}  # fmt: skip
OTHERS = "other classes"  # a group that has the paper's name and not its members
KINDS = {"size": "size", "group": "semantic"}  # column of class_groups.csv: grouping of a report


def table(root: Path = ROOT) -> str:
    """The table in Markdown: IoU of vanilla CAM in percent, published and of each report that is there.

    A group is given only where its scored members are the paper's; a correlation with its number of classes and the
    size that chance reaches in one of twenty draws.
    """
    columns: dict[str, dict[str, str]] = {}
    for report in REPORTS:
        folder = root / "reports" / report / "tables"
        if not (folder / "table03_beside.csv").is_file():
            continue
        beside = pd.read_csv(folder / "table03_beside.csv", dtype=str, keep_default_na=False)
        beside = beside.query("column == 'CAM'").set_index("row")
        columns.setdefault("paper, VOC12 `train`", {row: beside.at[row, "published"] for row in ROWS})
        columns[f"[{report}](reports/{report})"] = _measured(beside, folder / "class_groups.csv")
    if columns:
        first = next(iter(columns.values()))
        first["ρ %S"] = _correlation(first["ρ %S"], 20)
    lines = ["| IoU of CAM (%), oracle threshold | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for row, (name, *_) in ROWS.items():
        lines.append(f"| {name} | " + " | ".join(column.get(row, "") for column in columns.values()) + " |")
    return "\n".join(lines) + "\n"


def _measured(beside: pd.DataFrame, groups: Path) -> dict[str, str]:
    """Cells of one report, by row of Table 3."""
    labels = paper.class_groups()["label"]
    scored = {name for name, label in labels.items() if beside["measured"].get(label, "not run") != "not run"}
    own = pd.read_csv(groups) if groups.is_file() else pd.DataFrame(columns=["grouping", "group", "classes"])
    cells = {}
    for row, (_, kind, value) in ROWS.items():
        cells[row] = beside["measured"].get(row, "")
        if kind is None or cells[row] == "not run":
            continue
        printed = paper.class_groups()
        printed = set(printed.index[printed[kind] == value])
        named = own[(own["grouping"] == KINDS[kind]) & (own["group"] == value)]["classes"]
        members = {name for names in named for name in str(names).split(", ")} & scored
        if members and members != printed:
            cells[row] = OTHERS
    cells["ρ %S"] = _correlation(cells["ρ %S"], len(scored))
    return cells


def _correlation(text: str, count: int) -> str:
    """A correlation with its number of classes, and "chance" where so many reach it by chance."""
    try:
        float(text)
    except ValueError:
        return text
    limit = 100 * analysis.chance_correlation(count)
    return f"{text} (n = {count}, chance below {limit:.0f})"


def strategies(root: Path = ROOT) -> str:
    """The table of strategies in Markdown, mIoU in percent, published and with several seeds; then what it says."""
    scores = seeds_scores(root)
    if scores.empty:
        return ""
    published = paper.table(2)["TTA"].rename(index=lambda row: row.removeprefix("RS269 "))
    published["OC-CSE"] = paper.table(3).at["overall μ", "CSE"]  # has no row in Table 2
    fixed = scores.loc[scores["chosen by"] == "fixed", "threshold"].iloc[0]
    head = ["mIoU (%)", "paper, VOC12 `train`, oracle", "trainings"]
    head += [f"[{SEEDS}](reports/{SEEDS}), {chosen}" for chosen in ("oracle", f"threshold {fixed:g}")]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for method in VARIANTS.values():
        own = scores[scores["method"] == method]
        cells = [f"{published[method]:.1f}" if method in published.index else "", str(own["seed"].nunique())]
        for chosen in ("oracle", "fixed"):
            values = 100 * own["mIoU"][own["chosen by"] == chosen]
            cells.append(f"{values.mean():.1f} ± {values.std():.1f}" if len(values) > 1 else f"{values.mean():.1f}")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    where = "In the demo's setting, over seeds,"
    said = ["± is one standard deviation over trainings; what lies no further apart than that cannot be told apart."]
    said += [text for text in (readings.scores(scores, where), readings.faults(scores, where)) if text]
    return "\n" + "\n".join(lines) + "\n\n" + "\n\n".join(said) + ("\n" if said else "")


def seeds_scores(root: Path = ROOT) -> pd.DataFrame:
    """Scores of the planned comparison in the demo's setting, scales from 1 on, as `readings.scores` takes them.

    All rounds: a seed of a later one has weights of its own and counts as another.
    """
    rounds = [path for path in (root / "reports" / SEEDS / f"{name}.csv" for name in ROUNDS) if path.is_file()]
    if not rounds:
        return pd.DataFrame()
    tables = [pd.read_csv(path) for path in rounds]
    runs = pd.concat([one.assign(seed=one["seed"] + 100 * k) for k, one in enumerate(tables)])
    runs = runs[runs["variant"].isin(list(VARIANTS))].assign(method=lambda each: each["variant"].map(VARIANTS))
    parts = []
    for chosen, threshold in {"oracle": runs["oracle_threshold_from_1"], "fixed": 0.3}.items():
        part = runs[["method", "seed"]].assign(mIoU=runs[f"{chosen}_from_1"], threshold=threshold)
        shares = {"FP share": runs["fp_fixed_from_1"], "FN share": runs["fn_fixed_from_1"]} if chosen == "fixed" else {}
        parts.append(part.assign(**{"chosen by": chosen}, **shares))
    return pd.concat(parts, ignore_index=True)


def own_setting(root: Path = ROOT) -> str:
    """How far the paper's own setting ends from CAM+ on small images: a sentence, from the fourth round."""
    tables = [root / "reports" / SEEDS / f"{name}.csv" for name in ("second", "fourth")]
    if not all(path.is_file() for path in tables):
        return ""
    wide = pd.concat(map(pd.read_csv, tables)).pivot(index="seed", columns="variant", values="oracle_from_1") * 100
    told = []
    for variant, name in {"p-oc-r-4": "P-OC", "p-noc-r-4-0.2": "P-NOC"}.items():
        apart = (wide[variant] - wide["cam-more"]).dropna()
        told.append(f"{name} {apart.mean():+.1f} ± {apart.std():.1f} points ({len(apart)} seeds)")
    return (
        "\n**In the paper's own setting,** raw maps with lambda_re 4 and delta_noc 0.2 (the demo: normalised ones, "
        f"0.6), on the same images, against CAM+ at the oracle threshold: {', '.join(told)}. The smaller an image, the "
        f"less it costs a network to shrink its maps: [{SEEDS}](reports/{SEEDS}) measures it, and shows what helps.\n"
    )


def chain(root: Path = ROOT) -> str:
    """The whole chain in Markdown, one row a step: mIoU in percent, published and of each report that has the step."""
    columns = _columns(CHAIN, root)
    if not columns:
        return ""
    lines = _steps(CHAIN, columns, "mIoU (%) of P-NOC on its way", "paper, with label smoothing")
    said = []
    for report, cells in columns.items():
        if cells[NETWORK] and cells[TRUTH]:
            where = f"In {report.partition(',')[0]}, on images that trained nothing,"
            there = f" the pseudo masks have {cells[HELD]} % and" if cells[HELD] else ""
            own, best = cells[NETWORK], cells[TRUTH]
            said.append(f"{where}{there} the network has {own} %; trained on true masks for as long, {best} %.")
    if said:
        said.append("Priors, saliency and pseudo masks are told which classes an image shows; a network is not.")
        said.append("± is one standard deviation over seeds.")
    return "\n" + "\n".join(lines) + "\n" + ("\n" + " ".join(said) + "\n" if said else "")


def order(root: Path = ROOT) -> str:
    """Tables 7 and 8 as one in Markdown: the rows whose order the paper is about, published and of each report."""
    columns = _columns(ORDER, root)
    rows = {name: cells for name, cells in ORDER.items() if any(column[name] for column in columns.values())}
    return "\n".join(_steps(rows, columns, "mIoU (%)", "paper")) + "\n\n" if rows else ""


def _columns(rows: dict, root: Path) -> dict[str, dict[str, str]]:
    """What each report has for the rows, under the report's name and its number of seeds."""
    columns = {}
    for report in CHAINS:
        folder = root / "reports" / report / "tables"
        cells = {name: _step(folder, *where) for name, (_, where) in rows.items()}
        if any(cells.values()):
            count = max(_seeds(folder, *where) for _, where in rows.values())
            columns[f"[{report}](reports/{report})" + f", {count} seeds" * (count > 1)] = cells
    return columns


def _steps(rows: dict, columns: dict[str, dict[str, str]], *head: str) -> list[str]:
    """The lines of a table: a row's name, the paper's number and that of each column."""
    lines = ["| " + " | ".join([*head, *columns]) + " |", "|---|" + "---:|" * (len(columns) + 1)]
    for name, (cell, _) in rows.items():
        printed = paper.table(cell[0]).at[cell[1], cell[2]] if cell else ""
        printed = str(Decimal(str(printed)).quantize(Decimal("0.1"), ROUND_HALF_UP)) if printed else ""
        lines.append("| " + " | ".join([name, printed, *(column[name] for column in columns.values())]) + " |")
    return lines


def _found(folder: Path, number: int, row: str, column: str) -> pd.DataFrame:
    """The lines of a report's table that were measured for a column and for rows that a pattern finds."""
    path = folder / f"paper_table{number:02}.csv"
    if not path.is_file():
        return pd.DataFrame()
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    found = table[(table["experiment"] == folder.parent.name) & (table["column"] == column)]
    return found[found["row"].str.fullmatch(row) & ~found["measured"].isin(["", "not run"])]


def _step(folder: Path, *where) -> str:
    """What a report measured for a step of the chain, with its spread, to one decimal; "" for none."""
    found = _found(folder, *where)
    text = found["measured"].iloc[0] if len(found) else ""
    return re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.1f}", text)


def _seeds(folder: Path, *where) -> int:
    """How many seeds that is the mean of."""
    found = _found(folder, *where)
    return int(float(found["seeds"].iloc[0] or 1)) if len(found) else 0


def ranks(root: Path = ROOT) -> str:
    """The order of the classes against the paper's, a sentence a report: Spearman's correlation of CAM's IoU."""
    lines = []
    for report in REPORTS:
        path = root / "reports" / report / "tables" / "table03_beside.csv"
        if not path.is_file():
            continue
        cells = pd.read_csv(path).query("column == 'CAM'").set_index("row")
        cells = cells.loc[cells.index.isin(paper.class_groups()["label"]) & cells["mean"].notna()]
        if len(cells) > 2:
            rank = pd.to_numeric(cells["published"]).rank().corr(cells["mean"].rank())
            lines.append(readings.rank_correlation(rank, len(cells), report))
    return f"\nRank correlation of CAM's IoU by class with the paper's: {'; '.join(lines)}.\n" if lines else ""


def updated(text: str, root: Path = ROOT) -> str:
    """The README `text` with its tables made anew."""
    before, rest = text.split(BEGIN)
    return (
        before
        + BEGIN
        + chain(root).lstrip()
        + "\n"
        + order(root)
        + table(root)
        + ranks(root)
        + strategies(root)
        + own_setting(root)
        + rest[rest.index(END) :]
    )


def report_readme(folder: Path, root: Path = ROOT) -> str:
    """The README of a report folder: what the preset says of itself, the notebooks by stage, and a picture.

    A folder without executed notebooks, or with a README of its own, is left alone: "".
    """
    written = folder / "README.md"
    if written.is_file() and not written.read_text(encoding="utf-8").startswith(f"# {folder.name}: the reference run"):
        return ""
    notebooks = sorted(path for path in folder.glob("*.ipynb") if not path.name.endswith(".failed.ipynb"))
    if not notebooks:
        return ""
    preset = root / "configs" / f"{folder.name}.yaml"
    about = []
    for line in preset.read_text(encoding="utf-8").splitlines() if preset.is_file() else []:
        if not line.startswith("#"):
            break
        about.append(line.removeprefix("#").strip())
    stages: dict[str, list[Path]] = {}
    for path in notebooks:
        stages.setdefault(path.stem.partition("-")[0], []).append(path)
    lines = [f"# {folder.name}: the reference run", "", " ".join(about), ""]
    lines += [
        "An own run goes to `results/`; `make verify` puts the two beside each other. The notebooks, in order:",
        "",
    ]
    for _, paths in sorted(stages.items(), key=lambda item: (item[0][:1].isdigit(), item[0])):
        runs = [f"[{path.stem.partition('-')[2]}]({path.name})" for path in paths if "-" in path.stem]
        lines.append(f"- [{_title(paths[0])}]({paths[0].name})" + (f": {', '.join(runs)}" if runs else ""))
    figures = ", figures in [figures](figures), each with its numbers as CSV" * any(folder.glob("figures/*.csv"))
    lines += ["", f"Tables are in [tables](tables){figures}."]
    for name, about in PICTURES.items():
        for picture in sorted((folder / "figures").glob(name)):
            lines += ["", f"![{about}](figures/{picture.name})"]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _title(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    found = next((re.search(r"(?m)^# (.+)$", cell.source) for cell in cells if cell.cell_type == "markdown"), None)
    return found[1] if found else path.stem


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(updated(readme.read_text(encoding="utf-8")), encoding="utf-8")
    for report in sorted(path for path in (ROOT / "reports").iterdir() if path.is_dir()):
        links.mend(report)
        text = report_readme(report)
        if text and report.name != "smoke":
            (report / "README.md").write_text(text, encoding="utf-8")
