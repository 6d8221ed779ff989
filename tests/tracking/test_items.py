"""Outcomes of test items as artifacts: logged once, checked when read, and read where no records are."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.cli.main import main
from analysis.read.bundle import read as read_bundle
from analysis.read.load import load
from suite.outcomes import Outcomes
from suite.records import items
from suite.tracking import LiveMirror, Mirror, TrackingUnavailable, default_uri
from suite.tracking import items as artifacts
from tests import records_factory
from tests.cluster import suite_here, toy_registry
from tests.tracking.servers import MlflowServer
from tests.tracking.stores import EXPERIMENT, client, crashing, only

RNG = np.random.default_rng(0)
RIGHT = Outcomes("mean", RNG.random(40) < 0.5)
SCORED = Outcomes("roc_auc", RNG.normal(size=(3, 40)).astype(np.float32), RNG.random((3, 40)) < 0.5)


def campaign(out: Path, metric: str = "accuracy") -> list[str]:
    """Write three finished runs, the first two with outcomes, and one that was interrupted."""
    keys = [records_factory.write_run(out, seed=seed, metric=metric) for seed in range(3)]
    for key in keys[:2]:
        records_factory.add_items(out, key, {metric: RIGHT, "roc_auc": SCORED})
    return [*keys, records_factory.write_run(out, seed=9, state="interrupted")]


def with_items(out: Path, uri: str | None = None) -> Mirror:
    return Mirror(out, uri or default_uri(out), EXPERIMENT, with_items=True)


def logged(uri: str, key: str) -> list[str]:
    return [one.path for one in client(uri).list_artifacts(only(uri, key).info.run_id)]


def outcomes_of(uri: str, keys: Sequence[str]) -> list[str]:
    """Return those of some keys whose outcomes are read as they were, from artifacts alone."""
    ids = {only(uri, key).info.run_id: key for key in keys}
    found = artifacts.read(uri, EXPERIMENT, ids)
    for of_run in found.values():
        assert of_run["roc_auc"].values.tolist() == SCORED.values.tolist()
        assert {name: one.value() for name, one in of_run.items()} == {
            "accuracy": RIGHT.value(),
            "roc_auc": SCORED.value(),
        }
    return sorted(ids[run_id] for run_id in found)


def test_outcomes_are_logged_when_asked_for_and_once(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    keys, uri = campaign(out), default_uri(out)
    Mirror(out, uri, EXPERIMENT).push()
    assert not any(logged(uri, key) for key in keys) and outcomes_of(uri, keys) == []
    first = with_items(out)
    assert first.push().updated == 3  # two lacked their outcomes; what is unfinished is compared by each mirror
    assert [logged(uri, key) for key in keys] == [[items.FILE], [items.FILE], [], []]
    assert outcomes_of(uri, keys) == sorted(keys[:2])

    def refuse(*arguments: Any) -> None:
        raise AssertionError("logged twice")

    monkeypatch.setattr(MlflowClient, "log_artifact", refuse)
    assert first.push().unchanged == 4
    assert with_items(out).push().unchanged == 3
    Mirror(out, uri, EXPERIMENT).push()
    assert outcomes_of(uri, keys) == sorted(keys[:2])


@pytest.mark.parametrize("method", ["log_artifact", "set_tag"])
@pytest.mark.parametrize("done_before", [False, True])
def test_after_a_crash_the_next_mirror_completes_it(out: Path, method: str, done_before: bool) -> None:
    keys, uri = campaign(out), default_uri(out)
    with crashing(method, done_before):
        with_items(out).push()
    with_items(out).push()
    assert outcomes_of(uri, keys) == sorted(keys[:2])


def test_a_run_executed_anew_has_the_outcomes_of_its_own_record(out: Path) -> None:
    key, uri = campaign(out)[0], default_uri(out)
    with_items(out).push()
    records_factory.write_run(out, record="r2", started=records_factory.START + 1000)
    with_items(out).push()
    assert logged(uri, key) == [] and outcomes_of(uri, [key]) == []
    records_factory.add_items(out, key, {"accuracy": RIGHT, "roc_auc": SCORED})
    with_items(out).push()
    assert outcomes_of(uri, [key]) == [key]


def test_the_mirror_beside_a_launcher_logs_them_too(out: Path) -> None:
    keys = campaign(out)
    live = LiveMirror(out, default_uri(out), EXPERIMENT, interval_s=0.05, with_items=True)
    live.start()
    assert live.finish(60) and outcomes_of(default_uri(out), keys) == sorted(keys[:2])
    unreachable = LiveMirror(out, f"sqlite:///{out}/mlflow.db/x.db", EXPERIMENT, with_items=True)
    unreachable.start()
    unreachable.finish(60)
    assert "sync --items completes it" in str(unreachable.shortfall)


@pytest.mark.parametrize("damage", ["torn", "other", "gone"])
def test_a_damaged_file_of_a_record_is_said_and_not_logged(
    out: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = campaign(out)
    file = out / "runs" / keys[0] / items.FILE
    if damage == "gone":
        file.unlink()
    elif damage == "torn":
        file.write_bytes(file.read_bytes()[:100])
    else:
        items.write(file.parent, {"accuracy": RIGHT})
    assert not with_items(out).push().rejected
    assert outcomes_of(default_uri(out), keys) == [keys[1]]
    assert keys[0] in caplog.text and "is not logged" in caplog.text


@pytest.mark.parametrize("damage", ["changed", "pickled", "gone"])
def test_a_damaged_artifact_counts_as_missing(out: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    keys, uri = campaign(out), default_uri(out)
    with_items(out).push()
    run = only(uri, keys[0])
    file = Path(run.info.artifact_uri.removeprefix("file://")) / items.FILE
    if damage == "gone":
        file.unlink()
    else:
        np.savez(file, **{"accuracy/mean/values": np.array([Unpickled()], dtype=object)})
        if damage == "pickled":  # by somebody who can write into the store, tags and all
            import hashlib

            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            client(uri).set_tag(run.info.run_id, artifacts.TAG, digest)
    assert outcomes_of(uri, keys) == [keys[1]]
    assert "counts as missing" in caplog.text and run.info.run_id in caplog.text


class Unpickled:
    """What fails the test when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pytest.fail, ("a file was unpickled",)


def test_names_of_metrics_are_those_of_mlflow(out: Path) -> None:
    campaign(out, metric="ndcg@10")
    with_items(out).push()
    from_records = load(out=out, experiment=EXPERIMENT).outcomes()
    from_artifacts = load(out=out / "elsewhere", tracking_uri=default_uri(out), experiment=EXPERIMENT).outcomes()
    for found in (from_records, from_artifacts):
        assert [sorted(of_run) for of_run in found.values()] == [["ndcg_10", "roc_auc"]] * 2


def test_from_a_server_without_the_records(out: Path, server: MlflowServer, tmp_path: Path) -> None:
    """All of it over HTTP: logged by `sync --items`, read by `export`, whose bundle has what the records had."""
    keys = campaign(out)
    assert with_items(out, server.uri).push().updated == 4
    assert with_items(out, server.uri).push().unchanged == 3
    assert outcomes_of(server.uri, keys) == sorted(keys[:2])
    here = load(out=out, tracking_uri=server.uri, experiment=EXPERIMENT).outcomes()
    shutil.rmtree(out / "runs")
    assert main(["export", "--tracking-uri", server.uri, "--out", str(tmp_path / "there")]) == 0
    bundle = read_bundle(tmp_path / "there" / "runs.parquet").outcomes()
    assert bundle.keys() == here.keys() and len(bundle) == 2
    assert all(one["roc_auc"].value() == SCORED.value() for one in bundle.values())
    server.stop()
    with pytest.raises(TrackingUnavailable):
        artifacts.read(server.uri, EXPERIMENT, here)


def test_a_store_that_is_gone_leaves_intervals_over_seeds(
    out: Path, server: MlflowServer, caplog: pytest.LogCaptureFixture
) -> None:
    campaign(out)
    with_items(out, server.uri).push()
    shutil.rmtree(out / "runs")
    read = load(out=out, tracking_uri=server.uri, experiment=EXPERIMENT)
    assert len(read.outcomes()) == 2
    server.stop()
    assert read.outcomes() == {} and "count as missing" in caplog.text


def test_commands_log_them_on_request_and_tables_need_no_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_registry(tmp_path)
    selected = ["--profile", "smoke", "--losses", "good", "--launcher", "debug", "--quiet"]
    for seeds, option in ((["0"], ["--items"]), (["1-2"], [])):
        done = suite_here(tmp_path, "run", *selected, *option, "--seeds", *seeds)
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / "results" / "mlflow-artifacts").rglob(items.FILE))) == 2
    done = suite_here(tmp_path, "sync", "--items")
    assert done.returncode == 0 and "4 runs brought up to date" in done.stdout
    monkeypatch.chdir(tmp_path)
    assert main(["significance", "--registry", "benchmarks.yaml"]) == 0
    from_records = Path("results/tables/smoke/significance.csv").read_text()
    shutil.rmtree("results/runs")
    assert main(["significance", "--registry", "benchmarks.yaml", "--out", "results"]) == 0
    assert Path("results/tables/smoke/significance.csv").read_text() == from_records
    assert "low_items" in from_records
    assert "missing" not in capsys.readouterr().err
