"""What a launch leaves on disk: ``results/launches/<id>/``.

``launch.json`` (the runs and how they are packed), ``workers/<n>.<slot>.json`` (what a worker is doing, for displays),
``workers/<n>.<slot>.lock`` (flock'ed while it lives), ``workers/<n>.joined`` (whose number is taken), ``stop`` (all
workers end at their next step), ``<n>.stop`` (those of pack or allocation n do), ``cancelled`` (the keys of cancelled
runs), ``jobs/`` (submitit's files).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from suite.process import cores, gpus
from suite.records.failures import identity, is_final, too_many_beside
from suite.records.files import held, is_held, matching, read_json, write_json
from suite.records.record import Store
from suite.records.specs import EMPTY, LaunchSpec, name_of, turns

FIRST_JOINED: Final = 1_000_000
"""Workers with this number or a higher one have joined from an allocation of their own: ``python -m suite worker``."""


def has_joined(number: int) -> bool:
    """Whether worker `number` was started by hand or by another scheduler, and not by the launch's launcher."""
    return number >= FIRST_JOINED


@dataclass(frozen=True)
class Worker:
    """What a worker is doing, by its own report.

    Attributes
    ----------
    number : int
        On this machine any number; on a cluster that of its pack; from :data:`FIRST_JOINED` on, that of an allocation.
    slot : int
        Which of the workers side by side in one array task.
    host : str
    process : int
        Its process id there; 0 before it has started.
    key, name : str or None
        The run in hand.
    phase : str
        ``starting``, ``staging`` (of data), ``setup``, ``training``, ``evaluation`` or ``ended``.
    step, steps : int
    since : float
        Unix time at which the run in hand began.
    """

    number: int
    host: str = ""
    process: int = 0
    phase: str = "starting"
    key: str | None = None
    name: str | None = None
    step: int = 0
    steps: int = 0
    since: float = 0.0
    slot: int = 0


class Launch:
    """The folder of one launch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @classmethod
    def create(cls, store: Store, spec: LaunchSpec) -> Launch:
        """Write a new launch."""
        folder = store.launches / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        (folder / "workers").mkdir(parents=True)
        write_json(folder / "launch.json", spec.to_json())
        return cls(folder)

    @cached_property
    def spec(self) -> LaunchSpec:
        """What is to be done; nothing if the launcher was killed before it was written.

        Raises
        ------
        InputError
            If another version of the suite has written it.
        """
        file = self.folder / "launch.json"
        content = read_json(file)
        return EMPTY if content is None else LaunchSpec.from_json(content, file)

    @property
    def is_on_cluster(self) -> bool:
        """Whether its workers are in array tasks."""
        return self.spec.array is not None

    def threads(self, number: int, beside: int = 1) -> int:
        """Return how many threads worker `number` computes with, one of `beside` on its machine."""
        work = self.spec.work
        if has_joined(number):  # on a CPU one, so that no result depends on the machine
            return work.threads or (max(1, cores() // beside) if gpus() else 1)
        packs = self.spec.packs
        pack = packs[number % len(packs)]  # on this machine, who takes the place of a dead worker has a new number
        threads: int | None = pack.settings.get("threads", work.threads)
        cpus: int = pack.settings.get("cpus", work.cpus)
        return threads or max(1, cpus // pack.slots)

    def order(self, number: int) -> Iterator[str]:
        """Yield keys in the order in which worker `number` tries them.

        On a cluster its own pack; having joined, all that one process can do. On this machine seed by seed (see
        :func:`suite.records.specs.turns`): of each its own pack first, then the others', from their ends, where their
        owners come last.
        """
        packs = [pack.keys for pack in self.spec.packs]
        own = number % max(1, len(packs))
        if has_joined(number):
            yield from (key for pack in self.spec.packs if pack.processes == 1 for key in pack.keys)
            return
        if self.is_on_cluster:
            yield from packs[own] if packs else ()
            return
        turn = turns(self.spec.runs.values())
        for now in sorted(set(turn.values())):
            mine, *others = ([key for key in pack if turn[key] == now] for pack in packs[own:] + packs[:own])
            yield from mine
            for at_one_depth in itertools.zip_longest(*(reversed(pack) for pack in others)):
                yield from (key for key in at_one_depth if key is not None)

    def is_done(self, key: str, store: Store) -> bool:
        """Whether a run has its result, and not only the one that this launch was made to replace."""
        result, replaces = store.record(key).result(), self.spec.runs[key].replaces
        return result is not None and (replaces is None or result["record"] != replaces)

    def is_settled(self, key: str, store: Store) -> bool:
        """Whether a run is done, or has another failure than the one that it had when the launch was made."""
        return self.is_done(key, store) or self.has_failed(key, store)

    def has_failed(self, key: str, store: Store) -> bool:
        """Whether a run has another failure than the one that it had when the launch was made."""
        failure = store.record(key).failure()
        if failure is None or not is_final(failure):
            return False
        return failure.get("launch") == self.id or identity(failure) != self.spec.runs[key].failed_before

    def open_keys(self, store: Store, keys: Iterable[str] | None = None) -> Iterator[str]:
        """Yield those of the launch's runs, or of some of them, that are neither settled nor cancelled."""
        cancelled = self.cancelled()
        wanted = self.spec.runs if keys is None else keys
        return (key for key in wanted if key not in cancelled and not self.is_settled(key, store))

    def is_for(self, key: str, store: Store, beside: int) -> bool:
        """Whether one of `beside` workers side by side may take a run, if no other has it in hand."""
        if self.is_settled(key, store):
            return False
        too_many = too_many_beside(store.record(key), self.id)
        return too_many is None or beside < too_many

    def is_open(self, store: Store) -> bool:
        """Whether its runs wait for whoever joins."""
        return self.spec.is_pool and self.stop_reason() is None and any(self.open_keys(store))

    def stop(self, pack: int | None = None, reason: str = "stopped") -> None:
        """Ask the workers, or those of one pack, to end at their next step."""
        name = "stop" if pack is None else f"{pack}.stop"
        write_json(self.folder / name, {"reason": reason}, durable=False)

    def go_on(self, pack: int) -> None:
        """Take back what an earlier life of an array task was asked."""
        (self.folder / f"{pack}.stop").unlink(missing_ok=True)

    def stop_reason(self, pack: int | None = None) -> str | None:
        """Why the workers, or those of one pack, were asked to end; None if they were not."""
        for name in ("stop",) if pack is None else ("stop", f"{pack}.stop"):
            asked = read_json(self.folder / name)
            if asked is not None:
                return str(asked["reason"])
        return None

    def cancel(self, keys: Collection[str]) -> None:
        """Note that runs are cancelled: a worker that executes one ends it at its next step."""
        with (self.folder / "cancelled").open("a", encoding="utf-8") as file:
            file.write("".join(f"{key}\n" for key in keys))

    def cancelled(self) -> frozenset[str]:
        """Return the keys of cancelled runs."""
        try:
            return frozenset((self.folder / "cancelled").read_text(encoding="utf-8").split())
        except FileNotFoundError:
            return frozenset()

    def submitted(self, number: int, process: int) -> None:
        """Note the process that will become worker `number`."""
        value = {"process": process, "host": socket.gethostname()}
        write_json(self.folder / "workers" / f"{number}.0.submitted", value, durable=False)

    def join(self) -> int:
        """Return a number for the workers of an allocation, which no other has had."""
        for number in itertools.count(FIRST_JOINED):
            with contextlib.suppress(FileExistsError):
                (self.folder / "workers" / f"{number}.joined").touch(exist_ok=False)
                return number
        raise AssertionError

    def enter(self, number: int, slot: int = 0) -> Any:
        """Return the context in which a worker counts as alive."""
        return held(self.folder / "workers" / f"{number}.{slot}.lock")

    def leave_seat(self, number: int) -> None:
        """Count a worker as dead that ended before it could enter, though the process that it came from lives."""
        (self.folder / "workers" / f"{number}.0.lock").touch()

    def report(self, worker: Worker) -> None:
        """Write what a worker is doing."""
        file = self.folder / "workers" / f"{worker.number}.{worker.slot}.json"
        write_json(file, vars(worker), durable=False)

    def workers(self) -> list[Worker]:
        """Return what the living workers are doing."""
        return [self._report_of(name) for name in self._names() if self._is_alive(name)]

    def reports(self) -> list[Worker]:
        """Return what all workers said last, the dead ones among them."""
        return [self._report_of(name) for name in self._names()]

    def _report_of(self, name: str) -> Worker:
        said = read_json(self.folder / "workers" / f"{name}.json")
        number, slot = map(int, name.split("."))
        return Worker(**said) if said else Worker(number, slot=slot)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _names(self) -> list[str]:
        paths = matching(self.folder / "workers", "*.*.*")
        names = {path.stem for path in paths if path.suffix in (".lock", ".submitted")}
        return sorted((name for name in names if name[0].isdigit()), key=lambda n: tuple(map(int, n.split("."))))

    def _is_alive(self, name: str) -> bool:
        lock = self.folder / "workers" / f"{name}.lock"
        if lock.exists():
            return is_held(lock)
        submitted = read_json(self.folder / "workers" / f"{name}.submitted")
        return bool(
            submitted and submitted["host"] == socket.gethostname() and _is_submitit_process(submitted["process"])
        )


def _is_submitit_process(process: int) -> bool:
    try:
        return b"submitit" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        pass
    try:
        os.kill(process, 0)  # no /proc: a reused number would count as alive, for as long as it lives
    except OSError:
        return False
    return not Path("/proc/self").exists()


FORGET_S: Final = 3600.0
"""How long a finished launch on a cluster stays: array tasks of it may still wait in the queue."""


def all_launches(store: Store) -> list[Launch]:
    """Return the launches of a results folder, oldest first."""
    try:
        folders = sorted(entry.path for entry in os.scandir(store.launches) if entry.is_dir())
    except FileNotFoundError:
        return []
    return [Launch(Path(folder)) for folder in folders]


def live_launches(store: Store) -> list[Launch]:
    """Return the launches that have a living worker, oldest first."""
    return [launch for launch in all_launches(store) if launch.workers()]


def pools(store: Store) -> list[Launch]:
    """Return the launches whose runs wait for whoever joins, oldest first."""
    return [launch for launch in all_launches(store) if launch.is_open(store)]


def living_workers(store: Store) -> list[Worker]:
    """Return what the living workers of a results folder are doing, whatever their launch."""
    return [worker for launch in all_launches(store) for worker in launch.workers()]


def planned(store: Store, key: str) -> dict[str, Any] | None:
    """Return a run of some launch as ``run.json`` would describe it; None if no launch has it."""
    specs = (launch.spec.runs.get(key) for launch in all_launches(store))
    return next((spec.to_json() for spec in specs if spec is not None), None)


def find_key(store: Store, word: str) -> str:
    """Return the key of the one run, recorded or queued, that a word means.

    Parameters
    ----------
    store : Store
    word : str
        The beginning of its key, or its name as commands print it: ``image/infonce/seed3``.

    Raises
    ------
    LookupError
        If it means none, or more than one.
    """
    queued = {key: spec for launch in all_launches(store) for key, spec in launch.spec.runs.items()}
    if "/" in word:
        named = {key: spec.profile for key, spec in queued.items() if spec.name == word}
        recorded = ((key, store.record(key).run()) for key in store.keys() - queued.keys())
        named |= {key: run.get("profile", "") for key, run in recorded if run is not None and name_of(run) == word}
        found, meaning = {key: f" ({profile})" for key, profile in named.items()}, f"are named {word!r}"
        none = f"no run is named {word!r}"
    else:
        found = dict.fromkeys((key for key in store.keys() | queued.keys() if key.startswith(word)), "")
        none, meaning = f"no run has a key that begins with {word!r}", f"have keys that begin with {word!r}"
    if not found:
        raise LookupError(f"{none}; python -m suite plan --runs{store.option} shows keys and names")
    if len(found) > 1:
        listed = ", ".join(f"{key[:12]}{profile}" for key, profile in sorted(found.items())[:5])
        raise LookupError(f"{len(found)} runs {meaning}: {listed}{' ...' * (len(found) > 5)}; give more of its key")
    return next(iter(found))


def forget_finished(store: Store) -> None:
    """Delete the folders of launches that have no worker and of which every run is done.

    The others keep theirs: what their workers printed may tell what went wrong. On a cluster an array task may still
    wait in the queue, to find nothing to do: those folders go an hour later.
    """
    for launch in all_launches(store):
        if not (launch.folder / "launch.json").exists():  # another command is about to write it
            continue
        is_quiet = not launch.is_on_cluster or (
            time.time() - launch.spec.created > FORGET_S
            and not any(map(is_held, matching(launch.folder / "tasks", "*.lock")))
        )
        if is_quiet and not launch.workers() and all(launch.is_done(key, store) for key in launch.spec.runs):
            launch.remove()
