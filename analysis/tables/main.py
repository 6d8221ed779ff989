"""The table of a paper: losses by benchmarks, mean ± standard deviation over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Literal

import pandas as pd

from analysis.evidence.comparison import described
from analysis.evidence.gather import Evidence
from analysis.evidence.rows import by_seed, on_common_seeds
from analysis.read.collect import Collected
from analysis.statistics.best import may_be_best
from analysis.statistics.differences import ALPHA
from analysis.statistics.paired import Difference
from analysis.tables.table import ARROWS, MISSING, Block, Cell, Summary, Table, digits_for, interval_text

ABOVE, BELOW = "⁺", "⁻"
COLUMNS = ["row", "kind", "benchmark", "metric", "goal", "n", "of", "mean", "std", "low", "high", "best", "mark"]
SHOWN = 10  # of the runs that are left out, under the main table

Spread = Literal["std", "interval"]


def main_table(evidence: Evidence, spread: Spread = "std") -> Table:
    """Losses by benchmarks on the primary test metric: the best and its statistical ties in bold, references apart.

    Parameters
    ----------
    evidence : Evidence
    spread : str
        What stands behind ±: the standard deviation over seeds, or half of the 95 % t-interval of the mean.
    """
    columns = [_Column(evidence, benchmark, spread) for benchmark in evidence.benchmarks]
    blocks, data = [], []
    for kind, title, labels in (
        ("loss", "Losses", dict.fromkeys((*evidence.labels, *(row for _, row in evidence.failures)))),
        ("reference", "References", evidence.references),
    ):
        rows = [(label, [column.cell(label, kind) for column in columns]) for label in labels]
        data += [column.figures(label, kind) for label in labels for column in columns]
        if rows:
            blocks.append(Block(title, rows))
    what = "standard deviation over seeds" if spread == "std" else "half of the 95 % t-interval of the mean"
    return Table(
        "main",
        evidence.profile,
        f"Primary test metric, profile {evidence.profile}: mean ± {what} (number of seeds); {MISSING} not run. "
        f"{_legend(evidence)}",
        ["", *(column.title for column in columns)],
        blocks,
        [*evidence.notes, *_apart_notes(columns), *_contrast_notes(evidence), *left_out_notes(evidence.collected)],
        pd.DataFrame(data, columns=COLUMNS),
    )


def left_out_notes(collected: Collected) -> list[str]:
    """Return a sentence for each run that does not count; beyond the first few, their number."""
    left_out = collected.left_out
    notes = [f"Left out: {run_name(run)}: {run['reason']}." for _, run in left_out.head(SHOWN).iterrows()]
    more = len(left_out) - SHOWN
    return [*notes, f"{more} more runs are left out, see left-out.csv."] if more > 0 else notes


def run_name(run: pd.Series) -> str:
    """Name a run that does not count: ``image/infonce/seed3 (evaluation)``."""
    return f"{run['benchmark']}/{run['loss']}/seed{run['seed']} ({run['purpose']})"


def _legend(evidence: Evidence) -> str:
    text = (
        "In bold the set that holds the best loss with 95 % confidence (multiple comparisons with the best, on common "
        "seeds); with one common seed the best and what prints alike, without one nothing."
    )
    if not evidence.comparisons:
        return text
    return (
        f"{text} {ABOVE} {BELOW} better or worse than {evidence.baseline} (paired t-test, p < {ALPHA:g} after Holm's "
        "correction over the benchmarks of the row)."
    )


class _Column:
    """One benchmark's column."""

    def __init__(self, evidence: Evidence, benchmark: str, spread: Spread) -> None:
        self.benchmark = benchmark
        self.rows = evidence.rows[evidence.rows["benchmark"] == benchmark]
        self.metric, self.goal, _ = described(self.rows)
        self.title = f"{benchmark}: {self.metric} {ARROWS[self.goal]}"
        self.digits = digits_for(self.rows["test"])
        self.of = int(self.rows[self.rows["kind"] == "loss"]["seed"].nunique())
        self.values = {
            (str(kind), str(row)): group.set_index("seed")["test"].astype(float)
            for (kind, row), group in self.rows.groupby(["kind", "row"], sort=True)
        }
        self.spread = spread
        losses = {row: values for (kind, row), values in self.values.items() if kind == "loss"}
        self.common = on_common_seeds(pd.DataFrame(losses))
        self.apart = [row for row in losses if row not in self.common]
        self.bold = self._may_be_best()
        self.failed = {row: len(one.classes) for (name, row), one in evidence.failures.items() if name == benchmark}
        self.marks = {
            one.row: (ABOVE if one.paired.mean > 0 else BELOW)
            for one in evidence.comparisons
            if one.benchmark == benchmark and one.p_holm < ALPHA and not one.is_better_for_lack_of_seeds
        }

    def cell(self, row: str, kind: str) -> Cell:
        values = self.values.get((kind, row), pd.Series(dtype=float))
        shown = self._summary(values).text(self.digits, self.of if kind == "loss" else 0)
        mark = self.marks.get(row, "") if kind == "loss" else ""
        failed = self.failed.get(row, 0) if kind == "loss" else 0
        shown = f"{shown}, {failed} failed" if failed else shown
        return Cell(shown + mark, kind == "loss" and row in self.bold, float(values.mean()))

    def figures(self, row: str, kind: str) -> list[object]:
        one = Difference.of(self.values.get((kind, row), pd.Series(dtype=float)).to_numpy())
        is_loss = kind == "loss"
        where = [row, kind, self.benchmark, self.metric, self.goal]
        marked = {ABOVE: "above", BELOW: "below"}.get(self.marks.get(row, "") if is_loss else "", "")
        spread = [one.mean, one.std, one.low, one.high]
        return [*where, one.n, self.of if is_loss else "", *spread, is_loss and row in self.bold, marked]

    def _summary(self, values: pd.Series) -> Summary:
        if self.spread == "std":
            return Summary.over(values)
        one = Difference.of(values.to_numpy())
        return Summary(one.n, one.mean, (one.high - one.low) / 2)

    def _may_be_best(self) -> set[str]:
        sign = -1.0 if self.goal == "minimise" else 1.0
        common = sign * self.common
        if common.empty:
            return set()
        if len(common) == 1:
            only = {str(row): float(value) for row, value in common.iloc[0].items()}
            printed = f"{max(only.values()):.{self.digits}}"
            return {row for row, value in only.items() if f"{value:.{self.digits}}" == printed}
        kept = may_be_best(common.to_numpy(dtype=float))
        return {str(row) for row, is_kept in zip(common.columns, kept, strict=True) if is_kept}


def _apart_notes(columns: Iterable[_Column]) -> Iterator[str]:
    """Name the rows that would leave too few seeds to the comparison of all."""
    for one in columns:
        if one.apart:
            which = ", ".join(one.apart)
            yield f"{one.benchmark}: left out of what is bold, with fewer than half of the seeds of most rows: {which}."


def _contrast_notes(evidence: Evidence) -> Iterator[str]:
    """Say whether each loss beats the same method without a contrastive term, paired by seed."""
    rows = evidence.rows
    for benchmark in evidence.benchmarks:
        here = rows[rows["benchmark"] == benchmark]
        base = by_seed(here[here["kind"] == "reference"], benchmark, "no_contrast")
        metric, goal, _ = described(here)
        for label in evidence.labels if len(base) else ():
            mine = by_seed(here[here["kind"] == "loss"], benchmark, label)
            if len(mine):
                yield _contrast_note(f"{benchmark}: {label}", Difference.between(mine, base), metric, goal, here)


def _contrast_note(what: str, one: Difference, metric: str, goal: str, here: pd.DataFrame) -> str:
    if one.n == 0:
        return f"{what} and no_contrast share no seed."
    digits = digits_for(here["test"])
    gain = -one.mean if goal == "minimise" else one.mean
    verdict = "better than" if gain > 0 else "worse than" if gain < 0 else "level with"
    interval = "" if math.isnan(one.low) else f" {interval_text(one.low, one.high, digits)}"
    sure = " (one seed)" if one.n == 1 else "" if one.low > 0 or one.high < 0 else ", not significantly"
    return f"{what} is on average {verdict} no_contrast{sure}: {metric} {one.mean:+.{digits}}{interval}, n = {one.n}."
