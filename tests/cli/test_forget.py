"""``suite forget`` and ``sync --prune``: runs that go from the folder, from MLflow, and from the tables."""

import json
import shutil
from pathlib import Path

import pytest

from suite.records.files import held
from suite.records.record import Store
from suite.tracking import default_uri, frame
from tests.conftest import Project

pytestmark = pytest.mark.slow
SELECTED = ("--benchmarks", "nothing", "--profile", "smoke")


@pytest.fixture
def ran(project: Project) -> Project:
    chosen = (*SELECTED, "--losses", "cosine", "infonce", "--seeds", "0-1", "--launcher", "debug")
    status, _, errors = project.suite("run", *chosen, "--quiet")
    assert status == 0, errors
    return project


def logged(project: Project) -> list[str]:
    return sorted(frame(default_uri(project.folder / "results", None), "toy")["loss"])


def kept(project: Project) -> list[str]:
    store = Store(project.folder / "results")
    return sorted(str((store.record(key).run() or {})["loss"]) for key in sorted(store.keys()))


def test_a_selection_goes_from_folder_and_store_and_is_run_again(ran: Project) -> None:
    status, out, errors = ran.suite("forget", *SELECTED, "--losses", "cosine", "--yes")
    assert status == 0, errors
    assert "2 records removed, 2 runs in MLflow deleted" in out
    assert kept(ran) == logged(ran) == ["infonce", "infonce"]
    planned = json.loads(ran.suite("plan", "--json", *SELECTED, "--losses", "cosine", "--seeds", "0-1")[1])
    assert planned["summary"]["missing"] == 2


def test_a_key_is_enough(ran: Project) -> None:
    key = sorted(Store(ran.folder / "results").keys())[0]
    assert ran.suite("forget", key[:10], "--yes")[0] == 0
    assert len(kept(ran)) == len(logged(ran)) == 3
    assert not Store(ran.folder / "results").record(key).folder.exists()


def test_nothing_goes_unless_it_is_agreed(ran: Project) -> None:
    status, out, _ = ran.suite("forget", *SELECTED, "--losses", "cosine")
    assert status == 0
    assert "nothing/cosine at profile smoke" in out and "--yes" in out
    status, out, _ = ran.suite("forget", *SELECTED, "--losses", "cosine", "--json")
    assert (status, len(json.loads(out)["found"]), json.loads(out)["removed"]) == (0, 2, 0)
    assert len(kept(ran)) == len(logged(ran)) == 4


def test_all_is_not_what_is_meant_by_nothing(ran: Project) -> None:
    status, _, errors = ran.suite("forget", "--yes")
    assert status == 2 and "name runs" in errors
    key = next(iter(Store(ran.folder / "results").keys()))
    status, _, errors = ran.suite("forget", key, "--losses", "cosine", "--yes")
    assert status == 2 and "not both" in errors
    assert len(kept(ran)) == 4


def test_a_run_that_is_at_work_is_left_alone(ran: Project) -> None:
    store = Store(ran.folder / "results")
    key = sorted(store.keys())[0]
    with held(store.record(key).folder / "lock"):
        status, out, _ = ran.suite("forget", key, "--yes")
    assert status == 0
    assert "1 more are running or queued" in out
    assert store.record(key).is_done()


def test_sync_notices_records_that_are_gone(ran: Project) -> None:
    store = Store(ran.folder / "results")
    shutil.rmtree(store.record(sorted(store.keys())[0]).folder)
    status, out, _ = ran.suite("sync")
    assert status == 0
    assert "1 runs in MLflow were made here and their records are gone" in out
    assert len(logged(ran)) == 4
    assert "1 runs whose records are gone were deleted" in ran.suite("sync", "--prune")[1]
    assert len(logged(ran)) == 3
    assert "gone" not in ran.suite("sync")[1]


def test_sync_makes_no_folder_of_a_mistyped_name_and_has_nothing_to_do_before_the_first_run(
    ran: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, errors = ran.suite("sync", "--out", "result")
    assert status == 2
    assert "there is no folder result" in errors
    assert not (ran.folder / "result").exists()
    monkeypatch.chdir(tmp_path)
    assert ran.suite("sync", "--registry", str(ran.folder / "benchmarks.yaml"))[0] == 0


def test_keys_may_stand_on_both_sides_of_an_option(ran: Project) -> None:
    first, second, *_ = sorted(Store(ran.folder / "results").keys())
    status, out, errors = ran.suite("forget", first[:10], "--json", second[:10])
    assert status == 0, errors
    assert json.loads(out)["found"] == [first, second]
