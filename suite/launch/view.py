"""What there is to see of runs and launches, here and in the queue."""

from __future__ import annotations

import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.launch.queue import InQueue, Look
from suite.launch.sites import Sites
from suite.plan.plan import Plan
from suite.plan.run import Run
from suite.provenance.definitions import module_of
from suite.records.arrays import batches, open_launches, task_report
from suite.records.failures import outlook
from suite.records.launch import Launch, all_launches, live_launches, planned, pools
from suite.records.record import Record, Store
from suite.records.specs import name_of
from suite.text.masking import masked


def queued(store: Store) -> dict[str, str]:
    """Return the runs that a launch has in hand, each with what is known of the array task that has it.

    Without those that have ended in it: what goes on there may be other runs of the same launch. A run whose result the
    launch is to replace is among them.
    """
    held = _held(store)
    return {key: text for launch, keys, text in held for key in keys if not launch.is_settled(key, store)}


def in_hand(store: Store) -> set[str]:
    """Return the runs of launches that go on, those that have ended there among them."""
    return {key for _, keys, _ in _held(store) for key in keys}


def _held(store: Store) -> Iterator[tuple[Launch, Collection[str], str]]:
    """Yield launches that go on, runs of each, and what is known of who has these."""
    for launch in pools(store):
        waits = f"launch {launch.id} waits for workers: python -m suite worker{store.option}"
        yield launch, list(launch.open_keys(store)), waits
    for launch in live_launches(store):
        if not launch.is_on_cluster:
            yield launch, launch.spec.runs.keys() - launch.cancelled(), ""
    seen = Sites().look(open_launches(store))
    for one in (task for task in seen.tasks if task.launch.is_on_cluster):
        said = f"{seen.silent} does not answer; " if seen.silence else ""
        yield one.launch, one.wanted(), f"{said}array task {one.task.job}: {one.task.state}"


def matrix(plan: Plan) -> dict[tuple[str, str], dict[str, int]]:
    """Return how many runs of each (benchmark, loss) are in each state."""
    counted: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for run in plan.runs:
        counted[run.benchmark, run.loss][run.state] += 1
    return {cell: dict(states) for cell, states in counted.items()}


def status_json(plan: Plan, store: Store) -> dict[str, Any]:
    """Return what ``status --json`` prints."""
    cells = [{"benchmark": b, "loss": loss, **states} for (b, loss), states in matrix(plan).items()]
    launches = [{"id": launch.id, "workers": [vars(w) for w in launch.workers()]} for launch in live_launches(store)]
    summary = plan.to_json()["summary"]
    failed = [
        {"key": run.key, "run": run.name, "reason": run.reason, "outlook": outlook(run.failure or "")}
        for run in plan.runs
        if run.state == "failed"
    ]
    waiting = [{"id": launch.id, "to_do": len(list(launch.open_keys(store)))} for launch in pools(store)]
    said = {"matrix": cells, "summary": summary, "failed": failed, "launches": launches}
    return {**said, "open_to_workers": waiting, "cluster": vars(cluster(store))}


@dataclass(frozen=True)
class Cluster:
    """What clusters have of a results folder.

    Attributes
    ----------
    tasks : list of mapping
        A row an array task in the queue.
    stillborn : list of mapping
        Tasks that ended before they began to work: ``job``, and the ``key`` of a run that it was to do.
    silence : str
        Why a site does not answer, if it does not.
    silent : str
        Which one.
    """

    tasks: list[dict[str, Any]]
    stillborn: list[dict[str, str]]
    silence: str
    silent: str


def cluster(store: Store) -> Cluster:
    """Ask every site, once, for the array tasks of a results folder."""
    launches = open_launches(store)
    seen = Sites().look([*launches, *pools(store)])
    stillborn = [] if seen.silence else [row for launch in launches for row in _stillborn(launch, store, seen)]
    return Cluster([_task_row(one) for one in seen.tasks], stillborn, seen.silence, seen.silent)


def _stillborn(launch: Launch, store: Store, seen: Look) -> Iterator[dict[str, str]]:
    jobs = {pack: job for batch in batches(launch) for pack, job in batch.jobs()}
    for pack in jobs.keys() - seen.of(launch).keys():
        left = next(launch.open_keys(store, launch.spec.packs[pack].keys), None)
        if left is not None and task_report(launch, pack) is None:
            yield {"job": jobs[pack], "key": left}


def _task_row(one: InQueue) -> dict[str, Any]:
    said = task_report(one.launch, one.pack)
    content = one.launch.spec.packs[one.pack]
    return {
        "job": one.task.job,
        "state": one.task.state,
        "reason": one.task.reason if one.task.state == "PENDING" else "",
        "nodes": one.task.nodes,
        "launch": one.launch.id,
        "pack": one.pack,
        "runs": len(content.keys),
        "side_by_side": content.slots,
        "restarts": said.restarts if said is not None else 0,
    }


def waiting(store: Store, key: str) -> str:
    """Return a sentence on a run that has printed nothing yet."""
    seen = Sites().look(open_launches(store))
    for one in seen.tasks:
        if key in one.wanted():
            reason = f" ({one.task.reason})" if one.task.reason not in ("", "None") else ""
            return f"it has not begun: array task {one.task.job} is {one.task.state}{reason}"
    return "it has not begun"


def task_log(store: Store, key: str) -> Path | None:
    """Return the output of the array task that had a run last; None if none has had it."""
    for launch in reversed(all_launches(store)):
        for batch in reversed(batches(launch)):
            for pack, job in batch.jobs():
                file = launch.folder / "jobs" / f"{job}_0_log.out"
                if key in launch.spec.packs[pack].keys and file.exists():
                    return file
    return None


def follow(record: Record, poll_s: float = 0.2) -> Iterator[str]:
    """Yield what a run has printed, and what it prints, until it no longer runs."""
    position = 0
    while True:
        running = record.is_running()
        if record.log.exists():
            with record.log.open(errors="replace", encoding="utf-8") as file:
                file.seek(position)
                text = file.read()
                position = file.tell()
            if text:
                yield text
        if not running:
            return
        time.sleep(poll_s)


def explain(
    record: Record, plan_run: Run | None, store: Store, in_launches: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return what is known of one run: label and text; `in_launches` is what :func:`queued` says."""
    run, result, failure = record.run(), record.result(), record.failure()
    facts = [("key", record.key)]
    if run is None and (asked := planned(store, record.key)) is not None:
        facts.append(("run", f"{name_of(asked)} at profile {asked['profile']}"))
        facts.extend(_configuration(asked["config"]))
    if run is not None:
        origin = run["provenance"]
        facts.append(("run", f"{name_of(run)} at profile {run['profile']}"))
        facts.append(("code", f"git {origin['git']}, {len({module_of(one) for one in run['code']})} modules"))
        hardware = origin["hardware"]
        facts.append(("machine", f"{origin['host']}: {hardware['processor']}, {hardware['device']}"))
        facts.extend(_configuration(run["config"]))
    facts.append(("state", _state_text(record, plan_run, in_launches.get(record.key))))
    if result is not None:
        facts.append(("time", f"{sum(result['seconds'].values()):.1f} s, attempt {result['attempt']}"))
        facts.extend((name, f"{value:.6g}") for name, value in result["metrics"].items())
    if failure is not None:
        facts.append(("failure", f"{failure['class']}: {failure['message']}; {outlook(failure['class'])}"))
    facts.extend(_diagnostics(record))
    if run is not None:
        facts.append(("folder", str(record.folder)))
    return facts


def _configuration(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the key is made of: settings of benchmark and loss, and the data."""
    for part in ("benchmark", "loss"):
        settings = {name: value for name, value in config.get(part, {}).items() if name != "name"}
        yield part, " ".join(f"{name}={value}" for name, value in settings.items())
    if config.get("data"):
        yield "data", ", ".join(config["data"])


def _diagnostics(record: Record) -> Iterator[tuple[str, str]]:
    """Yield what the run measured by step, at its last one."""
    last: dict[str, tuple[int, float]] = {}
    for event in record.events():
        if event["event"] == "metrics":
            last |= {name: (event["step"], value) for name, value in event["values"].items()}
    for name, (step, value) in sorted(last.items()):
        yield name, f"{value:.6g} at step {step}"


def _state_text(record: Record, plan_run: Run | None, waits: str | None) -> str:
    """Return a run's state; `waits` is what is known of the launch that has it in hand, None if none has."""
    if plan_run is not None:
        return plan_run.state + (f" ({plan_run.reason})" if plan_run.reason else "")
    if record.is_running():
        state = "running"
    elif waits is not None:
        state = "queued" + (f" ({waits})" if waits else "")
    elif record.result() is not None:
        state = "done"
    elif record.failure() is not None:
        state = "failed"
    else:
        state = "not begun" if record.run() is None else "interrupted"
    return f"{state}; the registry as it stands has no such run (its settings, data or names have changed)"


def continue_command() -> str:
    """Return the command line that this process was started with, as the user typed it, without its secrets."""
    return shlex.join(map(masked, sys.orig_argv))
