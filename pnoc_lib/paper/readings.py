"""What came out, in words: sentences that are computed from a run, so that they stay true under other parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pnoc_lib.paper import chance

BASE, RIVALS = "CAM", (("P-NOC", "P-OC"), ("P-OC", "P"), ("OC-CSE", "CAM+"), ("P-NOC", "CAM+"))


def scores(table: pd.DataFrame, where: str = "In this run") -> str:
    """Who lies above and below CAM, for each choice of the threshold, and how P-NOC and P-OC compare.

    table: columns method, seed, chosen by, threshold, mIoU (fraction), FP share and FN share (fractions).
    where: how the sentence begins. Returns Markdown, one paragraph; "" without a method.
    """
    parts = []
    for chosen, part in table.groupby("chosen by", sort=False):
        means = 100 * part.groupby("method", sort=False)["mIoU"].mean()
        at = (
            "at the oracle threshold"
            if chosen == "oracle"
            else f"at the fixed threshold {part['threshold'].iloc[0]:.2f}"
        )
        if BASE in means.index and len(means) > 1:
            others = means.drop(BASE)
            groups = [
                (others[others >= means[BASE] + chance.PRINTED], "above"),
                (others[(others - means[BASE]).abs() < chance.PRINTED], "level with"),
                (others[others <= means[BASE] - chance.PRINTED], "below"),
            ]
            said = [f"{_listed(group)} {word} {BASE} ({means[BASE]:.1f} %)" for group, word in groups if len(group)]
            parts.append(f"{at} {'; '.join(said)}")
        else:
            parts.append(f"{at} {_listed(means)}")
        by_seed = part.pivot_table(index="seed", columns="method", values="mIoU") * 100
        pairs = [pair for pair in RIVALS if set(pair) <= set(by_seed)]
        parts += [_pair(by_seed, *pair) for pair in pairs[:2]]
    return f"**{where}** {'; '.join(parts)}." if parts else ""


def faults(table: pd.DataFrame, where: str = "In this run") -> str:
    """Whether the predicted areas are too large or too small at the fixed threshold: Markdown, one sentence.

    table: as for `scores`. The paper's problem is maps that are too small: this says whether the run shows it.
    """
    part = table[table["chosen by"] == "fixed"]
    if part.empty:
        return ""
    shares = 100 * part.groupby("method", sort=False)[["FP share", "FN share"]].mean()
    large = shares[shares["FP share"] > shares["FN share"]]
    first = shares.iloc[0]
    if len(large) == len(shares):
        word = "maps are too large rather than incomplete: not the paper's problem, erasing can help only by sharpening"
    elif large.empty:
        word = "maps are incomplete rather than too large: the paper's problem"
    else:
        word = f"maps of {', '.join(large.index)} are too large rather than incomplete, those of the others incomplete"
    return (
        f"**{where}** {word} ({shares.index[0]} at the fixed threshold: {first['FP share']:.0f} % of the union is "
        f"false positive, {first['FN share']:.0f} % false negative)."
    )


def game(playing: Mapping[str, Sequence[pd.DataFrame]]) -> str:
    """Whether `noc` grew surer of what is left after hard erasure, and what the erased share did: Markdown.

    playing: by method, epochs of each seed with the columns p_soft and, where a `noc` learns, p_hard.
    """
    sentences = []
    for method, runs in playing.items():
        if not runs:
            continue
        told = [f"$p(r|\\text{{soft}})$ went {_ends(runs, 'p_soft')}"]
        if all("p_hard" in run and run["p_hard"].notna().any() for run in runs):
            first, last = _means(runs, "p_hard")
            verdict = (
                "it learned to find $r$ elsewhere" if last > first + 0.005 else "it did not learn to find $r$ elsewhere"
            )
            told.append(f"`noc` after hard erasure {_ends(runs, 'p_hard')}: {verdict}")
        sentences.append(f"{method}: {'; '.join(told)}")
    return f"**In this run**, first to last epoch, {'. '.join(sentences)}." if sentences else ""


def prediction(properties: pd.DataFrame, iou: pd.Series, method: str) -> str:
    """What became of the guess of `00_data` that the largest class comes out best and the smallest worst: Markdown.

    properties: by class with relative_size. iou: by the same names, in any unit; classes without one are left out.
    """
    known = iou.drop("background", errors="ignore").dropna()
    sizes = properties["relative_size"].reindex(known.index).dropna()
    known = known.reindex(sizes.index)
    if len(known) < 3:
        return ""
    places = known.rank(ascending=False).astype(int)
    largest, smallest = sizes.idxmax(), sizes.idxmin()
    return (
        f"**The guess of `00_data`**, largest best and smallest worst: {method} is best at {known.idxmax()} and worst "
        f"at {known.idxmin()}; the largest class, {largest}, is in place {places[largest]} of {len(known)}, the "
        f"smallest, {smallest}, in place {places[smallest]}."
    )


def rank_correlation(correlation: float, count: int, name: str = "") -> str:
    """A rank correlation with its number of classes and the size that chance reaches in one of twenty draws."""
    limit = min(1.0, 1.96 / np.sqrt(count - 1)) if count > 2 else 1.0
    word = "may be chance" if abs(correlation) < limit else "is more than chance"
    order = "the opposite order" if correlation < 0 else "the paper's order"
    return f"{name + ': ' if name else ''}{correlation:+.2f} over {count} classes, {order}, {word} (limit {limit:.2f})"


def _listed(means: pd.Series) -> str:
    return ", ".join(f"{name} ({value:.1f} %)" for name, value in means.items())


def _pair(by_seed: pd.DataFrame, own: str, other: str) -> str:
    differences = (by_seed[own] - by_seed[other]).dropna()
    word = chance.verdict(differences) if len(differences) else ""
    says = {chance.HOLDS: "lies above", chance.FAILS: "lies below", chance.EQUAL: "equals"}
    middle = says.get(word, "cannot be told from")
    spread = f" ± {differences.std():.1f}" if len(differences) > 1 else ""
    shared = len(differences)
    if shared < by_seed[[own, other]].notna().sum().max():  # the means above are of more seeds
        where = " over one pair of trainings" if shared == 1 else f" over {shared} pairs of trainings"
    else:
        where = ""
    return f"{own} {middle} {other} ({differences.mean():+.1f}{spread} points{where})"


def _means(runs: Sequence[pd.DataFrame], column: str) -> tuple[float, float]:
    series = [run[column].dropna() for run in runs]
    return float(np.mean([s.iloc[0] for s in series])), float(np.mean([s.iloc[-1] for s in series]))


def _ends(runs: Sequence[pd.DataFrame], column: str) -> str:
    first, last = _means(runs, column)
    return f"{100 * first:.0f} → {100 * last:.0f} %"
