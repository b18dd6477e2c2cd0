"""Write the README's table, paper beside demo, from the tables of the reports: no number in it is typed.

python tools/readme_table.py
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- begin: paper and demo -->\n", "<!-- end: paper and demo -->"
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


def updated(text: str, root: Path = ROOT) -> str:
    """The README `text` with its table made anew."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table(root) + rest[rest.index(END) :]


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(updated(readme.read_text(encoding="utf-8")), encoding="utf-8")
