"""MLflow's migrations of an empty SQLite store, carried out once a process: they take seconds and give the same."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from suite.tracking import store

by_mlflow = store._create_file
_schema: bytes | None = None


def create_file(file: Path, uri: str) -> None:
    """Do what the suite does to make a store, with the tables that the first one of this process got."""
    from mlflow.store.db import utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "_initialize_tables", functools.partial(_initialize, utils._initialize_tables))
        by_mlflow(file, uri)


def _initialize(migrate: Callable[[Any], None], engine: Any) -> None:
    global _schema
    place = engine.url.database
    if _schema is None:
        migrate(engine)
        with closing(sqlite3.connect(place)) as made:
            _schema = made.serialize()
        return
    with closing(sqlite3.connect(":memory:")) as known, closing(sqlite3.connect(place)) as new:
        known.deserialize(_schema)
        known.backup(new)
