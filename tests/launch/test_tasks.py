"""Array tasks as a launch's folder and the queue show them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from submitit.core.utils import DelayedSubmission, JobPaths

from suite.launch.campaign import Campaign
from suite.launch.queue import UNKNOWN, ArrayTask
from suite.launch.slurm import client
from suite.launch.slurm.jobs import SlurmJobs
from suite.launch.slurm.pilot import pilot
from suite.launch.slurm.queue import look
from suite.launch.view import in_hand, queued
from suite.records.arrays import SILENCE_S, TaskReport, batches, open_launches, order, orphans, report_task, task_report
from suite.records.files import held
from suite.records.launch import all_launches
from suite.records.record import Store
from suite.records.specs import Pack
from tests.launch.simulated import (
    LAUNCHER,
    A,
    B,
    C,
    D,
    answers,
    fail,
    launch_of,
    made_launch,
    run,
    silence,
    submitted,
    task,
)


def test_what_a_launcher_notes_of_its_arrays_is_read_back_in_order(store: Store) -> None:
    launch = made_launch(store, *([f"{number:064x}"] for number in range(12)))
    for number in range(12):
        submitted(launch, number, job=str(100 + number))
    found = batches(launch)
    assert [batch.packs for batch in found] == [(number,) for number in range(12)]
    assert [list(batch.jobs()) for batch in found][3] == [(3, "103")]
    assert list(submitted(launch, 4, 7, job="9").jobs()) == [(4, "9_0"), (7, "9_1")]


def test_an_array_whose_launcher_died_before_it_knew_the_id_is_found_by_its_name(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = made_launch(store, [A], [B], [C])
    batch = submitted(launch, 2, 0, job=None)
    in_queue = [task(batch, 0, "RUNNING"), task(batch, 1), ArrayTask("8_0", "suite-else-0", 0, "PENDING")]
    monkeypatch.setattr(client, "queue", answers(*in_queue))
    seen = look(open_launches(store))
    assert [(one.pack, one.wanted(), one.task.state) for one in seen.tasks] == [
        (2, [C], "RUNNING"),
        (0, [A], "PENDING"),
    ]
    assert (seen.silence, seen.total) == ("", 3)
    assert queued(store) == {A: "array task 7_1: PENDING", C: "array task 7_0: RUNNING"}


def test_an_array_that_is_found_by_its_name_gets_what_its_tasks_wait_for_at_their_start(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = made_launch(store, [A], [B], [C])
    batch = submitted(launch, 2, 0, job=None)
    monkeypatch.setattr(client, "queue", answers(task(batch, 0), task(batch, 1)))
    assert look([launch]).of(launch).keys() == {0, 2}, "seen, though there is no folder to write into"
    (launch.folder / "jobs").mkdir()
    look([launch])
    assert [list(found.jobs()) for found in batches(launch)] == [[(2, "7_0"), (0, "7_1")]]
    for index, pack in enumerate((2, 0)):
        file = JobPaths(launch.folder / "jobs", f"7_{index}").submitted_pickle
        given = DelayedSubmission.load(file)
        assert (given.function, given.args) == (pilot, (str(launch.folder), pack))


def test_while_slurm_is_silent_every_task_that_may_be_there_keeps_its_runs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = made_launch(store, [A], [B], [C], [D])
    submitted(launch, 0, 1, job="5")
    submitted(launch, 2, job=None)
    report_task(launch, TaskReport(0, "5_0", "here"))
    report_task(launch, TaskReport(1, "5_1", "here", state="ended"))
    monkeypatch.setattr(client, "queue", silence)
    seen = look(open_launches(store))
    assert [(one.pack, one.task.job, one.task.state) for one in seen.tasks] == [(0, "5_0", UNKNOWN), (2, "?", UNKNOWN)]
    assert "did not answer" in seen.silence
    reasons = queued(store)
    assert reasons.keys() == {A, C}
    assert reasons[A] == "SLURM does not answer; array task 5_0: UNKNOWN"


def test_a_state_that_nobody_knows_counts_as_active_and_states_of_the_end_do_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = made_launch(store, [A], [B], [C], [D])
    batch = submitted(launch, 0, 1, 2, 3)
    states = ("POWERING_UP_SOMETHING", "COMPLETING", "NODE_FAIL", "COMPLETED")
    monkeypatch.setattr(client, "queue", answers(*(task(batch, index, state) for index, state in enumerate(states))))
    assert look([launch]).of(launch).keys() == {0, 1}


def test_nobody_is_asked_where_nothing_was_submitted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made_launch(store, [A])
    monkeypatch.setattr(client, "queue", silence)  # as on a machine without SLURM
    assert look(open_launches(store)).silence == ""


def test_runs_that_nobody_wants_any_more_are_in_nobodys_hands(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = made_launch(store, [A, B], [C])
    batch = submitted(launch, 0, 1)
    launch.cancel([A, C])
    monkeypatch.setattr(client, "queue", answers(task(batch, 0, "RUNNING"), task(batch, 1, "COMPLETING")))
    assert queued(store).keys() == {B}
    launch.cancel([B])
    assert open_launches(store) == []


def test_what_failed_in_a_task_is_not_queued_and_stays_in_its_hands(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(store, C, made_launch(store, [C]))
    launch = made_launch(store, [A, B, C])
    batch = submitted(launch, 0)
    monkeypatch.setattr(client, "queue", answers(task(batch, 0, "RUNNING")))
    fail(store, A, launch)
    fail(store, B, launch, again=True)
    assert queued(store).keys() == {B, C}, "one is tried once more, the other is there to be tried again"
    assert in_hand(store) == {A, B, C}


def test_the_packs_of_lost_tasks_are_taken_over_and_no_others(store: Store) -> None:
    launch = made_launch(store, [A], [B], [C], [D], ["e" * 64], ["f" * 64])
    long_ago = time.time() - SILENCE_S - 60
    report_task(launch, TaskReport(0, "7_0", "here"))

    def says(pack: int, state: str, is_silent: bool) -> Path:
        file = report_task(launch, TaskReport(pack, f"7_{pack}", "there", state))
        if is_silent:
            os.utime(file, (long_ago, long_ago))
        return file

    says(1, "ended", False)
    says(2, "running", False)
    says(3, "running", True)
    says(4, "requeued", True)  # SLURM has it back in its queue; pack 5 has never begun
    assert list(orphans(launch, 0)) == [1, 3]
    assert list(order(launch, 0)) == [A, B, D]
    with held(says(3, "running", True).with_suffix(".lock")):
        assert list(orphans(launch, 0)) == [1]
    report_task(launch, TaskReport(0, "7_0", "here", "ended"))
    assert list(orphans(launch, 0)) == [1, 3], "a task is no orphan of its own"


def test_a_task_takes_over_only_runs_that_need_as_many_processes(store: Store) -> None:
    keys = {A: (1, 1), B: (1, 2), C: (2, 1), D: (1, 1)}
    packs = [Pack((key,), 1.0, 1, *shape) for key, shape in keys.items()]
    launch = launch_of(store, packs)
    for pack in range(4):
        report_task(launch, TaskReport(pack, f"7_{pack}", "there", "ended"))
    assert list(orphans(launch, 3)) == [0]
    assert list(orphans(launch, 1)) == []


def test_a_run_is_settled_by_its_own_result_and_by_a_failure_that_stands(store: Store) -> None:
    earlier = made_launch(store, [D])
    fail(store, D, earlier)  # why this launch is made
    launch = made_launch(store, [A, B, C, D])
    assert [key for key in (A, B, C, D) if launch.is_settled(key, store)] == []
    store.record(A).folder.mkdir()
    store.record(A).finish({"record": "r"})
    fail(store, B, launch)
    fail(store, C, launch, again=True)  # it ran out of memory, and is tried once more
    assert [key for key in (A, B, C, D) if launch.is_settled(key, store)] == [A, B]
    earlier.cancel([D])
    launch.cancel([C])
    assert [one.id for one in open_launches(store)] == [launch.id]
    launch.cancel([D])
    assert open_launches(store) == []


def test_a_result_that_is_to_be_replaced_settles_nothing(store: Store) -> None:
    launch = made_launch(store, [A], replaces="old")
    store.record(A).folder.mkdir()
    store.record(A).finish({"record": "old"})
    assert not launch.is_settled(A, store)
    store.record(A).finish({"record": "new"})
    assert launch.is_settled(A, store)


def test_what_tasks_say_of_themselves_survives_the_launchers_end(store: Store) -> None:
    launch = made_launch(store, [A])
    said = TaskReport(0, "7", "there", "requeued", "timeout", 2)
    report_task(launch, said)
    (found,) = all_launches(store)
    assert (task_report(found, 0), task_report(found, 1)) == (said, None)


@pytest.mark.parametrize("ahead_s", [-600, 600])
def test_failures_are_told_apart_whatever_the_nodes_clock_says(store: Store, ahead_s: float) -> None:
    """Before, a failure of a node whose clock was ahead settled every later launch until that time had passed."""
    first = made_launch(store, [A])
    fail(store, A, first, finished=first.spec.created + ahead_s)
    assert first.is_settled(A, store)
    second = made_launch(store, [A])
    assert not second.is_settled(A, store), "it is what this launch is to try again"
    campaign = Campaign(SlurmJobs(second, LAUNCHER, store), [run(A)], store)
    assert campaign._outcome(run(A)) is None
    fail(store, A, second, finished=first.spec.created + ahead_s - 1)
    assert second.is_settled(A, store) and campaign._outcome(run(A)) == "failed"


def test_a_failure_in_another_launch_settles_the_one_that_was_made_before_it(store: Store) -> None:
    ours, theirs = made_launch(store, [A]), made_launch(store, [A])
    fail(store, A, theirs, finished=ours.spec.created - 300)
    assert ours.is_settled(A, store)
