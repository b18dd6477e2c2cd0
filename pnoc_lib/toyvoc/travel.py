"""Trains, aeroplanes and boats: metres, y down, on the ground or the water y = 0."""

from __future__ import annotations

import numpy as np

from pnoc_lib.toyvoc.colours import GLASS, PAINT, RUBBER, mix, pick, shade
from pnoc_lib.toyvoc.paint import Part, box, ellipse, limb, moved, part, ring, spline
from pnoc_lib.toyvoc.road import gloss


def train(g, *, railed: bool = True) -> list[Part]:
    """Return a train that comes towards the reader: its front with the lights gives it away. railed: with its track."""
    paint, stripe = pick(g, PAINT), pick(g, [(250, 206, 80), (240, 236, 230), (202, 66, 60), (60, 80, 130)])
    h, w, rise = 3.6, 2.7, -1.7  # metres; what is far closes in on the point `away` at the height of the eye
    x0, shrink = w / 2, g.uniform(0.24, 0.42)
    away = x0 + g.uniform(4.5, 8.0) / (1 - shrink)
    yt, yb, nose = -h + 0.15, -0.45, g.random() < 0.5

    def seen(x, y, s):
        return (away + (x - away) * s, rise + (y - rise) * s)

    def strip(top, bottom, u0=0.0, u1=1.0):
        s = 1 / (1 + np.linspace(u0, u1, 6) * (1 / shrink - 1))
        return np.array([seen(x0, top, v) for v in s] + [seen(x0, bottom, v) for v in s[::-1]])

    def rail(x, half):
        return np.array(
            [seen(x - half, 0, 3.2), seen(x - half, 0, 0.2), seen(x + half, 0, 0.2), seen(x + half, 0, 3.2)]
        )

    out = []
    if railed:
        ties = [
            np.array([seen(-1.35, 0, s), seen(1.35, 0, s), seen(1.35, 0, 1.035 * s), seen(-1.35, 0, 1.035 * s)])
            for s in 1 / np.arange(0.32, 3.0, 0.075)
        ]
        out = [
            part(ties, (112, 90, 76), 0, solid=False),
            part([rail(-0.75, 0.06), rail(0.75, 0.06)], (176, 174, 180), 0.3, solid=False),
        ]
    out += [
        part(strip(-0.5, -0.05), (56, 54, 58), 0.1),
        part(strip(yt, yb), shade(paint, 0.82), 0.4),
        part(strip(-1.45, -1.2), shade(stripe, 0.85), 0),
        part(strip(yt, yt + 0.2), (120, 120, 126), 0),
    ]
    cells = 9
    for k in range(cells):
        a, b = 0.04 + k * 0.94 / cells, 0.04 + (k + 0.72) * 0.94 / cells
        if k % 4 == 3:
            out.append(part(strip(-2.75, -0.6, a, b), mix(paint, stripe, 0.4), 0.2))
            out.append(part(strip(-2.6, -1.7, a + 0.012, b - 0.012), GLASS, 0.2))
        else:
            out.append(part(strip(-2.75, -1.75, a, b), mix(GLASS, (70, 90, 110), 0.15), 0.4))
    out += [part(strip(yt, yb, u, u + 0.012), (50, 48, 54), 0) for u in (0.5,)]
    face = spline(
        [
            (-w / 2, -0.5),
            (-w / 2 * 1.02, -2.0),
            (-w / 2 * 0.86, -3.2),
            (-w / 4, -h),
            (w / 4, -h),
            (w / 2 * 0.86, -3.2),
            (w / 2 * 1.02, -2.0),
            (w / 2, -0.5),
        ],
        steps=5,
    )
    out += [
        part(box(-1.1, -0.5, 1.1, -0.02, 0.05), (56, 54, 58), 0.3),
        part([box(s * 0.85 - 0.12, -0.3, s * 0.85 + 0.12, 0.02, 0.03) for s in (-1, 1)], (90, 88, 92), 0.3),
        part(face, paint, 0.9),
        part(box(-w, -1.5, w, -1.15), stripe, 0.2, clip=True),
        part(spline([(-0.9, -0.4), (-0.3, -1.15), (0.3, -1.15), (0.9, -0.4)]), stripe, 0.2, clip=True)
        if nose
        else part(box(-w, -0.7, w, -0.4), stripe, 0.2, clip=True),
        part(box(-1.08, -2.95, 1.08, -1.75, 0.25), (54, 58, 68), 0.2),
        *gloss(box(-1.0, -2.86, -0.05, -1.84, 0.18)),
        *gloss(box(0.05, -2.86, 1.0, -1.84, 0.18)),
        part(box(-0.5, -3.35, 0.5, -3.08, 0.06), (40, 40, 46), 0),
        part(box(-0.36, -3.29, 0.36, -3.14, 0.03), (250, 190, 80), 0),
        part([ellipse(s * 0.92, -0.98, 0.2) for s in (-1, 1)], (70, 70, 76), 0.3),
        part([ellipse(s * 0.92, -0.98, 0.15) for s in (-1, 1)], (255, 248, 214), 0.2),
        part(ellipse(0, -3.46, 0.1), (255, 248, 214), 0.2),
        part(box(-0.28, -0.62, 0.28, -0.34, 0.06), (64, 62, 66), 0.4),
        part([ellipse(s * 0.6, -0.46, 0.14) for s in (-1, 1)], (86, 84, 88), 0.5),
    ]
    return out


def aeroplane(g, *, flying: bool = True) -> list[Part]:
    """Return an aeroplane, nose to the right, its wheels out unless flying: wings and tail fin give it away."""
    tilt = g.normal(-0.06, 0.09)
    paint, fin = pick(g, [(244, 242, 238), (244, 242, 238), *PAINT]), pick(g, PAINT)
    n = 9.0
    hull = spline(
        [
            (-n / 2, -1.75),
            (-n * 0.36, -1.95),
            (0, -2.0),
            (n * 0.36, -1.98),
            (n * 0.46, -1.72),
            (n / 2, -1.42),
            (n * 0.46, -1.2),
            (n * 0.3, -1.02),
            (-0.1 * n, -1.0),
            (-n * 0.34, -1.3),
        ]
    )
    near = np.array([(1.1, -1.3), (-0.3, -1.3), (-2.9, 0.5), (-2.2, 0.55)])
    far = np.array([(1.0, -1.9), (0.0, -1.9), (-1.3, -3.0), (-0.8, -3.05)])
    tail = np.array([(-n * 0.47, -1.8), (-n * 0.3, -1.95), (-n * 0.42, -3.35), (-n * 0.5, -3.35)])
    stab = np.array([(-n * 0.37, -1.62), (-n * 0.48, -1.62), (-n * 0.57, -1.2), (-n * 0.53, -1.18)])
    engine = spline([(-0.9, -0.55), (-0.6, -0.82), (0.2, -0.82), (0.36, -0.6), (0.2, -0.34), (-0.7, -0.34)])
    rows = [ellipse(x, -1.6, 0.085, 0.11, n=10) for x in np.arange(-2.9, 3.1, 0.42)]
    gear = (
        [
            part([limb([(x, -1.1), (x, -0.1)], [0.1, 0.1]) for x in (2.9, -0.5)], (120, 122, 128), 0.3),
            part([ellipse(x, 0.1, 0.25) for x in (2.9, -0.5)], RUBBER, 0.4),
        ]
        if not flying
        else []
    )
    parts = [
        part(far, shade(paint, 0.72), 0.3),
        part(tail, fin, 0.5),
        part(box(-6, -3.0, -2, -2.75), mix(fin, (255, 255, 255), 0.6), 0, clip=True),
        *gear,
        part(hull, paint, 0.95),
        part(
            spline([(-n / 2, -1.55), (0, -1.5), (n / 2, -1.3), (n / 2, -1.2), (0, -1.34), (-n / 2, -1.4)]),
            fin,
            0.1,
            clip=True,
        ),
        part(rows, (84, 108, 134), 0),
        part(np.array([(3.55, -1.85), (3.95, -1.8), (4.15, -1.58), (3.6, -1.58)]), (70, 96, 124), 0.3),
        part(stab, shade(paint, 0.85), 0.4),
        part(near, shade(paint, 0.9), 0.5),
        part(engine, mix(fin, (230, 230, 234), 0.4), 0.8),
        part(ellipse(0.26, -0.58, 0.09, 0.2), (54, 54, 60), 0),
    ]
    return [moved(p, 1, 0, -0.35) for p in parts] if not flying else [moved(p, 1, 0, 1.5, angle=tilt) for p in parts]


def boat(g) -> list[Part]:
    """Return a boat, afloat at y = 0: hull and sail or cabin give it away."""
    paint, trim = pick(g, PAINT), pick(g, PAINT)
    kind = g.choice(["sail", "fishing", "row"], p=[0.45, 0.4, 0.15])
    deck = 0.62
    hull = spline(
        [
            (-2.1, -deck),
            (0, -deck + 0.1),
            (1.6, -deck - 0.05),
            (2.45, -deck - 0.25),
            (2.0, -0.05),
            (1.6, 0.1),
            (-1.7, 0.1),
            (-2.0, -0.15),
        ],
        steps=4,
    )
    base = [
        part(hull, paint, 0.9, grain="wood"),
        part(box(-3, -0.1, 3, 0.2), mix((168, 60, 54), paint, 0.3), 0, clip=True),
        part(
            limb([(-2.1, -deck), (0, -deck + 0.1), (1.6, -deck - 0.05), (2.45, -deck - 0.25)], [0.11] * 4),
            mix(trim, (250, 246, 238), 0.5),
            0.3,
        ),
    ]
    if kind == "sail":
        cloth = pick(g, [(246, 240, 226), (246, 240, 226), *PAINT], 5)
        main = spline(
            [(0.12, -4.6), (0.3, -2.8), (0.2, -1.0), (-0.9, -0.95), (-1.95, -1.05), (-1.1, -2.4), (-0.2, -4.0)], steps=4
        )
        jib = spline([(0.42, -4.3), (1.2, -2.5), (2.2, -0.95), (1.2, -1.0), (0.55, -1.15), (0.62, -2.6)], steps=4)
        rig = [
            part(limb([(0.32, -0.5), (0.3, -4.8)], [0.11, 0.07]), (140, 100, 70), 0.3),
            part(limb([(0.3, -0.92), (-2.0, -0.95)], [0.08, 0.07]), (140, 100, 70), 0.2),
            part(main, cloth, 0.7),
            part([limb([(-2, y), (1, y)], [0.035] * 2) for y in (-3.5, -2.7, -1.9)], shade(cloth, 0.85), 0, clip=True),
            part(jib, mix(cloth, trim, 0.25), 0.7),
        ]
        return rig + base
    if kind == "fishing":
        cabin = [
            part(box(-1.5, -1.75, 0.3, -0.5, 0.1), (240, 236, 228), 0.6),
            part(box(-1.65, -1.9, 0.5, -1.7, 0.08), trim, 0.5),
        ]
        cabin += [q for x in (-1.3, -0.72, -0.14) for q in gloss(box(x, -1.5, x + 0.4, -1.1, 0.06), (110, 150, 176))]
        mast = [
            part(
                [limb([(-0.6, -1.8), (-0.6, -3.1)], [0.08, 0.05]), limb([(-0.6, -2.9), (1.9, -0.9)], [0.03, 0.03])],
                (110, 90, 76),
                0.2,
            ),
            part(np.array([(-0.58, -3.1), (-0.05, -2.95), (-0.58, -2.8)]), trim, 0.2),
        ]
        rings = [part(ring(x, -0.32, 0.17, 0.08), (232, 120, 70), 0.3) for x in (-0.9, 0.5)]
        return mast + cabin + base + rings
    inside = [
        part(
            spline(
                [
                    (-2.05, -deck),
                    (-1.2, -deck - 0.12),
                    (1.0, -deck - 0.14),
                    (2.35, -deck - 0.24),
                    (1.4, -deck + 0.12),
                    (-1.2, -deck + 0.15),
                ]
            ),
            shade(paint, 0.5),
            0.2,
        ),
        part([box(x, -deck - 0.1, x + 0.28, -deck + 0.05, 0.03) for x in (-1.1, 0.1, 1.1)], (200, 158, 112), 0.3),
    ]
    oars = [
        part(limb([(-0.3, -0.85), (-1.5, 0.05)], [0.07, 0.07]), (200, 158, 112), 0.2),
        part(ellipse(-1.6, 0.08, 0.3, 0.1, -0.75), (200, 158, 112), 0.3),
    ]
    return inside + base + oars
