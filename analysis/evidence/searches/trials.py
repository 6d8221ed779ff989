"""Searches: the trials of a loss on a benchmark, and which of them validation chooses."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.evidence.choice import SECONDS, natural, parts_of
from suite.plan.choice import best_trial
from suite.registry.claims import At, Trials
from suite.registry.search import TRIAL

MEMBER = re.compile(rf"(?P<loss>[^@]+)@{TRIAL}=(?P<trial>\d+)")
TUNED = "tuned"


@dataclass(frozen=True)
class Search:
    """The trials of a loss on a benchmark, by selection seeds; the first is the configuration that is declared.

    Attributes
    ----------
    benchmark, loss, metric, goal : str
    seeds : tuple of int
        The selection seeds of all searches on the benchmark.
    validation, test : array [trials, seeds]
        The primary metric, its sign turned where it is minimised: higher is better. NaN where a run is missing. On
        validation a failed run has -infinity; on test what a failed seed counts as, NaN where that is not known.
    runs : tuple of int
        That have been finished, by trial.
    seconds : tuple of float
        All runs of a trial together; NaN if it was not logged.
    """

    benchmark: str
    loss: str
    metric: str
    goal: str
    seeds: tuple[int, ...]
    validation: np.ndarray
    test: np.ndarray
    runs: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()

    @property
    def trials(self) -> int:
        """The configurations that were tried, the declared one among them; 1 where there was no search."""
        return len(self.validation)

    @property
    def sign(self) -> float:
        """What turns figures back into those of the metric."""
        return -1.0 if self.goal == "minimise" else 1.0

    def chosen(self, first: int) -> int | None:
        """Return which of the `first` trials validation chooses; None while one of them lacks a seed, or was not run.

        By the rule of `suite tune`, :func:`suite.plan.choice.best_trial`.
        """
        if first > self.trials or np.isnan(self.validation[:first]).any():
            return None
        return best_trial(self.validation[:first].tolist()).trial

    def runs_of(self, first: int) -> int:
        """Return how many runs of the `first` trials have been finished."""
        return sum(self.runs[:first])

    def seconds_of(self, first: int) -> float:
        """Return the seconds of all runs of the `first` trials; NaN if none were logged."""
        known = [seconds for seconds in self.seconds[:first] if not math.isnan(seconds)]
        return math.fsum(known) if known else math.nan

    def lacking(self, first: int) -> list[str]:
        """Say which of the `first` trials lack which seeds."""
        return [
            f"trial {trial} lacks selection seed {', '.join(map(str, np.array(self.seeds)[absent]))}"
            for trial, absent in enumerate(np.isnan(self.validation[:first]))
            if absent.any()
        ]


def searches(selection: pd.DataFrame) -> list[Search]:
    """Return the searches of one profile, and all else that was run on the same benchmarks with the same seeds.

    What was not searched, be it a loss or a member of a sweep, is a search of one trial.

    Parameters
    ----------
    selection : DataFrame
        Runs with selection seeds, the failed ones with the column `failed` among them, as
        :func:`analysis.evidence.failures.with_failures` returns them.
    """
    needed = ["benchmark", "loss", "seed", "metric", "goal", "val", "test", "failed", *_timed(selection)]
    losses = selection.loc[(selection["kind"] == "loss") & (selection["purpose"] == "selection"), needed]
    named = parts_of(losses["loss"], MEMBER)
    is_trial = named["trial"].notna()
    base, trial = named["loss"].where(is_trial, losses["loss"]), pd.to_numeric(named["trial"]).fillna(0).astype(int)
    losses = losses.assign(base=base, trial=trial)
    found = []
    for benchmark in sorted(losses.loc[losses["trial"] > 0, "benchmark"].unique(), key=natural):
        here = losses[losses["benchmark"] == benchmark]
        seeds = sorted(here.loc[here["trial"] > 0, "seed"].unique())
        by_loss = here[here["seed"].isin(seeds)].groupby("base", sort=True)
        found += [_search(str(benchmark), str(loss), seeds, runs) for loss, runs in by_loss]
    return found


def _search(benchmark: str, loss: str, seeds: list[int], runs: pd.DataFrame) -> Search:
    first = runs.iloc[0]
    sign = -1.0 if first["goal"] == "minimise" else 1.0
    trials = int(runs["trial"].max()) + 1
    value = sign * runs["val"].astype(float)
    layout = runs.assign(val=value.mask(runs["failed"].astype(bool), -math.inf), test=sign * runs["test"].astype(float))
    validation, test = (
        layout.pivot(index="trial", columns="seed", values=name).reindex(range(trials), columns=seeds).to_numpy(float)
        for name in ("val", "test")
    )
    of_trial = runs.assign(
        finished=~runs["failed"].astype(bool), seconds=runs[_timed(runs)].astype(float).sum(axis=1, min_count=1)
    ).groupby("trial")
    finished = of_trial["finished"].sum().reindex(range(trials), fill_value=0)
    seconds = of_trial["seconds"].sum(min_count=1).reindex(range(trials))
    return Search(
        benchmark,
        loss,
        str(first["metric"]),
        str(first["goal"]),
        tuple(int(seed) for seed in seeds),
        validation,
        test,
        tuple(map(int, finished)),
        tuple(map(float, seconds)),
    )


def _timed(runs: pd.DataFrame) -> list[str]:
    return [name for name in SECONDS if name in runs]


def budgets(found: Sequence[Search]) -> dict[str, int]:
    """Return the most trials that a loss has on any benchmark, of the losses that were searched."""
    most: dict[str, int] = {}
    for one in found:
        most[one.loss] = max(one.trials, most.get(one.loss, 1))
    return {loss: trials for loss, trials in most.items() if trials > 1}


def tuned_label(loss: str, trials: int) -> str:
    """Name the row of the best of so many trials: ``infonce (tuned, 8 trials)``."""
    return f"{loss} (tuned, {trials} trials)"


def trials_of(loss: str, at: At, most: Mapping[str, int]) -> int | None:
    """Return how many trials a claim speaks of; None if it speaks of none, or of all where there are none."""
    if isinstance(at, Trials):
        return at.trials
    return most.get(loss) if at == TUNED else None


def is_searched(at: At) -> bool:
    """Return whether a claim speaks of the best of some trials."""
    return isinstance(at, Trials) or at == TUNED


def name_of_trial(loss: str, trial: int) -> str:
    """Return the name of the loss of a trial's runs: the declared one is the loss itself."""
    return f"{loss}@{TRIAL}={trial}" if trial else loss


def still_to_run(found: Sequence[Search], benchmark: str, loss: str, trials: int | None, profile: str) -> str:
    """Say why the best of some trials has no evaluation run on a benchmark, and which command makes it.

    Parameters
    ----------
    found : sequence of Search
    benchmark, loss : str
    trials : int or None
        None where no trial of the loss was run anywhere.
    profile : str
    """
    mine = next((one for one in found if (one.benchmark, one.loss) == (benchmark, loss)), None)
    budget = "" if trials is None else f" --budget {trials}"
    # with other seeds than those of the other losses, all of them would lack some
    seeds = next((_seeds(one) for one in sorted(found, key=lambda one: one.benchmark != benchmark)), "")
    command = f"python -m suite tune --benchmarks {benchmark} --losses {loss}{seeds}{budget} --profile {profile}"
    return f"{'; '.join(_why(mine, trials or 2))}: run `{command}`"


def _seeds(of: Search) -> str:
    first, last = of.seeds[0], of.seeds[-1]
    are_in_a_row = len(of.seeds) > 1 and of.seeds == tuple(range(first, last + 1))
    return f" --selection-seeds {f'{first}-{last}' if are_in_a_row else ','.join(map(str, of.seeds))}"


def _why(mine: Search | None, trials: int) -> Iterator[str]:
    if mine is None or mine.trials < 2:
        yield "no trial was run"
    elif mine.trials < trials:
        yield f"{mine.trials} of {trials} trials were run"
    elif lacking := mine.lacking(trials):
        yield from lacking
    else:
        yield f"validation chose trial {mine.chosen(trials)}"
