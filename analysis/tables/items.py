"""How tables and lines say an interval over seeds and test items."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from analysis.evidence import words
from analysis.evidence.comparison import Comparison
from analysis.evidence.words import Bounds
from analysis.tables.table import MISSING, Cell, digits_for, interval_text

OVER_SEEDS = "Intervals are over seeds, with the test set as it is: another test set may differ."
OVER_BOTH = (
    "The interval over seeds, by which words go, says what other seeds would give on this very test set; that over "
    "seeds and test items, where runs kept the outcome of every item, what they would give on other items of the same "
    "source, too. Both losses are compared item by item; it errs to the wide side."
)
HEADING = "over seeds and items"
COLUMNS = ["items", "low_items", "high_items"]


def has_items(comparisons: Iterable[Comparison | None]) -> bool:
    """Whether the outcomes of test items are known for any of some comparisons."""
    return any(one is not None and not math.isnan(one.crossed[0]) for one in comparisons)


def crossed_cell(one: Comparison | None, digits: str) -> Cell:
    """Print the interval over seeds and items."""
    if one is None or one.is_same or math.isnan(one.crossed[0]):
        return Cell(MISSING)
    return Cell(interval_text(*one.crossed, digits), value=one.crossed[0])


def crossed_figures(one: Comparison | None) -> list[float]:
    """Return the figures of `COLUMNS`, unrounded; NaN where there are none."""
    if one is None or one.of_items is None or one.is_same:
        return [math.nan] * 3
    return [one.of_items.items, *one.crossed]


def over_items(one: Comparison | None) -> str:
    """Return ``over seeds and 2000 test items [-0.010, +0.002]: not worse``; empty where outcomes were not kept."""
    if one is None or one.of_items is None or one.is_same or math.isnan(one.crossed[0]):
        return ""
    digits = digits_for(pd.Series([one.paired.mean, one.margin]), 3)
    said = f"over seeds and {one.of_items.items} test items {interval_text(*one.crossed, digits)}"
    return f"{said}: {words.word(Bounds(*one.crossed), one.margin)}"
