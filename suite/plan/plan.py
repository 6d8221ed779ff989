"""Registry and selection to a list of runs, each with its key, its state and what it will cost."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from suite.problems import COMMAND_LINE, InputError, Problem, choices
from suite.provenance import targets
from suite.provenance.machine import changed_modules
from suite.records.record import Record, Store
from suite.registry.registry import Registry
from suite.registry.selection import REFERENCES, SelectionError, select_benchmarks, select_losses, select_seeds

State = Literal["missing", "queued", "running", "done", "failed", "stale"]
T = TypeVar("T")
STATES: tuple[State, ...] = ("missing", "queued", "running", "done", "failed", "stale")


@dataclass(frozen=True)
class Selection:
    """What the command line selects; every part takes names, comma lists, ranges, slices and ``~name``."""

    benchmarks: tuple[str, ...] = ("all",)
    losses: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    profile: str = "mini"


@dataclass(frozen=True)
class Run:
    """One benchmark x loss x seed at a profile.

    Attributes
    ----------
    key : str
        The run's identity: 64 hex digits, see :func:`key_of`.
    kind : str
        ``loss``, or ``reference`` for a figure of invariant 7, whose name stands in `loss`.
    config : mapping
        The resolved benchmark, loss, seed, profile and data checksums: what the key is made of.
    code : mapping of module to sha256
        The source that the run would use now.
    state, reason
        Where it stands, and why where that needs saying.
    estimate_s : float
        Expected seconds on one worker.
    record : str or None
        The id of the record on disk, if there is one.
    memory_mib : mapping
        The most that finished runs like this one took: ``host``, and on a GPU ``device`` of ``device_total``.
    """

    key: str
    benchmark: str
    loss: str
    kind: Literal["loss", "reference"]
    seed: int
    profile: str
    purpose: Literal["evaluation", "selection"]
    metric: Mapping[str, Any]
    config: Mapping[str, Any] = field(repr=False)
    code: Mapping[str, str] = field(repr=False)
    state: State = "missing"
    reason: str = ""
    estimate_s: float = 0.0
    record: str | None = None
    memory_mib: Mapping[str, float] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """``image/infonce/seed3``."""
        return f"{self.benchmark}/{self.loss}/seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """The selected runs, in registry order."""

    experiment: str
    profile: str
    runs: tuple[Run, ...]

    def count(self) -> dict[str, int]:
        """Return how many runs are in each state."""
        counted = Counter(run.state for run in self.runs)
        return {state: counted[state] for state in STATES}

    def to_json(self) -> dict[str, Any]:
        """Return what ``plan --json`` prints."""
        listed = [
            {
                "key": run.key,
                "benchmark": run.benchmark,
                "loss": run.loss,
                "kind": run.kind,
                "seed": run.seed,
                "profile": run.profile,
                "purpose": run.purpose,
                "state": run.state,
                "reason": run.reason,
                "estimate_s": round(run.estimate_s, 3),
            }
            for run in self.runs
        ]
        to_do = sum(run.estimate_s for run in self.runs if run.state in ("missing", "failed", "queued"))
        summary = {"runs": len(self.runs), **self.count(), "to_do_s": round(to_do, 3)}
        return {"runs": listed, "summary": summary}


def key_of(config: Mapping[str, Any]) -> str:
    """Return the sha256 of a configuration's canonical JSON: sorted keys, no spaces, no NaN."""
    return hashlib.sha256(
        json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    ).hexdigest()


def make_plan(registry: Registry, selection: Selection, store: Store) -> Plan:
    """Expand a selection into runs and read their states from the records.

    Raises
    ------
    InputError
        If a part of the selection names nothing.
    """
    benchmarks, losses, seeds = _selected(registry, selection)
    runs = list(expand(registry, benchmarks, losses, seeds, selection.profile))
    return Plan(registry.document.experiment, selection.profile, tuple(_with_states(runs, registry, store)))


def _selected(registry: Registry, selection: Selection) -> tuple[list[str], list[str], list[int]]:
    has_default = "default" in registry.document.slices
    losses = selection.losses or (("default",) if has_default else ("all", REFERENCES))
    problems: list[Problem] = []

    def chosen(option: str, select: Callable[[Registry, Sequence[str]], list[T]], texts: Sequence[str]) -> list[T]:
        try:
            return select(registry, texts)
        except SelectionError as error:
            problems.append(Problem(COMMAND_LINE, option, str(error)))
            return []

    benchmarks = chosen("--benchmarks", select_benchmarks, selection.benchmarks)
    found = (
        benchmarks,
        chosen("--losses", select_losses, losses),
        chosen("--seeds", select_seeds, selection.seeds or ("all",)),
    )
    for benchmark in benchmarks:
        offered = [str(name) for name in registry.document.benchmarks[benchmark].profiles]
        if selection.profile not in offered:
            message = f"{benchmark} has no profile {selection.profile!r}; {choices(selection.profile, offered)}"
            problems.append(Problem(COMMAND_LINE, "--profile", message))
    if problems:
        raise InputError(problems)
    return found


def expand(
    registry: Registry, benchmarks: Sequence[str], losses: Sequence[str], seeds: Sequence[int], profile: str
) -> Iterator[Run]:
    """Yield runs in no particular state; among the losses, ``references`` stands for the reference figures."""
    for benchmark in benchmarks:
        for name in losses:
            if name == REFERENCES:
                for reference, how in registry.document.benchmarks[benchmark].references.items():
                    yield from _runs(
                        registry, benchmark, reference, "reference", [0] if how == "once" else seeds, profile
                    )
            else:
                yield from _runs(registry, benchmark, name, "loss", seeds, profile)


def _runs(
    registry: Registry,
    benchmark: str,
    loss: str,
    kind: Literal["loss", "reference"],
    seeds: Sequence[int],
    profile: str,
) -> Iterator[Run]:
    entry = registry.document.benchmarks[benchmark]
    target = registry.targets[benchmark]
    if kind == "loss":
        settings = registry.loss_config(loss, benchmark, profile)
        code = targets.code(target, registry.losses[loss].target)
    else:
        settings, code = {"reference": True}, targets.code(target)
    shared: dict[str, Any] = {
        "benchmark": {"name": benchmark, "_target_": target.path, **registry.settings[benchmark, profile]},
        "loss": {"name": loss, **settings},
        "profile": profile,
        "data": {dataset: registry.checksums[dataset] for dataset in entry.data},
    }
    resources = entry.resources.get(profile)  # type: ignore[call-overload]
    if kind == "loss" and resources is not None and resources.processes > 1:
        shared["processes"] = resources.processes  # each draws its own augmentations: another sample, another run
    metric = {"name": entry.metric.name, "goal": entry.metric.goal, "margin": entry.metric.margin}
    of_selection = frozenset(registry.selection_seeds)
    for seed in seeds:
        config = {**shared, "seed": seed}
        purpose: Literal["evaluation", "selection"] = "selection" if seed in of_selection else "evaluation"
        yield Run(key_of(config), benchmark, loss, kind, seed, profile, purpose, metric, config, code)


def run_of(
    registry: Registry, benchmark: str, loss: str, kind: Literal["loss", "reference"], seed: int, profile: str
) -> Run:
    """Return one run as the registry makes it, in no particular state.

    Raises
    ------
    LookupError
        If the registry has no such benchmark, profile, loss or reference.
    """
    entries = registry.document.benchmarks
    if benchmark not in entries:
        raise LookupError(f"the registry has no benchmark {benchmark!r}")
    if (benchmark, profile) not in registry.settings:
        raise LookupError(f"the registry has no profile {profile!r} of {benchmark}")
    if loss not in (registry.losses if kind == "loss" else entries[benchmark].references):
        raise LookupError(f"the registry has no {kind} {loss!r}" + (f" of {benchmark}" if kind == "reference" else ""))
    return next(_runs(registry, benchmark, loss, kind, [seed], profile))


def _with_states(runs: Sequence[Run], registry: Registry, store: Store) -> Iterator[Run]:
    existing = store.keys()
    queued = _queued(store)
    records = {run.key: store.record(run.key) for run in runs if run.key in existing}
    results = {key: result for key, record in records.items() if (result := record.result()) is not None}
    estimate = _Estimates(runs, results, registry, store, existing)
    for run in runs:
        result = results.get(run.key)
        state, reason, record = _settled(run, result) if result else _open(run, records.get(run.key), queued)
        found = {"state": state, "reason": reason, "record": record, "estimate_s": estimate(run)}
        yield Run(**{**vars(run), **found, "memory_mib": estimate.memory_mib(run)})


def _settled(run: Run, result: Mapping[str, Any]) -> tuple[State, str, str | None]:
    changed = changed_modules(result["code"], run.code)
    return (
        ("stale", f"changed since: {', '.join(changed)}", result["record"])
        if changed
        else ("done", "", result["record"])
    )


def _open(run: Run, record: Record | None, queued: Mapping[str, str]) -> tuple[State, str, str | None]:
    if record is None:
        return ("queued", queued[run.key], None) if run.key in queued else ("missing", "", None)
    if record.is_running():
        return "running", "", None
    if run.key in queued:
        return "queued", queued[run.key], None
    failure = record.failure()
    if failure is not None:
        return "failed", f"{failure['class']}: {failure['message'].partition(chr(10))[0]}", failure["record"]
    return "missing", _interruption(record) if record.run() else "", None


def _interruption(record: Record) -> str:
    reasons = [event.get("reason") for event in record.events() if event["event"] == "interrupted"]
    return f"interrupted ({reasons[-1]})" if reasons and reasons[-1] else "interrupted"


def _queued(store: Store) -> dict[str, str]:
    """Return the runs that a launch has in hand, each with what is known of the array task that has it."""
    from suite.launch.slurm.queue import look, open_launches
    from suite.records.launch import live_launches

    here = [launch for launch in live_launches(store) if not launch.is_on_cluster]
    queued = {key: "" for launch in here for key in launch.content["runs"].keys() - launch.cancelled()}
    seen = look(open_launches(store))
    for one in seen.tasks:
        text = f"SLURM does not answer; array task {one.task.job}" if seen.silence else f"array task {one.task.job}"
        queued |= dict.fromkeys(one.wanted(), f"{text}: {one.task.state}")
    return queued


Group = tuple[str, ...]
MOST_READ = 500
"""Records outside of the plan that are read for their times, at most."""


class _Estimates:
    """Seconds a run, from finished runs of the same benchmark and profile, else from the registry."""

    def __init__(
        self, runs: Sequence[Run], results: Mapping[str, Any], registry: Registry, store: Store, existing: set[str]
    ) -> None:
        self._registry = registry
        self._memory: dict[Group, dict[str, float]] = defaultdict(dict)
        seconds: dict[Group, list[float]] = defaultdict(list)
        for run in runs:
            if run.key in results:
                self._learn(seconds, run.benchmark, run.profile, run.kind, run.loss, results[run.key])
        unknown = [run for run in runs if run.key not in results and not any(g in seconds for g in self._groups(run))]
        if unknown:
            self._look_around(seconds, unknown, store, existing - {run.key for run in runs})
        self._medians = {group: statistics.median(values) for group, values in seconds.items()}

    def _look_around(
        self, seconds: dict[Group, list[float]], unknown: Sequence[Run], store: Store, others: set[str]
    ) -> None:
        """Learn from records outside of the plan: other seeds, other losses, but the benchmark's settings of now."""
        settings = {(run.benchmark, run.profile): run.config["benchmark"] for run in unknown}
        for record in map(store.record, sorted(others)[:MOST_READ]):
            run, result = record.run(), record.result()
            if run is None or result is None:
                continue
            if settings.get((run["benchmark"], run["profile"])) == run["config"]["benchmark"]:
                self._learn(seconds, run["benchmark"], run["profile"], run["kind"], run["loss"], result)

    def _learn(
        self,
        seconds: dict[Group, list[float]],
        benchmark: str,
        profile: str,
        kind: str,
        loss: str,
        result: Mapping[str, Any],
    ) -> None:
        for group in _groups(benchmark, profile, kind, loss):
            seconds[group].append(sum(result["seconds"].values()))
            most = self._memory[group]
            for part, mib in result.get("memory_mib", {}).items():
                most[part] = max(mib, most.get(part, 0.0))

    @staticmethod
    def _groups(run: Run) -> tuple[Group, ...]:
        return _groups(run.benchmark, run.profile, run.kind, run.loss)

    def memory_mib(self, run: Run) -> Mapping[str, float]:
        """Return the most that runs like this one took; empty if none has run."""
        return next((self._memory[group] for group in self._groups(run) if self._memory.get(group)), {})

    def __call__(self, run: Run) -> float:
        for group in self._groups(run):
            if group in self._medians:
                return self._medians[group]
        declared: Mapping[str, float] = self._registry.document.benchmarks[run.benchmark].estimate_s  # type: ignore[assignment]
        return float(declared.get(run.profile, 60.0))


def _groups(benchmark: str, profile: str, kind: str, loss: str) -> tuple[Group, ...]:
    base = (benchmark, profile, kind)
    # one reference is a table look-up, another a whole training: only their own history tells
    return ((*base, loss),) if kind == "reference" else ((*base, loss), base)


def rerun_states(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the states that ``--rerun stale,failed`` names.

    Raises
    ------
    InputError
        If one cannot be run again.
    """
    named = [part.strip() for text in texts for part in text.split(",")]
    valid = ("stale", "failed", "done")
    wrong = [name for name in named if name not in valid]
    if wrong:
        raise InputError(
            Problem(COMMAND_LINE, f"--rerun {name}", f"no such state; {choices(name, valid)}") for name in wrong
        )
    return tuple(named)


def find_run(registry: Registry, store: Store, prefix: str) -> Run | None:
    """Return the registry's run with a record whose key begins with `prefix`, whatever its seed; None if none has."""
    try:
        recorded = store.find(prefix).run()
    except LookupError:
        return None
    if recorded is None or recorded["benchmark"] not in registry.document.benchmarks:
        return None
    losses = (REFERENCES,) if recorded["kind"] == "reference" else (recorded["loss"],)
    selection = Selection((recorded["benchmark"],), losses, (str(recorded["seed"]),), recorded["profile"])
    try:
        made = make_plan(registry, selection, store)
    except InputError:
        return None
    return next((run for run in made.runs if run.key == recorded["key"]), None)
