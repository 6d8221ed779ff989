from __future__ import annotations

import dataclasses
import gzip
import io
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from suite.data import DataError, Package, Progress, Source
from suite.data.unpack import chunks
from tests.data.datasets_factory import CONTENTS, dataset, read, served, small_disk, source, store, tar, wheel, write
from tests.waiting import PATIENCE_S

INSIDE = {"a.bin": "data/a.bin", "b.bin": "data/b.bin.gz"}
PACKED = {"data/a.bin": CONTENTS["a.bin"], "data/b.bin.gz": gzip.compress(CONTENTS["b.bin"])}


def archive(folder: Path) -> Source:
    """A package file that a local path leads to."""
    folder.mkdir(exist_ok=True)
    file = tar(folder / "tiny.tar.gz", PACKED)
    return source("url", str(file), file, INSIDE)


def leftovers(root: Path) -> list[str]:
    return [str(path) for path in (root / ".fetch").rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_fetch_from_a_mirror_folder(tmp_path: Path) -> None:
    write(tmp_path / "mirror/tiny")
    tiny = store(tmp_path / "cache", dataset())
    tiny.fetch(["tiny"], mirror=tmp_path / "mirror", offline=True)
    assert read(tmp_path / "cache/tiny") == CONTENTS
    assert tiny.missing(["tiny"]) == []
    assert leftovers(tmp_path / "cache") == []


def test_the_mirror_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mirror/tiny")
    monkeypatch.setenv("SUITE_DATA_MIRROR", str(tmp_path / "mirror"))
    store(tmp_path / "cache", dataset()).fetch(["tiny"])
    assert read(tmp_path / "cache/tiny") == CONTENTS


def test_fetch_from_a_mirror_url(tmp_path: Path) -> None:
    odd = {"with space & é.bin": b"x" * 10, "deep/er.bin": b"y" * 20}
    write(tmp_path / "mirror/tiny", odd)
    with served(tmp_path / "mirror") as (url, _):
        store(tmp_path / "cache", dataset(contents=odd)).fetch(["tiny"], mirror=url + "/")
    assert (tmp_path / "cache/tiny/with space & é.bin").read_bytes() == b"x" * 10
    assert (tmp_path / "cache/tiny/deep/er.bin").read_bytes() == b"y" * 20


@pytest.mark.parametrize("folder", ["mirror", "mirror/tiny"])
@pytest.mark.parametrize("by_url", [False, True])
def test_a_mirror_may_hold_the_package_file(tmp_path: Path, folder: str, by_url: bool) -> None:
    file = wheel(tmp_path / folder, PACKED)
    tiny = store(tmp_path / "cache", dataset(source("pip", "tinydata==1.0", file, INSIDE)))
    with served(tmp_path / "mirror") as (url, _):
        tiny.fetch(["tiny"], mirror=url if by_url else tmp_path / "mirror", offline=True)
    assert read(tmp_path / "cache/tiny") == CONTENTS


def test_what_a_mirror_lacks_or_has_wrong_comes_from_the_next_source(tmp_path: Path) -> None:
    write(tmp_path / "mirror/tiny", {"a.bin": CONTENTS["a.bin"][:-1] + b"!"})
    events: list[Progress] = []
    tiny = store(tmp_path / "cache", dataset(archive(tmp_path / "origin")))
    tiny.fetch(["tiny"], mirror=tmp_path / "mirror", on_progress=events.append)
    assert read(tmp_path / "cache/tiny") == CONTENTS
    (failed,) = [event for event in events if event.state == "failed"]
    assert failed.source == f"mirror {tmp_path / 'mirror'}"
    assert "a.bin is corrupted" in failed.message
    assert "holds no tiny/b.bin, tiny/tiny.tar.gz, tiny.tar.gz" in failed.message


def test_what_the_cache_has_is_not_fetched_again(tmp_path: Path) -> None:
    write(tmp_path / "mirror/tiny")
    write(tmp_path / "cache/tiny", {"a.bin": CONTENTS["a.bin"]})
    before = (tmp_path / "cache/tiny/a.bin").stat()
    tiny = store(tmp_path / "cache", dataset())
    with served(tmp_path / "mirror") as (url, asked):
        tiny.fetch(["tiny"], mirror=url)
        tiny.fetch(["tiny"], mirror=url)
    assert asked == ["/tiny/b.bin"]
    after = (tmp_path / "cache/tiny/a.bin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_complete_cache_is_not_written_to(tmp_path: Path) -> None:
    write(tmp_path / "cache/tiny")
    events: list[Progress] = []
    store(tmp_path / "cache", dataset()).fetch(["tiny"], on_progress=events.append)
    assert [(event.source, event.state) for event in events] == [("cache", "done")]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["tiny"]


@pytest.mark.parametrize("bad", [b"", b"short", CONTENTS["a.bin"][:-1] + b"!", CONTENTS["a.bin"] + b"!"])
def test_a_damaged_member_in_the_cache_is_replaced(tmp_path: Path, bad: bytes) -> None:
    write(tmp_path / "mirror/tiny")
    write(tmp_path / "cache/tiny", CONTENTS | {"a.bin": bad})
    store(tmp_path / "cache", dataset()).fetch(["tiny"], mirror=tmp_path / "mirror")
    assert read(tmp_path / "cache/tiny") == CONTENTS


def test_a_damaged_member_stays_where_nothing_better_comes(tmp_path: Path) -> None:
    write(tmp_path / "cache/tiny", CONTENTS | {"a.bin": b"mine"})
    with pytest.raises(DataError):
        store(tmp_path / "cache", dataset()).fetch(["tiny"])
    assert read(tmp_path / "cache/tiny")["a.bin"] == b"mine"


def test_progress_adds_up(tmp_path: Path) -> None:
    origin = archive(tmp_path / "origin")
    events: list[Progress] = []
    tiny = store(tmp_path / "cache", dataset(origin))
    tiny.fetch(["tiny"], on_progress=events.append)
    assert events[-1] == Progress("tiny", "cache", "done", tiny.dataset("tiny").size, tiny.dataset("tiny").size)
    last = {event.file: event for event in events[:-1]}
    assert set(last) == {"tiny.tar.gz", "a.bin", "b.bin"}
    assert all(event.bytes_done == event.bytes_total and event.source == str(origin) for event in last.values())
    assert [event.state for event in events[:2]] == ["downloading", "downloading"]


def flip(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_bytes(flip(file.read_bytes())), "tiny.tar.gz is corrupted: sha256"),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "tiny.tar.gz is truncated"),
        (lambda file: file.write_bytes(file.read_bytes() + b"x"), "tiny.tar.gz is corrupted: more bytes"),
        (lambda file: file.unlink(), "No such file"),
        (lambda file: (file.unlink(), file.mkdir()), "directory"),
    ],
)
def test_a_wrong_package_is_refused(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    origin = archive(tmp_path / "origin")
    damage(Path(origin.spec))
    with pytest.raises(DataError) as caught:
        store(tmp_path / "cache", dataset(origin)).fetch(["tiny"])
    assert message in str(caught.value)
    assert not (tmp_path / "cache/tiny").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (PACKED | {"data/a.bin": flip(CONTENTS["a.bin"])}, "a.bin is corrupted: sha256"),
        (PACKED | {"data/a.bin": CONTENTS["a.bin"][:-1]}, "a.bin is truncated"),
        (PACKED | {"data/b.bin.gz": gzip.compress(bytes(50_000_000))}, "b.bin is corrupted: more bytes"),
        (PACKED | {"data/b.bin.gz": PACKED["data/b.bin.gz"][:-20]}, "reading breaks off"),
        (PACKED | {"data/b.bin.gz": b"not gzip"}, "reading breaks off"),
        ({"data/b.bin.gz": PACKED["data/b.bin.gz"]}, "holds no data/a.bin"),
    ],
)
@pytest.mark.parametrize("build", ["tar", "wheel"])
def test_wrong_members_in_a_right_package_are_refused(
    tmp_path: Path, files: dict[str, bytes], message: str, build: str
) -> None:
    file = tar(tmp_path / "tiny.tar.gz", files) if build == "tar" else wheel(tmp_path, files)
    with pytest.raises(DataError) as caught:
        store(tmp_path / "cache", dataset(source("url", str(file), file, INSIDE))).fetch(["tiny"])
    assert message in str(caught.value)
    good = read(tmp_path / "cache/tiny")
    assert len(good) == 1
    assert good.items() < CONTENTS.items()


@pytest.mark.parametrize("ending", ["tar.gz", "whl", "zip", "tar"])
def test_a_file_that_is_no_archive_is_one_failed_source(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"tiny.{ending}"
    file.write_bytes(b"neither fish nor fowl" * 100)
    with pytest.raises(DataError, match=f"tiny.{ending} cannot be unpacked"):
        store(tmp_path / "cache", dataset(source("url", str(file), file, INSIDE))).fetch(["tiny"])


@pytest.mark.parametrize("evil", ["../../evil", "/tmp/evil-of-suite-tests", "data/../../../evil"])
@pytest.mark.parametrize("build", ["tar", "wheel"])
def test_paths_out_of_the_target_go_nowhere(tmp_path: Path, evil: str, build: str) -> None:
    files = {evil: b"evil", **PACKED}
    (tmp_path / "deep/er").mkdir(parents=True)
    root = tmp_path / "deep/er"
    file = tar(root / "tiny.tar.gz", files) if build == "tar" else wheel(root, files)
    store(root / "cache", dataset(source("url", str(file), file, INSIDE))).fetch(["tiny"])
    assert read(root / "cache/tiny") == CONTENTS
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]
    assert not Path("/tmp/evil-of-suite-tests").exists()


@pytest.mark.parametrize("target", ["/etc/hostname", "../../../secret", "b.bin.gz"])
def test_a_link_in_an_archive_is_not_followed(tmp_path: Path, target: str) -> None:
    file = tar(tmp_path / "tiny.tar", {"data/a.bin": target, "data/b.bin.gz": PACKED["data/b.bin.gz"]}, "w")
    with pytest.raises(DataError, match=r"data/a.bin is not a plain file in the archive"):
        store(tmp_path / "cache", dataset(source("url", str(file), file, INSIDE))).fetch(["tiny"])
    assert not (tmp_path / "cache/tiny/a.bin").exists()


def test_a_url_source_may_be_the_file_itself(tmp_path: Path) -> None:
    write(tmp_path / "served", {"plain.csv": b"1,2\n", "packed.csv.gz": gzip.compress(b"3,4\n")})
    with served(tmp_path / "served") as (url, _):
        sources = [
            source("url", f"{url}/{file}", tmp_path / "served" / file, {member: "."})
            for member, file in (("plain.csv", "plain.csv"), ("packed.csv", "packed.csv.gz"))
        ]
        tiny = dataset(*sources, contents={"plain.csv": b"1,2\n", "packed.csv": b"3,4\n"})
        store(tmp_path / "cache", tiny).fetch(["tiny"])
    assert read(tmp_path / "cache/tiny") == {"plain.csv": b"1,2\n", "packed.csv": b"3,4\n"}


def test_one_error_says_what_every_source_said_and_what_to_do(tmp_path: Path) -> None:
    absent = Source("url", str(tmp_path / "absent.zip"), INSIDE, Package("absent.zip", "0" * 64, 1))
    closed = dataclasses.replace(absent, spec="http://127.0.0.1:9/absent.zip")
    with pytest.raises(DataError) as caught:
        store(tmp_path / "cache", dataset(absent, closed)).fetch(["tiny"], mirror=tmp_path / "mirror")
    text = str(caught.value)
    assert text.startswith(f"tiny cannot be fetched: {tmp_path / 'cache/tiny'} lacks a.bin, b.bin\n")
    for part in (
        f"mirror {tmp_path / 'mirror'}: it holds no",
        f"url {tmp_path / 'absent.zip'}: ",
        "url http://127.0.0.1:9/absent.zip: ",
        "refused",
        "check the network",
        "--mirror or SUITE_DATA_MIRROR",
    ):
        assert part in text


def test_a_mirror_that_answers_with_errors_is_named(tmp_path: Path) -> None:
    with served(tmp_path) as (url, _), pytest.raises(DataError, match=r"it holds no tiny/a\.bin, tiny/b\.bin"):
        store(tmp_path / "cache", dataset()).fetch(["tiny"], mirror=url)
    with pytest.raises(DataError, match="unknown url type"):
        store(tmp_path / "cache", dataset()).fetch(["tiny"], mirror="gopher://example.org")


def test_offline_asks_no_network_but_a_local_path(tmp_path: Path) -> None:
    nowhere = [
        Source("pip", "tiny==1.0", INSIDE, Package("tiny-1.0-py3-none-any.whl", "0" * 64, 1)),
        Source("debian", "tiny=1.0", INSIDE, Package("tiny.deb", "0" * 64, 1)),
        Source("url", "http://127.0.0.1:9/x.zip", INSIDE, Package("x.zip", "0" * 64, 1)),
        Source("torchvision", "MNIST", INSIDE, None),
    ]
    with pytest.raises(DataError) as caught:
        store(tmp_path / "cache", dataset(*nowhere)).fetch(["tiny"], offline=True)
    assert str(caught.value).count("not tried, offline") == len(nowhere)
    assert "leave --offline out" in str(caught.value)
    store(tmp_path / "cache", dataset(*nowhere, archive(tmp_path / "here"))).fetch(["tiny"], offline=True)
    assert read(tmp_path / "cache/tiny") == CONTENTS


def test_data_without_sources_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no program may download it: see https://example\.org"):
        store(tmp_path, dataset()).fetch(["tiny"])


def test_one_data_set_that_fails_does_not_keep_the_others(tmp_path: Path) -> None:
    write(tmp_path / "mirror/good")
    both = store(tmp_path / "cache", dataset(name="bad", contents={"c.bin": b"nowhere"}), dataset(name="good"))
    with pytest.raises(DataError, match="bad cannot be fetched"):
        both.fetch(["bad", "good"], mirror=tmp_path / "mirror")
    assert both.missing(["bad", "good"]) == ["bad"]


CHILD = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    from tests.data.datasets_factory import dataset, source, store
    from suite.data import Package, Source
    dies_at, told = {dies_at}, 0
    def tell(event):
        global told
        told += 1
        if told == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
    store(Path({root!r}), dataset(*{sources!r})).fetch(["tiny"], mirror={mirror!r}, on_progress=tell)
""")


def child(root: Path, *sources: Source, mirror: str | None = None, dies_at: int = -1) -> list[str]:
    here = str(Path(__file__).parents[2])
    program = CHILD.format(here=here, dies_at=dies_at, root=str(root), sources=sources, mirror=mirror)
    return [sys.executable, "-c", program]


def test_killed_at_any_moment_the_next_fetch_goes_on(tmp_path: Path) -> None:
    origin = archive(tmp_path / "origin")
    events: list[Progress] = []
    store(tmp_path / "undisturbed", dataset(origin)).fetch(["tiny"], on_progress=events.append)
    for moment, event in enumerate(events, start=1):
        root = tmp_path / f"killed{moment}"
        dead = subprocess.run(child(root, origin, dies_at=moment), capture_output=True)
        assert dead.returncode == -signal.SIGKILL, dead.stderr
        assert all(
            read(root / "tiny")[name] == CONTENTS[name]
            for name in (os.listdir(root / "tiny") if (root / "tiny").exists() else [])
        )
        tiny = store(root, dataset(origin))
        if event.state != "downloading":
            # The package was down and verified: it is not asked for again.
            tiny = store(root, dataset(dataclasses.replace(origin, spec=str(tmp_path / "gone.tar.gz"))))
        tiny.fetch(["tiny"])
        assert read(root / "tiny") == CONTENTS
        assert event.state == "done" or leftovers(root) == []


def test_what_a_killed_fetch_left_goes_even_if_the_next_one_fails(tmp_path: Path) -> None:
    origin = archive(tmp_path / "origin")
    subprocess.run(child(tmp_path / "cache", origin, dies_at=2), capture_output=True)
    assert len(leftovers(tmp_path / "cache")) == 1
    with pytest.raises(DataError):
        store(tmp_path / "cache", dataset()).fetch(["tiny"])
    assert leftovers(tmp_path / "cache") == []


def test_a_stream_is_read_one_byte_too_far_at_most() -> None:
    endless = io.BufferedReader(gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(bytes(1_000_000)))))
    assert b"".join(chunks(endless, 10)) == bytes(11)
    assert b"".join(chunks(io.BytesIO(b"short"), 10)) == b"short"


def test_concurrent_fetches_download_once(tmp_path: Path) -> None:
    file = tar(tmp_path / "tiny.tar.gz", PACKED)
    with served(tmp_path, delay=0.3) as (url, asked):
        origin = source("url", f"{url}/tiny.tar.gz", file, INSIDE)
        command = child(tmp_path / "cache", origin)
        running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
        for process in running:
            _, error = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, error
    assert asked == ["/tiny.tar.gz"]
    assert read(tmp_path / "cache/tiny") == CONTENTS


@pytest.mark.parametrize("packaged", [False, True])
def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path: Path, packaged: bool) -> None:
    contents = {"a.bin": b"a" * 1000, "b.bin": os.urandom(300_000)}
    write(tmp_path / "mirror/tiny", contents)
    file = wheel(tmp_path / "links", contents)
    origin = source("url", str(file), file, {name: name for name in contents})
    sources, mirror = ((origin,), None) if packaged else ((), tmp_path / "mirror")
    with small_disk(tmp_path / "disk", "128k") as disk:
        write(disk / "tiny", {"a.bin": contents["a.bin"]})
        tiny = store(disk, dataset(*sources, contents=contents))
        with pytest.raises(DataError) as caught:
            tiny.fetch(["tiny"], mirror=mirror)
        assert str(caught.value).startswith("the disk is full: cannot write ")
        assert "SUITE_DATA_DIR" in str(caught.value)
        assert read(disk / "tiny") == {"a.bin": contents["a.bin"]}
        assert leftovers(disk) == []
        subprocess.run(["mount", "-o", "remount,size=2m", str(disk)], check=True)
        tiny.fetch(["tiny"], mirror=mirror)
        assert read(disk / "tiny") == contents


def test_a_read_only_cache_is_one_clear_error_unless_it_is_complete(tmp_path: Path) -> None:
    write(tmp_path / "mirror/tiny")
    with small_disk(tmp_path / "disk", "1m") as disk:
        write(disk / "tiny", {"a.bin": CONTENTS["a.bin"]})
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(DataError, match=r"cannot write .*: Read-only file system. .*SUITE_DATA_DIR"):
            store(disk, dataset()).fetch(["tiny"], mirror=tmp_path / "mirror")
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        write(disk / "tiny")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        store(disk, dataset()).fetch(["tiny"], mirror=tmp_path / "mirror")


def test_a_cache_that_cannot_be_a_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"cannot write .*SUITE_DATA_DIR"):
        store(tmp_path / "file/cache", dataset(archive(tmp_path / "origin"))).fetch(["tiny"])
