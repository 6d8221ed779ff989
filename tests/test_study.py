"""A study of one's own, all the way, with the wheel, in an empty folder: from `init` to a verified archive."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cluster import UNSET
from tests.test_installed import copy_sources

SELECTED = ("--benchmarks", "image", "--losses", "infonce", "square", "--profile", "smoke", "--seeds", "0-1")
SQUARE = """

class Square(LogitLoss):
    def __init__(self, scale: Positive = 4.0) -> None:
        super().__init__()
        self.scale = scale

    def logits(self, similarity: Tensor) -> Tensor:
        return self.scale * similarity * similarity.abs()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, without what it depends on, into a folder to import from."""
    folder = tmp_path_factory.mktemp("wheel")
    copy_sources(folder / "source")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(folder), str(folder / "source")]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


class Study:
    """An empty folder, and what a user types there."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder, self.site = folder, site

    def type(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if name not in UNSET}
        variables |= {"PYTHONPATH": str(self.site), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", *words]
        ended = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=900)
        assert ended.returncode == status, (words, ended.stdout, ended.stderr)
        return ended

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert text.count(old) == 1, old
        (self.folder / name).write_text(text.replace(old, new))


@pytest.mark.data
def test_from_an_empty_folder_to_an_archive_that_is_verified(site: Path, tmp_path: Path) -> None:
    study = Study(tmp_path / "my-study", site)
    study.folder.mkdir()
    study.type("suite", "init")
    study.edit("my_losses.py", "(similarity + similarity**3)\n", f"(similarity + similarity**3)\n{SQUARE}")
    cubic = "  cubic: {_target_: my_losses.Cubic, scale: 4.0, sweep: {scale: [1.0, 2.0, 4.0, 8.0]}}\n"
    study.edit("benchmarks.yaml", cubic, f"{cubic}  square: {{_target_: my_losses.Square}}\n")
    study.edit("benchmarks.yaml", "claims:\n", "claims:\n  mine: {loss: square, is: not_worse, than: infonce}\n")
    assert "conforms" in study.type("suite", "check-loss", "square").stdout
    planned = json.loads(study.type("suite", "plan", "--json", *SELECTED).stdout)
    assert planned["summary"]["missing"] == 4
    ran = study.type("suite", "run", *SELECTED)
    assert ran.stderr.splitlines()[0] == "registry  benchmarks.yaml (experiment my-study)"
    assert "square" in ran.stdout and "next      python -m analysis tables --profile smoke" in ran.stdout

    added = (study.folder / "my_losses.py").read_text() + SQUARE.replace("Square", "Third")
    (study.folder / "my_losses.py").write_text(added)
    assert json.loads(study.type("suite", "plan", "--json", *SELECTED).stdout)["summary"]["done"] == 4

    study.edit("benchmarks.yaml", "  mine: {loss: square, is: not_worse", "  mine: {loss: square, is: better")
    judged = study.type("analysis", "verdict")
    assert "square is not worse than infonce" in judged.stdout
    assert "it was edited since" in judged.stderr

    study.type("analysis", "publish")
    with zipfile.ZipFile(study.folder / "results" / "my-study.zip") as archive:
        archive.extractall(tmp_path / "colleague")
    published = tmp_path / "colleague" / "my-study"
    names = {str(file.relative_to(published)) for file in published.rglob("*")}
    assert {"README.md", "runs.parquet", "manifest.json", "report.html", "tables/smoke/verdicts.tex"} <= names
    assert "mine" in json.loads((published / "manifest.json").read_text())["declared"]["claims"]
    verified = study.type("suite", "verify", "--from", str(published / "runs.parquet"), "--sample", "1")
    assert "identical" in verified.stdout
