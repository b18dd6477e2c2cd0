"""The files around the library agree with each other and with the paper."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pnoc_lib.priors.strategies import STRATEGIES
from pnoc_lib.priors.training import TrainingSettings

CONDA_NAMES = {"torch": "pytorch", "pydensecrf2": "pydensecrf"}
CONDA_NAMES["snakemake"] = "snakemake-minimal"
PRESETS = ["coco14", "demo", "demo-seeds", "mechanism", "smoke", "variants", "voc12", "voc12-animals"]

# Section 6.1 of the paper; where its text is silent, or its published code differs, the published code
PAPER = {
    "backbone": "resnest269e",
    "epochs": 15,
    "batch_size": 32,
    "accumulation": 1,
    "augment": None,
    "label_smoothing": None,
    "new_factor": 10.0,
    "momentum": 0.0,
    "weight_decay": 1e-4,
    "power": 0.9,
    "precision": "fp16",
}
VOC12 = PAPER | {"lr": 0.1, "crop_size": 512, "resize_min": 320, "resize_max": 640}
COCO14 = PAPER | {"lr": 0.05, "crop_size": 640, "resize_min": 400, "resize_max": 800}
GAME = {  # Section 6.1 and Algorithm 1
    "lambda_re": 4.0,
    "ramp_re": 0.5,
    "lambda_cse_first": 0.3,
    "lambda_cse": 1.0,
    "lambda_noc": 1.0,
    "delta_noc": 0.2,
    "k_noc": 1,
    "noc_rate": 1.0,
    "reconstruction": "raw",
    "erase_scope": "batch",
    "from_oc": False,
    "leaky_noc": False,
    "average_accumulated": False,
    "batchnorm": "normal",
    "tile_statistics": True,
}


def requirements(root, python="3.12"):
    """Requirements of pyproject.toml by name, for one Python (and without a TOML reader, which 3.10 has not)."""
    text = (root / "pyproject.toml").read_text()
    lists = re.findall(r"^(?:dependencies|dev) = \[\n(.*?)^\]", text, flags=re.DOTALL | re.MULTILINE)
    found = [Requirement(line) for line in re.findall(r'^ +"(.*?)",', "".join(lists), flags=re.MULTILINE)]
    return {each.name: each for each in found if not each.marker or each.marker.evaluate({"python_version": python})}


def preset(root, name):
    return yaml.safe_load((root / "configs" / f"{name}.yaml").read_text())


def test_conda_route_names_the_same_packages_and_bounds(root):
    wanted = {CONDA_NAMES.get(name, name): str(each.specifier) for name, each in requirements(root).items()}
    assert len(wanted) > 20
    entries = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    conda = [entry for entry in entries if isinstance(entry, str)]
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    offered = {each.name: str(each.specifier) for each in map(Requirement, conda + pip)}
    for helper in ("python", "pip", "make"):  # what a Python package cannot ask for
        offered.pop(helper)
    wanted["pydensecrf"] = ""  # other version numbers than pydensecrf2's
    assert offered == wanted


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_named_for_what_they_run(root, name):
    assert preset(root, name)["experiment"] == name
    priors = preset(root, name)["runs"]["priors"]
    assert {(given or {}).get("strategy", run) for run, given in priors.items()} <= set(STRATEGIES)


def test_presets_are_all_known(root):
    assert sorted(path.stem for path in (root / "configs").glob("*.yaml")) == PRESETS


def settings_of(root, name, strategy):
    """What a preset and the defaults make of one training."""
    told = preset(root, name)["01_train_priors"] | preset(root, name)["runs"]["priors"][strategy]
    known = {field.name for field in dataclasses.fields(TrainingSettings)}
    return TrainingSettings(strategy=strategy, **{key: value for key, value in told.items() if key in known})


@pytest.mark.parametrize(("name", "expected"), [("voc12", VOC12), ("coco14", COCO14)])
def test_training_of_the_paper_presets_is_the_papers(root, name, expected):
    """Batches of 16, two an optimiser step, where tiles must fit as well; jitter but for ordinary classifiers."""
    for strategy in preset(root, name)["runs"]["priors"]:
        halved = strategy.startswith("p")
        special = {"batch_size": 16, "accumulation": 2} if halved else {}
        special["augment"] = "randaugment" if strategy == "cam" else "jitter"
        special["label_smoothing"] = 0.1 if strategy == "cam" or strategy.endswith("-ls") else 0.0
        whole = {key: value for key, value in (expected | GAME | special).items() if key != "backbone"}
        told = dataclasses.asdict(settings_of(root, name, strategy))
        assert {key: told[key] for key in whole} == whole, strategy
        assert set(told) - set(whole) == {"strategy", "seed"}
    told = preset(root, name)["01_train_priors"]
    assert (told["backbone"], told["weights"]) == (PAPER["backbone"], "timm")


@pytest.mark.parametrize("name", ["demo", "demo-seeds"])
def test_strategies_of_the_demo_share_all_their_settings(root, name):
    """But the ordinary classifier, with which all of them begin; so none is favoured."""
    told = preset(root, name)
    names = [name for name in told["runs"]["priors"] if name != "cam-more"]
    assert [name for name in names if not name.endswith("-ls")] == ["cam", "puzzle", "oc-cse", "p-oc", "p-noc"]
    alike = [settings_of(root, name, strategy) for strategy in names[1:]]
    # smoothing is what the name says of those that end in -ls
    assert len({dataclasses.replace(settings, strategy="cam", label_smoothing=0.0) for settings in alike}) == 1
    assert alike[0].from_oc  # and that cam itself never is, a test of the pipeline shows


def test_the_demo_with_three_seeds_is_the_demo(root):
    """And has their fair rival and smoothed labels, for which the demo has no time."""
    one, three = preset(root, "demo"), preset(root, "demo-seeds")
    for name in ("cam-more", "p-oc-ls", "p-noc-ls"):
        del three["runs"]["priors"][name]
    assert three.pop("seeds") == [0, 1, 2] and one.pop("seeds") == [0]
    assert (three.pop("experiment"), one.pop("experiment")) == ("demo-seeds", "demo")
    more = three.pop("runs"), one.pop("runs")
    assert more[0]["priors"] == more[1]["priors"] and set(more[0]) >= set(more[1])
    for stage in ("common", "00_data", "01_train_priors", "02_infer_priors", "05_affinity", "06_segmentation"):
        assert one[stage] == three[stage]


@pytest.mark.parametrize("name", ["voc12", "coco14"])
def test_inference_of_the_paper_presets_is_the_papers(root, name):
    assert preset(root, name)["02_infer_priors"]["scales"] == [0.5, 1.0, 1.5, 2.0]


def test_splits_of_the_paper_presets_are_the_papers(root):
    voc12, coco14 = preset(root, "voc12")["common"], preset(root, "coco14")["common"]
    assert (voc12["dataset"], voc12["train_split"], voc12["eval_split"]) == ("voc", "trainaug", "train")
    assert (coco14["dataset"], coco14["train_split"], coco14["eval_split"]) == ("coco14", "train2014", "val2014")


def test_resnest101_is_one_override_away(root):
    assert "01_train_priors.backbone=resnest101e" in (root / "configs/voc12.yaml").read_text()


def test_animal_lists_hold_voc_ids(root):
    train, trainaug = (
        (root / f"configs/voc12-animals/{name}.txt").read_text().split() for name in ("train", "trainaug")
    )
    assert (len(train), len(trainaug)) == (437, 800)
    assert set(train) < set(trainaug) and len(set(trainaug)) == 800
    assert all(re.fullmatch(r"20\d\d_\d{6}", id) for id in trainaug)


def test_animal_lists_show_the_five_animals(root):
    xml = root / "../shared/voc12-animals/VOCdevkit/VOC2012"
    if not xml.is_dir():
        pytest.skip("needs the VOC12 photographs at ../shared/voc12-animals")
    from pnoc_lib.data import voc

    names = ("cat", "cow", "dog", "horse", "sheep")
    images, _ = voc.read_voc(xml, "train", ids_file=root / "configs/voc12-animals/train.txt")
    present = images.labels[:, [images.classes.index(name) for name in names]]
    assert len(images) == 437 and present.any(axis=1).all()


def tracked(root):
    """Text files of the project, as git would take them."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("needs a git checkout to know which files belong to the project")
    binary = (".png", ".pdf", ".jpg", ".safetensors")
    return [root / name for name in listed.stdout.splitlines() if not name.endswith(binary) and (root / name).is_file()]


def test_no_file_names_a_place_on_somebodys_machine(root):
    place = re.compile(r"(?<![\w.}~/])/(?:home|Users|work|root|private)/\w")
    found = [str(path.relative_to(root)) for path in tracked(root) if place.search(path.read_text(errors="ignore"))]
    # the tests that make sure of it have to name such places
    assert [name for name in found if name not in ("tests/test_project.py", "tests/test_runs.py")] == []


def test_nothing_loads_what_could_run_code(root):
    unsafe = re.compile(r"pickle\.loads?\(|allow_pickle *= *True|weights_only *= *False")
    sources = [path for path in tracked(root) if path.suffix in (".py", ".ipynb") and path.parent.name != "tests"]
    assert [path.name for path in sources if unsafe.search(path.read_text())] == []


def test_every_source_is_checked_for_style(root):
    shown = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files"], cwd=root, capture_output=True, text=True
    )
    seen = {line.strip() for line in shown.stdout.splitlines()}
    ours = {str(path) for path in tracked(root) if path.suffix in (".py", ".ipynb")}
    ours = {path for path in ours if not path.startswith(str(root / "reports"))}  # notebooks that ran
    assert ours and ours - seen == set()


def test_make_help_knows_every_target(root):
    makefile = (root / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)[1].split()) - {"help", "install"}
    done = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True)
    assert {line.split()[1] for line in done.stdout.splitlines() if line.startswith("make ")} == targets
    assert all(name in done.stdout for name in PRESETS)


def only(folder, *commands):
    """A folder that holds nothing but some commands, to be the whole PATH."""
    folder.mkdir()
    for command in commands:
        (folder / command).symlink_to(shutil.which(command))
    return folder


@pytest.mark.parametrize(
    ("python", "compiler", "first"),
    [
        ("/no/python", "", "Missing: Python 3.10 or newer (PYTHON=/no/python is none)."),
        ("", "", "Missing: Python 3.10 or newer (found none)."),
        pytest.param(
            sys.executable,
            "no-such-compiler",
            "Missing: a C++ compiler (c++, g++ or clang++)",
            marks=pytest.mark.skipif(sys.version_info >= (3, 13), reason="nothing is compiled from Python 3.13 on"),
        ),
    ],
)
def test_what_is_missing_is_told_first(root, tmp_path, python, compiler, first):
    bare = only(tmp_path / "bin", "sh", "make", "grep", "head", "cat")
    environment = {"PATH": str(bare), "PYTHON": python, "CXX": compiler}
    script = [shutil.which("sh"), str(root / "tools" / "prerequisites.sh")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "headers" not in line]
    assert lines[0].startswith(first), done.stderr
    assert "apt-get install" in done.stderr and "conda" in done.stderr
    copy = tmp_path / "clone"  # and make passes it on, before anything else
    copy.mkdir()
    shutil.copytree(root / "tools", copy / "tools")
    for name in ("Makefile", "pyproject.toml", "requirements-lock.txt"):
        shutil.copy(root / name, copy)
    for target in ("demo", "test"):
        done = subprocess.run(["make", target], cwd=copy, env=environment, capture_output=True, text=True)
        assert done.returncode != 0 and first in done.stderr and done.stdout == ""


def test_prerequisites_print_the_python_to_use(root):
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(["sh", str(root / "tools/prerequisites.sh")], env=environment, capture_output=True, text=True)
    if "Missing" in done.stderr:
        pytest.skip(f"needs a compiler and the headers of Python: {done.stderr.splitlines()[0]}")
    assert done.stdout.strip() == sys.executable


def locked(root):
    """Entries of the lock file: requirement -> its lines of hashes."""
    entries, hashes = {}, []
    for line in (root / "requirements-lock.txt").read_text(encoding="utf-8").splitlines():
        if line[:1].isalnum():
            hashes = entries.setdefault(Requirement(line.rstrip("\\ ")), [])
        elif "--hash" in line:
            hashes.append(line.strip("\\ "))
    return entries


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_the_lock_file_has_every_dependency(root, python, system):
    here = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": system}
    pins = {canonicalize_name(pin.name): pin for pin in locked(root) if pin.marker is None or pin.marker.evaluate(here)}
    for wanted in requirements(root, python).values():
        (pin,) = pins[canonicalize_name(wanted.name)].specifier
        assert pin.operator == "==" and wanted.specifier.contains(pin.version), f"{wanted} {pin}: run make lock"


def test_every_locked_file_is_known_by_its_hash_and_none_by_its_place(root):
    text = (root / "requirements-lock.txt").read_text(encoding="utf-8")
    assert all(hashes for hashes in locked(root).values())
    assert not re.search(r"://|^-|find-links|index-url", text, flags=re.MULTILINE)


def test_citation_names_the_paper(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    paper = citation["preferred-citation"]
    assert paper["title"].startswith("P-NOC: adversarial training of CAM generating networks")
    assert [author["family-names"] for author in paper["authors"]] == ["David", "Pedrini", "Dias"]
    assert citation["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (root / "LICENSE").read_text()


def test_table_of_the_readme_is_that_of_the_reports(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import readme_table

    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "reports"], cwd=root, capture_output=True, text=True
    )
    if changed.returncode or changed.stdout:
        pytest.skip("the reports were made anew here: the README speaks of the committed ones")
    text = (root / "README.md").read_text(encoding="utf-8")
    assert readme_table.updated(text) == text, "run python tools/readme_table.py"


def test_the_readme_of_a_report_names_its_notebooks_and_shows_its_pictures(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    import readme_table

    looked = ["git", "status", "--porcelain", "--ignored", "--", "reports"]
    changed = subprocess.run(looked, cwd=root, capture_output=True, text=True)
    if changed.returncode or changed.stdout:
        pytest.skip("the reports were made anew here, with more notebooks than the committed ones")
    for name in readme_table.CHAINS:
        folder = root / "reports" / name
        text = (folder / "README.md").read_text(encoding="utf-8")
        assert readme_table.report_readme(folder) == text, "run python tools/readme_table.py"
        pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
        assert pictures and all((folder / picture).is_file() for picture in pictures)
        assert ("numbers as CSV" in text) == any(folder.glob("figures/*.csv"))


def test_readme_names_only_what_is_there(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (root / target).exists(), f"README.md links to {target}, which is not there"
    make = (root / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z]+)", text)):
        assert re.search(rf"(?m)^{target}:", make), f"README.md names make {target}, which is not there"


def test_a_group_of_other_classes_is_not_set_beside_the_papers(root, tmp_path, monkeypatch):
    """The photographs have one small class that is scored, person: it is not the paper's small classes."""
    monkeypatch.syspath_prepend(str(root / "tools"))
    import readme_table

    tables = tmp_path / "reports" / "demo" / "tables"
    tables.mkdir(parents=True)
    rows = {"person": "32.1", "dog": "39.8", "cat": "not run", "small": "32.1", "overall μ": "47.1", "ρ %S": "81.3"}
    rows |= {row: "1.0" for row in ("mid", "large", "singleton", "room")}
    frame = pd.DataFrame({"row": rows.keys(), "measured": rows.values(), "column": "CAM", "published": "50.0"})
    frame.to_csv(tables / "table03_beside.csv", index=False)
    (tables / "class_groups.csv").write_text('grouping,group,classes\nsize,small,"person, boat"\n')
    lines = {line.split(" | ")[0]: line for line in readme_table.table(tmp_path).splitlines()}
    assert lines["| small classes"].endswith("other classes |")
    assert "81.3 (n = 2, chance below" in lines["| correlation of IoU with size (%)"]


def test_the_order_of_methods_is_told_from_the_tables(root, tmp_path, monkeypatch):
    """Two rows were measured, one of them over seeds: others are left out, and a row that is not printed says so."""
    monkeypatch.syspath_prepend(str(root / "tools"))
    import readme_table

    tables = tmp_path / "reports" / "demo" / "tables"
    tables.mkdir(parents=True)
    assert readme_table.order(tmp_path) == ""
    measured = {"P-OC": "43.81 ± 1.74", "P-OC +C2AM-H +NOC": "48.9", "P": "not run"}
    frame = pd.DataFrame({"row": measured.keys(), "measured": measured.values(), "column": "VOC12 Train"})
    frame.assign(experiment="demo", seeds="2").to_csv(tables / "paper_table07.csv", index=False)
    head, _, *rows = readme_table.order(tmp_path).strip().splitlines()
    assert head == "| mIoU (%) | paper | [demo](reports/demo), 2 seeds |"
    assert rows == [
        "| pseudo masks of P-OC | 73.5 | 43.8 ± 1.7 |",
        "| pseudo masks of P-NOC with C2AM-H |  | 48.9 |",
    ]


def test_every_report_folder_says_what_it_is(root):
    listed = subprocess.run(["git", "ls-files", "reports"], cwd=root, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git checkout to know which reports belong to the project")
    folders = {name.split("/")[1] for name in listed.stdout.splitlines() if name.count("/") > 1}
    assert [name for name in sorted(folders) if not (root / "reports" / name / "README.md").is_file()] == []


@pytest.mark.parametrize("name", ["demo", "smoke"])
def test_the_first_lesson_has_priors_of_its_split(root, name, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    monkeypatch.chdir(root)
    import graph
    import presets

    pipeline = graph.Graph(presets.read(name))
    lesson = pipeline.runs["start_here", "", None]
    inferred = [pipeline.runs[key].parameters for key in lesson.needs if key[0] == "02_infer_priors"]
    assert inferred and all(lesson.parameters["eval_split"] in each["splits"] for each in inferred)
