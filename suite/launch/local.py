"""Worker processes on this machine, through submitit's local executor."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from suite.launch.jobs import LaunchError, kill, thread_count, worker_count
from suite.plan.run import Run
from suite.process import THREADS, gpus
from suite.provenance.snapshot import code_environment
from suite.records.failures import wants_memory
from suite.records.launch import Launch, Worker, living_workers
from suite.records.record import Store
from suite.registry.launchers import LocalLauncher

START_PATIENCE_S = 1.0
STOP_PATIENCE_S = 20.0


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
        self._executor = submitit.LocalExecutor(folder=launch.folder / "jobs")
        self._gpus = gpus()
        self._environment = {
            **dict.fromkeys(THREADS, str(thread_count(launcher))),
            **code_environment(store, launch.spec.snapshot),
        }
        self._jobs: list[Any] = []
        self._fruitless = 0
        self._short_since: float | None = None
        self._stopped_at: float | None = None

    def begin(self, open_runs: Mapping[str, Run], detached: bool) -> None:
        """Start the first workers, as many as the launcher allows beside those of other live launches.

        Raises
        ------
        LaunchError
            If `detached` and there is room for none: nobody would start one later.
        """
        for _ in range(min(len(open_runs), self.parallel() - len(self.workers()))):
            self._submit(self.parallel())
        if detached and not self._jobs:
            self.launch.remove()
            raise LaunchError(
                f"{self.parallel()} workers of earlier launches are at work: without --detach this command waits for "
                "its turn; launcher.workers=N allows more workers; python -m suite cancel stops them"
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
        workers = len(self.workers())
        if workers >= self.parallel():
            self._short_since = None
            return
        # between fork, exec and lock a worker that is just starting looks like none, the longer the busier the machine
        self._short_since = self._short_since or time.monotonic()
        if time.monotonic() - self._short_since < START_PATIENCE_S:
            return
        waiting = [key for key in open_runs if not self._store.record(key).is_running()]
        idle = workers - (len(open_runs) - len(waiting))
        for_all = [key for key in waiting if not wants_memory(self._store.record(key), self.launch.id)]
        beside = self.parallel() if for_all else 1
        if len(for_all or waiting) <= max(idle, 0) or (workers and not for_all):
            return
        self._store.prepare()
        if self._fruitless >= self._launcher.max_attempts * self.parallel():
            raise LaunchError(f"workers die without finishing anything; the last one said:\n{self._last_words()}")
        self._fruitless += 1
        self._short_since = None
        self._submit(beside)

    def parallel(self) -> int:
        """Return how many workers there may be."""
        return worker_count(self._launcher)

    def workers(self) -> list[Worker]:
        """Return what the living workers of this results folder do, those of other launches among them."""
        return living_workers(self._store)

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
        late = time.monotonic() - self._stopped_at > STOP_PATIENCE_S
        # a worker that is still importing has nothing to save
        kill([w for w in workers if late or hard or w.phase == "starting"])
        return False

    def close(self) -> None:
        """Wait for the worker processes to leave."""
        deadline = time.monotonic() + 5
        while self._alive() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _submit(self, beside: int) -> None:
        """Start a worker, on a GPU of its own if there are any."""
        from suite.work.worker import work_and_leave

        number = len(self._jobs)
        device = [self._gpus[number % len(self._gpus)]] if self._gpus else []
        self._executor.update_parameters(
            timeout_min=60 * self._launcher.timeout_hours,
            gpus_per_node=len(device),
            visible_gpus=device,
            stderr_to_stdout=True,
        )
        with _inherited(self._environment), _streams_to(self.launch.folder / "controllers.log"):
            job = self._executor.submit(work_and_leave, str(self.launch.folder), number, 0, beside)
        self.launch.submitted(number, int(job.job_id))
        self._jobs.append(job)

    def _alive(self) -> int:
        return sum(not job.done() for job in self._jobs)

    def _last_words(self) -> str:
        for job in reversed(self._jobs):
            if job.done() and job.paths.stdout.exists():
                return "\n".join(job.paths.stdout.read_text(errors="replace").splitlines()[-30:])
        return ""


@contextlib.contextmanager
def _streams_to(file: Path) -> Iterator[None]:
    """Let processes started in the block print into a file, and keep no pipe or terminal of ours open."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(number) for number in (0, 1, 2)]
    with open(os.devnull) as nothing, file.open("ab") as log:
        for number, stream in enumerate((nothing, log, log)):
            os.dup2(stream.fileno(), number)
    try:
        yield
    finally:
        for number, duplicate in enumerate(saved):
            os.dup2(duplicate, number)
            os.close(duplicate)


@contextlib.contextmanager
def _inherited(environment: Mapping[str, str]) -> Iterator[None]:
    """Let processes started in the block inherit these variables, and outlive a Ctrl-C and a closed terminal."""
    before = {name: os.environ.get(name) for name in environment}
    signals = [signal.SIGINT, signal.SIGHUP]
    handlers = [signal.signal(number, signal.SIG_IGN) for number in signals]
    os.environ.update(environment)
    try:
        yield
    finally:
        for number, handler in zip(signals, handlers, strict=True):
            signal.signal(number, handler)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
