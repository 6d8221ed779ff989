"""Results come early: a table when a first seed is complete, and again at each further one."""

import re
import threading
from dataclasses import replace
from typing import Any

import pytest

from suite.cli import summary
from suite.cli.early import EarlySummary, push_and_show
from suite.launch.campaign import View
from suite.plan.run import Run
from suite.registry.claims import Declared
from suite.tracking import default_uri, frame
from tests.cli.test_summary import offered
from tests.conftest import Project
from tests.tracking.stores import made

KEYS = ["a", "b", "c", "d", "e", "f"]
SEEDS = dict(zip(KEYS, [3, 3, 5, 5, 8, 8], strict=True))


class Heard:
    """A display that keeps what is shown."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, view: View) -> None: ...

    def close(self) -> None: ...


def runs() -> dict[str, Run]:
    fields: dict[str, Any] = {"metric": {}, "config": {}, "code": {}}
    return {
        key: Run(key, "blobs", "cosine", "loss", seed, "smoke", "evaluation", **fields) for key, seed in SEEDS.items()
    }


def ended(*settled: tuple[Run, str]) -> View:
    return View(tuple(settled), 0, 0, 6, [], 0.0, False)


def test_there_is_a_table_at_each_seed_but_the_last_whatever_else_has_ended() -> None:
    all_runs, heard, tables = runs(), Heard(), []
    display = EarlySummary(heard, all_runs.values(), all_runs.values(), lambda: tables.append(len(heard.said)))
    for key, shown in [("a", 0), ("c", 0), ("d", 0), ("b", 1), ("e", 1), ("f", 1)]:
        display.show(ended((all_runs[key], "failed" if key == "d" else "done")))
        display.wait()
        assert len(tables) == shown, key
    assert heard.said == ["so far: 2 of 3 seeds"]


def test_a_table_that_takes_long_holds_nothing_up_and_is_not_printed_twice_at_a_time() -> None:
    all_runs, heard, tables, gate = runs(), Heard(), [], threading.Event()
    display = EarlySummary(heard, all_runs.values(), all_runs.values(), lambda: tables.append(gate.wait(60)))
    for key in ("a", "b", "c", "d"):  # two seeds, while the table of the first is being made
        display.show(ended((all_runs[key], "done")))
    assert heard.said == ["so far: 1 of 3 seeds"]
    gate.set()
    display.wait()
    display.show(ended())
    display.close()
    assert heard.said == ["so far: 1 of 3 seeds", "so far: 2 of 3 seeds"]
    assert tables == [True, True]


def test_what_was_complete_before_is_not_shown_again() -> None:
    all_runs, heard, tables = runs(), Heard(), []
    awaited = [all_runs[key] for key in ("c", "e")]
    display = EarlySummary(heard, all_runs.values(), awaited, lambda: tables.append(1))
    display.show(ended())
    assert tables == []
    display.show(ended((replace(all_runs["c"], state="done"), "done")))
    display.wait()
    assert tables == [1]
    assert heard.said == ["so far: 2 of 3 seeds"]


@pytest.mark.slow
def test_the_table_on_the_way_and_the_campaign_send_each_run_to_mlflow_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "entry_points", offered("analysis.cli.summary:show_summary"))
    slowly = "benchmarks.blobs.profiles.mini.pause_s=0.1"  # 2.4 s of training, of two runs at a time
    status, out, err = project.suite("run", "--benchmarks", "blobs", "--losses", "cosine", slowly)
    assert status == 0, err
    assert re.search(r"so far: [123] of 4 seeds", out), out
    assert len(made(default_uri(project.folder / "results"), "toy")) == 4


@pytest.mark.slow
def test_status_prints_the_results_so_far(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "entry_points", offered("analysis.cli.summary:show_summary"))
    select = ["--profile", "smoke", "--benchmarks", "blobs", "--losses", "cosine", "--seeds", "0"]
    assert project.suite("run", *select, "--launcher", "debug", "--quiet")[0] == 0
    status, out, err = project.suite("status", *select, "--table")
    assert status == 0, err
    assert "seeds done" in out
    assert "cosine" in out.partition("1 runs at profile smoke")[2]  # the table comes after the counts


@pytest.mark.slow
def test_of_two_experiments_in_one_folder_each_holds_its_own_runs_and_those_that_both_make(project: Project) -> None:
    """The second trains longer in one benchmark: other runs. What it leaves alone, the first has carried out for it."""
    select = ["--profile", "smoke", "--losses", "cosine", "--seeds", "0-1", "--launcher", "debug", "--quiet"]
    other = ["experiment=other", "benchmarks.blobs.profiles.smoke.epochs=2"]
    assert project.suite("run", *select)[0] == 0
    assert project.suite("run", *select, "--benchmarks", "blobs", *other)[0] == 0

    def found(experiment: str) -> list[tuple[str, str]]:
        logged = frame(default_uri(project.folder / "results", None), experiment)
        return sorted(zip(logged["benchmark"], logged["param.benchmark.epochs"].fillna(""), strict=True))

    both = [("nothing", "")] * 2
    for command in (["sync"], ["status", "--profile", "smoke", "--table"]):
        for overrides in ([], other):
            assert project.suite(*command, *overrides)[0] == 0
        assert found("toy") == [("blobs", "3")] * 2 + both, command
        assert found("other") == [("blobs", "2")] * 2 + both, command


def test_what_stands_in_the_way_of_a_table_is_said_and_ends_nothing() -> None:
    def fail() -> None:
        raise RuntimeError("Could not determine home directory.")

    said: list[str] = []
    push_and_show(summary.Summary("sqlite:///no.db", "toy", "smoke", Declared()), fail, said.append)
    assert said == ["no table: RuntimeError: Could not determine home directory."]


def test_a_store_that_lacks_runs_is_named_when_only_errors_are_printed(project: Project) -> None:
    select = ["--profile", "smoke", "--benchmarks", "blobs", "--losses", "cosine", "--seeds", "0"]
    (project.folder / "results").mkdir()
    (project.folder / "results" / "mlflow.db").write_bytes(b"garbage")
    status, out, err = project.suite("run", *select, "--launcher", "debug", "--quiet")
    assert (status, out) == (0, "")
    assert err.startswith("warning: MLflow is not up to date: ") and "mlflow.db is damaged" in err
