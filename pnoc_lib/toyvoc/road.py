"""Cars and buses: metres, y down, on the ground y = 0. Wheels are shared with `cycles`."""

from __future__ import annotations

import numpy as np

from pnoc_lib.toyvoc.colours import GLASS, LAMP, PAINT, RUBBER, STEEL, TAIL, mix, pick, shade
from pnoc_lib.toyvoc.paint import Part, box, ellipse, limb, part, spline


def wheel(x: float, r: float, *, rim: bool = True) -> list[Part]:
    """Return the wheel that car, bus and motorbike share."""
    out = [part(ellipse(x, -r, r), RUBBER, 0.4)]
    if rim:
        out += [part(ellipse(x, -r, 0.62 * r), STEEL, 0.6), part(ellipse(x, -r, 0.5 * r), (120, 124, 130), 0.3)]
        out.append(
            part(
                [
                    limb([(x, -r), (x + 0.5 * r * np.cos(a), -r + 0.5 * r * np.sin(a))], [0.14 * r, 0.1 * r])
                    for a in np.arange(5) * 1.257 + 0.3
                ],
                STEEL,
                0.2,
            )
        )
        out.append(part(ellipse(x, -r, 0.13 * r), (84, 86, 92), 0.2))
    return out


def gloss(outline, glass=GLASS) -> list[Part]:
    """Return a pane with a slanted reflection."""
    low, high = outline.min(0), outline.max(0)
    w, h = high - low
    x = low[0] + 0.25 * w
    streak = np.array([(x, high[1]), (x + 0.4 * h, low[1]), (x + 0.75 * h, low[1]), (x + 0.35 * h, high[1])])
    return [part(outline, glass, 0.5), part(streak, mix(glass, (255, 255, 255), 0.6), 0, clip=True)]


def car(g) -> list[Part]:
    """Return a car, from the side or from the front: cabin and lights give it away."""
    paint = pick(g, PAINT)
    if g.random() < 0.3:
        return _car_front(g, paint)
    r, tall = 0.33, g.uniform(0.92, 1.12)
    kind = g.integers(3)  # saloon, hatchback, estate
    back = [(-1.95, -0.78), (-1.35, -0.9)] if kind == 0 else [(-1.9, -0.86), (-1.72, -1.1)]
    roof = [(-0.85, -1.38 * tall), (0.35, -1.38 * tall)] if kind == 0 else [(-1.45, -1.36 * tall), (0.35, -1.38 * tall)]
    shell = spline(
        [
            (-2.05, -0.3),
            (-2.07, -0.62),
            *back,
            *roof,
            (0.72, -1.2 * tall),
            (1.12, -0.88),
            (1.9, -0.74),
            (2.1, -0.56),
            (2.1, -0.3),
            (1.9, -0.2),
            (-1.9, -0.2),
        ],
        steps=5,
    )
    top, sill = -1.27 * tall, -0.86
    rear = -1.12 if kind == 0 else -1.5
    front_glass = spline([(-0.12, top), (0.32, top), (0.62, -1.1 * tall), (0.95, sill), (-0.12, sill)], steps=3)
    rear_glass = np.array([(rear + 0.3, top), (-0.24, top), (-0.24, sill), (rear - 0.08, sill)])
    wheels = [p for x in (-1.28, 1.3) for p in wheel(x, r)]
    return [
        part(box(-1.9, -0.3, 1.9, -0.16), (58, 56, 60), 0.2),
        part(shell, paint, 0.9),
        part(
            limb([(-2.0, -0.7), (0.5, -0.72), (2.05, -0.62)], [0.03] * 3),
            mix(paint, (255, 255, 255), 0.4),
            0,
            clip=True,
        ),
        part(box(-2.2, -0.34, 2.2, -0.1), shade(paint, 0.62), 0, clip=True),
        *gloss(front_glass),
        *gloss(rear_glass),
        part(
            [box(-0.19, -0.86, -0.17, -0.34), box(0.93, -0.8, 0.95, -0.5), box(-1.2, -0.8, -1.18, -0.6)],
            shade(paint, 0.7),
            0,
        ),
        part([box(-0.5, -0.72, -0.3, -0.69, 0.01), box(0.6, -0.72, 0.8, -0.69, 0.01)], shade(paint, 0.55), 0),
        part([ellipse(x, -r, r * 1.18) for x in (-1.28, 1.3)], (46, 44, 50), 0, clip=False),
        *wheels,
        part(spline([(1.84, -0.7), (2.08, -0.6), (2.08, -0.52), (1.88, -0.56)]), LAMP, 0.3),
        part(box(-2.08, -0.72, -1.98, -0.54, 0.03), TAIL, 0.3),
    ]


def _car_front(g, paint) -> list[Part]:
    h = g.uniform(1.35, 1.6)
    cabin = spline(
        [(-0.72, -0.84), (-0.56, -h + 0.08), (-0.3, -h), (0.3, -h), (0.56, -h + 0.08), (0.72, -0.84)], steps=4
    )
    glass = spline([(-0.6, -0.86), (-0.48, -h + 0.14), (0.48, -h + 0.14), (0.6, -0.86)], steps=2)
    hull = spline(
        [
            (-0.86, -0.25),
            (-0.9, -0.6),
            (-0.8, -0.88),
            (-0.4, -0.94),
            (0.4, -0.94),
            (0.8, -0.88),
            (0.9, -0.6),
            (0.86, -0.25),
            (0.7, -0.18),
            (-0.7, -0.18),
        ]
    )
    return [
        part([box(s * 0.7 - 0.13, -0.42, s * 0.7 + 0.13, 0, 0.05) for s in (-1, 1)], RUBBER, 0.4),
        part([ellipse(s * 0.9, -0.96, 0.13, 0.07) for s in (-1, 1)], shade(paint, 0.85), 0.5),
        part(cabin, paint, 0.7),
        *gloss(glass),
        part(hull, paint, 0.9),
        part(box(-0.42, -0.66, 0.42, -0.46, 0.06), (54, 52, 58), 0.2),
        part([limb([(-0.4, y), (0.4, y)], [0.02] * 2) for y in (-0.61, -0.56, -0.51)], STEEL, 0),
        part([ellipse(s * 0.64, -0.62, 0.16, 0.1) for s in (-1, 1)], LAMP, 0.4),
        part([ellipse(s * 0.64, -0.62, 0.07) for s in (-1, 1)], (255, 252, 236), 0),
        part(box(-0.8, -0.36, 0.8, -0.22, 0.05), shade(paint, 0.7), 0.3),
        part(box(-0.2, -0.38, 0.2, -0.28, 0.02), (240, 238, 230), 0),
    ]


def bus(g) -> list[Part]:
    """Return a bus, from the side or from the front: its row of windows gives it away."""
    paint = pick(g, PAINT)
    band = mix(paint, (250, 248, 240), 0.75) if g.random() < 0.6 else pick(g, PAINT)
    if g.random() < 0.3:
        return _bus_front(g, paint, band)
    decks = 2 if g.random() < 0.25 else 1
    n, h = (7.6, 4.1) if decks == 2 else (g.uniform(8.2, 10.0), 3.05)
    x0, x1, r = -n / 2, n / 2, 0.5
    body = box(x0, -h, x1, -0.35, 0.28)
    out = [
        part(box(x0 + 0.2, -0.5, x1 - 0.2, -0.25), (58, 56, 60), 0.2),
        part(body, paint, 0.8),
        part(box(x0, -1.5, x1, -1.25), band, 0.2, clip=True),
        part(box(x0, -0.55, x1, -0.3), shade(paint, 0.6), 0, clip=True),
    ]
    for deck in range(decks):
        top = -h + 0.42 + deck * 1.5 if decks == 2 else -h + 0.45
        count = 6 if decks == 2 else 7
        step = (n - 1.9) / count
        out.append(part(box(x0 + 0.25, top - 0.07, x1 - 0.2, top + 1.03, 0.12), (60, 62, 72), 0.1))
        for k in range(count):
            out += gloss(box(x0 + 0.35 + k * step, top, x0 + 0.35 + (k + 1) * step - 0.12, top + 0.95, 0.08))
    door = x1 - 1.5
    out += gloss(box(door, -2.45, door + 0.62, -0.5, 0.06))
    out += [part(box(door + 0.29, -2.45, door + 0.33, -0.5), shade(paint, 0.6), 0)]
    out += gloss(np.array([(x1 - 0.62, -2.6), (x1 - 0.06, -2.6), (x1 - 0.03, -1.45), (x1 - 0.62, -1.45)]))
    out += (
        [
            part(box(x1 - 0.75, -h + 0.08, x1 - 0.1, -h + 0.36, 0.05), (40, 40, 46), 0),
            part(box(x1 - 0.68, -h + 0.14, x1 - 0.2, -h + 0.28, 0.02), (250, 190, 80), 0),
        ]
        if decks == 1
        else []
    )
    out += [
        part(ellipse(x1 - 0.1, -0.85, 0.12, 0.14), LAMP, 0.3),
        part(box(x0 + 0.02, -1.2, x0 + 0.14, -0.8, 0.03), TAIL, 0.2),
    ]
    wheels = (x0 + 1.7, x1 - 2.2)
    out.append(part([ellipse(x, -r, r * 1.15) for x in wheels], (46, 44, 50), 0))
    return out + [p for x in wheels for p in wheel(x, r)]


def _bus_front(g, paint, band) -> list[Part]:
    h = 3.1
    out = [
        part([box(s * 0.95 - 0.18, -0.7, s * 0.95 + 0.18, 0, 0.06) for s in (-1, 1)], RUBBER, 0.4),
        part(
            [limb([(s * 1.25, -2.5), (s * 1.48, -2.4)], [0.06] * 2) for s in (-1, 1)]
            + [box(s * 1.5 - 0.1, -2.42, s * 1.5 + 0.1, -1.95, 0.06) for s in (-1, 1)],
            (50, 50, 56),
            0.3,
        ),
        part(box(-1.27, -h, 1.27, -0.32, 0.25), paint, 0.8),
        part(box(-1.3, -1.2, 1.3, -0.95), band, 0.2, clip=True),
    ]
    out += gloss(box(-1.12, -2.5, -0.03, -1.3, 0.12)) + gloss(box(0.03, -2.5, 1.12, -1.3, 0.12))
    out += [
        part(box(-0.85, -2.98, 0.85, -2.62, 0.06), (40, 40, 46), 0),
        part([box(-0.6 + 0.32 * k, -2.9, -0.36 + 0.32 * k, -2.7, 0.03) for k in range(4)], (250, 190, 80), 0),
        part([ellipse(s * 0.92, -0.75, 0.17, 0.13) for s in (-1, 1)], LAMP, 0.4),
        part(box(-0.5, -0.85, 0.5, -0.65, 0.05), (54, 52, 58), 0.2),
        part(box(-1.2, -0.52, 1.2, -0.36, 0.05), shade(paint, 0.6), 0.2),
        part(box(-0.25, -0.56, 0.25, -0.42, 0.02), (240, 238, 230), 0),
    ]
    return out
