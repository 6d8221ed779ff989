"""The wheel, in empty folders: what it holds, and docs/tutorial.md followed word for word to a verified archive."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.evidence.words import INSENSITIVE, WORDS
from tests.cluster import environment
from tests.conftest import ROOT
from tests.pages import Command, File, commands, files, steps

BUILT = (
    "suite", "analysis", "docs", "launchers", "benchmarks.yaml", "pyproject.toml", "setup.py", "README.md", "LICENSE",
)  # fmt: skip
TUTORIAL = "docs/tutorial.md"
PREPARED = ("pip", "mkdir")  # what the fixtures have done already
NEXT = "next      "


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, without what it depends on, into a folder to import from."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in BUILT:
        source, target = ROOT / name, folder / "source" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(folder), str(folder / "source")]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def suite(site: Path, folder: Path, *arguments: str) -> str:
    """Return what a command prints in an interpreter of its own, with nothing of the folder on its path."""
    command = [sys.executable, "-P", "-m", "suite", *arguments]
    ended = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_registry_and_the_launchers_come_with_the_packages(site: Path, tmp_path: Path) -> None:
    launchers = (f"launchers/{name}.yaml" for name in ("local", "debug", "slurm"))
    for name in ("benchmarks.yaml", *launchers, "docs/architecture.md"):
        assert (site / "suite" / "shipped" / name).read_bytes() == (ROOT / name).read_bytes()
    planned = suite(site, tmp_path, "plan", "--json", "--benchmarks", "graph", "--seeds", "0", "--profile", "smoke")
    assert {run["benchmark"] for run in json.loads(planned)["runs"]} == {"graph"}
    assert list(tmp_path.iterdir()) == []


def test_a_registry_of_ones_own_finds_the_shipped_launchers(site: Path, tmp_path: Path) -> None:
    text = "experiment: x\nseeds: 0\nbaseline: infonce\nlosses: {infonce: {_target_: infonce, temperature: 0.1}}\n"
    metric = "metric: {name: a, goal: maximise, margin: 1.0}"
    text += f"benchmarks: {{graph: {{_target_: graph, {metric}, profiles: {{mini: {{}}}}}}}}"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    for launcher in ("local", "debug", "slurm"):
        assert "graph" in suite(site, tmp_path, "plan", "--registry", "mine.yaml", "--launcher", launcher)


class Study:
    """A folder, and what a user types there."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder, self.site = folder, site
        self.typed: list[tuple[str, subprocess.CompletedProcess[str]]] = []

    def follow(self, page: str) -> None:
        """Write the files of a page, and those that it takes from docs/benchmark.md, and type its commands.

        After ``select`` also the command that it prints, as the page says.
        """
        for step in steps(page):
            if isinstance(step, File):
                (self.folder / step.name).write_text(step.text, encoding="utf-8")
            elif step.words[0] == "cd":
                self.folder /= step.words[1]
                for name in ("write_digits.py", "my_benchmark.py"):
                    (self.folder / name).write_text(files("docs/benchmark.md")[name], encoding="utf-8")
            elif step.words[0] not in PREPARED:
                printed = self.type(step).stdout.splitlines()
                if step.words[-1] == "select":
                    for command in commands(printed[-1].removeprefix(NEXT)):
                        self.type(command)

    def type(self, command: Command) -> subprocess.CompletedProcess[str]:
        """Carry out a command, which has to succeed."""
        words = [sys.executable, *command.words[1:]] if command.words[0] == "python" else command.words
        if words[0] == "pdflatex" and shutil.which("pdflatex") is None:
            assert os.environ.get("SUITE_REQUIRE_BROWSER") != "1", "tests/analysis/report/install.sh installs pdflatex"
            return subprocess.CompletedProcess(words, 0, "", "")
        variables = {**environment(), "PYTHONPATH": str(self.site)}
        ended = subprocess.run(
            words, cwd=self.folder, env=variables, capture_output=True, text=True, errors="replace", timeout=900,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert ended.returncode == 0, (str(command), ended.stdout, ended.stderr)
        if command.target:
            (self.folder / command.target).write_text(ended.stdout, encoding="utf-8")
        self.typed.append((str(command), ended))
        return ended

    def said(self, beginning: str) -> list[str]:
        """Return what the commands that begin so printed."""
        return [ended.stdout for line, ended in self.typed if line.startswith(beginning)]

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert text.count(old) == 1, old
        (self.folder / name).write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def study(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Follow the tutorial to its end, after which it may be edited."""
    made = Study(tmp_path_factory.mktemp("user"), site)
    made.follow(TUTORIAL)
    return made


def test_the_loss_conforms_and_every_command_names_its_registry(study: Study) -> None:
    assert "conforms" in study.said("python -m suite check-loss")[0]
    named = [
        (line, ended) for line, ended in study.typed if line.split()[3:4] in (["plan"], ["run"], ["tune"], ["verify"])
    ]
    assert len(named) >= 7
    for line, ended in named:
        assert ended.stderr.splitlines()[0] == "registry  benchmarks.yaml (experiment my-study)", line


def test_the_first_run_gives_a_verdict_and_in_the_end_every_claim_has_one(study: Study) -> None:
    first, _ = study.said("python -m analysis verdict")
    (line,) = (line for line in first.splitlines() if line.startswith("square is not worse than infonce (declared)"))
    assert "no evaluation run" not in line
    verdicts = pd.read_csv(study.folder / "results" / "tables" / "smoke" / "verdicts.csv")
    judged = verdicts[verdicts["benchmark"] == "digits"].set_index("claim")
    assert list(judged["n"]) == [5, 5, 5] and judged["reason"].str.contains("run of").sum() == 0
    assert set(judged["label"]) <= {*WORDS, INSENSITIVE}


def test_the_tables_compile_in_the_manuscript_with_the_packages_that_the_page_names(study: Study) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex; as root on Debian, tests/analysis/report/install.sh installs it")
    log = (study.folder / "paper.log").read_text(errors="replace")
    assert (study.folder / "paper.pdf").stat().st_size > 10_000
    assert "undefined" not in log and "Overfull" not in log


def test_the_bundle_gives_the_same_tables_and_the_archive_is_verified(study: Study) -> None:
    main = [study.folder / name / "tables" / "smoke" / "main.csv" for name in ("bundle", "results")]
    assert main[0].read_bytes() == main[1].read_bytes()
    published = study.folder / "published" / "my-study"
    names = {str(file.relative_to(published)) for file in published.rglob("*")}
    assert {"README.md", "runs.parquet", "manifest.json", "report.html", "tables/smoke/verdicts.tex"} <= names
    declared = json.loads((published / "manifest.json").read_text())["declared"]
    assert len(declared["claims"]) == 3
    (verified,) = study.said("python -m suite verify")
    assert verified.count("identical") == 2


def test_another_class_in_the_file_makes_nothing_stale(study: Study) -> None:
    (command,) = commands("python -m suite plan --profile smoke --json")
    before = json.loads(study.type(command).stdout)["summary"]
    study.edit("square.py", "class Square", "class Third(LogitLoss):\n    pass\n\n\nclass Square")
    assert json.loads(study.type(command).stdout)["summary"] == before and before["done"] >= 15


def test_the_claims_are_those_that_the_runs_were_made_with(study: Study) -> None:
    study.edit(
        "benchmarks.yaml",
        "square_is_not_worse: {loss: square, is: not_worse",
        "square_is_not_worse: {loss: square, is: better",
    )
    (command,) = commands("python -m analysis verdict")
    judged = study.type(command)
    assert "square is not worse than infonce (declared)" in judged.stdout
    assert "it was edited since" in judged.stderr
