"""Members put into the cache: each appears there only when it is whole and right."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from suite.data.checks import check, mistake
from suite.data.dataset import Dataset, Member
from suite.data.errors import SourceError, writing
from suite.data.folders import listing, place_below, sum_of
from suite.data.recorded import Recorded
from suite.data.unpack import Piece, chunks

Tell = Callable[[str, str, int, int | None, str], None]
"""Told a source, a state, the bytes done and to be done, and what file it is about."""


@dataclass
class Installer:
    """Puts the members of one data set into the cache.

    Parameters
    ----------
    dataset : Dataset
    root : Path
        The cache folder.
    tell : callable
    """

    dataset: Dataset
    root: Path
    tell: Tell
    recorded: Recorded = field(init=False)

    def __post_init__(self) -> None:
        self.recorded = Recorded(self.root)

    @property
    def scratch(self) -> Path:
        """Where files lie until they are whole."""
        return self.root / ".fetch" / self.dataset.name

    def path(self, member: str) -> Path:
        """Return where a member lies in the cache."""
        return self.root / self.dataset.name / member

    def wanted(self) -> dict[str, Member]:
        """Return the members that are missing or not what they should be, with what they should be."""
        members = self.recorded.members(self.dataset)
        return {name: member for name, member in members.items() if check(self.path(name), member).state != "ok"}

    def adopt(self) -> None:
        """Record what lies in the cache and is not pinned: somebody has put it there."""
        for name, member in self.recorded.members(self.dataset).items():
            path = self.path(name)
            if check(path, member).state == "unrecorded":
                sha256, size = sum_of(path, member) if member.folder else _sum_of_file(path)
                if size:
                    self.recorded.record(self.dataset.name, name, sha256, size, "the cache, by hand")

    def take(self, label: str, pieces: Iterable[Piece]) -> tuple[set[str], list[str]]:
        """Install what a source offers.

        Parameters
        ----------
        label : str
            The source.
        pieces : iterable of Piece

        Returns
        -------
        (set of str, list of str)
            The members that it had, and what was wrong with them.
        """
        wanted = self.wanted()
        seen: set[str] = set()
        problems: list[str] = []
        folders: dict[str, int] = {}

        def tried(step: Callable[[], object]) -> bool:
            try:
                step()
            except SourceError as error:
                problems.append(str(error))
                return False
            return True

        with self.temporary() as folder:
            for piece in pieces:
                seen.add(piece.member)
                member = wanted.get(piece.member)
                if member is None:
                    continue
                if not member.folder:
                    if tried(partial(self._file, label, piece, member)):
                        del wanted[piece.member]
                elif not tried(partial(self._add, label, folder, piece, member, folders)):
                    del wanted[piece.member]
                    folders.pop(piece.member, None)
            for name in folders:
                tried(partial(self._folder, label, folder, name, wanted[name]))
        return seen, problems

    def save(self, target: Path, stream: BinaryIO, expected: Member, label: str, state: str) -> tuple[str, int]:
        """Write a stream to `target`, which appears only when it is whole and right; returns its digest and size."""
        with self.temporary() as folder:
            digest, size = self._write(folder / "part", stream, expected, 0, label, state, target.name)
            problem = mistake(target.name, expected, size, digest)
            if problem:
                raise SourceError(problem)
            _move(folder / "part", target)
        return digest, size

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """Make a folder that is ours alone, and remove it."""
        with writing(self.scratch):
            folder = Path(tempfile.mkdtemp(prefix="part-", dir=self.scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _file(self, label: str, piece: Piece, member: Member) -> None:
        try:
            digest, size = self.save(self.path(piece.member), piece.stream, member, label, "unpacking")
        except SourceError as error:
            raise SourceError(f"{error}{self._history(piece.member)}") from error
        if not member.pinned:
            self.recorded.record(self.dataset.name, piece.member, digest, size, label)

    def _add(self, label: str, folder: Path, piece: Piece, member: Member, done: dict[str, int]) -> None:
        """Write one file of a folder beside the cache, and add to the bytes that its files have."""
        target = place_below(folder / piece.member, piece.below)
        if any(part.startswith(".") for part in piece.below.split("/")):
            return
        before = done.setdefault(piece.member, 0)
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        _, size = self._write(target, piece.stream, member, before, label, "unpacking", piece.member)
        done[piece.member] += size
        if done[piece.member] > member.limit:
            raise SourceError(f"{piece.member} has more than {member.limit} bytes")

    def _folder(self, label: str, folder: Path, name: str, member: Member) -> None:
        """Move a folder into the cache, if it is what it should be."""
        sha256, size = sum_of(folder / name, member)
        problem = mistake(name, member, size, sha256)
        if problem:
            raise SourceError(f"{problem}{self._history(name)}")
        target = self.path(name)
        with writing(target):
            if target.is_symlink() or target.exists():
                target.replace(folder / "replaced")
        _move(folder / name, target)
        if not member.pinned:
            self.recorded.record(self.dataset.name, name, sha256, size, label)

    def _write(
        self, target: Path, stream: BinaryIO, expected: Member, before: int, label: str, state: str, file: str
    ) -> tuple[str, int]:
        """Write a stream, and no more of it than there may be; returns its digest and its size."""
        digest, done = expected.hasher(), 0
        with writing(target), target.open("wb") as written:
            for chunk in chunks(stream, expected.limit - before):
                written.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                self.tell(label, state, before + done, expected.expected_size, file)
            if not expected.folder:
                written.flush()
                os.fsync(written.fileno())
        return digest.hexdigest(), done

    def _history(self, name: str) -> str:
        """Say what a member is held to that the catalogue does not pin."""
        entry = self.recorded.entries(self.dataset.name).get(name) if name in self.dataset.unpinned else None
        if entry is None:
            return ""
        return (
            f". That is what it was on {entry['on']}, from {entry['from']}: the publisher has changed it since, or "
            "somebody else answers. Name a mirror that has it as it was, or take it as it is now with "
            f"`python -m suite data fetch {self.dataset.name} --accept-changed`: runs with the old one are stale then"
        )


def pieces_of_folder(folder: Path, member: str) -> Iterator[Piece]:
    """Yield the files of a folder as pieces of a member.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    try:
        for path, _ in listing(folder).files:
            with (folder / path).open("rb") as stream:
                yield Piece(member, path, stream)
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror}") from error


def _sum_of_file(path: Path) -> tuple[str, int]:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size


def _move(source: Path, target: Path) -> None:
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
