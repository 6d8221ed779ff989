"""``python -m suite plan``: what would run, what is done, why something is stale, and what it costs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence

from suite.cli.arguments import OK
from suite.cli.display import clock
from suite.cli.options import plan_of
from suite.cli.table import show_table
from suite.launch.kind import kind_of
from suite.launch.view import matrix
from suite.plan.estimates import ASSUMED
from suite.plan.forecast import Forecast, Needed, forecast
from suite.plan.plan import Plan
from suite.records.failures import outlook
from suite.records.record import Store
from suite.registry.registry import Registry


def execute(options: argparse.Namespace) -> int:
    """Print the plan, and what the selected seeds can show."""
    registry, plan, store = plan_of(options)
    power = forecast(plan, registry, store)
    if options.json:
        print(json.dumps({**plan.to_json(), "power": power.to_json() if power is not None else None}, indent=1))
        return OK
    show(plan, registry, store, options.runs)
    if power is not None:
        show_power(power)
    return OK


def show(plan: Plan, registry: Registry, store: Store, every_run: bool, rerun: Sequence[str] = ()) -> None:
    """Print a plan: a row a benchmark and loss, or with `every_run` a row a run; `rerun` as for `Plan.to_do`."""
    if every_run:
        rows = [(r.key[:12], r.name, r.purpose, r.state, clock(r.estimate_s), r.reason) for r in plan.runs]
        show_table(("key", "run", "purpose", "state", "estimate", "why"), rows)
    else:
        show_table(("benchmark", "loss", "runs", "states", "to do"), _rows(plan, rerun))
    for reason in sorted({f"stale: {r.benchmark}/{r.loss}: {r.reason}" for r in plan.runs if r.state == "stale"}):
        print(reason)
    for run in plan.runs:
        if run.state == "failed" and not every_run:
            logs = f"python -m suite logs {run.key[:12]}{store.option}"
            print(f"failed: {run.name}: {run.reason}; {outlook(run.failure or '')} ({logs})")
    summary = plan.to_json(rerun)["summary"]
    counted = ", ".join(f"{number} {state}" for state, number in plan.count().items() if number)
    seconds = summary["to_do_s"]
    print(f"{len(plan.runs)} runs at profile {plan.profile}: {counted}")
    if seconds:
        print(f"to do: {clock(seconds)} of one worker, {kind_of(registry).cost(plan.to_do(rerun), registry, clock)}")
        if plan.profile == "paper":
            print(f"that is about {seconds / 3600:.1f} GPU hours: {ASSUMED}")
    if summary["stale"] and "stale" not in rerun:
        print("stale runs are run again only when asked: --rerun stale")


def show_power(found: Forecast) -> None:
    """Print what the selected seeds can show."""
    over = f" over the {found.benchmarks} benchmarks of a claim" if found.benchmarks > 1 else ""
    needs = "which is enough" if found.can_reject else f"it takes {found.seeds_to_reject} seeds"
    print(
        f"{found.seeds} evaluation seeds: the exact sign-flip test gives no p below {found.smallest_p:.3g}; to be "
        f"significant at 0.05 after Holm's correction{over}, {needs}. Verdicts are by t-tests, assuming normal noise."
    )
    rows = [(one.benchmark, f"{one.margin:g}", *_needed(one)) for one in found.needed]
    show_table(("benchmark", "margin", "std of paired differences", "seeds for 80 % power at the margin"), rows)


def _needed(one: Needed) -> tuple[str, str]:
    from suite.plan.power import SEEDS_LIMIT

    if one.std is None:
        return "unknown: too few finished runs", ""
    return f"{one.std:.2g} (from {one.runs} runs)", f"more than {SEEDS_LIMIT}" if one.seeds is None else str(one.seeds)


def _rows(plan: Plan, rerun: Sequence[str]) -> Iterable[tuple[str, ...]]:
    costs: dict[tuple[str, str], float] = {}
    for run in plan.to_do(rerun):
        costs[run.benchmark, run.loss] = costs.get((run.benchmark, run.loss), 0.0) + run.estimate_s
    for (benchmark, loss), states in matrix(plan).items():
        counted = ", ".join(f"{number} {state}" for state, number in states.items())
        cost = costs.get((benchmark, loss))
        yield benchmark, loss, str(sum(states.values())), counted, clock(cost) if cost is not None else ""
