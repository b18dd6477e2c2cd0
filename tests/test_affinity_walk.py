"""Pairs of pixels, their affinities and the random walk: by hand, against double loops and against dense matrices."""

import pytest
import torch

from pnoc_lib.affinity import paths, walk

pytestmark = pytest.mark.usefixtures("one_thread")


def affinity_by_hand(edge, y: int, x: int, dy: int, dx: int) -> float:
    """1 - the highest edge near the line, from a walk in small steps rather than from the formula of `paths.path`."""
    edge, top = edge.tolist() if isinstance(edge, torch.Tensor) else edge, 0.0
    for j in range(-1, dy + 2):
        for i in range(min(dx, 0) - 1, max(dx, 0) + 2):
            inside = 0 <= j <= dy and min(dx, 0) <= i <= max(dx, 0)
            distance = abs(dy * i - dx * j) / (dy * dy + dx * dx) ** 0.5
            if inside and distance < 1:
                top = max(top, edge[y + j][x + i])
    return 1 - top


def dense(edge: torch.Tensor, settings: walk.WalkSettings = walk.PAPER) -> torch.Tensor:
    """T^steps of Section 20 of the specification, literally, in double precision: (h w, h w)."""
    height, width = edge.shape
    matrix, values = torch.eye(height * width, dtype=torch.float64), edge.tolist()
    for y in range(height):
        for x in range(width):
            for dy, dx in paths.offsets(settings.radius):
                if y + dy < height and 0 <= x + dx < width:
                    i, j = y * width + x, (y + dy) * width + x + dx
                    matrix[i, j] = matrix[j, i] = affinity_by_hand(values, y, x, dy, dx)
    matrix = matrix**settings.beta
    return torch.linalg.matrix_power(matrix / matrix.sum(0), settings.steps)


def random_map(*size: int, seed: int = 0, power: float = 1.0) -> torch.Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed)) ** power


@pytest.mark.parametrize(("radius", "count"), [(2, 4), (5, 34), (10, 152)])
def test_offsets_are_counted_and_each_pair_once(radius, count):
    found = paths.offsets(radius)
    assert len(found) == len(set(found)) == count
    assert not {(-dy, -dx) for dy, dx in found} & set(found)
    assert max(dy * dy + dx * dx for dy, dx in found) < radius**2


def test_path_of_one_down_and_three_right_by_hand():
    assert paths.path(1, 3) == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)]
    assert paths.path(0, 3) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert paths.path(2, -2) == [(0, -1), (0, 0), (1, -2), (1, -1), (1, 0), (2, -2), (2, -1)]


def test_affinities_are_those_of_a_double_loop():
    edge, radius = random_map(1, 9, 12), 4
    found = paths.affinities(edge, radius)
    assert found.shape == (1, len(paths.offsets(radius)), 6, 6)
    for number, (dy, dx) in enumerate(paths.offsets(radius)):
        wanted = [[affinity_by_hand(edge[0].tolist(), y, x + 3, dy, dx) for x in range(6)] for y in range(6)]
        torch.testing.assert_close(found[0, number], torch.tensor(wanted))


def test_the_gradient_goes_to_the_highest_edge():
    edge = torch.zeros(1, 1, 5, requires_grad=True)
    with torch.no_grad():
        edge[0, 0, 3] = 0.5
    padded = torch.nn.functional.pad(edge, (0, 0, 0, 1), value=1.0)
    paths.affinities(padded, 2)[0, 0, 0, 2].backward()  # of the pixels 3 and 4, in a row
    assert edge.grad[0, 0].tolist() == [0, 0, 0, -1, 0]


def test_both_ends_of_a_pair_belong_together():
    grid = torch.arange(7 * 9).view(1, 7, 9)
    source, target = paths.shifted(grid, 3)
    for number, (dy, dx) in enumerate(paths.offsets(3)):
        assert (target[0, number] - source[0, 0] == dy * 9 + dx).all()


def test_a_grid_too_small_for_the_radius_has_no_pair():
    assert paths.affinities(random_map(1, 4, 20), 5).shape == (1, 34, 0, 12)
    assert paths.affinities(random_map(1, 20, 8), 5).shape == (1, 34, 16, 0)
    assert paths.shifted(random_map(1, 4, 8), 5)[1].numel() == 0
    with pytest.raises(ValueError, match="radius must be 2 pixels or more, got 1"):
        paths.offsets(1)


@pytest.mark.parametrize("size", [(11, 14), (1, 9), (9, 1), (1, 1), (3, 4), (5, 2), (8, 13)])
def test_the_walk_is_the_dense_product(size):
    edge, maps = random_map(*size, power=3), random_map(2, *size, seed=1, power=4)
    wanted = ((maps * (1 - edge)).double().flatten(1) @ dense(edge)).view(2, *size)
    found = walk.walk(maps, edge)
    assert (found - wanted / wanted.max()).abs().max() < 1e-4
    assert found.max() == 1 and found.dtype == torch.float32


@pytest.mark.parametrize("steps", [0, 1, 4, 7, 64])
def test_other_steps_radii_and_powers(steps):
    settings = walk.WalkSettings(radius=3, beta=4, steps=steps)
    edge, maps = random_map(6, 9), random_map(1, 6, 9, seed=1)
    wanted = ((maps * (1 - edge)).double().flatten(1) @ dense(edge, settings)).view(1, 6, 9)
    assert (walk.walk(maps, edge, settings) - wanted / wanted.max()).abs().max() < 1e-4


def test_several_numbers_of_steps_share_their_products():
    transition, maps = walk.Transition(random_map(1, 9, 12, power=2)), random_map(2, 9, 12, seed=1)[None]
    found = transition.averages(maps, [0, 1, 16, 256])
    for steps, together in zip([0, 1, 16, 256], found, strict=True):
        transition.settings = walk.WalkSettings(steps=steps)
        torch.testing.assert_close(together, transition.average(maps), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[0], maps)


def test_columns_of_t_sum_to_one_and_a_step_is_one_of_t():
    edge = random_map(6, 7, power=2)
    one = torch.stack([walk.Transition(edge[None]).spread((k // 7, k % 7), 1)[0].flatten() for k in range(42)], 1)
    torch.testing.assert_close(one.double(), dense(edge, walk.WalkSettings(steps=1)), atol=1e-6, rtol=1e-5)
    many = walk.Transition(random_map(1, 20, 31, power=2)).spread((4, 5), 256)
    assert float(many.sum()) == pytest.approx(1, abs=1e-4)


def test_what_is_the_same_everywhere_stays_so_over_256_steps():
    ones = torch.ones(1, 1, 40, 30)
    found = walk.Transition(random_map(1, 40, 30, power=3)).average(ones)
    assert (found - 1).abs().max() < 3e-5


def test_without_edges_a_small_map_walks_to_its_mean():
    maps = random_map(1, 4, 4)
    found = walk.Transition(torch.zeros(1, 4, 4), walk.WalkSettings(radius=6)).average(maps[None])
    torch.testing.assert_close(found[0], maps.mean().expand(1, 4, 4), atol=1e-5, rtol=0)  # all pixels are neighbours


def test_a_perfect_edge_stops_the_walk():
    edge = torch.zeros(9, 21)
    edge[:, 10] = 1
    maps = torch.zeros(1, 9, 21)
    maps[:, 4, 2] = 1
    found = walk.walk(maps, edge)[0]
    assert (found[:, :10] > 0).all() and found[:, 10:].abs().max() == 0


def test_a_weak_edge_leaks():
    edge, maps = torch.full((9, 21), 0.0), torch.zeros(1, 9, 21)
    edge[:, 10], maps[:, 4, 2] = 0.5, 1
    leak = walk.walk(maps, edge)[0, 4, 15]
    assert 0 < leak < walk.walk(maps, edge, walk.WalkSettings(beta=1))[0, 4, 15]


def test_several_images_walk_as_each_alone():
    edge, maps = random_map(3, 8, 11, power=2), random_map(3, 2, 8, 11, seed=1)
    together = walk.walk(maps, edge)
    for n in range(3):
        torch.testing.assert_close(together[n], walk.walk(maps[n], edge[n]), atol=1e-6, rtol=1e-5)


def test_series_of_a_power_by_hand():
    assert walk.power_series(2) == {0: 0.5, 2: 0.5}  # x^2 = (1 + T_2) / 2
    assert walk.power_series(3) == {1: 0.75, 3: 0.25}  # x^3 = (3 T_1 + T_3) / 4
    assert walk.power_series(0) == {0: 1.0}
    short = walk.power_series(256, 2e-5)
    assert max(short) < 72 and sum(short.values()) == pytest.approx(1, abs=2e-5)
    angle = torch.linspace(0, torch.pi, 401, dtype=torch.float64)
    value = sum(share * torch.cos(k * angle) for k, share in short.items())
    assert (value - torch.cos(angle) ** 256).abs().max() < 2.1e-5


def test_empty_and_silent_maps():
    assert walk.walk(torch.zeros(0, 4, 5), torch.zeros(4, 5)).shape == (0, 4, 5)
    assert walk.walk(torch.zeros(2, 4, 5), torch.zeros(4, 5)).abs().max() == 0
    assert walk.walk(torch.ones(2, 4, 5), torch.ones(4, 5)).abs().max() == 0  # nothing but edges


def test_a_large_image_costs_memory_and_products_of_its_pixels_alone():
    transition = walk.Transition(random_map(1, 375, 500, power=3))  # an image of 2000 x 1500
    assert len(transition.planes) == 34 and all(plane.numel() < 187_501 for _, plane in transition.planes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_gpu_agrees():
    edge, maps = random_map(2, 30, 41, power=2), random_map(2, 3, 30, 41, seed=1)
    torch.testing.assert_close(walk.walk(maps.cuda(), edge.cuda()).cpu(), walk.walk(maps, edge), atol=1e-4, rtol=0)


def test_bad_input_gets_one_sentence():
    with pytest.raises(ValueError, match=r"maps \(1, 4, 5\) and edge \(5, 4\) do not fit"):
        walk.walk(torch.zeros(1, 4, 5), torch.zeros(5, 4))
    with pytest.raises(ValueError, match="radius >= 2, beta > 0"):
        walk.WalkSettings(beta=0)
