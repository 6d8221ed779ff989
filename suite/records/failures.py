"""Failure classes, and what is done about each before a run counts as failed."""

from __future__ import annotations

import errno
import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from suite.records.record import Record
from suite.text.masking import masked
from suite.text.naming import clean_text

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
"""What happens to a run within one launch."""

HOPELESS: Final = frozenset({"non_finite"})
"""Classes that would come again: a later `run` tries all others."""


def outlook(kind: str) -> str:
    """Return what the next ``run`` makes of a failure of a class."""
    return (
        "the next run tries it again" if kind not in HOPELESS else "it would fail the same way; --rerun failed tries it"
    )


def described(error: BaseException) -> str:
    """Return an exception's type and message; the type alone if it cannot tell its message."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:  # a user's own __str__
        return name


def classify(error: BaseException) -> str:
    """Return the failure class of an exception: what decides whether trying again can help.

    An exception's type may name it: ``failure_class = "data"``.
    """
    if isinstance(named := getattr(error, "failure_class", None), str) and named in REMEDIES:
        return named
    if isinstance(error, FloatingPointError):
        return "non_finite"
    said = described(error).lower()
    says_memory = any(text in said for text in ("out of memory", "t allocate memory", "alloc_failed"))
    if isinstance(error, MemoryError) or says_memory or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "out_of_memory"
    return "user_code"


def identity(failure: Mapping[str, Any] | None) -> str | None:
    """Return what tells a failure from every other; None without one. No clock enters into an order of failures."""
    if failure is None:
        return None
    return hashlib.sha256(json.dumps(failure, sort_keys=True).encode()).hexdigest()[:16]


def is_final(failure: Mapping[str, Any]) -> bool:
    """Whether the launch that a failure happened in leaves it at that."""
    return not failure.get("again", False)


def deserves_fewer_beside(record: Record, launch: str, beside: int) -> bool:
    """Whether a run that has just run out of memory is tried once more, with fewer runs beside it."""
    before = [e for e in record.events() if e["event"] == "failed" and e.get("launch") == launch]
    return beside > 1 and not any(event["class"] == "out_of_memory" for event in before)


def too_many_beside(record: Record, launch: str) -> int | None:
    """Return how many were side by side when a run ran out of memory in a launch, if that tries it once more.

    From its events: they outlast the start of that try, which may be interrupted.
    """
    for event in record.events():
        if event["event"] == "failed" and event.get("launch") == launch and event["class"] == "out_of_memory":
            beside: int = event.get("beside", 2)  # an earlier version did not note it: then alone
            return beside if beside > 1 else None
    return None


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


def record_failure(
    record: Record,
    launch: str,
    kind: str,
    message: str,
    attempt: int,
    beside: int = 1,
    traceback: str = "",
    started: float | None = None,
) -> bool:
    """Write why an attempt failed; returns whether it is tried once more in this launch. Needs the run's lock.

    Parameters
    ----------
    record : Record
    launch : str
        The launch's id.
    kind : str
        The failure's class.
    message : str
    attempt : int
    beside : int
        How many runs there were at most side by side, this one among them.
    traceback : str
    started : float, optional
        Unix time at which the attempt began; now, if its worker could not tell.
    """
    now = time.time()
    message, traceback = clean_text(masked(message)), clean_text(masked(traceback))
    again = kind == "out_of_memory" and deserves_fewer_beside(record, launch, beside)
    failure = {"class": kind, "message": message, "traceback": traceback, "attempt": attempt, "launch": launch}
    times = {"started": now if started is None else started, "finished": now}
    before = record.run() or {"record": ""}
    record.append("failed", **{"class": kind, "message": message, "launch": launch, "beside": beside})
    record.fail({"record": before["record"], **failure, **times, "beside": beside, "again": again})
    return again
