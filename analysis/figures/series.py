"""What was logged over training, by row of the tables: what several figures draw."""

from __future__ import annotations

import pandas as pd

from analysis.evidence import Evidence

LOSS = "train/loss"
POSITIVE, NEGATIVE = "train/similarity_positive", "train/similarity_negative"
ALIGNMENT, UNIFORMITY, EFFECTIVE_RANK = "train/alignment", "train/uniformity", "train/effective_rank"
HISTOGRAM_POSITIVE, HISTOGRAM_NEGATIVE = "histogram/similarity_positive", "histogram/similarity_negative"
NAMES = (
    LOSS, POSITIVE, NEGATIVE, ALIGNMENT, UNIFORMITY, EFFECTIVE_RANK, HISTOGRAM_POSITIVE, HISTOGRAM_NEGATIVE,
)  # fmt: skip


def run_ids(evidence: Evidence) -> list[str]:
    """Return the evaluation runs of losses, each once."""
    rows = evidence.rows
    return sorted(rows.loc[rows["row"].isin(evidence.labels), "run_id"].unique())


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
    of_losses = evidence.rows[evidence.rows["row"].isin(evidence.labels)]
    wanted = curves[curves["name"].isin(names) & curves["value"].notna()]
    return of_losses[["benchmark", "row", "seed", "run_id"]].merge(wanted, on="run_id")
