"""Two rows of the tables on one benchmark, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.evidence.failures import Failed
from analysis.evidence.items import Items, OfItems
from analysis.evidence.rows import ROW_COLUMNS, by_seed
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
    failed, failed_against : tuple of int
        Seeds on which either failed.
    is_imputed : bool
        Failed seeds are among `differences`, by what they count as.
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
    failed: tuple[int, ...] = ()
    failed_against: tuple[int, ...] = ()
    is_imputed: bool = False
    of: int = 0
    level: float = CONFIDENCE
    of_items: OfItems | None = None

    @property
    def crossed(self) -> tuple[float, float]:
        """The interval over seeds and test items at `level`; NaN where outcomes of items were not kept."""
        if self.of_items is None:
            return math.nan, math.nan
        one = self.paired
        return crossed_interval(one.mean, one.std, one.n, self.of_items.variance, self.level)


def compare(
    rows: pd.DataFrame,
    benchmark: str,
    row: str,
    against: str,
    failures: Failed | None = None,
    items: Items | None = None,
) -> Comparison:
    """Compare two rows on one benchmark, on the seeds that both have; `p_holm` is left as NaN.

    Parameters
    ----------
    rows : DataFrame
        From :func:`analysis.evidence.rows.rows_of`.
    failures : mapping of (benchmark, row) to seeds, optional
        Failed seeds, whether they are among the rows or not.
    items : Items, optional
        The outcomes of the runs' test items.
    """
    kept = [*ROW_COLUMNS, *(name for name in ("start", "metric", "goal", "margin") if name in rows)]
    here = rows.loc[rows["benchmark"] == benchmark, kept]
    metric, goal, margin = described(here)
    sign = -1.0 if goal == "minimise" else 1.0
    difference = (sign * (by_seed(here, benchmark, row) - by_seed(here, benchmark, against))).dropna()
    values = difference.to_numpy(dtype=float)
    seeds = tuple(int(seed) for seed in difference.index)
    failed, failed_against = ((failures or {}).get((benchmark, name), ()) for name in (row, against))
    known = set(here.loc[here["row"].isin([row, against]), "seed"]).union(failed, failed_against)
    are_among = [_are_among(here, name, seeds) for name, seeds in ((row, failed), (against, failed_against))]
    first, second = (frozenset(here.loc[here["row"] == name, "run_id"]) for name in (row, against))
    ids = _run_ids(here, row, seeds), _run_ids(here, against, seeds)
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
        is_same=bool(first) and first == second,
        failed=failed,
        failed_against=failed_against,
        is_imputed=bool(failed or failed_against) and all(are_among),
        of=len(known),
        of_items=None if items is None else items.between(*ids, metric),
    )


def described(here: pd.DataFrame) -> tuple[str, str, float]:
    """Return the name, the goal and the margin of the primary metric of one benchmark's runs; NaN without a margin."""
    columns = ["start", "run_id", "metric", "goal", *(["margin"] if "margin" in here else [])]
    newest = here[columns].sort_values(["start", "run_id"]).iloc[-1]
    margin = float(newest["margin"]) if "margin" in here and pd.notna(newest["margin"]) else math.nan
    return str(newest["metric"]), str(newest["goal"]), margin


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


def _run_ids(here: pd.DataFrame, row: str, seeds: Sequence[int]) -> list[str]:
    mine = here.loc[here["row"] == row].set_index("seed")["run_id"]
    return [str(mine[seed]) for seed in seeds]


def _are_among(here: pd.DataFrame, row: str, seeds: Sequence[int]) -> bool:
    return set(seeds) <= set(here.loc[here["row"] == row, "seed"])
