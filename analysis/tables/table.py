"""A table before it is written in any format."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pandas as pd

from suite.registry.claims import Labels

MISSING = "—"
ARROWS = {"maximise": "↑", "minimise": "↓"}


@dataclass(frozen=True)
class Cell:
    """A printed figure.

    Attributes
    ----------
    text : str
    bold : bool
    value : float
        What a reader's program sorts by; NaN where there is nothing to sort by.
    """

    text: str
    bold: bool = False
    value: float = math.nan


@dataclass(frozen=True)
class Block:
    """Rows that belong together: a label and a cell a column."""

    title: str
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class Table:
    """A table before it is written in any format.

    Attributes
    ----------
    name : str
        Names its files.
    profile : str
    caption : str
    header : list of str
        Of the label column and of each column of cells.
    blocks : list of Block
        Divided by a rule.
    notes : list of str
        Sentences underneath.
    data : DataFrame
        The same figures unrounded, for CSV.
    is_titled : bool
        The blocks' titles are needed to understand their rows.
    labels : Labels
        What files for readers call losses and benchmarks; CSV and the terminal have the names that commands take.
    """

    name: str
    profile: str
    caption: str
    header: list[str]
    blocks: list[Block]
    notes: list[str] = field(default_factory=list)
    data: pd.DataFrame = field(default_factory=pd.DataFrame)
    is_titled: bool = False
    labels: Labels = field(default_factory=Labels)

    def labelled(self) -> Table:
        """Return the table with labels in place of names."""
        if self.labels == Labels():
            return self
        put = self.labels.put_into
        blocks = [
            Block(
                put(block.title),
                [(put(row), [replace(one, text=put(one.text)) for one in cells]) for row, cells in block.rows],
            )
            for block in self.blocks
        ]
        return replace(
            self,
            caption=put(self.caption),
            header=list(map(put, self.header)),
            blocks=blocks,
            notes=list(map(put, self.notes)),
            labels=Labels(),
        )


@dataclass(frozen=True)
class Summary:
    """Figures of several seeds: count, mean, standard deviation with ddof 1 (NaN for one seed)."""

    n: int
    mean: float
    std: float

    @classmethod
    def over(cls, values: pd.Series) -> Summary:
        """Summarise the finite ones of `values`."""
        known = values.astype(float).dropna()
        return cls(len(known), float(known.mean()), float(known.std(ddof=1)))

    def text(self, decimals: int, of: int = 0) -> str:
        """Print as ``mean ± std (n)``, with ``n of N`` where seeds are missing."""
        if self.n == 0:
            return MISSING
        spread = "" if math.isnan(self.std) else f" ± {self.std:.{decimals}f}"
        return f"{self.mean:.{decimals}f}{spread} ({f'{self.n} of {of}' if self.n < of else self.n})"


def decimals_for(values: pd.Series, digits: int = 4) -> int:
    """Return the decimals that give the largest of some values so many significant digits."""
    finite = [abs(value) for value in values.dropna() if math.isfinite(value) and value != 0]
    return digits if not finite else min(8, max(1, digits - 1 - math.floor(math.log10(max(finite)))))


def interval_text(low: float, high: float, decimals: int) -> str:
    """Return ``[-0.010, +0.002]``, with the signs of a difference; the mark of what is missing without an interval."""
    return MISSING if math.isnan(low) else f"[{low:+.{decimals}f}, {high:+.{decimals}f}]"


def interval_cell(low: float, high: float, decimals: int) -> Cell:
    """Print the interval of a difference; it is sorted by its lower bound."""
    return Cell(interval_text(low, high, decimals), value=low)
