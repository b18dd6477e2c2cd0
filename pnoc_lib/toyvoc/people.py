"""Persons: metres, y down, on the ground y = 0."""

from __future__ import annotations

import numpy as np

from pnoc_lib.toyvoc.colours import CLOTH, DARK, HAIR, SKIN, mix, pick, shade
from pnoc_lib.toyvoc.paint import Part, ellipse, limb, moved, part, spline


def person(g, pose: str | None = None) -> list[Part]:
    """Return a person 1.7 m tall: the head gives them away. pose: `stand`, `walk` or `ride` (hips at y = 0)."""
    pose = pose or g.choice(["stand", "walk"])
    skin, hair, top, trousers = pick(g, SKIN, 5), pick(g, HAIR, 6), pick(g, CLOTH), pick(g, CLOTH)
    shoe = pick(g, [(60, 54, 56), (120, 80, 56), (236, 232, 226), (190, 70, 64)])
    hip, shoulder = -0.86, -1.36
    step = g.uniform(0.12, 0.26) if pose == "walk" else g.uniform(0.0, 0.05)
    arm = g.uniform(-0.5, 0.5)

    def leg(s, lean):
        return limb(
            [(s * 0.07, hip - 0.04), (s * 0.08 + lean * 0.4 + 0.02, hip * 0.5), (s * 0.08 + lean, -0.06)],
            [0.19, 0.145, 0.105],
        )

    feet = [
        spline([(x - 0.06, -0.09), (x + 0.05, -0.1), (x + 0.15, -0.03), (x + 0.14, 0), (x - 0.07, 0)])
        for x in (-0.08 - step, 0.08 + step)
    ]
    if pose == "ride":
        legs = [limb([(0.0, hip), (0.3, hip + 0.1), (0.22, hip + 0.52)], [0.2, 0.16, 0.11])]
        feet = [
            spline([(0.18, hip + 0.48), (0.26, hip + 0.48), (0.38, hip + 0.56), (0.36, hip + 0.6), (0.17, hip + 0.6)])
        ]
        far = []
    else:
        legs, far = [leg(1, step)], [leg(-1, -step)]
    trunk = spline(
        [
            (-0.1, shoulder - 0.06),
            (0.1, shoulder - 0.06),
            (0.2, shoulder + 0.02),
            (0.18, -1.1),
            (0.16, hip + 0.06),
            (-0.16, hip + 0.06),
            (-0.18, -1.1),
            (-0.2, shoulder + 0.02),
        ]
    )

    def reach(s, a):
        if pose == "ride":
            a, bend = -0.9, 0.5
        else:
            bend = g.uniform(0, 0.5)
        elbow = np.array([s * 0.19, shoulder + 0.03]) + 0.27 * np.array([np.sin(a) + s * 0.15, np.cos(a)])
        hand = elbow + 0.25 * np.array([np.sin(a + bend), np.cos(a + bend)])
        if pose == "ride":
            elbow, hand = np.array([0.16 + s * 0.04, shoulder + 0.28]), np.array([0.44, shoulder + 0.36])
        return limb([(s * 0.17, shoulder + 0.03), elbow, hand], [0.13, 0.1, 0.075]), ellipse(*hand, 0.05)

    (a0, h0), (a1, h1) = reach(-1, -arm), reach(1, arm)
    skirt = []
    if pose != "ride" and g.random() < 0.25:
        skirt = [
            part(
                spline([(-0.14, hip - 0.08), (0.14, hip - 0.08), (0.27, hip + 0.42), (-0.27, hip + 0.42)]),
                trousers,
                0.6,
            )
        ]
        trousers = skin
    (behind, head), nod = _head(g, skin, hair), g.normal(0, 0.04)
    return [
        *[moved(p, 1.0, 0.01, shoulder - 0.24, angle=nod) for p in behind],
        part([h0], shade(skin, 0.85), 0.4),
        part([a0], shade(top, 0.78), 0.5),
        *([part(far, shade(trousers, 0.78), 0.5), part(feet[:1], shade(shoe, 0.8), 0.4)] if far else []),
        part(legs, trousers, 0.6),
        part(feet[-1:], shoe, 0.4),
        *skirt,
        part([limb([(0, shoulder - 0.16), (0, shoulder)], [0.11, 0.12])], shade(skin, 0.86), 0.4),
        part([trunk], top, 0.7, grain="fine"),
        *(
            [
                part(
                    [limb([(-0.3, y), (0.3, y)], [0.045] * 2) for y in np.arange(shoulder, hip, 0.1)],
                    mix(top, (255, 255, 255), 0.7),
                    0,
                    clip=True,
                )
            ]
            if g.random() < 0.25
            else []
        ),
        part([h1], skin, 0.4),
        part([a1], mix(top, (255, 255, 255), 0.06), 0.6),
        *[moved(p, 1.0, 0.01, shoulder - 0.24, angle=nod) for p in head],
    ]


def _head(g, skin, hair) -> tuple[list[Part], list[Part]]:
    """Return the hair behind the shoulders and the head."""
    r = 0.135
    face = spline(
        [
            (-0.9 * r, -0.3 * r),
            (0, -1.05 * r),
            (0.9 * r, -0.3 * r),
            (0.8 * r, 0.5 * r),
            (0.3 * r, 1.05 * r),
            (-0.3 * r, 1.05 * r),
            (-0.8 * r, 0.5 * r),
        ]
    )
    style = g.integers(4)
    back = {
        0: [],
        1: [
            spline(
                [
                    (-1.0 * r, -0.5 * r),
                    (0, -1.25 * r),
                    (1.0 * r, -0.5 * r),
                    (1.1 * r, 0.8 * r),
                    (0.9 * r, 1.6 * r),
                    (-0.9 * r, 1.6 * r),
                    (-1.1 * r, 0.8 * r),
                ]
            )
        ],
        2: [ellipse(0, -1.3 * r, 0.5 * r), ellipse(0, -0.3 * r, 1.02 * r, 1.0 * r)],
        3: [ellipse(0, -0.35 * r, 1.12 * r, 1.05 * r)],
    }[int(style)]
    fringe = spline(
        [
            (-0.98 * r, 0.1 * r),
            (-1.02 * r, -0.6 * r),
            (-0.5 * r, -1.18 * r),
            (0.4 * r, -1.2 * r),
            (1.02 * r, -0.6 * r),
            (0.98 * r, 0.1 * r),
            (0.76 * r, -0.4 * r),
            (0.1 * r, -0.62 * r),
            (-0.5 * r, -0.4 * r),
        ]
    )
    smile = limb([(-0.26 * r, 0.56 * r), (0, 0.66 * r), (0.28 * r, 0.54 * r)], [0.07 * r] * 3)
    behind = [part(back, shade(hair, 0.85), 0.5, grain="fur")] if back else []
    out = [
        part([ellipse(s * 0.9 * r, 0.08 * r, 0.16 * r, 0.22 * r) for s in (-1, 1)], shade(skin, 0.92), 0.2),
        part(face, skin, 0.5),
        part(
            [ellipse(s * 0.5 * r, 0.42 * r, 0.2 * r, 0.14 * r) for s in (-1, 1)],
            mix(skin, (232, 110, 100), 0.3),
            0,
            clip=True,
        ),
        part([ellipse(s * 0.36 * r, 0.02 * r, 0.085 * r, 0.12 * r) for s in (-1, 1)], DARK, 0),
        part(
            [limb([(s * 0.52 * r, -0.24 * r), (s * 0.24 * r, -0.27 * r)], [0.07 * r] * 2) for s in (-1, 1)],
            shade(hair, 0.8),
            0,
        ),
        part(limb([(0.02 * r, 0.1 * r), (0.1 * r, 0.3 * r), (0.0, 0.33 * r)], [0.06 * r] * 3), shade(skin, 0.78), 0),
        part(smile, (170, 74, 70), 0),
    ]
    if g.random() < 0.15:
        out.append(
            part(
                [
                    spline(
                        [(-1.05 * r, -0.35 * r), (-0.8 * r, -1.15 * r), (0.8 * r, -1.15 * r), (1.05 * r, -0.35 * r)]
                    ),
                    limb([(-1.0 * r, -0.4 * r), (1.5 * r, -0.36 * r)], [0.2 * r, 0.12 * r]),
                ],
                pick(g, CLOTH),
                0.5,
            )
        )
    else:
        out.append(part(fringe, hair, 0.4, grain="fur"))
    return behind, out
