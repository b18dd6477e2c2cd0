"""Cost of the paper: operations counted on the meta device beside those counted by hand."""

import pytest
import torch
from torch import nn

from pnoc_lib.evaluation import cost


@pytest.fixture(scope="module")
def of_voc12():
    return cost.stages("voc12", teraflops=30.0).set_index("stage")


def test_a_convolution_by_hand():
    with torch.device("meta"):
        conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    assert cost.forward(conv, 10, 12) == 2 * 10 * 12 * 3 * 3 * 3 * 8


def test_kept_bytes_by_hand():
    """A convolution keeps its input, a ReLU its output: (3 + 8) numbers a pixel, of two bytes."""
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU())
    assert cost.kept_bytes(network, 16) == 2 * (3 + 8) * 16 * 16
    assert cost.weight_bytes(network) == 12 * 3 * 8 * 9


@pytest.mark.parametrize(
    ("strategy", "expected"), [("cam", 3), ("puzzle", 6), ("oc-cse", 5), ("p-oc", 8), ("noc-cse", 8), ("p-noc", 11)]
)
def test_passes_of_a_training_image(strategy, expected):
    assert cost.passes(strategy) == expected


@pytest.mark.slow
def test_the_paper_in_hours(of_voc12):
    table = of_voc12
    assert table["GPU hours"].tolist() == pytest.approx((table["petaflop"] / 30 / 3.6).tolist())
    assert table.loc["01 p-noc", "petaflop"] == pytest.approx(11 / 3 * table.loc["01 ordinary classifier", "petaflop"])
    memory = table["GPU memory (GB)"]  # 48 maps: 16 of images, 16 of their tiles, 16 of what erasing leaves
    assert memory["01 p-noc"] == pytest.approx(48 / 32 * memory["01 ordinary classifier"], rel=0.03)
    assert table.loc["06 DeepLabV3+", "petaflop"] > table.loc["06 DeepLabV2", "petaflop"]
    assert (table[["petaflop", "GPU memory (GB)", "disk (GB)"]] > 0).all().all()


def test_affinity_takes_crops_of_one_size_on_both_data_sets(of_voc12):
    tables = {"voc12": of_voc12, "coco14": cost.stages("coco14", teraflops=30.0).set_index("stage")}
    work = [table.loc["05 affinity labels and network", "petaflop"] / cost.DATA[n].train for n, table in tables.items()]
    assert work[0] == pytest.approx(work[1])


def test_unknown_data_are_refused():
    with pytest.raises(ValueError, match="unknown dataset 'voc07'"):
        cost.stages("voc07", teraflops=1.0)
