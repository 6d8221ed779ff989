"""The array tasks of launches that SLURM has in its queue."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Sequence

from suite.launch.queue import UNKNOWN, ArrayTask, InQueue, Look, SchedulerUnavailable
from suite.launch.slurm import client
from suite.records.arrays import JOB_PREFIX, Batch, batches, task_report
from suite.records.launch import Launch


class SlurmSite:
    """The cluster that SLURM's commands speak with."""

    def look(self, launches: Collection[Launch]) -> Look:
        """Ask SLURM, once, unless nothing of the launches was ever submitted."""
        return look(launches)

    def cancel(self, tasks: Sequence[InQueue]) -> None:
        """End array tasks; those that are gone already are no error."""
        client.cancel([one.task.job for one in tasks])

    def has_jobs(self, launch: Launch) -> bool:
        """Whether the queue shows array tasks of a launch."""
        return any(name.startswith(f"{JOB_PREFIX}{launch.id}-") for name in self._names)

    @functools.cached_property
    def _names(self) -> list[str]:
        return [task.name for task in client.queue()]


def look(launches: Iterable[Launch], always: bool = False) -> Look:
    """Ask SLURM, once, which array tasks of some launches it has; if `always`, even if they have none."""
    listed = [batch for launch in launches for batch in batches(launch)]
    if not listed and not always:
        return Look([])
    try:
        queued, here = client.queue(), client.identity()
    except SchedulerUnavailable as error:
        return Look(list(_perhaps(listed)), str(error), silent="SLURM")
    strange = [batch for batch in listed if batch.launch.spec.submitter not in ("", here)]
    named = {batch.name: batch for batch in listed}
    found = [
        InQueue(named[task.name].launch, named[task.name].packs[task.index], task)
        for task in queued
        if task.name in named and task.state not in client.ENDED
    ]
    return Look([*found, *_perhaps(strange)], total=len(queued))


def _perhaps(listed: Iterable[Batch]) -> Iterator[InQueue]:
    for batch in listed:
        jobs = dict(batch.jobs())
        for index, pack in enumerate(batch.packs):
            report = task_report(batch.launch, pack)
            if report is None or report.state != "ended":
                yield InQueue(batch.launch, pack, ArrayTask(jobs.get(pack, "?"), batch.name, index, UNKNOWN))
