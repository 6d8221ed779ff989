"""Plan to launch: what the workers need to know is written down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from suite.launch.jobs import work_settings, worker_count
from suite.launch.packing import deal
from suite.plan.run import Run
from suite.process import importable
from suite.records.launch import Launch
from suite.records.record import Store
from suite.records.specs import LaunchSpec, Pack
from suite.registry.launchers import SlurmLauncher
from suite.registry.registry import Registry


def start(runs: Sequence[Run], registry: Registry, store: Store) -> Launch:
    """Write a launch of these runs: the code as it stands, and the runs packed by estimated cost.

    Raises
    ------
    OSError
        If the results folder cannot be written.
    suite.provenance.snapshot.SnapshotError
        If the code cannot be copied.
    """
    store.prepare()
    launcher = registry.document.launcher
    if isinstance(launcher, SlurmLauncher):
        from suite.launch.slurm import client as slurm
        from suite.launch.slurm import jobs as slurm_jobs

        packs, array = slurm_jobs.packs(runs, registry, launcher), slurm_jobs.array_settings(launcher)
        work, submitter = slurm_jobs.work_settings(launcher), slurm.identity()
    else:
        cost = {run.key: run.estimate_s for run in runs}
        dealt = deal(cost, min(worker_count(launcher), max(1, len(runs))))
        packs, array = [Pack(tuple(keys), sum(cost[key] for key in keys)) for keys in dealt], None
        work, submitter = work_settings(launcher), ""
    spec = LaunchSpec(
        kind=launcher.kind,
        out=store.out,
        created=time.time(),
        experiment=registry.document.experiment,
        runs={run.key: run for run in runs},
        packs=tuple(packs),
        work=work,
        array=array,
        path=tuple(importable()),
        catalogues=tuple(registry.catalogues),
        submitter=submitter,
    )
    if launcher.kind != "debug":
        from suite.provenance.snapshot import take

        snapshot = take(store, {module for run in runs for module in run.code})
        spec = replace(spec, snapshot=snapshot.id, git=snapshot.git)
    return Launch.create(store, spec)
