"""Pictures of saliency: hints over an image (Figure 4), and a table drawn as lines."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from pnoc_lib.evaluation import pictures
from pnoc_lib.evaluation.curves import CYCLE, LINES

FOREGROUND, BACKGROUND = (214, 60, 20), (40, 110, 220)  # told apart by all eyes, and in grey


def overlay_hints(image: Image.Image, strongest: np.ndarray, delta_fg: float, delta_bg: float = 0.1) -> np.ndarray:
    """Figure 4: the image in grey, red where the prior is a hint of an object, blue where it is nearly silent.

    strongest: (H, W) in [0, 1], the strongest map of each pixel. Returns (H, W, 3) uint8.
    """
    picture = np.asarray(image.convert("L").convert("RGB"), np.float32)
    for where, colour in ((strongest >= delta_fg, FOREGROUND), (strongest < min(delta_bg, delta_fg), BACKGROUND)):
        picture = np.where(where[..., None], 0.45 * picture + 0.55 * np.asarray(colour, np.float32), picture)
    return picture.astype(np.uint8)


def lines(table: pd.DataFrame, *, ylabel: str = "", mark: float | None = None) -> Figure:
    """A line a column over the index of the table; mark: a value of the index that is drawn as a vertical line."""
    with plt.rc_context(pictures.plain):
        fig, axis = plt.subplots(figsize=(5.8, 2.7))
        for k, name in enumerate(table):
            axis.plot(table.index, table[name], LINES[k % len(LINES)], color=CYCLE[k % len(CYCLE)], label=name)
        if mark is not None:
            axis.axvline(mark, color="0.6", lw=0.8, ls=":")
        axis.set(xlabel=table.index.name or "", ylabel=ylabel, ylim=(0, None))
        if pd.api.types.is_integer_dtype(table.index):
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        fig.tight_layout()
        plt.close(fig)
    return fig
