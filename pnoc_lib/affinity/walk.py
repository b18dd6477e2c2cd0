"""The random walk that carries a prior over its object and stops at edges (Section 5; Ahn and Kwak 2018).

A walker steps from pixel j to pixel i with probability T_ij = W_ij / sum_i W_ij, where W_ij = affinity^beta for pixels
within the radius, and W_jj = 1. After `steps` steps a pixel gets the mean of the prior over where its walker may be.

T^256 is never formed. T = W / D has the eigenvalues of S = D^-1/2 W D^-1/2, which lie in [-1, 1], and on that interval
x^n is a short Chebyshev series: about sqrt(2 n log(2 / tolerance)) products with S in place of n. A product needs no
matrix either: 34 planes of weights, one an offset, each used in both directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pnoc_lib.affinity import paths


@dataclass(frozen=True)
class WalkSettings:
    """How far and how strictly it walks; the defaults are those of the code published with the paper.

    radius: of a step, in pixels of the stride-4 grid. beta: power of an affinity; a larger one minds weaker edges.
    steps: of the walk. tolerance: of the series, as a share of the peak; 0 takes all of it.
    Raises ValueError for values out of range.
    """

    radius: int = 5
    beta: float = 10.0
    steps: int = 256
    tolerance: float = 2e-5

    def __post_init__(self) -> None:
        if self.radius < 2 or self.beta <= 0 or self.steps < 0 or not 0 <= self.tolerance < 1:
            raise ValueError(
                f"a walk needs radius >= 2, beta > 0, steps >= 0 and tolerance in [0, 1), got {self}: the paper's are "
                "5, 10 and 256"
            )


PAPER = WalkSettings()


class Transition:
    """T of one image or of several of one size, ready to be applied; a stencil of `paths.offsets`, no matrix.

    edge: (N, h, w) in [0, 1], probability of an edge at every pixel of the stride-4 grid.
    `degree`: (N, h w), the sums of the columns of W, at least 1.
    """

    def __init__(self, edge: Tensor, settings: WalkSettings = PAPER) -> None:
        self.settings, self.size = settings, tuple(edge.shape[-2:])
        height, width = self.size
        around = settings.radius - 1  # no walker leaves the image: beyond it all is edge
        padded = F.pad(edge.detach().float(), (around, around, 0, around), value=1.0)
        weights = paths.affinities(padded, settings.radius).pow_(settings.beta).flatten(2)  # (N, P, h w)
        self.planes: list[tuple[int, Tensor]] = []  # (distance of the two pixels in memory, their weight)
        self.degree = torch.ones(edge.shape[0], height * width, device=edge.device)
        for number, (dy, dx) in enumerate(paths.offsets(settings.radius)):
            if dy >= height or abs(dx) >= width:
                continue  # there is no such pair; all others lie ahead in memory, or weigh nothing
            ahead = dy * width + dx
            plane = weights[:, number, : height * width - ahead].contiguous()
            self.planes.append((ahead, plane))
            self.degree[:, : -ahead or None] += plane
            self.degree[:, ahead:] += plane
        self.root = self.degree.sqrt()[:, None]  # (N, 1, h w)
        for ahead, plane in self.planes:
            plane /= self.root[:, 0, :-ahead] * self.root[:, 0, ahead:]
        # 1 / degree, but for the roundings of a product: with them a column sums to 1 - 1e-6, and 256 steps lose it
        self.stay = torch.zeros_like(self.root)
        self.stay = 1 - self.product(self.root) / self.root

    def product(self, x: Tensor) -> Tensor:
        """S x for x (N, K, h w)."""
        out = torch.zeros_like(x)
        for ahead, plane in self.planes:
            plane = plane[:, None]
            out[..., :-ahead].addcmul_(plane, x[..., ahead:])
            out[..., ahead:].addcmul_(plane, x[..., :-ahead])
        return out.addcmul_(self.stay, x)  # last, for the roundings that it makes up for

    def powers(self, x: Tensor, steps: Sequence[int]) -> list[Tensor]:
        """S^n x for x (N, K, h w) and each n of `steps`, by the Chebyshev series of the powers, which share terms."""
        series = [power_series(n, self.settings.tolerance) for n in steps]
        before, now = x, x  # T_0 = 1; T_1 is set below
        totals = [x * each.get(0, 0.0) for each in series]
        for k in range(1, max(map(max, series)) + 1):
            after = self.product(now)
            if k > 1:  # T_k = 2 x T_(k-1) - T_(k-2)
                after.mul_(2).sub_(before)
            before, now = now, after
            for total, each in zip(totals, series, strict=True):
                if k in each:
                    total.add_(now, alpha=each[k])
        return totals

    def averages(self, maps: Tensor, steps: Sequence[int]) -> list[Tensor]:
        """maps T^n for each n of `steps`: what a walker that starts at a pixel finds on the mean, (N, K, h, w) each."""
        flat = maps.to(self.root).flatten(2) * self.root
        return [(power / self.root).view(maps.shape) for power in self.powers(flat, steps)]

    def average(self, maps: Tensor) -> Tensor:
        """maps T^steps, with the steps of the settings: (N, K, h, w) as `maps`."""
        return self.averages(maps, [self.settings.steps])[0]

    def spread(self, pixel: tuple[int, int], steps: int) -> Tensor:
        """Where a walker from `pixel` (y, x) may be after `steps` steps: (N, h, w), probabilities with sum 1."""
        start = torch.zeros(len(self.degree), 1, *self.size, device=self.root.device)
        start[:, :, pixel[0], pixel[1]] = 1
        there = self.powers(start.flatten(2) / self.root, [steps])[0] * self.root
        return there.clamp_(min=0).view(-1, *self.size)


def power_series(steps: int, tolerance: float = 0.0) -> dict[int, float]:
    """Coefficients of x^steps in Chebyshev polynomials, by degree, up to a rest that sums to `tolerance` or less.

    Degree k, of the parity of `steps`, has 2^(1 - n) C(n, (n - k) / 2), the constant half of that: they sum to 1.
    """
    series: dict[int, float] = {}
    for k in range(steps % 2, steps + 1, 2):
        series[k] = math.comb(steps, (steps - k) // 2) / 2**steps * (2 if k else 1)
        if 1 - sum(series.values()) <= tolerance:
            break
    return series


@torch.no_grad()
def walk(maps: Tensor, edge: Tensor, settings: WalkSettings = PAPER, *, through: bool = False) -> Tensor:
    """The prior carried over its object: (maps o (1 - edge)) T^steps, normalised by its peak over all classes.

    maps: (N, K, h, w) in [0, 1], priors of the present classes on the stride-4 grid, no background; or (K, h, w).
    edge: (N, h, w) in [0, 1], or (h, w). through: leave out the factor (1 - edge), for comparison.
    Returns the shape of `maps`, in [0, 1]; without classes, or with nothing but edges, what came in is empty or zero.
    Raises ValueError when the two do not fit each other.
    Beyond the paper: the peak is that of the stride-4 map; the published code takes it after bilinear enlargement.
    """
    if maps.shape[:-3] + maps.shape[-2:] != edge.shape or maps.ndim not in (3, 4):
        raise ValueError(
            f"maps {tuple(maps.shape)} and edge {tuple(edge.shape)} do not fit: give (N, K, h, w) and (N, h, w), "
            "or (K, h, w) and (h, w), on one grid"
        )
    if maps.numel() == 0:
        return maps
    if maps.ndim == 3:
        return walk(maps[None], edge[None], settings, through=through)[0]
    walked = Transition(edge, settings).average(maps if through else maps * (1 - edge[:, None])).clamp_(min=0)
    return walked / walked.amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
