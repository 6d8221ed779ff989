"""What ``run`` shows in a notebook: one line that is written over, whatever the number of runs."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

from suite.cli.display import clock, doing, ended
from suite.launch.campaign import View
from suite.records.record import Store

#: Between two updates of the line: each is a message to the browser.
INTERVAL_S: Final = 0.5
#: Failures that get a line of their own, and workers that are named; the others are counted.
MOST_FAILURES: Final = 5
MOST_WORKERS: Final = 3


def is_in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, in whose cells a line can be written over."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


class LineDisplay:
    """A line in a notebook's cell that is written over; below it what stays: notices, and the first failures.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._began = time.monotonic()
        self._handle: Any = None
        self._shown_at = 0.0
        self._view: View | None = None

    def say(self, text: str) -> None:
        """Print a line that stays."""
        print(text, flush=True)

    def show(self, view: View) -> None:
        """Write the line anew, unless it was a moment ago, and print the first failures."""
        self._view = view
        if self._handle is None or time.monotonic() - self._shown_at >= INTERVAL_S:
            self._write(progress(view))
        failed = [run for run, outcome in view.settled if outcome == "failed"]
        for number, run in enumerate(failed, start=view.failed - len(failed)):
            if number < MOST_FAILURES:
                self.say(ended(run, "failed", self._store))
            elif number == MOST_FAILURES:
                self.say(f"further failures are counted above; python -m suite status{self._store.option} shows them")

    def close(self) -> None:
        """Leave the line as things stand at the end."""
        if self._view is not None:
            self._write(f"{counts(self._view)}   took {clock(time.monotonic() - self._began)}")

    def _write(self, text: str) -> None:
        from IPython.display import display

        content = {"text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(content, raw=True)
        self._shown_at = time.monotonic()


def progress(view: View) -> str:
    """Return where a campaign stands, in one line."""
    at_work = [doing(worker) for worker in view.workers if worker.name is not None]
    others = f" and {len(at_work) - MOST_WORKERS} more" if len(at_work) > MOST_WORKERS else ""
    state = "stopping, saving checkpoints" if view.stopping else f"eta {clock(view.eta_s)}"
    waits = view.notice or ", ".join(at_work[:MOST_WORKERS]) + others
    return f"{counts(view)}   {state}   {waits}".rstrip()


def counts(view: View) -> str:
    """Return how many runs are done and failed."""
    failed = f", {view.failed} failed" if view.failed else ""
    return f"{view.done} of {view.total} runs done{failed}"
