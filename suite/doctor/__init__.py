"""``python -m suite doctor``: looks at everything that runs depend on, and says what to do about each finding.

Nothing is left behind: what is written to try a folder is removed, and the probe job is cancelled if it does not end.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from suite.doctor import data, devices, folders, tracking
from suite.doctor.findings import Finding, has_problem, to_json
from suite.launch.kind import kind_of

if TYPE_CHECKING:
    from suite.records.record import Store
    from suite.registry.registry import Registry

__all__ = ["Finding", "examine", "has_problem", "to_json"]


def examine(registry: Registry, store: Store, tracking_uri: str, patience_s: float = 120.0) -> Iterator[Finding]:
    """Yield what is found, as it is found.

    Parameters
    ----------
    registry : Registry
        With its launcher, whose kind may know how to examine a site: a SLURM cluster is tried with a probe job.
    store : Store
        The results folder; it need not exist.
    tracking_uri : str
        The MLflow store that runs are mirrored into.
    patience_s : float
        How long the probe job may wait in the queue.
    """
    launcher = kind_of(registry)
    yield devices.interpreter()
    here = devices.measure()
    yield from devices.findings(here)
    yield from data.findings(registry)
    yield from folders.findings("results folder", store.out, launcher.is_on_cluster)
    yield from folders.findings("data cache", registry.data.root, launcher.is_on_cluster)
    yield from tracking.findings(tracking_uri, registry.document.experiment)
    if launcher.doctor is not None:
        site = importlib.import_module(launcher.doctor)
        yield from site.findings(launcher, registry, store, tracking_uri, here, patience_s)
