"""`suite clean`: litter is found and removed, and nothing else is touched."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.launch.clean import Litter, describe, find, remove
from suite.launch.queue import ArrayTask, SchedulerUnavailable
from suite.launch.slurm import client
from suite.provenance.snapshot import Snapshot, snapshots, take
from suite.records.launch import Launch
from suite.records.record import Record, Store
from tests.launch.simulated import ARRAY, local_launch

DAY = 86_400.0
DONE, FAILED, OPEN = "d" * 64, "f" * 64, "0" * 64


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> list[ArrayTask]:
    """What SLURM has; without this fixture, asking it is an error."""
    tasks: list[ArrayTask] = []
    monkeypatch.setattr(client, "queue", lambda cluster: list(tasks))
    return tasks


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def queue(cluster: str | None) -> list[ArrayTask]:
        raise SchedulerUnavailable("squeue did not answer")

    monkeypatch.setattr(client, "queue", queue)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A results folder, a month old, without litter; two of its records and a launch are being worked at."""

    def queue(cluster: str | None) -> list[ArrayTask]:
        raise AssertionError("there was no need to ask SLURM")

    monkeypatch.setattr(client, "queue", queue)
    store = Store(tmp_path / "results")
    store.prepare()
    record(store, DONE, "run.json", "result.json", "items.npz", "events.jsonl", "log.txt", "lock")
    record(store, FAILED, "run.json", "failure.json", "events.jsonl", "checkpoint.pt", "log.txt", "lock")
    record(store, OPEN, "run.json", "events.jsonl", "checkpoint.pt", "lock")
    record(store, "1" * 64, "failure.json", "lock")  # its node was lost before it began
    record(store, "2" * 64, "events.jsonl", "lock")
    begun = record(store, "3" * 64, "log.txt")
    ending = record(store, "4" * 64, "run.json", "result.json", "checkpoint.pt", ".run.json.0123abcd")
    for name in (
        "notes.txt",
        "mlflow.db",
        ".hidden",
        "launches/notes/a.txt",
        "superseded/mine/a.txt",
        ".mine.0123abcd/a.txt",
    ):
        file = store.out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    snapshots(store).mkdir()
    (snapshots(store) / "README").write_text("mine")
    live = launch(store, [OPEN])
    with begun.claimed(), ending.claimed(), live.enter(0):
        backdate(store.out, 30 * DAY)
        yield store


def record(store: Store, key: str, *names: str) -> Record:
    """Write a record with these files in it."""
    made = store.record(key)
    made.folder.mkdir(parents=True)
    for name in names:
        content = {"record": key[:32], "finished": 0.0}
        (made.folder / name).write_text(json.dumps(content) if name.endswith(".json") else name)
    return made


def launch(
    store: Store, keys: list[str], kind: str = "local", snapshot: str = "", replaces: str | None = None
) -> Launch:
    """Write a launch."""
    on_cluster = {"kind": "slurm", "array": ARRAY} if kind == "slurm" else {}
    made = local_launch(store, keys, snapshot=snapshot, replaces=replaces, **on_cluster)
    (made.folder / "jobs").mkdir()
    (made.folder / "jobs" / "1_0_log.out").write_text("words")
    return made


def snapshot(store: Store) -> Snapshot:
    taken = take(store, [])
    backdate(taken.folder, DAY)
    return taken


def backdate(folder: Path, seconds: float) -> None:
    """Make everything there look as if it had not changed for so long."""
    then = time.time() - seconds
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then), follow_symlinks=False)


def tree(store: Store) -> dict[str, bytes | None]:
    """Every path of a results folder, with the content of files."""
    paths = (path for path in store.out.rglob("*"))
    return {str(path.relative_to(store.out)): path.read_bytes() if path.is_file() else None for path in paths}


def clean(store: Store, *options: str, days: float = 14) -> list[Litter]:
    """Find, and remove what needs no more options than these."""
    found = find(store, days, options)
    for litter in found:
        if litter.option is None or litter.option in options:
            assert remove(store, litter)
    return found


def found_and_removed(store: Store, before: dict[str, bytes | None], *options: str, days: float = 14) -> list[Litter]:
    """Clean; check that nothing is left or missing, and that the reported size was that of what went."""
    cluttered = tree(store)
    found = clean(store, *options, days=days)
    assert tree(store) == before
    gone = cluttered.keys() - before.keys()
    assert {str(p.relative_to(store.out)) for litter in found for p in litter.paths} <= gone
    assert sum(litter.size for litter in found) == sum(len(cluttered[name] or b"") for name in gone)
    assert find(store, days, options) == []
    return found


def test_a_folder_without_litter_is_left_as_it_is(store: Store) -> None:
    before = tree(store)
    assert clean(store, "--unknown", "--superseded", days=15) == []
    assert tree(store) == before


def test_there_is_nothing_to_clean_where_there_are_no_results(tmp_path: Path) -> None:
    assert find(Store(tmp_path / "results")) == []
    assert not (tmp_path / "results").exists()


def test_a_launch_goes_once_its_runs_are_done(store: Store) -> None:
    before = tree(store)
    backdate(launch(store, [DONE]).folder, 3600)
    (litter,) = found_and_removed(store, before)
    assert (litter.kind, litter.reason, litter.option) == ("launch", "its runs are done", None)


def test_a_launch_that_was_to_replace_a_result_is_not_done_with_the_old_one(store: Store) -> None:
    made = launch(store, [DONE], replaces=DONE[:32])
    backdate(made.folder, 3600)
    assert find(store) == []
    backdate(made.folder, 15 * DAY)
    assert [litter.name for litter in find(store)] == [made.id]


def test_a_launch_whose_unfinished_runs_were_cancelled_is_done(store: Store) -> None:
    before = tree(store)
    made = launch(store, [DONE, OPEN])
    made.cancel([OPEN])
    backdate(made.folder, 3600)
    assert len(found_and_removed(store, before)) == 1


def test_a_launch_with_unfinished_runs_goes_when_it_is_old(store: Store) -> None:
    before = tree(store)
    made = launch(store, [DONE, FAILED])
    backdate(made.folder, 13 * DAY)
    assert find(store) == []
    assert [litter.name for litter in find(store, days=12)] == [made.id]
    backdate(made.folder, 15 * DAY)
    (litter,) = found_and_removed(store, before)
    assert "14 days" in litter.reason


def test_a_launch_whose_launcher_was_killed_before_it_was_written_goes(store: Store) -> None:
    before = tree(store)
    made = launch(store, [OPEN])
    (made.folder / "launch.json").unlink()
    backdate(made.folder, 3600)
    assert len(found_and_removed(store, before)) == 1


def test_a_launch_stays_that_has_changed_in_the_last_minutes_or_has_a_worker(store: Store) -> None:
    made = launch(store, [DONE])
    assert find(store, days=0) == []
    backdate(made.folder, 30 * DAY)
    with made.enter(1):
        backdate(made.folder, 30 * DAY)
        assert find(store) == []


def test_a_launch_that_has_got_a_worker_since_it_was_found_is_not_removed(store: Store) -> None:
    made = launch(store, [OPEN])
    backdate(made.folder, 30 * DAY)
    (litter,) = find(store)
    with made.enter(0):
        backdate(made.folder, 30 * DAY)
        before = tree(store)
        assert not remove(store, litter)
        assert tree(store) == before
    (made.folder / "workers" / "0.0.json").write_text("{}")
    assert not remove(store, litter)


def test_a_launch_with_jobs_in_the_queue_stays_whatever_its_age(store: Store, queue: list[ArrayTask]) -> None:
    before = tree(store)
    waiting, ended = launch(store, [OPEN], "slurm"), launch(store, [FAILED], "slurm")
    done = launch(store, [DONE], "slurm")
    for made in (waiting, ended, done):
        backdate(made.folder, 30 * DAY)
    queue += [
        ArrayTask("7_0", f"suite-{waiting.id}-0", 0, "PENDING"),
        ArrayTask("8_0", f"suite-{done.id}-3", 0, "RUNNING"),
    ]
    assert [litter.name for litter in find(store)] == [ended.id]
    queue.clear()
    assert {litter.name for litter in found_and_removed(store, before)} == {waiting.id, ended.id, done.id}


def test_silence_of_slurm_leaves_unfinished_launches_alone_unless_asked(store: Store, silent: None) -> None:
    clean_tree = tree(store)
    made = launch(store, [OPEN], "slurm")
    backdate(made.folder, 30 * DAY)
    before = tree(store)
    (litter,) = clean(store)
    assert litter.option == "--unknown"
    assert "squeue did not answer" in litter.reason
    assert tree(store) == before
    found_and_removed(store, clean_tree, "--unknown")


def test_silence_of_slurm_does_not_keep_a_launch_whose_runs_are_done_nor_a_local_one(
    store: Store, silent: None
) -> None:
    before = tree(store)
    for made in (launch(store, [DONE], "slurm"), launch(store, [OPEN], "local")):
        backdate(made.folder, 30 * DAY)
    assert [litter.option for litter in found_and_removed(store, before)] == [None, None]


def test_of_another_users_launch_the_queue_of_this_user_says_nothing(
    store: Store, queue: list[ArrayTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = launch(store, [OPEN], "slurm")
    backdate(made.folder, 30 * DAY)
    monkeypatch.setattr(os, "getuid", lambda: made.folder.stat().st_uid + 1)
    (litter,) = find(store)
    assert litter.option == "--unknown"
    assert "another user" in litter.reason


@pytest.mark.parametrize("names", [(), ("lock",), ("lock", "log.txt"), ("checkpoint.pt", ".run.json.0123abcd")])
def test_a_folder_in_which_no_run_has_begun_goes(store: Store, names: tuple[str, ...]) -> None:
    before = tree(store)
    made = record(store, "a" * 64, *names)
    assert find(store) == []
    backdate(made.folder, 3600)
    (litter,) = found_and_removed(store, before)
    assert (litter.kind, litter.name, litter.option) == ("record", "a" * 64, None)


@pytest.mark.parametrize("name", ["run.json", "result.json", "events.jsonl", "failure.json", "notes.txt"])
def test_a_folder_with_anything_computed_or_foreign_in_it_stays(store: Store, name: str) -> None:
    made = record(store, "a" * 64, "lock", name)
    backdate(made.folder, 3600)
    assert find(store) == []


def test_what_killed_writers_leave_in_records_and_launches_goes(store: Store) -> None:
    before = tree(store)
    live = next(path for path in store.launches.iterdir() if path.name != "notes")
    places = [store.record(key).folder for key in (DONE, FAILED, OPEN)] + [live, live / "workers", store.out]
    names = [".result.json.0123abcd", ".run.json.00000000"]
    for folder in places:
        for name in names:
            (folder / name).write_text("torn")
    (store.out / ".probe.89abcdef").touch()
    assert find(store) == []
    backdate(store.out, 3600)
    found = found_and_removed(store, before)
    assert sum(len(litter.paths) for litter in found) == len(places) * len(names) + 1


def test_the_checkpoint_of_a_finished_run_goes(store: Store) -> None:
    before = tree(store)
    file = store.record(DONE).checkpoint
    file.write_text("weights")
    backdate(file, 3600)
    (litter,) = found_and_removed(store, before)
    assert (litter.kind, litter.paths) == ("leftovers", (file,))


def test_a_record_that_was_claimed_since_it_was_found_is_not_touched(store: Store) -> None:
    for made in (record(store, "a" * 64, "lock", "log.txt"), store.record(DONE)):
        (made.folder / ".run.json.0123abcd").write_text("torn")
        backdate(made.folder, 3600)
    found = find(store)
    assert {litter.name for litter in found} == {"a" * 64, DONE}
    before = tree(store)
    with store.record("a" * 64).claimed(), store.record(DONE).claimed():
        assert [remove(store, litter) for litter in found] == [False, False]
        assert find(store) == []
    assert tree(store) == before


def test_a_run_that_has_begun_since_its_folder_was_found_keeps_it(store: Store) -> None:
    made = record(store, "a" * 64, "lock")
    backdate(made.folder, 3600)
    (litter,) = find(store)
    made.begin({"code": {}})
    backdate(made.folder, 3600)
    before = tree(store)
    assert not remove(store, litter)
    assert tree(store) == before


def test_a_snapshot_goes_once_no_launch_refers_to_it(store: Store) -> None:
    before = tree(store)
    taken = snapshot(store)
    made = launch(store, [OPEN], snapshot=taken.id)
    backdate(made.folder, DAY)
    assert find(store) == []
    made.remove()
    (litter,) = found_and_removed(store, before)
    assert (litter.kind, litter.name) == ("snapshot", taken.id)


def test_a_snapshot_goes_together_with_the_last_launch_that_refers_to_it(store: Store, silent: None) -> None:
    before = tree(store)
    taken = snapshot(store)
    made = launch(store, [OPEN], "slurm", snapshot=taken.id)
    backdate(made.folder, 30 * DAY)
    assert [litter.kind for litter in clean(store)] == ["launch"]  # which stays, being unknown
    assert taken.code.exists()
    assert [litter.kind for litter in found_and_removed(store, before, "--unknown")] == ["launch", "snapshot"]


def test_a_snapshot_that_was_taken_again_or_referred_to_since_it_was_found_stays(store: Store) -> None:
    taken = snapshot(store)
    (litter,) = find(store)
    assert take(store, []) == taken
    assert not remove(store, litter)
    assert find(store) == []
    backdate(taken.folder, DAY)
    launch(store, [OPEN], snapshot=taken.id)
    assert not remove(store, litter)
    assert taken.code.exists()


def test_half_a_snapshot_goes(store: Store) -> None:
    before = tree(store)
    half = snapshots(store) / ".0123abcd" / "code"
    half.mkdir(parents=True)
    (half / "my_losses.py").write_text("half")
    assert find(store) == []
    backdate(half.parent, 3600)
    assert len(found_and_removed(store, before)) == 1


def test_superseded_records_go_only_if_asked(store: Store) -> None:
    clean_tree = tree(store)
    record(store, "a" * 64, "run.json", "result.json", "lock").supersede(store.superseded)
    for path in (store.record("a" * 64).folder, store.superseded):
        backdate(path, 3600)
    assert [litter.kind for litter in clean(store)] == ["record", "superseded"]
    assert len(list(store.superseded.glob("*-*/result.json"))) == 1
    found_and_removed(store, clean_tree, "--superseded")


def test_finds_are_described_by_kind_and_reason(store: Store) -> None:
    for key in ("a" * 64, "b" * 64):
        backdate(record(store, key, "log.txt").folder, 3600)
    backdate(launch(store, [DONE]).folder, 3600)
    found = find(store)
    rows = describe(found)
    assert json.loads(json.dumps(rows)) == rows
    assert [(row["kind"], row["count"], row["option"]) for row in rows] == [("launch", 1, None), ("record", 2, None)]
    assert sum(row["bytes"] for row in rows) == sum(litter.size for litter in found)
    assert [path for row in rows for path in row["paths"]] == [str(path) for one in found for path in one.paths]
