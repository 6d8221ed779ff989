"""Litter of a results folder: what launches, killed processes and old code leave behind, found and removed.

What was computed is never litter: ``run.json``, ``events.jsonl``, ``result.json``, ``failure.json``. Nor is anything
that changed in the last ten minutes, since a process may be at work on it, or that lies in a record whose lock is held.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from suite.launch.queue import SchedulerUnavailable
from suite.launch.sites import Sites
from suite.provenance.snapshot import snapshots
from suite.records.launch import Launch, all_launches
from suite.records.record import CHECKPOINTS, Record, Store

Kind = Literal["launch", "record", "leftovers", "snapshot", "superseded", "temporary", "output"]

QUIET_S: Final = 600.0
DAYS: Final = 14.0
"""How long the files of a launch with unfinished runs are kept: they tell what went wrong."""

# The names that the suite gives: other files there are users' own.
_LAUNCH: Final = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_SNAPSHOT: Final = re.compile(r"[0-9a-f]{16}")
_HALF_SNAPSHOT: Final = re.compile(r"\.[0-9a-f]{8}")
_SUPERSEDED: Final = re.compile(r"[0-9a-f]{64}-[0-9a-f]{8}")
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}")


@dataclass(frozen=True)
class Litter:
    """Something that can go.

    Attributes
    ----------
    kind : str
        ``launch``, ``record`` (a folder without a record in it), ``leftovers`` (in the folder of a record),
        ``snapshot``, ``superseded``, ``temporary`` or ``output`` (of commands that went on by themselves).
    name : str
        A launch's or snapshot's id, a run's key, a file's name.
    paths : tuple of Path
    size : int
        Bytes of its files.
    reason : str
        Why it can go.
    option : str or None
        What has to be asked for to have it removed: ``--unknown`` or ``--superseded``; None if nothing has to.
    """

    kind: Kind
    name: str
    paths: tuple[Path, ...]
    size: int
    reason: str
    option: str | None = None


def find(store: Store, days: float = DAYS, options: Iterable[str] = ()) -> list[Litter]:
    """Return what can be removed from a results folder.

    Parameters
    ----------
    store : Store
    days : float
        How long the files of a launch with unfinished runs are kept.
    options : iterable of str
        ``--unknown`` and ``--superseded``, as far as they will be asked for: a snapshot is litter once the last launch
        that refers to it goes.

    Raises
    ------
    OSError
        If the folder cannot be read or written.
    """
    if not store.out.is_dir():
        return []
    now = _file_server_time(store)
    launches = all_launches(store)
    ended = list(_launches(store, launches, now, days))
    asked = {None, *options}
    removed = {litter.name for litter in ended if litter.option in asked}
    staying = [launch for launch in launches if launch.id not in removed]
    others = [_records(store), _snapshots(store, staying), _superseded(store), _temporary(store, staying)]
    if not staying:
        others.append(_output(store, now, days))
    return ended + [litter for litter in itertools.chain(*others) if _is_quiet(litter, now)]


def remove(store: Store, litter: Litter) -> bool:
    """Remove one find; returns False, leaving it alone, if it has come into use meanwhile.

    Launches have to go before the snapshots that they refer to: the order that :func:`find` gives.

    Raises
    ------
    OSError
        If something cannot be removed.
    """
    if not _is_quiet(litter, _file_server_time(store)):
        return False
    match litter.kind:
        case "record" | "leftovers":
            return _remove_from_record(store.record(litter.name))
        case "launch" if Launch(store.launches / litter.name).workers():
            return False
        case "snapshot" if litter.name in _in_use(all_launches(store)):
            return False
    for path in litter.paths:
        _delete(path)
    return True


def describe(found: Sequence[Litter]) -> list[dict[str, Any]]:
    """Return one row for every kind, reason and option among the finds: how many, how large, and which."""
    groups: dict[tuple[str, str, str | None], list[Litter]] = {}
    for litter in found:
        groups.setdefault((litter.kind, litter.reason, litter.option), []).append(litter)
    return [
        {
            "kind": kind,
            "reason": reason,
            "option": option,
            "count": len(members),
            "bytes": sum(litter.size for litter in members),
            "paths": [str(path) for litter in members for path in litter.paths],
        }
        for (kind, reason, option), members in groups.items()
    ]


def _file_server_time(store: Store) -> float:
    """Return the time by which the files below a folder are dated: clocks of machines differ."""
    probe = store.out / f".probe.{uuid.uuid4().hex[:8]}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _is_quiet(litter: Litter, now: float) -> bool:
    return all(_newest(path) < now - QUIET_S for path in litter.paths)


def _launches(store: Store, launches: Sequence[Launch], now: float, days: float) -> Iterator[Litter]:
    queues = _Queues()
    for launch in (one for one in launches if _LAUNCH.fullmatch(one.id)):
        idle = now - _newest(launch.folder)
        if idle < QUIET_S or launch.workers():
            continue
        is_done = all(launch.is_done(key, store) for key in launch.spec.runs.keys() - launch.cancelled())
        if not is_done and idle < 86_400 * days:
            continue
        has_jobs = queues.has_jobs_of(launch)
        if has_jobs:
            continue
        reason, option = "its runs are done", None
        if not is_done:
            reason = f"no worker has been at its unfinished runs for {days:g} days"
            if has_jobs is None:
                reason, option = f"{reason}, but its jobs may still be there: {queues.silence}", "--unknown"
        yield Litter("launch", launch.id, (launch.folder,), _size(launch.folder), reason, option)


class _Queues:
    """What sites have in their queues, each asked once and only if need be."""

    def __init__(self) -> None:
        self.silence = ""
        self._sites = Sites()

    def has_jobs_of(self, launch: Launch) -> bool | None:
        """Whether a launch has jobs; None if that cannot be known."""
        site = self._sites.of(launch)
        if site is None:
            return False
        if launch.folder.stat().st_uid != os.getuid():
            self.silence = "they are another user's"
            return None
        try:
            return site.has_jobs(launch)
        except SchedulerUnavailable as error:
            self.silence = str(error)
            return None


def _records(store: Store) -> Iterator[Litter]:
    for record in (store.record(key) for key in sorted(store.keys())):
        found = _of_record(record)
        if found is not None and not record.is_running():
            yield found


def _of_record(record: Record) -> Litter | None:
    """Return what can go of a record if no process holds its lock."""
    entries = {entry.name: Path(entry.path) for entry in os.scandir(record.folder)}
    paths = [path for name, path in sorted(entries.items()) if _TEMPORARY.fullmatch(name)]
    if entries.keys() - {path.name for path in paths} <= {"lock", "log.txt", *CHECKPOINTS}:
        reason = "no run has begun there, or what it left was put aside"
        return Litter("record", record.key, (record.folder,), _size(record.folder), reason)
    if "result.json" in entries:
        paths += [entries[name] for name in CHECKPOINTS if name in entries]
    if not paths:
        return None
    size = sum(_size(path) for path in paths)
    return Litter("leftovers", record.key, tuple(paths), size, "its worker was killed while it wrote")


def _remove_from_record(record: Record) -> bool:
    """Look again under the record's lock, and remove what can go."""
    with record.claimed() as ours:
        found = _of_record(record) if ours else None
        if found is None:
            return False
        for path in record.folder.iterdir() if found.kind == "record" else found.paths:
            _delete(path)
    if found.kind == "record":
        with contextlib.suppress(OSError):  # a worker has claimed it since
            record.folder.rmdir()
    return True


def _snapshots(store: Store, staying: Sequence[Launch]) -> Iterator[Litter]:
    used = _in_use(staying)
    for path in _children(snapshots(store)):
        if _HALF_SNAPSHOT.fullmatch(path.name):
            yield Litter("temporary", path.name, (path,), _size(path), "the command that copied code was killed")
        elif _SNAPSHOT.fullmatch(path.name) and path.name not in used:
            yield Litter("snapshot", path.name, (path,), _size(path), "no launch uses this copy of the code")


def _in_use(launches: Sequence[Launch]) -> set[str]:
    return {launch.spec.snapshot for launch in launches}


def _superseded(store: Store) -> Iterator[Litter]:
    for path in (child for child in _children(store.superseded) if _SUPERSEDED.fullmatch(child.name)):
        yield Litter("superseded", path.name, (path,), _size(path), "its run was begun anew", "--superseded")


def _temporary(store: Store, staying: Sequence[Launch]) -> Iterator[Litter]:
    folders = [store.out, *(path for launch in staying for path in (launch.folder, *launch.folder.glob("*/")))]
    for path in (path for folder in folders for path in _children(folder)):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            yield Litter("temporary", path.name, (path,), _size(path), "its writer was killed")


def _output(store: Store, now: float, days: float) -> Iterator[Litter]:
    """Yield what detached second stages of ``suite tune`` printed; one that is yet to come has launches."""
    for path in (store.out / "follow", store.out / "tune.log"):
        if path.exists() and _newest(path) < now - 86_400 * days:
            yield Litter("output", path.name, (path,), _size(path), f"of a tune that ended more than {days:g} days ago")


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _below(path: Path) -> Iterator[os.stat_result]:
    # Workers rename and delete meanwhile: os.walk leaves out a folder that has gone, rglob raises.
    places = [path]
    for parent, folders, files in os.walk(path):
        places += [Path(parent, name) for name in (*folders, *files)]
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            yield place.lstat()


def _newest(path: Path) -> float:
    return max((status.st_mtime for status in _below(path)), default=0.0)


def _size(path: Path) -> int:
    return sum(status.st_size for status in _below(path) if stat.S_ISREG(status.st_mode))


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            raise OSError(f"{path} cannot be removed; it may belong to another user")
    else:
        path.unlink(missing_ok=True)
