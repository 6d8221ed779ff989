"""The launcher kind ``slurm``: array tasks on a cluster, through submitit; see :mod:`suite.launch.slurm`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from suite.launch.jobs import Jobs
from suite.launch.kind import Kind
from suite.launch.queue import Site
from suite.launch.slurm.settings import SlurmSettings
from suite.plan.run import Run
from suite.records.launch import Launch
from suite.records.record import Store
from suite.records.specs import ArraySettings, Pack, WorkSettings
from suite.registry.registry import Registry


@dataclass(frozen=True)
class SlurmLauncher(SlurmSettings, Kind):
    """How runs get onto a SLURM cluster; its fields are those of :class:`suite.launch.slurm.settings.SlurmSettings`."""

    is_on_cluster: ClassVar[bool] = True
    keeps: ClassVar[str] = "SLURM     keeps the jobs"
    doctor: ClassVar[str | None] = "suite.doctor.cluster"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield settings that do not go together."""
        if self.signal_seconds >= self.time_s:
            message = f"must be less than launcher.time, {self.time}: else every array task is warned at its start"
            yield "signal_seconds", message

    def check(self, runs: Sequence[Run]) -> None:
        """Ask the site whether it would take jobs with these settings."""
        from suite.launch.slurm.sbatch import check

        check(self)

    def packs(self, runs: Sequence[Run], registry: Registry) -> list[Pack]:
        """Return the array tasks that runs are packed into."""
        from suite.launch.slurm.sbatch import packs

        return packs(runs, registry, self)

    def worker_threads(self) -> int | None:
        """Return how many threads a worker computes with: on a CPU 1, on GPUs its share of the cores."""
        return self.threads if isinstance(self.threads, int) else 1 if self.gpus == 0 else None

    def work_settings(self) -> WorkSettings:
        """Return what workers need to know."""
        return replace(super().work_settings(), cpus=self.cpus)

    def array_settings(self) -> ArraySettings:
        """Return what array tasks need to know."""
        return ArraySettings(self.memory, self.signal, self.signal_seconds, self.max_requeues)

    def submitter(self) -> str:
        """Return the user of the cluster."""
        from suite.launch.slurm import client

        return client.identity()

    @classmethod
    def site(cls) -> Site:
        """Return the cluster that SLURM's commands speak with."""
        from suite.launch.slurm.queue import SlurmSite

        return SlurmSite()

    def jobs(self, launch: Launch, store: Store) -> Jobs:
        """Return the array tasks of a launch."""
        from suite.launch.slurm.jobs import SlurmJobs

        return SlurmJobs(launch, self, store)

    def follow(self, command: Sequence[str], store: Store) -> str:
        """Submit a job that calls a command once the array tasks in the queue have ended."""
        from suite.launch.slurm.follow import follow

        return follow(self, [*command, "--detach", "--choose"], store)

    def cost(self, runs: Sequence[Run], registry: Registry, clock: Callable[[float], str]) -> str:
        """Return how many array tasks there will be, and what they occupy."""
        packed = self.packs(runs, registry)
        occupied = sum(pack.seconds * pack.nodes * max(1, self.gpus, pack.gpus) for pack in packed)
        longest = clock(max((pack.seconds for pack in packed), default=0.0))
        what = "of GPU time" if self.gpus else f"of {self.cpus} cores"
        return f"{len(packed)} array tasks of up to {longest}, {clock(occupied)} {what}"
