"""What runs as one array task: starts workers in its allocation, replaces those that die, and outlives time limits."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from suite.launch.queue import SchedulerUnavailable
from suite.launch.slurm import client
from suite.process import OFFLINE, RENDEZVOUS, TEXT, THREADS
from suite.records.arrays import HEARTBEAT_S, TaskReport, batches, order, report_task, task_report
from suite.records.failures import record_failure, unfinished_step
from suite.records.files import held
from suite.records.launch import Launch
from suite.records.permissions import follow_sharing
from suite.records.record import Store
from suite.work import memory

logger = logging.getLogger("suite")

POLL_S = 0.2
#: What is left of the time until SLURM kills everything, once the workers had their chance to save.
RESERVE_S = 5.0
KILL_WAIT_S = 25.0


KILLED = "killed"


def pilot(folder: str, pack: int) -> None:
    """Carry out the runs of a pack as its array task, and those that lost tasks of the launch have left.

    Parameters
    ----------
    folder : str
        The launch's folder.
    pack : int
        Number of the pack.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    launch = Launch(Path(folder))
    follow_sharing(launch.folder.parent.parent)
    Pilot(launch, pack).run()


@dataclass(frozen=True)
class Seat:
    """Where a worker computes: its slot, and its devices if there are any."""

    slot: int
    devices: str | None


class Pilot:
    """One array task, or one process of an array task whose runs are spread over several."""

    def __init__(self, launch: Launch, pack: int) -> None:
        self.launch = launch
        self.pack = pack
        assert launch.spec.array is not None
        self.content = launch.spec.packs[pack]
        self.settings = launch.spec.array
        self.store = Store(launch.spec.out)
        self.job = _job()
        self.rank = int(os.environ.get("SLURM_PROCID", "0"))
        self.is_spread = self.content.processes > 1
        self.report = TaskReport(pack, self.job, socket.gethostname(), restarts=_restarts())
        self._signals: list[int] = []
        self._signalled_at = 0.0
        self._reported_at = 0.0
        self._oom_kills = memory.oom_kills()
        self._most_deaths = launch.spec.work.max_attempts * len(self.content.keys)

    def run(self) -> None:
        """Work until nothing is left, or until SLURM wants the allocation back."""
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, self._note_signal)
        if self.rank:  # the first process of a spread run decides; the others only keep their worker alive
            self._work([Seat(0, _devices(1)[0])])
            return
        before = task_report(self.launch, self.pack)
        with held(self._write_report().with_suffix(".lock")):
            self.launch.go_on(self.pack)
            self._note_interruptions(before)
            slots = 1 if self.is_spread else self._slots()
            # a task whose runs others have done meanwhile starts no worker; those of a spread run are there already
            while (self.is_spread or self._is_work_left()) and self._work(_seats(slots)) and slots > 1:
                slots //= 2  # what ran out of memory gets more of it
            self._leave()

    def _slots(self) -> int:
        """Return how many runs go side by side: half as many each time that the whole task was lost."""
        lost = sum(self.pack in batch.packs for batch in batches(self.launch)) - 1
        return max(1, self.content.slots >> max(0, lost))

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)
        self._signalled_at = self._signalled_at or time.monotonic()

    def _note_interruptions(self, before: TaskReport | None) -> None:
        """Note that the runs which an earlier life of this task had in hand were not ended by their own fault."""
        if not self.report.restarts or (before is not None and before.reason == KILLED):
            return
        for key in self.content.keys:
            record = self.store.record(key)
            if record.run() is None or record.is_done():
                continue
            with record.claimed() as ours:
                if ours and (step := unfinished_step(record)) is not None:
                    # killed at its time limit, it had no chance to say so: a step may take too long
                    reason = "timeout" if before is not None and before.reason == "timeout" else "requeued"
                    record.append("interrupted", reason=reason, step=step, launch=self.launch.id)

    def _work(self, seats: list[Seat]) -> bool:
        """Let workers work until there is nothing to do; returns whether some run deserves more memory."""
        workers = {seat.slot: self._start(seat, len(seats)) for seat in seats}
        deaths = 0
        while workers:
            time.sleep(POLL_S)
            self._look_around()
            for seat in seats:
                worker = workers.get(seat.slot)
                if worker is None or worker.poll() is None:
                    continue
                del workers[seat.slot]
                if worker.returncode == 0 or self._signals:
                    continue
                deaths += 1
                logger.error("worker %d.%d ended with %d", self.pack, seat.slot, worker.returncode)
                self._record_memory_kill(worker, len(seats))
                if self.is_spread:  # its partners cannot go on without it: all start again together
                    self._start_over()
                elif deaths <= self._most_deaths:
                    workers[seat.slot] = self._start(seat, len(seats))
            if self._signalled_at and time.monotonic() - self._signalled_at > self._patience():
                for worker in workers.values():
                    worker.kill()
        left = self.launch.open_keys(self.store, order(self.launch, self.pack))
        wanted = (not self.launch.is_for(key, self.store, len(seats)) for key in left)
        return not self._signals and len(seats) > 1 and any(wanted)

    def _start_over(self) -> None:
        """Ask for another life because a worker died; how often, its runs' attempts bound."""
        if not self.rank and self._is_work_left() and self.report.restarts < self._most_deaths:
            self.report = replace(self.report, reason=KILLED)
            self._requeue()

    def _start(self, seat: Seat, beside: int) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name not in RENDEZVOUS} | TEXT
        environment = {**OFFLINE, **environment}
        environment |= dict.fromkeys(THREADS, str(self.launch.threads(self.pack)))
        environment["SUITE_PILOT"] = str(os.getpid())
        if seat.devices is not None:
            environment["CUDA_VISIBLE_DEVICES"] = seat.devices
        if self.is_spread:
            environment |= _rendezvous(self.content.nodes)
        arguments = [str(self.launch.folder), str(self.pack), str(seat.slot), str(beside)]
        return subprocess.Popen([sys.executable, "-m", "suite.work.worker", *arguments], env=environment)

    def _look_around(self) -> None:
        """Show that this task lives, and pass the warning of a time limit on to the workers."""
        if time.monotonic() - self._reported_at > HEARTBEAT_S and not self.rank:
            with contextlib.suppress(OSError):  # a file server that hiccups must not cost the runs their workers
                self._write_report()
        if self._signals and self.report.reason == "":
            ahead = signal.Signals[f"SIG{self.settings.signal}"]
            reason = "timeout" if ahead in self._signals else "terminated"
            self.report = replace(self.report, reason=reason)
            logger.info("%s: the workers save", ", ".join(signal.Signals(s).name for s in self._signals))
            if not self.rank:
                self.launch.stop(self.pack, reason)

    def _patience(self) -> float:
        terminated = signal.SIGTERM in self._signals and self.settings.signal != "TERM"
        return KILL_WAIT_S if terminated else self.settings.signal_seconds - RESERVE_S

    def _record_memory_kill(self, worker: subprocess.Popen[bytes], beside: int) -> None:
        """Record the failure of a run whose worker the kernel has killed for memory."""
        kills = memory.oom_kills()
        if worker.returncode != -signal.SIGKILL or kills <= self._oom_kills:
            return
        self._oom_kills = kills
        said = [w for w in self.launch.reports() if w.number == self.pack and w.process == worker.pid and w.key]
        for one in said:
            record = self.store.record(str(one.key))
            with record.claimed() as ours:
                if ours and not record.is_done():
                    memory_of_task = self.content.settings.get("memory", self.settings.memory)
                    message = f"the kernel killed it for memory, {beside} runs side by side in {memory_of_task}"
                    record_failure(record, self.launch.id, "out_of_memory", message, 1, beside)

    def _leave(self) -> None:
        """Leave, or go back into the queue if SLURM ends a task that has work left."""
        if self._signals and self._is_work_left() and self.report.restarts < self.settings.max_requeues:
            self._requeue()
        if self.report.state != "requeued":
            self.report = replace(self.report, state="ended")
            self._write_report()

    def _is_work_left(self) -> bool:
        if self.launch.stop_reason() is not None:
            return False
        return any(self.launch.open_keys(self.store, order(self.launch, self.pack)))

    def _requeue(self) -> None:
        """Ask for another life, unless SLURM is ending this one for good, or gives one anyhow."""
        ahead = self.settings.signal_seconds if self.report.reason == "timeout" else KILL_WAIT_S
        deadline = (self._signalled_at or time.monotonic()) + ahead
        while True:
            try:
                if client.state(self.job) != "RUNNING":
                    return
                self.report = replace(self.report, state="requeued")
                self._write_report()
                client.requeue(self.job)
                logger.info("requeued (%s); the next life goes on from the checkpoints", self.report.reason)
                return
            except SchedulerUnavailable as error:
                logger.warning("%s", error)
                if time.monotonic() > deadline:
                    break
                time.sleep(1)
            except client.Refused as error:
                logger.error("SLURM does not requeue this task: %s", error)
                break
        self.report = replace(self.report, state="running")

    def _write_report(self) -> Path:
        self._reported_at = time.monotonic()
        return report_task(self.launch, self.report)


def _job() -> str:
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ.get("SLURM_JOB_ID", "?")


def _restarts() -> int:
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def _seats(slots: int) -> list[Seat]:
    return [Seat(slot, devices) for slot, devices in enumerate(_devices(slots))]


def _devices(slots: int) -> list[str | None]:
    """Return what each of so many workers gets to see of the allocation's GPUs: one, shared out evenly."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    gpus = [gpu for gpu in visible.split(",") if gpu]
    local = int(os.environ.get("SLURM_LOCALID", "0"))
    return [gpus[(slot + local) % len(gpus)] if gpus else None for slot in range(slots)]


def _rendezvous(nodes: int) -> Mapping[str, str]:
    """Return the variables by which the processes of a spread run find each other."""
    from submitit.helpers import TorchDistributedEnvironment

    found = TorchDistributedEnvironment()
    return {
        # a site whose nodes do not know each other by SLURM's names says so in launcher.setup
        "MASTER_ADDR": os.environ.get("MASTER_ADDR", found.master_addr if nodes > 1 else "127.0.0.1"),
        "MASTER_PORT": str(found.master_port),
        "RANK": str(found.rank),
        "WORLD_SIZE": str(found.world_size),
        "LOCAL_RANK": str(found.local_rank),
        "LOCAL_WORLD_SIZE": str(found.local_world_size),
    }
