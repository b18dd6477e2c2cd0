"""The twenty classes as the drawings need them, one row of classes.csv each; order and names are VOC's.

Columns: relative_size, %S of Table 3 (percent of the image's pixels, over the images that hold the class); lost, what
drawing loses of it on average and is asked for on top (outlines turned void, things that cannot grow further); largest,
the largest share of one image (thin things cannot fill it); several, at most so many in one image; tallest, height of
the largest one in image heights; faced, 1 where the last part is of the face, which stays in the picture; seat_x,
seat_y, where a rider sits, metres; then how well each place suits the class.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

PLACES = ("meadow", "street", "rails", "water", "sky", "room")


def _rows() -> list[dict[str, str]]:
    with Path(__file__).with_name("classes.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


_ROWS = _rows()
CLASSES = tuple(row["class"] for row in _ROWS)
INDEX = {name: index for index, name in enumerate(CLASSES)}
RELATIVE_SIZE, LOST, LARGEST = (
    np.array([float(row[column]) for row in _ROWS]) / 100 for column in ("relative_size", "lost", "largest")
)
SEVERAL = [int(row["several"]) for row in _ROWS]
TALLEST = [float(row["tallest"]) for row in _ROWS]
FACED = {index for index, row in enumerate(_ROWS) if row["faced"] == "1"}
SEATS = {index: (float(row["seat_x"]), float(row["seat_y"])) for index, row in enumerate(_ROWS) if row["seat_x"]}
SUITS = np.array([[float(row[place]) for place in PLACES] for row in _ROWS])
