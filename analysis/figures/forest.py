"""Forest plot: what the runs say of every claim, in units of the margin."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.evidence.gather import Evidence, Verdict
from analysis.figures.canvas import (
    LINEAR,
    NAME,
    Drawing,
    NothingToDraw,
    counted,
    grid,
    legend,
    margin_scale,
    number,
    wrapped,
)
from analysis.figures.style import styled
from analysis.statistics.aggregates import Aggregate

LABELS = {
    "better": ("#0173b2", "^"),
    "better within the margin": ("#029e73", "<"),
    "equivalent": ("#cc78bc", "d"),
    "not worse": ("#56b4e9", "o"),
    "worse within the margin": ("#de8f05", ">"),
    "worse": ("#d55e00", "v"),
    "inconclusive": ("#949494", "s"),
    "insensitive": ("#ca9161", "X"),
}
UNKNOWN = ("#949494", "s")
OVERALL = ("#222222", "D")
LINE = 0.19
HEADING = 58  # letters of a claim in a line
TICKS = 9


@dataclass(frozen=True)
class Line:
    """A line of the plot: a claim, what the runs say of it on a benchmark, or on average over the benchmarks.

    Attributes
    ----------
    text : str
        At the left.
    label : str
        The verdict.
    mean, low, high : float
        In units of the margin; NaN where there is none.
    n : int
        Number of seeds.
    is_claim, is_overall : bool
    """

    text: str
    label: str
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    is_claim: bool = False
    is_overall: bool = False

    @property
    def shown(self) -> str:
        """The text, broken where it is long."""
        return wrapped(self.text, HEADING if self.is_claim else NAME)

    @property
    def height(self) -> int:
        """The lines that it takes."""
        return self.shown.count("\n") + 1


def lines(evidence: Evidence) -> list[Line]:
    """Return the lines of the plot from top to bottom: claim by claim its heading, its benchmarks, and their mean."""
    found: list[Line] = []
    for claim in dict.fromkeys(verdict.claim for verdict in evidence.verdicts):
        mine = [verdict for verdict in evidence.verdicts if verdict.claim == claim]
        overall = [verdict for verdict in mine if not verdict.benchmark]
        found += [_claim(verdict) for verdict in overall]
        found += [_benchmark(verdict) for verdict in mine if verdict.benchmark]
        found += [_mean(verdict.aggregate) for verdict in overall if verdict.aggregate is not None]
    return found


def _claim(verdict: Verdict) -> Line:
    return Line(verdict.declared.in_words(), verdict.label, is_claim=True)


def _benchmark(verdict: Verdict) -> Line:
    compared = verdict.comparison
    if compared is None:
        return Line(verdict.benchmark, verdict.label)
    paired, unit = compared.paired, compared.margin
    if not unit > 0:
        return Line(f"{verdict.benchmark} (no margin)", verdict.label, n=paired.n)
    mean, low, high = (value / unit for value in (paired.mean, paired.low, paired.high))
    return Line(verdict.benchmark, verdict.label, mean, low, high, paired.n)


def _mean(found: Aggregate) -> Line:
    return Line(f"mean of {found.benchmarks}", "", found.mean, found.low, found.high, is_overall=True)


def figure(evidence: Evidence) -> Drawing:
    """Draw one line a claim and benchmark: mean and interval, coloured and shaped by the verdict, which is written out.

    Parameters
    ----------
    evidence : Evidence

    Raises
    ------
    NothingToDraw
        If there is no claim with a difference in units of a margin.
    """
    shown = lines(evidence)
    if all(math.isnan(line.mean) for line in shown):
        raise NothingToDraw("No claim is declared for which there are differences and a margin.")
    with styled():
        drawn, ((axis,),) = grid(1, 1, LINE * (sum(line.height for line in shown) + 2) + 0.3)
        is_logarithmic = _panel(axis, shown)
        legend(drawn, _keys(shown), 5)
    beyond = f" Beyond ±{LINEAR:g} margins the scale is logarithmic." if is_logarithmic else ""
    return Drawing(
        drawn,
        "Difference in test metric in units of the benchmark's margin, by claim and benchmark, paired by seed "
        f"({counted(line.n for line in shown if line.n)}); to the right is better for the loss named first. Markers "
        "and bars: mean and its t-interval, simultaneous at 95 % over the benchmarks of the claim; diamonds: mean of "
        "the benchmarks and its 95 % bootstrap interval. Dotted lines: the margins. Colour, shape and word: the "
        f"verdict, which goes by these intervals.{beyond}",
    )


def _keys(shown: list[Line]) -> list[Line2D]:
    present = {line.label for line in shown if not line.is_overall}
    keys = {label: drawn for label, drawn in LABELS.items() if label in present}
    if any(line.is_overall for line in shown):
        keys["mean of benchmarks"] = OVERALL
    return [Line2D([], [], color=colour, marker=marker, label=label) for label, (colour, marker) in keys.items()]


def _places(shown: list[Line]) -> list[float]:
    """Return where the lines stand: each in the middle of as much as it takes."""
    ends = np.cumsum([line.height for line in shown])
    return [float(end - (line.height + 1) / 2) for end, line in zip(ends, shown, strict=True)]


def _panel(axis: Axes, shown: list[Line]) -> bool:
    places = _places(shown)
    for place, line in zip(places, shown, strict=True):
        colour, marker = OVERALL if line.is_overall else LABELS.get(line.label, UNKNOWN)
        if not math.isnan(line.low):
            axis.plot([line.low, line.high], [place, place], color=colour, linewidth=1.6, zorder=3)
        if not math.isnan(line.mean):
            axis.plot([line.mean], [place], color=colour, marker=marker, markersize=5.5, linestyle="", zorder=4)
    ends = np.array([(line.mean, line.low, line.high) for line in shown]).ravel()
    is_logarithmic = margin_scale(axis, ends, 1.0, TICKS)
    axis.axvline(0.0, color="black", linewidth=0.9, zorder=1)
    for bound in (-1.0, 1.0):
        axis.axvline(bound, color="black", linestyle=":", linewidth=0.9, zorder=1)
    axis.set_ylim(sum(line.height for line in shown) - 0.4, -0.6)
    _names(axis, shown, places)
    scale = f", logarithmic beyond ±{LINEAR:g}" if is_logarithmic else ""
    axis.set_xlabel(f"← worse      difference in margins{scale}      better →")
    return is_logarithmic


def _names(axis: Axes, shown: list[Line], places: list[float]) -> None:
    """Write benchmarks at the left, verdicts at the right, and claims on lines of their own inside the panel."""
    named = [(place, line.shown) for place, line in zip(places, shown, strict=True) if not line.is_claim]
    axis.set_yticks([place for place, _ in named], [text for _, text in named])
    axis.grid(visible=False, axis="y")
    on_axes = axis.get_yaxis_transform()
    for place, line in zip(places, shown, strict=True):
        if line.is_claim:
            half = line.height / 2
            axis.axhspan(place - half, place + half, color="#eeeeee", linewidth=0, zorder=5)
            axis.text(
                0.01,
                place,
                line.shown,
                transform=on_axes,
                ha="left",
                va="center",
                weight="bold",
                fontsize=7.5,
                zorder=6,
            )
        weight = "bold" if line.is_claim else "normal"
        axis.text(1.01, place, _said(line), transform=on_axes, ha="left", va="center", weight=weight, fontsize=7.0)


def _said(line: Line) -> str:
    if line.is_claim:
        return f"{line.label} overall"
    if math.isnan(line.mean):
        return f"{line.label} (n = {line.n})"
    difference = number(line.mean, "+.1f")
    return difference if line.is_overall else f"{line.label} ({difference}, n = {line.n})"
