"""Workers forked from one process that has imported what all of them need: torch is imported once, not once a worker.

The process holds neither data nor random state, and computes nothing: a forked worker differs from one with an
interpreter of its own in nothing that a run could see. Each has its own lock, environment and output file, and dies
with the process that it was forked from, so that whoever ends a job ends its workers.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from suite.process import import_from, leave, signal_at_parents_death
from suite.provenance import targets
from suite.records.launch import Launch, Worker
from suite.records.specs import RunSpec

logger = logging.getLogger("suite")

#: The thread that pyarrow's allocator starts; it has handlers that stop it before a fork and leave it off in the child.
FORK_SAFE: Final = "jemalloc_bg_thd"
#: What a worker with an interpreter of its own does.
ANEW: Final = """\
import sys
from suite.work.worker import work_and_leave
work_and_leave(sys.argv[1], *map(int, sys.argv[2:]))
"""


@dataclass(frozen=True)
class Seat:
    """Where a worker computes.

    Attributes
    ----------
    number : int
        Of the worker.
    device : str or None
        The GPU that it sees; None leaves that as it is.
    """

    number: int
    device: str | None = None


def work_in_forks(folder: str, seats: Sequence[Seat], beside: int) -> None:
    """Be the process that workers of a launch are forked from, until the last one has ended; then end, too.

    Where an import has started threads, which a fork would lose, the workers get interpreters of their own.

    Parameters
    ----------
    folder : str
        The launch's folder.
    seats : sequence of Seat
        One a worker.
    beside : int
        How many workers there are at most on this machine, each of these among them.
    """
    launch = Launch(Path(folder))
    for seat in seats:
        launch.report(Worker(seat.number, socket.gethostname(), os.getpid(), "starting"))
    import_from(launch.spec.path)
    import_what_is_shared(launch.spec.runs.values())
    workers: dict[int, int] = {}
    if launch.stop_reason() is None:
        is_anew = not _is_single_threaded()
        gc.freeze()  # the collector would write to, and so copy, every page that is shared
        workers = {_forked(launch, seat, beside, is_anew): seat.number for seat in seats}
    while workers:
        process, status = os.wait()
        number = workers.pop(process, None)
        if number is not None:
            launch.leave_seat(number)
        if status:
            logger.error("worker %s ended with %d", number, os.waitstatus_to_exitcode(status))
    leave(0)


def import_what_is_shared(runs: Iterable[RunSpec]) -> None:
    """Import torch, the training loop, and those benchmarks and losses of the suite that runs name.

    A user's modules are left to the workers: what one does at its import, or that it cannot be imported, is its run's.
    """
    for name in ("torch", "suite.work.execution", "suite.training"):
        importlib.import_module(name)
    paths = {(part, run.config[part].get("_target_")) for run in runs for part in ("benchmark", "loss")}
    for part, path in sorted(named for named in paths if named[1] is not None):
        with contextlib.suppress(Exception):  # whatever is wrong with it, its run says so
            target = targets.resolve(path, "suite.benchmarks" if part == "benchmark" else "suite.losses")
            if target.module.partition(".")[0] == "suite":
                importlib.import_module(target.module)


def _forked(launch: Launch, seat: Seat, beside: int, is_anew: bool) -> int:
    """Fork a worker and return its process id; if `is_anew`, it gets an interpreter of its own."""
    server = os.getpid()
    process = os.fork()
    if process == 0:
        _be_a_worker(launch, seat, beside, is_anew, server)
    return process


def _be_a_worker(launch: Launch, seat: Seat, beside: int, is_anew: bool, server: int) -> NoReturn:
    """Work in a process that was just forked; nothing of what it was forked from may go on in it."""
    try:
        signal_at_parents_death(signal.SIGKILL)
        if os.getppid() != server:  # it died before the line above
            os._exit(1)
        os.environ.update(_variables(seat))
        with _output(launch, seat).open("ab", buffering=0) as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
        if is_anew:
            arguments = [str(launch.folder), str(seat.number), "0", str(beside)]
            os.execv(sys.executable, [sys.executable, "-c", ANEW, *arguments])
        from suite.work.worker import work_and_leave

        work_and_leave(str(launch.folder), seat.number, 0, beside)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)


def _variables(seat: Seat) -> dict[str, str]:
    return {} if seat.device is None else {"CUDA_VISIBLE_DEVICES": seat.device}


def _output(launch: Launch, seat: Seat) -> Path:
    return launch.folder / "jobs" / f"worker{seat.number}_log.out"


def _is_single_threaded() -> bool:
    """Whether a fork would lose no thread of this process; not if that cannot be told."""
    try:
        names = [file.read_text(encoding="utf-8").strip() for file in Path("/proc/self/task").glob("*/comm")]
    except OSError:
        return False
    return len(names) - names.count(FORK_SAFE) == 1
