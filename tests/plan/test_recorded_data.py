"""Runs on data whose checksum nobody has published: it is no part of their key, and what they read is known still."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from suite.data import describe
from suite.records.specs import as_read, unpinned
from tests.conftest import Project

OLD, NEW = b"0123456789", b"9876543210"
SELECT = ("--benchmarks", "blobs", "--losses", "cosine", "--seeds", "0", "--profile", "smoke")


@pytest.fixture
def with_data(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The toy benchmark, reading a file that its catalogue does not pin."""
    monkeypatch.setenv("SUITE_DATA_DIR", str(tmp_path / "cache"))
    (project.folder / "points.bin").write_bytes(OLD)
    digest = hashlib.sha256(OLD).hexdigest()
    of_member, _, of_package = describe([project.folder / "points.bin"]).partition("sources:")
    assert digest in of_member and digest in of_package
    entry = of_member.replace(digest, "recorded") + "sources:" + of_package.replace(digest, "unknown")
    project.write(entry, "mine.yaml")
    project.edit("  blobs:\n", "  blobs:\n    data: [points]\n")
    project.edit("experiment: toy\n", "experiment: toy\ncatalogues: [mine.yaml]\n")
    return project


def planned(project: Project) -> dict[str, Any]:
    status, out, errors = project.suite("plan", "--json", *SELECT)
    assert status == 0, errors
    (run,) = (run for run in json.loads(out)["runs"] if run["benchmark"] == "blobs")
    return dict(run)


def test_the_key_stays_and_the_record_says_what_was_read(with_data: Project) -> None:
    before = planned(with_data)
    assert before["state"] == "missing"
    assert with_data.suite("run", *SELECT, "--quiet", "--launcher", "debug")[0] == 0
    after = planned(with_data)
    assert (after["key"], after["state"]) == (before["key"], "done")
    folder = with_data.folder / "results/runs" / after["key"]
    described = json.loads((folder / "run.json").read_text())
    digest = hashlib.sha256(OLD).hexdigest()
    assert described["config"]["data"] == {"points": {"points.bin": "recorded"}}
    assert described["provenance"]["data"] == {"points": {"points.bin": digest}}


def test_a_run_that_read_something_else_is_stale_and_cannot_be_verified(with_data: Project) -> None:
    assert with_data.suite("run", *SELECT, "--quiet", "--launcher", "debug")[0] == 0
    (with_data.folder / "points.bin").write_bytes(NEW)
    cached = with_data.folder / "cache/points/points.bin"
    cached.unlink()
    status, _, errors = with_data.suite("data", "fetch", "points")
    assert status == 1
    assert "--accept-changed" in errors and hashlib.sha256(NEW).hexdigest() in errors
    assert with_data.suite("data", "fetch", "points", "--accept-changed")[0] == 0
    assert cached.read_bytes() == NEW
    now = planned(with_data)
    assert (now["state"], now["reason"]) == ("stale", "changed since: data points/points.bin")
    status, out, _ = with_data.suite("verify", *SELECT)
    assert status == 1
    assert "OTHER DATA" in out and hashlib.sha256(OLD).hexdigest() in out
    assert with_data.suite("run", *SELECT, "--rerun", "stale", "--quiet", "--launcher", "debug")[0] == 0
    assert (planned(with_data)["key"], planned(with_data)["state"]) == (now["key"], "done")


def test_what_was_begun_on_something_else_begins_anew(with_data: Project) -> None:
    assert with_data.suite("run", *SELECT, "--quiet", "--launcher", "debug")[0] == 0
    folder = with_data.folder / "results/runs" / planned(with_data)["key"]
    (folder / "result.json").unlink()  # as if it had been stopped after its last checkpoint
    (folder / "checkpoint.pt").write_bytes(b"half trained")
    assert planned(with_data)["reason"] == "interrupted"
    (with_data.folder / "points.bin").write_bytes(NEW)
    (with_data.folder / "cache/points/points.bin").unlink()
    assert with_data.suite("data", "fetch", "points", "--accept-changed")[0] == 0
    reason = "interrupted; it begins anew, since this has changed: data points/points.bin"
    assert planned(with_data)["reason"] == reason
    assert with_data.suite("run", *SELECT, "--quiet", "--launcher", "debug")[0] == 0
    (before,) = (with_data.folder / "results" / "superseded").rglob("checkpoint.pt")
    assert before.read_bytes() == b"half trained"
    described = json.loads((folder / "run.json").read_text())
    assert described["provenance"]["data"] == {"points": {"points.bin": hashlib.sha256(NEW).hexdigest()}}


def test_what_is_logged_are_the_checksums_of_what_was_read() -> None:
    config = {"data": {"a": {"x": "recorded", "y": "1" * 64}, "b": {"z": "2" * 64}}, "seed": 0}
    assert unpinned(config) == ["a"]
    read = as_read(config, {"a": {"x": "3" * 64}})
    assert read == {"data": {"a": {"x": "3" * 64, "y": "1" * 64}, "b": {"z": "2" * 64}}, "seed": 0}
    assert as_read({"seed": 0}, {}) == {"seed": 0}
    assert config["data"]["a"]["x"] == "recorded"  # type: ignore[index]
