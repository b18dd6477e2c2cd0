"""Bad data are told all at once: collect what is wrong with many files and raise one error that lists it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

LINES_SHOWN = 20  # of a long list of problems

Item = TypeVar("Item")
Result = TypeVar("Result")


class DataError(ValueError):
    """The data are not as the reader needs them: what is wrong (and in which file), what was given, what to do."""

    def __init__(self, problem: str, file: Path | str | None = None) -> None:
        # a loader process hands its error on as text, "Caught DataError in ...", with the traceback above the sentence
        if problem.startswith(f"Caught {type(self).__name__} in "):
            problem = problem.rpartition(f"{type(self).__name__}: ")[2].rstrip()
        super().__init__(problem, file)
        self.problem = problem
        self.file = "" if file is None else str(file)

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}" if self.file else self.problem


def gather(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    progress: str | None = None,
) -> list[Result]:
    """`function` of every item, by threads, in order; all DataErrors are collected and raised as one.

    workers: threads, default one a processor and at most 8.   progress: text of the progress bar, None for no bar.
    """

    def attempt(item: Item) -> Result | DataError:
        try:
            return function(item)
        except DataError as error:
            return error

    pool = ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1))
    try:
        results = list(tqdm(pool.map(attempt, items), total=len(items), desc=progress, disable=progress is None))
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt does not wait for what was not begun
    raise_all([str(result) for result in results if isinstance(result, DataError)])
    return results


def raise_all(problems: Sequence[str]) -> None:
    """Raise one DataError with the number of problems and the first 20 of them; nothing when there is none."""
    if not problems:
        return
    lines = [f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'} in the data:", *problems[:LINES_SHOWN]]
    if len(problems) > LINES_SHOWN:
        lines.append(f"... and {len(problems) - LINES_SHOWN} more")
    raise DataError("\n  ".join(lines))
