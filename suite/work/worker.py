"""Takes the runs of a launch one by one inside a job, and sees to it that each is executed once.

A worker takes its own pack first and then whatever others have not started or have lost, and ends when nothing is left
to take. One failing run ends nothing else.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from suite.data import Store as DataStore
from suite.process import import_from, leave, signal_at_parents_death
from suite.provenance import machine
from suite.records.arrays import order
from suite.records.failures import deaths, fruitless_interruptions, record_failure
from suite.records.launch import Launch, Worker, has_joined
from suite.records.permissions import follow_sharing
from suite.records.record import Record, Store
from suite.records.specs import RunSpec, changed_data, unpinned
from suite.work.execution import Execution
from suite.work.partners import Spread
from suite.work.setup import prepare_process
from suite.work.staging import Staging

HOST = socket.gethostname()
#: What SLURM sends to every process of a task; the pilot knows what it means, and says so by a file.
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)
#: What the kernel sends to a worker whose pilot dies; nothing else sends it.
PILOT_DIED = signal.SIGHUP


def work(folder: str, number: int, slot: int = 0, beside: int = 1, benchmarks: Sequence[str] = ()) -> int:
    """Carry out the runs of a launch as one of its workers.

    Parameters
    ----------
    folder : str
        The launch's folder.
    number : int
        Which worker this is, from 0; on a cluster, its pack.
    slot : int
        Which of the workers side by side in one array task.
    beside : int
        How many workers there are at most where this one runs, itself among them.
    benchmarks : sequence of str
        Names and globs of those whose runs it takes; all if there are none.

    Returns
    -------
    int
        How many runs this worker brought to an end.
    """
    launch = Launch(Path(folder))
    follow_sharing(launch.folder.parent.parent)  # a batch system may start jobs with permissions of its own
    import_from(launch.spec.path)
    if has_joined(number) and not launch.spec.runs:  # its folder has been removed meanwhile
        return 0
    if launch.is_on_cluster or has_joined(number):
        for warning in (*WARNINGS, *([signal.SIGINT] if has_joined(number) else [])):  # a terminal's Ctrl-C, too
            signal.signal(warning, lambda number, frame: None)  # not SIG_IGN, which child processes would inherit
    spread = Spread.joined()
    if not spread.is_first:
        spread.follow(launch, number)
        return 0
    with launch.enter(number, slot), spread:
        return RunWorker(launch, number, slot, beside, spread, benchmarks).work()


def work_and_leave(folder: str, number: int, slot: int = 0, beside: int = 1, *benchmarks: str) -> None:
    """Be a worker of a launch, in a process of its own, and end the process: all that counts is on disk."""
    work(folder, number, slot, beside, benchmarks)
    leave(0)


class RunWorker:
    """The loop of one worker."""

    def __init__(
        self, launch: Launch, number: int, slot: int, beside: int, spread: Spread, benchmarks: Sequence[str] = ()
    ) -> None:
        self.launch = launch
        self.number = number
        self.slot = slot
        self.beside = beside
        self.spread = spread
        self.data = DataStore.of(launch.spec.catalogues)
        self.staging = Staging(self.data, launch.spec.work.scratch)
        self.benchmarks = benchmarks
        # another machine may have the folder at another path than the launcher's
        self.store = Store(launch.folder.parent.parent if has_joined(number) else launch.spec.out)
        self._has_pilot = launch.is_on_cluster or has_joined(number)
        self.settings = launch.spec.work
        self._reported = 0.0
        self._looked = 0.0
        self._asked: str | None = None
        self._is_alone = False
        self._cancelled: frozenset[str] = frozenset()

    def work(self) -> int:
        """Take runs until none is left; returns how many came to an end."""
        self.report(self.state("starting"), now=True)
        prepare_process(self.launch.threads(self.number, self.beside))
        ended = 0
        with self._outliving_pilot(), self.staging:
            for key in order(self.launch, self.number):
                if self.stop_reason(now=True) is not None:
                    break
                if key not in self._cancelled and self._is_wanted(key):
                    ended += self._try(self.launch.spec.runs[key])
        self.report(self.state("ended"), now=True)
        return ended

    def _try(self, run: RunSpec) -> int:
        record = self.store.record(run.key)
        if not self.launch.is_for(run.key, self.store, self.beside):
            return 0
        with record.claimed() as ours:
            if not ours or not self.launch.is_for(run.key, self.store, self.beside):
                return 0
            self._renew(record, run)
            attempt = deaths(record, self.launch.id) + 1
            if attempt > self.settings.max_attempts:
                message = (
                    f"its worker died {attempt - 1} times while it ran (out of memory, or a crash in native code?)"
                )
                record_failure(record, self.launch.id, "killed", message, attempt - 1)
                return 1
            if fruitless_interruptions(record, self.launch.id) >= self.settings.max_attempts:
                message = "it reaches its array task's time limit again and again without one more step: launcher.time"
                record_failure(record, self.launch.id, "timeout", message, self.settings.max_attempts)
                return 1
            return Execution(self, record, run, attempt).carry_out()

    def _is_wanted(self, key: str) -> bool:
        return not self.benchmarks or is_among(self.launch.spec.runs[key].benchmark, self.benchmarks)

    def _renew(self, record: Record, run: RunSpec) -> None:
        """Put aside what cannot be continued: a result to be replaced, or a start made with other code or data."""
        result, before = record.result(), record.run()
        is_replaced = before is not None and before["record"] == run.replaces
        is_other_code = before is not None and machine.changed_modules(before["code"], run.code)
        names = unpinned(run.config)
        is_other_data = before is not None and names and changed_data(before, self.data.recorded(names))
        is_unknown = before is None and record.checkpoint.exists()  # which code has made it, nothing tells any more
        if result is not None or is_replaced or is_other_code or is_other_data or is_unknown:
            record.supersede(self.store.superseded)

    def state(self, phase: str, **run: Any) -> Worker:
        """Return what this worker is doing, for its report."""
        return Worker(self.number, HOST, os.getpid(), phase, slot=self.slot, **run)

    def report(self, worker: Worker, now: bool = False) -> None:
        """Say what this worker is doing, now or if the last time is a while ago."""
        if now or time.monotonic() - self._reported > 0.5:
            self._reported = time.monotonic()
            self.launch.report(worker)

    def stop_reason(self, now: bool = False) -> str | None:
        """Why this worker has to end; None while it has not."""
        if now or time.monotonic() - self._looked > 0.1:
            self._looked = time.monotonic()
            own = self.number if self._has_pilot else None
            self._asked = self._asked or self.launch.stop_reason(own)
            self._cancelled = self.launch.cancelled()
        return self._asked or ("terminated" if self._is_alone else None)

    def interruption(self, key: str) -> str | None:
        """Why a run has to end at its next step; None while it has not."""
        return self.stop_reason() or ("cancelled" if key in self._cancelled else None)

    @contextlib.contextmanager
    def _outliving_pilot(self) -> Iterator[None]:
        """End at the next step when the pilot dies: this process would be out of its site's reach."""

        def note(number: int, frame: object) -> None:
            self._is_alone = True

        handler = signal.signal(PILOT_DIED, note) if self._has_pilot else None
        try:
            yield
        finally:
            if handler is not None:
                signal.signal(PILOT_DIED, handler)


def is_among(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of some names and globs."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _watch_pilot() -> None:
    signal_at_parents_death(PILOT_DIED)
    if os.getppid() != int(os.environ.get("SUITE_PILOT", os.getppid())):  # it died before the line above
        sys.exit(1)


if __name__ == "__main__":
    _watch_pilot()
    _folder, _number, _slot, _beside, *_benchmarks = sys.argv[1:]
    work_and_leave(_folder, int(_number), int(_slot), int(_beside), *_benchmarks)
