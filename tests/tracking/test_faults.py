import math
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from suite.tracking import (
    LiveMirror,
    Mirror,
    TrackingUnavailable,
    create_store,
    default_uri,
    frame,
)
from suite.tracking.store import open_client
from tests.records_factory import START, append, held, metrics_event, write_run
from tests.tracking.servers import MlflowServer
from tests.tracking.stores import (
    EXPERIMENT,
    client,
    crashing,
    history,
    in_processes,
    mirror,
    ms,
    only,
    push_until_done,
    runs_of,
)
from tests.waiting import PATIENCE_S


@pytest.mark.parametrize("method", ["create_run", "log_batch", "set_terminated"])
@pytest.mark.parametrize("done_before", [False, True])
def test_crash_of_the_mirror(out: Path, method: str, done_before: bool) -> None:
    """Die just before or just after a call takes effect; the next mirror completes it, once."""
    key = write_run(out)
    with crashing(method, done_before):
        mirror(out).push()
    mirror(out).push()
    run = only(default_uri(out), key)
    assert run.info.status == "FINISHED" and run.data.metrics["test/accuracy"] == 0.5
    assert len(history(default_uri(out), run)) == 3 and run.data.params


def test_kill_9_of_the_mirror(out: Path) -> None:
    keys = [write_run(out, seed=seed) for seed in range(12)]
    uri = default_uri(out)
    mirror(out).push(keys[:1])  # opens the store, so that the kills below hit the logging
    context = multiprocessing.get_context("fork")
    for delay in (0.1, 0.2, 0.3):
        child = context.Process(target=lambda: mirror(out).push())
        child.start()
        time.sleep(delay)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
    mirror(out).push()
    assert sorted(run.data.tags["suite.key"] for run in runs_of(uri)) == sorted(keys)
    for run in runs_of(uri):
        assert run.info.status == "FINISHED" and len(history(uri, run)) == 3


def test_kill_9_amid_the_making_of_a_store(tmp_path: Path) -> None:
    """MLflow makes a SQLite store by dozens of migrations; whenever that is killed, the next one starts afresh."""
    out = tmp_path / "killed"
    key = write_run(out)
    context = multiprocessing.get_context("fork")
    for delay in (0.3, 0.6, 0.9, 1.3):
        process = context.Process(target=create_store, args=(default_uri(out), EXPERIMENT))
        process.start()
        time.sleep(delay)
        process.kill()
        process.join()
    mirror(out).push()
    assert only(default_uri(out), key).info.status == "FINISHED"
    assert not list(out.glob(".mlflow.db.*new*"))


def test_duplicates_are_resolved_the_same_way_by_all(out: Path) -> None:
    key = write_run(out)
    uri = default_uri(out)
    identity = create_store(uri, EXPERIMENT)
    tags = {"suite.key": key, "suite.record": "r1"}
    made = [client(uri).create_run(identity, start_time=ms(START), tags=tags).info.run_id for _ in range(3)]
    mirror(out).push()
    assert only(uri, key).info.run_id == min(made)
    assert only(uri, key).info.status == "FINISHED"


def test_a_run_that_somebody_deleted_comes_back(out: Path) -> None:
    key = write_run(out, steps=2, state="interrupted")
    uri, watching = default_uri(out), mirror(out)
    watching.push()
    client(uri).delete_run(only(uri, key).info.run_id)
    append(out, key, metrics_event(2, loss=0.1))
    pushed = watching.push()
    assert not pushed.rejected
    assert [step for step, _, _ in history(uri, only(uri, key))] == [0, 1, 2]


def test_replaced_store_is_filled_again(out: Path, fresh_store: Path) -> None:
    key = write_run(out)
    mirror(out).push()
    (out / "mlflow.db").unlink()
    again = Mirror(out, f"sqlite:///{out}/./mlflow.db", EXPERIMENT)
    shutil.copy(fresh_store, out / "mlflow.db")
    again.push()
    assert only(again.uri, key).info.status == "FINISHED"


def test_two_results_folders_and_one_store(out: Path, tmp_path: Path) -> None:
    """A newer record displaces an older finished one only once it is done, whoever pushes, in whatever order."""
    uri, other = default_uri(out), tmp_path / "elsewhere"
    ours, theirs = Mirror(out, uri, EXPERIMENT), Mirror(other, uri, EXPERIMENT)
    key = write_run(out, record="ours", test=0.1)
    write_run(other, record="theirs", started=START + 1000, state="interrupted")
    ours.push()
    assert theirs.push().superseded == 1
    assert only(uri, key).data.tags["suite.record"] == "ours"
    write_run(other, record="theirs", started=START + 1000, test=0.2)
    theirs.push()
    assert only(uri, key).data.tags["suite.record"] == "theirs"
    assert Mirror(out, uri, EXPERIMENT).push().superseded == 1
    assert only(uri, key).data.metrics["test/accuracy"] == 0.2


def test_mirrors_at_once_on_a_fresh_store(tmp_path: Path) -> None:
    """Four processes make the store and push the same 12 records, two of them from a copy with records of its own."""
    out, other = tmp_path / "results", tmp_path / "elsewhere"
    keys = [write_run(out, seed=seed, record="ours") for seed in range(12)]
    for seed in range(12):
        write_run(other, seed=seed, record="theirs", started=START + (1000 if seed % 2 else -1000))
    uri = default_uri(out)
    import mlflow  # noqa: F401  before the fork, so that the processes truly start together

    in_processes(*(lambda folder=folder: push_until_done(folder, uri) for folder in (out, other, out, other)))
    for folder in (out, other):
        Mirror(folder, uri, EXPERIMENT).push()
    found = {run.data.tags["suite.key"]: run for run in runs_of(uri)}
    assert len(runs_of(uri)) == 12 and sorted(found) == sorted(keys)
    for seed, key in enumerate(keys):
        run = found[key]
        assert run.info.status == "FINISHED"
        assert run.data.tags["suite.record"] == ("theirs" if seed % 2 else "ours")
        assert len(history(uri, run)) == 3 and run.data.metrics["test/accuracy"] == 0.5


@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_damaged_record_does_not_hold_up_the_others(out: Path, name: str) -> None:
    bad, good = write_run(out, seed=0), write_run(out, seed=1)
    (out / "runs" / bad / name).write_text('{"schema": 1, "ke')
    pusher = mirror(out)
    pushed = pusher.push()
    assert list(pushed.rejected) == [bad] and name in pushed.rejected[bad]
    assert only(pusher.uri, good).info.status == "FINISHED"
    write_run(out, seed=0)
    assert not pusher.push().rejected and only(pusher.uri, bad).info.status == "FINISHED"


def test_folder_that_is_gone_leaves_nothing_running(out: Path) -> None:
    key = write_run(out, state="interrupted")
    with held(out, key):
        mirror(out).push()
    shutil.rmtree(out / "runs" / key)
    mirror(out).close_abandoned()
    assert only(default_uri(out), key).info.status == "KILLED"


def test_unwritable_store_is_one_clear_line(tmp_path: Path) -> None:
    write_run(tmp_path / "results")
    (tmp_path / "file").write_text("")
    pusher = Mirror(tmp_path / "results", f"sqlite:///{tmp_path}/file/mlflow.db", EXPERIMENT)
    with pytest.raises(TrackingUnavailable, match=r"^MLflow store sqlite:///.*") as raised:
        pusher.push()
    assert "\n" not in str(raised.value)
    with pytest.raises(TrackingUnavailable, match="no such file"):
        frame(f"sqlite:///{tmp_path}/none.db", EXPERIMENT)
    assert not (tmp_path / "none.db").exists()


def test_deleted_experiment_is_named(out: Path) -> None:
    write_run(out)
    identity = create_store(default_uri(out), EXPERIMENT)
    client(default_uri(out)).delete_experiment(identity)
    with pytest.raises(TrackingUnavailable, match="'test' is deleted"):
        mirror(out).push()


def test_server_that_goes_down_and_comes_back(out: Path, server: MlflowServer) -> None:
    first = write_run(out, seed=0, metrics={"test/a": math.nan, "test/b": math.inf})
    pusher = Mirror(out, server.uri, EXPERIMENT)
    assert pusher.push().updated == 1
    server.stop()

    second = write_run(out, seed=1)
    began = time.monotonic()
    with pytest.raises(TrackingUnavailable, match=server.uri):
        pusher.push()
    assert time.monotonic() - began < 100  # by itself MLflow asks again for minutes
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
    live = LiveMirror(out, server.uri, EXPERIMENT, interval_s=0.2)
    live.start()
    while live.error is None:
        time.sleep(0.05)
    assert live.pending == 2

    server.start()
    assert live.finish(PATIENCE_S), live.error
    pusher.push()
    Mirror(out, server.uri, EXPERIMENT).push()
    for key in (first, second):
        run = only(server.uri, key)
        assert run.info.status == "FINISHED" and len(history(server.uri, run)) == 3
    table = frame(server.uri, EXPERIMENT).set_index("seed")
    assert math.isnan(table["test/a"][0]) and table["test/b"][0] == math.inf


def test_a_store_that_was_removed_is_made_again_in_the_same_process(tmp_path: Path) -> None:
    file = tmp_path / "my.db"
    for _ in range(3):
        client = open_client(f"sqlite:///{file}")
        assert [found.name for found in client.search_experiments()] == ["Default"]
        client.create_experiment("mine")
        file.unlink()
    assert not list(tmp_path.glob("*.new*"))
