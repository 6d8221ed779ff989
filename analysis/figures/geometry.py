"""How features lie on the sphere at the end of training: alignment against uniformity."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from analysis.evidence.gather import Evidence
from analysis.figures.canvas import Drawing, NothingToDraw, legend, panels, wrapped
from analysis.figures.series import ALIGNMENT, EFFECTIVE_RANK, UNIFORMITY, by_row, seeds
from analysis.figures.style import handle, look, styled

SERIES = (ALIGNMENT, UNIFORMITY, EFFECTIVE_RANK)
AXES = {ALIGNMENT: "alignment (closer positives: ←)", EFFECTIVE_RANK: "effective rank (more dimensions: →)"}
#: Effective ranks whose largest is more than so many times the smallest stand on a logarithmic axis.
WIDE = 5.0
ONE: dict[str, Any] = {"markerfacecolor": "none", "markersize": 3.0, "markeredgewidth": 0.6}
MEAN: dict[str, Any] = {"markersize": 6.5, "markeredgecolor": "white", "markeredgewidth": 0.6, "zorder": 3}
SEED = Line2D([], [], color="#555555", marker="o", linestyle="", label="seed", **ONE)


def last_points(evidence: Evidence, curves: pd.DataFrame) -> pd.DataFrame:
    """Return where every run ended.

    Parameters
    ----------
    evidence : Evidence
    curves : DataFrame
        Columns ``run_id name step value``.

    Returns
    -------
    DataFrame
        Columns ``benchmark row seed across x uniformity``: the last logged values of a run. `across` names the series
        of `x`: the alignment where the benchmark logs it, else the effective rank.
    """
    points = by_row(evidence, curves, ALIGNMENT, EFFECTIVE_RANK, UNIFORMITY).sort_values("step")
    last = points.groupby(["benchmark", "row", "seed", "name"])["value"].last().unstack("name")
    last = last.reindex(columns=[ALIGNMENT, EFFECTIVE_RANK, UNIFORMITY]).reset_index()
    has_alignment = last.groupby("benchmark")[ALIGNMENT].transform("count") > 0
    last["across"] = has_alignment.map({True: ALIGNMENT, False: EFFECTIVE_RANK})
    last["x"] = last[ALIGNMENT].where(has_alignment, last[EFFECTIVE_RANK])
    last = last.rename(columns={UNIFORMITY: "uniformity"}).dropna(subset=["x", "uniformity"])
    return last[["benchmark", "row", "seed", "across", "x", "uniformity"]].rename_axis(columns=None)


def figure(evidence: Evidence, curves: pd.DataFrame) -> Drawing:
    """Draw one panel a benchmark: a small point a run, a large marker the mean of a row.

    Parameters
    ----------
    evidence : Evidence
    curves : DataFrame
        Columns ``run_id name step value``.

    Raises
    ------
    NothingToDraw
        If uniformity was not logged, or neither alignment nor effective rank beside it.
    """
    ends = last_points(evidence, curves)
    if ends.empty:
        raise NothingToDraw("No benchmark logged uniformity together with alignment or effective rank.")
    benchmarks = sorted(ends["benchmark"].unique())
    rows = [label for label in evidence.labels if label in set(ends["row"])]
    with styled():
        drawn, axes = panels(len(benchmarks), 2.1)
        for axis, benchmark in zip(axes, benchmarks, strict=True):
            _panel(axis, ends[ends["benchmark"] == benchmark], rows)
            axis.set_title(wrapped(benchmark, 26))
        legend(drawn, [*(handle(row, lined=False) for row in rows), SEED])
    found = ends.groupby(["benchmark", "row"])["seed"].nunique()
    fallback = sorted(ends.loc[ends["across"] == EFFECTIVE_RANK, "benchmark"].unique())
    return Drawing(
        drawn,
        "Geometry of the features at the last point that training logged: uniformity (lower: spread wider over the "
        "sphere) against alignment (lower: positives closer)"
        + (f", or against effective rank where no alignment is logged ({', '.join(fallback)})" if fallback else "")
        + f". Small hollow markers: evaluation seeds ({seeds(evidence, found)}). Large ones: their means.",
    )


def _panel(axis: Axes, ends: pd.DataFrame, rows: list[str]) -> None:
    for row in rows:
        mine, shown = ends[ends["row"] == row], look(row)
        if mine.empty:
            continue
        axis.plot(mine["x"], mine["uniformity"], **shown.marks, **ONE)
        axis.plot([mine["x"].mean()], [mine["uniformity"].mean()], **shown.marks, **MEAN)
    across = ends["across"].iloc[0]
    axis.margins(0.12)
    if across == EFFECTIVE_RANK and ends["x"].max() > WIDE * ends["x"].min() > 0:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.yaxis.set_major_locator(MaxNLocator(5))
    axis.set(xlabel=AXES[across], ylabel="uniformity (more uniform: ↓)")
