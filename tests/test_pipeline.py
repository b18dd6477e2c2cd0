"""The graph of notebook runs, on presets as they are (dry) and on toy notebooks (for real)."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

COMMON = [
    "experiment: str = 'x'",
    "runs_root: str = 'runs'",
    "reports_root: str = 'reports'",
    "eval_split: str = 'val'",
]
STAGES = {  # own parameters, and where the manifest goes
    "00_data": (["seed: int = 0", "data_root: str = ''"], "'00_data'"),
    "01_train_priors": (
        ["strategy: str = ''", "seed: int = 0", "naps: int = 0"],
        "'01_train_priors', f'{strategy}-s{seed}'",
    ),
    "02_infer_priors": (
        ["strategy: str = ''", "seed: int = 0"],
        "'02_infer_priors', f'{strategy}-s{seed}', eval_split",
    ),
    "03_analyse_priors": (["strategies: list[str] = []", "seeds: list[int] = []"], "'03_analyse_priors'"),
    "07_paper_beside_ours": (["seed: int = 0"], "'07_paper_beside_ours'"),
    "08_audit": (["seed: int = 0"], "'08_audit'"),
}
SETUP = "from pnoc_lib import parameters\nsettings = parameters.check(globals())"
BODY = """
import json, pathlib, time
folder = pathlib.Path(runs_root, experiment, {place})
folder.mkdir(parents=True, exist_ok=True)
(folder / "checkpoint").touch()
for _ in range(settings.get("naps", 0)):
    time.sleep(1)
print(folder.resolve())
(folder / "manifest.json").write_text(json.dumps(settings))
"""
PRESET = """
experiment: tiny
strategies: [cam]
seeds: [0]
common: {eval_split: val}
00_data: {data_root: "runs/{experiment}/toyvoc"}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with toy notebooks and a preset, which is the working folder."""
    (tmp_path / "notebooks").mkdir()
    for stage, (own, place) in STAGES.items():
        cells = [
            new_markdown_cell(f"# {stage}"),
            new_code_cell("\n".join(COMMON + own), metadata={"tags": ["parameters"]}),
            new_code_cell(SETUP),
            new_code_cell(BODY.replace("{place}", place)),
        ]
        nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / f"{stage}.ipynb")
    (tmp_path / "tiny.yaml").write_text(PRESET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(root, preset, *options):
    return [sys.executable, str(root / "tools" / "run.py"), str(preset), "--cores", "1", *options]


def run(root, preset="tiny.yaml", *options):
    return subprocess.run(command(root, preset, *options), capture_output=True, text=True, timeout=300)


def manifest(path):
    return json.loads((path / "manifest.json").read_text())


def test_the_graph_runs_once_and_again_only_what_changed(root, project):
    first = run(root)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count(" -> ") == 6
    assert manifest(project / "runs/tiny/00_data")["data_root"] == "runs/tiny/toyvoc"
    assert manifest(project / "runs/tiny/01_train_priors/cam-s0")["strategy"] == "cam"
    assert (project / "runs/tiny/02_infer_priors/cam-s0/val/manifest.json").is_file()
    assert manifest(project / "runs/tiny/03_analyse_priors")["seeds"] == [0]
    names = sorted(path.name for path in (project / "reports/tiny").iterdir())
    assert names == [
        "00_data.ipynb",
        "01_train_priors-cam-s0.ipynb",
        "02_infer_priors-cam-s0.ipynb",
        "03_analyse_priors.ipynb",
        "07_paper_beside_ours.ipynb",
        "08_audit.ipynb",
    ]
    text = (project / "reports/tiny/00_data.ipynb").read_text()
    assert str(project) not in text and "start_time" not in text and "./runs/tiny/00_data" in text

    again = run(root)
    assert again.returncode == 0 and " -> " not in again.stdout

    other = run(root, "tiny.yaml", "--set", "seeds=[0,1]")  # the first seed stands, the second and the analysis are new
    assert other.returncode == 0, other.stderr
    assert [line.split("/")[-1] for line in other.stdout.splitlines() if " -> " in line] == [
        "01_train_priors-cam-s1.ipynb",
        "02_infer_priors-cam-s1.ipynb",
        "03_analyse_priors.ipynb",
        "07_paper_beside_ours.ipynb",
    ]


def test_strategies_have_settings_of_their_own_and_begin_with_the_ordinary_classifier(root, project):
    only = run(root, "tiny.yaml", "--set", "strategies=[p-noc,puzzle] 01_train_priors.p-noc.naps=1")
    assert only.returncode == 0, only.stderr
    trained = {path.parent.name: manifest(path.parent) for path in project.glob("runs/tiny/01*/*/manifest.json")}
    assert {name: told["naps"] for name, told in trained.items()} == {"p-noc-s0": 1, "puzzle-s0": 0, "cam-s0": 0}
    order = [line.split("/")[-1] for line in only.stdout.splitlines() if " -> " in line]
    assert order.index("01_train_priors-cam-s0.ipynb") < order.index("01_train_priors-p-noc-s0.ipynb")
    assert "02_infer_priors-cam-s0.ipynb" not in order  # its weights are wanted, not its priors

    alone = run(root, "tiny.yaml", "--dry-run", "--set", "experiment=two strategies=[puzzle]")
    assert "cam-s0" not in alone.stdout + alone.stderr
    warm = run(
        root, "tiny.yaml", "--dry-run", "--set", "experiment=two strategies=[puzzle] 01_train_priors.from_oc=true"
    )
    assert "01_train_priors-cam-s0" in warm.stdout + warm.stderr


def test_a_notebook_that_fails_leaves_its_traceback_and_its_checkpoint(root, project):
    run(root, "tiny.yaml", "--set", "00_data.data_root=7")
    failed = project / "reports/tiny/00_data.failed.ipynb"
    assert "data_root must be str" in failed.read_text()
    done = run(root, "tiny.yaml", "--set", "01_train_priors.nap=1")
    assert done.returncode != 0
    assert "unknown parameter 'nap': did you mean 'naps'?" in done.stderr
    assert "01_train_priors-cam-s0.failed.ipynb" in done.stderr
    assert not failed.exists() and (project / "reports/tiny/00_data.ipynb").exists()
    assert not (project / "reports/tiny/01_train_priors-cam-s0.ipynb").exists()


def test_after_a_kill_the_next_run_goes_on(root, project):
    options = ("--set", "01_train_priors.naps=8")
    engine = subprocess.Popen(command(root, "tiny.yaml", *options), stderr=subprocess.PIPE, start_new_session=True)
    checkpoint = project / "runs/tiny/01_train_priors/cam-s0/checkpoint"
    for _ in range(1200):
        if checkpoint.exists():
            break
        time.sleep(0.1)
    busy = run(root, "tiny.yaml", *options)
    assert "Snakemake is at work in this folder" in busy.stderr
    os.killpg(engine.pid, signal.SIGKILL)  # launcher, engine and notebook; the kernel follows
    engine.wait()
    assert any((project / ".snakemake/locks").iterdir())
    after = run(root, "tiny.yaml", "--set", "01_train_priors.naps=0")
    assert after.returncode == 0, after.stderr
    assert "An earlier run was killed: unlocking" in after.stdout
    assert checkpoint.exists() and manifest(checkpoint.parent)["naps"] == 0


def test_a_notebook_that_outlived_its_pipeline_is_not_run_twice(root, project):
    tool = [sys.executable, str(root / "tools/execute.py"), "notebooks/01_train_priors.ipynb", "reports/x.ipynb"]
    orphan = subprocess.Popen([*tool, json.dumps({"strategy": "cam", "naps": 30})], stdout=subprocess.PIPE)
    orphan.stdout.readline()  # printed once the lock is held
    second = subprocess.run([*tool, "{}"], capture_output=True, text=True)
    orphan.kill()
    orphan.wait()
    assert second.returncode != 0 and "an earlier run is still writing reports/x.ipynb" in second.stderr


def test_what_an_import_says_about_widgets_is_left_out(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import execute

    said = "x/tqdm/auto.py:21: TqdmWarning: IProgress not found. Please update\n  from .autonotebook import tqdm\n"
    kept = execute.as_on_a_screen([new_output("stream", name="stderr", text=said + "50%\r100%\n")])
    assert [output.text for output in kept] == ["100%\n"]
    assert execute.as_on_a_screen([new_output("stream", name="stderr", text=said)]) == []


@pytest.mark.parametrize("preset", ["smoke", "demo", "voc12-animals", "voc12", "coco14"])
def test_every_preset_asks_for_the_same_notebooks(root, project, preset):
    done = run(root, preset, "--dry-run", "--data", ".")
    assert done.returncode == 0, done.stderr
    asked = done.stdout + done.stderr
    for name in ("00_data", "01_train_priors-cam-s0", "02_infer_priors-cam-s0", "03_analyse_priors", "08_audit"):
        assert f"reports/{preset}/{name}.ipynb" in asked


@pytest.mark.parametrize(
    ("preset", "options", "sentence"),
    [
        ("nosuch", (), "no preset 'nosuch': use one of coco14, demo"),
        ("tiny.yaml", ("--set", "epochs"), "cannot read the override 'epochs': write notebook.parameter=value"),
        ("tiny.yaml", ("--data", "no/such"), "no data set in no/such: give DATA the folder that holds the images"),
        ("tiny.yaml", ("--set", "01_train_prior.naps=1"), "unknown key in the preset: 01_train_prior"),
        ("tiny.yaml", ("--set", "strategies=[p-nok]"), "no strategy p-nok: there are cam, cam-more"),
        ("tiny.yaml", ("--set", "01_train_priors.p-nok.naps=1"), "01_train_priors has a block for p-nok, which is no"),
    ],
)
def test_what_cannot_run_is_told_in_a_sentence(root, project, preset, options, sentence):
    done = run(root, preset, *options)
    assert done.returncode != 0 and sentence in done.stderr
    assert not (project / "runs").exists()
