"""The test cluster itself: that it is a SLURM as sites have it, and that nothing of it stays."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import submitit

from tests.cluster import ROOT, environment
from tests.slurm import cluster as module
from tests.slurm.cluster import Cluster, ClusterError, obstacle
from tests.waiting import PATIENCE_S, until

SMALL = ("--cpus-per-task=1", "--mem=50")


def submit(cluster: Cluster, script: str, *options: str) -> str:
    return cluster.run("sbatch", "--parsable", *SMALL, *options, given=f"#!/bin/sh\n{script}\n")


def lives(cluster: Cluster, job: str) -> list[str]:
    """Return the states of a job in each of its lives, as accounting has them."""
    return cluster.run("sacct", "--jobs", job, "--duplicates", "-X", "--noheader", "-P", "--format", "State").split()


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in a cluster's folder: its daemons, and the jobs that the tests submit there."""
    running = [(process, process.info["cwd"]) for process in psutil.process_iter(["cwd"])]
    return [process for process, cwd in running if cwd and Path(cwd).is_relative_to(folder)]


def is_job_there(folder: Path) -> bool:
    return [process.name() for process in processes_of(folder)].count("sleep") == 2


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for another cluster, not as deep as ``tmp_path``."""
    return tmp_path_factory.mktemp("other")


def seen_devices(index: int) -> tuple[int, str]:
    return index, os.environ["CUDA_VISIBLE_DEVICES"]


def test_jobs_get_their_own_gpus_and_submitit_brings_back_their_results(on_slurm: Cluster, tmp_path: Path) -> None:
    assert on_slurm.nodes() == {"gpu1": "idle", "gpu2": "idle"}
    executor = submitit.AutoExecutor(tmp_path, cluster="slurm")
    parameters = {"mem_gb": 1, "cpus_per_task": 1, "timeout_min": 5, "slurm_gpus_per_node": 1}
    path = f"export PYTHONPATH={environment()['PYTHONPATH']}"
    executor.update_parameters(**parameters, slurm_array_parallelism=4, slurm_setup=[path])
    jobs = executor.map_array(seen_devices, range(4))
    results = [job.result() for job in jobs]
    assert [index for index, _ in results] == [0, 1, 2, 3]
    assert {device for _, device in results} == {"0", "1"}


def test_a_higher_partition_preempts_and_the_job_runs_again_afterwards(on_slurm: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "starts"
    options = ("--exclusive", "--nodelist=gpu1", "--output=/dev/null")
    low = submit(on_slurm, f"echo start >> {log}; exec sleep 300", *options)
    on_slurm.wait_for(log.exists, "the job to start")
    high = submit(on_slurm, "exit 0", "--partition=high", *options)
    on_slurm.wait_for(lambda: log.read_text().count("start") == 2, "the job to start again")
    on_slurm.wait_for(lambda: lives(on_slurm, low) == ["PREEMPTED", "RUNNING"], "accounting to say so")
    assert lives(on_slurm, high) == ["COMPLETED"]


def test_a_lost_node_is_noticed_its_job_runs_elsewhere_and_the_node_comes_back(
    on_slurm: Cluster, tmp_path: Path
) -> None:
    log = tmp_path / "nodes"
    job = submit(on_slurm, f"echo $SLURMD_NODENAME >> {log}; exec sleep 300", "--output=/dev/null")
    lost = on_slurm.wait_for(lambda: log.exists() and log.read_text().strip(), "the job to start")
    (other,) = {"gpu1", "gpu2"} - {lost}
    on_slurm.kill_node(lost)
    try:
        on_slurm.wait_for(lambda: log.read_text().split() == [lost, other], "the job to start elsewhere")
        assert on_slurm.nodes()[lost].startswith("down")
    finally:
        on_slurm.restart_node(lost)
    assert on_slurm.nodes()[lost] == "idle"
    on_slurm.wait_for(lambda: lives(on_slurm, job) == ["NODE_FAIL", "RUNNING"], "accounting to say so")


def test_the_queue_outlives_the_controller(on_slurm: Cluster) -> None:
    job = submit(on_slurm, "exec sleep 300", "--output=/dev/null")
    on_slurm.wait_for(lambda: on_slurm.jobs() == {job: "RUNNING"}, "the job to run")
    on_slurm.stop_daemon("slurmctld")
    with pytest.raises(ClusterError, match="Unable to contact"):
        on_slurm.jobs()
    on_slurm.start_daemon("slurmctld")
    assert on_slurm.jobs() == {job: "RUNNING"}


def test_two_clusters_beside_each_other_share_nothing_and_a_stopped_one_leaves_no_process(
    on_slurm: Cluster, make_cluster: Callable[..., Cluster]
) -> None:
    other = make_cluster(accounting=False, max_array_size=7, settings={"KillWait": "3"})
    with pytest.raises(ClusterError, match="disabled"):
        other.run("sacct")
    config = other.run("scontrol", "show", "config")
    assert "MaxArraySize            = 7" in config
    assert "KillWait                = 3 sec" in config
    survivor = f"(trap '' TERM; cd {other.folder}; setsid sleep 300 & setsid sleep 301)"
    submit(other, survivor, "--output=/dev/null")
    until(lambda: is_job_there(other.folder), "the job to run")
    assert on_slurm.jobs() == {}
    other.stop()
    assert processes_of(other.folder) == []
    assert on_slurm.nodes() == {"gpu1": "idle", "gpu2": "idle"}


@pytest.mark.usefixtures("make_cluster")
def test_everything_dies_with_the_process_that_started_it_even_if_that_is_killed(folder: Path) -> None:
    code = f"""
import pathlib, signal, tests.slurm.cluster
cluster = tests.slurm.cluster.Cluster(pathlib.Path({str(folder)!r}), accounting=False)
cluster.start()
cluster.run("sbatch", "--mem=50", "--output=/dev/null", given="#!/bin/sh\\ncd {folder}; setsid sleep 300 & sleep 300")
signal.pause()
"""
    owner = subprocess.Popen([sys.executable, "-c", code], env=environment(), cwd=ROOT)
    try:
        until(lambda: is_job_there(folder), "the job to run")
        assert {process.name() for process in processes_of(folder)} >= {"munged", "slurmctld", "slurmd"}
    finally:
        owner.kill()
        owner.wait()
    until(lambda: not processes_of(folder), "all to be gone")


@pytest.mark.usefixtures("make_cluster")
def test_it_is_started_and_stopped_from_the_command_line(folder: Path) -> None:
    def command(*words: str) -> tuple[int, str]:
        line = [sys.executable, "-m", "tests.slurm", *words]
        done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=PATIENCE_S)
        return done.returncode, done.stdout + done.stderr

    assert command("status", str(folder)) == (2, f"error: no cluster runs in {folder}\n")
    status, said = command("start", str(folder), "--no-accounting")
    try:
        assert status == 0, said
        assert f"export SLURM_CONF={folder}/slurm.conf" in said
        status, shown = command("status", str(folder))
        assert (status, shown.count("idle")) == (0, 4)
        assert command("start", str(folder)) == (2, f"error: a cluster runs in {folder} already\n")
    finally:
        stopped = command("stop", str(folder))
    assert stopped == (0, "")
    assert processes_of(folder) == []


@pytest.mark.usefixtures("make_cluster")
def test_a_daemon_that_does_not_start_is_named_with_the_end_of_its_log(folder: Path) -> None:
    broken = Cluster(folder, accounting=False, settings={"SelectType": "select/nonsense", "MessageTimeout": "2"})
    with pytest.raises(ClusterError, match=r"slurmctld ended with status 1.*\n(.*\n)*.*select/nonsense"):
        broken.start()
    assert processes_of(folder) == []


@pytest.mark.usefixtures("make_cluster")
def test_a_folder_too_deep_for_sockets_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="at most 70 characters"):
        Cluster(tmp_path / ("x" * 70)).start()


def test_without_the_packages_or_root_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(module, "PATH", str(tmp_path))
    assert obstacle() == (
        "missing packages: run tests/slurm/install.sh, or apt-get install mariadb-server munge slurm-wlm slurmdbd"
    )
    for program in module.PACKAGES:
        (tmp_path / program).touch(mode=0o755)
    problem = obstacle()
    assert problem is not None
    assert "as root" in problem
    with pytest.raises(ClusterError, match="as root"):
        Cluster(tmp_path / "cluster").start()
