"""Rows across benchmarks: mean ranks with what their test could find at all, and performance profiles."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from analysis.evidence.gather import Evidence
from analysis.figures.canvas import (
    NAME_LINE,
    Drawing,
    NothingToDraw,
    counted,
    grid,
    legend,
    lines_of,
    margin_scale,
    number,
    percent,
    row_names,
)
from analysis.figures.style import handle, look, styled
from analysis.statistics.aggregates import Profile, interquartile_mean, profile_of

if TYPE_CHECKING:
    from analysis.statistics.ranks import Ranks

FEWEST_ROWS, FEWEST_BENCHMARKS = 3, 2
LINE = 0.22
WRAP = 95
PROFILE = 2.6


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
    with styled(evidence.labels):
        drawn, ((axis,),) = grid(1, 1, max(LINE, NAME_LINE * lines_of(ranked.names)) * len(ranked.names) + LINE * 4)
        _panel(axis, ranked)
        drawn.supxlabel(textwrap.fill(power_sentence(ranked), WRAP), fontsize="medium")
    return Drawing(
        drawn,
        f"Mean rank of {len(ranked.names)} rows over {len(scored)} benchmarks (1 is best; ranks of mean test metrics), "
        "with the critical difference of Nemenyi's test at 5 % and what such a test could find. Thick bars join rows "
        "that it cannot tell apart.",
    )


def profiles(evidence: Evidence) -> Drawing:
    """Draw for each row the share of its runs that reach a difference from the baseline, by that difference.

    Parameters
    ----------
    evidence : Evidence

    Raises
    ------
    NothingToDraw
        If no row is compared with the baseline, with a margin, on all of at least two benchmarks.
    """
    found = {row: mine for row in evidence.labels if (mine := _in_margins(evidence, row))}
    if len(evidence.benchmarks) < FEWEST_BENCHMARKS or not found:
        raise NothingToDraw(
            f"Profiles need a row that is compared with the baseline, with margins, on all of at least "
            f"{FEWEST_BENCHMARKS} benchmarks."
        )
    with styled(evidence.labels):
        drawn, ((axis,),) = grid(1, 1, PROFILE)
        ends = np.concatenate([each for mine in found.values() for each in mine.values()])
        margin_scale(axis, ends, 1.0, 9)
        handles = []
        for row, mine in found.items():
            _profile(axis, row, profile_of(mine))
            middle = float(interquartile_mean(np.array([each.mean() for each in mine.values()])))
            handles.append(handle(row, marked=False))
            handles[-1].set_label(f"{row}: {number(middle, '+.2f')}")
        axis.axvline(0.0, color="black", linewidth=0.9, zorder=1)
        axis.set(ylim=(-0.02, 1.02), ylabel="share of runs with at least that")
        axis.set_xlabel("difference from the baseline in margins")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))
        legend(drawn, handles, 3)
    counts = [len(each) for mine in found.values() for each in mine.values()]
    return Drawing(
        drawn,
        f"Performance profiles: for each row the share of runs whose difference from {evidence.baseline} with the same "
        "seed is at least so many margins; every benchmark weighs alike "
        f"({len(evidence.benchmarks)} benchmarks, {counted(counts)}). The line that is farther up and to the right is "
        "the better one. Bands: 95 % of resampled seeds. Behind the names: the interquartile mean over benchmarks.",
    )


def _in_margins(evidence: Evidence, row: str) -> dict[str, np.ndarray]:
    """Return a row's differences from the baseline in margins, by benchmark; none if they lack on one of them."""
    mine = {one.benchmark: one.differences / one.margin for one in evidence.comparisons if one.row == row}
    whole = len(mine) == len(evidence.benchmarks) and all(len(each) for each in mine.values())
    return mine if whole and all(np.isfinite(each).all() for each in mine.values()) else {}


def _profile(axis: Axes, row: str, found: Profile) -> None:
    left, right = axis.get_xlim()
    at = np.concatenate([[left], found.at, [right]])
    shown = look(row)
    lines = (np.concatenate([[1.0], part, [0.0]]) for part in (found.share, found.low, found.high))
    share, low, high = lines
    axis.plot(at, share, drawstyle="steps-pre", color=shown.colour, linestyle=shown.line, zorder=3)
    axis.fill_between(at, low, high, step="pre", color=shown.colour, alpha=0.15, linewidth=0, zorder=2)


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
    for line, name in enumerate(names):
        shown, rank, place = look(name), means[name], first_row + line
        axis.plot([rank, rank], [0.0, place], color="#999999", linewidth=0.7, zorder=1)
        axis.plot([0.5, rank], [place, place], color=shown.colour, linestyle=shown.line, linewidth=1.0, zorder=2)
        axis.plot([rank], [place], color=shown.colour, marker=shown.marker, markersize=6.0, zorder=4, clip_on=False)
        axis.annotate(f"{rank:.2f}", (rank, place), (6, 0), textcoords="offset points", va="center")
    for bar, (first, last) in enumerate(joined):
        level = 0.35 + 0.35 * bar
        axis.plot([first - 0.04, last + 0.04], [level, level], color="black", linewidth=3.0, zorder=3)
    _critical_difference(axis, ranked)
    right = max(float(len(names)), 1.0 + ranked.critical_difference)
    axis.set(xlim=(0.5, right + 0.3), ylim=(first_row + len(names) - 0.4, -1.3))
    axis.set_xticks(range(1, len(names) + 1))
    axis.xaxis.set_ticks_position("top")
    axis.spines["top"].set_position(("data", 0.0))
    for side in ("left", "right", "bottom"):
        axis.spines[side].set_visible(False)
    axis.set_yticks([first_row + number for number in range(len(names))], row_names(names))
    axis.grid(visible=False)


def _critical_difference(axis: Axes, ranked: Ranks) -> None:
    right = 1.0 + ranked.critical_difference
    axis.plot([1.0, right], [-0.9, -0.9], color="black", linewidth=1.2, marker="|", markersize=6.0)
    text = f"critical difference {ranked.critical_difference:.2f}"
    if not ranked.can_separate:
        text += f" > {ranked.largest_difference:g}, the largest possible: nothing can be told apart"
    axis.annotate(text, (1.0, -0.9), (0, 5), textcoords="offset points", ha="left", va="bottom")
