"""What commands advise is what works when it is typed, and their JSON has what their text says."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

import suite
from suite.cli.runs import run as run_command
from suite.cli.runs import tune as tune_command
from suite.launch.campaign import Outcome
from suite.launch.run import Report
from suite.notebook.campaign import _sync_command
from suite.plan.plan import Plan
from suite.records.launch import Launch
from suite.records.record import Store
from suite.records.specs import Pack
from suite.registry.load import load
from tests.conftest import Project
from tests.launch.simulated import fail, launch_of

CHOSEN = ("--benchmarks", "blobs", "--seeds", "0", "--profile", "smoke")
DEBUG = ("--launcher", "debug", "--quiet")


def planned(*losses: str, profile: str = "smoke") -> Plan:
    registry = suite.load_registry("benchmarks.yaml", launcher="debug")
    return suite.make_plan(registry, "blobs", losses, seeds=0, profile=profile)


def waiting_pool(store: Store, *keys: str) -> Launch:
    store.prepare()
    return launch_of(store, [Pack(keys, 1.0)], kind="pool", array=None, is_pool=True)


@pytest.mark.slow
def test_where_a_run_failed_its_log_is_found_by_what_is_printed(project: Project) -> None:
    project.edit("benchmarks:\n", "  raises: {_target_: tests.toys.Raises}\nbenchmarks:\n")
    chosen = (*CHOSEN, "--losses", "raises", "--out", "else where")
    printed = project.suite("run", *chosen, "--launcher", "debug")[1]
    for said in (printed, *(project.suite(command, *chosen)[1] for command in ("status", "plan"))):
        advised = re.search(r"\(python -m suite (logs .*?)\)", " ".join(said.split()))
        assert advised is not None, said
        status, out, errors = project.suite(*shlex.split(advised[1]))
        assert status == 0 and "Traceback" in out, errors


def test_the_folder_of_the_current_one_needs_no_option(project: Project) -> None:
    assert Store(project.folder / "results").option == ""
    assert Store(project.folder / "a b").option == f" --out '{project.folder}/a b'"


def test_workers_are_advised_with_their_folder(project: Project) -> None:
    store = Store(project.folder / "else")
    plan = planned("cosine")
    waiting_pool(store, plan.runs[0].key)
    advised = f"python -m suite worker --out {store.out}"
    assert advised in project.suite("status", *CHOSEN, "--out", "else")[1]
    said = json.loads(project.suite("plan", *CHOSEN, "--losses", "cosine", "--out", "else", "--json")[1])
    assert advised in said["runs"][0]["reason"]


def test_a_profile_alone_cancels_the_runs_of_that_profile_alone(project: Project) -> None:
    store = Store(project.folder / "results")
    smoke, mini = planned("cosine", "infonce").runs, planned("cosine", profile="mini").runs
    launch = waiting_pool(store, *(run.key for run in (*smoke, *mini)))
    assert project.suite("cancel", "--profile", "smoke")[0] == 0
    assert launch.cancelled() == {run.key for run in smoke}
    assert project.suite("cancel")[0] == 0
    assert mini[0].key in launch.cancelled()


def test_what_failed_in_a_launch_that_goes_on_is_said_to_have_failed(project: Project) -> None:
    store = Store(project.folder / "results")
    plan = planned("cosine", "infonce")
    failed, waits = (run.key for run in plan.runs)
    launch = launch_at_work(store, failed, waits)
    with launch.enter(0):
        status, out, _ = project.suite("status", *CHOSEN, "--losses", "cosine", "infonce", "--json")
        said = json.loads(out)
        kept = project.suite("forget", failed, "--yes")[1]
    assert status == 1
    assert (said["summary"]["failed"], said["summary"]["queued"]) == (1, 1)
    told = {"reason": "user_code: no", "outlook": "the next run tries it again"}
    assert said["failed"] == [{"key": failed, "run": plan.runs[0].name, **told}]
    assert "1 more are running or queued" in kept and store.record(failed).failure() is not None


def launch_at_work(store: Store, failed: str, waits: str) -> Launch:
    store.prepare()
    launch = launch_of(store, [Pack((failed, waits), 1.0)], kind="local", array=None)
    fail(store, failed, launch)
    return launch


def test_the_status_has_the_launches_that_are_open_to_workers(project: Project) -> None:
    plan = planned("cosine")
    launch = waiting_pool(Store(project.folder / "results"), plan.runs[0].key)
    said = json.loads(project.suite("status", *CHOSEN, "--json")[1])
    assert said["open_to_workers"] == [{"id": launch.id, "to_do": 1}]


def test_an_interrupted_run_goes_on_only_where_its_code_is_the_same(project: Project) -> None:
    store = Store(project.folder / "results")
    same, other = planned("cosine", "infonce").runs
    for run, code in ((same, same.code), (other, dict.fromkeys(other.code, "0"))):
        record = store.record(run.key)
        record.folder.mkdir(parents=True)
        record.begin({"benchmark": run.benchmark, "loss": run.loss, "profile": "smoke", "code": code})
        record.append("interrupted", reason="stopped", step=3)
    out = project.suite("status", *CHOSEN, "--losses", "cosine", "infonce")[1]
    assert "1 of the missing were interrupted (stopped), and go on from their checkpoints" in out
    assert "1 of the missing: interrupted (stopped); it begins anew, since this has changed: " in out


def test_a_damaged_run_is_not_said_to_go_on(project: Project) -> None:
    assert project.suite("run", *CHOSEN, "--losses", "cosine", *DEBUG)[0] == 0
    (key,) = Store(project.folder / "results").keys()
    (project.folder / "results" / "runs" / key / "run.json").write_text("torn")
    out = project.suite("status", *CHOSEN, "--losses", "cosine")[1]
    assert "1 of the missing: run.json is damaged: it is executed again\n" in out


def report(**outcome: int) -> Report:
    fields = {"executed": 0, "failed": (), "left": 0, "interrupted": False, **outcome}
    return Report(
        Outcome(**fields),  # type: ignore[arg-type]
        already_done=0, stale=0, not_retried=(), detached=False, mirrored=True, mirror_error=None, seconds=1.0,
        keeps="", needs="", started=3,
    )  # fmt: skip


def test_json_says_what_was_cancelled_and_what_was_started() -> None:
    said = run_command.to_json(report(cancelled=2))
    assert (said["cancelled"], said["detached"]) == (2, False)
    left = replace(report(left=5), detached=True, needs="python -m suite worker")
    said = run_command.to_json(left)
    assert (said["detached"], said["started"], said["left"], said["needs"]) == (True, 3, 5, "python -m suite worker")


def test_a_detached_run_with_items_is_completed_with_items(project: Project) -> None:
    chosen = (*CHOSEN, "--losses", "cosine", "--launcher", "pool", "--out", "else")
    status, out, errors = project.suite("run", *chosen, "--detach", "--items")
    assert status == 0, errors
    assert "python -m suite sync --out else --items, then" in out


def test_commands_that_are_printed_carry_the_overrides_that_were_given(project: Project) -> None:
    overrides = ("experiment=mine", "benchmarks.blobs.profiles.smoke.epochs=2", "launcher.max_attempts=2")
    chosen = (*CHOSEN, *overrides, "--losses", "cosine", "--launcher", "pool")
    status, out, errors = project.suite("run", *chosen, "--detach")
    assert status == 0, errors
    given = "experiment=mine benchmarks.blobs.profiles.smoke.epochs=2"
    assert f"python -m suite sync {given}, then" in out
    assert f"python -m suite status --profile smoke {given} shows them" in out
    assert "python -m analysis tables --profile smoke --experiment mine" in out
    registry = load(overrides=list(overrides))
    assert _sync_command(registry, Store(Path("results")), None).endswith(given)


def test_where_mlflow_lacks_something_the_command_that_completes_it_is_whole(project: Project) -> None:
    project.write("no database", "file")
    uri = f"sqlite:///{project.folder}/file/mlflow.db"
    out = project.suite("run", *CHOSEN, "--losses", "cosine", "--launcher", "debug", "--out", "else",
                        "--tracking-uri", uri)[1]  # fmt: skip
    assert f"python -m suite sync --out else --tracking-uri {uri} completes it" in " ".join(out.split())


def test_a_cancelled_search_does_not_speak_of_an_option_that_was_not_given(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = '"${host_temperature}", search: {temperature: {low: 0.1, high: 1.0}}}'
    project.edit('"${host_temperature}"}', searched)
    monkeypatch.setattr(tune_command.run, "perform", lambda *arguments: report(cancelled=2))
    status, _, errors = project.suite("tune", *CHOSEN, "--losses", "infonce", "--budget", "2")
    assert status == 1
    assert "the same command executes them" in errors and "--choose" not in errors


def test_only_the_data_of_what_is_executed_is_fetched(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert project.suite("run", *CHOSEN, "--losses", "cosine", *DEBUG)[0] == 0
    asked: list[str] = []
    monkeypatch.setattr("suite.launch.run.fetch_missing", lambda _, runs, *rest: asked.extend(r.loss for r in runs))
    assert project.suite("run", *CHOSEN, "--losses", "cosine", "infonce", *DEBUG)[0] == 0
    assert asked == ["infonce"]
