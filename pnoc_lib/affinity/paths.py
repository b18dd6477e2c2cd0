"""What an edge is to a pair of pixels: their affinity is 1 minus the highest edge on the way from one to the other."""

from __future__ import annotations

import torch
from torch import Tensor

STRIDE = 4  # pixels of the image a cell of the grid that edges, priors and walkers live on


def offsets(radius: int) -> list[tuple[int, int]]:
    """(dy, dx) of every pair within `radius` pixels, each pair once: along a row to the right, or down to either side.

    Returns 34 offsets for radius 5 (the walk) and 152 for radius 10 (training). Raises ValueError for a radius below 2.
    """
    if radius < 2:
        raise ValueError(f"radius must be 2 pixels or more, got {radius}: a pixel would have no neighbour")
    beside = [(0, dx) for dx in range(1, radius)]
    below = [(dy, dx) for dy in range(1, radius) for dx in range(1 - radius, radius) if dy * dy + dx * dx < radius**2]
    return beside + below


def path(dy: int, dx: int) -> list[tuple[int, int]]:
    """Pixels (y, x) on the way from (0, 0) to (dy, dx), dy >= 0: those nearer than 1 to the line, both ends with it."""
    columns = range(min(dx, 0), max(dx, 0) + 1)
    return [(y, x) for y in range(dy + 1) for x in columns if (dy * x - dx * y) ** 2 < dy * dy + dx * dx]


def affinities(edge: Tensor, radius: int) -> Tensor:
    """a_ij = 1 - the highest edge on the path from i to j, for every pixel i and each of the `offsets`.

    edge: (N, h, w) in [0, 1].
    Returns (N, P, h - R + 1, w - 2 R + 2) in [0, 1]: sources i are the pixels from which all offsets stay inside, rows
    from 0 and columns from R - 1. A grid too small for the radius has none. The gradient goes to the
    highest edge alone.
    """
    if not (edge.requires_grad and torch.is_grad_enabled()):
        return 1 - _largest(edge, radius)
    with torch.no_grad():  # where it is highest: value and place in one number, so that a maximum carries both
        place = torch.arange(edge[0].numel(), device=edge.device).view(edge.shape[1:])
        bits = edge.float().view(torch.int32).long()  # of floats from 0 on they have the same order
        last = place.numel() - 1
        highest = last - (_largest(bits << 32 | last - place, radius) & (2**32 - 1))
    return 1 - edge.flatten(1).gather(1, highest.flatten(1)).view_as(highest)


def _largest(grid: Tensor, radius: int) -> Tensor:
    """The largest value of a grid (N, h, w) on the path of every pair, (N, P, rows, columns) as in `affinities`."""
    rows, columns = max(0, grid.shape[1] - radius + 1), max(0, grid.shape[2] - 2 * (radius - 1))
    pairs = offsets(radius)
    largest = grid.new_empty(len(grid), len(pairs), rows, columns)
    if not largest.numel():
        return largest
    for number, pair in enumerate(pairs):
        way = [grid[:, y : y + rows, x + radius - 1 : x + radius - 1 + columns] for y, x in path(*pair)]
        torch.maximum(way[0], way[1], out=largest[:, number])
        for pixels in way[2:]:
            torch.maximum(largest[:, number], pixels, out=largest[:, number])
    return largest


def shifted(grid: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """What a grid holds at both ends of the pairs of `affinities`.

    grid: (N, h, w) of anything. Returns (N, 1, rows, columns) at the sources and (N, P, rows, columns) at the targets.
    """
    rows, columns, left = grid.shape[1] - radius + 1, grid.shape[2] - 2 * (radius - 1), radius - 1
    rows, columns = max(rows, 0), max(columns, 0)
    targets = [grid[:, dy : dy + rows, left + dx : left + dx + columns] for dy, dx in offsets(radius)]
    return grid[:, None, :rows, left : left + columns], torch.stack(targets, 1)
