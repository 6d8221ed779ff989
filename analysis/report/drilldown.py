"""Every run's configuration, metrics, provenance and curves as compact JSON, for the page's script to draw."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from analysis.evidence.choice import natural
from analysis.evidence.gather import Evidence
from analysis.read.logged import Logged
from analysis.tables.table import MISSING

MAX_RUNS = 10_000
MAX_CURVES = 500
MAX_POINTS = 100
KEY_DIGITS = 12
PARAMETER = "param."
MEASURED = ("val/", "test/", "seconds/")
TOLD = (f"{PARAMETER}profile", f"{PARAMETER}seed", f"{PARAMETER}benchmark.name", f"{PARAMETER}loss.name")
ORIGINS = ("git", "packages", "hardware")


def drilldown(evidences: Sequence[Evidence], logged: Logged) -> dict[str, Any]:
    """Return what the page knows of single runs.

    Of more than `MAX_RUNS` runs, and of curves of more than `MAX_CURVES`, those with evaluation seeds come first and
    then those with the lowest seeds, so that every loss of every benchmark is there.

    Returns
    -------
    dict
        ``groups``: by profile and benchmark, with parameters that all of its runs share said once, distinct
        configurations said once, and a row a run; ``texts``: what rows refer to by number; ``curves``: by run, with
        equal steps said once; ``runs``, ``runs_shown``, ``curves_read``, ``curves_shown``: numbers of runs.
    """
    shown, total = _shown(evidences, logged.runs)
    texts = _Texts()
    counted = pd.concat([one.collected.runs[["profile", "benchmark", "metric"]] for one in evidences])
    metrics = dict(zip(zip(counted["profile"], counted["benchmark"], strict=True), counted["metric"], strict=True))
    groups = [
        _group(str(profile), str(benchmark), metrics.get((profile, benchmark), ""), part, texts)
        for (profile, benchmark), part in shown.groupby(["profile", "benchmark"], sort=False)
    ]
    profiles = [one.profile for one in evidences]
    groups.sort(key=lambda group: (profiles.index(group["profile"]), natural(group["benchmark"])))
    drawn = shown[["run_id", "id"]].head(MAX_CURVES)
    curves = _curves(drawn, logged)
    return {
        "groups": groups,
        "texts": texts.known,
        "curves": curves,
        "runs": total,
        "runs_shown": len(shown),
        "curves_read": len(drawn),
        "curves_shown": sum(1 for series in curves["runs"].values() if series),
    }


def run_ids(evidences: Sequence[Evidence], runs: pd.DataFrame) -> list[str]:
    """Return the runs of which the page has curves."""
    return [str(one) for one in _shown(evidences, runs)[0]["run_id"].head(MAX_CURVES)]


def as_json(content: object) -> str:
    """Return JSON that may stand inside of a ``script`` element, whatever names and reasons are in it."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


class _Texts:
    """Texts that many rows have in common, by number."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: object) -> int:
        if not isinstance(text, str) or not text:
            return -1
        if text not in self._numbers:
            self._numbers[text] = len(self.known)
            self.known.append(text)
        return self._numbers[text]


def _shown(evidences: Sequence[Evidence], runs: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the most telling runs of the profiles with a short ``id`` and why it does not count, and of how many."""
    left_out = pd.concat([one.collected.left_out for one in evidences])
    reasons = left_out.drop_duplicates("run_id").set_index("run_id")["reason"]
    of_profiles = runs["profile"].isin([one.profile for one in evidences])
    order = runs.loc[of_profiles, ["seed", "benchmark", "loss", "run_id"]]
    order.insert(0, "selecting", runs["purpose"] != "evaluation")
    chosen = order.sort_values(list(order.columns)).index[:MAX_RUNS]
    shown = runs.loc[chosen]
    told = {
        "id": _short(shown["key"].astype(str)),
        "reason": shown["run_id"].map(reasons),
        "selecting": order.loc[chosen, "selecting"],
    }
    shown = pd.concat([shown, pd.DataFrame(told)], axis=1).copy()
    return shown.assign(benchmark=shown["benchmark"].fillna(MISSING)), len(order)


def _short(keys: pd.Series) -> pd.Series:
    """Shorten keys to a prefix that tells them apart; a number tells runs of the same key apart."""
    short = keys.str[:KEY_DIGITS]
    if short[~keys.duplicated()].duplicated().any():
        short = keys
    again = short.groupby(short).cumcount()
    return short.where(again == 0, short + "~" + (again + 1).astype(str))


def _group(profile: str, benchmark: str, metric: str, runs: pd.DataFrame, texts: _Texts) -> dict[str, Any]:
    runs = runs.dropna(axis=1, how="all")
    runs = runs.sort_values(["loss", "selecting", "seed", "run_id"], key=_sortable)
    shared, varied, configurations = _configurations(runs)
    metrics = sorted((str(name) for name in runs.columns if str(name).startswith(MEASURED)), key=natural)
    values = runs[metrics].to_numpy(dtype=float) if metrics else np.empty((len(runs), 0))
    about = runs.reindex(columns=["id", "loss", "seed", "purpose", "kind", "status", "reason", *ORIGINS])
    distinct: dict[tuple[str, ...], int] = {}
    rows = []
    for one, configuration, measured in zip(about.to_dict("records"), configurations, values, strict=True):
        rows.append(
            [
                one["id"],
                texts.number(one["loss"]),
                None if pd.isna(one["seed"]) else int(one["seed"]),
                *(texts.number(one[name]) for name in ("purpose", "kind", "status", "reason", *ORIGINS)),
                distinct.setdefault(configuration, len(distinct)),
                [_rounded(value) for value in measured],
            ]
        )
    return {
        "profile": profile,
        "benchmark": benchmark,
        "metric": metric,
        "shared": shared,
        "varied": varied,
        "configurations": [[texts.number(value) for value in one] for one in distinct],
        "metrics": metrics,
        "runs": rows,
    }


def _sortable(column: pd.Series) -> pd.Series:
    return column.map(natural) if column.name == "loss" else column


def _configurations(runs: pd.DataFrame) -> tuple[dict[str, str], list[str], list[tuple[str, ...]]]:
    """Return parameters that all runs share, names of the others, and their values run by run."""
    known = (str(name) for name in runs.columns)
    names = sorted((name for name in known if name.startswith(PARAMETER) and name not in TOLD), key=natural)
    config = runs[names].astype(object)
    config = config.where(config.notna(), "").astype(str)
    is_shared = config.eq(config.iloc[0]).all()
    shared = {_plain(name): str(config[name].iloc[0]) for name in names if is_shared[name]}
    varied = [name for name in names if not is_shared[name]]
    return shared, [_plain(name) for name in varied], list(map(tuple, config[varied].to_numpy().tolist()))


def _plain(name: str) -> str:
    return name.removeprefix(PARAMETER)


def _rounded(value: float, digits: int = 6) -> float | int | str | None:
    """Shorten a number; a missing one is None and an infinite one a text, since JSON has neither."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    short = float(f"{value:.{digits}g}")
    return int(short) if short == int(short) and abs(short) < 1e15 else short


def _curves(drawn: pd.DataFrame, logged: Logged) -> dict[str, Any]:
    """Return series by run, each as the number of its name, the number of its steps, and its values."""
    ids = dict(zip(drawn["run_id"], drawn["id"], strict=True))
    points = logged.curves(list(ids)) if ids else pd.DataFrame(columns=["run_id", "name", "step", "value"])
    names: dict[str, int] = {}
    steps: dict[tuple[int, ...], int] = {}
    runs: dict[str, list[list[Any]]] = {short: [] for short in ids.values()}
    all_steps, all_values = points["step"].to_numpy(), points["value"].to_numpy(dtype=float)
    places = cast("dict[tuple[str, str], np.ndarray]", points.groupby(["run_id", "name"]).indices)
    for run_id, name in sorted(places):
        kept = places[run_id, name][_kept(len(places[run_id, name]))]
        at = tuple(all_steps[kept].tolist())
        values = [_rounded(value, 4) for value in all_values[kept].tolist()]
        numbers = [names.setdefault(name, len(names)), steps.setdefault(at, len(steps))]
        runs[ids[run_id]].append([*numbers, values])
    return {"names": list(names), "steps": [list(one) for one in steps], "runs": runs}


def _kept(n: int) -> np.ndarray:
    """Return which of `n` points are drawn: all, or some at equal distances with the first and the last."""
    return np.unique(np.linspace(0, n - 1, min(n, MAX_POINTS)).round().astype(int))
