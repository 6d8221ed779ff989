"""Shared fixtures: a toy registry in a folder of its own, and the command line on it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from suite.cli import main as cli
from suite.provenance import definitions, modules, targets
from tests import nursery

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)
nursery.install()
# Both go by the wall clock, and a busy machine is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
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


#: Files whose tests take longest, the longest first.
LONGEST = (
    "slurm/test_campaigns", "shells/test_shells", "tests/test_study", "launch/test_kill", "slurm/test_arrays",
    "launch/test_campaign",
    "slurm/test_slurm_commands", "slurm/test_doctor", "tracking/test_server", "verify/test_verify",
    "analysis/test_cli", "shells/test_shared", "launch/test_pilot", "cli/test_tune", "slurm/test_tune",
)  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest files, one after the other for each process of pytest-xdist in turn.

    With ``--dist worksteal`` every process begins with an equal part of the list, and takes what others have left when
    it is through.
    """
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    parts: list[list[pytest.Item]] = [[] for _ in range(processes)]
    others = []
    places = {name: place % processes for place, name in enumerate(LONGEST)}
    for item in sorted(items, key=_place):
        name = _name(item)
        if name in places:
            parts[places[name]].append(item)
        else:
            others.append(item)
    for number, part in enumerate(parts):
        size = (len(items) + number) // processes  # pytest-xdist gives what is left over to the last ones
        count = max(0, size - len(part))
        part += others[:count]
        del others[:count]
    items[:] = [item for part in parts for item in part] + others


def _place(item: pytest.Item) -> int:
    name = _name(item)
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def _name(item: pytest.Item) -> str:
    return f"{item.path.parent.name}/{item.path.stem}"


@pytest.fixture(autouse=True)
def draws_of_its_own(request: pytest.FixtureRequest) -> None:
    """Give each test the same draws of its file's ``RNG``, whichever tests came before it in this process."""
    if isinstance(generator := getattr(request.module, "RNG", None), np.random.Generator):
        generator.bit_generator.state = np.random.default_rng(0).bit_generator.state


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
        return subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=300)

    def tree(self) -> dict[str, bytes]:
        """Return every file and its content."""
        return {str(f.relative_to(self.folder)): f.read_bytes() for f in self.folder.rglob("*") if f.is_file()}


def forget_sources() -> None:
    """Have every source file read anew."""
    for module in (definitions, modules, targets):
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
