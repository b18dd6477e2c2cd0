"""The tool for controlled comparisons: a line a variant and seed, none twice, and a table to be read."""

import subprocess
import sys

import pandas as pd
import pytest

PLAN = """
draw: {train: 12, val: 2, size: 64}
data: {kind: toyvoc, root: toyvoc, split: train}
network: {backbone: test_efficientnet}
every: 2
common: {batch_size: 4, crop_size: 64, resize_min: 48, resize_max: 64, precision: "no"}
oc: {epochs: 1}
further: {epochs: 1, from_oc: true}
variants:
  oc: {epochs: 0}
  p-noc: {strategy: p-noc, erase_scope: image}
"""


@pytest.mark.slow
def test_a_plan_is_run_once_and_told_as_a_table(root, tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN)
    command = [sys.executable, str(root / "tools" / "experiments.py"), "plan.yaml", "--threads", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = pd.read_csv(tmp_path / "reports/experiments/plan.csv").set_index("variant")
    assert list(told.index) == ["oc", "p-noc"] and set(told["images"]) == {6}
    assert told["oracle miou"].between(0, 1).all() and (told["miou at 0.3"] <= told["oracle miou"]).all()
    assert 0 < told.at["p-noc", "p_hard last"] < 1 and pd.isna(told.at["oc", "p_hard last"])
    lines = (tmp_path / "reports/experiments/plan.md").read_text().splitlines()
    assert lines[0].startswith("6 scored images") and lines[-1].startswith("| p-noc | erase_scope image | 1 | ")

    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout == ""
    wrong = subprocess.run([*command, "--only", "p-nok"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode != 0 and "no variant p-nok: the plan has oc, p-noc" in wrong.stderr
