"""What a failed seed counts as: never as a missing value."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from suite.registry.claims import Failures

#: Whose figure a failed seed counts as under ``worst``: of the first that was run.
FLOORS = ("untrained", "chance")

COUNTED = "counted as the untrained encoder or as chance, and no better than the worst other seed"
"""What a failed seed counts as, in words."""

Failed = Mapping[tuple[str, str], tuple[int, ...]]
"""The failed evaluation seeds by benchmark and row."""


def with_failures(
    runs: pd.DataFrame, failed: pd.DataFrame, rule: Failures, purpose: str = "evaluation"
) -> pd.DataFrame:
    """Return runs and failed runs together, with the column `failed`.

    Parameters
    ----------
    runs, failed : DataFrame
        Of :class:`analysis.read.collect.Collected`, of one profile.
    rule : str
        Under ``worst`` the test metric of a failed run is the untrained encoder's with its seed, else the mean of the
        untrained encoder's or of chance, and no better than the worst of the same loss's finished runs: where training
        makes things worse, to fail is no gain. It is NaN where neither was run, and under ``exclude``.
    purpose : str
        Of the failed runs that are added.
    """
    mine = failed[failed["purpose"] == purpose]
    if mine.empty:
        return runs.assign(failed=False)
    floors = runs[(runs["kind"] == "reference") & (runs["purpose"] == "evaluation")]
    losses = runs[(runs["kind"] == "loss") & (runs["purpose"] == purpose)]
    figures = [
        _counted(
            _floor(floors[floors["benchmark"] == benchmark], seed),
            losses[(losses["benchmark"] == benchmark) & (losses["loss"] == loss)],
        )
        if rule == "worst"
        else math.nan
        for benchmark, loss, seed in zip(mine["benchmark"], mine["loss"], mine["seed"], strict=True)
    ]
    described = runs.drop_duplicates("benchmark").set_index("benchmark")
    told = {name: mine["benchmark"].map(described[name]) for name in ("metric", "goal", "margin") if name in runs}
    counted = mine.assign(**told, test=figures, failed=True)
    counted = counted[counted["benchmark"].isin(described.index)]
    return pd.concat([runs.assign(failed=False), counted], ignore_index=True).astype({"seed": runs["seed"].dtype})


def failures_of(rows: pd.DataFrame) -> Failed:
    """Return the failed seeds of rows with the column `failed`."""
    mine = rows[rows["failed"]]
    return {
        (str(benchmark), str(row)): tuple(sorted(int(seed) for seed in seeds))
        for (benchmark, row), seeds in mine.groupby(["benchmark", "row"])["seed"]
    }


def _counted(floor: float, finished: pd.DataFrame) -> float:
    """Return the worse of a floor and of the finished runs of one loss; NaN without a floor."""
    known = finished["test"].astype(float).dropna()
    if math.isnan(floor) or known.empty:
        return floor
    return max(floor, float(known.max())) if finished["goal"].iloc[0] == "minimise" else min(floor, float(known.min()))


def _floor(here: pd.DataFrame, seed: int) -> float:
    for name in FLOORS:
        mine = here[here["loss"] == name]
        if len(mine):
            paired = mine.loc[mine["seed"] == seed, "test"]
            return float((paired if len(paired) else mine["test"]).astype(float).mean())
    return math.nan
