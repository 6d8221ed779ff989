"""Every verdict as a function of the margin: which word the interval has for which margin, and where it turns."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.evidence.gather import Evidence, Verdict
from analysis.evidence.words import Bounds, Range, by_margin
from analysis.figures.canvas import NAME, Drawing, NothingToDraw, grid, legend, number, wrapped
from analysis.figures.forest import HEADING, LABELS, LINE, UNKNOWN
from analysis.figures.style import styled

#: Margins are drawn from a tenth of the declared one to ten times it, farther where a verdict turns farther out.
NARROW, FAR = 10.0, 300.0
TICKS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


def figure(evidence: Evidence) -> Drawing:
    """Draw a line a claim and benchmark: coloured by the word that its interval has for each margin.

    Parameters
    ----------
    evidence : Evidence

    Raises
    ------
    NothingToDraw
        If there is no claim with an interval and a margin.
    """
    shown = [one for one in evidence.verdicts if not one.benchmark or _ranges(one)]
    claims = {one.claim for one in shown if one.benchmark}
    shown = [one for one in shown if one.claim in claims]
    if not shown:
        raise NothingToDraw("No claim is declared for which there are intervals and a margin.")
    texts = [wrapped(one.benchmark, NAME) if one.benchmark else _claim(one) for one in shown]
    heights = [text.count("\n") + 1 for text in texts]
    with styled():
        drawn, ((axis,),) = grid(1, 1, LINE * (sum(heights) + 2) + 0.3)
        _panel(axis, shown, texts, heights)
        present = {part.word for one in shown for part in _ranges(one)} | {one.label for one in shown if one.benchmark}
        keys = [Patch(color=colour, label=word) for word, (colour, _) in LABELS.items() if word in present]
        at = Line2D([], [], color="#222222", marker="o", markersize=4.0, linestyle="", label="verdict at the margin")
        legend(drawn, [*keys, at], 5)
    return Drawing(
        drawn,
        "What the interval of each difference, as it is printed, says for other margins than the declared one. Bars: "
        "the word, by the margin as a multiple of the declared one (vertical line); at the right the margins at which "
        "it turns, in the metric's unit. Markers at the line: the verdict as given, which differs from the bar where "
        "the benchmark is insensitive, or seeds failed.",
    )


def _ranges(verdict: Verdict) -> list[Range]:
    """Return the words of a verdict by margin, in multiples of the declared one; none without an interval."""
    one = verdict.comparison
    if one is None or not one.margin > 0 or one.is_same:
        return []
    return by_margin(Bounds(one.paired.low / one.margin, one.paired.high / one.margin))


def _claim(verdict: Verdict) -> str:
    return wrapped(verdict.declared.in_words(), HEADING)


def _panel(axis: Axes, shown: list[Verdict], texts: list[str], heights: list[int]) -> None:
    turns = [part.low for one in shown for part in _ranges(one) if part.low > 0]
    left = max(1 / FAR, min([1 / NARROW, *(turn / 1.5 for turn in turns)]))
    right = min(FAR, max([NARROW, *(turn * 1.5 for turn in turns)]))
    axis.set_xscale("log")
    axis.set_xlim(left, right)
    axis.axvline(1.0, color="black", linewidth=0.9, zorder=4)
    named, top = [], -0.5
    on_axes = axis.get_yaxis_transform()
    for one, text, height in zip(shown, texts, heights, strict=True):
        place = top + height / 2
        if one.benchmark:
            named.append((place, text))
            _bar(axis, one, place, (left, right))
            axis.text(1.01, place, _turns(one), transform=on_axes, ha="left", va="center", fontsize=6.0)
        else:
            axis.axhspan(top, top + height, color="#eeeeee", linewidth=0, zorder=5)
            axis.text(0.01, place, text, transform=on_axes, va="center", weight="bold", fontsize=7.5, zorder=6)
        top += height
    axis.set_ylim(top + 0.1, -0.6)
    axis.set_yticks([place for place, _ in named], [text for _, text in named])
    axis.grid(visible=False, axis="y")
    axis.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if left <= tick <= right]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_xlabel("margin, in multiples of the declared one")


def _bar(axis: Axes, verdict: Verdict, place: float, ends: tuple[float, float]) -> None:
    left, right = ends
    for part in _ranges(verdict):
        low, high = max(part.low, left), min(part.high, right)
        if low < high:
            colour, _ = LABELS.get(part.word, UNKNOWN)
            axis.barh(place, high - low, left=low, height=0.5, color=colour, linewidth=0, zorder=3)
    colour, marker = LABELS.get(verdict.label, UNKNOWN)
    axis.plot([1.0], [place], color=colour, marker=marker, markersize=5.0, markeredgecolor="white", zorder=5)


def _turns(verdict: Verdict) -> str:
    """Say in the metric's unit where the word turns: ``inconclusive, from 0.0049 not worse``."""
    margin = math.nan if verdict.comparison is None else verdict.comparison.margin
    first, *others = _ranges(verdict)
    return ", ".join([first.word, *(f"from {part.low * margin:.2g} {part.word}" for part in others)])
