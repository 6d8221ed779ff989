"""The data that runs need, fetched before they start, and what is shown of that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from suite.plan.run import Run
from suite.registry.registry import Registry
from suite.text.sizes import shown_bytes

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
        show_downloads(registry.data, lacking, say)
        registry.data.fetch(lacking, mirror, offline, FetchLines(say))


def data_of(registry: Registry, benchmarks: Sequence[str], profile: str | None = None) -> list[str]:
    """Return the data sets that benchmarks read: at a profile, or else at any but ``paper``."""
    entries = [registry.document.benchmarks[name] for name in benchmarks]

    def is_meant(offered: Iterable[str]) -> bool:
        return any(name == profile or (profile is None and name != "paper") for name in offered)

    return sorted({name for entry in entries if is_meant(entry.profiles) for name in entry.data})


def show_downloads(data: DataStore, names: Sequence[str], say: Say) -> int:
    """Show what data sets are, how much there is to download, and under which terms; returns the bytes of all."""
    total = 0
    for name in names:
        dataset = data.dataset(name)
        total += dataset.download_size
        much = f"{shown_bytes(dataset.download_size)} to download" if dataset.sources else "no program may download it"
        say(f"{dataset.title}: {much}; {dataset.licence} ({dataset.origin})")
    if len(names) > 1:
        say(f"{len(names)} data sets, {shown_bytes(total)} to download unless the mirror has them")
    return total


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
