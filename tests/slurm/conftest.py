"""A cluster for each test process, started when the first test asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import environment
from tests.slurm import forked
from tests.slurm.cluster import Cluster, obstacle


@pytest.fixture(scope="session")
def make_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Cluster]]:
    """Start a cluster with options of its own, which lasts until the tests end unless it is stopped before."""
    if problem := obstacle():
        if os.environ.get("SUITE_REQUIRE_SLURM") == "1":
            pytest.fail(f"SUITE_REQUIRE_SLURM=1, but no SLURM can run here: {problem}", pytrace=False)
        pytest.skip(f"needs a real SLURM: {problem}")
    with ExitStack() as clusters:

        def make(**options: Any) -> Cluster:
            return clusters.enter_context(Cluster(tmp_path_factory.mktemp("slurm"), **options))

        yield make


@pytest.fixture(scope="session")
def slurm(make_cluster: Callable[..., Cluster]) -> Cluster:
    """The cluster that the tests of a process share, with accounting."""
    return make_cluster()


@pytest.fixture(scope="session")
def forked_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An interpreter for array tasks of which many are alike: see :mod:`tests.slurm.forked`."""
    folder = tmp_path_factory.mktemp("nursery")
    program, place = folder / "python", str(folder / "socket")
    program.write_text(forked.script(place))
    program.chmod(0o755)
    code = f"import nursery; nursery.listen({place!r})"
    with subprocess.Popen([sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == "listening\n"
        yield program
        server.kill()


@pytest.fixture
def on_slurm(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The shared cluster, idle, with this process and those that it starts as its users."""
    for name in [name for name in os.environ if name.startswith(("SLURM", "SBATCH"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    yield slurm
    slurm.clear()
