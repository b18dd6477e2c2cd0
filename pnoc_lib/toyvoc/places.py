"""The backgrounds in image heights: sky, meadow, street, rails, water; and the shadows that tie things to them."""

from __future__ import annotations

import numpy as np

from pnoc_lib.toyvoc.colours import CLOTH, SKIES, mix, pick, shade
from pnoc_lib.toyvoc.paint import Part, box, ellipse, gradient, limb, moved, part, spline


def horizon(place: str, g: np.random.Generator, *, aloft: bool = False) -> float:
    """Return the height of the horizon (in a room: of the foot of the wall), from the top, in image heights.

    aloft: nothing stands on the ground, so that the sky may do without.
    """
    if place == "sky":
        return float(g.uniform(1.1, 1.3) if aloft else g.uniform(0.6, 0.78))
    low, high = {"room": (0.6, 0.74), "water": (0.38, 0.56), "rails": (0.42, 0.56)}.get(place, (0.4, 0.58))
    return float(g.uniform(low, high))


def shadow(thing, place: str, pixels: float, light: int) -> list[Part]:
    """Return what a thing casts on the ground, on water or on a stand, as blurred dark."""
    if thing.hovers or thing.mount is not None:
        return []
    left, right = sorted(
        (-thing.low[0] if thing.flip else thing.low[0], -thing.high[0] if thing.flip else thing.high[0])
    )
    half, mid = 0.5 * (right - left), 0.5 * (left + right) - light * 0.06 * (right - left)
    tint = (30, 60, 84) if place == "water" else (34, 32, 44)
    dark = part(
        ellipse(mid, -0.01 * half, half * 1.02, half * 0.13), tint, 0, solid=False, alpha=0.42, blur=0.06 * half
    )
    return [moved(dark, thing.scale * pixels, thing.x * pixels, thing.y * pixels)]


def _cloud(g, x, y, r, tint=(255, 255, 255)) -> Part:
    puffs = [
        ellipse(
            x + k * 0.55 * r,
            y - g.uniform(0, 0.35) * r * (1 - abs(k) / 3),
            g.uniform(0.4, 0.62) * r * (1.15 - abs(k) * 0.2),
        )
        for k in (-2, -1, 0, 1, 2)
    ]
    return part([*puffs, box(x - 1.4 * r, y + 0.1 * r, x + 1.4 * r, y + 0.42 * r, 0.16 * r)], tint, 0.5, alpha=0.85)


def _heaven(canvas, g, line, aspect):
    top, low = SKIES[g.integers(len(SKIES))]
    gradient(canvas, top, low, 0, min(line + 0.02, 1.0))
    clouds = [
        _cloud(
            g,
            g.uniform(0, aspect),
            g.uniform(0.05, 0.75 * min(line, 1)),
            g.uniform(0.05, 0.14),
            mix(low, (255, 255, 255), 0.7),
        )
        for _ in range(g.integers(1, 5))
    ]
    return low, clouds


def _tree(g, x, y, s) -> list[Part]:
    green = pick(g, [(92, 138, 84), (70, 116, 88), (128, 150, 84), (168, 142, 80)])
    trunk = part(limb([(x, y), (x + 0.02 * s, y - 0.5 * s)], [0.1 * s, 0.06 * s]), (110, 82, 62), 0.4)
    if g.random() < 0.35:
        return [
            trunk,
            part(
                [
                    np.array(
                        [
                            (x - 0.3 * s * k, y - (1.3 - 0.95 * k) * s + 0.1 * s),
                            (x, y - (1.62 - 0.9 * k) * s),
                            (x + 0.3 * s * k, y - (1.3 - 0.95 * k) * s + 0.1 * s),
                        ]
                    )
                    for k in (0.6, 0.85, 1.1)
                ],
                green,
                0.7,
                grain="leaf",
            ),
        ]
    blobs = [
        ellipse(x + 0.26 * s * np.cos(a), y - 0.85 * s + 0.22 * s * np.sin(a), g.uniform(0.2, 0.28) * s)
        for a in np.arange(6) * 1.05
    ]
    return [trunk, part(blobs, green, 0.8, grain="leaf")]


def _fence(g, y, s, x0, x1) -> list[Part]:
    wood = pick(g, [(176, 140, 104), (236, 230, 220), (140, 112, 90)])
    posts = [box(x - 0.02 * s, y - 0.32 * s, x + 0.02 * s, y, 0.008 * s) for x in np.arange(x0, x1, 0.24 * s)]
    rails = [limb([(x0, y - k * s), (x1, y - k * s)], [0.03 * s] * 2) for k in (0.12, 0.25)]
    return [part(rails + posts, wood, 0.4)]


def _ridge(g, aspect, line, height) -> np.ndarray:
    """Return the outline of far hills that rise up to `height` over the line."""
    x = np.linspace(-0.2, aspect + 0.2, 8)
    top = spline(np.stack([x, line - g.uniform(0.15, 1, 8) * height], 1), closed=False)
    return np.vstack([top, [(aspect + 0.2, line + 0.02), (-0.2, line + 0.02)]])


def meadow(canvas, g, line, aspect, things):
    low, clouds = _heaven(canvas, g, line, aspect)
    grass = pick(g, [(128, 172, 92), (150, 176, 96), (108, 154, 96), (178, 172, 104)])
    gradient(canvas, mix(grass, low, 0.35), shade(grass, 0.72), line, 1, "fur", 7)
    yield clouds
    hills = []
    for k in range(2):
        hills.append(
            part(
                _ridge(g, aspect, line, 0.16 - 0.05 * k),
                mix(mix(grass, (96, 140, 150), 0.5 - 0.25 * k), low, 0.45 - 0.2 * k),
                0.3,
            )
        )
    yield hills
    for _ in range(g.integers(1, 6)):
        yield _tree(g, g.uniform(0, aspect), line + g.uniform(0.0, 0.05), g.uniform(0.1, 0.3))
    if g.random() < 0.45:
        yield _fence(g, line + g.uniform(0.05, 0.12), g.uniform(0.3, 0.6), -0.1, aspect + 0.1)
    blades, blooms = [], []
    for _ in range(70):
        y = line + (1.05 - line) * np.sqrt(g.uniform(0.02, 1))
        x, s = g.uniform(0, aspect), 0.012 + 0.05 * (y - line)
        blades.append(limb([(x, y), (x + g.normal(0, 0.3) * s, y - s)], [0.22 * s, 0.05 * s]))
        if g.random() < 0.25:
            blooms.append(ellipse(x, y, 0.16 * s, 0.13 * s, n=8))
    yield [part(blades[::2], shade(grass, 0.68), 0), part(blades[1::2], mix(grass, (236, 236, 150), 0.25), 0)]
    if g.random() < 0.6:
        yield (
            [part(blooms, pick(g, [(250, 240, 230), (246, 206, 90), (226, 130, 150), (176, 150, 210)]), 0)]
            if blooms
            else []
        )


def sky(canvas, g, line, aspect, things):
    low, clouds = _heaven(canvas, g, line, aspect)
    yield clouds
    if line < 1:  # an airfield
        grass = pick(g, [(138, 172, 104), (166, 174, 110)])
        yield [part(_ridge(g, aspect, line, 0.06), mix((96, 134, 130), low, 0.4), 0.3)]
        gradient(canvas, mix(grass, low, 0.3), shade(grass, 0.8), line, 1, "fur", 6)
        y = line + 0.3 * (1 - line)
        yield [
            part(box(-0.1, y, aspect + 0.1, 1.1), (140, 140, 146), 0.1, grain="fine"),
            part(
                [box(u, y + 0.42 * (1 - y), u + 0.14, y + 0.47 * (1 - y)) for u in np.arange(-0.1, aspect, 0.26)],
                (236, 232, 220),
                0,
            ),
        ]
        if g.random() < 0.5:
            yield _house(g, g.uniform(0, aspect), g.uniform(0.2, 0.5), line + 0.01, g.uniform(0.06, 0.12))
        return
    yield [
        _cloud(g, g.uniform(0, aspect), g.uniform(0.3, 1.0), g.uniform(0.1, 0.3), mix(low, (255, 255, 255), 0.75))
        for _ in range(g.integers(1, 4))
    ]
    if g.random() < 0.35:
        yield [part([_ridge(g, aspect, 1.0, 0.16)], mix((96, 130, 120), low, 0.4), 0.3)]


def _house(g, x, w, line, h) -> list[Part]:
    wall = pick(
        g, [(214, 196, 172), (196, 150, 128), (176, 182, 188), (226, 214, 190), (160, 140, 136), (190, 204, 196)]
    )
    out = [part(box(x, line - h, x + w, line + 0.02), wall, 0.25)]
    if g.random() < 0.4:
        out.append(
            part(
                np.array([(x - 0.015, line - h), (x + w / 2, line - h - 0.09), (x + w + 0.015, line - h)]),
                pick(g, [(150, 90, 80), (110, 104, 112)]),
                0.3,
            )
        )
    else:
        out.append(part(box(x - 0.008, line - h - 0.012, x + w + 0.008, line - h + 0.008), shade(wall, 0.8), 0))
    nx, ny = max(1, int(w / 0.075)), max(1, int((h - 0.08) / 0.1))
    panes = [
        box(x + (i + 0.28) * w / nx, line - h + 0.035 + j * 0.1, x + (i + 0.72) * w / nx, line - h + 0.095 + j * 0.1)
        for i in range(nx)
        for j in range(ny)
    ]
    out.append(part(panes, pick(g, [(104, 124, 142), (86, 96, 116), (236, 212, 150)]), 0))
    if g.random() < 0.5:
        out.append(part(box(x + 0.2 * w, line - 0.1, x + 0.8 * w, line), (80, 88, 100), 0.1))
        out.append(part(box(x + 0.12 * w, line - 0.115, x + 0.88 * w, line - 0.085), pick(g, CLOTH), 0.2))
    return out


def street(canvas, g, line, aspect, things):
    _, clouds = _heaven(canvas, g, line, aspect)
    yield clouds
    x = -0.1
    while x < aspect:
        w = g.uniform(0.16, 0.36)
        if g.random() < 0.82:
            yield _house(g, x, w, line, g.uniform(0.18, 0.48))
        x += w + g.uniform(0, 0.03)
    path, road = pick(g, [(190, 182, 174), (204, 190, 170)]), pick(g, [(112, 112, 120), (128, 124, 126), (96, 98, 108)])
    kerb = line + 0.08
    gradient(canvas, shade(path, 0.94), path, line, kerb, "fine", 4)
    gradient(canvas, mix(road, (255, 255, 255), 0.12), shade(road, 0.85), kerb, 1, "fine", 5)
    yield [part(box(-0.1, kerb - 0.006, aspect + 0.1, kerb + 0.006), shade(path, 0.8), 0)]
    y = kerb + 0.4 * (1 - kerb)
    shift = g.uniform(0, 0.3)
    yield [
        part(
            [
                np.array([(u, y), (u + 0.16, y), (u + 0.15, y + 0.018), (u - 0.015, y + 0.018)])
                for u in np.arange(-0.3 + shift, aspect + 0.1, 0.32)
            ],
            (232, 228, 214),
            0,
        )
    ]
    for _ in range(g.integers(0, 3)):
        yield _tree(g, g.uniform(0, aspect), line + 0.04, g.uniform(0.2, 0.36))
    for _ in range(g.integers(0, 3)):
        u, t = g.uniform(0, aspect), g.uniform(0.35, 0.5)
        yield [
            part(
                [limb([(u, line + 0.06), (u, line + 0.06 - t), (u + 0.06, line + 0.04 - t)], [0.014, 0.01, 0.01])],
                (74, 76, 84),
                0.3,
            ),
            part(ellipse(u + 0.07, line + 0.045 - t, 0.025, 0.012), (250, 226, 160), 0.2),
        ]


def rails(canvas, g, line, aspect, things):
    low, clouds = _heaven(canvas, g, line, aspect)
    yield clouds
    yield [part(_ridge(g, aspect, line, 0.14), mix((104, 142, 112), low, 0.35), 0.3)]
    gravel = pick(g, [(164, 152, 142), (148, 144, 146)])
    gradient(canvas, mix(gravel, low, 0.3), shade(gravel, 0.8), line, 1, "fine", 12)
    if g.random() < 0.5:
        u = g.uniform(0, aspect)
        yield _house(g, u, g.uniform(0.2, 0.4), line, g.uniform(0.14, 0.26))
    for _ in range(g.integers(0, 4)):
        yield _tree(g, g.uniform(0, aspect), line + 0.01, g.uniform(0.12, 0.25))
    for y in (line + 0.3 * (1 - line), line + 0.75 * (1 - line)):
        s = 0.25 + (y - line)
        yield [
            part(
                [
                    np.array([(u, y), (u + 0.07 * s, y), (u + 0.04 * s, y + 0.16 * s), (u - 0.03 * s, y + 0.16 * s)])
                    for u in np.arange(-0.2, aspect + 0.2, 0.15 * s)
                ],
                (110, 88, 74),
                0.2,
            ),
            part([box(-0.1, y + o * s, aspect + 0.1, y + (o + 0.022) * s) for o in (0.03, 0.11)], (186, 184, 188), 0.4),
        ]
    u = g.uniform(0, aspect)
    yield [
        part(
            [box(u, line - 0.36, u + 0.014, line + 0.1), box(u - 0.06, line - 0.34, u + 0.07, line - 0.332)],
            (90, 88, 92),
            0.2,
        ),
        part(limb([(-0.1, line - 0.33), (aspect + 0.1, line - 0.335)], [0.004] * 2), (80, 80, 86), 0),
    ]


def water(canvas, g, line, aspect, things):
    low, clouds = _heaven(canvas, g, line, aspect)
    yield clouds
    sea = pick(g, [(84, 146, 170), (96, 160, 166), (74, 120, 160), (120, 150, 160)])
    if g.random() < 0.7:
        yield [part(_ridge(g, aspect, line - 0.01, 0.12), mix((90, 124, 110), low, 0.45), 0.3)]
    gradient(canvas, mix(sea, low, 0.5), shade(sea, 0.78), line, 1)
    bright, dark = [], []
    for _ in range(90):
        y = line + (1 - line) * g.uniform(0, 1) ** 1.3 + 0.004
        x, s = g.uniform(-0.05, aspect), 0.02 + 0.16 * (y - line)
        (bright if g.random() < 0.5 else dark).append(
            limb([(x, y), (x + s * 0.5, y - 0.05 * s), (x + s, y)], [0.01 * s, 0.085 * s, 0.01 * s], steps=3)
        )
    yield [part(bright, mix(sea, (255, 255, 255), 0.4), 0), part(dark, shade(sea, 0.82), 0)]
    ashore = [
        t.y - 0.03 for t in things if not t.hovers and t.kind not in (2, 3) and t.mount is None
    ]  # who cannot swim gets a beach
    if ashore or g.random() < 0.3:
        edge = max(min(ashore, default=g.uniform(0.86, 0.94)), line + 0.01)
        sand, foam = pick(g, [(230, 208, 164), (214, 194, 160)]), mix(sea, (255, 255, 255), 0.75)
        shore = spline(
            np.stack([np.linspace(-0.1, aspect + 0.1, 7), edge + g.uniform(-0.012, 0.012, 7)], 1), closed=False
        )
        yield [
            part(np.vstack([shore - (0, 0.012), [(aspect + 0.1, 1.1), (-0.1, 1.1)]]), foam, 0),
            part(np.vstack([shore, [(aspect + 0.1, 1.1), (-0.1, 1.1)]]), sand, 0.15, grain="fine"),
        ]
