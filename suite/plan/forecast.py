"""What the selected seeds can show, said before anything is spent: the smallest p, and the seeds that are needed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from suite.plan.plan import Plan
from suite.plan.run import Run, expand
from suite.records.record import Store
from suite.registry.registry import Registry

ALPHA: Final = 0.05
POWER: Final = 0.8


@dataclass(frozen=True)
class Needed:
    """The seeds that a benchmark needs.

    Attributes
    ----------
    benchmark : str
    margin : float
        Of its metric.
    std : float or None
        Of the differences between losses and the baseline, paired by seed, over finished evaluation runs at this
        profile, pooled over the losses; None if there are not enough.
    runs : int
        How many runs `std` is from.
    seeds : int or None
        To see a difference of one margin with 80 % power (paired t-test, two-sided, at 0.05); None if `std` is, or if
        it takes more than :data:`suite.plan.power.SEEDS_LIMIT`.
    """

    benchmark: str
    margin: float
    std: float | None
    runs: int
    seeds: int | None


@dataclass(frozen=True)
class Forecast:
    """What the selection can show.

    Attributes
    ----------
    seeds : int
        Evaluation seeds selected.
    smallest_p : float
        The smallest p that an exact sign-flip test can give with them.
    benchmarks : int
        The family of tests that Holm's method corrects a claim for.
    seeds_to_reject : int
        How many it takes before that test can reject anything at 0.05 in that family.
    needed : tuple of Needed
    """

    seeds: int
    smallest_p: float
    benchmarks: int
    seeds_to_reject: int
    needed: tuple[Needed, ...]

    @property
    def can_reject(self) -> bool:
        """Whether any test could be rejected at 0.05."""
        return self.seeds >= self.seeds_to_reject

    def to_json(self) -> dict[str, Any]:
        """Return what ``plan --json`` prints under ``power``."""
        return {**asdict(self), "can_reject": self.can_reject, "alpha": ALPHA, "power": POWER}


def forecast(plan: Plan, registry: Registry, store: Store) -> Forecast | None:
    """Return what the evaluation runs of a plan can show; None if they are of fewer than two losses."""
    from suite.plan.power import seeds_for_p, smallest_flip_p

    runs = [run for run in plan.runs if run.kind == "loss" and run.purpose == "evaluation"]
    losses = {registry.losses[run.loss].sweep_of or run.loss for run in runs}
    benchmarks = list(dict.fromkeys(run.benchmark for run in runs))
    if len(losses) < 2:
        return None
    seeds = len({run.seed for run in runs})
    to_reject = seeds_for_p(ALPHA, len(benchmarks))
    figures = _figures(plan, registry, store, benchmarks)
    needed = tuple(_needed(registry, benchmark, figures.get(benchmark, {})) for benchmark in benchmarks)
    return Forecast(seeds, smallest_flip_p(seeds), len(benchmarks), to_reject, needed)


Figures = Mapping[str, Mapping[int, float]]
"""Test metrics by loss and seed."""


def _figures(plan: Plan, registry: Registry, store: Store, benchmarks: Sequence[str]) -> dict[str, Figures]:
    """Return the primary test metrics of finished evaluation runs, those of the plan and with the registry's seeds."""
    existing = store.keys()
    plain = [name for name, entry in registry.losses.items() if entry.sweep_of is None]
    others = expand(registry, benchmarks, plain, registry.seeds, plan.profile) if existing else ()
    runs = {run.key: run for run in (*plan.runs, *others) if run.key in existing and _counts(run, registry)}
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for run in runs.values():
        result = store.record(run.key).result()
        value = (result or {"metrics": {}})["metrics"].get(f"test/{run.metric['name']}")
        if value is not None and math.isfinite(value):
            found[run.benchmark][run.loss][run.seed] = value
    return dict(found)


def _counts(run: Run, registry: Registry) -> bool:
    return run.kind == "loss" and run.purpose == "evaluation" and registry.losses[run.loss].sweep_of is None


def _needed(registry: Registry, benchmark: str, figures: Figures) -> Needed:
    from suite.plan.power import seeds_needed

    margin = registry.document.benchmarks[benchmark].metric.margin
    std, runs = pooled_std(figures, registry.document.baseline)
    seeds = None if std is None else seeds_needed(std, margin, power=POWER, alpha=ALPHA, sides=2)
    return Needed(benchmark, margin, std, runs, seeds)


def pooled_std(figures: Figures, baseline: str) -> tuple[float | None, int]:
    """Return the standard deviation of paired differences to the baseline, pooled over losses, and from how many runs.

    Parameters
    ----------
    figures : mapping of loss to mapping of seed to float
    baseline : str

    Returns
    -------
    float or None
        None without a loss that shares two seeds with the baseline.
    int
        Runs, those of the baseline among them.
    """
    squares, degrees, used, partners = 0.0, 0, 0, set()
    base = figures.get(baseline, {})
    for loss, values in figures.items():
        seeds = values.keys() & base.keys() if loss != baseline else set()
        if len(seeds) < 2:
            continue
        differences = [values[seed] - base[seed] for seed in sorted(seeds)]
        mean = math.fsum(differences) / len(differences)
        squares += math.fsum((difference - mean) ** 2 for difference in differences)
        degrees += len(differences) - 1
        used += len(differences)
        partners |= seeds
    return (math.sqrt(squares / degrees), used + len(partners)) if degrees else (None, 0)
