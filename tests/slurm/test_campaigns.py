"""Campaigns on a real cluster: what SLURM does to them, and that they end complete, each run executed once."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import ROOT, command, environment, events, metrics, plan, suite, suite_here, toy_registry
from tests.slurm.cluster import Cluster
from tests.slurm.sites import FOUR, SITE, SLOWLY, TWO, Figures, Site, named
from tests.waiting import PATIENCE_S, until

FAST = "benchmarks.blobs.profiles.mini.pause_s=0.0"


@pytest.fixture
def site(on_slurm: Cluster, tmp_path: Path) -> Iterator[Site]:
    made = Site(on_slurm, tmp_path)
    yield made
    for launcher in made.launchers:
        launcher.kill()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """The four runs' metrics where nothing happens to them, on this machine."""
    folder = tmp_path_factory.mktemp("calm")
    toy_registry(folder)
    done = suite_here(folder, "run", *FOUR, FAST, "--quiet", "--launcher", "debug")
    assert done.returncode == 0, done.stdout + done.stderr
    return named(folder)


def test_requeued_cancelled_and_killed_from_outside_a_campaign_ends_complete(site: Site, calm: Figures) -> None:
    launcher = site.start(*FOUR, SLOWLY)
    requeued, scancelled, killed, *_ = site.training(4)
    worker = next(w for w in site.workers() if w["key"] == killed)
    site.cluster.run("scontrol", "requeue", site.job_of(requeued))
    site.cluster.run("scancel", site.job_of(scancelled))
    os.kill(worker["process"], signal.SIGKILL)
    printed = site.ended(launcher)
    assert "4 runs done" in printed
    site.check(4, calm)
    happened = {key: [e for e in found if e["event"] != "metrics"] for key, found in events(site.folder).items()}
    assert sum(e["event"] == "started" for e in happened[killed]) == 2
    for key in (requeued, scancelled):
        assert [e["reason"] for e in happened[key] if e["event"] == "interrupted"] == ["terminated"]
        resumed = [e["step"] for e in events(site.folder)[key] if e["event"] == "metrics"]
        assert resumed == sorted(resumed), "it went on from its checkpoint"


def test_preempted_by_a_higher_partition_a_run_goes_on_where_it_was(site: Site, calm: Figures) -> None:
    launcher = site.start(*TWO, SLOWLY, "launcher.partition=low")
    site.training(2)
    script = "#!/bin/sh\nsleep 3"
    for _ in range(2):
        site.cluster.run("sbatch", "--partition=high", "--exclusive", "--output=/dev/null", given=script)
    until(lambda: any(t["restarts"] for t in site.tasks()), "a task has been preempted and is back")
    site.ended(launcher)
    site.check(2, calm)


def test_a_lost_node_costs_a_checkpoint_and_nothing_else(site: Site, calm: Figures) -> None:
    launcher = site.start(*TWO, SLOWLY)
    site.training(2)
    node = site.cluster.run("squeue", "--noheader", "--format", "%N").split()[0]
    site.cluster.kill_node(node)
    try:
        site.ended(launcher)
    finally:
        site.cluster.restart_node(node)
    site.check(2, calm)


def test_a_time_limit_shorter_than_the_run_is_survived_bit_by_bit(site: Site) -> None:
    # SLURM looks at limits every half minute: the run has to be longer than that and the limit, which is in minutes
    slowly = "benchmarks.blobs.profiles.mini.pause_s=0.75"
    site.run("--profile", "mini", "--losses", "cosine", "--seeds", "0", slowly,
             "launcher.time=1m", "launcher.signal_seconds=40")  # fmt: skip
    (happened,) = events(site.folder).values()
    stops = [e for e in happened if e["event"] == "interrupted"]
    assert [e["reason"] for e in stops][:1] == ["timeout"]
    assert [e["step"] for e in stops] == sorted({e["step"] for e in stops}), "every life got further"
    fast = site.folder / "fast"
    fast.mkdir()
    toy_registry(fast)
    select = ["--profile", "mini", "--losses", "cosine", "--seeds", "0", FAST]
    assert suite_here(fast, "run", *select, "--quiet", "--launcher", "debug").returncode == 0
    assert list(metrics(fast).values()) == list(metrics(site.folder).values())
    site.check(1)


def test_a_launcher_killed_right_after_submission_is_joined_by_the_next_command(
    site: Site, forked_python: Path
) -> None:
    python = f"launcher.python={forked_python}"
    site.cluster.run("scontrol", "update", "nodename=gpu[1-2]", "state=drain", "reason=test")
    try:
        launcher = site.start(*FOUR, SLOWLY, python)
        until(lambda: not site.is_empty(), "sbatch has taken the array")
        launcher.kill()
        launcher.wait()
        assert len(site.tasks()) == 4
        states = {run["state"] for run in plan(site.folder, *FOUR, SLOWLY)["runs"]}
        assert states == {"queued"}
        second = site.start(*FOUR, SLOWLY, python)
        until(lambda: len(list((site.folder / "results" / "launches").iterdir())) == 2, "the second launch")
        time.sleep(3)  # three looks at the queue
        assert len(site.tasks()) == 4
    finally:
        site.cluster.run("scontrol", "update", "nodename=gpu[1-2]", "state=resume")
    site.ended(second)
    site.check(4)
    submitted = list((site.folder / "results").glob("launches/*/batches/*.json"))
    assert len(submitted) == 1, "nothing was submitted twice"


def test_an_array_that_sbatch_got_no_answer_to_is_carried_out_once_the_same_command_has_found_it(
    site: Site, forked_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = site.folder / "bin" / "sbatch"
    late.parent.mkdir()
    late.write_text(
        f'#!/bin/sh\n"{shutil.which("sbatch")}" "$@" || exit\n'
        'case "$*" in *--test-only*) exit ;; esac\n'
        'echo "sbatch: error: Socket timed out on send/recv operation" >&2\nexit 1\n'
    )
    late.chmod(0o755)
    words = (*TWO, FAST, f"launcher.python={forked_python}")
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(late.parent), prepend=os.pathsep)
        done = suite(site.folder, "run", *SITE, *words)
    assert done.returncode == 1 and "the same command finds it there" in done.stderr
    assert "2 runs are in the hands of an earlier launch" in site.run(*words)
    site.check(2)
    submitted = list((site.folder / "results").glob("launches/*/batches/*.json"))
    assert len(submitted) == 1, "nothing was submitted twice"


def test_detached_runs_are_finished_by_the_cluster_alone_and_cancelled_ones_can_be_run_again(site: Site) -> None:
    said = site.run(*FOUR, SLOWLY, "--detach", "launcher.array_parallelism=2")
    assert "4 runs started" in said
    first, second = site.training(2)
    shown = suite(site.folder, "status", *FOUR, SLOWLY).stdout
    assert "PENDING (JobArrayTaskLimit)" in shown and "RUNNING" in shown and "training step" in shown
    # one by its key, then a selection, then the rest
    assert "1 runs cancelled, 1 array tasks ended" in suite(site.folder, "cancel", first[:12]).stdout
    happened = events(site.folder)[first]
    assert (happened[-1]["event"], happened[-1]["reason"]) == ("interrupted", "cancelled")
    loss = json.loads((site.runs / second / "run.json").read_text())["loss"]
    assert suite(site.folder, "cancel", "--losses", loss, "--profile", "mini", "--seeds", "0-1", SLOWLY).returncode == 0
    assert suite_here(site.folder, "cancel").returncode == 0
    assert site.is_empty()
    assert suite_here(site.folder, "cancel").stdout == "nothing runs\n"
    assert not [p for p in site.runs.rglob(".*") if p.is_file()], "no half-written file"
    counted = plan(site.folder, *FOUR, SLOWLY)["summary"]
    assert (counted["queued"], counted["running"], counted["failed"]) == (0, 0, 0)
    site.run(*FOUR, SLOWLY)
    site.check(4)


def test_code_edited_after_submission_is_not_what_runs_and_plan_says_stale(site: Site) -> None:
    checkout = site.folder / "checkout"
    for part in ("suite", "analysis", "launchers"):
        shutil.copytree(ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "toys.py", checkout / "tests")
    toy_registry(checkout)
    select = ["--profile", "smoke", "--losses", "good", "--seeds", "0"]

    def here(*words: str) -> subprocess.CompletedProcess[str]:
        variables = {**environment(), "PYTHONPATH": str(checkout)}
        full = command(checkout, *words)
        return subprocess.run(full, capture_output=True, text=True, cwd=checkout, env=variables, timeout=PATIENCE_S)

    site.cluster.run("scontrol", "update", "nodename=gpu[1-2]", "state=drain", "reason=test")
    try:
        done = here("run", *SITE, *select, "--detach")
        assert done.returncode == 0, done.stdout + done.stderr
        source = checkout / "suite" / "losses" / "infonce.py"
        source.write_text(source.read_text().replace("similarity / self.temperature", "1 / 0"))
    finally:
        site.cluster.run("scontrol", "update", "nodename=gpu[1-2]", "state=resume")
    until(lambda: len(metrics(checkout)) == 2, "both runs are done")
    runs = {run["loss"]: run for run in json.loads(here("plan", *select, "--json").stdout)["runs"]}
    assert {loss: run["state"] for loss, run in runs.items()} == {"cosine": "done", "infonce": "stale"}
    assert runs["infonce"]["reason"] == "changed since: suite.losses.infonce"
    recorded = json.loads((checkout / "results" / "runs" / runs["infonce"]["key"] / "run.json").read_text())
    snapshot = checkout / "results" / "snapshots" / recorded["provenance"]["snapshot"]
    assert "similarity / self.temperature" in (snapshot / "code" / "suite" / "losses" / "infonce.py").read_text()
