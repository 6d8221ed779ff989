"""``python -m suite tune``: every loss on the same budget, chosen on validation, reported with other seeds."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from suite.cli.arguments import FAILED, OK
from suite.cli.display import clock
from suite.cli.options import carried, load_registry, selection_of
from suite.cli.runs import run
from suite.cli.runs.plan import show as show_plan
from suite.cli.table import show_table
from suite.launch.jobs import LaunchError
from suite.launch.kind import kind_of
from suite.launch.run import Report
from suite.launch.view import continue_command, queued
from suite.plan.plan import Plan, rerun_states
from suite.plan.run import Run
from suite.plan.tuning import Choice, Tuning, make_tuning
from suite.problems import COMMAND_LINE, InputError, Problem
from suite.records.record import Store
from suite.registry.registry import Registry, parse_seeds

LEFT_OUT: Final = ("--detach", "--quiet", "--json")
"""Options that whoever goes on in the background is not given."""


def execute(options: argparse.Namespace) -> int:
    """Search, choose, evaluate what was chosen beside what is declared, and print what came of it."""
    rerun = rerun_states(options.rerun)
    registry, store = _registry(options), Store(options.out)
    tuning = make_tuning(registry, selection_of(options), store, queued(store))
    if options.dry_run:
        _show_stages(tuning, registry, options)
        return OK
    said: dict[str, Any] = {"selection": None, "choices": [], "evaluation": None}
    status = _search(options, registry, tuning, store, said, rerun)
    if options.json:
        print(json.dumps(said, indent=1))
    return status


def _registry(options: argparse.Namespace) -> Registry:
    """Return the registry with the budget and the selection seeds of the command line."""
    if options.budget is not None:
        options.overrides.append(f"budget={options.budget}")
    if options.selection_seeds is not None:
        try:
            seeds = parse_seeds(options.selection_seeds)
        except ValueError as error:
            raise InputError([Problem(COMMAND_LINE, "--selection-seeds", str(error))]) from error
        options.overrides.append(f"selection_seeds=[{','.join(map(str, seeds))}]")
    return load_registry(options)


def _search(
    options: argparse.Namespace,
    registry: Registry,
    tuning: Tuning,
    store: Store,
    said: dict[str, Any],
    rerun: tuple[str, ...],
) -> int:
    """Carry out both stages, the second one only when nothing of the first is left."""
    is_silent = options.quiet or options.json
    if not options.choose:
        if not is_silent:
            seeds = len({one.seed for one in tuning.selection.runs})
            print(f"stage 1 of 2: {_searched(tuning)}, {seeds} selection seeds: {len(tuning.selection.runs)} runs")
        first = run.perform(options, registry, tuning.selection, store, None, () if options.goes_on else rerun)
        if first is None:
            return FAILED
        said["selection"] = run.to_json(first)
        if first.detached and first.outcome.left:
            return _leave(options, registry, first, store)
        if first.outcome.interrupted:
            if not is_silent:
                _show_rest(first, options)
            return run.status_of(first)
        tuning = make_tuning(registry, selection_of(options), store, queued(store))
    if missing := tuning.open_runs():
        again = "the same command without --choose" if options.choose else "the same command"
        print(
            f"error: nothing is chosen while runs are missing: {len(missing)}, {missing[0].name} the first of them; "
            f"{again} executes them",
            file=sys.stderr,
        )
        return FAILED
    said["choices"] = tuning.to_json()["choices"]
    failed = [one for one in tuning.selection.runs if one.state == "failed"]
    if not is_silent:
        for one in failed:
            logs = f"python -m suite logs {one.key[:12]}{carried(options, 'out')}"
            print(f"failed, the worst there is: {one.name} ({logs})")
        show_choices(tuning.choices)
        print(f"stage 2 of 2: what is declared and what was chosen: {len(tuning.evaluation.runs)} runs")
    summary = run.summary_of(options, registry, tuning.evaluation)
    second = run.perform(options, registry, tuning.evaluation, store, summary, rerun)
    if second is None:
        return FAILED
    said["evaluation"] = run.to_json(second)
    if not is_silent:
        run.show(second, tuning.evaluation, store, summary, options)
    return run.status_of(second) or (FAILED if failed else OK)


def _leave(options: argparse.Namespace, registry: Registry, first: Report, store: Store) -> int:
    """Have the second stage follow without this process, and say how."""
    command = [sys.executable, "-m", "suite", *(word for word in options.given if word not in LEFT_OUT), "--goes-on"]
    try:
        how = kind_of(registry).follow(command, store)
    except LaunchError as error:
        print(f"error: {error}. When the runs are done, the same command goes on", file=sys.stderr)
        return FAILED
    if not (options.quiet or options.json):
        here = carried(options, "out", "registry", "profile", "overrides")
        print(f"{first.outcome.left} selection runs are in the background; python -m suite status{here} shows them")
        print(how)
    return OK


def _searched(tuning: Tuning) -> str:
    losses = {(one.benchmark, one.loss.partition("@")[0]) for one in tuning.selection.runs}
    configurations = {(one.benchmark, one.loss) for one in tuning.selection.runs}
    return f"{len(configurations)} configurations of {len(losses)} pairs of benchmark and loss"


def _show_rest(first: Report, options: argparse.Namespace) -> None:
    """Say what is left of the first stage, and how to go on."""
    outcome = first.outcome
    print(f"{outcome.executed} runs done, {outcome.left} left")
    if first.keeps:
        here = carried(options, "out", "registry", "profile", "overrides")
        print(f"{first.keeps}: python -m suite status{here} shows them")
        print(f"          python -m suite cancel{carried(options, 'out')} ends them")
    print(f"continue  {continue_command()}")


def show_choices(choices: Sequence[Choice]) -> None:
    """Print what validation chose: a row a benchmark and loss."""
    rows = [
        (
            one.benchmark,
            one.loss,
            f"{one.trial} of 0 to {one.configurations - 1}" if one.trial else "0: as declared",
            ", ".join(f"{name}={value}" for name, value in one.sets.items()),
            "every one failed" if one.mean is None else f"{one.mean:.4g}",
            _remark(one),
        )
        for one in choices
    ]
    show_table(("benchmark", "loss", "trial", "sets", "validation", ""), rows)


def _remark(one: Choice) -> str:
    are_level = one.tied and one.mean is not None
    said = [f"level with {', '.join(map(str, one.tied))}: the first counts"] if are_level else []
    said += [f"failed: {', '.join(map(str, one.failed))}"] if one.failed else []
    return "; ".join(said)


def _rows(plan: Plan, rerun: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield a row a benchmark and loss: members of one search together."""
    to_do = {one.key for one in plan.to_do(rerun)}
    groups: dict[tuple[str, str], list[Run]] = {}
    for one in plan.runs:
        groups.setdefault((one.benchmark, one.loss.partition("@")[0]), []).append(one)
    for (benchmark, loss), runs in groups.items():
        states = ", ".join(f"{number} {state}" for state, number in Counter(one.state for one in runs).items())
        cost = clock(sum(one.estimate_s for one in runs if one.key in to_do))
        yield benchmark, loss, str(len({one.loss for one in runs})), str(len(runs)), states, cost


def _show_stages(tuning: Tuning, registry: Registry, options: argparse.Namespace) -> None:
    """Print both stages with their cost."""
    rerun = rerun_states(options.rerun)
    if options.json:
        print(json.dumps(tuning.to_json(rerun), indent=1))
        return
    print(f"stage 1 of 2: {_searched(tuning)}, with the selection seeds")
    show_table(("benchmark", "loss", "configurations", "runs", "states", "to do"), _rows(tuning.selection, rerun))
    to_do = tuning.selection.to_do(rerun)
    if to_do:
        seconds = clock(sum(one.estimate_s for one in to_do))
        print(f"to do: {seconds} of one worker, {kind_of(registry).cost(to_do, registry, clock)}")
    if tuning.choices:
        show_choices(tuning.choices)
    print("\nstage 2 of 2: what is declared and what validation chooses, with the evaluation seeds")
    show_plan(tuning.evaluation, registry, Store(options.out), every_run=False, rerun=rerun)
    if tuning.undecided:
        print(f"and of what will be chosen at most {tuning.undecided} runs, {clock(tuning.undecided_s)} of one worker")
