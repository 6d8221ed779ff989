"""An HTTP server with the faults that downloads meet."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Faults:
    """What a server does wrong, and what it was asked.

    Attributes
    ----------
    content : bytes
        What every path but those of `redirects` leads to.
    cut_after : list of int
        For the answers in turn: the bytes after which the connection breaks.
    statuses : list of int
        Sent in turn, before anything is delivered.
    redirects : dict of path to URL
    ranges : bool
        Whether it answers a part where one is asked for.
    etag : str
    changed : bytes or None
        What it has after its first answer.
    length : bool
        Whether it says how many bytes follow.
    kind : str
        The type that it calls them.
    asked : list of (path, range or None)
    """

    content: bytes
    cut_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    etag: str = '"one"'
    changed: bytes | None = None
    length: bool = True
    kind: str = "application/octet-stream"
    asked: list[tuple[str, str | None]] = field(default_factory=list)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: Faults

    def do_GET(self) -> None:
        faults, start = self.faults, 0
        wanted = self.headers.get("Range")
        faults.asked.append((self.path, wanted))
        self.close_connection = True
        if self.path in faults.redirects:
            self.send_response(302)
            self.send_header("Location", faults.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if faults.statuses:
            self.send_response(faults.statuses.pop(0))
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content, etag = faults.content, faults.etag
        if wanted and faults.ranges and self.headers.get("If-Range", etag) == etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if faults.length:
            self.send_header("Content-Length", str(len(content) - start))
        if etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Type", faults.kind)
        self.end_headers()
        end = faults.cut_after.pop(0) if faults.cut_after else len(content) - start
        self.wfile.write(content[start : start + end])
        if faults.changed is not None:
            faults.content, faults.etag, faults.changed = faults.changed, '"two"' if etag else "", None

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def faulty(faults: Faults) -> Iterator[str]:
    """Serve on the loopback; yields the URL."""
    handler = type("Handler", (_Handler,), {"faults": faults})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
