"""The shape of the tree: short modules, small folders, roots that hold wings."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import entry_points

import pytest

from tests.conftest import ROOT

LINES, MODULES = 400, 15
#: One loss a file: their number is what the suite is about.
LARGE = {"suite/losses"}
BESIDE = {"__init__.py", "__init__.pyi", "__main__.py", "py.typed"}
ROOTS = {
    "suite": BESIDE | {"compute.py", "outcomes.py", "parameters.py", "problems.py", "process.py"},
    "analysis": BESIDE,
}
SOURCES = [file for top in ("suite", "analysis", "tests") for file in (ROOT / top).rglob("*.py")]


def test_no_module_is_longer_than_its_reader_s_patience() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in SOURCES}
    assert {name: length for name, length in lengths.items() if length > LINES} == {}


def test_no_folder_has_more_than_fifteen_modules() -> None:
    counted: dict[str, int] = {}
    for file in SOURCES:
        if file.name != "__init__.py" and not file.is_relative_to(ROOT / "tests"):
            folder = str(file.parent.relative_to(ROOT))
            counted[folder] = counted.get(folder, 0) + 1
    assert {folder: n for folder, n in counted.items() if n > MODULES and folder not in LARGE} == {}


@pytest.mark.parametrize("top", ROOTS)
def test_the_roots_hold_wings(top: str) -> None:
    beside = {path.name for path in (ROOT / top).iterdir() if path.is_file()}
    assert beside <= ROOTS[top]
    for folder in (ROOT / top).iterdir():
        assert folder.is_file() or folder.name == "__pycache__" or (folder / "__init__.py").exists()


def test_no_string_of_the_suite_names_a_module_of_the_analysis() -> None:
    """An import by name is one that import-linter does not see."""
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in (ROOT / "suite").rglob("*.py")
        for line in file.read_text().splitlines()
        if re.search(r"""["']analysis\.\w""", line)
    ]
    assert found == []


def test_what_is_installed_offers_what_the_project_declares() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    for group, points in declared.items():
        installed = {point.name: point.value for point in entry_points(group=group)}
        assert points.items() <= installed.items(), f"{group}: make install brings the installation up to date"
