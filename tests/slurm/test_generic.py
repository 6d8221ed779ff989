"""The launcher ``generic`` with SLURM's own commands on a real cluster: jobs of workers, lost ones replaced."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import command, environment, prepare_store, suite, suite_here, toy_registry
from tests.slurm.cluster import Cluster
from tests.slurm.sites import FOUR, Site, named
from tests.waiting import until

GENERIC = ["--launcher", "generic", "launcher.workers=1", "launcher.poll_seconds=1", "launcher.target=1s"]
GENERIC += ["launcher.jobs_at_a_time=2", "launcher.time=10m", "launcher.checkpoint_minutes=0.005"]


@pytest.fixture
def site(on_slurm: Cluster, tmp_path: Path) -> Iterator[Site]:
    made = Site(on_slurm, tmp_path)
    yield made
    for launcher in made.launchers:
        launcher.kill()


def test_a_campaign_by_templates_outlives_a_lost_job_bit_by_bit(site: Site, tmp_path: Path) -> None:
    calm = tmp_path / "calm"
    calm.mkdir()
    toy_registry(calm)
    assert suite_here(calm, "run", *FOUR, "--quiet", "--launcher", "local", "launcher.workers=2").returncode == 0
    prepare_store(site.folder)
    words = command(site.folder, "run", *GENERIC, *FOUR)
    launcher = subprocess.Popen(
        words, cwd=site.folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    site.launchers.append(launcher)
    site.training(1)
    shown = suite(site.folder, "status", *FOUR).stdout
    assert "RUNNING" in shown and "is open to workers" in shown, shown
    lost = site.cluster.run("squeue", "--noheader", "--states=RUNNING", "--format", "%i").split()[0]
    site.cluster.run("scancel", "--signal=KILL", "--full", lost)
    assert "4 runs done" in site.ended(launcher)
    site.check(4, named(calm))


def test_cancelled_the_jobs_of_templates_leave_the_queue(site: Site) -> None:
    prepare_store(site.folder)
    detached = suite(site.folder, "run", *GENERIC, *FOUR, "--detach")
    assert detached.returncode == 0, detached.stderr
    site.training(1)
    done = suite(site.folder, "cancel")
    assert "4 runs cancelled" in done.stdout, done.stdout + done.stderr
    until(site.is_empty, "no job is left")
