"""A search in two stages: all configurations with selection seeds, then what validation chooses with others."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from suite.plan.choice import best_trial
from suite.plan.plan import Plan, Selection, make_plan, selected, with_states
from suite.plan.run import Run, expand
from suite.problems import COMMAND_LINE, InputError, Problem
from suite.records.record import Store
from suite.registry.registry import Registry, member_name
from suite.registry.search import TRIAL
from suite.registry.selection import REFERENCES

OPEN: Final = ("missing", "queued", "running")
"""States of runs that may yet be done."""


@dataclass(frozen=True)
class Choice:
    """What validation chooses of a loss in a benchmark.

    Attributes
    ----------
    benchmark, loss : str
    configurations : int
        How many were tried, the declared one among them.
    trial : int
        Which one it is; 0 is the declared one.
    member : str
        The name of its runs.
    sets : mapping
        What it sets otherwise than declared.
    mean : float or None
        Its mean over the selection seeds of the primary validation metric; None where every configuration has a failed
        run.
    failed : tuple of int
        Trials with a failed run: the worst there are.
    tied : tuple of int
        Later trials with the same mean.
    """

    benchmark: str
    loss: str
    configurations: int
    trial: int
    member: str
    sets: Mapping[str, Any]
    mean: float | None
    failed: tuple[int, ...] = ()
    tied: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tuning:
    """Both stages of a search.

    Attributes
    ----------
    selection : Plan
        Every configuration with every selection seed.
    evaluation : Plan
        The declared configuration of every loss, what was chosen, and the references, with the evaluation seeds. Before
        the choice, without what is to be chosen.
    choices : tuple of Choice
        Empty until all runs of `selection` have ended.
    undecided : int
        The most runs that the choice may yet add to `evaluation`.
    undecided_s : float
        Their expected seconds on one worker.
    """

    selection: Plan
    evaluation: Plan
    choices: tuple[Choice, ...]
    undecided: int = 0
    undecided_s: float = 0.0

    def open_runs(self) -> list[Run]:
        """Return the runs of the selection stage that may yet be done: nothing is chosen before."""
        return [run for run in self.selection.runs if run.state in OPEN]

    def to_json(self, rerun: Sequence[str] = ()) -> dict[str, Any]:
        """Return what ``tune --dry-run --json`` prints; `rerun` as for :meth:`suite.plan.plan.Plan.to_do`."""
        return {
            "selection": self.selection.to_json(rerun),
            "choices": [asdict(choice) for choice in self.choices],
            "evaluation": {
                **self.evaluation.to_json(rerun),
                "undecided": {"runs": self.undecided, "estimate_s": round(self.undecided_s, 3)},
            },
        }


def make_tuning(
    registry: Registry, selection: Selection, store: Store, queued: Mapping[str, str] = MappingProxyType({})
) -> Tuning:
    """Plan the search of the selected losses in the selected benchmarks.

    Parameters
    ----------
    registry : Registry
    selection : Selection
        Its seeds are those of the evaluation; the registry's selection seeds are those of the search.
    store : Store
    queued : mapping of key to str
        As for :func:`suite.plan.plan.make_plan`.

    Raises
    ------
    InputError
        If a part of the selection names nothing, a member of a sweep or search is named, or seeds serve both stages.
    """
    benchmarks, losses, seeds = selected(registry, selection)
    _refuse(registry, losses, seeds)
    named = [loss for loss in losses if loss != REFERENCES]
    if not any(registry.trials(loss, benchmark) for loss in named for benchmark in benchmarks):
        message = "there is nothing to tune: no selected loss or benchmark has a `search`, or the budget is 1"
        raise InputError([Problem(COMMAND_LINE, "tune", message)])
    every = [name for loss in named for name in _configurations(registry, loss)]
    first = replace(selection, losses=tuple(every), seeds=("selection",))
    stage = make_plan(registry, first, store, queued)
    scored = _scored(registry, stage, store)
    is_decided = not any(run.state in OPEN for run in stage.runs)
    choices = tuple(_choices(registry, scored)) if is_decided else ()
    chosen = {(one.benchmark, one.loss): one.member for one in choices}
    runs: list[Run] = []
    for benchmark in benchmarks:
        both = dict.fromkeys(name for loss in losses for name in (loss, chosen.get((benchmark, loss), loss)))
        runs += expand(registry, [benchmark], list(both), seeds, selection.profile)
    evaluated = tuple(with_states(runs, registry, store, queued))
    evaluation = Plan(registry.document.experiment, selection.profile, evaluated)
    searched = {place for place, trials in scored.items() if len(trials) > 1}
    undecided = [run for run in evaluated if (run.benchmark, run.loss) in searched and run.kind == "loss"]
    if is_decided:
        undecided = []
    return Tuning(stage, evaluation, choices, len(undecided), sum(run.estimate_s for run in undecided))


def _refuse(registry: Registry, losses: Sequence[str], seeds: Sequence[int]) -> None:
    problems = [
        Problem(COMMAND_LINE, "--losses", f"{name} is a member: name the loss, {registry.losses[name].sweep_of}")
        for name in losses
        if name != REFERENCES and registry.losses[name].sweep_of is not None
    ]
    if all(name == REFERENCES for name in losses):
        problems.append(Problem(COMMAND_LINE, "--losses", "holds no loss to tune"))
    both = sorted(set(seeds) & set(registry.selection_seeds))
    if both:
        message = f"{', '.join(map(str, both))} are selection seeds: what is chosen with a seed is not reported with it"
        problems.append(Problem(COMMAND_LINE, "--seeds", message))
    if not registry.selection_seeds:
        message = "the registry has no selection_seeds: name some, as in --selection-seeds 100-102"
        problems.append(Problem(COMMAND_LINE, "--selection-seeds", message))
    if problems:
        raise InputError(problems)


def _configurations(registry: Registry, loss: str) -> list[str]:
    return [loss, *(name for name, one in registry.losses.items() if one.sweep_of == loss and one.trial)]


Scores = Mapping[tuple[str, str], Mapping[int, list[float]]]
"""By (benchmark, loss) and trial, the primary validation metric of each selection seed: higher is better."""


def _scored(registry: Registry, stage: Plan, store: Store) -> Scores:
    """Return the scores of the runs that have ended; a failed one has -infinity, one that has not ended NaN."""
    found: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in stage.runs:
        entry = registry.losses[run.loss]
        place = (run.benchmark, entry.sweep_of or run.loss)
        found[place][entry.trial].append(_score(run, store))
    return found


def _score(run: Run, store: Store) -> float:
    if run.state in OPEN:
        return math.nan
    result = store.record(run.key).result() if run.state != "failed" else None
    value = result["metrics"].get(f"val/{run.metric['name']}") if result is not None else None
    if value is None or not math.isfinite(value):
        return -math.inf
    return -float(value) if run.metric["goal"] == "minimise" else float(value)


def _choices(registry: Registry, scored: Scores) -> Iterator[Choice]:
    for (benchmark, loss), trials in scored.items():
        best = best_trial([trials[trial] for trial in sorted(trials)])
        member = member_name(loss, {TRIAL: best.trial}) if best.trial else loss
        overrides = registry.overrides(member, benchmark)
        sign = -1.0 if registry.document.benchmarks[benchmark].metric.goal == "minimise" else 1.0
        yield Choice(
            benchmark,
            loss,
            configurations=len(trials),
            trial=best.trial,
            member=member,
            sets={**overrides.settings, **overrides.parameters},
            mean=sign * best.mean if math.isfinite(best.mean) else None,
            failed=tuple(trial for trial in sorted(trials) if -math.inf in trials[trial]),
            tied=best.tied,
        )
