"""A search on a real cluster: the second stage follows the first without a launcher."""

import contextlib
import json
import random
import subprocess
from pathlib import Path
from typing import Any

from tests.cluster import TOY, command, environment, metrics, suite, suite_here
from tests.slurm.cluster import Cluster, ClusterError
from tests.slurm.sites import SITE
from tests.waiting import until

SEARCH = TOY.replace("    host_temperature: 0.5\n", "    host_temperature: 0.5\n    search: {epochs: [2, 4, 6]}\n")
TUNE = ["--profile", "smoke", "--losses", "good", "--seeds", "0", "--selection-seeds", "10", "--budget", "3"]


SIEGE = ["--profile", "mini", *TUNE[2:]]
STRIKES = 4


def stages(folder: Path) -> dict[str, Any]:
    done = suite_here(folder, "tune", *TUNE, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def test_detached_a_dependent_job_chooses_and_submits_the_second_stage(
    on_slurm: Cluster, forked_python: Path, tmp_path: Path
) -> None:
    (tmp_path / "benchmarks.yaml").write_text(SEARCH)
    done = suite(tmp_path, "tune", *SITE, *TUNE, "--detach", f"launcher.python={forked_python}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 selection runs are in the background" in done.stdout
    assert "chooses and starts the second stage when they have ended" in done.stdout

    def is_complete() -> bool:
        shown = stages(tmp_path)
        return bool(shown["choices"]) and shown["evaluation"]["summary"]["done"] == len(shown["evaluation"]["runs"])

    until(is_complete, "the second stage to be done")
    found, choices = metrics(tmp_path), stages(tmp_path)["choices"]

    calm = tmp_path / "calm"
    calm.mkdir()
    (calm / "benchmarks.yaml").write_text(SEARCH)
    here = suite_here(calm, "tune", *TUNE, "--launcher", "debug", "--json")
    assert here.returncode == 0, here.stderr
    assert json.loads(here.stdout)["choices"] == choices
    assert metrics(calm) == found
    until(lambda: not on_slurm.run("squeue", "--noheader").strip(), "no job is left")


def test_killed_and_cancelled_at_random_moments_a_search_on_a_cluster_chooses_the_same_with_the_same_bits(
    on_slurm: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "benchmarks.yaml").write_text(SEARCH)
    draw = random.Random(17)
    struck = []
    for _ in range(STRIKES):
        launcher = subprocess.Popen(
            command(tmp_path, "tune", *SITE, *SIEGE, "--quiet"), cwd=tmp_path, env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert launcher.wait(draw.uniform(2.0, 9.0)) == 0
            break
        jobs = on_slurm.run("squeue", "--noheader", "--array", "--format=%i").split()
        strike = draw.choice(["a job cancelled", "a job requeued", "launcher alone"])
        if jobs and strike != "launcher alone":
            word = ["scancel"] if strike == "a job cancelled" else ["scontrol", "requeue"]
            with contextlib.suppress(ClusterError):  # it may have just ended
                on_slurm.run(*word, draw.choice(jobs))
        launcher.kill()
        launcher.wait()
        struck.append(strike)
    assert len(struck) >= 2
    done = suite(tmp_path, "tune", *SITE, *SIEGE)
    assert done.returncode == 0, done.stdout + done.stderr
    choices = json.loads(suite_here(tmp_path, "tune", *SIEGE, "--dry-run", "--json").stdout)["choices"]

    calm = tmp_path / "calm"
    calm.mkdir()
    (calm / "benchmarks.yaml").write_text(SEARCH)
    here = suite_here(calm, "tune", *SIEGE, "--launcher", "debug", "--json")
    assert here.returncode == 0, here.stderr
    assert choices == json.loads(here.stdout)["choices"] != []
    assert metrics(tmp_path) == metrics(calm)
    until(lambda: not on_slurm.run("squeue", "--noheader").strip(), "no job is left")
