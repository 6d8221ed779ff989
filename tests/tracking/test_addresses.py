"""Tracking addresses: any path, options, missing drivers, damaged files, and secrets that never show."""

import os
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from analysis.read.load import NothingToShow, experiment_in
from suite.cli.main import main
from suite.text.masking import masked
from suite.tracking import Mirror, TrackingUnavailable, create_store, default_uri, frame
from suite.tracking.address import sqlite_file, sqlite_uri
from suite.tracking.store import ELSEWHERE, reachable
from tests.conftest import Project
from tests.records_factory import write_run
from tests.tracking.stores import EXPERIMENT, client, mirror, only

STRANGE = [
    "pct%41x",
    "a%20b",
    "what?x=1",
    "hash#tag",
    "größe",
    'it\'s "quoted"',
    "a b",
    "x%j",
    os.fsdecode(b"r\xe9sum"),
]


@pytest.mark.parametrize("name", STRANGE)
def test_any_path_comes_back_from_its_address(tmp_path: Path, name: str) -> None:
    file = tmp_path / name / "mlflow.db"
    assert sqlite_file(sqlite_uri(file)) == file
    assert sqlite_file(sqlite_uri(file, "?timeout=30")) == file
    assert default_uri(tmp_path, sqlite_uri(file, "?timeout=30")) == sqlite_uri(file, "?timeout=30")


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:", "http://me@there/x", "postgresql://u:p@h/db"])
def test_other_addresses_have_no_file(uri: str) -> None:
    assert sqlite_file(uri) is None


@pytest.mark.parametrize("name", ["pct%41x", "what?x=1#y"])
def test_records_are_mirrored_into_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    key = write_run(out)
    mirror(out).push()
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != "cwd"] == [name]
    assert (out / "mlflow.db").stat().st_size > 0
    assert only(default_uri(out), key).info.status == "FINISHED"
    assert frame(default_uri(out), EXPERIMENT)["key"].tolist() == [key]


def test_options_of_the_driver_are_kept_from_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    key = write_run(tmp_path / "results")
    pusher = Mirror(tmp_path / "results", default_uri(Path("results"), "sqlite:///my.db?timeout=30"), EXPERIMENT)
    assert pusher.push().updated == 1
    assert only("sqlite:///my.db", key).info.status == "FINISHED"
    assert {file.name for file in tmp_path.iterdir() if "my.db" in file.name} == {"my.db", "my.db.lock"}


def test_a_missing_driver_is_named(out: Path) -> None:
    with pytest.raises(TrackingUnavailable, match=r"needs the Python package \w+, which is not installed") as raised:
        create_store("mysql+pymysql://me:S3cret-pass@127.0.0.1/db", EXPERIMENT)
    assert "S3cret-pass" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses for which MLflow is asked, which would try a database for minutes."""
    addresses: list[str] = []
    monkeypatch.setattr("mlflow.MlflowClient", lambda tracking_uri: addresses.append(tracking_uri))
    for name in ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    return addresses


def test_a_database_that_refuses_is_noticed_at_once(asked: list[str]) -> None:
    with pytest.raises(TrackingUnavailable, match=r"MLflow store postgresql.*: \[Errno \d+\] Connection refused"):
        create_store("postgresql+psycopg2://me@127.0.0.1:1/db")
    assert asked == []


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql+psycopg2://me@/db",
        "postgresql+psycopg2://me@/db?host=/var/run/postgresql",
        "postgresql+psycopg2://me@127.0.0.1:1/db?host=/var/run/postgresql",
        "postgresql+psycopg2://me@first,second/db",
        "http://127.0.0.1:1",
    ],
)
def test_other_addresses_are_left_to_mlflow(uri: str, asked: list[str]) -> None:
    create_store(uri)
    assert asked == [uri]


def test_a_database_that_listens_is_left_to_mlflow(asked: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"postgresql+psycopg2://me@127.0.0.1:{server.getsockname()[1]}/db"
        create_store(uri)
    assert asked == [uri]


@pytest.mark.parametrize("content", [b"\0" * 8192, b"SQLite format 3\0" + b"\xff" * 4096, b"garbage " * 512])
def test_a_damaged_store_is_noticed_at_once_and_can_be_made_anew(tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "results"
    key = write_run(out)
    (out / "mlflow.db").write_bytes(content)
    with pytest.raises(TrackingUnavailable, match=r"is damaged .*move it away, and python -m suite sync makes it anew"):
        mirror(out).push()
    (out / "mlflow.db").rename(tmp_path / "away.db")
    mirror(out).push()
    assert only(default_uri(out), key).info.status == "FINISHED"


def test_an_emptied_store_is_made_anew(tmp_path: Path) -> None:
    """A file system that was full or cut off leaves a file of no bytes, which SQLite takes for a database."""
    out = tmp_path / "results"
    key = write_run(out)
    (out / "mlflow.db").touch()
    mirror(out).push()
    assert only(default_uri(out), key).info.status == "FINISHED"


def test_a_lost_page_that_no_query_reads_is_found_by_sync(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_run(out)
    mirror(out).push()
    file = out / "mlflow.db"
    with closing(sqlite3.connect(file)) as store:
        (page,) = store.execute("SELECT rootpage FROM sqlite_master WHERE name = 'registered_models'").fetchone()
        (size,) = store.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as content:
        content.seek((page - 1) * size)
        content.write(b"\0" * size)
    assert not mirror(out).push().rejected
    assert main(["sync", "--out", str(out)]) == 1
    said = capfd.readouterr().err.splitlines()[-1]
    assert said.startswith(f"error: MLflow store {file} is damaged (")
    assert said.endswith("move it away, and python -m suite sync makes it anew from the records")


def test_damage_that_a_query_meets_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    with pytest.raises(TrackingUnavailable) as raised, reachable(f"sqlite:///{file}"):
        raise sqlite3.DatabaseError("database disk image is malformed")
    advice = "move it away, and python -m suite sync makes it anew from the records"
    assert str(raised.value) == f"MLflow store {file} is damaged (database disk image is malformed): {advice}"


def test_an_empty_store_is_filled(tmp_path: Path) -> None:
    key = write_run(tmp_path / "results")
    (tmp_path / "results" / "mlflow.db").touch()
    mirror(tmp_path / "results").push()
    assert only(default_uri(tmp_path / "results"), key).info.status == "FINISHED"


def test_tables_of_a_deleted_experiment_say_how_to_get_it_back(out: Path) -> None:
    write_run(out)
    mirror(out).push()
    identity = create_store(default_uri(out), EXPERIMENT)
    client(default_uri(out)).delete_experiment(identity)
    with pytest.raises(TrackingUnavailable, match="experiment=NAME"):
        mirror(out).push()
    for named in (None, EXPERIMENT):
        with pytest.raises(NothingToShow, match=f"restore --experiment-id {identity}.*experiment=NAME") as raised:
            experiment_in(default_uri(out), named)
        assert "sync" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://me:S3cret@host:5000/x", "http://me:***@host:5000/x"),
        ("postgresql+psycopg2://me:a/b@c@host/db", "postgresql+psycopg2://me:***@host/db"),
        ("at http://me:p@ss@host, and ftp://a:b@c", "at http://me:***@host, and ftp://a:***@c"),
        ("https://ghp_0123456789abcdefghij@host/x", "https://***@host/x"),
        ("postgresql://host/db?user=me&password=abc&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("postgresql://host/db?password=a%26b%3Bc&x=1", "postgresql://host/db?password=***&x=1"),
        ("mssql://?odbc_connect=UID%3Dme%3BPWD%3DS3%26cret", "mssql://?odbc_connect=UID%3Dme%3BPWD%3D***"),
        ("mssql://?odbc_connect=PWD%3DS3%253Bt%3BUID%3Dme&x=1", "mssql://?odbc_connect=PWD%3D***%3BUID%3Dme&x=1"),
        ("mssql://?odbc_connect=PWD%3D%7Ba%3Bb%7D%3BUID%3Dme", "mssql://?odbc_connect=PWD%3D***%3BUID%3Dme"),
        ("mssql://?odbc_connect=a;PWD={a;b&c};UID=me", "mssql://?odbc_connect=a;PWD=***;UID=me"),
        ("x://?a=UID%253Dme%253BPWD%253DS3%252Fcret%253BX", "x://?a=UID%253Dme%253BPWD%253D***%253BX"),
        ("http://host/?q=tokens%3D3&a%20token%3Bb", "http://host/?q=tokens%3D3&a%20token%3Bb"),
        ("http://127.0.0.1:5000/#/experiments", "http://127.0.0.1:5000/#/experiments"),
        ("sqlite:////tmp/a:b@c/mlflow.db", "sqlite:////tmp/a:b@c/mlflow.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
    ],
)
def test_secrets_are_masked_and_nothing_else(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_the_values_of_secret_variables_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-0123456789")
    assert masked("Bearer tok-0123456789 was refused") == "Bearer *** was refused"


@pytest.mark.parametrize("command", [["run", "--benchmarks", "nothing", "--losses", "infonce"], ["sync"], ["doctor"]])
def test_a_password_never_shows(project: Project, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "http://me:S3cret-pass@127.0.0.1:9"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(sys, "argv", ["suite", *command, "--tracking-uri", uri])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", *sys.argv])
    select = ["--launcher", "debug", "--seeds", "0", "--profile", "smoke"] if command[0] == "run" else []
    _, out, errors = project.suite(*command, *select, "--tracking-uri", uri)
    assert "me:***@127.0.0.1:9" in out + errors
    assert "S3cret-pass" not in out + errors
    assert not [name for name, content in project.tree().items() if b"S3cret-pass" in content]
