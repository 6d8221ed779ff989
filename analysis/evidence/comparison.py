"""Two rows of the tables on one benchmark, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.evidence.rows import ROW_COLUMNS, by_seed
from analysis.statistics.differences import MarginTests, Paired, holm, margin_tests, paired


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
        `paired.p_t` after Holm's correction over the family that was tested with it.
    is_same : bool
        Both rows are made of the same runs here: validation chose what is declared, say. There is nothing to test.
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


def compare(rows: pd.DataFrame, benchmark: str, row: str, against: str) -> Comparison:
    """Compare two rows on one benchmark, on the seeds that both have; `p_holm` is left as NaN.

    Parameters
    ----------
    rows : DataFrame
        From :func:`analysis.evidence.rows.rows_of`.
    """
    kept = [*ROW_COLUMNS, *(name for name in ("start", "metric", "goal", "margin") if name in rows)]
    here = rows.loc[rows["benchmark"] == benchmark, kept]
    metric, goal, margin = described(here)
    sign = -1.0 if goal == "minimise" else 1.0
    difference = (sign * (by_seed(here, benchmark, row) - by_seed(here, benchmark, against))).dropna()
    values = difference.to_numpy(dtype=float)
    seeds = tuple(int(seed) for seed in difference.index)
    first, second = (frozenset(here.loc[here["row"] == name, "run_id"]) for name in (row, against))
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
    )


def described(here: pd.DataFrame) -> tuple[str, str, float]:
    """Return the name, the goal and the margin of the primary metric of one benchmark's runs; NaN without a margin."""
    columns = ["start", "run_id", "metric", "goal", *(["margin"] if "margin" in here else [])]
    newest = here[columns].sort_values(["start", "run_id"]).iloc[-1]
    margin = float(newest["margin"]) if "margin" in here and pd.notna(newest["margin"]) else math.nan
    return str(newest["metric"]), str(newest["goal"]), margin


def family(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Correct the p of comparisons that are read together, by Holm's method.

    A comparison of runs with themselves is no test and does not count.
    """
    corrected = holm([math.nan if one.is_same else one.paired.p_t for one in comparisons])
    return [replace(one, p_holm=p) for one, p in zip(comparisons, corrected, strict=True)]
