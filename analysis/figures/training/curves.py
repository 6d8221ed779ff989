"""Learning curves: the loss, and the mean cosine of positives and of negatives, by step."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.evidence.choice import natural
from analysis.evidence.gather import Evidence
from analysis.evidence.series import LOSS, NEGATIVE, POSITIVE, by_row
from analysis.figures.canvas import Drawing, NothingToDraw, grid, legend, rows_in, seeds, wrapped
from analysis.figures.style import handle, look, styled

PANELS = {LOSS: "training loss / its first value", POSITIVE: "cosine of positives", NEGATIVE: "cosine of negatives"}
MARKS = 4


def means(evidence: Evidence, curves: pd.DataFrame) -> pd.DataFrame:
    """Average the curves of a row over its seeds, every loss relative to its run's first logged value.

    Parameters
    ----------
    evidence : Evidence
    curves : DataFrame
        Columns ``run_id name step value``.

    Returns
    -------
    DataFrame
        Columns ``benchmark row name step n mean std``. Without the losses that start at 0 or below, relative to which
        there is nothing.
    """
    points = by_row(evidence, curves, *PANELS).sort_values(["benchmark", "row", "name", "run_id", "step"])
    first = points.groupby(["row", "run_id", "name"])["value"].transform("first")
    is_loss = points["name"] == LOSS
    points["value"] = points["value"].where(~is_loss, points["value"] / first.where(first > 0))
    by_step = points.dropna(subset="value").groupby(["benchmark", "row", "name", "step"], sort=True)["value"]
    return by_step.agg(n="count", mean="mean", std="std").reset_index()


def figure(evidence: Evidence, curves: pd.DataFrame) -> Drawing:
    """Draw three panels a benchmark: loss, cosine of positives, cosine of negatives.

    Parameters
    ----------
    evidence : Evidence
    curves : DataFrame
        Columns ``run_id name step value``.

    Raises
    ------
    NothingToDraw
        If nothing was logged over training.
    """
    averaged = means(evidence, curves)
    if averaged.empty:
        raise NothingToDraw("No training loss and no cosine of positives or negatives was logged over training.")
    benchmarks = sorted(averaged["benchmark"].unique(), key=natural)
    rows = rows_in(evidence, averaged)
    parts = dict(iter(averaged.groupby(["benchmark", "name"])))
    with styled(evidence.labels):
        drawn, lines = grid(len(benchmarks), len(PANELS), 1.45)
        for line, benchmark in zip(lines, benchmarks, strict=True):
            for axis, name in zip(line, PANELS, strict=True):
                _panel(axis, parts.get((benchmark, name), averaged.iloc[:0]), rows)
            line[0].set_ylabel(wrapped(benchmark), fontweight="bold")
        for axis, title in zip(lines[0], PANELS.values(), strict=True):
            axis.set_title(title)
        drawn.align_ylabels([line[0] for line in lines])
        for axis in lines[-1]:
            axis.set_xlabel("training step")
        legend(drawn, [handle(row) for row in rows])
    return Drawing(
        drawn,
        "Learning curves on training batches. Left: the loss relative to its first logged value, since losses differ "
        "in unit. Middle and right: mean cosine of positives and of negatives. Lines and bands: mean ± standard "
        f"deviation over evaluation seeds ({seeds(evidence, averaged['n'])}).",
    )


def _panel(axis: Axes, averaged: pd.DataFrame, rows: list[str]) -> None:
    if averaged.empty:
        axis.text(0.5, 0.5, "not logged", transform=axis.transAxes, ha="center", va="center", color="#555555")
        axis.set(xticks=[], yticks=[])
        return
    by_row = averaged.groupby("row").indices
    # arrays: an axis takes a series apart anew, each time
    steps, mean = (averaged[name].to_numpy(dtype=float) for name in ("step", "mean"))
    std = averaged["std"].fillna(0.0).to_numpy(dtype=float)
    for number, row in enumerate(rows):
        mine = by_row.get(row, [])
        shown, every = look(row), max(1, len(mine) // MARKS)
        # each row's markers at steps of their own, so that curves that coincide are both seen
        marks = (every * number // len(rows), every)
        axis.plot(steps[mine], mean[mine], **shown.curve, markevery=marks, markersize=3.5, linewidth=1.1)
        if std[mine].any():
            low, high = mean[mine] - std[mine], mean[mine] + std[mine]
            axis.fill_between(steps[mine], low, high, color=shown.colour, alpha=0.15, linewidth=0)
    axis.margins(x=0.02)
    axis.locator_params(nbins=5)
