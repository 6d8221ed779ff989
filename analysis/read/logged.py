"""Where logged runs come from: an MLflow store, or bundles that were exported from one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from suite.masking import masked
from suite.problems import InputError, Problem
from suite.registry.claims import Declared
from suite.tracking import default_uri, experiments, frame
from suite.tracking.frame import COLUMNS, deleted_experiments
from suite.tracking.series import long_table, series
from suite.tracking.store import deleted

MLFLOW = "mlflow"
REGISTRY = Path("benchmarks.yaml")
#: Metrics that a run logs once, at its end. All others have a value a step.
FINAL = ("val/", "test/", "seconds/")

Reader = Callable[[Sequence[str], Sequence[str]], pd.DataFrame]
"""Takes run ids and names of metrics; returns what :meth:`Logged.curves` does."""


class NothingToShow(Exception):
    """The store holds nothing that a table could be made of."""


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
    """

    runs: pd.DataFrame
    declared: Declared = field(default_factory=Declared)
    origin: str = "memory"
    experiment: str = ""
    read_points: Reader = no_points

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

    def holding(self, run_ids: Iterable[str]) -> Logged:
        """Return the same with the curves of some runs read already, and of no others: for several who ask for them."""
        points = self.curves(list(run_ids))

        def read(run_ids: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
            asked = points["run_id"].isin(run_ids) & points["name"].isin(names)
            return points[asked].reset_index(drop=True)

        return replace(self, read_points=read)


def load(
    sources: Sequence[str] = (),
    *,
    out: Path = Path("results"),
    tracking_uri: str | None = None,
    experiment: str | None = None,
    registry: Path | None = None,
) -> Logged:
    """Read the runs of an experiment.

    Parameters
    ----------
    sources : sequence of str
        Bundles, which are merged; none, or ``mlflow``, for the MLflow store.
    out : Path
        The results folder with the default store.
    tracking_uri : str, optional
        Tracking address of another store.
    experiment : str, optional
        Its name; may be left out where there is one.
    registry : Path, optional
        Whose claims count. By default ``./benchmarks.yaml``, if it exists, for a store, and what the manifests say for
        bundles.

    Raises
    ------
    NothingToShow
        If there is no run, no such experiment, or more than one to choose from.
    TrackingUnavailable
        If the store cannot be read.
    InputError
        With every problem of the bundles or of the registry.
    """
    declared = None if registry is None else declarations(registry)
    if list(sources) in ([], [MLFLOW]):
        if declared is None:
            declared = declarations(REGISTRY) if REGISTRY.exists() else Declared()
        return _from_store(default_uri(out, tracking_uri), experiment, declared)
    return _from_bundles(list(dict.fromkeys(sources)), experiment, declared)


def declarations(registry: Path) -> Declared:
    """Return what a registry says about results.

    Raises
    ------
    InputError
        With every problem of the registry.
    """
    from suite.registry import load

    return load.load(registry).declared


def experiment_in(uri: str, experiment: str | None = None) -> str:
    """Return the name of the experiment that is meant: the named one, or the only one.

    Raises
    ------
    NothingToShow
        If there is none, no such one, or more than one to choose from.
    TrackingUnavailable
        If the store cannot be read.
    """
    known, shown = experiments(uri), masked(uri)
    gone = deleted_experiments(uri) if experiment not in known and (experiment or not known) else {}
    for name, identity in gone.items():
        if experiment in (None, name):
            raise NothingToShow(f"{shown}: {deleted(name, identity)}")
    if not known:
        raise NothingToShow(f"{shown} holds no run of the suite; `python -m suite sync` sends what was run to it")
    if experiment is None and len(known) > 1:
        raise NothingToShow(f"{shown} holds several experiments, name one with --experiment: {', '.join(known)}")
    if experiment is not None and experiment not in known:
        raise NothingToShow(f"{shown} holds no experiment {experiment!r}; it has {', '.join(known)}")
    return experiment or known[0]


def _from_store(uri: str, experiment: str | None, declared: Declared) -> Logged:
    name = experiment_in(uri, experiment)
    return Logged(frame(uri, name), declared, masked(uri), name, functools.partial(series, uri, name))


def _from_bundles(files: Sequence[str], experiment: str | None, declared: Declared | None) -> Logged:
    from analysis.read import bundle

    parts: list[Logged] = []
    problems: list[Problem] = []
    for file in files:
        try:
            if file == MLFLOW:
                raise InputError([Problem(MLFLOW, "", "bundles and an MLflow store do not mix; export the store")])
            parts.append(bundle.read(Path(file)))
        except InputError as error:
            problems += error.problems
    problems += _unlike(parts, experiment, declared is not None)
    if problems:
        raise InputError(problems)
    return bundle.merge(parts, declared)


def _unlike(parts: Sequence[Logged], experiment: str | None, has_registry: bool) -> Iterable[Problem]:
    """Yield why bundles cannot be merged: they are of several experiments, or claim different things."""
    meant = experiment or (parts[0].experiment if parts else "")
    for part in parts:
        if part.experiment != meant:
            beside = "" if experiment else f" but {parts[0].origin} of {meant!r}; bundles of one experiment merge"
            yield Problem(part.origin, "", f"is of experiment {part.experiment!r}{beside or f', not {experiment!r}'}")
    claiming = [part for part in parts if part.declared != Declared()]
    for part in claiming[1:]:
        if part.declared != claiming[0].declared and not has_registry:
            message = f"declares other claims than {claiming[0].origin}; name the registry that counts with --registry"
            yield Problem(part.origin, "", message)
