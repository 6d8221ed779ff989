"""One tracking server for several launchers, as it stands in a laboratory: MLflow on PostgreSQL, both real."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest

from suite.doctor import tracking as doctor
from tests.cluster import TOY, command, environment
from tests.tracking.gated import GATE
from tests.tracking.servers import MlflowServer, Postgres
from tests.tracking.stores import client
from tests.waiting import PATIENCE_S, until

NOT_UP_TO_DATE = "MLflow is not up to date"
#: What the server's log says of a request.
CREATED = '/runs/create HTTP/1.1" 200'
SERVER_ERROR = 'HTTP/1.1" 50'


@dataclass
class Laboratory:
    """A tracking server and its database."""

    database: Postgres
    server: MlflowServer


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    database = Postgres()
    try:
        database.start()
        server = MlflowServer(database.uri, tmp_path_factory.mktemp("server"))
        try:
            server.start()
            yield Laboratory(database, server)
        finally:
            server.stop()
    finally:
        database.remove()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again after ten seconds for an answer that an outage has swallowed; MLflow would wait for two minutes."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")


class Campaign:
    """A folder with the toy registry, whose runs wait half-way until the gate opens, and launchers on it."""

    def __init__(self, folder: Path, experiment: str) -> None:
        self.folder = folder
        self.experiment = experiment
        self.runs = folder / "results" / "runs"
        self.gate = folder / "gate"
        folder.mkdir()
        registry = TOY.replace("experiment: toy", f"experiment: {experiment}")
        registry = registry.replace("tests.toys.Blobs", "tests.tracking.gated.GatedBlobs")
        (folder / "benchmarks.yaml").write_text(registry)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command(self.folder, *arguments), cwd=self.folder, env={**environment(), GATE: str(self.gate)},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )  # fmt: skip

    def run(self, uri: str, losses: str, seeds: str, workers: int) -> subprocess.Popen[str]:
        selected = ["--profile", "smoke", "--losses", losses, "--seeds", seeds]
        return self.start("run", *selected, "--tracking-uri", uri, f"launcher.workers={workers}")

    def records(self) -> dict[str, Path]:
        """Return the folders of the records by the ids of the records."""
        return {json.loads(path.read_text())["record"]: path.parent for path in self.runs.glob("*/run.json")}

    def results(self) -> int:
        return len(list(self.runs.glob("*/result.json")))


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for a command, which must succeed, and return what it printed."""
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, printed
    return printed


def mirrored(uri: str, experiment: str) -> list[Any]:
    opened = client(uri)
    found = opened.get_experiment_by_name(experiment)
    return list(opened.search_runs([found.experiment_id], max_results=1000)) if found else []


def in_progress(uri: str, *campaigns: Campaign) -> int:
    """Count the records without a result of which MLflow shows metrics."""
    records = all_records(*campaigns)
    shown = [run for run in mirrored(uri, campaigns[0].experiment) if "train/loss" in run.data.metrics]
    folders = [records[run.data.tags["suite.record"]] for run in shown if run.data.tags["suite.record"] in records]
    return sum(not (folder / "result.json").exists() for folder in folders)


def all_records(*campaigns: Campaign) -> dict[str, Path]:
    return {record: folder for campaign in campaigns for record, folder in campaign.records().items()}


def leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found = {}
    for name, value in config.items():
        inner = isinstance(value, dict) and value
        found |= leaves(value, f"{prefix}{name}.") if inner else {prefix + name: value}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}


def series(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return every metric that a record holds: its steps and values."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in (folder / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        for name, value in event.get("values", {}).items():
            found.setdefault(name, []).append((event["step"], value))
        for name, shares in event.get("shares", {}).items():
            found[f"histogram/{name}"] = list(enumerate(shares))
    result = json.loads((folder / "result.json").read_text())
    final = result["metrics"] | {f"seconds/{name}": value for name, value in result["seconds"].items()}
    final["samples_per_s"] = result["samples_per_s"]
    return found | {name: [(0, value)] for name, value in final.items()}


def assert_equal_to_its_record(uri: str, run: Any, folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    assert run.info.status == "FINISHED"
    assert run.data.params == leaves(record["config"])
    named = ("key", "record", "benchmark", "loss", "kind", "seed", "profile", "purpose")
    assert {name: run.data.tags[f"suite.{name}"] for name in named} == {name: str(record[name]) for name in named}
    assert run.data.tags["suite.metric"] == record["metric"]["name"]
    assert run.data.tags["suite.git"] == record["provenance"]["git"]
    shown = {
        name: sorted((point.step, point.value) for point in client(uri).get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
    }
    assert shown == series(folder)


def assert_one_run_a_key(uri: str, *campaigns: Campaign) -> None:
    """Whatever happened: of every key that has a record, one run, which says what a record of it says."""
    runs = mirrored(uri, campaigns[0].experiment)
    records = all_records(*campaigns)
    assert sorted(run.data.tags["suite.key"] for run in runs) == sorted({folder.name for folder in records.values()})
    for run in runs:
        assert_equal_to_its_record(uri, run, records[run.data.tags["suite.record"]])


def test_two_launchers_on_one_results_folder_survive_a_restart_of_the_database(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    uri, campaign = laboratory.server.uri, Campaign(tmp_path / "shared", "shared")
    first = campaign.run(uri, "good", "0", workers=2)
    until(lambda: in_progress(uri, campaign) >= 2, "MLflow shows metrics of runs in progress")
    laboratory.database.stop()
    before = laboratory.server.log().count(SERVER_ERROR)
    second = campaign.run(uri, "good", "0-1", workers=3)
    until(lambda: laboratory.server.log().count(SERVER_ERROR) > before, "a launcher meets a server without database")
    laboratory.database.start()
    until(lambda: in_progress(uri, campaign) >= 3, "MLflow shows metrics of runs of both")
    campaign.gate.touch()
    for launcher in (first, second):
        printed = ended(launcher)
        assert NOT_UP_TO_DATE not in printed
        assert "View run" not in printed  # what MLflow prints by itself
    assert campaign.results() == 4
    assert_one_run_a_key(uri, campaign)


def test_two_launchers_with_a_results_folder_each_survive_an_outage_of_the_server(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    """One ends during the outage: its records, copied elsewhere as from a node without network, need a sync."""
    uri = laboratory.server.uri
    node, other = (Campaign(tmp_path / name, "apart") for name in ("node", "other"))
    launchers = [node.run(uri, "good", "0", workers=1), other.run(uri, "infonce", "0-1", workers=1)]
    until(lambda: in_progress(uri, node, other) >= 2, "MLflow shows metrics of runs in progress of both")
    laboratory.server.stop()
    node.gate.touch()
    printed = ended(launchers[0])
    assert "2 runs done" in printed and NOT_UP_TO_DATE in printed
    places = f"--out {node.folder / 'results'} --registry {node.folder / 'benchmarks.yaml'}"
    assert f"python -m suite sync {places} --tracking-uri {uri} completes it" in printed
    laboratory.server.start()
    other.gate.touch()
    assert NOT_UP_TO_DATE not in ended(launchers[1])
    home = Campaign(tmp_path / "home", "apart")
    shutil.copytree(node.runs, home.runs)
    assert "error" not in ended(home.start("sync", "--tracking-uri", uri))
    assert_one_run_a_key(uri, home, other)


def test_the_doctor_finds_the_server_and_creates_nothing_there(laboratory: Laboratory) -> None:
    found = list(doctor.findings(laboratory.server.uri, "nothing of that name"))
    assert [finding.state for finding in found] == ["ok", "ok"]
    assert f"is MLflow {mlflow.__version__}" in found[0].what
    assert client(laboratory.server.uri).get_experiment_by_name("nothing of that name") is None


def test_a_launcher_killed_while_it_mirrors_is_completed_by_sync(laboratory: Laboratory, tmp_path: Path) -> None:
    uri, campaign = laboratory.server.uri, Campaign(tmp_path / "killed", "killed")
    before = laboratory.server.log().count(CREATED)
    launcher = campaign.run(uri, "good", "0", workers=1)
    until(lambda: laboratory.server.log().count(CREATED) > before, "the launcher creates a run in MLflow")
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.communicate()
    campaign.gate.touch()
    until(lambda: campaign.results() == 2, "the worker outlives its launcher and finishes")
    assert [run.info.status for run in mirrored(uri, campaign.experiment)].count("FINISHED") == 0
    assert "2 runs brought up to date" in ended(campaign.start("sync", "--tracking-uri", uri))
    assert_one_run_a_key(uri, campaign)
