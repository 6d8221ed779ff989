"""Any scheduler by its own commands: what they get word for word, and what their answers mean."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from suite.launch.generic.commands import GenericSite, answer, filled
from suite.launch.jobs import LaunchError
from suite.launch.kinds.generic import GenericLauncher
from suite.launch.queue import SchedulerUnavailable
from suite.records.arrays import batches
from suite.records.launch import Launch
from suite.records.record import Store
from tests.cluster import ROOT, suite_here, toy_registry
from tests.launch.simulated import A, B, local_launch

ODD = "a b 'c' \"d\" 100% $HOME `x` ünï;"
ECHO = [sys.executable, "-c", "import sys, json; print(json.dumps(sys.argv[1:] + [sys.stdin.read()]))"]


def say(text: str, status: int = 0) -> list[str]:
    """Return a command that prints a text and ends with a status."""
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit({status})"]


def launcher(**fields: Any) -> GenericLauncher:
    given = {
        "submit": say("Submitted batch job 7"), "status": say(""), "cancel": ["true", "{jobs}"],
        "states": {"pending": ["Q"], "running": ["R"], "gone": ["F"]}, **fields,
    }  # fmt: skip
    return GenericLauncher("generic", **given)


def launch_with(store: Store, made: GenericLauncher) -> Launch:
    return local_launch(store, [A, B], kind="generic", is_pool=True, site=made.site_settings())


class Fixed:
    """A run of a known length."""

    estimate_s = 1.0


OPEN: Any = {A: Fixed(), B: Fixed()}


def test_words_reach_a_command_as_they_are_whatever_is_in_them() -> None:
    values = {"name": ODD, "log": "/p q/%j"}
    said = json.loads(answer([*ECHO, "-N{name}", ODD, "{{{log}}}", "{jobs}"], values, [ODD, "2"], given=f"{ODD}\n"))
    assert said == [f"-N{ODD}", ODD, "{/p q/%j}", ODD, "2", f"{ODD}\n"]
    assert filled("{id.f58} {{x}} {name}", {"name": "{log}"}) == "{id.f58} {x} {log}", "nothing is filled twice"


@pytest.mark.parametrize("place", ["plain", "a b", "it's", 'x"y', "100%j", "ünï"])
def test_the_script_of_a_job_starts_a_worker_in_a_folder_of_any_name(place: str, tmp_path: Path) -> None:
    store = Store(tmp_path / place)
    store.prepare()
    file = tmp_path / "said"
    program = tmp_path / "my python"
    program.write_text(f'#!/bin/sh\nfor word in "$@"; do echo "$word"; done > "{file}"\n')
    program.chmod(0o755)
    made = launcher(python=str(program), submit=["sh", "{script}"], job_id="()", workers=2, time="90m")
    launch = launch_with(store, made)
    made.jobs(launch, store).begin(OPEN, False)
    assert file.read_text().splitlines() == [
        "-m", "suite", "worker", "--out", str(store.out), "--launch", launch.id, "--time", "5400s", "--workers", "2",
    ]  # fmt: skip


def test_jobs_are_pending_running_unknown_or_gone_and_only_what_is_gone_is_replaced(store: Store) -> None:
    numbers = store.out / "numbers"
    submit = ["sh", "-c", f"echo x >> '{numbers}'; echo \"Job <$(wc -l < '{numbers}')> submitted\""]
    listed = store.out / "listed"
    made = launcher(
        submit=submit, status=["cat", str(listed)], job_id=r"Job <\s*(\d+)>", target="1s", poll_seconds=1e-9
    )
    launch = launch_with(store, made)
    jobs = made.jobs(launch, store)
    jobs.begin(OPEN, False)
    assert [batch.job for batch in batches(launch)] == ["1", "2"], "as many as there are runs"
    listed.write_text("1 Q\n2 STRANGE\n99 R\n")
    assert [(one.task.job, one.task.state) for one in GenericSite().look([launch]).tasks] == [
        ("1", "PENDING"), ("2", "UNKNOWN"),
    ]  # fmt: skip
    for _ in range(3):
        jobs.tend(OPEN, False)
    assert len(batches(launch)) == 2
    listed.write_text("1 R\n2 F\n")
    jobs.tend(OPEN, False)
    assert [batch.job for batch in batches(launch)] == ["1", "2", "3"]
    listed.unlink()  # the scheduler does not answer
    for _ in range(3):
        jobs.tend(OPEN, False)
    assert len(batches(launch)) == 3 and "does not answer" in jobs.notice()
    seen = GenericSite().look([launch])
    assert {one.task.state for one in seen.tasks} == {"UNKNOWN"} and seen.silence


def test_jobs_that_end_without_having_begun_end_the_launcher(store: Store) -> None:
    made = launcher(jobs_at_a_time=1, max_attempts=2, poll_seconds=1e-9)
    jobs = made.jobs(launch_with(store, made), store)
    jobs.begin(OPEN, False)
    with pytest.raises(LaunchError, match="without having begun"):
        for _ in range(20):
            jobs.tend(OPEN, False)


def test_a_refusal_and_an_answer_without_an_id_are_told_in_the_schedulers_words(store: Store) -> None:
    refused = launcher(submit=say("no such queue", 3))
    launch = launch_with(store, refused)
    with pytest.raises(LaunchError, match="no such queue"):
        refused.jobs(launch, store).begin(OPEN, False)
    assert not launch.folder.exists()
    missing = launcher(submit=["nowhere-to-be-found"])
    with pytest.raises(LaunchError, match="nowhere-to-be-found"):
        missing.jobs(launch_with(store, missing), store).begin(OPEN, False)
    with pytest.raises(LaunchError, match="finds no id in what was said: hello"):
        odd = launcher(submit=say("hello"))
        odd.jobs(launch_with(store, odd), store).begin(OPEN, False)


def test_a_status_that_fails_for_want_of_jobs_is_an_answer_only_where_the_file_says_so(store: Store) -> None:
    none = {"status": say("No unfinished job found", 255)}
    for nothing, is_silent in (("No unfinished job", False), (None, True), ("other words", True)):
        made = launcher(**none, nothing=nothing)
        launch = launch_with(store, made)
        made.jobs(launch, store).begin(OPEN, False)
        assert bool(GenericSite().look([launch]).silence) is is_silent
        if is_silent:
            with pytest.raises(SchedulerUnavailable):
                GenericSite().has_jobs(launch)


def test_what_cannot_work_in_a_launcher_file_is_told_with_its_places(tmp_path: Path) -> None:
    toy_registry(tmp_path)
    (tmp_path / "launchers").mkdir()
    (tmp_path / "launchers" / "mine.yaml").write_text(
        "kind: generic\nsubmit: [qsub, '{jobname}']\nstatus: []\ncancel: [qdel]\njob_id: '\\d+'\nstatus_line: '('\n"
    )
    done = suite_here(tmp_path, "plan", "--launcher", "mine", "--profile", "smoke", "--losses", "cosine")
    assert done.returncode == 2
    for text in ("{jobname}", "must say a command", "must have the word {jobs}", "must have a group", "no regular"):
        assert text in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["generic", "pbs", "lsf", "flux", "pool"])
def test_the_files_that_come_with_the_suite_are_whole_and_move_no_key(name: str, tmp_path: Path) -> None:
    toy_registry(tmp_path)
    shutil.copytree(ROOT / "launchers", tmp_path / "launchers")
    selection = ["--profile", "smoke", "--losses", "cosine", "--seeds", "0", "--json"]
    keys = [
        [run["key"] for run in json.loads(suite_here(tmp_path, "plan", *selection, *more).stdout)["runs"]]
        for more in ([], ["--launcher", name])
    ]
    assert keys[0] == keys[1] != []


def test_commands_do_not_see_what_a_job_around_us_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "wrong")
    assert "SBATCH_PARTITION" in os.environ
    said = answer([sys.executable, "-c", "import os; print(os.environ.get('SBATCH_PARTITION'))"], {})
    assert said == "None\n"
