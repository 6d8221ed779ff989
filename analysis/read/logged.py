"""What was logged in one experiment: a row a run, what the registry claims, and curves when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from analysis.read.items import ByRun, OutcomesReader, no_outcomes
from suite.registry.claims import Declared
from suite.tracking.frame import COLUMNS
from suite.tracking.series import long_table

#: Metrics that a run logs once, at its end. All others have a value a step.
FINAL = ("val/", "test/", "seconds/")

Reader = Callable[[Sequence[str], Sequence[str]], pd.DataFrame]
"""Takes run ids and names of metrics; returns what :meth:`Logged.curves` does."""


def no_points(run_ids: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Return no point at all: the reader of runs without curves."""
    return long_table([], [], [])


@dataclass(frozen=True)
class Logged:
    """Everything that was logged in one experiment.

    Attributes
    ----------
    runs : DataFrame
        A row a run, as :func:`suite.tracking.frame` gives them.
    declared : Declared
        What the registry claims, or claimed when the runs were exported.
    origin : str
        Where the runs are from, for people.
    experiment : str
    read_points : callable
        Reads curves; called by :meth:`curves` alone.
    read_outcomes : callable
        Reads the outcomes of test items; called by :meth:`outcomes` alone.
    """

    runs: pd.DataFrame
    declared: Declared = field(default_factory=Declared)
    origin: str = "memory"
    experiment: str = ""
    read_points: Reader = no_points
    read_outcomes: OutcomesReader = no_outcomes

    @property
    def curve_names(self) -> list[str]:
        """The metrics that have a value a step, or a bin of a histogram; in order."""
        others = ("param.", *FINAL)
        measured = [str(name) for name in self.runs.columns if self.runs[name].dtype == float]
        return sorted(name for name in measured if name not in COLUMNS and not name.startswith(others))

    def curves(self, run_ids: Sequence[str] | None = None, names: Sequence[str] | None = None) -> pd.DataFrame:
        """Read metrics by step.

        Parameters
        ----------
        run_ids, names : sequence of str, optional
            Of runs and of metrics (:attr:`curve_names`); all by default. Unknown ones have no points.

        Returns
        -------
        DataFrame
            Columns ``run_id name step value``, ordered by the first three. The step of a ``histogram/`` is the bin.

        Raises
        ------
        TrackingUnavailable
            If the store cannot be read.
        InputError
            If a bundle was changed after its export.
        """
        wanted = self.runs["run_id"] if run_ids is None else run_ids
        known = self.curve_names if names is None else sorted(set(names) & set(self.curve_names))
        return self.read_points(sorted(set(wanted)), known)

    def outcomes(self, run_ids: Iterable[str] | None = None) -> ByRun:
        """Return what became of every test item, by run id and metric; runs that did not keep it are left out.

        Parameters
        ----------
        run_ids : iterable of str, optional
            All by default.

        Raises
        ------
        InputError
            If a bundle was changed after its export.
        """
        return self.read_outcomes(sorted(set(self.runs["run_id"] if run_ids is None else run_ids)))

    def of_profile(self, profile: str) -> Logged:
        """Return the same with the runs of one profile alone."""
        return replace(self, runs=self.runs[self.runs["profile"].eq(profile)].reset_index(drop=True))

    def holding(self, run_ids: Iterable[str]) -> Logged:
        """Return the same with the curves of some runs read already, and of no others: for several who ask for them."""
        points = self.curves(list(run_ids))

        def read(run_ids: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
            asked = points["run_id"].isin(run_ids) & points["name"].isin(names)
            return points[asked].reset_index(drop=True)

        return replace(self, read_points=read)
