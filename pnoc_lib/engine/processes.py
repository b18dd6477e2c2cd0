"""One function for many items, over a pool of processes: in order, a few ahead, the same results as one by one."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
AHEAD = 2  # jobs a process that wait for it: it never idles, and memory holds no more than these


def each(
    function: Callable[..., Any],
    items: Sequence[Item],
    load: Callable[[Item], tuple],
    *,
    workers: int | None = None,
    progress: str | None = None,
) -> Iterator[Any]:
    """Yield `function(*load(item))` of every item, in order.

    function: importable by its name (no lambda, none of a notebook's own); runs in other processes, which import its
        module alone: keep that light, and give it arrays.
    load: runs in this process, a few items ahead. workers: processes, None for one a core; below 2, this process does
        all. progress: text of the progress bar, None for none.
    An error in `load` or `function` is raised here; what was not begun is dropped.
    The processes are started afresh, not forked: a kernel with threads of PyTorch cannot be forked safely. So each also
    imports the script that is run, if one is (a notebook is none), which must keep its work below `if __name__ == ...`.
    """
    bar = tqdm(total=len(items), desc=progress, unit="image", mininterval=1, disable=progress is None)
    with bar:
        for result in _results(function, items, load, _processes(workers, len(items))):
            yield result
            bar.update()


def _end_with_parent() -> None:
    """Let a worker end with the process that it works for, also when that one is killed."""
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processes(workers: int | None, items: int) -> int:
    if multiprocessing.current_process().daemon:  # itself in a pool: may have no children
        return 1
    return min(cores() if workers is None else workers, items // 2)


def _results(function, items, load, workers: int) -> Iterator[Any]:
    if workers < 2:
        yield from (function(*load(item)) for item in items)
        return
    ways = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in ways else "spawn")
    if hasattr(context, "set_forkserver_preload"):
        context.set_forkserver_preload([function.__module__])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    waiting: deque = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, *load(item)))
            if len(waiting) >= workers * (1 + AHEAD):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also when the reader stops or is interrupted
        pool.shutdown(cancel_futures=True)
