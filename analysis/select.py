"""Hyper-parameters chosen on validation, with the selection seeds (DESIGN, invariant 6)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

MEMBER = re.compile(r"(?P<loss>[^@]+)@(?P<setting>.+)")
SYMBOLS = {"temperature": "tau"}


@dataclass(frozen=True)
class Choice:
    """The member of a sweep that won on validation.

    Attributes
    ----------
    benchmark, loss : str
        Where, and which loss was swept.
    setting : str
        What was chosen, as ``temperature=0.2``.
    mean : float
        Mean over the selection seeds of the primary validation metric.
    seeds : int
        Number of selection seeds.
    skipped : tuple of str
        Settings that lack selection seeds which others have, and so did not compete.
    """

    benchmark: str
    loss: str
    setting: str
    mean: float
    seeds: int
    skipped: tuple[str, ...]

    @property
    def member(self) -> str:
        """The name of the sweep's member."""
        return f"{self.loss}@{self.setting}"

    @property
    def value(self) -> str:
        """The setting without the parameter's name."""
        return self.setting.partition("=")[2] or self.setting


def members(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of sweep members, with the columns ``base`` and ``setting`` added."""
    parts = runs["loss"].str.extract(MEMBER)
    swept = parts["loss"].notna() & (runs["kind"] == "loss")
    return runs[swept].assign(base=parts["loss"][swept], setting=parts["setting"][swept])


def choose(runs: pd.DataFrame) -> list[Choice]:
    """Choose the best member of every sweep in every benchmark of one profile.

    Only members that have all the selection seeds of the sweep compete, on the mean of the primary validation metric in
    the direction of its goal. Of equals, the first in natural order is taken. Test figures are never looked at.

    Parameters
    ----------
    runs : DataFrame
        The runs of one profile from :func:`analysis.collect.collect`.
    """
    swept = members(runs)
    choices = []
    for (benchmark, base), group in swept[swept["purpose"] == "selection"].groupby(["benchmark", "base"], sort=True):
        seeds = group["seed"].nunique()
        means = {
            str(setting): (len(member), float(member["val"].mean())) for setting, member in group.groupby("setting")
        }
        complete = {setting: mean for setting, (n, mean) in means.items() if n == seeds}
        if not complete:
            continue
        sign = -1.0 if group["goal"].iloc[0] == "minimise" else 1.0
        best = min(complete, key=lambda setting: (-sign * complete[setting], natural(setting)))
        skipped = tuple(sorted(set(means) - set(complete), key=natural))
        choices.append(Choice(str(benchmark), str(base), best, complete[best], seeds, skipped))
    return choices


def row_name(choices: list[Choice]) -> str:
    """Name the row of a loss's choices, ``infonce (tau validated: 0.2)``, without a value where benchmarks differ."""
    parameter = choices[0].setting.partition("=")[0]
    values = {choice.value for choice in choices}
    shown = f": {values.pop()}" if len(values) == 1 else ""
    return f"{choices[0].loss} ({SYMBOLS.get(parameter, parameter)} validated{shown})"


def runs_of(choice: Choice, evaluated: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of what was chosen: the member's, or else the loss's own if it has the chosen value anyway.

    Parameters
    ----------
    choice : Choice
    evaluated : DataFrame
        Runs with evaluation seeds.
    """
    here = evaluated[evaluated["benchmark"] == choice.benchmark]
    chosen = here[here["loss"] == choice.member]
    parameter, _, value = choice.setting.partition("=")
    column = f"param.loss.{parameter}"
    if len(chosen) or column not in here or "@" in value:
        return chosen
    own = here[here["loss"] == choice.loss]
    return own[pd.to_numeric(own[column], errors="coerce") == pd.to_numeric(value, errors="coerce")]


def natural(text: str) -> tuple[tuple[int, float, str], ...]:
    """Sort key that takes numbers inside a text as numbers."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", text)
    return tuple((0, float(part), "") if i % 2 else (1, 0.0, part) for i, part in enumerate(parts))
