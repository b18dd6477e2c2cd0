"""What the classes of a data set are like, and which kind of class a method serves (Sec. 2.3 and 6; Tables 1 and 3).

Occurrence O, average relative size %S, co-occurrence %C and label set cardinality L come from the masks. Classes are
then grouped by size, by frequency and by meaning, and the properties are correlated with the IoU of the classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from pnoc_lib.data.images import VOID, Masks
from pnoc_lib.data.problems import DataError, gather

BACKGROUND = "background"
PROPERTIES = {
    "occurrence": "O",
    "relative_size": "%S",
    "cooccurrence": "%C",
    "cardinality": "L",
}  # and their print names
COUNTED = ("occurrence", "cardinality")  # printed as they are, not in percent
_PLAIN = {
    "cam": "CAM", "cam-more": "CAM+", "oc-cse": "OC-CSE", "puzzle": "P",
    "p-oc": "P-OC", "noc-cse": "NOC-CSE", "p-noc": "P-NOC",
}  # fmt: skip
METHODS = _PLAIN | {  # names of the strategies in the paper's text and in Tables 2, 4 and 5; CAM+ is ours
    f"{strategy}-ls": f"{name}{' ' if name.endswith('+') else ''}+LS" for strategy, name in _PLAIN.items()
}
TABLE_3 = {"OC-CSE": "CSE", "P-OC+LS": "POC", "P-NOC+LS": "PNOC"}  # other names of the columns of Tables 1 and 3
SMOOTHED = ("p-oc", "p-noc")  # strategies of which the paper has rows with and without label smoothing
SIZE_CUTS = (0.135, 0.186)  # image fraction; VOC12 train has no class in 11.8..15.2 % and in 18.0..19.1 %
FREQUENCY_CUTS = (0.0543, 0.0676)  # of the images; of the 1464 of VOC12 train 79.5 and 99, between 78 | 81 and 93 | 105
SEMANTIC_GROUPS = {
    "singleton": ("aeroplane", "bird", "boat", "cat", "cow", "sheep", "train"),
    "person": ("person",),
    "animal": ("dog", "horse"),
    "room": ("bottle", "chair", "diningtable", "pottedplant", "sofa", "tvmonitor"),
    "traffic": ("bicycle", "bus", "car", "motorbike"),
}
SHORT_LABELS = {
    "aeroplane": "a.plane", "bicycle": "bike", "diningtable": "d.table",
    "motorbike": "m.bike", "pottedplant": "p.plant", "tvmonitor": "tv",
}  # fmt: skip


def method_name(strategy: str, label_smoothing: float | None = None) -> str:
    """What the paper calls a training, "P-OC+LS"; CAM+ is ours: an ordinary classifier trained on.

    strategy: a key of `METHODS`; another keeps its own name. label_smoothing: that of the training, by default the
    strategy's own.
    Reads the paper as: "+LS" tells trainings of P-OC and P-NOC apart. It is silent about the vanilla classifier, and
    the published code trains that with smoothing in some versions and without in others; there only a strategy that
    is itself called so gets the mark.
    """
    plain = strategy.removesuffix("-ls")
    named = strategy != plain
    given = named if label_smoothing is None else label_smoothing > 0
    smoothed = given and (named or plain in SMOOTHED)
    return METHODS.get(f"{plain}-ls" if smoothed else plain, strategy)


def pixel_counts(masks: Masks, *, workers: int | None = None, progress: bool = True) -> pd.DataFrame:
    """Count the pixels of every class in every mask, reading each once.

    workers: threads, by default one a processor, at most 8.
    Returns one row an id, int64 pixels in the columns background, the classes, void, and size = H x W.
    Raises DataError for masks that cannot be read, hold what is no class, or are void altogether, and for a class that
    bears the name of a column.
    """
    columns = [BACKGROUND, *masks.classes, "void", "size"]
    if len(set(columns)) != len(columns):
        raise DataError(f"no class may be called background, void or size, got {', '.join(masks.classes)}: rename it")
    values = [*range(len(masks.classes) + 1), VOID]  # of a mask, in the order of the columns

    def count(id: str) -> np.ndarray:
        pixels = np.bincount(masks.mask(id).ravel(), minlength=VOID + 1)
        return np.append(pixels[values], pixels.sum())

    rows = gather(count, masks.ids, workers=workers, progress="count pixels" if progress else None)
    table = np.stack(rows) if rows else np.zeros((0, len(columns)), dtype=np.int64)
    if rows and not table[:, :-2].any():
        raise DataError(f"every pixel of all {len(rows)} masks is void (255): against these nothing can be scored")
    return pd.DataFrame(table, index=pd.Index(masks.ids, name="id"), columns=columns)


def label_sets(counts: pd.DataFrame) -> pd.DataFrame:
    """Which foreground classes own a pixel in each image: (images x classes) booleans, from `pixel_counts`."""
    return counts.drop(columns=[BACKGROUND, "void", "size"]) > 0


def class_properties(counts: pd.DataFrame) -> pd.DataFrame:
    """O, %S, %C and L of Tables 1 and 3, one row a class, background first.

    counts: as from `pixel_counts`.
    occurrence: images whose mask shows the class. relative_size: the class's share of all pixels of those images.
    cooccurrence: share of those images that show another foreground class too. cardinality: mean number of foreground
    classes in them. Shares are fractions; nothing is rounded. Background has a relative size only, over the images that
    own background pixels; a class that never occurs has occurrence 0 and otherwise NaN.
    Reads the paper as: void pixels count in the size of an image; the share is that of the summed areas, not a mean
    of shares. So all printed values come out but O of tvmonitor: VOC12 train masks show 83, the paper prints 84.
    """
    if counts.empty:
        raise ValueError("no masks to take class properties from: give pixel_counts of at least one mask")
    labels = label_sets(counts)
    cardinality = labels.sum(axis=1)
    occurrence = labels.sum()
    pixels = counts.drop(columns=["void", "size"])
    owners = (pixels > 0).mul(counts["size"], axis=0).sum()  # pixels of all images that show the class
    properties = pd.DataFrame(
        {
            "occurrence": occurrence.astype(float),
            "relative_size": pixels.sum() / owners,
            "cooccurrence": labels[cardinality >= 2].sum() / occurrence,
            "cardinality": labels.mul(cardinality, axis=0).sum() / occurrence,
        }
    )
    return properties.loc[pixels.columns].rename_axis("class")


def class_cooccurrence(labels: ArrayLike) -> np.ndarray:
    """(C, C) int64: images that show both classes; the diagonal holds the occurrences. labels: (n, C), 0 or 1."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels must be (images, classes) of 0 and 1, got {labels.shape} {labels.dtype}")
    labels = labels.astype(np.int64)
    return labels.T @ labels


def class_groups(
    properties: pd.DataFrame,
    images: int,
    *,
    size_cuts: Sequence[float] = SIZE_CUTS,
    frequency_cuts: Sequence[float] = FREQUENCY_CUTS,
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Members of the groups of Tables 1 and 3, by grouping ("size", "frequency", "semantic") and group.

    images: how many images the properties come from. size_cuts: relative sizes, image fractions, where mid and large
    begin. frequency_cuts: shares of the images where mid and high begin. Classes that never occur and empty groups are
    left out, and so is the semantic grouping unless all classes are VOC's.
    Reads the paper as: it states no cut values; ours lie in the gaps and give its groups. Its singletons are listed
    without cat and cow, but its numbers include them.
    """
    occurring = properties[properties["occurrence"] > 0]
    groups = {
        "size": _cut(occurring["relative_size"], size_cuts, ("small", "mid", "large")),
        "frequency": _cut(occurring["occurrence"] / images, frequency_cuts, ("low", "mid", "high")),
    }
    known = {name for members in SEMANTIC_GROUPS.values() for name in members}
    if known.issuperset(properties.index.drop(BACKGROUND, errors="ignore")):
        members = {
            group: tuple(name for name in names if name in occurring.index) for group, names in SEMANTIC_GROUPS.items()
        }
        groups["semantic"] = {group: names for group, names in members.items() if names}
    return groups


def group_means(table: pd.DataFrame, groups: Mapping[str, Mapping[str, Sequence[str]]]) -> pd.DataFrame:
    """Unweighted mean of every column over the members of each group; rows are (grouping, group).

    table: one row a class, properties or IoU. A class whose value is NaN is left out of that column's mean.
    """
    rows = {
        (grouping, group): table.loc[list(names)].mean()
        for grouping, members in groups.items()
        for group, names in members.items()
    }
    index = pd.MultiIndex.from_tuples(list(rows), names=["grouping", "group"]) if rows else None
    return pd.DataFrame(list(rows.values()), index=index, columns=table.columns)


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """Rows mean and sigma of every column of a table with one row a class.

    The mean takes all rows that have a value: IoU and %S include background, O, %C and L have none for it.
    Sigma is the sample standard deviation (n - 1) over the foreground classes, in every column.
    """
    foreground = table.drop(index=BACKGROUND, errors="ignore")
    return pd.DataFrame({"mean": table.mean(), "sigma": foreground.std(ddof=1)}).T


def correlations(properties: pd.DataFrame, ious: Mapping[str, pd.Series] | None = None) -> pd.DataFrame:
    """Pearson correlation over the foreground classes, in [-1, 1]: properties in rows, they and the `ious` in columns.

    ious: per method the IoU by class, unrounded. NaN where fewer than 3 classes have both values or one is constant.
    """
    table = _joined(properties, ious or {}).drop(index=BACKGROUND, errors="ignore")
    return table.corr(min_periods=3).loc[list(PROPERTIES)]


def chance_correlation(classes: int) -> float:
    """|rho| that two unrelated columns exceed in 5 % of draws, by Student's t; 1 for fewer than 3 classes."""
    if classes < 3:
        return 1.0
    t = special.stdtrit(classes - 2, 0.975)
    return float(t / np.sqrt(classes - 2 + t**2))


def group_table(
    properties: pd.DataFrame,
    ious: Mapping[str, pd.Series],
    groups: Mapping[str, Mapping[str, Sequence[str]]],
) -> pd.DataFrame:
    """Table 3: classes, overall mean and sigma, groups by size, frequency and meaning, correlations.

    properties, groups: as from `class_properties` and `class_groups`. ious: per method the IoU by class, fractions,
    with background; classes it lacks stay empty. Returns the columns part, Class, Group, Size, Freq., O, %S, %C, L and
    one a method: percent where the paper prints percent, one decimal. In group rows the column Group lists the members.
    """
    table = _joined(properties, ious)
    columns = {"Group": "semantic", "Size": "size", "Freq.": "frequency"}
    group_of = {
        (grouping, name): group
        for grouping, members in groups.items()
        for group, names in members.items()
        for name in names
    }
    rows = []
    for name, values in table.iterrows():
        own = {column: group_of.get((grouping, name), "-") for column, grouping in columns.items()}
        rows.append({"part": "classes", "Class": SHORT_LABELS.get(name, name), **own, **_printed(values)})
    for name, values in overall(table).iterrows():
        rows.append({"part": "overall", "Class": f"overall {name}", "Group": "all", **_printed(values)})
    for (grouping, group), values in group_means(table, groups).iterrows():
        label = f"{group} freq." if grouping == "frequency" else group
        members = " ".join(SHORT_LABELS.get(name, name) for name in groups[grouping][group])
        rows.append({"part": grouping, "Class": label, "Group": members, **_printed(values)})
    for name, values in correlations(properties, ious).iterrows():
        correlation = {PROPERTIES.get(column, column): 100 * value for column, value in values.items()}
        rows.append({"part": "correlation", "Class": f"rho {PROPERTIES[name]}", **correlation})
    return (
        pd.DataFrame(rows, columns=["part", "Class", *columns, *PROPERTIES.values(), *ious])
        .fillna({column: "" for column in columns})
        .round(1)
    )


def as_printed(properties: pd.DataFrame) -> pd.DataFrame:
    """Properties under the paper's names and labels: O and L as they are, %S and %C in percent."""
    columns = {label: properties[name] * (1 if name in COUNTED else 100) for name, label in PROPERTIES.items()}
    return pd.DataFrame(columns).rename(index=SHORT_LABELS)


def short_groups(groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The members of each group under the paper's class labels."""
    return {group: [SHORT_LABELS.get(name, name) for name in names] for group, names in groups.items()}


def _cut(values: pd.Series, cuts: Sequence[float], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Classes by the number of cuts that their value reaches; empty groups are left out."""
    if len(cuts) != len(names) - 1 or list(cuts) != sorted(cuts):
        raise ValueError(f"cuts for {', '.join(names)} must be {len(names) - 1} ascending numbers, got {list(cuts)}")
    rank = np.searchsorted(np.asarray(cuts, dtype=float), values.to_numpy(), side="right")
    groups = {name: tuple(values.index[rank == index]) for index, name in enumerate(names)}
    return {name: members for name, members in groups.items() if members}


def _joined(properties: pd.DataFrame, ious: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Properties and IoU columns side by side, one row a class of `properties`."""
    table = properties[list(PROPERTIES)].copy()
    for name, iou in ious.items():
        unknown = iou.index.difference(properties.index).tolist()
        if name in table or unknown:
            raise ValueError(
                f'IoU column "{name}" does not fit: '
                + (f"no properties of {', '.join(map(str, unknown))}, " if unknown else "a property bears its name, ")
                + "give a Series by class name under the name of a method"
            )
        table[name] = iou.reindex(properties.index)
    return table


def _printed(values: pd.Series) -> dict[str, float]:
    """Print names and units: O and L as they are, everything else in percent."""
    return {PROPERTIES.get(name, name): value if name in COUNTED else 100 * value for name, value in values.items()}
