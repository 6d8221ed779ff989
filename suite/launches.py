"""What a launch leaves on disk: ``results/launches/<id>/``.

``launch.json`` (the runs and how they are dealt out), ``workers/<n>.json`` (what worker n is doing, for displays),
``workers/<n>.lock`` (flock'ed while it lives), ``stop`` (workers end at their next step), ``jobs/`` (submitit's files).
"""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from suite.records import Store, held, is_held, read_json, write_json


@dataclass(frozen=True)
class Worker:
    """What a worker says of itself.

    Attributes
    ----------
    number : int
    host : str
    process : int
        Its process id there; 0 before it has started.
    key, name : str or None
        The run in hand.
    phase : str
        ``starting``, ``setup``, ``training``, ``evaluation`` or ``ended``.
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


class Launch:
    """The folder of one launch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @classmethod
    def create(
        cls,
        store: Store,
        runs: Mapping[str, Mapping[str, Any]],
        packs: Sequence[Sequence[str]],
        launcher: Mapping[str, Any],
        catalogues: Sequence[Path] = (),
    ) -> Launch:
        """Write a new launch.

        Parameters
        ----------
        store : Store
        runs : mapping of key to what the worker needs to know of the run
        packs : sequence of sequence of keys
            One a worker, in the order in which it should work.
        launcher : mapping
            The launcher's settings that concern workers.
        catalogues : sequence of Path
            Where data sets are described beside the suite's own.
        """
        folder = store.launches / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        (folder / "workers").mkdir(parents=True)
        content = {
            "created": time.time(),
            "out": str(store.out),
            "packs": [list(p) for p in packs],
            "runs": dict(runs),
            "catalogues": [str(path) for path in catalogues],
        }
        write_json(folder / "launch.json", {**content, "launcher": dict(launcher)})
        return cls(folder)

    @cached_property
    def content(self) -> dict[str, Any]:
        """``launch.json``, or an empty launch if its launcher was killed before it was written."""
        return read_json(self.folder / "launch.json") or {"out": "", "packs": [], "runs": {}, "launcher": {}}

    def keys(self) -> Iterator[str]:
        """Return the keys of the launch's runs."""
        return iter(self.content["runs"])

    def order(self, number: int) -> Iterator[str]:
        """Yield all keys in the order in which worker `number` tries them.

        Its own pack first; then the others', from their ends, where their owners come last.
        """
        packs = self.content["packs"]
        own = number % max(1, len(packs))
        yield from packs[own] if packs else ()
        rest = [list(reversed(packs[(own + shift) % len(packs)])) for shift in range(1, len(packs))]
        for depth in range(max((len(pack) for pack in rest), default=0)):
            yield from (pack[depth] for pack in rest if depth < len(pack))

    def stop(self) -> None:
        """Ask the workers to end at their next step."""
        (self.folder / "stop").touch()

    def is_stopped(self) -> bool:
        """Whether the workers were asked to end."""
        return (self.folder / "stop").exists()

    def submitted(self, number: int, process: int) -> None:
        """Note the process that will become worker `number`."""
        value = {"process": process, "host": socket.gethostname()}
        write_json(self.folder / "workers" / f"{number}.submitted", value, durable=False)

    def enter(self, number: int) -> Any:
        """Return the context in which worker `number` counts as alive."""
        return held(self.folder / "workers" / f"{number}.lock")

    def report(self, worker: Worker) -> None:
        """Write what a worker is doing."""
        write_json(self.folder / "workers" / f"{worker.number}.json", vars(worker), durable=False)

    def workers(self) -> list[Worker]:
        """Return what the living workers are doing."""
        found = []
        for number in self._numbers():
            if self._is_alive(number):
                said = read_json(self.folder / "workers" / f"{number}.json")
                found.append(Worker(**said) if said else Worker(number))
        return found

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _numbers(self) -> list[int]:
        names = {p.stem for p in (self.folder / "workers").glob("*.*") if p.suffix in (".lock", ".submitted")}
        return sorted(int(name) for name in names if name.isdigit())

    def _is_alive(self, number: int) -> bool:
        lock = self.folder / "workers" / f"{number}.lock"
        if lock.exists():
            return is_held(lock)
        submitted = read_json(self.folder / "workers" / f"{number}.submitted")
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


def forget_finished(store: Store) -> None:
    """Delete the folders of launches that have no worker and of which every run is done.

    The others keep theirs: what their workers printed may tell what went wrong.
    """
    for launch in all_launches(store):
        if not launch.workers() and all(store.record(key).is_done() for key in launch.content["runs"]):
            launch.remove()
