"""The six strategies as data: puzzle on or off, erasing by nobody, `oc` or `noc`, label smoothing, augmentation.

CAM, P (Puzzle), OC-CSE, P-OC, NOC-CSE and P-NOC are names for combinations of the two switches (Sections 2.4, 3.1 and
3.2); `objectives` has the losses that they make. Whoever reads the names alone waits for no other import.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ERASERS = (None, "oc", "noc")
SMOOTHING = 0.1  # of the strategies whose name ends in -ls (Section 6.1)


@dataclass(frozen=True)
class Strategy:
    """Two switches and what goes with them.

    puzzle: Eq. (3). eraser: None; "oc", a fixed ordinary classifier, Eq. (6); "noc", one that learns, Eq. (10).
    label_smoothing: fraction in [0, 1]. augment: one of `augment.AUGMENTATIONS`.
    Raises ValueError for an unknown eraser.
    """

    puzzle: bool = False
    eraser: str | None = None
    label_smoothing: float = 0.0
    augment: str = "jitter"

    def __post_init__(self):
        if self.eraser not in ERASERS:
            raise ValueError(f"unknown eraser {self.eraser!r}: choose one of {', '.join(map(str, ERASERS))}")


def _named() -> dict[str, Strategy]:
    plain = {
        "cam": Strategy(augment="randaugment"),
        "cam-more": Strategy(),  # an ordinary classifier trained on: the fair rival of what starts from one
        "puzzle": Strategy(puzzle=True),
        "oc-cse": Strategy(eraser="oc"),
        "p-oc": Strategy(puzzle=True, eraser="oc"),
        "noc-cse": Strategy(eraser="noc"),
        "p-noc": Strategy(puzzle=True, eraser="noc"),
    }
    smoothed = {f"{name}-ls": replace(strategy, label_smoothing=SMOOTHING) for name, strategy in plain.items()}
    return plain | smoothed


STRATEGIES = _named()  # the paper's (Sections 2.4, 3.1, 3.2), and cam-more; -ls: with label smoothing


def named(name: str) -> Strategy:
    """The strategy of a name; ValueError tells the names there are."""
    if name not in STRATEGIES:
        raise ValueError(f"unknown strategy {name!r}: choose one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
