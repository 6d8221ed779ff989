from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

import suite.data
from suite.data import DataError
from tests.data.datasets_factory import CONTENTS, dataset, store, write


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "flipped":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif how == "truncated":
        path.write_bytes(data[:-1])
    elif how == "longer":
        path.write_bytes(data + b"x")
    elif how == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()


def test_cache_dir_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUITE_DATA_DIR", str(tmp_path / "there"))
    assert suite.data.cache_dir() == tmp_path / "there"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUITE_DATA_DIR", "relative")
    assert suite.data.cache_dir() == tmp_path / "relative"
    monkeypatch.setenv("SUITE_DATA_DIR", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert suite.data.cache_dir() == tmp_path / ".cache/contrastive-suite"


def test_locate_returns_the_verified_file(tmp_path: Path) -> None:
    write(tmp_path / "tiny")
    path = store(tmp_path, dataset()).locate("tiny", "a.bin")
    assert path == tmp_path / "tiny/a.bin"


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ("flipped", "corrupted"),
        ("truncated", "truncated"),
        ("emptied", "truncated"),
        ("longer", "corrupted"),
        ("folder", "corrupted"),
        ("missing", "missing"),
    ],
)
def test_damage_is_found_everywhere(tmp_path: Path, how: str, state: str) -> None:
    write(tmp_path / "tiny")
    tiny = store(tmp_path, dataset())
    assert tiny.missing(["tiny"]) == []
    tiny.locate("tiny", "a.bin")
    damage(tmp_path / "tiny/a.bin", how)
    with pytest.raises(DataError) as caught:
        tiny.locate("tiny", "a.bin")
    assert state in str(caught.value)
    assert str(tmp_path / "tiny/a.bin") in str(caught.value)
    assert "data fetch tiny" in str(caught.value)
    assert tiny.missing(["tiny"]) == ["tiny"]
    first, second = tiny.verify(["tiny"])
    assert (first.member, first.state, second.member, second.state) == ("a.bin", state, "b.bin", "ok")
    assert first.expected != first.actual
    assert second.expected == second.actual == hashlib.sha256(CONTENTS["b.bin"]).hexdigest()


def test_names_that_do_not_exist(tmp_path: Path) -> None:
    tiny = store(tmp_path, dataset())
    with pytest.raises(DataError, match=r"unknown data set 'tinny': did you mean 'tiny'\? valid: tiny"):
        tiny.locate("tinny", "a.bin")
    with pytest.raises(DataError, match=r"no member 'a.bim': did you mean 'a.bin'\? valid: a.bin, b.bin"):
        tiny.locate("tiny", "a.bim")
    for ask in (tiny.missing, tiny.verify, tiny.fetch, tiny.checksums):
        with pytest.raises(DataError, match="unknown data set"):
            ask(["other"])


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "tiny")
    tiny = store(tmp_path, dataset())
    reads = []
    digest = hashlib.file_digest

    def counted(*args: Any) -> Any:
        reads.append(args)
        return digest(*args)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    for _ in range(3):
        tiny.locate("tiny", "a.bin")
    assert len(reads) == 1
    os.utime(tmp_path / "tiny/a.bin", ns=(1, 1))
    tiny.locate("tiny", "a.bin")
    assert len(reads) == 2


def test_verify_reads_even_what_looks_unchanged(tmp_path: Path) -> None:
    write(tmp_path / "tiny")
    tiny = store(tmp_path, dataset())
    path = tiny.locate("tiny", "a.bin")
    before = path.stat()
    damage(path, "flipped")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [finding.state for finding in tiny.verify(["tiny"])] == ["corrupted", "ok"]
    with pytest.raises(DataError, match="corrupted"):
        tiny.locate("tiny", "a.bin")


def test_the_cache_may_move(tmp_path: Path) -> None:
    write(tmp_path / "old/tiny")
    store(tmp_path / "old", dataset()).locate("tiny", "a.bin")
    (tmp_path / "old").rename(tmp_path / "new")
    assert store(tmp_path / "new", dataset()).locate("tiny", "a.bin").is_file()
    with pytest.raises(DataError, match="missing"):
        store(tmp_path / "old", dataset()).locate("tiny", "a.bin")


def test_status_goes_by_presence_and_size(tmp_path: Path) -> None:
    tiny = store(tmp_path, dataset())
    assert [(one.state, one.present) for one in tiny.status()] == [("missing", ())]
    write(tmp_path / "tiny")
    assert [one.state for one in tiny.status()] == ["complete"]
    damage(tmp_path / "tiny/b.bin", "truncated")
    assert [(one.state, one.present) for one in tiny.status()] == [("partial", ("a.bin",))]


def test_the_module_acts_on_the_cache_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUITE_DATA_DIR", str(tmp_path))
    names = list(suite.data.catalogue())
    assert suite.data.missing(names) == names
    assert {one.state for one in suite.data.status()} == {"missing"}
    assert {finding.state for finding in suite.data.verify(names)} == {"missing"}
    with pytest.raises(DataError, match="is missing"):
        suite.data.locate("movielens_100k", "ml-100k.inter")
    with pytest.raises(DataError, match="offline"):
        suite.data.fetch(["movielens_100k"], offline=True)


@pytest.mark.data
def test_fetched_fashion_mnist_is_what_it_says() -> None:
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        images = suite.data.locate("fashion_mnist", f"{part}-images-idx3-ubyte").read_bytes()
        labels = suite.data.locate("fashion_mnist", f"{part}-labels-idx1-ubyte").read_bytes()
        header = [int.from_bytes(images[i : i + 4], "big") for i in range(0, 16, 4)]
        assert header == [2051, count, 28, 28]
        assert {labels[8:].count(label) for label in range(10)} == {count // 10}


@pytest.mark.data
def test_fetched_movielens_is_what_it_says() -> None:
    header, *rows = suite.data.locate("movielens_100k", "ml-100k.inter").read_text().splitlines()
    assert header.split("\t") == ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    assert len(rows) == 100_000
    assert len({row.split("\t")[0] for row in rows}) == 943
    assert len({row.split("\t")[1] for row in rows}) == 1_682
