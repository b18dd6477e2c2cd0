"""Let links between executed notebooks lead to where those are.

    python tools/links.py reports/demo

A notebook's source links to 05_affinity.ipynb; executed, that is 05_affinity-RUN-s0.ipynb, or several of them. A link
leads to the one of the same run, else to the first in the folder, else to the source in notebooks/.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "notebooks"
LINK = re.compile(r"\]\((?:[\w.-]+/)*((?:\d\d_|start_)\w+)[\w.+-]*\.ipynb(#[^)]*)?\)")


def mend(folder: Path) -> None:
    """Rewrite the links in all executed notebooks of a folder, of what is read and not of code; times stay."""
    names = sorted(path.name for path in folder.glob("*.ipynb") if not path.name.endswith(".failed.ipynb"))
    for name in names:
        path = folder / name
        before = path.read_text(encoding="utf-8")
        notebook = json.loads(before)
        for cell in notebook["cells"]:
            read = [(cell, "source")] * (cell["cell_type"] == "markdown")
            read += [(output["data"], "text/markdown") for output in cell.get("outputs", []) if "data" in output]
            for part, key in read:
                if key in part:
                    part[key] = relinked("".join(part[key]), name, names, folder).splitlines(keepends=True)
        after = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": ")) + "\n"
        if after != before:
            times = path.stat()
            temporary = path.with_name(f".{name}.links")
            temporary.write_text(after, encoding="utf-8")
            os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))  # nothing that was made of it is due again
            os.replace(temporary, path)


def relinked(text: str, name: str, names: list[str], folder: Path) -> str:
    """A Markdown text of the notebook `name` with its links to others led to those of `names`, or to the sources."""
    run = name.removesuffix(".ipynb").partition("-")[2]

    def target(match: re.Match) -> str:
        stage = match[1]
        there = [other for other in names if other.removesuffix(".ipynb").partition("-")[0] == stage]
        own = f"{stage}-{run}.ipynb"
        source = Path(os.path.relpath(SOURCES / f"{stage}.ipynb", folder.resolve())).as_posix()
        return f"]({own if own in there else there[0] if there else source}{match[2] or ''})"

    return LINK.sub(target, text)


if __name__ == "__main__":
    for place in sys.argv[1:]:
        mend(Path(place))
