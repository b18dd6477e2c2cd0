"""A whole chain on disk, made by hand: the masks of its stages, and the notebooks 06 and 09 that read it."""

import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from pnoc_lib import files, runs, toyvoc
from pnoc_lib.data import index_masks, reading, stores
from pnoc_lib.data.images import VOID, read_index_mask
from pnoc_lib.evaluation import chain, metrics, saliency
from pnoc_lib.paper import collect

ROOT = Path(__file__).resolve().parent.parent
BASE = {"experiment": "smoke", "data_root": "runs/smoke/00_data/toyvoc"}
QUICK = BASE | {
    "weights": "none", "backbone": "test_efficientnet", "epochs": 1, "batch_size": 8, "crop_size": 64, "width": 8,
    "low_width": 4, "scales": [1.0], "compare_images": 8, "num_workers": 0, "examples": 2, "precision": "no",
    "resize_min": 64, "resize_max": 96,
}  # fmt: skip


def finished(stage, run, **parameters):
    folder = runs.folder("runs", "smoke", stage, run=run)
    files.write_json(folder / runs.MANIFEST, {"stage": stage, "parameters": {"run": run, "seed": 0} | parameters})
    return folder


def shifted(mask, by):
    """The mask, `by` pixels to the right of where it belongs: wrong at every outline."""
    return np.where(np.roll(mask, by, axis=1) == 255, 0, np.roll(mask, by, axis=1)).astype(np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Priors, saliency and pseudo masks of eight drawn images, each wrong in its own way."""
    place = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        toyvoc.write(BASE["data_root"], train=8, val=8, size=64, progress=False, workers=1)
        files.write_json("runs/smoke/00_data/manifest.json", {"stage": "00_data", "metrics": {}})
        finished("01_train_priors", "p-noc", strategy="p-noc", label_smoothing=0.0, backbone="test_efficientnet")
        priors = stores.MapStore(finished("02_infer_priors", "p-noc") / "train" / "cams")
        aware = stores.MapStore(finished("04_saliency", "hinted", method="c2am-h") / "train" / "saliency")
        folder = finished("05_affinity", "p-noc+c2am-h", prior="p-noc", saliency="hinted") / "train/SegmentationClass"
        images, truth = reading.read("toyvoc", BASE["data_root"], "train")
        for id in images.ids:
            mask, classes = truth.mask(id), np.flatnonzero(images.label(id))
            maps = np.stack([shifted(mask, 5) == c + 1 for c in classes]).astype(np.float32)
            priors.write(id, maps, classes, mask.shape, source=stores.source(images, id))
            aware.write(id, (shifted(mask, 3) > 0)[None].astype(np.float32), np.zeros(1, int), mask.shape)
            index_masks.write_mask(folder / f"{id}.png", shifted(mask, 2))
    return place


@pytest.fixture
def place(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


def run(notebook, **given):
    """Run the code cells of a notebook with these parameters; return the names that they leave."""
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    for cell in nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            shell.run_cell(cell.source, store_history=True).raise_error()
        if "parameters" in cell.metadata.get("tags", []):
            shell.run_cell("\n".join(f"{name} = {value!r}" for name, value in given.items())).raise_error()
    return shell.user_ns


@pytest.mark.slow
def test_c2am_that_had_no_priors_is_scored_by_the_run_beside_it(place):
    quick = {name: QUICK[name] for name in QUICK if name not in ("width", "low_width", "compare_images")}
    quick = {name: value for name, value in quick.items() if not name.startswith("resize_")} | {"splits": ["train"]}
    quick |= {"pool_backbone": "test_efficientnet", "pool_weights": "none", "pool_width": 4, "pool_epochs": 1}
    quick |= {"backbone": "test_resnet", "eval_split": "train", "fixed_stages": 2}
    alone = run("04_saliency", **quick, run="c2am", method="c2am", hints="", segmentation_priors=[])
    assert set(alone["table"]["row"]) == {"C2AM test_resnet: GT", "C2AM test_resnet: GT, two classes"}
    with_priors = {"hints": "p-noc", "segmentation_priors": ["p-noc"]}
    left = run("04_saliency", **quick, run="c2am-h", method="c2am-h", **with_priors, beside=["c2am"])
    rows = pd.read_csv(runs.folder("runs", "smoke", "04_saliency", run="c2am-h") / "rows.csv")
    assert len(rows) == len(rows.drop_duplicates(["row", "column"])) == 2 * (3 + 1)
    other = rows[rows["row"] == f"C2AM test_resnet: {left['model']('p-noc')}"].set_index("column")["value"]
    (priors,) = left["stored"].values()
    for column, kind in {"P.": "binary", "R.": "saliency"}.items():
        maps = stores.MapStore(runs.folder("runs", "smoke", "04_saliency", run="c2am") / "train" / kind)
        scored, masks = left["scored"], left["masks"]
        scores = metrics.class_scores(saliency.with_priors(priors, maps, masks, ids=scored.ids), list(scored.classes))
        assert other[column] == pytest.approx(100 * metrics.mean_scores(scores, None)["miou"])


def test_rows_that_two_runs_tell_count_once(tmp_path):
    for run, rows in {"one": [1.0, 2.0], "two": [1.0, 3.0]}.items():
        folder = runs.folder(tmp_path, "demo", "04_saliency", run=run)
        manifest = {"stage": "04_saliency", "parameters": {"experiment": "demo", "run": run, "seed": 0}}
        files.write_json(folder / "manifest.json", manifest)
        lines = {"table": 6, "row": ["c2am", run], "column": "P.", "value": rows, "split": "train"}
        files.write_csv(folder / runs.ROWS_FILE, pd.DataFrame(lines).assign(threshold=0.4, chosen_on="fixed"))
    (rows,) = (part for number, part in collect._own_rows(collect.finished(tmp_path)) if number == 6)
    assert rows.set_index("row")["seeds"].to_dict() == {"c2am": 1, "one": 1, "two": 1}
    assert rows["sd"].isna().all()  # of one seed there is no spread


@pytest.mark.slow
def test_weak_network_then_its_error_budget(place):
    reference = run("06_segmentation", **QUICK, architecture="deeplabv2", mirror=False, factors=[0.75, 1.0])
    assert reference["row"] == "DeepLabV2"
    left = run("06_segmentation", **QUICK, run="p-noc", masks="p-noc+c2am-h", beside=["fully-supervised"])
    assert left["row"] == "P-NOC+C2AM-H V3+" and set(left["rows"]["table"]) == {8, 10}
    assert runs.manifest(left["stage"].folder)["metrics"]["row"] == left["row"]
    assert (place / "results/smoke/figures/fig09_predictions-p-noc-s0.png").is_file()

    images, truth = reading.read("toyvoc", BASE["data_root"], "train")
    one, ids = chain.of("runs", "smoke", "p-noc", 0, images)
    assert one.stages == ["prior", "saliency-aware prior", "pseudo mask", "network"]
    masks = one.masks(ids[0])
    np.testing.assert_array_equal(masks[2], shifted(truth.mask(ids[0]), 2))
    assert len(masks) == 4 and all(mask.shape == truth.mask(ids[0]).shape for mask in masks)
    budgets = run("09_error_budget", **BASE, networks=["p-noc"], cost_of=["voc12"])["budgets"]
    seen = sum(int((truth.mask(i) != 255).sum()) for i in ids)
    assert budgets["p-noc"].counts.sum() == seen
    with pytest.raises(ValueError, match="learned from the truth and has no chain"):
        chain.of("runs", "smoke", "fully-supervised", 0, images)


@pytest.mark.slow
@pytest.mark.parametrize("val_split", ["val", ""])
def test_images_without_a_class_and_masks_that_are_all_void(place, tmp_path, val_split):
    root = tmp_path / "toyvoc"
    shutil.copytree(BASE["data_root"], root)
    ids = {split: (root / f"ImageSets/Segmentation/{split}.txt").read_text().split() for split in ("train", "val")}
    for id, value in {ids["train"][1]: 0, ids["train"][2]: VOID, ids["val"][2]: VOID}.items():
        path = root / f"SegmentationClass/{id}.png"
        index_masks.write_mask(path, np.full_like(read_index_mask(path), value))
    about = root / f"Annotations/{ids['train'][1]}.xml"
    about.write_text(re.sub(r"(?s)<object>.*</object>", "", about.read_text()))
    given = {"data_root": str(root), "val_split": val_split, "batch_size": 4, "examples": 16, "run": "odd" + val_split}
    left = run("06_segmentation", **QUICK | given)
    assert len(left["truth"]) == 8 and len(left["images"]) == 7  # that without a class trains nothing
    void = {id for id, value in left["right"].items() if np.isnan(value)}
    assert void == {ids["val" if val_split else "train"][2]} and not void & set(left["chosen"])
    assert ids["train"][2] in left["gained"] and ids["train"][2] not in left["best"]


@pytest.mark.slow
@pytest.mark.parametrize(("scored", "said"), [(slice(4, 8), "held out"), (slice(2, 6), "2 of 4 images trained")])
def test_images_of_one_split_may_train_and_be_scored(place, tmp_path, scored, said):
    images, _ = reading.read("toyvoc", BASE["data_root"], "train")
    lists = {"train_ids": images.ids[:4], "val_ids": images.ids[scored]}
    for name, ids in lists.items():
        (tmp_path / name).write_text("\n".join(ids))
    given = {name: str(tmp_path / name) for name in lists}
    given |= {"batch_size": 4, "train_split": "train", "val_split": "train", "run": f"s{scored.start}"}
    left = run("06_segmentation", **QUICK | given)
    made = {path.stem for path in (left["stage"].folder / "train/SegmentationClass").glob("*.png")}
    assert made == {*lists["train_ids"], *lists["val_ids"]}
    assert all(said in note for note in left["rows"]["note"])
