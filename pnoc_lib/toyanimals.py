"""The living things of ToyVOC, in metres on the ground y = 0 with y down: four-legged bodies that are shared, heads that are not."""

from __future__ import annotations

import numpy as np

from pnoc_lib.toypaint import Part, ellipse, limb, mix, moved, part, spline, turn

FUR = [(243, 238, 228), (226, 205, 170), (206, 148, 88), (158, 108, 70), (104, 74, 56), (136, 134, 138), (70, 66, 72), (214, 186, 142)]  # fmt: skip
SKIN = [(250, 214, 184), (238, 190, 150), (214, 160, 118), (172, 118, 82), (124, 84, 60), (92, 62, 48)]
HAIR = [(44, 36, 36), (82, 56, 40), (132, 88, 50), (206, 162, 92), (168, 84, 48), (176, 174, 174)]
CLOTH = [(206, 74, 66), (230, 150, 64), (236, 204, 96), (108, 158, 92), (64, 142, 146), (72, 118, 178), (58, 70, 110), (150, 104, 156), (236, 232, 224), (96, 92, 96), (226, 150, 156), (132, 92, 70)]  # fmt: skip
DARK = (44, 40, 46)


def pick(g: np.random.Generator, colours, spread: float = 9) -> np.ndarray:
    """Return one of the colours, a little off."""
    return np.clip(np.asarray(colours[g.integers(len(colours))], float) + g.normal(0, spread) + g.normal(0, 0.35 * spread, 3), 8, 250)


def shade(colour, factor: float) -> np.ndarray:
    return np.clip(np.asarray(colour, float) * factor, 0, 255)


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
        out.append(spline(np.stack([x + 1.4 * r * g.uniform(0.7, 1.3, 8) * np.cos(t), y + r * g.uniform(0.7, 1.3, 8) * np.sin(t)], 1)))
    return [part(out, other, 0.3, clip=True, grain="fur")]


def _leg(x, top, w, lean, *, hind: bool) -> np.ndarray:
    bend = 0.10 * top * (1 if hind else 0.25)
    knee = (x + bend * (0.6 if hind else -0.4) + lean * 0.35, top * 0.58)
    hock = (x - bend * (0.9 if hind else 0) + lean * 0.75, top * 0.30)
    return limb([(x, top), knee, hock, (x + lean - (bend * 0.4 if hind else 0), -w * 0.4)], [2.3 * w, 1.5 * w, w, 0.95 * w])


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
    legs = [_leg(x + o, top, leg, d, hind=x < 0) for x, o, d in zip((xf, xh, xf, xh), (0.05 * length, 0.05 * length, 0, 0), lean, strict=True)]
    y, b = -height, -(height - depth)
    trunk = spline(
        [(-0.5 * length, y + 0.30 * depth), (-0.42 * length, y + 0.02 * depth), (-0.1 * length, y + 0.06 * depth), (0.25 * length, y + 0.02 * depth),
         (0.46 * length, y + 0.12 * depth), (0.52 * length, y + 0.5 * depth), (0.4 * length, b + 0.02 * depth), (0.0, b + 0.04 * depth), (-0.3 * length, b - 0.06 * depth), (-0.47 * length, y + 0.7 * depth)]
    )  # fmt: skip
    throat = limb([(0.36 * length, y + 0.42 * depth), (0.5 * (0.42 * length + neck[0]), 0.5 * (y + neck[1]) + 0.06 * depth), neck[:2]], [0.85 * depth, 0.66 * depth, neck[2]])
    paws = [ellipse(o[len(o) // 2 - 6 : len(o) // 2 + 2, 0].mean() + 0.2 * leg, -0.45 * leg, 0.75 * leg, 0.5 * leg) for o in legs]
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
    trunk = spline([(-0.22 * w, -h), (0.22 * w, -h), (0.36 * w, -0.62 * h), (0.5 * w, -0.2 * h), (0.42 * w, 0), (-0.42 * w, 0), (-0.5 * w, -0.2 * h), (-0.36 * w, -0.62 * h)])
    thighs = [ellipse(s * 0.36 * w, -0.17 * h, 0.2 * w, 0.17 * h) for s in (-1, 1)]
    legs = [limb([(s * 0.15 * w, -0.62 * h), (s * 0.15 * w, -0.3 * h), (s * 0.14 * w, -0.05 * h)], [0.26 * w, 0.2 * w, 0.18 * w]) for s in (-1, 1)]
    paws = [ellipse(s * 0.14 * w, -0.04 * h, 0.13 * w, 0.05 * h) for s in (-1, 1)] + [ellipse(s * 0.42 * w, -0.03 * h, 0.14 * w, 0.05 * h) for s in (-1, 1)]
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
    trunk = spline([(-0.5 * n, -0.35 * h), (-0.38 * n, -0.85 * h), (-0.1 * n, -h), (0.25 * n, -0.92 * h), (0.46 * n, -0.7 * h), (0.5 * n, -0.25 * h), (0.42 * n, -0.02 * h), (-0.42 * n, -0.02 * h)])
    legs = [limb([(0.3 * n, -0.16 * h), (0.62 * n, -0.1 * h)], [0.22 * h, 0.2 * h]), limb([(-0.3 * n, -0.14 * h), (-0.02 * n, -0.09 * h)], [0.26 * h, 0.2 * h])]
    haunch = ellipse(-0.28 * n, -0.4 * h, 0.2 * n, 0.38 * h)
    return [
        part(tail, shade(colour, 0.9), 0.5, grain="fur"),
        part([trunk, legs[1]], colour, 0.8, grain="fur"),
        *_coat(g, (-0.45 * n, -0.9 * h, 0.3 * n, -0.2 * h), colour),
        part([haunch], mix(colour, (255, 255, 255), 0.05), 0.6, grain="fur"),
        part([legs[0]], mix(colour, (255, 255, 255), 0.06), 0.5, grain="fur"),
    ], (0.44 * n, -0.95 * h)


def _eyes(x, y, gap, r, colour=(50, 40, 36), *, slit=False) -> list[Part]:
    out = []
    for s in (-1, 1):
        cx = x + s * gap
        if slit:
            out += [part(ellipse(cx, y, r * 1.15, r), colour, 0.2), part(ellipse(cx, y, r * 0.34, r * 0.9), DARK, 0)]
        else:
            out.append(part(ellipse(cx, y, r * 0.85, r), DARK, 0.0))
        out.append(part(ellipse(cx - 0.3 * r, y - 0.35 * r, 0.3 * r), (255, 255, 255), 0.0))
    return out


def cat_face(g, colour) -> list[Part]:
    """Return a cat's head about (0, 0), ears pointed: what gives a cat away."""
    r = 0.085
    ears = [np.array([(s * 0.96 * r, -0.35 * r), (s * 0.98 * r, -1.55 * r), (s * 0.18 * r, -0.85 * r)]) for s in (-1, 1)]
    inner = [np.array([(s * 0.84 * r, -0.6 * r), (s * 0.88 * r, -1.3 * r), (s * 0.42 * r, -0.85 * r)]) for s in (-1, 1)]
    skull = spline([(0, -0.92 * r), (0.7 * r, -0.7 * r), (1.08 * r, 0.02 * r), (0.86 * r, 0.6 * r), (0, 0.9 * r), (-0.86 * r, 0.6 * r), (-1.08 * r, 0.02 * r), (-0.7 * r, -0.7 * r)])
    light = mix(colour, (252, 246, 238), 0.6)
    stripes = [limb([(k * 0.26 * r, -0.88 * r), (k * 0.2 * r, -0.5 * r)], [0.14 * r, 0.04 * r]) for k in (-1, 0, 1)]
    whiskers = [limb([(s * 0.4 * r, (0.38 + 0.1 * k) * r), (s * 1.45 * r, (0.3 + 0.22 * k) * r)], [0.035 * r, 0.02 * r]) for s in (-1, 1) for k in (-1, 0.2, 1.2)]
    return [
        part([skull, *ears], colour, 0.7, grain="fur"),
        part(stripes, shade(colour, 0.7), 0, clip=True),
        part(inner, (236, 170, 164), 0.2),
        part([ellipse(-0.22 * r, 0.42 * r, 0.34 * r, 0.26 * r), ellipse(0.22 * r, 0.42 * r, 0.34 * r, 0.26 * r)], light, 0.2),
        *_eyes(0, -0.08 * r, 0.46 * r, 0.23 * r, [(170, 190, 90), (226, 184, 72), (120, 180, 190)][g.integers(3)], slit=True),
        part(np.array([(-0.13 * r, 0.2 * r), (0.13 * r, 0.2 * r), (0, 0.36 * r)]), (216, 128, 124), 0),
        part([limb([(0, 0.34 * r), (0, 0.46 * r), (s * 0.2 * r, 0.54 * r)], [0.05 * r] * 3) for s in (-1, 1)], shade(colour, 0.45), 0),
        part(whiskers, (250, 248, 244), 0, solid=False),
    ]  # fmt: skip


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
    skull = spline([(0, -0.95 * r), (0.62 * r, -0.8 * r), (0.88 * r, -0.1 * r), (0.5 * r, 0.75 * r), (0, 0.95 * r), (-0.5 * r, 0.75 * r), (-0.88 * r, -0.1 * r), (-0.62 * r, -0.8 * r)])
    drop = g.uniform(0.45, 0.95)
    ears = [spline([(s * 0.45 * r, -0.9 * r), (s * 0.95 * r, -0.75 * r), (s * 1.28 * r, (drop - 0.6) * r), (s * 1.12 * r, drop * r), (s * 0.82 * r, (drop - 0.35) * r), (s * 0.72 * r, -0.4 * r)]) for s in (-1, 1)]
    muzzle = spline([(0, 0.02 * r), (0.4 * r, 0.22 * r), (0.5 * r, 0.68 * r), (0.26 * r, 1.02 * r), (-0.26 * r, 1.02 * r), (-0.5 * r, 0.68 * r), (-0.4 * r, 0.22 * r)])
    out = [part(skull, colour, 0.6, grain="fur")]
    if g.random() < 0.45:
        out.append(part(spline([(0, -1.0 * r), (0.2 * r, -0.5 * r), (0.16 * r, 0.2 * r), (-0.16 * r, 0.2 * r), (-0.2 * r, -0.5 * r)]), light, 0.1, clip=True))
    if g.random() < 0.5:
        out.append(part(spline([(-0.17 * r, 0.85 * r), (0.17 * r, 0.85 * r), (0.15 * r, 1.38 * r), (-0.15 * r, 1.38 * r)]), (232, 122, 128), 0.4))
    return [
        *out,
        part(muzzle, light, 0.6, grain="fur"),
        part(ears, ear, 0.6, grain="fur"),
        *_eyes(0, -0.14 * r, 0.4 * r, 0.15 * r),
        part(spline([(-0.2 * r, 0.3 * r), (0.2 * r, 0.3 * r), (0.12 * r, 0.52 * r), (-0.12 * r, 0.52 * r)]), DARK, 0.5),
        part([limb([(0, 0.5 * r), (0, 0.72 * r), (s * 0.26 * r, 0.82 * r)], [0.05 * r] * 3) for s in (-1, 1)], shade(light, 0.45), 0),
    ]


def dog(g) -> list[Part]:
    colour, pose = pick(g, FUR), g.choice(["stand", "sit", "lie"], p=[0.5, 0.32, 0.18])
    head = dog_face(g, colour)
    big = g.uniform(0.8, 1.25)
    if pose == "sit":
        body, at = sitting(g, colour, height=0.42, width=0.3, tail=limb([(0.12, -0.05), (0.26, -0.08), (0.32, -0.2)], [0.06, 0.05, 0.03]))
        at = (at[0], at[1] - 0.03)
    elif pose == "stand":
        up = g.uniform(-0.2, 0.1)
        tail = limb([(-0.3, -0.46), (-0.42, -0.5 + up * 0.5), (-0.5, -0.56 + up)], [0.06, 0.05, 0.03])
        body = standing(g, colour, length=0.62, height=0.5, depth=0.24, leg=0.06, neck=(0.38, -0.6, 0.15), tail=tail)
        at = (0.4, -0.62)
    else:
        body, at = lying(g, colour, length=0.74, height=0.26, tail=limb([(-0.32, -0.08), (-0.46, -0.05), (-0.54, -0.1)], [0.06, 0.05, 0.03]))
    nod, trunk = g.normal(0, 0.1), max(k for k, p in enumerate(body) if len(p.outlines) > 1 and p.round == 0.8)
    if g.random() < 0.45:
        band = limb([(at[0] - 0.2, at[1] + 0.08), (at[0] - 0.02, at[1] + 0.14), (at[0] + 0.16, at[1] + 0.16)], [0.035] * 3)
        body.insert(trunk + 1, part(band, pick(g, CLOTH), 0.4, clip=True))
    return [moved(p, big, 0, 0) for p in body + [moved(p, 1.25, *at, angle=nod) for p in head]]


def horse(g) -> list[Part]:
    """Return a horse: the mane and the long head give it away."""
    colour = pick(g, FUR)
    mane = pick(g, [(52, 42, 40), (92, 62, 44), (236, 222, 196)], 6)
    if abs(mane - colour).sum() < 90:
        mane = shade(colour, 0.5) if np.mean(colour) > 90 else mix(colour, (255, 250, 240), 0.6)
    bow = g.uniform(0, 1)  # 0 head high, 1 head low
    hx, hy = 1.02 + 0.16 * bow, -2.02 + 0.62 * bow
    tail = limb([(-0.78, -1.36), (-0.98, -1.2), (-1.0, -0.8), (-0.94, -0.5)], [0.12, 0.2, 0.18, 0.05])
    body = standing(g, colour, length=1.55, height=1.48, depth=0.66, leg=0.13, neck=(hx - 0.08, hy + 0.06, 0.3), tail=tail, feet=shade(mane, 0.7))
    body[2] = part(tail, mane, 0.5, grain="fur")
    skull = spline([(-0.2, -0.2), (0.02, -0.2), (0.26, 0.06), (0.5, 0.3), (0.56, 0.46), (0.44, 0.56), (0.28, 0.48), (0.06, 0.3), (-0.14, 0.24), (-0.26, 0.05)])
    ears = [np.array([(-0.15, -0.14), (-0.1, -0.4), (-0.01, -0.16)]), np.array([(-0.03, -0.16), (0.05, -0.38), (0.09, -0.1)])]
    head = [
        part([skull, *ears], colour, 0.7, grain="fur"),
        part(ellipse(0.46, 0.46, 0.13, 0.1, 0.9), mix(colour, (70, 56, 54), 0.55), 0.2, clip=True),
        part(ellipse(0.1, 0.0, 0.035, 0.045), DARK, 0), part(ellipse(0.09, -0.015, 0.013), (255, 255, 255), 0),
        part(ellipse(0.5, 0.42, 0.025, 0.035, 0.5), DARK, 0),
        part(limb([(0.36, 0.5), (0.45, 0.47), (0.52, 0.49)], [0.014] * 3), shade(colour, 0.4), 0),
    ]  # fmt: skip
    if g.random() < 0.35:
        head.append(part(spline([(0.06, -0.16), (0.14, -0.1), (0.44, 0.24), (0.34, 0.2)]), (248, 244, 236), 0.1))
    n = np.linspace(0, 1, 6)[:, None]
    crest = (1 - n) * (0.42, -1.44) + n * (hx - 0.06, hy - 0.2) + np.array([(-0.13, -0.12)]) * np.sin(np.pi * n)
    lower = crest[::-1] + np.array([(-0.02, 0.3)]) * g.uniform(0.6, 1.1, (6, 1)) + g.normal(0, 0.03, (6, 2))
    hair = [part([spline(np.vstack([crest, lower])), moved(part(spline([(-0.16, -0.24), (0.04, -0.26), (0.12, 0.02), (0.02, -0.04)]), mane), 1, hx, hy).outlines[0]], mane, 0.5, grain="fur")]
    return body + [moved(p, 1.0, hx, hy, angle=0.15 - 0.2 * bow) for p in head] + hair


def cow(g) -> list[Part]:
    """Return a cow: muzzle, horns and ears to the side give it away."""
    colour = pick(g, FUR)
    lie = g.random() < 0.2
    tail = limb([(-0.86, -1.24), (-0.98, -1.0), (-0.98, -0.62), (-0.96, -0.5)], [0.07, 0.05, 0.05, 0.12])
    if lie:
        body, at = lying(g, colour, length=1.8, height=0.8, tail=limb([(-0.8, -0.3), (-1.0, -0.1)], [0.08, 0.05]))
    else:
        body = standing(g, colour, length=1.72, height=1.38, depth=0.74, leg=0.15, neck=(0.98, -1.32, 0.4), tail=tail, feet=(84, 72, 68))
        at = (1.06, g.uniform(-1.45, -1.1))
        body.insert(2, part(ellipse(-0.38, -0.62, 0.17, 0.1), (236, 176, 166), 0.6))
    light = (248, 226, 210)
    face = mix(colour, (250, 246, 240), g.choice([0.0, 0.75]))
    skull = spline([(-0.2, -0.3), (0.2, -0.3), (0.24, -0.05), (0.17, 0.3), (0.16, 0.44), (-0.16, 0.44), (-0.17, 0.3), (-0.24, -0.05)])
    ears = [spline([(s * 0.2, -0.22), (s * 0.4, -0.28), (s * 0.48, -0.14), (s * 0.36, -0.08), (s * 0.2, -0.12)]) for s in (-1, 1)]
    horns = [limb([(s * 0.15, -0.29), (s * 0.28, -0.4), (s * 0.26, -0.54)], [0.08, 0.065, 0.02]) for s in (-1, 1)]
    head = [
        part(ears, shade(colour, 0.85), 0.4), part(horns, (232, 220, 194), 0.5),
        part(skull, colour, 0.6, grain="fur"),
        part(spline([(0, -0.34), (0.1, -0.2), (0.08, 0.3), (-0.08, 0.3), (-0.1, -0.2)]), face, 0.1, clip=True),
        part(spline([(0, 0.14), (0.2, 0.2), (0.22, 0.36), (0.1, 0.48), (-0.1, 0.48), (-0.22, 0.36), (-0.2, 0.2)]), mix(light, (232, 170, 160), 0.6), 0.5),
        part([ellipse(s * 0.1, 0.3, 0.035, 0.045, s * 0.4) for s in (-1, 1)], (120, 72, 70), 0),
        part(limb([(-0.1, 0.42), (0, 0.44), (0.1, 0.42)], [0.014] * 3), (130, 84, 80), 0),
        *_eyes(0, -0.08, 0.14, 0.045),
    ]  # fmt: skip
    nod = g.normal(0, 0.09)
    return body + [moved(p, 1.0, *at, angle=nod) for p in head]


def sheep(g) -> list[Part]:
    """Return a sheep: its wool gives it away."""
    wool = pick(g, [(243, 238, 228), (226, 205, 170), (136, 134, 138), (158, 108, 70), (232, 224, 210), (243, 238, 228)], 6)
    skin = pick(g, FUR) if g.random() < 0.4 else pick(g, [(70, 66, 72), (243, 238, 228)])
    body = standing(g, skin, length=0.92, height=0.82, depth=0.4, leg=0.075, neck=(0.5, -0.84, 0.2), tail=ellipse(-0.5, -0.6, 0.06, 0.12), feet=shade(skin, 0.6))
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
    ears = [spline([(s * 0.1, -0.08), (s * 0.24, -0.1), (s * 0.28, -0.02), (s * 0.2, 0.02), (s * 0.1, 0.0)]) for s in (-1, 1)]
    cap = [ellipse(x, y, 0.075) for x, y in ((-0.09, -0.16), (0, -0.19), (0.09, -0.16), (0, -0.12))]
    head = [
        part([*ears, skull], skin, 0.6, grain="fur"), part(cap, wool, 0.6, grain="wool"),
        *_eyes(0, -0.01, 0.075, 0.026),
        part([limb([(s * 0.05, 0.14), (0, 0.18), (0, 0.21)], [0.014] * 3) for s in (-1, 1)], shade(skin, 0.45) if np.mean(skin) > 100 else (190, 180, 176), 0),
    ]  # fmt: skip
    nod = g.normal(0, 0.09)
    return body + fleece + [moved(p, 1.08, *at, angle=nod) for p in head]


def bird(g, *, flying: bool = False) -> list[Part]:
    """Return a bird, on the wing (its middle at y = 0) or on its feet: beak and wing give it away."""
    colour = pick(g, [*FUR, *CLOTH])
    wing, beak = shade(colour, 0.7) if g.random() < 0.7 else pick(g, FUR), pick(g, [(240, 170, 60), (70, 64, 64), (226, 120, 70)])
    belly = mix(colour, (252, 244, 230), 0.6)
    body = spline([(-0.16, 0.0), (-0.08, -0.075), (0.08, -0.09), (0.17, -0.13), (0.23, -0.1), (0.24, -0.05), (0.16, 0.03), (0.02, 0.085), (-0.1, 0.05)])
    tail = np.array([(-0.12, -0.03), (-0.34, 0.02), (-0.36, 0.06), (-0.33, 0.08), (-0.1, 0.05)])
    bill = np.array([(0.225, -0.1), (0.32, -0.07), (0.23, -0.045)])
    out = [part(tail, wing, 0.4), part(bill, beak, 0.3), part(body, colour, 0.8, grain="fine"),
           part(ellipse(0.06, 0.06, 0.15, 0.075, -0.25), belly, 0.2, clip=True)]  # fmt: skip
    eye = [part(ellipse(0.19, -0.085, 0.014), DARK, 0), part(ellipse(0.186, -0.089, 0.005), (255, 255, 255), 0)]
    if flying:
        up = g.choice([-1, 1], p=[0.3, 0.7])
        far = spline([(0.0, -0.04), (0.08, -0.1 * up), (0.1, -0.34 * up), (0.02, -0.42 * up), (-0.04, -0.3 * up), (-0.08, -0.1 * up)])
        feathers = [limb([(0.04 - 0.03 * k, -0.02), (-0.03 - 0.055 * k, -0.2 * up), (-0.1 - 0.075 * k, (-0.42 + 0.055 * k) * up)], [0.09, 0.085, 0.03]) for k in range(4)]
        tilt = g.normal(-0.1, 0.2)
        parts = [part(far, shade(wing, 0.75), 0.4), *out, part(feathers, wing, 0.6, grain="fine"), *eye]
        return [moved(p, 1, 0, 0, angle=tilt) for p in parts]
    fold = [limb([(0.09, -0.04), (-0.06, 0.0), (-0.24, 0.04)], [0.1, 0.1, 0.025]), limb([(0.05, 0.0), (-0.05, 0.03), (-0.2, 0.06)], [0.08, 0.07, 0.02])]
    foot = 0.07 + g.uniform(0.07, 0.2)
    legs = [limb([(x, 0.05), (x + 0.01, 0.5 * foot + 0.03), (x, foot)], [0.024, 0.015, 0.014]) for x in (0.0, 0.05)]
    legs += [limb([(x - 0.025, foot), (x + 0.055, foot + 0.004)], [0.014, 0.01]) for x in (0.0, 0.05)]
    parts = [part(legs, shade(beak, 0.9), 0.2), *out, part(fold, wing, 0.6, grain="fine"), *eye]
    return [moved(p, 1, 0, -foot) for p in parts]


def person(g, pose: str | None = None) -> list[Part]:
    """Return a person 1.7 m tall: the head gives them away. pose: `stand`, `walk` or `ride` (hips at y = 0)."""
    pose = pose or g.choice(["stand", "walk"])
    skin, hair, top, trousers = pick(g, SKIN, 5), pick(g, HAIR, 6), pick(g, CLOTH), pick(g, CLOTH)
    shoe = pick(g, [(60, 54, 56), (120, 80, 56), (236, 232, 226), (190, 70, 64)])
    hip, shoulder = -0.86, -1.36
    step = g.uniform(0.12, 0.26) if pose == "walk" else g.uniform(0.0, 0.05)
    arm = g.uniform(-0.5, 0.5)
    def leg(s, lean):
        return limb([(s * 0.07, hip - 0.04), (s * 0.08 + lean * 0.4 + 0.02, hip * 0.5), (s * 0.08 + lean, -0.06)], [0.19, 0.145, 0.105])
    feet = [spline([(x - 0.06, -0.09), (x + 0.05, -0.1), (x + 0.15, -0.03), (x + 0.14, 0), (x - 0.07, 0)]) for x in (-0.08 - step, 0.08 + step)]
    if pose == "ride":
        legs = [limb([(0.0, hip), (0.3, hip + 0.1), (0.22, hip + 0.52)], [0.2, 0.16, 0.11])]
        feet = [spline([(0.18, hip + 0.48), (0.26, hip + 0.48), (0.38, hip + 0.56), (0.36, hip + 0.6), (0.17, hip + 0.6)])]
        far = []
    else:
        legs, far = [leg(1, step)], [leg(-1, -step)]
    trunk = spline([(-0.1, shoulder - 0.06), (0.1, shoulder - 0.06), (0.2, shoulder + 0.02), (0.18, -1.1), (0.16, hip + 0.06), (-0.16, hip + 0.06), (-0.18, -1.1), (-0.2, shoulder + 0.02)])
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
        skirt = [part(spline([(-0.14, hip - 0.08), (0.14, hip - 0.08), (0.27, hip + 0.42), (-0.27, hip + 0.42)]), trousers, 0.6)]
        trousers = skin
    head, nod = _head(g, skin, hair), g.normal(0, 0.04)
    return [
        part([h0], shade(skin, 0.85), 0.4), part([a0], shade(top, 0.78), 0.5),
        *([part(far, shade(trousers, 0.78), 0.5), part(feet[:1], shade(shoe, 0.8), 0.4)] if far else []),
        part(legs, trousers, 0.6), part(feet[-1:], shoe, 0.4), *skirt,
        part([limb([(0, shoulder - 0.16), (0, shoulder)], [0.11, 0.12])], shade(skin, 0.86), 0.4),
        part([trunk], top, 0.7, grain="fine"),
        *([part([limb([(-0.3, y), (0.3, y)], [0.045] * 2) for y in np.arange(shoulder, hip, 0.1)], mix(top, (255, 255, 255), 0.7), 0, clip=True)] if g.random() < 0.25 else []),
        part([h1], skin, 0.4), part([a1], mix(top, (255, 255, 255), 0.06), 0.6),
        *[moved(p, 1.0, 0.01, shoulder - 0.24, angle=nod) for p in head],
    ]  # fmt: skip


def _head(g, skin, hair) -> list[Part]:
    r = 0.135
    face = spline([(-0.9 * r, -0.3 * r), (0, -1.05 * r), (0.9 * r, -0.3 * r), (0.8 * r, 0.5 * r), (0.3 * r, 1.05 * r), (-0.3 * r, 1.05 * r), (-0.8 * r, 0.5 * r)])
    style = g.integers(4)
    back = {
        0: [],
        1: [spline([(-1.0 * r, -0.5 * r), (0, -1.25 * r), (1.0 * r, -0.5 * r), (1.1 * r, 0.8 * r), (0.9 * r, 1.6 * r), (-0.9 * r, 1.6 * r), (-1.1 * r, 0.8 * r)])],
        2: [ellipse(0, -1.3 * r, 0.5 * r), ellipse(0, -0.3 * r, 1.02 * r, 1.0 * r)],
        3: [ellipse(0, -0.35 * r, 1.12 * r, 1.05 * r)],
    }[int(style)]
    fringe = spline([(-0.98 * r, 0.1 * r), (-1.02 * r, -0.6 * r), (-0.5 * r, -1.18 * r), (0.4 * r, -1.2 * r), (1.02 * r, -0.6 * r), (0.98 * r, 0.1 * r), (0.76 * r, -0.4 * r), (0.1 * r, -0.62 * r), (-0.5 * r, -0.4 * r)])
    smile = limb([(-0.26 * r, 0.56 * r), (0, 0.66 * r), (0.28 * r, 0.54 * r)], [0.07 * r] * 3)
    out = [part(back, shade(hair, 0.85), 0.5, grain="fur")] if back else []
    out += [
        part([ellipse(s * 0.9 * r, 0.08 * r, 0.16 * r, 0.22 * r) for s in (-1, 1)], shade(skin, 0.92), 0.2),
        part(face, skin, 0.5),
        part([ellipse(s * 0.5 * r, 0.42 * r, 0.2 * r, 0.14 * r) for s in (-1, 1)], mix(skin, (232, 110, 100), 0.3), 0, clip=True),
        part([ellipse(s * 0.36 * r, 0.02 * r, 0.085 * r, 0.12 * r) for s in (-1, 1)], DARK, 0),
        part([limb([(s * 0.52 * r, -0.24 * r), (s * 0.24 * r, -0.27 * r)], [0.07 * r] * 2) for s in (-1, 1)], shade(hair, 0.8), 0),
        part(limb([(0.02 * r, 0.1 * r), (0.1 * r, 0.3 * r), (0.0, 0.33 * r)], [0.06 * r] * 3), shade(skin, 0.78), 0),
        part(smile, (170, 74, 70), 0),
    ]
    if g.random() < 0.15:
        out.append(part([spline([(-1.05 * r, -0.35 * r), (-0.8 * r, -1.15 * r), (0.8 * r, -1.15 * r), (1.05 * r, -0.35 * r)]), limb([(-1.0 * r, -0.4 * r), (1.5 * r, -0.36 * r)], [0.2 * r, 0.12 * r])], pick(g, CLOTH), 0.5))
    else:
        out.append(part(fringe, hair, 0.4, grain="fur"))
    return out
