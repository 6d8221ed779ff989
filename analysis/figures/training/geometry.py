"""How features lie on the sphere at the end of training: alignment against uniformity."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from analysis.evidence.choice import natural
from analysis.evidence.gather import Evidence
from analysis.evidence.series import ALIGNMENT, EFFECTIVE_RANK, UNIFORMITY, by_row
from analysis.figures.canvas import MOST, Drawing, NothingToDraw, grid, legend, rows_in, seeds, wrapped
from analysis.figures.style import COLUMN, PAGE, handle, look, styled

SERIES = (ALIGNMENT, UNIFORMITY, EFFECTIVE_RANK)
AXES = {ALIGNMENT: "alignment (closer positives: ←)", EFFECTIVE_RANK: "effective rank (wider: →)"}
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
        of `x`, the alignment or the effective rank; a run that logged both comes with each.
    """
    points = by_row(evidence, curves, *SERIES).sort_values("step")
    last = points.groupby(["benchmark", "row", "seed", "name"])["value"].last().unstack("name")
    last = last.reindex(columns=list(SERIES)).rename(columns={UNIFORMITY: "uniformity"}).reset_index()
    long = last.melt(["benchmark", "row", "seed", "uniformity"], list(AXES), var_name="across", value_name="x")
    return long.dropna(subset=["x", "uniformity"])[["benchmark", "row", "seed", "across", "x", "uniformity"]]


def figure(evidence: Evidence, curves: pd.DataFrame) -> Drawing:
    """Draw a panel a benchmark against alignment and then against effective rank; the mean of a row is larger.

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
    rows = rows_in(evidence, ends)
    shown = [
        [(across, name) for name in sorted(ends.loc[ends["across"] == across, "benchmark"].unique(), key=natural)]
        for across in AXES
    ]
    # what is against alignment and what is against rank never share a line of panels
    lines = [part[i : i + MOST] for part in shown for i in range(0, len(part), MOST)]
    with styled(evidence.labels):
        columns = max(map(len, lines))
        drawn, grids = grid(len(lines), columns, 2.1, PAGE if columns > 1 or len(lines) > 1 else COLUMN)
        for line, axes in zip(lines, grids, strict=True):
            for (across, benchmark), axis in zip(line, axes, strict=False):
                _panel(axis, ends[(ends["benchmark"] == benchmark) & (ends["across"] == across)], rows)
                axis.set_title(wrapped(benchmark, 24))
            for axis in axes[len(line) :]:
                axis.remove()
        legend(drawn, [*(handle(row, lined=False) for row in rows), SEED])
    found = ends.groupby(["benchmark", "row"])["seed"].nunique()
    return Drawing(
        drawn,
        "Geometry of the features at the last point that training logged: uniformity (lower: spread wider over the "
        "sphere) against alignment (lower: positives closer) and, on lines of their own, against effective rank "
        "(higher: more dimensions are used), each where it is logged. Small hollow markers: evaluation seeds "
        f"({seeds(evidence, found)}). Large ones: their means.",
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
