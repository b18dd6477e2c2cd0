"""Are the files of a data set those that the finished runs saw? Corrected images or masks make their runs due again.

What is kept is one digest of names, sizes and times, in a file that the graph's runs depend on: it becomes newer than
they are when the data change. Trainings whose own images did not change are read back then.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from time import time_ns


def note(data: Path, record: Path) -> bool:
    """Renew `record` if the files in the folder `data` are not those that it tells of; True when they had changed.

    The first record is as old as the newest file, so that it makes no earlier run stale. An absent folder is passed
    over: the notebook that reads it says more.
    """
    files = sorted(_files(data))
    if not files:
        return False
    now = {"files": len(files), "digest": hashlib.sha256(json.dumps(files).encode()).hexdigest()}
    known = _read(record)
    if known == now:
        return False
    record.parent.mkdir(parents=True, exist_ok=True)
    fresh = record.with_name(f".{record.name}.{os.getpid()}")
    fresh.write_text(json.dumps(now) + "\n")
    if known is None:
        newest = min(max(time for _, _, time in files), time_ns())  # a camera's clock may be ahead
        os.utime(fresh, ns=(newest, newest))
    os.replace(fresh, record)
    return known is not None


def _read(record: Path) -> dict | None:
    """What a record tells, nothing of one that is damaged; None where there is none."""
    if not record.is_file():
        return None
    try:
        return json.loads(record.read_text())
    except ValueError:
        return {}


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Path within the folder, bytes and time (ns) of every file, hidden ones left out, links followed once."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if (place := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(place)
        for name in names:
            path = os.path.join(root, name)
            if not name.startswith(".") and os.path.isfile(path):
                about = os.stat(path)
                yield os.path.relpath(path, folder), about.st_size, about.st_mtime_ns
