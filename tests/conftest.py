"""Shared fixtures: a toy registry in a folder of its own, and the command line on it."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from suite.cli import main as cli
from suite.provenance import definitions, modules, targets
from suite.registry.load import load
from suite.registry.registry import Registry
from suite.tracking import store
from tests import nursery
from tests.tracking import migrations

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
    "slurm/test_campaigns", "shells/test_shells", "launch/test_kill", "tests/test_study", "launch/test_campaign",
    "slurm/test_arrays", "storm/test_storm", "docs/test_python", "benchmarks/test_colour_papers", "launch/test_pool",
    "tracking/test_server", "analysis/test_plots", "slurm/test_slurm_commands", "shells/test_shared", "cli/test_tune",
    "slurm/test_doctor", "work/test_multiprocess", "analysis/test_cli", "slurm/test_generic", "verify/test_verify",
    "analysis/test_collect", "benchmarks/test_anomaly", "doctor/test_doctor", "perf/test_gpu", "losses/test_compile",
    "tracking/test_addresses", "slurm/test_cluster", "work/test_forks", "slurm/test_tune", "tracking/test_faults",
    "launch/test_pilot", "slurm/test_clusters", "conformance/test_conformance", "docs/test_tutorials",
    "conformance/test_check_loss", "analysis/test_tuned_campaign", "benchmarks/test_anomaly_paper",
    "analysis/test_verdict", "training/test_distributed",
)  # fmt: skip
#: Folders of many short tests, which take no fixture that is dear to make.
SHORT = ("losses", "pairs", "registry")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect in half of the time: without a look for garbage, which millions of new objects are not, then and later.

    And keep test modules with their assertions rewritten for the next time, also where a shell forbids bytecode.
    """
    writes_none, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    gc.disable()
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = writes_none
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """Let libraries find their own at the end."""
    gc.unfreeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each process of pytest-xdist whole files, the longest first, and short tests at the end.

    With ``--dist worksteal`` every process begins with an equal part of the list, and takes from the ends of others'
    parts when it is through. A file in two processes would have its fixtures made twice.
    """
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    parts: list[list[pytest.Item]] = [[] for _ in range(processes)]
    files: dict[str, list[pytest.Item]] = {}
    for item in sorted(items, key=_place):
        files.setdefault(_name(item), []).append(item)
    short = []
    for number, (name, tests) in enumerate(files.items()):
        if name in LONGEST:
            parts[number % processes] += tests
        elif name.partition("/")[0] in SHORT:
            short += tests
        else:
            min(parts, key=len).extend(tests)
    for number, part in enumerate(parts):
        size = (len(items) + number) // processes  # pytest-xdist gives what is left over to the last ones
        count = max(0, size - len(part))
        part += short[:count]
        del short[:count]
    items[:] = [item for part in parts for item in part] + short


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


@pytest.fixture(autouse=True, scope="session")
def known_migrations() -> Iterator[None]:
    """Make SQLite stores in this process with the first one's tables; those of the tracking's tests MLflow migrates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_create_file", migrations.create_file)
        yield


@pytest.fixture(scope="session")
def shipped() -> Registry:
    """The registry of the suite, which takes seconds to be read; nobody changes it."""
    return load(ROOT / "benchmarks.yaml")


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
        """Run a command in a process of its own, a fork if the environment wants one: see :mod:`tests.nursery`."""
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        command = [sys.executable, "-m", "suite", *arguments]
        return subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=300)

    def tree(self) -> dict[str, bytes]:
        """Return every file and its content, but for what Python itself keeps of modules that it imports."""
        files = (f for f in self.folder.rglob("*") if f.is_file() and f.parent.name != "__pycache__")
        return {str(f.relative_to(self.folder)): f.read_bytes() for f in files}


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
