"""Files of a record that a lost node or a disk has torn say nothing, and the same command finishes everything."""

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suite.records.files import read_json
from suite.records.launch import Launch, all_launches
from suite.records.record import Store
from tests import nursery
from tests.conftest import Project

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: b"\0" * len(content),
    "garbage": lambda content: b"\xff\xfe\x00" * 9,
    "no-object": lambda content: b"[1, 2]",
    "nested": lambda content: b"[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_says_nothing(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(DAMAGES[name](b'{"key": "value", "other": 1}'))
    assert read_json(file) is None
    assert "is damaged: it counts as missing" in caplog.text


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_of_launches_are_no_launch(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "launches" / "20260101-000000-abc"
    (folder / "workers").mkdir(parents=True)
    for file in ("launch.json", "stop", "workers/0.0.json", "workers/0.0.submitted"):
        (folder / file).write_bytes(DAMAGES[name](b'{"number": 0, "reason": "x"}'))
    (folder / "workers" / "0.0.lock").touch()
    (launch,) = all_launches(Store(tmp_path))
    assert isinstance(launch, Launch) and launch.spec.runs == {} and launch.stop_reason() is None
    assert launch.workers() == [] and [worker.number for worker in launch.reports()] == [0]


def results(folder: Path) -> dict[str, Any]:
    return {file.parent.name: json.loads(file.read_bytes())["metrics"] for file in folder.glob("runs/*/result.json")}


@pytest.mark.slow
def test_the_same_command_finishes_everything_whatever_was_torn(project: Project) -> None:
    select = ["run", "--launcher", "debug", "--benchmarks", "blobs", "--losses", "infonce", "--seeds", "0-3"]
    select += ["--profile", "smoke", "--quiet"]
    assert project.suite(*select)[0] == 0
    out = project.folder / "results"
    calm = results(out)
    runs = sorted((out / "runs").iterdir())
    torn = [
        ("result.json",),
        ("result.json", "run.json"),
        ("result.json", "events.jsonl"),
        ("events.jsonl", "run.json"),
    ]
    for folder, files, damage in zip(runs, torn, ("cut", "zeros", "empty", "zeros"), strict=True):
        for name in files:
            (folder / name).write_bytes(DAMAGES[damage]((folder / name).read_bytes()))
    (runs[1] / "checkpoint.pt").write_bytes(b"of unknown code")
    (runs[2] / "failure.json").write_bytes(b"\0" * 64)
    (out / "mlflow.db").unlink()
    selected = [argument for argument in select[1:] if argument not in ("--launcher", "debug", "--quiet")]
    listed = json.loads(project.suite("plan", *selected, "--json")[1])["runs"]
    (half,) = [run for run in listed if run["key"] == runs[3].name]
    assert (half["state"], half["reason"]) == ("missing", "run.json is damaged: it is executed again")
    status, printed, errors = project.suite(*select)
    assert status == 0, printed + errors
    assert results(out) == calm
    assert not list(out.glob("runs/*/checkpoint*")) and not list(out.glob("runs/*/.*"))
    assert len(list(out.glob(f"superseded/{runs[3].name}-*/result.json"))) == 1
    # in a process of its own: in this one MLflow still holds the file that was removed
    synced = project.process("sync", **{nursery.WANTED: "1"})
    assert synced.returncode == 0, synced.stdout + synced.stderr
    with contextlib.closing(sqlite3.connect(out / "mlflow.db")) as store:
        kept = store.execute(
            "SELECT value FROM tags JOIN runs USING (run_uuid) "
            "WHERE key = 'suite.key' AND status = 'FINISHED' AND lifecycle_stage = 'active'"
        ).fetchall()
    assert sorted(key for (key,) in kept) == [folder.name for folder in runs]
