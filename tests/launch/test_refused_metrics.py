"""Figures that no table could show are failures, with a class and a reason that every command and table says."""

from __future__ import annotations

import json

import pytest

from analysis.cli.main import main
from suite.tracking import default_uri
from suite.tracking.frame import frame
from tests.conftest import Project

SELECT = ["--benchmarks", "blobs", "--losses", "infonce", "--seeds", "0", "--profile", "smoke"]


def run(project: Project) -> tuple[int, str, str]:
    return project.suite("run", "--launcher", "debug", *SELECT)


def test_a_primary_metric_that_is_nan_is_a_failure(project: Project) -> None:
    """Before: "done ... nan", exit status 0, and a table in which the run is missing."""
    project.edit("tests.toys.Blobs", "tests.launch.toys.Undefined")
    status, said, errors = run(project)
    assert status == 1, said + errors
    assert "0 runs done, 1 failed" in said
    assert "the primary metric val/accuracy is nan" in said + errors
    (planned,) = json.loads(project.suite("plan", *SELECT, "--json")[1])["runs"]
    assert planned["state"] == "failed"
    assert planned["reason"] == "non_finite: FloatingPointError: the primary metric val/accuracy is nan"
    _, said, _ = project.suite("status", *SELECT)
    assert f"failed: blobs/infonce/seed0: {planned['reason']}" in said
    row = frame(default_uri(project.folder / "results"), "toy").iloc[0]
    assert (row["status"], row["failure"]) == ("FAILED", planned["reason"])
    status, said, _ = run(project)
    assert status == 1 and "not tried again: blobs/infonce/seed0: non_finite" in said, "it would fail the same way"


def test_a_primary_metric_that_the_evaluation_lacks_is_a_failure_until_it_is_named_rightly(project: Project) -> None:
    entry = "_target_: tests.toys.Blobs\n    metric: {name: "
    project.edit(f"{entry}accuracy", f"{entry}acuracy")
    status, said, errors = run(project)
    assert status == 1, said + errors
    (planned,) = json.loads(project.suite("plan", *SELECT, "--json")[1])["runs"]
    assert planned["state"] == "failed" and planned["reason"].startswith(
        "user_code: ValueError: the evaluation has no val/acuracy"
    )
    assert "did you mean 'val/accuracy'?" in planned["reason"]
    project.edit("acuracy", "accuracy")
    assert run(project)[0] == 0


def test_tables_call_it_failed_and_not_missing(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    entry = "  undefined:\n    _target_: tests.launch.toys.Undefined\n"
    entry += "    metric: {name: accuracy, goal: maximise, margin: 0.01}\n    host_temperature: 0.5\n"
    project.edit("slices:\n", f"{entry}    profiles: {{smoke: {{epochs: 1}}, mini: {{epochs: 1}}}}\nslices:\n")
    both = ["blobs,undefined" if argument == "blobs" else argument for argument in SELECT]
    assert project.suite("run", "--launcher", "debug", *both)[0] == 1
    uri = default_uri(project.folder / "results")
    assert main(["tables", "--tracking-uri", uri, "--out", str(project.folder / "tables")]) == 0
    shown = capsys.readouterr().out
    assert "undefined" in shown and "failed: non_finite: FloatingPointError: the primary metric" in shown
    assert "still running" not in shown


def test_two_metrics_that_would_be_one_in_mlflow_are_refused(project: Project) -> None:
    project.edit("tests.toys.Blobs", "tests.launch.toys.Ambiguous")
    status, said, errors = run(project)
    assert status == 1, said + errors
    (planned,) = json.loads(project.suite("plan", *SELECT, "--json")[1])["runs"]
    assert planned["state"] == "failed" and planned["reason"].startswith("user_code: ValueError: ")
    assert "'test/recall@10' and 'test/recall_10'" in planned["reason"] and "rename one" in planned["reason"]
    assert not list((project.folder / "results").glob("runs/*/result.json"))
