import json
import math
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from suite.tracking import (
    LiveMirror,
    Mirror,
    TrackingUnavailable,
    create_store,
    default_uri,
    experiments,
    frame,
)
from suite.tracking.source import Events, clean_name, flatten
from tests.records_factory import START, append, held, key_of, metrics_event, write_run

EXPERIMENT = "test"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    create_store(f"sqlite:///{folder}/mlflow.db")
    return folder / "mlflow.db"


@pytest.fixture
def out(tmp_path: Path, fresh_store: Path) -> Path:
    (tmp_path / "results").mkdir()
    shutil.copy(fresh_store, tmp_path / "results" / "mlflow.db")
    return tmp_path / "results"


def mirror(out: Path) -> Mirror:
    return Mirror(out, default_uri(out), EXPERIMENT)


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs_of(uri: str, key: str | None = None) -> list[Any]:
    opened = client(uri)
    experiment = opened.get_experiment_by_name(EXPERIMENT)
    found = opened.search_runs([experiment.experiment_id], max_results=1000)
    return [run for run in found if key is None or run.data.tags["suite.key"] == key]


def only(uri: str, key: str) -> Any:
    (run,) = runs_of(uri, key)
    return run


def history(uri: str, run: Any, name: str = "train/loss") -> list[tuple[int, float, int]]:
    points = client(uri).get_metric_history(run.info.run_id, name)
    return sorted((point.step, point.value, point.timestamp) for point in points)


def ms(seconds: float) -> int:
    return round(seconds * 1000)


def in_processes(*functions: Callable[[], object]) -> None:
    """Run functions at the same time, each in a forked process."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(functions))

    def work(function: Callable[[], object]) -> None:
        barrier.wait()
        function()

    processes = [context.Process(target=work, args=(function,)) for function in functions]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(functions)


def test_importing_is_cheap() -> None:
    code = "import sys, suite.tracking; print([m for m in ('mlflow', 'pandas', 'torch') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert shown.stdout.strip() == "[]"


def test_address_is_explicit_then_environment_then_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_uri(tmp_path / "out") == f"sqlite:///{tmp_path}/out/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there")
    assert default_uri(tmp_path) == "http://there"
    assert default_uri(tmp_path, "http://here") == "http://here"


def test_finished_run_arrives_in_full(out: Path) -> None:
    key = write_run(out, "image", "infonce", 3, val=0.25, test=0.75, steps=2)
    pushed = mirror(out).push()
    assert (pushed.updated, pushed.unchanged, pushed.superseded, pushed.rejected) == (1, 0, 0, {})
    uri = default_uri(out)
    run = only(uri, key)
    assert (run.info.run_name, run.info.status) == ("image/infonce/seed3", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (ms(START), ms(START + 100))
    expected = {
        "key": key, "record": "r1", "benchmark": "image", "loss": "infonce", "kind": "loss", "seed": "3",
        "profile": "mini", "purpose": "evaluation", "metric": "accuracy", "goal": "maximise", "git": "abc+dirty",
    }  # fmt: skip
    assert {name: run.data.tags[f"suite.{name}"] for name in expected} == expected
    assert run.data.params == {"benchmark.epochs": "3", "benchmark.widths": "[16, 32]", "loss.temperature": "0.5"}
    assert run.data.metrics == {
        "val/accuracy": 0.25, "test/accuracy": 0.75, "train/loss": 0.5,
        "seconds/setup": 1.0, "seconds/training": 10.0, "seconds/evaluation": 2.0,
    }  # fmt: skip
    assert history(uri, run) == [(0, 1.0, ms(START)), (1, 0.5, ms(START + 1))]


def test_pushing_again_changes_nothing(out: Path) -> None:
    keys = [write_run(out, seed=seed) for seed in range(3)] + [write_run(out, seed=9, state="interrupted")]
    first = mirror(out)
    first.push()
    before = {key: (only(first.uri, key).to_dictionary(), history(first.uri, only(first.uri, key))) for key in keys}
    assert first.push().unchanged == 4
    for other in (mirror(out), mirror(out)):
        pushed = other.push()
        assert (pushed.updated, pushed.unchanged) == (1, 3)  # what is unfinished is compared, and found equal
    after = {key: (only(first.uri, key).to_dictionary(), history(first.uri, only(first.uri, key))) for key in keys}
    assert after == before


def test_only_the_keys_asked_for(out: Path) -> None:
    wanted, other = write_run(out, seed=0), write_run(out, seed=1)
    mirrored = mirror(out)
    mirrored.push([wanted, key_of("image", "not yet there", 0)])
    assert len(runs_of(mirrored.uri, wanted)) == 1 and not runs_of(mirrored.uri, other)
    assert mirrored.pending() == 1 and mirrored.pending([wanted]) == 0


def test_life_of_a_run(out: Path) -> None:
    """Running, killed with a torn line, resumed with repeated steps, done: first values stay, one MLflow run."""
    key = write_run(out, steps=2, state="interrupted")
    uri, watching = default_uri(out), mirror(out)
    with held(out, key):
        watching.push()
        assert only(uri, key).info.status == "RUNNING"
        append(out, key, metrics_event(2, START + 2, loss=0.3), tail='{"time": 1700000003, "event": "metr')
        watching.push()
    points = [(0, 1.0, ms(START)), (1, 0.5, ms(START + 1)), (2, 0.3, ms(START + 2))]
    assert history(uri, only(uri, key)) == points
    watching.push()
    killed = only(uri, key)
    assert killed.info.status == "KILLED" and killed.info.end_time == ms(START + 2)

    with held(out, key):
        append(out, key, {}, metrics_event(1, START + 50, loss=0.5), metrics_event(2, START + 51, loss=0.3))
        append(out, key, metrics_event(3, START + 52, loss=0.2))
        watching.push()
        assert only(uri, key).info.status == "RUNNING"
    text = (out / "runs" / key / "events.jsonl").read_text()
    write_run(out, state="finished")
    (out / "runs" / key / "events.jsonl").write_text(text)
    for pusher in (watching, mirror(out)):
        pusher.push()
        done = only(uri, key)
        assert done.info.run_id == killed.info.run_id
        assert (done.info.status, done.info.end_time) == ("FINISHED", ms(START + 100))
        assert history(uri, done) == [*points, (3, 0.2, ms(START + 52))]
    shutil.rmtree(out / "mlflow-artifacts", ignore_errors=True)
    (out / "mlflow.db").unlink()
    elsewhere = Mirror(out, f"sqlite:///{out}/other.db", EXPERIMENT)
    elsewhere.push()
    assert history(elsewhere.uri, only(elsewhere.uri, key)) == [*points, (3, 0.2, ms(START + 52))]


def test_failure_is_shown_until_the_run_is_done(out: Path) -> None:
    key = write_run(out, state="failed")
    uri = default_uri(out)
    mirror(out).push()
    failed = only(uri, key)
    assert failed.info.status == "FAILED" and failed.info.end_time == ms(START + 100)
    assert failed.data.tags["suite.failure"] == "non_finite: the loss is nan"
    assert frame(uri, EXPERIMENT)["failure"][0] == "non_finite: the loss is nan"
    with held(out, key):
        mirror(out).push()
        assert only(uri, key).info.status == "RUNNING"
    write_run(out, state="finished")
    mirror(out).push()
    assert only(uri, key).info.status == "FINISHED"
    assert not only(uri, key).data.tags["suite.failure"]


def test_run_executed_anew_replaces_the_old_one(out: Path) -> None:
    key = write_run(out, record="old", test=0.1)
    uri, watching = default_uri(out), mirror(out)
    watching.push()
    write_run(out, record="new", started=START + 1000, state="interrupted")
    with held(out, key):
        watching.push()
        assert only(uri, key).info.status == "RUNNING" and "test/accuracy" not in only(uri, key).data.metrics
    write_run(out, record="new", started=START + 1000, test=0.2)
    watching.push()
    run = only(uri, key)
    assert (run.data.tags["suite.record"], run.data.metrics["test/accuracy"]) == ("new", 0.2)
    assert [step for step, _, _ in history(uri, run)] == [0, 1, 2]


def test_result_of_another_record_does_not_count(out: Path) -> None:
    key = write_run(out, record="old")
    run_file = out / "runs" / key / "run.json"
    run_file.write_text(json.dumps({**json.loads(run_file.read_text()), "record": "new"}))
    mirror(out).push()
    assert only(default_uri(out), key).info.status == "KILLED"


@pytest.mark.parametrize("method", ["create_run", "log_batch", "set_terminated"])
@pytest.mark.parametrize("done_before", [False, True])
def test_crash_of_the_mirror(out: Path, monkeypatch: pytest.MonkeyPatch, method: str, done_before: bool) -> None:
    """Die just before or just after a call takes effect; the next mirror completes it, once."""
    from mlflow import MlflowClient

    key = write_run(out)
    original = getattr(MlflowClient, method)

    def crash(self: Any, *arguments: Any, **named: Any) -> None:
        if done_before:
            original(self, *arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MlflowClient, method, crash)
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


def push_until_done(folder: Path, uri: str) -> None:
    pusher = Mirror(folder, uri, EXPERIMENT)
    for _ in range(10):
        try:
            assert not pusher.push().rejected
            return
        except TrackingUnavailable:  # SQLite gives up when it is locked for too long
            time.sleep(0.2)
    raise AssertionError("the store stayed locked")


def test_nothing_is_written_outside(out: Path, tmp_path: Path) -> None:
    write_run(out)
    mirror(out).push()
    assert not list((tmp_path / "cwd").iterdir())
    artifacts = client(default_uri(out)).get_experiment_by_name(EXPERIMENT).artifact_location
    assert Path(artifacts.removeprefix("file://")).is_relative_to(out)


def test_nan_and_infinity_survive(out: Path) -> None:
    key = write_run(out, metrics={"test/a": math.nan, "test/b": math.inf, "test/c": -math.inf, "test/d": 1e300})
    append(out, key, metrics_event(7, loss=math.nan))
    mirror(out).push()
    mirror(out).push()
    row = frame(default_uri(out), EXPERIMENT).iloc[0]
    assert math.isnan(row["test/a"]) and row["test/b"] == math.inf and row["test/c"] == -math.inf
    assert row["test/d"] == 1e300
    assert math.isnan(history(default_uri(out), only(default_uri(out), key))[-1][1])


def test_large_records_are_sent_in_batches(out: Path) -> None:
    config = {"deep": {f"p{i}": i for i in range(250)}, "long": "x" * 7000, "none": None, "empty": {}, "yes": True}
    key = write_run(out, steps=2500, config=config)
    pushed = mirror(out).push()
    assert not pushed.rejected
    run = only(default_uri(out), key)
    assert len(history(default_uri(out), run)) == 2500 and len(run.data.params) == 254
    assert (run.data.params["none"], run.data.params["empty"], run.data.params["yes"]) == ("null", "{}", "true")
    assert len(run.data.params["long"]) == 6000


def test_names_that_mlflow_refuses(out: Path) -> None:
    key = write_run(out, metric="ndcg@10", test=0.125)
    assert not mirror(out).push().rejected
    row = frame(default_uri(out), EXPERIMENT).iloc[0]
    assert row["metric"] == "ndcg_10" and row["test/ndcg_10"] == 0.125 and row["key"] == key


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
    mirror(out).push()
    assert only(default_uri(out), key).info.status == "KILLED"


def test_many_keys_and_few_keys_give_the_same(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from suite.tracking import mirror as module

    keys = [write_run(out, seed=seed) for seed in range(5)]
    monkeypatch.setattr(module, "FEW", 2)
    monkeypatch.setattr(module, "PAGE", 2)
    mirror(out).push()
    assert mirror(out).push().unchanged == 5
    assert sorted(run.data.tags["suite.key"] for run in runs_of(default_uri(out))) == sorted(keys)


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


def test_frame(out: Path) -> None:
    for seed in (10, 9):
        write_run(out, seed=seed, metric="auc", goal="minimise", test=seed / 100)
    write_run(out, "graph", "untrained", 0, kind="reference")
    mirror(out).push()
    table = frame(default_uri(out), EXPERIMENT)
    assert list(table["benchmark"]) == ["graph", "image", "image"] and list(table["seed"]) == [0, 9, 10]
    assert list(table["kind"]) == ["reference", "loss", "loss"] and set(table["goal"][1:]) == {"minimise"}
    assert list(table["test/auc"][1:]) == [0.09, 0.1] and math.isnan(table["test/auc"][0])
    assert list(table["param.loss.temperature"]) == ["0.5"] * 3 and list(table["margin"]) == [0.01] * 3
    assert table["end"][0].timestamp() == START + 100
    assert experiments(default_uri(out)) == [EXPERIMENT]
    assert frame(default_uri(out), "nothing of that name").empty


def test_live_mirror(out: Path) -> None:
    first = write_run(out, seed=0)
    live = LiveMirror(out, default_uri(out), EXPERIMENT, interval_s=0.05)
    live.start()
    second = write_run(out, seed=1)
    assert live.finish(60) and live.error is None and live.pending == 0
    assert {only(default_uri(out), key).info.status for key in (first, second)} == {"FINISHED"}


def test_live_mirror_reports_and_never_raises(out: Path) -> None:
    write_run(out)
    live = LiveMirror(out, f"sqlite:///{out}/mlflow.db/impossible.db", EXPERIMENT, interval_s=0.01)
    live.start()
    assert not live.finish(60)
    assert live.error is not None and live.error.startswith("MLflow store") and live.pending == 1


class Server:
    """A real ``mlflow server`` on the loopback."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text())

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(out: Path) -> Iterator[Server]:
    started = Server(out)
    started.start()
    yield started
    started.stop()


def test_server_that_goes_down_and_comes_back(out: Path, server: Server) -> None:
    first = write_run(out, seed=0, metrics={"test/a": math.nan, "test/b": math.inf})
    pusher = Mirror(out, server.uri, EXPERIMENT)
    assert pusher.push().updated == 1
    server.stop()

    second = write_run(out, seed=1)
    began = time.monotonic()
    with pytest.raises(TrackingUnavailable, match=server.uri):
        pusher.push()
    assert time.monotonic() - began < 30
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
    live = LiveMirror(out, server.uri, EXPERIMENT, interval_s=0.2)
    live.start()
    while live.error is None:
        time.sleep(0.05)
    assert live.pending == 2

    server.start()
    assert live.finish(60), live.error
    pusher.push()
    Mirror(out, server.uri, EXPERIMENT).push()
    for key in (first, second):
        run = only(server.uri, key)
        assert run.info.status == "FINISHED" and len(history(server.uri, run)) == 3
    table = frame(server.uri, EXPERIMENT).set_index("seed")
    assert math.isnan(table["test/a"][0]) and table["test/b"][0] == math.inf


def test_events_reader_handles_what_kills_leave(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    points, reader = Events().read(path)
    assert points == []
    path.write_text('garbage\n[1]\n\n{"time": 1, "event": "metrics", "step": 1, "values": {"train/a": 1}}\n{"time": 2')
    points, after = reader.read(path)
    assert points == [("train/a", 1, 1.0, 1000)]
    assert reader.read(path)[0] == points, "what was not confirmed is read again"
    with path.open("a") as file:
        file.write(', "event": "metrics", "step": 2, "values": {"train/a": null}}\n')
    ((name, step, value, at),) = after.read(path)[0]
    assert (name, step, at) == ("train/a", 2, 2000) and math.isnan(value)
    path.unlink()
    path.write_text('{"time": 9, "event": "metrics", "step": 1, "values": {"train/a": 5}}\n')
    assert after.read(path)[0] == [("train/a", 1, 5.0, 9000)], "a new file is read from its beginning"


def test_flatten_and_clean() -> None:
    assert dict(flatten({"a": {"b": {"c": 1}, "d": []}, "e": "x"})) == {"a.b.c": "1", "a.d": "[]", "e": "x"}
    assert clean_name("test/ndcg@10 [%]") == "test/ndcg_10 ___"
