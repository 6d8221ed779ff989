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

    def text(self, digits: str, of: int = 0) -> str:
        """Print as ``mean ± std (n)``, with ``n of N`` where seeds are missing."""
        if self.n == 0:
            return MISSING
        spread = "" if math.isnan(self.std) else f" ± {self.std:.{digits}}"
        return f"{self.mean:.{digits}}{spread} ({f'{self.n} of {of}' if self.n < of else self.n})"


def digits_for(values: pd.Series, significant: int = 4) -> str:
    """Return the format, behind its point, that gives the largest of some values so many significant digits."""
    finite = [abs(value) for value in values.dropna() if math.isfinite(value) and value != 0]
    if not finite:
        return f"{significant}f"
    decimals = min(8, max(1, significant - 1 - math.floor(math.log10(max(finite)))))
    return digits_at(max(finite), decimals, significant)


def digits_at(scale: float, decimals: int, significant: int = 3) -> str:
    """Return the format of so many decimals, ``4f``; scientific for what they would hide or spell out, ``2e``."""
    return f"{decimals}f" if scale == 0 or not math.isfinite(scale) or 1e-5 <= scale < 1e6 else f"{significant - 1}e"


def interval_text(low: float, high: float, digits: str) -> str:
    """Return ``[-0.010, +0.002]``, with the signs of a difference; the mark of what is missing without an interval."""
    return MISSING if math.isnan(low) else f"[{low:+.{digits}}, {high:+.{digits}}]"


def interval_cell(low: float, high: float, digits: str) -> Cell:
    """Print the interval of a difference; it is sorted by its lower bound."""
    return Cell(interval_text(low, high, digits), value=low)
