"""Launcher files (``launchers/*.yaml``) as types: where and how jobs run. Nothing here enters a run's key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import Ge, Gt
from pydantic import BeforeValidator, ConfigDict, Field

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)
Auto = Literal["auto"]

_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_OWN: Final = (
    frozenset({"account", "array", "begin", "constraint", "cpus-per-task", "error", "gpus-per-node", "gres"})
    | {"job-name", "mem", "nodes", "ntasks-per-node", "open-mode", "output", "partition", "qos", "signal", "time"}
    | {"requeue", "no-requeue"}
)
_SLURM_DURATION: Final = re.compile(r"(?:(\d+)-)?(\d{1,2}):(\d\d)(?::(\d\d))?")


def seconds(duration: str) -> int:
    """Return the seconds of ``4h``, ``1d 12h``, ``90m``, or of SLURM's ``1-12:00:00`` and ``4:00:00``.

    Raises
    ------
    ValueError
        If it is none of these, or nothing.
    """
    slurm = _SLURM_DURATION.fullmatch(duration)
    if slurm:
        days, hours, minutes, rest = (int(part or 0) for part in slurm.groups())
        total = 86_400 * days + 3_600 * hours + 60 * minutes + rest
    else:
        parts = re.findall(r"(\d+)\s*([dhms])", duration)
        if not parts or re.sub(r"\d+\s*[dhms]|\s", "", duration):
            raise ValueError("expected a duration with units, as in 90m, 4h or 1d 12h")
        total = sum(int(number) * _UNITS[unit] for number, unit in parts)
    if total < 1:
        raise ValueError("must be longer than nothing")
    return total


def mebibytes(memory: str) -> int:
    """Return the MiB of ``16G`` or ``500M``.

    Raises
    ------
    ValueError
        If it is neither, or nothing.
    """
    match = re.fullmatch(r"(\d+)\s*([MGT])(?:i?B)?", memory)
    if match is None or not int(match[1]):
        raise ValueError("expected an amount of memory with its unit, as in 16G or 500M")
    return int(match[1]) * {"M": 1, "G": 1024, "T": 1024**2}[match[2]]


def _duration(value: Any) -> Any:
    if not isinstance(value, str):  # YAML reads 4:00:00 as 14400, SLURM reads 90 as minutes: too easy to get wrong
        raise ValueError("expected a duration with units, as in 90m, 4h or 1d 12h")
    seconds(value)
    return value


def _memory(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("expected an amount of memory with its unit, as in 16G or 500M")
    mebibytes(value)
    return value


def _options(value: Any) -> Any:
    own = [name for name in value if name.lstrip("-").replace("_", "-") in _OWN] if isinstance(value, dict) else []
    if own:
        raise ValueError(f"the suite sets {', '.join(own)} itself; most of these are fields of the launcher")
    return value


Duration = Annotated[str, BeforeValidator(_duration)]
Memory = Annotated[str, BeforeValidator(_memory)]


@dataclass(frozen=True)
class LocalLauncher:
    """How runs get onto this machine.

    Attributes
    ----------
    kind : str
        ``local``: worker processes through submitit; ``debug``: in this process, one run after another.
    workers : int or "auto"
        Processes at a time; ``auto`` is one a GPU, else one a core.
    threads : int or "auto"
        Threads a worker computes with. On a CPU ``auto`` is 1: the number of threads changes the last bits of a sum, so
        results must not depend on how many workers there are. On a GPU it is cores / workers.
    checkpoint_minutes : float
        How much work a killed run may lose.
    checkpoint_steps : int or None
        The same in steps: whichever comes first.
    max_attempts : int
        How often a run may take its worker down with it before it counts as failed.
    timeout_hours : float
        Lifetime of a worker.
    start : "auto", "fork" or "spawn"
        Whether the first workers are forked from one process that has imported torch, or import it each; results are
        the same. ``auto`` forks on Linux where there is no GPU and a worker computes with one thread.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    kind: Literal["local", "debug"]
    workers: Annotated[int, Ge(1)] | Auto = "auto"
    threads: Annotated[int, Ge(1)] | Auto = "auto"
    checkpoint_minutes: Annotated[float, Gt(0)] = 1.0
    checkpoint_steps: Annotated[int, Ge(1)] | None = None
    max_attempts: Annotated[int, Ge(1)] = 3
    timeout_hours: Annotated[float, Gt(0)] = 168.0
    start: Literal["auto", "fork", "spawn"] = "auto"


@dataclass(frozen=True)
class SlurmLauncher:
    """How runs get onto a SLURM cluster. What a field does not name, `sbatch` can.

    Attributes
    ----------
    kind : str
        ``slurm``.
    partition, account, qos, constraint : str or None
        As sbatch takes them; the site's default otherwise.
    gpus : int
        GPUs of an array task; 0 computes on the CPU. A profile's `resources` in the registry may ask for more.
    gpu_type : str or None
        As in ``a100``, where the site tells them apart.
    cpus : int
        Cores of an array task.
    memory : str
        Of an array task on each node, as in ``16G``.
    time : str
        Time limit of an array task, as in ``4h``. A run that needs longer goes on in the same task, requeued.
    target : str
        Runs are packed into array tasks that should take about so long, by the plan's estimates.
    runs_per_gpu : int or "auto"
        Runs side by side on a GPU; ``auto`` by the memory that finished runs of the same benchmark took. On the CPU the
        runs side by side are as many as `cpus`, and ``auto`` reduces that to what `memory` holds.
    array_parallelism : int
        Tasks of one array at a time.
    max_queued : int
        Array tasks of yours in the queue at a time, waiting or running; the rest is held back.
    max_array_size : int or "auto"
        Tasks of one array; ``auto`` asks the site.
    setup : list of str
        Shell lines before Python starts, as in ``module load cuda``.
    sbatch : mapping of option to value
        More options of sbatch by their long names, as in ``{mail-type: END, reservation: workshop}``.
    signal : str
        What SLURM sends ahead of the time limit. NCCL swallows USR1.
    signal_seconds : int
        How long ahead: enough for one step, a checkpoint and its way to the disk.
    checkpoint_minutes : float
        How much work a killed run may lose.
    checkpoint_steps : int or None
        The same in steps: whichever comes first.
    max_attempts : int
        How often a run may take its worker down, or lose its node, before it counts as failed.
    max_requeues : int
        How often an array task is requeued at its time limit or by preemption.
    poll_seconds : float
        How often an attached launcher asks SLURM for the state of its jobs.
    threads : int or "auto"
        Threads a worker computes with; ``auto`` is 1 on a CPU, and `cpus` / runs side by side on GPUs.
    python : str or None
        Command of the interpreter on the nodes; default: the one that submits.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    kind: Literal["slurm"]
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpus: Annotated[int, Ge(0)] = 1
    gpu_type: str | None = None
    cpus: Annotated[int, Ge(1)] = 4
    memory: Memory = "16G"
    time: Duration = "4h"
    target: Duration = "1h"
    runs_per_gpu: Annotated[int, Ge(1)] | Auto = 1
    array_parallelism: Annotated[int, Ge(1)] = 64
    max_queued: Annotated[int, Ge(1)] = 500
    max_array_size: Annotated[int, Ge(1)] | Auto = "auto"
    setup: list[str] = field(default_factory=list)
    sbatch: Annotated[dict[str, str | int | float | bool], BeforeValidator(_options)] = field(default_factory=dict)
    signal: Literal["USR1", "USR2", "TERM"] = "USR2"
    signal_seconds: Annotated[int, Ge(10)] = 120
    checkpoint_minutes: Annotated[float, Gt(0)] = 5.0
    checkpoint_steps: Annotated[int, Ge(1)] | None = None
    max_attempts: Annotated[int, Ge(1)] = 3
    max_requeues: Annotated[int, Ge(0)] = 100
    poll_seconds: Annotated[float, Gt(0)] = 15.0
    threads: Annotated[int, Ge(1)] | Auto = "auto"
    python: str | None = None

    @property
    def time_s(self) -> int:
        """Time limit of an array task, in seconds."""
        return seconds(self.time)

    @property
    def target_s(self) -> int:
        """What an array task should take, in seconds."""
        return min(seconds(self.target), max(1, self.time_s - self.signal_seconds))


Launcher = Annotated[LocalLauncher | SlurmLauncher, Field(discriminator="kind")]


@dataclass(frozen=True)
class Resources:
    """What one run of a profile computes on, if more than one process.

    Attributes
    ----------
    nodes : int
    gpus : int
        On each node, a process each; processes on the CPU where the launcher asks for no GPUs.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    nodes: Annotated[int, Ge(1)] = 1
    gpus: Annotated[int, Ge(1)] = 1

    @property
    def processes(self) -> int:
        """All processes of a run."""
        return self.nodes * self.gpus
