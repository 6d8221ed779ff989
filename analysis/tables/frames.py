"""Logged runs, tables and verdicts as pandas frames: what `analysis` offers to notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analysis.evidence.gather import Evidence, gather
from analysis.read import load as sources
from analysis.read.collect import collect
from analysis.read.logged import Logged
from analysis.tables.tables import all_tables
from analysis.tables.verdicts import verdicts_table


def load(
    *bundles: str | Path,
    out: str | Path = "results",
    tracking_uri: str | None = None,
    experiment: str | None = None,
    registry: str | Path | None = None,
) -> Logged:
    """Read the runs of an experiment: ``.runs`` is a frame of them, ``.curves()`` one of their metrics by step.

    Parameters
    ----------
    *bundles : path
        Files that ``python -m analysis export`` wrote, which are merged; without any, the MLflow store.
    out : path
        The results folder with the default store.
    tracking_uri : str, optional
        Another store.
    experiment : str, optional
        Its name; may be left out where there is only one.
    registry : path, optional
        Whose claims count; by default those that the runs were made with, which folder and bundle keep.

    Raises
    ------
    analysis.read.load.NothingToShow
        If there is no run, no such experiment, or more than one to choose from.
    suite.tracking.TrackingUnavailable
        If the store cannot be read.
    suite.problems.InputError
        With every problem of the bundles or of the registry.
    """
    return sources.load(
        [str(file) for file in bundles],
        out=Path(out),
        tracking_uri=tracking_uri,
        experiment=experiment,
        registry=Path(registry) if registry is not None else None,
    )


def tables(logged: Logged, profile: str | None = None, keep_stale: bool = False) -> dict[str, pd.DataFrame]:
    """Return every table that ``python -m analysis tables`` writes, unrounded, by name, with a column ``profile``.

    Parameters
    ----------
    logged : Logged
    profile : str, optional
        Only this one.
    keep_stale : bool
        Let runs count that were made with older code.
    """
    parts: dict[str, list[pd.DataFrame]] = {}
    for evidence in _evidence(logged, profile, keep_stale):
        for table in all_tables(evidence):
            parts.setdefault(table.name, []).append(table.data.assign(profile=evidence.profile))
    return {name: _joined(frames) for name, frames in parts.items()}


def verdicts(logged: Logged, profile: str | None = None, keep_stale: bool = False) -> pd.DataFrame:
    """Return a row a claim and benchmark, and one a claim with an empty benchmark: the overall verdict.

    Parameters
    ----------
    logged : Logged
    profile : str, optional
        Only this one.
    keep_stale : bool
        Let runs count that were made with older code.

    Returns
    -------
    DataFrame
        As the table ``verdicts``; ``mean low high margin`` are in the unit of the benchmark's metric, positive is
        better.
    """
    made = [(one, verdicts_table(one)) for one in _evidence(logged, profile, keep_stale)]
    return _joined([table.data.assign(profile=one.profile) for one, table in made if table is not None])


def _evidence(logged: Logged, profile: str | None, keep_stale: bool) -> Iterator[Evidence]:
    collected = collect(logged.runs, profile, keep_stale, logged.declared.searched)
    for name in collected.profiles:
        yield gather(collected, logged.declared, name, outcomes=logged.outcomes)


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
