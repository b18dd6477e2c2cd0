"""Make a small web site of what the runs left: one page a notebook, one an experiment, and an index.

    python tools/build_site.py            reads reports/ and results/, writes site/
    python tools/build_site.py FROM TO

The pages work from a folder, without a server and without a network: pictures are embedded, MathJax is a file.
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass, replace
from html import escape
from importlib import metadata
from pathlib import Path

import nbformat
import pandas as pd
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

TOOLS = Path(__file__).resolve().parent
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{base}assets/site.css">
{scripts}</head>
<body class="{kind}">
<header><nav><a class="home" href="{base}index.html">P-NOC companion</a>{trail}</nav></header>
<main>
{body}
</main>
</body>
</html>
"""
SCRIPTS = """<script>MathJax = {{tex: {{inlineMath: [["$", "$"]]}}, options: {{enableMenu: false}}}};</script>
<script defer src="{base}assets/tex-svg-full.js"></script>
<script defer src="{base}assets/site.js"></script>
"""
FIRST = ["demo", "voc12-animals", "demo-seeds"]  # experiments in this order, others by name
METHODS = ["cam", "cam-more", "oc-cse", "puzzle", "p-oc", "noc-cse", "p-noc"]  # the paper's order
LEAD = """<h1>Notebooks that were run</h1>
<p class="lead">Weakly supervised semantic segmentation, from images and class names to trained networks.
Every number and every picture here comes out of one of these notebooks.</p>
"""


@dataclass(frozen=True)
class Page:
    """An executed notebook and the HTML that is made of it."""

    name: str
    title: str
    question: str
    html: str
    contents: list[tuple[str, str]]  # (anchor, heading)

    @property
    def stage(self) -> str:
        return self.name.partition("-")[0]

    @property
    def run(self) -> str:
        return self.name.partition("-")[2]


@dataclass(frozen=True)
class Experiment:
    """A folder of executed notebooks, and what it is called in the site's addresses and in words."""

    folder: Path
    name: str
    title: str


def build(reports: Path, site: Path, own: Path | None = None) -> list[Path]:
    """Write the site of all experiments in `reports`, and in `own` those of an own run; return its pages.

    Exits when there is nothing to show. `smoke`, which trains nothing worth a look, is left out beside others.
    """
    found = [Experiment(path, path.name, path.name) for path in _experiments(reports)]
    if own is not None:
        found += [Experiment(path, f"yours-{path.name}", f"{path.name}, your run") for path in _experiments(own)]
    found = [one for one in found if one.folder.name != "smoke"] or found
    if not found:
        sys.exit(f"no executed notebooks in {reports}: run make demo first")
    shutil.rmtree(site, ignore_errors=True)
    assets(site / "assets")
    written, cards = [], []
    for one in sorted(
        found, key=lambda one: (FIRST.index(one.folder.name) if one.folder.name in FIRST else 9, one.name)
    ):
        folder = site / one.name
        for name in ("figures", "tables"):
            if (one.folder / name).is_dir():
                shutil.copytree(one.folder / name, folder / name)
        folder.mkdir(parents=True, exist_ok=True)
        notebooks = [path for path in one.folder.glob("*.ipynb") if not path.name.endswith(".failed.ipynb")]
        pages = [read(path) for path in sorted(notebooks, key=lambda path: place(path.stem))]
        for page in pages:
            page = replace(page, html=relink(page, pages))
            written.append(write(folder / f"{page.name}.html", notebook_page(one, page, *neighbours(page, pages))))
        written.append(write(folder / "index.html", experiment_page(one, pages)))
        cards.append(card(one, pages))
    written.append(
        write(site / "index.html", wrap("P-NOC companion", LEAD + "\n".join(cards), "", base="", kind="index"))
    )
    return written


def _experiments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if any(path.glob("*.ipynb"))) if folder.is_dir() else []


def place(stem: str) -> tuple:
    """Where a notebook stands: the opening first, stages in their order, runs in the paper's order of methods."""
    stage, _, run = stem.partition("-")
    name = run.rpartition("-s")[0] or run
    return (stage[:1].isdigit(), stage, METHODS.index(name) if name in METHODS else len(METHODS), run)


def neighbours(page: Page, pages: list[Page]) -> tuple[Page | None, Page | None]:
    """The pages before and after: of the same run where the stage has it, else the first of the stage."""
    stages = list(dict.fromkeys(other.stage for other in pages))
    here = stages.index(page.stage)

    def of(stage: str) -> Page:
        runs = [other for other in pages if other.stage == stage]
        return next((other for other in runs if page.run and other.run == page.run), runs[0])

    before = of(stages[here - 1]) if here else None
    return before, of(stages[here + 1]) if here + 1 < len(stages) else None


def read(path: Path) -> Page:
    """Convert one executed notebook."""
    notebook = nbformat.read(path, as_version=4)
    exporter = HTMLExporter(template_name="basic", embed_images=True)
    html, _ = exporter.from_notebook_node(notebook)
    html = html.replace("&#182;", "").replace("¶", "")
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = match[1] if (match := re.search(r"(?m)^# (.+)$", text)) else path.stem
    if run := path.stem.partition("-")[2]:  # several runs of one notebook: 01_train_priors-p-noc-s0
        title += f" ({run})"
    asked = re.search(r"\*\*Question[.:]?\*\*[.:]?\s*(.+?)(?:\n\s*\n|$)", text, flags=re.DOTALL)
    paragraphs = [asked[1]] if asked else [part for part in re.split(r"\n\s*\n", text) if not part.startswith("#")]
    contents = [
        (anchor, plain(heading)) for anchor, heading in re.findall(r'<h2[^>]*id="([^"]+)"[^>]*>(.*?)</h2>', html, re.S)
    ]
    return Page(path.stem, plain(title), plain(paragraphs[0]) if paragraphs else "", html, contents)


def plain(text: str) -> str:
    """Text without HTML and Markdown signs, on one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>|[*`#]+", "", text)).strip()


def relink(page: Page, pages: list[Page]) -> str:
    """Let links between notebooks lead to their pages; 02_x.ipynb means that of the same run, where there is one."""

    def target(match: re.Match) -> str:
        names = [other.name for other in pages if other.stage == match[1] or other.name == match[1]]
        own = f"{match[1]}-{page.run}"
        return f'href="{own if own in names else names[0]}.html"' if names else ""

    return re.sub(r'href="(?:[^":]*/)?([^"/:]+)\.ipynb"', target, page.html)


def notebook_page(experiment: Experiment, page: Page, before: Page | None, after: Page | None) -> str:
    contents = "".join(f'<li><a href="#{anchor}">{escape(heading)}</a></li>' for anchor, heading in page.contents)
    steps = "".join(
        f'<a class="{side}" href="{other.name}.html">{escape(other.title)}</a>'
        for side, other in (("before", before), ("after", after))
        if other
    )
    text = f'<article class="notebook">{page.html}<footer class="steps">{steps}</footer></article>'
    body = f"<aside><details open><summary>Contents</summary><ol>{contents}</ol></details></aside>\n{text}"
    trail = f'<a href="index.html">{escape(experiment.title)}</a><span>{escape(page.title)}</span>'
    return wrap(page.title, body, trail, base="../", kind="reading")


def experiment_page(one: Experiment, pages: list[Page]) -> str:
    """The notebooks, figures and tables of one experiment, below what its README says."""
    parts = [f"<h1>{escape(one.title)}</h1>", notebook_list(pages)]
    figures = sorted((one.folder / "figures").glob("*.png"))
    if figures:
        parts.append("<h2>Figures</h2><div class='figures'>" + "".join(map(figure, figures)) + "</div>")
    tables = sorted((one.folder / "tables").glob("*.csv"))
    if tables:
        parts.append("<h2>Tables</h2>" + "".join(map(table, tables)))
    return wrap(one.title, "\n".join(parts), f"<span>{escape(one.title)}</span>", base="../", kind="experiment")


def figure(path: Path) -> str:
    others = [path.with_suffix(suffix) for suffix in (".pdf", ".csv")]
    links = "".join(f' <a href="figures/{other.name}">{other.suffix[1:]}</a>' for other in others if other.is_file())
    image = (
        f'<a href="figures/{path.name}"><img loading="lazy" src="figures/{path.name}" alt="{escape(path.stem)}"></a>'
    )
    return f"<figure>{image}<figcaption>{escape(path.stem)}{links}</figcaption></figure>"


def table(path: Path) -> str:
    try:
        rows = pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError):
        return ""
    html = rows.to_html(index=False, border=0, na_rep="", float_format=lambda value: f"{value:.4g}")
    others = [other for other in (path, path.with_suffix(".tex")) if other.is_file()]
    links = "".join(f' <a href="tables/{other.name}">{other.suffix[1:]}</a>' for other in others)
    caption = escape(path.stem) + links
    return f"<details><summary>{caption}</summary><div class='table'>{html}</div></details>"


def notebook_list(pages: list[Page], prefix: str = "") -> str:
    """One entry a stage: its title and question; where it ran several times, the runs below."""
    items = []
    for stage in dict.fromkeys(page.stage for page in pages):
        runs = [page for page in pages if page.stage == stage]
        first = runs[0]
        title = first.title.rpartition(" (")[0] if first.run else first.title
        links = "".join(f'<a href="{prefix}{page.name}.html">{escape(page.run)}</a>' for page in runs if page.run)
        below = f"<nav class='runs'>{links}</nav>" if links else ""
        items.append(
            f'<li><a href="{prefix}{first.name}.html">{escape(title)}</a><p>{escape(first.question)}</p>{below}</li>'
        )
    return f"<ol class='notebooks'>{''.join(items)}</ol>"


def card(one: Experiment, pages: list[Page]) -> str:
    images = sorted((one.folder / "figures").glob("*.png"))
    index = f"{one.name}/index.html"
    thumbnails = "".join(
        f'<a href="{index}"><img loading="lazy" src="{one.name}/figures/{path.name}" alt="{escape(path.stem)}"></a>'
        for path in sorted(images, key=lambda path: (not path.stem.startswith("fig"), -path.stat().st_size))[:4]
    )
    count = f"figures: {len(images)}, tables: {len(list((one.folder / 'tables').glob('*.csv')))}"
    head = f'<h2><a href="{index}">{escape(one.title)}</a> <small>{count}</small></h2>'
    strip = f"<div class='strip'>{thumbnails}</div>" if thumbnails else ""
    return f"<section class='card'>{head}{strip}{notebook_list(pages, f'{one.name}/')}</section>"


def wrap(title: str, body: str, trail: str, *, base: str, kind: str) -> str:
    scripts = SCRIPTS.format(base=base) if kind == "reading" else ""
    return PAGE.format(title=escape(title), body=body, trail=trail, base=base, kind=kind, scripts=scripts)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def assets(folder: Path) -> None:
    """Style, script and MathJax."""
    folder.mkdir(parents=True)
    colours = HtmlFormatter(style="tango").get_style_defs(".highlight")
    write(folder / "site.css", (TOOLS / "site.css").read_text(encoding="utf-8") + "\n" + colours)
    shutil.copy(TOOLS / "site.js", folder)
    for file in metadata.files("sphinx-mathjax-offline") or []:
        if file.name == "tex-svg-full.js":
            shutil.copy(file.locate(), folder)
            return
    sys.exit("MathJax is missing: pip install sphinx-mathjax-offline")


if __name__ == "__main__":
    here, there = (Path(name) for name in (sys.argv[1:] if len(sys.argv) == 3 else ("reports", "site")))
    made = build(here, there, Path("results") if len(sys.argv) != 3 else None)
    print(f"{len(made)} pages: open {there / 'index.html'}")
