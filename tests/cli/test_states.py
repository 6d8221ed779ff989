"""One word for one state: what `run` does next is what `plan`, `status` and `why` say; what there is is shown."""

import json

import pytest

from tests.conftest import Project

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
