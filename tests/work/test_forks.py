"""Workers that are forked do what workers with interpreters of their own do, and die with their job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from suite.process import cores
from suite.records.launch import Launch
from tests.cluster import command, environment, metrics, suite, toy_registry
from tests.waiting import until

SELECT = ["--profile", "smoke", "--losses", "good", "references", "--seeds", "0-2", "--quiet"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    toy_registry(tmp_path)
    return tmp_path


def test_metrics_are_the_same_bits_forked_or_spawned_whatever_the_workers_and_the_shells_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    ways = [("fork", 3, "1"), ("spawn", 2, "4"), ("fork", 2, "4")]
    for number, (start, workers, threads) in enumerate(ways):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        place = tmp_path / str(number)
        place.mkdir()
        toy_registry(place)
        done = suite(place, "run", *SELECT, f"launcher.start={start}", f"launcher.workers={workers}", timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        found.append(metrics(place))
    assert len(found[0]) > 6
    assert found[0] == found[1] == found[2]


def detached(folder: Path, threads: int) -> tuple[Launch, dict[int, int]]:
    """Return a launch of two forked workers that train, and their process ids by number."""
    arguments = ["--profile", "mini", "--losses", "cosine", "--seeds", "0-1"]
    slowly = "benchmarks.blobs.profiles.mini.pause_s=0.2"
    options = ["launcher.start=fork", "launcher.workers=2", f"launcher.threads={threads}", slowly, "--detach"]
    fresh = environment(is_forked=False)  # whose libraries start their threads when they are imported
    assert subprocess.run(command(folder, "run", *arguments, *options), cwd=folder, env=fresh).returncode == 0
    (path,) = (folder / "results" / "launches").iterdir()
    launch = Launch(path)
    until(lambda: sum(worker.phase == "training" for worker in launch.workers()) == 2, "two workers train")
    return launch, {worker.number: worker.process for worker in launch.workers()}


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("threads", [1, 2])
def test_forked_workers_come_from_one_process_and_each_is_one_by_itself(folder: Path, threads: int) -> None:
    if threads > cores():
        pytest.skip("a library starts no more threads at its import than there are cores")
    launch, workers = detached(folder, threads)
    for process in workers.values():  # where imports start threads, a worker gets an interpreter of its own
        assert (b"work_and_leave" in Path(f"/proc/{process}/cmdline").read_bytes()) == (threads > 1)
    (server,) = {parent(process) for process in workers.values()}
    assert len(set(workers.values()) | {server}) == 3
    assert len({json.loads(p.read_text())["key"] for p in launch.folder.glob("workers/*.json")}) == 2
    assert {p.name for p in launch.folder.glob("jobs/worker*")} == {"worker0_log.out", "worker1_log.out"}
    os.kill(workers[0], signal.SIGKILL)  # takes nothing else with it
    until(lambda: [worker.number for worker in launch.workers()] == [1], "the killed worker is gone")
    time.sleep(0.5)
    assert [worker.process for worker in launch.workers()] == [workers[1]]
    os.kill(server, signal.SIGKILL)  # what ends a job ends its workers
    until(lambda: launch.workers() == [], "the workers of a killed job are gone")


def test_what_is_imported_before_a_fork_starts_no_thread_that_a_fork_would_lose() -> None:
    """Threads do not survive a fork: with one at work, workers could hang in a lock that it held."""
    code = (
        "import os, importlib, suite.work.forks as forks\n"
        "forks.import_what_is_shared(())\n"
        "for name in ('image', 'anomaly', 'recommendation', 'text', 'graph'):\n"
        "    importlib.import_module(f'suite.benchmarks.{name}')\n"
        "import sys, torch; before = set(sys.modules); assert 'sklearn' in before\n"
        "torch.optim.AdamW(torch.nn.Linear(1, 1).parameters())\n"
        "assert sys.modules.keys() == before, 'what an optimiser imports is to be shared, too'\n"
        "print(forks._is_single_threaded())\n"
    )
    threads = {**environment(), **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")}
    done = subprocess.run([sys.executable, "-c", code], env=threads, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
