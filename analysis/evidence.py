"""What the runs of one profile say, computed once: rows, comparisons, verdicts. Tables, figures and report draw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.collect import Collected
from analysis.select import Choice
from analysis.significance import MarginTests, Paired
from suite.claims import Claim, Published

ROW_COLUMNS = ["row", "loss", "at", "kind", "benchmark", "seed", "test", "val", "run_id"]


@dataclass(frozen=True)
class Comparison:
    """A row against another on one benchmark, paired by seed.

    Attributes
    ----------
    benchmark, metric, goal : str
    margin : float
        NaN if none is declared.
    row, against : str
        Labels of rows.
    seeds : tuple of int
        Those that both have.
    differences : array [seeds]
        Test metric of `row` minus that of `against`, in the metric's unit, the sign turned where the metric is minimised:
        positive is better.
    paired : Paired
    margins : MarginTests
    p_holm : float
        `paired.p_t` after Holm's correction over the family that was tested with it.
    """

    benchmark: str
    metric: str
    goal: str
    margin: float
    row: str
    against: str
    seeds: tuple[int, ...]
    differences: np.ndarray
    paired: Paired
    margins: MarginTests
    p_holm: float


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim on one benchmark, or overall.

    Attributes
    ----------
    claim : str
        Its name in the registry.
    declared : Claim
    benchmark : str
        Empty for the overall verdict.
    label : str
        ``better``, ``not worse``, ``worse`` or ``inconclusive``.
    holds : bool or None
        Whether the claim holds; None if the runs cannot tell.
    reason : str
        A sentence.
    comparison : Comparison or None
        None overall, and where there was nothing to compare.
    """

    claim: str
    declared: Claim
    benchmark: str
    label: str
    holds: bool | None
    reason: str
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Reproduction:
    """A published figure beside ours.

    Attributes
    ----------
    benchmark : str
    published : Published
    label : str
        ``reproduced``, ``close``, ``not reproduced`` or ``not comparable``.
    reason : str
        A sentence.
    n : int
        Our seeds; 0 if nothing compares.
    mean, low, high : float
        Ours with its 95 % t-interval; NaN where there is none.
    """

    benchmark: str
    published: Published
    label: str
    reason: str
    n: int
    mean: float
    low: float
    high: float


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
        The columns of `ROW_COLUMNS`: evaluation runs by the row of the tables that they stand in; a run may stand in
        several (where validation chose what is declared). `row` is the label, `loss` and `at` (``declared``,
        ``validated``, ``median``, or empty for a loss without a sweep) what it stands for.
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
        return sorted(self.rows["benchmark"].unique())
