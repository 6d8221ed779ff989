"""A launcher that names its cluster, on a real SLURM with accounting, which knows the cluster as ``test``."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.launch.queue import SchedulerUnavailable
from suite.launch.slurm import client
from tests.cluster import suite_here
from tests.slurm.cluster import Cluster
from tests.slurm.sites import FOUR, SLOWLY, Site


@pytest.fixture
def site(on_slurm: Cluster, tmp_path: Path) -> Iterator[Site]:
    yield Site(on_slurm, tmp_path)


def test_commands_that_name_a_cluster_are_answered_like_those_that_do_not(on_slurm: Cluster) -> None:
    script = "#!/bin/sh\n#SBATCH --clusters=test\n#SBATCH --array=0-1%1\nsleep 300\n"
    printed = on_slurm.run("sbatch", "--job-name=suite-a", "--mem=50", "--output=/dev/null", given=script)
    assert printed.endswith(" on cluster test")
    job = printed.split()[3]
    on_slurm.wait_for(lambda: client.state(f"{job}_0") == "RUNNING", "it runs")
    assert client.queue("test") == client.queue()
    assert {task.job for task in client.queue("test")} == {f"{job}_0", f"{job}_1"}
    assert client.partitions("test") == client.partitions() != {}
    assert client.configuration("test")["MaxArraySize"] == client.configuration()["MaxArraySize"]
    assert client.identity("test") == client.identity()
    on_slurm.wait_for(lambda: f"{job}_0" in client.accounting([f"{job}_0"], "test"), "accounting")
    client.cancel([f"{job}_0", f"{job}_1", "999999"], "test")
    on_slurm.wait_for(lambda: not client.queue("test"), "an empty queue")
    with pytest.raises(SchedulerUnavailable, match="nowhere"):
        client.queue("nowhere")


def test_a_campaign_on_a_cluster_that_its_launcher_names(site: Site, forked_python: Path) -> None:
    options = [*FOUR, SLOWLY, "launcher.cluster=test", f"launcher.python={forked_python}"]
    site.run(*options, "--detach")
    status = json.loads(suite_here(site.folder, "status", "--json", *FOUR).stdout)
    assert status["cluster"]["tasks"] and not status["cluster"]["silence"]
    assert suite_here(site.folder, "cancel", "--losses", "infonce").returncode == 0
    site.run(*options)
    site.check(4)
