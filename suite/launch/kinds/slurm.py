"""The launcher kind ``slurm``: array tasks on a cluster, through submitit; see :mod:`suite.launch.slurm`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

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
        late = "else every array task is warned at its start"
        if self.signal_seconds >= self.time_s:
            yield "signal_seconds", f"must be less than launcher.time, {self.time}: {late}"
        for name, given in self.benchmarks.items():
            if "time" in given and self.signal_seconds >= self.of(name).time_s:
                message = f"must be more than launcher.signal_seconds, {self.signal_seconds}: {late}"
                yield f"benchmarks.{name}.time", message

    def check(self, runs: Sequence[Run]) -> None:
        """Ask the site whether it would take jobs with these settings."""
        from suite.launch.slurm.sbatch import check

        check(self, {run.benchmark for run in runs})

    def packs(self, runs: Sequence[Run], registry: Registry) -> list[Pack]:
        """Return the array tasks that runs are packed into."""
        from suite.launch.slurm.sbatch import packs

        return packs(runs, registry, self)

    def work_settings(self) -> WorkSettings:
        """Return what workers need to know."""
        return replace(super().work_settings(), cpus=self.cpus)

    def array_settings(self) -> ArraySettings:
        """Return what array tasks need to know."""
        return ArraySettings(self.memory, self.signal, self.signal_seconds, self.max_requeues)

    def submitter(self) -> str:
        """Return the user of the cluster."""
        from suite.launch.slurm import client

        return client.identity(self.cluster)

    def site_settings(self) -> dict[str, Any]:
        """Return the cluster, if the launcher names one."""
        return {} if self.cluster is None else {"cluster": self.cluster}

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
        longest = clock(max((pack.seconds for pack in packed), default=0.0))
        occupied: dict[str, float] = {} if packed else {self._what(): 0.0}
        benchmark = {run.key: run.benchmark for run in runs}
        for pack in packed:
            own = self.of(benchmark[pack.keys[0]])
            seconds = pack.seconds * pack.nodes * max(1, own.gpus, pack.gpus)
            occupied[own._what()] = occupied.get(own._what(), 0.0) + seconds
        listed = ", ".join(f"{clock(seconds)} {what}" for what, seconds in occupied.items())
        apart = "".join(f"\n  {line}" for line in self._apart(packed, benchmark))
        return f"{len(packed)} array tasks of up to {longest}, {listed}{apart}"

    def _what(self) -> str:
        return "of GPU time" if self.gpus else f"of {self.cpus} cores"

    def _apart(self, packed: Sequence[Pack], benchmark: Mapping[str, str]) -> Iterator[str]:
        """Yield which benchmarks have array tasks of their own, how many, and with what."""
        for name, given in self.benchmarks.items():
            tasks = [pack for pack in packed if any(benchmark[key] == name for key in pack.keys)]
            if tasks and given:
                said = ", ".join(f"{field} {'default' if value is None else value}" for field, value in given.items())
                yield f"{name}: {len(tasks)} of them, with {said}"
