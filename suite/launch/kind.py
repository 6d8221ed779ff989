"""What a launcher kind brings: its check, how it packs runs, and where its workers come from."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

from suite.launch.jobs import Jobs
from suite.launch.queue import Site
from suite.plan.run import Run
from suite.problems import InputError, Problem
from suite.process import in_own_environment
from suite.records.launch import Launch
from suite.records.record import Store
from suite.records.specs import ArraySettings, Pack, WorkSettings
from suite.registry.launchers import Launcher
from suite.registry.registry import Registry


class Kind(Launcher, ABC):
    """A launcher kind: a frozen dataclass of its settings, with what follows from them.

    Attributes
    ----------
    is_on_cluster : bool
        Whether the workers are in array tasks of a cluster, which stay when the launcher leaves.
    copies_code : bool
        Whether workers use a copy of the code as it stands when they are launched.
    is_pool : bool
        Whether runs wait for workers that join from wherever they are started, which go on when the launcher leaves.
    keeps : str
        What goes on when the launcher leaves, for whoever has interrupted it; empty if nothing does.
    doctor : str or None
        A module whose ``findings(launcher, registry, store, tracking_uri, here, patience_s)`` tells what the site says.
    """

    is_on_cluster: ClassVar[bool] = False
    copies_code: ClassVar[bool] = True
    is_pool: ClassVar[bool] = False
    keeps: ClassVar[str] = ""
    doctor: ClassVar[str | None] = None

    def check(self, runs: Sequence[Run]) -> None:
        """Refuse runs and settings that cannot be carried out.

        Raises
        ------
        InputError
            With all of them; here, with runs that are to be spread over several processes.
        LaunchError
            If that cannot be known now.
        """
        asked = {run.benchmark: run.config["processes"] for run in runs if run.config.get("processes", 1) > 1}
        advice = f"which --launcher slurm gives and {self.kind} does not; without them: ~benchmarks"
        if asked:
            raise InputError(
                Problem(
                    f"benchmarks.{name}.resources", "", f"asks for {number} processes a run, {advice}.{name}.resources"
                )
                for name, number in asked.items()
            )

    @abstractmethod
    def packs(self, runs: Sequence[Run], registry: Registry) -> list[Pack]:
        """Return what each worker, or each array task, is to do."""

    @abstractmethod
    def worker_threads(self) -> int | None:
        """Return how many threads a worker computes with; None to share an array task's cores out."""

    def work_settings(self) -> WorkSettings:
        """Return what workers need to know."""
        threads = self.worker_threads()
        return WorkSettings(
            self.max_attempts, self.checkpoint_minutes, self.checkpoint_steps, threads, scratch=self.scratch
        )

    def array_settings(self) -> ArraySettings | None:
        """Return what array tasks need to know; None without array tasks."""
        return None

    def submitter(self) -> str:
        """Return who may ask the site for the jobs of a launch; empty without jobs."""
        return ""

    def needs(self, store: Store) -> str:
        """Return the command that somebody has to give for runs to begin; empty if none."""
        return ""

    def site_settings(self) -> dict[str, Any]:
        """Return how the jobs of a launch are asked for, as far as :meth:`site` has to be told."""
        return {}

    @classmethod
    def site(cls) -> Site | None:
        """Return where the jobs of all launches of this kind wait and run; None if its workers are no jobs."""
        return None

    @abstractmethod
    def jobs(self, launch: Launch, store: Store) -> Jobs:
        """Return where the workers of a launch come from."""

    def follow(self, command: Sequence[str], store: Store) -> str:
        """Have a command go on with what is in the background, without this process; here, in a process of its own.

        Parameters
        ----------
        command : sequence of str
            It waits for runs in the hands of others.
        store : Store

        Returns
        -------
        str
            What was done, in words.

        Raises
        ------
        LaunchError
            If that is not possible.
        """
        log = store.out / "tune.log"
        with log.open("ab") as file, in_own_environment():
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
        return f"a process in the background waits for them, chooses, and goes on with the second stage: {log}"

    @abstractmethod
    def cost(self, runs: Sequence[Run], registry: Registry, clock: Callable[[float], str]) -> str:
        """Return in words what runs cost here; `clock` tells a duration in seconds."""


def kind_of(registry: Registry) -> Kind:
    """Return the launcher that a registry names."""
    return cast(Kind, registry.document.launcher)
