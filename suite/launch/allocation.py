"""Workers that join from an allocation of any kind: started on what it gives, replaced when they die, ended in time."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final

from suite.launch.jobs import LaunchError
from suite.process import OFFLINE, THREADS, cores, gpus, own_environment
from suite.provenance.snapshot import code_environment
from suite.records.launch import Launch, all_launches
from suite.records.record import Store
from suite.work.worker import is_among

logger = logging.getLogger("suite")

POLL_S: Final = 0.2
LOOK_S: Final = 2.0
#: How long before its time is over an allocation asks its workers to save, if that is less than a tenth of the time.
MARGIN_S: Final = 120.0
#: What a scheduler that sends TERM leaves at the least; Kubernetes gives 30 s.
KILL_WAIT_S: Final = 25.0
RESERVE_S: Final = 5.0
ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True)
class Terms:
    """What an allocation takes, and for how long.

    Attributes
    ----------
    time_s : float or None
        When it has to be over, from its start; None for never.
    idle_s : float
        How long to stay for more to do.
    launch : str or None
        The only launch whose runs are taken.
    benchmarks : tuple of str
        Names and globs of those whose runs are taken; all if there are none.
    workers : int or None
        Runs side by side; one a GPU, else one a core, by default.
    """

    time_s: float | None = None
    idle_s: float = 0.0
    launch: str | None = None
    benchmarks: tuple[str, ...] = ()
    workers: int | None = None


class _Seat:
    """A place for one worker at a time."""

    def __init__(self, slot: int, device: str | None) -> None:
        self.slot = slot
        self.device = device
        self.process: subprocess.Popen[bytes] | None = None


class Allocation:
    """The workers that one ``python -m suite worker`` starts.

    Parameters
    ----------
    store : Store
    terms : Terms

    Attributes
    ----------
    runs_left : bool
        After :meth:`run`: whether it left with work to do.
    interrupted : bool
        Whether Ctrl-C made it leave.
    """

    def __init__(self, store: Store, terms: Terms) -> None:
        self.runs_left = self.interrupted = False
        self._store = store
        self._terms = terms
        self._began = time.monotonic()
        devices = gpus()
        count = terms.workers or len(devices) or cores()
        self._seats = [_Seat(slot, devices[slot % len(devices)] if devices else None) for slot in range(count)]
        self._margin = min(MARGIN_S, (terms.time_s or math.inf) / 10)
        self._numbers: dict[str, int] = {}
        self._signals: list[int] = []
        self._asked_at: float | None = None
        self._fruitless = 0
        self._open_before = -1

    def run(self) -> None:
        """Take runs until nothing is left to take, or until this allocation has to end.

        Raises
        ------
        LaunchError
            If workers die again and again without finishing anything.
        """
        # what nohup or a shell's background has made this process ignore, it goes on to ignore
        heard = [number for number in ENDINGS if signal.getsignal(number) != signal.SIG_IGN]
        handlers = {number: signal.signal(number, self._note) for number in heard}
        try:
            self._work()
        finally:
            self._end_all()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _work(self) -> None:
        idle_since, next_look = time.monotonic(), 0.0
        while True:
            time.sleep(POLL_S)
            self._collect()
            if self._is_to_leave():
                if not self._living():
                    self.runs_left = any(self._free())
                    return
                continue
            began = time.monotonic()
            if len(self._living()) == len(self._seats) or began < next_look:
                continue
            self._seat(list(self._free()))
            # with thousands of runs on a shared file system a look takes long: leave the cores to the workers
            next_look = time.monotonic() + max(LOOK_S, 5 * (time.monotonic() - began))
            if self._living() or self._halve():
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= self._terms.idle_s:
                return

    def _is_to_leave(self) -> bool:
        """Whether the time or a signal ends this allocation; then its workers are asked to save, and at last killed."""
        if not self._signals and self._left() > self._margin:
            return False
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            why = ", ".join(signal.Signals(number).name for number in self._signals) or "its time is nearly over"
            logger.info("%s: the workers save and leave", why)
            self.interrupted = signal.SIGINT in self._signals
            for launch, number in self._joined():
                launch.stop(number, "terminated")
        patience = KILL_WAIT_S if self._signals else max(1.0, self._margin - RESERVE_S)
        if time.monotonic() - self._asked_at > patience or self._signals.count(signal.SIGINT) > 1:
            for seat in self._living():
                assert seat.process is not None
                seat.process.kill()
        return True

    def _left(self) -> float:
        return (math.inf if self._terms.time_s is None else self._terms.time_s) - (time.monotonic() - self._began)

    def _joined(self) -> Iterator[tuple[Launch, int]]:
        for name, number in self._numbers.items():
            folder = self._store.launches / name
            if folder.exists():
                yield Launch(folder), number

    def _launches(self) -> Iterator[Launch]:
        """Yield those whose runs may be taken, oldest first."""
        for launch in all_launches(self._store):
            if self._terms.launch not in (None, launch.id) or launch.stop_reason() is not None:
                continue
            # what a launcher has left that was killed, nobody may want any more
            if launch.spec.is_pool or self._terms.launch == launch.id or launch.workers():
                yield launch

    def _free(self) -> Iterator[tuple[Launch, str]]:
        """Yield the runs that nobody has in hand."""
        beside = len(self._seats)
        for launch in self._launches():
            cancelled = launch.cancelled()
            for pack in launch.spec.packs:
                for key in pack.keys if pack.processes == 1 else ():
                    if key in cancelled or not self._is_wanted(launch, key):
                        continue
                    if launch.is_for(key, self._store, beside) and not self._store.record(key).is_running():
                        yield launch, key

    def _is_wanted(self, launch: Launch, key: str) -> bool:
        wanted = self._terms.benchmarks
        return not wanted or is_among(launch.spec.runs[key].benchmark, wanted)

    def _seat(self, free: Sequence[tuple[Launch, str]]) -> None:
        """Start workers in free seats, no more than there are runs that nobody has in hand.

        Raises
        ------
        LaunchError
            If those before them have died again and again without finishing anything.
        """
        if len(free) < self._open_before:
            self._fruitless = 0
        self._open_before = len(free)
        seats = [seat for seat in self._seats if seat.process is None]
        starting = len(self._living())  # a worker that is still importing has no run in hand yet
        for seat, (launch, _) in zip(seats, free if not starting else free[self._importing() :], strict=False):
            if self._fruitless > launch.spec.work.max_attempts * len(self._seats):
                raise LaunchError("workers die without finishing anything; what they printed is above")
            self._start(seat, launch)

    def _importing(self) -> int:
        """Return how many workers have not said yet which run they take."""
        processes = {seat.process.pid for seat in self._living() if seat.process is not None}
        said = [w for launch, number in self._joined() for w in launch.reports() if w.number == number]
        return len(processes) - len({w.process for w in said if w.key and w.process in processes})

    def _start(self, seat: _Seat, launch: Launch) -> None:
        if launch.id not in self._numbers:
            self._numbers[launch.id] = launch.join()
        number = self._numbers[launch.id]
        environment = own_environment(**code_environment(self._store, launch.spec.snapshot))
        environment |= dict.fromkeys(THREADS, str(launch.threads(number, len(self._seats))))
        environment = {**OFFLINE, **environment, "SUITE_PILOT": str(os.getpid())}
        if seat.device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = seat.device
        arguments = [str(launch.folder), str(number), str(seat.slot), str(len(self._seats)), *self._terms.benchmarks]
        seat.process = subprocess.Popen([sys.executable, "-m", "suite.work.worker", *arguments], env=environment)
        logger.info("launch %s: worker %d at it", launch.id, seat.process.pid)

    def _living(self) -> list[_Seat]:
        return [seat for seat in self._seats if seat.process is not None]

    def _collect(self) -> None:
        """Take note of workers that have ended."""
        for seat in self._living():
            assert seat.process is not None
            status = seat.process.poll()
            if status is None:
                continue
            if status:
                self._fruitless += 1
                logger.error("worker %d ended with %d", seat.process.pid, status)
            seat.process = None

    def _halve(self) -> bool:
        """Give what ran out of memory beside others more of it; returns whether there is such a run."""
        before = self._seats
        while len(self._seats) > 1:
            self._seats = self._seats[: len(self._seats) // 2]
            if any(self._free()):
                logger.info("%d workers at a time: some run wants more memory", len(self._seats))
                return True
        self._seats = before
        return False

    def _end_all(self) -> None:
        for seat in self._living():
            assert seat.process is not None
            seat.process.kill()
            seat.process.wait()
