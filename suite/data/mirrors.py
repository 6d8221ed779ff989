"""What a mirror holds, however it is packed there.

A mirror is a folder or a URL. The places that are looked at first are those of a cache, ``<data set>/<member>``, and of
the package files that a catalogue names. A folder is then searched: a member that is pinned is known by its checksum,
whatever its name; one that is not, by its name, which is that of the member, alone or with ``.gz``, ``.bz2`` or
``.xz``. It may lie anywhere in the folder, or in an archive there. A URL cannot be searched; what its ``SHA256SUMS``
lists, if it has that, is found in the same two ways, but for what lies in archives.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from suite.data.checks import check
from suite.data.dataset import Member
from suite.data.errors import AbsentError, SourceError
from suite.data.sources import opened, place_in
from suite.data.unpack import COMPRESSED, Entry, Pieces, chosen, is_archive

MOST_FILES = 100_000
"""A folder with more is too large to be searched."""

INDEX = "SHA256SUMS"


@dataclass(frozen=True)
class Found:
    """A file of a folder: its path, that path below the folder with ``/``, its size, and when it was changed (ns)."""

    path: Path
    below: str
    size: int
    changed: int


def files_of(folder: Path) -> list[Found]:
    """List the files of a mirror, those first that lie highest, and archives last, the smallest first.

    Raises
    ------
    SourceError
        If there are too many, or a folder cannot be read.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file():
                stat = path.stat()
                found.append(Found(path, path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns))
        if len(found) > MOST_FILES:
            raise SourceError(f"{folder} has more than {MOST_FILES} files: name the folder in it that holds the data")

    def order(one: Found) -> tuple[bool, int, str]:
        return (True, one.size, one.below) if is_archive(one.below) else (False, one.below.count("/"), one.below)

    return sorted(found, key=order)


def in_folder(found: list[Found], dataset: str, name: str, member: Member) -> list[Found]:
    """Return the files of a mirror that may be a member of a data set: by its checksum, else by its name.

    Several that are not pinned, none of which alone lies in a folder of the data set's name, leave open which it is.
    """
    if member.folder:
        return []
    same = [one for one in found if member.pinned and one.size == member.size]
    right = [one for one in same if check(one.path, member).state == "ok"]
    named = [one for one in found if not is_archive(one.below) and has_name(one.below, name)]
    of_dataset = [one for one in named if dataset in one.below.split("/")]
    return right or (of_dataset if len(of_dataset) == 1 and not member.pinned else named)


@contextmanager
def inside(archive: Found, wanted: Mapping[str, Member]) -> Iterator[Pieces]:
    """Open an archive of a mirror and iterate over the files in it that may be members.

    Raises
    ------
    SourceError
        If it is broken.
    """
    sizes = {member.size: name for name, member in wanted.items() if member.pinned and not member.folder}
    names = [name for name, member in wanted.items() if not member.folder]
    folders = [name for name, member in wanted.items() if member.folder]

    def choose(entry: Entry) -> tuple[str, str] | None:
        for name in folders:
            at = f"/{entry.path}".find(f"/{name}")
            if at >= 0:
                return name, entry.path[at + len(name) :]
        found = next((name for name in names if has_name(entry.path, name)), None)
        found = sizes.get(entry.size) if found is None else found
        return None if found is None else (found, "")

    if any(choose(entry) for entry in _contents(archive)):
        with chosen(archive.path, choose) as pieces:
            yield pieces
    else:
        yield iter(())


@cache
def _contents(archive: Found) -> tuple[Entry, ...]:
    """List an archive, once a process: to find that it holds nothing, all of it has to be decompressed."""
    found: list[Entry] = []

    def note(entry: Entry) -> None:
        found.append(Entry(entry.path, entry.size, lambda: None))

    with chosen(archive.path, note) as pieces:
        for _ in pieces:
            pass
    return tuple(found)


def has_name(path: str, member: str) -> bool:
    """Whether a path ends in a member's name, which may say there that it is compressed."""
    ends = [member, *(member + ending for ending in COMPRESSED)]
    return any(path == end or path.endswith(f"/{end}") for end in ends)


def listed(mirror: str) -> dict[str, str]:
    """Return what the ``SHA256SUMS`` of a mirror lists: the sha256 of each path. Empty where there is none.

    Raises
    ------
    SourceError
        If it does not answer.
    """
    try:
        with opened(place_in(mirror, INDEX)) as stream:
            text = stream.read(1 << 24).decode(errors="replace")
    except AbsentError:
        return {}
    lines = (re.fullmatch(r"([0-9a-f]{64}) [ *](?:\./)?(.+)", line) for line in text.splitlines())
    return {line[2]: line[1] for line in lines if line and ".." not in line[2].split("/")}


def in_index(index: Mapping[str, str], name: str, member: Member) -> list[str]:
    """Return the paths of an index that may be a member: by its checksum, else by its name."""
    if member.folder:
        return []
    right = [path for path, sha256 in index.items() if sha256 == member.sha256]
    return right or [path for path in index if has_name(path, name)]
