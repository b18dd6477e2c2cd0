"""Horses, cows, sheep and birds: metres, y down, on the ground y = 0."""

from __future__ import annotations

import numpy as np

from pnoc_lib.toyvoc.bodies import eyes, lying, standing
from pnoc_lib.toyvoc.colours import CLOTH, DARK, FUR, mix, pick, shade
from pnoc_lib.toyvoc.paint import Part, ellipse, limb, moved, part, spline


def horse(g) -> list[Part]:
    """Return a horse: the mane and the long head give it away."""
    colour = pick(g, FUR)
    mane = pick(g, [(52, 42, 40), (92, 62, 44), (236, 222, 196)], 6)
    if abs(mane - colour).sum() < 90:
        mane = shade(colour, 0.5) if np.mean(colour) > 90 else mix(colour, (255, 250, 240), 0.6)
    bow = g.uniform(0, 1)  # 0 head high, 1 head low
    hx, hy = 1.02 + 0.16 * bow, -2.02 + 0.62 * bow
    tail = limb([(-0.78, -1.36), (-0.98, -1.2), (-1.0, -0.8), (-0.94, -0.5)], [0.12, 0.2, 0.18, 0.05])
    body = standing(
        g,
        colour,
        length=1.55,
        height=1.48,
        depth=0.66,
        leg=0.13,
        neck=(hx - 0.08, hy + 0.06, 0.3),
        tail=tail,
        feet=shade(mane, 0.7),
    )
    body[2] = part(tail, mane, 0.5, grain="fur")
    skull = spline(
        [
            (-0.2, -0.2),
            (0.02, -0.2),
            (0.26, 0.06),
            (0.5, 0.3),
            (0.56, 0.46),
            (0.44, 0.56),
            (0.28, 0.48),
            (0.06, 0.3),
            (-0.14, 0.24),
            (-0.26, 0.05),
        ]
    )
    ears = [
        np.array([(-0.15, -0.14), (-0.1, -0.4), (-0.01, -0.16)]),
        np.array([(-0.03, -0.16), (0.05, -0.38), (0.09, -0.1)]),
    ]
    head = [
        part([skull, *ears], colour, 0.7, grain="fur"),
        part(ellipse(0.46, 0.46, 0.13, 0.1, 0.9), mix(colour, (70, 56, 54), 0.55), 0.2, clip=True),
        part(ellipse(0.1, 0.0, 0.035, 0.045), DARK, 0),
        part(ellipse(0.09, -0.015, 0.013), (255, 255, 255), 0),
        part(ellipse(0.5, 0.42, 0.025, 0.035, 0.5), DARK, 0),
        part(limb([(0.36, 0.5), (0.45, 0.47), (0.52, 0.49)], [0.014] * 3), shade(colour, 0.4), 0),
    ]
    if g.random() < 0.35:
        head.append(part(spline([(0.06, -0.16), (0.14, -0.1), (0.44, 0.24), (0.34, 0.2)]), (248, 244, 236), 0.1))
    n = np.linspace(0, 1, 6)[:, None]
    crest = (1 - n) * (0.42, -1.44) + n * (hx - 0.06, hy - 0.2) + np.array([(-0.13, -0.12)]) * np.sin(np.pi * n)
    lower = crest[::-1] + np.array([(-0.02, 0.3)]) * g.uniform(0.6, 1.1, (6, 1)) + g.normal(0, 0.03, (6, 2))
    hair = [
        part(
            [
                spline(np.vstack([crest, lower])),
                moved(
                    part(spline([(-0.16, -0.24), (0.04, -0.26), (0.12, 0.02), (0.02, -0.04)]), mane), 1, hx, hy
                ).outlines[0],
            ],
            mane,
            0.5,
            grain="fur",
        )
    ]
    return body + [moved(p, 1.0, hx, hy, angle=0.15 - 0.2 * bow) for p in head] + hair


def cow(g) -> list[Part]:
    """Return a cow: muzzle, horns and ears to the side give it away."""
    colour = pick(g, FUR)
    lie = g.random() < 0.2
    tail = limb([(-0.86, -1.24), (-0.98, -1.0), (-0.98, -0.62), (-0.96, -0.5)], [0.07, 0.05, 0.05, 0.12])
    if lie:
        body, at = lying(g, colour, length=1.8, height=0.8, tail=limb([(-0.8, -0.3), (-1.0, -0.1)], [0.08, 0.05]))
    else:
        body = standing(
            g,
            colour,
            length=1.72,
            height=1.38,
            depth=0.74,
            leg=0.15,
            neck=(0.98, -1.32, 0.4),
            tail=tail,
            feet=(84, 72, 68),
        )
        at = (1.06, g.uniform(-1.45, -1.1))
        body.insert(2, part(ellipse(-0.38, -0.62, 0.17, 0.1), (236, 176, 166), 0.6))
    light = (248, 226, 210)
    face = mix(colour, (250, 246, 240), g.choice([0.0, 0.75]))
    skull = spline(
        [
            (-0.2, -0.3),
            (0.2, -0.3),
            (0.24, -0.05),
            (0.17, 0.3),
            (0.16, 0.44),
            (-0.16, 0.44),
            (-0.17, 0.3),
            (-0.24, -0.05),
        ]
    )
    ears = [
        spline([(s * 0.2, -0.22), (s * 0.4, -0.28), (s * 0.48, -0.14), (s * 0.36, -0.08), (s * 0.2, -0.12)])
        for s in (-1, 1)
    ]
    horns = [limb([(s * 0.15, -0.29), (s * 0.28, -0.4), (s * 0.26, -0.54)], [0.08, 0.065, 0.02]) for s in (-1, 1)]
    head = [
        part(ears, shade(colour, 0.85), 0.4),
        part(horns, (232, 220, 194), 0.5),
        part(skull, colour, 0.6, grain="fur"),
        part(spline([(0, -0.34), (0.1, -0.2), (0.08, 0.3), (-0.08, 0.3), (-0.1, -0.2)]), face, 0.1, clip=True),
        part(
            spline([(0, 0.14), (0.2, 0.2), (0.22, 0.36), (0.1, 0.48), (-0.1, 0.48), (-0.22, 0.36), (-0.2, 0.2)]),
            mix(light, (232, 170, 160), 0.6),
            0.5,
        ),
        part([ellipse(s * 0.1, 0.3, 0.035, 0.045, s * 0.4) for s in (-1, 1)], (120, 72, 70), 0),
        part(limb([(-0.1, 0.42), (0, 0.44), (0.1, 0.42)], [0.014] * 3), (130, 84, 80), 0),
        *eyes(0, -0.08, 0.14, 0.045),
    ]
    nod = g.normal(0, 0.09)
    return body + [moved(p, 1.0, *at, angle=nod) for p in head]


def sheep(g) -> list[Part]:
    """Return a sheep: its wool gives it away."""
    wool = pick(
        g, [(243, 238, 228), (226, 205, 170), (136, 134, 138), (158, 108, 70), (232, 224, 210), (243, 238, 228)], 6
    )
    skin = pick(g, FUR) if g.random() < 0.4 else pick(g, [(70, 66, 72), (243, 238, 228)])
    body = standing(
        g,
        skin,
        length=0.92,
        height=0.82,
        depth=0.4,
        leg=0.075,
        neck=(0.5, -0.84, 0.2),
        tail=ellipse(-0.5, -0.6, 0.06, 0.12),
        feet=shade(skin, 0.6),
    )
    t = np.linspace(0, 2 * np.pi, 15, endpoint=False)
    bumps = [ellipse(0.5 * np.cos(a) + g.normal(0, 0.012), -0.58 + 0.24 * np.sin(a), g.uniform(0.1, 0.14)) for a in t]
    fleece = [part([ellipse(0, -0.58, 0.52, 0.27), *bumps], wool, 0.75, grain="wool")]
    curls = []
    for _ in range(26):
        a, q = g.uniform(0, 2 * np.pi), np.sqrt(g.uniform(0, 1))
        x, y, r = 0.52 * q * np.cos(a), -0.58 + 0.26 * q * np.sin(a), 0.045
        arc = [(x + r * np.cos(u), y + r * np.sin(u)) for u in np.linspace(0.3, 3.6, 6)]
        curls.append(limb(arc, np.full(6, 0.016), smooth=False))
    fleece.append(part(curls, shade(wool, 0.8), 0, clip=True))
    at = (0.56, g.uniform(-0.88, -0.7))
    skull = spline([(-0.12, -0.16), (0.12, -0.16), (0.14, 0.0), (0.09, 0.2), (0, 0.25), (-0.09, 0.2), (-0.14, 0.0)])
    ears = [
        spline([(s * 0.1, -0.08), (s * 0.24, -0.1), (s * 0.28, -0.02), (s * 0.2, 0.02), (s * 0.1, 0.0)])
        for s in (-1, 1)
    ]
    cap = [ellipse(x, y, 0.075) for x, y in ((-0.09, -0.16), (0, -0.19), (0.09, -0.16), (0, -0.12))]
    head = [
        part([*ears, skull], skin, 0.6, grain="fur"),
        part(cap, wool, 0.6, grain="wool"),
        *eyes(0, -0.01, 0.075, 0.026),
        part(
            [limb([(s * 0.05, 0.14), (0, 0.18), (0, 0.21)], [0.014] * 3) for s in (-1, 1)],
            shade(skin, 0.45) if np.mean(skin) > 100 else (190, 180, 176),
            0,
        ),
    ]
    nod = g.normal(0, 0.09)
    return body + fleece + [moved(p, 1.08, *at, angle=nod) for p in head]


def bird(g, *, flying: bool = False) -> list[Part]:
    """Return a bird, on the wing (its middle at y = 0) or on its feet: beak and wing give it away."""
    colour = pick(g, [*FUR, *CLOTH])
    wing, beak = (
        shade(colour, 0.7) if g.random() < 0.7 else pick(g, FUR),
        pick(g, [(240, 170, 60), (70, 64, 64), (226, 120, 70)]),
    )
    belly = mix(colour, (252, 244, 230), 0.6)
    body = spline(
        [
            (-0.16, 0.0),
            (-0.08, -0.075),
            (0.08, -0.09),
            (0.17, -0.13),
            (0.23, -0.1),
            (0.24, -0.05),
            (0.16, 0.03),
            (0.02, 0.085),
            (-0.1, 0.05),
        ]
    )
    tail = np.array([(-0.12, -0.03), (-0.34, 0.02), (-0.36, 0.06), (-0.33, 0.08), (-0.1, 0.05)])
    bill = np.array([(0.225, -0.1), (0.32, -0.07), (0.23, -0.045)])
    out = [
        part(tail, wing, 0.4),
        part(bill, beak, 0.3),
        part(body, colour, 0.8, grain="fine"),
        part(ellipse(0.06, 0.06, 0.15, 0.075, -0.25), belly, 0.2, clip=True),
    ]
    eye = [part(ellipse(0.19, -0.085, 0.014), DARK, 0), part(ellipse(0.186, -0.089, 0.005), (255, 255, 255), 0)]
    if flying:
        up = g.choice([-1, 1], p=[0.3, 0.7])
        far = spline(
            [
                (0.0, -0.04),
                (0.08, -0.1 * up),
                (0.1, -0.34 * up),
                (0.02, -0.42 * up),
                (-0.04, -0.3 * up),
                (-0.08, -0.1 * up),
            ]
        )
        feathers = [
            limb(
                [
                    (0.04 - 0.03 * k, -0.02),
                    (-0.03 - 0.055 * k, -0.2 * up),
                    (-0.1 - 0.075 * k, (-0.42 + 0.055 * k) * up),
                ],
                [0.09, 0.085, 0.03],
            )
            for k in range(4)
        ]
        tilt = g.normal(-0.1, 0.2)
        parts = [part(far, shade(wing, 0.75), 0.4), *out, part(feathers, wing, 0.6, grain="fine"), *eye]
        return [moved(p, 1, 0, 0, angle=tilt) for p in parts]
    fold = [
        limb([(0.1, -0.055), (-0.04, -0.045), (-0.25, 0.03)], [0.07, 0.11, 0.025]),
        limb([(0.07, -0.02), (-0.05, 0.0), (-0.2, 0.05)], [0.06, 0.09, 0.02]),
    ]
    foot = 0.07 + g.uniform(0.07, 0.2)
    legs = [limb([(x, 0.05), (x + 0.01, 0.5 * foot + 0.03), (x, foot)], [0.024, 0.015, 0.014]) for x in (0.0, 0.05)]
    legs += [limb([(x - 0.025, foot), (x + 0.055, foot + 0.004)], [0.014, 0.01]) for x in (0.0, 0.05)]
    parts = [part(legs, shade(beak, 0.9), 0.2), *out, part(fold, wing, 0.6, grain="fine"), *eye]
    return [moved(p, 1, 0, -foot) for p in parts]
