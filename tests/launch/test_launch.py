import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from suite.launch.kinds import local
from suite.launch.kinds.debug import DebugLauncher
from suite.launch.kinds.local import LocalLauncher
from suite.records.launch import Launch, Worker, forget_finished, live_launches
from suite.records.record import Store
from suite.records.specs import turns
from tests.launch.simulated import local_launch


def made_launch(folder: Path, packs: list[list[str]]) -> tuple[Store, Launch]:
    store = Store(folder)
    store.prepare()
    return store, local_launch(store, *packs)


def test_a_worker_takes_its_own_pack_first_and_then_what_others_would_do_last(tmp_path: Path) -> None:
    _, launch = made_launch(tmp_path, [["a", "b", "c"], ["d", "e"], ["f"]])
    assert list(launch.order(0)) == ["a", "b", "c", "e", "f", "d"]
    assert list(launch.order(1)) == ["d", "e", "f", "c", "b", "a"]
    assert list(launch.order(4)) == list(launch.order(1))  # a replacement


def test_workers_see_one_seed_through_before_the_next_helping_each_other(tmp_path: Path) -> None:
    _, launch = made_launch(tmp_path, [["a", "b", "c", "d"], ["e", "f", "g"]])
    seeds = {"a": 3, "b": 7, "c": 7, "d": 9, "e": 3, "f": 3, "g": 9}
    runs = {key: replace(run, seed=seeds[key]) for key, run in launch.spec.runs.items()}
    launch.spec = replace(launch.spec, runs=runs)
    assert list(launch.order(0)) == ["a", "f", "e", "b", "c", "d", "g"]
    assert list(launch.order(1)) == ["e", "f", "a", "c", "b", "g", "d"]


def test_turns_count_evaluation_and_selection_seeds_apart(tmp_path: Path) -> None:
    _, launch = made_launch(tmp_path, [["a", "b", "c", "d"]])
    of = {"a": (4, "evaluation"), "b": (100, "selection"), "c": (101, "selection"), "d": (2, "evaluation")}
    runs = [replace(launch.spec.runs[key], seed=seed, purpose=purpose) for key, (seed, purpose) in of.items()]
    assert turns(runs) == {"a": 1, "b": 0, "c": 1, "d": 0}


def test_a_launch_lives_as_long_as_a_worker_holds_its_lock(tmp_path: Path) -> None:
    store, launch = made_launch(tmp_path, [["a" * 64]])
    assert live_launches(store) == []
    with launch.enter(0) as ours:
        assert ours
        launch.report(Worker(0, "here", 1, "training", "a" * 64, "b/l/seed0", 3, 9, 1.0))
        (living,) = live_launches(store)
        assert [w.step for w in living.workers()] == [3]
        assert list(living.spec.runs) == ["a" * 64]
        forget_finished(store)
        assert launch.folder.exists()
    assert live_launches(store) == []
    forget_finished(store)
    assert launch.folder.exists()  # its run is not done
    store.record("a" * 64).folder.mkdir()
    store.record("a" * 64).finish({})
    forget_finished(store)
    assert not launch.folder.exists()


def test_a_launch_that_is_to_replace_a_result_is_not_forgotten_for_the_old_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    key = "a" * 64
    store.record(key).folder.mkdir()
    store.record(key).finish({"record": "old"})
    launch = local_launch(store, [key], replaces="old")
    forget_finished(store)
    assert launch.folder.exists()


def test_a_process_that_is_about_to_become_a_worker_counts_but_a_stranger_does_not(tmp_path: Path) -> None:
    import os

    store, launch = made_launch(tmp_path, [["a" * 64]])
    launch.submitted(0, os.getpid())  # not a submitit process: its number was reused
    assert live_launches(store) == []


def test_a_launch_whose_launcher_was_killed_while_it_wrote_is_empty(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (store.launches / "20260101-000000-abc" / "workers").mkdir(parents=True)
    launch = Launch(store.launches / "20260101-000000-abc")
    assert not launch.spec.runs
    assert list(launch.order(0)) == []


def test_workers_and_threads_fit_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "cores", lambda: 8)
    monkeypatch.setattr(local, "gpus", lambda: [])
    assert (LocalLauncher("local").parallel(), LocalLauncher("local").worker_threads()) == (8, 1)
    assert LocalLauncher("local", workers=3).parallel() == 3
    assert LocalLauncher("local", workers=2).worker_threads() == 1  # results must not depend on the number of workers
    assert LocalLauncher("local", threads=4).worker_threads() == 4
    assert DebugLauncher("debug").parallel() == 1
    monkeypatch.setattr(local, "gpus", lambda: [0, 1])
    assert (LocalLauncher("local").parallel(), LocalLauncher("local").worker_threads()) == (2, 4)


def test_what_a_worker_says_is_replaced_whole(tmp_path: Path) -> None:
    _, launch = made_launch(tmp_path, [["a" * 64]])
    for step in range(50):
        launch.report(Worker(0, step=step, since=time.time()))
        assert json.loads((launch.folder / "workers" / "0.0.json").read_text())["step"] == step
