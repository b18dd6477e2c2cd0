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
    rows, columns = edge.shape[1] - radius + 1, edge.shape[2] - 2 * (radius - 1)
    pairs = offsets(radius)
    if min(rows, columns) < 1:
        return edge.new_zeros(len(edge), len(pairs), max(rows, 0), max(columns, 0))
    with torch.no_grad():
        windows = edge.unfold(1, radius, 1).unfold(2, 2 * radius - 1, 1)  # (N, rows, columns, R, 2R - 1), a view
        corner = _positions(rows, columns, edge)
        highest = torch.empty(len(edge), len(pairs), rows, columns, dtype=torch.long, device=edge.device)
        for number, pair in enumerate(pairs):
            y, x = torch.tensor(path(*pair), device=edge.device).T
            x = x + radius - 1  # within the window
            where = windows[..., y, x].argmax(-1)
            torch.add(corner, (y * edge.shape[2] + x)[where], out=highest[:, number])
    return 1 - edge.flatten(1).gather(1, highest.flatten(1)).view_as(highest)


def shifted(grid: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """What a grid holds at both ends of the pairs of `affinities`.

    grid: (N, h, w) of anything. Returns (N, 1, rows, columns) at the sources and (N, P, rows, columns) at the targets.
    """
    rows, columns, left = grid.shape[1] - radius + 1, grid.shape[2] - 2 * (radius - 1), radius - 1
    rows, columns = max(rows, 0), max(columns, 0)
    targets = [grid[:, dy : dy + rows, left + dx : left + dx + columns] for dy, dx in offsets(radius)]
    return grid[:, None, :rows, left : left + columns], torch.stack(targets, 1)


def _positions(rows: int, columns: int, grid: Tensor) -> Tensor:
    """Flat index in the grid of the upper left corner of every window, (rows, columns)."""
    y = torch.arange(rows, device=grid.device) * grid.shape[2]
    return y[:, None] + torch.arange(columns, device=grid.device)
