"""Small data sets, package files and stand-ins for the network."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import shutil
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from suite.data import Dataset, Member, Package, Source, Store

CONTENTS = {"a.bin": bytes(range(256)) * 40, "b.bin": b"second member\n" * 500}


def dataset(
    *sources: Source, contents: Mapping[str, bytes] = CONTENTS, name: str = "tiny", origin: str = "https://example.org"
) -> Dataset:
    members = {file: Member(hashlib.sha256(data).hexdigest(), len(data)) for file, data in contents.items()}
    return Dataset(name, "Tiny", "CC0", origin, "Nobody 2020", members, sources)


def store(root: Path, *datasets: Dataset) -> Store:
    return Store({one.name: one for one in datasets}, root)


def source(kind: str, spec: str, file: Path, members: Mapping[str, str]) -> Source:
    data = file.read_bytes()
    return Source(kind, spec, members, Package(file.name, hashlib.sha256(data).hexdigest(), len(data)))


def write(folder: Path, contents: Mapping[str, bytes] = CONTENTS) -> Path:
    for file, data in contents.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def wheel(folder: Path, files: Mapping[str, bytes], name: str = "tinydata", tag: str = "py3-none-any") -> Path:
    """Build a wheel that pip accepts."""
    info = f"{name}-1.0.dist-info"
    every = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Python: <3\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in every.items()
    )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in {**every, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(path, data)
    return target


def tar(target: Path, entries: Mapping[str, bytes | str], mode: str = "w:gz") -> Path:
    """Build a tar; a text value is a symbolic link to it."""
    with tarfile.open(target, mode) as archive:  # type: ignore[call-overload]
        for path, data in entries.items():
            entry = tarfile.TarInfo(path)
            if isinstance(data, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, data
                archive.addfile(entry)
            else:
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return target


def debian(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Build a Debian package with Debian's own tool."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not on this machine")
    tree = folder / "tree"
    write(tree, files)
    (tree / "DEBIAN").mkdir()
    fields = "Package: tiny-data\nVersion: 1.0\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: t\n"
    (tree / "DEBIAN/control").write_text(fields)
    target = folder / "tiny-data_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, target], check=True, capture_output=True)
    return target


@contextmanager
def served(folder: Path, delay: float = 0.0) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder on the loopback; yields its URL and the paths that were asked for and there."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            if Path(self.translate_path(self.path)).is_file():
                asked.append(self.path)
                threading.Event().wait(delay)
            super().do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def small_disk(folder: Path, size: str, options: str = "") -> Iterator[Path]:
    """Mount a small file system at `folder`; skip the test where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a tmpfs cannot be mounted here: {error}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
