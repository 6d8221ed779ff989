"""Data on a node's own disk: there once for all workers of the node, checked, gone with the last, never in the way."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suite.data import Member, describe
from suite.data import Store as DataStore
from suite.data.recorded import Recorded
from suite.work import staging
from suite.work.execution import Execution
from suite.work.staging import Staging
from tests.cluster import TOY, metrics, prepare_store, suite, suite_here
from tests.data.datasets_factory import CONTENTS, dataset, small_disk, store, write
from tests.waiting import PATIENCE_S, until

READS = """\
from dataclasses import dataclass
from tests.toys import Blobs, BlobsTask

@dataclass(frozen=True)
class Reads(Blobs):
    def task(self, context):
        print("it reads", context.data("points", "points.bin"))
        return BlobsTask(self, context)
"""


@pytest.fixture
def cache(tmp_path: Path) -> DataStore:
    """A data set that lies elsewhere."""
    write(tmp_path / "cache" / "tiny")
    return store(tmp_path / "cache", dataset())


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A node's own disk."""
    made = tmp_path / "scratch"
    made.mkdir()
    return made


def lies_in(found: DataStore) -> Path:
    """Return where a store has the data set, having looked at all of it."""
    for name, content in CONTENTS.items():
        assert found.locate("tiny", name).read_bytes() == content
    return found.root


def test_data_is_read_there_and_gone_with_the_last_worker(
    cache: DataStore, scratch: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Staging(cache, str(scratch)) as last:
        with Staging(cache, str(scratch)) as first:
            assert lies_in(first.of(["tiny"])).parent == scratch
            assert lies_in(last.of(["tiny"])).parent == scratch
            assert lies_in(last.of(["tiny"])).parent == scratch
        assert lies_in(last.of(["tiny"])).parent == scratch
    assert caplog.text.count("copied tiny to") == 1
    assert list(scratch.iterdir()) == []


def test_without_scratch_or_data_nothing_is_made(cache: DataStore, scratch: Path) -> None:
    with Staging(cache, None) as nothing, Staging(cache, str(scratch)) as idle:
        assert nothing.of(["tiny"]) is cache and idle.of([]) is cache
        assert list(scratch.iterdir()) == []


def test_variables_are_those_of_the_node(cache: DataStore, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DISK", str(scratch))
    with Staging(cache, "$NODE_DISK") as here:
        assert lies_in(here.of(["tiny"])).parent == scratch


def _stages(cache: DataStore, scratch: Path, log: Path, meet: Callable[[], object]) -> None:
    logging.basicConfig(filename=log, level=logging.INFO, force=True)
    with Staging(cache, str(scratch)) as here:
        meet()
        assert lies_in(here.of(["tiny"])).parent == scratch
        meet()


def test_workers_that_come_at_once_copy_once(cache: DataStore, scratch: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    arguments = (cache, scratch, tmp_path / "log", barrier.wait)
    workers = [context.Process(target=_stages, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE_S)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert (tmp_path / "log").read_text().count("copied tiny to") == 1
    assert list(scratch.iterdir()) == []


def test_what_a_killed_worker_has_left_is_used_and_removed_by_the_next(
    cache: DataStore, scratch: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def die() -> None:
        if list(scratch.glob("*/tiny/*")):
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=_stages, args=(cache, scratch, tmp_path / "log", die))
    process.start()
    process.join(PATIENCE_S)
    assert process.exitcode == -signal.SIGKILL
    (left,) = scratch.glob("*/tiny/a.bin")
    left.write_bytes(left.read_bytes()[:-1])  # the node, too, lost its power before all of it was on the disk
    caplog.set_level(logging.INFO)
    with Staging(cache, str(scratch)) as here:
        assert lies_in(here.of(["tiny"])).parent == scratch
    assert "copied tiny to" in caplog.text
    assert list(scratch.iterdir()) == []


def no_room(scratch: Path, patch: pytest.MonkeyPatch) -> str:
    usage = shutil.disk_usage(scratch)._replace(free=staging.RESERVE_BYTES + 100)
    patch.setattr(shutil, "disk_usage", lambda folder: usage)
    return str(scratch)


def somebody_elses(scratch: Path, patch: pytest.MonkeyPatch) -> str:
    patch.setattr(os, "getuid", lambda: 54_321)
    return str(scratch)


def a_file(scratch: Path, patch: pytest.MonkeyPatch) -> str:
    (scratch / f"contrastive-suite-{os.getuid()}").touch()
    return str(scratch)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (lambda scratch, patch: "$NOT_SET_HERE/x", "$NOT_SET_HERE/x, of which this node makes $NOT_SET_HERE/x"),
        (lambda scratch, patch: str(scratch / "none"), "No such file or directory"),
        (no_room, "has room for 0.0 MB, and 0.0 are needed"),
        (somebody_elses, "contrastive-suite-54321 belongs to somebody else"),
        (a_file, "File exists"),
    ],
)
def test_where_it_cannot_be_data_is_read_where_it_lies_and_the_log_says_why(
    place: Callable[[Path, pytest.MonkeyPatch], str], says: str, cache: DataStore, scratch: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    with Staging(cache, place(scratch, monkeypatch)) as here:
        assert here.of(["tiny"]) is cache
    assert says in caplog.text and f"data is read from {cache.root}" in caplog.text


def test_a_disk_that_fills_up_meanwhile_costs_nothing(
    cache: DataStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(staging, "_check_room", lambda folder, needed: None)
    with small_disk(tmp_path / "small", "12k") as disk, Staging(cache, str(disk)) as here:
        assert here.of(["tiny"]) is cache
    assert "the disk is full" in caplog.text


def test_damaged_data_is_not_staged(cache: DataStore, scratch: Path, caplog: pytest.LogCaptureFixture) -> None:
    (cache.root / "tiny" / "a.bin").write_bytes(b"other")
    with Staging(cache, str(scratch)) as here:
        assert here.of(["tiny"]) is cache
    assert "a.bin" in caplog.text
    assert list(scratch.iterdir()) == []


def test_what_is_not_pinned_is_held_to_what_was_recorded(
    cache: DataStore, scratch: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny = cache.catalogue["tiny"]
    unpinned = replace(tiny, members={**tiny.members, "a.bin": Member(about=100)})
    data = store(cache.root, unpinned)
    with Staging(data, str(scratch)) as here:
        assert here.of(["tiny"]) is data
    assert "nobody knows what a.bin must be" in caplog.text
    Recorded(cache.root).record("tiny", "a.bin", tiny.members["a.bin"].sha256, len(CONTENTS["a.bin"]), "there")
    with Staging(data, str(scratch)) as here:
        assert lies_in(here.of(["tiny"])).parent == scratch
    (cache.root / "tiny" / "a.bin").write_bytes(b"other")
    with Staging(data, str(scratch)) as here:
        assert here.of(["tiny"]) is data
    assert list(scratch.iterdir()) == []


# --- campaigns


class Place:
    """A folder with a benchmark that reads data, a cache, and a node's disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = folder / "disk"
        self.disk.mkdir()
        original = folder / "points.bin"
        original.write_bytes(b"0123456789")
        (folder / "mine.yaml").write_text(describe([original]))
        (folder / "my_data.py").write_text(READS)
        registry = TOY.replace("tests.toys.Blobs", "my_data.Reads").replace("blobs:\n", "blobs:\n    data: [points]\n")
        (folder / "benchmarks.yaml").write_text(f"catalogues: [mine.yaml]\n{registry}")
        prepare_store(folder)

    @property
    def options(self) -> list[str]:
        return ["--profile", "smoke", "--losses", "good", "--seeds", "0-1", f"launcher.scratch={self.disk}"]

    def check(self, runs: int) -> None:
        """All runs are done, have read what lies on the disk, and have left nothing there."""
        assert len(metrics(self.folder)) == runs
        logs = list((self.folder / "results" / "runs").glob("*/log.txt"))
        assert len(logs) == runs
        for log in logs:
            assert f"it reads {self.disk}/contrastive-suite-" in log.read_text(), log.read_text()
        until(lambda: not list(self.disk.iterdir()), "the last worker has cleared up")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("SUITE_DATA_DIR", str(tmp_path / "cache"))
    yield Place(tmp_path)


def test_workers_of_this_machine_read_from_its_disk(place: Place) -> None:
    done = suite(place.folder, "run", *place.options, "launcher.workers=2")
    assert done.returncode == 0, done.stdout + done.stderr
    place.check(4)


def test_workers_that_join_read_from_their_disk(place: Place) -> None:
    asked = suite_here(place.folder, "run", *place.options, "--launcher", "pool", "--detach")
    assert asked.returncode == 0, asked.stderr
    done = suite(place.folder, "worker", "--workers", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    place.check(4)


def test_the_time_of_a_run_leaves_it_out_and_its_figures_and_key_are_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ["--profile", "smoke", "--losses", "cosine", "--seeds", "0", "--launcher", "debug", "--quiet"]
    monkeypatch.syspath_prepend(place.folder)
    assert suite_here(place.folder, "run", *here).returncode == 0
    plain = metrics(place.folder)
    shutil.rmtree(place.folder / "results")
    fetch, say = DataStore.fetch, Execution._say
    phases: list[str] = [""]
    seen: list[str] = []
    fetched: list[float] = []

    def told(self: Execution, phase: str, *arguments: Any, **named: Any) -> None:
        phases.append(phase)
        say(self, phase, *arguments, **named)

    def fetching(self: DataStore, *arguments: Any, **named: Any) -> None:
        fetch(self, *arguments, **named)
        seen.append(phases[-1])
        fetched.append(time.time())

    monkeypatch.setattr(Execution, "_say", told)
    monkeypatch.setattr(DataStore, "fetch", fetching)
    assert suite_here(place.folder, "run", *here, place.options[-1]).returncode == 0
    place.check(1)
    assert metrics(place.folder) == plain
    assert seen[-1] == "staging" and phases[1:3] == ["staging", "setup"]  # the first phase whose time is taken
    (result,) = (json.loads(file.read_text()) for file in (place.folder / "results").glob("runs/*/result.json"))
    assert result["started"] >= fetched[-1]
