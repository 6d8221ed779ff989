"""Data sets: fetched once, verified before use, found without the network afterwards.

The functions act on the suite's own catalogue and the cache that the environment names; a :class:`Store` acts on any.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from suite.data.dataset import Dataset, Member, Package, Source
from suite.data.describe import describe
from suite.data.errors import CatalogueError, Problem
from suite.data.fetching import OnProgress, Progress
from suite.data.schema import load_catalogue
from suite.data.store import CATALOGUE, Finding, Status, Store, cache_dir, catalogue
from suite.problems import DataError

__all__ = [
    "CATALOGUE",
    "CatalogueError",
    "DataError",
    "Dataset",
    "Finding",
    "Member",
    "Package",
    "Problem",
    "Progress",
    "Source",
    "Status",
    "Store",
    "cache_dir",
    "catalogue",
    "checksums",
    "describe",
    "fetch",
    "load_catalogue",
    "locate",
    "missing",
    "status",
    "verify",
]


def checksums(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """See :meth:`Store.checksums`."""
    return Store().checksums(names)


def locate(dataset: str, member: str) -> Path:
    """See :meth:`Store.locate`."""
    return Store().locate(dataset, member)


def missing(names: Iterable[str]) -> list[str]:
    """See :meth:`Store.missing`."""
    return Store().missing(names)


def verify(names: Iterable[str]) -> list[Finding]:
    """See :meth:`Store.verify`."""
    return Store().verify(names)


def status() -> list[Status]:
    """See :meth:`Store.status`."""
    return Store().status()


def fetch(
    names: Iterable[str],
    mirror: str | Path | None = None,
    offline: bool = False,
    on_progress: OnProgress = lambda progress: None,
) -> None:
    """See :meth:`Store.fetch`."""
    Store().fetch(names, mirror, offline, on_progress)
