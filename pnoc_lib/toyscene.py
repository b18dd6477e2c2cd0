"""The places of ToyVOC and who stands where: a scene goes with the classes, sizes follow the shares asked for, depth follows size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from pnoc_lib import toyanimals, toyplaces, toythings
from pnoc_lib.toypaint import Canvas, Part, ellipse, moved, part

MODELS = (
    toythings.aeroplane, toythings.bicycle, toyanimals.bird, toythings.boat, toythings.bottle, toythings.bus, toythings.car,
    toyanimals.cat, toythings.chair, toyanimals.cow, toythings.diningtable, toyanimals.dog, toyanimals.horse, toythings.motorbike,
    toyanimals.person, toythings.pottedplant, toyanimals.sheep, toythings.sofa, toythings.train, toythings.tvmonitor,
)  # fmt: skip
PLACES = ("meadow", "street", "rails", "water", "sky", "room")
# how well each place suits each class; rows are classes, columns PLACES
SUITS = np.array([
    [8, 4, 1, 6, 70, 0], [15, 70, 3, 3, 0, 9], [40, 8, 2, 24, 26, 0], [12, 3, 0, 85, 0, 0], [10, 4, 0, 2, 0, 84],
    [9, 88, 3, 0, 0, 0], [15, 80, 3, 2, 0, 0], [16, 6, 1, 0, 0, 77], [9, 5, 0, 2, 0, 84], [84, 8, 2, 6, 0, 0],
    [8, 4, 0, 1, 0, 87], [42, 16, 1, 6, 0, 35], [80, 14, 1, 5, 0, 0], [14, 80, 2, 1, 0, 3], [25, 25, 10, 10, 5, 25],
    [10, 14, 0, 0, 0, 76], [86, 8, 1, 5, 0, 0], [5, 4, 0, 1, 0, 90], [8, 9, 83, 0, 0, 0], [3, 4, 0, 0, 0, 93],
], float)  # fmt: skip
SEVERAL = {1: 2, 2: 3, 3: 3, 4: 4, 6: 3, 8: 4, 9: 3, 12: 2, 13: 2, 14: 3, 15: 2, 16: 4, 7: 2, 11: 2, 19: 2}
ANIMALS, ON_STANDS = {2, 7, 9, 11, 12, 14, 16}, {4, 15, 19}
AEROPLANE, BIRD, BOAT, BOTTLE, TABLE, PERSON, TRAIN = 0, 2, 3, 4, 10, 14, 18
LOW = 128  # pixels of the longer side while things are being arranged


@dataclass
class Thing:
    """An object that looks for its place: x, y is where its model's origin goes, scale is image heights a metre."""

    kind: int
    parts: list[Part]
    low: np.ndarray  # (2,) smallest x, y of its outline, metres
    high: np.ndarray
    flip: bool
    relative: float  # its size beside its siblings'
    luck: np.ndarray  # its own random numbers in [0, 1], for places
    hovers: bool = False
    scale: float = 0.1
    x: float = 0.0
    y: float = 0.0

    def placed(self, pixels: float) -> list[Part]:
        return [moved(p, self.scale * pixels, self.x * pixels, self.y * pixels, flip=self.flip) for p in self.parts]


def draw(label_set, g: np.random.Generator, size: int, shares: np.ndarray):
    """Return (RGB image, mask, boxes) of a scene with these classes; see `toyvoc.draw`."""
    ratio = g.choice([4 / 3, 3 / 2, 3 / 4, 1.0], p=[0.62, 0.13, 0.2, 0.05])
    width, height = (size, round(size / ratio)) if ratio >= 1 else (round(size * ratio), size)
    place = _choose_place(label_set, g)
    light = int(g.choice([-1, 1]))
    horizon = toyplaces.horizon(place, g)
    things = arrange(label_set, shares, g, width / height, place, horizon, border=1.2 / size)
    factor = max(2, round(480 / size))
    canvas = Canvas(width * factor, height * factor, light=light)
    seeds = g.integers(2**32, size=2)
    toyplaces.paint(canvas, place, horizon, np.random.default_rng(seeds[0]), things)
    canvas.image = canvas.image.filter(ImageFilter.GaussianBlur(1.1 * canvas.unit))
    tall = height * factor
    for number, thing in enumerate(things, start=1):
        canvas.add(toyplaces.shadow(thing, place, horizon, tall, light))
        canvas.add(thing.placed(tall), number)
    image = _finish(canvas.image.reduce(factor), np.random.default_rng(seeds[1]), size)
    owner = np.asarray(canvas.owner)[factor // 2 :: factor, factor // 2 :: factor]
    mask, boxes = _label(owner, [t.kind for t in things], border_width(size))
    return image, mask, boxes


def border_width(size: int) -> int:
    """Return the reach in pixels of the void border to each side of an outline: VOC's 2 to 3 at 500 pixels, never 0."""
    return max(1, round(size / 200))


def _choose_place(label_set, g) -> str:
    weight = np.prod([SUITS[c] / 100 + (0.02 if c != PERSON else 0.4) for c in label_set], axis=0)
    return str(g.choice(PLACES, p=weight / weight.sum()))


def _label(owner: np.ndarray, kinds: list[int], reach: int) -> tuple[np.ndarray, list[tuple[int, int, int, int, int]]]:
    picture = Image.fromarray(np.ascontiguousarray(owner))
    span = 2 * reach + 1
    edge = np.asarray(picture.filter(ImageFilter.MaxFilter(span))) != np.asarray(picture.filter(ImageFilter.MinFilter(span)))
    mask = np.array([0, *[k + 1 for k in kinds]], np.uint8)[owner]
    inner = np.where(edge, 255, mask).astype(np.uint8)
    boxes = []
    for number, kind in enumerate(kinds, start=1):
        mine = owner == number
        if not mine.any():
            continue
        if not (inner == kind + 1).any():  # all border: what can be seen of it stays
            inner[mine] = kind + 1
        rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
        boxes.append((kind, int(columns[0]) + 1, int(rows[0]) + 1, int(columns[-1]) + 1, int(rows[-1]) + 1))
    return inner, boxes


def _finish(image: Image.Image, g: np.random.Generator, size: int) -> Image.Image:
    """Grade the light, darken the corners a little, and add what a camera adds: noise and, at times, a soft focus."""
    if g.random() < 0.15:
        image = image.filter(ImageFilter.GaussianBlur(g.uniform(0.3, 0.8) * size / 160))
    x = np.asarray(image, np.float32) / 255
    h, w = x.shape[:2]
    yy, xx = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)[None]
    x = x * (1 - 0.10 * np.clip(xx**2 + yy**2 - 0.5, 0, None))[..., None]
    warm = g.normal(0, 0.025)
    x = x * np.array([1 + warm, 1, 1 - warm], np.float32) * np.float32(g.uniform(0.9, 1.06))
    x = 0.5 + (x - 0.5) * np.float32(g.uniform(0.9, 1.06))
    x += g.standard_normal((h, w, 1), dtype=np.float32) * np.float32(g.uniform(0.004, 0.014))
    return Image.fromarray(np.clip(x * 255, 0, 255).astype(np.uint8))


def arrange(label_set, shares, g, aspect: float, place: str, horizon: float, border: float) -> list[Thing]:
    """Return the things, far ones first, sized so that what is seen of each class covers its share.

    The silhouettes are laid out small, the visible areas measured, the sizes corrected, some six times over; of a few
    arrangements the one nearest to the shares wins.
    """
    things = [thing for c, share in zip(label_set, shares, strict=True) for thing in _gather(c, share, g, place)]
    best, best_error = None, np.inf
    for _ in range(6):
        for thing in things:
            thing.luck = g.random(4)
        error = _fit(things, label_set, shares, aspect, horizon, place, border)
        if error < best_error:
            best, best_error = [(t.scale, t.x, t.y) for t in things], error
        if error < 0.12:
            break
    for thing, (thing.scale, thing.x, thing.y) in zip(things, best, strict=True):
        pass
    return _by_depth(things)


def _gather(c: int, share: float, g, place: str) -> list[Thing]:
    most = SEVERAL.get(c, 1)
    n = int(g.integers(2, most + 1)) if most > 1 and share > 0.012 and g.random() < 0.4 else 1
    out = []
    for k in range(n):
        hovers = (c == AEROPLANE and (place == "sky" or g.random() < 0.5)) or (c == BIRD and g.random() < (0.85 if place == "sky" else 0.3))
        parts = MODELS[c](g, flying=hovers) if c == BIRD else MODELS[c](g, landed=not hovers) if c == AEROPLANE else MODELS[c](g)
        points = np.vstack([o for p in parts if p.solid and not p.clip for o in p.outlines])
        out.append(Thing(c, parts, points.min(0), points.max(0), bool(g.random() < 0.5), 1.0 if k == 0 else g.uniform(0.55, 0.95), g.random(4), hovers))
    return out


def _by_depth(things: list[Thing]) -> list[Thing]:
    return sorted(things, key=lambda t: (not t.hovers, t.y + (0.25 * t.scale if t.kind == BOTTLE else 0)))


def _fit(things, label_set, shares, aspect, horizon, place, border) -> float:
    """Scale and place the things; return the largest relative error of a class's visible share."""
    w, h = (LOW, round(LOW / aspect)) if aspect >= 1 else (round(LOW * aspect), LOW)
    scale = {}
    for c, share in zip(label_set, shares, strict=True):
        total = sum(np.prod(t.high - t.low) * 0.6 * t.relative**2 for t in things if t.kind == c)
        scale[c] = np.sqrt(share * aspect / total)
    error = np.inf
    for step in range(7):
        for t in things:
            t.scale = scale[t.kind] * t.relative
        _place(things, aspect, horizon, place)
        canvas = Canvas(w, h, paint=False)
        ordered = _by_depth(things)
        for number, t in enumerate(ordered, start=1):
            canvas.silhouette(t.placed(h), number)
        owner = np.asarray(canvas.owner)
        inner = np.asarray(canvas.owner.filter(ImageFilter.MinFilter(3))) == np.asarray(canvas.owner.filter(ImageFilter.MaxFilter(3)))
        loss = min(border * LOW, 1.5)
        errors = []
        for c, share in zip(label_set, shares, strict=True):
            mine = np.isin(owner, [k for k, t in enumerate(ordered, start=1) if t.kind == c])
            seen = (mine.sum() * (1 - loss) + (mine & inner).sum() * loss) / owner.size
            seen = max(seen, 0.2 / owner.size)
            errors.append(abs(np.log(seen / share)))
            if step < 6:
                scale[c] *= np.clip(np.sqrt(share / seen), 0.6, 1.5)
        error = max(errors)
        if error < 0.06:
            break
    return error


def _place(things: list[Thing], aspect: float, horizon: float, place: str) -> None:
    """Set x and y: on the ground, bigger means nearer and so lower; the largest thing decides where the camera is."""
    ground = [t for t in things if not t.hovers]
    if ground:
        lead = max(ground, key=lambda t: (t.high[1] - t.low[1]) * t.scale)
        tall = (lead.high[1] - lead.low[1]) * lead.scale
        if tall < 0.8:
            base = min(max(horizon + 0.06, 0.55 + 0.42 * tall + 0.12 * lead.luck[1]), 0.97)
        elif lead.kind in ANIMALS:
            base = 0.04 + 0.1 * lead.luck[1] + tall
        else:
            base = 0.5 + 0.5 * tall + 0.1 * (lead.luck[1] - 0.5)
        eye = (base - horizon) / lead.scale
    slots = len(things)
    order = np.argsort([t.luck[0] for t in things])
    for rank, k in enumerate(order):
        t = things[k]
        half = 0.5 * (t.high[0] - t.low[0]) * t.scale
        tall = (t.high[1] - t.low[1]) * t.scale
        room = aspect / 2 - half  # free space at each side
        slot = (rank + 0.5 + 0.6 * (t.luck[2] - 0.5)) / slots * 2 - 1
        middle = aspect / 2 + (slot * max(room + 0.15 * half, 0) if room > 0 else (0.3 * slot * half if t.kind not in ANIMALS else 0))
        centre = 0.5 * (t.high[0] + t.low[0]) * t.scale * (-1 if t.flip else 1)
        t.x = middle - centre
        if room < 0 and t.kind in ANIMALS:  # too wide to be seen whole: keep its head in
            t.x += (room * (0.9 if t.high[0] > -t.low[0] * 0.9 else 0)) * (-1 if t.flip else 1)
        if t.hovers:
            t.y = min(max(0.12 + 0.5 * tall + 0.35 * t.luck[1], 0.5 * tall - 0.05), max(0.5, 0.6 - 0.1 * tall)) if tall < 0.9 else 0.5
            continue
        t.y = horizon + t.scale * eye + 0.03 * (t.luck[3] - 0.5)
        t.y = min(max(t.y, horizon + 0.015), max(0.985, 0.3 + 0.75 * tall), 0.06 + 0.14 * t.luck[1] + max(tall, 0.75)) if tall > 0.75 else min(max(t.y, horizon + 0.015), 0.985)
    tables = [t for t in things if t.kind == TABLE]
    for t in things:
        if t.kind == BOTTLE and tables and t.scale < 3 * tables[0].scale:
            top = tables[0]
            reach = 0.42 * (top.high[0] - top.low[0]) * top.scale
            t.x = np.clip(top.x + (2 * t.luck[2] - 1) * reach, 0.03, aspect - 0.03)
            t.y = top.y - (0.78 + 0.1 * t.luck[1]) * top.scale
            t.y = max(t.y, 0.04 - 0.5 * t.low[1] * t.scale)
