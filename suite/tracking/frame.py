"""MLflow to a frame: a row a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from suite.tracking import sql, store
from suite.tracking.address import sqlite_file

if TYPE_CHECKING:
    import pandas as pd

PAGE = 5000
TEXT_TAGS = ("key", "record", "benchmark", "loss", "kind", "profile", "purpose", "metric", "goal", "git", "failure")
ORIGIN_TAGS = ("code", "packages", "hardware")
COLUMNS = (
    *(*TEXT_TAGS[:5], "seed", *TEXT_TAGS[5:9], "margin", *TEXT_TAGS[9:], *ORIGIN_TAGS),
    *("status", "run_id", "start", "end"),
)
"""Those that every frame begins with; metrics and parameters follow, ordered by name."""
#: SQL has no infinity; MLflow stores the largest float instead.
LARGEST = 1.7976931348623157e308


def frame(uri: str, experiment: str) -> pd.DataFrame:
    """Read the runs of an experiment that a mirror wrote.

    Parameters
    ----------
    uri : str
        Tracking address.
    experiment : str
        Name of the experiment.

    Returns
    -------
    pandas.DataFrame
        A row a run, ordered by benchmark, loss, seed and run id, with the columns ``key record benchmark loss kind seed
        profile purpose metric goal margin git failure code packages hardware status run_id start end`` (times in UTC;
        code, packages and hardware as JSON), one column a metric (``val/...``, ``test/...``, ``train/...`` at its last
        step, ``seconds/...``) and one a parameter (``param.<name>``). Empty if there is no such experiment.

    Raises
    ------
    TrackingUnavailable
        If the store cannot be read; a SQLite file that does not exist is not created.
    """
    import pandas as pd

    with existing(uri) as client, store.without_collector():
        rows = [_row(**run) for run in _runs(client, experiment)]
    table = pd.DataFrame(rows)
    rest = sorted(set(table.columns) - set(COLUMNS))
    kinds = {name: pd.StringDtype(na_value=math.nan) for name in (*TEXT_TAGS, *ORIGIN_TAGS, "status", "run_id")}
    table = table.reindex(columns=[*COLUMNS, *rest]).astype({**kinds, "seed": "Int64", "margin": float})
    for name in ("start", "end"):
        table[name] = pd.to_datetime(table[name], unit="ms", utc=True)
    return table.sort_values(["benchmark", "loss", "seed", "run_id"], ignore_index=True)


def experiments(uri: str) -> list[str]:
    """Return the names of the experiments that a mirror wrote into.

    Raises
    ------
    TrackingUnavailable
        If the store cannot be read; a SQLite file that does not exist is not created.
    """
    with existing(uri) as client:
        found = client.search_experiments(max_results=1000)
        marked = "tags.suite.key LIKE '%'"
        return sorted(one.name for one in found if client.search_runs([one.experiment_id], marked, max_results=1))


def deleted_experiments(uri: str) -> dict[str, str]:
    """Return the experiments that were deleted and can be restored: name to MLflow's id.

    Raises
    ------
    TrackingUnavailable
        If the store cannot be read; a SQLite file that does not exist is not created.
    """
    with existing(uri) as client:
        from mlflow.entities import ViewType

        found = client.search_experiments(ViewType.DELETED_ONLY, max_results=1000)
        return {one.name: one.experiment_id for one in found}


@contextmanager
def existing(uri: str) -> Iterator[Any]:
    """Give a client on a store that is there.

    Raises
    ------
    TrackingUnavailable
        If it is not, or if what is done inside the block fails on it.
    """
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        hint = "python -m suite sync makes it from the records"
        raise store.TrackingUnavailable(f"MLflow store {uri}: there is no such file; {hint}")
    with store.reachable(uri):
        yield store.open_client(uri)


def _runs(client: Any, experiment: str) -> Iterator[dict[str, Any]]:
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return
    tracking_store = client._tracking_client.store
    if sql.is_sql(tracking_store):
        yield from sql.read_runs(tracking_store, found.experiment_id)
        return
    token = None
    while True:
        page = client.search_runs([found.experiment_id], max_results=PAGE, page_token=token)
        for run in page:
            info, data = run.info, run.data
            times = {"start": info.start_time, "end": info.end_time}
            values = {"tags": data.tags, "params": data.params, "metrics": data.metrics}
            yield {"run_id": info.run_id, "status": info.status} | times | values
        token = page.token
        if not token:
            return


def _row(
    tags: dict[str, str], params: dict[str, str], metrics: dict[str, float], **info: str | int | None
) -> dict[str, Any]:
    row: dict[str, Any] = {name: tags.get(f"suite.{name}") for name in (*TEXT_TAGS, *ORIGIN_TAGS)}
    row |= {"seed": _number(tags.get("suite.seed"), int), "margin": _number(tags.get("suite.margin"), float)}
    row |= info
    row |= {name: _finite_or_infinite(value) for name, value in metrics.items()}
    row |= {f"param.{name}": value for name, value in params.items()}
    return row


def _number(text: str | None, kind: type[int] | type[float]) -> int | float | None:
    try:
        return None if text is None else kind(text)
    except ValueError:
        return None


def _finite_or_infinite(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) >= LARGEST else value
