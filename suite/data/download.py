"""Downloads by HTTP that go on where they broke off, in this process or the next."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from suite.data.checks import mistake
from suite.data.dataset import Member
from suite.data.errors import AbsentError, SourceError, writing
from suite.records.files import read_json, write_json

if TYPE_CHECKING:
    from http.client import HTTPMessage

OnBytes = Callable[[int, int | None], None]
"""Told how many bytes there are, and how many there are to be, if that is known."""

TIMEOUT_S = 60.0
"""Seconds without a byte after which a connection counts as cut."""

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Before the tries that follow a cut; each byte that arrives gives them all back."""

LONGEST_WAIT_S = 30.0
"""However long a server asks to wait."""

_LATER = (408, 425, 429, 500, 502, 503, 504)
"""What a server answers that may answer better in a while."""


class _Cut(SourceError):
    """The connection broke, or the server is busy: it may be tried again, where the server says so after `wait` s."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass
class Download:
    """Gets one URL into a file, over several connections if need be.

    Parameters
    ----------
    url : str
    target : Path
        Made when the download is whole and, if that is pinned, right. Until then the bytes lie in ``<target>.part``,
        and what the server said of them in ``<target>.json``.
    expected : Member
        What the bytes must be.
    on_bytes : callable (int, int or None) -> None
    """

    url: str
    target: Path
    expected: Member
    on_bytes: OnBytes

    def run(self) -> None:
        """Download what is not there yet.

        Raises
        ------
        AbsentError
            If the server has no such file.
        SourceError
            If it does not deliver, or something else; where the connection broke, what has arrived is kept.
        DataError
            If the disk cannot be written.
        """
        resumed = self._part.exists()
        try:
            self._complete()
            problem = self._mistake()
            if problem and resumed:  # what lay there may have been of an older file
                self._discard()
                self._complete()
                problem = self._mistake()
        except _Cut as error:
            kept = self._size()
            raise SourceError(f"{error}; {kept} bytes are kept, and the next fetch goes on there") from error
        if problem:
            self._discard()
            raise SourceError(problem)
        with writing(self.target):
            self._part.replace(self.target)
        self._notes.unlink(missing_ok=True)

    @property
    def _part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def _notes(self) -> Path:
        return self.target.with_name(f"{self.target.name}.json")

    def _complete(self) -> None:
        tries = iter(PAUSES_S)
        while True:
            before = self._size()
            try:
                self._connect()
                return
            except _Cut as error:
                if self._size() > before:
                    tries = iter(PAUSES_S)
                pause = next(tries, None)
                if pause is None:
                    raise
                time.sleep(pause if error.wait is None else error.wait)

    def _connect(self) -> None:
        """Ask for what is missing, once."""
        # Costs 30 ms to import, and `plan` does not need it.
        import http.client
        import urllib.error
        import urllib.request

        start, headers = self._resume()
        request = urllib.request.Request(self.url, headers={"Accept-Encoding": "identity", **headers})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                self._judge(answer.geturl(), answer.headers)
                total = self._begin(start, answer.status, answer.headers)
                self._receive(answer, total)
        except urllib.error.HTTPError as error:
            if error.code == 416 and start:  # it has no more bytes than lie here: all, or another file
                if error.headers.get("Content-Range", "") != f"bytes */{start}":
                    self._discard()
                    raise _Cut(f"{self.url}: the file there has changed") from error
                return
            message = f"{self.url}: HTTP {error.code} {error.reason}"
            if error.code in (404, 410):
                raise AbsentError(message) from error
            if error.code in _LATER:
                wait = error.headers.get("Retry-After", "")
                raise _Cut(message, min(float(wait), LONGEST_WAIT_S) if wait.isdecimal() else None) from error
            raise SourceError(message) from error
        except urllib.error.URLError as error:
            raise SourceError(f"{self.url}: {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(f"{self.url}: the connection broke: {error!r}") from error
        except ValueError as error:
            raise SourceError(f"{self.url}: {error}") from error

    def _resume(self) -> tuple[int, dict[str, str]]:
        """Return where to go on, and how to ask for it; from the start where the file may be another by now."""
        start = self._size()
        notes = (read_json(self._notes) or {}) if start else {}
        validator = notes.get("etag") or notes.get("modified") if notes.get("url") == self.url else ""
        if not start or not (validator or self.expected.pinned):
            return 0, {}
        condition = {"If-Range": str(validator)} if validator else {}
        return start, {"Range": f"bytes={start}-", **condition}

    def _judge(self, url: str, headers: HTTPMessage) -> None:
        """Refuse what is no answer to the question."""
        coded = headers.get("Content-Encoding", "identity")
        if coded != "identity":
            raise SourceError(f"{url} answers in the encoding {coded}, which was not asked for")
        if self.expected.pinned:
            return
        if self.url.startswith("https:") and not url.startswith("https:"):
            raise SourceError(f"{self.url} leads to {url}, which is not encrypted, and no checksum is known")
        if headers.get_content_type() == "text/html" and not self.target.name.endswith((".html", ".htm")):
            raise SourceError(f"{url} answers with a web page, not with {self.target.name}: open it in a browser")

    def _begin(self, start: int, status: int, headers: HTTPMessage) -> int | None:
        """Make the part ready for the bytes that follow; returns how many there are to be in all, if that is known."""
        length = headers.get("Content-Length", "")
        offered = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        if status == 206:
            if offered is None or int(offered[1]) != start:
                self._discard()
                raise _Cut(f"{self.url}: the server answers with another part than was asked for")
        else:
            self._discard()
            start = 0
        total = start + int(length) if length.isdecimal() else None
        if total is None and "chunked" not in headers.get("Transfer-Encoding", "") and not self.expected.pinned:
            raise SourceError(f"{self.url}: the server says no length, so that nobody can tell whether it is whole")
        etag = headers.get("ETag", "")
        notes = {
            "url": self.url,
            "etag": "" if etag.startswith("W/") else etag,
            "modified": headers.get("Last-Modified", ""),
        }
        with writing(self._notes):
            write_json(self._notes, notes, durable=False)
        return total

    def _receive(self, stream: BinaryIO, total: int | None) -> None:
        done, limit = self._size(), self.expected.limit
        self.on_bytes(done, total)
        with writing(self._part):
            part = self._part.open("ab")
        with part:
            while done <= limit:
                chunk = stream.read(1 << 16)
                if not chunk:
                    break
                with writing(self._part):
                    part.write(chunk)
                    part.flush()
                done += len(chunk)
                self.on_bytes(done, total)
        total = self.expected.size if total is None else total
        if total is not None and done < total:
            raise _Cut(f"{self.url}: the connection broke after {done} of {total} bytes")

    def _mistake(self) -> str:
        """Say what is wrong with the whole file; empty if nothing is."""
        size = self._size()
        found = mistake(self.target.name, self.expected, size, None)
        if found or not self.expected.pinned:
            return found
        with self._part.open("rb") as stream:
            digest = hashlib.file_digest(stream, self.expected.hasher).hexdigest()
        return mistake(self.target.name, self.expected, size, digest)

    def _size(self) -> int:
        try:
            return self._part.stat().st_size
        except OSError:
            return 0

    def _discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)
