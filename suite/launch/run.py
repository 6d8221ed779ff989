"""A plan carried out: what it lacks is executed, and MLflow brought up to date."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from suite.launch.campaign import POLL_S, Campaign, Display, Outcome, View
from suite.launch.data import fetch_missing
from suite.launch.jobs import DebugJobs, Jobs
from suite.launch.start import start
from suite.plan.plan import Plan
from suite.plan.run import Run
from suite.problems import InputError, Problem
from suite.records.launch import Launch, forget_finished
from suite.records.record import Store
from suite.registry.launchers import Launcher, SlurmLauncher
from suite.registry.registry import Registry

#: On a shared file system, a look at every record costs more than on a local disk.
CLUSTER_POLL_S = 1.0


@dataclass(frozen=True)
class RunOptions:
    """How a plan is carried out.

    Attributes
    ----------
    rerun : tuple of str
        States to execute again: ``stale``, ``failed``, ``done``.
    detach : bool
        Return as soon as the workers are started.
    offline : bool
        Never fetch data.
    tracking_uri : str
        The MLflow store to mirror into.
    mirror : str or None
        Where to look for data first.
    """

    rerun: tuple[str, ...] = ()
    detach: bool = False
    offline: bool = False
    tracking_uri: str = ""
    mirror: str | None = None


@dataclass(frozen=True)
class Report:
    """What came of a `run`."""

    outcome: Outcome
    already_done: int
    stale: int
    not_retried: tuple[Run, ...]
    detached: bool
    mirrored: bool
    mirror_error: str | None
    seconds: float
    on_cluster: bool
    started: int


def carry_out(registry: Registry, plan: Plan, store: Store, options: RunOptions, display: Display) -> Report:
    """Execute what the plan lacks, and wait for what other launches of it have in hand.

    Raises
    ------
    OSError
        If the results folder cannot be written.
    suite.data.DataError
        If data is missing and cannot be fetched.
    suite.launch.campaign.LaunchError
        If workers cannot work here at all.
    """
    began = time.monotonic()
    to_do = plan.to_do(options.rerun)
    awaited = [run for run in plan.runs if run.state in ("queued", "running")]
    outcome = Outcome(0, (), 0, False)
    mirrored, error = True, None
    launcher = registry.document.launcher
    is_on_cluster = isinstance(launcher, SlurmLauncher)
    if to_do or awaited:
        store.prepare()
        fetch_missing(registry, plan.runs, options.mirror, options.offline, display.say)
        # what an earlier launch has in hand is in ours, too: should its workers die, ours take over
        mine = to_do if options.detach else [*to_do, *awaited]
        if awaited and not options.detach:
            display.say(f"{len(awaited)} runs are in the hands of an earlier launch")
        if isinstance(launcher, SlurmLauncher) and mine:
            from suite.launch.slurm.jobs import check

            check(launcher)
        if not is_on_cluster:
            _refuse_what_is_spread(mine, launcher.kind)
        jobs = jobs_of(start(mine, registry, store), launcher, store) if mine else None
        campaign = Campaign(jobs, mine, store, CLUSTER_POLL_S if is_on_cluster else POLL_S)
        campaign.begin(options.detach)
        if options.detach:
            outcome = Outcome(0, (), len(to_do) + len(awaited), False)
        else:
            outcome, mirrored, error = _attend(campaign, Mirroring(plan, store, options), display)
    elif not options.detach:
        mirrored, error = Mirroring(plan, store, options).finish()
    forget_finished(store)
    started = {run.key for run in to_do}
    rest = [run for run in plan.runs if run.key not in started]
    skipped = tuple(run for run in rest if run.state == "failed")
    stale = sum(run.state == "stale" for run in rest)
    done = sum(run.state == "done" for run in rest)
    seconds = time.monotonic() - began
    return Report(outcome, done, stale, skipped, options.detach, mirrored, error, seconds, is_on_cluster, len(to_do))


def _refuse_what_is_spread(runs: Sequence[Run], launcher: str) -> None:
    """Name the benchmarks that ask for several processes a run, which only a cluster gives them."""
    asked = {run.benchmark: run.config["processes"] for run in runs if run.config.get("processes", 1) > 1}
    problems = [
        Problem(
            f"benchmarks.{name}.resources",
            "",
            f"asks for {processes} processes a run, which --launcher slurm gives and {launcher} does not; "
            f"without them: ~benchmarks.{name}.resources",
        )
        for name, processes in asked.items()
    ]
    if problems:
        raise InputError(problems)


def jobs_of(launch: Launch, launcher: Launcher, store: Store) -> Jobs:
    """Return where the workers of a launch come from."""
    if isinstance(launcher, SlurmLauncher):
        from suite.launch.slurm.jobs import SlurmJobs

        return SlurmJobs(launch, launcher, store)
    if launcher.kind == "debug":
        return DebugJobs(launch)
    from suite.launch.local import LocalJobs

    return LocalJobs(launch, launcher, store)


def _attend(campaign: Campaign, mirroring: Mirroring, display: Display) -> tuple[Outcome, bool, str | None]:
    def show(view: View) -> None:
        mirroring.follow(view)
        display.show(view)

    try:
        outcome = campaign.watch(show)
    finally:
        mirrored, error = mirroring.finish()
        campaign.close()
    return outcome, mirrored, error


class Mirroring:
    """The mirror of a campaign: begins when the workers have begun, since both import for seconds at first."""

    def __init__(self, plan: Plan, store: Store, options: RunOptions) -> None:
        from suite.tracking import LiveMirror

        self._mirror = LiveMirror(
            store.out, options.tracking_uri, plan.experiment, [run.key for run in plan.runs], interval_s=2.0
        )
        self._started = False

    def follow(self, view: View) -> None:
        """Begin once a worker trains or a run has ended."""
        if view.done + view.failed or any(worker.phase == "training" for worker in view.workers):
            self._start()

    def finish(self, patience_s: float = 120.0) -> tuple[bool, str | None]:
        """Return whether MLflow holds everything, and if not, why."""
        self._start()
        return self._mirror.finish(patience_s), self._mirror.shortfall

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._mirror.start()
            # the table at the end needs pandas: import it while the workers work
            threading.Thread(target=importlib.import_module, args=("analysis.tables.tables",), daemon=True).start()
