"""What training saw: logged quantities at the first, the middle and the last logged point, by benchmark and loss."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from analysis.evidence.choice import natural
from analysis.evidence.rows import loss_order
from analysis.read.collect import Collected
from analysis.read.logged import Logged
from analysis.tables.table import MISSING, Block, Cell, Summary, Table

PREFIX = "train/"
POINTS = ("first", "middle", "last")
FIRST_SHOWN = ("loss", "similarity_positive", "similarity_negative", "clamped_fraction")
SERIES = ["run_id", "name"]
COLUMNS = ["run_id", "quantity", "point", "step", "value"]


def training_points(logged: Logged, runs: pd.DataFrame) -> pd.DataFrame:
    """Read three points of every ``train/`` metric of the runs: the first, the middle and the last that was logged.

    The middle one is the nearest to half of the way.

    Parameters
    ----------
    logged : Logged
    runs : DataFrame
        Those of them that are meant, from :func:`analysis.read.collect.collect`.

    Returns
    -------
    DataFrame
        Columns ``run_id quantity point step value``; `quantity` without the prefix, infinite values as NaN.

    Raises
    ------
    TrackingUnavailable
        If the store cannot be read.
    InputError
        If a bundle was changed after its export.
    """
    names = [name for name in logged.curve_names if name.startswith(PREFIX)]
    curves = logged.curves(list(runs["run_id"]), names)
    steps = curves.groupby(["run_id", "name"])["step"]
    off_middle = (2 * curves["step"] - steps.transform("min") - steps.transform("max")).abs()
    middle = curves.assign(off=off_middle).sort_values(["run_id", "name", "off", "step"])
    chosen = (
        curves.drop_duplicates(SERIES),
        middle.drop_duplicates(SERIES),
        curves.drop_duplicates(SERIES, keep="last"),
    )
    points = pd.concat([part.assign(point=point) for point, part in zip(POINTS, chosen, strict=True)])
    points["value"] = points["value"].where(np.isfinite(points["value"]))
    points["quantity"] = points["name"].str.removeprefix(PREFIX)
    return points.sort_values(["name", "run_id"], kind="stable", ignore_index=True)[COLUMNS]


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
