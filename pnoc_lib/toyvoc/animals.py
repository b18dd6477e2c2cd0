"""Cats and dogs: metres, y down, on the ground y = 0. What they share is in `bodies`."""

from __future__ import annotations

import numpy as np

from pnoc_lib.toyvoc.bodies import eyes, lying, sitting, standing
from pnoc_lib.toyvoc.colours import CLOTH, DARK, FUR, mix, pick, shade
from pnoc_lib.toyvoc.paint import Part, ellipse, limb, moved, part, spline


def cat_face(g, colour) -> list[Part]:
    """Return a cat's head about (0, 0), ears pointed: what gives a cat away."""
    r = 0.085
    ears = [
        np.array([(s * 0.96 * r, -0.35 * r), (s * 0.98 * r, -1.55 * r), (s * 0.18 * r, -0.85 * r)]) for s in (-1, 1)
    ]
    inner = [np.array([(s * 0.84 * r, -0.6 * r), (s * 0.88 * r, -1.3 * r), (s * 0.42 * r, -0.85 * r)]) for s in (-1, 1)]
    skull = spline(
        [
            (0, -0.92 * r),
            (0.7 * r, -0.7 * r),
            (1.08 * r, 0.02 * r),
            (0.86 * r, 0.6 * r),
            (0, 0.9 * r),
            (-0.86 * r, 0.6 * r),
            (-1.08 * r, 0.02 * r),
            (-0.7 * r, -0.7 * r),
        ]
    )
    light = mix(colour, (252, 246, 238), 0.6)
    stripes = [limb([(k * 0.26 * r, -0.88 * r), (k * 0.2 * r, -0.5 * r)], [0.14 * r, 0.04 * r]) for k in (-1, 0, 1)]
    whiskers = [
        limb([(s * 0.4 * r, (0.38 + 0.1 * k) * r), (s * 1.45 * r, (0.3 + 0.22 * k) * r)], [0.035 * r, 0.02 * r])
        for s in (-1, 1)
        for k in (-1, 0.2, 1.2)
    ]
    return [
        part([skull, *ears], colour, 0.7, grain="fur"),
        part(stripes, shade(colour, 0.7), 0, clip=True),
        part(inner, (236, 170, 164), 0.2),
        part(
            [ellipse(-0.22 * r, 0.42 * r, 0.34 * r, 0.26 * r), ellipse(0.22 * r, 0.42 * r, 0.34 * r, 0.26 * r)],
            light,
            0.2,
        ),
        *eyes(
            0,
            -0.08 * r,
            0.46 * r,
            0.23 * r,
            [(170, 190, 90), (226, 184, 72), (120, 180, 190)][g.integers(3)],
            slit=True,
        ),
        part(np.array([(-0.13 * r, 0.2 * r), (0.13 * r, 0.2 * r), (0, 0.36 * r)]), (216, 128, 124), 0),
        part(
            [limb([(0, 0.34 * r), (0, 0.46 * r), (s * 0.2 * r, 0.54 * r)], [0.05 * r] * 3) for s in (-1, 1)],
            shade(colour, 0.45),
            0,
        ),
        part(whiskers, (250, 248, 244), 0, solid=False),
    ]


def cat(g) -> list[Part]:
    colour, pose = pick(g, FUR), g.choice(["sit", "stand", "lie"], p=[0.42, 0.3, 0.28])
    head = cat_face(g, colour)
    if pose == "sit":
        tail = limb([(0.09, -0.03), (0.2, -0.04), (0.24, -0.14), (0.2, -0.2)], [0.05, 0.05, 0.045, 0.03])
        body, at = sitting(g, colour, height=0.25, width=0.2, tail=tail)
        at = (at[0], at[1] - 0.02)
    elif pose == "stand":
        up = g.uniform(-0.16, 0.06)
        tail = limb([(-0.2, -0.25), (-0.3, -0.27), (-0.34, -0.34 + up), (-0.3, -0.44 + up)], [0.045, 0.045, 0.04, 0.03])
        body = standing(g, colour, length=0.38, height=0.31, depth=0.145, leg=0.044, neck=(0.21, -0.35, 0.1), tail=tail)
        at = (0.23, -0.36)
    else:
        tail = limb([(-0.2, -0.05), (-0.3, -0.03), (-0.22, -0.015), (-0.08, -0.02)], [0.05, 0.045, 0.04, 0.03])
        body, at = lying(g, colour, length=0.46, height=0.17, tail=tail)
    nod = g.normal(0, 0.09)
    return body + [moved(p, 1.12, *at, angle=nod) for p in head]


def dog_face(g, colour) -> list[Part]:
    """Return a dog's head: ears that hang (or fold) and a long muzzle, which give a dog away."""
    r = 0.1
    ear = shade(colour, 0.66) if g.random() < 0.6 else mix(colour, (90, 60, 44), 0.5)
    light = mix(colour, (250, 244, 234), g.uniform(0.2, 0.7))
    skull = spline(
        [
            (0, -0.95 * r),
            (0.62 * r, -0.8 * r),
            (0.88 * r, -0.1 * r),
            (0.5 * r, 0.75 * r),
            (0, 0.95 * r),
            (-0.5 * r, 0.75 * r),
            (-0.88 * r, -0.1 * r),
            (-0.62 * r, -0.8 * r),
        ]
    )
    drop = g.uniform(0.45, 0.95)
    ears = [
        spline(
            [
                (s * 0.45 * r, -0.9 * r),
                (s * 0.95 * r, -0.75 * r),
                (s * 1.28 * r, (drop - 0.6) * r),
                (s * 1.12 * r, drop * r),
                (s * 0.82 * r, (drop - 0.35) * r),
                (s * 0.72 * r, -0.4 * r),
            ]
        )
        for s in (-1, 1)
    ]
    muzzle = spline(
        [
            (0, 0.02 * r),
            (0.4 * r, 0.22 * r),
            (0.5 * r, 0.68 * r),
            (0.26 * r, 1.02 * r),
            (-0.26 * r, 1.02 * r),
            (-0.5 * r, 0.68 * r),
            (-0.4 * r, 0.22 * r),
        ]
    )
    out = [part(skull, colour, 0.6, grain="fur")]
    if g.random() < 0.45:
        out.append(
            part(
                spline(
                    [
                        (0, -1.0 * r),
                        (0.2 * r, -0.5 * r),
                        (0.16 * r, 0.2 * r),
                        (-0.16 * r, 0.2 * r),
                        (-0.2 * r, -0.5 * r),
                    ]
                ),
                light,
                0.1,
                clip=True,
            )
        )
    if g.random() < 0.5:
        out.append(
            part(
                spline([(-0.17 * r, 0.85 * r), (0.17 * r, 0.85 * r), (0.15 * r, 1.38 * r), (-0.15 * r, 1.38 * r)]),
                (232, 122, 128),
                0.4,
            )
        )
    return [
        *out,
        part(muzzle, light, 0.6, grain="fur"),
        part(ears, ear, 0.6, grain="fur"),
        *eyes(0, -0.14 * r, 0.4 * r, 0.15 * r),
        part(spline([(-0.2 * r, 0.3 * r), (0.2 * r, 0.3 * r), (0.12 * r, 0.52 * r), (-0.12 * r, 0.52 * r)]), DARK, 0.5),
        part(
            [limb([(0, 0.5 * r), (0, 0.72 * r), (s * 0.26 * r, 0.82 * r)], [0.05 * r] * 3) for s in (-1, 1)],
            shade(light, 0.45),
            0,
        ),
    ]


def dog(g) -> list[Part]:
    colour, pose = pick(g, FUR), g.choice(["stand", "sit", "lie"], p=[0.5, 0.32, 0.18])
    head = dog_face(g, colour)
    big = g.uniform(0.8, 1.25)
    if pose == "sit":
        body, at = sitting(
            g,
            colour,
            height=0.42,
            width=0.3,
            tail=limb([(0.12, -0.05), (0.26, -0.08), (0.32, -0.2)], [0.06, 0.05, 0.03]),
        )
        at = (at[0], at[1] - 0.03)
    elif pose == "stand":
        up = g.uniform(-0.2, 0.1)
        tail = limb([(-0.3, -0.46), (-0.42, -0.5 + up * 0.5), (-0.5, -0.56 + up)], [0.06, 0.05, 0.03])
        body = standing(g, colour, length=0.62, height=0.5, depth=0.24, leg=0.06, neck=(0.38, -0.6, 0.15), tail=tail)
        at = (0.4, -0.62)
    else:
        body, at = lying(
            g,
            colour,
            length=0.74,
            height=0.26,
            tail=limb([(-0.32, -0.08), (-0.46, -0.05), (-0.54, -0.1)], [0.06, 0.05, 0.03]),
        )
    nod, trunk = g.normal(0, 0.1), max(k for k, p in enumerate(body) if len(p.outlines) > 1 and p.round == 0.8)
    if g.random() < 0.45:
        band = limb(
            [(at[0] - 0.2, at[1] + 0.08), (at[0] - 0.02, at[1] + 0.14), (at[0] + 0.16, at[1] + 0.16)], [0.035] * 3
        )
        body.insert(trunk + 1, part(band, pick(g, CLOTH), 0.4, clip=True))
    return [moved(p, big, 0, 0) for p in body + [moved(p, 1.25, *at, angle=nod) for p in head]]
