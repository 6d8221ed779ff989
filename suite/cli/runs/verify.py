"""``python -m suite verify``: run a sample of finished runs again and compare."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from suite.cli.arguments import FAILED, OK
from suite.cli.display import PlainDisplay, clock
from suite.cli.options import carried, load_registry, plan_of
from suite.cli.table import show_table
from suite.launch.data import FetchLines, show_downloads
from suite.problems import COMMAND_LINE, InputError, Problem
from suite.records.record import Store
from suite.registry.registry import Registry
from suite.registry.selection import REFERENCES, SelectionError, select_benchmarks, select_losses, select_seeds
from suite.verify.means import Mean, compare_means
from suite.verify.replay import replayer
from suite.verify.results import LoggedRun, from_bundle, from_records
from suite.verify.verification import Verification, Verified, draw, executable_here


def execute(options: argparse.Namespace) -> int:
    """Run a sample of finished runs again, and say what differs."""
    check_options(options)
    if options.bundle is not None:
        registry = load_registry(options)
        logged = from_bundle(options.bundle)
        selected = of_selection(logged, registry, options)
    else:
        options.profile = options.profile or "mini"
        registry, plan, store = plan_of(options)
        selected = logged = list(from_records(plan.runs, store))
    return OK if verify(registry, selected, logged, options) else FAILED


def check_options(options: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing.

    Raises
    ------
    InputError
        With all of them.
    """
    problems = []
    if options.sample < 1:
        problems.append(Problem(COMMAND_LINE, "--sample", f"{options.sample} runs cannot be drawn; at least 1"))
    if not 0 <= options.tolerance < math.inf:
        problems.append(Problem(COMMAND_LINE, "--tolerance", f"{options.tolerance:g} will not do; 0 or more"))
    if problems:
        raise InputError(problems)


def verify(
    registry: Registry, selected: Sequence[LoggedRun], logged: Sequence[LoggedRun], options: argparse.Namespace
) -> bool:
    """Verify what the options draw of the selected runs; returns whether nothing differs.

    Parameters
    ----------
    registry : Registry
    selected : sequence of LoggedRun
    logged : sequence of LoggedRun
        All that there are: what seeds scatter is taken from them.
    options : Namespace

    Raises
    ------
    InputError
        If there is nothing to draw from.
    """
    candidates, spread = executable_here(selected)
    if spread:
        _say(f"{spread} runs are spread over several processes and cannot be verified here")
    if not candidates:
        message = "no run of the selection is done: there is nothing to verify"
        if options.bundle is not None:
            raise InputError([Problem(str(options.bundle), "", message)])
        here = carried(options, "out", "registry", "profile", "overrides")
        raise InputError([Problem(str(options.out), "", f"{message}; python -m suite status{here} shows what is")])
    drawn = candidates if options.all else draw(candidates, options.sample, options.seed)
    estimates = [_estimate(registry, run) for run in drawn]
    _say(f"verifying {len(drawn)} of {len(candidates)} finished runs, about {clock(sum(estimates))}")
    done = []
    with replayer(registry.catalogues) as replay:
        verification = Verification(registry, drawn, replay)
        verification.check_data(lambda names: _fetch(registry, names, options))
        for index, (run, estimate) in enumerate(zip(drawn, estimates, strict=True), start=1):
            counter = f"[{index:>{len(str(len(drawn)))}}/{len(drawn)}] {run.name}"
            _say(f"{counter} at profile {run.profile}, about {clock(estimate)}")
            done.append(verification.verify(run))
            left = f"; {clock(sum(estimates[index:]))} left" if index < len(drawn) else ""
            _say(f"{counter} {done[-1].verdict} ({done[-1].seconds:.1f} s){left}")
    means = compare_means(done, logged, lambda name: registry.document.benchmarks[name].metric.name, options.tolerance)
    if options.json:
        print(json.dumps(to_json(done, means), indent=1))
    else:
        show(done, means)
    return not any(one.problems for one in done) and all(mean.agrees for mean in means)


def of_selection(runs: Sequence[LoggedRun], registry: Registry, options: argparse.Namespace) -> list[LoggedRun]:
    """Return the runs that the options select; without a selection, all of them.

    Raises
    ------
    InputError
        If a part of the selection names nothing.
    """
    wanted: dict[str, set[Any]] = {}
    problems = []
    for name, select in (("benchmarks", select_benchmarks), ("losses", select_losses), ("seeds", select_seeds)):
        texts = getattr(options, name)
        try:
            if texts:
                wanted[name] = set(select(registry, texts))
        except SelectionError as error:
            problems.append(Problem(COMMAND_LINE, f"--{name}", str(error)))
    if problems:
        raise InputError(problems)
    return [
        run
        for run in runs
        if run.benchmark in wanted.get("benchmarks", {run.benchmark})
        and (run.loss if run.kind == "loss" else REFERENCES) in wanted.get("losses", {run.loss, REFERENCES})
        and run.seed in wanted.get("seeds", {run.seed})
        and run.profile == (options.profile or run.profile)
    ]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _estimate(registry: Registry, run: LoggedRun) -> float:
    if run.seconds is not None:
        return run.seconds
    entry = registry.document.benchmarks.get(run.benchmark)
    return float(entry.estimate_s.get(run.profile, 60.0)) if entry is not None else 0.0  # type: ignore[call-overload]


def _fetch(registry: Registry, names: list[str], options: argparse.Namespace) -> None:
    display = PlainDisplay(Store(options.out), sys.stderr)
    show_downloads(registry.data, names, display.say)
    registry.data.fetch(names, options.mirror, options.offline, FetchLines(display.say))


def show(done: Sequence[Verified], means: Sequence[Mean]) -> None:
    """Print a row a run, what differs, and what another kind of machine computed."""
    rows = [
        (one.logged.key[:12], one.logged.name, one.verdict, str(one.largest or ""), f"{one.seconds:.1f} s")
        for one in done
    ]
    show_table(("key", "run", "verdict", "largest difference", "time"), rows)
    for one in done:
        for topic, text in one.problems:
            print(f"{topic}: {one.logged.name}: {text}")
    _show_means(done, means)
    differ = sum(bool(one.problems) for one in done)
    said = [f"{differ} differ from what was logged"] if differ else []
    apart = sum(not mean.agrees for mean in means)
    said += [f"{apart} of {len(means)} means differ by more than the seeds allow"] if apart else []
    agree = f"all {len(means)} means agree within the scatter of the seeds" if means else "nothing differs"
    print(f"{len(done)} runs verified: {'; '.join(said) or agree}")


def _show_means(done: Sequence[Verified], means: Sequence[Mean]) -> None:
    """Print what another kind of machine computed: the means of primary metrics, and all that differ too much."""
    for kind, count in Counter("; ".join(one.machine) for one in done if one.machine).items():
        has_others = any(one.numbers == "other bits" for one in done if "; ".join(one.machine) == kind)
        then = "their means are compared" if has_others else "all bits are the same"
        print(f"{count} of them were made on another kind of machine ({kind}): {then}")
    shown = [mean for mean in means if mean.is_primary or not mean.agrees]
    if not shown:
        return
    rows = [
        (
            f"{mean.benchmark}/{mean.loss}",
            mean.metric,
            str(len(mean.seeds)),
            f"{mean.found:.6g}",
            f"{mean.logged:.6g}",
            f"{mean.allowed:.2g}" + ("" if mean.freedom else " (seeds do not tell)"),
            "agrees" if mean.agrees else "DIFFERENT",
        )
        for mean in shown
    ]
    show_table(("loss", "metric", "seeds", "mean", "logged", "may differ by", ""), rows)


def to_json(done: Sequence[Verified], means: Sequence[Mean]) -> dict[str, Any]:
    """Return what ``verify --json`` prints; numbers that are not finite as text."""
    runs = [
        {
            "key": one.logged.key,
            "run": one.logged.name,
            "profile": one.logged.profile,
            "verdict": one.verdict,
            "numbers": one.numbers,
            "problems": [{"topic": topic, "text": text} for topic, text in one.problems],
            "machine": list(one.machine),
            "largest": _difference(one),
            "seconds": round(one.seconds, 3),
        }
        for one in done
    ]
    return {
        "verified": len(runs),
        "differ": sum(bool(r["problems"]) for r in runs),
        "means_differ": sum(not mean.agrees for mean in means),
        "runs": runs,
        "means": [{**asdict(mean), **_finite(mean.logged, mean.found), "agrees": mean.agrees} for mean in means],
    }


def _difference(one: Verified) -> dict[str, Any] | None:
    if one.largest is None:
        return None
    return {"metric": one.largest.metric, **_finite(one.largest.logged, one.largest.found)}


def _finite(logged: float, found: float) -> dict[str, float | str]:
    values = {"logged": logged, "found": found}
    return {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
