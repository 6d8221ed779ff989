"""A command that SLURM calls when the array tasks of a results folder have ended: nobody needs to wait for them."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import replace

from suite.launch.jobs import LaunchError, unpatterned
from suite.launch.slurm import client
from suite.launch.slurm.queue import cluster_of
from suite.launch.slurm.sbatch import parameters, small
from suite.launch.slurm.settings import SlurmSettings
from suite.process import importable, in_own_environment
from suite.records.arrays import batches, open_launches
from suite.records.record import Store

NAME = "suite-follow"


def follow(launcher: SlurmSettings, command: Sequence[str], store: Store) -> str:
    """Submit a small job that calls a command once the array tasks in the queue have ended, however they have.

    Returns
    -------
    str
        What was done, in words.

    Raises
    ------
    LaunchError
        If SLURM does not take the job.
    """
    import submitit

    # jobs of other clusters are no dependencies; the command itself waits for them
    launches = [launch for launch in open_launches(store) if cluster_of(launch) == launcher.cluster]
    jobs = sorted({batch.job for launch in launches for batch in batches(launch) if batch.job is not None})
    folder = unpatterned(store.out) / "follow"
    little = replace(small(launcher), time=launcher.time, signal_seconds=launcher.signal_seconds)
    executor = submitit.SlurmExecutor(folder=folder, python=launcher.python)
    path = os.pathsep.join(importable())
    setup = [*launcher.setup, f"export PYTHONPATH={shlex.quote(path)}"]
    after = {"dependency": f"afterany:{':'.join(jobs)}"} if jobs else {}
    executor.update_parameters(job_name=NAME, setup=setup, **after, **parameters(little))
    try:
        with in_own_environment():
            job = executor.submit(call, list(command), os.getcwd())
    except (submitit.core.utils.FailedJobError, subprocess.SubprocessError) as error:
        said = str(error).strip().splitlines()[-1]
        silence = " (SLURM does not answer)" if client.is_silence(said) else ""
        raise LaunchError(f"the job that is to go on was not taken{silence}: {said}") from error
    return f"SLURM's job {job.job_id} chooses and starts the second stage when they have ended: {job.paths.stdout}"


def call(command: Sequence[str], folder: str) -> int:
    """Call a command in a folder, in an environment of its own, and return its exit status."""
    with in_own_environment():
        return subprocess.run(command, cwd=folder, check=False).returncode
