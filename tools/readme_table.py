"""Write the README's tables, paper beside demo, from the tables of the reports: no number in them is typed.

python tools/readme_table.py
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pnoc_lib import paper

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- begin: paper and demo -->\n", "<!-- end: paper and demo -->"
SEEDS = "demo-seeds"  # the report that tells the spread
REPORTS = ("demo", "voc12-animals")
ROWS = {
    "overall μ": "scored classes and background",
    "small": "small classes",
    "mid": "mid-sized classes",
    "large": "large classes",
    "singleton": "seen alone",
    "room": "in a room",
    "ρ %S": "correlation of IoU with size (%)",
}


def table(root: Path = ROOT) -> str:
    """The table in Markdown: IoU of vanilla CAM in percent, published and of each report that is there."""
    columns: dict[str, dict[str, str]] = {}
    for report in REPORTS:
        path = root / "reports" / report / "tables" / "table03_beside.csv"
        if not path.is_file():
            continue
        beside = pd.read_csv(path, dtype=str, keep_default_na=False).query("column == 'CAM'").set_index("row")
        columns.setdefault("paper, VOC12 `train`", beside["published"].to_dict())
        columns[f"[{report}](reports/{report})"] = beside["measured"].to_dict()
    lines = ["| IoU of CAM (%), oracle threshold | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for row, name in ROWS.items():
        lines.append(f"| {name} | " + " | ".join(column.get(row, "") for column in columns.values()) + " |")
    return "\n".join(lines) + "\n"


def strategies(root: Path = ROOT) -> str:
    """The table of strategies in Markdown: mIoU in percent, published, and of the report with several seeds."""
    path = root / "reports" / SEEDS / "tables" / "priors_scores.csv"
    if not path.is_file():
        return ""
    scores = pd.read_csv(path)
    published = paper.table(2)["TTA"].rename(index=lambda row: row.removeprefix("RS269 "))
    published["OC-CSE"] = paper.table(3).at["overall μ", "CSE"]  # has no row in Table 2
    count = scores["seed"].nunique()
    head = ["mIoU (%)", "paper, VOC12 `train`, oracle"]
    head += [f"[{SEEDS}](reports/{SEEDS}), {count} seeds, {chosen}" for chosen in ("oracle", "threshold 0.3")]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for method in dict.fromkeys(scores["method"]):
        cells = [f"{published[method]:.1f}" if method in published.index else ""]
        for chosen in ("oracle", "fixed"):
            own = 100 * scores["mIoU"][(scores["method"] == method) & (scores["chosen by"] == chosen)]
            cells.append(f"{own.mean():.1f} ± {own.std():.1f}" if len(own) > 1 else f"{own.mean():.1f}")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n" + "\n".join(lines) + "\n"


def updated(text: str, root: Path = ROOT) -> str:
    """The README `text` with its tables made anew."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table(root) + strategies(root) + rest[rest.index(END) :]


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(updated(readme.read_text(encoding="utf-8")), encoding="utf-8")
