"""What a failed seed counts as: never as a missing value, and as the worst where its loss is to blame."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis.read.collect import COLLAPSE
from suite.registry.claims import Failures

#: Whose figure a collapsed seed counts as under ``worst``: of the first that was run.
FLOORS = ("untrained", "chance")

COUNTED = "counted as the untrained encoder or as chance, and no better than the worst other seed"
"""What a collapsed seed counts as, in words."""


@dataclass(frozen=True)
class Failed:
    """The evaluation seeds on which a row failed on a benchmark.

    Attributes
    ----------
    classes : mapping of seed to str
        The class of each failure.
    lost : tuple of int
        Those that have no figure. The others are among the row's seeds, by what they count as.
    """

    classes: Mapping[int, str] = field(default_factory=dict)
    lost: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """How many failed of which class, and what they count as."""
        counted = [name for seed, name in self.classes.items() if seed not in self.lost]
        parts = ((counted, COUNTED), ([self.classes[seed] for seed in self.lost], "left out"))
        return "; ".join(f"{count_classes(names)}, {how}" for names, how in parts if names)


FailedRows = Mapping[tuple[str, str], Failed]
"""The failed evaluation seeds by benchmark and row."""


def count_classes(names: Sequence[str]) -> str:
    """Say how many failures there are of each class: ``2 non_finite, 1 node_lost``."""
    return ", ".join(f"{count} {name}" for name, count in sorted(Counter(names).items()))


def classes_of(failed: pd.DataFrame) -> pd.Series:
    """Return the class of each failed run."""
    return failed["failure"].fillna("").astype(str).str.split(":").str[0].replace("", "unknown")


def with_failures(
    runs: pd.DataFrame, failed: pd.DataFrame, rule: Failures, purpose: str = "evaluation"
) -> pd.DataFrame:
    """Return runs and failed runs together, with the column `failed`.

    Parameters
    ----------
    runs, failed : DataFrame
        Of :class:`analysis.read.collect.Collected`, of one profile.
    rule : str
        Under ``worst`` the test metric of a run that collapsed is the untrained encoder's with its seed, else the mean
        of the untrained encoder's or of chance, and no better than the worst of the same loss's finished runs: where
        training makes things worse, to fail is no gain. It is NaN where neither was run, where a run failed otherwise,
        and under ``exclude``.
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
        if rule == "worst" and name == COLLAPSE
        else math.nan
        for benchmark, loss, seed, name in zip(
            mine["benchmark"], mine["loss"], mine["seed"], classes_of(mine), strict=True
        )
    ]
    described = runs.drop_duplicates("benchmark").set_index("benchmark")
    told = {name: mine["benchmark"].map(described[name]) for name in ("metric", "goal", "margin") if name in runs}
    counted = mine.assign(**told, test=figures, failed=True)
    counted = counted[counted["benchmark"].isin(described.index)]
    return pd.concat([runs.assign(failed=False), counted], ignore_index=True).astype({"seed": runs["seed"].dtype})


def failures_of(rows: pd.DataFrame) -> FailedRows:
    """Return the failed seeds of rows with the column `failed`, by benchmark and row."""
    mine = rows[rows["failed"]].sort_values("seed")
    mine = mine.assign(name=classes_of(mine))
    return {
        (str(benchmark), str(row)): Failed(
            {int(seed): str(name) for seed, name in zip(here["seed"], here["name"], strict=True)},
            tuple(int(seed) for seed in here.loc[here["test"].isna(), "seed"]),
        )
        for (benchmark, row), here in mine.groupby(["benchmark", "row"])
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
