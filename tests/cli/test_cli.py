"""The command line, as users call it."""

import json
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT, Project

HEAVY = ("torch", "mlflow", "pandas", "submitit", "seaborn")


@pytest.mark.parametrize("arguments", [["--help"], ["plan"], ["plan", "--json"], ["status"], ["list"]], ids=" ".join)
def test_answers_without_importing_what_is_slow(project: Project, arguments: list[str]) -> None:
    program = (
        "import sys\nfrom suite.cli.main import main\n"
        "try:\n    status = main(sys.argv[1:])\nexcept SystemExit as end:\n"
        f"    status = end.code\nloaded = [name for name in {HEAVY} if name in sys.modules]\n"
        "print(status, loaded, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, *arguments]
    ended = subprocess.run(
        command, cwd=project.folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert ended.stderr.splitlines()[-1] == "0 []"
    assert ended.stdout


def test_help_names_every_command(project: Project) -> None:
    ended = project.process("--help")
    assert ended.returncode == 0
    for command in [
        "run",
        "plan",
        "status",
        "cancel",
        "logs",
        "why",
        "sync",
        "list",
        "check-loss",
        "schema",
        "ui",
        "data",
        "verify",
    ]:
        assert re.search(rf"^ +{command}\s", ended.stdout, re.MULTILINE), command


def test_overrides_may_stand_anywhere(project: Project) -> None:
    select = ["--profile", "smoke", "--json"]
    first, second, third = (
        json.loads(project.suite(*arguments)[1])["runs"]
        for arguments in (
            ["plan", "seeds=0", "--benchmarks", "blobs", "--losses", "cosine", *select],
            ["plan", "--benchmarks", "blobs", "seeds=0", "--losses", "cosine", *select],
            ["plan", *select, "--losses", "cosine", "--benchmarks", "blobs", "seeds=0"],
        )
    )
    assert first == second == third
    assert len(first) == 1


def test_members_of_sweeps_are_losses_and_no_overrides(project: Project) -> None:
    arguments = [
        "--profile",
        "smoke",
        "--json",
        "--benchmarks",
        "blobs",
        "--losses",
        "cosine@scale=2.0",
        "--seeds",
        "1",
    ]
    (run,) = json.loads(project.suite("plan", *arguments)[1])["runs"]
    assert run["loss"] == "cosine@scale=2.0"


def test_the_default_selection_is_the_slice_default(project: Project) -> None:
    plain = json.loads(project.suite("plan", "--json")[1])
    assert plain == json.loads(project.suite("plan", "--json", "--losses", "all", "references")[1])
    project.edit("[all, references]", "[cosine]")
    assert {run["loss"] for run in json.loads(project.suite("plan", "--json")[1])["runs"]} == {"cosine"}


def test_plan_for_people(project: Project) -> None:
    status, out, _ = project.suite("plan", "--profile", "smoke", "launcher.workers=2")
    assert status == 0
    assert "21 runs at profile smoke: 21 missing" in out
    assert re.search(r"blobs +infonce +4 +4 missing", out)
    assert "with 2 workers" in out
    listed = project.suite("plan", "--profile", "smoke", "--runs")[1]
    assert listed.count("missing") == 22
    assert "nothing/infonce/seed3" in listed


def test_list_shows_the_registry(project: Project) -> None:
    status, out, _ = project.suite("list")
    assert status == 0
    assert re.search(r"blobs +tests.toys.Blobs +accuracy \(maximise, margin 0.01\) +smoke, mini", out)
    assert "cosine@*" in out
    listed = json.loads(project.suite("list", "--json")[1])
    assert listed["seeds"] == [0, 1, 2, 3]
    assert "cosine@scale=10.0" in listed["losses"]
    metric = {"name": "accuracy", "goal": "maximise", "margin": 0.01, "margin_reason": ""}
    assert listed["metrics"] == {"blobs": metric, "nothing": metric}
    assert listed["classes"]["blobs"] == "tests.toys.Blobs" and listed["data"]["blobs"] == []
    assert listed["arguments"]["infonce"] == {"temperature": "${host_temperature}"}
