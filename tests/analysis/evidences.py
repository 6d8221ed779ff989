"""Evidence and training curves of made-up runs: what the tests of figures and of the report start from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.evidence.gather import Evidence, gather
from analysis.read.collect import collect
from analysis.read.logged import Logged
from suite.registry.claims import Claim, Declared
from tests.analysis import frames

DECLARED, VALIDATED, MEDIAN = (f"infonce (tau {at})" for at in ("declared", "validated", "median"))
LOSSES = (DECLARED, VALIDATED, "dystress", "temperature_free")
HOST, CHOSEN, MIDDLE = 0.4, 0.2, 0.5
GRID = (0.05, 0.1, CHOSEN, MIDDLE, 1.0)
SELECTION = (100, 101, 102)
UNIT = 0.01
CLAIMS = {
    "free_is_not_worse": Claim("temperature_free", "not_worse", "infonce", "validated", "Kim & Kim 2025"),
    "dystress_is_better": Claim("dystress", "better", "infonce", "declared", "Manna et al. 2023"),
}


def evidence(
    benchmarks: Sequence[str] = ("graph", "image"),
    losses: Sequence[str] = LOSSES,
    seeds: Iterable[int] = range(5),
    effects: Mapping[tuple[str, str], float] | None = None,
    goals: Mapping[str, str] | None = None,
    claims: Mapping[str, Claim] | None = None,
    margin: float = UNIT,
    sweep: bool = True,
) -> Evidence:
    """Gather the evidence of a campaign.

    Parameters
    ----------
    benchmarks : sequence of str
    losses : sequence of str
        Labels of rows: DECLARED, VALIDATED, MEDIAN, and names of losses.
    seeds : iterable of int
        Of evaluation; the sweep of infonce has selection seeds of its own.
    effects : mapping of (row, benchmark) to float
        By how much a row is better than the others, in units of 0.01.
    goals : mapping of benchmark to goal
        `maximise` where nothing is said.
    claims : mapping of name to Claim
        CLAIMS unless given.
    margin : float
        NaN for none.
    sweep : bool
        Whether infonce was swept; without, its row is called ``infonce``.
    """
    rng, runs = np.random.default_rng(0), []
    for benchmark in benchmarks:
        goal = (goals or {}).get(benchmark, "maximise")
        unit = -UNIT if goal == "minimise" else UNIT
        same: dict[str, Any] = {"goal": goal, "margin": margin, "hours": 0.01, "param.loss.temperature": None}
        by_seed = {seed: rng.normal(0.7, UNIT) for seed in seeds}
        for row in losses:
            effect = (effects or {}).get((row, benchmark), 0.0)
            own = {**same, "param.loss.temperature": str(HOST)} if row == DECLARED else same
            for seed, level in by_seed.items():
                runs.append(frames.row(benchmark, _loss(row), seed, level + unit * rng.normal(effect, 0.3), **own))
            if not row.startswith("infonce"):
                runs += [
                    _selection(benchmark, row, 0.7 + unit * rng.normal(effect, 0.2), one, same) for one in SELECTION
                ]
        for tau in GRID if sweep else ():
            level = -2.0 * abs(math.log10(tau / CHOSEN))
            name = f"infonce@temperature={tau}"
            runs += [_selection(benchmark, name, 0.7 + unit * rng.normal(level, 0.01), one, same) for one in SELECTION]
        runs += [frames.row(benchmark, "untrained", seed, 0.5, kind="reference", **same) for seed in by_seed]
    return gather(collect(pd.DataFrame(runs)), Declared("infonce", dict(CLAIMS if claims is None else claims)), "mini")


def _selection(benchmark: str, loss: str, val: float, seed: int, same: Mapping[str, Any]) -> dict[str, Any]:
    return frames.row(benchmark, loss, seed, None, purpose="selection", **{**same, "val/accuracy": val})


def _loss(row: str) -> str:
    members = {DECLARED: "infonce", VALIDATED: f"infonce@temperature={CHOSEN}", MEDIAN: f"infonce@temperature={MIDDLE}"}
    return members.get(row, row)


def logged(of: Evidence, points: pd.DataFrame, declared: Declared | None = None) -> Logged:
    """Return the runs of an evidence as logged, with these curves."""

    def read(run_ids: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
        return points[points["run_id"].isin(run_ids) & points["name"].isin(names)]

    runs = of.collected.runs.join(of.collected.tested, on="run_id")
    return Logged(runs.assign(**dict.fromkeys(points["name"].unique(), 0.0)), declared or Declared(), read_points=read)


def curves(of: Evidence, without: Sequence[str] = (), collapsed: Sequence[str] = ()) -> pd.DataFrame:
    """Return plausible curves of every evaluation run of a loss.

    Parameters
    ----------
    of : Evidence
    without : sequence of str
        Series that nobody logs, and ``benchmark:series`` that this benchmark does not.
    collapsed : sequence of str
        Rows all of whose cosines end in the last bin.
    """
    rng = np.random.default_rng(1)
    losses = of.rows[of.rows["row"].isin(of.labels)].drop_duplicates("run_id")
    parts = []
    for run in losses.to_dict("records"):
        hidden = {*without, *(name.partition(":")[2] for name in without if name.startswith(f"{run['benchmark']}:"))}
        series = _series(rng, run["row"] in collapsed)
        parts += [
            pd.DataFrame({"run_id": run["run_id"], "name": name, "step": steps, "value": values})
            for name, (steps, values) in series.items()
            if name not in hidden
        ]
    return pd.concat(parts).sort_values(["run_id", "name", "step"], ignore_index=True)


def _series(rng: np.random.Generator, collapsed: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    steps, bins = np.arange(0, 200, 10), np.linspace(-0.99, 0.99, 100)
    fall = np.exp(-steps / 60)
    made = {
        "train/loss": rng.uniform(3, 6) * (0.4 + 0.6 * fall + rng.normal(0, 0.01, len(steps))),
        "train/similarity_positive": 0.999 - 0.2 * fall * (not collapsed) + rng.normal(0, 1e-3, len(steps)),
        "train/similarity_negative": (0.999 if collapsed else 0.6 * fall) + rng.normal(0, 1e-2, len(steps)),
        "train/alignment": 0.3 + 0.2 * fall + rng.normal(0, 0.01, len(steps)),
        "train/uniformity": (0.0 if collapsed else -3.0) + 1.5 * fall + rng.normal(0, 0.05, len(steps)),
        "train/effective_rank": 40 - 20 * fall + rng.normal(0, 1, len(steps)),
        "train/accuracy": 0.7 - 0.3 * fall,
    }
    shares = {}
    for role, centre in (("positive", 0.8), ("negative", 0.0)):
        density = np.exp(-(((bins - centre - rng.normal(0, 0.02)) / 0.15) ** 2))
        if collapsed:
            density = np.eye(1, 100, 99)[0]
        shares[f"histogram/similarity_{role}"] = (np.arange(100), density / density.sum())
    return {**{name: (steps, values) for name, values in made.items()}, **shares}
