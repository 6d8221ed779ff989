"""Critical-difference diagram: mean ranks over benchmarks, with what such a test could find at all."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from analysis.evidence.gather import Evidence
from analysis.figures.canvas import NAME, NAME_LINE, Drawing, NothingToDraw, grid, lines_of, percent, wrapped
from analysis.figures.style import look, styled

if TYPE_CHECKING:
    from analysis.statistics.ranks import Ranks

FEWEST_ROWS, FEWEST_BENCHMARKS = 3, 2
LINE = 0.22
WRAP = 95


def groups(mean_ranks: Sequence[float], critical_difference: float) -> list[tuple[float, float]]:
    """Return first and last rank of every longest run of ranks that the test cannot tell apart (Demsar 2006)."""
    ordered = sorted(mean_ranks)
    found: list[tuple[float, float]] = []
    for first in ordered:
        last = max(rank for rank in ordered if rank - first < critical_difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def figure(evidence: Evidence) -> Drawing:
    """Draw mean ranks, the critical difference, and bars that join what cannot be told apart.

    Parameters
    ----------
    evidence : Evidence

    Raises
    ------
    NothingToDraw
        With fewer than three rows or two benchmarks to rank.
    """
    from analysis.statistics.ranks import ranks

    scored = evidence.scores()
    if scored.shape[1] < FEWEST_ROWS or scored.shape[0] < FEWEST_BENCHMARKS:
        raise NothingToDraw(
            f"Ranks need at least {FEWEST_ROWS} rows on each of at least {FEWEST_BENCHMARKS} benchmarks; there are "
            f"{scored.shape[1]} rows that every one of {scored.shape[0]} benchmarks has."
        )
    ranked = ranks(scored, evidence.standard_errors())
    with styled():
        drawn, ((axis,),) = grid(1, 1, max(LINE, NAME_LINE * lines_of(ranked.names)) * len(ranked.names) + LINE * 4)
        _panel(axis, ranked)
        drawn.supxlabel(textwrap.fill(power_sentence(ranked), WRAP), fontsize="medium")
    return Drawing(
        drawn,
        f"Mean rank of {len(ranked.names)} rows over {len(scored)} benchmarks (1 is best; ranks of mean test metrics), "
        "with the critical difference of Nemenyi's test at 5 % and what such a test could find. Thick bars join rows "
        "that it cannot tell apart.",
    )


def power_sentence(ranked: Ranks) -> str:
    """Say what the test could have found."""
    rows = len(ranked.names)
    if not ranked.can_separate:
        return (
            f"With {ranked.benchmarks} benchmarks and {rows} rows nothing can be told apart: the critical difference, "
            f"{ranked.critical_difference:.2f}, is larger than the largest difference that there can be, "
            f"{ranked.largest_difference:g}."
        )
    power = (
        "The noise is not known, and so neither is its power."
        if math.isnan(ranked.power)
        else f"Power: it would tell a row that is better by one margin on every benchmark from one given other row in "
        f"{percent(ranked.power)} of such campaigns."
    )
    return (
        f"Friedman's p = {ranked.friedman_p:.2g}. With {ranked.benchmarks} benchmarks and {rows} rows a difference of "
        f"{ranked.critical_difference:.2f} mean ranks, of at most {ranked.largest_difference:g}, is needed. {power}"
    )


def _panel(axis: Axes, ranked: Ranks) -> None:
    means = dict(zip(ranked.names, np.asarray(ranked.mean_ranks, dtype=float), strict=True))
    names = sorted(means, key=lambda name: (means[name], ranked.names.index(name)))
    joined = groups(list(means.values()), ranked.critical_difference)
    first_row = 0.6 + 0.35 * len(joined)
    for number, name in enumerate(names):
        shown, rank, place = look(name), means[name], first_row + number
        axis.plot([rank, rank], [0.0, place], color="#999999", linewidth=0.7, zorder=1)
        axis.plot([0.5, rank], [place, place], color=shown.colour, linestyle=shown.line, linewidth=1.0, zorder=2)
        axis.plot([rank], [place], color=shown.colour, marker=shown.marker, markersize=6.0, zorder=4, clip_on=False)
        axis.annotate(f"{rank:.2f}", (rank, place), (6, 0), textcoords="offset points", va="center")
    for number, (first, last) in enumerate(joined):
        level = 0.35 + 0.35 * number
        axis.plot([first - 0.04, last + 0.04], [level, level], color="black", linewidth=3.0, zorder=3)
    _critical_difference(axis, ranked)
    right = max(float(len(names)), 1.0 + ranked.critical_difference)
    axis.set(xlim=(0.5, right + 0.3), ylim=(first_row + len(names) - 0.4, -1.3))
    axis.set_xticks(range(1, len(names) + 1))
    axis.xaxis.set_ticks_position("top")
    axis.spines["top"].set_position(("data", 0.0))
    for side in ("left", "right", "bottom"):
        axis.spines[side].set_visible(False)
    axis.set_yticks([first_row + number for number in range(len(names))], [wrapped(name, NAME) for name in names])
    axis.grid(visible=False)


def _critical_difference(axis: Axes, ranked: Ranks) -> None:
    right = 1.0 + ranked.critical_difference
    axis.plot([1.0, right], [-0.9, -0.9], color="black", linewidth=1.2, marker="|", markersize=6.0)
    text = f"critical difference {ranked.critical_difference:.2f}"
    if not ranked.can_separate:
        text += f" > {ranked.largest_difference:g}, the largest possible: nothing can be told apart"
    axis.annotate(text, (1.0, -0.9), (0, 5), textcoords="offset points", ha="left", va="bottom")
