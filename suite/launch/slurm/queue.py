"""The array tasks of launches that SLURM has in its queue."""

from __future__ import annotations

import contextlib
import functools
import pickle
from collections.abc import Collection, Iterable, Iterator, Sequence

from suite.launch.jobs import unpatterned
from suite.launch.queue import UNKNOWN, ArrayTask, InQueue, Look, SchedulerUnavailable
from suite.launch.slurm import client
from suite.records.arrays import JOB_PREFIX, Batch, batches, note_job, task_report
from suite.records.files import atomic_write
from suite.records.launch import Launch


class SlurmSite:
    """The clusters that SLURM's commands speak with: the one by default, and those that launches name."""

    def __init__(self) -> None:
        self._listed: dict[str | None, list[str]] = {}

    def look(self, launches: Collection[Launch]) -> Look:
        """Ask SLURM, once, unless nothing of the launches was ever submitted."""
        return look(launches)

    def cancel(self, tasks: Sequence[InQueue]) -> None:
        """End array tasks; those that are gone already are no error."""
        for cluster in dict.fromkeys(cluster_of(one.launch) for one in tasks):
            client.cancel([one.task.job for one in tasks if cluster_of(one.launch) == cluster], cluster)

    def has_jobs(self, launch: Launch) -> bool:
        """Whether the queue shows array tasks of a launch."""
        return any(name.startswith(f"{JOB_PREFIX}{launch.id}-") for name in self._names(cluster_of(launch)))

    def _names(self, cluster: str | None) -> list[str]:
        if cluster not in self._listed:
            self._listed[cluster] = [task.name for task in client.queue(cluster)]
        return self._listed[cluster]


def cluster_of(launch: Launch) -> str | None:
    """Return the cluster of a launch's array tasks, where its launcher names one."""
    named: str | None = launch.spec.site.get("cluster")
    return named


def look(launches: Iterable[Launch], mine: Launch | None = None) -> Look:
    """Ask SLURM, once a cluster, which array tasks of some launches it has.

    Parameters
    ----------
    launches : iterable of Launch
    mine : Launch, optional
        Its cluster is asked even if nothing was submitted there, and its queue is what `total` counts.
    """
    listed: dict[str | None, list[Batch]] = {} if mine is None else {cluster_of(mine): []}
    for launch in launches:
        if found := batches(launch):
            listed.setdefault(cluster_of(launch), []).extend(found)
    seen = {cluster: _look(of_it, cluster) for cluster, of_it in listed.items()}
    tasks = [task for one in seen.values() for task in one.tasks]
    silence = "; ".join(one.silence for one in seen.values() if one.silence)
    total = sum(one.total for cluster, one in seen.items() if mine is None or cluster == cluster_of(mine))
    return Look(tasks, silence, total, "SLURM" if silence else "")


def _look(listed: Sequence[Batch], cluster: str | None) -> Look:
    try:
        queued, here = client.queue(cluster), client.identity(cluster)
    except SchedulerUnavailable as error:
        return Look(list(_perhaps(listed)), str(error), silent="SLURM")
    strange = [batch for batch in listed if batch.launch.spec.submitter not in ("", here)]
    named = {batch.name: batch for batch in listed}
    found = [
        InQueue(named[task.name].launch, named[task.name].packs[task.index], task)
        for task in queued
        if task.name in named and task.state not in client.ENDED
    ]
    for batch in (one for one in listed if one.job is None):
        with contextlib.suppress(OSError):  # who may not write, or has no space, still gets to see the queue
            _complete(batch, [one for one in found if one.task.name == batch.name])
    return Look([*found, *_perhaps(strange)], total=len(queued))


def _complete(batch: Batch, tasks: Sequence[InQueue]) -> None:
    """Do what submitit does once it knows an array's id: its launcher was killed, or got no answer, before that."""
    from submitit.core.utils import DelayedSubmission, JobPaths

    from suite.launch.slurm.pilot import pilot

    for one in tasks:
        file = JobPaths(unpatterned(batch.launch.folder) / "jobs", one.task.job).submitted_pickle
        submission = DelayedSubmission(pilot, str(batch.launch.folder), one.pack)
        atomic_write(file, functools.partial(pickle.dump, submission))
    if tasks:
        note_job(batch, tasks[0].task.job.partition("_")[0])


def _perhaps(listed: Iterable[Batch]) -> Iterator[InQueue]:
    for batch in listed:
        jobs = dict(batch.jobs())
        for index, pack in enumerate(batch.packs):
            report = task_report(batch.launch, pack)
            if report is None or report.state != "ended":
                yield InQueue(batch.launch, pack, ArrayTask(jobs.get(pack, "?"), batch.name, index, UNKNOWN))
