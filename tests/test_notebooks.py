"""Every notebook runs, solutions included, with the parameters of the `smoke` preset really injected: under nbval."""

import subprocess
import sys
from pathlib import Path

import papermill
import pytest
import yaml
from papermill.exceptions import PapermillExecutionError

from pnoc_lib import files

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WITHOUT_DATA = ("07_paper_beside_ours", "08_audit")  # they get none of the common parameters

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks are there yet")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def smoke(stage):
    """What the pipeline injects into one notebook under the `smoke` preset."""
    preset = yaml.safe_load((ROOT / "configs" / "smoke.yaml").read_text())
    runs = {
        "01_train_priors": {"strategy": "cam", "seed": 0},
        "02_infer_priors": {"strategy": "cam", "seed": 0},
        "03_analyse_priors": {"strategies": ["cam"], "seeds": [0]},
    }
    given = {"experiment": "smoke", "runs_root": "runs", "reports_root": "reports"}
    given |= {} if stage in WITHOUT_DATA else preset["common"]
    given |= (preset.get(stage) or {}) | runs.get(stage, {})
    return {
        key: value.replace("{experiment}", "smoke") if isinstance(value, str) else value for key, value in given.items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the notebooks leave their files, each for the next."""
    return tmp_path_factory.mktemp("smoke")


@each_notebook
@pytest.mark.slow
def test_notebook_runs_and_leaves_what_it_says(path, folder):
    prepared = folder / path.name
    papermill.execute_notebook(str(path), str(prepared), smoke(path.stem), prepare_only=True, progress_bar=False)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-x", "-p", "no:cacheprovider", path.name],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    manifests = list((folder / "runs" / "smoke" / path.stem).rglob("manifest.json"))
    assert len(manifests) == 1, "a stage leaves one manifest when it has ended well"
    told = files.read_json(manifests[0])
    assert told["stage"] == path.stem
    assert {key: told["parameters"][key] for key in smoke(path.stem)} == smoke(path.stem)
    assert str(folder) not in manifests[0].read_text()


def test_notebook_stops_at_an_unknown_parameter(tmp_path, monkeypatch):
    """The first stands for all: test_notebooks_text makes sure that each checks its parameters in the same way."""
    path = NOTEBOOKS[0]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PapermillExecutionError) as error:
        papermill.execute_notebook(str(path), "out.ipynb", {"experimnt": "x"}, progress_bar=False)
    assert error.value.evalue == "a parameter is wrong: unknown parameter 'experimnt': did you mean 'experiment'?"
    assert not (tmp_path / "runs").exists()
