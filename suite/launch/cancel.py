"""Ends runs that are in the hands of workers, here or on a cluster; what they have done so far is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from suite.launch.jobs import kill
from suite.launch.queue import UNKNOWN, InQueue, Look, SchedulerUnavailable
from suite.launch.sites import Sites
from suite.records.launch import Launch, all_launches
from suite.records.record import Store

PATIENCE_S = 30.0
POLL_S = 0.2


@dataclass(frozen=True)
class Cancelled:
    """What came of a cancellation.

    Attributes
    ----------
    runs : int
        Runs that were waiting or running.
    workers : int
        Workers of this machine that ended.
    tasks : int
        Array tasks that ended.
    silence : str
        Why a site does not answer: its tasks end by themselves, once they see that their runs are cancelled.
    silent : str
        Which site.
    """

    runs: int
    workers: int
    tasks: int
    silence: str
    silent: str


def cancel(store: Store, keys: Collection[str] | None = None, patience_s: float = PATIENCE_S) -> Cancelled:
    """End runs at their next step, with a checkpoint, and the array tasks and workers that are left without work.

    Workers and tasks that have not ended after `patience_s` are killed: their runs go on from the last checkpoint.

    Parameters
    ----------
    store : Store
    keys : collection of str, optional
        Which runs; all by default.
    patience_s : float
    """
    launches = [one for one in all_launches(store) if one.is_on_cluster or one.is_open(store) or one.workers()]
    runs = set()
    for launch in launches:
        unwanted = launch.spec.runs.keys() & (launch.spec.runs.keys() if keys is None else set(keys))
        unwanted = set(launch.open_keys(store, unwanted))
        runs |= unwanted
        launch.cancel(unwanted)
    here = [launch for launch in launches if not launch.is_on_cluster and not any(launch.open_keys(store))]
    workers = sum(len(launch.workers()) for launch in here)
    for launch in here:
        launch.stop(reason="cancelled")
    with_jobs = [launch for launch in launches if launch.is_on_cluster or launch.spec.is_pool]
    tasks, silence, silent = _end_tasks(with_jobs, store, patience_s)
    deadline = time.monotonic() + patience_s
    while any(launch.workers() for launch in here) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    kill([worker for launch in here for worker in launch.workers()])
    return Cancelled(len(runs), workers, tasks, silence, silent)


def _taken_over(one: InQueue) -> list[str]:
    """Return what a task carries out, runs that a lost task has left among it."""
    return [str(worker.key) for worker in one.launch.workers() if worker.number == one.pack and worker.key]


def _end_tasks(launches: Collection[Launch], store: Store, patience_s: float) -> tuple[int, str, str]:
    """End the array tasks without work; returns how many, and why which site is silent, if one is."""
    sites = Sites()

    def idle() -> tuple[list[InQueue], Look]:
        seen = sites.look(launches)
        packs = [(one, [*one.launch.spec.packs[one.pack].keys, *_taken_over(one)]) for one in seen.tasks]
        known = [(one, keys) for one, keys in packs if one.task.state != UNKNOWN]
        return [one for one, keys in known if not any(one.launch.open_keys(store, keys))], seen

    found, seen = idle()
    count = len(found)
    if seen.silence:
        return (0, seen.silence, seen.silent) if seen.tasks else (0, "", "")
    try:
        # those that run end by themselves, when their workers have saved
        sites.cancel([one for one in found if one.task.state == "PENDING"])
        for one in found:
            one.launch.stop(one.pack, "cancelled")
        if not _wait(idle, patience_s):
            sites.cancel(idle()[0])
            _wait(idle, patience_s)
    except SchedulerUnavailable as error:
        return count, str(error), "the scheduler"
    return count, "", ""


def _wait(idle: Callable[[], tuple[list[InQueue], Look]], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        found, seen = idle()
        if not found and not seen.silence:
            return True
        time.sleep(POLL_S)
    return False
