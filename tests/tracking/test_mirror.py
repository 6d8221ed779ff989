import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from suite.tracking import (
    LiveMirror,
    Mirror,
    default_uri,
    experiments,
    frame,
)
from suite.tracking import mirror as module
from tests.records_factory import START, append, held, key_of, metrics_event, write_run
from tests.tracking.stores import (
    EXPERIMENT,
    client,
    history,
    made,
    mirror,
    ms,
    only,
    runs_of,
)


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


def test_run_executed_anew_replaces_the_old_one_though_a_clock_was_set_back(out: Path) -> None:
    key = write_run(out, record="old", test=0.1)
    uri, watching = default_uri(out), mirror(out)
    watching.push()
    write_run(out, record="new", started=START - 1000, test=0.2)
    for pusher in (watching, mirror(out)):
        assert pusher.push().superseded == 0
        run = only(uri, key)
        assert (run.data.tags["suite.record"], run.data.metrics["test/accuracy"]) == ("new", 0.2)


@pytest.mark.parametrize("few", [32, 0])
def test_forgetting_leaves_what_another_folder_has_mirrored(
    out: Path, tmp_path: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW", few)
    uri, other = default_uri(out), tmp_path / "other"
    ours, theirs = write_run(out, seed=0), write_run(other, seed=1, record="theirs", started=START + 1)
    write_run(out, seed=1)
    mirror(out).push()
    Mirror(other, uri, EXPERIMENT).push()
    assert mirror(out).forget({ours: "r1", theirs: "r1"}) == 1
    assert [run.data.tags["suite.record"] for run in runs_of(uri)] == ["theirs"]
    assert mirror(out).forget({theirs: "theirs"}) == 1, "its own record, though another machine has mirrored it"
    assert not runs_of(uri)


def test_result_of_another_record_does_not_count(out: Path) -> None:
    key = write_run(out, record="old")
    run_file = out / "runs" / key / "run.json"
    run_file.write_text(json.dumps({**json.loads(run_file.read_text()), "record": "new"}))
    mirror(out).push()
    assert only(default_uri(out), key).info.status == "KILLED"


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


def test_many_keys_and_few_keys_give_the_same(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [write_run(out, seed=seed) for seed in range(5)]
    monkeypatch.setattr(module, "FEW", 2)
    monkeypatch.setattr(module, "PAGE", 2)
    mirror(out).push()
    assert mirror(out).push().unchanged == 5
    assert sorted(run.data.tags["suite.key"] for run in runs_of(default_uri(out))) == sorted(keys)


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


def test_a_table_on_the_way_is_up_to_date_by_the_mirror_that_runs_and_no_run_is_made_twice(out: Path) -> None:
    keys = [write_run(out, seed=seed) for seed in range(8)]
    live = LiveMirror(out, default_uri(out), EXPERIMENT, keys, interval_s=0.01)
    live.start()
    live.push()
    assert sorted(run.data.tags["suite.key"] for run in runs_of(default_uri(out))) == sorted(keys)
    assert live.finish(60)
    assert len(made(default_uri(out))) == len(keys), "one was made, and deleted again"


def test_live_mirror_reports_and_never_raises(out: Path) -> None:
    write_run(out)
    live = LiveMirror(out, f"sqlite:///{out}/mlflow.db/impossible.db", EXPERIMENT, interval_s=0.01)
    live.start()
    assert not live.finish(60)
    assert live.error is not None and live.error.startswith("MLflow store") and live.pending == 1
