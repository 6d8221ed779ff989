"""Names and texts that MLflow takes, made from those that it does not."""

import os
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric_name

from suite.text.naming import clashes, clean_name, is_path
from suite.tracking import LiveMirror, default_uri, frame
from tests.records_factory import write_run
from tests.tracking.stores import EXPERIMENT, mirror, only

NAMES = ["bias//gender", "recall@10/", "/rooted", "..", ".", "a/../b", "a/./b", "", "ndcg@10 [%]", "x" * 400, "/" * 300]
NAMES += ["größe", "nul\0", "tab\t", "a\nb", os.fsdecode(b"r\xe9sum"), "a" * 239 + "/" + "b" * 5]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    for folder in ("", "test/"):
        cleaned = clean_name(folder + name)
        _validate_metric_name(cleaned)
        assert len(cleaned) <= 250 and clean_name(cleaned) == cleaned


@pytest.mark.parametrize("name", ["accuracy", "recall@10", "bias/gender", "a.b", "..."])
def test_paths(name: str) -> None:
    assert is_path(name)


@pytest.mark.parametrize("name", ["bias//gender", "recall@10/", "/x", ".", "a/..", "x" * 300])
def test_no_paths(name: str) -> None:
    assert not is_path(name)


def test_names_that_would_become_one() -> None:
    assert clashes(["recall@10", "recall_10", "recall@5"]) == [("recall@10", "recall_10")]


def test_records_with_such_names_are_mirrored(out: Path) -> None:
    metrics = {f"test/{name}": 0.25 for name in ("bias//gender", "recall@10/")}
    config = {"benchmark": {"train/": 3, "no\0text": os.fsdecode(b"r\xe9sum")}, "loss": {}}
    key = write_run(out, metrics=metrics, config=config)
    assert not mirror(out).push().refused
    run = only(default_uri(out), key)
    assert run.data.metrics["test/bias/_/gender"] == run.data.metrics["test/recall_10/_"] == 0.25
    assert run.data.params["benchmark.train/_"] == "3"
    assert run.data.params[r"benchmark.no_x00text"] == r"r\udce9sum"


def test_a_lasting_refusal_is_said_as_such(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is stricter than MLflow's own, as hosted ones are."""
    from mlflow import MlflowClient

    key, original = write_run(out), MlflowClient.log_batch

    def refuse(self: Any, *arguments: Any, **named: Any) -> None:
        from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

        raise MlflowException("this server takes 20 params a run", error_code=INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    live = LiveMirror(out, default_uri(out), EXPERIMENT, interval_s=0.1)
    live.start()
    assert not live.finish(60)
    assert live.shortfall is not None and "20 params" in live.shortfall
    assert "for good" in live.shortfall and "sync" not in live.shortfall
    row = frame(default_uri(out), EXPERIMENT).iloc[0]
    assert row["status"] == "FAILED" and "refused by MLflow: " in row["failure"] and "20 params" in row["failure"]

    monkeypatch.setattr(MlflowClient, "log_batch", original)
    assert not mirror(out).push().refused
    run = only(default_uri(out), key)
    assert run.info.status == "FINISHED" and run.data.tags["suite.failure"] == ""
