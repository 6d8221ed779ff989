"""The launcher kind ``debug``: the work in this process, one run after another."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Literal

from suite.launch.interruption import handling
from suite.launch.jobs import Jobs
from suite.launch.kinds.local import LocalLauncher
from suite.plan.run import Run
from suite.process import in_own_environment
from suite.records.launch import Launch, Worker
from suite.records.record import Store


@dataclass(frozen=True)
class DebugLauncher(LocalLauncher):
    """How runs are executed in this process; the attributes are those of a local launcher.

    Attributes
    ----------
    kind : str
        ``debug``.
    """

    kind: Literal["debug"]  # type: ignore[assignment]
    copies_code: ClassVar[bool] = False

    def parallel(self) -> int:
        """Return 1."""
        return 1

    def jobs(self, launch: Launch, store: Store) -> Jobs:
        """Return the work of a launch."""
        return DebugJobs(launch)


class DebugJobs:
    """The work in this process: `begin` returns when it is done."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch

    def begin(self, open_runs: Mapping[str, Run], detached: bool) -> None:
        """Carry out the launch here and now."""
        from suite.work.worker import work

        with in_own_environment(), _interruptible_at_once():
            work(str(self.launch.folder), 0)

    def tend(self, open_runs: Mapping[str, Run], is_getting_on: bool) -> None:
        """Do nothing."""

    def parallel(self) -> int:
        """Return 1."""
        return 1

    def workers(self) -> list[Worker]:
        """Return none: nothing outlives `begin`."""
        return []

    def notice(self) -> str:
        """Return nothing."""
        return ""

    def stop(self, hard: bool) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing."""


def _interruptible_at_once() -> AbstractContextManager[None]:
    """Let Ctrl-C raise and TERM end the process: the work is here, and no worker is asked to save."""
    return handling({signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL})
