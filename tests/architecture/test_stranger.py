"""What a stranger adds touches one place: a loss and a table a file, a benchmark a folder; as CONTRIBUTING.md says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, Project

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
FORMS = ("md", "tex", "csv", "html")
LOSS = """\
from suite.losses import LogitLoss
from suite.parameters import Positive


class Cubic(LogitLoss):
    def __init__(self, scale: Positive = 4.0) -> None:
        super().__init__()
        self.scale = scale

    def logits(self, similarity):
        return self.scale * (similarity + similarity**3)
"""
BENCHMARK = """\
from dataclasses import dataclass

from tests.toys import Blobs


@dataclass(frozen=True)
class Clouds(Blobs):
    pass
"""


def executed(project: Project, *arguments: str) -> str:
    selection = ["--profile", "smoke", "--seeds", "0", "--launcher", "debug", "--quiet"]
    status, out, err = project.suite("run", *arguments, *selection)
    assert status == 0, err
    return out


def added(project: Project, before: set[str]) -> set[str]:
    """Return the sources that are there since."""
    return {name for name in project.tree() if name.endswith((".py", ".yaml"))} - before


def test_a_loss_is_one_file(project: Project) -> None:
    before = set(project.tree())
    project.write(LOSS, "my_losses.py")
    assert added(project, before) == {"my_losses.py"}
    executed(project, "+losses.cubic={_target_: my_losses.Cubic}", "--losses", "cubic", "--benchmarks", "blobs")


def test_a_benchmark_is_one_folder(project: Project) -> None:
    before = set(project.tree())
    project.write(BENCHMARK, "my_benchmark/__init__.py")
    assert {Path(name).parts[0] for name in added(project, before)} == {"my_benchmark"}
    entry = (
        "{_target_: my_benchmark.Clouds, metric: {name: accuracy, goal: maximise, margin: 0.01}, "
        "host_temperature: 0.5, profiles: {smoke: {epochs: 1}}}"
    )
    executed(project, f"+benchmarks.clouds={entry}", "--losses", "infonce", "--benchmarks", "clouds")


def test_a_table_is_one_file(tmp_path: Path) -> None:
    (block,) = re.findall(
        r"^```python\n(# analysis/tables/counts.py\n.*?)^```$", CONTRIBUTING, re.DOTALL | re.MULTILINE
    )
    shutil.copytree(ROOT / "analysis", tmp_path / "analysis")
    (tmp_path / "analysis" / "tables" / "counts.py").write_text(block)
    command = ["tables", "--from", str(ROOT / "results" / "reference" / "runs.parquet"), "--profile", "mini"]
    ended = subprocess.run(
        [sys.executable, "-m", "analysis", *command, "--out", "made"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    made = {form: (tmp_path / "made" / "tables" / "mini" / f"counts.{form}").read_text() for form in FORMS}
    assert "image" in made["csv"]
    assert all("Fashion-MNIST (SimCLR)" in made[form] for form in ("md", "tex", "html"))  # for readers, its label
