"""Metrics by step out of MLflow, those of many runs at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from suite.tracking import sql, store
from suite.tracking.frame import LARGEST, existing

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Part = tuple[np.ndarray, np.ndarray, np.ndarray]

#: What MLflow's page of charts asks a server for. Other servers that speak MLflow's protocol may not know it.
BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
RUNS_A_REQUEST = 100
MOST_POINTS = 25_000
NOT_FOUND = 404


def series(uri: str, experiment: str, run_ids: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Read metrics by step.

    Parameters
    ----------
    uri : str
        Tracking address.
    experiment : str
        Name of the experiment that the runs belong to.
    run_ids, names : sequence of str
        Of the runs and of the metrics.

    Returns
    -------
    pandas.DataFrame
        Columns ``run_id name step value``, ordered by the first three, one value a step: the one that was logged last.

    Raises
    ------
    TrackingUnavailable
        If the store cannot be read.
    """
    run_ids, names = sorted(set(run_ids)), sorted(set(names))
    parts: list[Part] = []
    with existing(uri) as client, store.without_collector():
        found = client.get_experiment_by_name(experiment)
        if found is not None and run_ids:
            parts = [_part(_points(client, found.experiment_id, run_ids, name), run_ids) for name in names]
    return long_table(run_ids, names, parts)


def long_table(run_ids: Sequence[str], names: Sequence[str], parts: Sequence[Part]) -> pd.DataFrame:
    """Put metrics by step into one table, as :func:`series` returns it.

    Parameters
    ----------
    run_ids, names : sequence of str
        Ordered.
    parts : sequence of (array [points] of int, array [points] of int, array [points])
        By metric: positions in `run_ids`, steps, and values, ordered by the first two. May be empty.
    """
    import numpy as np
    import pandas as pd

    empty = np.empty(0, np.int64)
    runs, steps, values = (
        np.concatenate([start, *(part[column] for part in parts)])
        for column, start in enumerate((empty, empty, np.empty(0)))
    )
    metrics = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    order = np.argsort(runs, kind="stable")  # quick, as it consists of ordered parts
    return pd.DataFrame(
        {
            "run_id": pd.Series(run_ids, dtype="str").array.take(runs[order]),
            "name": pd.Series(names, dtype="str").array.take(metrics[order]),
            "step": steps[order],
            "value": values[order],
        }
    )


def _part(pages: Iterator[Sequence[Any]], run_ids: Sequence[str]) -> Part:
    """Make columns of logged values: the last of each step, and infinity for what MLflow stores instead of it."""
    import numpy as np

    number = {run_id: index for index, run_id in enumerate(run_ids)}
    columns = [
        np.array([(number[row[0]], *row[1:]) for row in page if row[0] in number], float).reshape(-1, 5)
        for page in pages
    ]
    run, step, time, value, is_nan = np.concatenate([np.empty((0, 5)), *columns]).T
    value = np.where(is_nan, np.nan, np.where(np.abs(value) >= LARGEST, np.copysign(np.inf, value), value))
    order = np.lexsort((value, time, step, run))
    run, step, value = run[order].astype(np.int64), step[order].astype(np.int64), value[order]
    is_last = np.ones(len(run), dtype=bool)
    is_last[:-1] = (np.diff(run) != 0) | (np.diff(step) != 0)
    return run[is_last], step[is_last], value[is_last]


def _points(client: Any, experiment_id: str, run_ids: Sequence[str], name: str) -> Iterator[Sequence[Any]]:
    tracking_store = client._tracking_client.store
    if sql.is_sql(tracking_store):
        yield from sql.read_points(tracking_store, experiment_id, run_ids, name)
        return
    for start in range(0, len(run_ids), RUNS_A_REQUEST):
        yield from _requested(client, run_ids[start : start + RUNS_A_REQUEST], name)


def _requested(client: Any, run_ids: Sequence[str], name: str) -> Iterator[Sequence[Any]]:
    points = _bulk(client._tracking_client.store, run_ids, name) if len(run_ids) > 1 else None
    if points is None:
        for run_id in run_ids:
            history = client.get_metric_history(run_id, name)
            yield [(run_id, one.step, one.timestamp, one.value, one.value != one.value) for one in history]
    elif len(points) < MOST_POINTS:
        yield [(one["run_id"], one["step"], one["timestamp"], one["value"], False) for one in points]
    else:
        half = len(run_ids) // 2
        yield from _requested(client, run_ids[:half], name)
        yield from _requested(client, run_ids[half:], name)


def _bulk(tracking_store: Any, run_ids: Sequence[str], name: str) -> list[dict[str, Any]] | None:
    """Ask a tracking server for all runs at once; None if this is no server, or one that cannot do that."""
    if not hasattr(tracking_store, "get_host_creds"):
        return None
    from mlflow.utils import rest_utils

    ask: Callable[..., Any] = rest_utils.http_request
    asked = {"run_id": list(run_ids), "metric_key": name, "max_results": MOST_POINTS}
    response = ask(tracking_store.get_host_creds(), BULK, "GET", params=asked)
    if response.status_code == NOT_FOUND:
        return None
    points: list[dict[str, Any]] = rest_utils.verify_rest_response(response, BULK).json()["metrics"]
    return points
