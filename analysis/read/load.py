"""Where logged runs come from: an MLflow store, or bundles that were exported from one."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from analysis.read import bundle
from analysis.read.items import of_artifacts, of_either, of_records
from analysis.read.logged import Logged
from suite.problems import InputError, Problem
from suite.registry.claims import Declared
from suite.registry.kept import kept
from suite.registry.places import relative
from suite.text.masking import masked
from suite.tracking import default_uri, experiments, frame
from suite.tracking.address import sqlite_file
from suite.tracking.frame import deleted_experiments
from suite.tracking.series import series
from suite.tracking.store import deleted

MLFLOW = "mlflow"
REGISTRY = Path("benchmarks.yaml")


class NothingToShow(Exception):
    """The store holds nothing that a table could be made of."""


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
        Bundles, which are merged; none, or ``mlflow``, for the MLflow store; both for the store's runs and theirs.
    out : Path
        The results folder with the default store, and with the records that keep the outcomes of test items.
    tracking_uri : str, optional
        Tracking address of another store.
    experiment : str, optional
        Its name; may be left out where there is one.
    registry : Path, optional
        Whose claims count. By default those that the results were made with: as the last ``run`` into `out` kept them,
        or as the manifests of bundles say; for a store whose runs were started elsewhere, those of
        ``./benchmarks.yaml``, if it exists.

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
        return _from_store(out, default_uri(out, tracking_uri), experiment, declared)
    own: Logged | None = None
    if MLFLOW in sources:
        own = _from_store(out, default_uri(out, tracking_uri), experiment, declared)
    return _merged(own, [file for file in dict.fromkeys(sources) if file != MLFLOW], experiment, declared)


def keep_text_in_numpy() -> None:
    """Have pandas keep text in NumPy's arrays in this process: for commands, not for the notebooks of others.

    Frames of runs are wide and filtered often, and taking rows of a text column costs Arrow ten times as much.
    """
    pd.set_option("mode.string_storage", "python")


def declarations(registry: Path) -> Declared:
    """Return what a registry says about results, or said when a bundle was exported.

    Parameters
    ----------
    registry : Path
        A registry; or a bundle (``.parquet``), for the claims in its manifest.

    Raises
    ------
    InputError
        With every problem of the registry.
    """
    if registry.suffix == ".parquet":
        return bundle.read(registry).declared
    from suite.registry.load import load as load_registry  # reads with Hydra, which bundles do without

    return load_registry(registry).declared


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


def _from_store(out: Path, uri: str, experiment: str | None, declared: Declared | None) -> Logged:
    name = experiment_in(uri, experiment)
    if declared is None:
        declared = _kept(out, name)
    runs = frame(uri, name)
    file = sqlite_file(uri)
    records = of_records([out, *([file.parent] if file else [])], runs)
    outcomes = of_either(records, of_artifacts(uri, name))
    return Logged(runs, declared, masked(uri), name, functools.partial(series, uri, name), outcomes)


def _kept(out: Path, experiment: str) -> Declared:
    """Return what the results were made with, or else what the registry says that lies here; say which."""
    made_with = kept(out, experiment)
    if made_with is None:
        return declarations(REGISTRY) if REGISTRY.exists() else Declared()
    edited = (
        f"; it was edited since: --registry {made_with.file} judges what it says now" if made_with.is_edited else ""
    )
    print(f"claims    of {relative(made_with.file)}, as the results were made with it{edited}", file=sys.stderr)
    return made_with.declared


def _merged(own: Logged | None, files: Sequence[str], experiment: str | None, declared: Declared | None) -> Logged:
    """Merge bundles, and the runs of one's own store if they are to be beside them."""
    parts = [own] if own is not None else []
    problems: list[Problem] = []
    for file in files:
        try:
            parts.append(bundle.read(Path(file)))
        except InputError as error:
            problems += error.problems
    problems += _unlike(parts, experiment, declared is not None)
    if problems:
        raise InputError(problems)
    return bundle.merge(parts, declared)


def _unlike(parts: Sequence[Logged], experiment: str | None, has_registry: bool) -> Iterable[Problem]:
    """Yield why parts cannot be merged: they are of several experiments, or claim different things.

    With a registry it is said whose claims count: then the name of an experiment tells nothing more.
    """
    meant = experiment or (parts[0].experiment if parts else "")
    for part in parts:
        if part.experiment != meant and not (has_registry and experiment is None):
            first = f" but {parts[0].origin} of {meant!r}; name the registry, or the bundle, whose claims count with "
            beside = "" if experiment else f"{first}--registry"
            yield Problem(part.origin, "", f"is of experiment {part.experiment!r}{beside or f', not {experiment!r}'}")
    claiming = [part for part in parts if part.declared != Declared()]
    for part in claiming[1:]:
        if part.declared != claiming[0].declared and not has_registry:
            message = f"declares other claims than {claiming[0].origin}; name the registry that counts with --registry"
            yield Problem(part.origin, "", f"{message}: a file, or the bundle itself")
