"""Array tasks of a launch, as its folder tells them: which were submitted, which live, which were lost.

``batches/<n>.json`` (the packs of an array; written before it is submitted, so that a launcher killed right after that
leaves jobs that can be found by their name), ``batches/<n>.job`` (the array's id), ``tasks/<pack>.json`` (the latest
report of a pack's array task) and ``tasks/<pack>.lock`` (flock'ed while it lives).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.records.files import is_held, matching, read_json, write_json
from suite.records.launch import Launch, all_launches, has_joined
from suite.records.record import Store

JOB_PREFIX = "suite-"
HEARTBEAT_S = 20.0
#: An array task that has shown no sign of life for so long is taken for lost, if no process holds its lock either.
SILENCE_S = 90.0


@dataclass(frozen=True)
class Batch:
    """One array, or one plain job.

    Attributes
    ----------
    number : int
    packs : tuple of int
        The packs of its tasks, in order of the array's index.
    job : str or None
        The site's id of the array; None if its launcher died, or got no answer, before it could note it.
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
        return f"{JOB_PREFIX}{self.launch.id}-{self.number}"

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
    for file in sorted(matching(launch.folder / "batches", "*.json"), key=lambda f: int(f.stem)):
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
    """The report of an array task.

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
    """Write the report of an array task; returns the file, whose age is the time since its last sign of life."""
    folder = launch.folder / "tasks"
    folder.mkdir(exist_ok=True)
    file = folder / f"{report.pack}.json"
    write_json(file, vars(report), durable=False)
    return file


def task_report(launch: Launch, pack: int) -> TaskReport | None:
    """Return the latest report of a pack's array task; None if it has never begun."""
    said = read_json(launch.folder / "tasks" / f"{pack}.json")
    return TaskReport(**said) if said is not None else None


def orphans(launch: Launch, beside: int) -> Iterator[int]:
    """Yield the packs that a lost array task has left behind, seen from the task of pack `beside`.

    Only what has begun and is no more: a task that waits, or that SLURM has back in its queue, does its own work. Locks
    alone would not do, since some shared file systems keep them to one machine.
    """
    packs = launch.spec.packs
    own = launch.folder / "tasks" / f"{beside}.json"
    for pack, other in enumerate(packs):
        report = None if pack == beside else task_report(launch, pack)
        if report is None or report.state == "requeued" or not other.is_like(packs[beside]):
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
    for pack in orphans(launch, beside=number) if launch.is_on_cluster and not has_joined(number) else ():
        yield from launch.spec.packs[pack].keys


def open_launches(store: Store) -> list[Launch]:
    """Return the launches on a cluster with runs that are neither done nor failed since, nor cancelled."""
    clusters = (launch for launch in all_launches(store) if launch.is_on_cluster)
    return [launch for launch in clusters if any(launch.open_keys(store))]
