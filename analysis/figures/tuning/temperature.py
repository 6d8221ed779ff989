"""The primary validation metric against a parameter that was swept, with the levels of what has no such parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.evidence.choice import MEDIAN, VALIDATED, Choice, members, natural
from analysis.evidence.gather import Evidence
from analysis.figures.canvas import Drawing, NothingToDraw, counted, legend, metric_label, number, panels, wrapped
from analysis.figures.style import handle, look, styled
from analysis.read.collect import Collected

#: Ticks nearer than this share of the axis are not labelled.
NEAR = 0.12
#: Levels farther from the sweep than so many times its own range are written, not drawn.
AWAY = 1.5
#: What a written level takes of a panel's height.
ROOM = 0.13
#: Letters of its name.
WRITTEN = 20


@dataclass(frozen=True)
class Sweep:
    """A sweep on one benchmark.

    Attributes
    ----------
    benchmark, metric, goal, purpose : str
    points : DataFrame
        Columns ``value n mean std``, a row a value that was swept.
    levels : DataFrame
        The same columns, by loss: those without the parameter, over the same seeds.
    seeds : int
    declared : DataFrame
        Like `points`: the values with which the loss is declared; `mean` is NaN where it was not run with these seeds.
    choice : Choice or None
    """

    benchmark: str
    metric: str
    goal: str
    purpose: str
    points: pd.DataFrame
    levels: pd.DataFrame
    seeds: int
    declared: pd.DataFrame
    choice: Choice | None


def sweeps(collected: Collected, choices: tuple[Choice, ...], loss: str, parameter: str) -> list[Sweep]:
    """Summarise a sweep on every benchmark that has it, over its selection seeds if it was run with them.

    Parameters
    ----------
    collected : Collected
        The runs of one profile.
    choices : tuple of Choice
    loss, parameter : str
        What was swept.
    """
    runs = collected.runs
    swept = members(runs)
    swept = swept[(swept["base"] == loss) & swept["setting"].str.startswith(f"{parameter}=")]
    swept = swept.assign(value=pd.to_numeric(swept["setting"].str.split("=", n=1).str[-1], errors="coerce"))
    swept = swept.dropna(subset="value")
    chosen = {choice.benchmark: choice for choice in choices if choice.loss == loss}
    return [
        _sweep(str(benchmark), here, runs, loss, parameter, chosen.get(str(benchmark)))
        for benchmark, here in sorted(swept.groupby("benchmark"), key=lambda group: natural(str(group[0])))
    ]


def _sweep(
    benchmark: str, swept: pd.DataFrame, runs: pd.DataFrame, loss: str, parameter: str, choice: Choice | None
) -> Sweep:
    purpose = "selection" if (swept["purpose"] == "selection").any() else "evaluation"
    mine = swept[swept["purpose"] == purpose]
    of_benchmark = runs[(runs["benchmark"] == benchmark) & (runs["kind"] == "loss")]
    same = of_benchmark[(of_benchmark["purpose"] == purpose) & of_benchmark["seed"].isin(mine["seed"])]
    others = same[~same["loss"].str.contains("@") & (same["loss"] != loss)]
    own = of_benchmark[of_benchmark["loss"] == loss]
    own = own.assign(value=pd.to_numeric(own.get(f"param.loss.{parameter}", math.nan), errors="coerce"))
    own = own.assign(val=own["val"].where(own.index.isin(same.index)))
    return Sweep(
        benchmark=benchmark,
        metric=str(mine["metric"].iloc[0]),
        goal=str(mine["goal"].iloc[0]),
        purpose=purpose,
        points=_summary(mine, "value"),
        levels=_summary(others, "loss"),
        seeds=mine["seed"].nunique(),
        declared=_summary(own, "value"),
        choice=choice,
    )


def _summary(runs: pd.DataFrame, by: str) -> pd.DataFrame:
    """Count, mean and standard deviation (ddof 1) of the validation metric."""
    return runs.groupby(by)["val"].agg(n="count", mean="mean", std="std").reset_index()


def figure(evidence: Evidence, loss: str = "infonce", parameter: str = "temperature") -> Drawing:
    """Draw one panel a benchmark.

    Parameters
    ----------
    evidence : Evidence
    loss, parameter : str
        The loss that was swept, and over what.

    Raises
    ------
    NothingToDraw
        Without a sweep of that name.
    """
    found = sweeps(evidence.collected, evidence.choices, loss, parameter)
    if not found:
        raise NothingToDraw(f"No run of a sweep over the {parameter} of {loss}.")
    with styled(evidence.labels):
        drawn, axes = panels(len(found), 2.0)
        for axis, sweep in zip(axes, found, strict=True):
            _panel(axis, sweep, loss, parameter)
        names = sorted({name for sweep in found for name in sweep.levels["loss"]}, key=natural)
        marks = {text: shown for axis in axes for shown, text in zip(*axis.get_legend_handles_labels(), strict=True)}
        legend(drawn, [*marks.values(), *(handle(name, marked=False) for name in names)], 3)
    purposes = " or ".join(sorted({sweep.purpose for sweep in found}))
    return Drawing(
        drawn,
        f"Primary metric on validation against the {parameter} of {loss}, with {purposes} seeds "
        f"({counted(sweep.seeds for sweep in found)}). Points and bars: mean ± standard deviation over seeds. "
        "Horizontal lines and bands: mean ± standard deviation of losses without that parameter, with the same seeds; "
        "those far off are written beside an arrow. Larger markers: what validation chose, and the median of the grid. "
        "Vertical line: as the registry declares it.",
    )


def _panel(axis: Axes, sweep: Sweep, loss: str, parameter: str) -> None:
    base = look(loss)
    for value in sweep.declared["value"]:
        axis.axvline(value, color="#777777", linestyle=":", linewidth=1.0, label=f"declared {parameter}")
    points = pd.concat([sweep.points, sweep.declared.dropna(subset="mean")])
    points = points.drop_duplicates("value").sort_values("value")
    axis.errorbar(
        points["value"],
        points["mean"],
        points["std"].fillna(0.0),
        **base.curve,
        capsize=1.5,
        elinewidth=0.9,
        zorder=3,
        label=loss,
    )
    _mark_choice(axis, sweep, parameter)
    _levels(axis, sweep, points)
    axis.set(xscale="log", title=wrapped(sweep.benchmark, 26), xlabel=wrapped(f"{parameter} of {loss}", 32))
    ticks = sorted({*sweep.points["value"]})
    axis.set_xticks(ticks, _tick_labels(ticks))
    axis.minorticks_off()
    axis.yaxis.set_major_locator(MaxNLocator(5))
    axis.set_ylabel(f"validation\n{wrapped(metric_label(sweep.metric, sweep.goal), 26)}")


def _levels(axis: Axes, sweep: Sweep, points: pd.DataFrame) -> None:
    """Draw levels and bands; of those so far away that the sweep would become a flat line only say where they are."""
    spread = points["std"].fillna(0.0)
    low, high = (points["mean"] - spread).min(), (points["mean"] + spread).max()
    reach = AWAY * (high - low) if high > low else np.inf
    below: list[tuple[str, float]] = []
    above: list[tuple[str, float]] = []
    for level in sweep.levels.to_dict("records"):
        shown, mean = look(level["loss"]), level["mean"]
        std = 0.0 if np.isnan(level["std"]) else level["std"]
        if low - reach <= mean <= high + reach:
            axis.axhspan(mean - std, mean + std, color=shown.colour, alpha=0.15, linewidth=0)
            axis.axhline(mean, color=shown.colour, linestyle=shown.line)
        else:
            (below if mean < low else above).append((level["loss"], mean))
    axis.margins(y=0.08)
    bottom, top = axis.get_ylim()
    room = ROOM * (top - bottom)
    axis.set_ylim(bottom - room * len(below), top + room * len(above))
    for place, (loss, mean) in enumerate(below):
        _write(axis, f"↓ {_level(loss, mean)}", bottom - room * (place + 0.5), look(loss).colour)
    for place, (loss, mean) in enumerate(above):
        _write(axis, f"↑ {_level(loss, mean)}", top + room * (place + 0.5), look(loss).colour)


def _level(loss: str, mean: float) -> str:
    return f"{wrapped(loss, WRITTEN, 1)} {number(mean, '.3g')}"


def _write(axis: Axes, text: str, height: float, colour: str) -> None:
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    place = axis.get_yaxis_transform()
    axis.text(0.03, height, text, transform=place, va="center", fontsize=6.5, color=colour, bbox=ground)


def _mark_choice(axis: Axes, sweep: Sweep, parameter: str) -> None:
    if sweep.choice is None:
        return
    at = sweep.points.set_index("value")["mean"]
    for at_kind, text in ((MEDIAN, "median of the grid"), (VALIDATED, "chosen on validation")):
        # of another parameter, or of several at once, it is no point of this sweep
        value = pd.to_numeric(sweep.choice.at(at_kind).removeprefix(f"{parameter}="), errors="coerce")
        if value in at.index:
            shown = look(sweep.choice.row(at_kind))
            axis.plot(
                [value], [at[value]], **shown.marks, markersize=7.0, markeredgecolor="white", zorder=4, label=text
            )


def _tick_labels(ticks: list[float]) -> list[str]:
    """Name the ticks without a leading 0, but those that would touch the one before."""
    places = np.log(ticks)
    span = (places[-1] - places[0]) or 1.0
    labels: list[str] = []
    last = -np.inf
    for value, place in zip(ticks, places, strict=True):
        is_clear = place - last >= NEAR * span
        labels.append(f"{value:g}".removeprefix("0") if is_clear else "")
        last = place if is_clear else last
    return labels
