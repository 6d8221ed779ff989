"""What the figures share: panels, a legend under them, and axes on which effects of a margin and of a hundred fit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from analysis.figures.style import COLUMN, DPI, PAGE
from analysis.tables.table import ARROWS

#: Up to so many margins a scale stays linear; beyond, it is linear up to LINEAR margins only.
FAR: Final = 8.0
LINEAR: Final = 2.0
FEW: Final = 4
#: Panels side by side.
MOST: Final = 3
LEGEND_LINE: Final = 0.17
TICKS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 1e3, 1e4, 1e5, 1e6)


class NothingToDraw(Exception):
    """There is nothing that a figure could show; the message is a sentence that says what is missing."""


@dataclass(frozen=True)
class Drawing:
    """A figure and the sentences that belong under it.

    Attributes
    ----------
    figure : Figure
    caption : str
        What is shown, of how many seeds, and what bars and bands are.
    """

    figure: Figure
    caption: str


def grid(rows: int, columns: int, height: float, width: float = PAGE, **shared: Any) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with a grid of panels, `width` and `height` (of a row) in inches."""
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03)
    figure = Figure(figsize=(width, rows * height + 0.5), dpi=DPI, layout=layout)
    return figure, [list(line) for line in figure.subplots(rows, columns, squeeze=False, **shared)]


def settle(figure: Figure) -> None:
    """Lay a figure out for good: once for all formats, and alike in each."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)  # with "none", every file takes a drawing more to find out that nothing moves


def panels(count: int, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels of a `height` in inches; a single one is as wide as a column of a page."""
    columns = count if count < MOST else 2 if count == 4 else MOST
    figure, lines = grid(math.ceil(count / columns), columns, height, PAGE if count > 1 else COLUMN, **shared)
    axes = [axis for line in lines for axis in line]
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count]


def legend(figure: Figure, handles: Iterable[Artist], columns: int = 4) -> None:
    """Put a legend under the panels, at most `columns` wide on a page and half of that on a column."""
    shown = list(handles)
    wide = columns if figure.get_figwidth() > COLUMN else max(1, columns // 2)
    lines = math.ceil(len(shown) / wide)
    # as many in every line: five stand in three and two, not in four and one
    balanced = math.ceil(len(shown) / lines)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * (lines - 1))
    figure.legend(handles=shown, loc="outside lower center", ncols=balanced, columnspacing=1.5)


def wrapped(name: str, width: int = 16) -> str:
    """Break a long name after underscores."""
    lines = [""]
    for part in re.split(r"(?<=_)", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def name_rows(axis: Axes, rows: Sequence[str]) -> None:
    """Give a panel a line a row, the first on top."""
    axis.set_yticks(range(len(rows)), rows)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")


def say(axis: Axes, place: int, text: str) -> None:
    """Say on a row's line why nothing is drawn there."""
    axis.text(0.03, place, text, transform=axis.get_yaxis_transform(), va="center", fontsize=6.5, color="#555555")


def margin_scale(axis: Axes, values: np.ndarray, margin: float, ticks: int = FEW) -> bool:
    """Scale the x axis around 0 so that `margin` and all of `values` can be seen; return whether it is logarithmic.

    Parameters
    ----------
    axis : Axes
    values : array [n]
        Ends of what is drawn; NaN does not count.
    margin : float
        In the unit of the values; NaN if there is none, which leaves the scale linear.
    ticks : int
        About so many.
    """
    known = np.append(values[np.isfinite(values)], 0.0)
    low, high = (float(known.min()), float(known.max()))
    unit = 0.0 if math.isnan(margin) else margin
    if unit == 0.0 or max(-low, high) <= FAR * unit:
        pad = 0.06 * (max(high, 1.3 * unit) - min(low, -1.3 * unit)) or 1.0
        axis.set_xlim(min(low, -1.3 * unit) - pad, max(high, 1.3 * unit) + pad)
        axis.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        return False
    axis.set_xscale("symlog", linthresh=LINEAR * unit, linscale=1.0)
    axis.set_xlim(min(1.5 * low, -1.6 * unit), max(1.5 * high, 1.6 * unit))
    chosen = TICKS if ticks > FEW else TICKS[::2] if max(-low, high) < TICKS[4] * unit else TICKS[2::2]
    places = [sign * unit * tick for tick in chosen for sign in (-1, 1)]
    axis.xaxis.set_major_locator(FixedLocator([0.0, *(place for place in places if 1.2 * low <= place <= 1.2 * high)]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    return True


def metric_label(metric: str, goal: str) -> str:
    """Name a metric with the arrow of its direction."""
    return f"{metric} {ARROWS.get(goal, '')}".rstrip()


def number(value: float, form: str = "g") -> str:
    """Write a number with a minus sign that is one, and 0 without a sign."""
    text = f"{value:{form}}"
    is_zero = not text.strip("+-0.")
    return text.strip("+-") if is_zero else text.replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """Write a share in percent."""
    return f"{100 * share:.0f} %"


def counted(numbers: Iterable[int], what: str = "seed") -> str:
    """Write counts as ``5 seeds``, ``1 seed`` or ``3 to 5 seeds``."""
    known = sorted(set(numbers)) or [0]
    shown = f"{known[0]}" if len(known) == 1 else f"{known[0]} to {known[-1]}"
    return f"{shown} {what}{'' if known == [1] else 's'}"
