"""Budget curves: the expected test score of the best of k configurations, beside what is declared without a trial."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.evidence.choice import natural
from analysis.evidence.gather import Evidence
from analysis.evidence.searches.budget import DRAWN, Budget, budgets_of
from analysis.figures.canvas import Drawing, NothingToDraw, counted, legend, metric_label, panels, wrapped
from analysis.figures.style import handle, look, styled

#: From so many trials on not every one has a mark.
MARKED = 16
_KEYS = (
    Line2D([], [], color="#555555", marker="o", markerfacecolor="none", linestyle="", label="as declared, no trial"),
    Line2D([], [], color="#555555", linestyle=":", label="and its level"),
)


def figure(evidence: Evidence) -> Drawing:
    """Draw one panel a benchmark: a line a loss with its interval, and the level of every loss as declared.

    Parameters
    ----------
    evidence : Evidence

    Raises
    ------
    NothingToDraw
        Without a search all of whose trials have every selection seed.
    """
    found = budgets_of(evidence.searches)
    if not found:
        raise NothingToDraw("No search was run of which every trial has every selection seed: `python -m suite tune`.")
    benchmarks = sorted({one.search.benchmark for one in found}, key=natural)
    losses = sorted({one.search.loss for one in found}, key=natural)
    with styled(evidence.labels):
        drawn, axes = panels(len(benchmarks), 2.3)
        for axis, benchmark in zip(axes, benchmarks, strict=True):
            _panel(axis, [one for one in found if one.search.benchmark == benchmark])
        legend(drawn, [*(handle(loss) for loss in losses), *_KEYS])
    many = [len(one.search.seeds) for one in found]
    how = "what all but one choose, the one that is left out reports" if min(many) > 1 else "a single one does both"
    if min(many) == 1 < max(many):
        how = f"what all but one choose, the one that is left out reports; {how}"
    return Drawing(
        drawn,
        "Expected test score of the best by validation of k configurations that are drawn at random from the search "
        "space: lines; bands: 95 % interval over configurations and seeds, cut off where it leaves the panel. Hollow "
        "markers at the left and dotted lines: the configuration that the registry declares, without a trial. Where a "
        "line crosses the level of another loss, so many trials are its price (table price). "
        f"{counted(many, 'selection seed')}; {how}.",
    )


def _panel(axis: Axes, found: list[Budget]) -> None:
    heights: list[float] = []
    for one in found:
        shown, points = look(one.search.loss), one.points(DRAWN)
        markers = {} if len(points) < MARKED else {"marker": ""}
        axis.plot(points["k"], points["mean"], **(shown.curve | markers), zorder=3)
        axis.fill_between(points["k"], points["low"], points["high"], color=shown.colour, alpha=0.12, linewidth=0)
        axis.axhline(one.declared, color=shown.colour, linestyle=":", linewidth=0.9)
        axis.plot([0], [one.declared], **shown.marks, markerfacecolor="none", zorder=4)
        heights += [one.declared, *points["mean"]]
    low, high = min(heights), max(heights)
    pad = 0.15 * (high - low) or 0.01 * max(abs(high), 1e-6)
    axis.set_ylim(low - pad, high + pad)
    most = max(len(one.points(DRAWN)) for one in found)
    axis.set_xlim(-0.04 * most - 0.3, most + 0.04 * most + 0.2)
    ticks = [0, *_ticks(most)]
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.yaxis.set_major_locator(MaxNLocator(5))
    search = found[0].search
    label = wrapped(metric_label(search.metric, search.goal), 26)
    axis.set(title=wrapped(search.benchmark, 26), xlabel="trials k", ylabel=f"test\n{label}")


def _ticks(most: int) -> list[int]:
    """Return whole numbers of trials to name: all of a few, else about eight."""
    step = max(1, math.ceil(most / 8))
    return [int(k) for k in np.arange(step, most + 1, step)]
