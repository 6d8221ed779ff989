"""Array tasks in the queue: held back, found again, tried again."""

from __future__ import annotations

from typing import Any

import pytest

from suite.launch.campaign import Campaign
from suite.launch.jobs import LaunchError
from suite.launch.queue import ArrayTask
from suite.launch.slurm.jobs import SlurmJobs
from suite.launch.slurm.queue import look
from suite.launch.view import queued
from suite.records.arrays import TaskReport, batches, report_task
from suite.records.launch import Launch, Worker
from suite.records.record import Store
from tests.launch.simulated import A, B, Queue, fail, keys, launcher, made_launch, run, runs, submitted


def finish(store: Store, *done: str) -> None:
    for key in done:
        store.record(key).folder.mkdir(exist_ok=True)
        store.record(key).finish({"record": "new", "seconds": {"training": 1.0}})


def jobs_of(launch: Launch, store: Store, **fields: Any) -> SlurmJobs:
    return SlurmJobs(launch, launcher(poll_seconds=1e-9, **fields), store)


def test_arrays_are_of_the_sites_size_and_every_pack_is_sent_once(store: Store, queue: Queue) -> None:
    launch = made_launch(store, *([key] for key in keys(35)))
    jobs = jobs_of(launch, store, max_array_size=10, setup=["module load cuda"])
    jobs.begin(runs(keys(35)), detached=False)
    arrays = [text[text.index("--array=") :].split()[0] for text in queue.scripts().values()]
    assert arrays == ["--array=0-9%10"] * 3 + ["--array=0-4%5"]
    assert sorted(pack for batch in batches(launch) for pack in batch.packs) == list(range(35))
    assert [batch.job for batch in batches(launch)] == ["100", "101", "102", "103"]
    assert "\nmodule load cuda\n" in queue.scripts()["100"]
    for _ in range(3):
        jobs.tend(runs(keys(35)), False)
    assert len(queue.scripts()) == 4
    assert jobs.notice() == "SLURM: 0 array tasks run, 35 wait ()"


def test_there_are_never_more_tasks_in_the_queue_than_the_cap_allows(store: Store, queue: Queue) -> None:
    launch = made_launch(store, *([key] for key in keys(23)))
    left = runs(keys(23))
    jobs = jobs_of(launch, store, max_queued=5)
    jobs.begin(left, detached=False)
    most = 0
    for _ in range(40):
        waiting = queue.queue()
        most = max(most, len(waiting))
        for one in waiting[:2]:
            (batch,) = [batch for batch in batches(launch) if batch.name == one.name]
            (key,) = launch.spec.packs[batch.packs[one.index]].keys
            finish(store, key)
            del left[key]
            queue.states[one.job] = "COMPLETED"
        jobs.tend(left, True)
    assert (most, left) == (5, {})
    assert sorted(pack for batch in batches(launch) for pack in batch.packs) == list(range(23))


def test_nothing_is_submitted_while_slurm_is_silent(store: Store, queue: Queue) -> None:
    launch = made_launch(store, *([key] for key in keys(4)))
    jobs = jobs_of(launch, store, max_queued=2)
    jobs.begin(runs(keys(4)), detached=False)
    queue.silent = True
    queue.states |= {"100_0": "COMPLETED", "100_1": "COMPLETED"}
    for _ in range(4):
        jobs.tend(runs(keys(4)), False)
    assert len(queue.scripts()) == 1
    assert jobs.notice().startswith("SLURM does not answer, what it does is unknown: squeue: Unable to contact")


def lose(queue: Queue, state: str) -> None:
    """Let everything that is in the queue end without a word."""
    for one in queue.queue():
        queue.states[one.job] = state


@pytest.mark.parametrize(
    ("state", "accounts", "kind", "words"),
    [
        ("NODE_FAIL", True, "node_lost", "ended as NODE_FAIL"),
        ("OUT_OF_MEMORY", True, "out_of_memory", "ended as OUT_OF_MEMORY"),
        ("TIMEOUT", True, "timeout", "ended as TIMEOUT"),
        ("FAILED", True, "killed", "ended as FAILED"),
        ("NODE_FAIL", False, "killed", "ended, it is not known how"),
    ],
)
def test_a_lost_task_is_tried_again_as_often_as_the_launcher_says(
    store: Store, queue: Queue, state: str, accounts: bool, kind: str, words: str
) -> None:
    launch = made_launch(store, [A])
    jobs = jobs_of(launch, store, max_attempts=2)
    queue.keeps_accounts = accounts
    queue.nodes = "gpu1"
    jobs.begin(runs([A]), detached=False)
    report_task(launch, TaskReport(0, "100", "gpu1"))
    lose(queue, state)
    jobs.tend(runs([A]), False)
    assert len(queue.scripts()) == 1, "its last words may be on their way"
    jobs.tend(runs([A]), False)
    assert len(queue.scripts()) == 2
    assert ("--exclude=gpu1" in queue.scripts()["101"]) == (kind == "node_lost")
    lose(queue, state)
    for _ in range(3):
        jobs.tend(runs([A]), False)
    assert len(queue.scripts()) == 2
    failure = store.record(A).failure()
    assert failure is not None
    assert (failure["class"], failure["again"], failure["launch"]) == (kind, False, launch.id)
    assert words in failure["message"] and "2 times in all" in failure["message"]


def test_a_lost_task_whose_log_is_empty_has_failed_like_others(store: Store, queue: Queue) -> None:
    launch = made_launch(store, [A])
    jobs = jobs_of(launch, store, max_attempts=1)
    jobs.begin(runs([A]), detached=False)
    report_task(launch, TaskReport(0, "100", "gpu1"))
    (launch.folder / "jobs" / "100_0_log.out").write_text("\n")
    lose(queue, "FAILED")
    for _ in range(2):
        jobs.tend(runs([A]), False)
    failure = store.record(A).failure()
    assert failure is not None
    assert "ended as FAILED, 1 times in all: (nothing)" in failure["message"]


def test_a_task_that_was_not_in_the_queue_for_a_moment_only_is_not_lost(store: Store, queue: Queue) -> None:
    launch = made_launch(store, [A])
    jobs = jobs_of(launch, store)
    jobs.begin(runs([A]), detached=False)
    for state in ("COMPLETED", "PENDING") * 4:
        queue.states["100"] = state
        jobs.tend(runs([A]), False)
        if state == "COMPLETED":
            queue.states["100"] = "PENDING"
            jobs.tend(runs([A]), False)
    assert len(queue.scripts()) == 1


def test_tasks_that_end_without_having_begun_end_the_campaign_with_their_last_words(store: Store, queue: Queue) -> None:
    launch = made_launch(store, [A])
    jobs = jobs_of(launch, store, max_attempts=1)
    jobs.begin(runs([A]), detached=False)
    (launch.folder / "jobs" / "100_0_log.out").write_text("module: command not found\n")
    lose(queue, "FAILED")
    jobs.tend(runs([A]), False)
    with pytest.raises(LaunchError, match="module: command not found"):
        jobs.tend(runs([A]), False)


def test_runs_in_the_hands_of_another_launch_are_not_submitted_until_it_loses_them(store: Store, queue: Queue) -> None:
    first = made_launch(store, [A])
    jobs_of(first, store).begin(runs([A]), detached=False)
    second = made_launch(store, [A], [B])
    jobs = jobs_of(second, store)
    jobs.begin(runs([A, B]), detached=False)
    assert [batch.packs for batch in batches(second)] == [(1,)]
    # a worker of this machine, or one that is still leaving what was cancelled, counts as well
    queue.states["100"] = "COMPLETED"
    with first.enter(0):
        first.report(Worker(0, "here", 1, "training", A))
        jobs.tend(runs([A, B]), False)
        assert len(queue.scripts()) == 2
    jobs.tend(runs([A, B]), False)
    assert [batch.packs for batch in batches(second)] == [(1,), (0,)]


def test_runs_that_were_cancelled_are_not_submitted(store: Store, queue: Queue) -> None:
    launch = made_launch(store, [A], [B])
    launch.cancel([A])
    jobs_of(launch, store).begin(runs([A, B]), detached=False)
    assert [batch.packs for batch in batches(launch)] == [(1,)]


def test_a_launch_that_the_site_refuses_leaves_nothing(store: Store, queue: Queue) -> None:
    queue.refuse("Invalid account or account/partition combination specified")
    launch = made_launch(store, [A])
    with pytest.raises(LaunchError, match="Invalid account"):
        jobs_of(launch, store).begin(runs([A]), detached=False)
    assert not launch.folder.exists()


def test_jobs_of_the_launcher_that_cannot_reach_slurm_are_not_begun(store: Store, queue: Queue) -> None:
    submitted(made_launch(store, [B]), 0)
    queue.silent = True
    launch = made_launch(store, [A])
    with pytest.raises(LaunchError, match="nothing was submitted"):
        jobs_of(launch, store).begin(runs([A]), detached=False)
    assert not launch.folder.exists()


@pytest.mark.parametrize("is_taken", [True, False])
def test_what_sbatch_got_no_answer_to_is_joined_by_the_next_launch_or_submitted_by_it(
    store: Store, queue: Queue, is_taken: bool
) -> None:
    (queue.be_late if is_taken else queue.refuse)("Batch job submission failed: Socket timed out on send/recv")
    first = made_launch(store, [A], [B])
    with pytest.raises(LaunchError, match=r"did not answer .*timed out.* may be in the queue .* the same command"):
        jobs_of(first, store).begin(runs([A, B]), detached=False)
    assert queued(store).keys() == ({A, B} if is_taken else set())
    for said in ("late", "limit"):
        (queue.folder / said).unlink(missing_ok=True)
    second = made_launch(store, [A], [B])
    jobs = jobs_of(second, store)
    jobs.begin(runs([A, B]), detached=False)
    for _ in range(3):
        jobs.tend(runs([A, B]), False)
    assert len(queue.scripts()) == 1
    assert [batch.job for batch in batches(first)] == ["100" if is_taken else None]
    assert [batch.job for batch in batches(second)] == ([] if is_taken else ["100"])


def test_a_site_that_takes_a_part_keeps_it_and_gets_the_rest_later(store: Store, queue: Queue) -> None:
    queue.refuse("AssocMaxSubmitJobLimit", after=1)
    launch = made_launch(store, *([key] for key in keys(6)))
    jobs = jobs_of(launch, store, max_array_size=4)
    jobs.begin(runs(keys(6)), detached=False)
    assert launch.folder.exists(), "its tasks are in the queue"
    assert "AssocMaxSubmitJobLimit" in jobs.notice()
    for _ in range(3):
        jobs.tend(runs(keys(6)), False)
    assert len(batches(launch)) == 1, "what was refused is not there"
    finish(store, *keys(4))
    lose(queue, "COMPLETED")
    left = runs(keys(6)[4:])
    jobs.tend(left, True)  # refused while the queue is empty: others of the same account are in the way
    queue.refuse("", after=9)
    jobs.tend(left, False)
    assert [batch.packs for batch in batches(launch)] == [(0, 1, 2, 3), (4, 5)]


def test_a_detached_launch_leaves_when_the_last_pack_is_sent_and_sends_none_twice(
    store: Store, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = made_launch(store, *([key] for key in keys(9)))
    slept = 0

    def work(seconds: float) -> None:
        nonlocal slept
        slept += 1
        assert slept < 50
        if slept == 2:
            queue.refuse("AssocMaxSubmitJobLimit")
        if slept == 5:
            queue.refuse("", after=99)
        for one in queue.queue()[:1]:
            (batch,) = [batch for batch in batches(launch) if batch.name == one.name]
            (key,) = launch.spec.packs[batch.packs[one.index]].keys
            report_task(launch, TaskReport(batch.packs[one.index], one.job, "there", "ended"))
            fail(store, key, launch) if key == keys(9)[1] else finish(store, key)
            queue.states[one.job] = "COMPLETED"

    monkeypatch.setattr("suite.launch.slurm.jobs.time.sleep", work)
    jobs_of(launch, store, max_queued=3).begin(runs(keys(9)), detached=True)
    assert sorted(pack for batch in batches(launch) if batch.job for pack in batch.packs) == list(range(9))
    failure = store.record(keys(9)[1]).failure()
    assert failure is not None and failure["class"] == "user_code"


def test_the_cap_counts_the_tasks_of_other_results_folders_from_the_first_submission_on(
    store: Store, queue: Queue
) -> None:
    queue.others = [ArrayTask(f"9_{index}", "suite-elsewhere-0", index, "RUNNING") for index in range(3)]
    launch = made_launch(store, *([key] for key in keys(9)))
    jobs_of(launch, store, max_queued=5).begin(runs(keys(9)), detached=False)
    assert len(queue.queue()) == 5
    assert look([launch]).total == 5


def test_a_run_that_takes_its_task_down_fails_alone(store: Store, queue: Queue) -> None:

    launch = made_launch(store, [A, B])
    jobs = jobs_of(launch, store, max_attempts=2)
    jobs.begin(runs([A, B]), detached=False)
    report_task(launch, TaskReport(0, "100", "there"))
    left = [A, B]
    for _ in range(20):
        if A in left:
            store.record(A).folder.mkdir(exist_ok=True)
            store.record(A).append("started", attempt=1, launch=launch.id)
        elif queue.queue():
            finish(store, B)
        lose(queue, "FAILED")
        left = [key for key in left if not launch.is_settled(key, store)]
        if not left:
            break
        jobs.tend(runs(left), False)
        jobs.tend(runs(left), False)
    failure = store.record(A).failure()
    assert failure is not None and failure["class"] == "killed"
    assert store.record(B).is_done()


def test_a_rerun_whose_tasks_are_lost_too_often_fails_and_keeps_its_old_result(store: Store, queue: Queue) -> None:
    store.record(A).folder.mkdir()
    store.record(A).finish({"record": "old", "seconds": {"training": 1.0}})
    launch = made_launch(store, [A], replaces="old")
    wanted = run(A, state="stale", replaces="old")
    campaign = Campaign(jobs_of(launch, store, max_attempts=1), [wanted], store)
    campaign.begin()
    report_task(launch, TaskReport(0, "100", "there"))
    lose(queue, "NODE_FAIL")
    assert campaign._jobs is not None
    for _ in range(3):
        campaign._jobs.tend({A: wanted}, False)
    assert campaign._outcome(wanted) == "failed"
    assert store.record(A).is_done()


def test_an_unfinished_state_in_accounting_is_not_how_a_task_ended(store: Store, queue: Queue) -> None:
    launch = made_launch(store, [A])
    jobs = jobs_of(launch, store, max_attempts=1)
    jobs.begin(runs([A]), detached=False)
    report_task(launch, TaskReport(0, "100", "there"))
    lose(queue, "COMPLETED")
    jobs.tend(runs([A]), False)
    queue.accounts["100"] = "RUNNING"  # accounting is seconds behind the queue
    jobs.tend(runs([A]), False)
    failure = store.record(A).failure()
    assert failure is not None and "ended, it is not known how" in failure["message"]


def test_a_failure_counts_though_the_nodes_clock_is_slow(store: Store) -> None:
    launch = made_launch(store, [A])
    campaign = Campaign(None, [run(A)], store)
    assert campaign._outcome(run(A)) is None
    fail(store, A, launch, finished=launch.spec.created - 300)
    assert campaign._outcome(run(A)) == "failed"
    assert Campaign(None, [run(A)], store)._outcome(run(A)) is None, "why a later campaign tries again"


def test_what_accounting_shows_as_pending_has_not_been_lost(store: Store, queue: Queue) -> None:
    """Before, three submissions, then "ended, it is not known how, 3 times", though nothing had started."""
    launch = made_launch(store, [A])
    jobs = jobs_of(launch, store, max_attempts=1)
    jobs.begin(runs([A]), detached=False)
    lose(queue, "COMPLETED")  # the queue does not show it: a site's SQUEUE_STATES, a controller that starts again
    queue.accounts["100"] = "PENDING"
    for _ in range(6):
        jobs.tend(runs([A]), False)
    assert len(queue.scripts()) == 1 and store.record(A).failure() is None
    queue.accounts["100"] = "NODE_FAIL"
    report_task(launch, TaskReport(0, "100", "there"))
    for _ in range(2):
        jobs.tend(runs([A]), False)
    failure = store.record(A).failure()
    assert failure is not None and failure["class"] == "node_lost"
