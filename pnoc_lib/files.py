"""Write files so that a reader never meets half of one: temporary name first, then to the disk, then rename.

Equal contents give equal bytes, and a file may be read by whom the umask lets read it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well.

    The file is on the disk before it gets its name, so that a power cut leaves the old one or the new one whole.
    If the block fails, the temporary file goes and whatever stood at `path` stays as it was.
    Raises OSError with a plain sentence when the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        _to_disk(temporary)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        full = _disk_full(error)
        if full:
            raise OSError(
                full,
                f"disk full while writing {path}: free some space and run again; nothing that existed was changed",
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path | str, *, seconds: float = 60) -> int:
    """Remove what killed processes had half written below `folder`, older than `seconds`; returns how many files.

    For a folder in which no other process writes.
    """
    stale = [path for path in Path(folder).rglob(".*.tmp*") if re.fullmatch(r"\..+\.\d+\.tmp(\.\w+)?", path.name)]
    stale = [path for path in stale if path.is_file() and time.time() - path.stat().st_mtime > seconds]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def _disk_full(error: Exception) -> int:
    """The error number of a disk or quota that is full, else 0; safetensors tells it in words only."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (told := re.search(r"\(os error (\d+)\)", str(error))):
        number = int(told[1])
    return number if number in (errno.ENOSPC, errno.EDQUOT) else 0


def _to_disk(path: Path) -> None:
    """Wait until the content of a file is on the disk, where the file system can tell.

    Its new name may come later: until then the old file stands, or none, and the stage makes it again.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise
    finally:
        os.close(descriptor)


def has_content(path: Path | str) -> bool:
    """Whether a file is there and holds a byte: a power cut may leave the name without the content."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8 to `path`, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON to `path`, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file; ValueError names the file when it is no JSON."""
    text = Path(path).read_bytes()
    if not text:
        raise ValueError(f"{path} is empty, as a power cut leaves it: delete it and run its stage again")
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable JSON ({error}): delete it and run its stage again") from None


def write_csv(path: Path | str, table: pd.DataFrame, *, index: bool = False) -> None:
    """Write a table as CSV to `path`, atomically."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=index)


def write_tensors(path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors (and text metadata) as safetensors to `path`, atomically.

    The bytes depend on the contents alone: the header is written with sorted keys, which safetensors itself, of a
    hash map, writes in another order every time.
    """
    with atomic(path) as temporary:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            temporary,
            metadata=dict(metadata or {}),
        )
        with temporary.open("r+b") as file:  # safetensors puts the header first, padded with blanks to eight bytes
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            if len(text) <= length:  # a longer one cannot take its place; the order is then left as it is
                file.seek(8)
                file.write(text.ljust(length))
        _allow_by_umask(temporary)


def _allow_by_umask(path: Path) -> None:
    """Give a file the rights of a new one: safetensors makes it readable for its owner only."""
    fresh = path.with_name(f"{path.name}.rights")
    try:
        fresh.touch()
        os.chmod(path, stat.S_IMODE(fresh.stat().st_mode))
    finally:
        fresh.unlink(missing_ok=True)


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: (tensors by name, text metadata).

    Raises FileNotFoundError when it is missing, ValueError when it is truncated or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: run the stage that writes them first")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except PermissionError:
        raise PermissionError(f"{path} may not be read: give yourself the right to, or give other weights") from None
    except SafetensorError as error:
        raise ValueError(f"{path} is no complete safetensors file ({error}): delete it and make it again") from None
