"""What the runs of one profile say, computed once: rows, comparisons, verdicts. Tables, figures and report draw it."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import pandas as pd

from analysis.evidence.choice import VALIDATED, Choice, choose, natural
from analysis.evidence.comparison import Comparison, compare, family
from analysis.evidence.reproduction import Reproduction, reproductions
from analysis.evidence.rows import AT_ORDER, DECLARED, ROW_COLUMNS, labels_of, notes_on, rows_of
from analysis.evidence.verdict import Verdict, judge
from analysis.read.collect import Collected
from suite.registry.claims import Claim, Declared, Published

__all__ = ["ROW_COLUMNS", "Claim", "Comparison", "Evidence", "Published", "Reproduction", "Verdict", "gather"]


@dataclass(frozen=True)
class Evidence:
    """Everything derived from the runs of one profile.

    Attributes
    ----------
    profile : str
    collected : Collected
        Of this profile.
    choices : tuple of Choice
        What validation chose of every sweep in every benchmark.
    rows : DataFrame
        From :func:`analysis.evidence.rows.rows_of`: evaluation runs by the row of the tables that they stand in. `row`
        is the label, `loss` and `at` (``declared``, ``validated``, ``median``, or empty for a loss without a sweep)
        what it stands for.
    labels, references : tuple of str
        Labels of the losses' rows and of the references', in the order of the tables.
    baseline : str
        The label of the row that all others are compared with; empty if there is none.
    comparisons : tuple of Comparison
        Every other row of a loss against the baseline, benchmark by benchmark; one family for Holm's correction.
    verdicts : tuple of Verdict
        By claim: overall first, then by benchmark.
    reproductions : tuple of Reproduction
    notes : tuple of str
        What a reader of any table must know.
    """

    profile: str
    collected: Collected
    choices: tuple[Choice, ...]
    rows: pd.DataFrame
    labels: tuple[str, ...]
    references: tuple[str, ...]
    baseline: str
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]
    reproductions: tuple[Reproduction, ...]
    notes: tuple[str, ...]

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks with evaluation runs, in the order of the tables."""
        return sorted(self.rows["benchmark"].unique(), key=natural)

    def scores(self) -> pd.DataFrame:
        """Return mean test metrics [benchmarks, rows of losses], higher is better, of rows that no benchmark lacks."""
        losses = self.rows.loc[self.rows["kind"] == "loss", ["benchmark", "row", "test", "goal"]]
        losses = losses.assign(score=losses["test"].astype(float).where(losses["goal"] != "minimise", -losses["test"]))
        means = losses.pivot_table(index="benchmark", columns="row", values="score", aggfunc="mean")
        complete = means.reindex(self.benchmarks).dropna(axis=1)
        return complete[[label for label in self.labels if label in complete]]

    def standard_errors(self) -> list[float]:
        """Return the standard error of a row's mean on each benchmark, in margins: the noise behind its ranks.

        Without what all rows of a seed share: the median over rows of the standard deviation of paired differences,
        over sqrt(2 n). NaN where it is not known.
        """
        found = []
        for benchmark in self.benchmarks:
            mine = [one for one in self.comparisons if one.benchmark == benchmark and not one.is_same]
            errors = [one.paired.std / one.margin / math.sqrt(2 * one.paired.n) for one in mine if one.paired.n > 1]
            found.append(statistics.median(errors) if errors else math.nan)
        return found


def gather(collected: Collected, declared: Declared, profile: str) -> Evidence:
    """Derive everything that the tables, the figures and the report of a profile show.

    Parameters
    ----------
    collected : Collected
        Of one or of more profiles.
    declared : Declared
        What the registry claims; without a baseline, InfoNCE if there is one.
    profile : str
    """
    mine = collected.of(profile)
    choices = choose(mine.runs)
    rows = rows_of(mine.runs, choices)
    labels = labels_of(rows, "loss")
    baseline = _baseline(rows, declared.baseline or "infonce")
    compared = [
        compare(here, str(benchmark), label, baseline)
        for benchmark, here in sorted(rows.groupby("benchmark"), key=lambda part: natural(str(part[0])))
        for label in labels
        if label != baseline and {label, baseline} <= set(here["row"].unique())
    ]
    return Evidence(
        profile,
        mine,
        tuple(choices),
        rows,
        tuple(labels),
        tuple(labels_of(rows, "reference")),
        baseline,
        tuple(family(compared)),
        tuple(judge(declared.claims, rows)),
        tuple(reproductions(declared.published, rows, mine.tested, profile)),
        tuple(notes_on(rows, choices)),
    )


def _baseline(rows: pd.DataFrame, loss: str) -> str:
    """Return the label of a loss's validated row, else of its declared one; empty if it was not run."""
    mine = rows[(rows["loss"] == loss) & (rows["kind"] == "loss")].drop_duplicates("row")
    by_at = dict(zip(mine["at"], mine["row"], strict=True))
    return next((str(by_at[at]) for at in (VALIDATED, DECLARED, AT_ORDER[0]) if at in by_at), "")
