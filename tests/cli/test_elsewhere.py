"""Results in another folder than ``results``: every command that is printed holds as it stands."""

import argparse
import re
import shlex
from collections.abc import Collection
from pathlib import Path

import pytest

from suite.cli.runs import cancel as command
from suite.launch.cancel import Cancelled
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


def printed(text: str, command: str) -> list[list[str]]:
    """Return the arguments of a command wherever a text names it."""
    return [shlex.split(found) for found in re.findall(rf"python -m suite ({command}[^);\n]*)", text)]


@pytest.mark.parametrize("shows", ["run", "plan", "status"])
def test_the_log_of_a_failure_is_found_as_it_is_named(failed: Project, shows: str) -> None:
    more = ("--launcher", "debug") if shows == "run" else ()
    _, out, _ = failed.suite(shows, *CHOSEN, *OUT, *more)
    named = next(one for one in printed(" ".join(out.split()), "logs") if one[1] != "KEY")
    status, log, errors = failed.suite(*named)
    assert status == 0 and "Traceback" in log, errors


def test_runs_that_are_in_use_are_cancelled_as_it_is_said(failed: Project) -> None:
    store = Store(failed.folder / "other results")
    with held(store.record(next(iter(store.keys()))).folder / "lock"):
        _, out, _ = failed.suite("forget", *CHOSEN, *OUT, "--yes")
    assert "python -m suite cancel --out 'other results' ends them" in out


def test_where_nothing_is_done_verify_names_the_folder_that_it_looked_at(failed: Project) -> None:
    status, _, errors = failed.suite("verify", *CHOSEN, *OUT)
    assert status == 2
    assert "python -m suite status --out 'other results' --profile smoke shows what is" in errors


def test_the_default_folder_is_not_named(project: Project) -> None:
    assert Store(Path("results")).option() == ""
    assert Store(project.folder / "results").option() == "", "commands look there without being told"
    assert Store(project.folder / "there").option() == " --out there"
    assert Store(project.folder.parent / "there").option() == f" --out {project.folder.parent / 'there'}"


@pytest.mark.parametrize(
    ("arguments", "runs"), [((), None), (("--profile", "smoke"), 21), (("--profile", "smoke", "--seeds", "0"), 6)]
)
def test_a_profile_is_a_selection_of_what_is_cancelled(
    project: Project, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], runs: int | None
) -> None:
    given: list[Collection[str] | None] = []

    def noted(store: Store, keys: Collection[str] | None) -> Cancelled:
        given.append(keys)
        return Cancelled(0, 0, 0, "", "")

    monkeypatch.setattr(command, "cancel", noted)
    assert project.suite("cancel", *arguments)[0] == 0
    assert [None if keys is None else len(keys) for keys in given] == [runs]


def test_a_run_without_an_array_task_has_a_line_of_its_own(failed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    from suite.cli.runs import logs

    store = Store(failed.folder / "other results")
    logs.execute(argparse.Namespace(out=store.out, key=next(iter(store.keys())), task=True))
    assert capsys.readouterr().out == "no array task has had this run\n"
