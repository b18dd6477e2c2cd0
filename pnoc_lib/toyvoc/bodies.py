"""Four-legged bodies and eyes that cats, dogs, horses, cows and sheep share: metres, y down, on the ground y = 0."""

from __future__ import annotations

import numpy as np

from pnoc_lib.toyvoc.colours import DARK, FUR, mix, pick, shade
from pnoc_lib.toyvoc.paint import Part, ellipse, limb, part, spline


def _coat(g, clip_to: tuple[float, float, float, float], colour) -> list[Part]:
    """Return patches of a second colour that any four-legged animal may wear."""
    if g.random() > 0.42:
        return []
    x0, y0, x1, y1 = clip_to
    other = pick(g, FUR)
    if abs(other - colour).sum() < 120:
        other = mix(colour, (250, 246, 240) if np.mean(colour) < 128 else (84, 64, 52), 0.75)
    out = []
    for _ in range(g.integers(2, 5)):
        x, y, r = g.uniform(x0, x1), g.uniform(y0, y1), g.uniform(0.16, 0.32) * (y1 - y0)
        t = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        out.append(
            spline(
                np.stack(
                    [x + 1.4 * r * g.uniform(0.7, 1.3, 8) * np.cos(t), y + r * g.uniform(0.7, 1.3, 8) * np.sin(t)], 1
                )
            )
        )
    return [part(out, other, 0.3, clip=True, grain="fur")]


def _leg(x, top, w, lean, *, hind: bool) -> np.ndarray:
    bend = 0.10 * top * (1 if hind else 0.25)
    knee = (x + bend * (0.6 if hind else -0.4) + lean * 0.35, top * 0.58)
    hock = (x - bend * (0.9 if hind else 0) + lean * 0.75, top * 0.30)
    return limb(
        [(x, top), knee, hock, (x + lean - (bend * 0.4 if hind else 0), -w * 0.4)], [2.3 * w, 1.5 * w, w, 0.95 * w]
    )


def standing(g, colour, *, length, height, depth, leg, neck, tail, feet=None, grain="fur") -> list[Part]:
    """Return the body that cat, dog, horse, cow and sheep share, facing right: four legs, trunk, neck and tail.

    length, height, depth, leg: metres of trunk, back above ground, trunk from back to belly, leg width.
    neck: (x, y, width) of the head's end. tail: outline.
    """
    top = -(height - 0.55 * depth)
    swing = g.uniform(0.02, 0.16) * height * g.choice([-1, 1])
    xf, xh = 0.38 * length, -0.38 * length
    far, feet = shade(colour, 0.72), colour if feet is None else feet
    lean = [-swing, swing * 0.8, swing, -swing * 0.8]
    legs = [
        _leg(x + o, top, leg, d, hind=x < 0)
        for x, o, d in zip((xf, xh, xf, xh), (0.05 * length, 0.05 * length, 0, 0), lean, strict=True)
    ]
    y, b = -height, -(height - depth)
    trunk = spline(
        [
            (-0.5 * length, y + 0.30 * depth),
            (-0.42 * length, y + 0.02 * depth),
            (-0.1 * length, y + 0.06 * depth),
            (0.25 * length, y + 0.02 * depth),
            (0.46 * length, y + 0.12 * depth),
            (0.52 * length, y + 0.5 * depth),
            (0.4 * length, b + 0.02 * depth),
            (0.0, b + 0.04 * depth),
            (-0.3 * length, b - 0.06 * depth),
            (-0.47 * length, y + 0.7 * depth),
        ]
    )
    throat = limb(
        [
            (0.36 * length, y + 0.42 * depth),
            (0.5 * (0.42 * length + neck[0]), 0.5 * (y + neck[1]) + 0.06 * depth),
            neck[:2],
        ],
        [0.85 * depth, 0.66 * depth, neck[2]],
    )
    paws = [
        ellipse(o[len(o) // 2 - 6 : len(o) // 2 + 2, 0].mean() + 0.2 * leg, -0.45 * leg, 0.75 * leg, 0.5 * leg)
        for o in legs
    ]
    return [
        part([legs[0], legs[1]], far, 0.4, grain=grain),
        part(paws[:2], shade(feet, 0.72), 0.4),
        part(tail, colour, 0.5, grain=grain),
        part([trunk, throat, legs[2], legs[3]], colour, 0.8, grain=grain),
        *_coat(g, (-0.5 * length, y, 0.4 * length, b), colour),
        part(paws[2:], feet, 0.4),
    ]


def sitting(g, colour, *, height, width, tail) -> tuple[list[Part], tuple[float, float]]:
    """Return a sitting body seen from the front or a little aside, and where its head goes."""
    h, w = height, width
    trunk = spline(
        [
            (-0.22 * w, -h),
            (0.22 * w, -h),
            (0.36 * w, -0.62 * h),
            (0.5 * w, -0.2 * h),
            (0.42 * w, 0),
            (-0.42 * w, 0),
            (-0.5 * w, -0.2 * h),
            (-0.36 * w, -0.62 * h),
        ]
    )
    thighs = [ellipse(s * 0.36 * w, -0.17 * h, 0.2 * w, 0.17 * h) for s in (-1, 1)]
    legs = [
        limb(
            [(s * 0.15 * w, -0.62 * h), (s * 0.15 * w, -0.3 * h), (s * 0.14 * w, -0.05 * h)],
            [0.26 * w, 0.2 * w, 0.18 * w],
        )
        for s in (-1, 1)
    ]
    paws = [ellipse(s * 0.14 * w, -0.04 * h, 0.13 * w, 0.05 * h) for s in (-1, 1)] + [
        ellipse(s * 0.42 * w, -0.03 * h, 0.14 * w, 0.05 * h) for s in (-1, 1)
    ]
    chest = spline([(0, -0.98 * h), (0.18 * w, -0.8 * h), (0, -0.5 * h), (-0.18 * w, -0.8 * h)])
    light = mix(colour, (250, 244, 234), 0.55)
    return [
        part(tail, shade(colour, 0.9), 0.5, grain="fur"),
        part([trunk, *thighs], colour, 0.8, grain="fur"),
        *_coat(g, (-0.4 * w, -0.8 * h, 0.4 * w, -0.1 * h), colour),
        part(chest, light, 0.2, clip=True),
        part(legs, mix(colour, (255, 255, 255), 0.08), 0.7, grain="fur"),
        part(paws, light if g.random() < 0.5 else colour, 0.5),
    ], (0.0, -1.02 * h)


def lying(g, colour, *, length, height, tail) -> tuple[list[Part], tuple[float, float]]:
    """Return a lying body, facing right, and where its head goes."""
    n, h = length, height
    trunk = spline(
        [
            (-0.5 * n, -0.35 * h),
            (-0.38 * n, -0.85 * h),
            (-0.1 * n, -h),
            (0.25 * n, -0.92 * h),
            (0.46 * n, -0.7 * h),
            (0.5 * n, -0.25 * h),
            (0.42 * n, -0.02 * h),
            (-0.42 * n, -0.02 * h),
        ]
    )
    legs = [
        limb([(0.3 * n, -0.16 * h), (0.62 * n, -0.1 * h)], [0.22 * h, 0.2 * h]),
        limb([(-0.3 * n, -0.14 * h), (-0.02 * n, -0.09 * h)], [0.26 * h, 0.2 * h]),
    ]
    haunch = ellipse(-0.28 * n, -0.4 * h, 0.2 * n, 0.38 * h)
    return [
        part(tail, shade(colour, 0.9), 0.5, grain="fur"),
        part([trunk, legs[1]], colour, 0.8, grain="fur"),
        *_coat(g, (-0.45 * n, -0.9 * h, 0.3 * n, -0.2 * h), colour),
        part([haunch], mix(colour, (255, 255, 255), 0.05), 0.6, grain="fur"),
        part([legs[0]], mix(colour, (255, 255, 255), 0.06), 0.5, grain="fur"),
    ], (0.44 * n, -0.95 * h)


def eyes(x, y, gap, r, colour=(50, 40, 36), *, slit=False) -> list[Part]:
    out = []
    for s in (-1, 1):
        cx = x + s * gap
        if slit:
            out += [part(ellipse(cx, y, r * 1.15, r), colour, 0.2), part(ellipse(cx, y, r * 0.34, r * 0.9), DARK, 0)]
        else:
            out.append(part(ellipse(cx, y, r * 0.85, r), DARK, 0.0))
        out.append(part(ellipse(cx - 0.3 * r, y - 0.35 * r, 0.3 * r), (255, 255, 255), 0.0))
    return out
