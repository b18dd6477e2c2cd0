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
    [8, 4, 1, 6, 70, 0], [15, 70, 3, 3, 0, 9], [40, 8, 2, 24, 26, 0], [4, 2, 0, 94, 0, 0], [10, 4, 0, 2, 0, 84],
    [9, 88, 3, 0, 0, 0], [15, 80, 3, 2, 0, 0], [16, 6, 1, 0, 0, 77], [9, 5, 0, 2, 0, 84], [84, 8, 2, 6, 0, 0],
    [8, 4, 0, 1, 0, 87], [42, 16, 1, 6, 0, 35], [80, 14, 1, 5, 0, 0], [14, 80, 2, 1, 0, 3], [25, 25, 10, 10, 5, 25],
    [10, 14, 0, 0, 0, 76], [86, 8, 1, 5, 0, 0], [5, 4, 0, 1, 0, 90], [8, 9, 83, 0, 0, 0], [3, 4, 0, 0, 0, 93],
], float)  # fmt: skip
SEVERAL = {1: 2, 2: 3, 3: 3, 4: 4, 6: 3, 8: 4, 9: 3, 12: 2, 13: 2, 14: 3, 15: 2, 16: 4, 7: 2, 11: 2, 19: 2}
AEROPLANE, BICYCLE, BIRD, BOAT, BOTTLE, CHAIR, TABLE, HORSE, MOTORBIKE, PERSON, PLANT, TRAIN, TV = 0, 1, 2, 3, 4, 8, 10, 12, 13, 14, 15, 18, 19
FACED = {BIRD, 7, 9, 11, HORSE, PERSON, 16, TRAIN}  # their last part is of the face, which stays in the picture
TALLEST = {PERSON: 2.3, 7: 1.9, 11: 2.2, TABLE: 1.3, CHAIR: 1.7, BICYCLE: 1.5, MOTORBIKE: 1.7, BOAT: 1.5, AEROPLANE: 1.2, BIRD: 1.7, PLANT: 2.0, BOTTLE: 2.0, TV: 1.6, 17: 1.6, 6: 1.7, 5: 1.7, TRAIN: 1.9}
SEATS = {HORSE: (-0.08, -1.44), BICYCLE: (-0.2, -0.93), MOTORBIKE: (-0.36, -0.86)}  # where a rider sits, metres
LOW = 128  # pixels of the longer side while things are being arranged


@dataclass
class Thing:
    """An object that looks for its place: x, y is where its model's origin goes, scale is image heights a metre."""

    kind: int
    parts: list[Part]
    flip: bool
    relative: float  # its size beside its siblings'
    luck: np.ndarray  # its own random numbers in [0, 1], for places
    hovers: bool = False
    front: int = 0  # how far it was called to the front, for being hidden
    depth: float = 0.0  # where it stands, from the top; the lower the nearer
    stand: tuple[Part, ...] = ()  # what it stands on, in image heights
    mount: Thing | None = None  # what it rides
    scale: float = 0.1
    x: float = 0.0
    y: float = 0.0

    def __post_init__(self) -> None:
        outlines = [o for p in self.parts if p.solid and not p.clip for o in p.outlines]
        self.vertices, self.ends = np.vstack(outlines), np.cumsum([len(o) for o in outlines])[:-1]
        self.low, self.high = self.vertices.min(0), self.vertices.max(0)
        self.crown = float(self.low[1])  # where it ends above, its rider included
        face = np.vstack(self.parts[-1].outlines)
        self.focus = 0.5 * (face.min(0) + face.max(0)) if self.kind in FACED else 0.5 * (self.low + self.high)

    def placed(self, pixels: float) -> list[Part]:
        """Return its parts where they go, in pixels."""
        return [moved(p, self.scale * pixels, self.x * pixels, self.y * pixels, flip=self.flip) for p in self.parts]

    def outlines(self, pixels: float) -> list[np.ndarray]:
        """Return the outlines that claim pixels where they go, in pixels."""
        stretch = np.array([-self.scale if self.flip else self.scale, self.scale]) * pixels
        return np.split(self.vertices * stretch + (self.x * pixels, self.y * pixels), self.ends)


def draw(label_set, g: np.random.Generator, size: int, shares: np.ndarray):
    """Return (RGB image, mask, boxes) of a scene with these classes; see `toyvoc.draw`."""
    ratio = g.choice([4 / 3, 3 / 2, 3 / 4, 1.0], p=[0.62, 0.13, 0.2, 0.05])
    width, height = (size, round(size / ratio)) if ratio >= 1 else (round(size * ratio), size)
    place, light = _choose_place(label_set, g), int(g.choice([-1, 1]))
    things = [thing for c, share in zip(label_set, shares, strict=True) for thing in _gather(c, share, g, place)]
    _mount(things, dict(zip(label_set, shares, strict=True)), g)
    line = toyplaces.horizon(place, g, aloft=all(t.hovers for t in things))
    things = arrange(things, label_set, shares, g, width / height, place, line, border=1.4 * border_width(size) / size)
    factor = max(2, round(480 / size))
    tall = height * factor
    canvas = Canvas(width * factor, tall, light=light)
    seeds = g.integers(2**32, size=2)
    toyplaces.paint(canvas, place, line, np.random.default_rng(seeds[0]), things)
    canvas.image = canvas.image.filter(ImageFilter.BoxBlur(canvas.unit))
    for number, thing in enumerate(things, start=1):
        if thing.stand:
            canvas.add([moved(p, tall, 0, 0) for p in thing.stand], 0)
        canvas.add(toyplaces.shadow(thing, place, tall, light))
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
    if g.random() < 0.1:
        image = image.filter(ImageFilter.GaussianBlur(g.uniform(0.3, 0.8) * size / 160))
    x = np.asarray(image, np.float32) / 255
    h, w = x.shape[:2]
    yy, xx = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)[None]
    x = x * (1 - 0.10 * np.clip(xx**2 + yy**2 - 0.5, 0, None))[..., None]
    warm = g.normal(0, 0.025)
    x = x * np.array([1 + warm, 1, 1 - warm], np.float32) * np.float32(g.uniform(0.96, 1.12))
    x = 0.5 + (x - 0.5) * np.float32(g.uniform(0.95, 1.1))
    grey = x.mean(2, keepdims=True)
    x = grey + (x - grey) * np.float32(g.uniform(1.05, 1.28))
    x += g.standard_normal((h, w, 1), dtype=np.float32) * np.float32(g.uniform(0.003, 0.010))
    return Image.fromarray(np.clip(x * 255, 0, 255).astype(np.uint8))


def _gather(c: int, share: float, g, place: str) -> list[Thing]:
    """Return one thing of class c, or several."""
    most = SEVERAL.get(c, 1)
    n = int(g.integers(2, most + 1)) if most > 1 and share > 0.012 and g.random() < 0.4 else 1
    out = []
    for k in range(n):
        options = {}
        if c in (AEROPLANE, BIRD):
            aloft = g.random() < ({"sky": 0.75, "water": 0.6}.get(place, 0.45) if c == AEROPLANE else {"sky": 0.9}.get(place, 0.3))
            options = {"flying": bool(aloft)}
        elif c == TABLE:
            options = {"near": float(np.clip(share / 0.5, 0, 1))}
        elif c == TRAIN:
            options = {"railed": place == "rails"}
        relative = 1.0 if k == 0 else g.uniform(0.55, 0.95)
        out.append(Thing(c, MODELS[c](g, **options), bool(g.random() < 0.5), relative, g.random(4), options.get("flying", False)))
    return out


def _mount(things: list[Thing], shares: dict[int, float], g) -> None:
    """Seat one of the persons on a horse, bicycle or motorbike, more often than not, if the shares go together."""
    mounts, people = [t for t in things if t.kind in SEATS], [k for k, t in enumerate(things) if t.kind == PERSON]
    if not mounts or not people or g.random() < 0.3:
        return
    mount, k = mounts[0], people[0]
    if shares[mount.kind] < 0.28 and 0.3 < shares[PERSON] / (shares[mount.kind] * (2.0 if mount.kind == BICYCLE else 0.6)) < 3:
        things[k] = Thing(PERSON, toyanimals.person(g, "ride"), mount.flip, 1.0, g.random(4), mount=mount)
        mount.crown = SEATS[mount.kind][1] - 0.94


def arrange(things: list[Thing], label_set, shares, g, aspect: float, place: str, line: float, border: float) -> list[Thing]:
    """Return the things, far ones first, sized so that what is seen of each class covers its share.

    The silhouettes are laid out small, the visible areas measured, the sizes corrected, some seven times over; of a few
    such arrangements the one nearest to the shares wins.
    """
    best, best_error = [], np.inf
    rank = {label_set[k]: r for r, k in enumerate(np.argsort(-np.asarray(shares)))}
    for attempt in range(8):
        for thing in things:  # what hides something time and again goes behind it, the largest first
            thing.luck, thing.front = g.random(4), 0 if attempt < 3 else rank[thing.kind if thing.mount is None else thing.mount.kind]
        error = _fit(things, label_set, shares, aspect, line, place, border)
        if error < best_error:
            best, best_error = [(t.scale, t.x, t.y, t.front, t.depth, t.stand) for t in things], error
        if error < (0.12 if attempt < 3 else 0.5):
            break
    for thing, state in zip(things, best, strict=True):
        thing.scale, thing.x, thing.y, thing.front, thing.depth, thing.stand = state
    return _by_depth(things)


def _by_depth(things: list[Thing]) -> list[Thing]:
    return sorted(things, key=lambda t: (not t.hovers, t.front, t.depth))


def _fit(things, label_set, shares, aspect, line, place, border) -> float:
    """Scale and place the things; return the largest error of a class's visible share, as a logarithm."""
    w, h = (LOW, round(LOW / aspect)) if aspect >= 1 else (round(LOW * aspect), LOW)
    scale, tied = {}, {t.mount.kind for t in things if t.mount is not None}
    for c, share in zip(label_set, shares, strict=True):
        scale[c] = np.sqrt(share * aspect / sum(np.prod(t.high - t.low) * 0.6 * t.relative**2 for t in things if t.kind == c))
    error = np.inf
    for step in range(8):
        for t in things:
            t.scale = min(scale[t.kind] * t.relative, (1.15 if t.crown < t.low[1] else TALLEST.get(t.kind, 2.6)) / (t.high[1] - t.crown))
        for t in things:
            t.scale = t.scale if t.mount is None else t.mount.scale
        _place(things, aspect, line, place)
        canvas, ordered = Canvas(w, h, paint=False), _by_depth(things)
        for number, t in enumerate(ordered, start=1):
            canvas.silhouette([o * h for p in t.stand if not p.clip for o in p.outlines], 0)
            canvas.silhouette(t.outlines(h), number)
        owner = np.asarray(canvas.owner)
        inner = np.ones(owner.shape, bool)
        inner[:, 1:] &= owner[:, 1:] == owner[:, :-1]
        inner[:, :-1] &= owner[:, 1:] == owner[:, :-1]
        inner[1:] &= owner[1:] == owner[:-1]
        inner[:-1] &= owner[1:] == owner[:-1]
        loss = min(border * LOW, 1.5)
        errors, wish = [], {}
        for c, share in zip(label_set, shares, strict=True):
            mine = np.isin(owner, [k for k, t in enumerate(ordered, start=1) if t.kind == c])
            seen = max((mine.sum() * (1 - loss) + (mine & inner).sum() * loss) / owner.size, 0.2 / owner.size)
            errors.append(abs(np.log(seen / share)) if not (c == PERSON and tied) else 0)
            wish[c] = (share, seen)
            if step in (1, 3, 5) and seen < 0.35 * share and ordered[0].kind != ordered[-1].kind and not (c == PERSON and tied):
                for t in things:
                    t.front += t.kind == c or (t.mount is not None and t.mount.kind == c)
        error = max(errors)
        if error < 0.06:
            break
        for c, (share, seen) in wish.items():
            if c in tied:
                share, seen = share + wish[PERSON][0], seen + wish[PERSON][1]
            scale[c] *= np.clip(np.sqrt(share / seen), 0.6, 1.5)
    return error


def _place(things: list[Thing], aspect: float, line: float, place: str) -> None:
    """Set x, y and depth: on the ground, bigger means nearer and so lower; the largest thing decides where the eye is."""
    free = [t for t in things if t.mount is None]
    ground = [t for t in free if not t.hovers]
    if ground:
        lead = max(ground, key=lambda t: (t.high[1] - t.low[1]) * t.scale)
        tall = (lead.high[1] - lead.crown) * lead.scale
        eye = (_base(lead, 0.6 + 0.36 * tall + 0.12 * lead.luck[1], tall, line) - line) / lead.scale
    order = np.argsort([t.luck[0] for t in free])
    for rank, k in enumerate(order):
        t = free[k]
        half, tall = 0.5 * (t.high[0] - t.low[0]) * t.scale, (t.high[1] - t.crown) * t.scale
        sign = -1 if t.flip else 1
        slot = (rank + 0.5 + 0.6 * (t.luck[2] - 0.5)) / len(free) * 2 - 1
        room = aspect / 2 - half  # free space at each side
        if room > 0:
            t.x = aspect / 2 + slot * (room + 0.12 * half) - 0.5 * (t.high[0] + t.low[0]) * t.scale * sign
        elif t.kind in FACED:
            t.x = aspect * (0.5 + 0.22 * slot) - t.focus[0] * t.scale * sign
        else:
            t.x = aspect / 2 - slot * 0.6 * room - 0.5 * (t.high[0] + t.low[0]) * t.scale * sign
        if t.hovers:
            middle = 0.08 + 0.5 * tall + (0.72 - tall) * t.luck[1] if tall < 0.7 else 0.5
            t.y = t.depth = middle if len(ground) == 0 else min(middle, max(0.75 * min(line, 0.8), 0.45 * tall))
            t.y -= 0.5 * (t.high[1] + t.low[1]) * t.scale if t.kind != BIRD or tall < 0.9 else t.focus[1] * t.scale
            continue
        t.y = t.depth = _base(t, line + t.scale * eye + 0.03 * (t.luck[3] - 0.5), tall, line)
    _on_stands(ground, aspect, line, place)
    for t in things:
        if t.mount is not None:
            seat = np.array(SEATS[t.mount.kind]) * (-1 if t.flip else 1, 1)
            t.x, t.y = t.mount.x + seat[0] * t.scale, t.mount.y + (seat[1] + 0.82) * t.scale
            t.depth, t.front = t.mount.depth + 1e-6, t.mount.front


def _base(t: Thing, y: float, tall: float, line: float) -> float:
    """Return the height of a thing's foot nearest to y where it stays in sight, and its face if it has one."""
    if tall < 0.92:
        return min(max(y, line + 0.015, 0.02 + tall, 0.92 + 0.06 * t.luck[1] if t.front else 0.0), 0.985)
    if t.kind in FACED and t.kind != TRAIN:
        face = (0.24 if t.kind == PERSON else 0.42) + 0.1 * t.luck[1]
        return min(0.04 + 0.06 * t.luck[1] + tall, face - t.focus[1] * t.scale) if t.crown == t.low[1] else 0.03 + tall
    if t.kind == TABLE:
        return 0.2 + tall
    return min(max(y, 0.44 + 0.5 * tall), 0.56 + 0.5 * tall)


def _on_stands(ground: list[Thing], aspect: float, line: float, place: str) -> None:
    """Put bottles on the table if there is one, else bottles, screens and some plants on a cupboard of their own."""
    tables = [t for t in ground if t.kind == TABLE]
    for kind in (BOTTLE, TV, PLANT):
        group = [t for t in ground if t.kind == kind]
        for t in group:
            t.stand = ()
        if not group or (kind == PLANT and group[0].luck[3] < 0.6):
            continue
        tall = max((t.high[1] - t.low[1]) * t.scale for t in group)
        if kind != TV and tables and group[0].scale < 3 * tables[0].scale:
            table = tables[0]
            reach = 0.42 * (table.high[0] - table.low[0]) * table.scale
            for t in group:
                t.x = float(np.clip(table.x + (2 * t.luck[2] - 1) * reach, 0.03, aspect - 0.03))
                t.y = max(table.y + (table.low[1] * 0.55 - 0.75 * 0.45 + 0.1 * t.luck[1]) * table.scale, 0.03 - 0.6 * t.low[1] * t.scale)
                t.depth, t.front = table.depth + 1e-4 * (1 + t.luck[1]), max(t.front, table.front)
            continue
        top = float(np.clip(line - 0.12 + 0.3 * group[0].luck[1] + 0.1 * tall, 0.03 + min(tall, 0.85), 0.95))
        floor = max(line + 0.03, top + (0.12 + 0.2 * group[0].luck[2]) * (0.6 + tall))
        ends = []
        for t in group:
            t.y, t.depth = top + 0.012 * t.luck[3] if tall < 0.92 else _base(t, top, tall, line), floor + 0.001 * t.luck[3]
            ends += [t.x - 0.5 * (t.high[0] - t.low[0]) * t.scale, t.x + 0.5 * (t.high[0] - t.low[0]) * t.scale]
        slack = 0.06 + 0.25 * tall * group[0].luck[0]
        first = min(group, key=lambda t: t.depth)
        if tall < 0.92:
            first.stand = tuple(toyplaces.cupboard(min(ends) - slack, max(ends) + slack, top, floor, group[0].luck))
