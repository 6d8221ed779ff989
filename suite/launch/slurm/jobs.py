"""Array tasks through submitit's SLURM executor: sent in arrays, held back by a cap, replaced when they are lost."""

from __future__ import annotations

import functools
import math
import shlex
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from suite.launch.jobs import LaunchError
from suite.launch.packing import Demand, arrays, pack, side_by_side
from suite.launch.slurm import client as slurm
from suite.launch.slurm.queue import Look, look
from suite.plan.run import Run
from suite.problems import InputError, Problem, choices
from suite.provenance.snapshot import code_environment
from suite.records.arrays import add_batch, batches, note_job, open_launches, remove_batch
from suite.records.failures import deaths, record_failure
from suite.records.launch import Launch, Worker, living_workers
from suite.records.record import Store
from suite.records.specs import ArraySettings, Pack, WorkSettings
from suite.registry.launchers import Resources, SlurmLauncher, mebibytes
from suite.registry.registry import Registry

#: Of a GPU's memory, in MiB: the CUDA context of one process.
CONTEXT_MIB = 600.0
NO_NODE = "Requested node configuration is not available"
CLASSES = {
    "NODE_FAIL": "node_lost",
    "BOOT_FAIL": "node_lost",
    "OUT_OF_MEMORY": "out_of_memory",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "PREEMPTED": "preempted",
}


def work_settings(launcher: SlurmLauncher) -> WorkSettings:
    """Return what workers need to know of the launcher."""
    threads = launcher.threads if isinstance(launcher.threads, int) else 1 if launcher.gpus == 0 else None
    attempts, minutes, steps = launcher.max_attempts, launcher.checkpoint_minutes, launcher.checkpoint_steps
    return WorkSettings(attempts, minutes, steps, threads, launcher.cpus)


def array_settings(launcher: SlurmLauncher) -> ArraySettings:
    """Return what array tasks need to know of the launcher."""
    return ArraySettings(launcher.memory, launcher.signal, launcher.signal_seconds, launcher.max_requeues)


def packs(runs: Sequence[Run], registry: Registry, launcher: SlurmLauncher) -> list[Pack]:
    """Return the array tasks that runs are packed into."""
    demands = []
    for run in runs:
        resources = registry.document.benchmarks[run.benchmark].resources.get(run.profile, Resources())  # type: ignore[call-overload]
        if run.kind == "loss" and resources.processes > 1:
            demands.append(Demand(run.key, run.estimate_s, resources.nodes, resources.gpus))
        else:
            demands.append(Demand(run.key, run.estimate_s, slots=slots(run, launcher)))
    return pack(demands, launcher.target_s)


def slots(run: Run, launcher: SlurmLauncher) -> int:
    """Return how many runs like this one are carried out side by side in one array task."""
    memory = run.memory_mib
    on_host = memory.get("host")
    if launcher.gpus == 0:
        fit = side_by_side(on_host, mebibytes(launcher.memory), launcher.cpus)
        return fit if launcher.runs_per_gpu == "auto" and on_host is not None else launcher.cpus
    if isinstance(launcher.runs_per_gpu, int):
        return launcher.gpus * launcher.runs_per_gpu
    device = memory.get("device")
    most = max(1, launcher.cpus // launcher.gpus)
    on_device = side_by_side(device and device + CONTEXT_MIB, memory.get("device_total", 0.0), most)
    most = launcher.gpus * on_device
    return most if on_host is None else side_by_side(on_host, mebibytes(launcher.memory), most)


def parameters(launcher: SlurmLauncher, shape: Pack | None = None) -> dict[str, Any]:
    """Return a launcher's settings as submitit's SLURM executor takes them.

    Parameters
    ----------
    launcher : SlurmLauncher
    shape : Pack, optional
        Of an array task whose runs are spread over several processes.
    """
    is_spread = shape is not None and shape.processes > 1
    nodes, processes = (shape.nodes, shape.gpus) if is_spread and shape is not None else (1, 1)
    gpus = 0 if launcher.gpus == 0 else processes if is_spread else launcher.gpus
    given = {
        "partition": launcher.partition,
        "account": launcher.account,
        "qos": launcher.qos,
        "constraint": launcher.constraint,
        "nodes": nodes,
        "ntasks_per_node": processes,
        "cpus_per_task": launcher.cpus,
        "mem": f"{mebibytes(launcher.memory)}M",
        "time": math.ceil(launcher.time_s / 60),
        "array_parallelism": launcher.array_parallelism,
        "stderr_to_stdout": True,
        # since 22.05 srun no longer takes the number of cores from sbatch
        "srun_args": [f"--cpus-per-task={launcher.cpus}", *(["--kill-on-bad-exit=1"] if is_spread else [])],
    }
    if gpus and launcher.gpu_type is None:
        given["gpus_per_node"] = gpus
    elif gpus:
        given["gres"] = f"gpu:{launcher.gpu_type}:{gpus}"
    ahead = f"{launcher.signal}@{launcher.signal_seconds}"
    extra = {"signal": ahead, "requeue": True, **{k: v for k, v in launcher.sbatch.items() if v is not False}}
    return {name: value for name, value in given.items() if value is not None} | {"additional_parameters": extra}


def script(launcher: SlurmLauncher) -> str:
    """Return the sbatch script of a job with a launcher's settings that does nothing."""
    import submitit

    executor = submitit.SlurmExecutor(folder="unused")
    executor.update_parameters(**parameters(launcher))
    return str(executor._make_submission_file_text("true", "check"))


def small(launcher: SlurmLauncher) -> SlurmLauncher:
    """Return a launcher that asks for as few resources as will do, at the same place."""
    memory = min("4G", launcher.memory, key=mebibytes)
    return replace(launcher, cpus=1, gpus=min(1, launcher.gpus), memory=memory, time="5m", signal_seconds=10)


def check(launcher: SlurmLauncher) -> None:
    """Ask the site whether it would take jobs with these settings.

    Raises
    ------
    InputError
        With the site's own words, if it would not.
    LaunchError
        If SLURM does not answer.
    """
    try:
        known = slurm.partitions()
        named = launcher.partition.split(",") if launcher.partition is not None else list(known)[:1]
        for partition in named:
            if partition not in known:
                message = f"the site has no partition {partition!r}; {choices(partition, known)}"
                raise InputError([Problem("launcher", "partition", message)])
        slurm.identity()  # what a launch is signed with: better silent now than in the middle of it
        if named and launcher.time_s > max(slurm.limit_s(known[partition]) for partition in named):
            limits = " and ".join(f"{partition} lets jobs run ({known[partition]})" for partition in named)
            message = f"{launcher.time} is longer than partition {limits}"
            advice = "ask for less: a run that needs longer goes on, requeued"
            raise InputError([Problem("launcher", "time", f"{message}; {advice}")])
        refusal = slurm.submission_problem(script(launcher))
        # also said while all nodes are down or drained: then even of a small job
        if refusal is not None and NO_NODE in refusal:
            if slurm.submission_problem(script(small(launcher))) is not None:
                return
            much = f"{launcher.cpus} cpus, {launcher.memory} of memory and {launcher.gpus} GPUs"
            refusal = f"no node has {much}; sinfo -o '%P %c %m %G' lists what there is"
    except slurm.SchedulerUnavailable as error:
        raise LaunchError(f"{error}; nothing was submitted") from error
    if refusal is not None:
        raise InputError([Problem("launcher", "", f"SLURM would not carry out such jobs: {refusal}")])


class SlurmJobs:
    """The array tasks of a launch, and of those before it in the same results folder.

    Parameters
    ----------
    launch : Launch
    launcher : SlurmLauncher
    store : Store
    """

    def __init__(self, launch: Launch, launcher: SlurmLauncher, store: Store) -> None:
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
            If SLURM does not answer, or takes nothing.
        """
        try:
            self._tend(open_runs)
            if self._look.silence:
                raise LaunchError(f"{self._look.silence}; nothing was submitted")
        except LaunchError:
            if not self._has_jobs():
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
        """Return True: jobs stay in the queue, whoever looks on."""
        return True

    def close(self) -> None:
        """Do nothing: tasks leave by themselves."""

    def _tend(self, open_runs: Mapping[str, Run]) -> None:
        self._look = look(open_launches(self._store), always=True)
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
        """Return the packs with open runs that no array task has, and that nobody executes."""
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
        ended = slurm.accounting([submitted[number][-1] for number in lost])
        fit = set()
        for number in lost:
            job = submitted[number][-1]
            known = ended.get(job)
            if known is not None and known.state not in {*slurm.ENDED, "PREEMPTED"}:
                known = None  # accounting lags behind
            if known is not None and known.state in ("NODE_FAIL", "BOOT_FAIL") and known.nodes:
                self._unfit.add(known.nodes)
            if len(submitted[number]) - self._given_up.get(number, 0) >= self._launcher.max_attempts:
                how = f"ended as {known.state}" if known is not None else "ended, nobody knows how"
                self._fail(number, CLASSES.get(known.state if known else "", "killed"), f"array task {job} {how}")
                self._given_up[number] = len(submitted[number])
            if not all(self._is_settled(key) for key in self._packs[number].keys):
                fit.add(number)
        if not any((self.launch.folder / "tasks").glob("*.json")) and not fit:
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
                    raise LaunchError(f"SLURM refuses to take the array: {refusal}")
                return
            room -= len(chosen)

    def _submit_array(self, chosen: Sequence[int]) -> str:
        """Submit one array; returns why SLURM refuses it, or nothing."""
        import submitit

        from suite.launch.slurm.pilot import pilot

        batch = add_batch(self.launch, chosen)
        executor = submitit.SlurmExecutor(folder=self.launch.folder / "jobs", python=self._launcher.python)
        given = parameters(self._launcher, self._packs[chosen[0]])
        if self._unfit:
            given["exclude"] = ",".join(sorted(self._unfit))
        executor.update_parameters(job_name=batch.name, setup=self._setup, **given)
        try:
            with executor.batch():
                jobs = [executor.submit(pilot, str(self.launch.folder), number) for number in chosen]
        except (submitit.core.utils.FailedJobError, subprocess.SubprocessError) as error:
            said = str(error).strip().splitlines()[-1]
            if not slurm.is_silence(said):  # else the array may be in the queue all the same, to be found by its name
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
            return int(slurm.configuration()["MaxArraySize"])
        except (slurm.SchedulerUnavailable, KeyError, ValueError):
            return 1000

    def _last_words(self) -> str:
        logs = sorted((self.launch.folder / "jobs").glob("*_log.out"), key=lambda file: file.stat().st_mtime)
        return "\n".join(logs[-1].read_text(errors="replace").splitlines()[-15:]) if logs else "(nothing)"


def _describe(seen: Look) -> str:
    if seen.silence:
        return f"SLURM does not answer, what it does is unknown: {seen.silence}"
    waiting = [one for one in seen.tasks if one.task.state == "PENDING"]
    running = sum(one.task.state == "RUNNING" for one in seen.tasks)
    if not waiting:
        return f"SLURM: {running} array tasks run"
    reasons = ", ".join(sorted({one.task.reason for one in waiting}))
    return f"SLURM: {running} array tasks run, {len(waiting)} wait ({reasons})"
