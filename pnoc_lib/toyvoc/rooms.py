"""The inside of houses, in image heights: walls, floors and the clutter that belongs to no class."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pnoc_lib.toyvoc.colours import CLOTH, SKIES, mix, pick, shade
from pnoc_lib.toyvoc.paint import Part, box, ellipse, gradient, limb, moved, part


def cupboard(x0: float, x1: float, top: float, floor: float, luck: np.ndarray) -> list[Part]:
    """Return a cupboard from its top to the floor that belongs to no class; `luck` (4,) in [0, 1] decides its looks."""
    wood = np.array(
        [(168, 120, 82), (226, 218, 206), (112, 80, 62), (196, 156, 112), (120, 130, 136), (150, 164, 150)], float
    )[int(luck[3] * 5.99)]
    cells = max(1, min(4, round((x1 - x0) / max(floor - top, 0.12))))
    xs = np.linspace(x0 + 0.015, x1 - 0.015, cells + 1)
    doors = [box(a + 0.008, top + 0.03, b - 0.008, floor - 0.025, 0.006) for a, b in pairwise(xs)]
    knobs = [ellipse(b - 0.025, top + 0.35 * (floor - top), 0.007, n=10) for b in xs[1:]]
    return [
        part(box(x0, top, x1, floor, 0.008), wood, 0.4, grain="wood"),
        part(doors, shade(wood, 1.1), 0.5, grain="wood", clip=True),
        part(knobs, shade(wood, 0.45), 0.3, clip=True),
        part(box(x0 - 0.015, top - 0.006, x1 + 0.015, top + 0.02, 0.006), shade(wood, 1.16), 0.4),
        part(box(x0, floor - 0.014, x1, floor), shade(wood, 0.6), 0, clip=True),
    ]


def room(canvas, g, line, aspect, things):
    wall = pick(
        g,
        [
            (226, 214, 196),
            (196, 208, 206),
            (214, 190, 178),
            (178, 190, 202),
            (232, 226, 214),
            (190, 198, 172),
            (206, 178, 140),
        ],
    )
    floor = pick(g, [(176, 134, 96), (150, 110, 82), (200, 164, 124), (170, 164, 160), (128, 104, 92)])
    gradient(canvas, mix(wall, (255, 255, 255), 0.15), shade(wall, 0.88), 0, line)
    gradient(canvas, shade(floor, 0.84), mix(floor, (255, 255, 255), 0.08), line, 1, "wood", 6)
    style = g.integers(4)
    if style == 0:
        yield [part([box(x, 0, x + 0.03, line) for x in np.arange(0, aspect, 0.09)], shade(wall, 0.95), 0)]
    elif style == 1:
        yield [
            part(
                [
                    ellipse(x + 0.03 * (j % 2), 0.03 + 0.06 * j, 0.008, n=8)
                    for x in np.arange(0, aspect, 0.06)
                    for j in range(int(line / 0.06))
                ],
                shade(wall, 0.9),
                0,
            )
        ]
    if g.random() < 0.7:
        yield [
            part(
                [
                    np.array(
                        [
                            (aspect / 2 + (x - aspect / 2) * 1.0, line),
                            (aspect / 2 + (x - aspect / 2) * 1.0 + 0.003, line),
                            (aspect / 2 + (x - aspect / 2) * 2.4 + 0.005, 1),
                            (aspect / 2 + (x - aspect / 2) * 2.4, 1),
                        ]
                    )
                    for x in np.arange(-0.4, aspect + 0.4, 0.11)
                ],
                shade(floor, 0.72),
                0,
            )
        ]
    yield [part(box(-0.1, line - 0.028, aspect + 0.1, line + 0.004), mix(wall, (255, 255, 255), 0.5), 0.3)]
    # small things make a large room: what hangs and stands along the wall shrinks with them, about the foot of the wall
    tall = max((t.high[1] - t.low[1]) * t.scale for t in things)
    s = float(np.clip(0.62 + 0.5 * tall, 0.7, 1.15))
    far = aspect / s

    def back(layer: list[Part]) -> list[Part]:
        return [moved(q, s, 0, line * (1 - s)) for q in layer]

    if g.random() < 0.45:
        yield back(_window(g, g.uniform(0.05, far - 0.4), 0.08))
    for _ in range(g.integers(1, 4)):
        yield back(_picture(g, g.uniform(0, far - 0.1), g.uniform(0.05, 0.3)))
    if g.random() < 0.5:
        yield back(_books(g, g.uniform(0, far - 0.3), line))
    if g.random() < 0.4:
        yield back(_lamp(g, g.uniform(0.05, far - 0.05), line + 0.03))
    if g.random() < 0.4:
        yield [
            part(
                ellipse(g.uniform(0.3, aspect - 0.3), 0.5 * (line + 1.02), g.uniform(0.3, 0.55), 0.36 * (1 - line)),
                pick(g, CLOTH),
                0.2,
                grain="fine",
            )
        ]
    if g.random() < 0.35:
        x, s = g.uniform(0, aspect - 0.2), g.uniform(0.1, 0.18)
        yield [
            part(
                box(x, line + 0.04 - s, x + 1.2 * s, line + 0.04, 0.01),
                pick(g, [(196, 156, 112), *CLOTH]),
                0.5,
                grain="fine",
            ),
            part(box(x + 0.5 * s, line + 0.04 - s, x + 0.7 * s, line + 0.04), (226, 204, 170), 0),
        ]


def _window(g, x, y) -> list[Part]:
    w, h = g.uniform(0.26, 0.38), g.uniform(0.3, 0.42)
    top, _ = SKIES[g.integers(len(SKIES))]
    cloth = pick(g, CLOTH)
    out = [
        part(box(x - 0.02, y - 0.02, x + w + 0.02, y + h + 0.02), (246, 242, 236), 0.3),
        part(box(x, y, x + w, y + h), mix(top, (255, 255, 255), 0.3), 0.3),
        part(ellipse(x + 0.5 * w, y + h, 0.5 * w, 0.3 * h), (120, 158, 110), 0.3, clip=True),
        part(
            [box(x + w / 2 - 0.006, y, x + w / 2 + 0.006, y + h), box(x, y + h / 2 - 0.006, x + w, y + h / 2 + 0.006)],
            (246, 242, 236),
            0,
        ),
    ]
    drapes = [
        np.array([(x - 0.05, y - 0.04), (x + 0.1, y - 0.04), (x + 0.03, y + h + 0.06), (x - 0.05, y + h + 0.06)]),
        np.array(
            [
                (x + w + 0.05, y - 0.04),
                (x + w - 0.1, y - 0.04),
                (x + w - 0.03, y + h + 0.06),
                (x + w + 0.05, y + h + 0.06),
            ]
        ),
    ]
    return [
        *out,
        part(drapes, cloth, 0.5, grain="fur"),
        part(limb([(x - 0.08, y - 0.04), (x + w + 0.08, y - 0.04)], [0.014] * 2), (110, 84, 66), 0.2),
    ]


def _picture(g, x, y) -> list[Part]:
    w, h = g.uniform(0.1, 0.2), g.uniform(0.1, 0.2)
    a, b = pick(g, CLOTH), pick(g, CLOTH)
    return [
        part(
            box(x - 0.012, y - 0.012, x + w + 0.012, y + h + 0.012),
            pick(g, [(96, 70, 54), (240, 236, 228), (196, 160, 90), (60, 58, 62)]),
            0.3,
        ),
        part(box(x, y, x + w, y + h), mix(a, (255, 255, 255), 0.45), 0.2),
        part(ellipse(x + g.uniform(0.2, 0.8) * w, y + h, 0.6 * w, 0.5 * h), b, 0.2, clip=True),
        part(ellipse(x + g.uniform(0.2, 0.8) * w, y + 0.3 * h, 0.12 * w), mix(a, (255, 240, 180), 0.7), 0),
    ]


def _books(g, x, line) -> list[Part]:
    w, h = g.uniform(0.26, 0.4), g.uniform(0.4, line - 0.06)
    wood = pick(g, [(150, 108, 76), (232, 226, 216), (104, 78, 62)])
    base = line + 0.02
    out = [part(box(x, base - h, x + w, base), wood, 0.3, grain="wood")]
    rows = max(2, int(h / 0.15))
    step = h / rows
    for j in range(rows):
        y = base - h + j * step
        out.append(part(box(x + 0.015, y + 0.015, x + w - 0.015, y + step - 0.008), shade(wood, 0.55), 0))
        u = x + 0.02
        while u < x + w - 0.05:
            t, v = g.uniform(0.012, 0.03), g.uniform(0.55, 0.85) * step
            if g.random() < 0.85:
                out.append(part(box(u, y + step - 0.008 - v, u + t, y + step - 0.008), pick(g, CLOTH), 0.2))
            u += t + 0.002
    return out


def _lamp(g, x, y) -> list[Part]:
    h = g.uniform(0.45, 0.62)
    return [
        part([limb([(x, y), (x, y - h)], [0.012] * 2), ellipse(x, y, 0.06, 0.015)], (90, 78, 72), 0.3),
        part(ellipse(x, y - h - 0.02, 0.16, 0.14), (255, 236, 180), 0, alpha=0.25, blur=0.04),
        part(
            np.array(
                [(x - 0.045, y - h - 0.1), (x + 0.045, y - h - 0.1), (x + 0.08, y - h + 0.03), (x - 0.08, y - h + 0.03)]
            ),
            mix(pick(g, CLOTH), (255, 244, 214), 0.6),
            0.5,
        ),
    ]
