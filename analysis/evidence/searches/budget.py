"""What so many trials of a loss give on a benchmark, and how many it takes to reach a loss that was not tuned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.evidence.searches.trials import Search
from analysis.statistics.budget import Curve, Price, Scores, declared_first, price, random_search
from suite.registry.claims import Declared

DRAWN, FIRST = "drawn", "declared first"
QUESTIONS = {
    DRAWN: "k configurations drawn at random from the search space",
    FIRST: "k trials of `suite tune`: the declared configuration and k - 1 drawn ones",
}


@dataclass(frozen=True)
class Budget:
    """What trials of a loss give on a benchmark, on test.

    Attributes
    ----------
    search : Search
    curves : mapping of question to Curve
        By `QUESTIONS`; higher is better, whatever the metric's goal.
    declared : float
        The mean of the declared configuration over the same seeds, in the metric's own unit.
    """

    search: Search
    curves: dict[str, Curve]
    declared: float

    def points(self, question: str) -> pd.DataFrame:
        """Return the curve in the metric's own unit: columns ``k mean low high``."""
        curve, sign = self.curves[question], self.search.sign
        low, high = (sign * bound for bound in curve.interval())
        ends = (low, high) if sign > 0 else (high, low)
        k = np.arange(1, len(curve.mean) + 1)
        return pd.DataFrame({"k": k, "mean": sign * curve.mean, "low": ends[0], "high": ends[1]})


@dataclass(frozen=True)
class Priced:
    """The trials that a loss needs on a benchmark to reach another one that was not tuned.

    Attributes
    ----------
    benchmark, loss, against : str
        `against` is the loss as declared.
    prices : mapping of question to Price
        By `QUESTIONS`; empty where that cannot be said.
    reason : str
        Why it cannot.
    """

    benchmark: str
    loss: str
    against: str
    prices: dict[str, Price]
    reason: str = ""


def budgets_of(searches: Sequence[Search]) -> list[Budget]:
    """Return the curves of the searches that are complete and have a test score for every trial and seed."""
    found = []
    for one in searches:
        if one.trials > 1 and not why_not(one):
            declared, drawn = _scores(one, slice(1)), _scores(one, slice(1, None))
            curves = {DRAWN: random_search(drawn), FIRST: declared_first(declared, drawn)}
            found.append(Budget(one, curves, float(one.sign * one.test[0].mean())))
    return found


def why_not(search: Search) -> str:
    """Say why there is no curve of a search; empty if there is one."""
    if lacking := search.lacking(search.trials):
        return "; ".join(lacking)
    unknown = np.argwhere(~np.isfinite(search.test))
    if len(unknown):
        trial, seed = unknown[0]
        return f"trial {trial} has no test score with seed {search.seeds[seed]}"
    return ""


def prices_of(searches: Sequence[Search], budgets: Sequence[Budget], declared: Declared) -> list[Priced]:
    """Return what every searched loss needs to reach each loss that a claim is about as it is declared."""
    references = dict.fromkeys(claim.loss for claim in declared.claims.values() if claim.loss_at == "declared")
    by_loss = {(one.benchmark, one.loss): one for one in searches}
    curves = {(one.search.benchmark, one.search.loss): one for one in budgets}
    found = []
    for against in references:
        for one in searches:
            if one.trials < 2 or one.loss == against:
                continue
            other, budget = by_loss.get((one.benchmark, against)), curves.get((one.benchmark, one.loss))
            reason = _unpriced(one, other, against)
            made = {}
            if budget is not None and other is not None and not reason:
                made = {name: price(curve.minus(other.test[0])) for name, curve in budget.curves.items()}
            found.append(Priced(one.benchmark, one.loss, against, made, reason))
    return found


def _unpriced(search: Search, other: Search | None, against: str) -> str:
    if said := why_not(search):
        return said
    if other is None:
        return f"{against} was not run with the selection seeds"
    absent = [seed for seed, value in zip(other.seeds, other.test[0], strict=True) if not math.isfinite(value)]
    return f"{against} has no test score with selection seed {', '.join(map(str, absent))}" if absent else ""


def _scores(search: Search, part: slice) -> Scores:
    return Scores(search.validation[part], search.test[part])
