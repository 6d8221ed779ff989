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
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from suite.data.errors import SourceError

Members = Iterator[tuple[str, BinaryIO]]

BROKEN = (EOFError, OSError, RuntimeError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
"""What the readers of this module raise on a broken archive, when opening and when reading."""

_DECOMPRESS: Mapping[str, Callable[[IO[bytes]], IO[bytes]]] = {
    ".gz": lambda stream: cast(IO[bytes], gzip.GzipFile(fileobj=stream)),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}


@contextmanager
def unpacked(package: Path, wanted: Mapping[str, str]) -> Iterator[Members]:
    """Open a package file and iterate over its wanted members.

    Parameters
    ----------
    package : Path
        A wheel, zip, Debian package or tar, by the ending of its name; anything else is a file of its own.
    wanted : mapping of member to its path inside
        ``"."`` is the package file itself. What ends in .gz, .bz2 or .xz is decompressed unless the member ends so too.

    Yields
    ------
    iterator of (member, stream)
        In the order that is cheapest to read. Each stream is valid until the next one; members that the package does
        not hold are left out.

    Raises
    ------
    SourceError
        If the package cannot be opened, or a wanted path is not a plain file in it.
    """
    reader = next((reader for endings, reader in _READERS if package.name.endswith(endings)), None)
    whole = {member: inside for member, inside in wanted.items() if inside == "." or reader is None}
    packed = {member: inside for member, inside in wanted.items() if member not in whole}
    with package.open("rb") as stream:
        if whole:
            yield ((member, _plain(stream, package.name, member)) for member in whole if not stream.seek(0))
        elif reader is not None:
            try:
                with reader(package, packed) as members:
                    yield members
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


def _plain(stream: IO[bytes], path: str, member: str) -> BinaryIO:
    for ending, decompress in _DECOMPRESS.items():
        if path.endswith(ending) and not member.endswith(ending):
            return cast(BinaryIO, decompress(stream))
    return cast(BinaryIO, stream)


@contextmanager
def _zip(package: Path, wanted: Mapping[str, str]) -> Iterator[Members]:
    with zipfile.ZipFile(package) as archive:
        names = set(archive.namelist())
        yield ((name, _plain(archive.open(path), path, name)) for name, path in wanted.items() if path in names)


@contextmanager
def _tar(package: Path, wanted: Mapping[str, str]) -> Iterator[Members]:
    with tarfile.open(package, "r|*") as archive:
        yield _tar_members(archive, wanted)


@contextmanager
def _debian(package: Path, wanted: Mapping[str, str]) -> Iterator[Members]:
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise SourceError(f"dpkg-deb, which unpacks {package.name}, cannot be run: {error.strerror}") from error
    with process, tarfile.open(fileobj=process.stdout, mode="r|") as archive:
        yield _tar_members(archive, wanted)


def _tar_members(archive: tarfile.TarFile, wanted: Mapping[str, str]) -> Members:
    members = {path: member for member, path in wanted.items()}
    for entry in archive:
        path = entry.name.removeprefix("./")
        if path in members:
            stream = archive.extractfile(entry) if entry.isreg() else None
            if stream is None:
                raise SourceError(f"{path} is not a plain file in the archive")
            yield members[path], _plain(stream, path, members[path])


_READERS = (
    ((".whl", ".zip"), _zip),
    ((".deb",), _debian),
    ((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), _tar),
)
