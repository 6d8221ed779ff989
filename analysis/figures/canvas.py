"""What the figures share: panels, a legend under them, and axes on which effects of a margin and of a hundred fit."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from analysis.evidence.comparison import described
from analysis.evidence.gather import Evidence
from analysis.evidence.series import MOST_SEEDS, of_losses
from analysis.figures.style import COLUMN, DPI, PAGE
from analysis.tables.table import ARROWS

#: Up to so many margins a scale stays linear; beyond, it is linear up to LINEAR margins only.
FAR: Final = 8.0
LINEAR: Final = 2.0
FEW: Final = 4
#: Panels side by side.
MOST: Final = 3
LEGEND_LINE: Final = 0.17
#: Letters of a name in a line beside a panel or in a legend; points that a letter takes, and letters of a handle.
NAME: Final = 24
LETTER: Final = 4.3
HANDLE: Final = 9.5
NAME_LINE: Final = 0.115
#: From so many rows on, lines of a panel are lower.
MANY: Final = 12
MANY_SHARE: Final = 0.6
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
    """Put a legend under the panels, at most `columns` wide on a page and as many fewer as long names take."""
    shown = list(handles)
    for one in shown:
        one.set_label(wrapped(str(one.get_label()), NAME))
    names = [str(one.get_label()).split("\n") for one in shown]
    taken = [LETTER * (max(map(_width, name)) + HANDLE) for name in names]
    room = figure.get_figwidth() * 72
    fit = len(shown) if sum(taken) <= room else int(room / max(taken))
    lines = math.ceil(len(shown) / max(1, min(columns, fit)))
    # as many in every line: five stand in three and two, not in four and one
    balanced = math.ceil(len(shown) / lines)
    height = LEGEND_LINE * max(len(name) for name in names)
    figure.set_figheight(figure.get_figheight() + height * lines - LEGEND_LINE)
    figure.legend(handles=shown, loc="outside lower center", ncols=balanced, columnspacing=1.5)


def wrapped(name: str, width: int = 16, lines: int = 3) -> str:
    """Break a long name after underscores and the like, else anywhere; what takes more than `lines` is cut short."""
    parts = [""]
    for piece in re.findall(r"[^_\s@=/.-]*[_\s@=/.-]?", name):
        for part in _pieces(piece, width):
            if parts[-1] and _width(parts[-1] + part.rstrip()) > width:
                parts.append("")
            parts[-1] += part
    kept = [part.rstrip() for part in parts]
    if len(kept) > lines:
        kept = [*kept[: lines - 1], f"{kept[lines - 1][: width - 1]}…"]
    return "\n".join(kept)


def row_names(rows: Sequence[str]) -> list[str]:
    """Return the names of a panel's rows, wrapped; a long one among many is cut short, as all rows are as high."""
    return [wrapped(row, NAME, 3 if len(rows) <= MANY else 2) for row in rows]


def lines_of(rows: Sequence[str]) -> int:
    """Return the lines that the longest name of a panel's rows takes."""
    return max((name.count("\n") + 1 for name in row_names(rows)), default=1)


def _width(text: str) -> int:
    """Return about how many letters a text is wide."""
    return sum(2 if unicodedata.east_asian_width(one) in "FW" else 1 for one in text)


def _pieces(piece: str, width: int) -> Iterator[str]:
    """Yield a piece without a place to break, in parts no wider than `width`."""
    part = ""
    for one in piece:
        if _width(part + one) > width:
            yield part
            part = ""
        part += one
    if part:
        yield part


def row_height(rows: Sequence[str], height: float) -> float:
    """Return inches for each of the lines of a panel: `height`, less for many, more for names of several lines."""
    return max(height if len(rows) <= MANY else height * MANY_SHARE, NAME_LINE * lines_of(rows))


def name_rows(axis: Axes, rows: Sequence[str]) -> None:
    """Give a panel a line a row, the first on top."""
    axis.set_yticks(range(len(rows)), row_names(rows))
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
        About so many on a linear scale; on a logarithmic one, as many as have room.
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
    axis.xaxis.set_major_locator(FixedLocator(_ticks(axis, unit)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    return True


def _ticks(axis: Axes, unit: float) -> list[float]:
    """Choose ticks of a logarithmic scale whose labels do not touch: 0, the margins, the outermost, then the rest."""
    low, high = axis.get_xlim()
    inside = [sign * unit * tick for tick in reversed(TICKS) for sign in (-1, 1) if low <= sign * unit * tick <= high]
    outermost = [place for place in (min(inside, default=0.0), max(inside, default=0.0)) if place]
    across = axis.bbox.width * 72 / DPI
    places = axis.transScale.transform([(place, 0.0) for place in (low, high, 0.0, -unit, unit, *outermost, *inside)])[
        :, 0
    ]
    scale = across / (places[1] - places[0])
    chosen: list[tuple[float, float]] = []
    for value, place in zip((0.0, -unit, unit, *outermost, *inside), places[2:], strict=True):
        room = [(len(number(value)) + len(number(other)) + 1) / 2 * LETTER for other, _ in chosen]
        apart = [abs(place - there) * scale for _, there in chosen]
        if all(gap >= needed for gap, needed in zip(apart, room, strict=True)):
            chosen.append((value, float(place)))
    return sorted(value for value, _ in chosen)


def metric_label(metric: str, goal: str) -> str:
    """Name a metric with the arrow of its direction."""
    return f"{metric} {ARROWS.get(goal, '')}".rstrip()


def label_panel(axis: Axes, evidence: Evidence, benchmark: str, across: str) -> None:
    """Name a panel after its benchmark, its horizontal axis `across`, and its vertical one after the primary metric."""
    metric, goal, _ = described(evidence.rows[evidence.rows["benchmark"] == benchmark])
    axis.set(title=wrapped(benchmark, 26), xlabel=across, ylabel=wrapped(metric_label(metric, goal), 26))


def rows_in(evidence: Evidence, found: pd.DataFrame) -> list[str]:
    """Return the rows of losses that have something to draw, in the order of the tables."""
    return [label for label in evidence.labels if label in set(found["row"])]


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


def seeds(evidence: Evidence, drawn: Iterable[int]) -> str:
    """Write how many seeds are drawn, and of how many if not all are."""
    most = int(of_losses(evidence).groupby(["benchmark", "row"]).size().max())
    return f"{counted(drawn)}{f', the lowest of up to {most}' if most > MOST_SEEDS else ''}"
