"""The primary metric against the length of training, where a benchmark logs it on the way."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.evidence.gather import Evidence
from analysis.evidence.series import LOGGED, by_row, of_primary_metrics
from analysis.figures.canvas import Drawing, NothingToDraw, label_panel, legend, panels, rows_in, seeds
from analysis.figures.style import handle, look, styled


def means(evidence: Evidence, curves: pd.DataFrame) -> pd.DataFrame:
    """Average the primary metric of a row over its seeds, step by step.

    Parameters
    ----------
    evidence : Evidence
    curves : DataFrame
        Columns ``run_id name step value``.

    Returns
    -------
    DataFrame
        Columns ``benchmark row step n mean std``.
    """
    points = by_row(evidence, curves, *of_primary_metrics(evidence))
    metric = evidence.rows.groupby("benchmark")["metric"].last()
    points = points[points["name"] == LOGGED + points["benchmark"].map(metric).astype(str)]
    return points.groupby(["benchmark", "row", "step"])["value"].agg(n="count", mean="mean", std="std").reset_index()


def figure(evidence: Evidence, curves: pd.DataFrame) -> Drawing:
    """Draw one panel a benchmark that logs its primary metric over training: a line a row, with a band.

    Parameters
    ----------
    evidence : Evidence
    curves : DataFrame
        Columns ``run_id name step value``.

    Raises
    ------
    NothingToDraw
        If no benchmark logged its primary metric on the way.
    """
    averaged = means(evidence, curves)
    if averaged.empty:
        raise NothingToDraw("No benchmark logged its primary metric over training, as train/ and its name.")
    rows = rows_in(evidence, averaged)
    benchmarks = [name for name in evidence.benchmarks if (averaged["benchmark"] == name).any()]
    with styled(evidence.labels):
        drawn, axes = panels(len(benchmarks), 2.1)
        for axis, benchmark in zip(axes, benchmarks, strict=True):
            _panel(axis, averaged[averaged["benchmark"] == benchmark], rows)
            label_panel(axis, evidence, benchmark, "training step")
        legend(drawn, [handle(row) for row in rows])
    return Drawing(
        drawn,
        "Primary metric against the length of training, as the benchmark logged it on the way. Lines and bands: mean "
        f"± standard deviation over evaluation seeds ({seeds(evidence, averaged['n'])}).",
    )


def _panel(axis: Axes, averaged: pd.DataFrame, rows: list[str]) -> None:
    by_row = averaged.groupby("row").indices
    steps, mean = (averaged[name].to_numpy(dtype=float) for name in ("step", "mean"))
    std = averaged["std"].fillna(0.0).to_numpy(dtype=float)
    for row in rows:
        if row not in by_row:
            continue
        mine, shown = by_row[row], look(row)
        low, high = mean[mine] - std[mine], mean[mine] + std[mine]
        axis.plot(steps[mine], mean[mine], **shown.curve, markersize=3.5)
        axis.fill_between(steps[mine], low, high, color=shown.colour, alpha=0.15, linewidth=0)
    axis.margins(x=0.02)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.yaxis.set_major_locator(MaxNLocator(5))
