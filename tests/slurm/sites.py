"""The suite on a real cluster as its users see it: a folder with the toy registry, commands, and what SLURM says."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.cluster import (
    command,
    environment,
    events,
    metrics,
    mlflow_runs,
    prepare_store,
    suite,
    suite_here,
    toy_registry,
)
from tests.slurm.cluster import Cluster
from tests.waiting import PATIENCE_S, until

SITE = ["--launcher", "slurm", "launcher.gpus=0", "launcher.cpus=1", "launcher.memory=1G", "launcher.poll_seconds=1"]
SITE += ["launcher.time=10m", "launcher.target=1s", "launcher.checkpoint_minutes=0.01"]
FOUR = ["--profile", "mini", "--losses", "good", "--seeds", "0-1"]
TWO = ["--profile", "mini", "--losses", "cosine", "--seeds", "0-1"]
SLOWLY = "benchmarks.blobs.profiles.mini.pause_s=0.1"  # 8 s of training: time for something to happen to it


Figures = dict[tuple[str, int], dict[str, float]]


def named(folder: Path) -> Figures:
    """Return the metrics of every finished run of a folder by loss and seed: a slow run's are those of a fast one."""
    found = metrics(folder)
    runs = {key: json.loads((folder / "results" / "runs" / key / "run.json").read_text()) for key in found}
    return {(run["loss"], run["seed"]): found[key] for key, run in runs.items()}


class Site:
    """A folder with the toy registry, on a cluster."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.runs = folder / "results" / "runs"
        self.launchers: list[subprocess.Popen[str]] = []
        toy_registry(folder)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `run` and stay attached to it."""
        prepare_store(self.folder)
        launcher = subprocess.Popen(
            command(self.folder, "run", *SITE, *arguments),
            cwd=self.folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.launchers.append(launcher)
        return launcher

    def run(self, *arguments: str, status: int = 0) -> str:
        done = suite(self.folder, "run", *SITE, *arguments)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def ended(self, launcher: subprocess.Popen[str], status: int = 0) -> str:
        printed, _ = launcher.communicate(timeout=PATIENCE_S)
        assert launcher.returncode == status, printed
        return printed

    def training(self, count: int) -> list[str]:
        """Wait until so many runs have begun to train; return their keys."""

        def found() -> list[str]:
            begun = [p.parent.name for p in self.runs.glob("*/events.jsonl") if '"metrics"' in p.read_text()]
            return begun if len(begun) >= count else []

        return list(until(found, f"{count} runs train"))

    def tasks(self) -> list[dict[str, Any]]:
        """What `status` says of array tasks."""
        status = json.loads(suite_here(self.folder, "status", "--json", *FOUR).stdout)
        assert not status["cluster"]["silence"]
        return list(status["cluster"]["tasks"])

    def workers(self) -> list[dict[str, Any]]:
        return [json.loads(p.read_text()) for p in (self.folder / "results").glob("launches/*/workers/*.json")]

    def job_of(self, key: str) -> str:
        """The array task that carries out a run, as its pilot says."""
        for file in (self.folder / "results").glob("launches/*/workers/*.json"):
            worker = json.loads(file.read_text())
            if worker["key"] == key:
                task = json.loads((file.parent.parent / "tasks" / f"{worker['number']}.json").read_text())
                return str(task["job"])
        raise AssertionError(f"nobody carries out {key}")

    def is_empty(self) -> bool:
        return not self.cluster.run("squeue", "--noheader").strip()

    def check(self, keys: int, expected: Figures | None = None) -> None:
        """Complete, no run twice, one MLflow run a key."""
        found = metrics(self.folder)
        assert len(found) == keys
        if expected is not None:
            assert named(self.folder).items() <= expected.items()
        for key, happened in events(self.folder).items():
            assert [e["event"] for e in happened].count("finished") == 1, (key, happened)
            steps = [e["step"] for e in happened if e["event"] == "metrics"]
            assert max(steps) == 79
        assert mlflow_runs(self.folder) == {key: ["FINISHED"] for key in found}
        assert not list(self.runs.glob("*/checkpoint.pt"))
        until(self.is_empty, "no job is left")
