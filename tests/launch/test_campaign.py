"""Campaigns as users run them: processes, faults, a second command."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from suite.records import items
from tests.cluster import (
    ROOT,
    command,
    environment,
    events,
    metrics,
    mlflow_runs,
    plan,
    suite,
    suite_here,
    toy_registry,
)
from tests.waiting import PATIENCE_S, until

SLOWLY = "benchmarks.blobs.profiles.mini.pause_s=0.2"  # 16 s a run: several commands fit into one
LESS_SLOWLY = "benchmarks.blobs.profiles.mini.pause_s=0.1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    toy_registry(tmp_path)
    return tmp_path


def test_a_campaign_runs_once_and_a_second_command_runs_nothing(folder: Path) -> None:
    select = ["--profile", "smoke", "--losses", "good", "references"]
    first = suite(folder, "run", *select)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "7 runs done" in first.stdout
    assert "infonce" in first.stdout and "python -m analysis tables" in first.stdout
    before = metrics(folder)
    assert len(before) == 7
    assert mlflow_runs(folder) == {key: ["FINISHED"] for key in before}
    assert list((folder / "results" / "launches").iterdir()) == []
    stamps = {p: p.stat().st_mtime_ns for p in (folder / "results" / "runs").rglob("*")}
    again = suite(folder, "run", *select)
    assert again.returncode == 0
    assert "nothing to run: 7 of 7 runs are done" in again.stdout
    assert {p: p.stat().st_mtime_ns for p in (folder / "results" / "runs").rglob("*")} == stamps
    assert not list(folder.glob("ml*"))  # MLflow litters the current directory where it can


def test_selection_runs_alone_are_not_shown_as_an_empty_table(folder: Path) -> None:
    select = ["--profile", "smoke", "--losses", "cosine", "--seeds", "selection"]
    done = suite_here(folder, "run", *select, "--launcher", "debug")
    assert done.returncode == 0, done.stderr
    assert "nothing to report on test yet" in done.stdout
    assert "Primary test metric" not in done.stdout


def test_debug_and_local_give_the_same_bits_whatever_the_number_of_workers(folder: Path) -> None:
    found = []
    select = ["--profile", "smoke", "--losses", "good", "--seeds", "0-1", "--quiet"]
    for command_line, extra in ((suite_here, ["--launcher", "debug"]), (suite, ["launcher.workers=3"])):
        place = folder / extra[-1]
        place.mkdir()
        toy_registry(place)
        done = command_line(place, "run", *select, *extra)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        found.append(metrics(place))
    assert found[0] == found[1]
    assert len(found[0]) == 4


def test_one_failing_run_ends_nothing_else_and_says_why(folder: Path) -> None:
    select = ["--profile", "smoke", "--losses", "cosine", "explodes", "raises", "dies", "--seeds", "0"]
    done = suite(folder, "run", *select, "launcher.max_attempts=2")
    assert done.returncode == 1
    assert "1 runs done, 3 failed" in done.stdout
    runs = {run["loss"]: run for run in plan(folder, *select)["runs"]}
    assert {loss: run["state"] for loss, run in runs.items()} == {
        "cosine": "done", "explodes": "failed", "raises": "failed", "dies": "failed"}  # fmt: skip
    assert runs["explodes"]["reason"].startswith("non_finite: NonFiniteLoss: the loss is nan at step 2")
    assert runs["raises"]["reason"].startswith("user_code: KeyError: 'no such thing'")
    assert runs["dies"]["reason"].startswith("killed: its worker died 2 times")
    logs = suite_here(folder, "logs", runs["raises"]["key"][:10]).stdout
    assert "in forward" in logs and "KeyError: 'no such thing'" in logs
    statuses = mlflow_runs(folder)
    assert {loss: statuses[run["key"]] for loss, run in runs.items()} == {
        "cosine": ["FINISHED"], "explodes": ["FAILED"], "raises": ["FAILED"], "dies": ["FAILED"]}  # fmt: skip
    # what is sure to fail again is left alone until asked; the rest is tried again
    again = suite_here(folder, "run", *select[:-3], "~dies", "--seeds", "0", "--json", "--launcher", "debug")
    report = json.loads(again.stdout)
    assert [run["run"] for run in report["not_retried"]] == ["blobs/explodes/seed0"]
    assert [run["run"] for run in report["failed"]] == ["blobs/raises/seed0"]
    assert again.returncode == 1
    why = suite(folder, "why", runs["explodes"]["key"][:12]).stdout
    assert "failed (non_finite" in why and "blobs/explodes/seed0" in why


def test_ctrl_c_saves_what_was_done_and_the_printed_command_continues(folder: Path) -> None:
    arguments = ["--profile", "mini", "--losses", "cosine", "--seeds", "0-1"]
    process = subprocess.Popen(
        command(folder, "run", *arguments), stdout=subprocess.PIPE, text=True, cwd=folder, env=environment()
    )
    started = folder / "results" / "runs"
    until(lambda: sum('"metrics"' in p.read_text() for p in started.glob("*/events.jsonl")) == 2, "both train")
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    (line,) = [line for line in printed.splitlines() if line.startswith("continue ")]
    assert {events_[-1]["event"] for events_ in events(folder).values()} == {"interrupted"}
    steps = {key: max(e["step"] for e in found if e["event"] == "metrics") for key, found in events(folder).items()}
    again = subprocess.run(
        line.removeprefix("continue ").split(), cwd=folder, env=environment(), capture_output=True, timeout=PATIENCE_S
    )
    assert again.returncode == 0, again.stderr
    for key, found in events(folder).items():
        resumed = next(i for i, e in enumerate(found) if e["event"] == "interrupted")
        after = [e["step"] for e in found[resumed:] if e["event"] == "metrics"]
        assert after[0] >= steps[key]  # it went on and did not begin anew
    whole = folder / "whole"
    whole.mkdir()
    toy_registry(whole)
    assert suite_here(whole, "run", *arguments, "--launcher", "debug").returncode == 0
    assert metrics(whole) == metrics(folder)


def test_a_detached_campaign_is_seen_followed_and_joined_by_the_next_command(folder: Path) -> None:
    arguments = ["--profile", "mini", "--losses", "good", "--seeds", "0-1", LESS_SLOWLY]
    done = suite(folder, "run", *arguments, "--detach")
    assert done.returncode == 0
    assert "4 runs started" in done.stdout
    runs = folder / "results" / "runs"
    until(lambda: any('"metrics"' in p.read_text() for p in runs.glob("*/events.jsonl")), "one trains")
    made = plan(folder, *arguments)
    assert made["summary"]["running"] >= 1
    assert made["summary"]["running"] + made["summary"]["queued"] + made["summary"]["done"] == 4
    status = json.loads(suite_here(folder, "status", *arguments, "--json").stdout)
    assert sum(len(launch["workers"]) for launch in status["launches"]) >= 1
    running = next(run["key"] for run in made["runs"] if run["state"] == "running")
    followed = suite(folder, "logs", running[:16])  # returns when the run has ended
    assert "done in" in followed.stdout
    joined = suite(folder, "run", *arguments)
    assert joined.returncode == 0, joined.stderr
    assert all([e["event"] for e in found].count("started") == 1 for found in events(folder).values())
    assert len(metrics(folder)) == 4
    assert set(map(tuple, mlflow_runs(folder).values())) == {("FINISHED",)}


def test_on_a_machine_with_gpus_there_is_one_worker_a_gpu_and_each_sees_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")  # what the suite goes by; torch has no need to find them
    registry = folder / "benchmarks.yaml"
    registry.write_text(registry.read_text().replace("tests.toys.Blobs", "tests.toys.Where"))
    arguments = ["--profile", "mini", "--losses", "cosine", "--seeds", "0-1", LESS_SLOWLY]
    assert "with 2 workers" in suite_here(folder, "plan", *arguments).stdout
    done = suite(folder, "run", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(values["test/accuracy"] for values in metrics(folder).values()) == [2.0, 5.0]


def test_a_command_that_waits_takes_over_from_workers_that_die(folder: Path) -> None:
    arguments = ["--profile", "mini", "--losses", "cosine", "--seeds", "0-1", SLOWLY]
    assert suite(folder, "run", *arguments, "--detach").returncode == 0
    runs = folder / "results" / "runs"
    until(lambda: sum('"metrics"' in p.read_text() for p in runs.glob("*/events.jsonl")) == 2, "both train")
    (first,) = (folder / "results" / "launches").iterdir()
    victims = [json.loads(p.read_text())["process"] for p in first.glob("workers/*.json")]
    waiting = subprocess.Popen(
        command(folder, "run", *arguments), stdout=subprocess.PIPE, text=True, cwd=folder, env=environment()
    )
    until(lambda: len(list((folder / "results" / "launches").iterdir())) == 2, "the second launch")
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    printed, _ = waiting.communicate(timeout=PATIENCE_S)
    assert waiting.returncode == 0, printed
    assert len(metrics(folder)) == 2


def test_cancel_stops_workers_and_leaves_nothing_half_written(folder: Path) -> None:
    arguments = ["--profile", "mini", "--losses", "cosine", "--seeds", "0-3", SLOWLY]
    suite(folder, "run", *arguments, "--detach")
    runs = folder / "results" / "runs"
    until(lambda: any('"metrics"' in p.read_text() for p in runs.glob("*/events.jsonl")), "one trains")
    assert "4 runs cancelled, 2 workers ended" in suite(folder, "cancel").stdout
    assert plan(folder, *arguments)["summary"]["running"] == 0
    assert not [p for p in runs.rglob(".*") if p.is_file()]
    assert suite_here(folder, "cancel").stdout == "nothing runs\n"


def test_an_edited_loss_makes_its_own_runs_stale_and_nothing_moves_until_asked(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for part in ("suite", "analysis", "tests", "launchers"):
        shutil.copytree(ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    toy_registry(checkout)
    arguments = ["--profile", "smoke", "--losses", "good", "--seeds", "0", "launcher.workers=1"]

    def here(*words: str) -> subprocess.CompletedProcess[str]:
        path = {**environment(), "PYTHONPATH": str(checkout)}
        full = command(checkout, *words)
        return subprocess.run(full, capture_output=True, text=True, cwd=checkout, env=path, timeout=PATIENCE_S)

    assert here("run", *arguments).returncode == 0
    before = metrics(checkout)
    source = checkout / "suite" / "losses" / "infonce.py"
    source.write_text(source.read_text().replace("similarity / self.temperature", "2 * similarity / self.temperature"))
    runs = {run["loss"]: run for run in json.loads(here("plan", *arguments, "--json").stdout)["runs"]}
    assert {loss: run["state"] for loss, run in runs.items()} == {"cosine": "done", "infonce": "stale"}
    assert runs["infonce"]["reason"] == "changed since: suite.losses.infonce"
    untouched = here("run", *arguments)
    assert "1 runs are stale" in untouched.stdout
    assert metrics(checkout) == before
    assert here("run", *arguments, "--rerun", "stale").returncode == 0
    after = metrics(checkout)
    changed = [key for key in after if after[key] != before[key]]
    assert changed == [runs["infonce"]["key"]]
    assert len(list((checkout / "results" / "superseded").iterdir())) == 1
    assert mlflow_runs(checkout) == {key: ["FINISHED"] for key in after}
    assert json.loads(here("plan", *arguments, "--json").stdout)["summary"]["done"] == 2


def test_a_full_disk_is_one_clear_error_and_nothing_is_lost(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = folder / "results"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    arguments = ["--profile", "mini", "--losses", "cosine", "--seeds", "0-1", "--tracking-uri"]
    uri = f"sqlite:///{folder / 'elsewhere.db'}"
    try:
        process = subprocess.Popen(
            command(folder, "run", *arguments, uri), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=folder, env=environment()
        )  # fmt: skip
        until(lambda: sum('"metrics"' in p.read_text() for p in disk.glob("runs/*/events.jsonl")) == 2, "both train")
        filler = disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"\0" * 4096):
                pass
        _, error = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
        assert error.count("No space left on device") == 1, error
        assert "nothing that was computed is lost" in error
        filler.unlink()
        done = suite_here(folder, "run", *arguments, uri, "--launcher", "debug")
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(metrics(folder)) == 2
    finally:
        suite_here(folder, "cancel")
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("kind", ["file", "read_only"])
def test_a_results_folder_that_cannot_be_written_is_one_clear_error(folder: Path, kind: str) -> None:
    results = folder / "results"
    if kind == "file":
        results.write_text("")
    else:
        results.mkdir()
        mounted = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(results)]
        if os.geteuid() != 0 or subprocess.run(mounted, capture_output=True).returncode:
            pytest.skip("a read-only file system needs root (to root, permissions do not apply)")
    try:
        line = command(folder, "run", "--profile", "smoke", "--losses", "cosine", "--seeds", "0")
        done = subprocess.run(line, capture_output=True, text=True, cwd=folder, env=environment(), timeout=PATIENCE_S)
        assert done.returncode == 1
        *registry, error = done.stderr.strip().splitlines()
        assert error.startswith("error: ") and str(results) in error
        assert not [line for line in registry if not line.startswith("registry  ")]
        assert "Traceback" not in done.stdout + done.stderr
    finally:
        if kind == "read_only":
            subprocess.run(["umount", "-l", str(results)], check=True)


def test_a_tracking_server_that_is_down_stops_nothing_and_sync_completes_it(folder: Path) -> None:
    select = ["--profile", "smoke", "--losses", "cosine", "--seeds", "0"]
    done = suite(folder, "run", *select, "--tracking-uri", "http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert "MLflow is not up to date" in done.stdout and "python -m suite sync" in done.stdout
    assert suite_here(folder, "sync", "--tracking-uri", "http://127.0.0.1:9").returncode == 1
    synced = suite(folder, "sync")
    assert synced.returncode == 0
    assert list(mlflow_runs(folder).values()) == [["FINISHED"]]


def test_workers_that_cannot_work_at_all_end_the_campaign_with_their_last_words(folder: Path) -> None:
    (folder / "torch.py").write_text("raise ImportError('broken installation')")
    path = {**environment(is_forked=False), "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    select = ["--profile", "smoke", "--losses", "cosine", "--seeds", "0", "launcher.workers=1"]
    done = subprocess.run(
        command(folder, "run", *select), capture_output=True, text=True, cwd=folder, env=path, timeout=PATIENCE_S
    )
    assert done.returncode == 1
    assert "broken installation" in done.stderr
    assert "workers die without finishing anything" in done.stderr


def test_a_run_leaves_the_outcomes_of_its_test_items_and_their_checksum(folder: Path) -> None:
    done = suite_here(folder, "run", "--profile", "smoke", "--losses", "cosine", "--seeds", "0", "--launcher", "debug")
    assert done.returncode == 0, done.stderr
    (result,) = (json.loads(path.read_text()) for path in (folder / "results" / "runs").glob("*/result.json"))
    (file,) = (folder / "results" / "runs").glob("*/items.npz")
    outcomes = items.read(file, result["items"]["sha256"])
    assert outcomes["accuracy"].value() == result["metrics"]["test/accuracy"]
    assert outcomes["accuracy"].items == 32
