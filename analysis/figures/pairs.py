"""All pairs of rows: by how many margins the one at the left is better than the one below."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.image import AxesImage

from analysis.evidence.comparison import described
from analysis.evidence.gather import Evidence
from analysis.figures.canvas import (
    NAME_LINE,
    Drawing,
    NothingToDraw,
    counted,
    lines_of,
    number,
    panels,
    row_names,
    wrapped,
)
from analysis.figures.style import styled
from analysis.statistics.differences import ALPHA, holm, paired_p

#: Colours are full from so many margins on.
FULL = 3.0
#: With more rows, cells have no number.
NUMBERED = 9
CELL, LEAST_CELL = 0.24, 0.11


def differences(evidence: Evidence, benchmark: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare each two rows of losses on one benchmark, paired by the seeds that both have.

    Parameters
    ----------
    evidence : Evidence
    benchmark : str

    Returns
    -------
    means : array [rows, rows]
        Mean difference, row minus column, in margins (in the metric's unit without a margin), positive is better.
    ps : array [rows, rows]
        p of the paired t-test after Holm's correction over the pairs of the benchmark.
    counts : array [rows, rows]
        Common seeds.
    """
    here = evidence.rows[(evidence.rows["benchmark"] == benchmark) & (evidence.rows["kind"] == "loss")]
    _, goal, margin = described(here)
    unit = (margin if margin > 0 else 1.0) * (-1.0 if goal == "minimise" else 1.0)
    layout = here.pivot_table(index="seed", columns="row", values="test", aggfunc="first")
    values = layout.reindex(columns=list(evidence.labels)).to_numpy(dtype=float) / unit
    gaps = values[:, :, None] - values[:, None, :]
    counts = np.isfinite(gaps).sum(axis=0)
    means = np.where(counts > 0, np.nansum(gaps, axis=0) / np.maximum(counts, 1), math.nan)
    plain = paired_p(gaps)
    upper = np.triu_indices(len(means), 1)
    ps = np.full(means.shape, math.nan)
    ps[upper] = ps.T[upper] = holm([float(p) for p in plain[upper]])
    return means, ps, counts


def figure(evidence: Evidence) -> Drawing:
    """Draw one panel a benchmark with a cell for each two rows.

    Parameters
    ----------
    evidence : Evidence

    Raises
    ------
    NothingToDraw
        With fewer than two rows of losses.
    """
    rows = list(evidence.labels)
    if len(rows) < 2:
        raise NothingToDraw(f"Pairs need two rows of losses; there {'is one' if rows else 'is none'}.")
    run = set(evidence.rows.loc[evidence.rows["kind"] == "loss", "benchmark"])
    found = {name: differences(evidence, name) for name in evidence.benchmarks if name in run}
    counts = [int(n) for _, _, common in found.values() for n in common[np.triu_indices(len(rows), 1)] if n]
    numbers = [f"{place + 1}  {name}" for place, name in enumerate(row_names(rows))]
    cell = max(CELL if len(rows) <= NUMBERED else LEAST_CELL, NAME_LINE * lines_of(rows))
    with styled():
        drawn, axes = panels(len(found), 0.75 + cell * len(rows), sharey=True)
        for axis, (benchmark, (means, ps, _)) in zip(axes, found.items(), strict=True):
            image = _panel(axis, means, ps, numbers)
            axis.set_title(wrapped(benchmark, 26))
        colours = drawn.colorbar(image, ax=axes, orientation="horizontal", fraction=0.03, aspect=50, extend="both")
        colours.set_label("row minus column in margins; blue: the row is better")
    return Drawing(
        drawn,
        "All pairs of rows: mean difference in test metric, the row at the left minus the column with its number, in "
        f"margins, paired by seed ({counted(counts)}); positive is better for the row, also where the metric is "
        f"minimised. Colours are full from {FULL:g} margins on. "
        + ("Bold" if len(rows) <= NUMBERED else "A dot")
        + f": the paired t-test tells the two apart (p < {ALPHA:g} after Holm's correction over the pairs of the "
        "benchmark).",
    )


def _panel(axis: Axes, means: np.ndarray, ps: np.ndarray, numbers: Sequence[str]) -> AxesImage:
    shown = means.copy()
    np.fill_diagonal(shown, math.nan)
    image = axis.imshow(shown, cmap="RdBu", norm=TwoSlopeNorm(0.0, -FULL, FULL), aspect="auto", interpolation="nearest")
    is_apart = ps < ALPHA
    if len(numbers) <= NUMBERED:
        for i, j in np.argwhere(np.isfinite(shown)):
            colour = "white" if abs(shown[i, j]) > 0.7 * FULL else "#222222"
            weight = "bold" if is_apart[i, j] else "normal"
            text = number(shown[i, j], "+.1f" if abs(shown[i, j]) < 9.95 else "+.0f")
            axis.text(j, i, text, ha="center", va="center", fontsize=6.0, color=colour, weight=weight)
    else:
        down, across = np.nonzero(is_apart & np.isfinite(shown))
        axis.plot(across, down, linestyle="", marker=".", markersize=1.5, color="#222222")
    axis.set_yticks(range(len(numbers)), numbers)
    step = 1 if len(numbers) <= 12 else 5
    places = range(0, len(numbers), step)
    axis.set_xticks(places, [str(place + 1) for place in places])
    axis.grid(visible=False)
    return image
