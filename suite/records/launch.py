"""What a launch leaves on disk: ``results/launches/<id>/``.

``launch.json`` (the runs and how they are packed), ``workers/<n>.<slot>.json`` (what a worker is doing, for displays),
``workers/<n>.<slot>.lock`` (flock'ed while it lives), ``stop`` (all workers end at their next step), ``<n>.stop``
(those of pack n do), ``cancelled`` (the keys of runs that nobody wants any more), ``jobs/`` (submitit's files).
"""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from suite.launch.packing import Pack
from suite.records.record import Store, held, is_held, read_json, write_json


@dataclass(frozen=True)
class Worker:
    """What a worker says of itself.

    Attributes
    ----------
    number : int
        On this machine any number; on a cluster that of its pack.
    slot : int
        Which of the workers side by side in one array task.
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
    slot: int = 0


class Launch:
    """The folder of one launch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @classmethod
    def create(
        cls, store: Store, runs: Mapping[str, Mapping[str, Any]], packs: Sequence[Pack], settings: Mapping[str, Any]
    ) -> Launch:
        """Write a new launch.

        Parameters
        ----------
        store : Store
        runs : mapping of key to what the worker needs to know of the run
        packs : sequence of Pack
            One a worker, or one an array task, in the order in which it should work.
        settings : mapping
            What else workers need to know; see :func:`suite.launch.campaign.start`.
        """
        folder = store.launches / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        (folder / "workers").mkdir(parents=True)
        content = {"created": time.time(), "out": str(store.out), "packs": [vars(pack) for pack in packs]}
        write_json(folder / "launch.json", {**content, **settings, "runs": dict(runs)})
        return cls(folder)

    @cached_property
    def content(self) -> dict[str, Any]:
        """``launch.json``, or an empty launch if its launcher was killed before it was written."""
        empty = {"kind": "local", "out": "", "created": 0.0, "packs": [], "runs": {}, "launcher": {}}
        return {**empty, **(read_json(self.folder / "launch.json") or {})}

    @property
    def is_on_cluster(self) -> bool:
        """Whether its workers are SLURM's."""
        return bool(self.content["kind"] == "slurm")

    def threads(self, number: int) -> int:
        """Return how many threads worker `number` computes with."""
        settings = self.content["launcher"]
        if settings["threads"] is not None:
            return int(settings["threads"])
        return max(1, int(settings["cpus"]) // int(self.content["packs"][number]["slots"]))

    def keys(self) -> Iterator[str]:
        """Return the keys of the launch's runs."""
        return iter(self.content["runs"])

    def order(self, number: int) -> Iterator[str]:
        """Yield keys in the order in which worker `number` tries them.

        Its own pack first; on this machine then the others', from their ends, where their owners come last.
        """
        packs = [pack["keys"] for pack in self.content["packs"]]
        own = number % max(1, len(packs))
        yield from packs[own] if packs else ()
        if self.is_on_cluster:
            return
        rest = [list(reversed(packs[(own + shift) % len(packs)])) for shift in range(1, len(packs))]
        for depth in range(max((len(pack) for pack in rest), default=0)):
            yield from (pack[depth] for pack in rest if depth < len(pack))

    def is_done(self, key: str, store: Store) -> bool:
        """Whether a run has its result, and not only the one that this launch was made to replace."""
        result, replaces = store.record(key).result(), self.content["runs"][key].get("replaces")
        return result is not None and (replaces is None or result["record"] != replaces)

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
        """Note runs that nobody wants any more: whoever executes one ends it at its next step."""
        with (self.folder / "cancelled").open("a") as file:
            file.write("".join(f"{key}\n" for key in keys))

    def cancelled(self) -> frozenset[str]:
        """Return the keys of runs that nobody wants any more."""
        try:
            return frozenset((self.folder / "cancelled").read_text().split())
        except FileNotFoundError:
            return frozenset()

    def submitted(self, number: int, process: int) -> None:
        """Note the process that will become worker `number`."""
        value = {"process": process, "host": socket.gethostname()}
        write_json(self.folder / "workers" / f"{number}.0.submitted", value, durable=False)

    def enter(self, number: int, slot: int = 0) -> Any:
        """Return the context in which a worker counts as alive."""
        return held(self.folder / "workers" / f"{number}.{slot}.lock")

    def report(self, worker: Worker) -> None:
        """Write what a worker is doing."""
        file = self.folder / "workers" / f"{worker.number}.{worker.slot}.json"
        write_json(file, vars(worker), durable=False)

    def workers(self) -> list[Worker]:
        """Return what the living workers are doing."""
        return [self._said(name) for name in self._names() if self._is_alive(name)]

    def reports(self) -> list[Worker]:
        """Return what all workers said last, the dead ones among them."""
        return [self._said(name) for name in self._names()]

    def _said(self, name: str) -> Worker:
        said = read_json(self.folder / "workers" / f"{name}.json")
        number, slot = map(int, name.split("."))
        return Worker(**said) if said else Worker(number, slot=slot)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _names(self) -> list[str]:
        names = {p.stem for p in (self.folder / "workers").glob("*.*.*") if p.suffix in (".lock", ".submitted")}
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


FORGET_S = 3600.0


def living_workers(store: Store) -> list[Worker]:
    """Return what the living workers of a results folder are doing, whatever their launch."""
    return [worker for launch in all_launches(store) for worker in launch.workers()]


def forget_finished(store: Store) -> None:
    """Delete the folders of launches that have no worker and of which every run is done.

    The others keep theirs: what their workers printed may tell what went wrong. On a cluster an array task may still
    wait in the queue, to find nothing to do: those folders go an hour later.
    """
    for launch in all_launches(store):
        is_quiet = not launch.is_on_cluster or (
            time.time() - launch.content["created"] > FORGET_S
            and not any(map(is_held, (launch.folder / "tasks").glob("*.lock")))
        )
        if is_quiet and not launch.workers() and all(launch.is_done(key, store) for key in launch.content["runs"]):
            launch.remove()
