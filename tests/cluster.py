"""Helpers that use the suite as its users do: a toy registry in a folder, commands as processes."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from suite.cli import main as cli
from suite.tracking.store import open_client
from tests import nursery
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parent.parent

TOY = """\
defaults: [{launchers@launcher: local}, _self_]
experiment: toy
seeds: 0-1
selection_seeds: 10-11
baseline: cosine
losses:
  cosine: {_target_: tests.toys.Cosine, sweep: {scale: [2.0, 10.0]}}
  infonce: {_target_: suite.losses.InfoNCE, temperature: "${host_temperature}"}
  explodes: {_target_: tests.toys.Explodes}
  raises: {_target_: tests.toys.Raises}
  dies: {_target_: tests.toys.Dies}
benchmarks:
  blobs:
    _target_: tests.toys.Blobs
    metric: {name: accuracy, goal: maximise, margin: 0.01}
    host_temperature: 0.5
    references: {chance: once, untrained: per_seed}
    estimate_s: {smoke: 1, mini: 5}
    profiles: {smoke: {epochs: 2}, mini: {epochs: 10, pause_s: 0.05}}
slices:
  good: {losses: [cosine, infonce]}
"""
#: What a developer may have set for work of their own.
UNSET = ("MLFLOW_TRACKING_URI", "SUITE_DATA_MIRROR")


def toy_registry(folder: Path) -> Path:
    """Write the toy registry and return its file."""
    file = folder / "benchmarks.yaml"
    file.write_text(TOY)
    return file


def shipped_part(benchmarks: Collection[str], losses: Collection[str]) -> str:
    """Return the suite's own registry with some of its entries alone, under which their runs have the same keys.

    To read the whole of it costs every command seconds.
    """
    content = yaml.load((ROOT / "benchmarks.yaml").read_text(), yaml.CSafeLoader)
    for section, names in {"benchmarks": benchmarks, "losses": losses}.items():
        content[section] = {name: content[section][name] for name in names}
    return str(yaml.safe_dump({name: part for name, part in content.items() if name not in ("claims", "slices")}))


def environment(is_forked: bool = True) -> dict[str, str]:
    """The environment of a user who has installed the suite, with few threads: tests run beside each other.

    Python processes that get it are forked, with torch in memory, unless `is_forked` is false: see
    :mod:`tests.nursery`.
    """
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    return {**kept, **({nursery.WANTED: "1"} if is_forked else {}), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def command(folder: Path, *arguments: str) -> list[str]:
    """Return the command line of the suite on the toy registry of a folder."""
    place = ["--out", str(folder / "results")]
    if arguments[0] not in ("cancel", "clean", "logs", "ui", "worker"):
        place += ["--registry", str(folder / "benchmarks.yaml")]
    return [sys.executable, "-m", "suite", arguments[0], *place, *arguments[1:]]


def prepare_store(folder: Path) -> None:
    """Give a folder the empty MLflow store that its first campaign would make, by migrations that take seconds.

    Campaigns that are started without these helpers make theirs: those under fire in ``test_kill.py``.
    """
    file = folder / "results" / "mlflow.db"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(_empty_store())


@functools.cache
def _empty_store() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mlflow.db"
        open_client(f"sqlite:///{file}")
        return file.read_bytes()


def suite(folder: Path, *arguments: str, timeout: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Run the suite on the toy registry of a folder, to its end."""
    if arguments[0] in ("run", "tune"):
        prepare_store(folder)
    return subprocess.run(
        command(folder, *arguments), capture_output=True, text=True, timeout=timeout, cwd=folder, env=environment()
    )


def suite_here(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Do the same as :func:`suite` in this process, which has imported already what takes a new one seconds."""
    if arguments[0] in ("run", "tune"):
        prepare_store(folder)
    said, errors = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        for name in UNSET:
            patch.delenv(name, raising=False)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
            status = cli.main(command(folder, *arguments)[3:])
    return subprocess.CompletedProcess(arguments, status, said.getvalue(), errors.getvalue())


def plan(folder: Path, *arguments: str) -> dict[str, Any]:
    """Return what ``plan --json`` prints."""
    done = suite_here(folder, "plan", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def events(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the events of every record of a folder, by key."""
    return {
        path.parent.name: [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
        for path in (folder / "results" / "runs").glob("*/events.jsonl")
    }


def metrics(folder: Path) -> dict[str, dict[str, float]]:
    """Return the metrics of every finished run of a folder, by key."""
    results = [json.loads(path.read_text()) for path in (folder / "results" / "runs").glob("*/result.json")]
    return {result["key"]: result["metrics"] for result in results}


def mlflow_runs(folder: Path) -> dict[str, list[str]]:
    """Return the statuses of the MLflow runs of every key, deleted ones left out."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'results' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("toy") or client.get_experiment_by_name("contrastive-losses")
    found: dict[str, list[str]] = {}
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        found.setdefault(run.data.tags["suite.key"], []).append(run.info.status)
    return found
