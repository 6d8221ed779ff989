"""``suite data`` as a user calls it: which data sets, what is said before a download, and when it is asked."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest

from suite.cli.setup import data as command
from suite.data import describe, load_catalogue
from tests.conftest import Project

SETS = ("small", "large", "spare")


@pytest.fixture
def with_sets(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A benchmark that reads `small`, one with the profile paper alone that reads `large`, and a set for none."""
    monkeypatch.setenv("SUITE_DATA_DIR", str(tmp_path / "cache"))
    for name in SETS:
        (project.folder / f"{name}.bin").write_bytes(name.encode() * 10)
    project.write("".join(describe([project.folder / f"{name}.bin"]) for name in SETS), "mine.yaml")
    project.edit("experiment: toy\n", "experiment: toy\ncatalogues: [mine.yaml]\n")
    project.edit("  blobs:\n", "  blobs:\n    data: [small]\n")
    text = (project.folder / "benchmarks.yaml").read_text()
    start = text.index("  blobs:\n")
    end = text.index("\nslices:", start) if "\nslices:" in text[start:] else len(text)
    paper = (
        "\n  published:\n    _target_: tests.toys.Blobs\n    data: [large]\n"
        "    metric: {name: accuracy, goal: maximise, margin: 0.01}\n    host_temperature: 0.5\n"
        "    profiles: {paper: {epochs: 2}}\n"
    )
    project.write(text[:end].rstrip() + paper + text[end:])
    return project


def listed(project: Project, *arguments: str) -> dict[str, dict[str, object]]:
    status, out, errors = project.suite("data", "list", "--json", *arguments)
    assert status == 0, errors
    return {one["dataset"]: one for one in json.loads(out)}


def test_which_data_sets_are_meant(with_sets: Project) -> None:
    assert {*SETS, "cora"} <= set(listed(with_sets))
    assert set(listed(with_sets, "spare", "small")) == {"spare", "small"}
    assert set(listed(with_sets, "--profile", "paper")) == {"large"}
    assert set(listed(with_sets, "--profile", "smoke")) == {"small"}
    assert set(listed(with_sets, "--benchmarks", "published")) == {"large"}
    assert set(listed(with_sets, "--benchmarks", "all")) == {"small", "large"}
    status, out, _ = with_sets.suite("data", "fetch", "--json")
    assert status == 0
    assert [one["dataset"] for one in json.loads(out)] == ["small"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("small", "--profile", "paper"), "name data sets, or benchmarks and a profile, not both"),
        (("smal",), "no such data set; did you mean 'small'?"),
        (("--benchmarks", "publishd"), "no benchmark or slice 'publishd'; did you mean 'published'?"),
        (("--profile", "papr"), "no such profile; did you mean 'paper'?"),
        (("--benchmarks", "published", "--profile", "smoke"), "no such profile"),
    ],
)
def test_what_is_not_there_is_refused(with_sets: Project, arguments: tuple[str, ...], message: str) -> None:
    status, _, errors = with_sets.suite("data", "fetch", *arguments)
    assert status == 2
    assert message in errors
    assert not (with_sets.folder / "cache").exists()


def test_sizes_and_licences_come_before_the_first_byte(with_sets: Project) -> None:
    status, out, _ = with_sets.suite("data", "fetch", "small", "large")
    assert status == 0
    lines = out.splitlines()
    first = next(index for index, line in enumerate(lines) if line.strip().startswith("data  "))
    said = "\n".join(lines[:first])
    assert "small: 50 bytes to download; say under which terms" in said
    assert "2 data sets, 100 bytes to download unless the mirror has them" in said
    again = with_sets.suite("data", "fetch", "small", "large")[1]
    assert "to download" not in again


class _Terminal:
    def __init__(self, stream: object) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "options", "fetched"), [("n", (), False), ("", (), False), ("Yes", (), True), (None, ("--yes",), True)]
)
def test_a_large_download_is_asked_about_at_a_terminal(
    with_sets: Project, monkeypatch: pytest.MonkeyPatch, answer: str | None, options: tuple[str, ...], fetched: bool
) -> None:
    import sys

    asked: list[str] = []

    def replied(question: str) -> str:
        asked.append(question)
        assert answer is not None
        return answer

    monkeypatch.setattr(command, "LARGE", 10)
    monkeypatch.setattr("builtins.input", replied)
    monkeypatch.setattr(sys, "stdin", _Terminal(sys.stdin))
    monkeypatch.setattr(sys, "stdout", _Terminal(sys.stdout))
    status = command.execute(
        argparse.Namespace(
            action="fetch", datasets=["small"], profile=None, benchmarks=[], mirror=None, offline=False,
            yes="--yes" in options, accept_changed=False, registry=None, json=False, overrides=[],
        )
    )  # fmt: skip
    assert asked == ([] if answer is None else ["Download up to 50 bytes? [y/N] "])
    assert status == (0 if fetched else 1)
    assert (with_sets.folder / "cache/small/small.bin").exists() == fetched


@pytest.mark.slow
@pytest.mark.parametrize("action", [("data", "list"), ("data", "verify"), ("doctor",)], ids=" ".join)
def test_damaged_checksums_are_an_error_and_no_traceback(with_sets: Project, action: tuple[str, ...]) -> None:
    mine = with_sets.folder / "mine.yaml"
    mine.write_text(re.sub("sha256: [0-9a-f]{64}", "sha256: recorded", mine.read_text(), count=1))
    (with_sets.folder / "cache").mkdir()
    (with_sets.folder / "cache/recorded.json").write_text("{")
    status, _, errors = with_sets.suite(*action)
    assert status == 1
    assert f"error: {with_sets.folder / 'cache/recorded.json'} is damaged" in errors
    assert "Put a copy of it back, or remove it" in errors


def test_a_file_is_described_as_a_catalogue_takes_it(project: Project) -> None:
    for folder in ("train", "test", "train/Größe 2"):
        (project.folder / folder).mkdir(parents=True)
        (project.folder / folder / "Messgröße 2.csv").write_text(folder)
    status, out, _ = project.suite("data", "describe", "train/Messgröße 2.csv", "train/Messgröße 2.csv")
    assert status == 0
    project.write(out, "mine.yaml")
    assert list(load_catalogue(project.folder / "mine.yaml")) == ["messgr_e_2"]
    status, out, errors = project.suite("data", "describe", "train/Messgröße 2.csv", "test/Messgröße 2.csv")
    assert (status, out) == (2, "")
    assert "Messgröße 2.csv: 2 files have this name" in errors
