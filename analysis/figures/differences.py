"""Every row against the baseline, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.evidence.gather import Comparison, Evidence
from analysis.figures.canvas import (
    FAR,
    LINEAR,
    Drawing,
    NothingToDraw,
    counted,
    legend,
    margin_scale,
    name_rows,
    number,
    panels,
    row_height,
    say,
    wrapped,
)
from analysis.figures.style import look, styled

BAND = "#dddddd"
MEAN: dict[str, Any] = {"markersize": 5.0, "markeredgecolor": "white", "markeredgewidth": 0.5}
_KEY = (
    Line2D([], [], color="#555555", marker="o", markerfacecolor="none", linestyle="", markersize=3.0, label="seed"),
    Line2D([], [], color="#555555", marker="o", markersize=5.0, label="mean and 95 % interval"),
    Patch(color=BAND, label="margin"),
)


def figure(evidence: Evidence) -> Drawing:
    """Draw one panel a benchmark and in it one line a row: a dot a seed, the mean and its interval.

    Parameters
    ----------
    evidence : Evidence

    Raises
    ------
    NothingToDraw
        If no other row shares a seed with the baseline.
    """
    compared = evidence.comparisons
    apart = [one for one in compared if one.paired.n and not one.is_same]
    if not apart:
        raise NothingToDraw("No other row has an evaluation seed in common with the baseline.")
    benchmarks = list(dict.fromkeys(one.benchmark for one in compared))
    known = {one.row for one in apart}
    rows = [label for label in evidence.labels if label in known]
    with styled(evidence.labels):
        drawn, axes = panels(len(benchmarks), 0.75 + row_height(rows, 0.3) * len(rows), sharey=True)
        scales = [
            _panel(axis, [one for one in compared if one.benchmark == benchmark], rows)
            for axis, benchmark in zip(axes, benchmarks, strict=True)
        ]
        legend(drawn, _KEY, 3)
    beyond = f" Beyond ±{LINEAR:g} margins, scales that say so are logarithmic." if any(scales) else ""
    return Drawing(
        drawn,
        f"Test metric of every row minus that of {evidence.baseline}, paired by seed "
        f"({counted(one.paired.n for one in apart)}); to the right is better, also where the metric is minimised. "
        "Hollow markers: seeds. Filled ones and bars: mean and its 95 % t-interval (no bar for one seed). Grey band: "
        f"the margin.{beyond}",
    )


def _panel(axis: Axes, compared: Sequence[Comparison], rows: Sequence[str]) -> bool:
    margin = compared[0].margin
    if not math.isnan(margin):
        axis.axvspan(-margin, margin, color=BAND, linewidth=0, zorder=0)
    axis.axvline(0.0, color="black", linewidth=0.9, zorder=1)
    ends = []
    apart = [one for one in compared if not one.is_same and one.paired.n]
    for one in apart:
        place, shown, paired = rows.index(one.row), look(one.row), one.paired
        seeds = np.full(len(one.differences), place + 0.2)
        axis.plot(one.differences, seeds, **shown.marks, markerfacecolor="none", markersize=3.0, markeredgewidth=0.7)
        if not math.isnan(paired.low):
            axis.plot([paired.low, paired.high], [place - 0.14] * 2, color=shown.colour, linewidth=1.6)
        axis.plot([paired.mean], [place - 0.14], **shown.marks, **MEAN)
        ends += [*one.differences, paired.low, paired.high]
    is_logarithmic = margin_scale(axis, np.array(ends), margin)
    for one in apart if is_logarithmic else ():
        if abs(one.paired.mean) > FAR * margin:
            _say(axis, one.paired.mean, rows.index(one.row) - 0.14)
    name_rows(axis, rows)
    same = {one.row for one in compared if one.is_same}
    for place, row in enumerate(rows):
        if row not in {one.row for one in apart}:
            text = "the baseline's runs" if row in same else "not run"
            say(axis, place, text)
    first = compared[0]
    remarks = ["sign turned"] * (first.goal == "minimise") + ["logarithmic"] * is_logarithmic
    remark = f"\n({', '.join(remarks)})" if remarks else ""
    axis.set(title=wrapped(first.benchmark, 26), xlabel=f"{wrapped(f'difference in {first.metric}', 32)} →{remark}")
    return is_logarithmic


def _say(axis: Axes, mean: float, place: float) -> None:
    """Print a difference so large that a logarithmic scale makes little of it, on the side of 0."""
    side = 1 if mean < 0 else -1
    text, align = number(mean, ".2g"), "left" if side > 0 else "right"
    axis.annotate(text, (mean, place), (5 * side, 0), textcoords="offset points", ha=align, va="center", fontsize=6.5)
