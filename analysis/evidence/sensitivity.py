"""Which benchmarks could have said otherwise: where a sweep's worst setting passes, "not worse" says nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from analysis.evidence.choice import members
from analysis.evidence.comparison import described


@dataclass(frozen=True)
class Sensitivity:
    """The best and the worst setting of a sweep on one benchmark, on validation with the selection seeds.

    Attributes
    ----------
    loss, benchmark : str
    settings : int
        That have every selection seed.
    spread : float
        Best mean minus worst mean, in the metric's unit.
    margin : float
    """

    loss: str
    benchmark: str
    settings: int
    spread: float
    margin: float

    @property
    def is_blind(self) -> bool:
        """Whether even the worst setting lies within the margin of the best.

        Noise sets extremes further apart than the truth is: a spread within the margin is within it all the more.
        """
        return self.spread <= self.margin

    @property
    def reason(self) -> str:
        """Why "not worse" says nothing here, as a part of a sentence."""
        return (
            f"the whole sweep of {self.loss} ({self.settings} settings) spans {self.spread:.2g} on validation, no more "
            f"than the margin of {self.margin:g}: any of its settings would pass"
        )


def sensitivities(runs: pd.DataFrame) -> list[Sensitivity]:
    """Return the sensitivity of every benchmark to every sweep with at least two complete settings.

    Parameters
    ----------
    runs : DataFrame
        From :func:`analysis.read.collect.collect`, of one profile.
    """
    swept = members(runs)
    swept = swept[swept["purpose"] == "selection"]
    found = []
    for (benchmark, loss), here in swept.groupby(["benchmark", "base"]):
        by_setting = here.groupby("setting")["val"].agg(["size", "mean"])
        means = by_setting.loc[by_setting["size"] == here["seed"].nunique(), "mean"].astype(float)
        if len(means) > 1:
            spread, margin = float(means.max() - means.min()), described(here)[2]
            found.append(Sensitivity(str(loss), str(benchmark), len(means), spread, margin))
    return found


def blind(found: Iterable[Sensitivity]) -> dict[str, dict[str, str]]:
    """Return by loss and benchmark why "not worse" says nothing there."""
    reasons: dict[str, dict[str, str]] = {}
    for one in found:
        if one.is_blind:
            reasons.setdefault(one.loss, {})[one.benchmark] = one.reason
    return reasons
