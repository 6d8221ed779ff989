"""Score against cost: what a row takes to train, alone and with the search for its parameters."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from analysis.evidence.choice import MEDIAN, VALIDATED
from analysis.evidence.gather import Evidence
from analysis.evidence.searches.trials import TUNED
from analysis.figures.canvas import Drawing, NothingToDraw, counted, label_panel, legend, number, panels, rows_in
from analysis.figures.style import handle, look, styled

SECONDS = "seconds/training"
_KEY = (
    Line2D([], [], color="#555555", marker="o", linestyle="", label="training"),
    Line2D([], [], color="#555555", marker="o", markerfacecolor="none", linestyle="", label="and the search for it"),
)


def points(evidence: Evidence) -> pd.DataFrame:
    """Return what every row scores and costs.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    DataFrame
        Columns ``benchmark row n score std seconds searched``: seeds, mean and standard deviation of the primary test
        metric, mean seconds of training a run, and with the seconds of all runs of the search that chose the row's
        parameters (NaN for a row that nothing was chosen for).
    """
    if SECONDS not in evidence.rows:
        return pd.DataFrame(columns=["benchmark", "row", "n", "score", "std", "seconds", "searched"])
    losses = evidence.rows[evidence.rows["kind"] == "loss"]
    grouped = losses.groupby(["benchmark", "row", "loss", "at"], sort=True)
    found = grouped.agg(n=("test", "count"), score=("test", "mean"), std=("test", "std"), seconds=(SECONDS, "mean"))
    found = found.dropna(subset="seconds").reset_index()
    spent = {(one.benchmark, one.loss, at): one.seconds for one in evidence.choices for at in (VALIDATED, MEDIAN)}
    for one in evidence.searches:
        spent |= {(one.benchmark, one.loss, str(k)): one.seconds_of(k) for k in range(2, one.trials + 1)}
        spent[one.benchmark, one.loss, TUNED] = one.seconds_of(one.trials)
    extra = [spent.get(tuple(place), math.nan) for place in found[["benchmark", "loss", "at"]].to_numpy()]
    found["searched"] = found["seconds"] + pd.Series(extra, index=found.index, dtype=float)
    return found.drop(columns=["loss", "at"])


def figure(evidence: Evidence) -> Drawing:
    """Draw one panel a benchmark: a marker a row, and another where its parameters were searched for.

    Parameters
    ----------
    evidence : Evidence

    Raises
    ------
    NothingToDraw
        If no run logged the seconds of its training.
    """
    found = points(evidence)
    if found.empty:
        raise NothingToDraw("No run of a loss logged the seconds of its training.")
    rows = rows_in(evidence, found)
    benchmarks = [name for name in evidence.benchmarks if (found["benchmark"] == name).any()]
    with styled(evidence.labels):
        drawn, axes = panels(len(benchmarks), 2.1)
        for axis, benchmark in zip(axes, benchmarks, strict=True):
            _panel(axis, found[found["benchmark"] == benchmark], rows)
            label_panel(axis, evidence, benchmark, "seconds")
        legend(drawn, [*(handle(row, lined=False) for row in rows), *_KEY])
    return Drawing(
        drawn,
        "Primary test metric against what it takes. Filled markers: mean seconds of training a run; bars: standard "
        f"deviation over evaluation seeds ({counted(found['n'])}). Hollow markers, joined to them: the same with all "
        "runs of the search that chose the row's parameters. Seconds are wall time, and compare only as far as the "
        "runs were made on like machines under like load.",
    )


def _panel(axis: Axes, found: pd.DataFrame, rows: list[str]) -> None:
    for row in rows:
        for one in found[found["row"] == row].to_dict("records"):
            shown = look(row)
            std = 0.0 if math.isnan(one["std"]) else one["std"]
            axis.plot([one["seconds"]] * 2, [one["score"] - std, one["score"] + std], color=shown.colour, linewidth=1.0)
            if not math.isnan(one["searched"]):
                both = [one["seconds"], one["searched"]]
                axis.plot(both, [one["score"]] * 2, color=shown.colour, linewidth=0.6, linestyle=":")
                axis.plot(both[1:], [one["score"]], **shown.marks, markerfacecolor="none", markersize=5.0)
            axis.plot([one["seconds"]], [one["score"]], **shown.marks, markersize=6.0, markeredgecolor="white")
    axis.margins(0.12)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0,) if _is_wide(found) else (1.0, 2.0, 5.0), numticks=5))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.yaxis.set_major_locator(MaxNLocator(5))


def _is_wide(found: pd.DataFrame) -> bool:
    ends = pd.concat([found["seconds"], found["searched"]]).dropna()
    return bool(ends.max() > 30 * ends.min())
