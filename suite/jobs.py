"""Where workers come from: processes through submitit, or this process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from suite.launches import Launch, Worker
from suite.registry import Launcher


class Jobs(Protocol):
    """Where workers come from."""

    def submit(self, number: int) -> None:
        """Start worker `number`."""
        ...

    def alive(self) -> int:
        """Return how many of the started workers are still there."""
        ...

    def last_words(self) -> str:
        """Return the end of what the last worker printed."""
        ...


def gpus() -> list[int]:
    """Return the indices of the GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [int(part) for part in visible.split(",") if part.strip().isdigit()]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return list(range(len(listed.splitlines())))


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count(launcher: Launcher) -> int:
    """Return how many workers run at a time."""
    if launcher.kind == "debug":
        return 1
    return launcher.workers if isinstance(launcher.workers, int) else len(gpus()) or cores()


def thread_count(launcher: Launcher) -> int:
    """Return how many threads a worker computes with."""
    if isinstance(launcher.threads, int):
        return launcher.threads
    return max(1, cores() // worker_count(launcher)) if gpus() else 1


class LocalJobs:
    """Worker processes through submitit's local executor, which has no queue: the campaign bounds them."""

    def __init__(self, launch: Launch, launcher: Launcher) -> None:
        import submitit

        self._launch = launch
        self._executor = submitit.LocalExecutor(folder=launch.folder / "jobs")
        self._timeout_min = 60 * launcher.timeout_hours
        self._gpus = gpus()
        self._environment = dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(thread_count(launcher))
        )
        self._jobs: list[Any] = []

    def submit(self, number: int) -> None:
        """Start worker `number`, on a GPU of its own if there are any."""
        from suite.worker import work_and_leave

        device = [self._gpus[number % len(self._gpus)]] if self._gpus else []
        self._executor.update_parameters(
            timeout_min=self._timeout_min, gpus_per_node=len(device), visible_gpus=device, stderr_to_stdout=True
        )
        with _inherited(self._environment), _streams_to(self._launch.folder / "controllers.log"):
            job = self._executor.submit(work_and_leave, str(self._launch.folder), number, list(sys.path))
        self._launch.submitted(number, int(job.job_id))
        self._jobs.append(job)

    def alive(self) -> int:
        """Return how many worker processes exist."""
        return sum(not job.done() for job in self._jobs)

    def last_words(self) -> str:
        """Return the end of what the last worker that is gone has printed."""
        for job in reversed(self._jobs):
            if job.done() and job.paths.stdout.exists():
                return "\n".join(job.paths.stdout.read_text(errors="replace").splitlines()[-30:])
        return ""


class DebugJobs:
    """The work in this process: `submit` returns when it is done."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    def submit(self, number: int) -> None:
        """Carry out the launch here and now."""
        from suite.worker import work

        work(str(self._launch.folder), number, [])

    def alive(self) -> int:
        """Return 0: nothing outlives `submit`."""
        return 0

    def last_words(self) -> str:
        """Return nothing: what was printed was seen."""
        return ""


def kill(workers: Sequence[Worker]) -> None:
    """Kill worker processes of this machine; their runs go on from their last checkpoints."""
    for worker in workers:
        if worker.process and worker.host == socket.gethostname():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process, signal.SIGKILL)


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
