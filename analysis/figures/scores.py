"""The raw scores: the primary test metric of every seed of every row, beside the references."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.evidence.comparison import described
from analysis.evidence.gather import Evidence
from analysis.figures.canvas import (
    FEW,
    Drawing,
    NothingToDraw,
    counted,
    legend,
    metric_label,
    name_rows,
    number,
    panels,
    row_height,
    say,
    wrapped,
)
from analysis.figures.differences import MEAN
from analysis.figures.style import Dashes, look, styled
from analysis.statistics.paired import Difference

#: References farther from the losses than so many times their own range are written, not drawn.
AWAY = 1.5
#: Inches of a line of what is written at the edge.
EDGE = 0.1
SEED: dict[str, Any] = {"markerfacecolor": "none", "markersize": 3.0, "markeredgewidth": 0.7}
REFERENCE_LINES: tuple[Dashes, ...] = ("-", "--", ":", "-.", (0.0, (5.0, 1.5, 1.0, 1.5)), (0.0, (1.0, 3.0)))
_KEY = (
    Line2D([], [], color="#555555", marker="o", markerfacecolor="none", linestyle="", markersize=3.0, label="seed"),
    Line2D([], [], color="#555555", marker="o", markersize=5.0, label="mean and 95 % interval"),
)


def figure(evidence: Evidence) -> Drawing:
    """Draw one panel a benchmark and in it one line a row: a dot a seed, the mean and its interval.

    Parameters
    ----------
    evidence : Evidence

    Raises
    ------
    NothingToDraw
        If no loss has an evaluation run.
    """
    losses = evidence.rows[evidence.rows["row"].isin(evidence.labels) & (evidence.rows["kind"] == "loss")]
    if losses.empty:
        raise NothingToDraw("No loss has a run with evaluation seeds.")
    benchmarks = [name for name in evidence.benchmarks if (losses["benchmark"] == name).any()]
    rows = list(evidence.labels)
    lines: dict[str, Any] = dict(zip(evidence.references, REFERENCE_LINES, strict=False))
    with styled(evidence.labels):
        parts = {name: evidence.rows[evidence.rows["benchmark"] == name] for name in benchmarks}
        height = row_height(rows, 0.3)
        beyond = {name: _beyond(here, list(lines)) for name, here in parts.items()}
        edge = max(len(side) for sides in beyond.values() for side in sides)
        drawn, axes = panels(len(benchmarks), 0.75 + height * len(rows) + EDGE * edge, sharey=True)
        for axis, benchmark in zip(axes, benchmarks, strict=True):
            _panel(axis, parts[benchmark], rows, lines, beyond[benchmark])
            axis.set_title(wrapped(benchmark, 26))
            axis.set_ylim(len(rows) - 0.4 + EDGE * edge / height, -0.6)
        known = [Line2D([], [], color="#555555", linewidth=0.9, linestyle=lines[name], label=name) for name in lines]
        legend(drawn, [*_KEY, *known])
    counts = losses.groupby(["benchmark", "row"])["seed"].nunique()
    return Drawing(
        drawn,
        f"Primary test metric of every seed ({counted(counts)}), an arrow for the better direction. Hollow markers: "
        "seeds. Filled ones and bars: mean and its 95 % t-interval over seeds (no bar for one seed), which says "
        "nothing of differences between rows: these share their seeds. Vertical lines: mean of the references; "
        "those far off are written at the edge.",
    )


def _beyond(here: pd.DataFrame, references: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the references that lie so far below and above the losses that they are written, not drawn."""
    losses = here.loc[here["kind"] == "loss", "test"].astype(float)
    low, high = losses.min(), losses.max()
    reach = AWAY * (high - low)
    means = here[here["row"].isin(references)].groupby("row")["test"].mean().reindex(list(references)).dropna()
    below, above = means[means < low - reach], means[means > high + reach]
    return _written(below, "← {} {}"), _written(above, "{} {} →")


def _written(means: pd.Series, form: str) -> list[str]:
    return [form.format(wrapped(str(name), 20, 1), number(mean, ".3g")) for name, mean in means.items()]


def _panel(
    axis: Axes,
    here: pd.DataFrame,
    rows: Sequence[str],
    lines: dict[str, Any],
    beyond: tuple[list[str], list[str]],
) -> None:
    metric, goal, _ = described(here)
    by_row = {str(row): part["test"].astype(float).to_numpy() for row, part in here.groupby("row")}
    for place, row in enumerate(rows):
        if row not in by_row:
            say(axis, place, "not run")
            continue
        values, shown = by_row[row], look(row)
        one = Difference.of(values)
        axis.plot(values, [place + 0.2] * len(values), **shown.marks, **SEED)
        if not math.isnan(one.low):
            axis.plot([one.low, one.high], [place - 0.14] * 2, color=shown.colour, linewidth=1.6)
        axis.plot([one.mean], [place - 0.14], **shown.marks, **MEAN)
    written = {text.strip("← →").rpartition(" ")[0] for side in beyond for text in side}
    for name in lines:
        if name in by_row and wrapped(name, 20, 1) not in written:
            axis.axvline(by_row[name].mean(), color="#555555", linewidth=0.9, linestyle=lines[name], zorder=1)
    for texts, at, side in ((beyond[0], 0.02, "left"), (beyond[1], 0.98, "right")):
        said = "\n".join(texts)
        # in points: a share of a tall panel would reach the lowest row
        axis.annotate(
            said, (at, 0), (0, 2), "axes fraction", "offset points", ha=side, va="bottom", fontsize=5.5, color="#555555"
        )
    name_rows(axis, rows)
    axis.xaxis.set_major_locator(MaxNLocator(FEW))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_xlabel(wrapped(metric_label(metric, goal), 32))
