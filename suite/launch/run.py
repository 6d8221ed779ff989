"""What the commands do, without parsing and printing."""

from __future__ import annotations

import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.cli.display import Display
from suite.launch.campaign import POLL_S, Campaign, Outcome, View, start, to_execute
from suite.launch.jobs import DebugJobs, Jobs
from suite.plan.plan import Plan, Run
from suite.problems import InputError, Problem
from suite.records.launch import Launch, all_launches, forget_finished, live_launches
from suite.records.record import Record, Store
from suite.registry.launchers import Launcher, SlurmLauncher
from suite.registry.registry import Registry

if TYPE_CHECKING:
    from suite.data import Progress
    from suite.data import Store as DataStore
    from suite.launch.slurm.queue import InQueue, Look


#: On a shared file system, a look at every record costs more than on a local disk.
CLUSTER_POLL_S = 1.0


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
    tracking_uri : str
        The MLflow store to mirror into.
    mirror : str or None
        Where to look for data first.
    """

    rerun: tuple[str, ...] = ()
    detach: bool = False
    offline: bool = False
    tracking_uri: str = ""
    mirror: str | None = None


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
    on_cluster: bool
    started: int


def fetch_data(registry: Registry, plan: Plan, options: RunOptions, display: Display) -> None:
    """Fetch the data sets that the plan's runs need and the cache lacks.

    Raises
    ------
    suite.data.DataError
        If one cannot be had.
    """
    entries = registry.document.benchmarks
    needed = sorted({dataset for run in plan.runs for dataset in entries[run.benchmark].data})
    lacking = registry.data.missing(needed)
    if lacking:
        show_licences(registry.data, lacking, display)
        registry.data.fetch(lacking, options.mirror, options.offline, FetchLines(display))


def show_licences(data: DataStore, names: Sequence[str], display: Display) -> None:
    """Say under which terms data sets come."""
    for name in names:
        dataset = data.dataset(name)
        display.say(f"{dataset.title}: {dataset.licence} ({dataset.origin})")


class FetchLines:
    """Shows what the data store does: a line when something begins or ends, and one every two seconds of a download."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._last: tuple[str, ...] = ()
        self._shown = 0.0

    def __call__(self, progress: Progress) -> None:
        """Show one report of the data store."""
        now = (progress.dataset, progress.source, progress.state, progress.file)
        if now == self._last and time.monotonic() - self._shown < 2:
            return
        self._last, self._shown = now, time.monotonic()
        done = f" {progress.bytes_done / 1e6:.1f} MB" if progress.bytes_done else ""
        whole = f" of {progress.bytes_total / 1e6:.1f} MB" if progress.bytes_done and progress.bytes_total else ""
        what = f" {progress.file}" if progress.file else ""
        why = f": {progress.message}" if progress.message else ""
        self._display.say(f"data  {progress.dataset}: {progress.state}{what} ({progress.source}){done}{whole}{why}")


def carry_out(registry: Registry, plan: Plan, store: Store, options: RunOptions, display: Display) -> Report:
    """Execute what the plan lacks, and wait for what other launches of it have in hand.

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
    to_do = to_execute(plan, options.rerun)
    awaited = [run for run in plan.runs if run.state in ("queued", "running")]
    outcome = Outcome(0, (), 0, False)
    mirrored, error = True, None
    launcher = registry.document.launcher
    is_on_cluster = isinstance(launcher, SlurmLauncher)
    if to_do or awaited:
        store.prepare()
        fetch_data(registry, plan, options, display)
        # what an earlier launch has in hand is in ours, too: should its workers die, ours take over
        mine = to_do if options.detach else [*to_do, *awaited]
        if awaited and not options.detach:
            display.say(f"{len(awaited)} runs are in the hands of an earlier launch")
        if isinstance(launcher, SlurmLauncher) and mine:
            from suite.launch.slurm.jobs import check

            check(launcher)
        if not is_on_cluster:
            _refuse_what_is_spread(mine, launcher.kind)
        jobs = jobs_of(start(mine, registry, store), launcher, store) if mine else None
        campaign = Campaign(jobs, mine, store, CLUSTER_POLL_S if is_on_cluster else POLL_S)
        campaign.begin(options.detach)
        if options.detach:
            outcome = Outcome(0, (), len(to_do) + len(awaited), False)
        else:
            outcome, mirrored, error = _attend(campaign, Mirroring(plan, store, options), display)
    elif not options.detach:
        mirrored, error = Mirroring(plan, store, options).finish()
    forget_finished(store)
    started = {run.key for run in to_do}
    rest = [run for run in plan.runs if run.key not in started]
    skipped = tuple(run for run in rest if run.state == "failed")
    stale = sum(run.state == "stale" for run in rest)
    done = sum(run.state == "done" for run in rest)
    seconds = time.monotonic() - began
    return Report(outcome, done, stale, skipped, options.detach, mirrored, error, seconds, is_on_cluster, len(to_do))


def _refuse_what_is_spread(runs: Sequence[Run], launcher: str) -> None:
    """Name the benchmarks that ask for several processes a run, which only a cluster gives them."""
    asked = {run.benchmark: run.config["processes"] for run in runs if run.config.get("processes", 1) > 1}
    problems = [
        Problem(
            f"benchmarks.{name}.resources",
            "",
            f"asks for {processes} processes a run, which --launcher slurm gives and {launcher} does not; "
            f"without them: ~benchmarks.{name}.resources",
        )
        for name, processes in asked.items()
    ]
    if problems:
        raise InputError(problems)


def jobs_of(launch: Launch, launcher: Launcher, store: Store) -> Jobs:
    """Return where the workers of a launch come from."""
    if isinstance(launcher, SlurmLauncher):
        from suite.launch.slurm.jobs import SlurmJobs

        return SlurmJobs(launch, launcher, store)
    if launcher.kind == "debug":
        return DebugJobs(launch)
    from suite.launch.local import LocalJobs

    return LocalJobs(launch, launcher, store)


def _attend(campaign: Campaign, mirroring: Mirroring, display: Display) -> tuple[Outcome, bool, str | None]:
    def show(view: View) -> None:
        mirroring.follow(view)
        display.show(view)

    try:
        outcome = campaign.watch(show)
    finally:
        mirrored, error = mirroring.finish()
        campaign.close()
    return outcome, mirrored, error


class Mirroring:
    """The mirror of a campaign: begins when the workers have begun, since both import for seconds at first."""

    def __init__(self, plan: Plan, store: Store, options: RunOptions) -> None:
        from suite.tracking import LiveMirror

        self._mirror = LiveMirror(
            store.out, options.tracking_uri, plan.experiment, [run.key for run in plan.runs], interval_s=2.0
        )
        self._started = False

    def follow(self, view: View) -> None:
        """Begin once a worker trains or a run has ended."""
        if view.done + view.failed or any(worker.phase == "training" for worker in view.workers):
            self._start()

    def finish(self, patience_s: float = 120.0) -> tuple[bool, str | None]:
        """Return whether MLflow holds everything, and if not, why."""
        self._start()
        return self._mirror.finish(patience_s), self._mirror.error

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._mirror.start()


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
    return {"matrix": cells, "summary": summary, "launches": launches, "cluster": vars(cluster(store))}


@dataclass(frozen=True)
class Cluster:
    """What SLURM has of a results folder.

    Attributes
    ----------
    tasks : list of mapping
        A row an array task in the queue.
    stillborn : list of mapping
        Tasks that ended before they began to work: ``job``, and the ``key`` of a run that it was to do.
    silence : str
        Why SLURM does not answer, if it does not.
    """

    tasks: list[dict[str, Any]]
    stillborn: list[dict[str, str]]
    silence: str


def cluster(store: Store) -> Cluster:
    """Ask SLURM, once, for the array tasks of a results folder."""
    from suite.launch.slurm.queue import look, open_launches

    launches = open_launches(store)
    seen = look(launches)
    stillborn = [] if seen.silence else [row for launch in launches for row in _stillborn(launch, store, seen)]
    return Cluster([_task_row(one) for one in seen.tasks], stillborn, seen.silence)


def _stillborn(launch: Launch, store: Store, seen: Look) -> Iterator[dict[str, str]]:
    from suite.launch.slurm.queue import batches, open_keys, task_report

    jobs = {pack: job for batch in batches(launch) for pack, job in batch.jobs()}
    for pack in jobs.keys() - seen.of(launch).keys():
        left = next(open_keys(launch, store, launch.content["packs"][pack]["keys"]), None)
        if left is not None and task_report(launch, pack) is None:
            yield {"job": jobs[pack], "key": left}


def _task_row(one: InQueue) -> dict[str, Any]:
    from suite.launch.slurm.queue import task_report

    said = task_report(one.launch, one.pack)
    content = one.launch.content["packs"][one.pack]
    return {
        "job": one.task.job,
        "state": one.task.state,
        "reason": one.task.reason if one.task.state == "PENDING" else "",
        "nodes": one.task.nodes,
        "launch": one.launch.id,
        "pack": one.pack,
        "runs": len(content["keys"]),
        "side_by_side": content["slots"],
        "restarts": said.restarts if said is not None else 0,
    }


def waiting(store: Store, key: str) -> str:
    """Return a sentence on a run that has printed nothing yet."""
    from suite.launch.slurm.queue import look, open_launches

    seen = look(open_launches(store))
    for one in seen.tasks:
        if key in one.wanted():
            reason = f" ({one.task.reason})" if one.task.reason not in ("", "None") else ""
            return f"it has not begun: array task {one.task.job} is {one.task.state}{reason}"
    return "it has not begun"


def task_log(store: Store, key: str) -> Path | None:
    """Return the output of the array task that had a run last; None if none has had it."""
    from suite.launch.slurm.queue import batches

    for launch in reversed(all_launches(store)):
        for batch in reversed(batches(launch)):
            for pack, job in batch.jobs():
                file = launch.folder / "jobs" / f"{job}_0_log.out"
                if key in launch.content["packs"][pack]["keys"] and file.exists():
                    return file
    return None


def follow(record: Record, poll_s: float = 0.2) -> Iterator[str]:
    """Yield what a run has printed, and what it prints, until it no longer runs."""
    position = 0
    while True:
        running = record.is_running()
        if record.log.exists():
            with record.log.open(errors="replace") as file:
                file.seek(position)
                text = file.read()
                position = file.tell()
            if text:
                yield text
        if not running:
            return
        time.sleep(poll_s)


def explain(record: Record, plan_run: Run | None) -> list[tuple[str, str]]:
    """Return what is known of one run: label and text."""
    run, result, failure = record.run(), record.result(), record.failure()
    facts = [("key", record.key)]
    if run is not None:
        origin = run["provenance"]
        facts.append(("run", f"{run['benchmark']}/{run['loss']}/seed{run['seed']} at profile {run['profile']}"))
        facts.append(("code", f"git {origin['git']}, {len(run['code'])} modules"))
        hardware = origin["hardware"]
        facts.append(("machine", f"{origin['host']}: {hardware['processor']}, {hardware['device']}"))
    facts.append(("state", _state_text(record, plan_run, result, failure)))
    if result is not None:
        facts.append(("time", f"{sum(result['seconds'].values()):.1f} s, attempt {result['attempt']}"))
        facts.extend((name, f"{value:.6g}") for name, value in result["metrics"].items())
    if failure is not None:
        facts.append(("failure", f"{failure['class']}: {failure['message']}"))
    facts.append(("folder", str(record.folder)))
    return facts


def _state_text(
    record: Record, plan_run: Run | None, result: Mapping[str, Any] | None, failure: Mapping[str, Any] | None
) -> str:
    if plan_run is not None:
        return plan_run.state + (f" ({plan_run.reason})" if plan_run.reason else "")
    if result is not None:
        return "done; the registry as it stands has no such run (its settings, data or names have changed)"
    if record.is_running():
        return "running"
    return "failed" if failure is not None else "interrupted"


def continue_command() -> str:
    """Return the command line that this process was started with, as the user typed it."""
    return shlex.join(sys.orig_argv)
