"""Which benchmarks could have said otherwise: where a sweep's worst setting passes, "not worse" says nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.evidence.choice import own_members
from analysis.evidence.comparison import described
from analysis.evidence.failures import classes_of
from analysis.evidence.searches.trials import Search
from analysis.read.collect import COLLAPSE
from suite.registry.search import TRIAL

Blind = Mapping[tuple[str, str, bool], str]
"""Why "not worse" says nothing, by benchmark, loss, and whether that is by its search or by its sweep."""


@dataclass(frozen=True)
class Sensitivity:
    """The best and the worst setting of a sweep or a search on one benchmark, on validation with the selection seeds.

    Attributes
    ----------
    loss, benchmark : str
    settings : int
        That have every selection seed.
    spread : float
        Best mean minus worst mean, in the metric's unit.
    margin : float
    is_search : bool
    """

    loss: str
    benchmark: str
    settings: int
    spread: float
    margin: float
    is_search: bool = False

    @property
    def is_blind(self) -> bool:
        """Whether even the worst setting lies within the margin of the best.

        Noise sets extremes further apart than the truth is: a spread within the margin is within it all the more.
        """
        return self.spread <= self.margin

    @property
    def reason(self) -> str:
        """Why "not worse" says nothing here, as a part of a sentence."""
        what, each = ("search", "trial") if self.is_search else ("sweep", "setting")
        return (
            f"the whole {what} of {self.loss} ({self.settings} {each}s) spans {self.spread:.2g} on validation, no more "
            f"than the margin of {self.margin:g}: any of its {each}s would pass"
        )


def sensitivities(
    runs: pd.DataFrame, searches: Sequence[Search] = (), failed: pd.DataFrame | None = None
) -> list[Sensitivity]:
    """Return the sensitivity of every benchmark to every sweep with at least two complete settings, and every search.

    A setting or a trial whose training collapsed is the worst that there is: beside it, the spread is infinite. One
    with a run that was lost otherwise, with its node or for want of memory, tells nothing.

    Parameters
    ----------
    runs : DataFrame
        From :func:`analysis.read.collect.collect`, of one profile.
    searches : sequence of Search
    failed : DataFrame, optional
        The failed runs that no finished one stands for, with the columns of `runs`.
    """
    swept = own_members(runs)
    swept = swept[swept["purpose"] == "selection"]
    lost = own_members(failed) if failed is not None and len(failed) else swept[:0]
    collapsed = set(_collapsed(lost)[["benchmark", "base"]].itertuples(index=False, name=None))
    found = []
    for (benchmark, loss), here in swept.groupby(["benchmark", "base"]):
        by_setting = here.groupby("setting")["val"].agg(["size", "mean"])
        means = by_setting.loc[by_setting["size"] == here["seed"].nunique(), "mean"].astype(float)
        if len(means) > 1:
            spread = math.inf if (benchmark, loss) in collapsed else float(means.max() - means.min())
            margin = described(here)[2]
            found.append(Sensitivity(str(loss), str(benchmark), len(means), spread, margin))
    for one in searches:
        scores = one.validation.mean(axis=1)
        known = scores[np.isfinite(scores)]
        if len(known) > 1 and one.chosen(one.trials) is not None:
            spread = math.inf if _has_collapsed(one, failed) else float(known.max() - known.min())
            margin = described(runs[runs["benchmark"] == one.benchmark])[2]
            found.append(Sensitivity(one.loss, one.benchmark, len(known), spread, margin, is_search=True))
    return found


def _collapsed(failed: pd.DataFrame) -> pd.DataFrame:
    """Return the failed selection runs whose setting is to blame."""
    return failed[(failed["purpose"] == "selection") & (classes_of(failed) == COLLAPSE)]


def _has_collapsed(search: Search, failed: pd.DataFrame | None) -> bool:
    if failed is None or failed.empty:
        return False
    lost = _collapsed(failed[failed["benchmark"] == search.benchmark])["loss"]
    return bool(((lost == search.loss) | lost.str.startswith(f"{search.loss}@{TRIAL}=")).any())


def blind(found: Iterable[Sensitivity]) -> Blind:
    """Return where "not worse" says nothing, and why."""
    return {(one.benchmark, one.loss, one.is_search): one.reason for one in found if one.is_blind}


def reason_not_to_tell(found: Blind, benchmark: str, loss: str, is_search: bool) -> str:
    """Return why "not worse than this loss" says nothing there; empty if it does.

    A member of a sweep is any setting of it: what holds of the whole sweep holds of the member.
    """
    return found.get((benchmark, loss.partition("@")[0], is_search), "")
