"""Figures from logged results: png and svg, readable in print and for colour-blind readers."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.collect import Collected
from analysis.select import members

LINE_STYLES = ("--", ":", "-.")
PANELS_A_ROW = 3


def temperature_figure(collected: Collected, loss: str = "infonce", parameter: str = "temperature") -> Figure | None:
    """Draw a sweep: the primary validation metric against a parameter, with the levels of what has no such parameter.

    Points and bars are means and standard deviations over the sweep's seeds: the selection seeds if it was run with
    them. Levels are drawn, with bands of one standard deviation, of the losses that were run with the same seeds.

    Parameters
    ----------
    collected : Collected
        The runs of one profile.
    loss, parameter : str
        The loss that was swept, and over what.

    Returns
    -------
    Figure or None
        One panel a benchmark; None without a sweep of that name.
    """
    swept = members(collected.runs)
    swept = swept[(swept["base"] == loss) & swept["setting"].str.startswith(f"{parameter}=")]
    if swept.empty:
        return None
    swept = swept.assign(value=swept["setting"].str.partition("=")[2].astype(float))
    benchmarks = sorted(swept["benchmark"].unique())
    columns = min(len(benchmarks), PANELS_A_ROW)
    rows = math.ceil(len(benchmarks) / columns)
    with sns.axes_style("whitegrid"):
        size = (4.6 * columns, 3.2 * rows + 0.4)
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    panels = list(axes.flat)
    for axis in panels[len(benchmarks) :]:
        axis.remove()
    for axis, benchmark in zip(panels, benchmarks, strict=False):
        _panel(axis, swept[swept["benchmark"] == benchmark], collected.runs, benchmark, parameter)
    legend = {
        label: handle
        for axis in panels[: len(benchmarks)]
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _panel(axis: Axes, swept: pd.DataFrame, runs: pd.DataFrame, benchmark: str, parameter: str) -> None:
    purpose = "selection" if (swept["purpose"] == "selection").any() else "evaluation"
    points = swept[swept["purpose"] == purpose]
    colours = sns.color_palette("colorblind")
    base = points["base"].iloc[0]
    drawn = {"errorbar": "sd", "err_style": "bars", "marker": "o", "color": colours[0], "legend": False}
    sns.lineplot(points, x="value", y="val", label=base, ax=axis, **drawn)
    others = runs[(runs["benchmark"] == benchmark) & (runs["purpose"] == purpose) & (runs["kind"] == "loss")]
    others = others[others["seed"].isin(points["seed"])]
    shown = [name for name in sorted(others["loss"].unique()) if "@" not in name and name != base]
    for index, name in enumerate(shown):
        values = others[others["loss"] == name]["val"]
        style, colour = LINE_STYLES[index % len(LINE_STYLES)], colours[index + 1]
        axis.axhline(values.mean(), linestyle=style, color=colour, label=name)
        axis.axhspan(values.mean() - values.std(), values.mean() + values.std(), color=colour, alpha=0.12, linewidth=0)
    axis.set(xscale="log", xlabel=f"{parameter} of {base} ({points['seed'].nunique()} {purpose} seeds)")
    axis.set_xticks(sorted(points["value"].unique()), [f"{v:g}" for v in sorted(points["value"].unique())])
    axis.minorticks_off()
    axis.set(ylabel=f"validation {points['metric'].iloc[0]}", title=benchmark)


def write_figures(collected: Collected, folder: Path) -> list[Path]:
    """Write the figures of one profile into a folder, and return their files; the same runs give the same bytes."""
    mpl.rcParams["svg.hashsalt"] = "suite"
    written = []
    figure = temperature_figure(collected)
    if figure is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
            path = folder / f"temperature{suffix}"
            figure.savefig(path, dpi=150, metadata=metadata)
            written.append(path)
        plt.close(figure)
    return written
