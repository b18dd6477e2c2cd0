import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pnoc_lib import files, runs

SETTINGS = {"experiment": "demo", "seed": 3, "scales": [0.5, 1.0]}


def finished(folder, **options):
    return runs.start(folder, SETTINGS, notebook="01_train_priors").finish(**options)


def test_manifest_tells_how_the_files_came_to_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"abc")
    finished("stage", metrics={"miou": np.float64(0.5)}, outputs=["weights.bin", tmp_path / "stage"])
    told = runs.manifest("stage")
    assert told["stage"] == "01_train_priors" and told["parameters"] == SETTINGS and told["seed"] == 3
    assert told["metrics"] == {"miou": 0.5}
    sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", FIPS 180-2
    assert told["outputs"][0] == {"path": "weights.bin", "bytes": 3, "sha256": sha}
    assert told["outputs"][1] == {"path": "stage", "files": 0, "bytes": 0}
    assert told["duration_s"] >= 0 and told["peak_memory_mib"]["process"] > 10
    assert {"python", "torch", "timm", "numpy", "pnoc-companion"} <= set(told["versions"])


def test_manifest_names_no_path_and_no_host(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"data_root": str(tmp_path / "data"), "weights": "/home/someone/private/deep/file.pth", "seed": 0}
    runs.start("stage", settings, notebook="00_data").finish(metrics={"where": Path("/etc/a/b")})
    told = runs.manifest("stage")
    assert told["parameters"] == {"data_root": "data", "weights": ".../deep/file.pth", "seed": 0}
    text = json.dumps(told)
    assert str(tmp_path) not in text and "someone" not in text


def test_a_manifest_stands_for_success(tmp_path):
    finished(tmp_path)
    assert runs.require(tmp_path, "01_train_priors") == tmp_path
    (tmp_path / "checkpoint").touch()
    runs.start(tmp_path, SETTINGS, notebook="01_train_priors")  # and then it is killed
    assert (tmp_path / "checkpoint").exists()
    with pytest.raises(FileNotFoundError, match=r"an unfinished run in .*: run notebooks/01_train_priors.ipynb"):
        runs.require(tmp_path, "01_train_priors")


def test_a_missing_stage_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        runs.require(runs.folder("runs", "demo", "02_infer_priors"), "02_infer_priors", "CAM store")
    assert str(error.value) == (
        "no CAM store in runs/demo/02_infer_priors: run notebooks/02_infer_priors.ipynb with the same parameters first"
    )


def test_an_output_that_is_not_there_is_no_success(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the stage was to leave .*weights.bin, which is not there"):
        finished(tmp_path, outputs=[tmp_path / "weights.bin"])
    assert not (tmp_path / "manifest.json").exists()


def test_folders_follow_one_layout():
    assert runs.folder("runs", "demo", "00_data") == Path("runs/demo/00_data")
    stage = runs.folder("runs", "demo", "02_infer_priors", run="p-noc", seed=2, split="train")
    assert stage == Path("runs/demo/02_infer_priors/p-noc-s2/train")


def test_revision_of_the_code_in_a_repository_and_outside(tmp_path, monkeypatch):
    source = tmp_path / "pnoc_lib" / "runs.py"
    source.parent.mkdir()
    source.write_text("")
    monkeypatch.setattr(runs, "__file__", str(source))
    assert runs._revision() == {"revision": None, "changed": None}

    def git(*command):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *command], check=True, capture_output=True)

    git("init")
    (tmp_path / "other.txt").touch()
    git("add", "other.txt")
    git("commit", "-m", "somebody else's")
    assert runs._revision()["revision"] is None  # a copy that is not that repository's own
    git("add", ".")
    git("commit", "-m", "ours")
    assert len(runs._revision()["revision"]) == 40 and runs._revision()["changed"] is False
    source.write_text("# changed")
    assert runs._revision()["changed"] is True


ROW = {"table": 7, "row": "P-NOC", "column": "VOC12 Val", "value": 70.0, "split": "val", "threshold": 0.3}
ROW |= {"chosen_on": "fixed", "images": 10, "note": ""}


def test_a_stage_leaves_rows_of_tables(tmp_path):
    finished(tmp_path, rows=[ROW, ROW | {"value": 71.0}])
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert lines[0] == "table,row,column,value,split,threshold,chosen_on,images,note" and len(lines) == 3
    finished(tmp_path)
    assert (tmp_path / "rows.csv").exists()
    finished(tmp_path, rows=[])
    assert not (tmp_path / "rows.csv").exists()  # those of an earlier run are none of this one's
    with pytest.raises(ValueError, match=r"have the columns table, row, .*: note lack or are none"):
        finished(tmp_path, rows=[{name: value for name, value in ROW.items() if name != "note"}])


def test_reading_back_keeps_the_time_of_the_run_that_did_the_work(tmp_path):
    told = finished(tmp_path)
    files.write_json(tmp_path / "manifest.json", told | {"duration_s": 100.0, "threads": 7})
    again = finished(tmp_path)
    assert (again["duration_s"], again["threads"]) == (100.0, 7) and not (tmp_path / "manifest-before.json").exists()
    runs.start(tmp_path, SETTINGS, notebook="01_train_priors")  # killed; the next one still knows
    assert finished(tmp_path)["duration_s"] == 100.0
    other = runs.start(tmp_path, SETTINGS | {"seed": 4}, notebook="01_train_priors").finish()
    assert other["duration_s"] < 100


def test_weights_are_those_that_the_stage_left(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"abc")
    finished(tmp_path, outputs=[tmp_path / "weights.safetensors"])
    assert runs.weights(tmp_path) == tmp_path / "weights.safetensors"
    (tmp_path / "weights.safetensors").write_bytes(b"abd")
    with pytest.raises(ValueError, match="is not the file that its stage left"):
        runs.weights(tmp_path)


@pytest.mark.parametrize("names", [{"experiment": "../x"}, {"experiment": ""}, {"run": "a/b"}, {"split": ".."}])
def test_no_name_leads_out_of_the_root(names):
    given = {"experiment": "x", "run": "cam", "split": "val"} | names
    with pytest.raises(ValueError, match=r"names no folder|experiment is empty"):
        runs.folder("runs", given["experiment"], "02_infer_priors", run=given["run"], split=given["split"])
