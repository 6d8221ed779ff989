"""Waiting for what happens in other processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: Seconds would do on an idle machine. What is right also passes on one with ten times as much work as cores.
PATIENCE_S = 300.0


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    """Wait for a condition and return its value; fail, naming it, if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"within {seconds:g} s: {what}"
        time.sleep(0.05)
    return found
