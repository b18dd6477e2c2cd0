"""Rows of Tables 8 to 10: under the names of the paper where it has them, under their own where it has not."""

import pandas as pd
import pytest

from pnoc_lib import paper, runs
from pnoc_lib.data.voc import VOC_CLASSES
from pnoc_lib.paper import segmentation_rows


@pytest.mark.parametrize(
    ("about", "name"),
    [
        (("deeplabv3+",), "DeepLabV3+"),
        (("deeplabv2",), "DeepLabV2"),
        (("deeplabv3+", "P"), "Puzzle-CAM"),
        (("deeplabv3+", "P-OC", "c2am-h"), "P-OC+C2AM-H"),
        (("deeplabv3+", "P-NOC+LS", "c2am-h"), "P-NOC+LS+C2AM-H V3+"),
        (("deeplabv2", "P-NOC+LS", "c2am-h"), "P-NOC+LS+C2AM-H V2"),
        (("deeplabv3+", "P-NOC", "c2am-h"), "P-NOC+C2AM-H V3+"),
    ],
)
def test_names_of_the_paper(about, name):
    assert segmentation_rows.row_name(*about) == name
    assert any(name in paper.table(number).index for number in (8, 9))


@pytest.mark.parametrize("about", [("deeplabv2", "P-OC", "c2am-h"), ("deeplabv3+", "CAM", ""), ("deeplabv2", "P", "")])
def test_what_the_paper_has_not_stands_for_none_of_its_rows(about):
    assert not any(segmentation_rows.row_name(*about) in paper.table(number).index for number in (8, 9))


def test_rows_by_hand():
    scores = pd.DataFrame({"class": ["background", *VOC_CLASSES], "iou": [0.9, 0.5] + [float("nan")] * 19})
    rows = segmentation_rows.rows(
        "P-OC+C2AM-H", "deeplabv3+", scores, 0.7, dataset="voc", split="val", images=9, note="small"
    )
    assert tuple(rows.columns) == runs.ROWS
    told = rows.set_index(["table", "row", "column"])["value"].to_dict()
    by_class = {(10, "P-OC", "bg"): 90.0, (10, "P-OC", "plane"): 50.0, (10, "P-OC", "avg."): 70.0}
    assert told == {(8, "P-OC+C2AM-H", "Val"): 70.0} | by_class
    assert rows["note"].tolist()[1] == "of val, not of the test set; small"
    coco = segmentation_rows.rows("P-NOC+C2AM-H V2", "deeplabv2", scores, 0.4, dataset="coco14", split="val", images=9)
    assert coco["table"].tolist() == [9] and coco["value"].tolist() == [40.0]
