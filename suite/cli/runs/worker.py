"""``python -m suite worker``: takes runs of a results folder from whatever allocation it was started in."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence

from suite.cli.arguments import FAILED, INTERRUPTED, OK, WORK_LEFT
from suite.launch.allocation import Allocation, Terms
from suite.launch.jobs import LaunchError
from suite.problems import COMMAND_LINE, InputError, Problem, choices
from suite.records.launch import all_launches
from suite.records.record import Store
from suite.registry.launchers import seconds
from suite.work.worker import is_among


def execute(options: argparse.Namespace) -> int:
    """Work until nothing is left to take, or until the time is nearly over."""
    store = Store(options.out)
    terms = _terms(options, store)
    store.prepare()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    allocation = Allocation(store, terms)
    try:
        allocation.run()
    except LaunchError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    if allocation.interrupted:
        return INTERRUPTED
    print("left with work to do: others go on with it" if allocation.runs_left else "nothing is left to take")
    _warn_of_names(terms.benchmarks, store)
    return WORK_LEFT if allocation.runs_left else OK


def _warn_of_names(wanted: Sequence[str], store: Store) -> None:
    """Say which names no launch knows: a launch that does may have ended, or the name is mistyped."""
    known = sorted({run.benchmark for launch in all_launches(store) for run in launch.spec.runs.values()})
    for name in wanted:
        if known and not any(is_among(one, [name]) for one in known):
            print(f"warning: no launch has a benchmark {name!r}; {choices(name, known)}", file=sys.stderr)


def _terms(options: argparse.Namespace, store: Store) -> Terms:
    """Return what the options ask for.

    Raises
    ------
    InputError
        With all that is wrong with them.
    """
    problems = list(_problems(options, store))
    if problems:
        raise InputError(problems)
    time_s = float(seconds(options.time)) if options.time else None
    idle_s = float(seconds(options.idle)) if options.idle else 0.0
    names = tuple(name for text in options.benchmarks for name in text.split(",") if name != "all")
    return Terms(time_s, idle_s, options.launch, names, options.workers)


def _problems(options: argparse.Namespace, store: Store) -> Iterator[Problem]:
    for name in ("time", "idle"):
        try:
            seconds(getattr(options, name) or "1s")
        except ValueError as error:
            yield Problem(COMMAND_LINE, f"--{name}", str(error))
    if options.workers is not None and options.workers < 1:
        yield Problem(COMMAND_LINE, "--workers", "must be at least 1")
    if not store.out.is_dir():
        yield Problem(
            COMMAND_LINE,
            "--out",
            f"there is no folder {store.out}; python -m suite run --launcher pool{store.option}",
        )
    elif options.launch is not None:
        known = [launch.id for launch in all_launches(store)]
        if options.launch not in known:
            yield Problem(COMMAND_LINE, "--launch", f"there is no {options.launch!r}; {choices(options.launch, known)}")
