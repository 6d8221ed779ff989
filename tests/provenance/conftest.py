"""A user's folder and a results folder beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.records.record import Store
from tests.conftest import forget_sources


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that modules are imported from."""
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    forget_sources()
    yield folder
    forget_sources()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")
