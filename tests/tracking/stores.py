"""A mirror under test: stores and processes."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from suite.tracking import (
    Mirror,
    TrackingUnavailable,
    default_uri,
)
from tests.waiting import PATIENCE_S

EXPERIMENT = "test"


def mirror(out: Path) -> Mirror:
    return Mirror(out, default_uri(out), EXPERIMENT)


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs_of(uri: str, key: str | None = None) -> list[Any]:
    opened = client(uri)
    experiment = opened.get_experiment_by_name(EXPERIMENT)
    found = opened.search_runs([experiment.experiment_id], max_results=1000)
    return [run for run in found if key is None or run.data.tags["suite.key"] == key]


def made(uri: str, experiment: str = EXPERIMENT) -> list[Any]:
    """Return all runs that were ever made, those that were deleted again among them."""
    from mlflow.entities import ViewType

    opened = client(uri)
    found = opened.get_experiment_by_name(experiment)
    return list(opened.search_runs([found.experiment_id], run_view_type=ViewType.ALL, max_results=1000))


def only(uri: str, key: str) -> Any:
    (run,) = runs_of(uri, key)
    return run


def history(uri: str, run: Any, name: str = "train/loss") -> list[tuple[int, float, int]]:
    points = client(uri).get_metric_history(run.info.run_id, name)
    return sorted((point.step, point.value, point.timestamp) for point in points)


@contextmanager
def crashing(method: str, done_before: bool) -> Iterator[None]:
    """Have a call of MLflow's client end the block as a kill would, just before or just after it takes effect."""
    from mlflow import MlflowClient

    original = getattr(MlflowClient, method)

    def crash(self: Any, *arguments: Any, **named: Any) -> None:
        if done_before:
            original(self, *arguments, **named)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MlflowClient, method, crash)
        yield


def ms(seconds: float) -> int:
    return round(seconds * 1000)


def in_processes(*functions: Callable[[], object]) -> None:
    """Run functions at the same time, each in a forked process."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(functions))

    def work(function: Callable[[], object]) -> None:
        barrier.wait()
        function()

    processes = [context.Process(target=work, args=(function,)) for function in functions]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE_S)
    assert [process.exitcode for process in processes] == [0] * len(functions)


def push_until_done(folder: Path, uri: str) -> None:
    pusher = Mirror(folder, uri, EXPERIMENT)
    for _ in range(10):
        try:
            assert not pusher.push().rejected
            return
        except TrackingUnavailable:  # SQLite gives up when it is locked for too long
            time.sleep(0.2)
    raise AssertionError("the store stayed locked")
