"""Made-up campaigns with searches: what the tests of tuned rows, budget curves and prices start from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.evidence.gather import Evidence, gather
from analysis.read.collect import collect
from suite.registry.claims import Claim, Declared, Failures, Trials
from tests.analysis import frames

SELECTION, SEEDS = (100, 101, 102), range(5)
MARGIN, NOISE = 0.01, 0.002
#: Of nine trials the sixth is the best and the declared one, the first, is far from it; of a loss that needs no tuning
#: all but a bad one are alike.
HELPS = (-0.06, -0.09, -0.05, -0.02, -0.04, -0.005, -0.12, -0.03, -0.08)
HELPS_NOT = (0.0, 0.0, -0.001, 0.0, -0.05, 0.001, 0.0, -0.001, 0.0)
LEVELS: dict[str, Sequence[float]] = {"infonce": HELPS, "temperature_free": HELPS_NOT}
CLAIMS = {
    "as_declared": Claim("temperature_free", "not_worse", "infonce"),
    "after_three": Claim("temperature_free", "not_worse", "infonce", Trials(3)),
    "tuned": Claim("temperature_free", "not_worse", "infonce", "tuned"),
    "both": Claim("temperature_free", "better", "infonce", "tuned", loss_at="tuned"),
}


def runs(
    levels: Mapping[str, Sequence[float]] | None = None,
    benchmarks: Iterable[str] = ("graph", "image"),
    goals: Mapping[str, str] | None = None,
    evaluated: Mapping[str, Iterable[int]] | None = None,
    selection: Sequence[int] = SELECTION,
    base: float = 0.8,
    stream: int = 0,
) -> list[dict[str, Any]]:
    """Return logged runs of searches.

    Parameters
    ----------
    levels : mapping of loss to levels
        What each trial scores beside `base`, the declared one first; LEVELS unless given. Higher is better.
    benchmarks : iterable of str
    goals : mapping of benchmark to goal
        `maximise` where nothing is said.
    evaluated : mapping of loss to trials
        Which have evaluation runs: the declared one, the best of three and the best unless given.
    selection : sequence of int
    base : float
    stream : int
        Another one has other noise.
    """
    rng, made = np.random.default_rng(stream), []
    for benchmark in benchmarks:
        goal = (goals or {}).get(benchmark, "maximise")
        sign = -1.0 if goal == "minimise" else 1.0
        shared = {seed: rng.normal(0, NOISE) for seed in (*selection, *SEEDS)}
        same: dict[str, Any] = {"goal": goal, "margin": MARGIN}
        for loss, of_trials in (LEVELS if levels is None else levels).items():
            best = {0, int(np.argmax(of_trials[:3])), int(np.argmax(of_trials))}
            for trial, level in enumerate(of_trials):
                name = f"{loss}@trial={trial}" if trial else loss
                is_evaluated = trial in (evaluated or {}).get(loss, best)
                for seed in (*selection, *(SEEDS if is_evaluated else ())):
                    score = [base + sign * (level + shared[seed] + rng.normal(0, NOISE / 4)) for _ in range(2)]
                    purpose = "selection" if seed in selection else "evaluation"
                    own = {**same, "purpose": purpose, "val/accuracy": score[0]}
                    made.append(frames.row(benchmark, name, seed, score[1], **own))
        made += [
            frames.row(benchmark, "untrained", seed, base - sign * 0.3, kind="reference", **same) for seed in SEEDS
        ]
    return made


def evidence(
    logged: list[dict[str, Any]] | None = None, claims: Mapping[str, Claim] | None = None, failures: Failures = "worst"
) -> Evidence:
    """Gather what some runs say; by default of :func:`runs`."""
    declared = Declared("infonce", dict(CLAIMS if claims is None else claims), failures=failures)
    return gather(collect(pd.DataFrame(runs() if logged is None else logged)), declared, "mini")


def failed(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run as it would have been logged had it failed."""
    nothing = dict.fromkeys([name for name in run if name.startswith(("val/", "test/"))], math.nan)
    return {**run, **nothing, "status": "FAILED", "failure": "non_finite"}


def without(logged: list[dict[str, Any]], benchmark: str, loss: str, seed: int) -> list[dict[str, Any]]:
    """Return runs without one of them."""
    left = [run for run in logged if (run["benchmark"], run["loss"], run["seed"]) != (benchmark, loss, seed)]
    assert len(left) == len(logged) - 1
    return left


def with_failure(logged: list[dict[str, Any]], benchmark: str, loss: str, seed: int) -> list[dict[str, Any]]:
    """Return runs of which one failed."""
    where = (benchmark, loss, seed)
    return [failed(run) if (run["benchmark"], run["loss"], run["seed"]) == where else run for run in logged]
