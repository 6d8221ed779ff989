"""``suite tune`` as a user calls it: one budget for every loss, a choice on validation, evaluation with other seeds."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suite.records.record import Store
from tests.cluster import TOY, metrics, suite, suite_here
from tests.waiting import until

pytestmark = pytest.mark.slow
SEARCH = TOY.replace(
    'temperature: "${host_temperature}"}',
    'temperature: "${host_temperature}", search: {temperature: {low: 0.05, high: 1.0, scale: log}}}',
).replace(
    "    host_temperature: 0.5\n", "    host_temperature: 0.5\n    search: {epochs: {low: 1, high: 12}}\n"
)  # fmt: skip
BASICS = ["--profile", "smoke", "--launcher", "debug", "--budget", "4"]
LOSSES = ["--losses", "cosine", "infonce"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "benchmarks.yaml").write_text(SEARCH)
    return tmp_path


def runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what each record is of, with its metrics, by name."""
    store = Store(folder / "results")
    records = [store.record(path.name) for path in store.runs.iterdir()]
    found = [(record.run() or {}, record.result() or {}) for record in records]
    return {f"{run['loss']}/seed{run['seed']}": {**run, **result} for run, result in found}


def tune(folder: Path, *arguments: str) -> dict[str, Any]:
    done = suite_here(folder, "tune", *BASICS, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a search that is done, and what it said; nobody changes it."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "benchmarks.yaml").write_text(SEARCH)
    return folder, tune(folder, *LOSSES, "references")


@pytest.fixture
def done(folder: Path, searched: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    """What the search said whose results are in this test's folder from the beginning."""
    shutil.copytree(searched[0] / "results", folder / "results")
    return searched[1]


def test_a_search_selects_on_validation_and_evaluates_what_it_chose_beside_what_is_declared(
    searched: tuple[Path, dict[str, Any]],
) -> None:
    folder, said = searched
    found = runs(folder)
    selection = Counter(run["loss"].partition("@")[0] for run in found.values() if run["purpose"] == "selection")
    assert selection == {"cosine": 4 * 2, "infonce": 4 * 2}
    for choice in said["choices"]:
        names = [choice["loss"], *(f"{choice['loss']}@trial={trial}" for trial in (1, 2, 3))]
        means = [np.mean([found[f"{name}/seed{s}"]["metrics"]["val/accuracy"] for s in (10, 11)]) for name in names]
        assert choice["configurations"] == 4
        assert choice["member"] == names[int(np.argmax(means))]
        assert choice["mean"] == pytest.approx(max(means))
    evaluated = {run["loss"] for run in found.values() if run["purpose"] == "evaluation"}
    assert evaluated == {"cosine", "infonce", "chance", "untrained", *(choice["member"] for choice in said["choices"])}
    assert any(choice["trial"] for choice in said["choices"]), (
        "the toys were to show a choice that is not the declared one"
    )


def test_called_again_it_finds_everything_done_and_chooses_the_same(folder: Path, done: dict[str, Any]) -> None:
    before = metrics(folder)
    again = tune(folder, *LOSSES)
    assert again["choices"] == done["choices"] != []
    assert again["selection"]["executed"] == again["evaluation"]["executed"] == 0
    assert metrics(folder) == before


def test_a_larger_budget_executes_only_what_it_adds(folder: Path, done: dict[str, Any]) -> None:
    before = metrics(folder)
    said = tune(folder, *LOSSES, "--budget", "6")
    assert said["selection"]["executed"] == 2 * 2 * 2  # two configurations more, of two losses, two seeds
    assert before.items() <= metrics(folder).items()


def test_seeds_of_either_stage_are_options(folder: Path) -> None:
    tune(folder, "--losses", "cosine", "--seeds", "3", "--selection-seeds", "20-22")
    found = runs(folder)
    assert {run["seed"] for run in found.values() if run["purpose"] == "selection"} == {20, 21, 22}
    assert {run["seed"] for run in found.values() if run["purpose"] == "evaluation"} == {3}


def test_a_dry_run_shows_both_stages_with_their_cost_and_does_nothing(folder: Path) -> None:
    plan = tune(folder, *LOSSES, "--dry-run")
    assert plan["selection"]["summary"]["runs"] == 16
    assert plan["evaluation"]["summary"]["runs"] == 4
    assert plan["evaluation"]["undecided"] == {"runs": 4, "estimate_s": 4.0}
    assert plan["choices"] == []
    assert not metrics(folder)
    text = suite_here(folder, "tune", *BASICS, *LOSSES, "--dry-run").stdout
    assert "stage 1 of 2: 8 configurations of 2 pairs of benchmark and loss" in text
    assert "at most 4 runs, 0:04 of one worker" in text


def test_a_dry_run_of_what_is_done_has_its_choices_and_nothing_undecided(folder: Path, done: dict[str, Any]) -> None:
    after = tune(folder, *LOSSES, "--dry-run")
    assert len(after["choices"]) == 2
    assert after["evaluation"]["undecided"]["runs"] == 0


def test_nothing_is_chosen_while_runs_are_missing(folder: Path) -> None:
    names = ["cosine", "cosine@trial=1", "cosine@trial=2"]  # the third is missing
    done = suite_here(
        folder, "run", "budget=4", *BASICS[:4], "--losses", *names, "--seeds", "selection", "--quiet"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan = tune(folder, "--losses", "cosine", "--dry-run")
    assert plan["selection"]["summary"]["done"] == 6
    assert plan["choices"] == []


def test_a_configuration_with_a_failed_run_is_the_worst(folder: Path) -> None:
    picky = "{_target_: tests.launch.toys.Picky, search: {scale: [0.5, 2.0, 3.0]}}"
    (folder / "benchmarks.yaml").write_text(SEARCH.replace("{_target_: tests.toys.Raises}", picky))
    done = suite_here(folder, "tune", *BASICS, "--losses", "raises", "--json", "launcher.max_attempts=1")
    assert done.returncode == 1, done.stderr
    (choice,) = json.loads(done.stdout)["choices"]
    failed = {run["loss"] for run in runs(folder).values() if "metrics" not in run}
    assert {f"raises@trial={trial}" for trial in choice["failed"]} == failed
    assert failed and choice["member"] not in failed
    text = suite_here(folder, "tune", *BASICS, "--losses", "raises", "launcher.max_attempts=1").stdout
    assert "failed, the worst there is: blobs/raises@trial=" in text


def test_a_loss_of_which_every_run_fails_stays_as_declared(folder: Path) -> None:
    done = suite_here(folder, "tune", *BASICS, "--losses", "explodes", "--json")
    assert done.returncode == 1
    (choice,) = json.loads(done.stdout)["choices"]
    assert (choice["trial"], choice["mean"], choice["failed"]) == (0, None, [0, 1, 2, 3])
    text = suite_here(folder, "tune", *BASICS, "--losses", "explodes").stdout
    assert "every one failed" in text and "level with" not in text


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--losses", "cosine@scale=2.0"], "--losses: cosine@scale=2.0 is a member: name the loss, cosine"),
        (["--losses", "references"], "--losses: holds no loss to tune"),
        (["--seeds", "0,10"], "--seeds: 10 are selection seeds"),
        (["--selection-seeds", "many"], "--selection-seeds: 'many' is not a seed"),
        (["--budget", "0"], "'0' is no number of configurations"),
        (["--budget", "1"], "tune: there is nothing to tune"),
        (["--benchmarks", "blob"], "did you mean 'blobs'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_tuned_is_said(folder: Path, arguments: list[str], says: str) -> None:
    done = suite_here(folder, "tune", *BASICS[:4], *arguments)
    assert done.returncode == 2
    assert says in done.stderr, done.stderr


def test_progress_of_the_search_shows_validation_alone(folder: Path) -> None:
    done = suite_here(folder, "tune", *BASICS, "--losses", "infonce")
    search, _, evaluation = done.stdout.partition("stage 2 of 2")
    assert done.returncode == 0, done.stderr
    assert search.count("val/accuracy") == 8 and "test/accuracy" not in search
    assert "test/accuracy" in evaluation


def test_detached_the_second_stage_follows_without_the_command(folder: Path) -> None:
    arguments = ["--profile", "smoke", "--budget", "3", "--losses", "infonce", "--detach"]
    done = suite(folder, "tune", *arguments)
    assert done.returncode == 0, done.stderr
    assert "6 selection runs are in the background" in done.stdout
    log = folder / "results" / "tune.log"
    until(lambda: "python -m analysis tables" in log.read_text(), "the second stage to end")
    (choice,) = tune(folder, "--losses", "infonce", "--budget", "3", "--dry-run")["choices"]
    evaluated = {run["loss"] for run in runs(folder).values() if run["purpose"] == "evaluation"}
    assert evaluated == {"infonce", choice["member"]}


def test_told_to_choose_it_starts_no_selection_run(folder: Path) -> None:
    done = suite_here(folder, "tune", *BASICS, *LOSSES, "--choose")
    assert done.returncode == 1
    assert "nothing is chosen while runs are missing: 16, blobs/cosine/seed10 the first of them" in done.stderr
    assert not metrics(folder)


def test_what_is_to_be_run_again_is_in_the_cost(folder: Path, done: dict[str, Any]) -> None:
    arguments = ["tune", *BASICS, *LOSSES, "--dry-run"]
    planned = json.loads(suite_here(folder, *arguments, "--json").stdout)
    again = json.loads(suite_here(folder, *arguments, "--rerun", "done", "--json").stdout)
    for stage in ("selection", "evaluation"):
        assert planned[stage]["summary"]["to_do_s"] == 0 < again[stage]["summary"]["to_do_s"]
    shown = suite_here(folder, *arguments, "--rerun", "done").stdout
    assert shown.count("to do: ") == 2, "a line a stage"
