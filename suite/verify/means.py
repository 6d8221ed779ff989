"""Means over seeds that were computed on a machine of another kind, held against what the seeds scatter.

Another processor rounds sums otherwise, and training turns the last bit into a draw of its own: the same seed is there
something like another one here. So two means of k seeds may differ by what two independent draws of k seeds would,
t s sqrt(2 / k) with the standard deviation s over seeds; seeds share splits and initial weights, so that this is rather
too much. The quantile t is that of 95 % of whole verifications, by Bonferroni's inequality: over the primary metrics,
and over all others.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from suite.verify.results import LoggedRun
from suite.verify.verification import Verified

ALPHA = 0.05
FEWEST = 2
"""Degrees of freedom below which a scatter says nothing."""


@dataclass(frozen=True)
class Mean:
    """A metric's mean over the seeds that were verified on a machine of another kind.

    Attributes
    ----------
    benchmark, loss, profile, metric : str
    is_primary : bool
    seeds : tuple of int
    logged, found : float
        NaN where a run lacks the metric.
    allowed : float
        How much they may differ; 0 where what was logged is not finite.
    freedom : int
        Degrees of freedom of the scatter over seeds that it follows from; 0 where a constant stands in.
    """

    benchmark: str
    loss: str
    profile: str
    metric: str
    is_primary: bool
    seeds: tuple[int, ...]
    logged: float
    found: float
    allowed: float
    freedom: int

    @property
    def agrees(self) -> bool:
        """Whether the means differ by no more than is allowed; two that are not finite, whether they are the same."""
        if not (math.isfinite(self.logged) and math.isfinite(self.found)):
            return self.logged.hex() == self.found.hex()
        return abs(self.found - self.logged) <= self.allowed


def compare_means(
    verified: Iterable[Verified], logged: Sequence[LoggedRun], primary: Callable[[str], str], tolerance: float
) -> list[Mean]:
    """Compare means over the verified runs of a loss in a benchmark, metric by metric, primary metrics first.

    Parameters
    ----------
    verified : iterable of Verified
        Those that were computed on this kind of machine, and those without numbers, are passed over.
    logged : sequence of LoggedRun
        All that there are, for the scatter over seeds.
    primary : callable (benchmark) -> str
        The name of a benchmark's primary metric.
    tolerance : float
        Where the seeds do not tell, as a single one, a mean may differ by this and by this share of its value.
    """
    groups: dict[tuple[str, str, str, str], list[Verified]] = defaultdict(list)
    for one in verified:
        if one.numbers == "other bits":
            groups[one.logged.benchmark, one.logged.loss, one.logged.profile, one.logged.kind].append(one)
    compared = [
        (members, metric, metric.partition("/")[2] == primary(benchmark))
        for (benchmark, *_), members in groups.items()
        for metric in sorted({name for one in members for name in (*one.logged.metrics, *one.found)})
    ]
    found = []
    for members, metric, is_primary in sorted(compared, key=lambda item: not item[2]):
        family = sum(other == is_primary for _, _, other in compared)
        scatter = _scatter(members[0].logged, logged, metric)
        found.append(_mean(members, metric, is_primary, scatter, ALPHA / family, tolerance))
    return found


def _mean(
    members: Sequence[Verified],
    metric: str,
    is_primary: bool,
    scatter: tuple[float, int],
    alpha: float,
    tolerance: float,
) -> Mean:
    from scipy import special  # takes longer to import than a command line may to answer

    first, (std, freedom) = members[0].logged, scatter
    before = statistics.fmean(one.logged.metrics.get(metric, math.nan) for one in members)
    now = statistics.fmean(one.found.get(metric, math.nan) for one in members)
    if freedom >= FEWEST and std > 0:
        quantile = float(special.stdtrit(freedom, 1 - alpha / 2))
        allowed = quantile * std * math.sqrt(2 / len(members))
    else:
        allowed, freedom = tolerance * (1 + abs(before)) if math.isfinite(before) else 0.0, 0
    seeds = tuple(sorted(one.logged.seed for one in members))
    return Mean(first.benchmark, first.loss, first.profile, metric, is_primary, seeds, before, now, allowed, freedom)


def _scatter(one: LoggedRun, logged: Iterable[LoggedRun], metric: str) -> tuple[float, int]:
    """Return the standard deviation of a metric over seeds and its degrees of freedom.

    Pooled over the losses of the benchmark, each around its own mean on one machine; of a reference, its own.
    """
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for other in logged:
        is_like = (other.benchmark, other.profile, other.kind) == (one.benchmark, one.profile, one.kind)
        if is_like and (one.kind == "loss" or other.loss == one.loss):
            value = other.metrics.get(metric, math.nan)
            if math.isfinite(value):
                groups[other.loss, str(other.hardware.get("processor"))].append(value)
    squares = [(value - statistics.fmean(values)) ** 2 for values in groups.values() for value in values]
    freedom = len(squares) - len(groups)
    return (math.sqrt(math.fsum(squares) / freedom), freedom) if freedom > 0 else (math.nan, 0)
