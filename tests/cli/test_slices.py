"""``--slice`` selects all that a slice names; what else is given replaces a part of it, and it is said."""

import json

import pytest

from tests.conftest import Project

SLICE = "  mine: {benchmarks: [nothing], losses: [infonce], seeds: 1-2, profile: smoke}\n"


@pytest.fixture
def sliced(project: Project) -> Project:
    project.write((project.folder / "benchmarks.yaml").read_text() + SLICE)
    return project


def planned(project: Project, *arguments: str) -> tuple[set[tuple[str, str, int, str]], str]:
    status, out, errors = project.suite("plan", "--json", *arguments)
    assert status == 0, errors
    runs = json.loads(out)["runs"]
    return {(run["benchmark"], run["loss"], run["seed"], run["profile"]) for run in runs}, errors


def test_it_selects_all_that_it_names(sliced: Project) -> None:
    runs, errors = planned(sliced, "--slice", "mine")
    assert runs == {("nothing", "infonce", seed, "smoke") for seed in (1, 2)}
    assert errors == ""


def test_an_option_beside_it_replaces_a_part_and_it_is_said(sliced: Project) -> None:
    runs, errors = planned(sliced, "--slice", "mine", "--seeds", "0", "--profile", "mini")
    assert runs == {("nothing", "infonce", 0, "mini")}
    assert errors.splitlines() == [
        "warning   --seeds replaces the seeds of slice mine: 1-2",
        "warning   --profile replaces the profile of slice mine: smoke",
    ]


def test_a_slice_that_an_option_takes_a_part_of_is_named(sliced: Project) -> None:
    status, _, errors = sliced.suite("plan", "--losses", "mine", "--benchmarks", "nothing")
    assert status == 0
    assert "--losses mine takes the losses of slice mine alone; --slice mine takes its benchmarks and seeds" in errors


def test_a_slice_that_is_not_there_is_refused_with_the_choices(sliced: Project) -> None:
    status, _, errors = sliced.suite("plan", "--slice", "mime")
    assert status == 2
    assert "--slice: no slice 'mime'; did you mean 'mine'? Valid: default, scales, mine" in errors


def test_what_comes_next_carries_the_profile_of_the_slice(sliced: Project) -> None:
    status, out, errors = sliced.suite("run", "--slice", "mine", "--launcher", "debug")
    assert status == 0, errors
    assert "next      python -m analysis tables --profile smoke" in out


def test_tune_says_so_too(project: Project) -> None:
    project.edit("sweep: {scale: [2.0, 10.0]}", "search: {scale: {low: 2.0, high: 9.0}}")
    project.write((project.folder / "benchmarks.yaml").read_text() + "  one: {losses: [cosine], seeds: 1-2}\n")
    status, _, errors = project.suite("tune", "--dry-run", "--losses", "one", "--benchmarks", "nothing")
    assert status == 0, errors
    assert "--losses one takes the losses of slice one alone; --slice one takes its seeds, too" in errors
    assert "warning" not in project.suite("tune", "--dry-run", "--slice", "one", "--benchmarks", "nothing")[2]
