"""Checksums that nobody has published: recorded at the first fetch, and held from then on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from suite.data import DataError, Dataset, Member, Source, Store
from tests.data.datasets_factory import CONTENTS, dataset, read, source, store, tar, write

FOLDER = {"images/": Member(about=20_000, folder=True)}


def unpinned(*sources: Source, members: tuple[str, ...] = ("a.bin", "b.bin")) -> Dataset:
    found = dataset(*sources)
    about = {name: Member(about=len(CONTENTS[name])) for name in members}
    return dataclasses.replace(found, members={**found.members, **about})


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def local(folder: Path, contents: dict[str, bytes] = CONTENTS) -> Source:
    """A package at a local path of which no checksum is known."""
    folder.mkdir(exist_ok=True)
    file = tar(folder / "tiny.tar", contents, "w:")
    found = source("url", str(file), file, {name: name for name in CONTENTS})
    assert found.package is not None
    return dataclasses.replace(
        found, package=dataclasses.replace(found.package, sha256="", size=None, about=file.stat().st_size)
    )


def test_what_is_fetched_first_is_recorded_and_held(tmp_path: Path) -> None:
    tiny = store(tmp_path / "cache", unpinned(local(tmp_path / "origin"), members=("a.bin",)))
    assert tiny.missing(["tiny"]) == ["tiny"]
    assert tiny.recorded(["tiny"]) == {}
    tiny.fetch(["tiny"])
    assert read(tmp_path / "cache/tiny") == CONTENTS
    assert tiny.recorded(["tiny"]) == {"tiny": {"a.bin": sha256(CONTENTS["a.bin"])}}
    assert tiny.missing(["tiny"]) == []
    assert tiny.locate("tiny", "a.bin").read_bytes() == CONTENTS["a.bin"]
    (status,) = tiny.status()
    assert (status.state, status.sums) == ("complete", "1 pinned, 1 recorded")
    (tmp_path / "cache/tiny/a.bin").write_bytes(b"other")
    with pytest.raises(DataError, match=r"a\.bin is truncated"):
        tiny.locate("tiny", "a.bin")
    tiny.fetch(["tiny"])
    assert read(tmp_path / "cache/tiny") == CONTENTS


def test_a_key_has_the_word_recorded_before_and_after_the_first_fetch(tmp_path: Path) -> None:
    tiny = store(tmp_path / "cache", unpinned(local(tmp_path / "origin"), members=("a.bin",)))
    before = tiny.checksums(["tiny"])
    assert before == {"tiny": {"a.bin": "recorded", "b.bin": sha256(CONTENTS["b.bin"])}}
    tiny.fetch(["tiny"])
    assert tiny.checksums(["tiny"]) == before


def test_a_file_that_its_publisher_has_changed_is_refused_until_it_is_accepted(tmp_path: Path) -> None:
    tiny = store(tmp_path / "cache", unpinned(local(tmp_path / "origin")))
    tiny.fetch(["tiny"])
    (tmp_path / "cache/tiny/a.bin").unlink()
    changed = {**CONTENTS, "a.bin": CONTENTS["a.bin"][:-1] + b"!"}
    tiny = store(tmp_path / "cache", unpinned(local(tmp_path / "origin", changed)))
    with pytest.raises(DataError) as caught:
        tiny.fetch(["tiny"])
    for part in (
        "a.bin is corrupted",
        sha256(CONTENTS["a.bin"]),
        sha256(changed["a.bin"]),
        "from url",
        "--accept-changed",
        "mirror",
    ):
        assert part in str(caught.value)
    assert not (tmp_path / "cache/tiny/a.bin").exists()
    tiny.fetch(["tiny"], accept_changed=True)
    assert read(tmp_path / "cache/tiny") == changed
    assert tiny.recorded(["tiny"])["tiny"]["a.bin"] == sha256(changed["a.bin"])


def test_to_accept_changes_nothing_where_nothing_has_changed(tmp_path: Path) -> None:
    tiny = store(tmp_path / "cache", unpinned(local(tmp_path / "origin")))
    tiny.fetch(["tiny"])
    before = (tmp_path / "cache/recorded.json").read_bytes()
    tiny.fetch(["tiny"], accept_changed=True)
    assert (tmp_path / "cache/recorded.json").read_bytes() == before


def test_files_put_into_the_cache_by_hand_are_recorded_by_the_next_fetch(tmp_path: Path) -> None:
    tiny = store(tmp_path, unpinned())
    write(tmp_path / "tiny")
    with pytest.raises(DataError, match=r"a\.bin is unrecorded.*data fetch tiny"):
        tiny.locate("tiny", "a.bin")
    assert [finding.state for finding in tiny.verify(["tiny"])] == ["unrecorded", "unrecorded"]
    tiny.fetch(["tiny"], offline=True)
    assert tiny.recorded(["tiny"])["tiny"] == {name: sha256(data) for name, data in CONTENTS.items()}
    (status,) = tiny.status()
    assert (status.state, status.sums) == ("complete", "recorded")


def test_an_empty_file_is_nothing_to_record(tmp_path: Path) -> None:
    tiny = store(tmp_path / "cache", unpinned(local(tmp_path / "origin", {**CONTENTS, "a.bin": b""})))
    with pytest.raises(DataError, match=r"a\.bin has 0 bytes"):
        tiny.fetch(["tiny"])
    assert "a.bin" not in tiny.recorded(["tiny"])["tiny"]


def test_an_endless_stream_is_given_up(tmp_path: Path) -> None:
    tiny = store(tmp_path / "cache", unpinned(local(tmp_path / "origin", {**CONTENTS, "a.bin": bytes(30 << 20)})))
    with pytest.raises(DataError, match=r"a\.bin has \d+ bytes, expected about 10240"):
        tiny.fetch(["tiny"])


@pytest.mark.parametrize("damage", ["{", "[]", '{"tiny": {"a.bin": {}}}', '{"tiny": 3}'])
def test_a_damaged_record_is_an_error_not_a_clean_slate(tmp_path: Path, damage: str) -> None:
    tiny = store(tmp_path / "cache", unpinned(local(tmp_path / "origin")))
    tiny.fetch(["tiny"])
    (tmp_path / "cache/recorded.json").write_text(damage)
    for ask in (tiny.missing, tiny.fetch, tiny.recorded):
        with pytest.raises(DataError, match=r"recorded\.json is damaged"):
            ask(["tiny"])


def test_a_store_of_pinned_data_asks_for_no_record(tmp_path: Path) -> None:
    (tmp_path / "recorded.json").write_text("{")
    write(tmp_path / "tiny")
    assert store(tmp_path, dataset()).missing(["tiny"]) == []


def folder_of(root: Path, *sources: Source, member: Member = FOLDER["images/"]) -> Store:
    return store(root, dataclasses.replace(dataset(*sources), members={"images/": member}))


PICTURES = {"images/a/1.jpg": b"one", "images/a/2.jpg": b"two", "images/b/1.jpg": b"three", "images/.hidden": b"x"}


def test_a_folder_is_recorded_as_sha256sum_lists_it(tmp_path: Path) -> None:
    write(tmp_path / "mirror/tiny", PICTURES)
    tiny = folder_of(tmp_path / "cache")
    tiny.fetch(["tiny"], mirror=tmp_path / "mirror")
    lines = [f"{sha256(PICTURES[f'images/{name}'])}  {name}\n" for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg")]
    assert tiny.recorded(["tiny"]) == {"tiny": {"images/": sha256("".join(lines).encode())}}
    images = tiny.locate("tiny", "images/")
    assert sorted(path.name for path in images.rglob("*")) == ["1.jpg", "1.jpg", "2.jpg", "a", "b"]
    (images / "a/1.jpg").write_bytes(b"two")
    with pytest.raises(DataError, match="images is corrupted"):
        tiny.locate("tiny", "images/")
    tiny.fetch(["tiny"], mirror=tmp_path / "mirror")
    assert (images / "a/1.jpg").read_bytes() == b"one"


def test_a_folder_comes_out_of_an_archive_and_nothing_leaves_it(tmp_path: Path) -> None:
    inside = {"images/": "data/images/"}
    (tmp_path / "origin").mkdir()
    file = tar(tmp_path / "origin/tiny.tgz", {f"data/{name}": data for name, data in PICTURES.items()})
    tiny = folder_of(tmp_path / "cache", source("url", str(file), file, inside))
    tiny.fetch(["tiny"])
    assert (tiny.locate("tiny", "images/") / "b/1.jpg").read_bytes() == b"three"
    for bad in ("data/images/../../../stolen", "data/images/a\\b"):
        file = tar(tmp_path / "origin/bad.tgz", {"data/images/1.jpg": b"1", bad: b"2"})
        with pytest.raises(DataError, match="is no plain relative path"):
            folder_of(tmp_path / "bad", source("url", str(file), file, inside)).fetch(["tiny"])
        assert not (tmp_path / "bad/tiny").exists()
        assert not (tmp_path / "bad/recorded.json").exists()
    file = tar(tmp_path / "origin/bad.tgz", {"data/images/1.jpg": b"1", "data/images/2.jpg": "/etc/passwd"})
    with pytest.raises(DataError, match=r"2\.jpg is not a plain file in the archive"):
        folder_of(tmp_path / "bad", source("url", str(file), file, inside)).fetch(["tiny"])


def test_a_huge_folder_may_be_held_by_names_and_sizes(tmp_path: Path) -> None:
    """Somebody has linked ImageNet into the cache: it is recorded without being read, and lost images are noticed."""
    write(tmp_path / "elsewhere", {name.removeprefix("images/"): data for name, data in PICTURES.items()})
    (tmp_path / "cache/tiny").mkdir(parents=True)
    (tmp_path / "cache/tiny/images").symlink_to(tmp_path / "elsewhere")
    tiny = folder_of(tmp_path / "cache", member=Member(about=20_000, folder=True, by_name=True))
    tiny.fetch(["tiny"])
    (tmp_path / "elsewhere/a/1.jpg").write_bytes(b"owe")
    assert tiny.missing(["tiny"]) == []
    (tmp_path / "elsewhere/a/1.jpg").unlink()
    assert tiny.missing(["tiny"]) == ["tiny"]
    with pytest.raises(DataError, match="no program may download it"):
        tiny.fetch(["tiny"])
    assert (tmp_path / "elsewhere/a/2.jpg").is_file()


def test_the_record_says_where_from_and_when(tmp_path: Path) -> None:
    tiny = store(tmp_path / "cache", unpinned(local(tmp_path / "origin")))
    tiny.fetch(["tiny"])
    entry = json.loads((tmp_path / "cache/recorded.json").read_text())["tiny"]["a.bin"]
    assert entry["from"].startswith("url ")
    assert len(entry["on"]) == 10
    assert entry["size"] == len(CONTENTS["a.bin"])
