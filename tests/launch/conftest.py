"""Shared fixtures: a results folder, and a cluster that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.launch.slurm import client
from suite.records.record import Store
from tests.launch.simulated import Queue


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Belong to a cluster, and ask nobody which."""
    monkeypatch.setattr(client, "identity", lambda cluster: "me@here")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "results")
    made.prepare()
    return made


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    return Queue(tmp_path / "site", monkeypatch)
