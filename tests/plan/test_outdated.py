"""Before runs start with other code than finished ones had, it is said which of those the tables will leave out."""

from dataclasses import replace

import pytest

from suite.plan.outdated import outdated
from suite.plan.plan import Selection, make_plan
from suite.records.record import Store
from suite.registry.load import load
from suite.registry.registry import Registry
from tests.conftest import Project
from tests.plan.test_plan import record

HEAD = "import tests.toys\n\nPAUSE = 0\n\n\n"
MINE = "class Mine(tests.toys.Nothing):\n    pause = PAUSE\n"


def made(project: Project, *losses: str, pause: int = 0) -> list[str]:
    """Return what is said before the runs of some losses start, with one version of the benchmark's module."""
    project.write(HEAD.replace("PAUSE = 0", f"PAUSE = {pause}") + MINE, "mine.py")
    registry, store = load(), Store(project.folder / "results")
    plan = make_plan(registry, Selection(("nothing",), losses, ("0",)), store)
    return list(outdated(registry, plan.to_do(), store))


def test_it_is_said_once_and_only_where_code_differs(project: Project) -> None:
    project.edit("tests.toys.Nothing", "mine.Mine")
    assert made(project, "cosine") == []
    store = Store(project.folder / "results")
    registry = load()
    finished = make_plan(registry, Selection(("nothing",), ("cosine",), ("0-1",)), store)
    for run in finished.runs:
        record(store, run, 1.0)
    assert made(project, "infonce") == [], "the same code"
    (text,) = made(project, "infonce", pause=1)
    assert text.startswith("2 finished runs of nothing will count no longer in the tables")
    assert "another mine.PAUSE than the runs that start now" in text
    newer = make_plan(load(), Selection(("nothing",), ("infonce",), ("1",)), store)
    for run in newer.runs:
        record(store, replace(run), 1.0)
    assert made(project, "infonce", pause=1) == [], "the tables leave them out already"


def test_where_the_code_is_the_same_no_search_is_looked_into(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def trials(*_: object) -> None:
        raise AssertionError("Sobol points cost a second of import, at the start of every campaign")

    project.edit("scale: [2.0, 10.0]}}", "scale: [2.0, 10.0]}, search: {scale: {low: 1.0, high: 10.0}}}")
    store = Store(project.folder / "results")
    for run in make_plan(load(), Selection(("nothing",), ("cosine",), ("0-1",)), store).runs:
        record(store, run, 1.0)
    monkeypatch.setattr(Registry, "trials", trials)
    registry = load()
    plan = make_plan(registry, Selection(("all",), ("all",), ("2",)), store)
    assert list(outdated(registry, plan.to_do(), store)) == []
