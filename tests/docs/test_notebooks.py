"""The notebooks of docs/: they run from top to bottom, and show what comes out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.conftest import ROOT
from tests.notebook.kernels import execute

NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))
NUMBER = re.compile(r"-?\d+\.\d+")


def texts(notebook: Any) -> list[str]:
    return ["".join(one["text"] for one in cell.get("outputs", ()) if "text" in one) for cell in notebook.cells]


def figures(notebook: Any) -> list[int]:
    return [sum("image/png" in one.get("data", {}) for one in cell.get("outputs", ())) for cell in notebook.cells]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_shows_what_comes_out(file: Path, tmp_path: Path) -> None:
    committed, executed = nbformat.read(file, 4), nbformat.read(file, 4)
    for cell in executed.cells:
        cell.pop("outputs", None)
    execute(executed, file.parent, tmp_path)
    for shown, found in zip(texts(committed), texts(executed), strict=True):
        assert NUMBER.sub("x", shown) == NUMBER.sub("x", found)
        numbers = [[float(number) for number in NUMBER.findall(text)] for text in (shown, found)]
        assert numbers[0] == pytest.approx(numbers[1], rel=0.02), "the last digits are the machine's"
    assert figures(committed) == figures(executed)
    assert sum(map(bool, texts(committed))) > 5


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_small(file: Path) -> None:
    assert file.stat().st_size < 50_000
