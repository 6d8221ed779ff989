"""Shared fixtures: a toy registry in a folder of its own, and the command line on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.cli import main as cli
from suite.provenance import modules, targets

ROOT = Path(__file__).resolve().parent.parent

REGISTRY = """\
defaults: [{launchers@launcher: local}, _self_]
experiment: toy
seeds: 0-3
selection_seeds: 10-11
baseline: cosine
losses:
  cosine: {_target_: tests.toys.Cosine, sweep: {scale: [2.0, 10.0]}}
  infonce: {_target_: suite.losses.InfoNCE, temperature: "${host_temperature}"}
benchmarks:
  blobs:
    _target_: tests.toys.Blobs
    metric: {name: accuracy, goal: maximise, margin: 0.01}
    host_temperature: 0.5
    references: {chance: once, untrained: per_seed}
    estimate_s: {smoke: 1}
    profiles: {smoke: {epochs: 3}, mini: {epochs: 3, pause_s: 0.02}}
  nothing:
    _target_: tests.toys.Nothing
    metric: {name: accuracy, goal: maximise, margin: 0.01}
    host_temperature: 0.2
    profiles: {smoke: {}, mini: {}}
slices:
  default: {losses: [all, references]}
  scales: {losses: ["cosine@*"], seeds: 1-2}
"""


#: Files whose tests take longest. They begin first: a process of pytest-xdist that ends early waits for the others.
LONGEST = ("test_kill", "test_campaigns", "test_arrays", "test_campaign", "test_verify")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


class Project:
    """A folder with a registry, and what a user types there."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.has_modules = False

    def write(self, text: str, name: str = "benchmarks.yaml") -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if file.suffix == ".py":
            self.has_modules = True
            forget_sources()
        return file

    def edit(self, old: str, new: str) -> None:
        """Replace a part of the registry that stands there once."""
        text = (self.folder / "benchmarks.yaml").read_text()
        assert text.count(old) == 1, old
        self.write(text.replace(old, new))

    def suite(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command in this process: exit status, output, errors."""
        self.capsys.readouterr()
        status = cli.main(arguments)
        captured = self.capsys.readouterr()
        return status, captured.out, captured.err

    def process(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own."""
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        command = [sys.executable, "-m", "suite", *arguments]
        return subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=120)

    def tree(self) -> dict[str, bytes]:
        """Return every file and its content."""
        return {str(f.relative_to(self.folder)): f.read_bytes() for f in self.folder.rglob("*") if f.is_file()}


def forget_sources() -> None:
    """Have every source file read anew."""
    for module in (modules, targets):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    """The toy registry in the current directory, from which modules can be imported, too."""
    made = Project(tmp_path, capsys)
    made.write(REGISTRY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield made
    if made.has_modules:
        forget_sources()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
