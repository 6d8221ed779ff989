"""What pilots and workers decide, without their processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suite.launch.queue import SchedulerUnavailable
from suite.launch.slurm import client
from suite.launch.slurm import pilot as module
from suite.launch.slurm.pilot import Pilot
from suite.records.arrays import TaskReport, report_task, task_report
from suite.records.failures import fruitless_interruptions
from suite.records.files import held, write_json
from suite.records.launch import Launch, forget_finished
from suite.records.record import Store
from suite.work.partners import Spread
from suite.work.worker import PILOT_DIED, RunWorker, work
from tests.launch.simulated import ARRAY, A, B, made_launch, submitted


def test_gpus_are_shared_out_evenly_one_to_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert module._devices(4) == ["0", "1", "0", "1"]
    monkeypatch.setenv("SLURM_LOCALID", "1")  # the second process of a node that share a run
    assert module._devices(1) == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert module._devices(2) == [None, None]


def test_a_task_that_was_lost_goes_on_with_half_as_many_side_by_side(store: Store) -> None:
    launch = made_launch(store, [A, B], slots=4)
    sides = []
    for number in range(4):
        submitted(launch, 0, job=str(number))
        sides.append(Pilot(launch, 0)._slots())
    assert sides == [4, 2, 1, 1]


def in_hand(launch: Launch, store: Store, key: str, *steps: int) -> None:
    """Leave a run as a worker does that is killed after these steps."""
    record = store.record(key)
    record.folder.mkdir(exist_ok=True)
    record.begin({"code": {}})
    record.append("started", attempt=1, launch=launch.id)
    for step in steps:
        record.append("metrics", step=step, values={})


@pytest.mark.parametrize(
    ("lives", "expected"),
    [
        (((), (), ()), 3),  # setup takes longer than a life
        (((5, 6), (5, 6), (5, 6)), 2),  # evaluation does: the last steps are done again and again
        (((5, 6), (5, 7), (5, 8)), 0),  # slow, but it gets on
    ],
)
def test_a_run_that_never_gets_on_within_the_time_limit_is_noticed(
    store: Store, lives: tuple[tuple[int, ...], ...], expected: int
) -> None:
    launch = made_launch(store, [A])
    for restarts, steps in enumerate(lives, start=1):
        in_hand(launch, store, A, *steps)
        report_task(launch, TaskReport(0, "7_0", "there", "requeued", "timeout", restarts - 1))
        life = Pilot(launch, 0)
        life.report = TaskReport(0, "7_0", "here", restarts=restarts)
        life._note_interruptions(task_report(launch, 0))
    assert fruitless_interruptions(store.record(A), launch.id) == expected


def test_a_task_does_not_leave_behind_what_it_took_over_from_a_lost_one(store: Store) -> None:
    launch = made_launch(store, [A], [B])
    for pack in (0, 1):
        report_task(launch, TaskReport(pack, f"7_{pack}", "there", "running" if pack == 0 else "ended"))
    store.record(A).folder.mkdir()
    store.record(A).finish({"record": "r"})
    in_hand(launch, store, B, 1)
    assert Pilot(launch, 0)._is_work_left()


def test_a_sign_of_life_that_cannot_be_written_ends_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    life = Pilot(made_launch(store, [A]), 0)

    def fail(*arguments: object) -> Path:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(module, "report_task", fail)
    life._reported_at = -1e9
    life._look_around()


def test_a_controller_that_restarts_during_the_warning_is_waited_for_while_there_is_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Pilot(made_launch(store, [A]), 0)
    now = [1000.0]

    def state(job: str) -> str:
        if now[0] < 1000.0 + ARRAY.signal_seconds - 10:
            raise SchedulerUnavailable("Unable to contact slurm controller")
        return "RUNNING"

    class Clock:
        monotonic = staticmethod(lambda: now[0])

        @staticmethod
        def sleep(seconds: float) -> None:
            now[0] += seconds

    monkeypatch.setattr(module, "time", Clock)
    monkeypatch.setattr(client, "state", state)
    monkeypatch.setattr(client, "requeue", lambda job: None)
    life._note_signal(signal.SIGUSR2, None)
    life._look_around()
    life._leave()
    assert life.report.state == "requeued"


@pytest.fixture
def handlers() -> Iterator[None]:
    """Leave this process's handlers of signals as they were."""
    numbers = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_the_other_processes_of_a_spread_run_outlive_the_warning(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = made_launch(store, [A])
    found: list[Any] = []

    def first_says(key: str | None) -> None:
        found.extend(signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM))

    monkeypatch.setattr("suite.training.distributed.from_first", first_says)
    monkeypatch.setattr(Spread, "joined", lambda: Spread(processes=2, rank=1))
    work(str(launch.folder), 0)
    assert len(found) == 3
    assert signal.SIG_DFL not in found, "SLURM warns all processes: these would be killed, and the first lose them"


@pytest.mark.usefixtures("handlers")
def test_a_worker_notices_its_pilots_death_while_it_looks_for_a_stop_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = made_launch(store, [A])
    worker = RunWorker(launch, 0, 0, 1, Spread())
    monkeypatch.setattr(launch, "stop_reason", lambda pack: os.kill(os.getpid(), PILOT_DIED))
    with worker._outliving_pilot():
        worker.stop_reason(now=True)
        monkeypatch.setattr(launch, "stop_reason", lambda pack: None)
        assert worker.stop_reason(now=True) == "terminated"


def test_a_task_whose_workers_used_up_all_patience_asks_for_another_life_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Pilot(made_launch(store, [A]), 0)
    requeued: list[str] = []
    monkeypatch.setattr(client, "state", lambda job: "RUNNING")
    monkeypatch.setattr(client, "requeue", requeued.append)
    life._note_signal(signal.SIGTERM, None)
    life._look_around()
    life._signalled_at -= life._patience() + 1
    life._leave()
    assert (life.report.state, len(requeued)) == ("requeued", 1)


def test_what_is_left_of_a_record_that_is_to_be_replaced_is_put_aside(store: Store) -> None:
    record = store.record(A)
    record.folder.mkdir()
    old = record.begin({"code": {}})
    launch = made_launch(store, [A], replaces=old)
    RunWorker(launch, 0, 0, 1, Spread())._renew(
        record, launch.spec.runs[A]
    )  # killed when only the result had been moved
    assert record.run() is None
    assert record.begin({"code": {}}) != old


def test_a_launch_is_not_forgotten_while_a_pilot_of_it_is_leaving(store: Store) -> None:
    launch = made_launch(store, [A])
    write_json(launch.folder / "launch.json", replace(launch.spec, created=0.0).to_json())
    launch = Launch(launch.folder)
    store.record(A).folder.mkdir()
    store.record(A).finish({"record": "r"})
    with held(report_task(launch, TaskReport(0, "7_0", "here")).with_suffix(".lock")):
        forget_finished(store)
        assert launch.folder.exists()
    forget_finished(store)
    assert not launch.folder.exists()
