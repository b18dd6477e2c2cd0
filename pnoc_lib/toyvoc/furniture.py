"""Chairs, tables and sofas, which share their legs: metres, y down, on the floor y = 0."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pnoc_lib.toyvoc.colours import CLOTH, WOOD, mix, pick, shade
from pnoc_lib.toyvoc.paint import Part, box, ellipse, limb, part, ring, spline, turn


def _legs(xs, top, wood, w=0.05, splay=0.02) -> list[np.ndarray]:
    """Return the legs that chairs, tables and sofas share."""
    return [limb([(x, top), (x + np.sign(x) * splay, -0.01)], [w, 0.75 * w]) for x in xs]


def chair(g) -> list[Part]:
    """Return a chair: its back gives it away; three-quarter view."""
    wood, seat = pick(g, WOOD), pick(g, [*WOOD, *CLOTH])
    w, sy, top = g.uniform(0.42, 0.5), -0.45, -g.uniform(0.84, 1.0)
    x, off = w / 2, 0.14  # the back stands off to the upper side
    kind = g.integers(4)
    legs = _legs((-x + 0.03 + off, x - 0.03 + off), sy - 0.1, shade(wood, 0.7), 0.045, 0.0)
    front = _legs((-x + 0.03, x - 0.03), sy, wood, 0.05)
    cushion = spline(
        [
            (-x - 0.02, sy + 0.03),
            (-x + off, sy - 0.14),
            (x + off, sy - 0.14),
            (x + 0.02, sy + 0.03),
            (x, sy + 0.06),
            (-x, sy + 0.06),
        ],
        steps=4,
    )
    posts = [
        limb([(s * (x - 0.025) + off, sy - 0.08), (s * (x - 0.02) + off + 0.04, top)], [0.05, 0.045]) for s in (-1, 1)
    ]

    def lx(y):
        return off + 0.04 * (y - sy) / (top - sy)

    if kind == 0:  # slats up
        back = [
            limb([(k * w / 5 + off, sy - 0.1), (k * w / 5 + off + 0.04, top + 0.04)], [0.032] * 2)
            for k in (-1.4, -0.5, 0.4, 1.3)
        ] + [
            limb(
                [(-x + 0.03 + lx(top), top + 0.02), (lx(top), top - 0.02), (x - 0.03 + lx(top), top + 0.02)],
                [0.085] * 3,
            )
        ]
    elif kind == 1:  # slats across
        back = [
            limb([(-x + 0.03 + lx(y), y), (lx(y), y - 0.015), (x - 0.03 + lx(y), y)], [0.075] * 3)
            for y in (top + 0.05, 0.62 * top + 0.38 * sy, 0.3 * top + 0.7 * sy)
        ]
    elif kind == 2:  # a shell
        back = [
            spline(
                [
                    (-x + off + 0.01, sy - 0.14),
                    (-x + lx(top) - 0.01, top + 0.08),
                    (lx(top), top - 0.03),
                    (x + lx(top) + 0.01, top + 0.08),
                    (x + off - 0.01, sy - 0.14),
                    (off, sy - 0.2),
                ]
            )
        ]
    else:  # upholstered
        back = [box(-x + off + 0.02, top, x + off + 0.03, sy - 0.12, 0.09)]
    return [
        part(legs, shade(wood, 0.66), 0.3),
        part([*posts, *back] if kind < 2 else posts, wood, 0.6, grain="wood"),
        *([part(back, seat if kind == 3 else wood, 0.8, grain="fine")] if kind >= 2 else []),
        part(front, wood, 0.5, grain="wood"),
        part(limb([(-x + 0.04, sy + 0.22), (x - 0.04, sy + 0.22)], [0.028] * 2), shade(wood, 0.85), 0.3),
        part(cushion, seat, 0.7, grain="fine"),
    ]


def diningtable(g, *, near: float = 0.0) -> list[Part]:
    """Return a laid table: its wide top gives it away. near: 0 seen from afar .. 1 looked down upon."""
    wood = pick(g, WOOD)
    w, top, d = g.uniform(1.3, 1.9), -0.75, g.uniform(0.2, 0.34) + 0.7 * near
    x, slope = w / 2, 0.86 - 0.22 * near
    round_top = g.random() < 0.4 and near < 0.3
    if round_top:
        board = ellipse(0, top - d / 2 + 0.02, x, d * 0.75)
        legs = [
            part(
                [
                    limb([(0, top), (0, -0.1)], [0.12, 0.1]),
                    limb([(-0.32, -0.02), (0, -0.16), (0.32, -0.02)], [0.07, 0.1, 0.07]),
                ],
                wood,
                0.5,
                grain="wood",
            )
        ]
        rim = [part([ellipse(0, top - d / 2 + 0.075, x, d * 0.75)], shade(wood, 0.72), 0.4)]
    else:
        board = np.array([(-x, top), (-x * slope, top - d), (x * slope, top - d), (x, top)])
        legs = [
            part(_legs((-x * 0.8, x * 0.8), top - 0.05, wood, 0.06, 0.0), shade(wood, 0.62), 0.3),
            part(_legs((-x + 0.07, x - 0.07), top, wood, 0.08), wood, 0.5, grain="wood"),
        ]
        rim = [part(box(-x, top, x, top + 0.07, 0.015), shade(wood, 0.8), 0.4, grain="wood")]
    cloth = []
    if g.random() < 0.45:
        tint, drop = pick(g, [*CLOTH, (246, 240, 230), (246, 240, 230)]), g.uniform(0.12, 0.3)
        u = np.linspace(-1, 1, 15)
        hem = np.stack([u * x * 1.02, top + drop + 0.02 * np.cos(np.arange(15) * np.pi)], 1)
        if round_top:
            hem[:, 1] = (
                top - d / 2 + drop + d * 0.72 * np.sqrt(np.clip(1 - u**2, 0, 1)) + 0.015 * np.cos(np.arange(15) * np.pi)
            )
            drape = np.vstack([[(-x, top - d / 2)], hem, [(x, top - d / 2)]])
        else:
            drape = np.vstack([[(-x, top - 0.01)], hem, [(x, top - 0.01)]])
        cloth = [part(spline(drape, steps=3), shade(tint, 0.88), 0.4), part(board, tint, 0.3, grain="fine")]
        checks = mix(tint, (255, 255, 255), 0.5) if np.mean(tint) < 200 else mix(tint, (206, 80, 74), 0.5)
        if g.random() < 0.5:
            cloth.append(
                part(
                    [
                        np.array(
                            [
                                (k * 0.2 * x - 0.03, top),
                                (k * 0.2 * slope * x - 0.03, top - d),
                                (k * 0.2 * slope * x + 0.03, top - d),
                                (k * 0.2 * x + 0.03, top),
                            ]
                        )
                        for k in range(-4, 5)
                    ],
                    checks,
                    0,
                    clip=True,
                )
            )
    ware = []
    flat = 0.32 + 0.4 * near  # how round a plate looks
    for v in np.sort(g.uniform(0.12, 0.8, g.integers(3, 6) + round(4 * near)))[::-1]:  # far ones first
        px, py = g.uniform(-0.85, 0.85) * x * (1 - v * (1 - slope)), top - d * v
        tint = pick(g, [(246, 244, 240), (246, 244, 240), *CLOTH], 4)
        what = g.integers(3)
        if what == 0:  # a plate with something on it, a fork and a knife
            food = [ellipse(px + o, py - 0.012, 0.045, 0.045 * flat) for o in (-0.035, 0.035)]
            ware += [
                part(
                    [
                        limb([(px + o, py + 0.1 * flat), (px + 0.9 * o, py - 0.12 * flat)], [0.014, 0.02])
                        for o in (-0.18, 0.18)
                    ],
                    (196, 198, 204),
                    0.2,
                )
            ]
            ware += [
                part(ellipse(px, py, 0.14, 0.14 * flat), shade(tint, 0.94), 0.3),
                part(ellipse(px, py - 0.004, 0.1, 0.1 * flat), mix(tint, (255, 255, 255), 0.4), 0.1),
                part(food, pick(g, [(206, 120, 70), (120, 160, 80), (226, 190, 90)]), 0.4),
            ]
        elif what == 1:  # a cup
            ware += [
                part(ring(px + 0.055, py - 0.05, 0.034, 0.014), tint, 0.2),
                part(
                    spline([(px - 0.05, py - 0.1), (px + 0.05, py - 0.1), (px + 0.04, py), (px - 0.04, py)], steps=4),
                    tint,
                    0.6,
                ),
                part(ellipse(px, py - 0.097, 0.047, 0.04 * flat), (96, 64, 46), 0),
            ]
        else:  # a bowl of fruit
            fruit = [ellipse(px + o, py - 0.11, 0.05) for o in (-0.055, 0.0, 0.055)]
            ware += [
                part(fruit, pick(g, [(216, 76, 60), (236, 166, 60), (150, 180, 76)]), 0.6),
                part(
                    spline([(px - 0.14, py - 0.11), (px + 0.14, py - 0.11), (px + 0.07, py), (px - 0.07, py)], steps=4),
                    tint,
                    0.6,
                ),
            ]
    return [*legs, *rim, part(board, wood, 0.4, grain="wood"), *cloth, *ware]


def sofa(g) -> list[Part]:
    """Return a sofa: armrests and cushions give it away."""
    cloth, wood = pick(g, [*CLOTH, *[(176, 160, 142), (120, 110, 106)]]), pick(g, WOOD)
    w, seats = (1.25, 1) if g.random() < 0.2 else (g.uniform(1.7, 2.1), int(g.integers(2, 4)))
    x, top = w / 2, -g.uniform(0.78, 0.92)
    inner = x - 0.17
    cells = np.linspace(-inner, inner, seats + 1)
    back = box(-x + 0.06, top, x - 0.06, -0.25, 0.13)
    cushions = [box(a + 0.008, -0.5, b - 0.008, -0.3, 0.06) for a, b in pairwise(cells)]
    rests = [box(a + 0.01, top + 0.05, b - 0.01, -0.44, 0.1) for a, b in pairwise(cells)]
    arms = [box(s * (x - 0.1) - 0.1, -0.62, s * (x - 0.1) + 0.1, -0.1, 0.09) for s in (-1, 1)]
    out = [
        part(_legs((-x + 0.1, x - 0.1), -0.12, wood, 0.055), wood, 0.4),
        part(back, shade(cloth, 0.82), 0.6, grain="fine"),
        part(box(-x + 0.08, -0.34, x - 0.08, -0.09, 0.03), shade(cloth, 0.78), 0.4, grain="fine"),
    ]
    out += [part([r], mix(cloth, (255, 255, 255), 0.05), 0.8, grain="fine") for r in rests] + [
        part([c], mix(cloth, (255, 255, 255), 0.12), 0.8, grain="fine") for c in cushions
    ]
    for _ in range(g.integers(0, 3)):
        px, tint, a = g.uniform(-inner + 0.15, inner - 0.15), pick(g, CLOTH), g.uniform(-0.35, 0.35)
        pillow = (
            spline(
                [
                    (-0.16, -0.15),
                    (0, -0.12),
                    (0.16, -0.15),
                    (0.13, 0),
                    (0.16, 0.15),
                    (0, 0.12),
                    (-0.16, 0.15),
                    (-0.13, 0),
                ]
            )
            * 1.05
        )
        out.append(part(turn(pillow, a) + np.array([px, -0.62]), tint, 0.8, grain="fine"))
    return [*out, part(arms, cloth, 0.9, grain="fine")]
