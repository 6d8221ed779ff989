"""docs/architecture.md and CONTRIBUTING.md: what they name exists, and the walks go one way."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
DOTTED = re.compile(r"`((?:suite|analysis)(?:\.\w+)+)`")


def source(dotted: str) -> Path | None:
    """Return the file of a module or of a package."""
    place = ROOT / Path(*dotted.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()), None)


def names(file: Path) -> set[str]:
    """Return what a module defines at its top."""
    return {str(getattr(node, "name", "")) for node in ast.parse(file.read_text()).body}


@pytest.mark.parametrize(
    "name", sorted(set(DOTTED.findall(PAGE + CONTRIBUTING)) - {"suite.summary", "suite.launchers"})
)
def test_what_the_pages_name_exists(name: str) -> None:
    if source(name) is None:
        module, _, attribute = name.rpartition(".")
        file = source(module)
        assert file is not None and attribute in names(file), f"{name} is neither a module nor defined by one"


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:suite|analysis|tests|docs|results)/[\w/.]*)`", CONTRIBUTING)))
)
def test_the_files_that_the_page_for_contributors_names_exist(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("heading", ["The walk of a run", "The walk of a number"])
def test_a_walk_leaves_a_wing_once(heading: str) -> None:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d+\. (.*?)(?=^\d+\. |\Z)", section, re.DOTALL | re.MULTILINE)
    assert len(steps) >= 8
    walked: list[str] = []
    for step in steps:
        for name in DOTTED.findall(step):
            wing = ".".join(name.split(".")[:2])
            if walked and walked[-1] == wing:
                continue
            assert wing not in walked or "Back" in step, f"{name}: {wing} was left, and the step does not say why"
            walked.append(wing)


def test_every_wing_is_on_the_picture() -> None:
    picture = PAGE.partition("```\n")[2].partition("```")[0]
    for top in ("suite", "analysis"):
        wings = {folder.name for folder in (ROOT / top).iterdir() if (folder / "__init__.py").exists()}
        assert len(wings) > 5 and all(re.search(rf"\b{wing}\b", picture) for wing in wings), wings
