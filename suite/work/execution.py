"""One attempt at one run: build it, train, evaluate, record."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import logging
import math
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.naming import clashes
from suite.provenance import machine, targets
from suite.records.failures import classify, record_failure
from suite.records.record import Record
from suite.work import checkpoints, memory

if TYPE_CHECKING:
    from suite.data import Store as DataStore
    from suite.losses.steps import Step
    from suite.training import Context, Metrics, Task
    from suite.work.worker import RunWorker

logger = logging.getLogger("suite")

STORAGE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class StorageError(OSError):
    """The results folder cannot be written: no run can go on."""


class Execution:
    """One attempt at one run, under its lock."""

    def __init__(self, worker: RunWorker, record: Record, run: Mapping[str, Any], attempt: int) -> None:
        self.worker = worker
        self.launch = worker.launch.id
        self.record = record
        self.run = run
        self.attempt = attempt
        self.started = time.time()
        self.seconds: dict[str, float] = {}
        self.samples = 0.0
        self._saved = time.monotonic()
        self._unsaved = 0
        self._id = ""
        self._step = -1

    def carry_out(self) -> int:
        """Run to an end and record it; returns 1, or 0 if it was interrupted or is to be tried again."""
        with logged(self.record.log):
            logger.info("%s, attempt %d, key %s", self.run["name"], self.attempt, self.run["key"])
            try:
                self._begin()
                memory.start()
                metrics = self._execute()
                self._finish(metrics)
            except Exception as error:
                return self._fail(error)
        return 1

    def _begin(self) -> None:
        import torch

        where = device()
        name = torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu"
        described = {k: v for k, v in self.run.items() if k not in ("estimate_s", "replaces", "key", "name")}
        code = _code(self.run)
        origin = machine.collect(name, torch.get_num_threads(), self.worker.spread.processes)
        submitted = self.worker.launch.content.get("submitted")
        if submitted:
            origin |= submitted
        self._id = self.record.begin({**described, "code": dict(code), "provenance": origin})
        (self.record.folder / "failure.json").unlink(missing_ok=True)
        self.record.append("started", attempt=self.attempt, launch=self.launch)

    def _execute(self) -> Metrics:
        from suite.training import Checkpoint, evaluate, train

        if self.run["kind"] == "loss":
            self.worker.spread.announce(self.run["key"])
        with self._timed("setup"):
            task, loss, context = build(self.run, self.worker.data, self.worker.spread.rank)
        if isinstance(task, Mapping):
            return task
        logger.info("training: %d epochs of %d steps", task.epochs, task.steps_per_epoch)
        checkpoint = Checkpoint(self.record.checkpoint, self._checkpoint_due, checkpoints.save, checkpoints.read)
        with self._timed("training"):
            report = functools.partial(self._log_step, task)
            train(
                task,
                loss,
                context.streams,
                report,
                checkpoint,
                self._is_to_stop,
                report_histograms=lambda shares: self.record.append("histograms", shares=dict(shares)),
            )
        with self._timed("evaluation"):
            return evaluate(task)

    def _is_to_stop(self) -> bool:
        return self.worker.interruption(self.run["key"]) is not None

    def _finish(self, metrics: Metrics) -> None:
        values = {name: float(value) for name, value in metrics.items()}
        _check(values, self.run["metric"]["name"])
        result = {
            "record": self._id,
            "metrics": values,
            "seconds": {part: self.seconds.get(part, 0.0) for part in ("setup", "training", "evaluation")},
            "samples_per_s": self._samples_per_s(),
            "memory_mib": memory.peak(),
            "started": self.started,
            "finished": time.time(),
            "attempt": self.attempt,
            "code": dict(_code(self.run)),
        }
        self.record.finish(result)
        self.record.append("finished")
        logger.info("done in %.1f s: %s", time.time() - self.started, values)

    def _fail(self, error: Exception) -> int:
        from suite.pairs.gather import PartnerLost
        from suite.training import Interrupted

        if isinstance(error, Interrupted):
            reason = self.worker.interruption(self.run["key"])
            self.record.append("interrupted", reason=reason, step=self._step, launch=self.launch, message=str(error))
            logger.info("%s (%s); the same command continues here", error, reason)
            return 0
        if isinstance(error, PartnerLost):  # all processes start again together, from the last checkpoint
            logger.error("%s", error)
            raise error
        if isinstance(error, OSError) and error.errno in STORAGE_ERRORS and _is_below(error, self.worker.store.out):
            raise StorageError(error.errno, f"cannot write results: {error.strerror}", error.filename) from error
        kind, message = classify(error), f"{type(error).__name__}: {error}"
        logger.error("failed (%s)\n%s", kind, traceback.format_exc())
        where = (self.record, self.launch, kind, message, self.attempt, self.worker.beside)
        return 0 if record_failure(*where, traceback.format_exc(), self.started) else 1

    def _log_step(self, task: Task, step: Step, metrics: Metrics) -> None:
        self._step = step.index
        self.samples += task.samples / task.steps_per_epoch
        if metrics:
            self.record.append("metrics", step=step.index, values=dict(metrics))
        self._say("training", step.index + 1, task.epochs * task.steps_per_epoch)

    def _samples_per_s(self) -> float | None:
        """Return the training samples a second of this attempt, all processes together; None if it trained nothing."""
        return self.samples / self.seconds["training"] if self.samples else None

    def _checkpoint_due(self) -> bool:
        settings = self.worker.settings
        self._unsaved += 1
        is_due = time.monotonic() - self._saved >= 60 * settings["checkpoint_minutes"]
        if is_due or self._unsaved == settings["checkpoint_steps"]:
            self._saved, self._unsaved = time.monotonic(), 0
            return True
        return False

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        self._say(phase, now=True)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = time.perf_counter() - start

    def _say(self, phase: str, step: int = 0, steps: int = 0, now: bool = False) -> None:
        of_run = {"key": self.run["key"], "name": self.run["name"], "step": step, "steps": steps}
        self.worker.report(self.worker.state(phase, **of_run, since=self.started), now)


def build(run: Mapping[str, Any], data: DataStore, rank: int = 0) -> tuple[Task | Metrics, Any, Context]:
    """Return a run's task, or at once the figures of a reference; its loss, if it has one; and its context.

    Parameters
    ----------
    run : mapping
        As the launch has it.
    data : suite.data.Store
    rank : int
        Which of the processes that the run is spread over this is.
    """
    from suite.training import Context
    from suite.training.streams import Streams

    context = Context(Streams(run["seed"], rank), device(), data.locate)
    config = run["config"]
    benchmark = _construct({k: v for k, v in config["benchmark"].items() if k != "name"}, "suite.benchmarks")
    task = benchmark.task(context)
    if run["kind"] == "reference":
        return task.reference(run["loss"]), None, context
    loss = _construct({k: v for k, v in config["loss"].items() if k != "name"}, "suite.losses")
    return task, loss.to(context.device), context


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
def device() -> Any:
    """Return what this process computes on: its current GPU, else the CPU."""
    import torch

    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


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


def _check(metrics: Mapping[str, float], primary: str) -> None:
    """Refuse figures that no table could show.

    Raises
    ------
    FloatingPointError
        If the primary metric is NaN or infinite.
    ValueError
        If two metrics have one name in MLflow.
    """
    for name in (f"{split}/{primary}" for split in ("val", "test")):
        if not math.isfinite(metrics.get(name, 0.0)):
            raise FloatingPointError(f"the primary metric {name} is {metrics[name]:g}")
    both = clashes(metrics)
    if both:
        listed = ", ".join(f"{first!r} and {second!r}" for first, second in both)
        raise ValueError(f"the evaluation names metrics that would be one in MLflow: {listed}; rename one of each pair")


def _is_below(error: OSError, folder: Path) -> bool:
    return error.filename is None or Path(str(error.filename)).is_relative_to(folder)


@contextlib.contextmanager
def logged(file: Path) -> Iterator[None]:
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
