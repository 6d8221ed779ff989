"""``python -m suite status``: seeds done by loss and benchmark, and what workers and array tasks do."""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from suite.cli.arguments import FAILED, OK
from suite.cli.display import label
from suite.cli.early import push_and_show
from suite.cli.options import plan_of
from suite.cli.summary import Summary
from suite.cli.table import show_table
from suite.launch.view import cluster, matrix, status_json
from suite.plan.belonging import of_experiment
from suite.plan.plan import Plan
from suite.records.failures import outlook
from suite.records.launch import has_joined, live_launches, pools
from suite.records.record import Store
from suite.tracking import Mirror, default_uri

MOST_TASKS: Final = 30
MOST_NAMES: Final = 6


def execute(options: argparse.Namespace) -> int:
    """Print where the selected runs stand."""
    is_default = not any((options.benchmarks, options.losses, options.seeds, options.slice, options.profile))
    registry, plan, store = plan_of(options)
    if options.json:
        print(json.dumps(status_json(plan, store), indent=1))
        return _status(plan)
    others = list(elsewhere(plan, store)) if is_default else []
    if not others or any(run.state != "missing" for run in plan.runs):
        show(plan, store)
    for line in others:
        print(line)
    if options.table:
        uri = default_uri(options.out, options.tracking_uri)
        mirror = Mirror(store.out, uri, plan.experiment)
        push_and_show(
            Summary(uri, plan.experiment, plan.profile, registry.declared),
            functools.partial(mirror.push, of_experiment(registry, store)),
            print,
        )
    return _status(plan)


def _status(plan: Plan) -> int:
    return FAILED if any(run.state == "failed" for run in plan.runs) else OK


def elsewhere(plan: Plan, store: Store) -> Iterator[str]:
    """Yield a line on each profile that has records of other runs than those of a plan."""
    shown = {run.key for run in plan.runs}
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key in sorted(store.keys() - shown):
        record = store.record(key)
        run = record.run()
        if run is not None:
            state = "done" if record.is_done() else "failed" if record.failure() else "unfinished"
            found[run["profile"]].append((f"{run['benchmark']}/{run['loss']}", state))
    for profile, runs in sorted(found.items()):
        states = ", ".join(f"{number} {state}" for state, number in sorted(Counter(s for _, s in runs).items()))
        names = list(dict.fromkeys(name for name, _ in runs))
        listed = ", ".join(names[:MOST_NAMES]) + (
            f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        )
        hint = f" (--profile {profile} shows them)" if profile != plan.profile else " (other losses, seeds or settings)"
        yield f"also there: {len(runs)} runs at profile {profile}: {states}: {listed}{hint}"


def show(plan: Plan, store: Store) -> None:
    """Print the completeness matrix, losses by benchmarks, with seeds done, and what the workers do."""
    cells = matrix(plan)
    benchmarks = list(dict.fromkeys(benchmark for benchmark, _ in cells))
    losses = list(dict.fromkeys(loss for _, loss in cells))
    rows = [(loss, *(_cell(cells.get((benchmark, loss))) for benchmark in benchmarks)) for loss in losses]
    show_table(("seeds done", *benchmarks), rows)
    counted = ", ".join(f"{number} {state}" for state, number in plan.count().items() if number)
    print(f"{len(plan.runs)} runs at profile {plan.profile}: {counted}")
    for run in plan.runs:
        if run.state == "failed":
            logs = f"python -m suite logs {run.key[:12]}{store.option}"
            print(f"failed: {run.name}: {run.reason}; {outlook(run.failure or '')} ({logs})")
    stopped = Counter((run.reason, run.goes_on) for run in plan.runs if run.state == "missing" and run.reason)
    for (reason, goes_on), number in stopped.items():
        go_on = f"{number} of the missing were {reason}, and go on from their checkpoints"
        print(go_on if goes_on else f"{number} of the missing: {reason}")
    _show_array_tasks(store)
    for launch in live_launches(store):
        for worker in launch.workers():
            steps = f" step {worker.step}/{worker.steps}" if worker.steps else ""
            name = f"{worker.name} " if worker.name else ""
            who = f"worker {label(worker)}" + ("" if has_joined(worker.number) else f" on {worker.host}")
            since = f" since {time.strftime('%H:%M:%S', time.localtime(worker.since))}" if worker.since else ""
            print(f"launch {launch.id}, {who}: {name}{worker.phase}{steps}{since if has_joined(worker.number) else ''}")
    for launch in pools(store):
        number, at_work = len(list(launch.open_keys(store))), len(launch.workers())
        join = f"python -m suite worker{store.option}"
        print(f"launch {launch.id} is open to workers: {number} runs to do, {at_work} workers: {join}")


def _show_array_tasks(store: Store) -> None:
    found = cluster(store)
    tasks = found.tasks
    if found.silence:
        silence = f"{found.silent} does not answer: {found.silence}"
        print(f"{silence}. What its jobs do is unknown; nothing is submitted again meanwhile")
    for one in found.stillborn:
        logs = f"python -m suite logs {one['key'][:12]} --task{store.option}"
        print(f"array task {one['job']} ended without having begun: {logs}")
    if not tasks:
        return
    rows = [
        (
            task["job"],
            f"{task['state']} ({task['reason']})" if task["reason"] else task["state"],
            task["nodes"],
            f"{task['runs']}, {task['side_by_side']} side by side",
            str(task["restarts"] or ""),
        )
        for task in tasks
    ]
    show_table(("array task", "state", "nodes", "runs", "restarts"), rows[:MOST_TASKS])
    if len(rows) > MOST_TASKS:
        states = ", ".join(f"{n} {state}" for state, n in Counter(str(task["state"]) for task in tasks).items())
        print(f"... {len(rows)} array tasks: {states}; --json lists them all")


def _cell(states: dict[str, int] | None) -> str:
    if states is None:
        return "-"
    rest = ", ".join(f"{number} {state}" for state, number in states.items() if state not in ("done", "missing"))
    return f"{states.get('done', 0)}/{sum(states.values())}" + (f" ({rest})" if rest else "")
