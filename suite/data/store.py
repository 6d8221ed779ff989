"""The cache: where verified data lies, and what state it is in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from suite.data.checks import check
from suite.data.errors import DataError
from suite.data.fetching import Fetch, OnProgress
from suite.data.schema import Dataset, did_you_mean, load_catalogue
from suite.problems import InputError, Problem

CATALOGUE = Path(__file__).with_name("catalogue.yaml")


@dataclass(frozen=True)
class Finding:
    """What a check of one member found.

    Attributes
    ----------
    dataset, member : str
    path : Path
    state : str
        ``ok``, ``missing``, ``truncated`` or ``corrupted``.
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
        Members that are there in full size.
    """

    dataset: Dataset
    path: Path
    present: tuple[str, ...]

    @property
    def state(self) -> str:
        """``complete``, ``partial`` or ``missing``."""
        if len(self.present) == len(self.dataset.members):
            return "complete"
        return "partial" if self.present else "missing"


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

        Raises
        ------
        DataError
            If a data set is unknown.
        """
        datasets = (self.dataset(name) for name in names)
        return {dataset.name: {name: m.sha256 for name, m in dataset.members.items()} for dataset in datasets}

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
        members = self.dataset(dataset).members
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
                for member, expected in self.dataset(name).members.items()
            )
        ]

    def verify(self, names: Iterable[str]) -> list[Finding]:
        """Read every member of the data sets and say what was found, member by member."""
        findings = []
        for name in names:
            for member, expected in self.dataset(name).members.items():
                path = self.root / name / member
                found = check(path, expected, again=True)
                findings.append(Finding(name, member, path, found.state, found.expected, found.actual))
        return findings

    def status(self) -> list[Status]:
        """Return where every data set of the catalogue stands, without reading the files."""
        states = []
        for name, dataset in self.catalogue.items():
            folder = self.root / name
            present = (m for m, expected in dataset.members.items() if _size(folder / m) == expected.size)
            states.append(Status(dataset, folder, tuple(present)))
        return states

    def fetch(
        self,
        names: Iterable[str],
        mirror: str | Path | None = None,
        offline: bool = False,
        on_progress: OnProgress = lambda progress: None,
    ) -> None:
        """Make the data sets present and right in the cache.

        What is there already is checked and kept. Any number of processes may fetch the same at once, and any of them
        may be killed: the next fetch goes on with what is finished.

        Parameters
        ----------
        names : iterable of str
        mirror : str or Path, optional
            Folder or URL that holds ``<data set>/<member>`` or package files; ``SUITE_DATA_MIRROR`` when not given. A
            cache folder is a mirror.
        offline : bool
            Ask nothing but the cache and the mirror.
        on_progress : callable (Progress) -> None

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
                Fetch(dataset, self.root, str(mirror) if mirror else None, offline, on_progress).run()
            except DataError as error:
                errors.append(error)
        if errors:
            raise errors[0] if len(errors) == 1 else DataError("\n".join(map(str, errors)))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
