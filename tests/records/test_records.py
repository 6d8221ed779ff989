import fcntl
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import IO

import pytest

from suite.problems import InputError
from suite.records import launch
from suite.records.files import atomic_write, held, is_held, read_json, write_json
from suite.records.launch import Launch, all_launches, find_key, forget_finished
from suite.records.record import Record, Store
from suite.records.specs import Pack
from tests.launch.simulated import launch_of, local_launch
from tests.records_factory import write_run
from tests.waiting import PATIENCE_S

KEY = "ab" * 32


@pytest.fixture
def record(tmp_path: Path) -> Record:
    made = Store(tmp_path).record(KEY)
    made.folder.mkdir(parents=True)
    return made


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})

    def half(file: object) -> None:
        file.write(b'{"a":')  # type: ignore[attr-defined]
        raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        atomic_write(path, half)
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["value.json"]
    assert read_json(tmp_path / "absent.json") is None


def test_events_survive_a_torn_line(record: Record) -> None:
    record.append("started", attempt=1)
    with (record.folder / "events.jsonl").open("a") as file:
        file.write('{"time": 1, "event": "metr')
    assert [event["event"] for event in record.events()] == ["started"]
    record.append("started", attempt=2)
    assert [event.get("attempt") for event in record.events()] == [1, 2]


def test_a_record_keeps_its_id_until_it_is_superseded(record: Record, tmp_path: Path) -> None:
    first = record.begin({"benchmark": "b"})
    assert record.begin({"benchmark": "b"}) == first
    record.fail({"class": "user_code", "message": "m"})
    record.checkpoint.write_bytes(b"x")
    record.finish({"metrics": {}})
    assert record.is_done()
    assert record.failure() is None
    assert not record.checkpoint.exists()
    record.supersede(tmp_path / "superseded")
    assert not record.is_done()
    assert record.run() is None
    kept = tmp_path / "superseded" / f"{KEY}-{first[:8]}"
    assert json.loads((kept / "result.json").read_text())["key"] == KEY
    assert record.begin({"benchmark": "b"}) != first


def hold(path: str, ready: object, release: object) -> None:
    with held(Path(path)) as ours:
        assert ours
        ready.set()  # type: ignore[attr-defined]
        release.wait(PATIENCE_S)  # type: ignore[attr-defined]


def test_a_lock_belongs_to_one_process_and_dies_with_it(record: Record) -> None:
    lock = record.folder / "lock"
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(lock), ready, release))
    other.start()
    assert ready.wait(PATIENCE_S)
    assert is_held(lock)
    assert record.is_running()
    with record.claimed() as ours:
        assert not ours
    other.kill()
    other.join()
    assert not is_held(lock)
    with record.claimed() as ours:
        assert ours


def test_looking_at_a_lock_does_not_keep_a_worker_from_it(record: Record) -> None:
    context = multiprocessing.get_context("spawn")
    lock = record.folder / "lock"
    lock.touch()
    watching = context.Event()
    watcher = context.Process(target=watch, args=(str(lock), watching))
    watcher.start()
    try:
        assert watching.wait(PATIENCE_S)
        for _ in range(300):
            with record.claimed() as ours:
                assert ours
    finally:
        watcher.kill()
        watcher.join()


def watch(path: str, watching: object) -> None:
    while True:
        is_held(Path(path))
        watching.set()  # type: ignore[attr-defined]
        time.sleep(0.001)


def test_keys_are_found_by_their_beginning(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key in ("ab" * 32, "ac" + "00" * 31):
        store.record(key).folder.mkdir(parents=True)
    (store.runs / "litter").mkdir()
    assert store.keys() == {"ab" * 32, "ac" + "00" * 31}
    local_launch(store, ["ad" * 32])  # not begun yet
    assert find_key(store, "ab") == "ab" * 32
    assert find_key(store, "ad") == "ad" * 32
    with pytest.raises(LookupError, match="3 runs"):
        find_key(store, "a")
    with pytest.raises(LookupError, match="no run"):
        find_key(store, "ff")


def test_keys_are_found_by_the_name_that_commands_print(tmp_path: Path) -> None:
    store = Store(tmp_path)
    done = write_run(tmp_path, "image", "infonce@temperature=0.2", 3)
    local_launch(store, [KEY])
    assert find_key(store, "image/infonce@temperature=0.2/seed3") == done
    assert find_key(store, next(iter(all_launches(store))).spec.runs[KEY].name) == KEY
    with pytest.raises(LookupError, match="no run is named 'image/infonce/seed3'"):
        find_key(store, "image/infonce/seed3")
    write_run(tmp_path, "image", "infonce@temperature=0.2", 3, profile="smoke")
    with pytest.raises(LookupError, match=r"2 runs are named .*\((mini|smoke)\), .*\((mini|smoke)\); give"):
        find_key(store, "image/infonce@temperature=0.2/seed3")
    damaged = next(store.runs.glob(f"{done}*")) / "run.json"
    damaged.write_text("{}")
    with pytest.raises(LookupError, match="no run"):
        find_key(store, "x/y/seed0")


def test_a_launch_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    pack = Pack((KEY,), 3.5, slots=1, nodes=2, gpus=4)
    shared = {"catalogues": (tmp_path / "mine.yaml",), "path": ("/home/me",), "submitter": "me@here", "git": "abc"}
    launch = launch_of(store, [pack], replaces="old", snapshot="0123", **shared)
    assert Launch(launch.folder).spec == launch.spec
    (read,) = Launch(launch.folder).spec.packs
    assert (read, read.processes) == (pack, 8)
    assert Launch(launch.folder).spec.runs[KEY].replaces == "old"


def test_a_launch_of_another_version_is_named_with_what_to_do(tmp_path: Path) -> None:
    launch = local_launch(Store(tmp_path), [KEY])
    write_json(launch.folder / "launch.json", {"kind": "local", "runs": {KEY: {}}, "packs": [], "launcher": {}})
    with pytest.raises(InputError) as raised:
        find_key(Store(tmp_path), KEY)
    assert f"remove {launch.folder}" in str(raised.value)


def test_a_results_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(OSError, match="results"):
        Store(tmp_path / "results").prepare()


def test_a_lock_whose_file_was_removed_and_made_anew_is_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "record" / "lock"
    with held(path) as first:
        assert first
        path.unlink()  # as `suite clean` does under the lock
        with held(path) as second, held(path) as third:
            assert (second, third) == (True, False)


def test_a_worker_that_opened_a_lock_before_it_was_removed_does_not_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flock, pending = tmp_path / "lock", fcntl.flock, ["once"]

    def removed_before(file: IO[str], flags: int) -> None:
        if pending:
            pending.pop()
            path.unlink()
        flock(file, flags)

    monkeypatch.setattr(fcntl, "flock", removed_before)
    with held(path) as ours:
        assert ours
        assert path.exists()  # a new one, which others see
        assert is_held(path)


def test_superseding_that_is_killed_leaves_no_checkpoint_without_its_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Store(tmp_path).record("a" * 64)
    record.folder.mkdir(parents=True)
    record.begin({"code": {}})
    record.checkpoint.touch()
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        replace(source, target)
        if Path(source).name == "run.json":
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        record.supersede(tmp_path / "superseded")
    assert not record.checkpoint.exists()


def test_a_launch_that_another_command_is_writing_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "results")
    store.prepare()
    write = launch.write_json

    def while_another_command_ends(path: Path, *arguments: object) -> None:
        forget_finished(store)
        write(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(launch, "write_json", while_another_command_ends)
    made = local_launch(store, [KEY])
    assert [one.id for one in all_launches(store)] == [made.id] and made.spec.runs.keys() == {KEY}
    (made.folder / "launch.json").write_text("torn")
    forget_finished(store)
    assert not all_launches(store)
