"""``suite init``: a study that works as it is written, and overwrites nothing."""

import re

import pytest

from tests.conftest import ROOT, Project


@pytest.fixture
def study(project: Project) -> Project:
    for file in list(project.folder.iterdir()):
        file.unlink()
    assert project.suite("init")[0] == 0
    return project


def test_the_registry_is_of_ten_lines_and_passes(study: Project) -> None:
    lines = [line for line in (study.folder / "benchmarks.yaml").read_text().splitlines() if line[:1] != "#"]
    assert len(lines) == 10
    status, out, errors = study.suite("plan")
    assert status == 0, errors
    assert errors == f"registry  benchmarks.yaml (experiment {study.folder.name})\n"
    assert "cubic" in out and "image" in out and "dystress" not in out


def test_the_page_on_studies_shows_the_registry_that_is_written(study: Project) -> None:
    page = (ROOT / "docs" / "study.md").read_text()
    shown = re.search(r"^```yaml\n(extends: suite\n.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = [line for line in (study.folder / "benchmarks.yaml").read_text().splitlines() if line[:1] != "#"]
    assert shown and shown[1].replace("my-study", study.folder.name).splitlines() == lines


def test_a_folder_is_made_and_what_to_do_next_is_said(project: Project) -> None:
    status, out, _ = project.suite("init", "my-study")
    assert status == 0
    assert "cd my-study && python -m suite run --profile smoke" in out
    assert "experiment: my-study" in (project.folder / "my-study" / "benchmarks.yaml").read_text()
    assert "my-study" in (project.folder / "my-study" / "README.md").read_text()


def test_nothing_is_overwritten(study: Project) -> None:
    before = study.tree()
    status, _, errors = study.suite("init")
    assert status == 2
    assert errors.count("is there already; init overwrites nothing") == 4
    assert study.tree() == before


def test_a_name_that_no_experiment_may_have_is_refused(project: Project) -> None:
    status, _, errors = project.suite("init", "7 days")
    assert status == 2
    assert "'7 days' will not do as the name of a study" in errors
    assert not (project.folder / "7 days").exists()
