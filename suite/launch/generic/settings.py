"""What a launcher file of kind ``generic`` says: a scheduler's own commands, and the script of a job."""

from __future__ import annotations

import getpass
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import Ge, Gt

from suite.launch.generic.commands import JOBS, filled
from suite.launch.kinds.pool import PoolLauncher
from suite.records.launch import Launch
from suite.records.record import Store
from suite.registry.launchers import Duration, seconds

PLACES: Final = {
    "submit": {"name", "log", "script", "user", "hms", "minutes", "seconds"},
    "header": {"name", "log", "user", "hms", "minutes", "seconds"},
    "status": {"user", "jobs"},
    "cancel": {"user", "jobs"},
}


@dataclass(frozen=True)
class GenericSettings(PoolLauncher):
    """How workers become jobs. Commands are lists of words; no shell reads them.

    Places that are filled: ``{name}``, ``{log}`` (a file), ``{script}`` (the job's script, which the command also gets
    on standard input), ``{hms}``, ``{minutes}`` and ``{seconds}`` (the time limit), ``{user}``; ``{jobs}``, a word a
    job. Double braces stand for braces.

    Attributes
    ----------
    kind : str
        ``generic``.
    submit : list of str
        The command that submits a job.
    job_id : str
        A regular expression with one group: the job's id in what `submit` prints.
    status : list of str
        The command that lists jobs. Where it ends with another status than 0, nothing is known, and nothing submitted.
    status_line : str
        A regular expression with the groups ``job`` and ``state``, found in every line of its answer.
    states : mapping of meaning to list of str
        The scheduler's words for ``pending``, ``running`` and ``gone``. A job that is not listed is gone; one in
        another state is unknown, and stays so.
    nothing : str or None
        A regular expression of the message of a `status` that fails where there is no job.
    cancel : list of str
        The command that ends jobs, with ``{jobs}``.
    header : list of str
        Lines of the script before all others, as in ``#PBS -l walltime={hms}``.
    setup : list of str
        Shell lines before Python starts, as in ``module load cuda``.
    jobs_at_a_time : int
        Jobs in the queue.
    time : str
        Time limit of a job.
    target : str
        How much work a job should have, by the plan's estimates: fewer jobs are submitted for little work.
    workers : int or None
        Runs side by side in a job; one a GPU, else one a core, by default.
    poll_seconds : float
        How often an attached launcher asks.
    python : str or None
        The interpreter on the nodes; default: the one that submits.
    """

    keeps: ClassVar[str] = "jobs      stay where they are"
    kind: Literal["generic"]  # type: ignore[assignment]
    submit: list[str] = field(default_factory=list)
    job_id: str = r"(\d+)"
    status: list[str] = field(default_factory=list)
    status_line: str = r"^\s*(?P<job>\S+)\s+(?P<state>\S+)"
    states: dict[Literal["pending", "running", "gone"], list[str]] = field(default_factory=dict)
    nothing: str | None = None
    cancel: list[str] = field(default_factory=list)
    header: list[str] = field(default_factory=list)
    setup: list[str] = field(default_factory=list)
    jobs_at_a_time: Annotated[int, Ge(1)] = 4
    time: Duration = "4h"
    target: Duration = "1h"
    workers: Annotated[int, Ge(1)] | None = None
    poll_seconds: Annotated[float, Gt(0)] = 15.0
    python: str | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield commands that cannot be filled, and expressions that find nothing."""
        for name, places in PLACES.items():
            words = getattr(self, name)
            if not words and name != "header":
                yield name, "must say a command, as a list of its words"
            for word in words:
                try:
                    filled(word, dict.fromkeys(places, ""))
                except KeyError as error:
                    known = ", ".join(f"{{{place}}}" for place in sorted(places))
                    yield name, f"{word!r} has no place {{{error.args[0]}}}, but {known}; {{{{ stands for a brace"
        if self.cancel and JOBS not in self.cancel:
            yield "cancel", f"must have the word {JOBS}"
        yield from _problem(self.job_id, "job_id", groups=1)
        yield from _problem(self.status_line, "status_line", names={"job", "state"})
        yield from _problem(self.nothing or "", "nothing")

    def site_settings(self) -> dict[str, Any]:
        """Return how jobs are listed and ended."""
        names = ("status", "status_line", "states", "nothing", "cancel")
        return {**{name: getattr(self, name) for name in names}, "values": {"user": _user()}}

    def values(self, name: str, log: Path, script: Path) -> dict[str, str]:
        """Return what fills the places of a job's commands."""
        limit = seconds(self.time)
        hms = f"{limit // 3600:02}:{limit // 60 % 60:02}:{limit % 60:02}"
        times = {"hms": hms, "minutes": str(-(-limit // 60)), "seconds": str(limit)}
        return {"name": name, "log": str(log), "script": str(script), "user": _user(), **times}

    def script(self, launch: Launch, store: Store, values: dict[str, str]) -> str:
        """Return the script of a job: a worker of the launch, in this folder."""
        command = [self.python or sys.executable, "-m", "suite", "worker", "--out", str(store.out)]
        command += ["--launch", launch.id, "--time", f"{seconds(self.time)}s"]
        command += ["--workers", str(self.workers)] if self.workers is not None else []
        header = [filled(line, values) for line in self.header]
        lines = ["#!/bin/sh", *header, *self.setup, f"cd {shlex.quote(str(Path.cwd()))}", f"exec {shlex.join(command)}"]
        return "\n".join(lines) + "\n"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _problem(text: str, name: str, groups: int = 0, names: set[str] = frozenset()) -> Iterator[tuple[str, str]]:  # type: ignore[assignment]
    try:
        found = re.compile(text)
    except re.error as error:
        yield name, f"{text!r} is no regular expression: {error}"
        return
    if found.groups < groups or not names <= found.groupindex.keys():
        wanted = " and ".join(f"(?P<{one}>...)" for one in sorted(names)) or "a group, as in Job <(\\d+)>"
        yield name, f"{text!r} must have {wanted}"
