"""How the packages import each other: one way, without a circle, read from the sources."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parent.parent / "pnoc_lib"
FLOORS = [  # from the ground up; rooms on one floor do not know each other
    {"declarations", "files", "parameters", "runs"},
    {"data"},
    {"engine"},
    {"priors", "saliency", "affinity", "segmentation"},
    {"evaluation"},
    {"paper"},
    {"audit"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imported(path):
    """Modules of the library that a file imports when it runs, as room.module; not those for its annotations alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "pnoc_lib" and len(parts) > 1:
                yield ".".join(parts[1:3])


def name_of(path):
    return path.relative_to(LIBRARY).with_suffix("").as_posix().replace("/", ".")


MODULES = {name_of(path) for path in LIBRARY.rglob("*.py")}
ARROWS = [(name_of(path), target) for path in sorted(LIBRARY.rglob("*.py")) for target in imported(path)]


def room(module):
    return module.split(".")[0]


def test_no_arrow_runs_up_or_sideways():
    wrong = []
    for source, target in ARROWS:
        here, there = room(source), room(target)
        if "toyvoc" in (here, there) or here == there:
            continue
        if FLOOR[there] >= FLOOR[here] and not FLOOR[there] == FLOOR[here] == 0:
            wrong.append(f"{source} -> {target}")
    assert wrong == []


def test_nobody_knows_the_drawing():
    assert {room(target) for source, target in ARROWS if room(source) == "toyvoc"} <= {"toyvoc", "files", "data"}
    assert {room(source) for source, target in ARROWS if room(target) == "toyvoc"} <= {"toyvoc"}


def test_no_module_is_its_own_guest():
    """No circle, also not inside of a package."""
    arrows = {}
    for source, target in ARROWS:
        known = [name for name in (target, f"{target}.__init__", room(target), f"{room(target)}.__init__")]
        arrows.setdefault(source, set()).add(next((name for name in known if name in MODULES), target))
    finished = set()

    def visit(module, way):
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in finished:
            for target in arrows.get(module, ()):
                visit(target, [*way, module])
            finished.add(module)

    for module in sorted(arrows):
        visit(module, [])


@pytest.mark.parametrize("word", ["notebooks/", "Snakefile"])
def test_only_runs_gives_advice_about_stages(word):
    """The library knows no notebook and no pipeline; what to run first is said in `runs`."""
    assert {name_of(path) for path in LIBRARY.rglob("*.py") if word in path.read_text()} <= {"runs"}
