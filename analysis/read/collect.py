"""Logged runs split into those that count and those that do not, each with its reason."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from analysis.read.origins import json_object
from suite.registry.search import TRIAL

IDENTITY = ["profile", "purpose", "benchmark", "loss", "seed"]
BENCHMARK = ["profile", "benchmark"]
IDENTITY_OF_LOSS = [*BENCHMARK, "loss"]
AGE = ["start", "run_id"]
#: What makes two runs of a benchmark runs of two benchmarks.
BENCHMARK_PARAMS = ("param.benchmark.", "param.data.", "param.compute.")
LEFT_OUT = [*IDENTITY, "status", "reason", "run_id"]
UNFINISHED = {"RUNNING": "still running", "SCHEDULED": "not started", "KILLED": "ended before it was done"}
COLLAPSE = "non_finite"
"""The class of failure that a loss or its setting is to blame for, and neither machine nor code."""
#: What the rest of the analysis can tell apart.
KNOWN = {
    "goal": ("maximise", "minimise"),
    "kind": ("loss", "reference"),
    "purpose": ("evaluation", "selection"),
}
FAILED = [*IDENTITY, "run_id"]
ORIGINS = ["git", "code", "packages", "hardware"]
LONGEST = 300
#: Long texts that are of interest for where runs come from alone.
TOLD_ELSEWHERE = {"code", "packages", "hardware"}


@dataclass(frozen=True)
class Change:
    """A metric, goal or margin that was declared otherwise for older runs that count or were repeated.

    Attributes
    ----------
    profile, benchmark : str
    what : str
        ``metric``, ``goal`` or ``margin``.
    values : tuple of (str, int)
        What runs were declared with, and how many, in the order of their age.
    """

    profile: str
    benchmark: str
    what: str
    values: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        """What changed, as a part of a sentence."""
        return f"the {self.what} was " + ", then ".join(f"{value} ({runs} runs)" for value, runs in self.values)


@dataclass(frozen=True)
class Collected:
    """What counts, and what does not.

    Attributes
    ----------
    runs : DataFrame
        One finished run a row and never two for one (profile, purpose, benchmark, loss, seed): what it is, the primary
        metric as ``val`` and ``test``, seconds, the loss's own parameters, named as in
        :func:`suite.tracking.frame`, the machine, and whether it is of a member that sets something of the host.
        Narrow, since every filter of a frame copies all of its columns.
    left_out : DataFrame
        All other runs of the store, with the columns of `LEFT_OUT`; `reason` is a sentence.
    tested : DataFrame
        All test metrics of `runs` and `replicates`, as ``test/<metric>``, by run id.
    failed : DataFrame
        Failed runs of losses that no finished run stands for, with the configuration and the code of those that count:
        the columns of `runs`. They are among `left_out`, too. Finished ones without a finite primary metric are some.
    changes : tuple of Change
        What was declared otherwise for other runs that count, and for runs of their keys that they stand for.
    origins : DataFrame
        Commit, code, packages and hardware of `runs` and `replicates`, by run id.
    replicates : DataFrame
        Finished runs that another machine's run of the same configuration and code stands for: the columns of `runs`,
        one a machine. They are among `left_out`, too.
    """

    runs: pd.DataFrame
    left_out: pd.DataFrame
    tested: pd.DataFrame
    failed: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=FAILED))
    changes: tuple[Change, ...] = ()
    origins: pd.DataFrame = field(default_factory=pd.DataFrame)
    replicates: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[*FAILED, "machine"]))

    def of(self, profile: str) -> Collected:
        """Return the part of one profile."""
        parts = (self.runs, self.left_out, self.failed, self.replicates)
        runs, left_out, failed, replicates = (part[part["profile"] == profile] for part in parts)
        ids = pd.concat([runs["run_id"], replicates["run_id"]])
        changes = tuple(change for change in self.changes if change.profile == profile)
        return Collected(runs, left_out, self.tested.loc[ids], failed, changes, self.origins.loc[ids], replicates)

    def on(self, machine: str) -> Collected:
        """Return the runs of one machine as if there were no others; failed runs are everywhere."""
        both = pd.concat([self.runs, self.replicates], ignore_index=True)
        return replace(self, runs=both[both["machine"] == machine], replicates=self.replicates[:0])

    @property
    def profiles(self) -> list[str]:
        """The profiles with finished runs, in order."""
        return sorted(self.runs["profile"].unique())


def collect(
    logged: pd.DataFrame,
    profile: str | None = None,
    keep_stale: bool = False,
    searched: Mapping[str, Collection[str]] | None = None,
) -> Collected:
    """Split logged runs into those that count and those that do not.

    Of several runs of one (profile, purpose, benchmark, loss, seed) one counts. Where the configuration of a benchmark
    or of a loss was changed between runs, only runs of the newest one count, so that no cell mixes two; likewise with
    the code that they ran. Where a benchmark's primary metric was changed, that of the newest run is taken of all of
    them.

    Parameters
    ----------
    logged : DataFrame
        From :func:`suite.tracking.frame`.
    profile : str, optional
        Keep one profile only.
    keep_stale : bool
        Let runs count whose code differs from that of newer ones.
    searched : mapping of benchmark to settings, optional
        What the trials of a search set otherwise: it is compared between the runs of one trial alone, as are the
        settings that a member of a sweep is named by.
    """
    searched = searched or {}
    runs = logged if profile is None else logged[logged["profile"] == profile]
    as_logged = runs.reset_index(drop=True)
    runs = _by_newest_metric(as_logged)
    added = {"machine": machines_of(runs), "of_host": _are_of_host(runs)}
    runs = runs.assign(val=_primary(runs, "val"), test=_primary(runs, "test"), **added)
    reasons, collapsed = _incomplete(runs, as_logged["metric"])
    runs["failure"] = runs["failure"].astype(object).mask(collapsed, f"{COLLAPSE}: " + reasons)
    failed = _failed(runs, (runs["status"] == "FAILED") | collapsed, reasons, keep_stale, searched)
    reasons.update(_superseded(runs[reasons == ""], keep_stale, searched))
    duplicates, others = _duplicates(runs.loc[reasons == "", [*IDENTITY, *AGE, "machine"]])
    reasons.update(duplicates)
    counts = reasons == ""
    left_out = runs.loc[~counts, [name for name in LEFT_OUT if name != "reason"]].assign(reason=reasons[~counts])
    order = [*IDENTITY, "run_id"]
    in_order, replicates = (runs.loc[index, order].sort_values(order).index for index in (runs.index[counts], others))
    counted, used = runs.loc[in_order], [name for name in runs.columns if _is_used(str(name))]
    both = pd.concat([counted, runs.loc[replicates]]).set_index("run_id")
    return Collected(
        counted[used].reset_index(drop=True),
        left_out[LEFT_OUT].sort_values(order, ignore_index=True),
        both[[name for name in runs.columns if str(name).startswith("test/")]],
        _without_finished(runs.loc[failed, used], counted),
        tuple(_changes(as_logged[counts | as_logged["key"].isin(counted["key"].dropna())])),
        both[[name for name in ORIGINS if name in runs]],
        runs.loc[replicates, used].reset_index(drop=True),
    )


def machines_of(runs: pd.DataFrame) -> pd.Series:
    """Return what each run was computed on, as far as its bits depend on it: the processor, or the accelerator."""
    if "hardware" not in runs:
        return pd.Series("", index=runs.index, dtype=object)
    named = {}
    for text in runs["hardware"].dropna().unique():
        known = json_object(str(text))
        device = str(known.get("device", "cpu"))
        named[text] = str(known.get("processor") or "") if device == "cpu" else device
    return runs["hardware"].map(named).astype(object).fillna("")


def _are_of_host(runs: pd.DataFrame) -> pd.Series:
    """Return which runs are of members that set something of the benchmark: of a learning rate, say."""
    found = pd.Series(False, index=runs.index)
    losses = runs["loss"].unique()
    for name in (str(name) for name in runs.columns if str(name).startswith("param.benchmark.")):
        if members := _named_by(losses, name.removeprefix("param.benchmark.")):
            found |= runs["loss"].isin(members) & runs[name].notna()
    return found


def _named_by(losses: Iterable[object], setting: str) -> list[str]:
    """Return the losses that are named by a setting of theirs."""
    return [str(loss) for loss in losses if f"@{setting}=" in str(loss)]


def _superseded(runs: pd.DataFrame, keep_stale: bool, searched: Mapping[str, Collection[str]]) -> pd.Series:
    """Reasons for the runs that newer ones of another configuration or of other code stand for."""
    reasons = pd.Series("", index=runs.index, dtype=object)
    of_benchmark = [name for name in runs.columns if name.startswith(BENCHMARK_PARAMS)]
    of_loss = [name for name in runs.columns if name.startswith("param.loss.")]
    own = _own_settings(runs, of_benchmark, searched)
    shared = [name for name in of_benchmark if name not in own]
    # what some runs set for themselves: the others among each other, and these with those of the same name
    apart = [(~own[name], BENCHMARK, [name]) for name in own]
    everywhere = pd.Series(True, index=runs.index)
    for meant, group, names in (
        (everywhere, BENCHMARK, shared),
        *apart,
        (everywhere, IDENTITY_OF_LOSS, [*own, *of_loss]),
    ):
        reasons.update(_outdated(runs.loc[meant & (reasons == ""), [*group, *AGE, *names]], group, names))
    if not keep_stale and "code" in runs:
        reasons.update(_stale(runs.loc[(reasons == "") & runs["code"].notna(), ["profile", "benchmark", "code", *AGE]]))
    return reasons[reasons != ""]


def _own_settings(
    runs: pd.DataFrame, names: Sequence[str], searched: Mapping[str, Collection[str]]
) -> dict[str, pd.Series]:
    """Return by column which runs set it for themselves: trials of a search, and members of a sweep of settings."""
    own = {}
    losses = runs["loss"].unique()
    is_trial = runs["loss"].isin(_named_by(losses, TRIAL))
    for name in names:
        setting = name.removeprefix("param.benchmark.")
        benchmarks = [benchmark for benchmark, settings in searched.items() if setting in settings]
        members = _named_by(losses, setting)
        if members or benchmarks:
            sets_it = runs["loss"].isin(members) | (is_trial & runs["benchmark"].isin(benchmarks))
            if sets_it.any():
                own[name] = sets_it
    return own


def _failed(
    runs: pd.DataFrame, failed: pd.Series, reasons: pd.Series, keep_stale: bool, searched: Mapping[str, Collection[str]]
) -> pd.Index:
    """Return the failed runs of losses that have the configuration and the code of the finished ones.

    A failed run never makes finished ones outdated, however new it is: it counts as older than all of them.
    """
    is_failed = failed & (runs["kind"] == "loss") & runs[FAILED].notna().all(axis=1)
    if not is_failed.any():
        return runs.index[:0]
    both = runs[is_failed | (reasons == "")].copy()
    both.loc[is_failed[is_failed].index, "start"] = both["start"].min() - pd.Timedelta(days=1)
    return is_failed[is_failed].index.difference(_superseded(both, keep_stale, searched).index)


def _without_finished(failed: pd.DataFrame, counted: pd.DataFrame) -> pd.DataFrame:
    """Keep one failed run for each (profile, purpose, benchmark, loss, seed) without a finished run that counts."""
    once = failed.sort_values("run_id").drop_duplicates(IDENTITY)
    finished = pd.MultiIndex.from_frame(counted[IDENTITY].astype(object))
    return once[~pd.MultiIndex.from_frame(once[IDENTITY].astype(object)).isin(finished)].reset_index(drop=True)


def _changes(runs: pd.DataFrame) -> Iterator[Change]:
    """Yield what runs were declared with otherwise than others of their profile and benchmark."""
    for (profile, benchmark), here in runs.sort_values(AGE).groupby(["profile", "benchmark"]):
        for what in ("metric", "goal", "margin"):
            said = here[what].dropna() if what in here else pd.Series(dtype=object)
            if said.nunique() > 1:
                counts = [
                    (f"{value:g}" if what == "margin" else str(value), int((said == value).sum()))
                    for value in said.unique()
                ]
                yield Change(str(profile), str(benchmark), what, tuple(counts))


def _is_used(name: str) -> bool:
    """Whether a column is one of those that most tables look at."""
    if name.startswith("param."):
        return name.startswith("param.loss.")
    return name not in TOLD_ELSEWHERE and ("/" not in name or name.startswith("seconds/"))


def _by_newest_metric(runs: pd.DataFrame) -> pd.DataFrame:
    """Let every run of a benchmark have the primary metric of the newest, with goal and margin: all are logged."""
    described = ["metric", "goal", *(["margin"] if "margin" in runs else [])]
    tagged = runs[["profile", "benchmark", *described, *AGE]].dropna(subset=["profile", "benchmark", "metric"])
    tagged = tagged[tagged["goal"].isin(KNOWN["goal"])]
    newest = tagged.iloc[_newest(tagged, ["profile", "benchmark"])].set_index(tagged.index)
    runs = runs.copy()
    if "margin" in runs:
        is_declared = newest["margin"].notna() | (newest["metric"] != tagged["metric"])
        runs.loc[tagged.index, "margin"] = newest["margin"].where(is_declared, tagged["margin"])
    for name in ("metric", "goal"):
        runs.loc[tagged.index, name] = newest[name]
    return runs


def _primary(runs: pd.DataFrame, split: str) -> pd.Series:
    values = pd.Series(math.nan, index=runs.index)
    for metric in runs["metric"].dropna().unique():
        if f"{split}/{metric}" in runs:
            is_it = runs["metric"] == metric
            values[is_it] = pd.to_numeric(runs.loc[is_it, f"{split}/{metric}"], errors="coerce")
    return values


def _incomplete(runs: pd.DataFrame, own_metric: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return for every run why it does not count, empty if nothing is missing; the first reason counts.

    And whether its training collapsed: it was finished, and the primary metric that it declared is no finite number.
    """
    reasons = pd.Series("", index=runs.index, dtype=object)

    def because(chosen: pd.Series, why: pd.Series) -> None:
        chosen &= reasons == ""
        reasons[chosen] = why[chosen].astype(object)

    status = runs["status"].astype(object).fillna("unknown")
    failure = (": " + runs["failure"].astype(object)).where(runs["failure"].fillna("") != "", "")
    because(status == "FAILED", "failed" + failure)
    unfinished = status.map(UNFINISHED)
    because(status != "FINISHED", unfinished.where(unfinished.notna(), "status " + status))
    needed = [*IDENTITY, "metric", "goal", "kind"]
    absent = runs[needed].isna()
    names = pd.Series("", index=runs.index, dtype=object)
    for name in needed:
        names += np.where(absent[name], f", suite.{name}", "")
    because(absent.any(axis=1), "has no tag " + names.str.removeprefix(", "))
    for name, known in KNOWN.items():
        text = runs[name].astype(object).astype(str)
        because(~text.isin(known), f"suite.{name} is " + text + f", neither {' nor '.join(known)}")
    split = pd.Series(np.where(runs["purpose"] == "selection", "val", "test"), index=runs.index, dtype=object)
    value = runs["val"].where(split == "val", runs["test"])
    metric = split + "/" + runs["metric"].astype(object).astype(str)
    collapsed = (reasons == "") & ~np.isfinite(value) & (runs["metric"] == own_metric)
    because(value.isna(), metric + " is missing")
    because(np.isinf(value), metric + " is infinite")
    return reasons, collapsed


def _outdated(runs: pd.DataFrame, group: list[str], names: list[str]) -> pd.Series:
    """Reasons for the runs whose configuration, in the columns `names`, is not the newest of their group."""
    if runs.empty or not names:
        return pd.Series(dtype=object)
    configs = {name: runs[name].fillna("").astype(str).to_numpy(object) for name in names}
    codes = np.column_stack([pd.factorize(config)[0] for config in configs.values()])
    newest = _newest(runs, group)
    different = codes != codes[newest]
    reasons: dict[int, str] = {}
    for row in np.flatnonzero(different.any(axis=1)):
        changed = [names[column] for column in np.flatnonzero(different[row])]
        shown = ", ".join(
            f"{name.removeprefix('param.')} {configs[name][row]}, now {configs[name][newest[row]]}" for name in changed
        )
        reasons[int(row)] = f"run with another configuration than the newest: {shown[:LONGEST]}"
    return pd.Series(list(reasons.values()), index=runs.index[list(reasons)], dtype=object)


def _newest(runs: pd.DataFrame, group: list[str]) -> np.ndarray:
    """Return for every run the position of the newest of its group: array [runs]."""
    position = pd.Series(np.arange(len(runs)), index=runs.index)
    by_age = runs[group].assign(position=position).loc[runs[AGE].sort_values(AGE).index]
    return by_age.groupby(group, sort=False)["position"].transform("last").loc[runs.index].to_numpy()


def _stale(runs: pd.DataFrame) -> pd.Series:
    """Reasons for the runs that used another version of a module than newer runs of their profile and benchmark.

    From the newest run back, a version of code that agrees with all newer ones where they meet counts like them: losses
    have modules of their own, which the newest run need not have used.
    """
    reasons = pd.Series(dtype=object)
    for _, members in runs.sort_values(AGE, ascending=False).groupby(["profile", "benchmark"]):
        counted: dict[str, str] = {}
        why = {}
        for text in members["code"].unique():  # in order of appearance, the newest first
            used: Mapping[str, str] = json.loads(text)
            changed = sorted(name for name in used if counted.get(name, used[name]) != used[name])
            if changed:
                why[text] = f"stale: made with other code than newer runs: {', '.join(changed)}"[:LONGEST]
            else:
                counted |= used
        found = members["code"].map(why).dropna().astype(object)
        reasons = pd.concat([reasons, found]) if len(found) else reasons
    return reasons


def _duplicates(runs: pd.DataFrame) -> tuple[pd.Series, pd.Index]:
    """Return reasons for the runs that others of their identity stand for, and the newest of each other machine.

    The runs that count are those of the machine with the most runs of the benchmark, and of these the newest.
    """
    once = runs.drop_duplicates([*IDENTITY, "machine"]).groupby([*BENCHMARK, "machine"]).size().rename("many")
    first = runs.join(once, on=[*BENCHMARK, "machine"]).sort_values(["many", *AGE], ascending=[False, False, True])
    counted = first.groupby(IDENTITY)[["run_id", "machine"]].transform("first")
    elsewhere = first["machine"] != counted["machine"]
    reasons = "duplicate of run " + counted["run_id"].astype(object)
    reasons[elsewhere] = "replicate of run " + counted["run_id"] + " on another machine, " + first["machine"]
    newest = ~first.duplicated([*IDENTITY, "machine"])
    return reasons[first.duplicated(IDENTITY)], first.index[elsewhere & newest]
