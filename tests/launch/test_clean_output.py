"""`suite clean` and what detached second stages of `suite tune` printed."""

import os
import time
from pathlib import Path

import pytest

from suite.launch.clean import find, remove
from suite.records.record import Store
from tests.launch.simulated import local_launch

DAY = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "results")
    made.prepare()
    return made


def printed(store: Store, age_days: float) -> tuple[Path, Path]:
    job, log = store.out / "follow" / "1_0_log.out", store.out / "tune.log"
    job.parent.mkdir()
    job.touch()
    log.touch()
    for path in (job, log, job.parent):
        os.utime(path, (time.time() - age_days * DAY,) * 2)
    return job, log


@pytest.mark.parametrize(("age_days", "goes"), [(15, True), (13, False)])
def test_it_goes_when_it_is_old(store: Store, age_days: float, goes: bool) -> None:
    job, log = printed(store, age_days)
    found = find(store)
    assert {litter.name for litter in found} == ({"follow", "tune.log"} if goes else set())
    assert all(remove(store, litter) for litter in found)
    assert job.exists() == log.exists() == (not goes)


def test_it_stays_while_there_are_launches(store: Store) -> None:
    printed(store, 30)
    local_launch(store)
    assert find(store) == []
