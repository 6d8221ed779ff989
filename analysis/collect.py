"""MLflow to a tidy frame, with everything that does not count listed beside it."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from suite.tracking import experiments, frame

IDENTITY = ["profile", "purpose", "benchmark", "loss", "seed"]
LEFT_OUT = [*IDENTITY, "status", "reason", "run_id"]
UNFINISHED = {"RUNNING": "still running", "SCHEDULED": "not started", "KILLED": "ended before it was done"}


class NothingToShow(Exception):
    """The store holds nothing that a table could be made of."""


@dataclass(frozen=True)
class Collected:
    """What counts, and what does not.

    Attributes
    ----------
    runs : DataFrame
        One finished run a row and never two for one (profile, purpose, benchmark, loss, seed): the columns of
        :func:`suite.tracking.frame`, and the primary metric as ``val`` and ``test``.
    left_out : DataFrame
        All other runs of the store, with the columns of `LEFT_OUT`; `reason` is a sentence.
    """

    runs: pd.DataFrame
    left_out: pd.DataFrame

    def of(self, profile: str) -> Collected:
        """Return the part of one profile."""
        return Collected(*(part[part["profile"] == profile] for part in (self.runs, self.left_out)))

    @property
    def profiles(self) -> list[str]:
        """The profiles with finished runs, in order."""
        return sorted(self.runs["profile"].unique())


def load(uri: str, experiment: str | None = None) -> pd.DataFrame:
    """Read an experiment from MLflow.

    Parameters
    ----------
    uri : str
        Tracking address.
    experiment : str, optional
        Its name; may be left out where the store holds one.

    Raises
    ------
    NothingToShow
        If there is no run, no such experiment, or more than one to choose from.
    TrackingUnavailable
        If the store cannot be read.
    """
    known = experiments(uri)
    if not known:
        raise NothingToShow(f"{uri} holds no run of the suite; `python -m suite sync` sends what was run to it")
    if experiment is None and len(known) > 1:
        raise NothingToShow(f"{uri} holds several experiments, name one with --experiment: {', '.join(known)}")
    if experiment is not None and experiment not in known:
        raise NothingToShow(f"{uri} holds no experiment {experiment!r}; it has {', '.join(known)}")
    return frame(uri, experiment or known[0])


def collect(logged: pd.DataFrame, profile: str | None = None) -> Collected:
    """Split logged runs into those that count and those that do not.

    Of several runs of one (profile, purpose, benchmark, loss, seed) one counts. Where the configuration of a benchmark
    or of a loss was changed between runs, only runs of the newest one count, so that no cell mixes two. Where a
    benchmark's primary metric was changed, that of the newest run is taken of all of them.

    Parameters
    ----------
    logged : DataFrame
        From :func:`suite.tracking.frame`.
    profile : str, optional
        Keep one profile only.
    """
    runs = logged if profile is None else logged[logged["profile"] == profile]
    runs = _by_newest_metric(runs)
    runs = runs.assign(val=_primary(runs, "val"), test=_primary(runs, "test"))
    tagged = runs[[*IDENTITY, "metric", "goal", "kind", "status", "failure", "val", "test"]].to_dict("records")
    reasons = pd.Series([_incomplete(run) for run in tagged], index=runs.index, dtype=object)
    reasons.update(_outdated(runs[reasons == ""], ["profile", "benchmark"], ("benchmark", "data")))
    reasons.update(_outdated(runs[reasons == ""], ["profile", "benchmark", "loss"], ("loss",)))
    reasons.update(_duplicates(runs[reasons == ""]))
    left_out = runs.assign(reason=reasons)[reasons != ""][LEFT_OUT]
    order = [*IDENTITY, "run_id"]
    return Collected(
        runs[reasons == ""].sort_values(order, ignore_index=True), left_out.sort_values(order, ignore_index=True)
    )


def _by_newest_metric(runs: pd.DataFrame) -> pd.DataFrame:
    """Let every run of a benchmark have the primary metric of the newest: the others are logged with it."""
    described = ["metric", "goal", *(["margin"] if "margin" in runs else [])]
    tagged = runs[runs["metric"].notna() & runs["goal"].notna()].sort_values(["start", "run_id"])
    newest = tagged.groupby(["profile", "benchmark"])[described].transform("last")
    changed = newest[newest["metric"] != tagged["metric"]]
    runs = runs.copy()
    runs.loc[changed.index, described] = changed
    return runs


def _primary(runs: pd.DataFrame, split: str) -> pd.Series:
    values = pd.Series(math.nan, index=runs.index)
    for metric, group in runs.groupby("metric"):
        if f"{split}/{metric}" in runs:
            values[group.index] = pd.to_numeric(group[f"{split}/{metric}"], errors="coerce")
    return values


def _incomplete(run: dict[Hashable, Any]) -> str:
    if run["status"] == "FAILED":
        return f"failed: {run['failure']}" if isinstance(run["failure"], str) else "failed"
    if run["status"] != "FINISHED":
        return UNFINISHED.get(run["status"], f"status {run['status']}")
    missing = [name for name in (*IDENTITY, "metric", "goal", "kind") if pd.isna(run[name])]
    if missing:
        return f"has no tag {', '.join(f'suite.{name}' for name in missing)}"
    split = "val" if run["purpose"] == "selection" else "test"
    if not math.isfinite(run[split]):
        return f"{split}/{run['metric']} is {'missing' if math.isnan(run[split]) else 'infinite'}"
    return ""


def _outdated(runs: pd.DataFrame, group: list[str], prefixes: tuple[str, ...]) -> pd.Series:
    """Reasons for the runs whose configuration is not the newest of their group."""
    starts = tuple(f"param.{prefix}." for prefix in prefixes)
    names = [name for name in runs.columns if name.startswith(starts)]
    reasons = pd.Series(dtype=object)
    for _, members in runs.groupby(group, sort=True):
        configs = members[names].fillna("").astype(str)
        newest = configs.loc[members.sort_values(["start", "run_id"]).index[-1]]
        for index, config in configs[(configs != newest).any(axis=1)].iterrows():
            changed = [name for name in names if config[name] != newest[name]]
            shown = ", ".join(f"{name.removeprefix('param.')} {config[name]}, now {newest[name]}" for name in changed)
            reasons[index] = f"run with another configuration than the newest: {shown[:300]}"
    return reasons


def _duplicates(runs: pd.DataFrame) -> pd.Series:
    newest_first = runs.sort_values(["start", "run_id"], ascending=[False, True])
    counted = newest_first.groupby(IDENTITY)["run_id"].transform("first")
    return "duplicate of run " + counted[newest_first.duplicated(IDENTITY)].astype(object)
