import importlib.util
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def reports(tmp_path):
    """What two runs leave: an executed notebook each, a figure and a table."""
    for experiment, stage in (("animals", "00_data"), ("demo", "00_data"), ("demo", "01_train_priors-cam-s0")):
        image = new_output("display_data", {"image/png": PIXEL})
        cells = [
            new_markdown_cell(f"# Stage <{stage}>\n\nWhich *question*?\n\n## Eq. (2)\n\n$\\boldsymbol{{x}} < 1$"),
            new_code_cell(
                "1 + 1", outputs=[new_output("execute_result", {"text/plain": "2"}, execution_count=1), image]
            ),
            new_markdown_cell("Next: [train](01_train_priors.ipynb), then [nowhere](09_x.ipynb)."),
            new_code_cell("print(3)", metadata={"tags": ["solution"]}),
        ]
        folder = tmp_path / "reports" / experiment
        for name in ("figures", "tables"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        nbformat.write(new_notebook(cells=cells), folder / f"{stage}.ipynb")
        (folder / "01_x.failed.ipynb").write_text("no notebook")
        fig = plt.figure(figsize=(1, 1))
        fig.savefig(folder / "figures" / "fig06_threshold.png")
        plt.close(fig)
        pd.DataFrame({"class": ["cat"], "iou": [0.123456]}).to_csv(folder / "tables" / "table03.csv", index=False)
    return tmp_path / "reports"


@pytest.fixture
def site(reports, tmp_path):
    tool("build_site").build(reports, tmp_path / "site")
    return tmp_path / "site"


def test_every_notebook_experiment_and_the_whole_have_a_page(site):
    pages = sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))
    assert pages == [
        "animals/00_data.html",
        "animals/index.html",
        "demo/00_data.html",
        "demo/01_train_priors-cam-s0.html",
        "demo/index.html",
        "index.html",
    ]
    index = (site / "index.html").read_text()
    assert index.index("demo/00_data.html") < index.index("animals/00_data.html")
    assert "Which question?" in index
    assert 'src="demo/figures/fig06_threshold.png"' in index


def test_nothing_is_fetched_and_every_link_leads_somewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        for address in re.findall(r'(?:src|href)="([^"#]+)', text):
            if not address.startswith("data:"):
                assert "//" not in address, f"{page.name} fetches {address}"
                assert (page.parent / address).resolve().exists(), f"{page.name} links to {address}"


def test_page_shows_code_output_picture_and_formula(site):
    text = (site / "demo" / "00_data.html").read_text()
    assert PIXEL in text and re.search(r"<pre>2\s*</pre>", text)
    assert "$\\boldsymbol{x} &lt; 1$" in text and "tex-svg-full.js" in text
    assert "celltag_solution" in text
    assert 'href="01_train_priors-cam-s0.html"' in text
    assert (site / "assets" / "tex-svg-full.js").stat().st_size > 1e6


def test_experiment_page_shows_tables(site):
    text = (site / "demo" / "index.html").read_text()
    assert "<td>0.1235</td>" in text and 'href="tables/table03.csv"' in text


def test_nothing_to_show_is_told(tmp_path):
    with pytest.raises(SystemExit, match=r"no executed notebooks in .*: run make demo first"):
        tool("build_site").build(tmp_path / "reports", tmp_path / "site")


def test_executed_notebooks_are_tidied(tmp_path, root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(tmp_path)
    bar = [
        new_output("stream", name="stderr", text="\r 0%\r 50%"),
        new_output("stream", name="stderr", text="\r100%\n"),
        new_output("stream", name="stdout", text=f"saved {tmp_path}/runs/x\n"),
    ]
    cell = new_code_cell("train()", outputs=bar, metadata={"papermill": {"duration": 1.0}, "tags": ["a"]})
    notebook = new_notebook(cells=[cell], metadata={"papermill": {"input_path": str(tmp_path)}})
    nbformat.write(notebook, tmp_path / "x.ipynb")
    tool("execute").tidy(tmp_path / "x.ipynb")
    tidied = nbformat.read(tmp_path / "x.ipynb", as_version=4)
    assert [output.text for output in tidied.cells[0].outputs] == ["100%\n", "saved ./runs/x\n"]
    assert tidied.cells[0].metadata == {"tags": ["a"]} and "papermill" not in tidied.metadata
    assert str(tmp_path) not in (tmp_path / "x.ipynb").read_text()


def test_runs_stand_below_their_stage_and_lead_to_themselves(tmp_path):
    folder = tmp_path / "reports" / "demo"
    folder.mkdir(parents=True)
    names = [
        f"{stage}-{run}-s0" for stage in ("01_train_priors", "02_infer_priors") for run in ("puzzle", "p-noc", "cam")
    ]
    names += ["start_here", "00_data", "03_analyse_priors"]
    for name in names:
        cells = [new_markdown_cell(f"# {name[:2]}\n\n**Question.** Why?\n\n[next](02_infer_priors.ipynb)")]
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    (tmp_path / "reports" / "smoke").mkdir()
    nbformat.write(new_notebook(), tmp_path / "reports" / "smoke" / "00_data.ipynb")
    build_site = tool("build_site")
    build_site.build(tmp_path / "reports", tmp_path / "site")
    index = (tmp_path / "site" / "demo" / "index.html").read_text()
    order = [
        "start_here.html",
        "00_data.html",
        *(f"01_train_priors-{run}-s0.html" for run in ("cam", "puzzle", "p-noc")),
    ]
    places = [index.rindex(f'"{name}"') for name in order]
    assert places == sorted(places)
    assert index.count("Why?") == 5  # one entry a stage
    assert not (tmp_path / "site" / "smoke").exists()
    page = (tmp_path / "site" / "demo" / "01_train_priors-p-noc-s0.html").read_text()
    assert 'class="after" href="02_infer_priors-p-noc-s0.html"' in page and 'class="before" href="00_data.html"' in page
    assert '<a href="02_infer_priors-p-noc-s0.html">next' in page
    assert (
        'class="after" href="03_analyse_priors.html"'
        in (tmp_path / "site/demo/02_infer_priors-cam-s0.html").read_text()
    )


def test_an_own_run_stands_beside_the_reference(reports, tmp_path):
    own = tmp_path / "results"
    (reports / "demo").rename(tmp_path / "demo")
    own.mkdir()
    (tmp_path / "demo").rename(own / "demo")
    tool("build_site").build(reports, tmp_path / "site", own)
    index = (tmp_path / "site" / "index.html").read_text()
    assert "demo, your run" in index and (tmp_path / "site/yours-demo/00_data.html").is_file()
    assert not (tmp_path / "site/demo").exists()
