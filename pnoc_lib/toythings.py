"""The vehicles and the furniture of ToyVOC, in metres on the ground y = 0 with y down: wheels and legs are shared, the rest is not."""

from __future__ import annotations

import numpy as np

from pnoc_lib.toyanimals import CLOTH, DARK, pick, shade
from pnoc_lib.toypaint import Part, box, ellipse, limb, mix, moved, part, ring, spline, turn

PAINT = [(202, 66, 60), (232, 146, 60), (238, 202, 88), (96, 152, 92), (58, 140, 146), (70, 120, 184), (56, 66, 108), (238, 236, 230), (176, 180, 186), (70, 68, 74), (140, 58, 66), (150, 190, 206)]  # fmt: skip
WOOD = [(176, 124, 80), (140, 94, 60), (206, 160, 110), (104, 70, 50), (228, 220, 208), (82, 74, 72)]
GLASS, RUBBER, STEEL = (172, 206, 222), (52, 50, 56), (186, 190, 196)
LAMP, TAIL = (255, 240, 190), (206, 60, 52)


def _wheel(x: float, r: float, *, rim: bool = True) -> list[Part]:
    """Return the wheel that car, bus and motorbike share."""
    out = [part(ellipse(x, -r, r), RUBBER, 0.4)]
    if rim:
        out += [part(ellipse(x, -r, 0.62 * r), STEEL, 0.6), part(ellipse(x, -r, 0.5 * r), (120, 124, 130), 0.3)]
        out.append(part([limb([(x, -r), (x + 0.5 * r * np.cos(a), -r + 0.5 * r * np.sin(a))], [0.14 * r, 0.1 * r]) for a in np.arange(5) * 1.257 + 0.3], STEEL, 0.2))
        out.append(part(ellipse(x, -r, 0.13 * r), (84, 86, 92), 0.2))
    return out


def _spokes(x: float, r: float, n: int = 7) -> list[Part]:
    """Return the wheel that bicycles have and light motorbikes may have: a tyre, a rim, spokes."""
    spokes = [limb([(x, -r), (x + 0.92 * r * np.cos(a), -r + 0.92 * r * np.sin(a))], [0.022 * r * 2] * 2) for a in np.arange(n) * 2 * np.pi / n]
    return [part(spokes, (206, 208, 212), 0), part(ring(x, -r, r, 0.13 * r), RUBBER, 0.3), part(ring(x, -r, 0.88 * r, 0.05 * r), STEEL, 0), part(ellipse(x, -r, 0.09 * r), (110, 112, 118), 0.3)]


def _gloss(outline, glass=GLASS) -> list[Part]:
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
    shell = spline([(-2.05, -0.3), (-2.07, -0.62), *back, *roof, (0.72, -1.2 * tall), (1.12, -0.88), (1.9, -0.74), (2.1, -0.56), (2.1, -0.3), (1.9, -0.2), (-1.9, -0.2)], steps=5)
    top, sill = -1.27 * tall, -0.86
    rear = -1.12 if kind == 0 else -1.5
    front_glass = spline([(-0.12, top), (0.32, top), (0.62, -1.1 * tall), (0.95, sill), (-0.12, sill)], steps=3)
    rear_glass = np.array([(rear + 0.3, top), (-0.24, top), (-0.24, sill), (rear - 0.08, sill)])
    wheels = [p for x in (-1.28, 1.3) for p in _wheel(x, r)]
    return [
        part(box(-1.9, -0.3, 1.9, -0.16), (58, 56, 60), 0.2),
        part(shell, paint, 0.9),
        part(limb([(-2.0, -0.7), (0.5, -0.72), (2.05, -0.62)], [0.03] * 3), mix(paint, (255, 255, 255), 0.4), 0, clip=True),
        part(box(-2.2, -0.34, 2.2, -0.1), shade(paint, 0.62), 0, clip=True),
        *_gloss(front_glass), *_gloss(rear_glass),
        part([box(-0.19, -0.86, -0.17, -0.34), box(0.93, -0.8, 0.95, -0.5), box(-1.2, -0.8, -1.18, -0.6)], shade(paint, 0.7), 0),
        part([box(-0.5, -0.72, -0.3, -0.69, 0.01), box(0.6, -0.72, 0.8, -0.69, 0.01)], shade(paint, 0.55), 0),
        part([ellipse(x, -r, r * 1.18) for x in (-1.28, 1.3)], (46, 44, 50), 0, clip=False),
        *wheels,
        part(spline([(1.84, -0.7), (2.08, -0.6), (2.08, -0.52), (1.88, -0.56)]), LAMP, 0.3),
        part(box(-2.08, -0.72, -1.98, -0.54, 0.03), TAIL, 0.3),
    ]  # fmt: skip


def _car_front(g, paint) -> list[Part]:
    h = g.uniform(1.35, 1.6)
    cabin = spline([(-0.72, -0.84), (-0.56, -h + 0.08), (-0.3, -h), (0.3, -h), (0.56, -h + 0.08), (0.72, -0.84)], steps=4)
    glass = spline([(-0.6, -0.86), (-0.48, -h + 0.14), (0.48, -h + 0.14), (0.6, -0.86)], steps=2)
    hull = spline([(-0.86, -0.25), (-0.9, -0.6), (-0.8, -0.88), (-0.4, -0.94), (0.4, -0.94), (0.8, -0.88), (0.9, -0.6), (0.86, -0.25), (0.7, -0.18), (-0.7, -0.18)])
    return [
        part([box(s * 0.7 - 0.13, -0.42, s * 0.7 + 0.13, 0, 0.05) for s in (-1, 1)], RUBBER, 0.4),
        part([ellipse(s * 0.9, -0.96, 0.13, 0.07) for s in (-1, 1)], shade(paint, 0.85), 0.5),
        part(cabin, paint, 0.7), *_gloss(glass), part(hull, paint, 0.9),
        part(box(-0.42, -0.66, 0.42, -0.46, 0.06), (54, 52, 58), 0.2),
        part([limb([(-0.4, y), (0.4, y)], [0.02] * 2) for y in (-0.61, -0.56, -0.51)], STEEL, 0),
        part([ellipse(s * 0.64, -0.62, 0.16, 0.1) for s in (-1, 1)], LAMP, 0.4),
        part([ellipse(s * 0.64, -0.62, 0.07) for s in (-1, 1)], (255, 252, 236), 0),
        part(box(-0.8, -0.36, 0.8, -0.22, 0.05), shade(paint, 0.7), 0.3), part(box(-0.2, -0.38, 0.2, -0.28, 0.02), (240, 238, 230), 0),
    ]  # fmt: skip


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
    out = [part(box(x0 + 0.2, -0.5, x1 - 0.2, -0.25), (58, 56, 60), 0.2), part(body, paint, 0.8), part(box(x0, -1.5, x1, -1.25), band, 0.2, clip=True), part(box(x0, -0.55, x1, -0.3), shade(paint, 0.6), 0, clip=True)]
    for deck in range(decks):
        top = -h + 0.42 + deck * 1.5 if decks == 2 else -h + 0.45
        count = 6 if decks == 2 else 7
        step = (n - 1.9) / count
        out.append(part(box(x0 + 0.25, top - 0.07, x1 - 0.2, top + 1.03, 0.12), (60, 62, 72), 0.1))
        for k in range(count):
            out += _gloss(box(x0 + 0.35 + k * step, top, x0 + 0.35 + (k + 1) * step - 0.12, top + 0.95, 0.08))
    door = x1 - 1.5
    out += _gloss(box(door, -2.45, door + 0.62, -0.5, 0.06))
    out += [part(box(door + 0.29, -2.45, door + 0.33, -0.5), shade(paint, 0.6), 0)]
    out += _gloss(np.array([(x1 - 0.62, -2.6), (x1 - 0.06, -2.6), (x1 - 0.03, -1.45), (x1 - 0.62, -1.45)]))
    out += [part(box(x1 - 0.75, -h + 0.08, x1 - 0.1, -h + 0.36, 0.05), (40, 40, 46), 0), part(box(x1 - 0.68, -h + 0.14, x1 - 0.2, -h + 0.28, 0.02), (250, 190, 80), 0)] if decks == 1 else []
    out += [part(ellipse(x1 - 0.1, -0.85, 0.12, 0.14), LAMP, 0.3), part(box(x0 + 0.02, -1.2, x0 + 0.14, -0.8, 0.03), TAIL, 0.2)]
    wheels = (x0 + 1.7, x1 - 2.2)
    out.append(part([ellipse(x, -r, r * 1.15) for x in wheels], (46, 44, 50), 0))
    return out + [p for x in wheels for p in _wheel(x, r)]


def _bus_front(g, paint, band) -> list[Part]:
    h = 3.1
    out = [part([box(s * 0.95 - 0.18, -0.7, s * 0.95 + 0.18, 0, 0.06) for s in (-1, 1)], RUBBER, 0.4),
           part([limb([(s * 1.25, -2.5), (s * 1.48, -2.4)], [0.06] * 2) for s in (-1, 1)] + [box(s * 1.5 - 0.1, -2.42, s * 1.5 + 0.1, -1.95, 0.06) for s in (-1, 1)], (50, 50, 56), 0.3),
           part(box(-1.27, -h, 1.27, -0.32, 0.25), paint, 0.8), part(box(-1.3, -1.2, 1.3, -0.95), band, 0.2, clip=True)]  # fmt: skip
    out += _gloss(box(-1.12, -2.5, -0.03, -1.3, 0.12)) + _gloss(box(0.03, -2.5, 1.12, -1.3, 0.12))
    out += [part(box(-0.85, -2.98, 0.85, -2.62, 0.06), (40, 40, 46), 0), part([box(-0.6 + 0.32 * k, -2.9, -0.36 + 0.32 * k, -2.7, 0.03) for k in range(4)], (250, 190, 80), 0),
            part([ellipse(s * 0.92, -0.75, 0.17, 0.13) for s in (-1, 1)], LAMP, 0.4), part(box(-0.5, -0.85, 0.5, -0.65, 0.05), (54, 52, 58), 0.2),
            part(box(-1.2, -0.52, 1.2, -0.36, 0.05), shade(paint, 0.6), 0.2), part(box(-0.25, -0.56, 0.25, -0.42, 0.02), (240, 238, 230), 0)]  # fmt: skip
    return out


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
        return np.array([seen(x - half, 0, 3.2), seen(x - half, 0, 0.2), seen(x + half, 0, 0.2), seen(x + half, 0, 3.2)])

    out = []
    if railed:
        ties = [np.array([seen(-1.35, 0, s), seen(1.35, 0, s), seen(1.35, 0, 1.035 * s), seen(-1.35, 0, 1.035 * s)]) for s in 1 / np.arange(0.32, 3.0, 0.075)]
        out = [part(ties, (112, 90, 76), 0, solid=False), part([rail(-0.75, 0.06), rail(0.75, 0.06)], (176, 174, 180), 0.3, solid=False)]
    out += [part(strip(-0.5, -0.05), (56, 54, 58), 0.1), part(strip(yt, yb), shade(paint, 0.82), 0.4), part(strip(-1.45, -1.2), shade(stripe, 0.85), 0), part(strip(yt, yt + 0.2), (120, 120, 126), 0)]
    cells = 9
    for k in range(cells):
        a, b = 0.04 + k * 0.94 / cells, 0.04 + (k + 0.72) * 0.94 / cells
        if k % 4 == 3:
            out.append(part(strip(-2.75, -0.6, a, b), mix(paint, stripe, 0.4), 0.2))
            out.append(part(strip(-2.6, -1.7, a + 0.012, b - 0.012), GLASS, 0.2))
        else:
            out.append(part(strip(-2.75, -1.75, a, b), mix(GLASS, (70, 90, 110), 0.15), 0.4))
    out += [part(strip(yt, yb, u, u + 0.012), (50, 48, 54), 0) for u in (0.5,)]
    face = spline([(-w / 2, -0.5), (-w / 2 * 1.02, -2.0), (-w / 2 * 0.86, -3.2), (-w / 4, -h), (w / 4, -h), (w / 2 * 0.86, -3.2), (w / 2 * 1.02, -2.0), (w / 2, -0.5)], steps=5)
    out += [
        part(box(-1.1, -0.5, 1.1, -0.02, 0.05), (56, 54, 58), 0.3), part([box(s * 0.85 - 0.12, -0.3, s * 0.85 + 0.12, 0.02, 0.03) for s in (-1, 1)], (90, 88, 92), 0.3),
        part(face, paint, 0.9), part(box(-w, -1.5, w, -1.15), stripe, 0.2, clip=True),
        part(spline([(-0.9, -0.4), (-0.3, -1.15), (0.3, -1.15), (0.9, -0.4)]), stripe, 0.2, clip=True) if nose else part(box(-w, -0.7, w, -0.4), stripe, 0.2, clip=True),
        part(box(-1.08, -2.95, 1.08, -1.75, 0.25), (54, 58, 68), 0.2), *_gloss(box(-1.0, -2.86, -0.05, -1.84, 0.18)), *_gloss(box(0.05, -2.86, 1.0, -1.84, 0.18)),
        part(box(-0.5, -3.35, 0.5, -3.08, 0.06), (40, 40, 46), 0), part(box(-0.36, -3.29, 0.36, -3.14, 0.03), (250, 190, 80), 0),
        part([ellipse(s * 0.92, -0.98, 0.2) for s in (-1, 1)], (70, 70, 76), 0.3), part([ellipse(s * 0.92, -0.98, 0.15) for s in (-1, 1)], (255, 248, 214), 0.2), part(ellipse(0, -3.46, 0.1), (255, 248, 214), 0.2),
        part(box(-0.28, -0.62, 0.28, -0.34, 0.06), (64, 62, 66), 0.4), part([ellipse(s * 0.6, -0.46, 0.14) for s in (-1, 1)], (86, 84, 88), 0.5),
    ]  # fmt: skip
    return out


def aeroplane(g, *, flying: bool = True) -> list[Part]:
    """Return an aeroplane, nose to the right, its wheels out unless flying: wings and tail fin give it away."""
    tilt = g.normal(-0.06, 0.09)
    paint, fin = pick(g, [(244, 242, 238), (244, 242, 238), *PAINT]), pick(g, PAINT)
    n = 9.0
    hull = spline([(-n / 2, -1.75), (-n * 0.36, -1.95), (0, -2.0), (n * 0.36, -1.98), (n * 0.46, -1.72), (n / 2, -1.42), (n * 0.46, -1.2), (n * 0.3, -1.02), (-0.1 * n, -1.0), (-n * 0.34, -1.3)])
    near = np.array([(1.1, -1.3), (-0.3, -1.3), (-2.9, 0.5), (-2.2, 0.55)])
    far = np.array([(1.0, -1.9), (0.0, -1.9), (-1.3, -3.0), (-0.8, -3.05)])
    tail = np.array([(-n * 0.47, -1.8), (-n * 0.3, -1.95), (-n * 0.42, -3.35), (-n * 0.5, -3.35)])
    stab = np.array([(-n * 0.37, -1.62), (-n * 0.48, -1.62), (-n * 0.57, -1.2), (-n * 0.53, -1.18)])
    engine = spline([(-0.9, -0.55), (-0.6, -0.82), (0.2, -0.82), (0.36, -0.6), (0.2, -0.34), (-0.7, -0.34)])
    rows = [ellipse(x, -1.6, 0.085, 0.11, n=10) for x in np.arange(-2.9, 3.1, 0.42)]
    gear = [part([limb([(x, -1.1), (x, -0.1)], [0.1, 0.1]) for x in (2.9, -0.5)], (120, 122, 128), 0.3), part([ellipse(x, 0.1, 0.25) for x in (2.9, -0.5)], RUBBER, 0.4)] if not flying else []
    parts = [
        part(far, shade(paint, 0.72), 0.3), part(tail, fin, 0.5), part(box(-6, -3.0, -2, -2.75), mix(fin, (255, 255, 255), 0.6), 0, clip=True), *gear,
        part(hull, paint, 0.95), part(spline([(-n / 2, -1.55), (0, -1.5), (n / 2, -1.3), (n / 2, -1.2), (0, -1.34), (-n / 2, -1.4)]), fin, 0.1, clip=True),
        part(rows, (84, 108, 134), 0), part(np.array([(3.55, -1.85), (3.95, -1.8), (4.15, -1.58), (3.6, -1.58)]), (70, 96, 124), 0.3),
        part(stab, shade(paint, 0.85), 0.4), part(near, shade(paint, 0.9), 0.5), part(engine, mix(fin, (230, 230, 234), 0.4), 0.8), part(ellipse(0.26, -0.58, 0.09, 0.2), (54, 54, 60), 0),
    ]  # fmt: skip
    return [moved(p, 1, 0, -0.35) for p in parts] if not flying else [moved(p, 1, 0, 1.5, angle=tilt) for p in parts]


def boat(g) -> list[Part]:
    """Return a boat, afloat at y = 0: hull and sail or cabin give it away."""
    paint, trim = pick(g, PAINT), pick(g, PAINT)
    kind = g.choice(["sail", "fishing", "row"], p=[0.45, 0.4, 0.15])
    deck = 0.62
    hull = spline([(-2.1, -deck), (0, -deck + 0.1), (1.6, -deck - 0.05), (2.45, -deck - 0.25), (2.0, -0.05), (1.6, 0.1), (-1.7, 0.1), (-2.0, -0.15)], steps=4)
    base = [part(hull, paint, 0.9, grain="wood"), part(box(-3, -0.1, 3, 0.2), mix((168, 60, 54), paint, 0.3), 0, clip=True),
            part(limb([(-2.1, -deck), (0, -deck + 0.1), (1.6, -deck - 0.05), (2.45, -deck - 0.25)], [0.11] * 4), mix(trim, (250, 246, 238), 0.5), 0.3)]  # fmt: skip
    if kind == "sail":
        cloth = pick(g, [(246, 240, 226), (246, 240, 226), *PAINT], 5)
        main = spline([(0.12, -4.6), (0.3, -2.8), (0.2, -1.0), (-0.9, -0.95), (-1.95, -1.05), (-1.1, -2.4), (-0.2, -4.0)], steps=4)
        jib = spline([(0.42, -4.3), (1.2, -2.5), (2.2, -0.95), (1.2, -1.0), (0.55, -1.15), (0.62, -2.6)], steps=4)
        rig = [part(limb([(0.32, -0.5), (0.3, -4.8)], [0.11, 0.07]), (140, 100, 70), 0.3), part(limb([(0.3, -0.92), (-2.0, -0.95)], [0.08, 0.07]), (140, 100, 70), 0.2),
               part(main, cloth, 0.7), part([limb([(-2, y), (1, y)], [0.035] * 2) for y in (-3.5, -2.7, -1.9)], shade(cloth, 0.85), 0, clip=True), part(jib, mix(cloth, trim, 0.25), 0.7)]  # fmt: skip
        return rig + base
    if kind == "fishing":
        cabin = [part(box(-1.5, -1.75, 0.3, -0.5, 0.1), (240, 236, 228), 0.6), part(box(-1.65, -1.9, 0.5, -1.7, 0.08), trim, 0.5)]
        cabin += [q for x in (-1.3, -0.72, -0.14) for q in _gloss(box(x, -1.5, x + 0.4, -1.1, 0.06), (110, 150, 176))]
        mast = [part([limb([(-0.6, -1.8), (-0.6, -3.1)], [0.08, 0.05]), limb([(-0.6, -2.9), (1.9, -0.9)], [0.03, 0.03])], (110, 90, 76), 0.2), part(np.array([(-0.58, -3.1), (-0.05, -2.95), (-0.58, -2.8)]), trim, 0.2)]
        rings = [part(ring(x, -0.32, 0.17, 0.08), (232, 120, 70), 0.3) for x in (-0.9, 0.5)]
        return mast + cabin + base + rings
    inside = [part(spline([(-2.05, -deck), (-1.2, -deck - 0.12), (1.0, -deck - 0.14), (2.35, -deck - 0.24), (1.4, -deck + 0.12), (-1.2, -deck + 0.15)]), shade(paint, 0.5), 0.2), part([box(x, -deck - 0.1, x + 0.28, -deck + 0.05, 0.03) for x in (-1.1, 0.1, 1.1)], (200, 158, 112), 0.3)]
    oars = [part(limb([(-0.3, -0.85), (-1.5, 0.05)], [0.07, 0.07]), (200, 158, 112), 0.2), part(ellipse(-1.6, 0.08, 0.3, 0.1, -0.75), (200, 158, 112), 0.3)]
    return inside + base + oars


def bicycle(g) -> list[Part]:
    """Return a bicycle: the open frame and the handlebar give it away."""
    paint = pick(g, PAINT)
    r, a, b = 0.35, -0.55, 0.55
    seat, crank, head = (-0.2, -0.86), (-0.08, -0.3), (0.36, -0.88)
    fork = (b, -r)
    def tube(p, q, w=0.055):
        return limb([p, q], [w, w])
    step = g.random() < 0.4  # a low frame
    frame = [tube((a, -r), crank), tube((a, -r), (-0.17, -0.74), 0.045), tube(crank, seat), tube(crank, (0.38, -0.76)), tube((0.34, -0.94), (0.42, -0.66)), limb([(0.42, -0.68), (0.47, -0.5), fork], [0.055, 0.05, 0.045])]
    frame.append(limb([(-0.12, -0.52), (0.2, -0.58), (0.38, -0.72)], [0.05] * 3) if step else tube((-0.18, -0.78), (0.36, -0.84)))
    bar = limb([(0.34, -0.94), (0.36, -1.02), (0.28, -1.05), (0.2, -1.0)], [0.04, 0.04, 0.04, 0.055]) if g.random() < 0.6 else limb([(0.34, -0.94), (0.46, -1.0), (0.54, -0.92), (0.46, -0.84)], [0.04, 0.04, 0.045, 0.045])
    parts = [*_spokes(a, r, 11), *_spokes(b, r, 11), part(frame, paint, 0.5),
            part([ring(crank[0], crank[1], 0.1, 0.03), limb([crank, (0.02, -0.15)], [0.03] * 2), box(-0.04, -0.16, 0.09, -0.12, 0.02)], (84, 84, 90), 0.2),
            part([tube((-0.2, -0.84), (-0.21, -0.92), 0.04), bar], (96, 96, 102), 0.3), part(spline([(-0.36, -0.97), (-0.2, -0.97), (-0.04, -0.94), (-0.06, -0.91), (-0.2, -0.9), (-0.34, -0.91)]), (60, 48, 44), 0.5)]  # fmt: skip
    if g.random() < 0.4:
        parts.append(part([limb([(a + (r + 0.04) * np.cos(t), -r + (r + 0.04) * np.sin(t)) for t in np.linspace(3.3, 5.6, 7)], [0.03] * 7, smooth=False), limb([(b + (r + 0.04) * np.cos(t), -r + (r + 0.04) * np.sin(t)) for t in np.linspace(3.8, 5.9, 7)], [0.03] * 7, smooth=False)], shade(paint, 0.85), 0.2))
    if g.random() < 0.3:
        parts += [part(spline([(0.42, -0.96), (0.74, -0.96), (0.7, -0.72), (0.46, -0.72)], steps=3), (186, 140, 92), 0.5, grain="wood")]
    return parts


def motorbike(g) -> list[Part]:
    """Return a motorbike: tank, engine and fork give it away."""
    paint, r = pick(g, PAINT), 0.33
    a, b = -0.72, 0.72
    wheels = [p for x in (a, b) for p in ([*_wheel(x, r)] if g.random() < 0.7 else [*_wheel(x, r, rim=False), part(ellipse(x, -r, 0.7 * r), (190, 192, 198), 0.3), part(ellipse(x, -r, 0.2 * r), (90, 92, 98), 0.3)])]
    tank = spline([(-0.12, -0.78), (0.02, -0.98), (0.3, -1.0), (0.45, -0.86), (0.3, -0.74)])
    tailp = spline([(-0.8, -0.92), (-0.5, -0.84), (-0.1, -0.76), (-0.15, -0.62), (-0.5, -0.68)])
    seat = spline([(-0.74, -0.92), (-0.5, -0.95), (-0.26, -0.84), (-0.06, -0.86), (-0.1, -0.76), (-0.5, -0.82)])
    out = [
        part([limb([(0.4, -0.98), (0.56, -0.62), (b, -r)], [0.09, 0.08, 0.07]), limb([(a, -r), (-0.1, -0.42)], [0.1, 0.12])], (150, 154, 160), 0.5), *wheels,
        part([limb([(b - r * 0.9, -r * 1.7), (b - 0.05, -r * 2.2), (b + r * 0.85, -r * 1.65)], [0.06, 0.09, 0.05])], paint, 0.6),
        part(spline([(-0.3, -0.7), (0.42, -0.78), (0.4, -0.3), (0.2, -0.18), (-0.2, -0.2), (-0.34, -0.4)]), (88, 88, 96), 0.7),
        part([box(-0.14 + 0.0, y, 0.3, y + 0.03) for y in (-0.62, -0.55, -0.48)], (160, 162, 170), 0), part(ellipse(0.08, -0.34, 0.13), (170, 172, 178), 0.6),
        part(limb([(0.3, -0.3), (-0.1, -0.16), (-0.5, -0.2), (-0.98, -0.32)], [0.07, 0.08, 0.1, 0.13]), (206, 208, 212), 0.7),
        part([tank, tailp], paint, 0.9), part(spline([(0.0, -0.86), (0.16, -0.94), (0.36, -0.88), (0.16, -0.84)]), mix(paint, (255, 255, 255), 0.7), 0, clip=False), part(seat, (52, 46, 46), 0.6),
        part([limb([(0.4, -0.98), (0.34, -1.14), (0.2, -1.16)], [0.05, 0.045, 0.06]), limb([(0.36, -1.12), (0.42, -1.26)], [0.025] * 2)], (70, 70, 76), 0.3), part(ellipse(0.42, -1.29, 0.06, 0.045), (120, 124, 130), 0.4),
        part(ellipse(0.54, -0.94, 0.12), (84, 84, 90), 0.4), part(ellipse(0.58, -0.94, 0.085, 0.1), LAMP, 0.3), part(ellipse(-0.82, -0.88, 0.05, 0.04), TAIL, 0.2),
    ]  # fmt: skip
    if g.random() < 0.35:
        out.append(part(spline([(0.36, -1.0), (0.52, -1.34), (0.6, -1.3), (0.64, -1.0)]), mix(GLASS, (255, 255, 255), 0.3), 0.4, alpha=0.85))
    return out


def bottle(g) -> list[Part]:
    """Return a bottle: its neck gives it away."""
    glass = pick(g, [(70, 112, 70), (120, 74, 46), (176, 206, 214), (60, 76, 120), (206, 226, 226), (150, 60, 60)])
    w, h, neck = g.uniform(0.07, 0.1), g.uniform(0.24, 0.36), g.uniform(0.022, 0.032)
    s = g.uniform(0.52, 0.68) * h
    body = spline([(-neck / 2 - 0.004, -h), (neck / 2 + 0.004, -h), (neck / 2, -0.82 * h), (0.42 * w, -s - 0.03 * h), (w / 2, -s + 0.06 * h), (w / 2, -0.3 * h), (w / 2, -0.03 * h), (0.4 * w, 0), (-0.4 * w, 0), (-w / 2, -0.03 * h), (-w / 2, -0.3 * h), (-w / 2, -s + 0.06 * h), (-0.42 * w, -s - 0.03 * h), (-neck / 2, -0.82 * h)])
    label = pick(g, [(244, 238, 222), *CLOTH])
    out = [part(box(-w, -s * 1.05, w, 0), shade(glass, 0.72), 0.0, clip=True)] if g.random() < 0.5 else []
    band = [part(box(-w, -0.82 * s, w, -0.3 * s), label, 0.5, clip=True), part(box(-w, -0.62 * s, w, -0.5 * s), shade(label, 0.7) if np.mean(label) > 120 else (240, 226, 190), 0.1, clip=True)] if g.random() < 0.8 else []
    return [part(body, glass, 0.9), *out, *band, part(limb([(-0.28 * w, -0.92 * s), (-0.3 * w, -0.15 * s)], [0.1 * w, 0.08 * w]), (255, 255, 255), 0, clip=True, alpha=0.5),
            part(box(-neck / 2 - 0.006, -h - 0.012, neck / 2 + 0.006, -h + 0.03, 0.006), pick(g, PAINT), 0.5)]  # fmt: skip


def _legs(xs, top, wood, w=0.05, splay=0.02) -> list[np.ndarray]:
    """Return the legs that chairs, tables and sofas share."""
    return [limb([(x, top), (x + np.sign(x) * splay, -0.01)], [w, 0.75 * w]) for x in xs]


def chair(g) -> list[Part]:
    """Return a chair: its back gives it away; three-quarter view."""
    wood, seat = pick(g, WOOD), pick(g, [*WOOD, *CLOTH])
    w, sy, top = g.uniform(0.42, 0.5), -0.45, -g.uniform(0.84, 1.0)
    x, off = w / 2, 0.14  # the back stands off to the upper side
    kind = g.integers(4)
    legs = _legs((-x + 0.03 + off, x - 0.03 + off), sy - 0.1, shade(wood, 0.7), 0.045, 0.0)
    front = _legs((-x + 0.03, x - 0.03), sy, wood, 0.05)
    cushion = spline([(-x - 0.02, sy + 0.03), (-x + off, sy - 0.14), (x + off, sy - 0.14), (x + 0.02, sy + 0.03), (x, sy + 0.06), (-x, sy + 0.06)], steps=4)
    posts = [limb([(s * (x - 0.025) + off, sy - 0.08), (s * (x - 0.02) + off + 0.04, top)], [0.05, 0.045]) for s in (-1, 1)]
    def lx(y):
        return off + 0.04 * (y - sy) / (top - sy)
    if kind == 0:  # slats up
        back = [limb([(k * w / 5 + off, sy - 0.1), (k * w / 5 + off + 0.04, top + 0.04)], [0.032] * 2) for k in (-1.4, -0.5, 0.4, 1.3)] + [limb([(-x + lx(top), top + 0.02), (lx(top), top - 0.03), (x + lx(top), top + 0.02)], [0.09] * 3)]
    elif kind == 1:  # slats across
        back = [limb([(-x + lx(y), y), (lx(y), y - 0.015), (x + lx(y), y)], [0.075] * 3) for y in (top + 0.05, 0.62 * top + 0.38 * sy, 0.3 * top + 0.7 * sy)]
    elif kind == 2:  # a shell
        back = [spline([(-x + off + 0.01, sy - 0.14), (-x + lx(top) - 0.01, top + 0.08), (lx(top), top - 0.03), (x + lx(top) + 0.01, top + 0.08), (x + off - 0.01, sy - 0.14), (off, sy - 0.2)])]
    else:  # upholstered
        back = [box(-x + off + 0.02, top, x + off + 0.03, sy - 0.12, 0.09)]
    return [part(legs, shade(wood, 0.66), 0.3), part([*posts, *back] if kind < 2 else posts, wood, 0.6, grain="wood"),
            *([part(back, seat if kind == 3 else wood, 0.8, grain="fine")] if kind >= 2 else []),
            part(front, wood, 0.5, grain="wood"), part(limb([(-x + 0.04, sy + 0.22), (x - 0.04, sy + 0.22)], [0.028] * 2), shade(wood, 0.85), 0.3), part(cushion, seat, 0.7, grain="fine")]  # fmt: skip


def diningtable(g, *, near: float = 0.0) -> list[Part]:
    """Return a laid table: its wide top gives it away. near: 0 seen from afar .. 1 looked down upon."""
    wood = pick(g, WOOD)
    w, top, d = g.uniform(1.3, 1.9), -0.75, g.uniform(0.2, 0.34) + 0.7 * near
    x = w / 2
    round_top = g.random() < 0.4 and near < 0.3
    if round_top:
        board = ellipse(0, top - d / 2 + 0.02, x, d * 0.75)
        legs = [part([limb([(0, top), (0, -0.1)], [0.12, 0.1]), limb([(-0.32, -0.02), (0, -0.16), (0.32, -0.02)], [0.07, 0.1, 0.07])], wood, 0.5, grain="wood")]
        rim = [part([ellipse(0, top - d / 2 + 0.075, x, d * 0.75)], shade(wood, 0.72), 0.4)]
    else:
        board = np.array([(-x, top), (-x * 0.84, top - d), (x * 0.84, top - d), (x, top)])
        legs = [part(_legs((-x * 0.76, x * 0.76), top - 0.05, wood, 0.06, 0.0), shade(wood, 0.62), 0.3), part(_legs((-x + 0.07, x - 0.07), top, wood, 0.08), wood, 0.5, grain="wood")]
        rim = [part(box(-x, top, x, top + 0.07, 0.015), shade(wood, 0.8), 0.4, grain="wood")]
    cloth = []
    if g.random() < 0.45:
        tint, drop = pick(g, [*CLOTH, (246, 240, 230), (246, 240, 230)]), g.uniform(0.12, 0.3)
        u = np.linspace(-1, 1, 15)
        hem = np.stack([u * x * 1.02, top + drop + 0.02 * np.cos(np.arange(15) * np.pi)], 1)
        if round_top:
            hem[:, 1] = top - d / 2 + drop + d * 0.72 * np.sqrt(np.clip(1 - u**2, 0, 1)) + 0.015 * np.cos(np.arange(15) * np.pi)
            drape = np.vstack([[(-x, top - d / 2)], hem, [(x, top - d / 2)]])
        else:
            drape = np.vstack([[(-x, top - 0.01)], hem, [(x, top - 0.01)]])
        cloth = [part(spline(drape, steps=3), shade(tint, 0.88), 0.4), part(board, tint, 0.3, grain="fine")]
        checks = mix(tint, (255, 255, 255), 0.5) if np.mean(tint) < 200 else mix(tint, (206, 80, 74), 0.5)
        if g.random() < 0.5:
            cloth.append(part([np.array([(k * 0.2 * x - 0.03, top), (k * 0.17 * x - 0.03, top - d), (k * 0.17 * x + 0.03, top - d), (k * 0.2 * x + 0.03, top)]) for k in range(-4, 5)], checks, 0, clip=True))
    ware = []
    for k in range(g.integers(2, 6)):
        px, py = g.uniform(-0.72, 0.72) * x, top - d * g.uniform(0.25, 0.7)
        tint = pick(g, [(246, 244, 240), (246, 244, 240), *CLOTH], 4)
        what = g.integers(3)
        if what == 0:  # a plate with something
            ware += [part(ellipse(px, py, 0.14, 0.045), shade(tint, 0.94), 0.3), part(ellipse(px, py - 0.004, 0.1, 0.03), mix(tint, (255, 255, 255), 0.4), 0.1), part([ellipse(px + o, py - 0.015, 0.035, 0.022) for o in (-0.03, 0.03)], pick(g, [(206, 120, 70), (120, 160, 80), (226, 190, 90)]), 0.4)]
        elif what == 1:  # a cup
            ware += [part(ring(px + 0.05, py - 0.045, 0.03, 0.013), tint, 0.2), part(spline([(px - 0.045, py - 0.09), (px + 0.045, py - 0.09), (px + 0.035, py), (px - 0.035, py)], steps=4), tint, 0.6), part(ellipse(px, py - 0.088, 0.043, 0.012), (96, 64, 46), 0)]
        else:  # a bowl of fruit
            ware += [part([ellipse(px + o, py - 0.1, 0.045) for o in (-0.05, 0.0, 0.05)], pick(g, [(216, 76, 60), (236, 166, 60), (150, 180, 76)]), 0.6), part(spline([(px - 0.13, py - 0.1), (px + 0.13, py - 0.1), (px + 0.06, py), (px - 0.06, py)], steps=4), tint, 0.6)]
    return [*legs, *rim, part(board, wood, 0.4, grain="wood"), *cloth, *ware]


def sofa(g) -> list[Part]:
    """Return a sofa: armrests and cushions give it away."""
    cloth, wood = pick(g, [*CLOTH, *[(176, 160, 142), (120, 110, 106)]]), pick(g, WOOD)
    w, seats = (1.25, 1) if g.random() < 0.2 else (g.uniform(1.7, 2.1), int(g.integers(2, 4)))
    x, top = w / 2, -g.uniform(0.78, 0.92)
    inner = x - 0.17
    cells = np.linspace(-inner, inner, seats + 1)
    back = box(-x + 0.06, top, x - 0.06, -0.25, 0.13)
    cushions = [box(a + 0.008, -0.5, b - 0.008, -0.3, 0.06) for a, b in zip(cells[:-1], cells[1:], strict=True)]
    rests = [box(a + 0.01, top + 0.05, b - 0.01, -0.44, 0.1) for a, b in zip(cells[:-1], cells[1:], strict=True)]
    arms = [box(s * (x - 0.1) - 0.1, -0.62, s * (x - 0.1) + 0.1, -0.1, 0.09) for s in (-1, 1)]
    out = [part(_legs((-x + 0.1, x - 0.1), -0.12, wood, 0.055), wood, 0.4), part(back, shade(cloth, 0.82), 0.6, grain="fine"), part(box(-x + 0.08, -0.34, x - 0.08, -0.09, 0.03), shade(cloth, 0.78), 0.4, grain="fine")]
    out += [part([r], mix(cloth, (255, 255, 255), 0.05), 0.8, grain="fine") for r in rests] + [part([c], mix(cloth, (255, 255, 255), 0.12), 0.8, grain="fine") for c in cushions]
    for _ in range(g.integers(0, 3)):
        px, tint, a = g.uniform(-inner + 0.15, inner - 0.15), pick(g, CLOTH), g.uniform(-0.35, 0.35)
        pillow = spline([(-0.16, -0.15), (0, -0.12), (0.16, -0.15), (0.13, 0), (0.16, 0.15), (0, 0.12), (-0.16, 0.15), (-0.13, 0)]) * 1.05
        out.append(part(turn(pillow, a) + (px, -0.62), tint, 0.8, grain="fine"))
    return [*out, part(arms, cloth, 0.9, grain="fine")]


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
            leaves.append((limb([(0.2 * w * np.sin(a), y), (0.35 * n * np.sin(a), y - 0.62 * n * max(np.cos(a), 0.35)), tip], [0.03, 0.085, 0.008]), g.uniform(0.75, 1.2)))
        foliage = [part([o], shade(green, s), 0.6, grain="leaf") for o, s in leaves]
    elif kind == 1:  # a bush, maybe in flower
        r = g.uniform(0.2, 0.28)
        blobs = [ellipse(r * 0.9 * q * np.cos(a), y - r * 0.95 + r * 0.75 * q * np.sin(a), g.uniform(0.08, 0.12)) for a, q in zip(np.arange(16) * 2.4, np.sqrt(np.linspace(0.05, 1, 16)), strict=True)]
        light = [ellipse(g.normal(0, 0.55 * r), y - r * 0.95 + g.normal(0, 0.45 * r), 0.045, 0.026, g.uniform(0, 3)) for _ in range(18)]
        foliage = [part([limb([(0, y + 0.05), (0, y - r)], [0.04, 0.04])], (110, 82, 58), 0.2), part(blobs, green, 0.8, grain="leaf"), part(light, mix(green, (236, 240, 160), 0.3), 0.3, clip=True)]
        if g.random() < 0.55:
            tint = pick(g, [(226, 92, 98), (240, 190, 80), (236, 150, 180), (244, 240, 232)])
            spots = [(g.normal(0, 0.5 * r), y - r * 0.95 + g.normal(0, 0.45 * r)) for _ in range(9)]
            foliage += [part([ellipse(px + 0.026 * np.cos(a), py + 0.026 * np.sin(a), 0.022, n=10) for px, py in spots for a in np.arange(5) * 1.257], tint, 0.3), part([ellipse(px, py, 0.014, n=8) for px, py in spots], (250, 214, 100), 0)]
    else:  # round leaves on stems
        stems, blades = [], []
        for k in range(9):
            a, n = g.uniform(-1.1, 1.1), g.uniform(0.25, 0.6)
            tip = np.array([n * np.sin(a) * 0.75, y - n * np.cos(a)])
            stems.append(limb([(0, y), tip], [0.018, 0.014]))
            leaf = spline([(0, -0.11), (0.07, -0.05), (0.075, 0.04), (0, 0.075), (-0.075, 0.04), (-0.07, -0.05)])
            blades += [part([turn(leaf, a) + tip], shade(green, g.uniform(0.8, 1.2)), 0.7, grain="leaf"), part(limb([tip + turn(np.array([[0, 0.06]]), a)[0], tip + turn(np.array([[0, -0.08]]), a)[0]], [0.01, 0.006]), mix(green, (240, 240, 180), 0.4), 0)]
        foliage = [part(stems, shade(green, 0.8), 0.2), *blades]
    vessel = [part(np.array([(-w / 2, -h), (w / 2, -h), (0.37 * w, 0), (-0.37 * w, 0)]), pot, 0.8), part(box(-w / 2 - 0.015, -h - 0.01, w / 2 + 0.015, -h + 0.045, 0.012), mix(pot, (255, 255, 255), 0.12), 0.6)]
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
    sky, land = pick(g, [(120, 190, 226), (240, 176, 120), (90, 100, 160), (50, 60, 70)]), pick(g, [(110, 168, 96), (70, 110, 130), (196, 150, 96)])
    view = [part(screen, sky, 0.3)]
    what = g.integers(4)
    if what == 0:
        view += [part(spline([(x0, y1), (x0, y - 0.35 * h), (x0 + 0.3 * w, y - 0.6 * h), (x0 + 0.6 * w, y - 0.3 * h), (x1, y - 0.5 * h), (x1, y1)]), land, 0.2, clip=True), part(ellipse(0.2 * w, y - 0.72 * h, 0.06), (255, 236, 170), 0, clip=True)]
    elif what == 1:
        view += [part([box(x0 + (0.12 + 0.2 * k) * w, y - g.uniform(0.25, 0.75) * h, x0 + (0.24 + 0.2 * k) * w, y - 0.15 * h) for k in range(4)], land, 0.2, clip=True)]
    elif what == 2:
        view += [part([box(x0 + 0.1 * w, y - (0.82 - 0.13 * k) * h, x0 + g.uniform(0.4, 0.9) * w, y - (0.77 - 0.13 * k) * h) for k in range(5)], (236, 240, 244), 0, clip=True)]
    else:
        view = [part(screen, (58, 62, 72), 0.5)]
    view += [part(np.array([(x0 + 0.1 * w, y1), (x0 + 0.42 * w, y0), (x0 + 0.58 * w, y0), (x0 + 0.26 * w, y1)]), (255, 255, 255), 0, clip=True, alpha=0.16)]
    foot = [part([box(-0.16, y + 0.01, -0.1, 0), box(0.1, y + 0.01, 0.16, 0)], shade(case, 0.7), 0.3)] if old else [part([box(-0.035, y - 0.02, 0.035, -0.02), spline([(-0.2, 0), (-0.14, -0.03), (0.14, -0.03), (0.2, 0)], steps=3)], shade(case, 0.8), 0.4)]
    return [*foot, part(box(x0, y0, x1, y1, 0.06 if old else 0.02), case, 0.6), *view, part(ellipse(x1 - edge - 0.02, y1 - edge * 0.5, 0.007), (120, 230, 120), 0)]
