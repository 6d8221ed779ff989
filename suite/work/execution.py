"""One attempt at one run: build it, train, evaluate, record."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import math
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from suite.problems import choices
from suite.provenance import machine, targets
from suite.records.failures import classify, described, record_failure
from suite.records.launch import Launch, Worker
from suite.records.record import Record, Store
from suite.records.specs import RunSpec, unpinned
from suite.text.masking import masked
from suite.text.naming import clashes, clean_text
from suite.work import checkpoints, memory
from suite.work.items import of_test_items
from suite.work.partners import Spread
from suite.work.setup import build, compute_of, device, logged
from suite.work.staging import Staging

if TYPE_CHECKING:
    from suite.data import Store as DataStore
    from suite.losses.steps import Step
    from suite.training import Metrics, Task

logger = logging.getLogger("suite")

STORAGE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class StorageError(OSError):
    """The results folder cannot be written: no run can go on."""


class Host(Protocol):
    """What an execution asks of the worker that it happens in.

    Attributes
    ----------
    launch : Launch
    store : Store
    data : suite.data.Store
        Where data lies; `staging` may have copies of it.
    staging : Staging
    spread : Spread
    beside : int
        How many runs there are at most side by side, this one among them.
    """

    launch: Launch
    store: Store
    data: DataStore
    staging: Staging
    spread: Spread
    beside: int

    def interruption(self, key: str) -> str | None:
        """Why a run has to end at its next step; None while it has not."""
        ...

    def state(self, phase: str, **run: Any) -> Worker:
        """Return what the worker is doing, for its report."""
        ...

    def report(self, worker: Worker, now: bool = False) -> None:
        """Write what the worker is doing, now or if the last time is a while ago."""
        ...


class Execution:
    """One attempt at one run, under its lock."""

    def __init__(self, host: Host, record: Record, run: RunSpec, attempt: int) -> None:
        self.host = host
        self.launch = host.launch.id
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
            logger.info("%s, attempt %d, key %s", self.run.name, self.attempt, self.run.key)
            try:
                self._begin()
                memory.start()
                metrics = self._execute()
                self._finish(metrics)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a user's sys.exit() is no end of the worker
                return self._fail(error)
        return 1

    def _begin(self) -> None:
        import torch

        where = device()
        name = torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu"
        described = {k: v for k, v in self.run.to_json().items() if k not in ("key", "replaces")}
        origin = machine.collect(name, torch.get_num_threads(), self.host.spread.processes)
        launch = self.host.launch.spec
        if launch.snapshot:
            origin |= {"git": launch.git, "snapshot": launch.snapshot}
        origin["compute"] = compute_of(self.run).to_json()
        if names := unpinned(self.run.config):
            origin |= {"data": self.host.data.recorded(names)}
        code = {"code": dict(_code(self.run)), "provenance": origin}
        self._id = self.record.begin({"experiment": launch.experiment, **described, **code})
        (self.record.folder / "failure.json").unlink(missing_ok=True)
        self.record.append("started", attempt=self.attempt, launch=self.launch)

    def _execute(self) -> Metrics:
        from suite.training import Checkpoint, evaluate, train

        if self.run.kind == "loss":
            self.host.spread.announce(self.run.key)
        data = self._staged()
        with self._timed("setup"):
            task, loss, context = build(self.run, data, self.host.spread.rank)
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
                compute=context.compute,
            )
        with self._timed("evaluation"):
            return evaluate(task)

    def _staged(self) -> DataStore:
        """Return the store to read data from. Until it is filled, for all processes of the run, no time counts."""
        if self.host.staging.is_asked_for:
            self._say("staging", now=True)
        data = self.host.staging.of(self.run.config.get("data", ()))
        if self.host.staging.is_asked_for:
            if self.run.kind == "loss":
                self.host.spread.meet()
            self.started = time.time()
        return data

    def _is_to_stop(self) -> bool:
        return self.host.interruption(self.run.key) is not None

    def _finish(self, metrics: Metrics) -> None:
        values = {name: float(value) for name, value in metrics.items()}
        _check(values, str(self.run.metric["name"]))
        result = {
            "record": self._id,
            "metrics": values,
            **of_test_items(self.record.folder, metrics),
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

    def _fail(self, error: BaseException) -> int:
        from suite.pairs.gather import PartnerLost
        from suite.training import Interrupted

        if isinstance(error, Interrupted):
            reason = self.host.interruption(self.run.key)
            self.record.append("interrupted", reason=reason, step=self._step, launch=self.launch, message=str(error))
            logger.info("%s (%s); the same command continues here", error, reason)
            return 0
        if isinstance(error, PartnerLost):  # all processes start again together, from the last checkpoint
            logger.error("%s", error)
            raise error
        if isinstance(error, OSError) and error.errno in STORAGE_ERRORS and _is_below(error, self.host.store.out):
            raise StorageError(error.errno, f"cannot write results: {error.strerror}", error.filename) from error
        kind, message = classify(error), described(error)
        logger.error("failed (%s)\n%s", kind, clean_text(masked(traceback.format_exc())))
        where = (self.record, self.launch, kind, message, self.attempt, self.host.beside)
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
        settings = self.host.launch.spec.work
        self._unsaved += 1
        is_due = time.monotonic() - self._saved >= 60 * settings.checkpoint_minutes
        if is_due or self._unsaved == settings.checkpoint_steps:
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
        of_run = {"key": self.run.key, "name": self.run.name, "step": step, "steps": steps}
        self.host.report(self.host.state(phase, **of_run, since=self.started), now)


def _code(run: RunSpec) -> Mapping[str, str]:
    config = run.config
    found = [targets.resolve(config["benchmark"]["_target_"], "suite.benchmarks")]
    if run.kind == "loss":
        found.append(targets.resolve(config["loss"]["_target_"], "suite.losses"))
    return targets.code(*found)


def _check(metrics: Mapping[str, float], primary: str) -> None:
    """Refuse figures that no table could show.

    Raises
    ------
    FloatingPointError
        If the primary metric is NaN or infinite.
    ValueError
        If the primary metric is missing, or two metrics have one name in MLflow.
    """
    for name in (f"{split}/{primary}" for split in ("val", "test")):
        if name not in metrics:
            raise ValueError(f"the evaluation has no {name}, the registry's primary metric; {choices(name, metrics)}")
        if not math.isfinite(metrics[name]):
            raise FloatingPointError(f"the primary metric {name} is {metrics[name]:g}")
    both = clashes(metrics)
    if both:
        listed = ", ".join(f"{first!r} and {second!r}" for first, second in both)
        raise ValueError(f"the evaluation names metrics that would be one in MLflow: {listed}; rename one of each pair")


def _is_below(error: OSError, folder: Path) -> bool:
    return error.filename is None or Path(str(error.filename)).is_relative_to(folder)
