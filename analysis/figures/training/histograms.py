"""How the cosines of positives and of negatives are spread at the end of training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.evidence.choice import natural
from analysis.evidence.gather import Evidence
from analysis.evidence.series import HISTOGRAM_NEGATIVE, HISTOGRAM_POSITIVE, by_row
from analysis.figures.canvas import (
    Drawing,
    NothingToDraw,
    legend,
    name_rows,
    number,
    panels,
    percent,
    row_height,
    rows_in,
    say,
    seeds,
    wrapped,
)
from analysis.figures.style import Look, look, styled

BINS = 100
EDGES = np.linspace(-1.0, 1.0, BINS + 1)
CENTRES = (EDGES[:-1] + EDGES[1:]) / 2
HEIGHT = 0.82
#: From this share on, a single bin holds so much that it is said in words.
COLLAPSED = 0.5
_KEY = (
    Line2D([], [], color="#333333", marker="", label="positives"),
    Patch(facecolor="#333333", alpha=0.3, label="negatives"),
    Line2D([], [], color="#333333", marker="o", linestyle="", label="mean of positives"),
    Line2D([], [], color="#333333", marker="o", markerfacecolor="white", linestyle="", label="mean of negatives"),
)


def shares(evidence: Evidence, curves: pd.DataFrame) -> pd.DataFrame:
    """Average histograms over seeds.

    Parameters
    ----------
    evidence : Evidence
    curves : DataFrame
        Columns ``run_id name step value``, `step` being the bin and `value` its share.

    Returns
    -------
    DataFrame
        Columns ``benchmark row name n`` and ``0`` to ``99``, the mean share of each bin of [-1, 1].
    """
    points = by_row(evidence, curves, HISTOGRAM_POSITIVE, HISTOGRAM_NEGATIVE)
    points = points[points["step"].between(0, BINS - 1)]
    group = ["benchmark", "row", "name"]
    runs = points.groupby(group)["seed"].nunique()
    mean = points.groupby([*group, "step"])["value"].sum().unstack("step").reindex(columns=range(BINS)).fillna(0.0)
    return mean.div(runs, axis=0).assign(n=runs).rename_axis(columns=None).reset_index()


def figure(evidence: Evidence, curves: pd.DataFrame) -> Drawing:
    """Draw one panel a benchmark and in it one ridge a row, each histogram as high as its fullest bin.

    Parameters
    ----------
    evidence : Evidence
    curves : DataFrame
        Columns ``run_id name step value``.

    Raises
    ------
    NothingToDraw
        If no run logged histograms.
    """
    spread = shares(evidence, curves)
    if spread.empty:
        raise NothingToDraw("No run logged histograms of its cosines (runs of an older version do not).")
    benchmarks = sorted(spread["benchmark"].unique(), key=natural)
    rows = rows_in(evidence, spread)
    with styled(evidence.labels):
        drawn, axes = panels(len(benchmarks), 0.6 + row_height(rows, 0.36) * len(rows), sharey=True)
        for axis, benchmark in zip(axes, benchmarks, strict=True):
            here = spread[spread["benchmark"] == benchmark]
            for place in sorted(set(range(len(rows))) - {rows.index(row) for row in here["row"]}):
                say(axis, place, "not logged")
            for one in here.to_dict("records"):
                counts = np.array([one[step] for step in range(BINS)])
                _ridge(axis, counts, rows.index(one["row"]), look(one["row"]), one["name"] == HISTOGRAM_POSITIVE)
            name_rows(axis, rows)
            axis.set_ylim(len(rows) - 0.45, -0.6)
            axis.set(title=wrapped(benchmark, 26), xlabel="cosine", xlim=(-1.03, 1.03))
            axis.set_xticks((-1.0, -0.5, 0.0, 0.5, 1.0), ("\N{MINUS SIGN}1", "", "0", "", "1"))
        legend(drawn, _KEY)
    return Drawing(
        drawn,
        "Cosines of positives (lines) and of negatives (filled) in the last training batch, in 100 bins, mean over "
        f"evaluation seeds ({seeds(evidence, spread['n'])}). Every histogram is scaled to its fullest bin; where one "
        f"bin holds {percent(COLLAPSED)} or more, the share is written beside it. Markers: mean cosines.",
    )


def _ridge(axis: Axes, counts: np.ndarray, place: int, shown: Look, is_positive: bool) -> None:
    """Draw a histogram [BINS] upwards from the line of its row."""
    fullest = int(counts.argmax())
    if counts[fullest] <= 0:
        return
    ground = place + 0.35
    heights = ground - HEIGHT * counts / counts[fullest]
    order = 2.0 + place
    # as stairs(), whose patch would be measured curve by curve
    across, up = np.repeat(EDGES, 2), np.concatenate([[ground], np.repeat(heights, 2), [ground]])
    if is_positive:
        axis.plot(across, up, color=shown.colour, linewidth=1.0, zorder=order + 0.2)
    else:
        axis.fill_between(across, up, ground, color=shown.colour, alpha=0.3, linewidth=0, zorder=order)
    mean = float((counts * CENTRES).sum() / counts.sum())
    face = shown.colour if is_positive else "white"
    axis.plot([mean], [ground], **shown.marks, markerfacecolor=face, markersize=3.5, zorder=order + 0.4, clip_on=False)
    if counts[fullest] >= COLLAPSED:
        side = -1 if CENTRES[fullest] > 0 else 1
        axis.annotate(
            f"{percent(counts[fullest])} of {'positives' if is_positive else 'negatives'} in "
            f"{number(EDGES[fullest], '.2g')} to {number(EDGES[fullest + 1], '.2g')}",
            (EDGES[fullest] if side < 0 else EDGES[fullest + 1], ground),
            (4 * side, 12 if is_positive else 3),
            textcoords="offset points",
            ha="right" if side < 0 else "left",
            fontsize=6.0,
            zorder=10 + BINS,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.4},
        )
