"""Figures of the notebooks: pictures with masks and CAMs, curves, class properties; returned, not saved or shown."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from torch import Tensor

from pnoc_lib import files
from pnoc_lib.data import index_masks
from pnoc_lib.data.images import VOID

CAM_COLOURS = "inferno"  # for every CAM and saliency map, over the fixed range [0, 1]


THUMBNAIL = 240  # pixels of height of a picture in a grid


VOID_COLOUR = (224, 224, 192)


_LABEL = {"facecolor": "k", "alpha": 0.65, "edgecolor": "none", "pad": 1}  # behind words on a picture


plain = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "figure.dpi": 110,
    "savefig.bbox": "tight",
}


def save(fig: Figure, stem: Path | str, *, data: pd.DataFrame | None = None, dpi: int = 110, pdf: bool = True) -> None:
    """Write `stem`.png and .pdf and, with `data`, .csv: what is drawn can be read again as numbers.

    pdf: False for grids of photographs: no .pdf, which gains nothing there, and a small .png, of 256 colours. A figure
    with a colour scale keeps all of its colours: a dithered map could not be read by its bar.
    A notebook that shows the figure afterwards shows it with all colours, and does not draw it again.
    """
    stem = Path(stem)
    drawn = io.BytesIO()
    quick = {} if pdf else {"pil_kwargs": {"compress_level": 1}}  # it is written anew below
    fig.savefig(drawn, format="png", dpi=dpi, bbox_inches="tight", **quick)
    with files.atomic(stem.with_name(stem.name + ".png")) as temporary:
        if pdf:
            temporary.write_bytes(drawn.getvalue())
        else:
            full = Image.open(drawn).convert("RGB")
            scaled = any(axis.get_label() == "<colorbar>" for axis in fig.axes)
            (full if scaled else _few_colours(full)).save(temporary, "PNG", optimize=not scaled)
    if pdf:
        with files.atomic(stem.with_name(stem.name + ".pdf")) as temporary:
            fig.savefig(temporary, metadata={"CreationDate": None}, bbox_inches="tight")  # no date: the same file again
    if data is not None:
        files.write_csv(stem.with_name(stem.name + ".csv"), data)
    fig._ipython_display_ = partial(_show, drawn.getvalue(), repr(fig))


def _few_colours(picture: Image.Image) -> Image.Image:
    """In 256 colours, dithered: without false edges."""
    return picture.quantize(palette=picture.quantize(256, Image.Quantize.FASTOCTREE))


def _show(png: bytes, text: str) -> None:
    """Show a picture that was already drawn, in the forms in which a notebook shows a figure."""
    display({"image/png": base64.b64encode(png).decode(), "text/plain": text}, raw=True)


def as_tensor(image: Image.Image) -> Tensor:
    """RGB image -> (3, H, W) uint8."""
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)


def denormalize(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """What a network sees, (3, H, W) normalised, as a picture: (H, W, 3) uint8."""
    restored = pixels.cpu().float().permute(1, 2, 0).numpy() * np.asarray(std) + np.asarray(mean)
    return (255 * restored.clip(0, 1)).round().astype(np.uint8)


def color_mask(mask: np.ndarray, *, outline: bool = True) -> np.ndarray:
    """(H, W) mask of class indices -> (H, W, 3) uint8 in VOC's colours; void keeps its own.

    outline: draw the rim of every class, one pixel, half way to white: VOC's cat is nearly as black as background.
    """
    colours = index_masks.palette()[mask]
    if not outline:
        return colours
    padded = np.pad(mask, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    rim = (mask > 0) & (mask != VOID) & np.logical_or.reduce([other != mask for other in neighbours])
    colours[rim] = (colours[rim].astype(np.uint16) + 255) // 2
    return colours


def overlay_mask(image: Image.Image, mask: np.ndarray, *, strength: float = 0.6) -> np.ndarray:
    """The image in grey with the classes of `mask` (H, W) laid over it; (H, W, 3) uint8."""
    grey = np.asarray(image.convert("L").convert("RGB"), np.float32)
    colours = color_mask(mask, outline=False).astype(np.float32)
    share = np.where(mask == 0, 0.0, strength)[..., None]
    return (grey * (1 - share) + colours * share).astype(np.uint8)


def overlay_cam(image: Image.Image, cam: np.ndarray, *, strength: float = 0.65) -> np.ndarray:
    """The image in grey under a CAM (H, W) in [0, 1], in the one colour scale of all CAMs; (H, W, 3) uint8."""
    grey = np.asarray(image.convert("L").convert("RGB"), np.float32)
    heat = matplotlib.colormaps[CAM_COLOURS](np.clip(cam, 0, 1))[..., :3] * 255
    return (grey * (1 - strength) + heat * strength).astype(np.uint8)


def overlay_classes(
    images: Sequence[Image.Image], cams: Tensor, classes: Tensor, *, peak: Tensor | None = None
) -> list[np.ndarray]:
    """The map of one class an image, over its image: `overlay_cam` for raw CAMs.

    images: of one size, the first of the N that the maps belong to. cams: (N, C, h, w) raw activations. classes: (N,).
    peak: (N,) activations that count as 1; by default the map's own, Eq. (2), which shows a faint map as bright as a
    strong one. Give the peak of another map to compare the two.
    """
    own = cams[range(len(cams)), classes].detach().float().relu()[: len(images), None]
    own = F.interpolate(own, images[0].size[::-1], mode="bilinear", align_corners=False)[:, 0]
    peak = own.amax(dim=(1, 2)) if peak is None else peak[: len(images)].to(own)
    heat = (own / (peak[:, None, None] + 1e-5)).cpu().numpy()
    return [overlay_cam(image, one) for image, one in zip(images, heat, strict=True)]


def show_grid(
    rows: Mapping[str, Sequence],
    titles: Sequence[str] = (),
    *,
    cell: float = 1.5,
    cam_scale: bool = False,
    scale_label: str = "normalised CAM, Eq. (2)",
    captions: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Pictures in rows, one row a name and one column an image: what a row shows stands at its left.

    rows: name -> images, (H, W, 3) uint8, (H, W) in [0, 1], PIL images, or None for an empty cell.
    titles: one a column. cam_scale: adds the colour bar of the CAMs, named `scale_label`.
    captions: for some rows, a few words a picture.
    """
    count = max(len(row) for row in rows.values())
    columns = [[row[k] for row in rows.values() if k < len(row) and row[k] is not None] for k in range(count)]
    shapes = [np.shape(column[0]) if column else (1, 1) for column in columns]
    widths = [min(max(shape[1] / shape[0], 0.5), 2.0) for shape in shapes]  # all columns get the height of a row
    with plt.rc_context(plain):
        bar_width = 0.9 if cam_scale else 0.0  # inches, beside the pictures and not at their cost
        labels = {name: "\n".join(textwrap.wrap(name, 16)) for name in rows}
        longest = max(len(line) for label in labels.values() for line in label.split("\n"))
        size = (cell * sum(widths) + max(0.9, 0.08 * longest) + bar_width, cell * len(rows) + 0.3)
        fig, axes = plt.subplots(len(rows), count, figsize=size, squeeze=False, width_ratios=widths)
        for line, (name, pictures) in zip(axes, rows.items(), strict=True):
            for column, axis in enumerate(line):
                axis.set(xticks=[], yticks=[])
                axis.grid(False)
                for spine in axis.spines.values():
                    spine.set_visible(False)
                picture = pictures[column] if column < len(pictures) else None
                if picture is not None:
                    axis.imshow(_thumbnail(picture), cmap=CAM_COLOURS, vmin=0, vmax=1)
            line[0].set_ylabel(labels[name], rotation=0, ha="right", va="center")
            for axis, words in zip(line, (captions or {}).get(name, ()), strict=False):
                place = {"transform": axis.transAxes, "in_layout": False}
                axis.text(0.03, 0.04, words, fontsize=6, color="w", bbox=_LABEL, **place)
        for axis, title in zip(axes[0], titles, strict=False):
            axis.set_title("\n".join(textwrap.wrap(str(title), 22)), fontsize=8, fontweight="normal")
        share = bar_width / size[0]
        fig.tight_layout(pad=0.3, h_pad=0.5, w_pad=0.4, rect=(0, 0, 1 - share, 1))
        if cam_scale:
            scale = matplotlib.cm.ScalarMappable(cmap=CAM_COLOURS)
            height = min(1.0, 1.6 / len(rows) + 0.2)
            place = (1 - 0.92 * share, (1 - height) / 2 + 0.03, 0.22 * share, height - 0.06)
            bar = fig.colorbar(scale, cax=fig.add_axes(place, label="<colorbar>"))
            bar.set_label(scale_label)
    return _closed(fig)


def class_legend(names: Sequence[str], *, columns: int = 7) -> Figure:
    """The colours of the classes, background and void: one small panel to read masks by."""
    palette = index_masks.palette() / 255
    labels = ["background", *names, "void"]
    colours = [palette[0], *palette[1 : len(names) + 1], palette[VOID]]
    with plt.rc_context(plain):
        fig = plt.figure(figsize=(8.5, 0.24 * -(-len(labels) // columns) + 0.1))
        squares = [Line2D([], [], marker="s", ls="", ms=9, color=c, mec="0.4", mew=0.5) for c in colours]
        fig.legend(squares, labels, loc="center", ncols=columns, handletextpad=0.2, columnspacing=1.2)
    return _closed(fig)


def _thumbnail(picture: Image.Image | np.ndarray) -> np.ndarray:
    """The picture at no more than `THUMBNAIL` pixels of height: what a grid shows of it anyway."""
    array = np.asarray(picture)
    height, width = array.shape[:2]
    if height <= THUMBNAIL:
        return array
    size = (max(1, round(width * THUMBNAIL / height)), THUMBNAIL)
    return np.asarray(Image.fromarray(array).resize(size, Image.Resampling.BOX))


def _closed(fig: Figure) -> Figure:
    """Take the figure out of pyplot's hands, so that a notebook shows it once: as the value of its cell."""
    plt.close(fig)
    return fig
