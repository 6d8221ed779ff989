"""Load a registry, plan, run: the commands of ``python -m suite`` as functions."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from suite.cli.display import PlainDisplay, QuietDisplay
from suite.cli.runs.run import counted
from suite.launch.campaign import Display
from suite.launch.run import Report, RunOptions, carry_out
from suite.launch.view import queued
from suite.notebook.progress import LineDisplay, is_in_notebook
from suite.plan import plan as plans
from suite.plan.plan import Plan, Selection, rerun_states
from suite.records.record import Store
from suite.registry.load import load
from suite.registry.registry import Registry
from suite.text.masking import masked
from suite.tracking import LiveMirror, default_uri

Names = str | int | Sequence[str | int]


def load_registry(file: str | Path | None = None, *overrides: str, launcher: str | None = None) -> Registry:
    """Compose and validate a registry.

    Parameters
    ----------
    file : path, optional
        ``./benchmarks.yaml`` by default.
    *overrides : str
        Hydra overrides, such as ``"benchmarks.image.profiles.mini.epochs=5"``.
    launcher : str, optional
        A file of ``launchers/``; the registry's own by default.

    Raises
    ------
    suite.problems.InputError
        With every problem of the registry and of the overrides.
    """
    return load(Path(file) if file is not None else None, overrides, launcher)


def make_plan(
    registry: Registry,
    benchmarks: Names = "all",
    losses: Names = (),
    seeds: Names = (),
    profile: str = "mini",
    out: str | Path = "results",
) -> Plan:
    """Return the runs of a selection and their states; ``pandas.DataFrame(plan.runs)`` is a table of them.

    Parameters
    ----------
    registry : Registry
    benchmarks, losses, seeds : str, int, or sequence
        As on the command line: names, comma lists, ranges, slices, ``~name``; losses and seeds are the registry's
        defaults if nothing is given.
    profile : str
    out : path
        The results folder.

    Raises
    ------
    suite.problems.InputError
        If a part of the selection names nothing.
    """
    selection, store = Selection(_texts(benchmarks), _texts(losses), _texts(seeds), profile), Store(Path(out))
    return plans.make_plan(registry, selection, store, queued(store))


def run(
    registry: Registry,
    plan: Plan,
    out: str | Path = "results",
    *,
    rerun: str | Sequence[str] = (),
    offline: bool = False,
    tracking_uri: str | None = None,
    quiet: bool = False,
) -> Report:
    """Execute what a plan lacks, mirror it to MLflow, and say what came of it; finished runs are not executed again.

    What it lacks is looked up now: a plan may be older than its runs, as where a cell of a notebook is executed again.
    In a notebook the runs are one line that is written over; elsewhere each has a line when it ends.

    Parameters
    ----------
    registry : Registry
        Whose launcher brings the workers.
    plan : Plan
        Of that registry and results folder.
    out : path
        The results folder.
    rerun : str or sequence of str
        States to execute again: ``stale``, ``failed``, ``done``.
    offline : bool
        Never fetch data.
    tracking_uri : str, optional
        ``MLFLOW_TRACKING_URI`` by default, else a file in the results folder.
    quiet : bool
        Print nothing.

    Raises
    ------
    OSError
        If the results folder cannot be written.
    suite.data.DataError
        If data is missing and cannot be fetched.
    suite.launch.jobs.LaunchError
        If workers cannot work here at all.
    """
    store = Store(Path(out))
    uri = default_uri(store.out, tracking_uri)
    states = rerun_states(_texts(rerun))
    sync = _sync_command(registry, store, tracking_uri)
    options = RunOptions(states, offline=offline, may_end_process=False)
    plan = plans.as_it_stands(plan, registry, store, queued(store))
    live_mirror = LiveMirror(store.out, uri, plan.experiment, [run.key for run in plan.runs], sync=sync)
    display = _display(store, quiet)
    try:
        report = carry_out(registry, plan, store, options, display, live_mirror)
    finally:
        display.close()
    display.say(counted(report, plan))
    for one in report.not_retried:
        display.say(f"not tried again: {one.name}: {one.reason}; rerun='failed' tries it")
    if report.stale:
        display.say(f"{report.stale} runs are stale, their code has changed since: rerun='stale' executes them")
    if report.mirror_error:
        display.say(report.mirror_error)
    return report


def _sync_command(registry: Registry, store: Store, tracking_uri: str | None) -> str:
    given = {"registry": str(registry.file), "tracking-uri": tracking_uri and masked(tracking_uri)}
    words = [f" --{name} {shlex.quote(text)}" for name, text in given.items() if text]
    words += [f" {shlex.quote(masked(text))}" for text in registry.given]
    return f"python -m suite sync{store.option}{''.join(words)}"


def _display(store: Store, quiet: bool) -> Display:
    if quiet:
        return QuietDisplay()
    return LineDisplay(store) if is_in_notebook() else PlainDisplay(store, sys.stdout)


def _texts(names: Names) -> tuple[str, ...]:
    return (str(names),) if isinstance(names, str | int) else tuple(map(str, names))
