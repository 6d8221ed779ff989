"""Runs and settings as SLURM takes them: array tasks, options of sbatch, and whether the site would accept them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from suite.launch.jobs import LaunchError
from suite.launch.packing import Demand, pack, side_by_side
from suite.launch.queue import SchedulerUnavailable
from suite.launch.slurm import client
from suite.launch.slurm.settings import SlurmSettings
from suite.plan.run import Run
from suite.problems import InputError, Problem, choices
from suite.records.specs import Pack, turns
from suite.registry.launchers import Resources, mebibytes
from suite.registry.registry import Registry

#: Of a GPU's memory, in MiB: the CUDA context of one process.
CONTEXT_MIB = 600.0
NO_NODE = "Requested node configuration is not available"


def packs(runs: Sequence[Run], registry: Registry, launcher: SlurmSettings) -> list[Pack]:
    """Return the array tasks that runs are packed into: those of benchmarks with other settings apart."""
    turn, packed = turns(runs), []
    for own, alike in _by_settings(launcher, [run.benchmark for run in runs]):
        demands = [_demand(run, registry, own, turn[run.key]) for run in runs if run.benchmark in alike]
        given = launcher.benchmarks.get(alike[0], {})
        settings = {**given, "threads": own.worker_threads()} if given else {}
        packed += [replace(one, settings=settings) for one in pack(demands, own.target_s)]
    return sorted(packed, key=lambda one: (-one.seconds, one.keys))


def _by_settings(launcher: SlurmSettings, benchmarks: Iterable[str]) -> list[tuple[SlurmSettings, list[str]]]:
    """Return the settings of array tasks, and the benchmarks that have them."""
    found: list[tuple[SlurmSettings, list[str]]] = []
    for name in dict.fromkeys(benchmarks):
        own = launcher.of(name)
        alike = next((names for other, names in found if other == own), None)
        if alike is None:
            found.append((own, [name]))
        else:
            alike.append(name)
    return found


def _demand(run: Run, registry: Registry, launcher: SlurmSettings, turn: int) -> Demand:
    resources = registry.document.benchmarks[run.benchmark].resources.get(run.profile, Resources())  # type: ignore[call-overload]
    if run.kind == "loss" and resources.processes > 1:
        return Demand(run.key, run.estimate_s, resources.nodes, resources.gpus, turn=turn)
    return Demand(run.key, run.estimate_s, slots=slots(run, launcher), turn=turn)


def slots(run: Run, launcher: SlurmSettings) -> int:
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


def parameters(launcher: SlurmSettings, shape: Pack | None = None) -> dict[str, Any]:
    """Return a launcher's settings as submitit's SLURM executor takes them.

    Parameters
    ----------
    launcher : SlurmSettings
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
    named = {} if launcher.cluster is None else {"clusters": launcher.cluster}
    extra = {"signal": ahead, "requeue": True, **named, **{k: v for k, v in launcher.sbatch.items() if v is not False}}
    return {name: value for name, value in given.items() if value is not None} | {"additional_parameters": extra}


def script(launcher: SlurmSettings) -> str:
    """Return the sbatch script of a job with a launcher's settings that does nothing."""
    import submitit

    executor = submitit.SlurmExecutor(folder="unused")
    executor.update_parameters(**parameters(launcher))
    return str(executor._make_submission_file_text("true", "check"))


def small(launcher: SlurmSettings) -> SlurmSettings:
    """Return a launcher that asks for as few resources as will do, at the same place."""
    memory = min("4G", launcher.memory, key=mebibytes)
    return replace(launcher, cpus=1, gpus=min(1, launcher.gpus), memory=memory, time="5m", signal_seconds=10)


def check(launcher: SlurmSettings, benchmarks: Iterable[str]) -> None:
    """Ask the site whether it would take jobs for runs of some benchmarks.

    Raises
    ------
    InputError
        With the site's own words, if it would not.
    LaunchError
        If SLURM does not answer.
    """
    problems: list[Problem] = []
    for own, alike in _by_settings(launcher, benchmarks):
        try:
            _check(own)
        except InputError as error:
            given = launcher.benchmarks.get(alike[0], {})
            place = f"launcher.benchmarks.{alike[0]}"
            is_theirs = [problem.key in given or (bool(given) and not problem.key) for problem in error.problems]
            pairs = zip(error.problems, is_theirs, strict=True)
            problems += [replace(problem, where=place) if theirs else problem for problem, theirs in pairs]
    if problems:
        raise InputError(problems)


def _check(launcher: SlurmSettings) -> None:
    try:
        known = client.partitions(launcher.cluster)
        named = launcher.partition.split(",") if launcher.partition is not None else list(known)[:1]
        for partition in named:
            if partition not in known:
                message = f"the site has no partition {partition!r}; {choices(partition, known)}"
                raise InputError([Problem("launcher", "partition", message)])
        client.identity(launcher.cluster)  # what a launch is signed with: better silent now than in the middle of it
        if named and launcher.time_s > max(client.limit_s(known[partition]) for partition in named):
            limits = " and ".join(f"{partition} lets jobs run ({known[partition]})" for partition in named)
            message = f"{launcher.time} is longer than partition {limits}"
            advice = "ask for less: a run that needs longer goes on, requeued"
            raise InputError([Problem("launcher", "time", f"{message}; {advice}")])
        refusal = client.submission_problem(script(launcher))
        # also said while all nodes are down or drained: then even of a small job
        if refusal is not None and NO_NODE in refusal:
            if client.submission_problem(script(small(launcher))) is not None:
                return
            much = f"{launcher.cpus} cpus, {launcher.memory} of memory and {launcher.gpus} GPUs"
            refusal = f"no node has {much}; sinfo -o '%P %c %m %G' lists what there is"
    except SchedulerUnavailable as error:
        raise LaunchError(f"{error}; nothing was submitted") from error
    if refusal is not None:
        raise InputError([Problem("launcher", "", f"SLURM would not carry out such jobs: {refusal}")])
