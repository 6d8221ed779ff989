"""Thousands of runs out of an SQL store by four statements.

MLflow's own interface makes an object of every tag, parameter and metric: four times as much work for the runs of a
large experiment, and no bounds for their curves. The tables are MLflow's own models.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

#: So many runs can be named in a statement, and the store finds their values; for more, those of all runs are read.
FEW = 5000
PARTITION = 50_000


def is_sql(store: Any) -> bool:
    """Tell whether a tracking store of MLflow's keeps its runs in tables that we can read."""
    return hasattr(store, "ManagedSessionMaker")


def read_runs(store: Any, experiment_id: str) -> Iterator[dict[str, Any]]:
    """Yield the active runs of an experiment.

    Parameters
    ----------
    store : SqlAlchemyStore
    experiment_id : str

    Yields
    ------
    dict
        ``run_id status start end tags params metrics``: times in ms, metrics by their last value.
    """
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
    from sqlalchemy import Integer, select, type_coerce

    of_experiment = _active(experiment_id)
    with store.ManagedSessionMaker() as session:

        def by_run(model: Any, *columns: Any) -> dict[str, list[Any]]:
            grouped = defaultdict(list)
            chosen = select(model.run_uuid, *columns).where(model.run_uuid.in_(of_experiment))
            for run_id, *entry in session.connection().execute(chosen):
                grouped[run_id].append(entry)
            return grouped

        tags, params = by_run(SqlTag, SqlTag.key, SqlTag.value), by_run(SqlParam, SqlParam.key, SqlParam.value)
        last = SqlLatestMetric
        metrics = by_run(last, last.key, last.value, type_coerce(last.is_nan, Integer))
        infos: Any = select(SqlRun.run_uuid, SqlRun.status, SqlRun.start_time, SqlRun.end_time)
        infos = infos.where(SqlRun.run_uuid.in_(of_experiment))
        for run_id, status, start, end in session.connection().execute(infos):
            yield {
                "run_id": run_id,
                "status": status,
                "start": start,
                "end": end,
                "tags": dict(tags[run_id]),
                "params": dict(params[run_id]),
                "metrics": {name: float("nan") if is_nan else value for name, value, is_nan in metrics[run_id]},
            }


def read_points(store: Any, experiment_id: str, run_ids: Sequence[str], name: str) -> Iterator[list[Any]]:
    """Yield the logged values of one metric, some thousands at a time.

    Parameters
    ----------
    store : SqlAlchemyStore
    experiment_id : str
    run_ids : sequence of str
        For more than a few, values of other runs of the experiment come along.
    name : str

    Yields
    ------
    list of (run id, step, time in ms, value, is NaN)
    """
    from mlflow.store.tracking.dbmodels.models import SqlMetric
    from sqlalchemy import Integer, select, type_coerce

    metric = SqlMetric
    columns = metric.run_uuid, metric.step, metric.timestamp, metric.value, type_coerce(metric.is_nan, Integer)
    wanted: Any = metric.run_uuid.in_(run_ids if len(run_ids) <= FEW else _active(experiment_id))
    with store.ManagedSessionMaker() as session:
        result = session.connection().execute(select(*columns).where(metric.key == name, wanted))
        yield from result.partitions(PARTITION)


def _active(experiment_id: str) -> Any:
    from mlflow.store.tracking.dbmodels.models import SqlRun
    from sqlalchemy import select

    return select(SqlRun.run_uuid).where(SqlRun.experiment_id == int(experiment_id), SqlRun.lifecycle_stage == "active")
