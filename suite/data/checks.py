"""Whether a file is what the catalogue says, or what was recorded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from suite.data.dataset import Member
from suite.data.folders import digest, listing

_verified: set[tuple[str, object, str]] = set()


@dataclass(frozen=True)
class Check:
    """State of one file or folder, and what was expected and found.

    The state is ``ok``, ``missing``, ``truncated``, ``corrupted``, or ``unrecorded``: it is there, and nothing says
    what it should be.
    """

    state: str
    expected: str
    actual: str


def check(path: Path, member: Member, again: bool = False) -> Check:
    """Compare a file with its size and checksum, a folder with those of what it holds.

    What held once is not read again in this process while sizes and modification times stay.

    Parameters
    ----------
    path : Path
    member : Member
    again : bool
        Read it even so.
    """
    kind = "a folder" if member.folder else "a file"
    size = kind if member.size is None else f"{member.size} bytes"
    try:
        stat = path.stat()
        if not (path.is_dir() if member.folder else path.is_file()):
            return Check("corrupted", kind, "something else")
        if not member.pinned:
            return Check("unrecorded", "a recorded checksum", "none")
        found = listing(path) if member.folder else None
        here = found.size if found else stat.st_size
        if member.size is not None and here != member.size:
            return Check("truncated" if here < member.size else "corrupted", size, f"{here} bytes")
        state = found.signature if found else (stat.st_size, stat.st_mtime_ns)
        seen = (str(path), state, member.identity)
        if seen in _verified and not again:
            return Check("ok", member.identity, member.identity)
        if found:
            actual = digest(path, found, member.by_name)
        else:
            with path.open("rb") as stream:
                actual = member.named(hashlib.file_digest(stream, member.hasher).hexdigest())
    except (FileNotFoundError, NotADirectoryError):
        return Check("missing", size, "nothing" if member.folder else "no file")
    except OSError as error:
        return Check("corrupted", size, f"cannot be read: {error.strerror}")
    if actual != member.identity:
        _verified.discard(seen)
        return Check("corrupted", member.identity, actual)
    _verified.add(seen)
    return Check("ok", member.identity, actual)


def mistake(name: str, member: Member, size: int, digest: str | None) -> str:
    """Say what is wrong with bytes that have arrived; empty if nothing is.

    Parameters
    ----------
    name : str
    member : Member
        What they must be.
    size : int
    digest : str or None
        Of :meth:`Member.hasher`, in hexadecimal; None where it is not known yet.
    """
    if member.size is not None and size != member.size:
        state = f"truncated: {size} bytes" if size < member.size else "corrupted: more bytes"
        return f"{name} is {state}, expected {member.size} bytes"
    if not size or size > member.limit:
        return f"{name} has {size} bytes, expected about {member.expected_size}"
    if digest is None or not member.pinned or member.named(digest) == member.identity:
        return ""
    kind = "sha256 " if member.sha256 else ""
    return f"{name} is corrupted: {kind}{member.named(digest)}, expected {member.identity}"
