"""Published figures beside ours: reproduced, close, not reproduced, or not comparable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from analysis.evidence.comparison import described
from analysis.evidence.rows import DECLARED
from analysis.statistics.differences import ALPHA, margin_tests
from analysis.statistics.paired import Difference
from suite.registry.claims import Published

REPRODUCED, CLOSE, NOT_REPRODUCED, NOT_COMPARABLE = "reproduced", "close", "not reproduced", "not comparable"


@dataclass(frozen=True)
class Reproduction:
    """A published figure beside ours.

    Attributes
    ----------
    benchmark : str
    published : Published
    label : str
        ``reproduced``: our mean is within the margin of the published value (TOST, 5 %). ``not reproduced``: the 95 %
        interval of our mean is outside of the margin. ``close``: neither is shown. ``not comparable``: the published
        protocol was not followed.
    reason : str
        A sentence.
    n : int
        Our seeds; 0 if nothing compares.
    mean, low, high : float
        Ours with its 95 % t-interval; NaN where there is none.
    """

    benchmark: str
    published: Published
    label: str
    reason: str
    n: int = 0
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan


def reproductions(
    published: Mapping[str, Sequence[Published]], rows: pd.DataFrame, tested: pd.DataFrame, profile: str
) -> list[Reproduction]:
    """Hold the published figures of all benchmarks that were run at a profile against their evaluation runs.

    The published value is taken as it stands, without an error of its own: how many repetitions are behind it is seldom
    said. A collapsed seed has the primary metric that it counts as; by those that did not fail no other metric is
    reproduced, nor is any where a seed failed otherwise. A figure that stands there for this profile, too, is held
    once, as this profile's.

    Parameters
    ----------
    rows : DataFrame
        From :func:`analysis.evidence.rows.rows_of`, with the failed seeds that have no figure.
    tested : DataFrame
        Of :class:`analysis.read.collect.Collected`.
    profile : str
    """
    here = [name for name in published if (rows["benchmark"] == name).any()]
    of_benchmark = {name: rows[rows["benchmark"] == name] for name in here}
    return [
        _hold(name, one, of_benchmark[name], tested, profile)
        for name in here
        for one in published[name]
        if not _stands_for_this_too(one, published[name], profile)
    ]


def _stands_for_this_too(one: Published, all_of_them: Sequence[Published], profile: str) -> bool:
    """Whether a figure is of another profile, and stands once more among a benchmark's figures for this one."""
    if one.profile in (None, profile):
        return False
    return any(other.profile == profile and replace(other, profile=one.profile) == one for other in all_of_them)


def _hold(benchmark: str, one: Published, here: pd.DataFrame, tested: pd.DataFrame, profile: str) -> Reproduction:
    if one.profile is None:
        return Reproduction(benchmark, one, NOT_COMPARABLE, one.differs or "no profile follows the published protocol")
    if one.profile != profile:
        reason = f"profile {one.profile} follows the published protocol, these runs are of {profile}"
        return Reproduction(benchmark, one, NOT_COMPARABLE, reason)
    mine = here[(here["loss"] == one.loss) & here["at"].isin(["", DECLARED]) & (here["kind"] == "loss")]
    column = f"test/{one.metric}"
    metric, _, margin = described(here)
    known = tested[column] if column in tested else pd.Series(dtype=float)
    values = (mine["test"] if metric == one.metric else known.reindex(mine["run_id"])).astype(float).dropna()
    if values.empty:
        return Reproduction(benchmark, one, NOT_COMPARABLE, f"no run of {one.loss} has {column}")
    ours = Difference.of(values.to_numpy())
    label, reason = _label(ours, one, margin, values)
    if lost := int((mine["failed"] & (mine["test"].isna() | (metric != one.metric))).sum()):  # without a figure
        label = CLOSE if label == REPRODUCED else label
        reason = f"{reason}; of the seeds that did not fail, {len(values)} of {len(values) + lost}"
    return Reproduction(benchmark, one, label, reason, ours.n, ours.mean, ours.low, ours.high)


def _label(ours: Difference, one: Published, margin: float, values: pd.Series) -> tuple[str, str]:
    if math.isnan(margin):
        return NOT_COMPARABLE, "the benchmark declares no margin to compare within"
    gap = f"{ours.mean - one.value:+.2g} from the published value, margin {margin:g}"
    if ours.n < 2:
        return CLOSE if abs(ours.mean - one.value) <= margin else NOT_REPRODUCED, f"{gap}; one seed, no interval"
    if margin_tests(values.to_numpy() - one.value, margin).p_equivalent <= ALPHA:
        return REPRODUCED, f"{gap}: within it, shown by {ours.n} seeds"
    if ours.low > one.value + margin or ours.high < one.value - margin:
        return NOT_REPRODUCED, f"{gap}: our 95 % interval is outside"
    return CLOSE, f"{gap}: {ours.n} seeds show neither that it is within nor that it is outside"
