"""Mirrors whose files are packed and named in their own way."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import hashlib
import lzma
import os
from pathlib import Path

import pytest

import suite.data
from suite.data import DataError, Dataset, Member, Package, Source, Store, mirrors
from suite.data.folders import sum_of
from tests.data.datasets_factory import CONTENTS, dataset, read, served, store, tar, wheel, write

UNPINNED = {name: Member(about=len(data)) for name, data in CONTENTS.items()}


def recorded_set(name: str = "tiny", *sources: Source) -> Dataset:
    return dataclasses.replace(dataset(*sources, name=name), members=UNPINNED)


def fetched(folder: Path, tiny: Dataset, mirror: str | Path) -> dict[str, bytes]:
    store(folder / "cache", tiny).fetch([tiny.name], mirror=mirror, offline=True)
    return read(folder / "cache" / tiny.name)


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("packing", ["plain", ".gz", ".bz2", ".xz", "tar.xz", "tgz", "zip"])
def test_a_mirror_may_pack_as_it_likes(tmp_path: Path, packing: str, pinned: bool) -> None:
    mirror = tmp_path / "mirror"
    deep = {f"some/where/{name}": data for name, data in CONTENTS.items()}
    compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    if packing in compress:
        write(mirror, {name + packing: compress[packing](data) for name, data in deep.items()})
    elif packing == "zip":
        wheel(mirror, deep).rename(mirror / "all.zip")
    elif packing == "plain":
        write(mirror, deep)
    else:
        mirror.mkdir()
        tar(mirror / f"all.{packing}", {f"./{name}": data for name, data in deep.items()}, f"w:{packing[-2:]}")
    assert fetched(tmp_path, dataset() if pinned else recorded_set(), mirror) == CONTENTS


@pytest.mark.parametrize("archived", [False, True])
def test_what_is_pinned_is_known_by_its_checksum_under_any_name(tmp_path: Path, archived: bool) -> None:
    renamed = {f"{index}.dat": data for index, data in enumerate(CONTENTS.values())}
    write(tmp_path / "mirror", {"a.bin": b"another file of this name"})
    if archived:
        tar(tmp_path / "mirror/all.tar", renamed, "w:")
    else:
        write(tmp_path / "mirror/some/where", renamed)
    assert fetched(tmp_path, dataset(), tmp_path / "mirror") == CONTENTS


def test_what_is_not_pinned_needs_a_name_that_one_file_has(tmp_path: Path) -> None:
    write(tmp_path / "mirror/bert", {"a.bin": b"of something else", "b.bin": b"of something else"})
    write(tmp_path / "mirror/copies/tiny", CONTENTS)
    assert fetched(tmp_path, recorded_set(), tmp_path / "mirror") == CONTENTS
    with pytest.raises(DataError, match=r"several files a\.bin: put the right one at other/a\.bin in it"):
        fetched(tmp_path, recorded_set("other"), tmp_path / "mirror")


def test_an_unpinned_file_beside_the_data_sets_of_a_mirror_may_be_of_anything(tmp_path: Path) -> None:
    """config.json in the root of a mirror is no package of the data set that happens to have one."""
    config = Source("url", "https://example.org/config.json", {"config.json": "."}, Package("config.json", about=9))
    bert = dataclasses.replace(dataset(config, name="bert"), members={"config.json": Member(about=9)})
    write(tmp_path / "mirror", {"config.json": b"not bert's", "other/config.json": b"nor this"})
    with pytest.raises(DataError, match="several files config"):
        fetched(tmp_path, bert, tmp_path / "mirror")
    write(tmp_path / "mirror", {"bert/config.json": b"bert's"})
    assert fetched(tmp_path, bert, tmp_path / "mirror") == {"config.json": b"bert's"}


def test_a_folder_is_found_in_an_archive_by_its_name(tmp_path: Path) -> None:
    pictures = {"train/a/1.jpg": b"one", "train/b/2.jpg": b"two", "test/a/1.jpg": b"three"}
    write(tmp_path / "here", pictures)
    sha256, size = sum_of(tmp_path / "here/train", Member(folder=True))
    members = {"train/": Member(sha256, size, folder=True), "test/": Member(about=9, folder=True)}
    images = dataclasses.replace(dataset(name="images"), members=members)
    (tmp_path / "mirror").mkdir()
    tar(tmp_path / "mirror/x.tar.xz", {f"./{name}": data for name, data in pictures.items()}, "w:xz")
    tar(tmp_path / "mirror/a.tar", {"train/a/1.jpg": b"of another data set"}, "w:")
    write(tmp_path / "mirror", {"pad": b""})
    store(tmp_path / "cache", images).fetch(["images"], mirror=tmp_path / "mirror", offline=True)
    assert (tmp_path / "cache/images/train/b/2.jpg").read_bytes() == b"two"
    assert (tmp_path / "cache/images/test/a/1.jpg").read_bytes() == b"three"


@pytest.mark.parametrize("compressed", [False, True])
def test_a_mirror_url_is_searched_by_its_list(tmp_path: Path, compressed: bool) -> None:
    ending = ".xz" if compressed else ""
    pack = lzma.compress if compressed else bytes
    contents = {f"deep/er/{name}{ending}": pack(data) for name, data in CONTENTS.items()}
    write(tmp_path / "mirror", contents)
    lines = [f"{hashlib.sha256(data).hexdigest()}  ./{name}\n" for name, data in contents.items()]
    stray = f"{'0' * 64}  ../../etc/a.bin\n"
    (tmp_path / "mirror/SHA256SUMS").write_text(stray + "no line of it\n" + "".join(lines))
    for name, tiny in (("pinned", dataset()), ("recorded", recorded_set())):
        with served(tmp_path / "mirror") as (url, _):
            assert fetched(tmp_path / name, tiny, url) == CONTENTS


def test_what_a_list_promises_is_checked(tmp_path: Path) -> None:
    write(tmp_path / "mirror/deep", {"a.bin": b"x" * len(CONTENTS["a.bin"])})
    digest = hashlib.sha256(CONTENTS["a.bin"]).hexdigest()
    (tmp_path / "mirror/SHA256SUMS").write_text(f"{digest}  deep/a.bin\n")
    with (
        served(tmp_path / "mirror") as (url, _),
        pytest.raises(DataError, match=r"corrupted: sha256 .*expected " + digest),
    ):
        fetched(tmp_path, recorded_set(), url)


def test_a_line_of_the_list_that_leads_nowhere_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path / "mirror", {"odd/b": CONTENTS["b.bin"]})
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENTS.items()}
    stale = f"{sums['a.bin']}  gone/a.bin\n"
    (tmp_path / "mirror/SHA256SUMS").write_text(f"{stale}{sums['b.bin']}  odd/b\n")
    with served(tmp_path / "mirror") as (url, _):
        with pytest.raises(DataError, match=r"lacks a\.bin\n.*: it holds no tiny/a\.bin, tiny/b\.bin, gone/a\.bin\n"):
            fetched(tmp_path, dataset(), url)
        assert read(tmp_path / "cache/tiny") == {"b.bin": CONTENTS["b.bin"]}
        write(tmp_path / "mirror", {"copy/a.bin": CONTENTS["a.bin"]})
        with (tmp_path / "mirror/SHA256SUMS").open("a") as file:
            file.write(f"{sums['a.bin']}  copy/a.bin\n")
        assert fetched(tmp_path, dataset(), url) == CONTENTS


def test_a_name_that_several_files_have_hides_no_other_member(tmp_path: Path) -> None:
    mixed = dataclasses.replace(dataset(), members={"a.bin": UNPINNED["a.bin"], "b.bin": dataset().members["b.bin"]})
    write(tmp_path / "mirror", {"one/a.bin": b"of something", "two/a.bin": b"of something else"})
    tar(tmp_path / "mirror/all.tar", CONTENTS, "w:")
    with pytest.raises(DataError, match=r"lacks a\.bin\n.*: it has several files a\.bin: put the right one at tiny/a"):
        fetched(tmp_path, mixed, tmp_path / "mirror")
    assert read(tmp_path / "cache/tiny") == {"b.bin": CONTENTS["b.bin"]}


def test_a_mirror_too_large_to_search_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "MOST_FILES", 3)
    write(tmp_path / "mirror/images", {f"{index}.jpg": b"x" for index in range(5)})
    with pytest.raises(DataError, match="has more than 3 files: name the folder in it that holds the data"):
        fetched(tmp_path, dataset(), tmp_path / "mirror")
    write(tmp_path / "mirror/tiny")
    assert fetched(tmp_path, dataset(), tmp_path / "mirror") == CONTENTS


def test_a_broken_archive_of_a_mirror_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path / "mirror", {"0.tar.xz": b"no archive", "0.zip": b"none either"})
    tar(tmp_path / "mirror/1.tar", CONTENTS, "w:")
    assert fetched(tmp_path, dataset(), tmp_path / "mirror") == CONTENTS


def real_mirror() -> Path:
    """The folder of real files that lies beside some checkouts, or that SUITE_DATA_MIRROR names."""
    found = os.environ.get("SUITE_DATA_MIRROR") or str(Path(__file__).parents[3] / "shared/data")
    if not (Path(found) / "sts.tar.xz").is_file():
        pytest.skip("there is no folder of real data beside this checkout")
    return Path(found)


@pytest.mark.parametrize(
    "name",
    [
        "citeseer",
        "proteins",
        "amazon_beauty",
        "amazon_toys",
        "amazon_sports",
        "sts12_16",
        "sick",
        "crows_pairs",
        "seat",
    ],
)
def test_repacked_copies_of_real_data_are_a_mirror(tmp_path: Path, name: str) -> None:
    whole = Store(suite.data.catalogue(), tmp_path)
    whole.fetch([name], mirror=real_mirror(), offline=True)
    assert whole.missing([name]) == []
