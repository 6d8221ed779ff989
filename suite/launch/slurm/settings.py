"""What a launcher file of kind ``slurm`` says."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from annotated_types import Ge, Gt
from pydantic import BeforeValidator, with_config
from typing_extensions import TypedDict  # pydantic reads typing's own from Python 3.12 on

from suite.registry.launchers import STRICT, Auto, Duration, Launcher, Memory, seconds

_OWN: Final = (
    frozenset(
        {
            "account",
            "array",
            "begin",
            "cluster",
            "clusters",
            "constraint",
            "cpus-per-task",
            "error",
            "gpus-per-node",
            "gres",
        }
    )
    | {"job-name", "mem", "nodes", "ntasks-per-node", "open-mode", "output", "partition", "qos", "signal", "time"}
    | {"requeue", "no-requeue"}
)


def _one_cluster(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[\w.-]+", value):
        raise ValueError("expected the name of one cluster: each numbers its jobs by itself")
    return value


def _options(value: Any) -> Any:
    own = [name for name in value if name.lstrip("-").replace("_", "-") in _OWN] if isinstance(value, dict) else []
    if own:
        raise ValueError(f"the suite sets {', '.join(own)} itself; most of these are fields of the launcher")
    return value


@with_config(STRICT)
class BenchmarkSettings(TypedDict, total=False):
    """What array tasks for one benchmark are to have otherwise: fields of :class:`SlurmSettings`."""

    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    gpus: Annotated[int, Ge(0)]
    gpu_type: str | None
    cpus: Annotated[int, Ge(1)]
    memory: Memory
    time: Duration
    target: Duration
    runs_per_gpu: Annotated[int, Ge(1)] | Auto


@dataclass(frozen=True)
class SlurmSettings(Launcher):
    """What a launcher file says of a SLURM cluster. What a field does not name, `sbatch` can.

    Attributes
    ----------
    kind : str
        ``slurm``.
    cluster : str or None
        Which of several clusters: goes to every command of SLURM as ``--clusters``; the site's default otherwise.
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
    benchmarks : mapping of benchmark to settings
        What array tasks for runs of a benchmark have otherwise, as in ``{image: {partition: gpu, memory: 32G}}``.
    sbatch : mapping of option to value
        More options of sbatch by their long names, as in ``{mail-type: END, reservation: workshop}``.
    signal : str
        What SLURM sends ahead of the time limit. NCCL swallows USR1.
    signal_seconds : int
        How long ahead: enough for one step, a checkpoint and its way to the disk.
    checkpoint_minutes : float
        How much work a killed run may lose.
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

    benchmark_fields: ClassVar[tuple[str, ...]] = tuple(BenchmarkSettings.__annotations__)
    kind: Literal["slurm"]
    cluster: Annotated[str | None, BeforeValidator(_one_cluster)] = None
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
    max_requeues: Annotated[int, Ge(0)] = 100
    poll_seconds: Annotated[float, Gt(0)] = 15.0
    python: str | None = None
    benchmarks: dict[str, BenchmarkSettings] = field(default_factory=dict)

    def named_benchmarks(self) -> Collection[str]:
        """Return the benchmarks that have settings of their own."""
        return self.benchmarks

    def of(self, benchmark: str) -> Self:
        """Return the settings of array tasks for a benchmark's runs."""
        return replace(self, benchmarks={}, **self.benchmarks.get(benchmark, {}))

    def worker_threads(self) -> int | None:
        """Return how many threads a worker computes with: on a CPU 1, on GPUs its share of the cores."""
        return self.threads if isinstance(self.threads, int) else 1 if self.gpus == 0 else None

    @property
    def time_s(self) -> int:
        """Time limit of an array task, in seconds."""
        return seconds(self.time)

    @property
    def target_s(self) -> int:
        """What an array task should take, in seconds."""
        return min(seconds(self.target), max(1, self.time_s - self.signal_seconds))
