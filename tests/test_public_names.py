"""What others may build on: the public names, listed once; a name that goes is noticed here."""

import importlib
import inspect
import re
import subprocess
import sys

import pytest

import pnoc_lib

NAMES = {
    "analysis": """
        pixel_counts label_sets class_properties class_cooccurrence class_groups group_means overall
        correlations group_table as_printed short_groups method_name chance_correlation BACKGROUND
        PROPERTIES METHODS TABLE_3 SMOOTHED SIZE_CUTS FREQUENCY_CUTS SEMANTIC_GROUPS SHORT_LABELS
    """,
    "augment": """
        TrainingTransform RandAugment resize_longer normalize random_crop color_jitter apply_operation
        AUGMENTATIONS
    """,
    "cam": "gap normalize_cam smooth_labels classification_loss",
    "checkpoints": "Part pack unpack identity digest changes",
    "coco": "read_coco Region Scene paint",
    "data": """
        VOC_CLASSES VOID DataError LabeledImages Masks check download_voc read read_coco read_folder
        read_masks read_voc report
    """,
    "depthwise": "FastDepthwise",
    "erasing": """
        draw_class attention erase_soft erase_hard without cse_loss oc_cse p_oc noc_loss SCOPES
    """,
    "figures": """
        save as_tensor denormalize voc_palette color_mask overlay_mask overlay_cam overlay_classes show_grid
        class_legend cooccurrence class_bars training_curves schedule_curves game_curves threshold_curves
        game_over_seeds against_properties GAME CAM_COLOURS VOID_COLOUR
        CYCLE LINES GROUP_COLOURS
    """,
    "files": "atomic write_text write_json read_json write_csv write_tensors read_tensors",
    "folder": "read_folder",
    "images": "LabeledImages Masks read_image read_index_mask present_classes check_classes VOID",
    "inference": "Predictor augmented_cams fill_store estimate_miou STORE_STRIDE PRECISIONS",
    "launch": "train ordinary_classifier run",
    "metrics": """
        ThresholdHistogram evaluate threshold_sweep class_scores mean_scores absent_classes best_threshold
        confusion_matrix miou predict foreground_iou THRESHOLDS
    """,
    "models": """
        CAMNetwork Encoder parameter_groups freeze_batchnorm keep_statistics fixed save_network load_network
        fold_batchnorm OUTPUT_STRIDE WEIGHT_PACKAGES
    """,
    "paper": """
        beside cells claims class_groups grid hyper_parameters newer_methods printed same_cells settings
        standing table table_info table_names tables title
    """,
    "parameters": """
        ParameterError check show at_least at_most more_than multiple_of between one_of non_empty
        path_exists each
    """,
    "problems": "DataError gather raise_all",
    "puzzle": "tile merge reconstruction_loss loss",
    "runs": "Stage folder start require manifest portable",
    "sampling": "TrainingOrder TrainingSamples mix",
    "schedules": "linear poly",
    "settings": "TrainingSettings PRECISIONS UNUSED_BY_CAM",
    "stores": "StoredCAM CAMStore resize_maps LEVELS",
    "strategies": "Strategy named generator_terms generator_loss STRATEGIES ERASERS SMOOTHING",
    "tables": """
        class_group_scores group_cells class_ious groups_with_spread epoch_scores with_spread wide
    """,
    "toyvoc": "label_sets areas draw write palette CLASSES RELATIVE_SIZE",
    "training": "TrainingSettings train PRECISIONS",
    "voc": "read_voc read_masks boxed_classes read_ids download_voc VOC_CLASSES",
}


@pytest.mark.parametrize("module", NAMES)
def test_no_public_name_goes(module):
    found = vars(importlib.import_module(f"pnoc_lib.{module}"))
    gone = [name for name in NAMES[module].split() if name not in found]
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
    unlisted = sorted(set(own) - set(NAMES[module].split()))
    assert not unlisted, f"list {', '.join(unlisted)} of pnoc_lib.{module} above, or begin it with an underscore"
    silent = [name for name, value in own.items() if not value.__doc__ or value.__doc__.startswith(f"{name}(")]
    assert not silent, f"no docstring: {', '.join(silent)}"
    assert loaded.__doc__


def test_every_module_is_listed(root):
    modules = {path.stem for path in (root / "pnoc_lib").glob("*.py")} | {"paper"}
    assert modules - {"__init__"} == set(NAMES)


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
