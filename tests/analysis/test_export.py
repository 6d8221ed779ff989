"""What leaves a results folder: bundles, an archive, and the command for what is to be run."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from analysis.cli.main import main
from analysis.read.bundle import read
from suite.tracking import Mirror, default_uri
from tests.records_factory import write_run


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with runs of two benchmarks, one of them failed, and a sweep."""
    folder = tmp_path_factory.mktemp("results")
    for benchmark in ("image", "graph"):
        for seed in range(2):
            write_run(folder, benchmark, "infonce", seed, test=0.5 + seed / 10)
    write_run(folder, "image", "dystress", 0, state="failed")
    for value, score in (("0.1", 0.6), ("0.2", 0.7)):
        for benchmark, better in (("image", score), ("graph", -score)):
            write_run(folder, benchmark, f"infonce@temperature={value}", 10, purpose="selection", val=better)
    Mirror(folder, default_uri(folder), "first").push()
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_bundles_are_exported_from_and_to_where_it_is_said(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digests(out)
    assert main(["export", "--from", "mlflow", "--out", str(out), "--to", "whole"]) == 0
    assert "9 runs of" in capsys.readouterr().out and digests(out) == before
    whole = read(tmp_path / "whole" / "runs.parquet").runs
    assert {*whole["status"]} == {"FINISHED", "FAILED"}
    (tmp_path / "whole" / "runs.parquet").rename(tmp_path / "mine.parquet")
    assert main(["export", "--from", "mine.parquet", "--to", "again/and/again", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["files"]
    assert printed == ["again/and/again/runs.parquet", "again/and/again/manifest.json"]
    assert Path(printed[0]).read_bytes() == Path("mine.parquet").read_bytes()
    assert Path(printed[1]).read_bytes() == Path("whole/manifest.json").read_bytes()


def test_a_colleague_s_bundle_and_ones_own_runs_become_one_bundle(out: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "theirs", "image", "infonce", 7, test=0.9)
    Mirror(tmp_path / "theirs", default_uri(tmp_path / "theirs"), "first").push()
    assert main(["export", "--out", "theirs", "--to", "theirs/bundle"]) == 0
    assert main(["export", "--from", "mlflow", "theirs/bundle/runs.parquet", "--out", str(out), "--to", "both"]) == 0
    own, both = read_seeds(tmp_path / "theirs" / "bundle"), read_seeds(tmp_path / "both")
    assert own == [7] and both.count(7) == 1 and len(both) == 10


def test_a_profile_alone_is_exported_and_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "results"
    for seed, profile in enumerate(("mini", "paper", "paper")):
        write_run(folder, "image", "infonce", seed, test=0.5 + seed / 10, profile=profile)
    Mirror(folder, default_uri(folder), "first").push()
    assert main(["export", "--profile", "paper", "--to", "bundle"]) == 0
    assert "2 runs of" in capsys.readouterr().out and read_seeds(tmp_path / "bundle") == [1, 2]
    assert main(["publish", "--profile", "paper", "--to", "sent.zip"]) == 0
    zipfile.ZipFile("sent.zip").extractall()
    assert read_seeds(tmp_path / "sent") == [1, 2]
    assert main(["export", "--profile", "large", "--to", "none"]) != 0 and not (tmp_path / "none").exists()


def read_seeds(bundle: Path) -> list[int]:
    return list(pd.read_parquet(bundle / "runs.parquet", columns=["seed"])["seed"])


def test_an_archive_made_of_the_bundle_in_an_archive_is_the_same_byte_for_byte(out: Path, tmp_path: Path) -> None:
    assert main(["publish", "--out", str(out), "--to", "sent.zip"]) == 0
    zipfile.ZipFile("sent.zip").extractall("received")
    bundle = tmp_path / "received" / "sent" / "runs.parquet"
    assert "python -m analysis report --from runs.parquet --out again" in (bundle.parent / "README.md").read_text()
    assert {file.name for file in bundle.parent.iterdir()} >= {"report.html", "tables", "plots", "manifest.json"}
    assert main(["publish", "--from", str(bundle), "--to", "again/sent.zip"]) == 0
    assert Path("again/sent.zip").read_bytes() == Path("sent.zip").read_bytes()


def test_select_ends_with_one_line_that_runs_what_was_chosen(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["select", "--out", str(out)]) == 0
    *before, last = capsys.readouterr().out.splitlines()
    commands = last.removeprefix("next      ").split(" && ")
    run = "python -m suite run --benchmarks"
    assert set(commands) >= {
        f"{run} image --losses infonce@temperature=0.2 --profile mini",
        f"{run} graph --losses infonce@temperature=0.1 --profile mini",
    }
    assert len(set(commands)) == len(commands)
    assert [line for line in before if line.startswith("To be run")] == [f"To be run: {one}" for one in commands]
