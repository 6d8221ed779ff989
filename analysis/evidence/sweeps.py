"""Sweeps by setting: what each gives on validation and on test, and what was chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.evidence.choice import MEDIAN, VALIDATED, Choice, members, natural, runs_at
from analysis.evidence.comparison import described
from analysis.evidence.rows import DECLARED
from analysis.read.collect import Collected


@dataclass(frozen=True)
class SweptColumn:
    """The settings of a loss on one benchmark and one split.

    Attributes
    ----------
    benchmark, metric, goal : str
    split : str
        ``val``, of runs with selection seeds, or ``test``, of runs with evaluation seeds.
    values : mapping of setting to Series
        The primary metric; empty where a setting has no run.
    of : int
        The most runs that a setting has, at least one.
    chosen : str or None
        The setting that validation chose.
    """

    benchmark: str
    metric: str
    goal: str
    split: str
    values: dict[str, pd.Series]
    of: int
    chosen: str | None


@dataclass(frozen=True)
class Selected:
    """What a choice stands for: the declared, the validated or the middle setting.

    Attributes
    ----------
    at, setting : str
        The setting is empty where it is not known.
    mean : float
        Of the primary validation metric over the selection seeds; NaN if it was not run.
    runs : int
    seconds : float
        What the choice took; NaN if it was not logged.
    """

    at: str
    setting: str
    mean: float
    runs: int
    seconds: float


def swept_losses(collected: Collected) -> list[str]:
    """Return the losses of which members of a sweep were run."""
    return sorted(members(collected.runs)["base"].unique(), key=natural)


def of_losses(collected: Collected) -> pd.DataFrame:
    """Return the runs of losses, without those of references."""
    return collected.runs[collected.runs["kind"] == "loss"]


def swept_columns(collected: Collected, choices: Sequence[Choice], loss: str) -> tuple[list[str], list[SweptColumn]]:
    """Return the settings of a loss in natural order, and a column for each benchmark and split with runs.

    A setting that is the declared one is filled in from the runs of the loss itself where it was not run as a member.
    """
    runs = of_losses(collected)
    swept = members(runs)
    swept = swept[swept["base"] == loss]
    chosen = {choice.benchmark: choice.setting for choice in choices if choice.loss == loss}
    settings = sorted(swept["setting"].unique(), key=natural)
    columns = []
    for benchmark in sorted(swept["benchmark"].unique(), key=natural):
        here = runs[runs["benchmark"] == benchmark]
        metric, goal, _ = described(here)
        parameters = [str(name) for name in here.columns if str(name).startswith("param.loss.")]
        for split, purpose in (("val", "selection"), ("test", "evaluation")):
            mine = here.loc[here["purpose"] == purpose, ["loss", split, *parameters]]
            found = {setting: runs_at(mine, loss, setting)[split] for setting in settings}
            of = max(map(len, found.values()))
            if of:
                columns.append(SweptColumn(benchmark, metric, goal, split, found, of, chosen.get(benchmark)))
    return settings, columns


def selected(here: pd.DataFrame, choice: Choice) -> Iterator[Selected]:
    """Yield what a choice stands for, the declared setting first.

    Parameters
    ----------
    here : DataFrame
        Runs of losses on the benchmark of the choice.
    choice : Choice
    """
    parameter = choice.setting.partition("=")[0]
    column = f"param.loss.{parameter}"
    own = here[here["loss"] == choice.loss][column].dropna() if column in here else pd.Series(dtype=object)
    declared = f"{parameter}={own.iloc[0]}" if len(own) else ""
    values = runs_at(here[here["purpose"] == "selection"], choice.loss, declared)["val"].astype(float).dropna()
    yield Selected(DECLARED, declared, float(values.mean()) if len(values) else math.nan, 0, 0.0)
    yield Selected(VALIDATED, choice.setting, choice.mean, choice.runs, choice.seconds)
    yield Selected(MEDIAN, choice.median, choice.median_mean, choice.runs, choice.seconds)
