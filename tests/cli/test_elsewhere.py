"""Results in another folder than ``results``: every command that is printed holds as it stands."""

import argparse

import pytest

from suite.records.files import held
from suite.records.record import Store
from tests.conftest import Project

RAISES = "  raises: {_target_: tests.toys.Raises}\nbenchmarks:\n"
CHOSEN = ("--benchmarks", "blobs", "--losses", "raises", "--seeds", "0", "--profile", "smoke")
OUT = ("--out", "other results")


@pytest.fixture
def failed(project: Project) -> Project:
    project.edit("benchmarks:\n", RAISES)
    assert project.suite("run", *CHOSEN, *OUT, "--launcher", "debug", "--quiet")[0] == 1
    return project


def test_runs_that_are_in_use_are_cancelled_as_it_is_said(failed: Project) -> None:
    store = Store(failed.folder / "other results")
    with held(store.record(next(iter(store.keys()))).folder / "lock"):
        _, out, _ = failed.suite("forget", *CHOSEN, *OUT, "--yes")
    assert f"python -m suite cancel --out '{store.out}' ends them" in out


def test_where_nothing_is_done_verify_names_the_folder_that_it_looked_at(failed: Project) -> None:
    status, _, errors = failed.suite("verify", *CHOSEN, *OUT)
    assert status == 2
    assert "python -m suite status --out 'other results' --profile smoke shows what is" in errors


def test_a_run_without_an_array_task_has_a_line_of_its_own(failed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    from suite.cli.runs import logs

    store = Store(failed.folder / "other results")
    logs.execute(argparse.Namespace(out=store.out, key=next(iter(store.keys())), task=True))
    assert capsys.readouterr().out == "no array task has had this run\n"
