"""What training saw: logged quantities at the first, the middle and the last logged point, by benchmark and loss."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from analysis.collect import Collected
from analysis.select import natural
from analysis.table import MISSING, Block, Cell, Summary, Table
from analysis.tables import loss_order
from suite.tracking.frame import LARGEST
from suite.tracking.store import open_client, reachable

PREFIX = "train/"
POINTS = ("first", "middle", "last")
FIRST_SHOWN = ("loss", "similarity_positive", "similarity_negative", "clamped_fraction")
COLUMNS = ["run_id", "quantity", "point", "step", "value"]


def training_points(uri: str, runs: pd.DataFrame) -> pd.DataFrame:
    """Read three points of every ``train/`` metric of the runs: the first, the middle and the last that was logged.

    Some 5 ms a metric and run from a SQLite store.

    Parameters
    ----------
    uri : str
        Tracking address.
    runs : DataFrame
        From :func:`analysis.collect.collect`.

    Returns
    -------
    DataFrame
        Columns ``run_id quantity point step value``; `quantity` without the prefix.

    Raises
    ------
    TrackingUnavailable
        If the store cannot be read.
    """
    names = [str(name) for name in runs.columns if str(name).startswith(PREFIX)]
    rows: list[list[object]] = []
    with reachable(uri):
        client = open_client(uri)
        for name in names:
            for run_id in runs.loc[runs[name].notna(), "run_id"]:
                history = {point.step: _finite(point.value) for point in client.get_metric_history(run_id, name)}
                rows += [[run_id, name.removeprefix(PREFIX), *point] for point in _three(history)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _finite(value: float) -> float:
    return value if abs(value) < LARGEST else math.nan


def _three(history: dict[int, float]) -> Iterator[tuple[str, int, float]]:
    """Give first, middle and last point; the middle one is the nearest to half of the last step."""
    if not history:
        return
    first, last = min(history), max(history)
    middle = min(history, key=lambda step: (abs(2 * step - first - last), step))
    for point, step in zip(POINTS, (first, middle, last), strict=True):
        yield point, step, history[step]


def training_tables(collected: Collected, profile: str, points: pd.DataFrame) -> list[Table]:
    """Return a table a benchmark: a row a loss, a column a quantity, as first -> middle -> last mean over all runs.

    Nothing is chosen by these figures, so that runs with selection seeds count like those with evaluation seeds.

    Parameters
    ----------
    collected : Collected
    profile : str
    points : DataFrame
        From :func:`training_points`.
    """
    runs = collected.of(profile).runs
    known = runs[["run_id", "benchmark", "loss"]][runs["kind"] == "loss"].merge(points, on="run_id")
    return [
        _table(str(name), profile, known[known["benchmark"] == name])
        for name in sorted(known["benchmark"].unique(), key=natural)
    ]


def _table(benchmark: str, profile: str, points: pd.DataFrame) -> Table:
    quantities = sorted(points["quantity"].unique(), key=_quantity_order)
    rows, data = [], []
    for loss in sorted(points["loss"].unique(), key=loss_order):
        mine = points[points["loss"] == loss]
        label, cells = f"{loss} ({mine['run_id'].nunique()})", []
        for quantity in quantities:
            means = []
            for point in POINTS:
                here = mine[(mine["quantity"] == quantity) & (mine["point"] == point)]
                one = Summary.over(here["value"])
                means.append(one.mean)
                if one.n:
                    data.append([benchmark, loss, quantity, point, here["step"].iloc[0], one.n, one.mean, one.std])
            unknown = all(math.isnan(mean) for mean in means)
            cells.append(Cell(MISSING if unknown else " → ".join(_number(mean) for mean in means)))
        rows.append((label, cells))
    return Table(
        f"training-{benchmark}",
        profile,
        f"What training saw, {benchmark}, profile {profile}: means over runs (their number) at the first, the middle "
        "and the last logged step, of training batches and of the features as the benchmark diagnoses them.",
        ["", *quantities],
        [Block("", rows)],
        data=pd.DataFrame(data, columns=["benchmark", "loss", "quantity", "point", "step", "n", "mean", "std"]),
    )


def _number(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.4g}"


def _quantity_order(name: str) -> tuple[object, ...]:
    return (FIRST_SHOWN.index(name) if name in FIRST_SHOWN else len(FIRST_SHOWN), natural(name))
