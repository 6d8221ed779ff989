"""Stores that tests are given: their tables are those that MLflow makes."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from suite.tracking import create_store, default_uri, store
from tests.tracking import migrations


def content(file: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as opened:
        tables = opened.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        # the order in which a table's constraints are written differs from one migration to the next: alembic has sets
        words = [(*named, sorted(re.findall(r"\w+", sql or ""))) for *named, sql in tables]
        return words + opened.execute("SELECT version_num FROM alembic_version").fetchall()


def experiments(file: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as opened:
        found: list[tuple[str, str]] = opened.execute("SELECT name, artifact_location FROM experiments").fetchall()
        return found


def test_a_store_of_known_migrations_is_that_of_mlflow(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_create_file", migrations.create_file)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        create_store(default_uri(tmp_path / name), "mine")
    first, second = (tmp_path / name / "mlflow.db" for name in ("first", "second"))
    assert content(first) == content(second) == content(out / "mlflow.db")
    assert len(content(first)) > 50
    assert [name for name, _ in experiments(second)] == ["Default", "mine"]
    assert [place for _, place in experiments(second) if str(tmp_path / "first") in place] == []
