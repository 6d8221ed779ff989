"""``python -m suite run``: execute what the selection lacks, and say what came of it."""

from __future__ import annotations

import argparse
import functools
import json
import sys

from suite.cli.arguments import FAILED, INTERRUPTED, OK
from suite.cli.display import clock, make_display
from suite.cli.early import EarlySummary, push_and_show
from suite.cli.options import carried, plan_of
from suite.cli.summary import LoadingSummary, Summary
from suite.data import DataError
from suite.launch.jobs import LaunchError
from suite.launch.run import Report, RunOptions, carry_out
from suite.launch.view import continue_command
from suite.plan.plan import Plan, rerun_states
from suite.provenance.snapshot import SnapshotError
from suite.records.failures import outlook
from suite.records.record import Store
from suite.registry.registry import Registry
from suite.text.masking import masked
from suite.tracking import LiveMirror, default_uri


def execute(options: argparse.Namespace) -> int:
    """Execute, show the runs as they end, and print where the results are."""
    rerun = rerun_states(options.rerun)
    registry, plan, store = plan_of(options)
    summary = summary_of(options, registry, plan)
    report = perform(options, registry, plan, store, summary, rerun)
    if report is None:
        return FAILED
    if options.json:
        print(json.dumps(to_json(report), indent=1))
    elif not options.quiet:
        show(report, plan, store, summary, options)
    return status_of(report)


def summary_of(options: argparse.Namespace, registry: Registry, plan: Plan) -> Summary:
    """Return what the summary after a plan is of."""
    uri = default_uri(options.out, options.tracking_uri)
    return Summary(uri, plan.experiment, plan.profile, registry.declared)


def perform(
    options: argparse.Namespace,
    registry: Registry,
    plan: Plan,
    store: Store,
    summary: Summary | None,
    rerun: tuple[str, ...],
) -> Report | None:
    """Carry a plan out, runs in states of `rerun` once more; show those that end and, with `summary`, each new table.

    Returns
    -------
    Report or None
        None if that is not possible here, having printed why.
    """
    uri = default_uri(options.out, options.tracking_uri)
    sync = _sync_command(options)
    chosen = RunOptions(rerun, options.detach, options.offline, options.mirror)
    keys = [run.key for run in plan.runs]
    live_mirror = LiveMirror(store.out, uri, plan.experiment, keys, with_items=options.items, sync=sync)
    is_silent = options.quiet or options.json
    display = make_display(store, is_silent)
    if summary is not None and not is_silent:
        awaited = [*plan.to_do(rerun), *(run for run in plan.runs if run.state in ("queued", "running"))]
        show_so_far = functools.partial(push_and_show, summary, live_mirror.push, display.say)
        display = EarlySummary(LoadingSummary(display), plan.runs, awaited, show_so_far)
    try:
        report = carry_out(registry, plan, store, chosen, display, live_mirror)
    except (LaunchError, DataError, SnapshotError) as error:
        display.close()
        print(f"error: {error}", file=sys.stderr)
        return None
    finally:
        display.close()
    if is_silent and report.mirror_error:
        print(f"warning: {report.mirror_error}", file=sys.stderr)
    return report


def _sync_command(options: argparse.Namespace) -> str:
    """Return the command that brings MLflow up to date later, but for ``--items``."""
    return f"python -m suite sync{carried(options, 'out', 'registry', 'tracking_uri', 'overrides')}"


def status_of(report: Report) -> int:
    """Return the exit status that a report stands for."""
    if report.outcome.interrupted:
        return INTERRUPTED
    return FAILED if report.outcome.failed or report.outcome.cancelled or report.not_retried else OK


def show(report: Report, plan: Plan, store: Store, summary: Summary, options: argparse.Namespace) -> None:
    """Print how a `run` ended: what it did, the summary, where everything lies, and what to do next."""
    outcome = report.outcome
    here = carried(options, "out", "registry", "profile", "overrides")
    analysis = (
        f"python -m analysis tables{carried(options, 'out', 'registry', 'profile', 'tracking_uri', 'experiment')}"
    )
    for run in report.not_retried:
        print(f"not tried again: {run.name}: {run.reason} ({outlook(run.failure or '')})")
    if report.detached:
        earlier = outcome.left - report.started
        there = f", {earlier} are in the hands of earlier launches" if earlier else ""
        how = "wait for workers" if report.needs else "started in the background"
        print(f"{report.started} runs {how}{there}; python -m suite status{here} shows them")
        if report.needs:
            print(f"start any number of workers, anywhere: {report.needs}")
        items = " --items" if options.items else ""
        print(f"when they are done: {_sync_command(options)}{items}, then {analysis}")
        return
    print(counted(report, plan))
    if report.stale:
        print(
            f"{report.stale} runs are stale (their code changed since; python -m suite plan{here} says what): "
            "--rerun stale"
        )
    if not report.mirrored:
        print(report.mirror_error)
    elif not outcome.interrupted:
        summary.show()
    print(f"records   {store.runs}")
    print(f"MLflow    {masked(summary.uri)}   (python -m suite ui{carried(options, 'out', 'tracking_uri')})")
    if outcome.interrupted:
        if report.keeps:
            print(f"{report.keeps}: python -m suite status{here} shows them")
            print(f"          python -m suite cancel{carried(options, 'out')} ends them")
        print(f"continue  {continue_command()}")
    elif outcome.failed:
        out = carried(options, "out")
        print(f"next      python -m suite logs KEY{out} shows why a run failed; the same command tries again")
    else:
        print(f"next      {analysis}")


def counted(report: Report, plan: Plan) -> str:
    """Return how many runs a `run` carried out, and how they ended."""
    outcome = report.outcome
    if not outcome.executed and not outcome.failed and not outcome.left and not outcome.cancelled:
        return f"nothing to run: {report.already_done} of {len(plan.runs)} runs are done"
    failed = f", {len(outcome.failed)} failed" if outcome.failed else ""
    left = f", {outcome.left} left" if outcome.left else ""
    left += f", {outcome.cancelled} cancelled" if outcome.cancelled else ""
    took = f"in {clock(report.seconds)}; {report.already_done} were done before"
    return f"{outcome.executed} runs done{failed}{left} {took}"


def to_json(report: Report) -> dict[str, object]:
    """Return what ``run --json`` prints."""
    outcome = report.outcome
    return {
        "executed": outcome.executed,
        "failed": [{"key": run.key, "run": run.name} for run in outcome.failed],
        "not_retried": [{"key": run.key, "run": run.name, "reason": run.reason} for run in report.not_retried],
        "cancelled": outcome.cancelled,
        "left": outcome.left,
        "detached": report.detached,
        "started": report.started,
        "needs": report.needs if report.detached else "",
        "interrupted": outcome.interrupted,
        "already_done": report.already_done,
        "stale": report.stale,
        "mirrored": report.mirrored,
        "mirror_error": report.mirror_error,
        "seconds": round(report.seconds, 3),
    }
