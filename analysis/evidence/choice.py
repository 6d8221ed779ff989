"""Hyper-parameters chosen on validation, with the selection seeds (DESIGN, invariant 6)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.differences import ROUNDING
from suite.registry.search import TRIAL

MEMBER = re.compile(rf"(?P<loss>[^@]+)@(?P<setting>(?!{TRIAL}=).+)")
"""The name of a member of a sweep; those of a search are in :mod:`analysis.evidence.searches.trials`."""
SYMBOLS = {"temperature": "tau"}
VALIDATED, MEDIAN = "validated", "median"
ALL_RESAMPLED, RESAMPLES = 5, 4_000
SECONDS = ("seconds/setup", "seconds/training", "seconds/evaluation")


@dataclass(frozen=True)
class Choice:
    """What validation says of a sweep in one benchmark.

    Attributes
    ----------
    benchmark, loss : str
        Where, and which loss was swept.
    setting : str
        The member that won, as ``temperature=0.2``.
    mean : float
        Its mean over the selection seeds of the primary validation metric.
    median, median_mean : str, float
        The member in the middle of the ranking, the better of the two if their number is even, and its mean: what an
        arbitrary member of the grid would be like.
    seeds : int
        Number of selection seeds.
    settings, runs : int
        Members that competed, and training runs that the choice took.
    seconds : float
        All of these runs together; NaN if it was not logged.
    skipped : tuple of str
        Settings that lack selection seeds which others have, and so did not compete.
    tied : tuple of str
        Settings whose mean equals that of the chosen one but for rounding, which comes before them in natural order.
    support : tuple of (str, float)
        How often each setting would have won, had the selection seeds been drawn anew: the share of their resamples,
        the most frequent first.
    parameter : str
        The parameter that all settings of the loss name first, on whatever benchmark; empty where a list of sweeps
        varies several, one at a time.
    """

    benchmark: str
    loss: str
    setting: str
    mean: float
    median: str
    median_mean: float
    seeds: int
    settings: int
    runs: int
    seconds: float
    skipped: tuple[str, ...]
    tied: tuple[str, ...] = ()
    support: tuple[tuple[str, float], ...] = ()
    parameter: str = ""

    @property
    def member(self) -> str:
        """The name of the member that won."""
        return f"{self.loss}@{self.setting}"

    @property
    def value(self) -> str:
        """The winning setting without the parameter's name, if it is the only one."""
        return self.short(self.setting)

    def at(self, which: str) -> str:
        """Return the ``validated`` or the ``median`` setting."""
        return self.setting if which == VALIDATED else self.median

    def short(self, setting: str) -> str:
        """Return a setting without the parameter's name, if it is the only one."""
        return without_name(setting) if self.parameter else setting

    def row(self, at: str) -> str:
        """Name the row of what is declared, was chosen or is in the middle: the same on every benchmark."""
        return row_label(self.loss, at, self.parameter)


def members(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of sweep members, with the columns ``base`` and ``setting`` added."""
    parts = parts_of(runs["loss"], MEMBER)
    swept = parts["loss"].notna() & (runs["kind"] == "loss")
    return runs[swept].assign(base=parts["loss"][swept], setting=parts["setting"][swept])


def parts_of(losses: pd.Series, pattern: re.Pattern[str]) -> pd.DataFrame:
    """Return the groups of a pattern in each of many names, of which few differ; NaN where it does not match."""
    found = {name: match for name in losses.unique() if (match := pattern.search(str(name)))}
    parts = {group: {name: match[group] for name, match in found.items()} for group in pattern.groupindex}
    # objects, as pandas takes a column of NaN alone for numbers
    return pd.DataFrame({group: losses.map(of_name).astype(object) for group, of_name in parts.items()})


def own_members(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of members that set parameters of their loss, and nothing of the host: what is chosen from."""
    return members(runs[~runs["of_host"]] if "of_host" in runs else runs)


def choose(runs: pd.DataFrame) -> list[Choice]:
    """Choose the best and the middle member of every sweep of a loss's parameters in every benchmark of one profile.

    Only members that have all the selection seeds of the sweep compete, on the mean of the primary validation metric in
    the direction of its goal. Of equals (but for rounding), the first in natural order is taken: of temperatures the
    lowest. Test figures are never looked at. Of a sweep of the host's settings nothing is chosen: a training ten times
    as long is no better choice of a loss.

    Parameters
    ----------
    runs : DataFrame
        The runs of one profile from :func:`analysis.read.collect.collect`.
    """
    swept = own_members(runs)
    swept = swept[swept["purpose"] == "selection"]
    groups = swept.groupby(["benchmark", "base"], sort=True)
    named = swept["setting"].str.extract("^([^=]*)", expand=False).groupby(swept["base"]).agg(["nunique", "first"])
    parameter = {str(base): str(first) if many == 1 else "" for base, many, first in named.itertuples(name=None)}
    choices = (_choice(str(benchmark), str(base), group, parameter[str(base)]) for (benchmark, base), group in groups)
    return [choice for choice in choices if choice is not None]


def _choice(benchmark: str, loss: str, group: pd.DataFrame, parameter: str) -> Choice | None:
    seeds = group["seed"].nunique()
    by_setting = group.groupby("setting")["val"].agg(["size", "mean"])
    finished = by_setting[by_setting["size"] == seeds]["mean"]
    complete = {str(setting): float(mean) for setting, mean in finished.items()}
    if not complete:
        return None
    sign = -1.0 if group["goal"].iloc[0] == "minimise" else 1.0
    ranked = sorted(complete, key=lambda setting: (-sign * complete[setting], natural(setting)))
    level = max(sign * mean for mean in complete.values())
    equal = [s for s in ranked if level - sign * complete[s] <= ROUNDING * max(abs(level), 1e-300)]
    ranked = [*sorted(equal, key=natural), *(setting for setting in ranked if setting not in equal)]
    best, middle = ranked[0], ranked[(len(ranked) - 1) // 2]
    layout = group[group["setting"].isin(ranked)].pivot(index="seed", columns="setting", values="val")[ranked]
    skipped = tuple(sorted(set(map(str, by_setting.index)) - set(complete), key=natural))
    timed = [name for name in SECONDS if name in group]
    return Choice(
        benchmark,
        loss,
        best,
        complete[best],
        middle,
        complete[middle],
        seeds,
        len(ranked),
        len(group),
        float(group[timed].sum(axis=1, min_count=1).sum(min_count=1)),
        skipped,
        tuple(sorted(set(equal) - {best}, key=natural)),
        _support(sign * layout.to_numpy(dtype=float), ranked),
        parameter,
    )


def _support(layout: np.ndarray, settings: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Return how often each setting has the best mean over resampled seeds; of equals the first.

    Parameters
    ----------
    layout : array [seeds, settings]
        Higher is better.
    settings : sequence of str
    """
    seeds = len(layout)
    drawn = (
        np.array(list(itertools.product(range(seeds), repeat=seeds)))
        if seeds <= ALL_RESAMPLED
        else (np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds)))
    )
    means = layout[drawn].mean(axis=1)
    won = (means >= means.max(axis=1, keepdims=True) - ROUNDING * np.abs(means).max()).argmax(axis=1)
    shares = np.bincount(won, minlength=len(settings)) / len(drawn)
    order = sorted(range(len(settings)), key=lambda place: -shares[place])
    return tuple((settings[place], float(shares[place])) for place in order if shares[place] > 0)


@dataclass(frozen=True)
class Incomplete:
    """A sweep of which nothing can be chosen: every setting lacks a selection seed that another has."""

    benchmark: str
    loss: str
    missing: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def text(self) -> str:
        """What is missing, as a sentence."""
        lacking = "; ".join(f"{setting} lacks {', '.join(map(str, seeds))}" for setting, seeds in self.missing)
        return f"{self.benchmark}: nothing could be chosen of {self.loss}, selection seeds are missing: {lacking}."


def incomplete(runs: pd.DataFrame) -> list[Incomplete]:
    """Return the sweeps of one profile of which :func:`choose` could choose nothing, and what they lack."""
    swept = own_members(runs)
    found = []
    for (benchmark, base), group in swept[swept["purpose"] == "selection"].groupby(["benchmark", "base"], sort=True):
        seeds = {int(seed) for seed in group["seed"]}
        by_setting = {str(setting): {int(seed) for seed in part["seed"]} for setting, part in group.groupby("setting")}
        if all(have < seeds for have in by_setting.values()):
            lacking = (
                (setting, tuple(sorted(seeds - by_setting[setting]))) for setting in sorted(by_setting, key=natural)
            )
            found.append(Incomplete(str(benchmark), str(base), tuple(lacking)))
    return found


def row_label(loss: str, at: str, parameter: str) -> str:
    """Name the row of a member of a sweep: ``infonce (tau validated)``; ``pps (validated)`` of several parameters."""
    return f"{loss} ({f'{SYMBOLS.get(parameter, parameter)} {at}'.strip()})"


def runs_of(choice: Choice, evaluated: pd.DataFrame, which: str = VALIDATED) -> pd.DataFrame:
    """Return the runs of what was chosen: the member's, or else the loss's own if it has the chosen value anyway.

    Parameters
    ----------
    choice : Choice
    evaluated : DataFrame
        Runs with evaluation seeds.
    which : str
        ``validated`` or ``median``.
    """
    here = evaluated[evaluated["benchmark"] == choice.benchmark]
    return runs_at(here, choice.loss, choice.at(which))


def runs_at(here: pd.DataFrame, loss: str, setting: str) -> pd.DataFrame:
    """Return the runs of one member of a sweep in one benchmark: its own, or the loss's as declared if it is the same.

    Parameters
    ----------
    here : DataFrame
        Runs of one benchmark and one purpose.
    loss, setting : str
        As in ``infonce`` and ``temperature=0.2``.
    """
    found = here[here["loss"] == f"{loss}@{setting}"]
    parameter, _, value = setting.partition("=")
    column = f"param.loss.{parameter}"
    if len(found) or column not in here or "@" in value:
        return found
    own = here[here["loss"] == loss]
    return own[pd.to_numeric(own[column], errors="coerce") == pd.to_numeric(value, errors="coerce")]


def without_name(setting: str) -> str:
    """Return a setting without the parameter's name, ``0.2`` of ``temperature=0.2``."""
    return setting.partition("=")[2] or setting


def natural(text: str) -> tuple[tuple[int, float, str], ...]:
    """Sort key that takes numbers inside a text as numbers."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", text)
    return tuple((0, float(part), "") if i % 2 else (1, 0.0, part) for i, part in enumerate(parts))
