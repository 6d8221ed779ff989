"""Plan to launch: what the workers need to know is written down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from suite.launch.kind import kind_of
from suite.plan.run import Run
from suite.process import importable
from suite.provenance.definitions import module_of
from suite.records.failures import identity
from suite.records.launch import Launch
from suite.records.record import Store
from suite.records.specs import LaunchSpec
from suite.registry.registry import Registry


def start(runs: Sequence[Run], registry: Registry, store: Store) -> Launch:
    """Write a launch of these runs: the code as it stands, and the runs packed by estimated cost, seed by seed.

    Raises
    ------
    OSError
        If the results folder cannot be written.
    suite.provenance.snapshot.SnapshotError
        If the code cannot be copied.
    """
    store.prepare()
    launcher = kind_of(registry)
    spec = LaunchSpec(
        kind=launcher.kind,
        out=store.out,
        created=time.time(),
        experiment=registry.document.experiment,
        runs={run.key: replace(run, failed_before=identity(store.record(run.key).failure())) for run in runs},
        packs=tuple(launcher.packs(runs, registry)),
        work=launcher.work_settings(),
        array=launcher.array_settings(),
        path=tuple(importable()),
        catalogues=tuple(registry.catalogues),
        submitter=launcher.submitter(),
        is_pool=launcher.is_pool,
        site=launcher.site_settings(),
    )
    if launcher.copies_code:
        from suite.provenance.snapshot import take

        snapshot = take(store, {module_of(entry) for run in runs for entry in run.code})
        spec = replace(spec, snapshot=snapshot.id, git=snapshot.git)
    return Launch.create(store, spec)
