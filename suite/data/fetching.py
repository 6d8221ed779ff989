"""Fetch one data set into the cache: every source in order, nothing taken before its checksum holds."""

from __future__ import annotations

import contextlib
import errno
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote

from suite.data import mirrors
from suite.data.checks import check
from suite.data.dataset import Dataset, Member, Package, Source
from suite.data.download import Download
from suite.data.errors import AbsentError, SourceError, writing
from suite.data.installing import Installer, pieces_of_folder
from suite.data.sources import download, opened, place_in
from suite.data.unpack import Piece, is_archive, plain, unpacked
from suite.problems import DataError
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

Tried = Callable[[str, Callable[[], object]], bool]
"""Given a place of a mirror and a step that takes what lies there, notes why it fails; whether it has not."""


@dataclass
class Fetch:
    """Fetches one data set.

    Parameters
    ----------
    dataset : Dataset
    root : Path
        The cache folder.
    mirror : str or None
        Folder or URL with ``<mirror>/<dataset>/<member>``, or with package files; see :mod:`suite.data.mirrors`.
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
    _cache: Installer = field(init=False)

    def __post_init__(self) -> None:
        self._cache = Installer(self.dataset, self.root, self._tell)

    def run(self) -> None:
        """Make every member present and right.

        Raises
        ------
        DataError
            If no source delivers, with what each of them said; or if the cache cannot be written.
        """
        if self._cache.wanted():
            with self._lock():
                self._cache.adopt()
                for label, attempt in self._attempts():
                    if not self._cache.wanted():
                        break
                    try:
                        attempt(label)
                    except SourceError as error:
                        self._fail(label, str(error))
                if self._cache.wanted():
                    raise DataError(self._verdict())
                shutil.rmtree(self._scratch, ignore_errors=True)
        self._tell("cache", "done", self.dataset.size, self.dataset.size)

    @property
    def _scratch(self) -> Path:
        return self._cache.scratch

    def _attempts(self) -> Iterator[tuple[str, Callable[[str], None]]]:
        for source in self.dataset.sources:
            if source.package and self._package(source.package).exists():
                yield "cache", partial(self._unpack, source)
        if self.mirror:
            yield f"mirror {self.mirror}", partial(self._from_mirror, self.mirror)
        for source in self.dataset.sources:
            if self.offline and source.network:
                self._failures.append(f"{source}: not tried, offline")
            elif not self._cache.wanted().keys() & source.members.keys():
                continue
            elif source.kind == "url":
                yield str(source), partial(self._from_place, source, source.spec)
            else:
                yield str(source), partial(self._from_client, source)

    def _from_mirror(self, mirror: str, label: str) -> None:
        problems: list[str] = []
        absent: list[str] = []

        def tried(place: str, step: Callable[[], object]) -> bool:
            try:
                step()
                return True
            except AbsentError:
                absent.append(place)
            except SourceError as error:
                problems.append(str(error))
            return False

        for name, member in self._cache.wanted().items():
            place = place_in(mirror, self.dataset.name, name.removesuffix("/"))
            tried(f"{self.dataset.name}/{name}", partial(self._member_from, place, name, member, label))
        for source in self.dataset.sources:
            for folder in ((self.dataset.name,), ()):
                if source.package is None or not self._cache.wanted().keys() & source.members.keys():
                    continue
                # config.json beside data sets may be that of anything
                if folder or source.package.content.pinned or is_archive(source.package.file):
                    parts = (*folder, source.package.file)
                    tried("/".join(parts), partial(self._from_place, source, place_in(mirror, *parts), label))
        if self._cache.wanted():
            tried(mirror, partial(self._search, mirror, label, tried, problems))
        if self._cache.wanted():
            lacking = ", ".join(dict.fromkeys(absent))
            raise SourceError("; ".join([*problems, f"it holds no {lacking}"] if lacking else problems))

    def _member_from(self, place: str, name: str, member: Member, label: str) -> None:
        """Take a member from its place in a mirror."""
        if member.folder:
            if "://" in place or not Path(place).is_dir():
                raise AbsentError(place)
            self._take(label, pieces_of_folder(Path(place), name))
        elif "://" in place:
            target = self._scratch / quote(name, safe="")
            self._download(place, target, member, label)
            with target.open("rb") as stream:
                self._take(label, iter([Piece(name, "", stream)]))
            target.unlink()
        else:
            with opened(place) as stream:
                self._take(label, iter([Piece(name, "", plain(stream, place, name))]))

    def _search(self, mirror: str, label: str, tried: Tried, problems: list[str]) -> None:
        """Look through all of a mirror for what has not been found at its place."""
        wanted = self._cache.wanted()
        if "://" in mirror:
            index = mirrors.listed(mirror)
            for name, member in wanted.items():
                for path in mirrors.in_index(index, name, member):
                    place = place_in(mirror, *path.split("/"))
                    if tried(path, partial(self._listed, place, path, index[path], name, label)):
                        break
            return
        found = mirrors.files_of(Path(mirror).expanduser())
        unclear = set()
        for name, member in wanted.items():
            files = mirrors.in_folder(found, self.dataset.name, name, member)
            if len(files) > 1 and not member.pinned:
                unclear.add(name)  # nor is one in an archive the right one
                problems.append(f"it has several files {name}: put the right one at {self.dataset.name}/{name} in it")
                continue
            for one in files:
                if tried(one.below, partial(self._member_from, str(one.path), name, member, label)):
                    break
        for one in found:
            wanted = {name: member for name, member in self._cache.wanted().items() if name not in unclear}
            if not wanted:
                return
            if is_archive(one.below):
                tried(one.below, partial(self._from_archive, one, wanted, label))

    def _from_archive(self, archive: mirrors.Found, wanted: Mapping[str, Member], label: str) -> None:
        with mirrors.inside(archive, wanted) as pieces:
            self._take(label, pieces)

    def _listed(self, place: str, path: str, sha256: str, name: str, label: str) -> None:
        """Take a member from where the index of a mirror lists it, perhaps compressed."""
        target = self._scratch / quote(path, safe="")
        about = max(self.dataset.members[name].expected_size, 1)
        self._download(place, target, Member(sha256, about=about), label)
        with target.open("rb") as stream:
            self._take(label, iter([Piece(name, "", plain(stream, path, name))]))
        target.unlink()

    def _from_place(self, source: Source, place: str, label: str) -> None:
        assert source.package is not None
        package = source.package
        target = self._package(package)
        if "://" in place:
            self._download(place, target, package.content, label)
        else:
            with opened(place) as stream:
                self._tell(label, "downloading", 0, package.content.expected_size, package.file)
                self._cache.save(target, stream, package.content, label, "downloading")
        self._unpack(source, label)

    def _download(self, url: str, target: Path, expected: Member, label: str) -> None:
        def told(done: int, total: int | None) -> None:
            self._tell(label, "downloading", done, expected.size if total is None else total, target.name)

        told(0, expected.expected_size)
        Download(url, target, expected, told).run()

    def _from_client(self, source: Source, label: str) -> None:
        file, total = (source.package.file, source.package.size) if source.package else ("", None)
        with self._cache.temporary() as folder:
            self._tell(label, "downloading", 0, total, file)
            with writing(folder):
                self._client(source, folder, lambda done: self._tell(label, "downloading", done, total, file))
            if source.package is None:
                self._collect(source, folder, label)
                return
            package = folder / file
            found = check(package, source.package.content)
            if found.state not in ("ok", "unrecorded"):
                raise SourceError(f"{file} is {found.state}: {found.actual}, expected {found.expected}")
            with writing(self._scratch):
                package.replace(self._package(source.package))
        self._unpack(source, label)

    def _client(self, source: Source, folder: Path, on_bytes: Callable[[int], None]) -> None:
        try:
            download(source, folder, on_bytes)
        except SourceError as error:
            if re.search("No space left on device|enough free space", str(error)):
                raise OSError(errno.ENOSPC, "No space left on device") from error
            raise

    def _collect(self, source: Source, folder: Path, label: str) -> None:
        """Take the members that a downloader has unpacked in `folder`."""
        problems = []
        for name in self._cache.wanted().keys() & source.members.keys():
            path = (folder / source.members[name]).resolve()
            if path.is_file() and path.is_relative_to(folder.resolve()):
                with path.open("rb") as stream:
                    problems += self._cache.take(label, iter([Piece(name, "", stream)]))[1]
            else:
                problems.append(f"it did not deliver {source.members[name]}")
        if problems:
            raise SourceError("; ".join(problems))

    def _unpack(self, source: Source, label: str) -> None:
        assert source.package is not None
        package = self._package(source.package)
        wanted = {name: source.members[name] for name in self._cache.wanted() if name in source.members}
        with unpacked(package, wanted) as pieces:
            found, problems = self._cache.take(label, pieces)
        problems += [f"{package.name} holds no {wanted[name]}" for name in wanted if name not in found]
        if problems:
            if not source.package.content.pinned:  # the next time it may be another
                package.unlink(missing_ok=True)
            raise SourceError("; ".join(problems))

    def _take(self, label: str, pieces: Iterator[Piece]) -> None:
        _, problems = self._cache.take(label, pieces)
        if problems:
            raise SourceError("; ".join(problems))

    def _package(self, package: Package) -> Path:
        return self._scratch / package.file

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
        lacking = ", ".join(self._cache.wanted())
        lines = [f"{self.dataset.name} cannot be fetched: {folder} lacks {lacking}", *self._failures]
        if not self.dataset.sources:
            lines.append(f"no program may download it: see {self.dataset.origin}")
        advice = "leave --offline out" if self.offline else "check the network and try again"
        return "\n  ".join(lines) + (
            f"\nWhat to do: {advice}, or put the files into {folder}, or name a folder or URL that holds them "
            f"(as {self.dataset.name}/<file>) with --mirror or SUITE_DATA_MIRROR"
        )
