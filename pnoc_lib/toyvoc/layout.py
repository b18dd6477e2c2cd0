"""Who stands where: sizes follow the shares asked for, and depth follows size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pnoc_lib.toyvoc import rooms
from pnoc_lib.toyvoc.facts import FACED, INDEX, SEATS, TALLEST
from pnoc_lib.toyvoc.paint import Canvas, Part, moved

AEROPLANE, BICYCLE, BIRD, BOTTLE, PERSON, TABLE, PLANT, TRAIN, TV = (
    INDEX[name]
    for name in ["aeroplane", "bicycle", "bird", "bottle", "person", "diningtable", "pottedplant", "train", "tvmonitor"]
)
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

    @property
    def mounted(self) -> bool:
        """True when somebody rides it."""
        return self.crown < self.low[1]

    def placed(self, pixels: float) -> list[Part]:
        """Return its parts where they go, in pixels."""
        return [moved(p, self.scale * pixels, self.x * pixels, self.y * pixels, flip=self.flip) for p in self.parts]

    def outlines(self, pixels: float) -> list[np.ndarray]:
        """Return the outlines that claim pixels where they go, in pixels."""
        stretch = np.array([-self.scale if self.flip else self.scale, self.scale]) * pixels
        return np.split(self.vertices * stretch + (self.x * pixels, self.y * pixels), self.ends)


def arrange(
    things: list[Thing], label_set, shares, g, aspect: float, place: str, line: float, border: float
) -> list[Thing]:
    """Return the things, far ones first, sized so that what is seen of each class covers its share.

    The silhouettes are laid out small, the visible areas measured, the sizes corrected, some seven times over; of a few
    such arrangements the one nearest to the shares wins.
    """
    best, best_error = [], np.inf
    rank = {label_set[k]: r for r, k in enumerate(np.argsort(-np.asarray(shares)))}
    for attempt in range(8):
        for thing in things:  # what hides something time and again goes behind it, the largest first
            thing.luck, thing.front = (
                g.random(4),
                0 if attempt < 3 else rank[thing.kind if thing.mount is None else thing.mount.kind],
            )
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
        scale[c] = np.sqrt(
            share * aspect / sum(np.prod(t.high - t.low) * 0.6 * t.relative**2 for t in things if t.kind == c)
        )
    error = np.inf
    for step in range(8):
        for t in things:
            t.scale = min(
                scale[t.kind] * t.relative,
                (1.15 if t.mounted else TALLEST[t.kind]) / (t.high[1] - t.crown),
            )
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
            if (
                step in (1, 3, 5)
                and seen < 0.35 * share
                and ordered[0].kind != ordered[-1].kind
                and not (c == PERSON and tied)
            ):
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
    """Set x, y and depth: on the ground, bigger is nearer and so lower; the largest thing says where the eye is."""
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
    if t.mounted:  # its rider stays in
        return 0.03 + tall
    if t.kind in FACED and t.kind != TRAIN:
        face = (0.24 if t.kind == PERSON else 0.42) + 0.1 * t.luck[1]
        return min(0.04 + 0.06 * t.luck[1] + tall, face - t.focus[1] * t.scale)
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
                t.y = max(
                    table.y + (table.low[1] * 0.55 - 0.75 * 0.45 + 0.1 * t.luck[1]) * table.scale,
                    0.03 - 0.6 * t.low[1] * t.scale,
                )
                t.depth, t.front = table.depth + 1e-4 * (1 + t.luck[1]), max(t.front, table.front)
            continue
        top = float(np.clip(line - 0.12 + 0.3 * group[0].luck[1] + 0.1 * tall, 0.03 + min(tall, 0.85), 0.95))
        floor = max(line + 0.03, top + (0.12 + 0.2 * group[0].luck[2]) * (0.6 + tall))
        ends = []
        for t in group:
            t.y, t.depth = (
                top + 0.012 * t.luck[3] if tall < 0.92 else _base(t, top, tall, line),
                floor + 0.001 * t.luck[3],
            )
            ends += [t.x - 0.5 * (t.high[0] - t.low[0]) * t.scale, t.x + 0.5 * (t.high[0] - t.low[0]) * t.scale]
        slack = 0.06 + 0.25 * tall * group[0].luck[0]
        first = min(group, key=lambda t: t.depth)
        if tall < 0.92:
            first.stand = tuple(rooms.cupboard(min(ends) - slack, max(ends) + slack, top, floor, group[0].luck))
