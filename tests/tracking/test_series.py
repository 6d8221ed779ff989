import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from suite.tracking import TrackingUnavailable, default_uri, frame, sql
from suite.tracking import series as module
from suite.tracking.series import series
from tests.records_factory import append, metrics_event, write_run
from tests.tracking.servers import MlflowServer
from tests.tracking.stores import EXPERIMENT, mirror

NAMES = ["train/loss", "train/odd", "histogram/similarity_positive"]


@pytest.fixture
def uri(out: Path) -> str:
    """A store of three runs with values that are hard to keep, and one without any."""
    for seed in range(3):
        key = write_run(out, seed=seed, steps=5)
        append(
            out, key, metrics_event(50, odd=math.nan), metrics_event(10, odd=math.inf), metrics_event(20, odd=-math.inf)
        )
        shares = {"similarity_positive": [seed / 8, 0.25, 1 - seed / 8]}
        append(out, key, {"time": 1.7e9, "event": "histograms", "shares": shares})
    write_run(out, seed=3, steps=0, state="interrupted")
    mirror(out).push()
    return default_uri(out)


def ids(uri: str) -> list[str]:
    return list(frame(uri, EXPERIMENT)["run_id"])


def one_by_one(uri: str) -> pd.DataFrame:
    """What MLflow's client tells of every run and metric."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    rows = [
        (run_id, name, point.step, math.copysign(math.inf, point.value) if abs(point.value) > 1e308 else point.value)
        for run_id in ids(uri)
        for name in NAMES
        for point in client.get_metric_history(run_id, name)
    ]
    table = pd.DataFrame(rows, columns=["run_id", "name", "step", "value"])
    return table.sort_values(["run_id", "name", "step"], ignore_index=True)


def test_series_are_what_the_client_tells_run_by_run(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = one_by_one(uri)
    assert len(expected) == 3 * (5 + 3 + 3)
    for few in (sql.FEW, 1):
        monkeypatch.setattr(sql, "FEW", few)
        pd.testing.assert_frame_equal(series(uri, EXPERIMENT, ids(uri), NAMES), expected)
    monkeypatch.setattr(sql, "is_sql", lambda store: False)
    pd.testing.assert_frame_equal(series(uri, EXPERIMENT, ids(uri), NAMES), expected)


def test_only_what_was_asked_for_comes_back(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "FEW", 1)
    two = sorted(ids(uri)[:2])
    found = series(uri, EXPERIMENT, [*two, "unknown"], ["train/loss", "unknown"])
    assert sorted(found["run_id"].unique()) == two and set(found["name"]) == {"train/loss"}
    for run_ids, names in (([], NAMES), (two, []), (two, ["unknown"])):
        assert list(series(uri, EXPERIMENT, run_ids, names)) == ["run_id", "name", "step", "value"]
    assert series(uri, "no such experiment", two, NAMES).empty


def test_of_several_values_of_a_step_the_one_logged_last_counts(uri: str) -> None:
    from mlflow import MlflowClient

    run_id = ids(uri)[0]
    for value, time in ((3.0, 2_000_000_000_001), (1.0, 2_000_000_000_002), (2.0, 2_000_000_000_000)):
        MlflowClient(uri).log_metric(run_id, "train/loss", value, timestamp=time, step=2)
    found = series(uri, EXPERIMENT, [run_id], ["train/loss"])
    assert list(found["step"]) == [0, 1, 2, 3, 4] and found["value"][2] == 1.0


def test_a_frame_is_the_same_through_sql_and_through_the_client(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = frame(uri, EXPERIMENT)
    monkeypatch.setattr(sql, "is_sql", lambda store: False)
    pd.testing.assert_frame_equal(frame(uri, EXPERIMENT), expected)
    assert list(expected["status"]) == ["FINISHED"] * 3 + ["KILLED"]


def test_deleted_runs_are_in_no_frame(uri: str) -> None:
    from mlflow import MlflowClient

    first, *others = ids(uri)
    MlflowClient(uri).delete_run(first)
    assert ids(uri) == others


def test_a_store_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(TrackingUnavailable, match="no such file"):
        series(f"sqlite:///{tmp_path}/none.db", EXPERIMENT, ["a"], NAMES)


def test_a_tracking_server_gives_the_same_series(
    uri: str, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = series(uri, EXPERIMENT, ids(uri), NAMES)
    assert ids(server.uri) == ids(uri)
    asked = []
    bulk = module._bulk

    def counted(store: Any, run_ids: list[str], name: str) -> Any:
        asked.append(len(run_ids))
        return bulk(store, run_ids, name)

    monkeypatch.setattr(module, "_bulk", counted)
    pd.testing.assert_frame_equal(series(server.uri, EXPERIMENT, ids(uri), NAMES), expected)
    assert asked == [4, 4, 4], "one request a metric"
    monkeypatch.setattr(module, "MOST_POINTS", 12)
    pd.testing.assert_frame_equal(series(server.uri, EXPERIMENT, ids(uri), NAMES), expected)
    assert max(asked[3:]) == 4 and min(asked[3:]) == 2, "an answer that may have been cut is asked for in halves"
    monkeypatch.setattr(module, "BULK", "/ajax-api/2.0/mlflow/no-such-place")
    pd.testing.assert_frame_equal(series(server.uri, EXPERIMENT, ids(uri), NAMES), expected)
