"""The graph of notebook runs, on presets as they are (dry) and on toy notebooks (for real)."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest
import yaml
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

COMMON = ["experiment: str = 'x'", "runs_root: str = 'runs'", "reports_root: str = 'reports'"]
ONE_RUN = ["run: str = ''", "seed: int = 0"]
STAGES = {  # own parameters
    "00_data": ["data_root: str = ''"],
    "01_train_priors": [
        *ONE_RUN,
        "strategy: str = ''",
        "oc_run: str = 'cam'",
        "oc_weights: str = ''",
        "from_oc: bool = False",
        "batch_size: int = 8  # images, at least 1",
        "naps: int = 0  # seconds, in [0, 60]",
    ],
    "02_infer_priors": [*ONE_RUN, "splits: list[str] = []", "batch_size: int = 1", "scale: float = 1.0"],
    "03_analyse_priors": ["priors: list[str] = []", "seeds: list[int] = []", "eval_split: str = 'val'"],
    "04_saliency": [
        *ONE_RUN,
        "method: str = 'c2am'",
        "splits: list[str] = []",
        "hints: str = ''",
        "segmentation_priors: list[str] = []",
        "beside: list[str] = []",
    ],
    "05_affinity": [
        *ONE_RUN,
        "prior: str = ''",
        "saliency: str = ''",
        "beside: list[str] = []",
        *[f"{name}_split: str = ''" for name in ("train", "eval", "val")],
    ],
    "06_segmentation": [*ONE_RUN, "masks: str = 'ground-truth'", "beside: list[str] = []"],
    "07_paper_beside_ours": [],
    "08_audit": [],
    "09_error_budget": [],
    "10_mechanism": [],
}
SETUP = "from pnoc_lib import parameters\nsettings = parameters.check(globals())"
BODY = """
import json, os, pathlib, time
folder = pathlib.Path(runs_root, experiment, {place})
folder.mkdir(parents=True, exist_ok=True)
(folder / "checkpoint").touch()
for _ in range(settings.get("naps", 0)):
    time.sleep(1)
print(folder.resolve())
(folder / "manifest.json").unlink(missing_ok=True)
assert settings.get("naps") != 13, "an unlucky number"
(folder / "manifest.json").write_text(json.dumps(settings | {"omp": os.environ["OMP_NUM_THREADS"]}))
"""
PRESET = """
experiment: tiny
common: {train_split: train, eval_split: val, data_root: photos}
00_data: {data_root: "runs/{experiment}/toyvoc"}
runs:
  priors:
    cam:
"""
PRESETS = sorted((ROOT / "configs").glob("*.yaml"))
CHAINS = """
experiment: chains
seeds: [0, 1]
common: {train_split: trainaug, eval_split: train, val_split: val}
01_train_priors: {naps: 1}
runs:
  priors:
    p-noc: {batch_size: 4, scale: 0.5}
    puzzle-1: {strategy: puzzle}
  saliency:
    c2am-h: {method: c2am-h, hints: p-noc, beside: [c2am]}
    c2am: {}
  affinity:
    p-noc+c2am-h: {prior: p-noc, saliency: c2am-h}
  segmentation:
    best: {masks: p-noc+c2am-h, beside: [fully-supervised]}
    fully-supervised: {}
"""


def toy_project(folder):
    """Fill a folder with toy notebooks and a preset."""
    (folder / "notebooks").mkdir()
    for stage, own in STAGES.items():
        place = f"'{stage}'" + ", f'{run}-s{seed}'" * ("run: str = ''" in own)
        cells = [
            new_markdown_cell(f"# {stage}"),
            new_code_cell("\n".join(COMMON + own), metadata={"tags": ["parameters"]}),
            new_code_cell(SETUP),
            new_code_cell(BODY.replace("{place}", place)),
        ]
        nbformat.write(new_notebook(cells=cells), folder / "notebooks" / f"{stage}.ipynb")
    (folder / "tiny.yaml").write_text(PRESET)
    (folder / "photos").mkdir()
    (folder / "photos/a.jpg").write_bytes(b"a")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with toy notebooks and a preset, which is the working folder."""
    toy_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A project whose pipeline ran once, and what it said."""
    folder = tmp_path_factory.mktemp("first")
    toy_project(folder)
    done = subprocess.run(command(ROOT, "tiny.yaml"), cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def finished(first, tmp_path, monkeypatch):
    """A copy of the project that is finished, as the working folder."""
    shutil.copytree(
        first[0], tmp_path, dirs_exist_ok=True
    )  # at the same depth, as commands name tools by relative path
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(root, preset, *options):
    return [sys.executable, str(root / "tools" / "run.py"), str(preset), "--cores", "1", *options]


def run(root, preset="tiny.yaml", *options):
    return subprocess.run(command(root, preset, *options), capture_output=True, text=True, timeout=300)


def manifest(path):
    return json.loads((path / "manifest.json").read_text())


def test_the_graph_runs_once_and_again_only_what_changed(root, finished, first):
    project, first = finished, first[1]
    assert first.stdout.count(" -> ") == 7
    assert manifest(project / "runs/tiny/00_data")["data_root"] == "runs/tiny/toyvoc"
    assert manifest(project / "runs/tiny/01_train_priors/cam-s0")["strategy"] == "cam"
    assert manifest(project / "runs/tiny/01_train_priors/cam-s0")["omp"] == "1"
    assert manifest(project / "runs/tiny/02_infer_priors/cam-s0")["splits"] == ["val"]
    assert manifest(project / "runs/tiny/03_analyse_priors")["seeds"] == [0]
    lines = [line for line in first.stdout.splitlines() if " -> " in line]
    assert lines[0].startswith("[1 of 7") and lines[-1].startswith("[7 of 7") and "min left] " in lines[0]
    assert any("01_train_priors (cam, seed 0): notebooks/01_train_priors.ipynb -> " in line for line in lines)
    names = sorted(path.name for path in (project / "results/tiny").iterdir())
    assert names == [
        "00_data.ipynb",
        "01_train_priors-cam-s0.ipynb",
        "02_infer_priors-cam-s0.ipynb",
        "03_analyse_priors.ipynb",
        "07_paper_beside_ours.ipynb",
        "08_audit.ipynb",
        "10_mechanism.ipynb",
    ]
    text = (project / "results/tiny/00_data.ipynb").read_text()
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


def test_only_the_stage_that_uses_all_cores_itself_has_them_all(root, project):
    """Its kernel computes with as many threads as any other's: what it leaves does not depend on the cores."""
    looked = run(root, "tiny.yaml", "--cores", "3", "--dry-run")
    rules = re.split(r"^rule ", looked.stdout + looked.stderr, flags=re.MULTILINE)[1:]
    threads = {rule.partition(":")[0]: re.findall(r"^    threads: (\d+)", rule, re.MULTILINE) for rule in rules}
    assert threads.pop("00_data") == ["3"] and len(threads) > 3
    assert not any(threads[name] for name in threads if name != "all")  # 1 is not said


def test_data_that_changed_are_read_again(root, finished):
    """But what reads no data is not, and what only looks at them changes nothing."""
    assert "Nothing to be done" in (looked := run(root, "tiny.yaml", "--dry-run")).stdout + looked.stderr
    (finished / "photos/a.jpg").write_bytes(b"corrected")
    looked = run(root, "tiny.yaml", "--dry-run")
    assert "Files of the data set have changed" in looked.stdout
    rules = set(re.findall(r"^rule (\w+):", looked.stdout + looked.stderr, re.MULTILINE))
    assert rules - {"all"} == {
        "00_data",
        "01_train_priors",
        "02_infer_priors",
        "03_analyse_priors",
        "07_paper_beside_ours",
    }


def test_the_first_look_at_data_makes_no_run_stale(tmp_path, root, monkeypatch):
    monkeypatch.syspath_prepend(root / "tools")
    import freshness

    (tmp_path / "photos/.hidden").mkdir(parents=True)
    (tmp_path / "photos/a.jpg").write_bytes(b"a")
    os.utime(tmp_path / "photos/a.jpg", (1e9, 1e9))
    record = tmp_path / "runs/x/data.json"
    assert not freshness.note(tmp_path / "photos", record) and record.stat().st_mtime == 1e9
    (tmp_path / "photos/.hidden/b").write_bytes(b"b")
    assert not freshness.note(tmp_path / "photos", record) and record.stat().st_mtime == 1e9
    (tmp_path / "photos/c.jpg").write_bytes(b"c")
    assert freshness.note(tmp_path / "photos", record) and record.stat().st_mtime > 1.7e9
    (tmp_path / "photos/c.jpg").unlink()
    assert freshness.note(tmp_path / "photos", record)
    record.write_text("{")
    assert freshness.note(tmp_path / "photos", record) and not freshness.note(tmp_path / "photos", record)
    assert not freshness.note(tmp_path / "nowhere", tmp_path / "none.json") and not (tmp_path / "none.json").exists()
    os.utime(tmp_path / "photos/a.jpg", (2**33, 2**33))  # of a camera that is ahead
    assert not freshness.note(tmp_path / "photos", tmp_path / "new.json")
    assert (tmp_path / "new.json").stat().st_mtime < time.time() + 1


def test_what_a_link_leads_to_is_looked_at_once(tmp_path, root, monkeypatch):
    monkeypatch.syspath_prepend(root / "tools")
    import freshness

    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/a.jpg").write_bytes(b"a")
    (tmp_path / "disk/round").symlink_to(tmp_path / "disk")
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc/JPEGImages").symlink_to(tmp_path / "disk")
    freshness.note(tmp_path / "voc", tmp_path / "data.json")
    assert json.loads((tmp_path / "data.json").read_text())["files"] == 1
    (tmp_path / "disk/a.jpg").write_bytes(b"other")
    assert freshness.note(tmp_path / "voc", tmp_path / "data.json")


@pytest.mark.parametrize(("dataset", "kept"), [("voc", True), ("toyvoc", False)])
def test_drawn_images_have_no_record(root, project, monkeypatch, dataset, kept):
    monkeypatch.syspath_prepend(root / "tools")
    import graph

    common = yaml.safe_load(PRESET)["common"] | {"dataset": dataset}
    notebook = project / "notebooks/00_data.ipynb"
    notebook.write_text(notebook.read_text().replace("data_root: str = ''", "dataset: str = ''\\ndata_root: str = ''"))
    pipeline = graph.Graph(yaml.safe_load(PRESET) | {"common": common})
    assert not pipeline.note_data() and bool(pipeline.data("00_data")) == kept
    assert pipeline.data("08_audit") == []


def test_a_chain_of_names_is_a_chain_of_runs(root, project, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import graph

    pipeline = graph.Graph(yaml.safe_load(CHAINS))
    order = list(pipeline.runs)
    for run in pipeline.runs.values():
        assert all(order.index(need) < order.index(run.key) for need in run.needs)

    def needs(stage, name, seed=1):
        return {f"{stage} {name}-{seed}" for stage, name, seed in pipeline.runs[stage, name, seed].needs}

    data = "00_data -None"
    assert needs("01_train_priors", "cam") == needs("01_train_priors", "puzzle-1") == {data}
    assert needs("01_train_priors", "p-noc") == {data, "01_train_priors cam-1"}
    assert needs("02_infer_priors", "p-noc") == {data, "01_train_priors p-noc-1"}
    assert needs("04_saliency", "c2am-h") == {data, "02_infer_priors p-noc-1", "04_saliency c2am-1"}
    assert needs("05_affinity", "p-noc+c2am-h") == {data, "02_infer_priors p-noc-1", "04_saliency c2am-h-1"}
    assert needs("06_segmentation", "best") == {
        data,
        "05_affinity p-noc+c2am-h-1",
        "06_segmentation fully-supervised-1",
    }
    assert needs("06_segmentation", "fully-supervised") == {data}
    analysed = {key for key in pipeline.runs if key[0] == "02_infer_priors"}
    assert analysed == {("02_infer_priors", name, seed) for name in ("p-noc", "puzzle-1") for seed in (0, 1)}
    assert set(pipeline.runs["03_analyse_priors", "", None].needs) == analysed | {("00_data", "", None)}
    last = ("07_paper_beside_ours", "", None)
    assert list(pipeline.runs[last].needs) == order[: order.index(last)]

    def given(stage, name):
        return dict(pipeline.runs[stage, name, 0].parameters)

    assert given("02_infer_priors", "p-noc")["splits"] == ["train", "trainaug", "val"]
    assert given("02_infer_priors", "puzzle-1")["splits"] == ["train"]  # nobody else reads them
    assert given("04_saliency", "c2am-h")["splits"] == ["train", "trainaug", "val"]
    assert given("04_saliency", "c2am")["splits"] == ["train", "trainaug"]  # a row beside others: scored and trained on
    trained, inferred = given("01_train_priors", "p-noc"), given("02_infer_priors", "p-noc")
    assert (trained["batch_size"], trained["naps"], "scale" in trained) == (4, 1, False)
    assert (inferred.get("batch_size"), inferred["scale"]) == (None, 0.5)
    assert given("01_train_priors", "cam").get("batch_size") is None
    assert "train_split" not in given("04_saliency", "c2am")  # its notebook declares none


def test_a_run_is_as_urgent_as_the_chain_behind_it_is_long(root, project, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import graph

    minutes = {"01_train_priors": 10, "02_infer_priors": 1, "04_saliency": 5, "05_affinity": 4, "06_segmentation": 3}
    minutes |= {"03_analyse_priors": 2, "07_paper_beside_ours": 0.25}
    block = yaml.safe_load(CHAINS) | {"resources": {stage: {"minutes": value} for stage, value in minutes.items()}}
    urgency = graph.Graph(block).urgency
    end = 3 + 0.25  # the network of best, then 07
    assert urgency(("06_segmentation", "best", 0)) == end
    assert urgency(("06_segmentation", "fully-supervised", 0)) == 3 + end  # shown beside it
    assert urgency(("02_infer_priors", "p-noc", 1)) == 1 + 5 + 4 + end
    assert urgency(("01_train_priors", "p-noc", 1)) == 10 + urgency(("02_infer_priors", "p-noc", 1))
    assert urgency(("01_train_priors", "puzzle-1", 0)) == 10 + 1 + 2 + 0.25


@pytest.mark.parametrize("long", ["a", "z"])
def test_of_two_runs_that_may_start_the_more_urgent_one_comes_first(root, project, long):
    """On one core, whatever their names and the order of the preset."""
    preset = yaml.safe_load(PRESET)
    preset["runs"] = {"priors": {"a": {"strategy": "puzzle"}, "z": {"strategy": "puzzle"}, "cam": {}}}
    preset["runs"]["affinity"] = {"first": {"prior": "a"}, "last": {"prior": "z"}}
    preset["runs"]["segmentation"] = {"net": {"masks": {"a": "first", "z": "last"}[long]}}
    preset["resources"] = {"06_segmentation": {"minutes": 9}}
    (project / "tiny.yaml").write_text(yaml.safe_dump(preset, sort_keys=False))
    done = run(root)
    assert done.returncode == 0, done.stderr
    begun = re.findall(r"-> results/tiny/(0[125]\S+)-s0", done.stdout)
    assert begun[:2] == [f"01_train_priors-{long}", f"02_infer_priors-{long}"], begun


def test_the_ordinary_classifier_comes_first_where_it_is_needed(root, project, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import graph

    def trainings(**more):
        runs = {"priors": {"puzzle": more}}
        return [name for stage, name, _ in graph.Graph({"experiment": "x", "runs": runs}).runs if "01" in stage]

    assert trainings() == ["puzzle"]
    assert trainings(from_oc=True) == ["cam", "puzzle"]
    assert trainings(from_oc=True, oc_weights="snake") != ["cam", "puzzle"]
    block = graph.Graph({"experiment": "x", "01_train_priors": {"from_oc": True}, "runs": {"priors": {"p-oc": {}}}})
    assert block.runs["01_train_priors", "cam", 0].parameters["from_oc"] is False  # it is the ordinary classifier
    assert block.runs["01_train_priors", "p-oc", 0].parameters["from_oc"] is True


def test_a_run_that_fails_leaves_what_was_finished(root, finished):
    """The notebook and the manifest of the run before, its traceback and its checkpoint."""
    project = finished
    trained, report = (
        project / "runs/tiny/01_train_priors/cam-s0",
        project / "results/tiny/01_train_priors-cam-s0.ipynb",
    )
    before = manifest(trained), report.read_text()
    done = run(root, "tiny.yaml", "--set", "runs.priors.cam.naps=13")
    assert done.returncode != 0
    assert "01_train_priors.ipynb stopped. AssertionError: an unlucky number" in done.stderr
    assert "01_train_priors-cam-s0.failed.ipynb" in done.stderr and "Traceback" not in done.stderr
    assert (manifest(trained), report.read_text()) == before and (trained / "checkpoint").exists()
    again = run(root, "tiny.yaml", "--dry-run")  # the stage is looked at once more, and reads back what is there
    assert again.returncode == 0 and "01_train_priors" in again.stdout + again.stderr


def test_after_a_kill_the_next_run_goes_on(root, finished):
    project = finished
    options = ("--set", "01_train_priors.naps=8")
    (project / "runs/tiny/01_train_priors/cam-s0/checkpoint").unlink()
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


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_asks_for_runs_that_can_be_made(root, monkeypatch, preset):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(root)
    import graph

    pipeline = graph.Graph(yaml.safe_load(preset.read_text()))
    assert {"00_data", "01_train_priors", "02_infer_priors", "03_analyse_priors", "08_audit"} <= set(pipeline.declared)
    assert all(pipeline.library(stage) and pipeline.resources(stage)["mem_mb"] for stage in pipeline.declared)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_the_settings_of_every_preset_fit_together(root, monkeypatch, preset):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(root)
    import graph

    from pnoc_lib.affinity import labels, walk
    from pnoc_lib.priors.settings import TrainingSettings
    from pnoc_lib.saliency import refinement, training
    from pnoc_lib.segmentation.settings import SegmentationSettings

    pipeline = graph.Graph(yaml.safe_load(preset.read_text()))
    for (stage, *_), run in pipeline.runs.items():
        given = {name: one.default for name, one in pipeline.declared[stage].items()} | dict(run.parameters)
        if stage == "01_train_priors":
            TrainingSettings.of(given)
        elif stage == "04_saliency":
            training.Settings.of(given), refinement.Settings.of(given)
        elif stage == "05_affinity":
            walk.WalkSettings(given["walk_radius"], given["beta"], given["steps"])
            thresholds = given["delta_fg"], given["delta_bg"]
            labels.LabelSettings("saliency-aware" if given["saliency"] else "conventional", *thresholds)
            labels.LabelSettings("conventional", given["delta_fg"], labels.background_of_priors(*thresholds))
        elif stage == "06_segmentation":
            SegmentationSettings.of(given)


PICTURES = {"curves", "diagrams", "flows", "looks", "pictures", "saliency_pictures"}  # nobody's numbers depend on them


def test_a_stage_depends_on_all_modules_that_its_notebook_takes_numbers_from(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(root)
    import graph

    pipeline = graph.Graph(yaml.safe_load((root / "configs/smoke.yaml").read_text()))
    missing = []
    for stage in pipeline.declared:
        cells = json.loads((root / f"notebooks/{stage}.ipynb").read_text())["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        packages = "evaluation|priors|saliency|affinity|segmentation"
        for package, names in re.findall(rf"^from pnoc_lib\.({packages}) import (.+)", code, re.M):
            for name in {one.split(" as ")[0].strip() for one in names.split(",")} - PICTURES:
                if f"pnoc_lib/{package}/{name}.py" not in pipeline.library(stage):
                    missing.append(f"{stage}: {package}/{name}")
    assert not missing


def test_lists_of_ids_and_tables_are_inputs_of_a_run(root, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(root)
    import graph
    import presets

    (tmp_path / "mine.txt").write_text("a\n")
    changes = {"04_saliency": {"train_ids": str(tmp_path / "mine.txt"), "eval_ids": str(tmp_path / "mine.txt")}}
    pipeline = graph.Graph(presets.merged(presets.read("voc12-animals"), changes))
    assert pipeline.named(("04_saliency", "c2am", 0)) == [str(tmp_path / "mine.txt")]
    assert pipeline.named(("01_train_priors", "cam", 0)) == ["configs/voc12-animals/train.txt"]
    assert "reports/mechanism/comparison.csv" in pipeline.data("10_mechanism")


def test_splits_that_one_stage_names_are_inferred_for_it(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(root)
    import graph
    import presets

    config = presets.merged(presets.read("voc12-animals"), {"05_affinity": {"val_split": "val"}})
    pipeline = graph.Graph(config)
    run = pipeline.runs["05_affinity", "p-noc+c2am-h", 0]
    assert run.parameters["val_split"] == "val"
    for key in run.needs:
        if key[0] in ("02_infer_priors", "04_saliency"):
            assert "val" in pipeline.runs[key].parameters["splits"], key


def test_a_change_of_a_figure_makes_no_training_stale(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(root)
    import graph

    pipeline = graph.Graph(yaml.safe_load((root / "configs/smoke.yaml").read_text()))
    stale = {stage for stage in pipeline.declared if "pnoc_lib/evaluation/pictures.py" in pipeline.library(stage)}
    assert not stale & {
        "00_data",
        "01_train_priors",
        "02_infer_priors",
        "04_saliency",
        "05_affinity",
        "06_segmentation",
    }
    assert {"03_analyse_priors", "07_paper_beside_ours", "08_audit"} <= stale
    assert "pnoc_lib/data/voc.py" in pipeline.library("01_train_priors")
    assert "pnoc_lib/evaluation/estimate.py" in pipeline.library("01_train_priors")


WRONG = [
    ("nosuch", (), "no preset 'nosuch': use one of coco14, demo"),
    ("tiny.yaml", ("--cores", "0"), "CORES must be a whole number from 1 on, or all, got '0'"),
    ("tiny.yaml", ("--data", "no/such"), "no data set in no/such: give DATA the folder that holds the images"),
]
WRONG += [
    ("tiny.yaml", ("--set", setting), sentence)
    for setting, sentence in {
        "epochs": "cannot read the override 'epochs': write notebook.parameter=value",
        "a='": 'cannot read the overrides "a=\'": a quote is open',
        "common=1 common.x=2": "cannot read the override 'common.x=2': common has a value already",
        "common.x={": "the value of the override 'common.x={' is no YAML",
        "00_data.data_root=2020-01-01": "holds a value that is no text, number, truth value, list or mapping",
        "a=!!python/object/apply:os.system[x]": "is no YAML, line 1: could not determine a constructor",
        "01_train_prior.naps=1": "unknown key in the preset: 01_train_prior: did you mean 01_train_priors?",
        "01_train_priors.nap=1": "unknown key in 01_train_priors: nap: did you mean naps?",
        "runs.prior.cam={}": "unknown key in runs: prior: did you mean priors?",
        "runs.priors.cam.nap=1": "unknown key in runs.priors.cam: nap: did you mean naps?",
        "runs.priors.p-nok={}": "strategy must be one of cam, cam-more, puzzle",
        "runs.priors.Cam={}": "runs.priors names 'Cam': begin with a small letter",
        "runs.priors.cam=5": "runs.priors.cam must be parameters, got 5",
        "runs.priors.cam=0": "runs.priors.cam must be parameters, got 0",
        "runs.priors=[cam]": "runs.priors must be names with values, got ['cam']",
        "runs.priors.cam.naps=61": "01_train_priors cam cannot run: naps must be between 0 and 60, got 61",
        "01_train_priors.batch_size=0": "batch_size must be at least 1, got 0",
        "01_train_priors.naps=x": "naps must be int, got 'x', a text",
        "common.evalsplit=val": "unknown key in common: evalsplit: did you mean eval_split?",
        "common.eval_split=../..": "common.eval_split must be the name of one folder",
        "common=5": "common must be names with values, got 5",
        "experiment=../../x": "experiment must be the name of one folder, of letters, figures and . + - _, got",
        "experiment=7": "experiment must be a text that is not empty, got 7",
        "notebooks=nowhere": "no notebook nowhere/00_data.ipynb: the preset asks for this stage",
        "seeds=[-1]": "seeds must be different whole numbers from 0 on, got [-1]",
        f"seeds=[{2**64}]": "seeds must be different whole numbers from 0 on, got [18446744073709551616]",
        f"seeds=[{2**32}]": "seeds must be different whole numbers from 0 on, got [4294967296]",
        "seeds=[1.5]": "seeds must be different whole numbers from 0 on, got [1.5]",
        "threads=0": "threads must be a whole number from 1 on, got 0",
        "resources.01_train_priors.mem=1": "unknown key in resources.01_train_priors: mem: did you mean mem_mb?",
        "runs.affinity.x.prior=p-noc": "05_affinity x needs run 'p-noc' of 02_infer_priors, which the preset does not",
        "runs.saliency.a.beside=[a]": "04_saliency a needs itself, by way of 04_saliency a",
    }.items()
]


@pytest.mark.parametrize(("preset", "options", "sentence"), WRONG, ids=lambda value: str(value)[:40])
def test_what_cannot_run_is_told_in_a_sentence(root, project, monkeypatch, capsys, preset, options, sentence):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import run as launcher

    with pytest.raises(SystemExit) as stopped:
        launcher.main([str(preset), *options])
    assert sentence in str(stopped.value) and "\n" not in str(stopped.value)
    assert not (project / "runs").exists() and not (project / ".snakemake").exists()


@pytest.mark.parametrize("text", ["", "- a", "a: [", "a:\tb: c", "seeds: [0]", "experiment: ''"])
def test_what_is_no_preset_is_told_in_a_sentence(root, project, monkeypatch, text):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import run as launcher

    (project / "odd.yaml").write_text(text)
    with pytest.raises(SystemExit, match=r"is no preset|is no YAML|experiment must be a text|no preset given"):
        launcher.main(["odd.yaml"])


def test_what_the_user_writes_is_never_run_by_a_shell(root, tmp_path):
    """PRESET, SET, DATA and CORES of make reach tools/run.py as they are."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/run.py").write_text("import sys; print(sys.argv[1:])")
    shutil.copy(root / "Makefile", tmp_path)
    for name in ("PRESET", "SET", "DATA", "CORES"):
        for text in ("`touch pwned`", "$(touch pwned)", "$(shell touch pwned)", "; touch pwned", "' \" # %s"):
            told = subprocess.run(
                ["make", "--no-print-directory", "run", f"VENV={sys.executable}", f"{name}={text}"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
            assert any(text in word for word in ast.literal_eval(told.stdout)), told
    assert not (tmp_path / "pwned").exists()


def test_runs_keep_the_order_of_their_preset(root, project, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import presets
    import run as launcher

    given = {"runs": {"priors": {"puzzle": {}, "cam": {}, "p-oc": {}}}, "experiment": "x"}
    kept = presets.read_yaml(launcher.written(given).read_text(), "the file")
    assert list(kept) == ["runs", "experiment"] and list(kept["runs"]["priors"]) == ["puzzle", "cam", "p-oc"]


def test_a_lock_of_another_host_is_left_alone(root, project, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import run as launcher

    (project / ".snakemake/locks").mkdir(parents=True)
    (project / ".snakemake/locks/0.input.lock").touch()
    (project / ".snakemake/at-work.json").write_text('{"host": "elsewhere", "pid": 7}')
    with pytest.raises(SystemExit, match=r"was started in this folder on elsewhere \(process 7\), and may be at work"):
        launcher.main(["tiny.yaml"])
    assert (project / ".snakemake/locks/0.input.lock").exists()


def test_a_kernel_that_is_killed_is_told(root, project):
    (project / "k.ipynb").write_text(
        nbformat.writes(new_notebook(cells=[new_code_cell("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")]))
    )
    done = subprocess.run(
        [sys.executable, str(root / "tools/execute.py"), "k.ipynb", "out/k.ipynb", "{}"], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "! k.ipynb stopped: its kernel was killed, often for lack of memory" in done.stderr
    assert "Traceback" not in done.stderr


def test_reports_that_cannot_be_written_are_told(root, project):
    (project / "file").touch()
    done = subprocess.run(
        [sys.executable, str(root / "tools/execute.py"), "notebooks/08_audit.ipynb", "file/x.ipynb", "{}"],
        capture_output=True,
        text=True,
    )
    assert "is a file where a folder is wanted" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("preset", ["voc12", "coco14"])
def test_a_cluster_is_told_what_every_large_stage_takes(root, monkeypatch, preset):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(root)
    import graph

    pipeline = graph.Graph(yaml.safe_load((root / f"configs/{preset}.yaml").read_text()))
    for stage in {"01_train_priors", "02_infer_priors", "04_saliency", "05_affinity", "06_segmentation"}:
        asked = pipeline.resources(stage)
        assert asked["gpu"] == 1 and asked["mem_mb"] >= 16000 and asked["runtime"] >= 600, stage
    profile = yaml.safe_load((root / "profiles/slurm/config.yaml").read_text())
    assert profile["cores"] >= pipeline.threads and profile["slurm-status-command"] == "squeue"


def test_a_start_leaves_the_preset_of_another_alone(root, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(tmp_path)
    import run as launcher

    first = launcher.written({"experiment": "a"})
    before = first.read_text()
    assert launcher.written({"experiment": "b"}) != first
    assert first.read_text() == before and launcher.written({"experiment": "a"}) == first


def test_the_first_lesson_is_counted_among_the_runs(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(root)
    import graph
    import presets
    import run as launcher

    follower = launcher.Follower(graph.Graph(presets.read("demo")))
    for line in ("job count", "00_data 1", "01_train_priors 5", "start_here 1", "all 1", "total 8"):
        follower._logged(line)
    assert len(follower.todo) == 7


def test_the_first_guess_of_the_time_left_counts_with_all_cores(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(root)
    import graph
    import presets
    import run as launcher

    pipeline, told = graph.Graph(presets.read("demo")), []
    for cores in (1, 4):
        follower = launcher.Follower(pipeline, cores)
        follower._logged("01_train_priors 20")
        told.append(follower._left("Train: notebooks/01_train_priors.ipynb -> x"))
    minutes = 20 * pipeline.minutes("01_train_priors")
    assert told == [f", about {round(minutes / cores)} min left" for cores in (1, 4)]


def test_a_run_whose_reader_went_away_is_read_to_its_end(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import run as launcher

    seen = []

    def gone(line):
        seen.append(line)
        raise BrokenPipeError

    launcher.Follower._read(iter(["one\n", "two\n"]), gone)
    assert seen == ["one", "two"]
