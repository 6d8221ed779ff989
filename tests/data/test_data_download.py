"""Downloads from a server with faults: what arrives is whole and right, or an error that says what happened."""

from __future__ import annotations

import hashlib
import socket
import threading
from pathlib import Path

import pytest

from suite.data import DataError, Dataset, Member, Package, Source, download
from suite.data.download import Download
from suite.data.errors import AbsentError, SourceError
from tests.data.datasets_factory import dataset, read, store
from tests.data.faulty_server import Faults, faulty

CONTENT = hashlib.shake_256(b"download").digest(300_000)
PINNED = Member(hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
BY_MD5 = Member(md5=hashlib.md5(CONTENT).hexdigest(), about=len(CONTENT))
UNPINNED = Member(about=len(CONTENT))
EVERY = pytest.mark.parametrize("expected", [PINNED, BY_MD5, UNPINNED], ids=["sha256", "md5", "recorded"])


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSES_S", (0.0,) * 5)


def got(url: str, folder: Path, expected: Member = PINNED) -> bytes:
    target = folder / "file.bin"
    Download(f"{url}/file.bin", target, expected, lambda done, total: None).run()
    assert [path.name for path in folder.iterdir()] == ["file.bin"]
    return target.read_bytes()


@EVERY
def test_a_cut_connection_is_taken_up_where_it_broke(tmp_path: Path, expected: Member) -> None:
    faults = Faults(CONTENT, cut_after=[100_000, 50_000, 0, 0, 70_000])
    with faulty(faults) as url:
        assert got(url, tmp_path, expected) == CONTENT
    assert [asked for _, asked in faults.asked] == [
        None, "bytes=100000-", "bytes=150000-", "bytes=150000-", "bytes=150000-", "bytes=220000-"
    ]  # fmt: skip


@EVERY
def test_the_next_process_goes_on_with_what_has_arrived(tmp_path: Path, expected: Member) -> None:
    faults = Faults(CONTENT, cut_after=[200_000, *[0] * 6])
    with faulty(faults) as url:
        with pytest.raises(SourceError, match=r"broke after 200000 of 300000 bytes; 200000 bytes are kept"):
            got(url, tmp_path, expected)
        assert not (tmp_path / "file.bin").exists()
        assert got(url, tmp_path, expected) == CONTENT
    assert faults.asked[-1] == ("/file.bin", "bytes=200000-")


@EVERY
def test_a_server_without_ranges_starts_again(tmp_path: Path, expected: Member) -> None:
    with faulty(Faults(CONTENT, cut_after=[100_000], ranges=False)) as url:
        assert got(url, tmp_path, expected) == CONTENT


@pytest.mark.parametrize("etag", ['"one"', "", 'W/"one"'])
def test_a_file_that_changes_in_between_is_not_mixed_with_what_it_was(tmp_path: Path, etag: str) -> None:
    """Not by the validator, and where the server gives none, by starting again."""
    old = hashlib.shake_256(b"old").digest(300_000)
    with faulty(Faults(old, cut_after=[100_000], etag=etag, changed=CONTENT)) as url:
        assert got(url, tmp_path, UNPINNED) == CONTENT


def test_a_mixture_is_noticed_by_the_checksum_and_fetched_anew(tmp_path: Path) -> None:
    old = hashlib.shake_256(b"old").digest(300_000)
    with faulty(Faults(old, cut_after=[100_000, *[0] * 6], etag="")) as url, pytest.raises(SourceError):
        got(url, tmp_path)
    faults = Faults(CONTENT, etag="")
    with faulty(faults) as url:
        assert got(url, tmp_path) == CONTENT
    assert [asked for _, asked in faults.asked] == ["bytes=100000-", None]


def test_a_whole_part_needs_no_more_bytes(tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    faults = Faults(CONTENT)
    with faulty(faults) as url:
        assert got(url, tmp_path) == CONTENT
    assert faults.asked == [("/file.bin", "bytes=300000-")]


def test_a_part_longer_than_the_file_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    with faulty(Faults(CONTENT)) as url:
        assert got(url, tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("content", "expected", "message"),
    [
        (CONTENT[:-1] + b"!", PINNED, "file.bin is corrupted: sha256 "),
        (CONTENT[:-1] + b"!", BY_MD5, "file.bin is corrupted: md5:"),
        (CONTENT[:-1], PINNED, "file.bin is truncated: 299999 bytes, expected 300000"),
        (CONTENT + b"!", PINNED, "file.bin is corrupted: more bytes"),
        (b"", UNPINNED, "file.bin has 0 bytes, expected about 300000"),
    ],
)
def test_wrong_bytes_are_refused_and_not_kept(tmp_path: Path, content: bytes, expected: Member, message: str) -> None:
    with faulty(Faults(content)) as url, pytest.raises(SourceError, match=message):
        got(url, tmp_path, expected)
    assert list(tmp_path.iterdir()) == []


def test_what_is_busy_is_asked_again_and_what_is_gone_is_not(tmp_path: Path) -> None:
    faults = Faults(CONTENT, statuses=[503, 429, 500])
    with faulty(faults) as url:
        assert got(url, tmp_path) == CONTENT
    assert len(faults.asked) == 4
    for status, error in ((404, AbsentError), (410, AbsentError), (403, SourceError)):
        faults = Faults(CONTENT, statuses=[status])
        with faulty(faults) as url, pytest.raises(error, match=f"HTTP {status}"):
            got(url, tmp_path / "none")
        assert len(faults.asked) == 1
    faults = Faults(CONTENT, statuses=[503] * 99)
    with faulty(faults) as url, pytest.raises(SourceError, match="HTTP 503"):
        got(url, tmp_path / "none")
    assert len(faults.asked) == 6


def test_redirects_are_followed_with_what_was_asked(tmp_path: Path) -> None:
    faults = Faults(CONTENT, cut_after=[100_000], redirects={"/file.bin": "/elsewhere"})
    with faulty(faults) as url:
        assert got(url, tmp_path) == CONTENT
    assert faults.asked[-1] == ("/elsewhere", "bytes=100000-")
    faults = Faults(CONTENT, redirects={"/file.bin": "/file.bin"})
    with faulty(faults) as url, pytest.raises(SourceError, match="HTTP 302"):
        got(url, tmp_path / "loop")


def test_a_page_in_place_of_a_file_is_no_file_to_record(tmp_path: Path) -> None:
    page = Faults(b"<html>please log in</html>" * 1000, kind="text/html; charset=utf-8")
    with faulty(page) as url, pytest.raises(SourceError, match="answers with a web page, not with file"):
        got(url, tmp_path, UNPINNED)
    with faulty(Faults(CONTENT, kind="text/html")) as url:  # what is pinned may be called what it likes
        assert got(url, tmp_path) == CONTENT


def test_without_a_length_only_what_is_pinned_is_known_to_be_whole(tmp_path: Path) -> None:
    with faulty(Faults(CONTENT, cut_after=[100_000], length=False)) as url:
        assert got(url, tmp_path) == CONTENT
    with faulty(Faults(CONTENT, length=False)) as url, pytest.raises(SourceError, match="says no length"):
        got(url, tmp_path / "none", UNPINNED)


def test_a_server_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(download, "PAUSES_S", (0.0,))
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + CONTENT[:1000]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                held.append(connection)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(SourceError, match=r"the connection broke: TimeoutError.*bytes are kept"):
            got(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path)
        thread.join()
        for connection in held:
            connection.close()


def of_url(url: str, expected: Member) -> Dataset:
    package = Package("file.bin", expected.sha256, expected.size, expected.md5, expected.about)
    found = dataset(Source("url", f"{url}/file.bin", {"a.bin": "."}, package))
    return Dataset(**{**vars(found), "members": {"a.bin": expected}})


@EVERY
def test_a_fetch_that_broke_off_goes_on_with_the_next_command(tmp_path: Path, expected: Member) -> None:
    faults = Faults(CONTENT, cut_after=[200_000, *[0] * 6])
    with faulty(faults) as url:
        tiny = store(tmp_path, of_url(url, expected))
        with pytest.raises(DataError, match=r"200000 bytes are kept, and the next fetch goes on there"):
            tiny.fetch(["tiny"])
        tiny.fetch(["tiny"])
    assert read(tmp_path / "tiny") == {"a.bin": CONTENT}
    assert faults.asked[-1] == ("/file.bin", "bytes=200000-")
    assert [path.name for path in (tmp_path / ".fetch").iterdir() if path.suffix != ".lock"] == []
