"""What can be wrong with data."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from suite.problems import DataError


@dataclass(frozen=True)
class Problem:
    """One mistake in a catalogue: `file`, `line` (from 1) and a sentence."""

    file: Path
    line: int
    message: str

    def __str__(self) -> str:
        """Return ``file:line: message``."""
        return f"{self.file}:{self.line}: {self.message}"


class CatalogueError(DataError):
    """A catalogue has mistakes; `problems` holds all of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Return all problems, one a line."""
        count = f"{len(self.problems)} problem{'s' if len(self.problems) > 1 else ''}"
        return "\n".join([f"{count} in the data catalogue", *map(str, self.problems)])


class SourceError(Exception):
    """One source did not deliver; the next one may."""


class AbsentError(SourceError):
    """What was asked for is not there."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write `path` into a DataError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"the disk is full: cannot write {path}. Free space there or set SUITE_DATA_DIR to a folder with room; "
                "what is fetched already is kept"
            ) from error
        raise DataError(
            f"cannot write {path}: {error.strerror}. Make it writable or set SUITE_DATA_DIR to a folder that is"
        ) from error
