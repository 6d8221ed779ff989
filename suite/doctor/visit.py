"""Sends the probe job, talks with it through the results folder, and judges what it reports."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import submitit

from suite.doctor import probe
from suite.doctor.devices import Machine, torch_findings
from suite.doctor.findings import Finding
from suite.doctor.folders import nearest
from suite.launch.jobs import unpatterned
from suite.launch.kinds.slurm import SlurmLauncher
from suite.launch.queue import SchedulerUnavailable
from suite.launch.slurm import client
from suite.launch.slurm.sbatch import parameters, small
from suite.process import in_own_environment
from suite.provenance.snapshot import SnapshotError, code_environment, take
from suite.records.arrays import JOB_PREFIX
from suite.records.files import held, read_json, write_json
from suite.records.record import Store
from suite.text.masking import masked

if TYPE_CHECKING:
    from suite.registry.registry import Registry

NAME = f"{JOB_PREFIX}doctor"
#: How long the probe may take once it runs: torch is read from a file system that may be slow.
WORK_PATIENCE_S = 240.0
#: How long files of a job that has ended may still be on their way.
ARRIVAL_S = 30.0
#: The same, where what the job printed is here already.
LAST_FILE_S = 3.0
#: How long it may take a job to leave once its work is done.
LEAVE_S = 10.0
POLL_S = 0.1
ASK_S = 1.0
MOST_SKEW_S = 2.0
SHARED = "keep results on a file system that the nodes mount at the same path: --out DIR"


@dataclass
class Visit:
    """A probe job and the folder to talk with it through.

    Attributes
    ----------
    folder : Path
    job : str
    waited_s : float
        How long it has waited in the queue.
    lock_seen : str
        What was seen here of the lock that it holds: ``held``, ``free``, or why that cannot be told.
    is_heard : bool
        Whether its report has arrived.
    cluster : str or None
        Where the job is, if the launcher names it.
    """

    folder: Path
    job: str
    waited_s: float = 0.0
    lock_seen: str = ""
    is_heard: bool = False
    cluster: str | None = None

    def state(self) -> tuple[str, str]:
        """Return the job's state and why it waits; ``GONE`` once the queue has forgotten it.

        Raises
        ------
        suite.launch.queue.SchedulerUnavailable, suite.launch.slurm.client.Refused
        """
        for task in client.queue(self.cluster):
            if task.job == self.job:
                return task.state, task.reason
        return "GONE", ""

    def last_words(self) -> str:
        """Return the end of what the job printed."""
        logs = sorted((self.folder / "jobs").glob("*_log.out"))
        lines = [
            line
            for log in logs
            for line in log.read_text(errors="replace", encoding="utf-8").splitlines()
            if line.strip()
        ]
        own = [line for line in lines if not line.startswith("srun: ")]
        return " / ".join((own or lines)[-3:])


def findings(
    launcher: SlurmLauncher, registry: Registry, store: Store, tracking_uri: str, here: Machine, patience_s: float
) -> Iterator[Finding]:
    """Yield what a job with the launcher's settings, but small, reports from its node.

    The parameters are those of :func:`suite.doctor.cluster.findings`.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(_folder_beside(store.out)))
            stack.enter_context(held(folder / "here.lock"))
            sizes = _cached(registry)
            visit = _submit(launcher, folder, sizes, masked(tracking_uri))  # it stands in a file for the job
        except (OSError, SnapshotError, submitit.core.utils.FailedJobError) as error:
            said = str(error).strip().splitlines()
            yield Finding("probe", "problem", f"no probe job could be sent: {said[-1] if said else error}")
            return
        stack.callback(_end, visit)
        report = _follow(visit, patience_s)
        if isinstance(report, Finding):
            yield report
        else:
            yield from judge(report, visit, launcher, here, len(sizes), tracking_uri)


def judge(
    report: Mapping[str, Any], visit: Visit, launcher: SlurmLauncher, here: Machine, files: int, tracking_uri: str
) -> Iterator[Finding]:
    """Yield what a probe's report means.

    Parameters
    ----------
    report : mapping
        As :func:`suite.doctor.probe.probe` writes it.
    visit : Visit
    launcher : SlurmLauncher
    here : Machine
        What runs there must agree with.
    files : int
        How many files of the data cache the probe was asked for.
    tracking_uri : str
    """
    host, there = report["host"], Machine(**report["machine"])
    yield Finding("probe", "ok", f"a job ran on {host} after {visit.waited_s:.0f} s in the queue")
    yield _folder(report)
    yield _locks(report["lock"], visit.lock_seen)
    if not report["is_copy"]:
        what = f"on {host} the suite is imported from {report['code']}, not from the copy in the results folder"
        advice = "let nothing in launcher.setup, or in Python's site files there, come before PYTHONPATH"
        yield Finding("probe", "problem", what, advice)
    yield from _software(host, there, here)
    yield from _gpus(report, there, launcher)
    yield _data(report, files)
    yield from _clock(report)
    if "tracking" in report and not report["tracking"]:
        what = f"{host} does not reach {masked(tracking_uri)}, and need not: this machine mirrors the records"
        yield Finding("probe", "ok", what)
    threads = there.variables.get("OMP_NUM_THREADS")
    if threads is not None:
        what = f"OMP_NUM_THREADS={threads} on {host} does not count: launcher.threads does"
        yield Finding("probe", "ok", what)


def _submit(launcher: SlurmLauncher, folder: Path, sizes: Mapping[str, int], tracking_uri: str) -> Visit:
    """Send the probe as a run would be sent, with its code from a copy."""
    copies = Store(folder)
    variables = code_environment(copies, take(copies, ()).id)
    setup = [*launcher.setup, *(f"export {name}='{value}'" for name, value in variables.items())]
    executor = submitit.SlurmExecutor(folder=unpatterned(folder) / "jobs", python=launcher.python)
    executor.update_parameters(job_name=NAME, setup=setup, **parameters(small(launcher)))
    write_json(folder / "here.json", {"time": time.time()})
    with in_own_environment():
        job = executor.submit(probe.probe, str(folder), dict(sizes), tracking_uri)
    return Visit(folder, str(job.job_id), cluster=launcher.cluster)


def _folder_beside(out: Path) -> tempfile.TemporaryDirectory[str]:
    # a job that is being cancelled may still write
    return tempfile.TemporaryDirectory(prefix=".doctor-", dir=nearest(out), ignore_cleanup_errors=True)


def _end(visit: Visit) -> None:
    """See the job off; where SLURM does not answer, its time limit will end it."""
    with contextlib.suppress(SchedulerUnavailable, client.Refused):
        if not visit.is_heard:
            client.cancel([visit.job], visit.cluster)
        deadline = time.monotonic() + LEAVE_S
        while visit.state()[0] != "GONE" and time.monotonic() < deadline:
            time.sleep(ASK_S)
        client.cancel([visit.job], visit.cluster)


def _cached(registry: Registry) -> dict[str, int]:
    """Return the files of the data cache that are there, and their sizes, where the catalogue knows them."""
    needed = {name for entry in registry.document.benchmarks.values() for name in entry.data}
    return {
        f"{status.dataset.name}/{member}": size
        for status in registry.data.status()
        if status.dataset.name in needed
        for member in status.present
        if (size := status.dataset.members[member].size) is not None
    }


def _follow(visit: Visit, patience_s: float) -> dict[str, Any] | Finding:
    """Answer the probe and return its report, or why there is none."""
    began = time.monotonic()
    deadline, asked, gone = began + patience_s, -math.inf, math.inf
    state, reason = "PENDING", ""
    while time.monotonic() < deadline:
        report = _listen(visit)
        if report is not None:
            return report
        if visit.lock_seen and deadline < began + patience_s + WORK_PATIENCE_S:
            deadline = began + patience_s + WORK_PATIENCE_S
        if time.monotonic() - asked > ASK_S:
            asked = time.monotonic()
            try:
                state, reason = visit.state()
            except (SchedulerUnavailable, client.Refused) as error:
                return Finding("probe", "unknown", f"SLURM stopped answering: {error}", "try again later")
        if state == "PENDING":
            visit.waited_s = time.monotonic() - began
        gone = min(gone, time.monotonic()) if state == "GONE" else math.inf
        if time.monotonic() - gone > (LAST_FILE_S if visit.last_words() else ARRIVAL_S):
            return _silent(visit)
        time.sleep(POLL_S)
    return _late(visit, state, reason, patience_s)


def _listen(visit: Visit) -> dict[str, Any] | None:
    """Answer the probe's greeting, and return its report once it is there."""
    files = os.listdir(visit.folder)  # makes a network file system look again
    if "hello.json" in files and not visit.lock_seen:
        visit.lock_seen = probe.lock_state(visit.folder / "there.lock")
        write_json(visit.folder / "answer.json", {"time": time.time()})
    report = read_json(visit.folder / "report.json") if "report.json" in files else None
    visit.is_heard = report is not None
    return report


def _late(visit: Visit, state: str, reason: str, patience_s: float) -> Finding:
    if state == "PENDING":
        what = f"the probe job was still PENDING ({reason}) after {patience_s:g} s; the job was cancelled"
        return Finding("probe", "unknown", what, "squeue --start shows when jobs begin; try again when there is room")
    what = f"the probe job is {state}, and nothing that it wrote has arrived in {visit.folder.parent}; it was cancelled"
    return Finding("probe", "problem", what, SHARED)


def _silent(visit: Visit) -> Finding:
    said = visit.last_words()
    if said:
        what = f"the probe job {visit.job} failed: {said}"
        return Finding("probe", "problem", what, "the interpreter and launcher.setup must work on the nodes, too")
    what = f"the probe job {visit.job} ended, and nothing that it wrote has arrived in {visit.folder.parent}"
    return Finding("probe", "problem", what, SHARED)


def _folder(report: Mapping[str, Any]) -> Finding:
    host = report["host"]
    if not report["here"] or "round_trip_s" not in report:
        what = f"files written here are not seen on {host}, or only after {probe.ANSWER_PATIENCE_S:g} s"
        return Finding("probe", "problem", what, SHARED)
    return Finding("probe", "ok", f"{host} sees the results folder: there and back took {report['round_trip_s']:.1f} s")


def _locks(there: str, here: str) -> Finding:
    if (there, here) == ("held", "held"):
        return Finding("probe", "ok", "locks taken here are seen on the node, and the other way round")
    what = f"a lock held here is {there} on the node, one held there is {here} here: runs could be executed twice"
    advice = "mount the file system with locks for all machines (NFS: no local_lock; Lustre: -o flock), or use another"
    return Finding("probe", "problem", what, advice)


def _software(host: str, there: Machine, here: Machine) -> Iterator[Finding]:
    yield Finding("probe", "ok", f"{host}: Python {there.python}, {there.executable}")
    for finding in torch_findings(there):
        yield replace(finding, topic="probe", what=f"{host}: {finding.what}")
    pairs = {"Python": (here.python, there.python), "torch": (here.torch.get("version"), there.torch.get("version"))}
    for name, (ours, theirs) in pairs.items():
        if ours != theirs and None not in (ours, theirs):
            what = f"{name} is {theirs} on {host} and {ours} here: results are not the same to the last bit"
            yield Finding("probe", "warning", what, "use one environment for both, or launcher.python")


def _gpus(report: Mapping[str, Any], there: Machine, launcher: SlurmLauncher) -> Iterator[Finding]:
    host, seen = report["host"], there.torch.get("devices", [])
    visible = there.variables.get("CUDA_VISIBLE_DEVICES")
    if launcher.gpus and not seen:
        what = f"{host}: a GPU was asked for, CUDA_VISIBLE_DEVICES={visible}, and torch sees none"
        advice = "launcher.gpus=0 computes on the CPU; else look at torch's build and at the driver on the node"
        yield Finding("probe", "problem", f"{what} {there.torch.get('said', '')}".rstrip(), advice)
    elif launcher.gpus:
        yield Finding("probe", "ok", f"{host}: torch sees {', '.join(seen)}")
    elif visible:
        what = f"{host}: no GPU was asked for, and CUDA_VISIBLE_DEVICES={visible} came along from here"
        yield Finding("probe", "warning", what, "unset CUDA_VISIBLE_DEVICES before you submit")


def _data(report: Mapping[str, Any], files: int) -> Finding:
    missing = report["data_missing"]
    if not missing:
        return Finding("probe", "ok", f"{report['host']} sees all {files} files of the data cache that are there")
    names = ", ".join(sorted({name.partition("/")[0] for name in missing}))
    what = f"{report['host']} does not see {names} in {report['data_root']}"
    return Finding(
        "probe", "problem", what, "set SUITE_DATA_DIR, in launcher.setup if need be, to a place all machines see"
    )


def _clock(report: Mapping[str, Any]) -> Iterator[Finding]:
    if "ahead_s" not in report:
        return
    ahead, error = report["ahead_s"], report["round_trip_s"] / 2
    what = f"the clock of {report['host']} is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    if abs(ahead) > MOST_SKEW_S + error:
        yield Finding(
            "probe", "warning", what, "ask the site for NTP: times in records and displays are off by so much"
        )
    else:
        yield Finding("probe", "ok", f"{what}, give or take {error:.1f} s")
