"""The table of budget curves: what so many trials of a loss give on test."""

from __future__ import annotations

import math

import pandas as pd

from analysis.evidence.gather import Evidence
from analysis.evidence.searches.budget import QUESTIONS, Budget, budgets_of, why_not
from analysis.evidence.searches.trials import Search
from analysis.tables.table import ARROWS, MISSING, Block, Cell, Table, digits_for

COLUMNS = ["benchmark", "loss", "metric", "goal", "question", "k", "mean", "low", "high", "trials", "seeds"]


def budget_table(evidence: Evidence) -> Table | None:
    """List the expected test score of the best of k configurations by validation; None without a search."""
    tried = [one for one in evidence.searches if one.trials > 1]
    if not tried:
        return None
    found = budgets_of(tried)
    shown = _shown({len(curve.mean) for one in found for curve in one.curves.values()})
    blocks: list[Block] = []
    data = [pd.DataFrame(columns=COLUMNS)]
    for question, words in QUESTIONS.items():
        blocks.append(Block(words, [(_name(one), _cells(one, question, shown)) for one in found]))
        data += [_figures(one, question) for one in found]
    return Table(
        "budget",
        evidence.profile,
        f"What a search is worth, profile {evidence.profile}: expected test score of the best of k configurations by "
        "validation, the mean over all subsets of those that were tried (Dodge et al. 2019, without replacement), with "
        "a 95 % interval over configurations and seeds. Selection seeds: what all but one choose, the one that is left "
        "out reports, in turn. Test figures of these seeds are used here alone, and choose nothing.",
        ["", "declared", *(f"k = {k}" for k in shown)],
        blocks,
        _notes(tried),
        pd.concat(data[1:] or data, ignore_index=True),
        is_titled=True,
    )


def _notes(tried: list[Search]) -> list[str]:
    notes = [
        "Intervals are too narrow for many trials where the scores of a search space have a long tail above: "
        "docs/simulations.md.",
    ]
    if any(len(one.seeds) == 1 for one in tried):
        notes.append("With one selection seed the same runs choose and report, which is too high for many trials.")
    if len({one.trials for one in tried}) > 1:
        notes.append("Not every loss has the same number of trials: compare at the same k.")
    return [*notes, *(f"{one.benchmark}: no curve of {one.loss}: {why}." for one in tried if (why := why_not(one)))]


def _shown(lengths: set[int]) -> list[int]:
    """Return the numbers of trials that have a column: powers of two, and the most that there are."""
    most = max(lengths, default=1)
    return sorted({2**power for power in range(most.bit_length())} | lengths)


def _name(one: Budget) -> str:
    search = one.search
    return f"{search.benchmark}: {search.loss} ({search.metric} {ARROWS[search.goal]})"


def _cells(one: Budget, question: str, shown: list[int]) -> list[Cell]:
    points = one.points(question).set_index("k")
    digits = digits_for(points["mean"])
    cells = [Cell(f"{one.declared:.{digits}}", value=one.declared)]
    for k in shown:
        if k not in points.index:
            cells.append(Cell(MISSING))
            continue
        mean, low, high = points.loc[[k], ["mean", "low", "high"]].to_numpy(dtype=float)[0]
        interval = "" if math.isnan(low) else f" [{low:.{digits}}, {high:.{digits}}]"
        cells.append(Cell(f"{mean:.{digits}}{interval}", value=mean))
    return cells


def _figures(one: Budget, question: str) -> pd.DataFrame:
    search = one.search
    told = {"benchmark": search.benchmark, "loss": search.loss, "metric": search.metric, "goal": search.goal}
    return one.points(question).assign(**told, question=question, trials=search.trials, seeds=len(search.seeds))[
        COLUMNS
    ]
