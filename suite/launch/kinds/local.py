"""The launcher kind ``local``: worker processes on this machine, through submitit's local executor."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from suite.launch.interruption import WORKERS_S, handling
from suite.launch.jobs import Jobs, LaunchError, kill, unpatterned
from suite.launch.kind import Kind
from suite.launch.packing import deal
from suite.plan.run import Run
from suite.process import THREADS, cores, gpus, in_own_environment
from suite.provenance.snapshot import code_environment
from suite.records.launch import Launch, Worker, has_joined, living_workers
from suite.records.record import Store
from suite.records.specs import Pack, turns
from suite.registry.launchers import Auto
from suite.registry.registry import Registry
from suite.work.forks import Seat, work_in_forks

START_PATIENCE_S = 1.0


@dataclass(frozen=True)
class LocalLauncher(Kind):
    """How runs get onto this machine.

    Attributes
    ----------
    kind : str
        ``local``.
    workers : int or "auto"
        Processes at a time; ``auto`` is one a GPU, else one a core.
    threads : int or "auto"
        Threads a worker computes with. On a CPU ``auto`` is 1: the number of threads changes the last bits of a sum, so
        results must not depend on how many workers there are. On a GPU it is cores / workers.
    timeout_hours : float
        Lifetime of a worker.
    start : "auto", "fork" or "spawn"
        Whether the first workers are forked from one process that has imported torch, or import it each; results are
        the same. ``auto`` forks on Linux where there is no GPU and a worker computes with one thread.
    """

    kind: Literal["local"]
    workers: Annotated[int, Ge(1)] | Auto = "auto"
    timeout_hours: Annotated[float, Gt(0)] = 168.0
    start: Literal["auto", "fork", "spawn"] = "auto"

    def parallel(self) -> int:
        """Return how many workers run at a time."""
        return self.workers if isinstance(self.workers, int) else len(gpus()) or cores()

    def worker_threads(self) -> int:
        """Return how many threads a worker computes with."""
        if isinstance(self.threads, int):
            return self.threads
        return max(1, cores() // self.parallel()) if gpus() else 1

    def packs(self, runs: Sequence[Run], registry: Registry) -> list[Pack]:
        """Return what each worker does first, dealt out seed by seed and by expected time."""
        cost = {run.key: run.estimate_s for run in runs}
        dealt = deal(cost, turns(runs), min(self.parallel(), max(1, len(runs))))
        return [Pack(tuple(keys), sum(cost[key] for key in keys)) for keys in dealt]

    def jobs(self, launch: Launch, store: Store) -> Jobs:
        """Return the processes of a launch."""
        return LocalJobs(launch, self, store)

    def cost(self, runs: Sequence[Run], registry: Registry, clock: Callable[[float], str]) -> str:
        """Return how long so many workers take."""
        seconds, workers = sum(run.estimate_s for run in runs), self.parallel()
        return f"about {clock(seconds / workers)} with {workers} workers"


class LocalJobs:
    """Workers of this machine. submitit has no queue for them: here they are bounded, and replaced when they die.

    Parameters
    ----------
    launch : Launch
    launcher : LocalLauncher
    store : Store
    """

    def __init__(self, launch: Launch, launcher: LocalLauncher, store: Store) -> None:
        import submitit

        self.launch = launch
        self._launcher = launcher
        self._store = store
        self._executor = submitit.LocalExecutor(folder=unpatterned(launch.folder) / "jobs")
        self._gpus = gpus()
        self._environment = {
            **dict.fromkeys(THREADS, str(launcher.worker_threads())),
            **code_environment(store, launch.spec.snapshot),
        }
        self._jobs: list[Any] = []
        self._started = 0
        self._fruitless = 0
        self._short_since: float | None = None
        self._stopped_at: float | None = None

    def begin(self, open_runs: Mapping[str, Run], detached: bool) -> None:
        """Start the first workers, as many as the launcher allows beside those of other live launches.

        Raises
        ------
        LaunchError
            If `detached` and there is room for none: no launcher would start one later.
        """
        self._start(min(len(open_runs), self.parallel() - self._ours()), self.parallel())
        if detached and not self._jobs:
            self.launch.remove()
            raise LaunchError(
                f"{self.parallel()} workers of earlier launches are at work: without --detach this command waits for "
                "its turn; launcher.workers=N allows more workers; "
                f"python -m suite cancel{self._store.option} stops them"
            )

    def tend(self, open_runs: Mapping[str, Run], is_getting_on: bool) -> None:
        """Start a worker where one is missing; one alone for what ran out of memory beside others.

        Raises
        ------
        LaunchError
            If workers die again and again without finishing anything.
        """
        if is_getting_on:
            self._fruitless = 0
        workers = self._ours()
        if workers >= self.parallel():
            self._short_since = None
            return
        # between fork, exec and lock a worker that is just starting looks like none, the longer the busier the machine
        self._short_since = self._short_since or time.monotonic()
        if time.monotonic() - self._short_since < START_PATIENCE_S:
            return
        waiting = [key for key in open_runs if not self._store.record(key).is_running()]
        idle = len(self.workers()) - (len(open_runs) - len(waiting))
        for_all = [key for key in waiting if self.launch.is_for(key, self._store, self.parallel())]
        beside = self.parallel() if for_all else 1
        if len(for_all or waiting) <= max(idle, 0) or (workers and not for_all):
            return
        self._store.prepare()
        if self._fruitless >= self._launcher.max_attempts * self.parallel():
            raise LaunchError(f"workers die without finishing anything; the last one said:\n{self._last_words()}")
        self._fruitless += 1
        self._short_since = None
        self._start(1, beside)

    def parallel(self) -> int:
        """Return how many workers there may be."""
        return self._launcher.parallel()

    def workers(self) -> list[Worker]:
        """Return what the living workers of this results folder do, those of other launches among them."""
        return living_workers(self._store)

    def _ours(self) -> int:
        """Return how many workers launchers have started; those that joined compute on cores of their own."""
        return sum(not has_joined(worker.number) for worker in self.workers())

    def notice(self) -> str:
        """Return nothing: the workers speak for themselves."""
        return ""

    def stop(self, hard: bool) -> bool:
        """Ask the workers to end at their next step, with a checkpoint; kill them if `hard`, or when they take long."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self.launch.stop()
        workers = self.launch.workers()
        if not workers and not self._alive():
            return True
        if hard or time.monotonic() - self._stopped_at > WORKERS_S:
            self._kill_all()
        # a worker that is still importing has nothing to save
        kill([w for w in workers if w.phase == "starting"])
        return False

    def _kill_all(self) -> None:
        """Kill the processes that were submitted and whatever they have started: not every one has a lock yet."""
        import psutil

        for job in self._jobs:
            with contextlib.suppress(psutil.NoSuchProcess):
                controller = psutil.Process(int(job.job_id))
                if controller.ppid() != os.getpid():  # it has ended, and its number is another's
                    continue
                for process in [*controller.children(recursive=True), controller]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
        kill(self.launch.workers())

    def close(self) -> None:
        """Wait for the worker processes to leave."""
        deadline = time.monotonic() + 5
        while self._alive() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _start(self, count: int, beside: int) -> None:
        """Start workers: forked from one process, or each with an interpreter of its own."""
        seats = [self._seat(self._started + shift) for shift in range(count)]
        self._started += len(seats)
        if len(seats) > 1 and self._is_to_fork():
            self._submit(seats, None, work_in_forks, str(self.launch.folder), seats, beside)
            return
        from suite.work.worker import work_and_leave

        for seat in seats:
            self._submit([seat], seat.device, work_and_leave, str(self.launch.folder), seat.number, 0, beside)

    def _seat(self, number: int) -> Seat:
        """Return the seat of worker `number`: on a GPU of its own if there are any."""
        return Seat(number, self._gpus[number % len(self._gpus)] if self._gpus else None)

    def _is_to_fork(self) -> bool:
        """Whether workers are forked; by itself only where torch is known to survive that."""
        if self._launcher.start == "auto":
            return sys.platform == "linux" and not self._gpus and self._launcher.worker_threads() == 1
        return self._launcher.start == "fork"

    def _submit(self, seats: Sequence[Seat], device: str | None, *work: Any) -> None:
        """Submit a job that is, or starts, the workers of some seats."""
        devices = [] if device is None else [device]
        self._executor.update_parameters(
            timeout_min=60 * self._launcher.timeout_hours,
            gpus_per_node=len(devices),
            stderr_to_stdout=True,
        )
        # set past submitit, which takes numbers alone: a slice of a GPU has a name, as in MIG-377e...
        self._executor.parameters["visible_gpus"] = devices
        with in_own_environment(self._environment), _outliving(), _streams_to(self.launch.folder / "controllers.log"):
            job = self._executor.submit(*work)
        for seat in seats:
            self.launch.submitted(seat.number, int(job.job_id))
        self._jobs.append(job)

    def _alive(self) -> int:
        return sum(not job.done() for job in self._jobs)

    def _last_words(self) -> str:
        """Return the end of what the last worker that said anything has said."""
        files = (self.launch.folder / "jobs").glob("*.out")
        for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
            if said := file.read_text(errors="replace", encoding="utf-8").splitlines():
                return "\n".join(said[-30:])
        return ""


@contextlib.contextmanager
def _streams_to(file: Path) -> Iterator[None]:
    """Let processes started in the block print into a file, and keep no pipe or terminal of ours open."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(number) for number in (0, 1, 2)]
    with open(os.devnull, encoding="utf-8") as nothing, file.open("ab") as log:
        for number, stream in enumerate((nothing, log, log)):
            os.dup2(stream.fileno(), number)
    try:
        yield
    finally:
        for number, duplicate in enumerate(saved):
            os.dup2(duplicate, number)
            os.close(duplicate)


def _outliving() -> AbstractContextManager[None]:
    """Let processes started in the block outlive a Ctrl-C and a closed terminal."""
    return handling(dict.fromkeys((signal.SIGINT, signal.SIGHUP), signal.SIG_IGN))
