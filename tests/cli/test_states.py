"""One word for one state: what `run` does next is what `plan`, `status` and `why` say; what there is is shown."""

import json

import pytest

from suite.cli.runs import tune
from suite.tracking import default_uri, frame
from tests.conftest import Project

pytestmark = pytest.mark.slow
SMOKE = ("--profile", "smoke", "--launcher", "debug")
FAILING = "  raises: {_target_: tests.toys.Raises}\n  explodes: {_target_: tests.toys.Explodes}\nbenchmarks:\n"


@pytest.fixture
def failed(project: Project) -> Project:
    project.edit("benchmarks:\n", FAILING)
    chosen = ("--benchmarks", "blobs", "--losses", "raises", "explodes", "--seeds", "0")
    assert project.suite("run", *chosen, *SMOKE, "--quiet")[0] == 1
    return project


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        ("raises", "user_code: {}; the next run tries it again"),
        ("explodes", "non_finite: {}; it would fail the same way; --rerun failed tries it"),
    ],
)
def test_a_failure_is_tried_again_where_it_is_said(failed: Project, loss: str, says: str) -> None:
    chosen = ("--benchmarks", "blobs", "--losses", loss, "--seeds", "0", "--profile", "smoke")
    planned = json.loads(failed.suite("plan", "--json", *chosen)[1])
    (run,) = planned["runs"]
    sentence = says.format(run["reason"].partition(": ")[2])
    for command in (("plan", *chosen), ("status", *chosen), ("why", run["key"])):
        assert sentence in " ".join(failed.suite(*command)[1].split()), command
    again = json.loads(failed.suite("run", "--json", *chosen, "--launcher", "debug")[1])
    assert (len(again["failed"]), len(again["not_retried"])) == ((1, 0) if loss == "raises" else (0, 1))
    assert (planned["summary"]["to_do_s"] > 0) == (loss == "raises")
    (told,) = json.loads(failed.suite("status", "--json", *chosen)[1])["failed"]
    assert told["run"] == f"blobs/{loss}/seed0" and sentence == f"{told['reason']}; {told['outlook']}"


@pytest.fixture
def ran(project: Project) -> Project:
    chosen = ("--benchmarks", "blobs", "--losses", "cosine", "--seeds", "10")
    status, out, errors = project.suite("run", *chosen, *SMOKE)
    assert status == 0, errors
    project.write(out, "said.txt")
    return project


def test_lines_on_selection_runs_show_validation_alone(ran: Project) -> None:
    (line,) = [line for line in (ran.folder / "said.txt").read_text().splitlines() if "blobs/cosine/seed10" in line]
    assert "val/accuracy" in line and "test/accuracy" not in line


def test_status_without_arguments_shows_what_there_is(ran: Project) -> None:
    status, out, errors = ran.suite("status")
    assert status == 0, errors
    assert "also there: 1 runs at profile smoke: 1 done: blobs/cosine (--profile smoke shows them)" in out
    assert "missing" not in out, "nothing of the default selection has begun"
    assert "also there" not in ran.suite("status", "--profile", "smoke", "--seeds", "10")[1]


def test_why_shows_configuration_and_diagnostics(ran: Project) -> None:
    planned = json.loads(
        ran.suite("plan", "--json", "--benchmarks", "blobs", "--losses", "cosine", "--seeds", "10", *SMOKE)[1]
    )
    out = ran.suite("why", planned["runs"][0]["key"])[1]
    facts = {line[:22].strip(): line[23:] for line in out.splitlines()}
    assert facts["benchmark"].startswith("_target_=tests.toys.Blobs") and "epochs=3" in facts["benchmark"]
    assert facts["loss"].startswith("_target_=tests.toys.Cosine")
    assert "at step" in facts["train/loss"]


def test_what_is_being_replaced_is_queued_and_not_done(ran: Project) -> None:
    chosen = ("--benchmarks", "blobs", "--losses", "cosine", "--seeds", "10", "--profile", "smoke")
    (run,) = json.loads(ran.suite("plan", "--json", *chosen)[1])["runs"]
    assert run["state"] == "done"
    in_pool = (*chosen, "--rerun", "done", "--launcher", "pool", "--detach", "--json")
    assert json.loads(ran.suite("run", *in_pool)[1])["started"] == 1
    (again,) = json.loads(ran.suite("plan", "--json", *chosen)[1])["runs"]
    assert (again["state"], again["key"]) == ("queued", run["key"])
    assert json.loads(ran.suite("run", *in_pool)[1])["started"] == 0
    assert ran.process("worker").returncode == 0
    assert json.loads(ran.suite("plan", "--json", *chosen)[1])["runs"][0]["state"] == "done"


def test_what_goes_on_with_a_search_repeats_no_run_of_its_first_stage(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit("    host_temperature: 0.5\n", "    host_temperature: 0.5\n    search: {epochs: {low: 2, high: 4}}\n")
    heard: list[tuple[str, ...]] = []
    monkeypatch.setattr(tune.run, "perform", lambda *arguments: heard.append(arguments[-1]))
    search = ("tune", "--benchmarks", "blobs", "--losses", "cosine", "--profile", "smoke", "--rerun", "done")
    project.suite(*search)
    project.suite(*search, "--goes-on")
    assert heard == [("done",), ()]


def test_why_knows_a_run_that_waits_and_is_not_in_the_registry_any_more(project: Project) -> None:
    chosen = ("--benchmarks", "blobs", "--losses", "cosine", "--seeds", "0", "--profile", "smoke")
    assert project.suite("run", *chosen, "--launcher", "pool", "--detach")[0] == 0
    project.edit("profiles: {smoke: {epochs: 3}", "profiles: {smoke: {epochs: 4}")
    facts = dict(line.split(maxsplit=1) for line in project.suite("why", "blobs/cosine/seed0")[1].splitlines())
    assert facts["run"] == "blobs/cosine/seed0 at profile smoke" and "epochs=3" in facts["benchmark"]
    assert (
        facts["state"].startswith("queued (launch ") and "the registry as it stands has no such run" in facts["state"]
    )
    assert "folder" not in facts


def test_a_run_whose_seed_has_changed_sides_is_stale(project: Project) -> None:
    """It would be counted as what it was: the same seeds would choose and report."""
    chosen = ("--benchmarks", "blobs", "--losses", "cosine", "--profile", "smoke")
    assert project.suite("run", *chosen, "--seeds", "10", "--launcher", "debug", "--quiet")[0] == 0
    project.edit("seeds: 0-3\nselection_seeds: 10-11", "seeds: 10-11\nselection_seeds: 0-1")
    (run,) = json.loads(project.suite("plan", "--json", *chosen, "--seeds", "10")[1])["runs"]
    assert (run["state"], run["reason"]) == ("stale", "changed since: its seed is for evaluation now")
    again = (*chosen, "--seeds", "10", "--rerun", "stale", "--launcher", "debug", "--quiet")
    assert project.suite("run", *again)[0] == 0
    assert json.loads(project.suite("plan", "--json", *chosen, "--seeds", "10")[1])["runs"][0]["state"] == "done"
    (logged,) = frame(default_uri(project.folder / "results"), "toy")["purpose"]
    assert logged == "evaluation"
