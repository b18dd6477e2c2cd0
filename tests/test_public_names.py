"""What others may build on: the public names, listed once; a name that goes is noticed here."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pnoc_lib

NAMES = {
    module: names.split()
    for file in sorted((Path(__file__).parent / "public_names").glob("*.txt"))
    for module, _, names in (line.partition(": ") for line in file.read_text().splitlines())
}


@pytest.mark.parametrize("module", NAMES)
def test_no_public_name_goes(module):
    found = vars(importlib.import_module(f"pnoc_lib.{module}"))
    gone = [name for name in NAMES[module] if name not in found]
    assert not gone, f"pnoc_lib.{module} lacks {', '.join(gone)}: a notebook or somebody's script may call it"


@pytest.mark.parametrize("module", NAMES)
def test_every_public_function_is_listed_and_documented(module):
    loaded = importlib.import_module(f"pnoc_lib.{module}")
    own = {
        name: value
        for name, value in vars(loaded).items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == loaded.__name__
        and name[0] != "_"
    }
    unlisted = sorted(set(own) - set(NAMES[module]))
    assert not unlisted, f"list {', '.join(unlisted)} of pnoc_lib.{module} above, or begin it with an underscore"
    silent = [name for name, value in own.items() if not value.__doc__ or value.__doc__.startswith(f"{name}(")]
    assert not silent, f"no docstring: {', '.join(silent)}"
    assert loaded.__doc__


def test_every_module_is_listed(root):
    library = root / "pnoc_lib"
    modules = {path.relative_to(library).with_suffix("").as_posix().replace("/", ".") for path in library.rglob("*.py")}
    listed = {
        name for name in modules if not name.startswith(("paper.", "audit.", "toyvoc.")) and "__init__" not in name
    }
    known = {name for name in NAMES if not name.startswith(("paper.", "audit.", "toyvoc."))}
    assert listed | {"paper", "toyvoc"} == known


def test_version_is_that_of_the_project(root):
    assert f'version = "{pnoc_lib.__version__}"' in (root / "pyproject.toml").read_text()
    assert re.fullmatch(r"\d+\.\d+\.\d+", pnoc_lib.__version__)


def test_the_package_itself_imports_nothing():
    code = "import sys; before = set(sys.modules); import pnoc_lib; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['pnoc_lib']"


def test_importing_everything_says_and_changes_nothing(tmp_path):
    """No output, no file, no random number, no thread, no accelerator."""
    modules = ", ".join(f"pnoc_lib.{name}" for name in NAMES)
    code = (
        "import os, random, threading, numpy, torch, timm, accelerate, matplotlib.pyplot\n"
        "state = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()\n"
        "threads, env, style = threading.active_count(), dict(os.environ), dict(matplotlib.rcParams)\n"
        f"import {modules}\n"
        "assert state == (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist())\n"
        "assert threads == threading.active_count()\n"
        "assert env == dict(os.environ)\n"
        "assert style == dict(matplotlib.rcParams)\n"
        "assert not torch.cuda.is_initialized()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())
