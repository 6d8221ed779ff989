"""Array tasks as processes: a pilot and its workers, and an scontrol that says what a test chooses."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suite.launch.cancel import cancel
from suite.launch.queue import ArrayTask
from suite.launch.slurm import client
from suite.launch.slurm.pilot import Pilot, _seats
from suite.plan.plan import Selection, make_plan
from suite.records.arrays import TaskReport, report_task, task_report
from suite.records.failures import record_failure
from suite.records.files import is_held
from suite.records.launch import Launch, Worker
from suite.records.record import Store
from suite.records.specs import LaunchSpec, Pack
from suite.registry.load import load
from suite.work.worker import work
from tests.cluster import TOY, environment
from tests.launch.simulated import LAUNCHER, A, B, made_launch, submitted, task
from tests.waiting import PATIENCE_S, until

SCONTROL = """\
#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
echo "JobId=7 ArrayJobId=7 JobState=$(cat "$(dirname "$0")/state") Reason=None"
"""
HUNGRY = "  greedy: {_target_: tests.toys.Greedy}\n  insatiable: {_target_: tests.launch.toys.Insatiable}\n"
REGISTRY = TOY.replace("losses:\n", f"losses:\n{HUNGRY}", 1)
PAUSE = "benchmarks.blobs.profiles.mini.pause_s={}"


class Site:
    """A launch of toy runs, one pack, and the processes that carry it out as SLURM would start them."""

    def __init__(
        self, folder: Path, *losses: str, slots: int = 1, overrides: tuple[str, ...] = (), **settings: Any
    ) -> None:
        (folder / "benchmarks.yaml").write_text(REGISTRY)
        registry = load(folder / "benchmarks.yaml", ["benchmarks.blobs.estimate_s.mini=1", *overrides])
        self.store = Store(folder / "a results folder")
        self.store.prepare()
        plan = make_plan(registry, Selection(("blobs",), losses, ("0",), "mini"), self.store)
        self.key = {run.loss: run.key for run in plan.runs}
        pack = Pack(tuple(self.key[loss] for loss in losses), 1.0, slots)
        work, array = (given := replace(LAUNCHER, **settings)).work_settings(), given.array_settings()
        runs = {run.key: run for run in plan.runs}
        spec = LaunchSpec("slurm", self.store.out, time.time(), "toy", runs, (pack,), work, array)
        self.launch = Launch.create(self.store, spec)
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "scontrol").write_text(SCONTROL)
        (self.bin / "scontrol").chmod(0o755)
        self.state("RUNNING")
        self.lives: list[subprocess.Popen[bytes]] = []

    def state(self, state: str) -> None:
        """Choose what SLURM says of the job."""
        (self.bin / "state").write_text(state)

    def live(self, restarts: int = 0, is_forked: bool = True, **variables: str) -> subprocess.Popen[bytes]:
        """Start the array task, with all of its processes in one group."""
        given = {"PATH": f"{self.bin}:{os.environ['PATH']}", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}
        given |= {"CUDA_VISIBLE_DEVICES": "", "SLURM_RESTART_COUNT": str(restarts)}
        code = f"from suite.launch.slurm.pilot import pilot; pilot({str(self.launch.folder)!r}, 0)"
        life = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**environment(is_forked), **given, **variables},
            stdout=(self.bin / "log").open("ab"), stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.lives.append(life)
        return life

    def ends(self, life: subprocess.Popen[bytes]) -> TaskReport:
        """Wait for the array task's end; return what it said last."""
        assert life.wait(PATIENCE_S) == 0, (self.bin / "log").read_text()
        said = task_report(self.launch, 0)
        assert said is not None
        return said

    def events(self, loss: str = "cosine") -> list[dict[str, Any]]:
        return list(self.store.record(self.key[loss]).events())

    def happened(self, loss: str = "cosine") -> list[str]:
        """Return the names of a run's events, but for what it measured, with reasons."""
        return [e.get("reason") or e["event"] for e in self.events(loss) if e["event"] not in ("metrics", "histograms")]

    def trains(self, step: int = 0, loss: str = "cosine") -> Worker:
        """Wait until a run has done so many steps; return its worker."""

        def found() -> Worker | None:
            key = self.key[loss]
            return next((w for w in self.launch.workers() if w.key == key and w.step > step), None)

        worker = until(found, f"{loss} trains")
        assert isinstance(worker, Worker)
        return worker

    def logs(self, step: int) -> None:
        """Wait until a run has logged a step, this one or a later one."""
        until(lambda: any(e.get("step", -1) >= step for e in self.events() if e["event"] == "metrics"), "cosine trains")

    def requeues(self) -> int:
        """Return how often the task was put back into the queue."""
        calls = self.bin / "calls"
        return calls.read_text().splitlines().count("requeue 7_0") if calls.exists() else 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(*losses: str, **options: Any) -> Site:
        made.append(Site(tmp_path, *losses, **options))
        return made[-1]

    yield make
    for life in (life for one in made for life in one.lives):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(life.pid, signal.SIGKILL)
        life.wait()


def test_at_the_warning_workers_save_and_the_next_life_goes_on_bit_by_bit(
    site: Callable[..., Site], tmp_path: Path
) -> None:
    here = site("cosine", overrides=(PAUSE.format(0.03),))
    life = here.live()
    here.logs(4)
    os.killpg(life.pid, signal.SIGUSR2)  # as SLURM: to every process of the task
    said = here.ends(life)
    assert (said.state, said.reason, said.job, here.requeues()) == ("requeued", "timeout", "7_0", 1)
    (stopped,) = [e for e in here.events() if e["event"] == "interrupted"]
    assert (stopped["reason"], stopped["launch"]) == ("timeout", here.launch.id)
    record = here.store.record(here.key["cosine"])
    assert record.checkpoint.exists() and not record.is_running()

    again = here.live(restarts=1)
    here.logs(stopped["step"] + 1)
    os.killpg(again.pid, signal.SIGKILL)  # its node is lost, and SLURM starts it anew
    again.wait()
    last = here.live(restarts=2)
    said = here.ends(last)
    assert (said.state, said.reason, said.restarts, here.requeues()) == ("ended", "", 2, 1)
    assert here.happened() == ["started", "timeout", "started", "requeued", "started", "finished"]
    result = record.result()
    assert result is not None and not record.checkpoint.exists()

    calm = Store(tmp_path / "calm")
    calm.prepare()
    packs = (Pack((record.key,), 1.0),)
    alone = Launch.create(calm, replace(here.launch.spec, kind="debug", out=calm.out, packs=packs, array=None))
    work(str(alone.folder), 0)
    undisturbed = calm.record(record.key).result()
    assert undisturbed is not None
    assert result["metrics"] == undisturbed["metrics"]
    steps = {e["step"]: e["values"] for e in here.events() if e["event"] == "metrics"}
    assert steps == {e["step"]: e["values"] for e in calm.record(record.key).events() if e["event"] == "metrics"}


@pytest.mark.parametrize(
    ("state", "named", "sent", "restarts", "expected"),
    [
        ("RUNNING", "USR2", signal.SIGUSR2, 0, ("requeued", "timeout", 1)),
        ("RUNNING", "USR1", signal.SIGUSR1, 4, ("requeued", "timeout", 1)),
        ("RUNNING", "USR2", signal.SIGUSR2, 5, ("ended", "timeout", 0)),  # max_requeues
        ("COMPLETING", "USR2", signal.SIGTERM, 0, ("ended", "terminated", 0)),  # scancel, or SLURM requeues it itself
        ("RUNNING", "USR2", signal.SIGTERM, 0, ("requeued", "terminated", 1)),  # preemption with a grace period
        ("RUNNING", "TERM", signal.SIGTERM, 0, ("requeued", "timeout", 1)),
        ("COMPLETING", "TERM", signal.SIGTERM, 0, ("ended", "timeout", 0)),
    ],
)
def test_a_task_goes_back_into_the_queue_only_where_slurm_would_not_see_to_it_or_forbid_it(
    site: Callable[..., Site], state: str, named: str, sent: int, restarts: int, expected: tuple[str, str, int]
) -> None:
    here = site("cosine", signal=named)
    here.state(state)
    life = here.live(restarts)
    worker = until(lambda: next((w for w in here.launch.workers() if w.process), None), "the worker starts")
    os.killpg(life.pid, sent)
    until(lambda: here.launch.stop_reason(0), "the pilot passes it on")
    os.kill(worker.process, signal.SIGKILL)  # it has nothing to save yet, and would import torch for seconds
    said = here.ends(life)
    assert (said.state, said.reason, here.requeues()) == expected


def test_workers_that_die_are_replaced_and_a_run_that_kills_its_own_is_given_up(site: Callable[..., Site]) -> None:
    here = site("cosine", "dies", slots=2, max_attempts=2)
    life = here.live(is_forked=False, CUDA_VISIBLE_DEVICES="3,5")  # /proc shows the environment of a program's start
    worker = here.trains()
    visible: set[str] = set()
    hubs: set[str] = set()

    def see() -> bool:
        for process in {w.process for w in here.launch.workers() if w.process}:
            with contextlib.suppress(OSError):  # one of them dies, as it should
                found = Path(f"/proc/{process}/environ").read_text().split("\0")
                hubs.update(variable for variable in found if variable.startswith("HF_HUB_OFFLINE="))
                visible.update(variable for variable in found if variable.startswith("CUDA_VISIBLE_DEVICES="))
        return len(visible) == 2

    until(see, "both start")
    assert visible == {"CUDA_VISIBLE_DEVICES=3", "CUDA_VISIBLE_DEVICES=5"}
    assert hubs == {"HF_HUB_OFFLINE=1"}, "nobody on a node asks a hub"
    os.kill(worker.process, signal.SIGKILL)
    said = here.ends(life)
    assert (said.state, here.requeues()) == ("ended", 0)
    assert here.happened() == ["started", "started", "finished"]
    assert here.happened("dies") == ["started", "started", "failed"]
    failure = here.store.record(here.key["dies"]).failure()
    assert failure is not None
    assert (failure["class"], failure["attempt"], failure["again"]) == ("killed", 2, False)


def test_what_runs_out_of_memory_is_tried_once_more_with_fewer_beside_it(site: Callable[..., Site]) -> None:
    here = site("greedy", "insatiable", slots=2, overrides=(PAUSE.format(0.0),))
    said = here.ends(here.live())
    assert said.state == "ended"
    assert here.happened("greedy") == ["started", "failed", "started", "finished"]
    assert here.happened("insatiable") == ["started", "failed", "started", "failed"]
    assert here.store.record(here.key["greedy"]).failure() is None
    failure = here.store.record(here.key["insatiable"]).failure()
    assert failure is not None
    assert (failure["class"], failure["beside"], failure["again"]) == ("out_of_memory", 1, False)


def test_a_time_limit_during_the_try_with_fewer_beside_it_takes_nothing_from_it(site: Callable[..., Site]) -> None:
    here = site("greedy", slots=2, overrides=(PAUSE.format(0.03),))
    life = here.live()
    here.trains(step=3, loss="greedy")
    os.killpg(life.pid, signal.SIGUSR2)
    assert here.ends(life).state == "requeued"
    assert here.happened("greedy") == ["started", "failed", "started", "timeout"]
    here.ends(here.live(restarts=1))
    assert here.happened("greedy") == ["started", "failed", "started", "timeout", "started", "finished"]


def test_what_a_lost_task_has_left_gets_fewer_beside_it_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = made_launch(store, [A], [B], slots=2)
    for pack, state in enumerate(("running", "ended")):
        report_task(launch, TaskReport(pack, f"7_{pack}", "here", state))
    store.record(B).folder.mkdir()
    record_failure(store.record(B), launch.id, "out_of_memory", "no", 1, beside=2)
    monkeypatch.setattr(Pilot, "_start", lambda *arguments: subprocess.Popen(["true"]))
    life = Pilot(launch, 0)
    assert life._work(_seats(2))
    store.record(B).finish({"record": "r"})
    assert not life._work(_seats(2))


def test_workers_of_a_pilot_that_was_killed_save_and_leave(site: Callable[..., Site]) -> None:
    here = site("cosine")
    life = here.live()
    worker = here.trains(step=3)
    life.kill()
    life.wait()
    until(lambda: not here.launch.workers(), "the worker leaves")
    assert here.happened() == ["started", "terminated"]
    assert here.store.record(here.key["cosine"]).checkpoint.exists()
    until(lambda: not Path(f"/proc/{worker.process}/environ").exists(), "its process ends")
    assert not is_held(here.launch.folder / "tasks" / "0.lock")


def test_cancelled_runs_end_at_their_next_step_and_their_task_is_not_requeued(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = site("cosine")
    batch = submitted(here.launch, 0)
    life = here.live()
    here.trains()

    def queued(cluster: str | None) -> list[ArrayTask]:
        return [task(batch, 0, "RUNNING")] if life.poll() is None else []

    monkeypatch.setattr(client, "queue", queued)
    monkeypatch.setattr(
        client, "cancel", lambda jobs, cluster: None if not jobs else pytest.fail("it leaves by itself")
    )
    found = cancel(here.store)
    assert (found.runs, found.tasks, found.silence) == (1, 1, "")
    assert (here.ends(life).state, here.requeues()) == ("ended", 0)
    assert here.happened() == ["started", "cancelled"]


def test_a_worker_whose_pilot_dies_while_it_starts_ends(site: Callable[..., Site]) -> None:
    here = site("cosine")
    code = (
        "import os; from pathlib import Path; from suite.records.launch import Launch; "
        "from suite.launch.slurm.pilot import Pilot, Seat; "
        f"life = Pilot(Launch(Path({str(here.launch.folder)!r})), 0); "
        "print(life._start(Seat(0, None), 1).pid, flush=True); os._exit(0)"
    )
    log = here.bin / "pid"
    with log.open("wb") as stdout:
        subprocess.run([sys.executable, "-c", code], env=environment(), stdout=stdout, check=True)
    process = int(log.read_text())

    def is_over() -> bool:
        with contextlib.suppress(OSError):
            return "\nState:\tZ" in Path(f"/proc/{process}/status").read_text()
        return True

    until(lambda: is_over() or here.launch.reports(), "it ends, or is a worker")
    try:
        assert here.launch.reports() == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
