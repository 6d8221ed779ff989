"""Files that several processes share: replaced whole, and locked by the process that works at what they stand for."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

logger = logging.getLogger("suite")


def atomic_write(path: Path, write: Callable[[IO[bytes]], object], durable: bool = True) -> None:
    """Replace `path` by what `write` writes, or leave it untouched.

    Parameters
    ----------
    path : Path
    write : callable (binary file) -> None
    durable : bool
        Reach the disk before the replacement; not worth its milliseconds for a progress display.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as file:
            write(file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any], durable: bool = True) -> None:
    """Write a JSON object atomically."""
    content = json.dumps(value, indent=1).encode()
    atomic_write(path, lambda file: file.write(content), durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object, or None if there is no such file, or none that is whole.

    Files are replaced, never written in place: a torn one is what a lost node, or a disk, has left of it. It then says
    nothing, and what it said is done again.
    """
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        _warn_of_damage(path)
        return None
    return value


@cache
def _warn_of_damage(path: Path) -> None:
    """Say that a file is damaged, once a process: waiting commands read the same files every second."""
    logger.warning("%s is damaged: it counts as missing", path)


@contextmanager
def held(path: Path, patience_s: float = 0.05) -> Iterator[bool]:
    """Hold an exclusive flock inside the block; yields False if another process has it.

    Parameters
    ----------
    path : Path
        Created if need be, with its folder.
    patience_s : float
        How long to keep trying, for ever if infinite. At least for an instant: :func:`is_held` takes the lock for one.
    """
    deadline, pause = time.monotonic() + patience_s, 0.005
    while True:
        with _opened(path) as file:
            if _is_locked(file, path):
                yield True
                return
        if time.monotonic() > deadline:
            yield False
            return
        time.sleep(pause)
        pause = min(2 * pause, 0.1)


@contextmanager
def in_use(path: Path, clear: Callable[[], object]) -> Iterator[None]:
    """Be one of those who use what a lock stands for; whoever leaves last calls `clear`, and nobody enters meanwhile.

    Parameters
    ----------
    path : Path
        Flock'ed together with others. Created if need be, with its folder; `clear` may remove both.
    clear : callable () -> None
        Not called by a process that is killed: then the next one that leaves last does so.
    """
    while True:
        file = _opened(path)
        fcntl.flock(file, fcntl.LOCK_SH)
        if _is_in_place(file, path):
            break
        file.close()
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(BlockingIOError):  # others still use it
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                clear()


def _opened(path: Path) -> IO[str]:
    for _ in range(10):  # `suite clean` may remove the folder in between
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("a", encoding="utf-8")
    return path.open("a", encoding="utf-8")


def _is_locked(file: IO[str], path: Path) -> bool:
    """Take the lock of an open file; a file that was removed from its place meanwhile locks nothing."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return _is_in_place(file, path)


def _is_in_place(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def is_held(path: Path) -> bool:
    """Whether another process holds the flock of `path`."""
    try:
        with path.open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a folder that match a glob; none of one that another process removes while it is listed."""
    try:
        return list(folder.glob(pattern))
    except FileNotFoundError:
        return []
