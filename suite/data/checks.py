"""Whether a file is what the catalogue says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from suite.data.schema import Member

_verified: set[tuple[str, int, int, str]] = set()


@dataclass(frozen=True)
class Check:
    """State of one file: ``ok``, ``missing``, ``truncated`` or ``corrupted``, and what was expected and found."""

    state: str
    expected: str
    actual: str


def check(path: Path, member: Member, again: bool = False) -> Check:
    """Compare a file with its size and sha256.

    A file that held once is not read again in this process while its size and modification time stay.

    Parameters
    ----------
    path : Path
    member : Member
    again : bool
        Read the file even so.
    """
    size = f"{member.size} bytes"
    try:
        stat = path.stat()
        if not path.is_file():
            return Check("corrupted", "a file", "something else")
        if stat.st_size != member.size:
            state = "truncated" if stat.st_size < member.size else "corrupted"
            return Check(state, size, f"{stat.st_size} bytes")
        seen = (str(path), stat.st_size, stat.st_mtime_ns, member.sha256)
        if seen in _verified and not again:
            return Check("ok", member.sha256, member.sha256)
        with path.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return Check("missing", size, "no file")
    except OSError as error:
        return Check("corrupted", size, f"cannot be read: {error.strerror}")
    if actual != member.sha256:
        _verified.discard(seen)
        return Check("corrupted", member.sha256, actual)
    _verified.add(seen)
    return Check("ok", member.sha256, actual)
