"""Tables for the eye: colours that survive colour blindness and print, a sign beside each; export to CSV and LaTeX."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pnoc_lib import files
from pnoc_lib.paper.rounding import AGREES, CONTRADICTS, EXPLAINED, UNCHECKED

SIGNS = {AGREES: "✓", EXPLAINED: "≈", CONTRADICTS: "✗", UNCHECKED: "–"}
LOOKS = {  # tints of a palette made for colour-blind readers; edges tell them apart in grey
    AGREES: "background-color: #d3efe5; color: #000; border-left: 4px solid #009e73",
    EXPLAINED: "background-color: #fbe8bd; color: #000; border-left: 4px dashed #b37b00",
    CONTRADICTS: "background-color: #f3c0a0; color: #000; font-weight: bold; border-left: 6px double #a03c00",
    UNCHECKED: "background-color: #ececec; color: #444; border-left: 4px dotted #777",
}
ABOVE, BELOW = (0, 114, 178), (213, 94, 0)  # measured above and below the print: blue and vermilion
MATH = {"ρ": r"$\rho$", "μ": r"$\mu$", "σ": r"$\sigma$", "λ": r"$\lambda$", "δ": r"$\delta$", "±": r"$\pm$"}
MATH |= {"†": r"$\dagger$", "‡": r"$\ddagger$", "✓": r"$\checkmark$", "≈": r"$\approx$", "✗": r"$\times$", "–": "--"}


def export(table: pd.DataFrame, stem: Path | str, *, index: bool = False, caption: str | None = None) -> list[Path]:
    """Write a table as `stem`.csv and `stem`.tex, and return both paths.

    The LaTeX needs booktabs and amssymb; Greek letters and signs become math, other special characters are escaped.
    """
    paths = [Path(f"{stem}.csv"), Path(f"{stem}.tex")]
    files.write_csv(paths[0], table, index=index)
    files.write_text(paths[1], to_latex(table, index=index, caption=caption))
    return paths


def to_latex(table: pd.DataFrame, *, index: bool = False, caption: str | None = None) -> str:
    """A table as LaTeX with booktabs rules; missing values are empty."""
    text = table.to_latex(index=index, escape=True, na_rep="", caption=caption, float_format="%.3f")
    for sign, math in MATH.items():
        text = text.replace(sign, math)
    return text


def shade(gap: float, limit: float) -> str:
    """CSS for a difference: blue above the print, vermilion below, full at `limit`; "" where there is none."""
    if pd.isna(gap):
        return ""
    strength = min(abs(gap) / limit, 1.0) * 0.6
    red, green, blue = (round(255 - (255 - tone) * strength) for tone in (ABOVE if gap > 0 else BELOW))
    return f"background-color: rgb({red}, {green}, {blue}); color: #000"


def arrow(gap: float) -> str:
    """A difference with its sign and an arrow: "▼ -5.9"; "=" for what rounds to nothing."""
    if abs(gap) < 0.05:
        return "="
    return f"{'▲' if gap > 0 else '▼'} {gap:+.1f}"
