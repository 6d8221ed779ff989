"""The code as it stood at a submission: ``results/snapshots/<id>/``.

``code/`` holds copies of the packages and modules that runs use, to be put first on ``PYTHONPATH``; ``snapshot.json``
says which files these are, from which commits, and what was left out; ``uncommitted.patch`` leads from the commit to
what was copied. Equal code has one snapshot.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suite.process import code_first
from suite.provenance import machine, modules
from suite.records.files import read_json, write_json
from suite.records.record import Store

LARGEST_FILE = 10 * 2**20
LARGEST_PATCH = 10 * 2**20
LARGEST_NEIGHBOUR = 2**20
"""Bytes of a file that lies beside a module of a package without ``__init__.py``."""

MOST_ENTRIES = 1_000
"""A folder with more is data."""

MOST_FILES = 20_000


class SnapshotError(RuntimeError):
    """The code cannot be copied."""


@dataclass(frozen=True)
class Snapshot:
    """A copy of the code.

    Attributes
    ----------
    id : str
        16 hexadecimal digits: a hash of the paths and contents of all files.
    folder : Path
    git : str
        The commit of the suite's checkout, as :func:`suite.provenance.machine.git` tells it.
    """

    id: str
    folder: Path
    git: str

    @property
    def code(self) -> Path:
        """What to put first on ``PYTHONPATH``."""
        return self.folder / "code"

    @property
    def left_out(self) -> dict[str, str]:
        """What was not copied, and why."""
        described = read_json(self.folder / "snapshot.json") or {}
        return dict(described.get("left_out", {}))


def snapshots(store: Store) -> Path:
    """Return the folder that holds the snapshots of a results folder."""
    return store.out / "snapshots"


def take(store: Store, modules: Iterable[str]) -> Snapshot:
    """Copy the suite and the first-party code that runs use, or find the copy that is there already.

    Of every package the whole folder is copied, but for hidden files, caches, virtual environments, files of more than
    10 MiB, and folders of more than 1,000 entries; of a package without ``__init__.py``, which may be somebody's whole
    home, only what lies right beside the modules that are named: Python files, and others up to 1 MiB. Links are
    replaced by what they point to.

    Parameters
    ----------
    store : Store
    modules : iterable of str
        Names of modules, as in ``my_losses`` or ``tests.toys``; the suite itself need not be named.

    Raises
    ------
    SnapshotError
        If a module cannot be found, or a package holds more than 20,000 files.
    OSError
        If the results folder cannot be written.
    """
    found = _Collection(store.out)
    for module in sorted({"suite", *modules}):
        found.add(module)
    digests = {path: _digest(file) for path, file in found.files.items()}
    target = snapshots(store) / _identity(digests)
    with contextlib.suppress(FileNotFoundError):
        os.utime(target)  # in use from now on, whatever its age: `suite clean` keeps away
    if not _is_intact(target, digests):
        target = _copy(found, target.parent)
    return Snapshot(target.name, target, machine.git())


def _identity(digests: Mapping[str, str]) -> str:
    whole = hashlib.sha256()
    for path, digest in sorted(digests.items()):
        whole.update(os.fsencode(path) + b"\0" + digest.encode() + b"\n")
    return whole.hexdigest()[:16]


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _is_intact(target: Path, digests: Mapping[str, str]) -> bool:
    try:
        described = read_json(target / "snapshot.json")
        return described is not None and all(_digest(target / "code" / path) == d for path, d in digests.items())
    except (OSError, ValueError):
        return False


def _copy(found: _Collection, folder: Path) -> Path:
    """Copy beside the other snapshots and rename when complete: what was edited meanwhile has its own identity."""
    temporary = folder / f".{uuid.uuid4().hex[:8]}"
    try:
        digests = {}
        for path, file in sorted(found.files.items()):
            copy = temporary / "code" / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)  # without its mode: a read-only copy could not be removed
            digests[path] = _digest(copy)
        repositories = list(_repositories(found, temporary))
        described = {"created": time.time(), "repositories": repositories, "left_out": found.left_out}
        write_json(temporary / "snapshot.json", {**described, "files": digests})
        target = folder / _identity(digests)
        try:
            os.rename(temporary, target)
        except OSError:
            if not target.is_dir():
                raise
            if not _is_intact(target, digests):
                _repair(target, temporary)
        return target
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _repair(target: Path, complete: Path) -> None:
    """Put every file in its place by itself: jobs may be reading the others."""
    for file in sorted(complete.rglob("*")):
        if file.is_file():
            place = target / file.relative_to(complete)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, place)


@dataclass(frozen=True)
class _Root:
    """A folder that something is copied from; `pathspec` tells git what."""

    folder: Path
    pathspec: str


@dataclass
class _Collection:
    """Files to be copied, by their place below ``code/``; never any of the results folder `out`."""

    out: Path
    files: dict[str, Path] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    roots: set[_Root] = field(default_factory=set)

    def add(self, module: str) -> None:
        """Add the package that a module belongs to, or its file."""
        parts = module.split(".")
        for depth in range(1, len(parts) + 1):
            name, place = ".".join(parts[:depth]), "/".join(parts[:depth])
            found = modules.spec(name)
            if found is None:
                raise SnapshotError(f"{module} cannot be copied for its runs: there is no module {name}")
            folders = list(found.submodule_search_locations or ())
            if folders and found.origin:
                return self._add_package(place, Path(folders[0]))
            if found.origin:
                return self._add_module(place.rpartition("/")[0], Path(found.origin))
        return None

    def _add_package(self, place: str, folder: Path) -> None:
        root = _Root(folder.resolve(), f":(literal){folder.resolve()}")
        if root in self.roots:
            return
        self.roots.add(root)
        for number, (inner, file) in enumerate(self._walk(folder, place, (root.folder,))):
            if number == MOST_FILES:
                raise SnapshotError(
                    f"{folder} holds more than {MOST_FILES} files, and runs work from a copy of it: move data and "
                    "outputs out of it, or into folders whose names begin with a dot"
                )
            self.files[inner] = file

    def _add_module(self, package: str, file: Path) -> None:
        folder = file.parent.resolve()
        if not package:
            self.files[file.name] = file
            self.roots.add(_Root(folder, f":(literal){folder / file.name}"))
            return
        neighbours = self._files(file.parent, package, LARGEST_NEIGHBOUR)
        if len(os.listdir(file.parent)) > MOST_ENTRIES:
            self.left_out[f"{package}/*"] = f"not Python, among more than {MOST_ENTRIES} entries"
            neighbours = (pair for pair in neighbours if pair[1].suffix == ".py")
        self.files.update({**dict(neighbours), f"{package}/{file.name}": file})
        self.roots.add(_Root(folder, f":(glob){glob.escape(str(folder))}/*"))

    def _walk(self, folder: Path, place: str, above: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
        """Yield places and files below a folder; `above` are the real folders on the way there, to notice loops."""
        yield from self._files(folder, place, LARGEST_FILE)
        for entry in _entries(folder):
            if not os.path.isdir(entry.path):
                continue
            real, inner = Path(entry.path).resolve(), f"{place}/{entry.name}"
            if real == self.out.resolve():
                continue
            reason = "a link to a folder that it is in" if real in above else _reason_to_leave_out(real)
            if reason:
                self.left_out[inner] = reason
            else:
                yield from self._walk(Path(entry.path), inner, (*above, real))

    def _files(self, folder: Path, place: str, largest: int) -> Iterator[tuple[str, Path]]:
        """Yield places and files right in a folder; `largest` is for what is not Python."""
        for entry in _entries(folder):
            if os.path.isdir(entry.path):
                continue
            inner, limit = f"{place}/{entry.name}", LARGEST_FILE if entry.name.endswith(".py") else largest
            if not os.path.isfile(entry.path):
                self.left_out[inner] = "not a file, or a link to nothing"
            elif not os.access(entry.path, os.R_OK):
                self.left_out[inner] = "cannot be read"
            elif entry.stat().st_size > limit:
                self.left_out[inner] = f"more than {limit // 2**20} MiB"
            else:
                yield inner, Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        visible = [e for e in entries if not e.name.startswith(".") and not e.name.endswith(".pyc")]
    return sorted((e for e in visible if e.name != "__pycache__"), key=lambda e: e.name)


def _reason_to_leave_out(folder: Path) -> str | None:
    if not os.access(folder, os.R_OK | os.X_OK):
        return "cannot be read"
    if (folder / "pyvenv.cfg").exists() or (folder / "conda-meta").exists():
        return "a Python environment"
    if (folder / "launches").is_dir() and (folder / "runs").is_dir():
        return "a results folder"
    return f"more than {MOST_ENTRIES} entries" if len(os.listdir(folder)) > MOST_ENTRIES else None


_DIFF = ("diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative")
_PREFIXES = ("--src-prefix=a/", "--dst-prefix=b/")  # what `git apply` expects, whatever the user's settings


def _repositories(found: _Collection, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what is known of each repository that copied files lie in, and write its uncommitted changes."""
    pathspecs: dict[tuple[str, str], list[str]] = {}
    for root in sorted(found.roots, key=lambda r: r.pathspec):
        said = machine.from_git(root.folder, "rev-parse", "--show-toplevel", "HEAD")
        if said is not None:
            top, commit = said.splitlines()
            pathspecs.setdefault((top, commit), []).append(root.pathspec)
    copied = {file.resolve() for file in found.files.values()}
    for number, ((top, commit), wanted) in enumerate(pathspecs.items(), 1):
        tracked = copied & _listed(top, wanted)
        untracked = copied & _listed(top, ["--others", "--exclude-standard", "--", *wanted])
        if not tracked and not untracked:  # an environment that a checkout ignores
            continue
        patch = folder / ("uncommitted.patch" if number == 1 else f"uncommitted-{number}.patch")
        said = machine.from_git(Path(top), *_DIFF, *_PREFIXES, f"--output={patch}", "HEAD", "--", *wanted)
        size = patch.stat().st_size if said is not None else None
        if not size or size > LARGEST_PATCH:
            patch.unlink(missing_ok=True)
        yield {
            "folder": top,
            "commit": commit + ("+dirty" if untracked or size != 0 else ""),
            "patch": patch.name if patch.exists() else None,
            "untracked": sorted(str(file.relative_to(Path(top).resolve())) for file in untracked),
        }


def _listed(top: str, wanted: list[str]) -> set[Path]:
    names = machine.from_git(Path(top), "ls-files", "-z", *wanted) or ""
    return {Path(top, name).resolve() for name in names.split("\0") if name}


def code_environment(store: Store, snapshot: str) -> dict[str, str]:
    """Return the variables that let Python take its code from a snapshot; none without one.

    Parameters
    ----------
    store : Store
    snapshot : str
        Its id, or nothing.
    """
    if not snapshot:
        return {}
    return code_first(snapshots(store) / snapshot / "code")
