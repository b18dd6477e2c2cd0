"""Colours that many things share, so that colour gives no class away."""

from __future__ import annotations

import numpy as np

FUR = [
    (243, 238, 228),
    (226, 205, 170),
    (206, 148, 88),
    (158, 108, 70),
    (104, 74, 56),
    (136, 134, 138),
    (70, 66, 72),
    (214, 186, 142),
]
SKIN = [(250, 214, 184), (238, 190, 150), (214, 160, 118), (172, 118, 82), (124, 84, 60), (92, 62, 48)]
HAIR = [(44, 36, 36), (82, 56, 40), (132, 88, 50), (206, 162, 92), (168, 84, 48), (176, 174, 174)]
CLOTH = [
    (206, 74, 66),
    (230, 150, 64),
    (236, 204, 96),
    (108, 158, 92),
    (64, 142, 146),
    (72, 118, 178),
    (58, 70, 110),
    (150, 104, 156),
    (236, 232, 224),
    (96, 92, 96),
    (226, 150, 156),
    (132, 92, 70),
]
PAINT = [
    (202, 66, 60),
    (232, 146, 60),
    (238, 202, 88),
    (96, 152, 92),
    (58, 140, 146),
    (70, 120, 184),
    (56, 66, 108),
    (238, 236, 230),
    (176, 180, 186),
    (70, 68, 74),
    (140, 58, 66),
    (150, 190, 206),
]
WOOD = [(176, 124, 80), (140, 94, 60), (206, 160, 110), (104, 70, 50), (228, 220, 208), (82, 74, 72)]
DARK = (44, 40, 46)
GLASS, RUBBER, STEEL = (172, 206, 222), (52, 50, 56), (186, 190, 196)
LAMP, TAIL = (255, 240, 190), (206, 60, 52)
SKIES = [
    ((104, 166, 218), (214, 232, 238)),
    ((136, 184, 214), (238, 232, 214)),
    ((166, 178, 192), (222, 222, 218)),
    ((112, 130, 190), (250, 200, 150)),
    ((84, 150, 206), (190, 222, 238)),
]


def pick(g: np.random.Generator, colours, spread: float = 9) -> np.ndarray:
    """Return one of the colours, a little off."""
    return np.clip(
        np.asarray(colours[g.integers(len(colours))], float) + g.normal(0, spread) + g.normal(0, 0.35 * spread, 3),
        8,
        250,
    )


def shade(colour, factor: float) -> np.ndarray:
    return np.clip(np.asarray(colour, float) * factor, 0, 255)


def mix(a, b, t: float) -> np.ndarray:
    """Return the colour that lies `t` of the way from a to b."""
    return np.asarray(a, float) * (1 - t) + np.asarray(b, float) * t
