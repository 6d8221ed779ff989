"""SLURM's commands as functions. What SLURM does not say stays unsaid: nothing here takes silence for an answer."""

from __future__ import annotations

import functools
import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from suite.launch.queue import ArrayTask, SchedulerUnavailable
from suite.process import own_environment
from suite.records.arrays import JOB_PREFIX

PATIENCE_S = 60.0

#: States in which a job is over. Any other, a new one of SLURM's among them, may be a job that still runs.
ENDED = frozenset(
    ["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT"]
)


class Refused(RuntimeError):
    """SLURM answered, and refuses; its own words."""


@dataclass(frozen=True)
class Ended:
    """What accounting says of a task: its state (``NODE_FAIL``, ``TIMEOUT``, ...), exit code and nodes."""

    state: str
    exit_code: str
    nodes: str


def queue(cluster: str | None = None) -> list[ArrayTask]:
    """Return this user's jobs of the suite that wait or run, every array task by itself.

    Parameters
    ----------
    cluster : str, optional
        Which of several clusters; here and below, the one that SLURM's commands speak with by default.

    Raises
    ------
    SchedulerUnavailable
    """
    fields = "%i|%K|%T|%r|%N|%j"
    options = ("--noheader", "--array", "--user", str(os.getuid()), "--format", fields)
    tasks = []
    for line in _rows(_told("squeue", *_of(cluster), *options)):
        job, index, state, reason, nodes, name = line.strip().split("|", 5)
        if name.startswith(JOB_PREFIX):
            tasks.append(ArrayTask(job, name, int(index) if index.isdigit() else 0, state, reason, nodes))
    return tasks


def _of(cluster: str | None) -> tuple[str, ...]:
    return () if cluster is None else ("--clusters", cluster)


def _rows(printed: str) -> list[str]:
    """Return the rows of a table without its ``CLUSTER: name``, which ``--noheader`` does not take away."""
    return [line for line in printed.splitlines() if not line.startswith("CLUSTER: ")]


def identity(cluster: str | None = None) -> str:
    """Return whose jobs :func:`queue` shows: a user of a cluster.

    Raises
    ------
    SchedulerUnavailable
    """
    return f"{os.getuid()}@{cluster or _cluster()}"


@functools.cache
def _cluster() -> str:
    return configuration().get("ClusterName", "")


def accounting(jobs: Iterable[str], cluster: str | None = None) -> dict[str, Ended]:
    """Return what accounting knows of jobs (``123_4``); nothing where the site has none.

    Parameters
    ----------
    jobs : iterable of str
        Any number.
    cluster : str, optional
    """
    wanted = set(jobs)
    if not wanted or shutil.which("sacct") is None:
        return {}
    numbers = ",".join(sorted({job.partition("_")[0] for job in wanted}))
    options = ("--noheader", "--parsable2", "--allocations", "--jobs", numbers)
    try:
        lines = _answer("sacct", *_of(cluster), *options, "--format", "JobID,State,ExitCode,NodeList").splitlines()
    except (SchedulerUnavailable, Refused):
        return {}
    found: dict[str, Ended] = {}
    for line in lines:
        listed, state, code, nodes = line.split("|")
        ended = Ended(state.partition(" ")[0], code, "" if nodes == "None assigned" else nodes)
        found.update((job, ended) for job in _tasks(listed) if job in wanted)
    return found


def _tasks(listed: str) -> list[str]:
    """Return the tasks behind one line of sacct: ``12_[3,5-9:2%4]`` are those that never started."""
    job, bracket, ranges = listed.partition("_[")
    if not bracket:
        return [listed]
    tasks = []
    for first, last, step in re.findall(r"(\d+)(?:-(\d+)(?::(\d+))?)?", ranges.rstrip("]").partition("%")[0]):
        tasks += [f"{job}_{index}" for index in range(int(first), int(last or first) + 1, int(step or 1))]
    return tasks


def state(job: str) -> str | None:
    """Return the state of one job while the controller remembers it, else None.

    Raises
    ------
    SchedulerUnavailable
    """
    try:
        text = _answer("scontrol", "--oneliner", "show", "job", job)
    except Refused:
        return None
    match = re.search(r"\bJobState=(\S+)", text)
    return match[1] if match else None


def cancel(jobs: Sequence[str], cluster: str | None = None) -> None:
    """End jobs; those that are gone already are no error.

    Raises
    ------
    SchedulerUnavailable
    """
    for start in range(0, len(jobs), 200):
        try:
            _answer("scancel", *_of(cluster), *jobs[start : start + 200])
        except Refused as error:
            if "Invalid job id" not in str(error):
                raise


def requeue(job: str) -> None:
    """Put a running job back into the queue; its processes get SIGTERM at once, and SIGKILL a little later.

    Raises
    ------
    SchedulerUnavailable
    Refused
        Also if the job does not run (any more): SLURM itself would bring cancelled and finished jobs back to life.
    """
    if (now := state(job)) != "RUNNING":
        raise Refused(f"job {job} is {now or 'unknown'}, not RUNNING: only running jobs are requeued")
    _answer("scontrol", "requeue", job)


def configuration(cluster: str | None = None) -> dict[str, str]:
    """Return the controller's configuration, as in ``{"MaxArraySize": "1001", ...}``.

    Raises
    ------
    SchedulerUnavailable
    """
    pairs = (line.partition("=") for line in _told("scontrol", *_of(cluster), "show", "config").splitlines())
    return {name.strip(): value.strip() for name, sign, value in pairs if sign}


def partitions(cluster: str | None = None) -> dict[str, str]:
    """Return the partitions and their time limits; the default one first.

    Raises
    ------
    SchedulerUnavailable
    """
    printed = _told("sinfo", *_of(cluster), "--noheader", "--format", "%P|%l")
    listed = [line.split("|") for line in _rows(printed)]
    listed.sort(key=lambda pair: not pair[0].endswith("*"))
    return {name.rstrip("*"): limit for name, limit in listed}


def limit_s(text: str) -> float:
    """Return the seconds of a time limit as sinfo prints it: ``30:00``, ``4:00:00``, ``1-12:00:00``, ``infinite``."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts):
        return math.inf
    hours, minutes, seconds = ([0] * 3 + [int(part) for part in parts])[-3:]
    return 86_400 * int(days or 0) + 3_600 * hours + 60 * minutes + seconds


def submission_problem(script: str) -> str | None:
    """Return what sbatch would say against a script, or None if it would take it.

    Raises
    ------
    SchedulerUnavailable
    """
    try:
        _answer("sbatch", "--test-only", given=script)
    except Refused as error:
        return str(error)
    return None


def is_silence(said: str) -> bool:
    """Whether an error message means that SLURM did not answer, rather than that it refused."""
    return _SILENT.search(said) is not None and "Invalid job id" not in said


_SILENT = re.compile(
    r"Unable to contact|Connection (?:refused|timed out)|Socket timed out|Zero Bytes were transmitted|"
    r"Transport endpoint|Unable to establish|slurm_load_\w+ error|Slurm temporarily unable",
    re.IGNORECASE,
)


def _told(*command: str) -> str:
    """Run a command that asks about the site as a whole: whatever keeps it from answering, nothing is known then."""
    try:
        return _answer(*command)
    except Refused as error:
        raise SchedulerUnavailable(f"{command[0]}: {error}") from error


def _answer(*command: str, given: str | None = None) -> str:
    """Run a command of SLURM; its standard output, or an exception that tells silence from refusal."""
    environment = own_environment(SLURM_BITSTR_LEN="0")  # or long lists of array tasks end in "..."
    try:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env=environment,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError as error:
        raise SchedulerUnavailable(f"{command[0]} is not installed here") from error
    except subprocess.TimeoutExpired as error:
        raise SchedulerUnavailable(f"{command[0]} did not answer within {PATIENCE_S:g} s") from error
    if done.returncode == 0:
        return done.stdout
    said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
    if is_silence(said):
        raise SchedulerUnavailable(f"{command[0]}: {said}")
    raise Refused(said)
