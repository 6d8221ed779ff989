"""Members out of package files, as streams: nothing is extracted by a path that an archive chose."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, cast

from suite.data.errors import SourceError


@dataclass(frozen=True)
class Entry:
    """One file of an archive: its path, its size as it lies there, and how to read it, at once or never."""

    path: str
    size: int
    open: Callable[[], BinaryIO | None]


@dataclass(frozen=True)
class Piece:
    """What has been found of a member.

    Attributes
    ----------
    member : str
    below : str
        Of a member that is a folder: the path of this file below it; else empty.
    stream : binary file
        To be read before the next piece is asked for.
    """

    member: str
    below: str
    stream: BinaryIO


Entries = Iterator[Entry]
Pieces = Iterator[Piece]
Choose = Callable[[Entry], tuple[str, str] | None]
"""Says which member an entry belongs to, and its path below it if that is a folder."""

BROKEN = (EOFError, OSError, RuntimeError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
"""What the readers of this module raise on a broken archive, when opening and when reading."""

COMPRESSED: Mapping[str, Callable[[IO[bytes]], IO[bytes]]] = {
    ".gz": lambda stream: cast(IO[bytes], gzip.GzipFile(fileobj=stream)),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}


def is_archive(name: str) -> bool:
    """Whether a file of this name is an archive of several."""
    return _reader(name) is not None


@contextmanager
def unpacked(package: Path, wanted: Mapping[str, str]) -> Iterator[Pieces]:
    """Open a package file and iterate over its wanted members.

    Parameters
    ----------
    package : Path
        A wheel, zip, Debian package or tar, by the ending of its name; anything else is a file of its own.
    wanted : mapping of member to its path inside
        ``"."`` is the package file itself. What ends in .gz, .bz2 or .xz is decompressed unless the member ends so too.
        A path that ends in ``/`` is a folder; ``./`` all that there is.

    Yields
    ------
    iterator of Piece
        In the order that is cheapest to read; members that the package does not hold are left out.

    Raises
    ------
    SourceError
        If the package cannot be opened, or a wanted path is not a plain file in it.
    """
    whole = {member: inside for member, inside in wanted.items() if inside == "." or not is_archive(package.name)}
    files = {inside: member for member, inside in wanted.items() if member not in whole and inside[-1] != "/"}
    folders = {inside.removeprefix("./"): member for member, inside in wanted.items() if inside[-1] == "/"}

    def choose(entry: Entry) -> tuple[str, str] | None:
        if entry.path in files:
            return files[entry.path], ""
        found = next((inside for inside in folders if entry.path.startswith(inside)), None)
        return None if found is None else (folders[found], entry.path[len(found) :])

    if whole:
        with package.open("rb") as stream:
            yield (Piece(member, "", plain(stream, package.name, member)) for member in whole if not stream.seek(0))
    else:
        with chosen(package, choose) as pieces:
            yield pieces


@contextmanager
def chosen(package: Path, choose: Choose) -> Iterator[Pieces]:
    """Open an archive and iterate over those of its files that are chosen.

    Raises
    ------
    SourceError
        If the archive cannot be opened, or one that is chosen is not a plain file in it.
    """
    reader = _reader(package.name)
    assert reader is not None
    try:
        with reader(package) as entries:
            yield _pieces(entries, choose)
    except BROKEN as error:
        raise SourceError(f"{package.name} cannot be unpacked: {error}") from error


def chunks(stream: IO[bytes], limit: int) -> Iterator[bytes]:
    """Read a stream of ``limit`` bytes; of a longer one, one byte more.

    Raises
    ------
    SourceError
        If the archive or the connection breaks.
    """
    left = limit + 1
    while left > 0:
        try:
            chunk = stream.read(min(1 << 20, left))
        except BROKEN as error:
            raise SourceError(f"reading breaks off: {error}") from error
        if not chunk:
            return
        left -= len(chunk)
        yield chunk


def plain(stream: IO[bytes], path: str, member: str) -> BinaryIO:
    """Return a stream of a member's own bytes, which lie under a name that may say that they are compressed."""
    for ending, decompress in COMPRESSED.items():
        if path.endswith(ending) and not member.endswith(ending):
            return cast(BinaryIO, decompress(stream))
    return cast(BinaryIO, stream)


def _pieces(entries: Entries, choose: Choose) -> Pieces:
    for entry in entries:
        found = choose(entry)
        if found is None:
            continue
        member, below = found
        stream = entry.open()
        if stream is None:
            raise SourceError(f"{entry.path} is not a plain file in the archive")
        yield Piece(member, below, stream if below else plain(stream, entry.path, member))


@contextmanager
def _zip(package: Path) -> Iterator[Entries]:
    with zipfile.ZipFile(package) as archive:
        files = [found for found in archive.infolist() if not found.is_dir()]
        yield (Entry(one.filename.removeprefix("./"), one.file_size, partial(_zip_file, archive, one)) for one in files)


def _zip_file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> BinaryIO:
    return cast(BinaryIO, archive.open(entry))


@contextmanager
def _tar(package: Path) -> Iterator[Entries]:
    with tarfile.open(package, "r|*") as archive:
        yield _tar_entries(archive)


@contextmanager
def _debian(package: Path) -> Iterator[Entries]:
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise SourceError(f"dpkg-deb, which unpacks {package.name}, cannot be run: {error.strerror}") from error
    with process, tarfile.open(fileobj=process.stdout, mode="r|") as archive:
        yield _tar_entries(archive)


def _tar_entries(archive: tarfile.TarFile) -> Entries:
    for found in archive:
        if not found.isdir():
            yield Entry(found.name.removeprefix("./"), found.size, partial(_tar_file, archive, found))


def _tar_file(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> BinaryIO | None:
    return cast(BinaryIO, archive.extractfile(entry)) if entry.isreg() else None


_READERS = (
    ((".whl", ".zip"), _zip),
    ((".deb",), _debian),
    ((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), _tar),
)


def _reader(name: str) -> Callable[[Path], AbstractContextManager[Entries]] | None:
    return next((reader for endings, reader in _READERS if name.endswith(endings)), None)
