"""Plan to submitit jobs on this machine: packing, a bound on workers, replacement of dead ones, a clean stop."""

from __future__ import annotations

import contextlib
import heapq
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from suite.jobs import DebugJobs, Jobs, LocalJobs, kill, thread_count, worker_count
from suite.launches import Launch, Worker, live_launches
from suite.plan import Plan, Run
from suite.records import Store
from suite.registry import Launcher, Registry

START_PATIENCE_S = 1.0
STOP_PATIENCE_S = 20.0
POLL_S = 0.1


class LaunchError(RuntimeError):
    """Workers cannot do their work here, whatever the run."""


@dataclass(frozen=True)
class Snapshot:
    """Where a campaign stands, for a display.

    Attributes
    ----------
    settled : tuple of (Run, outcome)
        What has ended since the last snapshot; outcome is ``done`` or ``failed``.
    done, failed, total : int
        Of the runs that this campaign executes or waits for.
    workers : list of Worker
    eta_s : float
        Expected seconds to the end.
    stopping : bool
        Whether the workers were asked to end.
    """

    settled: tuple[tuple[Run, str], ...]
    done: int
    failed: int
    total: int
    workers: list[Worker]
    eta_s: float
    stopping: bool


@dataclass(frozen=True)
class Outcome:
    """How a campaign ended."""

    executed: int
    failed: tuple[Run, ...]
    left: int
    interrupted: bool


def to_execute(plan: Plan, rerun: Sequence[str] = ()) -> list[Run]:
    """Return the runs that a launch has to start: missing, failed unless sure to fail again, and what `rerun` adds.

    Parameters
    ----------
    plan : Plan
    rerun : sequence of str
        States to execute again: ``stale``, ``failed``, ``done``.
    """
    states = {"missing", *rerun}
    return [
        r for r in plan.runs if r.state in states or (r.state == "failed" and not r.reason.startswith("non_finite"))
    ]


def start(runs: Sequence[Run], registry: Registry, store: Store) -> Launch:
    """Write a launch of these runs, dealt out by estimated cost, longest first.

    Raises
    ------
    OSError
        If the results folder cannot be written.
    """
    store.prepare()
    specification = {
        run.key: {
            "key": run.key,
            "name": run.name,
            "experiment": registry.document.experiment,
            "benchmark": run.benchmark,
            "loss": run.loss,
            "kind": run.kind,
            "seed": run.seed,
            "profile": run.profile,
            "purpose": run.purpose,
            "metric": dict(run.metric),
            "config": run.config,
            "code": dict(run.code),
            "replaces": run.record if run.state in ("stale", "done") else None,
        }
        for run in runs
    }
    launcher = registry.document.launcher
    workers = min(worker_count(launcher), max(1, len(runs)))
    packs = pack({run.key: run.estimate_s for run in runs}, workers)
    settings = {"max_attempts": launcher.max_attempts, "checkpoint_minutes": launcher.checkpoint_minutes}
    settings["threads"] = thread_count(launcher)
    return Launch.create(store, specification, packs, settings, registry.catalogues)


def pack(cost: Mapping[str, float], workers: int) -> list[list[str]]:
    """Deal keys out to workers, the costliest first, each to the worker with the least to do."""
    heap: list[tuple[float, int]] = [(0.0, number) for number in range(workers)]
    packs: list[list[str]] = [[] for _ in range(workers)]
    for key in sorted(cost, key=lambda k: -cost[k]):
        load, number = heapq.heappop(heap)
        packs[number].append(key)
        heapq.heappush(heap, (load + cost[key], number))
    return packs


class Campaign:
    """Executes runs to their end while its launcher is attached.

    Parameters
    ----------
    launch : Launch or None
        The launch to execute; None if there is only something to wait for.
    runs : sequence of Run
        What has to be settled: the launch's runs, and those that other live launches have in hand.
    launcher : Launcher
    store : Store
    """

    def __init__(self, launch: Launch | None, runs: Sequence[Run], launcher: Launcher, store: Store) -> None:
        self._launch = launch
        self._open = {run.key: run for run in runs}
        self._total = len(runs)
        self._store = store
        self._launcher = launcher
        self._jobs: Jobs | None = None
        if launch is not None:
            self._jobs = DebugJobs(launch) if launcher.kind == "debug" else LocalJobs(launch, launcher)
        self._started = time.time()
        self._failed: list[Run] = []
        self._expected_s = self._spent_s = 0.0
        self._submitted = 0
        self._fruitless = 0
        self._interrupts = 0
        self._stopped_at: float | None = None
        self._short_since: float | None = None

    def submit(self, detached: bool = False) -> None:
        """Start the first workers, as many as the launcher allows beside those of other live launches.

        Raises
        ------
        LaunchError
            If `detached` and there is room for none: nobody would start one later.
        """
        if self._launch is None or self._jobs is None:
            return
        for _ in range(min(len(self._open), self._wanted() - len(self._workers()))):
            self._submit_one(self._jobs)
        if detached and not self._submitted:
            self._launch.remove()
            raise LaunchError(
                f"{self._wanted()} workers of earlier launches are at work: without --detach this command waits for "
                "its turn; launcher.workers=N allows more workers; python -m suite cancel stops them"
            )

    def watch(self, show: Callable[[Snapshot], None]) -> Outcome:
        """Stay until everything is settled, replacing workers that die.

        Ctrl-C asks the workers to end at their next step, with a checkpoint; a second one kills them.

        Raises
        ------
        LaunchError
            If workers die again and again without finishing anything.
        OSError
            If the results folder can no longer be written.
        """
        with self._signals():
            while not self._has_stopped():
                began = time.monotonic()
                show(self._snapshot())
                if not self._open:
                    break
                self._replace_workers()
                # with thousands of open runs a look at them takes long: leave the cores to the workers
                time.sleep(max(POLL_S, 5 * (time.monotonic() - began)))
            show(self._snapshot())
        executed = self._total - len(self._open) - len(self._failed)
        return Outcome(executed, tuple(self._failed), len(self._open), self._interrupts > 0)

    def close(self) -> None:
        """Wait for the worker processes to leave."""
        deadline = time.monotonic() + 5
        while self._jobs is not None and self._jobs.alive() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _wanted(self) -> int:
        return worker_count(self._launcher)

    def _workers(self) -> list[Worker]:
        return [worker for launch in live_launches(self._store) for worker in launch.workers()]

    def _submit_one(self, jobs: Jobs) -> None:
        jobs.submit(self._submitted)
        self._submitted += 1

    def _snapshot(self) -> Snapshot:
        settled = tuple(self._settle())
        if settled:
            self._fruitless = 0
        self._failed.extend(run for run, outcome in settled if outcome == "failed")
        workers = self._workers()
        gone = {w.key: time.time() - w.since for w in workers if w.key}
        left = sum(max(0.0, run.estimate_s - gone.get(key, 0.0)) for key, run in self._open.items())
        if self._spent_s:  # correct the estimates by what the first runs took
            left *= self._spent_s / self._expected_s
        done = self._total - len(self._open) - len(self._failed)
        eta = left / max(1, min(self._wanted(), len(self._open)))
        return Snapshot(settled, done, len(self._failed), self._total, workers, eta, self._interrupts > 0)

    def _settle(self) -> Iterator[tuple[Run, str]]:
        for key, run in list(self._open.items()):
            outcome = self._outcome(run)
            if outcome:
                del self._open[key]
                yield run, outcome

    def _outcome(self, run: Run) -> str | None:
        record = self._store.record(run.key)
        result = record.result()
        if result is not None:
            if run.state in ("stale", "done") and result["record"] == run.record:
                return None
            self._expected_s += run.estimate_s
            self._spent_s += sum(result["seconds"].values())
            return "done"
        failure = record.failure()
        return "failed" if failure is not None and failure["finished"] >= self._started else None

    def _replace_workers(self) -> None:
        if self._jobs is None or self._interrupts:
            return
        workers = len(self._workers())
        if workers >= self._wanted():
            self._short_since = None
            return
        # between fork, exec and lock a worker that is just starting looks like none, the longer the busier the machine
        self._short_since = self._short_since or time.monotonic()
        if time.monotonic() - self._short_since < START_PATIENCE_S:
            return
        waiting = sum(not self._store.record(key).is_running() for key in self._open)
        idle = workers - (len(self._open) - waiting)
        if waiting <= max(idle, 0):
            return
        self._store.prepare()
        if self._fruitless >= self._launcher.max_attempts * self._wanted():
            raise LaunchError(f"workers die without finishing anything; the last one said:\n{self._jobs.last_words()}")
        self._fruitless += 1
        self._short_since = None
        self._submit_one(self._jobs)

    def _has_stopped(self) -> bool:
        if not self._interrupts or self._launch is None or self._jobs is None:
            return self._interrupts > 0
        workers = self._launch.workers()
        if not workers and not self._jobs.alive():
            return True
        late = self._stopped_at is not None and time.monotonic() - self._stopped_at > STOP_PATIENCE_S
        # a worker that is still importing has nothing to save
        kill([w for w in workers if late or self._interrupts > 1 or w.phase == "starting"])
        return False

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def interrupt(number: int, frame: object) -> None:
            self._interrupts += 1
            self._stopped_at = self._stopped_at or time.monotonic()
            if self._launch is not None:
                self._launch.stop()

        caught = (signal.SIGINT, signal.SIGTERM)
        handlers = [signal.signal(number, interrupt) for number in caught]
        try:
            yield
        finally:
            for number, handler in zip(caught, handlers, strict=True):
                signal.signal(number, handler)
