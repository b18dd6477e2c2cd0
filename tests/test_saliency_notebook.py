"""Notebook 04 under both methods, with next to nothing to do: what it leaves, and what it refuses in its first cell."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from pnoc_lib import files, runs
from pnoc_lib.data import stores

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "04_saliency.ipynb"
QUICK = {"experiment": "tiny", "dataset": "folder", "data_root": "data", "splits": ["train"], "examples": 2}
QUICK |= {"backbone": "test_resnet", "weights": "none", "epochs": 1, "batch_size": 4, "crop_size": 32, "scales": [1.0]}
QUICK |= {"pool_backbone": "test_resnet", "pool_weights": "none", "pool_width": 4, "pool_epochs": 1, "num_workers": 0}
C2AM, HINTED = {"run": "c2am", "method": "c2am", "hints": ""}, {"run": "c2am-h", "beside": ["c2am"]}
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


def run(**changes):
    """Run the code cells of the notebook as papermill would; return the names they leave, raise the first error."""
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            shell.run_cell(cell.source, store_history=True).raise_error()
        if "parameters" in cell.metadata.get("tags", []):
            lines = (f"{name} = {value!r}" for name, value in (QUICK | changes).items())
            shell.run_cell("\n".join(lines)).raise_error()
    return shell.user_ns


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of coloured squares, one of them without a class, with priors that know the objects."""
    folder = tmp_path_factory.mktemp("notebook")
    images, masks = tiny.squares(folder / "data", 8)
    names = [";".join(np.array(images.classes)[label > 0]) for label in images.labels]
    names[3] = ""
    rows = {"image": [path.name for path in images.paths], "labels": names, "split": "train"}
    pd.DataFrame(rows).to_csv(folder / "data/labels.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        from pnoc_lib.data import reading

        read, _ = reading.read("folder", "data", "train")
        done = runs.folder("runs", "tiny", "02_infer_priors", run="cam", seed=0)
        store = stores.MapStore(done / "train/cams")
        for new, old in zip(read.ids, images.ids, strict=True):
            classes, mask = np.flatnonzero(read.label(new)), masks.mask(old)
            names_of = [images.classes.index(read.classes[c]) + 1 for c in classes]
            maps = np.array([mask[::4, ::4] == value for value in names_of], np.float32).reshape(-1, 10, 12)
            store.write(new, maps, classes, mask.shape, source=stores.source(read, new))
        files.write_json(done / runs.MANIFEST, {"stage": "02_infer_priors"})
        about = {"strategy": "cam", "backbone": "test_resnet", "run": "cam"}
        trained = runs.folder("runs", "tiny", "01_train_priors", run="cam", seed=0)
        files.write_json(trained / runs.MANIFEST, {"stage": "01_train_priors", "parameters": about})
        run(**C2AM)
    return folder


def test_each_method_leaves_what_it_says(place, monkeypatch):
    monkeypatch.chdir(place)
    left = run(**HINTED)
    for name in ("c2am", "c2am-h"):
        folder = runs.folder("runs", "tiny", "04_saliency", run=name, seed=0)
        assert (folder / runs.MANIFEST).is_file()
        for kind in ("binary", "saliency"):
            assert len(stores.MapStore(folder / "train" / kind).ids()) == 8
        empty = next(i for i in left["scored"].ids if not left["scored"].label(i).any())
        assert stores.MapStore(folder / "train/saliency").single(empty).max() == 0
    figures = {path.stem for path in (place / "results/tiny/figures").glob("*.png")}
    assert {f"fig0{k}-c2am-h-s0" for k in ("4_hints", "7_poolnet", "8_saliency")} <= figures
    titles = left["shown"].keys()
    assert {"c2am P.", "c2am R.", "c2am-h P.", "c2am-h R."} <= titles
    assert not torch.equal(left["network"].head.convolution.weight, left["pool_network"].head.weight)


def test_a_run_without_priors_draws_no_hints(place, monkeypatch):
    monkeypatch.chdir(place)
    left = run(**(C2AM | {"run": "alone", "segmentation_priors": []}))
    assert left["priors"] is None and left["stored"] == {}
    figures = {path.stem for path in (place / "results/tiny/figures").glob("*alone*.png")}
    assert "fig08_saliency-alone-s0" in figures and "fig04_hints-alone-s0" not in figures


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"method": "c2am", "hints": "cam"}, "method c2am takes no hints, got 'cam'"),
        ({"method": "c2am-h", "hints": ""}, "method c2am-h needs hints, got ''"),
        ({"alpha": -1.0, "delta_fg": 2.0}, "2 problems with the parameters: alpha must be at least 0"),
        ({"hints": "p-nock"}, "no priors in runs/tiny/02_infer_priors/p-nock-s0: run notebooks/02_infer_priors.ipynb"),
        ({"beside": ["other"]}, "no saliency in runs/tiny/04_saliency/other-s0"),
    ],
)
def test_what_cannot_be_stops_in_the_first_cell(changes, problem, place, monkeypatch):
    monkeypatch.chdir(place)
    before = sorted(place.rglob("manifest.json"))
    with pytest.raises((ValueError, FileNotFoundError), match=problem):
        run(**({"run": "new"} | changes))
    assert sorted(place.rglob("manifest.json")) == before
