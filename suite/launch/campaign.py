"""A campaign: runs seen through to their ends while the launcher is attached."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from suite.launch.interruption import MIRROR_S, SIGNALS, handling
from suite.launch.jobs import Jobs
from suite.plan.run import Run
from suite.records.failures import identity, is_final
from suite.records.launch import Worker
from suite.records.record import Store

POLL_S = 0.1
#: How long a pause is at least, in looks at the records: looking takes a twentieth of a core, and of a file system.
LOOKING = 20


@dataclass(frozen=True)
class View:
    """Where a campaign stands, for a display.

    Attributes
    ----------
    settled : tuple of (Run, outcome)
        What has ended since the last view; outcome is ``done`` or ``failed``.
    done, failed, total : int
        Of the runs that this campaign executes or waits for.
    workers : list of Worker
    eta_s : float
        Expected seconds to the end.
    stopping : bool
        Whether the workers were asked to end.
    notice : str
        What is being waited for, where the workers do not say it.
    """

    settled: tuple[tuple[Run, str], ...]
    done: int
    failed: int
    total: int
    workers: list[Worker]
    eta_s: float
    stopping: bool
    notice: str = ""


class Display(Protocol):
    """Where a campaign is shown."""

    def say(self, text: str) -> None:
        """Show a line that stays."""
        ...

    def show(self, view: View) -> None:
        """Show where the campaign stands."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a campaign ended."""

    executed: int
    failed: tuple[Run, ...]
    left: int
    interrupted: bool
    cancelled: int = 0


class Campaign:
    """Sees runs through to their end while its launcher is attached.

    Parameters
    ----------
    jobs : Jobs or None
        Where workers come from; None if there is only something to wait for.
    runs : sequence of Run
        What has to be settled: the launch's runs, and those that other live launches have in hand.
    store : Store
    poll_s : float
        How often to look at the records.
    """

    def __init__(self, jobs: Jobs | None, runs: Sequence[Run], store: Store, poll_s: float = POLL_S) -> None:
        self._jobs = jobs
        self._open = {run.key: run for run in runs}
        self._total = len(runs)
        self._store = store
        self._poll_s = poll_s
        of_launch = jobs.launch.spec.runs if jobs is not None else {}
        self._failures_before = {
            key: of_launch[key].failed_before if key in of_launch else identity(store.record(key).failure())
            for key in self._open
        }
        self._failed: list[Run] = []
        self._expected_s = self._spent_s = 0.0
        self._is_getting_on = True
        self._interrupts = 0
        self._interrupted_at = 0.0
        self._cancelled = 0

    def begin(self, detached: bool = False) -> None:
        """Start the first workers, or all of them if `detached`.

        Raises
        ------
        LaunchError
            If that is not possible.
        """
        if self._jobs is not None:
            self._jobs.begin(self._open, detached)

    def watch(self, show: Callable[[View], None]) -> Outcome:
        """Stay until everything is settled, replacing what is lost.

        Within :meth:`interruptible`, Ctrl-C asks the workers of this machine to end at their next step, with a
        checkpoint; a second one kills them, and so does time. Those on a cluster stay.

        Raises
        ------
        LaunchError
            If workers die again and again without finishing anything.
        OSError
            If the results folder can no longer be written.
        """
        while not self._has_stopped():
            began = time.monotonic()
            show(self._view())
            if not self._open:
                break
            if self._jobs is not None and not self._interrupts:
                self._jobs.tend(self._open, self._is_getting_on)
            # the more open runs, the longer a look at them takes: leave the cores, and a file server, to the workers
            self._sleep(max(self._poll_s, LOOKING * (time.monotonic() - began)))
        show(self._view())
        executed = self._total - len(self._open) - len(self._failed) - self._cancelled
        return Outcome(executed, tuple(self._failed), len(self._open), self._interrupts > 0, self._cancelled)

    def close(self) -> None:
        """Wait for the workers to leave."""
        if self._jobs is not None:
            self._jobs.close()

    def kill(self) -> None:
        """End the workers of this machine at once; their runs go on from their last checkpoints."""
        if self._jobs is not None:
            self._jobs.stop(hard=True)

    def patience_s(self, longest_s: float) -> float:
        """Return for how many of `longest_s` seconds something may still be waited for: fewer after an interruption."""
        if not self._interrupts:
            return longest_s
        spent = time.monotonic() - self._interrupted_at
        return max(0.0, MIRROR_S - spent) if self._interrupts == 1 else 0.0

    def _view(self) -> View:
        settled = tuple(self._settle())
        self._drop_cancelled()
        self._is_getting_on = bool(settled)
        self._failed.extend(run for run, outcome in settled if outcome == "failed")
        workers = self._jobs.workers() if self._jobs is not None else []
        gone = {w.key: time.time() - w.since for w in workers if w.key}
        left = sum(max(0.0, run.estimate_s - gone.get(key, 0.0)) for key, run in self._open.items())
        if self._spent_s:  # correct the estimates by what the first runs took
            left *= self._spent_s / self._expected_s
        done = self._total - len(self._open) - len(self._failed) - self._cancelled
        parallel = self._jobs.parallel() if self._jobs is not None else 1
        eta = left / max(1, min(parallel, len(self._open)))
        notice = self._jobs.notice() if self._jobs is not None else ""
        return View(settled, done, len(self._failed), self._total, workers, eta, self._interrupts > 0, notice)

    def _settle(self) -> Iterator[tuple[Run, str]]:
        for key, run in list(self._open.items()):
            outcome = self._outcome(run) if self._store.has_ended(key) else None
            if outcome:
                del self._open[key]
                yield run, outcome

    def _drop_cancelled(self) -> None:
        for key in self._jobs.launch.cancelled() & self._open.keys() if self._jobs is not None else ():
            if not self._store.record(key).is_running():
                del self._open[key]
                self._cancelled += 1

    def _outcome(self, run: Run) -> str | None:
        record = self._store.record(run.key)
        result = record.result()
        if result is not None and result["record"] != run.replaces:
            self._expected_s += run.estimate_s
            self._spent_s += sum(result["seconds"].values())
            return "done"
        failure = record.failure()
        if failure is None or not is_final(failure):
            return None
        return "failed" if identity(failure) != self._failures_before[run.key] else None

    def _has_stopped(self) -> bool:
        if not self._interrupts:
            return False
        return self._jobs is None or self._jobs.stop(hard=self._interrupts > 1)

    def _sleep(self, seconds: float) -> None:
        """Sleep until an interruption, after which a signal's handler lets :func:`time.sleep` go on."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_S))
            if self._interrupts:
                return

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let Ctrl-C and TERM end the campaign in the block, not the process."""

        def interrupt(number: int, frame: object) -> None:
            self._interrupts += 1
            self._interrupted_at = self._interrupted_at or time.monotonic()

        with handling(dict.fromkeys(SIGNALS, interrupt)):
            yield
