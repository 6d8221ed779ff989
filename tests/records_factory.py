"""Writes simulated records, as a worker would leave them."""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite.outcomes import Outcomes
from suite.records import items

START = 1_700_000_000.0
CONFIG = {"benchmark": {"epochs": 3, "widths": [16, 32]}, "loss": {"temperature": 0.5}}


def key_of(benchmark: str, loss: str, seed: int, profile: str = "mini", purpose: str = "evaluation") -> str:
    return hashlib.sha256(f"{benchmark}/{loss}/{seed}/{profile}/{purpose}".encode()).hexdigest()


def metrics_event(step: int, time: float | None = None, **values: float) -> dict[str, Any]:
    named = {f"train/{name}": value for name, value in values.items()}
    return {"time": START + step if time is None else time, "event": "metrics", "step": step, "values": named}


def write_run(
    out: Path,
    benchmark: str = "image",
    loss: str = "infonce",
    seed: int = 0,
    *,
    profile: str = "mini",
    purpose: str = "evaluation",
    kind: str = "loss",
    metric: str = "accuracy",
    goal: str = "maximise",
    val: float | None = 0.5,
    test: float | None = 0.5,
    metrics: Mapping[str, float] | None = None,
    record: str = "r1",
    started: float = START,
    steps: int = 3,
    config: Mapping[str, Any] | None = None,
    state: str = "finished",
) -> str:
    """Write a record in `state` finished, failed or interrupted, and return its key."""
    key = key_of(benchmark, loss, seed, profile, purpose)
    folder = out / "runs" / key
    folder.mkdir(parents=True, exist_ok=True)
    run = {
        "schema": 1, "key": key, "record": record, "experiment": "test", "benchmark": benchmark, "loss": loss,
        "kind": kind, "seed": seed, "profile": profile, "purpose": purpose,
        "metric": {"name": metric, "goal": goal, "margin": 0.01},
        "config": CONFIG if config is None else config,
        "provenance": {"git": "abc+dirty", "packages": {}, "hardware": {}},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run))
    events = [{"time": started, "event": "started", "attempt": 1}]
    events += [metrics_event(step, started + step, loss=1.0 / (step + 1)) for step in range(steps)]
    for name in ("result.json", "failure.json"):
        (folder / name).unlink(missing_ok=True)
    times = {"started": started, "finished": started + 100.0, "attempt": 1}
    if state == "finished":
        values = {"val/" + metric: val, "test/" + metric: test, **(metrics or {})}
        seconds = {"setup": 1.0, "training": 10.0, "evaluation": 2.0}
        result = {"schema": 1, "key": key, "record": record, "metrics": values, "seconds": seconds, **times, "code": {}}
        (folder / "result.json").write_text(json.dumps(result))
        events.append({"time": started + 100.0, "event": "finished"})
    elif state == "failed":
        failure = {"key": key, "record": record, "class": "non_finite", "message": "the loss is nan\nmore", **times}
        (folder / "failure.json").write_text(json.dumps(failure))
        events.append({"time": started + 100.0, "event": "failed", "class": "non_finite", "message": "the loss is nan"})
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return key


def append(out: Path, key: str, *events: Mapping[str, Any], tail: str = "") -> None:
    with (out / "runs" / key / "events.jsonl").open("a") as file:
        file.write("".join(json.dumps(event) + "\n" for event in events) + tail)


@contextmanager
def held(out: Path, key: str) -> Iterator[None]:
    """Hold the run's lock, as a worker does while it executes the run."""
    with (out / "runs" / key / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def add_items(out: Path, key: str, outcomes: Mapping[str, Outcomes]) -> None:
    """Keep outcomes of test items beside the result of a run."""
    file = out / "runs" / key / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "items": items.write(file.parent, outcomes)}))
