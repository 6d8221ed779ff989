"""The launcher kind ``pool``: runs wait for workers that somebody starts, ``python -m suite worker``."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from suite.launch.jobs import Jobs
from suite.launch.kind import Kind
from suite.plan.run import Run
from suite.records.launch import Launch, Worker, living_workers
from suite.records.record import Store
from suite.records.specs import Pack, turns
from suite.registry.registry import Registry

SILENCE_S: Final = 120.0
"""A worker whose report has not changed for so long is named; it may be in a long evaluation."""


@dataclass(frozen=True)
class PoolLauncher(Kind):
    """How runs wait for workers; the attributes are those of every launcher.

    Attributes
    ----------
    kind : str
        ``pool``.
    """

    is_pool: ClassVar[bool] = True
    keeps: ClassVar[str] = "workers   go on"
    kind: Literal["pool"]

    def packs(self, runs: Sequence[Run], registry: Registry) -> list[Pack]:
        """Return one pack: whoever comes takes the next run, seed by seed and the longest first."""
        turn = turns(runs)
        ordered = sorted(runs, key=lambda run: (turn[run.key], -run.estimate_s))
        return [Pack(tuple(run.key for run in ordered), sum(run.estimate_s for run in runs))]

    def worker_threads(self) -> int | None:
        """Return how many threads a worker computes with; None to let it see what its machine has."""
        return self.threads if isinstance(self.threads, int) else None

    def needs(self, store: Store) -> str:
        """Return the command line of a worker."""
        return worker_command(store)

    def jobs(self, launch: Launch, store: Store) -> Jobs:
        """Return the workers that have joined."""
        return PoolJobs(launch, store)

    def cost(self, runs: Sequence[Run], registry: Registry, clock: Callable[[float], str]) -> str:
        """Return how long one worker takes."""
        return f"about {clock(sum(run.estimate_s for run in runs))} of one worker; each further one takes its share"


class PoolJobs:
    """The workers that have joined: nothing here starts or ends them.

    Parameters
    ----------
    launch : Launch
    store : Store
    """

    def __init__(self, launch: Launch, store: Store) -> None:
        self.launch = launch
        self._store = store
        self._signs = Signs()

    def begin(self, open_runs: Mapping[str, Run], detached: bool) -> None:
        """Do nothing: the launch is written, and waits."""

    def tend(self, open_runs: Mapping[str, Run], is_getting_on: bool) -> None:
        """Do nothing: what a worker has lost, the next one takes."""

    def parallel(self) -> int:
        """Return how many workers there are, at least one."""
        return max(1, len(self.workers()))

    def workers(self) -> list[Worker]:
        """Return what the living workers of this results folder do."""
        return living_workers(self._store)

    def notice(self) -> str:
        """Return the command that starts a worker, how many there are, and which of them say nothing."""
        workers = self.workers()
        silent = self._signs.silent(workers)
        more = f"no sign of life for {SILENCE_S:g} s from {', '.join(silent)}; " if silent else ""
        hosts = sorted({worker.host for worker in workers if worker.host})
        there = f"{len(workers)} workers on {', '.join(hosts)}" if hosts else f"{len(workers)} workers"
        return f"{there}; {more}start more anywhere: {worker_command(self._store)}"

    def stop(self, hard: bool) -> bool:
        """Return True: workers go on when the launcher leaves."""
        return True

    def close(self) -> None:
        """Do nothing: workers leave by themselves."""


class Signs:
    """When workers last gave a sign of life, seen from here: by changes of their reports, never by their clocks."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, int], tuple[Worker, float]] = {}

    def silent(self, workers: Sequence[Worker]) -> list[str]:
        """Note what workers report, and return host and process of those that have long reported nothing new."""
        now, found = time.monotonic(), {}
        for worker in workers:
            identity = (worker.host, worker.process, worker.slot)
            said, since = self._seen.get(identity, (worker, now))
            found[identity] = (worker, now if worker != said else since)
        self._seen = found
        return [f"{worker.host}:{worker.process}" for worker, since in found.values() if now - since > SILENCE_S]


def worker_command(store: Store) -> str:
    """Return the command line of a worker for a results folder."""
    return shlex.join(["python", "-m", "suite", "worker", "--out", str(store.out)])
