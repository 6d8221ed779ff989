"""The losses of README and docs/loss.md, and the benchmark of docs/benchmark.md, word for word."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from suite.conformance import CHECKS, assert_conforms
from tests.cluster import environment
from tests.conftest import REGISTRY, ROOT
from tests.pages import files


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, with what the page says typed in."""
    folder = tmp_path_factory.mktemp("user")
    for name, text in files("docs/benchmark.md").items():
        (folder / name).write_text(text)
    python(folder, "write_digits.py")
    (registered,) = blocks("docs/benchmark.md", "yaml")
    catalogues, entry = registered.split("benchmarks:\n")
    (folder / "benchmarks.yaml").write_text(REGISTRY.replace("benchmarks:\n", f"{catalogues}benchmarks:\n{entry}"))
    (folder / "my_data.yaml").write_text(suite(folder, "data", "describe", "data/digits.csv"))
    return folder


def suite(folder: Path, *arguments: str, status: int = 0) -> str:
    return python(folder, "-m", "suite", *arguments, status=status)


def python(folder: Path, *arguments: str, status: int = 0) -> str:
    path = os.pathsep.join([str(ROOT), str(folder)])
    variables = {**environment(), "PYTHONPATH": path, "SUITE_DATA_DIR": str(folder / "cache")}
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=variables, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended.stdout if status == 0 else ended.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/loss.md"])
def test_a_page_s_loss_is_one_that_conforms(page: str, tmp_path: Path) -> None:
    (tmp_path / "my_losses.py").write_text(blocks(page, "python")[0])
    assert_conforms(runpy.run_path(str(tmp_path / "my_losses.py"))["Cubic"], CHECKS.keys() - {"compile"})


def test_the_example_is_under_sixty_lines() -> None:
    assert len(files("docs/benchmark.md")["my_benchmark.py"].splitlines()) < 60


def test_a_user_s_benchmark_on_a_user_s_data_runs_as_the_suite_s_own_do(folder: Path) -> None:
    assert "digits" in suite(folder, "data", "list")
    selection = ["--benchmarks", "digits", "--losses", "infonce", "references", "--profile", "smoke", "--seeds", "0"]
    suite(folder, "run", *selection, "launcher.workers=1")
    plan = json.loads(suite(folder, "plan", *selection, "--json"))
    assert {run["state"] for run in plan["runs"]} == {"done"}
    assert len(plan["runs"]) == 4


def test_the_example_passes_the_inherited_tests(folder: Path) -> None:
    said = python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_benchmark.py")
    assert re.search(r"1\d passed", said), said


def test_data_that_changed_is_another_run_or_is_refused(folder: Path) -> None:
    table, catalogue = folder / "data" / "digits.csv", folder / "my_data.yaml"
    before, described = table.read_text(), catalogue.read_text()
    keys = [run["key"] for run in json.loads(suite(folder, "plan", "--benchmarks", "digits", "--json"))["runs"]]
    try:
        table.write_text(before.replace("0", "1", 1))
        (folder / "cache" / "digits" / "digits.csv").unlink(missing_ok=True)
        assert "digits.csv" in suite(folder, "data", "fetch", "digits", status=1)
        catalogue.write_text(suite(folder, "data", "describe", "data/digits.csv"))
        runs = json.loads(suite(folder, "plan", "--benchmarks", "digits", "--json"))["runs"]
        assert not set(keys) & {run["key"] for run in runs}
    finally:
        table.write_text(before)
        catalogue.write_text(described)


def test_a_catalogue_with_mistakes_is_reported_with_file_and_line(folder: Path) -> None:
    catalogue = folder / "my_data.yaml"
    described = catalogue.read_text()
    try:
        catalogue.write_text(described.replace("licence:", "license:"))
        said = suite(folder, "plan", status=2)
        assert re.search(r"my_data\.yaml:\d+: .*'license'.*did you mean 'licence'", said), said
    finally:
        catalogue.write_text(described)
