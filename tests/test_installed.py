"""The suite as it is installed: outside of a checkout, in an empty folder."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BUILT = (
    "suite",
    "analysis",
    "docs",
    "launchers",
    "benchmarks.yaml",
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
)


def copy_sources(target: Path) -> None:
    """Copy what a wheel is built from."""
    for name in BUILT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the packages from a copy of their sources, as a wheel has them."""
    folder = tmp_path_factory.mktemp("built")
    copy_sources(folder / "source")
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(folder / "lib")]
    subprocess.run(command, cwd=folder / "source", check=True, capture_output=True)
    return folder / "lib"


def suite(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", "-m", "suite", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=300)


def test_the_registry_and_the_launchers_come_with_the_packages(installed: Path, tmp_path: Path) -> None:
    for name in (
        "benchmarks.yaml",
        "launchers/local.yaml",
        "launchers/debug.yaml",
        "launchers/slurm.yaml",
        "docs/architecture.md",
    ):
        assert (installed / "suite" / "shipped" / name).read_bytes() == (ROOT / name).read_bytes()
    planned = suite(
        installed, tmp_path, "plan", "--json", "--benchmarks", "graph", "--seeds", "0", "--profile", "smoke"
    )
    assert planned.returncode == 0, planned.stderr
    assert {run["benchmark"] for run in json.loads(planned.stdout)["runs"]} == {"graph"}
    assert list(tmp_path.iterdir()) == []


def test_a_registry_of_ones_own_finds_the_shipped_launchers(installed: Path, tmp_path: Path) -> None:
    text = "experiment: x\nseeds: 0\nbaseline: infonce\nlosses: {infonce: {_target_: infonce, temperature: 0.1}}\n"
    text += (
        "benchmarks: {graph: {_target_: graph, metric: {name: a, goal: maximise, margin: 1.0}, profiles: {mini: {}}}}"
    )
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    for launcher in ("local", "debug", "slurm"):
        listed = suite(installed, tmp_path, "plan", "--registry", "mine.yaml", "--launcher", launcher)
        assert listed.returncode == 0, listed.stderr
