"""Fetch one data set into the cache: every source in order, nothing taken before its checksum holds."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from suite.data.checks import check
from suite.data.errors import AbsentError, DataError, SourceError, writing
from suite.data.schema import Dataset, Member, Source
from suite.data.sources import download, opened, place_in
from suite.data.unpack import chunks, unpacked
from suite.records.files import held


@dataclass(frozen=True)
class Progress:
    """What a fetch is doing.

    Attributes
    ----------
    dataset : str
    source : str
        ``cache``, ``mirror ...`` or the source, e.g. ``pip recbole==1.2.1``.
    state : str
        ``waiting`` (for another process that fetches the same), ``downloading``, ``unpacking``, ``failed`` (the next
        source follows), ``done``.
    bytes_done : int
    bytes_total : int or None
        Of the file; None where the source does not say.
    file : str
        What is downloaded or unpacked.
    message : str
        Why it failed.
    """

    dataset: str
    source: str
    state: str
    bytes_done: int = 0
    bytes_total: int | None = None
    file: str = ""
    message: str = ""


OnProgress = Callable[[Progress], None]


@dataclass
class Fetch:
    """Fetches one data set.

    Parameters
    ----------
    dataset : Dataset
    root : Path
        The cache folder.
    mirror : str or None
        Folder or URL with ``<mirror>/<dataset>/<member>``, or with package files.
    offline : bool
        Ask only the cache and the mirror.
    on_progress : callable (Progress) -> None
    """

    dataset: Dataset
    root: Path
    mirror: str | None
    offline: bool
    on_progress: OnProgress
    _failures: list[str] = field(default_factory=list, init=False)

    @property
    def _scratch(self) -> Path:
        return self.root / ".fetch" / self.dataset.name

    def run(self) -> None:
        """Make every member present and right.

        Raises
        ------
        DataError
            If no source delivers, with what each of them said; or if the cache cannot be written.
        """
        if not self._wanted():
            self._tell("cache", "done", self.dataset.size, self.dataset.size)
            return
        with self._lock():
            for label, attempt in self._attempts():
                if not self._wanted():
                    break
                try:
                    attempt(label)
                except SourceError as error:
                    self._fail(label, str(error))
            if self._wanted():
                raise DataError(self._verdict())
            shutil.rmtree(self._scratch, ignore_errors=True)
        self._tell("cache", "done", self.dataset.size, self.dataset.size)

    def _attempts(self) -> Iterator[tuple[str, Callable[[str], None]]]:
        for source in self.dataset.sources:
            if source.package and self._package(source).exists():
                yield "cache", partial(self._unpack, source)
        if self.mirror:
            yield f"mirror {self.mirror}", partial(self._from_mirror, self.mirror)
        for source in self.dataset.sources:
            if self.offline and source.network:
                self._failures.append(f"{source}: not tried, offline")
            elif source.kind == "url":
                yield str(source), partial(self._from_place, source, source.spec)
            else:
                yield str(source), partial(self._from_client, source)

    def _from_mirror(self, mirror: str, label: str) -> None:
        problems, absent = [], []
        for member in self._wanted():
            try:
                with opened(place_in(mirror, self.dataset.name, member)) as stream:
                    self._install(label, member, stream)
            except AbsentError:
                absent.append(f"{self.dataset.name}/{member}")
            except SourceError as error:
                problems.append(str(error))
        for source in self.dataset.sources:
            for folder in ((self.dataset.name,), ()):
                if not self._wanted():
                    return
                if source.package is None:
                    continue
                try:
                    self._from_place(source, place_in(mirror, *folder, source.package.file), label)
                except AbsentError:
                    absent.append("/".join([*folder, source.package.file]))
                except SourceError as error:
                    problems.append(str(error))
        if self._wanted():
            raise SourceError("; ".join([*problems, f"it holds no {', '.join(absent)}"] if absent else problems))

    def _from_place(self, source: Source, place: str, label: str) -> None:
        assert source.package is not None
        with opened(place) as stream:
            self._tell(label, "downloading", 0, source.package.size, source.package.file)
            target = self._package(source)
            self._save(target, stream, source.package.sha256, source.package.size, label, "downloading")
        self._unpack(source, label)

    def _from_client(self, source: Source, label: str) -> None:
        file, total = (source.package.file, source.package.size) if source.package else ("", None)
        with self._temporary() as folder:
            self._tell(label, "downloading", 0, total, file)
            with writing(folder):
                self._download(source, folder, lambda done: self._tell(label, "downloading", done, total, file))
            if source.package is None:
                self._collect(source, folder, label)
                return
            package = folder / file
            found = check(package, Member(source.package.sha256, source.package.size))
            if found.state != "ok":
                raise SourceError(f"{file} is {found.state}: {found.actual}, expected {found.expected}")
            with writing(self._scratch):
                package.replace(self._package(source))
        self._unpack(source, label)

    def _download(self, source: Source, folder: Path, on_bytes: Callable[[int], None]) -> None:
        try:
            download(source, folder, on_bytes)
        except SourceError as error:
            if re.search("No space left on device|enough free space", str(error)):
                raise OSError(errno.ENOSPC, "No space left on device") from error
            raise

    def _collect(self, source: Source, folder: Path, label: str) -> None:
        """Take the members that a downloader has unpacked in `folder`."""
        problems = []
        for member in self._wanted():
            if member in source.members:
                path = (folder / source.members[member]).resolve()
                if path.is_file() and path.is_relative_to(folder.resolve()):
                    with path.open("rb") as stream:
                        problems += self._try(label, member, stream)
                else:
                    problems.append(f"it did not deliver {source.members[member]}")
        if problems:
            raise SourceError("; ".join(problems))

    def _unpack(self, source: Source, label: str) -> None:
        package = self._package(source)
        wanted = {member: source.members[member] for member in self._wanted() if member in source.members}
        problems = []
        found = set()
        with unpacked(package, wanted) as members:
            for member, stream in members:
                found.add(member)
                problems += self._try(label, member, stream)
        problems += [f"{package.name} holds no {wanted[member]}" for member in wanted if member not in found]
        if problems:
            raise SourceError("; ".join(problems))

    def _try(self, label: str, member: str, stream: BinaryIO) -> list[str]:
        try:
            self._install(label, member, stream)
        except SourceError as error:
            return [str(error)]
        return []

    def _install(self, label: str, member: str, stream: BinaryIO) -> None:
        expected = self.dataset.members[member]
        target = self.root / self.dataset.name / member
        self._save(target, stream, expected.sha256, expected.size, label, "unpacking")

    def _save(self, target: Path, stream: BinaryIO, sha256: str, size: int, label: str, state: str) -> None:
        """Write a stream to `target`, which appears only when it is whole and right."""
        with self._temporary() as folder:
            part = folder / "part"
            digest, done = hashlib.sha256(), 0
            with writing(target), part.open("wb") as file:
                for chunk in chunks(stream, size):
                    file.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    self._tell(label, state, done, size, target.name)
                file.flush()
                os.fsync(file.fileno())
            if done != size:
                state = f"truncated: {done} bytes" if done < size else "corrupted: more bytes"
                raise SourceError(f"{target.name} is {state}, expected {size} bytes")
            if digest.hexdigest() != sha256:
                raise SourceError(f"{target.name} is corrupted: sha256 {digest.hexdigest()}, expected {sha256}")
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                part.replace(target)
                _sync(target.parent)

    def _wanted(self) -> list[str]:
        folder = self.root / self.dataset.name
        return [name for name, member in self.dataset.members.items() if check(folder / name, member).state != "ok"]

    def _package(self, source: Source) -> Path:
        assert source.package is not None
        return self._scratch / source.package.file

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        with writing(self._scratch):
            folder = Path(tempfile.mkdtemp(prefix="part-", dir=self._scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        lock = self._scratch.with_suffix(".lock")
        with contextlib.ExitStack() as stack:
            with writing(self._scratch):
                if not stack.enter_context(held(lock)):
                    self._tell("cache", "waiting")
                    stack.enter_context(held(lock, math.inf))
                # The process waited for removes the folder when it is done.
                self._scratch.mkdir(parents=True, exist_ok=True)
            for leftover in self._scratch.glob("part-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            yield

    def _fail(self, label: str, message: str) -> None:
        self._failures.append(f"{label}: {message}")
        self.on_progress(Progress(self.dataset.name, label, "failed", message=message))

    def _tell(self, label: str, state: str, done: int = 0, total: int | None = None, file: str = "") -> None:
        done = done if total is None else min(done, total)
        self.on_progress(Progress(self.dataset.name, label, state, done, total, file))

    def _verdict(self) -> str:
        folder = self.root / self.dataset.name
        lines = [f"{self.dataset.name} cannot be fetched: {folder} lacks {', '.join(self._wanted())}", *self._failures]
        if not self.dataset.sources:
            lines.append(f"no program may download it: see {self.dataset.origin}")
        advice = "leave --offline out" if self.offline else "check the network and try again"
        return "\n  ".join(lines) + (
            f"\nWhat to do: {advice}, or put the files into {folder}, or name a folder or URL that holds them "
            f"(as {self.dataset.name}/<file>) with --mirror or SUITE_DATA_MIRROR"
        )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
