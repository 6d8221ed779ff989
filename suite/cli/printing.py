"""How plans, states and reports look to people."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.cli.display import clock, label
from suite.launch.cancel import Cancelled
from suite.launch.jobs import worker_count
from suite.launch.run import Report
from suite.launch.view import cluster, continue_command, matrix
from suite.masking import masked
from suite.plan.plan import Plan
from suite.records.failures import REMEDIES
from suite.records.launch import live_launches
from suite.records.record import Store
from suite.registry.launchers import SlurmLauncher
from suite.registry.registry import Registry

if TYPE_CHECKING:
    from suite.conformance import Result
    from suite.data import Finding, Status
    from suite.plan.forecast import Forecast, Needed
    from suite.registry.named_loss import NamedLoss


def _print(text: str = "") -> None:
    print(text, flush=True)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 200
    Console(width=width, highlight=False, markup=False).print(table)


def plan(made: Plan, registry: Registry, every_run: bool) -> None:
    """Print a plan: a row a benchmark and loss, or with `every_run` a row a run."""
    if every_run:
        rows = [(r.key[:12], r.name, r.purpose, r.state, clock(r.estimate_s), r.reason) for r in made.runs]
        table(("key", "run", "purpose", "state", "estimate", "why"), rows)
    else:
        table(("benchmark", "loss", "runs", "states", "to do"), _plan_rows(made))
    for reason in sorted({f"stale: {r.benchmark}/{r.loss}: {r.reason}" for r in made.runs if r.state == "stale"}):
        _print(reason)
    for run in made.runs:
        if run.state == "failed" and not every_run:
            _print(f"failed: {run.name}: {run.reason} (python -m suite logs {run.key[:12]})")
    summary = made.to_json()["summary"]
    counted = ", ".join(f"{number} {state}" for state, number in made.count().items() if number)
    seconds = summary["to_do_s"]
    _print(f"{len(made.runs)} runs at profile {made.profile}: {counted}")
    if seconds:
        _print(f"to do: {clock(seconds)} of one worker, {_with_launcher(made, registry, seconds)}")
    if summary["stale"]:
        _print("stale runs are run again only when asked: --rerun stale")


def power(found: Forecast) -> None:
    """Print what the selected seeds can show."""
    over = f" over the {found.benchmarks} benchmarks of a claim" if found.benchmarks > 1 else ""
    needs = "which is enough" if found.can_reject else f"it takes {found.seeds_to_reject} seeds"
    _print(
        f"{found.seeds} evaluation seeds: the exact sign-flip test gives no p below {found.smallest_p:.3g}; to be "
        f"significant at 0.05 after Holm's correction{over}, {needs}. Verdicts are by t-tests, assuming normal noise."
    )
    rows = [(one.benchmark, f"{one.margin:g}", *_needed(one)) for one in found.needed]
    table(("benchmark", "margin", "std of paired differences", "seeds for 80 % power at the margin"), rows)


def _needed(one: Needed) -> tuple[str, str]:
    from suite.plan.power import SEEDS_LIMIT

    if one.std is None:
        return "unknown: no finished runs", ""
    return f"{one.std:.2g} (from {one.runs} runs)", f"more than {SEEDS_LIMIT}" if one.seeds is None else str(one.seeds)


def _with_launcher(made: Plan, registry: Registry, seconds: float) -> str:
    launcher = registry.document.launcher
    if isinstance(launcher, SlurmLauncher):
        from suite.launch.slurm.jobs import packs

        packed = packs(made.to_do(), registry, launcher)
        devices = sum(pack.seconds * pack.nodes * max(1, launcher.gpus, pack.gpus) for pack in packed)
        longest = clock(max((pack.seconds for pack in packed), default=0.0))
        what = "of GPU time" if launcher.gpus else f"of {launcher.cpus} cores"
        return f"{len(packed)} array tasks of up to {longest}, {clock(devices)} {what}"
    workers = worker_count(launcher)
    return f"about {clock(seconds / workers)} with {workers} workers"


def _plan_rows(made: Plan) -> Iterable[tuple[str, ...]]:
    costs: dict[tuple[str, str], float] = {}
    for run in made.to_do():
        costs[run.benchmark, run.loss] = costs.get((run.benchmark, run.loss), 0.0) + run.estimate_s
    for (benchmark, loss), states in matrix(made).items():
        counted = ", ".join(f"{number} {state}" for state, number in states.items())
        cost = costs.get((benchmark, loss))
        yield benchmark, loss, str(sum(states.values())), counted, clock(cost) if cost is not None else ""


def status(made: Plan, store: Store) -> None:
    """Print the completeness matrix, losses by benchmarks, with seeds done, and what the workers do."""
    cells = matrix(made)
    benchmarks = list(dict.fromkeys(benchmark for benchmark, _ in cells))
    losses = list(dict.fromkeys(loss for _, loss in cells))
    table(("seeds done", *benchmarks), [(loss, *(_cell(cells.get((b, loss))) for b in benchmarks)) for loss in losses])
    counted = ", ".join(f"{number} {state}" for state, number in made.count().items() if number)
    _print(f"{len(made.runs)} runs at profile {made.profile}: {counted}")
    for run in made.runs:
        if run.state == "failed":
            remedy = REMEDIES[run.failure or "user_code"]
            _print(f"failed: {run.name}: {run.reason}; {remedy} (python -m suite logs {run.key[:12]})")
    stopped = Counter(run.reason for run in made.runs if run.state == "missing" and run.reason)
    for reason, number in stopped.items():
        _print(f"{number} of the missing were {reason}, and go on from their checkpoints")
    _array_tasks(store)
    for launch in live_launches(store):
        for worker in launch.workers():
            steps = f" step {worker.step}/{worker.steps}" if worker.steps else ""
            name = f"{worker.name} " if worker.name else ""
            _print(f"launch {launch.id}, worker {label(worker)} on {worker.host}: {name}{worker.phase}{steps}")


MOST_TASKS = 30


def _array_tasks(store: Store) -> None:
    found = cluster(store)
    tasks = found.tasks
    if found.silence:
        _print(
            f"SLURM does not answer: {found.silence}. What its jobs do is unknown; nothing is submitted again meanwhile"
        )
    for one in found.stillborn:
        _print(f"array task {one['job']} ended without having begun: python -m suite logs {one['key'][:12]} --task")
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
    table(("array task", "state", "nodes", "runs", "restarts"), rows[:MOST_TASKS])
    if len(rows) > MOST_TASKS:
        states = ", ".join(f"{n} {state}" for state, n in Counter(str(task["state"]) for task in tasks).items())
        _print(f"... {len(rows)} array tasks: {states}; --json lists them all")


def cancelled(ended: Cancelled) -> None:
    """Print what came of a cancellation."""
    if ended.silence:
        _print(f"{ended.runs} runs cancelled, but SLURM does not answer: {ended.silence}. Its tasks end by themselves")
    elif not (ended.runs or ended.workers or ended.tasks):
        _print("nothing runs")
    else:
        parts = [f"{ended.runs} runs cancelled"]
        parts += [f"{n} {what} ended" for n, what in ((ended.workers, "workers"), (ended.tasks, "array tasks")) if n]
        _print(f"{', '.join(parts)}; what they have done is kept, and the next `run` goes on from there")


def _cell(states: dict[str, int] | None) -> str:
    if states is None:
        return "-"
    rest = ", ".join(f"{number} {state}" for state, number in states.items() if state not in ("done", "missing"))
    return f"{states.get('done', 0)}/{sum(states.values())}" + (f" ({rest})" if rest else "")


def report(made: Report, planned: Plan, store: Store, uri: str) -> None:
    """Print how a `run` ended: what it did, the table, where everything lies, and what to do next."""
    outcome = made.outcome
    for run in made.not_retried:
        _print(f"not tried again: {run.name}: {run.reason} (it would fail the same way; --rerun failed tries it)")
    if made.detached:
        earlier = outcome.left - made.started
        there = f", {earlier} are in the hands of earlier launches" if earlier else ""
        _print(f"{made.started} runs started in the background{there}; python -m suite status shows them")
        _print("when they are done: python -m suite sync, then python -m analysis tables")
        return
    if not outcome.executed and not outcome.failed and not outcome.left and not outcome.cancelled:
        _print(f"nothing to run: {made.already_done} of {len(planned.runs)} runs are done")
    else:
        failed = f", {len(outcome.failed)} failed" if outcome.failed else ""
        left = f", {outcome.left} left" if outcome.left else ""
        left += f", {outcome.cancelled} cancelled" if outcome.cancelled else ""
        _print(
            f"{outcome.executed} runs done{failed}{left} in {clock(made.seconds)}; {made.already_done} were done before"
        )
    if made.stale:
        _print(f"{made.stale} runs are stale (their code changed since; python -m suite plan says what): --rerun stale")
    if not made.mirrored:
        _print(str(made.mirror_error))
    elif not outcome.interrupted:
        _overview(uri, planned)
    _print(f"records   {store.runs}")
    _print(f"MLflow    {masked(uri)}   (python -m suite ui)")
    if outcome.interrupted:
        if made.on_cluster:
            _print("SLURM     keeps the jobs: python -m suite status shows them, python -m suite cancel ends them")
        _print(f"continue  {continue_command()}")
    elif outcome.failed:
        _print("next      python -m suite logs KEY shows why a run failed; the same command tries again")
    else:
        out = "" if store.out == Path("results").absolute() else f" --out {store.out}"
        _print(f"next      python -m analysis tables{out}")


def _overview(uri: str, planned: Plan) -> None:
    from analysis.read.load import NothingToShow, experiment_in
    from analysis.tables.render import show
    from analysis.tables.tables import overview
    from suite.tracking import TrackingUnavailable, frame

    try:
        table = overview(frame(uri, experiment_in(uri, planned.experiment)), planned.profile)
    except (NothingToShow, TrackingUnavailable) as error:
        _print(str(error))
        return
    if not table.blocks:
        _print("no run with an evaluation seed is done: there is nothing to report on test yet")
        return
    show(table)


def report_json(made: Report) -> None:
    """Print the same for programs."""
    outcome = made.outcome
    value = {
        "executed": outcome.executed,
        "failed": [{"key": run.key, "run": run.name} for run in outcome.failed],
        "not_retried": [{"key": run.key, "run": run.name, "reason": run.reason} for run in made.not_retried],
        "left": outcome.left,
        "interrupted": outcome.interrupted,
        "already_done": made.already_done,
        "stale": made.stale,
        "mirrored": made.mirrored,
        "mirror_error": made.mirror_error,
        "seconds": round(made.seconds, 3),
    }
    _print(json.dumps(value, indent=1))


def facts(known: Iterable[tuple[str, str]]) -> None:
    """Print labelled facts."""
    for name, text in known:
        _print(f"{name:<22} {text}")


def datasets(shown: Sequence[Status], as_json: bool) -> None:
    """Print data sets and where they stand."""
    if as_json:
        rows = [
            {"dataset": s.dataset.name, "state": s.state, "path": str(s.path), "bytes": s.dataset.size} for s in shown
        ]
        _print(json.dumps(rows, indent=1))
        return
    table(
        ("data set", "state", "size", "licence", "folder"),
        [(s.dataset.name, s.state, f"{s.dataset.size / 1e6:.1f} MB", s.dataset.licence, str(s.path)) for s in shown],
    )


def findings(found: Sequence[Finding], as_json: bool) -> bool:
    """Print what a verification found; return whether all is well."""
    if as_json:
        _print(json.dumps([{**vars(f), "path": str(f.path)} for f in found], indent=1))
    else:
        rows = [
            (f.dataset, f.member, f.state, "" if f.state == "ok" else f"{f.actual}, not {f.expected}") for f in found
        ]
        table(("data set", "member", "state", ""), rows)
    return all(f.state == "ok" for f in found)


def conformance(loss: NamedLoss, results: Sequence[Result]) -> None:
    """Print what came of the checks of a loss."""
    shown = {"fail": "FAIL"}
    table(("check", "result", ""), [(r.name, shown.get(r.state, r.state), r.detail) for r in results])
    states = [result.state for result in results]
    counted = ", ".join(
        f"{states.count(state)} {text}"
        for state, text in (
            ("pass", "passed"),
            ("fail", "failed"),
            ("not supported", "not supported"),
            ("not checked", "not checked"),
        )
        if state in states
    )
    _print(f"{loss} {'does not conform' if 'fail' in states else 'conforms'}: {counted}")


def conformance_json(loss: NamedLoss, results: Sequence[Result]) -> dict[str, Any]:
    """Return what ``check-loss --json`` prints."""
    return {
        "loss": loss.target.path,
        "arguments": dict(loss.arguments),
        "passed": all(result.state != "fail" for result in results),
        "checks": [
            {
                "name": result.name,
                "passed": result.state == "pass",
                "supported": result.state != "not supported",
                "detail": result.detail,
            }
            for result in results
        ],
    }
