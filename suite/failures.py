"""Failure classes, and what is done about each before a run counts as failed."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from typing import Any, Final

from suite.records import Record

REMEDIES: Final[Mapping[str, str]] = {
    "out_of_memory": "tried once more with fewer runs beside it",
    "killed": "tried launcher.max_attempts times",
    "node_lost": "continued elsewhere; submitted launcher.max_attempts times",
    "timeout": "continued, as long as it gets on",
    "preempted": "continued; submitted launcher.max_attempts times",
    "data": "not tried again",
    "non_finite": "not tried again",
    "user_code": "not tried again",
}
"""What happens to a run within one launch; a later `run` tries all but ``non_finite`` again."""


def classify(error: Exception) -> str:
    """Return the failure class of an exception: what decides whether trying again can help."""
    from suite.data import DataError
    from suite.training import NonFiniteLoss

    if isinstance(error, NonFiniteLoss):
        return "non_finite"
    says_memory = any(text in str(error).lower() for text in ("out of memory", "t allocate memory", "alloc_failed"))
    if isinstance(error, MemoryError) or says_memory or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "out_of_memory"
    if isinstance(error, DataError):
        return "data"
    return "user_code"


def is_final(failure: Mapping[str, Any]) -> bool:
    """Whether the launch that a failure happened in leaves it at that."""
    return not failure.get("again", False)


def deserves_fewer_beside(record: Record, launch: str, beside: int) -> bool:
    """Whether a run that has just run out of memory is tried once more, with fewer runs beside it."""
    before = [e for e in record.events() if e["event"] == "failed" and e.get("launch") == launch]
    return beside > 1 and not any(event["class"] == "out_of_memory" for event in before)


def deaths(record: Record, launch: str) -> int:
    """Count the latest starts in a launch that ended in nothing: their worker died."""
    count = 0
    for event in record.events():
        if event["event"] == "started" and event.get("launch") == launch:
            count += 1
        elif event["event"] in ("interrupted", "failed"):
            count = 0
    return count


def unfinished_step(record: Record) -> int | None:
    """Return the last step that the latest start is known to have done, -1 for none; None if the start has an end."""
    step: int | None = None
    for event in record.events():
        if event["event"] == "started":
            step = -1
        elif event["event"] == "metrics" and step is not None:
            step = event["step"]
        elif event["event"] in ("interrupted", "failed", "finished"):
            step = None
    return step


def fruitless_interruptions(record: Record, launch: str) -> int:
    """Count the latest interruptions in a launch at its time limit that came before one more step was done."""
    count, best = 0, -1
    for event in record.events():
        if event["event"] == "interrupted" and event.get("reason") == "timeout" and event.get("launch") == launch:
            count = count + 1 if event["step"] <= best else 0
            best = max(best, event["step"])
        elif event["event"] in ("failed", "finished"):
            count, best = 0, -1
    return count


def record_failure(record: Record, launch: str, kind: str, message: str, attempts: int, beside: int = 1) -> None:
    """Write a failure that no worker lived to write. Needs the run's lock."""
    before = record.run() or {"record": ""}
    times = {"started": time.time(), "finished": time.time()}
    failure = {"class": kind, "message": message, "traceback": "", "attempt": attempts, "launch": launch}
    again = kind == "out_of_memory" and deserves_fewer_beside(record, launch, beside)
    record.append("failed", **{"class": kind, "message": message, "launch": launch})
    record.fail({"record": before["record"], **failure, **times, "beside": beside, "again": again})
