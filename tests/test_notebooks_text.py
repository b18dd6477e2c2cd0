"""The notebooks as texts: the order of their parts, prose before code, and parameters that a batch user can trust."""

import ast
import io
import re
import tokenize
from pathlib import Path

import nbformat
import pytest

from pnoc_lib import parameters

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_CELL = 18  # lines of code that a reader takes in at once

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks are there yet")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tree(source):
    """Syntax tree of a cell, its magics left out."""
    return ast.parse("\n".join("pass" if re.match(r"\s*[%!]", line) else line for line in source.splitlines()))


def comments(source):
    """Comments by line number."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def declared(path):
    """Names of the parameters of a notebook."""
    return [node.target.id for node in tree(tagged(read(path), "parameters")[0].source).body]


@each_notebook
def test_file_is_a_valid_source_without_results(path):
    assert re.fullmatch(r"\d\d_[a-z0-9_]+|start_here", path.stem)
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in code(notebook):
        assert not cell.outputs and cell.execution_count is None, cell.source


@each_notebook
def test_parts_stand_in_their_order(path):
    text = prose(read(path))
    assert text.startswith("# ")
    parts = ["you will learn", "reads", "leaves", "takes", "paper beside ours", "what this does not show"]
    parts += ["exercises", "recap"]
    places = [match.start() if (match := re.search(rf"(?im)^\W*{part}\b", text)) else part for part in parts]
    assert all(isinstance(place, int) for place in places), f"missing: {[p for p in places if isinstance(p, str)]}"
    assert places == sorted(places)


@each_notebook
def test_three_things_are_learned(path):
    after = re.split(r"(?i)you will learn", prose(read(path)), maxsplit=1)[1].strip(" :*\n")
    bullets = re.match(r"(?:[-*] .*(?:\n {2,}.*)*\n?)+", after)
    assert bullets and len(re.findall(r"(?m)^[-*] ", bullets[0])) == 3


@each_notebook
def test_every_code_cell_has_prose_before_it(path):
    kinds = [cell.cell_type for cell in read(path).cells]
    assert [i for i, kind in enumerate(kinds) if kind == "code" and kinds[i - 1 : i] != ["markdown"]] == []


@each_notebook
def test_cells_are_short(path):
    notebook = read(path)
    for cell in code(notebook):
        special = {"parameters", "solution"} & set(cell.metadata.get("tags", [])) or "parameters.check(" in cell.source
        if not special:
            lines = [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]
            assert len(lines) <= LONGEST_CELL, cell.source


@each_notebook
def test_parameters_are_annotated_literals_that_are_explained(path):
    cells = tagged(read(path), "parameters")
    assert len(cells) == 1
    explained = comments(cells[0].source)
    for node in tree(cells[0].source).body:
        assert isinstance(node, ast.AnnAssign), f"{ast.unparse(node)}: write name: type = literal"
        ast.literal_eval(node.value)
        assert node.end_lineno in explained, f"{node.target.id}: say unit, range or the paper's value in a comment"


@each_notebook
def test_parameters_are_checked_right_after(path):
    cells = code(read(path))
    position = next(i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", []))
    assert re.search(r"parameters\.check\(\s*globals\(\)", cells[position + 1].source)
    assert position == 0 or all("import" in cell.source for cell in cells[:position])


@each_notebook
def test_only_parameters_are_annotated(path):
    """Or they would pass for parameters when the set-up cell runs again."""
    for cell in code(read(path)):
        if "parameters" not in cell.metadata.get("tags", []):
            assert not [node for node in tree(cell.source).body if isinstance(node, ast.AnnAssign)], cell.source


@each_notebook
def test_exercises_have_solutions(path):
    notebook = read(path)
    exercises = prose(notebook)[re.search(r"(?im)^\W*exercises\b", prose(notebook)).end() :]
    numbered = re.findall(r"(?im)^(?:#+ |\*\*)?(?:exercise )?(\d)[.:)]", exercises)
    assert 2 <= len(set(numbered)) <= 4, f"exercises found: {numbered}"
    assert len(tagged(notebook, "solution")) >= len(set(numbered)), "give each exercise a cell tagged solution"


@each_notebook
def test_code_is_plain(path):
    notebook = read(path)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert "tqdm.auto" not in text and "tqdm.notebook" not in text  # their widgets vanish in HTML
    assert not re.search(r"(?<![\w.}~/])/(?:home|Users|work|root|tmp)/\w", text)
    for cell in code(notebook):
        for node in ast.walk(tree(cell.source)):
            assert not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*"), cell.source
            assert not (isinstance(node, ast.Name) and node.id in ("eval", "exec")), cell.source


@each_notebook
def test_every_default_lies_in_the_range_that_its_comment_states(path):
    known = parameters.declared(tagged(read(path), "parameters")[0].source)
    assert list(known) == declared(path)
    assert parameters.problems(known, {name: one.default for name, one in known.items()}) == []
