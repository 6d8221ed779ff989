"""The cache: where verified data lies, and what state it is in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from suite.data.checks import check
from suite.data.dataset import Dataset, Member
from suite.data.fetching import Fetch, OnProgress
from suite.data.recorded import Recorded
from suite.data.schema import did_you_mean, load_catalogue
from suite.problems import DataError, InputError, Problem

CATALOGUE = Path(__file__).with_name("catalogue.yaml")


@dataclass(frozen=True)
class Finding:
    """What a check of one member found.

    Attributes
    ----------
    dataset, member : str
    path : Path
    state : str
        ``ok``, ``missing``, ``truncated``, ``corrupted``, or ``unrecorded``: not pinned, and not fetched by the suite.
    expected, actual : str
        Sizes where those differ, else the sha256.
    """

    dataset: str
    member: str
    path: Path
    state: str
    expected: str
    actual: str


@dataclass(frozen=True)
class Status:
    """Where a data set stands by the sizes of its files, which are not read.

    Attributes
    ----------
    dataset : Dataset
    path : Path
        Its folder in the cache.
    present : tuple of str
        Members that are there in full size; of folders, and of files of unknown size, those that are there.
    recorded : mapping of member to str
        The checksums, recorded when they were fetched, of members that the catalogue does not pin.
    """

    dataset: Dataset
    path: Path
    present: tuple[str, ...]
    recorded: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """``complete``, ``partial`` or ``missing``."""
        if len(self.present) == len(self.dataset.members):
            return "complete"
        return "partial" if self.present else "missing"

    @property
    def sums(self) -> str:
        """What its checksums are held to: ``pinned``, ``recorded``, or ``not recorded yet`` for what is not pinned."""
        unpinned = self.dataset.unpinned
        if not unpinned:
            return "pinned"
        state = "recorded" if all(name in self.recorded for name in unpinned) else "not recorded yet"
        pinned = len(self.dataset.members) - len(unpinned)
        return f"{pinned} pinned, {len(unpinned)} {state}" if pinned else state


def cache_dir() -> Path:
    """Return the cache folder: ``SUITE_DATA_DIR``, or ``~/.cache/contrastive-suite``.

    Raises
    ------
    InputError
        If there is no home folder to keep it in: a user without an entry in passwd, and ``HOME`` unset.
    """
    try:
        return Path(os.environ.get("SUITE_DATA_DIR") or "~/.cache/contrastive-suite").expanduser().absolute()
    except RuntimeError as error:
        message = "name a folder for data sets with it: this user has no home folder"
        raise InputError([Problem("environment", "SUITE_DATA_DIR", message)]) from error


@cache
def catalogue() -> Mapping[str, Dataset]:
    """Return the data sets that the suite knows, by name."""
    return load_catalogue(CATALOGUE)


@dataclass(frozen=True)
class Store:
    """Data sets and the cache they lie in.

    Parameters
    ----------
    catalogue : mapping of name to Dataset
        The suite's own when not given; :meth:`of` adds a user's.
    root : Path
        The cache folder, with one folder a data set.
    """

    catalogue: Mapping[str, Dataset] = field(default_factory=catalogue)
    root: Path = field(default_factory=cache_dir)

    @classmethod
    def of(cls, catalogues: Iterable[Path]) -> Store:
        """Return the suite's data sets and those of a user's catalogues.

        Raises
        ------
        CatalogueError
            With every problem of every catalogue.
        """
        files = tuple(catalogues)
        return cls(load_catalogue(CATALOGUE, *files)) if files else cls()

    def checksums(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return ``{data set: {member: sha256}}`` from the catalogue; no file is read.

        Where the publisher gives an md5 alone it is that, after ``md5:``. Of a member that is not pinned it is the word
        ``recorded``, whatever was recorded of it here: the same on a machine that has not fetched it yet. What was
        recorded is held to when the member is used, and goes into the record of a run (:meth:`recorded`).

        Raises
        ------
        DataError
            If a data set is unknown.
        """
        datasets = (self.dataset(name) for name in names)
        return {dataset.name: {name: m.identity for name, m in dataset.members.items()} for dataset in datasets}

    def recorded(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return ``{data set: {member: sha256}}`` of what is not pinned, as it was recorded at the first fetch.

        Data sets without such members, and members that have not been fetched yet, are left out.

        Raises
        ------
        DataError
            If a data set is unknown.
        """
        known = Recorded(self.root)
        found = {name: known.checksums(self.dataset(name)) for name in names}
        return {name: checksums for name, checksums in found.items() if checksums}

    def dataset(self, name: str) -> Dataset:
        """Return a data set by name.

        Raises
        ------
        DataError
            If it is unknown.
        """
        try:
            return self.catalogue[name]
        except KeyError:
            raise DataError(f"unknown data set {name!r}: {did_you_mean(name, self.catalogue)}") from None

    def locate(self, dataset: str, member: str) -> Path:
        """Return the local path of a member whose sha256 holds; it is read once a process, and again if it changes.

        Raises
        ------
        DataError
            If it is unknown, missing or not what the catalogue says.
        """
        members = self._members(dataset)
        if member not in members:
            raise DataError(f"data set {dataset} has no member {member!r}: {did_you_mean(member, members)}")
        path = self.root / dataset / member
        found = check(path, members[member])
        if found.state == "ok":
            return path
        what = "is missing" if found.state == "missing" else f"is {found.state}"
        raise DataError(
            f"{path} {what}: expected {found.expected}, found {found.actual}. "
            f"Run `python -m suite data fetch {dataset}`, or set SUITE_DATA_DIR if the cache is elsewhere"
        )

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return those data sets of which a member is missing or not what the catalogue says."""
        return [
            name
            for name in names
            if any(
                check(self.root / name / member, expected).state != "ok"
                for member, expected in self._members(name).items()
            )
        ]

    def verify(self, names: Iterable[str]) -> list[Finding]:
        """Read every member of the data sets and say what was found, member by member."""
        findings = []
        for name in names:
            for member, expected in self._members(name).items():
                path = self.root / name / member
                found = check(path, expected, again=True)
                findings.append(Finding(name, member, path, found.state, found.expected, found.actual))
        return findings

    def status(self) -> list[Status]:
        """Return where every data set of the catalogue stands, without reading the files."""
        states = []
        known = Recorded(self.root)
        for name, dataset in self.catalogue.items():
            folder = self.root / name
            present = (m for m, expected in known.members(dataset).items() if _is_there(folder / m, expected))
            states.append(Status(dataset, folder, tuple(present), known.checksums(dataset)))
        return states

    def _members(self, dataset: str) -> Mapping[str, Member]:
        return Recorded(self.root).members(self.dataset(dataset))

    def fetch(
        self,
        names: Iterable[str],
        mirror: str | Path | None = None,
        offline: bool = False,
        on_progress: OnProgress = lambda progress: None,
        accept_changed: bool = False,
    ) -> None:
        """Make the data sets present and right in the cache.

        What is there already is checked and kept. Any number of processes may fetch the same at once, and any of them
        may be killed: the next fetch goes on with what is finished.

        Parameters
        ----------
        names : iterable of str
        mirror : str or Path, optional
            Folder or URL that holds ``<data set>/<member>`` or package files, or anything that a member is known in by
            its checksum or name (:mod:`suite.data.mirrors`); ``SUITE_DATA_MIRROR`` when not given. A cache folder is a
            mirror.
        offline : bool
            Ask nothing but the cache and the mirror.
        on_progress : callable (Progress) -> None
        accept_changed : bool
            Take what is not pinned as it comes, whatever was recorded of it before. What lies in the cache is kept if
            it is what was recorded.

        Raises
        ------
        DataError
            If a data set is unknown, or after all others were fetched, if a source of one delivers or the cache cannot
            be written; it says what each source said.
        """
        mirror = mirror or os.environ.get("SUITE_DATA_MIRROR") or None
        errors = []
        for dataset in [self.dataset(name) for name in names]:
            try:
                if accept_changed and self.missing([dataset.name]):
                    Recorded(self.root).forget(dataset.name)
                Fetch(dataset, self.root, str(mirror) if mirror else None, offline, on_progress).run()
            except DataError as error:
                errors.append(error)
        if errors:
            raise errors[0] if len(errors) == 1 else DataError("\n".join(map(str, errors)))


def _is_there(path: Path, member: Member) -> bool:
    try:
        if member.folder:
            return path.is_dir()
        size = path.stat().st_size
        return size == member.size if member.size is not None else size > 0
    except OSError:
        return False
