"""Every notebook runs, solutions included, with the parameters of the `smoke` preset really injected: under nbval."""

import functools
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import pytest
import torch
import yaml
from IPython.core.interactiveshell import InteractiveShell
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from pnoc_lib import files, runs, toyvoc
from pnoc_lib.priors import strategies

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks are there yet")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@functools.cache
def pipeline():
    """The runs of the `smoke` preset."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        patch.chdir(ROOT)
        import graph

        return graph.Graph(yaml.safe_load((ROOT / "configs" / "smoke.yaml").read_text()))


def smoke(stage):
    """What the pipeline injects into the last run of one notebook under the `smoke` preset, beside no other run.

    The last runs are a chain: saliency with hints of these priors, masks of that saliency, a network of those masks.
    """
    last = [run.parameters for run in pipeline().runs.values() if run.stage.name == stage][-1]
    return dict(last) | ({"beside": []} if "beside" in last else {})


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


# every strategy: in this process, where the libraries are loaded once, with even less to do than `smoke`

QUICK = {
    "01_train_priors": {"backbone": "test_efficientnet", "epochs": 1, "batch_size": 8, "estimate_images": 8}
    | {"crop_size": 64, "precision": "no"},
    "02_infer_priors": {"scales": [0.5], "precision": "no"},
}
KINDS = ("puzzle", "oc-cse", "p-oc", "noc-cse", "p-noc", "p-noc-ls")


def run(stage, strategy, **changes):
    """Run the code cells of a notebook as papermill would; return the names they leave, raise the first error."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{stage}.ipynb", as_version=4)
    given = smoke(stage) | QUICK[stage] | {"run": strategy, "examples": 2} | changes
    given |= {"strategy": strategy} if stage == "01_train_priors" else {}
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shell.run_cell(cell.source, store_history=True).raise_error()
        if "parameters" in cell.metadata.get("tags", []):
            shell.run_cell("\n".join(f"{name} = {value!r}" for name, value in given.items())).raise_error()
    return shell.user_ns


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a small data set and an ordinary classifier, and what was drawn on the way."""
    place = tmp_path_factory.mktemp("strategies")
    stage = place / "runs" / "smoke" / "00_data"
    toyvoc.write(stage / "toyvoc", train=16, val=16, size=64, progress=False, workers=1)
    files.write_json(stage / runs.MANIFEST, {"stage": "00_data", "metrics": {}})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run("01_train_priors", "cam")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("strategy", KINDS)
def test_every_strategy_is_trained_and_its_terms_are_drawn(strategy, trained, monkeypatch):
    monkeypatch.chdir(trained)
    seed = 1 if strategy == "p-noc-ls" else 0  # there is no ordinary classifier of that seed: one is trained first
    left = run("01_train_priors", strategy, seed=seed)
    folder, plan = left["stage"].folder, strategies.named(strategy)
    told = files.read_json(folder / runs.MANIFEST)
    assert told["parameters"]["label_smoothing"] == plan.label_smoothing
    assert {Path(output["path"]).name for output in told["outputs"]} == (
        {"weights.safetensors", "noc.safetensors"} if plan.eraser == "noc" else {"weights.safetensors"}
    )
    assert (folder / "oc").exists() == (seed == 1)
    marked = left["terms"]["in this run"] == "yes"
    assert marked.tolist() == [True, plan.puzzle, plan.puzzle, bool(plan.eraser), plan.eraser == "noc"]
    figures = {path.stem for path in (trained / "results/smoke/figures").glob(f"*-{strategy}-s{seed}*.png")}
    assert {f"fig02_erasing-{strategy}-s{seed}", f"training-{strategy}-s{seed}_terms"} <= figures
    terms = pd.read_csv(trained / f"results/smoke/figures/training-{strategy}-s{seed}_terms.csv")
    assert {"re" in terms, "re_cls" in terms} == {plan.puzzle}
    assert ("p_soft" in terms, "loss_noc" in terms) == (bool(plan.eraser), plan.eraser == "noc")
    judges = pd.read_csv(trained / f"results/smoke/tables/training-{strategy}-s{seed}_erasing.csv")["judge"].tolist()
    assert judges == {None: ["f"], "oc": ["oc"], "noc": ["oc", "noc"]}[plan.eraser]
    run("02_infer_priors", strategy, seed=seed)
    assert len(list((trained / f"runs/smoke/02_infer_priors/{strategy}-s{seed}").rglob(runs.MANIFEST))) == 1


@pytest.mark.slow
def test_two_processes_train_once_together_where_there_is_no_gpu(trained, monkeypatch):
    monkeypatch.chdir(trained)
    left = run("01_train_priors", "cam", run="two", processes=2, batchnorm="fixed")
    alone = run("01_train_priors", "cam", run="one", batchnorm="fixed")
    told, other = (files.read_json(each["stage"].folder / "training.json") for each in (left, alone))
    assert (told["processes"], other["processes"]) == (2, 1)
    ours, theirs = (files.read_tensors(each["stage"].folder / "weights.safetensors")[0] for each in (left, alone))
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"strategy": "p-nock"}, r"strategy must be one of cam, .* \(did you mean p-noc\?\), got 'p-nock'"),
        ({"strategy": "puzzle", "crop_size": 40}, "crop_size 40 cannot be tiled: the puzzle needs a multiple of 32"),
        ({"erase_scope": "set", "ramp_re": 0.0}, "ramp_re must be more than 0, got 0.0; erase_scope must be one of"),
        ({"oc_weights": "nowhere"}, "oc_weights must be an existing file"),
        (
            {"strategy": "p-oc", "backbone": "test_vit"},
            "a test_efficientnet of 20 classes and the generator a test_vit",
        ),
    ],
)
@pytest.mark.slow
def test_impossible_trainings_stop_in_the_first_cell(changes, problem, trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    before = sorted(trained.rglob("manifest.json"))
    with pytest.raises(ValueError, match=problem) as error:
        run("01_train_priors", **({"strategy": "cam"} | changes))
    assert type(error.value).__name__ == "ParameterError"
    assert sorted(trained.rglob("manifest.json")) == before  # nothing was begun


def test_notebook_stops_at_an_unknown_parameter(tmp_path, monkeypatch):
    """The first stands for all: test_notebooks_text makes sure that each checks its parameters in the same way."""
    path = NOTEBOOKS[0]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PapermillExecutionError) as error:
        papermill.execute_notebook(str(path), "out.ipynb", {"experimnt": "x"}, progress_bar=False)
    assert error.value.evalue == "a parameter is wrong: unknown parameter 'experimnt': did you mean 'experiment'?"
    assert not (tmp_path / "runs").exists()
