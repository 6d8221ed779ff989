"""Executes runs inside a job: claim, train, evaluate, record.

A worker takes the runs of its launch one by one, its own pack first and then whatever others have not started, and ends
when nothing is left to take. One failing run ends nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import io
import logging
import os
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import provenance, targets
from suite.data import Store as DataStore
from suite.launches import Launch, Worker
from suite.records import Record, Store, atomic_write

if TYPE_CHECKING:
    from suite.steps import Step
    from suite.training import Context, Metrics, Task

logger = logging.getLogger("suite")

HOST = socket.gethostname()
STORAGE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class StorageError(OSError):
    """The results folder cannot be written: no run can go on."""


def work(folder: str, number: int, path: Sequence[str]) -> int:
    """Carry out the runs of a launch as its worker `number`.

    Parameters
    ----------
    folder : str
        The launch's folder.
    number : int
        Which worker this is, from 0.
    path : sequence of str
        The launcher's ``sys.path``: a user's own loss is importable here if it was there.

    Returns
    -------
    int
        How many runs this worker brought to an end.
    """
    sys.path.extend(entry for entry in path if entry not in sys.path)
    launch = Launch(Path(folder))
    with launch.enter(number):
        return _Worker(launch, number).work()


def work_and_leave(folder: str, number: int, path: Sequence[str]) -> None:
    """Be worker `number` of a launch, in a process of its own, and end the process: all that counts is on disk.

    Taking torch apart would cost the interpreter the better part of a second while the launcher waits.
    """
    work(folder, number, path)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class _Worker:
    def __init__(self, launch: Launch, number: int) -> None:
        self.launch = launch
        self.number = number
        self.store = Store(Path(launch.content["out"]))
        self.settings = launch.content["launcher"]
        self.data = DataStore.of(Path(file) for file in launch.content.get("catalogues", ()))
        self._reported = 0.0
        self._looked = 0.0
        self._stopping = False

    def work(self) -> int:
        self.report(Worker(self.number, HOST, os.getpid()), now=True)
        prepare_process(self.settings["threads"])
        ended = 0
        for key in self.launch.order(self.number):
            if self.is_stopping(now=True):
                break
            ended += self._try(self.launch.content["runs"][key])
        self.report(Worker(self.number, HOST, os.getpid(), "ended"), now=True)
        return ended

    def _try(self, run: Mapping[str, Any]) -> int:
        record = self.store.record(run["key"])
        if self._is_settled(record, run):
            return 0
        with record.claimed() as ours:
            if not ours or self._is_settled(record, run):
                return 0
            self._renew(record, run)
            attempt = _attempts(record, self.launch.id) + 1
            if attempt > self.settings["max_attempts"]:
                _record_death(record, run, self.launch.id, attempt - 1)
                return 1
            return Execution(self, record, run, attempt).carry_out()

    def _is_settled(self, record: Record, run: Mapping[str, Any]) -> bool:
        """Whether the run is done, or has failed since this launch was made."""
        result = record.result()
        if result is not None:
            return bool(result["record"] != run["replaces"])
        failure = record.failure()
        return failure is not None and failure["finished"] >= self.launch.content["created"]

    def _renew(self, record: Record, run: Mapping[str, Any]) -> None:
        """Put aside what cannot be continued: a result to be replaced, or a start made with other code."""
        result, before = record.result(), record.run()
        if result is not None or (before is not None and provenance.changed_modules(before["code"], run["code"])):
            record.supersede(self.store.superseded)

    def report(self, worker: Worker, now: bool = False) -> None:
        if now or time.monotonic() - self._reported > 0.5:
            self._reported = time.monotonic()
            self.launch.report(worker)

    def is_stopping(self, now: bool = False) -> bool:
        if now or time.monotonic() - self._looked > 0.1:
            self._looked = time.monotonic()
            self._stopping = self._stopping or self.launch.is_stopped()
        return self._stopping


def _attempts(record: Record, launch: str) -> int:
    """Count the starts in this launch that ended in nothing: their worker died."""
    deaths = 0
    for event in record.events():
        if event["event"] == "started" and event.get("launch") == launch:
            deaths += 1
        elif event["event"] in ("interrupted", "failed"):
            deaths = 0
    return deaths


def _record_death(record: Record, run: Mapping[str, Any], launch: str, attempts: int) -> None:
    message = f"its worker died {attempts} times while it ran (out of memory, or a crash in native code?)"
    failure = {"class": "killed", "message": message, "traceback": "", "attempt": attempts, "launch": launch}
    before = record.run() or {"record": ""}
    record.fail({**failure, "record": before["record"], "started": time.time(), "finished": time.time()})
    record.append("failed", **{"class": "killed", "message": message})


class Execution:
    """One attempt at one run, under its lock."""

    def __init__(self, worker: _Worker, record: Record, run: Mapping[str, Any], attempt: int) -> None:
        self.worker = worker
        self.record = record
        self.run = run
        self.attempt = attempt
        self.started = time.time()
        self.seconds: dict[str, float] = {}
        self._saved = time.monotonic()
        self._id = ""

    def carry_out(self) -> int:
        """Run to an end and record it; returns 1, or 0 if it was interrupted."""
        with _logged(self.record.log):
            logger.info("%s, attempt %d, key %s", self.run["name"], self.attempt, self.run["key"])
            try:
                self._begin()
                metrics = self._execute()
                self._finish(metrics)
            except Exception as error:
                return self._fail(error)
        return 1

    def _begin(self) -> None:
        import torch

        device = _device()
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        described = {k: v for k, v in self.run.items() if k not in ("estimate_s", "replaces", "key", "name")}
        code = _code(self.run)
        origin = provenance.collect(name, torch.get_num_threads())
        self._id = self.record.begin({**described, "code": dict(code), "provenance": origin})
        (self.record.folder / "failure.json").unlink(missing_ok=True)
        self.record.append("started", attempt=self.attempt, launch=self.worker.launch.id)

    def _execute(self) -> Metrics:
        from suite.training import Checkpoint, evaluate, train

        with self._timed("setup"):
            task, loss, context = self._build()
        if isinstance(task, Mapping):
            return task
        logger.info("training: %d epochs of %d steps", task.epochs, task.steps_per_epoch)
        checkpoint = Checkpoint(self.record.checkpoint, self._checkpoint_due, _save)
        with self._timed("training"):
            self._report_step = functools.partial(self._log_step, task.epochs * task.steps_per_epoch)
            train(task, loss, context.streams, self._report_step, checkpoint, self.worker.is_stopping)
        with self._timed("evaluation"):
            return evaluate(task)

    def _build(self) -> tuple[Task | Metrics, Any, Context]:
        from suite.streams import Streams
        from suite.training import Context

        context = Context(Streams(self.run["seed"]), _device(), self.worker.data.locate)
        config = self.run["config"]
        benchmark = _construct({k: v for k, v in config["benchmark"].items() if k != "name"}, "suite.benchmarks")
        task = benchmark.task(context)
        if self.run["kind"] == "reference":
            return task.reference(self.run["loss"]), None, context
        loss = _construct({k: v for k, v in config["loss"].items() if k != "name"}, "suite.losses")
        return task, loss.to(context.device), context

    def _finish(self, metrics: Metrics) -> None:
        values = {name: float(value) for name, value in metrics.items()}
        result = {
            "record": self._id,
            "metrics": values,
            "seconds": {part: self.seconds.get(part, 0.0) for part in ("setup", "training", "evaluation")},
            "started": self.started,
            "finished": time.time(),
            "attempt": self.attempt,
            "code": dict(_code(self.run)),
        }
        self.record.finish(result)
        self.record.append("finished")
        logger.info("done in %.1f s: %s", time.time() - self.started, values)

    def _fail(self, error: Exception) -> int:
        from suite.training import Interrupted

        if isinstance(error, Interrupted):
            self.record.append("interrupted", message=str(error))
            logger.info("%s; the same command continues here", error)
            return 0
        if isinstance(error, OSError) and error.errno in STORAGE_ERRORS and _is_below(error, self.worker.store.out):
            raise StorageError(error.errno, f"cannot write results: {error.strerror}", error.filename) from error
        kind, message = classify(error), f"{type(error).__name__}: {error}"
        logger.error("failed (%s)\n%s", kind, traceback.format_exc())
        failure = {"class": kind, "message": message, "traceback": traceback.format_exc(), "attempt": self.attempt}
        times = {"started": self.started, "finished": time.time(), "launch": self.worker.launch.id}
        self.record.append("failed", **{"class": kind, "message": message})
        self.record.fail({"record": self._id, **failure, **times})
        return 1

    def _log_step(self, steps: int, step: Step, metrics: Metrics) -> None:
        if metrics:
            self.record.append("metrics", step=step.index, values=dict(metrics))
        self._say("training", step.index + 1, steps)

    def _checkpoint_due(self) -> bool:
        if time.monotonic() - self._saved < 60 * self.worker.settings["checkpoint_minutes"]:
            return False
        self._saved = time.monotonic()
        return True

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        self._say(phase, now=True)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = time.perf_counter() - start

    def _say(self, phase: str, step: int = 0, steps: int = 0, now: bool = False) -> None:
        key, name = self.run["key"], self.run["name"]
        worker = Worker(self.worker.number, HOST, os.getpid(), phase, key, name, step, steps, self.started)
        self.worker.report(worker, now)


def classify(error: Exception) -> str:
    """Return the failure class of an exception: what decides whether trying again can help."""
    from suite.data import DataError
    from suite.training import NonFiniteLoss

    if isinstance(error, NonFiniteLoss):
        return "non_finite"
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "out_of_memory"
    if isinstance(error, DataError):
        return "data"
    return "user_code"


def _construct(config: Mapping[str, Any], group: str) -> Any:
    path = config["_target_"]
    target = targets.resolve(path, group)
    cls = getattr(importlib.import_module(target.module), target.name)
    return cls(**{name: value for name, value in config.items() if name != "_target_"})


def _code(run: Mapping[str, Any]) -> Mapping[str, str]:
    config = run["config"]
    found = [targets.resolve(config["benchmark"]["_target_"], "suite.benchmarks")]
    if run["kind"] == "loss":
        found.append(targets.resolve(config["loss"]["_target_"], "suite.losses"))
    return targets.code(*found)


@functools.cache
def _device() -> Any:
    import torch

    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def prepare_process(threads: int) -> None:
    """Make this process compute deterministically, with a fixed number of threads."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        # on a CPU nothing that is used here depends on the order of threads, and the call imports half of torch
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False


def _save(path: Path, state: Mapping[str, Any]) -> None:
    import torch

    content = io.BytesIO()
    torch.save(state, content)  # straight to the file, torch would report a full disk as an error of its own
    atomic_write(path, lambda file: file.write(content.getbuffer()))


def _is_below(error: OSError, folder: Path) -> bool:
    return error.filename is None or Path(str(error.filename)).is_relative_to(folder)


@contextlib.contextmanager
def _logged(file: Path) -> Iterator[None]:
    """Send logging and prints of the block to a run's log."""
    with file.open("a", buffering=1) as stream:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
                yield
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
