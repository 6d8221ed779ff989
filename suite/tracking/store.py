"""Opening an MLflow store: where it is, how it is made once, and what stops us from reaching it."""

from __future__ import annotations

import gc
import glob
import logging
import math
import os
import socket
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from suite.problems import InputError, Problem
from suite.process import has_a_home
from suite.records.files import held
from suite.records.permissions import keep_shared
from suite.text.masking import masked
from suite.tracking.address import sqlite_file, sqlite_uri

#: A tracking server that does not answer must be noticed within seconds, not MLflow's four minutes.
PATIENCE_S: Final = 10
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE_S)}

#: Ports of databases that are servers, where an address has none: that of a SQL Server may be behind a name.
PORTS: Final[Mapping[str, int | None]] = {"postgresql": 5432, "mysql": 3306, "mssql": None}

#: Options of an address, and variables, that may name another place than the address itself.
ELSEWHERE: Final = frozenset(
    ("host", "hostaddr", "port", "service", "unix_socket", "read_default_file", "PGHOSTADDR", "PGPORT", "PGSERVICE")
)

#: Packages whose errors mean that the store, not we, has a problem.
FOREIGN = ("mlflow", "sqlalchemy", "sqlite3", "alembic", "requests", "urllib3")

#: What SQLite says of a file with a part that is lost, however MLflow wraps it.
DAMAGE = ("database disk image is malformed", "file is not a database")


class TrackingUnavailable(Exception):
    """The MLflow store cannot be reached or written now. Nothing is lost: push again later."""

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


def create_store(uri: str, experiment: str | None = None) -> str | None:
    """Make sure that the store exists, with its schema and the experiment.

    Any number of processes may call this at once on a fresh SQLite file.

    Parameters
    ----------
    uri : str
        Tracking address.
    experiment : str, optional
        Name of the experiment to create if it is missing.

    Returns
    -------
    str or None
        MLflow's id of the experiment.

    Raises
    ------
    TrackingUnavailable
        If the store cannot be reached or made.
    """
    with reachable(uri):
        client = open_client(uri)
        return None if experiment is None else _experiment(client, uri, experiment)


def check_home() -> None:
    """Notice a user without a home, for whom MLflow cannot be imported.

    Raises
    ------
    InputError
        If this user has none, neither by ``HOME`` nor in passwd.
    """
    if not has_a_home():
        message = "name a folder for data sets with it: MLflow needs a home folder, and this user has none"
        raise InputError([Problem("environment", "SUITE_DATA_DIR", message)])


def open_client(uri: str) -> Any:
    """Return an ``MlflowClient`` on the store; a SQLite file is made, with its schema, if it is missing."""
    check_home()
    _check_listens(uri)
    # MLflow would otherwise report its use over the network from a thread of its own.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # With a server, it would print two lines for every run that ends, amid what the suite prints.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    from mlflow import MlflowClient

    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with _one_at_a_time(uri):
        file = sqlite_file(uri)
        if file is not None and not (file.exists() and file.stat().st_size):  # emptied, it has lost its schema
            _create_file(file, uri)
        elif file is not None:
            _check_file(file)
        return MlflowClient(tracking_uri=uri)


def _create_file(file: Path, uri: str) -> None:
    """Make a SQLite store beside its place and move it there when it is whole.

    MLflow makes one by some dozens of migrations; a kill among them would leave a file that never opens again.
    """
    from mlflow import MlflowClient

    for leftover in file.parent.glob(f".{glob.escape(file.name)}.*.new*"):
        leftover.unlink()
    # MLflow keeps for the life of a process what it knows of an address: a second file needs one of its own
    new = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.new")
    MlflowClient(tracking_uri=sqlite_uri(new)).search_experiments(max_results=1)
    keep_shared(new)
    os.replace(new, file)
    # what MLflow may hold open is the file that was here before, removed by now
    MlflowClient(tracking_uri=uri)._tracking_client.store.engine.dispose()


def _check_listens(uri: str) -> None:
    """Notice at once a database that nobody can reach: MLflow would try for minutes.

    Raises
    ------
    OSError
        If nothing listens where its address says.
    ImportError
        If its driver is not installed.
    """
    if uri.partition(":")[0].partition("+")[0] not in PORTS:
        return
    from sqlalchemy import make_url

    address = make_url(uri)
    address.get_dialect().import_dbapi()
    port = address.port or PORTS[address.get_backend_name()]
    if address.host is None or "," in address.host or not ELSEWHERE.isdisjoint({*address.query, *os.environ}):
        return
    if address.host and port:
        socket.create_connection((address.host, port), PATIENCE_S).close()


def check_whole(uri: str) -> None:
    """Read a SQLite store from end to end: a page that was lost may be one that nobody asks for today.

    Raises
    ------
    TrackingUnavailable
        If a part of it is damaged.
    """
    file = sqlite_file(uri)
    if file is not None and file.exists():
        _check_file(file, whole=True)


def _check_file(file: Path, whole: bool = False) -> None:
    """Notice a damaged file at once: MLflow would try for minutes to read it.

    Raises
    ------
    TrackingUnavailable
        If it is no database; with `whole`, if any of its pages is none.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(os.fsencode(file))}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0]) if whole else "ok"
    except sqlite3.OperationalError:
        return  # locked, or not ours to read: MLflow's own words say so
    except sqlite3.DatabaseError as error:
        raise _damaged(file, str(error)) from error
    if found != "ok":
        raise _damaged(file, " ".join(found.split()))


def _damaged(file: Path, why: str) -> TrackingUnavailable:
    advice = "move it away, and python -m suite sync makes it anew from the records"
    return TrackingUnavailable(f"MLflow store {file} is damaged ({why[:100]}): {advice}")


@contextmanager
def reachable(uri: str) -> Iterator[None]:
    """Fail fast inside the block, and turn what stops us from reaching the store into one clear line.

    Raises
    ------
    TrackingUnavailable
        For every error of MLflow, its database, the network, or the file.
    """
    before = {name: os.environ.get(name) for name in PATIENCE}
    os.environ.update({name: value for name, value in PATIENCE.items() if before[name] is None})
    try:
        yield
    except ImportError as error:
        package = f"the Python package {error.name}" if error.name else str(error)
        raise TrackingUnavailable(f"MLflow store {uri} needs {package}, which is not installed here") from error
    except Exception as error:
        foreign = type(error).__module__.partition(".")[0] in FOREIGN
        if not foreign and not isinstance(error, OSError):
            raise
        file = sqlite_file(uri)
        if file is not None and (said := next((words for words in DAMAGE if words in str(error)), None)):
            raise _damaged(file, said) from error
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TrackingUnavailable(f"MLflow store {uri}: {first_line[:300]}") from error
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


@contextmanager
def without_collector() -> Iterator[None]:
    """Pause Python's cyclic garbage collector: loading thousands of runs through MLflow takes half the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _experiment(client: Any, uri: str, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        file = sqlite_file(uri)
        artifacts = None if file is None else str(file.resolve().parent / "mlflow-artifacts")
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:  # another process may have been faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise TrackingUnavailable(f"MLflow store {uri}: {deleted(name, found.experiment_id)}")
    return str(found.experiment_id)


def deleted(name: str, identity: str) -> str:
    """Return that an experiment is deleted, and what to do about it."""
    return (
        f"experiment {name!r} is deleted; restore it (mlflow experiments restore --experiment-id {identity}, with "
        "MLFLOW_TRACKING_URI set to the store) or take another name (experiment=NAME)"
    )


@contextmanager
def _one_at_a_time(uri: str) -> Iterator[None]:
    """Let one process at a time migrate a SQLite file: Alembic does not survive company on a fresh one."""
    file = sqlite_file(uri)
    if file is None:
        yield
        return
    if file.exists() and not os.access(file.parent, os.W_OK):
        yield  # a store that may only be read is complete
        return
    # MLflow would try for minutes to open a file that it may not create; this raises at once.
    with held(file.with_name(file.name + ".lock"), math.inf):
        yield
