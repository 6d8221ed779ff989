"""The claims that runs were made with: kept with the results, and judged whatever is edited afterwards."""

from pathlib import Path

import pytest

from analysis.read.load import load
from suite.registry.kept import keep, kept
from suite.registry.load import load as load_registry
from tests.conftest import Project

CLAIM = "claims:\n  first: {loss: infonce, is: better, than: cosine}\n"


@pytest.fixture
def ran(project: Project) -> Project:
    project.write((project.folder / "benchmarks.yaml").read_text() + CLAIM, "mine.yaml")
    chosen = ("--registry", "mine.yaml", "--benchmarks", "nothing", "--losses", "infonce", "--profile", "smoke")
    status, out, errors = project.suite("run", *chosen, "--seeds", "0", "--out", "there", "--launcher", "debug")
    assert status == 0, errors
    assert errors.startswith("registry  mine.yaml (experiment toy)\n")
    assert "next      python -m analysis tables --out there --registry mine.yaml --profile smoke" in out
    assert "python -m suite ui --out there" in out
    return project


def test_the_analysis_judges_the_claims_that_the_runs_were_made_with(
    ran: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(load(out=Path("there")).declared.claims) == ["first"]
    assert capsys.readouterr().err == "claims    of mine.yaml, as the results were made with it\n"


def test_a_claim_that_is_written_afterwards_is_judged_only_when_asked(
    ran: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ran.folder / "mine.yaml").read_text()
    ran.write(text.replace("first: {loss: infonce", "second: {loss: infonce"), "mine.yaml")
    capsys.readouterr()
    assert list(load(out=Path("there")).declared.claims) == ["first"]
    assert "it was edited since: --registry" in capsys.readouterr().err
    assert list(load(out=Path("there"), registry=Path("mine.yaml")).declared.claims) == ["second"]


def test_every_experiment_of_a_folder_has_its_own(project: Project) -> None:
    registry = load_registry()
    keep(registry, project.folder / "out")
    keep(load_registry(overrides=["experiment=other/one", "baseline=infonce"]), project.folder / "out")
    first, second = (kept(project.folder / "out", name) for name in ("toy", "other/one"))
    assert first is not None and first.declared.baseline == "cosine"
    assert second is not None and second.declared.baseline == "infonce"


def test_what_cannot_be_read_counts_as_not_there(project: Project) -> None:
    keep(load_registry(), project.folder / "out")
    (file,) = (project.folder / "out" / "registries").iterdir()
    file.write_text('{"registry": "benchmarks.yaml"}')
    assert kept(project.folder / "out", "toy") is None
    assert kept(project.folder / "none", "toy") is None
