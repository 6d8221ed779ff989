"""A launcher that names one of several clusters: every command of SLURM hears of it, and what they print is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.launch.queue import ArrayTask
from suite.launch.sites import Sites
from suite.launch.slurm import client
from suite.launch.slurm.jobs import SlurmJobs
from suite.launch.slurm.queue import SlurmSite, look
from suite.problems import InputError
from suite.records.arrays import TaskReport, batches, open_launches, report_task
from suite.records.launch import Launch
from suite.records.record import Store
from suite.records.specs import Pack
from suite.registry.load import load
from tests.cluster import ROOT, toy_registry
from tests.launch.simulated import A, B, Queue, launch_of, launcher, runs, submitted

SBATCH = '#!/bin/sh\ncp "$1" "{folder}/script"\necho "Submitted batch job 12 on cluster east"\n'
#: As SLURM 22.05 answers: with --clusters, --noheader takes only the columns' names away.
SAYS = {
    "squeue": "CLUSTER: east\n12_3|3|RUNNING|None|n1|suite-a-0\n",
    "sinfo": "CLUSTER: east\nlow*|infinite\n",
    "sacct": "12_3|NODE_FAIL|1:0|n1\n",
    "scontrol": "MaxArraySize = 7\n",
    "scancel": "",
}


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SLURM's commands; each notes its arguments in a file, which is returned."""
    folder, log = tmp_path / "bin", tmp_path / "heard"
    folder.mkdir()
    for name, text in SAYS.items():
        (folder / f"{name}.says").write_text(text)
        script = f'#!/bin/sh\necho {name} "$@" >> "{log}"\ncat "$0.says"\n'
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    (folder / "sbatch").write_text(SBATCH.format(folder=tmp_path))
    (folder / "sbatch").chmod(0o755)
    (folder / "srun").write_text("#!/bin/sh\n")
    (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("SLURM_CLUSTERS", "west")
    return log


@pytest.mark.parametrize("cluster", [None, "east"])
def test_every_command_is_told_the_cluster_or_none_is(heard: Path, cluster: str | None) -> None:
    assert client.queue(cluster) == [ArrayTask("12_3", "suite-a-0", 3, "RUNNING", "None", "n1")]
    assert client.partitions(cluster) == {"low": "infinite"}
    assert client.configuration(cluster) == {"MaxArraySize": "7"}
    assert client.accounting(["12_3"], cluster)["12_3"].state == "NODE_FAIL"
    client.cancel(["12_3"], cluster)
    lines = heard.read_text().splitlines()
    assert len(lines) == 5
    assert all(("--clusters east" in line) == (cluster == "east") for line in lines)


def of(store: Store, cluster: str | None, *packs: str) -> Launch:
    site = {} if cluster is None else {"cluster": cluster}
    return launch_of(store, [Pack((key,), 1.0) for key in packs], site=site)


def test_an_array_goes_to_the_cluster_and_its_number_is_read(store: Store, heard: Path) -> None:
    launch, given = of(store, "east", A), launcher(cluster="east", max_array_size="auto", poll_seconds=1e-9)
    jobs = SlurmJobs(launch, given, store)
    jobs.begin(runs([A]), detached=False)
    assert "#SBATCH --clusters=east\n" in (heard.parent / "script").read_text()
    assert [batch.job for batch in batches(launch)] == ["12"]
    report_task(launch, TaskReport(0, "12", "n1"))
    for _ in range(2):
        jobs.tend(runs([A]), False)  # it has left the queue: how it ended is asked
    lines = heard.read_text().splitlines()
    assert {line.split()[0] for line in lines} == {"squeue", "scontrol", "sacct"}
    assert all("--clusters east" in line for line in lines)


def test_each_launch_is_looked_for_and_ended_on_its_own_cluster(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    here, east = of(store, None, A), of(store, "east", B)
    numbered = {None: submitted(here, 0, job="5"), "east": submitted(east, 0, job="5")}
    queued = {name: [ArrayTask("5", batch.name, 0, "PENDING")] for name, batch in numbered.items()}
    ended: list[tuple[list[str], str | None]] = []
    monkeypatch.setattr(client, "queue", lambda cluster: queued[cluster])
    monkeypatch.setattr(client, "cancel", lambda jobs, cluster: ended.append((jobs, cluster)))
    monkeypatch.setattr(client, "identity", lambda cluster: f"me@{cluster}")
    seen = look(open_launches(store), mine=east)
    assert {(one.launch.id, one.task.job) for one in seen.tasks} == {(here.id, "5"), (east.id, "5")}
    assert seen.total == 1, "room in the queue is that of one's own cluster"
    queued[None] = []
    site = SlurmSite()
    assert (site.has_jobs(here), site.has_jobs(east)) == (False, True)
    Sites().cancel(seen.tasks)
    assert sorted(ended, key=str) == [(["5"], "east"), (["5"], None)]


def test_whose_jobs_they_are_needs_no_question_where_the_cluster_is_named() -> None:
    given = launcher(cluster="east")
    assert given.site_settings() == {"cluster": "east"}
    assert launcher().site_settings() == {}


@pytest.mark.parametrize("wrong", ["a,b", "all of them", ""])
def test_a_launcher_names_one_cluster(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(InputError, match=r"launcher\.cluster.*expected the name of one cluster"):
        load(toy_registry(tmp_path), [f"launcher.cluster='{wrong}'"], "slurm")


def test_what_one_cluster_has_in_hand_is_not_submitted_to_another(queue: Queue, store: Store) -> None:
    for cluster in (None, "east"):
        launch = of(store, cluster, A)
        SlurmJobs(launch, launcher(cluster=cluster, max_array_size=5), store).begin(runs([A]), detached=False)
    (text,) = queue.scripts().values()
    assert "--clusters" not in text
    assert "\ncluster: null" in (ROOT / "launchers" / "slurm.yaml").read_text(encoding="utf-8")
