"""A campaign that is started from within another job, in a shell full of a site's and a user's settings of SLURM."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import mlflow_runs, prepare_store, suite
from tests.slurm.cluster import Cluster
from tests.slurm.sites import SITE, TWO, Site
from tests.test_environment import FOREIGN


def test_what_is_set_around_it_decides_nothing(
    on_slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before: waiting tasks taken for lost, steps refused for two kinds of memory, tasks that took another's number."""
    site = Site(on_slurm, tmp_path)
    prepare_store(tmp_path)
    with monkeypatch.context() as around:
        for name, value in FOREIGN.items():
            around.setenv(name, value)
        done = suite(tmp_path, "run", *SITE, *TWO, "launcher.partition=low", "launcher.array_parallelism=1")
        assert done.returncode == 0, done.stdout + done.stderr
        shown = suite(tmp_path, "status", *TWO)
        assert shown.returncode == 0 and "2/2" in shown.stdout, shown.stdout + shown.stderr
    site.check(2)
    assert len(mlflow_runs(tmp_path)) == 2
    given = ["--noheader", "--allocations", "--parsable2", "--format=JobName,Partition,Timelimit"]
    jobs = [line.split("|") for line in site.cluster.run("sacct", *given).splitlines()]
    launches = [path.name for path in (tmp_path / "results" / "launches").iterdir()]
    ours = [settings for name, *settings in jobs if any(launch in name for launch in launches)]
    assert ours and all(settings == ["low", "00:10:00"] for settings in ours), jobs
    assert "x" not in [name for name, *_ in jobs]
