"""Bicycles and motorbikes: metres, y down, on the ground y = 0."""

from __future__ import annotations

import numpy as np

from pnoc_lib.toyvoc.colours import GLASS, LAMP, PAINT, RUBBER, STEEL, TAIL, mix, pick, shade
from pnoc_lib.toyvoc.paint import Part, box, ellipse, limb, part, ring, spline
from pnoc_lib.toyvoc.road import wheel


def _spokes(x: float, r: float, n: int = 7) -> list[Part]:
    """Return the wheel that bicycles have and light motorbikes may have: a tyre, a rim, spokes."""
    spokes = [
        limb([(x, -r), (x + 0.92 * r * np.cos(a), -r + 0.92 * r * np.sin(a))], [0.022 * r * 2] * 2)
        for a in np.arange(n) * 2 * np.pi / n
    ]
    return [
        part(spokes, (206, 208, 212), 0, solid=False),
        part(ring(x, -r, r, 0.17 * r), RUBBER, 0.3),
        part(ring(x, -r, 0.84 * r, 0.05 * r), STEEL, 0),
        part(ellipse(x, -r, 0.09 * r), (110, 112, 118), 0.3),
    ]


def bicycle(g) -> list[Part]:
    """Return a bicycle: the open frame and the handlebar give it away."""
    paint = pick(g, PAINT)
    r, a, b = 0.35, -0.55, 0.55
    seat, crank, _ = (-0.2, -0.86), (-0.08, -0.3), (0.36, -0.88)
    fork = (b, -r)

    def tube(p, q, w=0.068):
        return limb([p, q], [w, w])

    step = g.random() < 0.4  # a low frame
    frame = [
        tube((a, -r), crank),
        tube((a, -r), (-0.17, -0.74), 0.055),
        tube(crank, seat),
        tube(crank, (0.38, -0.76)),
        tube((0.34, -0.94), (0.42, -0.66)),
        limb([(0.42, -0.68), (0.47, -0.5), fork], [0.065, 0.06, 0.055]),
    ]
    frame.append(
        limb([(-0.12, -0.52), (0.2, -0.58), (0.38, -0.72)], [0.05] * 3) if step else tube((-0.18, -0.78), (0.36, -0.84))
    )
    bar = (
        limb([(0.34, -0.94), (0.36, -1.02), (0.28, -1.05), (0.2, -1.0)], [0.04, 0.04, 0.04, 0.055])
        if g.random() < 0.6
        else limb([(0.34, -0.94), (0.46, -1.0), (0.54, -0.92), (0.46, -0.84)], [0.04, 0.04, 0.045, 0.045])
    )
    parts = [
        *_spokes(a, r, 11),
        *_spokes(b, r, 11),
        part(frame, paint, 0.5),
        part(
            [
                ring(crank[0], crank[1], 0.1, 0.03),
                limb([crank, (0.02, -0.15)], [0.03] * 2),
                box(-0.04, -0.16, 0.09, -0.12, 0.02),
            ],
            (84, 84, 90),
            0.2,
        ),
        part([tube((-0.2, -0.84), (-0.21, -0.92), 0.04), bar], (96, 96, 102), 0.3),
        part(
            spline([(-0.36, -0.97), (-0.2, -0.97), (-0.04, -0.94), (-0.06, -0.91), (-0.2, -0.9), (-0.34, -0.91)]),
            (60, 48, 44),
            0.5,
        ),
    ]
    if g.random() < 0.4:
        parts.append(
            part(
                [
                    limb(
                        [(a + (r + 0.04) * np.cos(t), -r + (r + 0.04) * np.sin(t)) for t in np.linspace(3.3, 5.6, 7)],
                        [0.03] * 7,
                        smooth=False,
                    ),
                    limb(
                        [(b + (r + 0.04) * np.cos(t), -r + (r + 0.04) * np.sin(t)) for t in np.linspace(3.8, 5.9, 7)],
                        [0.03] * 7,
                        smooth=False,
                    ),
                ],
                shade(paint, 0.85),
                0.2,
            )
        )
    if g.random() < 0.3:
        parts += [
            part(
                spline([(0.42, -0.96), (0.74, -0.96), (0.7, -0.72), (0.46, -0.72)], steps=3),
                (186, 140, 92),
                0.5,
                grain="wood",
            )
        ]
    return parts


def motorbike(g) -> list[Part]:
    """Return a motorbike: tank, engine and fork give it away."""
    paint, r = pick(g, PAINT), 0.33
    a, b = -0.72, 0.72
    wheels = [
        p
        for x in (a, b)
        for p in (
            [*wheel(x, r)]
            if g.random() < 0.7
            else [
                *wheel(x, r, rim=False),
                part(ellipse(x, -r, 0.7 * r), (190, 192, 198), 0.3),
                part(ellipse(x, -r, 0.2 * r), (90, 92, 98), 0.3),
            ]
        )
    ]
    tank = spline([(-0.12, -0.78), (0.02, -0.98), (0.3, -1.0), (0.45, -0.86), (0.3, -0.74)])
    tailp = spline([(-0.8, -0.92), (-0.5, -0.84), (-0.1, -0.76), (-0.15, -0.62), (-0.5, -0.68)])
    seat = spline([(-0.74, -0.92), (-0.5, -0.95), (-0.26, -0.84), (-0.06, -0.86), (-0.1, -0.76), (-0.5, -0.82)])
    out = [
        part(
            [
                limb([(0.4, -0.98), (0.56, -0.62), (b, -r)], [0.09, 0.08, 0.07]),
                limb([(a, -r), (-0.1, -0.42)], [0.1, 0.12]),
            ],
            (150, 154, 160),
            0.5,
        ),
        *wheels,
        part(
            [limb([(b - r * 0.9, -r * 1.7), (b - 0.05, -r * 2.2), (b + r * 0.85, -r * 1.65)], [0.06, 0.09, 0.05])],
            paint,
            0.6,
        ),
        part(
            spline([(-0.3, -0.7), (0.42, -0.78), (0.4, -0.3), (0.2, -0.18), (-0.2, -0.2), (-0.34, -0.4)]),
            (88, 88, 96),
            0.7,
        ),
        part([box(-0.14 + 0.0, y, 0.3, y + 0.03) for y in (-0.62, -0.55, -0.48)], (160, 162, 170), 0),
        part(ellipse(0.08, -0.34, 0.13), (170, 172, 178), 0.6),
        part(
            limb([(0.3, -0.3), (-0.1, -0.16), (-0.5, -0.2), (-0.98, -0.32)], [0.07, 0.08, 0.1, 0.13]),
            (206, 208, 212),
            0.7,
        ),
        part([tank, tailp], paint, 0.9),
        part(
            spline([(0.0, -0.86), (0.16, -0.94), (0.36, -0.88), (0.16, -0.84)]),
            mix(paint, (255, 255, 255), 0.7),
            0,
            clip=False,
        ),
        part(seat, (52, 46, 46), 0.6),
        part(
            [
                limb([(0.4, -0.98), (0.34, -1.14), (0.2, -1.16)], [0.05, 0.045, 0.06]),
                limb([(0.36, -1.12), (0.42, -1.26)], [0.025] * 2),
            ],
            (70, 70, 76),
            0.3,
        ),
        part(ellipse(0.42, -1.29, 0.06, 0.045), (120, 124, 130), 0.4),
        part(ellipse(0.54, -0.94, 0.12), (84, 84, 90), 0.4),
        part(ellipse(0.58, -0.94, 0.085, 0.1), LAMP, 0.3),
        part(ellipse(-0.82, -0.88, 0.05, 0.04), TAIL, 0.2),
    ]
    if g.random() < 0.35:
        out.append(
            part(
                spline([(0.36, -1.0), (0.52, -1.34), (0.6, -1.3), (0.64, -1.0)]),
                mix(GLASS, (255, 255, 255), 0.3),
                0.4,
                alpha=0.85,
            )
        )
    return out
