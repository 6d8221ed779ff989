"""The array tasks of launches that SLURM has in its queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from suite.launch.slurm import client
from suite.records.arrays import Batch, batches, task_report
from suite.records.launch import Launch

UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class InQueue:
    """An array task that SLURM has, or may have.

    Attributes
    ----------
    launch : Launch
    pack : int
    task : client.ArrayTask
        With state :data:`UNKNOWN` if SLURM does not answer.
    """

    launch: Launch
    pack: int
    task: client.ArrayTask

    def wanted(self) -> list[str]:
        """Return the runs that it has in hand, without cancelled runs."""
        cancelled = self.launch.cancelled()
        return [key for key in self.launch.spec.packs[self.pack].keys if key not in cancelled]


@dataclass(frozen=True)
class Look:
    """One look at SLURM.

    Attributes
    ----------
    tasks : list of InQueue
        What SLURM has of the launches in question; if it does not answer, everything of them that may be there. So
        it is with launches of other users and clusters, whose jobs it does not show.
    silence : str
        Why SLURM does not answer; empty if it does.
    total : int
        This user's array tasks of the suite in the queue, those of other results folders among them.
    """

    tasks: list[InQueue]
    silence: str = ""
    total: int = 0

    def of(self, launch: Launch) -> dict[int, InQueue]:
        """Return the tasks of one launch by pack."""
        return {one.pack: one for one in self.tasks if one.launch.id == launch.id}


def look(launches: Iterable[Launch], always: bool = False) -> Look:
    """Ask SLURM, once, which array tasks of some launches it has; if `always`, even if they have none."""
    listed = [batch for launch in launches for batch in batches(launch)]
    if not listed and not always:
        return Look([])
    try:
        queued, here = client.queue(), client.identity()
    except client.SchedulerUnavailable as error:
        return Look(list(_perhaps(listed)), str(error))
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
                yield InQueue(batch.launch, pack, client.ArrayTask(jobs.get(pack, "?"), batch.name, index, UNKNOWN))
