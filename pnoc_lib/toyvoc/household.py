"""Bottles, potted plants and screens: metres, y down, on whatever they stand at y = 0."""

from __future__ import annotations

import numpy as np

from pnoc_lib.toyvoc.colours import CLOTH, PAINT, mix, pick, shade
from pnoc_lib.toyvoc.paint import Part, box, ellipse, limb, part, spline, turn


def bottle(g) -> list[Part]:
    """Return a bottle: its neck gives it away."""
    glass = pick(g, [(70, 112, 70), (120, 74, 46), (176, 206, 214), (60, 76, 120), (206, 226, 226), (150, 60, 60)])
    w, h, neck = g.uniform(0.07, 0.1), g.uniform(0.24, 0.36), g.uniform(0.022, 0.032)
    s = g.uniform(0.52, 0.68) * h
    body = spline(
        [
            (-neck / 2 - 0.004, -h),
            (neck / 2 + 0.004, -h),
            (neck / 2, -0.82 * h),
            (0.42 * w, -s - 0.03 * h),
            (w / 2, -s + 0.06 * h),
            (w / 2, -0.3 * h),
            (w / 2, -0.03 * h),
            (0.4 * w, 0),
            (-0.4 * w, 0),
            (-w / 2, -0.03 * h),
            (-w / 2, -0.3 * h),
            (-w / 2, -s + 0.06 * h),
            (-0.42 * w, -s - 0.03 * h),
            (-neck / 2, -0.82 * h),
        ]
    )
    label = pick(g, [(244, 238, 222), *CLOTH])
    out = [part(box(-w, -s * 1.05, w, 0), shade(glass, 0.72), 0.0, clip=True)] if g.random() < 0.5 else []
    band = (
        [
            part(box(-w, -0.82 * s, w, -0.3 * s), label, 0.5, clip=True),
            part(
                box(-w, -0.62 * s, w, -0.5 * s),
                shade(label, 0.7) if np.mean(label) > 120 else (240, 226, 190),
                0.1,
                clip=True,
            ),
        ]
        if g.random() < 0.8
        else []
    )
    return [
        part(body, glass, 0.9),
        *out,
        *band,
        part(
            limb([(-0.28 * w, -0.92 * s), (-0.3 * w, -0.15 * s)], [0.1 * w, 0.08 * w]),
            (255, 255, 255),
            0,
            clip=True,
            alpha=0.5,
        ),
        part(box(-neck / 2 - 0.006, -h - 0.012, neck / 2 + 0.006, -h + 0.03, 0.006), pick(g, PAINT), 0.5),
    ]


def pottedplant(g) -> list[Part]:
    """Return a potted plant: leaves over a pot give it away."""
    pot = pick(g, [(196, 108, 74), (196, 108, 74), (240, 234, 224), *CLOTH])
    green = pick(g, [(88, 142, 78), (62, 116, 84), (126, 160, 82), (70, 128, 70)])
    w, h = g.uniform(0.2, 0.28), g.uniform(0.2, 0.28)
    kind = g.integers(3)
    y = -h
    if kind == 0:  # long arching leaves
        leaves = []
        for a in np.linspace(-1.25, 1.25, 11) + g.normal(0, 0.1, 11):
            n = g.uniform(0.42, 0.66)
            tip = (0.8 * n * np.sin(a) * 1.2, y - n * np.cos(a) * (0.75 + 0.25 * np.cos(a)))
            leaves.append(
                (
                    limb(
                        [(0.2 * w * np.sin(a), y), (0.35 * n * np.sin(a), y - 0.62 * n * max(np.cos(a), 0.35)), tip],
                        [0.03, 0.085, 0.008],
                    ),
                    g.uniform(0.75, 1.2),
                )
            )
        foliage = [part([o], shade(green, s), 0.6, grain="leaf") for o, s in leaves]
    elif kind == 1:  # a bush, maybe in flower
        r = g.uniform(0.2, 0.28)
        blobs = [
            ellipse(r * 0.9 * q * np.cos(a), y - r * 0.95 + r * 0.75 * q * np.sin(a), g.uniform(0.08, 0.12))
            for a, q in zip(np.arange(16) * 2.4, np.sqrt(np.linspace(0.05, 1, 16)), strict=True)
        ]
        light = [
            ellipse(g.normal(0, 0.55 * r), y - r * 0.95 + g.normal(0, 0.45 * r), 0.045, 0.026, g.uniform(0, 3))
            for _ in range(18)
        ]
        foliage = [
            part([limb([(0, y + 0.05), (0, y - r)], [0.04, 0.04])], (110, 82, 58), 0.2),
            part(blobs, green, 0.8, grain="leaf"),
            part(light, mix(green, (236, 240, 160), 0.3), 0.3, clip=True),
        ]
        if g.random() < 0.55:
            tint = pick(g, [(226, 92, 98), (240, 190, 80), (236, 150, 180), (244, 240, 232)])
            spots = [(g.normal(0, 0.5 * r), y - r * 0.95 + g.normal(0, 0.45 * r)) for _ in range(9)]
            foliage += [
                part(
                    [
                        ellipse(px + 0.026 * np.cos(a), py + 0.026 * np.sin(a), 0.022, n=10)
                        for px, py in spots
                        for a in np.arange(5) * 1.257
                    ],
                    tint,
                    0.3,
                ),
                part([ellipse(px, py, 0.014, n=8) for px, py in spots], (250, 214, 100), 0),
            ]
    else:  # round leaves on stems
        stems, blades = [], []
        for _ in range(9):
            a, n = g.uniform(-1.1, 1.1), g.uniform(0.25, 0.6)
            tip = np.array([n * np.sin(a) * 0.75, y - n * np.cos(a)])
            stems.append(limb([(0, y), tip], [0.018, 0.014]))
            leaf = spline([(0, -0.11), (0.07, -0.05), (0.075, 0.04), (0, 0.075), (-0.075, 0.04), (-0.07, -0.05)])
            blades += [
                part([turn(leaf, a) + tip], shade(green, g.uniform(0.8, 1.2)), 0.7, grain="leaf"),
                part(
                    limb(
                        [tip + turn(np.array([[0, 0.06]]), a)[0], tip + turn(np.array([[0, -0.08]]), a)[0]],
                        [0.01, 0.006],
                    ),
                    mix(green, (240, 240, 180), 0.4),
                    0,
                ),
            ]
        foliage = [part(stems, shade(green, 0.8), 0.2), *blades]
    vessel = [
        part(np.array([(-w / 2, -h), (w / 2, -h), (0.37 * w, 0), (-0.37 * w, 0)]), pot, 0.8),
        part(box(-w / 2 - 0.015, -h - 0.01, w / 2 + 0.015, -h + 0.045, 0.012), mix(pot, (255, 255, 255), 0.12), 0.6),
    ]
    return [*foliage, *vessel]


def tvmonitor(g) -> list[Part]:
    """Return a screen, with a picture on it or dark: the framed screen gives it away."""
    case = pick(g, [(50, 48, 54), (50, 48, 54), (206, 206, 210), (120, 112, 108)])
    old = g.random() < 0.25
    w, h = (0.62, 0.5) if old else (0.86, 0.52)
    edge = 0.05 if old else 0.025
    y = -0.04 if old else -g.uniform(0.08, 0.14)
    screen = box(-w / 2 + edge, y - h + edge, w / 2 - edge, y - edge, 0.05 if old else 0.005)
    x0, x1, y0, y1 = -w / 2, w / 2, y - h, y
    sky, land = (
        pick(g, [(120, 190, 226), (240, 176, 120), (90, 100, 160), (50, 60, 70)]),
        pick(g, [(110, 168, 96), (70, 110, 130), (196, 150, 96)]),
    )
    view = [part(screen, sky, 0.3)]
    what = g.integers(4)
    if what == 0:
        view += [
            part(
                spline(
                    [
                        (x0, y1),
                        (x0, y - 0.35 * h),
                        (x0 + 0.3 * w, y - 0.6 * h),
                        (x0 + 0.6 * w, y - 0.3 * h),
                        (x1, y - 0.5 * h),
                        (x1, y1),
                    ]
                ),
                land,
                0.2,
                clip=True,
            ),
            part(ellipse(0.2 * w, y - 0.72 * h, 0.06), (255, 236, 170), 0, clip=True),
        ]
    elif what == 1:
        view += [
            part(
                [
                    box(
                        x0 + (0.12 + 0.2 * k) * w,
                        y - g.uniform(0.25, 0.75) * h,
                        x0 + (0.24 + 0.2 * k) * w,
                        y - 0.15 * h,
                    )
                    for k in range(4)
                ],
                land,
                0.2,
                clip=True,
            )
        ]
    elif what == 2:
        view += [
            part(
                [
                    box(
                        x0 + 0.1 * w, y - (0.82 - 0.13 * k) * h, x0 + g.uniform(0.4, 0.9) * w, y - (0.77 - 0.13 * k) * h
                    )
                    for k in range(5)
                ],
                (236, 240, 244),
                0,
                clip=True,
            )
        ]
    else:
        view = [part(screen, (58, 62, 72), 0.5)]
    view += [
        part(
            np.array([(x0 + 0.1 * w, y1), (x0 + 0.42 * w, y0), (x0 + 0.58 * w, y0), (x0 + 0.26 * w, y1)]),
            (255, 255, 255),
            0,
            clip=True,
            alpha=0.16,
        )
    ]
    foot = (
        [part([box(-0.16, y + 0.01, -0.1, 0), box(0.1, y + 0.01, 0.16, 0)], shade(case, 0.7), 0.3)]
        if old
        else [
            part(
                [
                    box(-0.035, y - 0.02, 0.035, -0.02),
                    spline([(-0.2, 0), (-0.14, -0.03), (0.14, -0.03), (0.2, 0)], steps=3),
                ],
                shade(case, 0.8),
                0.4,
            )
        ]
    )
    return [
        *foot,
        part(box(x0, y0, x1, y1, 0.06 if old else 0.02), case, 0.6),
        *view,
        part(ellipse(x1 - edge - 0.02, y1 - edge * 0.5, 0.007), (120, 230, 120), 0),
    ]
