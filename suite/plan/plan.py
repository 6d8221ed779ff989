"""Registry and selection to a list of runs, each with its key, its state and what it will cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar

from suite.plan.estimates import Estimates
from suite.plan.run import STATES, Run, expand, run_of
from suite.problems import COMMAND_LINE, InputError, Problem, choices
from suite.provenance.machine import changed_modules
from suite.records.failures import HOPELESS
from suite.records.launch import planned
from suite.records.record import Record, Store
from suite.records.specs import changed_data, unpinned
from suite.registry.registry import Registry
from suite.registry.selection import REFERENCES, SelectionError, select_benchmarks, select_losses, select_seeds

T = TypeVar("T")


@dataclass(frozen=True)
class Selection:
    """What the command line selects; every part takes names, comma lists, ranges, slices and ``~name``."""

    benchmarks: tuple[str, ...] = ("all",)
    losses: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    profile: str = "mini"


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

    def to_do(self, rerun: Sequence[str] = ()) -> list[Run]:
        """Return the runs that `run` starts: what is missing, what failed and may do better, and what is asked for.

        Parameters
        ----------
        rerun : sequence of str
            States to execute again: ``stale``, ``failed``, ``done``.
        """
        states = {"missing", *rerun}
        return [run for run in self.runs if run.state in states or (run.failure and run.failure not in HOPELESS)]

    def to_json(self, rerun: Sequence[str] = ()) -> dict[str, Any]:
        """Return what ``plan --json`` prints; `rerun` as for :meth:`to_do`."""
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
        seconds = sum(run.estimate_s for run in self.to_do(rerun))
        summary = {"runs": len(self.runs), **self.count(), "to_do_s": round(seconds, 3)}
        return {"runs": listed, "summary": summary}


def make_plan(
    registry: Registry, selection: Selection, store: Store, queued: Mapping[str, str] = MappingProxyType({})
) -> Plan:
    """Expand a selection into runs and read their states from the records.

    Parameters
    ----------
    registry : Registry
    selection : Selection
    store : Store
    queued : mapping of key to str
        The runs that launchers have in hand, each with what is known of its job; see :func:`suite.launch.view.queued`.

    Raises
    ------
    InputError
        If a part of the selection names nothing.
    """
    benchmarks, losses, seeds = selected(registry, selection)
    runs = list(expand(registry, benchmarks, losses, seeds, selection.profile))
    named = [loss for loss in losses if loss != REFERENCES]
    if named and not runs:
        message = f"no selected benchmark has {', '.join(named)}"
        raise InputError([Problem(COMMAND_LINE, "--losses", message)])
    return Plan(registry.document.experiment, selection.profile, tuple(with_states(runs, registry, store, queued)))


def as_it_stands(plan: Plan, registry: Registry, store: Store, queued: Mapping[str, str]) -> Plan:
    """Return a plan with the states of now: what was missing when it was made may have been executed since.

    `queued` is that of :func:`make_plan`.
    """
    unknown = [
        replace(run, state="missing", reason="", failure=None, replaces=None, goes_on=False) for run in plan.runs
    ]
    return replace(plan, runs=tuple(with_states(unknown, registry, store, queued)))


def selected(registry: Registry, selection: Selection) -> tuple[list[str], list[str], list[int]]:
    """Return the benchmarks, losses and seeds of a selection.

    Raises
    ------
    InputError
        If a part of it names nothing.
    """
    has_default = "default" in registry.document.slices
    losses = selection.losses or (("default",) if has_default else ("all", REFERENCES))
    problems: list[Problem] = []

    def offering(registry: Registry, texts: Sequence[str]) -> list[str]:
        return select_benchmarks(registry, texts, selection.profile)

    def chosen(option: str, select: Callable[[Registry, Sequence[str]], list[T]], texts: Sequence[str]) -> list[T]:
        try:
            return select(registry, texts)
        except SelectionError as error:
            problems.append(Problem(COMMAND_LINE, option, str(error)))
            return []

    benchmarks = chosen("--benchmarks", offering, selection.benchmarks)
    found = (
        benchmarks,
        chosen("--losses", select_losses, losses),
        chosen("--seeds", select_seeds, selection.seeds or ("all",)),
    )
    for benchmark in benchmarks:  # a benchmark that was named, or every one there is, lacks the profile
        offered = [str(name) for name in registry.document.benchmarks[benchmark].profiles]
        if selection.profile not in offered:
            message = f"{benchmark} has no profile {selection.profile!r}; {choices(selection.profile, offered)}"
            problems.append(Problem(COMMAND_LINE, "--profile", message))
    if problems:
        raise InputError(problems)
    return found


def with_states(runs: Sequence[Run], registry: Registry, store: Store, queued: Mapping[str, str]) -> Iterator[Run]:
    """Yield runs with their states, as the records and `queued` tell them, and with what they will cost."""
    existing = store.keys()
    records = {run.key: store.record(run.key) for run in runs if run.key in existing}
    results = {key: result for key, record in records.items() if (result := record.result()) is not None}
    estimates = Estimates(runs, results, registry, store, existing)
    for run in runs:
        result = results.get(run.key)
        if result and run.key not in queued:  # else it is being replaced
            found = _finished(run, records[run.key], result, registry)
        else:
            found = _unfinished(run, records.get(run.key), registry, queued)
        yield replace(found, estimate_s=estimates.seconds(run), memory_mib=estimates.memory_mib(run))


def _finished(run: Run, record: Record, result: Mapping[str, Any], registry: Registry) -> Run:
    if record.is_unreadable():  # what has made the result nothing can tell any more
        return replace(run, reason="run.json is damaged: it is executed again", replaces=result["record"])
    changed = [*changed_modules(result["code"], run.code), *_changed_data(run, record, registry)]
    if (record.run() or {}).get("purpose", run.purpose) != run.purpose:  # else tables would count it as what it was
        changed.append(f"its seed is for {run.purpose} now")
    if not changed:
        return replace(run, state="done", replaces=result["record"])
    return replace(run, state="stale", reason=f"changed since: {', '.join(changed)}", replaces=result["record"])


def _changed_data(run: Run, record: Record, registry: Registry) -> list[str]:
    names = unpinned(run.config)
    return changed_data(record.run() or {}, registry.data.recorded(names)) if names else []


def _unfinished(run: Run, record: Record | None, registry: Registry, queued: Mapping[str, str]) -> Run:
    if record is not None and record.is_running():
        return replace(run, state="running")
    if run.key in queued:
        return replace(run, state="queued", reason=queued[run.key])
    failure = record.failure() if record is not None else None
    if failure is not None:
        kind, message = failure["class"], failure["message"].partition("\n")[0]
        return replace(run, state="failed", reason=f"{kind}: {message}", failure=kind)
    before = record.run() if record is not None else None
    if record is None or before is None:
        return replace(run, reason="")
    return _interrupted(run, record, before, registry)


def _interrupted(run: Run, record: Record, before: Mapping[str, Any], registry: Registry) -> Run:
    reasons = [event.get("reason") for event in record.events() if event["event"] == "interrupted"]
    said = f"interrupted ({reasons[-1]})" if reasons and reasons[-1] else "interrupted"
    changed = [*changed_modules(before["code"], run.code), *_changed_data(run, record, registry)]
    if changed:  # as a worker will find it, too
        return replace(run, reason=f"{said}; it begins anew, since this has changed: {', '.join(changed)}")
    return replace(run, reason=said, goes_on=True)


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


def find_run(
    registry: Registry, store: Store, key: str, queued: Mapping[str, str] = MappingProxyType({})
) -> Run | None:
    """Return the registry's run with a key that a record or a launch has, whatever its seed; None if it has none.

    `queued` is that of :func:`make_plan`.
    """
    known = store.record(key).run() or planned(store, key)
    if known is None:
        return None
    where = (known["benchmark"], known["loss"], known["kind"], known["seed"], known["profile"])
    try:
        run = run_of(registry, *where)
    except LookupError:
        return None
    return next(with_states([run], registry, store, queued)) if run.key == key else None
