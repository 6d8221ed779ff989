"""Waiting for what happens in other processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: Seconds would do on an idle machine. What is right also passes on one with ten times as much work as cores.
PATIENCE_S = 300.0


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    """Wait for a condition and return its value; fail, naming it, if it does not come true in time."""
    deadline, began = time.monotonic() + seconds, time.monotonic()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"within {seconds:g} s: {what}"
        began = rest(began)
    return found


def rest(began: float) -> float:
    """Sleep after a look that began then, and return when the next one begins.

    A look by commands, as those of a batch system, is work that all tests wait for: a fifth of a core goes into it.
    """
    time.sleep(max(0.05, 4 * (time.monotonic() - began)))
    return time.monotonic()
