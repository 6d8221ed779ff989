"""A short storm over the local launcher, and that it would notice what it looks for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import metrics, suite_here
from tests.storm.__main__ import storm, table
from tests.storm.campaign import Aftermath, Campaign
from tests.storm.errors import unexplained
from tests.storm.grounds import ground
from tests.storm.tracking import File


def test_a_short_storm_loses_nothing_does_nothing_twice_and_changes_no_bit() -> None:
    with ground("local") as on:
        tally = storm(on, "local", faults=12, seed=0)
    assert tally.faults == 12
    assert not tally.problems, table(tally)


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """A campaign to which nothing has happened."""
    campaign = Campaign(tmp_path_factory.mktemp("storm") / "calm", ["--quiet", "--launcher", "debug"], File())
    assert suite_here(campaign.folder, "run", *campaign.options).returncode == 0
    return campaign


def _lost(record: Path) -> None:
    (record / "result.json").unlink()


def _other_bits(record: Path) -> None:
    result = json.loads((record / "result.json").read_text())
    result["metrics"]["test/accuracy"] += 1e-15
    (record / "result.json").write_text(json.dumps(result))


def _twice(record: Path) -> None:
    with (record / "events.jsonl").open("a") as file:
        file.write(json.dumps({"time": 0.0, "event": "finished"}) + "\n")


def _checkpoint(record: Path) -> None:
    (record / "checkpoint.pt").touch()


def _error(record: Path) -> None:
    with (record / "log.txt").open("a") as file:
        file.write('INFO so\nTraceback (most recent call last):\n  File "loss.py", line 1\nKeyError: 1\n')


def _failure(record: Path) -> None:
    with (record / "events.jsonl").open("a") as file:
        file.write(json.dumps({"event": "failed", "class": "user_code", "message": "KeyError: 1"}) + "\n")


@pytest.mark.parametrize(
    "harm, noticed",
    [
        (_lost, "lost: "),
        (_other_bits, "other bits: "),
        (_twice, "done 2 times: "),
        (_checkpoint, "checkpoint left"),
        (_error, "error that no fault explains: ['log.txt: KeyError: 1 (File \"loss.py\", line 1)']"),
        (_failure, "error that no fault explains: "),
    ],
)
def test_harm_is_noticed(
    harm: Callable[[Path], None], noticed: str, survivor: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = metrics(survivor.folder)
    shutil.copytree(survivor.results, tmp_path / "results")
    monkeypatch.setattr(survivor, "folder", tmp_path)
    monkeypatch.setattr(survivor, "results", tmp_path / "results")
    calm, harmed = Aftermath(), Aftermath()
    for found in (calm, harmed):
        survivor.check_runs(found, expected)
        survivor.check_errors(found)
        if found is calm:
            harm(next((tmp_path / "results/runs").iterdir()))
    assert not calm.problems
    assert [problem.startswith(noticed) for problem in harmed.problems] == [True]


def test_an_error_is_explained_by_the_fault_that_causes_it_and_by_no_other(tmp_path: Path) -> None:
    said = tmp_path / "said.txt"
    said.write_text(
        "Traceback (most recent call last):\n  File x\nOSError: [Errno 28] No space left on device\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n  File y\nKeyboardInterrupt\n"
        "Traceback (most recent call last):\n  torn\nlaunch.json is damaged: it counts as missing\n"
        "Traceback (most recent call last):\n  torn, too\n"
        "Traceback (most recent call last):\n  File z\na.b.OperationalError: (raised as a result of autoflush)\n"
        "(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT]\n"
        "Traceback (most recent call last):\n  torn"
    )
    disk = "said.txt: OSError: [Errno 28] No space left on device (File x)"
    interrupt = "said.txt: KeyboardInterrupt (File y)"
    store = (
        "said.txt: a.b.OperationalError: (raised as a result of autoflush) "
        "(sqlite3.OperationalError) database or disk is full (File z)"
    )
    assert unexplained(tmp_path, [said], []) == [disk, interrupt, store]
    assert unexplained(tmp_path, [said], ["full disk"]) == [interrupt]
    assert unexplained(tmp_path, [said], ["INT to a worker"]) == [disk, store]
    assert unexplained(tmp_path, [said], ["INT to a worker", "full disk"]) == []
