"""What a site has in its queue, in words that are the same for every launcher kind."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from suite.records.launch import Launch

UNKNOWN: Final = "UNKNOWN"
"""The state of a job that its site says nothing about."""


class SchedulerUnavailable(RuntimeError):
    """A site does not answer: nothing is known of its jobs."""


@dataclass(frozen=True)
class ArrayTask:
    """An array task, or a plain job, as a queue shows it.

    Attributes
    ----------
    job : str
        What the site's commands take; with SLURM ``123_4``, or ``123`` for a plain job.
    name : str
    index : int
        Its array index; 0 for a plain job.
    state : str
        ``PENDING``, ``RUNNING``, ... or :data:`UNKNOWN`.
    reason : str
        Why it waits.
    nodes : str
        Where it runs, as ``gpu[1-2]``.
    """

    job: str
    name: str
    index: int
    state: str
    reason: str = ""
    nodes: str = ""


@dataclass(frozen=True)
class InQueue:
    """An array task that a site has, or may have.

    Attributes
    ----------
    launch : Launch
    pack : int
    task : ArrayTask
        With state :data:`UNKNOWN` if the site does not answer.
    """

    launch: Launch
    pack: int
    task: ArrayTask

    def wanted(self) -> list[str]:
        """Return the runs that it has in hand, without cancelled runs."""
        cancelled = self.launch.cancelled()
        return [key for key in self.launch.spec.packs[self.pack].keys if key not in cancelled]


@dataclass(frozen=True)
class Look:
    """One look at queues.

    Attributes
    ----------
    tasks : list of InQueue
        What there is of the launches in question; of a site that does not answer, everything that may be there. So
        it is with launches of other users and clusters, whose jobs a site does not show.
    silence : str
        Why a site does not answer; empty if all do.
    total : int
        This user's array tasks of the suite in the queue, those of other results folders among them.
    silent : str
        Who does not answer, as in ``SLURM``.
    """

    tasks: list[InQueue]
    silence: str = ""
    total: int = 0
    silent: str = ""

    def of(self, launch: Launch) -> dict[int, InQueue]:
        """Return the tasks of one launch by pack."""
        return {one.pack: one for one in self.tasks if one.launch.id == launch.id}


class Site(Protocol):
    """Where the jobs of a launcher kind wait and run."""

    def look(self, launches: Collection[Launch]) -> Look:
        """Ask, once, which jobs of some launches there are; a site that does not answer says so in the look."""
        ...

    def cancel(self, tasks: Sequence[InQueue]) -> None:
        """End jobs; those that are gone already are no error.

        Raises
        ------
        SchedulerUnavailable
        """
        ...

    def has_jobs(self, launch: Launch) -> bool:
        """Whether a launch has jobs, by what the site said when it was first asked.

        Raises
        ------
        SchedulerUnavailable
        """
        ...
