"""Array tasks of a launch: which were submitted, which SLURM still has, which were lost.

``batches/<n>.json`` (the packs of an array; written before sbatch, so that a launcher killed right after it leaves jobs
that can be found by their name), ``batches/<n>.job`` (the array's id), ``tasks/<pack>.json`` (what the array task of a
pack says of itself) and ``tasks/<pack>.lock`` (flock'ed while it lives).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.launch.slurm import client as slurm
from suite.records.failures import is_final
from suite.records.launch import Launch, all_launches
from suite.records.record import Store, is_held, read_json, write_json

HEARTBEAT_S = 20.0
#: An array task that has shown no sign of life for so long is taken for lost, if nobody holds its lock either.
SILENCE_S = 90.0
UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Batch:
    """One array, or one plain job.

    Attributes
    ----------
    number : int
    packs : tuple of int
        The packs of its tasks, in order of the array's index.
    job : str or None
        SLURM's id of the array; None if the launcher died before it could note it.
    submitted : float
        Unix time.
    """

    launch: Launch
    number: int
    packs: tuple[int, ...]
    job: str | None
    submitted: float

    @property
    def name(self) -> str:
        """The job's name, by which it is found again."""
        return f"{slurm.JOB_PREFIX}{self.launch.id}-{self.number}"

    def jobs(self) -> Iterator[tuple[int, str]]:
        """Yield each pack with its task's id, as far as that is known."""
        if self.job is not None:
            for index, pack in enumerate(self.packs):
                yield pack, self.job if len(self.packs) == 1 else f"{self.job}_{index}"


def add_batch(launch: Launch, packs: Sequence[int]) -> Batch:
    """Note an array that is about to be submitted."""
    folder = launch.folder / "batches"
    folder.mkdir(exist_ok=True)
    batch = Batch(launch, len(list(folder.glob("*.json"))), tuple(packs), None, time.time())
    write_json(folder / f"{batch.number}.json", {"packs": list(packs), "submitted": batch.submitted})
    return batch


def remove_batch(batch: Batch) -> None:
    """Forget an array that SLURM has refused."""
    (batch.launch.folder / "batches" / f"{batch.number}.json").unlink(missing_ok=True)


def note_job(batch: Batch, job: str) -> Batch:
    """Note the id that SLURM gave an array."""
    write_json(batch.launch.folder / "batches" / f"{batch.number}.job", {"job": job})
    return dataclasses.replace(batch, job=job)


def batches(launch: Launch) -> list[Batch]:
    """Return the arrays of a launch, oldest first."""
    found = []
    for file in sorted((launch.folder / "batches").glob("*.json"), key=lambda f: int(f.stem)):
        content, job = read_json(file), read_json(file.with_suffix(".job"))
        if content is not None:
            found.append(
                Batch(
                    launch, int(file.stem), tuple(content["packs"]), job["job"] if job else None, content["submitted"]
                )
            )
    return found


@dataclass(frozen=True)
class TaskReport:
    """What an array task says of itself.

    Attributes
    ----------
    pack : int
    job : str
    host : str
    state : str
        ``running``, ``requeued`` or ``ended``.
    reason : str
        Why it ended before its work was done.
    restarts : int
        How often SLURM has started it again.
    """

    pack: int
    job: str
    host: str
    state: str = "running"
    reason: str = ""
    restarts: int = 0


def report_task(launch: Launch, report: TaskReport) -> Path:
    """Write what an array task says of itself; returns the file, whose age is the time since its last sign of life."""
    folder = launch.folder / "tasks"
    folder.mkdir(exist_ok=True)
    file = folder / f"{report.pack}.json"
    write_json(file, vars(report), durable=False)
    return file


def task_report(launch: Launch, pack: int) -> TaskReport | None:
    """Return what the array task of a pack says of itself; None if it has never begun."""
    said = read_json(launch.folder / "tasks" / f"{pack}.json")
    return TaskReport(**said) if said is not None else None


def orphans(launch: Launch, beside: int) -> Iterator[int]:
    """Yield the packs that a lost array task has left behind, seen from the task of pack `beside`.

    Only what has begun and is no more: a task that waits, or that SLURM has back in its queue, does its own work. Locks
    alone would not do, since some shared file systems keep them to one machine.
    """
    shape = {name: launch.content["packs"][beside][name] for name in ("nodes", "gpus")}
    own = launch.folder / "tasks" / f"{beside}.json"
    for pack, content in enumerate(launch.content["packs"]):
        report = None if pack == beside else task_report(launch, pack)
        if report is None or report.state == "requeued" or any(content[name] != shape[name] for name in shape):
            continue
        file = launch.folder / "tasks" / f"{pack}.json"
        own.touch()  # two times given by one file server: clocks of machines differ
        is_silent = own.stat().st_mtime - file.stat().st_mtime > SILENCE_S
        if report.state == "ended" or (is_silent and not is_held(file.with_suffix(".lock"))):
            yield pack


def order(launch: Launch, number: int) -> Iterator[str]:
    """Yield keys in the order in which worker `number` tries them: on a cluster, what lost tasks have left comes last.

    What other tasks will do is left to them there: they have time limits of their own.
    """
    yield from launch.order(number)
    for pack in orphans(launch, beside=number) if launch.is_on_cluster else ():
        yield from launch.content["packs"][pack]["keys"]


@dataclass(frozen=True)
class InQueue:
    """An array task that SLURM has, or may have.

    Attributes
    ----------
    launch : Launch
    pack : int
    task : slurm.Task
        With state :data:`UNKNOWN` if SLURM does not answer.
    """

    launch: Launch
    pack: int
    task: slurm.Task

    def wanted(self) -> list[str]:
        """Return the runs that it has in hand, without those that nobody wants any more."""
        cancelled = self.launch.cancelled()
        return [key for key in self.launch.content["packs"][self.pack]["keys"] if key not in cancelled]


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


def open_launches(store: Store) -> list[Launch]:
    """Return the launches on a cluster with runs that are neither done nor failed since, nor cancelled."""
    clusters = (launch for launch in all_launches(store) if launch.is_on_cluster)
    return [launch for launch in clusters if any(open_keys(launch, store, launch.keys()))]


def open_keys(launch: Launch, store: Store, keys: Iterable[str]) -> Iterator[str]:
    """Yield those of a launch's runs that are neither done nor failed since, nor cancelled."""
    cancelled = launch.cancelled()
    return (key for key in keys if key not in cancelled and not is_settled(launch, store, key))


def is_settled(launch: Launch, store: Store, key: str) -> bool:
    """Whether a run of a launch is done, or has failed since the launch was made."""
    if launch.is_done(key, store):
        return True
    failure = store.record(key).failure()
    if failure is None or not is_final(failure):
        return False
    # the time is a node's, whose clock may differ: in the launch's own failures it does not matter
    return failure.get("launch") == launch.id or failure["finished"] >= launch.content["created"]


def look(launches: Iterable[Launch], always: bool = False) -> Look:
    """Ask SLURM, once, which array tasks of some launches it has; if `always`, even if they have none."""
    listed = [batch for launch in launches for batch in batches(launch)]
    if not listed and not always:
        return Look([])
    try:
        queued, here = slurm.queue(), slurm.identity()
    except slurm.SchedulerUnavailable as error:
        return Look(list(_perhaps(listed)), str(error))
    strange = [batch for batch in listed if batch.launch.content.get("submitter", here) != here]
    named = {batch.name: batch for batch in listed}
    found = [
        InQueue(named[task.name].launch, named[task.name].packs[task.index], task)
        for task in queued
        if task.name in named and task.state not in slurm.ENDED
    ]
    return Look([*found, *_perhaps(strange)], total=len(queued))


def _perhaps(listed: Iterable[Batch]) -> Iterator[InQueue]:
    for batch in listed:
        jobs = dict(batch.jobs())
        for index, pack in enumerate(batch.packs):
            report = task_report(batch.launch, pack)
            if report is None or report.state != "ended":
                yield InQueue(batch.launch, pack, slurm.Task(jobs.get(pack, "?"), batch.name, index, UNKNOWN))
