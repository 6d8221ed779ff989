"""Data sets that are a folder of files: how such a folder is told from another, and made."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from suite.data.dataset import Member
from suite.data.errors import SourceError


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes
    ----------
    signature : str
        Of names, sizes and modification times: it changes whenever a file does.
    size : int
        Bytes of all files.
    files : tuple of (str, int)
        Paths below the folder, with ``/``, in order, and their sizes.
    """

    signature: str
    size: int
    files: tuple[tuple[str, int], ...]


def listing(folder: Path) -> Listing:
    """List the plain files of a folder and of those below it; links are followed, hidden names are left out.

    Raises
    ------
    OSError
        If a folder cannot be read.
    """
    found = sorted(_walk(str(folder), ""))
    signature = hashlib.sha256()
    for path, size, modified in found:
        signature.update(f"{size} {modified} {path}\n".encode(errors="surrogateescape"))
    files = tuple((path, size) for path, size, _ in found)
    return Listing(signature.hexdigest(), sum(size for _, size in files), files)


def digest(folder: Path, found: Listing, by_name: bool) -> str:
    """Return the sha256 of a folder: of a line for each file, in order of their paths.

    A line is what ``sha256sum`` prints, the file's sha256, two spaces and its path below the folder; with `by_name` its
    size, two spaces and its path.

    Parameters
    ----------
    folder : Path
    found : Listing
        Of the folder.
    by_name : bool
        Read no file.
    """
    total = hashlib.sha256()
    for path, size in found.files:
        if by_name:
            first = str(size)
        else:
            with (folder / path).open("rb") as stream:
                first = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{first}  {path}\n".encode(errors="surrogateescape"))
    return total.hexdigest()


def sum_of(folder: Path, member: Member) -> tuple[str, int]:
    """Return the sha256 and the size of a folder, as its member counts them."""
    found = listing(folder)
    return digest(folder, found, member.by_name), found.size


def place_below(folder: Path, path: str) -> Path:
    """Return where a file of an archive goes below a folder that is ours.

    Raises
    ------
    SourceError
        If its path would lead out of the folder.
    """
    parts = path.split("/")
    if not all(part not in ("", ".", "..") and not set(part) & {"\\", "\0"} for part in parts):
        raise SourceError(f"{path!r} in the archive is no plain relative path")
    return folder.joinpath(*parts)


def _walk(folder: str, below: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, f"{below}{entry.name}/")
                continue
            found = entry.stat()
            if stat.S_ISREG(found.st_mode):
                yield f"{below}{entry.name}", found.st_size, found.st_mtime_ns
