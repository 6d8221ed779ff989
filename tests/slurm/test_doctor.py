"""The doctor on a real cluster: what SLURM says, and what a probe job sees on a node."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from suite.doctor import Finding, cluster, devices, examine, visit
from suite.doctor.devices import Machine
from suite.records.record import Store
from suite.registry.load import load
from suite.registry.registry import Registry
from tests.cluster import toy_registry
from tests.slurm.cluster import Cluster

SMALL = ["launcher.gpus=0", "launcher.cpus=2", "launcher.memory=2G", "launcher.time=20m"]


@pytest.fixture(scope="module")
def here() -> Machine:
    return devices.measure()


@pytest.fixture
def results(tmp_path: Path) -> Iterator[Path]:
    """A results folder that does not exist, beside which nothing is left."""
    yield tmp_path / "results"
    assert [path.name for path in tmp_path.iterdir()] == ["benchmarks.yaml"]


def registry(results: Path, *overrides: str) -> Registry:
    return load(toy_registry(results.parent), [*SMALL, *overrides], "slurm")


def found_by(made: Registry, results: Path, here: Machine, patience_s: float = 60) -> list[Finding]:
    launcher = made.document.launcher
    return list(cluster.findings(launcher, made, Store(results), "http://127.0.0.1:9", here, patience_s))


def only(findings: list[Finding], state: str) -> Finding:
    """Return the one finding that is not fine; it comes with advice."""
    (found,) = [finding for finding in findings if finding.state != "ok"]
    assert found.state == state and found.advice
    return found


def test_a_cluster_that_is_well_is_found_well_by_a_job_on_a_node(on_slurm: Cluster, results: Path) -> None:
    found = list(examine(registry(results), Store(results), f"sqlite:///{results}/mlflow.db"))
    assert [finding for finding in found if finding.state not in ("ok", "warning")] == []
    probed = [finding.what for finding in found if finding.topic == "probe"]
    assert any("sees the results folder: there and back took" in what for what in probed)
    assert "locks taken here are seen on the node, and the other way round" in probed
    assert any(": torch 2." in what for what in probed)
    assert any(what.startswith("the clock of") for what in probed)
    assert any("accounting answers" in finding.what for finding in found)
    assert on_slurm.jobs() == {}


def test_without_accounting_the_rest_is_examined_and_without_a_controller_nothing_is_claimed(
    make_cluster: Callable[..., Cluster], results: Path, here: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_cluster(accounting=False)
    try:
        monkeypatch.setenv("SLURM_CONF", site.environment["SLURM_CONF"])
        made = registry(results, "launcher.gpus=1")
        accounting, gpu = [finding for finding in found_by(made, results, here) if finding.state != "ok"]
        assert (accounting.state, accounting.what) == ("warning", "the site keeps no accounting")
        assert accounting.advice.startswith("nothing needs doing: runs, status and cancel work without it")
        assert gpu.state == "problem" and "a GPU was asked for, CUDA_VISIBLE_DEVICES=0, and torch sees none" in gpu.what
        site.kill_daemon("slurmctld")
        silent = only(found_by(made, results, here), "unknown")
        assert (silent.topic, silent.what[:34]) == ("slurm", "the controller does not answer: sc")
    finally:
        site.stop()


def test_a_partition_that_is_not_there_is_named_with_the_one_that_was_meant(
    on_slurm: Cluster, results: Path, here: Machine
) -> None:
    refused = only(found_by(registry(results, "launcher.partition=hihg"), results, here), "problem")
    assert refused.topic == "slurm" and "did you mean 'high'?" in refused.what
    assert on_slurm.jobs() == {}


def test_more_than_any_node_has_is_a_problem_though_slurm_takes_such_jobs(
    on_slurm: Cluster, results: Path, here: Machine
) -> None:
    refused = only(found_by(registry(results, "launcher.cpus=400"), results, here), "problem")
    assert "no node has 400 cpus, 2G of memory and 0 GPUs" in refused.what
    assert on_slurm.jobs() == {}


def test_a_probe_that_never_starts_is_cancelled_and_its_reason_told(
    on_slurm: Cluster, results: Path, here: Machine
) -> None:
    on_slurm.run("scontrol", "update", "nodename=gpu[1-2]", "state=drain", "reason=maintenance")
    try:
        pending = only(found_by(registry(results), results, here, patience_s=3), "unknown")
        assert pending.topic == "probe" and pending.what.startswith("the probe job was still PENDING (")
        assert pending.what.endswith(") after 3 s; the job was cancelled")
        assert on_slurm.jobs() == {}
    finally:
        on_slurm.run("scontrol", "update", "nodename=gpu[1-2]", "state=resume")


def test_an_interpreter_that_the_nodes_do_not_have_is_a_problem_in_the_words_of_the_job(
    on_slurm: Cluster, results: Path, here: Machine
) -> None:
    failed = only(found_by(registry(results, "launcher.python=/not/there/python"), results, here), "problem")
    assert failed.topic == "probe" and "/not/there/python" in failed.what and "No such file" in failed.what


def test_a_job_of_which_nothing_arrives_is_a_problem(
    on_slurm: Cluster, results: Path, here: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "ARRIVAL_S", 1.0)
    silent = only(found_by(registry(results, "launcher.setup=[exit]"), results, here), "problem")
    assert "ended, and nothing that it wrote has arrived" in silent.what and "--out DIR" in silent.advice
