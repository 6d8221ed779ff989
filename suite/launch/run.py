"""A plan carried out: what it lacks is executed, and MLflow brought up to date."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from suite.launch.campaign import POLL_S, Campaign, Display, Outcome
from suite.launch.data import fetch_missing
from suite.launch.interruption import ending_in_time
from suite.launch.kind import kind_of
from suite.launch.start import start
from suite.plan.outdated import outdated
from suite.plan.plan import Plan
from suite.plan.run import Run
from suite.records.launch import forget_finished
from suite.records.permissions import follow_sharing, share_with_group
from suite.records.record import Store
from suite.registry.kept import keep
from suite.registry.registry import Registry
from suite.tracking import LiveMirror

#: On a shared file system, a look at every record costs more than on a local disk.
CLUSTER_POLL_S = 1.0
#: For what MLflow lacks when a campaign is over.
MIRROR_PATIENCE_S = 120.0


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
    mirror : str or None
        Where to look for data first.
    may_end_process : bool
        Whether an interruption that finds this process waiting for something else may end it.
    """

    rerun: tuple[str, ...] = ()
    detach: bool = False
    offline: bool = False
    mirror: str | None = None
    may_end_process: bool = True


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
    keeps: str
    needs: str
    started: int


def carry_out(
    registry: Registry, plan: Plan, store: Store, options: RunOptions, display: Display, live_mirror: LiveMirror
) -> Report:
    """Execute what the plan lacks, and wait for what other launches of it have in hand.

    Parameters
    ----------
    registry : Registry
    plan : Plan
    store : Store
    options : RunOptions
    display : Display
    live_mirror : LiveMirror
        Of the plan's runs, not started yet; a detached campaign leaves it alone.

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
    launcher = kind_of(registry)
    if to_do or awaited:
        (share_with_group if launcher.share == "group" else follow_sharing)(store.out)
        store.prepare()
        keep(registry, store.out)
        for text in outdated(registry, to_do, store):
            display.say(text)
        fetch_missing(registry, [*to_do, *awaited], options.mirror, options.offline, display.say)
        # what an earlier launch has in hand is in ours, too: should its workers die, ours take over
        mine = to_do if options.detach else [*to_do, *awaited]
        if awaited and not options.detach:
            display.say(f"{len(awaited)} runs are in the hands of an earlier launch")
        if mine:
            launcher.check(mine)
        jobs = launcher.jobs(start(mine, registry, store), store) if mine else None
        campaign = Campaign(jobs, mine, store, CLUSTER_POLL_S if launcher.is_on_cluster else POLL_S)
        if options.detach:
            campaign.begin(detached=True)
            outcome = Outcome(0, (), len(to_do) + len(awaited), False)
        else:
            outcome, mirrored, error = _attend(campaign, live_mirror, display, options)
    elif not options.detach:
        if store.runs.exists():
            keep(registry, store.out)
        live_mirror.start()
        mirrored, error = live_mirror.finish(MIRROR_PATIENCE_S), live_mirror.shortfall
    forget_finished(store)
    started = {run.key for run in to_do}
    rest = [run for run in plan.runs if run.key not in started]
    return Report(
        outcome,
        already_done=sum(run.state == "done" for run in rest),
        stale=sum(run.state == "stale" for run in rest),
        not_retried=tuple(run for run in rest if run.state == "failed"),
        detached=options.detach,
        mirrored=mirrored,
        mirror_error=error,
        seconds=time.monotonic() - began,
        keeps=launcher.keeps,
        needs=launcher.needs(store),
        started=len(to_do),
    )


def _attend(
    campaign: Campaign, live_mirror: LiveMirror, display: Display, options: RunOptions
) -> tuple[Outcome, bool, str | None]:
    with ending_in_time(campaign.kill) if options.may_end_process else contextlib.nullcontext():
        try:
            with campaign.interruptible():
                campaign.begin()
                live_mirror.start()  # imports MLflow and makes the store while the workers' one process imports torch
                outcome = campaign.watch(display.show)
        finally:
            mirrored = live_mirror.finish(campaign.patience_s(MIRROR_PATIENCE_S))
            campaign.close()
    return outcome, mirrored, live_mirror.shortfall
