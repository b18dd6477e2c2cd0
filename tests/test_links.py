"""Links between executed notebooks lead to where those are."""

import json

import pytest


@pytest.fixture
def links(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import links

    return links


def notebook(*cells):
    return json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def text(*lines):
    return {"cell_type": "markdown", "metadata": {}, "id": "a", "source": list(lines)}


def test_a_link_leads_to_the_same_run_then_to_the_first_then_to_the_source(links, root, tmp_path):
    said = "see [2](02_infer_priors.ipynb), [4](04_saliency.ipynb#how), [8](08_audit.ipynb), [w](https://a.org/b.ipynb)"
    code = {"cell_type": "code", "metadata": {}, "id": "b", "execution_count": 1, "source": [f"# {said}"]}
    code["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": {"text/markdown": [said]}}]
    written = tmp_path / "01_train_priors-p-noc-s0.ipynb"
    written.write_text(notebook(text("# A\n", said), code))
    for name in ("02_infer_priors-cam-s0", "02_infer_priors-p-noc-s0", "04_saliency-c2am-s0", "08_audit.failed"):
        (tmp_path / f"{name}.ipynb").write_text(notebook(text("# B")))
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    links.mend(tmp_path)
    cells = json.loads(written.read_text())["cells"]
    found = "".join(cells[0]["source"])
    assert "[2](02_infer_priors-p-noc-s0.ipynb)" in found
    assert "[4](04_saliency-c2am-s0.ipynb#how)" in found
    assert "[w](https://a.org/b.ipynb)" in found
    source = found.partition("[8](")[2].partition(")")[0]
    assert (tmp_path / source).resolve() == root / "notebooks/08_audit.ipynb"
    assert "".join(cells[1]["outputs"][0]["data"]["text/markdown"]) == found.partition("\n")[2]
    assert cells[1]["source"] == [f"# {said}"]
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_links_are_mended_once_and_again_when_more_is_there(links, tmp_path):
    written = tmp_path / "00_data.ipynb"
    written.write_text(notebook(text("[next](01_train_priors.ipynb)")))
    links.mend(tmp_path)
    once = written.read_text()
    links.mend(tmp_path)
    assert written.read_text() == once
    (tmp_path / "01_train_priors-cam-s0.ipynb").write_text(notebook(text("# C")))
    links.mend(tmp_path)
    assert "(01_train_priors-cam-s0.ipynb)" in written.read_text()


def test_no_link_of_a_committed_notebook_is_dead(links, root):
    dead = []
    for path in sorted((root / "reports").rglob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                found = [match[0][2:-1].partition("#")[0] for match in links.LINK.finditer("".join(cell["source"]))]
                dead += [f"{path.name}: {link}" for link in found if not (path.parent / link).is_file()]
    assert not dead, f"run python tools/links.py reports/*: {dead}"
