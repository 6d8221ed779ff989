"""What the runs say of every declared claim: better, not worse, worse, or inconclusive; and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.evidence.comparison import Comparison, compare
from analysis.evidence.rows import DECLARED
from analysis.statistics.differences import ALPHA, holm
from analysis.statistics.ranks import Aggregate, hierarchical_bootstrap
from suite.plan.power import seeds_needed
from suite.registry.claims import Claim

#: One-sided tests at this level agree with two-sided 95 % intervals.
LEVEL = ALPHA / 2
POWER = 0.8

BETTER, NOT_WORSE, WORSE, INCONCLUSIVE = "better", "not worse", "worse", "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim on one benchmark, or overall.

    Attributes
    ----------
    claim : str
        Its name in the registry.
    declared : Claim
    benchmark : str
        Empty for the overall verdict.
    label : str
        ``better``: the difference is above 0. ``not worse``: above -margin. ``worse``: below -margin.
        ``inconclusive``: the runs do not tell. Each by a one-sided paired t-test at 2.5 %, after Holm's correction over
        the benchmarks of the claim.
        Overall: ``worse`` if it is worse somewhere and better nowhere; ``not worse`` if it is at least that everywhere,
        and ``better`` if it is better somewhere besides; ``inconclusive`` otherwise.
    holds : bool or None
        Whether the claim holds; None if the runs cannot tell. A claim is about every benchmark: it fails where
        it is worse on one.
    reason : str
        A sentence.
    comparison : Comparison or None
        None overall, and where there was nothing to compare.
    aggregate : Aggregate or None
        Overall: the mean difference over benchmarks in units of their margins.
    """

    claim: str
    declared: Claim
    benchmark: str
    label: str
    holds: bool | None
    reason: str
    comparison: Comparison | None = None
    aggregate: Aggregate | None = None


def judge(claims: Mapping[str, Claim], rows: pd.DataFrame) -> list[Verdict]:
    """Judge claims by the evaluation runs of one profile: of each claim the overall verdict first, then by benchmark.

    Parameters
    ----------
    claims : mapping of name to Claim
    rows : DataFrame
        From :func:`analysis.evidence.rows.rows_of`.
    """
    of_benchmark = dict(iter(rows.groupby("benchmark")))
    benchmarks = sorted(rows.loc[rows["kind"] == "loss", "benchmark"].unique())
    run = {benchmark: set(here["row"]) for benchmark, here in of_benchmark.items()}
    verdicts = []
    for name, claim in claims.items() if benchmarks else ():
        row, against = _label(rows, claim.loss, DECLARED), _label(rows, claim.than, claim.at)
        compared = [compare(of_benchmark[benchmark], benchmark, row, against) for benchmark in benchmarks]
        absent = [[label for label in (row, against) if label not in run[one]] for one in benchmarks]
        parts = [_judge_one(name, claim, *one) for one in zip(_corrected(compared), absent, strict=True)]
        verdicts += [_overall(name, claim, parts), *parts]
    return verdicts


@dataclass(frozen=True)
class _Tested:
    """A comparison with the p of its one-sided tests after Holm's correction, and over how many tests of a kind."""

    comparison: Comparison
    tests: int
    p_better: float
    p_not_worse: float
    p_worse: float


def _corrected(comparisons: Sequence[Comparison]) -> list[_Tested]:
    """Correct every kind of test over the benchmarks of a claim."""
    is_test = [one.paired.n > 1 and not one.is_same for one in comparisons]
    ps = (
        holm([p if test else math.nan for p, test in zip(kind, is_test, strict=True)])
        for kind in (
            [one.margins.p_better for one in comparisons],
            [one.margins.p_not_worse for one in comparisons],
            [one.margins.p_worse for one in comparisons],
        )
    )
    return [_Tested(one, sum(is_test), *of_one) for one, *of_one in zip(comparisons, *ps, strict=True)]


def _label(rows: pd.DataFrame, loss: str, at: str) -> str:
    mine = rows[(rows["loss"] == loss) & (rows["kind"] == "loss")]
    found = mine[mine["at"] == at]
    if found.empty and at == DECLARED:
        found = mine[mine["at"] == ""]
    if len(found):
        return str(found["row"].iloc[0])
    return loss if at == DECLARED else f"{loss} ({at})"


def _judge_one(name: str, claim: Claim, tested: _Tested, absent: Sequence[str]) -> Verdict:
    label, why = _label_of(tested)
    if absent:
        why = f"no evaluation run of {' nor of '.join(absent)}"
    holds = {BETTER: True, WORSE: False}.get(label)
    if label == NOT_WORSE and claim.relation == "not_worse":
        holds = True
    return Verdict(name, claim, tested.comparison.benchmark, label, holds, why, tested.comparison)


def _label_of(tested: _Tested) -> tuple[str, str]:
    one = tested.comparison
    if one.is_same:
        return NOT_WORSE, f"{one.row} and {one.against} are the same runs here"
    if one.paired.n == 0:
        return INCONCLUSIVE, f"{one.row} and {one.against} have no evaluation seed in common"
    if one.paired.n == 1:
        return INCONCLUSIVE, "one seed has no error bar"
    for label, p, border in (
        (BETTER, tested.p_better, "above 0"),
        (NOT_WORSE, tested.p_not_worse, f"above -{one.margin:g}"),
        (WORSE, tested.p_worse, f"below -{one.margin:g}"),
    ):
        if p <= LEVEL:
            return label, f"{border} (p = {p:.2g}{_over(tested.tests)})"
    return INCONCLUSIVE, _open_question(tested)


def _over(tests: int) -> str:
    return f" after Holm over {tests} tests" if tests > 1 else ""


def _open_question(tested: _Tested) -> str:
    one = tested.comparison
    if math.isnan(one.margin):
        return "not above 0, and no margin is declared"
    if one.paired.std == 0:
        return "all differences are equal, so that a t-test has no noise to go by"
    alone = NOT_WORSE if one.paired.low > -one.margin else WORSE if one.paired.high < -one.margin else ""
    if alone:
        return f"the interval alone says {alone}, which does not survive Holm's correction over {tested.tests} tests"
    below = ", below 0, but by less or more than the margin is open" if one.paired.high < 0 else ""
    return f"the interval reaches across -{one.margin:g}{below}{_seeds_to_tell(one)}"


def _seeds_to_tell(one: Comparison) -> str:
    needed = seeds_needed(one.paired.std, one.margin, POWER, LEVEL, sides=1)
    if needed is None:
        return "; with this noise no affordable number of seeds would tell"
    told = f"; with this noise {needed} seeds would tell from equality with {POWER:.0%} power"
    return told if needed > one.paired.n else ""


def _overall(name: str, claim: Claim, parts: Sequence[Verdict]) -> Verdict:
    where = {
        label: [part.benchmark for part in parts if part.label == label]
        for label in (BETTER, NOT_WORSE, WORSE, INCONCLUSIVE)
    }
    if where[WORSE] and not where[BETTER]:
        label = WORSE
    elif not where[WORSE] and not where[INCONCLUSIVE]:
        label = BETTER if where[BETTER] else NOT_WORSE
    else:
        label = INCONCLUSIVE
    holds = None
    if where[WORSE]:
        holds = False
    elif label == BETTER or (label == NOT_WORSE and claim.relation == "not_worse"):
        holds = True
    said = "; ".join(f"{label} on {', '.join(found)}" for label, found in where.items() if found)
    return Verdict(name, claim, "", label, holds, said, aggregate=_aggregate(parts))


def _aggregate(parts: Sequence[Verdict]) -> Aggregate | None:
    """Return the mean over benchmarks in units of the margin; None where that is not defined."""
    scaled: dict[str, np.ndarray] = {
        part.benchmark: part.comparison.differences / part.comparison.margin
        for part in parts
        if part.comparison is not None and part.comparison.paired.n > 1
    }
    usable = len(scaled) == len(parts) > 1 and not any(np.isnan(values).any() for values in scaled.values())
    return hierarchical_bootstrap(scaled) if usable else None
