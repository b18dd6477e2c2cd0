"""How things look in every figure of the project: colours by name, never by position, and labels that keep apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

CYCLE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#999999",
)  # told apart by all eyes
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GROUP_COLOURS = {
    "singleton": CYCLE[0],
    "person": CYCLE[6],
    "animal": CYCLE[2],
    "room": CYCLE[1],
    "traffic": CYCLE[3],
}
METHOD_LOOKS = {  # place in CYCLE and MARKERS, line; a method with label smoothing looks as without, but for its line
    "CAM": (0, "-"),
    "CAM+": (5, "--"),
    "OC-CSE": (2, "-."),
    "P": (1, "-"),
    "P-OC": (3, "--"),
    "NOC-CSE": (4, "-."),
    "P-NOC": (6, "-"),
}
OTHERS = 7  # place in MARKERS and grey of a method that nobody knows
NEAR = 3  # points between a point and its name


def of_method(name: str) -> dict[str, str]:
    """Colour, marker and line of a method, the same in every figure: keywords of matplotlib's `plot`.

    name: as in `analysis.METHODS`; "P-NOC+LS" has P-NOC's colour and marker and a dotted line. An unknown one, such as
    a variant's own name, gets the look of the known name that it begins with, else grey.
    """
    plain = name.removesuffix("+LS").rstrip()
    begun = [known for known in METHOD_LOOKS if plain.lower().startswith(known.lower())]
    place, line = METHOD_LOOKS.get(plain) or (METHOD_LOOKS[max(begun, key=len)] if begun else (OTHERS, "-"))
    line = ":" if plain != name or (begun and plain not in METHOD_LOOKS) else line
    return {"color": CYCLE[place], "marker": MARKERS[place], "ls": line}


def of_methods(names: Sequence[str]) -> list[dict[str, str]]:
    """`of_method` of each of the names of one figure; of names that would look alike, the later ones differ in line.

    Names that nobody knows have no look of their own: they take what the known ones leave, in their order.
    """
    taken: set[tuple[str, str]] = set()
    found: list[dict[str, str]] = []
    known = [{**of_method(name)} for name in names]
    free = [(place, line) for line in LINES for place in range(len(CYCLE))]
    reserved = {(look["color"], look["ls"]) for look in known if look["color"] != CYCLE[OTHERS]}
    for look in known:
        if look["color"] == CYCLE[OTHERS] or (look["color"], look["ls"]) in taken:
            place, line = next(
                (k, ls) for k, ls in free if (CYCLE[k], ls) not in taken and (CYCLE[k], ls) not in reserved
            )
            look = {"color": CYCLE[place], "marker": MARKERS[place], "ls": line}
        taken.add((look["color"], look["ls"]))
        found.append(look)
    return found


def label_points(axis: Axes, xs: Sequence[float], ys: Sequence[float], names: Sequence[str], size: float = 6) -> None:
    """Write a name beside every point, each where it covers the fewest points and names that stand already.

    xs, ys: data coordinates. size: of the letters in points. Of eight places around a point the best is taken, or one
    further off, with a line to it, where those are taken; the limits of the axes must be final.
    """
    if not len(xs):
        return
    per_point = axis.figure.dpi / 72  # pixels
    points = axis.transData.transform(np.column_stack([xs, ys]))
    boxes = [(*point - 3, *point + 3) for point in points]
    frame = axis.get_window_extent()
    height = 1.1 * size * per_point
    for point, name in zip(points, names, strict=True):
        width = 0.55 * size * per_point * len(name)
        places = [
            (
                point[0] + dx * gap * per_point + min(dx, 0) * width - (dx == 0) * width / 2,
                point[1] + dy * gap * per_point + (dy - 1) / 2 * height,
            )
            for gap in (NEAR, 4 * NEAR)
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
        ]
        costs = [
            sum(_overlap((x, y, x + width, y + height), box) for box in boxes)
            + (number >= 8) * 0.2 * width * height
            + 4 * width * height * (x < frame.x0 or x + width > frame.x1 or y < frame.y0 or y + height > frame.y1)
            for number, (x, y) in enumerate(places)
        ]
        best = int(np.argmin(costs))
        x, y = places[best]
        boxes.append((x, y, x + width, y + height))
        place = axis.transData.inverted().transform((x, y))
        axis.text(*place, name.replace("$", r"\$"), fontsize=size, va="bottom", ha="left")
        if best >= 8:
            end = (min(max(point[0], x), x + width), min(max(point[1], y), y + height))
            axis.plot(*axis.transData.inverted().transform([point, end]).T, color="0.6", lw=0.5, zorder=1)


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Pixels that two boxes (left, bottom, right, top) share."""
    sides = [min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1)]
    return max(0.0, sides[0]) * max(0.0, sides[1])
