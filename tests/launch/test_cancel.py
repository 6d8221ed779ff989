"""Cancelling: which runs nobody wants any more, and which array tasks end for it."""

from __future__ import annotations

import pytest

from suite.launch.cancel import cancel
from suite.launch.queue import ArrayTask, SchedulerUnavailable
from suite.launch.slurm import client
from suite.records.arrays import TaskReport, batches, report_task
from suite.records.launch import Launch, Worker
from suite.records.record import Store
from suite.records.specs import Pack
from tests.launch.simulated import A, B, C, D, Queue, fail, launch_of, local_launch, made_launch, submitted


def put(queue: Queue, launch: Launch, *packs: int, state: str = "PENDING") -> list[str]:
    """Put an array of a launch into the queue; return its tasks' ids."""
    number = len(list((queue.folder / "scripts").iterdir())) + 100
    batch = submitted(launch, *packs, job=str(number))
    text = f"--job-name={batch.name}\n" + (f"--array=0-{len(packs) - 1}%9\n" if len(packs) > 1 else "")
    (queue.folder / "scripts" / str(number)).write_text(text)
    jobs = [job for _, job in batch.jobs()]
    queue.states |= dict.fromkeys(jobs, state)
    return jobs


def leaves(monkeypatch: pytest.MonkeyPatch, queue: Queue, *launches: Launch) -> None:
    """Let running tasks leave at their next look at the stop file, as pilots do."""
    ask = queue.queue

    def answer(cluster: str | None) -> list[ArrayTask]:
        for one in ask():
            for launch in launches:
                for batch in (b for b in batches(launch) if b.name == one.name):
                    if launch.stop_reason(batch.packs[one.index]) == "cancelled" and one.state == "RUNNING":
                        queue.states[one.job] = "COMPLETED"
        return ask()

    monkeypatch.setattr(client, "queue", answer)


def test_waiting_tasks_are_taken_out_of_the_queue_and_running_ones_leave_by_themselves(
    store: Store, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = made_launch(store, [A], [B])
    running, waiting = put(queue, launch, 0, 1)
    queue.states[running] = "RUNNING"
    leaves(monkeypatch, queue, launch)
    found = cancel(store)
    assert (found.runs, found.tasks, found.silence) == (2, 2, "")
    assert queue.cancelled == [waiting], "who runs has something to save"
    assert launch.cancelled() == {A, B}
    again = cancel(store)
    assert (again.runs, again.tasks) == (0, 0)


def test_a_task_that_does_not_leave_in_time_is_ended(store: Store, queue: Queue) -> None:
    launch = made_launch(store, [A])
    (job,) = put(queue, launch, 0, state="RUNNING")
    found = cancel(store, patience_s=0.3)
    assert (found.tasks, queue.cancelled) == (1, [job])


def test_keys_are_cancelled_in_every_launch_and_tasks_with_other_runs_stay(
    store: Store, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = made_launch(store, [A, B], [C]), made_launch(store, [A], [D])
    put(queue, first, 0, 1, state="RUNNING")
    (lone,) = put(queue, second, 0)
    (other,) = put(queue, second, 1)
    leaves(monkeypatch, queue, first, second)
    found = cancel(store, [A])
    assert (found.runs, found.tasks, queue.cancelled) == (1, 1, [lone])
    assert first.cancelled() == second.cancelled() == {A}
    assert first.stop_reason(0) is None
    assert queue.states[other] == "PENDING"
    found = cancel(store, [B, C])
    assert (found.runs, found.tasks) == (2, 2)
    assert (first.stop_reason(0), first.stop_reason(1), second.stop_reason(1)) == ("cancelled", "cancelled", None)


def test_what_is_settled_is_not_cancelled(store: Store, queue: Queue) -> None:
    launch = made_launch(store, [A, B])
    store.record(A).folder.mkdir()
    store.record(A).finish({"record": "r"})
    fail(store, B, launch)
    assert cancel(store).runs == 0
    assert launch.cancelled() == frozenset()


def test_while_slurm_is_silent_the_runs_are_cancelled_all_the_same(store: Store, queue: Queue) -> None:
    launch = made_launch(store, [A])
    put(queue, launch, 0, state="RUNNING")
    queue.silent = True
    found = cancel(store)
    assert (found.runs, found.tasks) == (1, 0)
    assert "Unable to contact" in found.silence
    assert launch.cancelled() == {A}


def test_silence_that_begins_in_between_is_said(store: Store, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = made_launch(store, [A])
    put(queue, launch, 0)

    def unreachable(jobs: list[str], cluster: str | None) -> None:
        raise SchedulerUnavailable("scancel: Unable to contact slurm controller")

    monkeypatch.setattr(client, "cancel", unreachable)
    found = cancel(store, patience_s=0.1)
    assert (found.runs, found.silence) == (1, "scancel: Unable to contact slurm controller")


def test_workers_of_this_machine_are_asked_to_stop_unless_they_have_other_runs(store: Store) -> None:
    launch = local_launch(store, [A, B])
    with launch.enter(0):
        launch.report(Worker(0, "elsewhere", 1, "training", A))
        assert cancel(store, [A], patience_s=0.1).workers == 0
        assert launch.stop_reason() is None
        found = cancel(store, [B], patience_s=0.1)
    assert (found.runs, found.workers, launch.stop_reason()) == (1, 1, "cancelled")


def test_a_task_that_carries_out_what_a_lost_one_left_is_not_ended_for_its_own_pack(store: Store, queue: Queue) -> None:
    launch = made_launch(store, [A], [B], [C])
    put(queue, launch, 0, 1, state="RUNNING")
    store.record(A).folder.mkdir()
    store.record(A).finish({"record": "r"})
    with launch.enter(0):
        launch.report(Worker(0, "there", 1, "training", C))
        cancel(store, [B], patience_s=0.3)
    assert launch.stop_reason(0) is None
    assert queue.cancelled == ["100_1"]


def test_tasks_of_another_user_or_cluster_are_asked_by_file_and_never_by_their_number(
    store: Store, queue: Queue
) -> None:
    launch = launch_of(store, [Pack((key,), 1.0) for key in (A, B)], submitter="else@there")
    submitted(launch, 0, job="7")
    submitted(launch, 1, job=None)
    report_task(launch, TaskReport(0, "7", "there"))
    found = cancel(store, patience_s=0.3)
    assert (found.runs, queue.cancelled) == (2, []), "here, 7 is another job"
    assert launch.cancelled() == {A, B}
