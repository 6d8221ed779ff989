"""Two rows of the tables on one benchmark, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.evidence.choice import natural
from analysis.evidence.failures import Failed, FailedRows
from analysis.evidence.items import Items, OfItems
from analysis.evidence.rows import ROW_COLUMNS
from analysis.statistics.differences import MarginTests, Paired, holm, margin_tests, paired
from analysis.statistics.items import crossed_interval
from analysis.statistics.paired import CONFIDENCE


@dataclass(frozen=True)
class Comparison:
    """A row against another on one benchmark, paired by seed.

    Attributes
    ----------
    benchmark, metric, goal : str
    margin : float
        NaN if none is declared.
    row, against : str
        Labels of rows.
    seeds : tuple of int
        Those that both have.
    differences : array [seeds]
        Test metric of `row` minus that of `against`, in the metric's unit, with the sign turned where the metric is
        minimised: positive is better.
    paired : Paired
    margins : MarginTests
    p_holm : float
        `paired.p_t` after Holm's correction over the benchmarks of the row.
    is_same : bool
        Both rows are made of the same runs here: validation chose what is declared, say. There is nothing to test.
    failed, failed_against : Failed
        Seeds on which either failed; those with a figure are among `differences`.
    unfinished : tuple of str
        Rows without a finished seed that failed otherwise than by collapsing: nothing is known of them.
    of : int
        Seeds that either has or failed on.
    level : float
        Confidence of the t-interval of `paired`.
    of_items : OfItems or None
        What test items add to the noise, where all runs kept their outcomes.
    """

    benchmark: str
    metric: str
    goal: str
    margin: float
    row: str
    against: str
    seeds: tuple[int, ...]
    differences: np.ndarray
    paired: Paired
    margins: MarginTests
    p_holm: float
    is_same: bool
    failed: Failed = field(default_factory=Failed)
    failed_against: Failed = field(default_factory=Failed)
    unfinished: tuple[str, ...] = ()
    of: int = 0
    level: float = CONFIDENCE
    of_items: OfItems | None = None

    @property
    def is_better_for_lack_of_seeds(self) -> bool:
        """Whether the better side has failed on seeds that have no figure: it may be better for lacking them."""
        return bool((self.failed if self.paired.mean > 0 else self.failed_against).lost)

    @property
    def crossed(self) -> tuple[float, float]:
        """The interval over seeds and test items at `level`; NaN where outcomes of items were not kept."""
        if self.of_items is None:
            return math.nan, math.nan
        one = self.paired
        return crossed_interval(one.mean, one.std, one.n, self.of_items.variance, self.level)


def by_benchmark(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return what comparisons need of rows, benchmark by benchmark in their natural order."""
    needed = [*ROW_COLUMNS, *(name for name in ("start", "metric", "goal", "margin") if name in rows)]
    parts = {str(benchmark): here for benchmark, here in rows[needed].groupby("benchmark")}
    return {benchmark: parts[benchmark] for benchmark in sorted(parts, key=natural)}


def compare(
    here: pd.DataFrame,
    benchmark: str,
    row: str,
    against: str,
    failures: FailedRows | None = None,
    items: Items | None = None,
) -> Comparison:
    """Compare two rows on one benchmark, on the seeds that both have; `p_holm` is left as NaN.

    Parameters
    ----------
    here : DataFrame
        The benchmark's rows, from :func:`by_benchmark`; one without a figure counts as not run.
    failures : mapping of (benchmark, row) to Failed, optional
    items : Items, optional
        The outcomes of the runs' test items.
    """
    metric, goal, margin = described(here)
    sign = -1.0 if goal == "minimise" else 1.0
    first, second = (_by_seed(here, name) for name in (row, against))
    seeds = tuple(sorted(first.keys() & second.keys()))
    values = np.array([sign * (first[seed].test - second[seed].test) for seed in seeds])
    failed, failed_against = ((failures or {}).get((benchmark, name), Failed()) for name in (row, against))
    sides = ((row, first, failed), (against, second, failed_against))
    ids, others = ([one[seed].run_id for seed in seeds] for one in (first, second))
    return Comparison(
        benchmark,
        metric,
        goal,
        margin,
        row,
        against,
        seeds,
        values,
        paired(values),
        margin_tests(values, margin),
        p_holm=math.nan,
        is_same=bool(first) and {one.run_id for one in first.values()} == {one.run_id for one in second.values()},
        failed=failed,
        failed_against=failed_against,
        unfinished=tuple(name for name, mine, lost in sides if lost.lost and mine.keys() <= lost.classes.keys()),
        of=len({*first, *second, *failed.classes, *failed_against.classes}),
        of_items=None if items is None else items.between(ids, others, metric),
    )


def described(here: pd.DataFrame) -> tuple[str, str, float]:
    """Return the name, the goal and the margin of the primary metric of one benchmark's runs; NaN without a margin."""
    latest = here.loc[here["start"] == here["start"].max(), "run_id"]
    newest = here.loc[max(zip(latest, latest.index, strict=True))[1] if len(latest) else here.index[-1]]
    margin = newest.get("margin")
    return str(newest["metric"]), str(newest["goal"]), math.nan if pd.isna(margin) else float(margin)


def families(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Correct the p of comparisons by Holm's method over the benchmarks of a row, whatever other rows there are.

    A comparison of runs with themselves is no test and does not count.
    """
    corrected: dict[int, float] = {}
    for row in dict.fromkeys(one.row for one in comparisons):
        mine = [place for place, one in enumerate(comparisons) if one.row == row]
        ps = [math.nan if comparisons[place].is_same else comparisons[place].paired.p_t for place in mine]
        corrected |= dict(zip(mine, holm(ps), strict=True))
    return [replace(one, p_holm=corrected[place]) for place, one in enumerate(comparisons)]


class _Tested(NamedTuple):
    run_id: str
    test: float


def _by_seed(here: pd.DataFrame, row: str) -> dict[int, _Tested]:
    """Return the runs of a row by seed; arrays are walked, as small frames take longer to cut than to read."""
    mine = np.flatnonzero((here["row"].to_numpy() == row) & here["test"].notna().to_numpy())
    columns = (here[name].to_numpy()[mine] for name in ("seed", "run_id", "test"))
    return {int(seed): _Tested(str(run_id), float(test)) for seed, run_id, test in zip(*columns, strict=True)}
