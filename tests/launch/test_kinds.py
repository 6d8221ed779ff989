"""A launcher kind is one file: its settings, its check, its packs and its jobs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import suite.launch.kinds
from suite.registry.launchers import kinds
from tests.cluster import ROOT, suite_here, toy_registry

EXAMPLE = re.compile(r"^```python\n# suite/launch/kinds/polite.py\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A toy registry, and one file in a folder of kinds."""
    (tmp_path / "kinds").mkdir()
    example = EXAMPLE.search((ROOT / "CONTRIBUTING.md").read_text())
    assert example is not None
    (tmp_path / "kinds" / "polite.py").write_text(example[1])
    toy_registry(tmp_path)
    (tmp_path / "launchers").mkdir()
    (tmp_path / "launchers" / "polite.yaml").write_text("kind: polite\n")
    monkeypatch.setattr(suite.launch.kinds, "__path__", [*suite.launch.kinds.__path__, str(tmp_path / "kinds")])
    kinds.cache_clear()
    yield tmp_path
    kinds.cache_clear()


def test_a_new_kind_is_one_file(project: Path) -> None:
    assert list(kinds()) == ["debug", "generic", "local", "polite", "pool", "slurm"]
    chosen = ("--launcher", "polite", "--losses", "cosine", "--seeds", "0", "--profile", "smoke")
    planned = suite_here(project, "plan", *chosen)
    assert "1 runs, and 10 are allowed" in planned.stdout, planned.stderr
    refused = suite_here(project, "run", *chosen, "launcher.most=0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "1 runs are more than 0" in refused.stderr
    unknown = suite_here(project, "run", *chosen, "launcher.mosst=1")
    assert "did you mean 'most'?" in unknown.stderr
    done = suite_here(project, "run", *chosen)
    assert done.returncode == 0, done.stderr
    assert "nothing to run: 1 of 1 runs are done" in suite_here(project, "run", *chosen).stdout


def test_no_kind_is_asked_for_by_its_class_outside_of_the_kinds() -> None:
    command = ["git", "grep", "-lE", r"isinstance\(.*Launcher", "--", "suite", "analysis", ":!suite/launch/kinds"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert found == []


def test_a_cluster_is_known_to_its_kind_and_its_doctor_alone() -> None:
    places = ["suite", ":!suite/launch/slurm", ":!suite/launch/kinds/slurm.py", ":!suite/doctor"]
    command = ["git", "grep", "-lE", r"suite\.launch\.slurm", "--", *places]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split() == []
