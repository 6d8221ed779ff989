"""The order of the wings: import-linter's contracts hold on the tree, and fail where they are broken."""

from __future__ import annotations

import graphlib
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from tests.conftest import ROOT


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter as `make lint` does."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for name in ("suite", "analysis", "tests/architecture"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "templates"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_data_flows_one_way() -> None:
    ended = lint(ROOT)
    assert ended.returncode == 0, ended.stdout
    assert "0 broken" in ended.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("suite/plan/power.py", "import analysis.read.logged", "The suite knows nothing of its analysis BROKEN"),
        ("suite/records/record.py", "from suite.launch import run", "in which data flows BROKEN"),
        ("suite/training/loop.py", "def late():\n    from suite.benchmarks import base", "in which data flows BROKEN"),
        ("suite/plan/power.py", "from suite.tracking import frame", "in which data flows BROKEN"),
        ("analysis/statistics/ranks.py", "import analysis.tables.table", "The wings of the analysis BROKEN"),
        ("suite/pairs/roles.py", "import numpy", "Pairs import torch alone BROKEN"),
        ("suite/losses/infonce.py", "import scipy.special", "the ranges of their parameters BROKEN"),
        ("suite/plan/power.py", "import torch", "knows nothing of how they are trained BROKEN"),
        ("analysis/tables/table.py", "import torch", "its explorer alone computes losses BROKEN"),
    ],
)
def test_an_import_against_the_order_fails(copy: Path, module: str, line: str, contract: str) -> None:
    file = copy / module
    text = file.read_text()
    try:
        file.write_text(f"{text}\n{line}\n")
        ended = lint(copy)
    finally:
        file.write_text(text)
    assert ended.returncode == 1
    assert contract in ended.stdout


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("suite", "analysis", cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imports) > 200
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError with the circle
