"""One picture: a place that goes with the classes, the things in it, the mask and the boxes."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from pnoc_lib.toyvoc import animals, cycles, farm, furniture, household, people, places, road, rooms, travel
from pnoc_lib.toyvoc.facts import PLACES, SEATS, SEVERAL, SUITS
from pnoc_lib.toyvoc.layout import AEROPLANE, BICYCLE, BIRD, PERSON, TABLE, TRAIN, Thing, arrange
from pnoc_lib.toyvoc.paint import Canvas, moved

# in the order of facts.CLASSES
MODELS = (
    travel.aeroplane,
    cycles.bicycle,
    farm.bird,
    travel.boat,
    household.bottle,
    road.bus,
    road.car,
    animals.cat,
    furniture.chair,
    farm.cow,
    furniture.diningtable,
    animals.dog,
    farm.horse,
    cycles.motorbike,
    people.person,
    household.pottedplant,
    farm.sheep,
    furniture.sofa,
    travel.train,
    household.tvmonitor,
)


def draw(label_set, g: np.random.Generator, size: int, shares: np.ndarray):
    """Return (RGB image, mask, boxes) of a scene with these classes; see `toyvoc.draw`."""
    ratio = g.choice([4 / 3, 3 / 2, 3 / 4, 1.0], p=[0.62, 0.13, 0.2, 0.05])
    width, height = (size, round(size / ratio)) if ratio >= 1 else (round(size * ratio), size)
    place, light = _choose_place(label_set, g), int(g.choice([-1, 1]))
    things = [thing for c, share in zip(label_set, shares, strict=True) for thing in _gather(c, share, g, place)]
    _mount(things, dict(zip(label_set, shares, strict=True)), g)
    line = places.horizon(place, g, aloft=all(t.hovers for t in things))
    things = arrange(things, label_set, shares, g, width / height, place, line, border=1.4 * border_width(size) / size)
    factor = max(2, round(480 / size))
    tall = height * factor
    canvas = Canvas(width * factor, tall, light=light)
    seeds = g.integers(2**32, size=2)
    _background(canvas, place, line, np.random.default_rng(seeds[0]), things)
    canvas.image = canvas.image.filter(ImageFilter.BoxBlur(canvas.unit))
    for number, thing in enumerate(things, start=1):
        if thing.stand:
            canvas.add([moved(p, tall, 0, 0) for p in thing.stand], 0)
        canvas.add(places.shadow(thing, place, tall, light))
        canvas.add(thing.placed(tall), number)
    image = _finish(canvas.image.reduce(factor), np.random.default_rng(seeds[1]), size)
    owner = np.asarray(canvas.owner)[factor // 2 :: factor, factor // 2 :: factor]
    mask, boxes = _label(owner, [t.kind for t in things], border_width(size))
    return image, mask, boxes


def border_width(size: int) -> int:
    """Return the reach in pixels of the void border to each side of an outline: VOC's 2 to 3 at 500 pixels, never 0."""
    return max(1, round(size / 200))


def _choose_place(label_set, g) -> str:
    weight = np.prod([SUITS[c] / 100 + (0.003 if c != PERSON else 0.4) for c in label_set], axis=0)
    return str(g.choice(PLACES, p=weight / weight.sum()))


def _label(owner: np.ndarray, kinds: list[int], reach: int) -> tuple[np.ndarray, list[tuple[int, int, int, int, int]]]:
    picture = Image.fromarray(np.ascontiguousarray(owner))
    span = 2 * reach + 1
    edge = np.asarray(picture.filter(ImageFilter.MaxFilter(span))) != np.asarray(
        picture.filter(ImageFilter.MinFilter(span))
    )
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
    most = SEVERAL[c]
    n = int(g.integers(2, most + 1)) if most > 1 and share > 0.012 and g.random() < 0.4 else 1
    out = []
    for k in range(n):
        options = {}
        if c in (AEROPLANE, BIRD):
            aloft = g.random() < (
                {"sky": 0.75, "water": 0.6}.get(place, 0.45) if c == AEROPLANE else {"sky": 0.9}.get(place, 0.3)
            )
            options = {"flying": bool(aloft)}
        elif c == TABLE:
            options = {"near": float(np.clip(share / 0.5, 0, 1))}
        elif c == TRAIN:
            options = {"railed": place == "rails"}
        relative = 1.0 if k == 0 else g.uniform(0.55, 0.95)
        out.append(
            Thing(
                c, MODELS[c](g, **options), bool(g.random() < 0.5), relative, g.random(4), options.get("flying", False)
            )
        )
    return out


def _mount(things: list[Thing], shares: dict[int, float], g) -> None:
    """Seat one of the persons on a horse, bicycle or motorbike, more often than not, if the shares go together."""
    mounts, riders = [t for t in things if t.kind in SEATS], [k for k, t in enumerate(things) if t.kind == PERSON]
    if not mounts or not riders or g.random() < 0.3:
        return
    mount, k = mounts[0], riders[0]
    if (
        shares[mount.kind] < 0.28
        and 0.3 < shares[PERSON] / (shares[mount.kind] * (2.0 if mount.kind == BICYCLE else 0.6)) < 3
    ):
        things[k] = Thing(PERSON, people.person(g, "ride"), mount.flip, 1.0, g.random(4), mount=mount)
        mount.crown = SEATS[mount.kind][1] - 0.94


def _background(canvas: Canvas, place: str, line: float, g: np.random.Generator, things) -> None:
    """Paint a place on the empty canvas."""
    w, h = canvas.size
    scenery = {
        "sky": places.sky,
        "meadow": places.meadow,
        "street": places.street,
        "rails": places.rails,
        "water": places.water,
        "room": rooms.room,
    }[place]
    for layer in scenery(canvas, g, line, w / h, things):
        canvas.add([moved(p, h, 0, 0) for p in layer])
