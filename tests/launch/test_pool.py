"""Workers that join: any number, at any time, killed or in a hurry; each run is done once, bit by bit the same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from suite.launch.kinds.pool import SILENCE_S, Signs
from suite.records.failures import record_failure
from suite.records.launch import FIRST_JOINED, Launch, Worker, all_launches
from suite.records.record import Store
from suite.records.specs import Pack
from tests.cluster import (
    command,
    environment,
    events,
    metrics,
    mlflow_runs,
    prepare_store,
    suite,
    suite_here,
    toy_registry,
)
from tests.launch.simulated import A, B, C, local_launch, made_launch
from tests.waiting import PATIENCE_S, until

RUNS = ["--profile", "mini", "--losses", "good", "--seeds", "0-1"]
POOL = ["--launcher", "pool", "launcher.checkpoint_minutes=0.005", "launcher.max_attempts=5"]


class Place:
    """A folder with the toy registry, and processes that are started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "results")
        self._processes: list[subprocess.Popen[str]] = []
        toy_registry(folder)
        prepare_store(folder)

    def start(self, *words: str, is_forked: bool = True, **options: Any) -> subprocess.Popen[str]:
        words = words if words[0] != "worker" else ("worker", "--out", str(self.store.out), *words[1:])
        full = command(self.folder, *words) if words[0] != "worker" else [*command(self.folder, "ui")[:3], *words]
        process = subprocess.Popen(
            full, cwd=self.folder, env=environment(is_forked), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
        )  # fmt: skip
        self._processes.append(process)
        return process

    def ended(self, process: subprocess.Popen[str], status: int) -> str:
        printed, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == status, printed
        return printed

    def is_open(self) -> None:
        until(lambda: [one for one in all_launches(self.store) if one.spec.runs], "the launch is written")

    def at_work(self, not_by: set[int] = frozenset()) -> Worker:  # type: ignore[assignment]
        """Wait for a worker that trains."""

        def found() -> Worker | None:
            living = [worker for launch in all_launches(self.store) for worker in launch.workers()]
            return next((w for w in living if w.phase == "training" and w.step > 3 and w.process not in not_by), None)

        chosen: Worker = until(found, "a worker trains")
        return chosen

    def close(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """The figures of the local launcher."""
    folder = tmp_path_factory.mktemp("calm")
    toy_registry(folder)
    assert suite_here(folder, "run", *RUNS, "--quiet", "--launcher", "local", "launcher.workers=2").returncode == 0
    return metrics(folder)


def test_three_workers_one_killed_and_one_in_a_hurry_finish_a_campaign_bit_by_bit(
    place: Place, calm: dict[str, dict[str, float]]
) -> None:
    launcher = place.start("run", *POOL, *RUNS)
    place.is_open()
    first = place.start("worker", "--workers", "1")
    victim = place.at_work()
    first.kill()  # and what it has started, all at once
    os.kill(victim.process, signal.SIGKILL)
    first.communicate()
    second = place.start("worker", "--workers", "1", "--time", "10s")
    assert "left with work to do" in place.ended(second, 3)
    third = place.start("worker", "--workers", "2")
    assert "nothing is left to take" in place.ended(third, 0)
    printed = place.ended(launcher, 0)
    assert "4 runs done" in printed
    assert f"python -m suite worker --out {place.store.out}" in printed
    assert metrics(place.folder) == calm
    happened = events(place.folder)
    assert {key: [e["event"] for e in found].count("finished") for key, found in happened.items()} == dict.fromkeys(
        calm, 1
    )
    assert sum(e["event"] == "started" for e in happened[str(victim.key)]) >= 2
    assert "terminated" in [e.get("reason") for found in happened.values() for e in found]
    assert mlflow_runs(place.folder) == {key: ["FINISHED"] for key in calm}
    assert not list(place.store.runs.glob("*/checkpoint.pt"))


def test_interrupted_the_launcher_leaves_and_the_workers_go_on(place: Place) -> None:
    launcher = place.start("run", *POOL, *RUNS)
    place.is_open()
    worker = place.start("worker", "--workers", "2")
    place.at_work()
    until(lambda: len(all_launches(place.store)[0].workers()) == 2, "both are there")
    shown = suite_here(place.folder, "status", *RUNS).stdout
    assert f":{place.at_work().process}: blobs/" in shown and " since " in shown
    assert "is open to workers: 4 runs to do, 2 workers" in shown
    launcher.send_signal(signal.SIGINT)
    printed = place.ended(launcher, 130)
    assert "workers   go on" in printed and "continue  " in printed and "--launcher pool" in printed
    place.ended(worker, 0)
    assert len(metrics(place.folder)) == 4
    assert "nothing to run" in suite_here(place.folder, "run", *POOL, *RUNS).stdout


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 3), (signal.SIGUSR2, 3), (signal.SIGINT, 130)])
def test_asked_to_leave_a_worker_saves_and_leaves_what_it_holds_to_others(
    number: signal.Signals, status: int, place: Place
) -> None:
    assert "4 runs wait for workers" in suite_here(place.folder, "run", *POOL, *RUNS, "--detach").stdout
    worker = place.start("worker", "--workers", "1")
    held = place.at_work()
    worker.send_signal(number)
    place.ended(worker, status)
    last = events(place.folder)[str(held.key)][-1]
    assert (last["event"], last["reason"]) == ("interrupted", "terminated")
    assert place.store.record(str(held.key)).checkpoint.exists()
    assert not place.store.record(str(held.key)).is_running()
    ended = suite_here(place.folder, "cancel")
    assert "4 runs cancelled" in ended.stdout, ended.stderr
    assert "nothing is left to take" in place.ended(place.start("worker"), 0)


def test_killed_alone_the_controller_takes_its_workers_with_it_after_a_checkpoint(place: Place) -> None:
    suite_here(place.folder, "run", *POOL, *RUNS, "--detach")
    worker = place.start("worker", "--workers", "1")
    held = place.at_work()
    worker.kill()
    until(lambda: not place.store.record(str(held.key)).is_running(), "its worker has left")
    assert events(place.folder)[str(held.key)][-1]["event"] == "interrupted"


def test_a_worker_that_dies_is_replaced_and_one_that_nohup_protects_does_not_hang_up(place: Place) -> None:
    suite_here(place.folder, "run", *POOL, "--profile", "mini", "--losses", "cosine", "--seeds", "0", "--detach")
    worker = place.start("worker", "--workers", "1", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    held = place.at_work()
    os.kill(worker.pid, signal.SIGHUP)
    os.kill(held.process, signal.SIGKILL)
    printed = place.ended(worker, 0)
    assert f"worker {held.process} ended with -9" in printed
    assert len(metrics(place.folder)) == 1


def test_only_the_benchmarks_and_the_launch_that_were_asked_for_are_taken(place: Place) -> None:
    one = ["--losses", "cosine", "--seeds", "0", "--profile", "smoke"]
    suite_here(place.folder, "run", *POOL, *one, "--detach")
    (launch,) = all_launches(place.store)
    said = place.ended(place.start("worker", "--benchmarks", "blub*,image"), 0)
    assert "nothing is left to take" in said
    assert "no launch has a benchmark 'blub*'; did you mean 'blobs'?" in said
    assert "no launch has a benchmark 'image'; Valid: blobs" in said
    assert metrics(place.folder) == {}
    refused = place.ended(place.start("worker", "--launch", "20", "--time", "soon", "--workers", "0"), 2)
    assert "--launch" in refused and "--time" in refused and "must be at least 1" in refused
    place.ended(place.start("worker", "--workers", "1", "--benchmarks", "blo*", "--launch", launch.id), 0)
    assert len(metrics(place.folder)) == 1


def test_an_allocation_waits_for_more_if_it_is_told_to(place: Place) -> None:
    place.store.prepare()
    worker = place.start("worker", "--workers", "1", "--idle", "10m")
    time.sleep(1)
    assert worker.poll() is None
    suite_here(place.folder, "run", *POOL, "--losses", "cosine", "--seeds", "0", "--profile", "smoke", "--detach")
    until(lambda: metrics(place.folder), "it has done what came")
    worker.terminate()
    place.ended(worker, 0)


def test_workers_that_cannot_begin_end_the_allocation(place: Place) -> None:
    suite_here(place.folder, "run", *POOL, "--losses", "cosine", "--seeds", "0", "--profile", "smoke", "--detach",
               "launcher.max_attempts=1")  # fmt: skip
    (launch,) = all_launches(place.store)
    file = launch.folder / "launch.json"
    content = json.loads(file.read_text())
    code = place.store.out / "snapshots" / content["snapshot"] / "code" / "suite" / "work" / "worker.py"
    code.chmod(0o644)
    code.write_text("raise SystemExit('broken on this node')\n")
    printed = place.ended(place.start("worker", "--workers", "1"), 1)
    assert "broken on this node" in printed and "workers die without finishing anything" in printed


def test_what_a_worker_writes_into_a_shared_folder_its_group_may_write_locks_and_all(place: Place) -> None:
    one = ["--losses", "cosine", "--seeds", "0", "--profile", "smoke"]
    assert suite(place.folder, "run", *POOL, "launcher.share=group", *one, "--detach").returncode == 0
    # not forked: the nursery's forks have the nursery's umask, whatever the worker has set
    place.ended(place.start("worker", "--workers", "1", is_forked=False, umask=0o022), 0)
    assert len(metrics(place.folder)) == 1
    written = [path for folder in (place.store.runs, place.store.launches) for path in folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in written if "jobs" not in path.parts}
    assert any(path.name == "lock" for path in modes) and any(path.suffix == ".joined" for path in modes)
    assert [path for path, mode in modes.items() if not mode & stat.S_IWGRP] == []
    assert [path for path, mode in modes.items() if path.is_dir() and not mode & stat.S_ISGID] == []


def test_what_a_killed_local_launcher_has_left_is_not_taken_and_a_pool_is(store: Store) -> None:
    from suite.launch.allocation import Allocation, Terms

    def free(**terms: Any) -> list[str]:
        return [key for _, key in Allocation(store, Terms(workers=2, **terms))._free()]

    left = local_launch(store, [A])
    assert free() == []
    assert free(launch=left.id) == [A]
    pool = local_launch(store, [B, C], kind="pool", is_pool=True)
    assert free() == [B, C]
    pool.cancel([B])
    with store.record(C).claimed():
        assert free() == []
    assert free() == [C]
    pool.stop()
    assert free() == []


def test_what_ran_out_of_memory_in_a_small_allocation_gets_as_much_in_a_large_one(store: Store) -> None:
    from suite.launch.allocation import Allocation, Terms

    pool = local_launch(store, [A], kind="pool", is_pool=True)
    store.record(A).folder.mkdir()
    record_failure(store.record(A), pool.id, "out_of_memory", "no", 1, beside=4)
    large = Allocation(store, Terms(workers=8))
    assert list(large._free()) == []
    assert large._halve()
    assert [key for _, key in large._free()] == [A]


def test_of_a_cluster_launch_one_that_joins_takes_what_one_process_can_do(store: Store) -> None:
    launch = made_launch(store, [A], [B])
    spread = Launch.create(store, launch.spec.__class__(**{
        **vars(launch.spec), "packs": (Pack((A,), 1.0), Pack((B,), 1.0, gpus=2)),
    }))  # fmt: skip
    assert list(spread.order(FIRST_JOINED)) == [A]
    assert spread.threads(FIRST_JOINED) == 1
    assert {launch.join() for _ in range(3)} == {FIRST_JOINED, FIRST_JOINED + 1, FIRST_JOINED + 2}


def test_silence_is_told_by_reports_that_do_not_change_never_by_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    signs = Signs()
    ahead = Worker(FIRST_JOINED, "far", 7, "training", step=1, since=4e9)  # a clock that runs ahead
    assert signs.silent([ahead]) == []
    now[0] += SILENCE_S + 1
    assert signs.silent([ahead]) == ["far:7"]
    assert signs.silent([Worker(FIRST_JOINED, "far", 7, "training", step=2, since=4e9)]) == []
