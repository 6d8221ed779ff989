"""Array tasks through submitit's SLURM executor: sent in arrays, held back by a cap, replaced when they are lost."""

from __future__ import annotations

import functools
import math
import shlex
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence

from suite.launch.jobs import LaunchError, unpatterned
from suite.launch.packing import arrays
from suite.launch.queue import Look, SchedulerUnavailable
from suite.launch.slurm import client
from suite.launch.slurm.queue import look
from suite.launch.slurm.sbatch import parameters
from suite.launch.slurm.settings import SlurmSettings
from suite.plan.run import Run
from suite.process import in_own_environment
from suite.provenance.snapshot import code_environment
from suite.records.arrays import add_batch, batches, note_job, open_launches, remove_batch, task_report
from suite.records.failures import deaths, record_failure
from suite.records.launch import Launch, Worker, living_workers
from suite.records.record import Store

CLASSES = {
    "NODE_FAIL": "node_lost",
    "BOOT_FAIL": "node_lost",
    "OUT_OF_MEMORY": "out_of_memory",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "PREEMPTED": "preempted",
}


class SlurmJobs:
    """The array tasks of a launch, and of those before it in the same results folder.

    Parameters
    ----------
    launch : Launch
    launcher : SlurmSettings
    store : Store
    """

    def __init__(self, launch: Launch, launcher: SlurmSettings, store: Store) -> None:
        self.launch = launch
        self._launcher = launcher
        self._store = store
        self._packs = launch.spec.packs
        self._look = Look([])
        self._looked = -math.inf
        self._lost: frozenset[int] = frozenset()
        self._unfit: set[str] = set()
        self._given_up: dict[int, int] = {}
        self._notice = ""

    def begin(self, open_runs: Mapping[str, Run], detached: bool) -> None:
        """Submit as much as the cap allows; if `detached`, wait for room until everything is submitted.

        Raises
        ------
        LaunchError
            If SLURM does not answer, or takes nothing. The launch is removed unless SLURM may have taken it.
        """
        try:
            self._tend(open_runs)
            if self._look.silence:
                raise LaunchError(f"{self._look.silence}; nothing was submitted")
        except LaunchError:
            if not batches(self.launch):
                self.launch.remove()
            raise
        while detached and self._held_back(open_runs):
            time.sleep(self._launcher.poll_seconds)
            self._tend(open_runs)

    def tend(self, open_runs: Mapping[str, Run], is_getting_on: bool) -> None:
        """Ask SLURM from time to time; submit what there is room for, and again what was lost.

        Raises
        ------
        LaunchError
            If array tasks end without having begun to work.
        """
        if time.monotonic() - self._looked > self._launcher.poll_seconds:
            self._tend(open_runs)

    def parallel(self) -> int:
        """Return how many runs the running tasks carry out at a time, at least one."""
        running = [one for one in self._look.tasks if one.task.state == "RUNNING"]
        return max(1, sum(one.launch.spec.packs[one.pack].slots for one in running))

    def workers(self) -> list[Worker]:
        """Return what the living workers of this results folder do."""
        return living_workers(self._store)

    def notice(self) -> str:
        """Return what the array tasks wait for."""
        return self._notice

    def stop(self, hard: bool) -> bool:
        """Return True: jobs stay in the queue when the launcher leaves."""
        return True

    def close(self) -> None:
        """Do nothing: tasks leave by themselves."""

    def _tend(self, open_runs: Mapping[str, Run]) -> None:
        self._look = look(open_launches(self._store), mine=self.launch)
        self._looked = time.monotonic()
        self._notice = _describe(self._look)
        if self._look.silence:
            return
        open_packs = self._out_of_hand(open_runs)
        submitted = self._jobs_by_pack()
        lost = frozenset(open_packs & submitted.keys())
        again = lost & self._lost  # twice in a row: a task's last words may still be on their way
        self._lost = lost - again
        fit = self._fit(again, submitted)
        self._submit(sorted(open_packs - submitted.keys()) + sorted(fit), len(open_packs))

    def _out_of_hand(self, open_runs: Mapping[str, Run]) -> set[int]:
        """Return the packs with open runs that neither an array task nor a worker has in hand."""
        keys = {key for one in self._look.tasks for key in one.wanted()}
        keys |= {str(worker.key) for worker in living_workers(self._store) if worker.key}
        keys |= self.launch.cancelled()
        return {
            number
            for number, content in enumerate(self._packs)
            if any(key in open_runs and key not in keys and not self._is_settled(key) for key in content.keys)
        }

    def _is_settled(self, key: str) -> bool:
        return self.launch.is_settled(key, self._store)

    def _has_jobs(self) -> bool:
        return any(batch.job is not None for batch in batches(self.launch))

    def _held_back(self, open_runs: Mapping[str, Run]) -> bool:
        return bool(self._out_of_hand(open_runs) - self._jobs_by_pack().keys())

    def _jobs_by_pack(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for batch in batches(self.launch):
            for number, job in batch.jobs():
                found.setdefault(number, []).append(job)
        return found

    def _fit(self, lost: Collection[int], submitted: Mapping[int, Sequence[str]]) -> set[int]:
        """Return the lost packs that are tried again; what was lost too often has failed."""
        if not lost:
            return set()
        ended = client.accounting([submitted[number][-1] for number in lost], self._launcher.cluster)
        fit, waiting = set(), set()
        for number in lost:
            job = submitted[number][-1]
            known = ended.get(job)
            if known is not None and known.state not in {*client.ENDED, "PREEMPTED"}:
                if known.state == "PENDING" and task_report(self.launch, number) is None:
                    waiting.add(number)  # it has not begun, though the queue does not show it: that is no loss
                    continue
                known = None  # accounting lags behind
            if known is not None and known.state in ("NODE_FAIL", "BOOT_FAIL") and known.nodes:
                self._unfit.add(known.nodes)
            if len(submitted[number]) - self._given_up.get(number, 0) >= self._launcher.max_attempts:
                how = f"ended as {known.state}" if known is not None else "ended, it is not known how"
                self._fail(number, CLASSES.get(known.state if known else "", "killed"), f"array task {job} {how}")
                self._given_up[number] = len(submitted[number])
            if not all(self._is_settled(key) for key in self._packs[number].keys):
                fit.add(number)
        if not any((self.launch.folder / "tasks").glob("*.json")) and not fit | waiting:
            raise LaunchError(f"array tasks end without having begun; the last one said:\n{self._last_words()}")
        return fit

    def _fail(self, number: int, kind: str, how: str) -> None:
        """Record the failure of what the task had in hand; of all its runs, if it had none."""
        attempts = self._launcher.max_attempts
        wanted = set(self._packs[number].keys) - self.launch.cancelled()
        begun = {key for key in wanted if deaths(self._store.record(key), self.launch.id)}
        for key in begun or wanted:
            record = self._store.record(key)
            with record.claimed() as ours:
                if ours and not self._is_settled(key):
                    words = self._last_words()
                    message = f"{how}, {attempts} times in all: {words.splitlines()[-1]}\n{words}"
                    record_failure(record, self.launch.id, kind, message, attempts)

    def _submit(self, wanted: Sequence[int], waiting: int) -> None:
        room = self._launcher.max_queued - self._look.total
        if not wanted or room < 1:
            return
        for group in arrays([self._packs[number] for number in wanted], self._array_size):
            chosen = [wanted[index] for index in group][:room]
            if not chosen:
                return
            refusal = self._submit_array(chosen)
            if refusal:
                self._notice = f"{waiting} array tasks are held back; SLURM says: {refusal}"
                if not self._has_jobs():
                    raise LaunchError(_not_taken(refusal))
                return
            room -= len(chosen)

    def _submit_array(self, chosen: Sequence[int]) -> str:
        """Submit one array; returns why SLURM refuses it, or does not answer, or nothing."""
        import submitit

        from suite.launch.slurm.pilot import pilot

        batch = add_batch(self.launch, chosen)
        executor = submitit.SlurmExecutor(folder=unpatterned(self.launch.folder) / "jobs", python=self._launcher.python)
        shape = self._packs[chosen[0]]
        given = parameters(self._launcher.of(self.launch.spec.runs[shape.keys[0]].benchmark), shape)
        if self._unfit:
            given["exclude"] = ",".join(sorted(self._unfit))
        executor.update_parameters(job_name=batch.name, setup=self._setup, **given)
        try:
            with in_own_environment(), executor.batch():
                jobs = [executor.submit(pilot, str(self.launch.folder), number) for number in chosen]
        except (submitit.core.utils.FailedJobError, subprocess.SubprocessError) as error:
            said = str(error).strip().splitlines()[-1]
            if not client.is_silence(said):  # else the array may be in the queue all the same, to be found by its name
                remove_batch(batch)
            return said
        job = jobs[0].job_id.partition("_")[0]
        note_job(batch, job)
        self._notice = f"SLURM: submitted {len(chosen)} array tasks as job {job}"
        return ""

    @functools.cached_property
    def _setup(self) -> list[str]:
        variables = code_environment(self._store, self.launch.spec.snapshot)
        return [*self._launcher.setup, *(f"export {name}={shlex.quote(value)}" for name, value in variables.items())]

    @functools.cached_property
    def _array_size(self) -> int:
        if isinstance(self._launcher.max_array_size, int):
            return self._launcher.max_array_size
        try:
            return int(client.configuration(self._launcher.cluster)["MaxArraySize"])
        except (SchedulerUnavailable, KeyError, ValueError):
            return 1000

    def _last_words(self) -> str:
        logs = sorted((self.launch.folder / "jobs").glob("*_log.out"), key=lambda file: file.stat().st_mtime)
        said = logs[-1].read_text(encoding="utf-8", errors="replace").strip() if logs else ""
        return "\n".join(said.splitlines()[-15:]) or "(nothing)"


def _not_taken(said: str) -> str:
    if not client.is_silence(said):
        return f"SLURM refuses to take the array: {said}"
    return (
        f"SLURM did not answer whether it takes the array: {said}; it may be in the queue all the same: "
        "the same command finds it there, or submits it"
    )


def _describe(seen: Look) -> str:
    if seen.silence:
        return f"SLURM does not answer, what it does is unknown: {seen.silence}"
    waiting = [one for one in seen.tasks if one.task.state == "PENDING"]
    running = sum(one.task.state == "RUNNING" for one in seen.tasks)
    if not waiting:
        return f"SLURM: {running} array tasks run"
    reasons = ", ".join(sorted({one.task.reason for one in waiting}))
    return f"SLURM: {running} array tasks run, {len(waiting)} wait ({reasons})"
