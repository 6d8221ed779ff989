"""What was logged over training, by row of the tables: what several figures draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pandas as pd

from analysis.evidence.gather import Evidence

LOSS = "train/loss"
POSITIVE, NEGATIVE = "train/similarity_positive", "train/similarity_negative"
ALIGNMENT, UNIFORMITY, EFFECTIVE_RANK = "train/alignment", "train/uniformity", "train/effective_rank"
HISTOGRAM_POSITIVE, HISTOGRAM_NEGATIVE = "histogram/similarity_positive", "histogram/similarity_negative"
LOGGED = "train/"

#: More seeds of a row draw the same picture, and hundreds of runs have millions of points.
MOST_SEEDS = 10


def run_ids(evidence: Evidence) -> list[str]:
    """Return the evaluation runs of losses whose curves are drawn: of every row on a benchmark the lowest seeds."""
    drawn = of_losses(evidence).sort_values("seed").groupby(["benchmark", "row"]).head(MOST_SEEDS)
    return sorted(drawn["run_id"].unique())


def by_row(evidence: Evidence, curves: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return the points of some series with the row, benchmark and seed of their run.

    Parameters
    ----------
    evidence : Evidence
    curves : DataFrame
        Columns ``run_id name step value``.
    *names : str
        Series.

    Returns
    -------
    DataFrame
        Columns ``benchmark row seed run_id name step value``; a run that stands in several rows comes with each.
    """
    wanted = curves[curves["name"].isin(names) & curves["value"].notna()]
    return of_losses(evidence).merge(wanted, on="run_id")


def of_losses(evidence: Evidence) -> pd.DataFrame:
    """Return the evaluation runs of losses: columns ``benchmark row seed run_id``."""
    is_loss = evidence.rows["row"].isin(evidence.labels)
    return evidence.rows.loc[is_loss, ["benchmark", "row", "seed", "run_id"]]


def of_primary_metrics(evidence: Evidence) -> tuple[str, ...]:
    """Return the primary metric of every benchmark as a series, if it was logged over training."""
    return tuple(sorted({f"{LOGGED}{metric}" for metric in evidence.rows["metric"].unique()}))


DRAWN: Final[dict[str, Callable[[Evidence], tuple[str, ...]]]] = {
    "length": of_primary_metrics,
    "curves": lambda _: (LOSS, POSITIVE, NEGATIVE),
    "histograms": lambda _: (HISTOGRAM_POSITIVE, HISTOGRAM_NEGATIVE),
    "geometry": lambda _: (ALIGNMENT, UNIFORMITY, EFFECTIVE_RANK),
}
"""Which series each figure of training is drawn of."""
