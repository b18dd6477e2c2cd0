"""A small paint box: smooth outlines, colours, and a canvas that shades softly and knows whose pixel is whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Points = np.ndarray  # (n, 2) x to the right and y down, in the unit of whoever draws


def spline(points: Sequence, *, closed: bool = True, steps: int = 8) -> Points:
    """Return a Catmull-Rom curve through `points` (n, 2): `steps` vertices between two of them."""
    p = np.asarray(points, float)
    before, after, last = (
        (np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0))
        if closed
        else (np.vstack([p[:1], p[:-2]]), p[1:], np.vstack([p[2:], p[-1:]]))
    )
    here = p if closed else p[:-1]
    t = (np.arange(steps) / steps)[:, None, None]
    curve = 0.5 * (
        2 * here
        + (after - before) * t
        + (2 * before - 5 * here + 4 * after - last) * t**2
        + (3 * here - before - 3 * after + last) * t**3
    )
    curve = curve.transpose(1, 0, 2).reshape(-1, 2)
    return curve if closed else np.vstack([curve, p[-1:]])


def ellipse(x: float, y: float, rx: float, ry: float | None = None, angle: float = 0.0, n: int = 36) -> Points:
    """Return an ellipse about (x, y); `angle` in radians."""
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return turn(np.stack([rx * np.cos(t), (rx if ry is None else ry) * np.sin(t)], 1), angle) + np.array([x, y])


def ring(x: float, y: float, radius: float, width: float, n: int = 56) -> Points:
    """Return an annulus as one seamed outline: outside there, inside back."""
    t = np.linspace(0, 2 * np.pi, n)
    circle = np.stack([np.cos(t), np.sin(t)], 1)
    return np.vstack([circle * radius, circle[::-1] * (radius - width)]) + np.array([x, y])


def box(x0: float, y0: float, x1: float, y1: float, r: float = 0.0) -> Points:
    """Return a rectangle with corners rounded by `r`."""
    if r <= 0:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)
    r = min(r, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
    t = np.linspace(0, np.pi / 2, 6)
    arc = np.stack([np.cos(t), np.sin(t)], 1) * r
    corners = [((x1 - r, y1 - r), 0), ((x0 + r, y1 - r), 1), ((x0 + r, y0 + r), 2), ((x1 - r, y0 + r), 3)]
    return np.vstack([turn(arc, k * np.pi / 2) + c for c, k in corners])


def limb(points: Sequence, widths: Sequence, *, steps: int = 7, smooth: bool = True) -> Points:
    """Return a stroke along `points` whose full width goes through `widths`, with round ends."""
    p, w = np.asarray(points, float), np.asarray(widths, float)
    if smooth and len(p) > 2:
        w = np.interp(np.linspace(0, len(p) - 1, (len(p) - 1) * steps + 1), np.arange(len(p)), w)
        p = spline(p, closed=False, steps=steps)
    d = np.gradient(p, axis=0)
    d /= np.maximum(np.hypot(d[:, 0], d[:, 1]), 1e-9)[:, None]
    n = np.stack([-d[:, 1], d[:, 0]], 1) * (w / 2)[:, None]
    t = np.linspace(-np.pi / 2, np.pi / 2, 7)[1:-1, None]
    end = p[-1] - n[-1] * np.sin(t) + d[-1] * np.cos(t) * w[-1] / 2
    start = p[0] + n[0] * np.sin(t) - d[0] * np.cos(t) * w[0] / 2
    return np.vstack([p + n, end, (p - n)[::-1], start])


def turn(points: Points, angle: float, about: tuple[float, float] = (0.0, 0.0)) -> Points:
    """Rotate `points` by `angle` radians about a point."""
    c, s = np.cos(angle), np.sin(angle)
    return (np.asarray(points, float) - about) @ np.array([[c, s], [-s, c]]) + about


@dataclass(frozen=True, eq=False)
class Part:
    """One painted piece: the union of `outlines`, shaded as one body.

    colour: RGB in 0..255. round: how strongly its edges turn away from the light, 0 flat .. 1.
    grain: name of a texture, or None. clip: paint only where the object's last unclipped part is.
    solid: counts as the object's pixels (False for a shadow or a reflection). alpha: opacity, 0..1.
    """

    outlines: tuple[Points, ...]
    colour: np.ndarray
    round: float = 0.5
    grain: str | None = None
    clip: bool = False
    solid: bool = True
    alpha: float = 1.0
    blur: float = 0.0


def part(outlines, colour, round: float = 0.5, **options) -> Part:
    """Return a Part from one outline or a list of them."""
    outlines = tuple(outlines) if isinstance(outlines, (list, tuple)) else (outlines,)
    return Part(outlines, np.asarray(colour, float), round, **options)


def moved(p: Part, scale: float, x: float, y: float, *, flip: bool = False, angle: float = 0.0) -> Part:
    """Return `p` mirrored, turned about its origin, scaled and moved to (x, y)."""
    stretch = np.array([-scale if flip else scale, scale])
    out = tuple((o if angle == 0 else turn(o, -angle if flip else angle)) * stretch + (x, y) for o in p.outlines)
    return Part(out, p.colour, p.round, p.grain, p.clip, p.solid, p.alpha, p.blur * scale)


@lru_cache(maxsize=8)
def texture(name: str) -> np.ndarray:
    """Return a (512, 512) tile, about 0 with peak 1: `noise`, `fur`, `wood`, `wool`, `leaf` or `fine`."""
    g = np.random.default_rng(7)
    radii = {
        "noise": [(12, 12), (4, 4)],
        "fur": [(1.0, 5), (2, 9)],
        "wood": [(24, 1.0), (40, 3)],
        "wool": [(3, 3), (5, 5)],
        "leaf": [(2.5, 2.5), (8, 8)],
        "fine": [(0.7, 0.7), (1.5, 1.5)],
    }[name]
    fy, fx = np.meshgrid(np.fft.fftfreq(512), np.fft.fftfreq(512), indexing="ij")
    tile = np.zeros((512, 512))
    for rx, ry in radii:
        low = np.exp(-2 * np.pi**2 * ((fx * rx) ** 2 + (fy * ry) ** 2))
        layer = np.fft.ifft2(np.fft.fft2(g.normal(size=(512, 512))) * low).real
        tile += layer / layer.std()
    return np.clip(tile / tile.std() / 2.5, -1, 1).astype(np.float32)


class Canvas:
    """An image (height, width) in the making, with the owner of every pixel: 0 nobody, else the object's number.

    unit: pixels of the canvas to which textures and soft edges are scaled (its longer side / 480).
    light: -1 when the light comes from the left, +1 from the right.
    """

    def __init__(self, width: int, height: int, *, light: int = -1, paint: bool = True) -> None:
        self.size = (width, height)
        self.unit = max(width, height) / 480
        self.light = light
        self.image = Image.new("RGB", self.size) if paint else None
        self.owner = Image.new("L", self.size)

    def silhouette(self, outlines: Sequence[Points], number: int) -> None:
        """Claim the pixels of some outlines for `number`, without painting."""
        pen = ImageDraw.Draw(self.owner)
        for outline in outlines:
            pen.polygon(outline.ravel().tolist(), fill=number)

    def add(self, parts: Sequence[Part], number: int | None = None) -> None:
        """Paint `parts` in order; with a `number`, claim the pixels of the solid ones."""
        base = None
        for p in parts:
            mask, corner = self._mask(p)
            if mask is None:
                base = base if p.clip else None
                continue
            if p.clip:
                if base is None:
                    continue
                whole = Image.new("L", mask.size)
                whole.paste(base[0], (base[1][0] - corner[0], base[1][1] - corner[1]))
                mask = ImageChops.multiply(mask, whole)
            else:
                base = (mask, corner)
            self._fill(p, mask, corner)
            if number is not None and p.solid and not p.clip:
                self.owner.paste(number, (*corner, corner[0] + mask.width, corner[1] + mask.height), mask)

    def _mask(self, p: Part) -> tuple[Image.Image | None, tuple[int, int]]:
        low = np.min([o.min(0) for o in p.outlines], 0)
        high = np.max([o.max(0) for o in p.outlines], 0)
        beyond = 30 * self.unit  # of the canvas's edge, so that shading does not see the edge
        margin = 3 * p.blur + 1
        x0, y0 = np.floor(np.maximum(low - margin, -beyond)).astype(int).tolist()
        x1, y1 = np.ceil(np.minimum(high + margin + 1, np.add(self.size, beyond))).astype(int).tolist()
        if x1 <= max(x0, 0) or y1 <= max(y0, 0) or x0 >= self.size[0] or y0 >= self.size[1]:
            return None, (0, 0)
        mask = Image.new("L", (x1 - x0, y1 - y0))
        pen = ImageDraw.Draw(mask)
        for outline in p.outlines:
            pen.polygon((outline - (x0, y0)).ravel().tolist(), fill=255)
        if p.blur:
            mask = mask.filter(ImageFilter.BoxBlur(float(p.blur))).filter(ImageFilter.BoxBlur(float(p.blur)))
        return mask, (x0, y0)

    def _fill(self, p: Part, mask: Image.Image, corner: tuple[int, int]) -> None:
        """Paint through the mask: darker on the side away from the light and below, lighter opposite, then the grain.

        The tone is a grey image, 128 for the bare colour and 256 steps to one whole; a table turns it into colours.
        """
        w, h = mask.size
        fill: Image.Image | tuple
        if p.round <= 0 and p.grain is None:
            fill = tuple(int(v) for v in np.clip(p.colour, 0, 255))
        else:
            tone = Image.new("L", (w, h), 128)
            if p.round > 0:
                low = np.min([o.min(0) for o in p.outlines], 0)
                extent = np.max([o.max(0) for o in p.outlines], 0) - low
                r = float(np.clip(0.16 * extent.min(), 0.8, 24 * self.unit))
                soft = mask.filter(ImageFilter.BoxBlur(r))
                dx, dy = round(self.light * r * 0.8), round(r * 0.8)
                lit, dark = soft.crop((-dx, dy, w - dx, h + dy)), soft.crop((dx, -dy, w + dx, h - dy))
                tone = ImageChops.subtract(lit, dark, 3.3 / p.round, 128)
                rows = 128 + (0.5 - np.clip((np.arange(h) + corner[1] - low[1]) / max(extent[1], 1), 0, 1)) * (
                    56 * p.round
                )
                fall = Image.fromarray(rows.astype(np.uint8)[:, None]).resize((w, h))
                tone = ImageChops.add(tone, fall, 1, -128)
            if p.grain is not None:
                x, y = corner[0] % 512, corner[1] % 512
                tone = ImageChops.add(tone, _tile(p.grain).crop((x, y, x + w, y + h)), 1, -128)
            t = (np.arange(256) - 128) / 256
            table = np.where(
                t > 0,
                p.colour[:, None] + (255 - p.colour[:, None]) * 0.9 * t,
                p.colour[:, None] * (1 + t * [[1.0], [0.95], [0.8]]),
            )
            tone.putpalette(np.clip(table.T, 0, 255).astype(np.uint8).tobytes())
            fill = tone.convert("RGB")
        if p.alpha < 1:
            mask = mask.point([int(v * p.alpha) for v in range(256)])
        self.image.paste(fill, (*corner, corner[0] + w, corner[1] + h), mask)


@lru_cache(maxsize=8)
def _tile(name: str) -> Image.Image:
    """Return a texture as tones, several times over so that any patch of the canvas finds its part."""
    tile = np.tile((128.5 + 18 * texture(name)).astype(np.uint8), (6, 6))
    return Image.fromarray(tile)


def gradient(canvas: Canvas, top, bottom, y0: float, y1: float, grain: str | None = None, strength: float = 8) -> None:
    """Fill the rows from y0 to y1 (image heights) from one colour to another."""
    w, h = canvas.size
    a, b = int(np.clip(round(y0 * h), 0, h)), int(np.clip(round(y1 * h), 0, h))
    if b <= a:
        return
    t = (np.arange(b - a, dtype=np.float32) + 0.5)[:, None, None] / (b - a)
    fill = np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t
    fill = np.repeat(fill, w, 1)
    if grain:
        fill = fill + strength * texture(grain)[np.arange(b - a) % 512][:, np.arange(w) % 512][..., None]
    canvas.image.paste(Image.fromarray(np.clip(fill, 0, 255).astype(np.uint8)), (0, a))
