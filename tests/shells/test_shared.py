"""One results folder and two users of a group: what one begins, the other goes on with."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.records.launch import live_launches
from suite.records.record import Store
from tests.cluster import events, metrics, mlflow_runs, suite_here, toy_registry
from tests.shells import users
from tests.tracking.gated import GATE
from tests.waiting import until

RUNS = ["--profile", "smoke", "--losses", "cosine", "--seeds"]
OPTIONS = ["launcher.workers=2", "launcher.checkpoint_minutes=0.00001"]


def gated_registry(folder: Path) -> None:
    """Write the toy registry, whose runs wait half-way for the gate."""
    file = toy_registry(folder)
    file.write_text(file.read_text().replace("tests.toys.Blobs", "tests.tracking.gated.GatedBlobs"))


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the toy registry, of root's and of the group."""
    if why := users.obstacle():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="shared-", ignore_cleanup_errors=True) as name:
        made = Path(name)
        gated_registry(made)
        os.chown(made, 0, users.GROUP)
        made.chmod(0o2775)
        monkeypatch.setenv(GATE, str(made / "gate"))
        yield made


@pytest.fixture
def anne(folder: Path) -> Iterator[users.Login]:
    """She makes the results folder; others may read what she makes elsewhere."""
    made = users.Login(users.ANNE, folder, 0o022)
    yield made
    made.log_out()


@pytest.fixture
def bert(folder: Path) -> Iterator[users.Login]:
    """What he makes elsewhere is his alone."""
    made = users.Login(users.BERT, folder, 0o077)
    yield made
    made.log_out()


def test_one_user_begins_a_campaign_and_another_goes_on_with_it(
    folder: Path, anne: users.Login, bert: users.Login, tmp_path: Path
) -> None:
    store = Store(folder / "results")
    anne.suite("run", *RUNS, "0-1", *OPTIONS, "launcher.share=group", "--detach")
    until(lambda: len(list(store.runs.glob("*/checkpoint.pt"))) == 2, "both runs are saved")
    assert "2 running" in bert.suite("status", *RUNS, "0-1")
    assert "2 runs cancelled" in bert.suite("cancel")
    (folder / "gate").touch()
    until(lambda: not live_launches(store), "her workers have saved and left")
    bert.suite("run", *RUNS, "0-1", *OPTIONS)
    for happened in events(folder).values():
        assert [e["event"] for e in happened if e["event"] in ("started", "interrupted", "finished")] == [
            "started", "interrupted", "started", "finished"]  # fmt: skip
        (saved,) = (e["step"] for e in happened if e["event"] == "interrupted")
        assert [e["step"] for e in happened if e["event"] == "metrics"].count(0) == 1 and saved > 0
    anne.suite("run", *RUNS, "0-2", *OPTIONS)
    for user in (anne, bert):
        assert "3/3" in user.suite("status", *RUNS, "0-2")
        assert "brought up to date" in user.suite("sync")
        user.type([sys.executable, "-m", "analysis", "report"])
        user.suite("clean", "--yes", "--superseded")
    assert mlflow_runs(folder) == {key: ["FINISHED"] for key in metrics(folder)}

    alone = tmp_path / "alone"
    alone.mkdir()
    gated_registry(alone)
    assert suite_here(alone, "run", *RUNS, "0-2", "--launcher", "debug").returncode == 0
    assert metrics(folder) == metrics(alone)
    assert belongs_to_the_group(folder / "results") == []


def belongs_to_the_group(results: Path) -> list[str]:
    """Return what is in a folder that the group may not write, or that is not the group's."""
    wrong = []
    for path in (results, *results.rglob("*")):
        found, needed = path.lstat(), stat.S_IRGRP | stat.S_IWGRP | (stat.S_ISGID if path.is_dir() else 0)
        if not path.is_symlink() and (found.st_gid != users.GROUP or found.st_mode & needed != needed):
            wrong.append(f"{stat.filemode(found.st_mode)} {found.st_gid} {path.relative_to(results)}")
    return wrong
