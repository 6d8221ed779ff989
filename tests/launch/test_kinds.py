"""A launcher kind is one file: its settings, its check, its packs and its jobs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import suite.launch.kinds
from suite.registry.launchers import kinds
from tests.cluster import ROOT, suite_here, toy_registry

KIND = '''\
"""The launcher kind ``twice``: a debug launcher with a setting, a check and a cost of its own."""

from dataclasses import dataclass
from typing import Literal

from suite.launch.kinds.debug import DebugLauncher
from suite.problems import InputError, Problem


@dataclass(frozen=True)
class TwiceLauncher(DebugLauncher):
    kind: Literal["twice"]
    queue: str = "short"

    def check(self, runs):
        super().check(runs)
        if self.queue != "short":
            raise InputError([Problem("launcher", "queue", f"the site has no queue {self.queue!r}")])

    def cost(self, runs, registry, clock):
        return f"{len(runs)} runs in queue {self.queue}"
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A toy registry, and one file in a folder of kinds."""
    (tmp_path / "kinds").mkdir()
    (tmp_path / "kinds" / "twice.py").write_text(KIND)
    toy_registry(tmp_path)
    (tmp_path / "launchers").mkdir()
    (tmp_path / "launchers" / "twice.yaml").write_text("kind: twice\n")
    monkeypatch.setattr(suite.launch.kinds, "__path__", [*suite.launch.kinds.__path__, str(tmp_path / "kinds")])
    kinds.cache_clear()
    yield tmp_path
    kinds.cache_clear()


def test_a_new_kind_is_one_file(project: Path) -> None:
    assert list(kinds()) == ["debug", "local", "slurm", "twice"]
    chosen = ("--launcher", "twice", "--losses", "cosine", "--seeds", "0", "--profile", "smoke")
    planned = suite_here(project, "plan", *chosen)
    assert "1 runs in queue short" in planned.stdout, planned.stderr
    refused = suite_here(project, "run", *chosen, "launcher.queue=long")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "the site has no queue 'long'" in refused.stderr
    unknown = suite_here(project, "run", *chosen, "launcher.queeu=short")
    assert "did you mean 'queue'?" in unknown.stderr
    done = suite_here(project, "run", *chosen)
    assert done.returncode == 0, done.stderr
    assert "nothing to run: 1 of 1 runs are done" in suite_here(project, "run", *chosen).stdout


def test_no_kind_is_asked_for_by_its_class_outside_of_the_kinds() -> None:
    command = ["git", "grep", "-lE", r"isinstance\(.*Launcher", "--", "suite", "analysis", ":!suite/launch/kinds"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert found == []
