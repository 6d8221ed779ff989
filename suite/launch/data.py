"""The data that runs need, fetched before they start, and what is shown of that."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from suite.plan.run import Run
from suite.registry.registry import Registry

if TYPE_CHECKING:
    from suite.data import Progress
    from suite.data import Store as DataStore

Say = Callable[[str], None]
"""Shows a line of text."""


def fetch_missing(registry: Registry, runs: Sequence[Run], mirror: str | None, offline: bool, say: Say) -> None:
    """Fetch the data sets that runs need and the cache lacks.

    Parameters
    ----------
    registry : Registry
    runs : sequence of Run
    mirror : str or None
        Where to look first.
    offline : bool
        Take nothing from the network.
    say : callable

    Raises
    ------
    suite.data.DataError
        If one cannot be had.
    """
    entries = registry.document.benchmarks
    needed = sorted({dataset for run in runs for dataset in entries[run.benchmark].data})
    lacking = registry.data.missing(needed)
    if lacking:
        show_licences(registry.data, lacking, say)
        registry.data.fetch(lacking, mirror, offline, FetchLines(say))


def show_licences(data: DataStore, names: Sequence[str], say: Say) -> None:
    """Show under which terms data sets come."""
    for name in names:
        dataset = data.dataset(name)
        say(f"{dataset.title}: {dataset.licence} ({dataset.origin})")


class FetchLines:
    """Shows what the data store does: a line when something begins or ends, and one every two seconds of a download."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._last: tuple[str, ...] = ()
        self._shown = 0.0

    def __call__(self, progress: Progress) -> None:
        """Show one report of the data store."""
        now = (progress.dataset, progress.source, progress.state, progress.file)
        if now == self._last and time.monotonic() - self._shown < 2:
            return
        self._last, self._shown = now, time.monotonic()
        done = f" {progress.bytes_done / 1e6:.1f} MB" if progress.bytes_done else ""
        whole = f" of {progress.bytes_total / 1e6:.1f} MB" if progress.bytes_done and progress.bytes_total else ""
        what = f" {progress.file}" if progress.file else ""
        why = f": {progress.message}" if progress.message else ""
        self._say(f"data  {progress.dataset}: {progress.state}{what} ({progress.source}){done}{whole}{why}")
