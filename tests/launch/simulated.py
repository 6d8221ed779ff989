"""Launches on a cluster that is not there: what launchers leave on disk, and a queue that says what a test wants."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from suite.launch.kinds.slurm import SlurmLauncher
from suite.launch.queue import ArrayTask, SchedulerUnavailable
from suite.launch.slurm import client
from suite.plan.run import Run
from suite.records.arrays import Batch, add_batch, note_job
from suite.records.failures import identity
from suite.records.launch import Launch
from suite.records.record import Store
from suite.records.specs import LaunchSpec, Pack

A, B, C, D = (letter * 64 for letter in "abcd")
LAUNCHER = SlurmLauncher(
    "slurm", gpus=0, cpus=1, memory="1G", signal_seconds=60, checkpoint_minutes=60.0, max_requeues=5
)
WORK, ARRAY = LAUNCHER.work_settings(), LAUNCHER.array_settings()

SBATCH = """\
#!/bin/sh
cd "$(dirname "$0")/../scripts" || exit 1
number=$(ls | wc -l)
if [ -e ../limit ] && [ "$number" -ge "$(cat ../limit)" ]; then
    cat ../refusal >&2
    exit 1
fi
cp "$1" "$((100 + number))"
if [ -e ../late ]; then
    cat ../late >&2
    exit 1
fi
echo "Submitted batch job $((100 + number))"
"""


class Queue:
    """A SLURM that takes whatever sbatch gives it and answers what a test chooses.

    Attributes
    ----------
    states : dict of job to state
        ``PENDING`` by default; a job in a state of the end has left the queue, and is in accounting.
    others : list of ArrayTask
        Jobs of other results folders.
    silent : bool
    accounts : dict of job to state
        What accounting says, where that is not what holds.
    cancelled : list of str
        What scancel was given.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.states: dict[str, str] = {}
        self.others: list[ArrayTask] = []
        self.silent = False
        self.asked = 0
        self.nodes = ""
        self.cancelled: list[str] = []
        self.keeps_accounts = True
        self.accounts: dict[str, str] = {}
        (folder / "bin").mkdir(parents=True)
        (folder / "scripts").mkdir()
        for name, text in {"sbatch": SBATCH, "srun": "#!/bin/sh\n"}.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder / "bin"), prepend=os.pathsep)
        for replaced in (self.queue, self.accounting, self.cancel, self.identity):
            monkeypatch.setattr(client, replaced.__name__, replaced)

    def refuse(self, words: str, after: int = 0) -> None:
        """Let sbatch refuse, with these words, once it has taken so many."""
        (self.folder / "refusal").write_text(f"sbatch: error: {words}\n")
        (self.folder / "limit").write_text(str(after))

    def be_late(self, words: str) -> None:
        """Let sbatch take what it is given and say all the same that it got no answer, with these words."""
        (self.folder / "late").write_text(f"sbatch: error: {words}\n")

    def scripts(self) -> dict[str, str]:
        """Return what sbatch has taken: text by job id."""
        return {file.name: file.read_text() for file in sorted((self.folder / "scripts").iterdir())}

    def jobs(self) -> Iterator[tuple[str, str, int]]:
        """Yield job id, name and index of every task that sbatch has taken."""
        for job, text in self.scripts().items():
            name = re.search(r"--job-name=(\S+)", text)
            array = re.search(r"--array=0-(\d+)", text)
            assert name is not None
            for index in range(int(array[1]) + 1 if array else 1):
                yield f"{job}_{index}" if array else job, name[1], index

    def queue(self, cluster: str | None = None) -> list[ArrayTask]:
        self.asked += 1
        if self.silent:
            raise SchedulerUnavailable("squeue: Unable to contact slurm controller (connect failure)")
        tasks = [ArrayTask(job, name, index, self.states.get(job, "PENDING")) for job, name, index in self.jobs()]
        return self.others + [task for task in tasks if task.state not in client.ENDED]

    def accounting(self, jobs: Sequence[str], cluster: str | None = None) -> dict[str, client.Ended]:
        known = jobs if self.keeps_accounts else ()
        said = {**self.states, **self.accounts}
        return {job: client.Ended(said[job], "1:0", self.nodes) for job in known if job in said}

    def identity(self, cluster: str | None = None) -> str:
        return "me@here"

    def cancel(self, jobs: Sequence[str], cluster: str | None = None) -> None:
        if self.silent:
            raise SchedulerUnavailable("scancel: Unable to contact slurm controller (connect failure)")
        self.cancelled += jobs
        self.states |= dict.fromkeys(jobs, "CANCELLED")


def made_launch(store: Store, *packs: Sequence[str], replaces: str | None = None, **shape: int) -> Launch:
    """Return a launch on a cluster, with nothing submitted."""
    return launch_of(store, [Pack(tuple(keys), 1.0, **shape) for keys in packs], replaces)


def launch_of(store: Store, packs: Sequence[Pack], replaces: str | None = None, **fields: Any) -> Launch:
    """Return a launch of packs: on a cluster, unless `fields` of its description say otherwise."""
    runs = {
        key: run(key, replaces=replaces, failed_before=identity(store.record(key).failure()))
        for pack in packs
        for key in pack.keys
    }
    given: dict[str, Any] = {"kind": "slurm", "created": time.time(), "work": WORK, "array": ARRAY, **fields}
    return Launch.create(store, LaunchSpec(out=store.out, experiment="toy", runs=runs, packs=tuple(packs), **given))


def local_launch(store: Store, *packs: Sequence[str], **fields: Any) -> Launch:
    """Return a launch on this machine."""
    packed = [Pack(tuple(keys), 1.0) for keys in packs]
    return launch_of(store, packed, **{"kind": "local", "array": None, **fields})


def submitted(launch: Launch, *packs: int, job: str | None = "7") -> Batch:
    """Note an array, as a launcher does; without a `job`, as one that was killed before it knew the id."""
    batch = add_batch(launch, packs)
    return batch if job is None else note_job(batch, job)


def task(batch: Batch, index: int = 0, state: str = "PENDING", reason: str = "Resources") -> ArrayTask:
    return ArrayTask(f"{batch.job or 7}_{index}", batch.name, index, state, reason)


def answers(*tasks: ArrayTask) -> Callable[[str | None], list[ArrayTask]]:
    return lambda cluster: list(tasks)


def silence(cluster: str | None) -> list[ArrayTask]:
    raise SchedulerUnavailable("squeue did not answer within 60 s")


def fail(store: Store, key: str, launch: Launch, **fields: Any) -> None:
    store.record(key).folder.mkdir(exist_ok=True)
    failure = {"record": "r", "class": "user_code", "message": "no", "launch": launch.id, "finished": time.time()}
    store.record(key).fail({**failure, **fields})


FIELDS: dict[str, Any] = {
    "gpus": 0,
    "cpus": 1,
    "memory": "1G",
    "time": "10m",
    "target": "100s",
    "max_array_size": 100,
}


def launcher(**fields: Any) -> SlurmLauncher:
    return SlurmLauncher("slurm", **{**FIELDS, **fields})


def run(key: str, seconds: float = 10.0, benchmark: str = "blobs", **fields: Any) -> Run:
    settings: dict[str, Any] = {"kind": "loss", "seed": 0, "profile": "mini", "purpose": "evaluation", **fields}
    return Run(key, benchmark, "cosine", metric={}, config={}, code={}, estimate_s=seconds, **settings)


def runs(keys: Iterable[str], **fields: Any) -> dict[str, Run]:
    return {key: run(key, **fields) for key in keys}


def keys(count: int) -> list[str]:
    return [f"{number:064x}" for number in range(count)]
