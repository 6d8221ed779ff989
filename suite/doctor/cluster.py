"""Whether SLURM takes the launcher's jobs, and whether a node sees what this machine sees: tried with a probe job."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from suite.doctor.devices import Machine
from suite.doctor.findings import Finding
from suite.launch.jobs import LaunchError
from suite.launch.kinds.slurm import SlurmLauncher
from suite.launch.queue import SchedulerUnavailable
from suite.launch.slurm import client
from suite.launch.slurm.sbatch import check
from suite.problems import InputError

if TYPE_CHECKING:
    from suite.records.record import Store
    from suite.registry.registry import Registry

COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
ON_CLUSTER = "run the suite on a login node of the cluster, or load the site's module with SLURM's commands"


def findings(
    launcher: SlurmLauncher, registry: Registry, store: Store, tracking_uri: str, here: Machine, patience_s: float
) -> Iterator[Finding]:
    """Yield what SLURM says of itself and of the launcher, and what a probe job reports.

    Parameters
    ----------
    launcher : SlurmLauncher
    registry : Registry
    store : Store
        The results folder.
    tracking_uri : str
    here : Machine
        What the probe's report is compared with.
    patience_s : float
        How long the probe job may wait in the queue.
    """
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        yield Finding("slurm", "problem", f"not installed here: {', '.join(missing)}", ON_CLUSTER)
        return
    try:
        configuration, partitions = client.configuration(launcher.cluster), client.partitions(launcher.cluster)
    except (SchedulerUnavailable, client.Refused) as error:
        yield Finding(
            "slurm", "unknown", f"the controller does not answer: {error}", "try again later, or ask the site"
        )
        return
    version, name = configuration.get("SLURM_VERSION", "?"), configuration.get("ClusterName", "?")
    listed = ", ".join(f"{partition} ({limit})" for partition, limit in partitions.items())
    yield Finding("slurm", "ok", f"SLURM {version}, cluster {name}; partitions: {listed or 'none'}")
    yield _array_size(launcher, configuration)
    yield _accounting(launcher, configuration)
    from suite.doctor import visit  # with it comes submitit, half a second that only those who get here should pay

    refusal = list(_refusals(launcher, registry))
    yield from refusal or [Finding("slurm", "ok", "the site would take jobs with the launcher's settings")]
    if not refusal:
        yield from visit.findings(launcher, registry, store, tracking_uri, here, patience_s)


def _array_size(launcher: SlurmLauncher, configuration: Mapping[str, str]) -> Finding:
    most = configuration.get("MaxArraySize", "")
    if not most.isdigit():
        return Finding("slurm", "unknown", "the controller does not tell MaxArraySize", "set launcher.max_array_size")
    if isinstance(launcher.max_array_size, int) and launcher.max_array_size > int(most):
        what = f"launcher.max_array_size is {launcher.max_array_size}, the site's MaxArraySize is {most}"
        return Finding("slurm", "problem", what, "set it to auto")
    return Finding("slurm", "ok", f"MaxArraySize is {most}: larger arrays are split")


def _accounting(launcher: SlurmLauncher, configuration: Mapping[str, str]) -> Finding:
    kind = configuration.get("AccountingStorageType", "")
    what = ""
    if not kind.endswith("slurmdbd"):
        what = "the site keeps no accounting"
    elif shutil.which("sacct") is None:
        what = "sacct is not installed here"
    else:
        ask = ["sacct", "--noheader", "--allocations", "--starttime", "now", "--format", "JobID"]
        if launcher.cluster is not None:
            ask += ["--clusters", launcher.cluster]
        try:
            subprocess.run(
                ask,
                capture_output=True,
                timeout=client.PATIENCE_S,
                check=True,
                encoding="utf-8",
                errors="replace",
            )
        except subprocess.CalledProcessError as error:
            what = f"accounting does not answer: {' '.join(error.stderr.split())[:200]}"
        except subprocess.TimeoutExpired:
            what = "accounting does not answer"
    if not what:
        return Finding("slurm", "ok", "accounting answers: how jobs ended is known")
    advice = (
        "nothing needs doing: runs, status and cancel work without it; how a job ended that left no record is then "
        "unknown, and its runs are tried again"
    )
    return Finding("slurm", "warning", what, advice)


def _refusals(launcher: SlurmLauncher, registry: Registry) -> Iterator[Finding]:
    try:
        check(launcher, ["", *registry.document.benchmarks])  # the probe job has none
    except InputError as error:
        for problem in error.problems:
            yield Finding("slurm", "problem", str(problem), "correct the launcher's file, or say launcher.KEY=VALUE")
    except (LaunchError, client.Refused) as error:
        yield Finding("slurm", "unknown", f"whether the site takes such jobs: {error}", "try again later")
