"""``python -m suite doctor``: looks at everything that runs depend on, and says what to do about each finding.

Nothing is left behind: what is written to try a folder is removed, and the probe job is cancelled if it does not end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from suite.doctor import data, devices, folders, tracking
from suite.doctor.findings import Finding, has_problem, to_json
from suite.registry.launchers import SlurmLauncher

if TYPE_CHECKING:
    from suite.records.record import Store
    from suite.registry.registry import Registry

__all__ = ["Finding", "examine", "has_problem", "to_json"]


def examine(registry: Registry, store: Store, tracking_uri: str, patience_s: float = 120.0) -> Iterator[Finding]:
    """Yield what is found, as it is found.

    Parameters
    ----------
    registry : Registry
        With its launcher: a SLURM cluster is tried with a probe job.
    store : Store
        The results folder; it need not exist.
    tracking_uri : str
        The MLflow store that runs are mirrored into.
    patience_s : float
        How long the probe job may wait in the queue.
    """
    launcher = registry.document.launcher
    yield devices.interpreter()
    here = devices.measure()
    yield from devices.findings(here)
    yield from data.findings(registry)
    yield from folders.findings("results folder", store.out, isinstance(launcher, SlurmLauncher))
    yield from folders.findings("data cache", registry.data.root, isinstance(launcher, SlurmLauncher))
    yield from tracking.findings(tracking_uri, registry.document.experiment)
    if isinstance(launcher, SlurmLauncher):
        from suite.doctor import cluster

        yield from cluster.findings(launcher, registry, store, tracking_uri, here, patience_s)
