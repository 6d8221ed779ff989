"""Where data comes from: a mirror, the package clients, the publishers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from suite.data.dataset import Source
from suite.data.errors import AbsentError, SourceError

STALLED = 180.0
"""Seconds without a byte after which a download is given up."""

OnBytes = Callable[[int], None]


@contextmanager
def opened(place: str) -> Iterator[BinaryIO]:
    """Open a URL or a local path for reading.

    Raises
    ------
    AbsentError
        If it is not there.
    SourceError
        If it does not answer, then or later.
    """
    if "://" not in place:
        try:
            stream: BinaryIO = open(place, "rb")  # noqa: SIM115
        except (FileNotFoundError, NotADirectoryError) as error:
            raise AbsentError(f"{place}: {error.strerror}") from error
        except OSError as error:
            raise SourceError(f"{place}: {error.strerror}") from error
        with stream:
            yield stream
        return
    # Costs 30 ms to import, and `plan` does not need it.
    import http.client
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(place, timeout=60) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        kind = AbsentError if error.code in (404, 410) else SourceError
        raise kind(f"{place}: HTTP {error.code} {error.reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SourceError(f"{place}: {error}") from error


def place_in(mirror: str, *parts: str) -> str:
    """Return the URL or path of something in a mirror."""
    if "://" not in mirror:
        return str(Path(mirror).expanduser().joinpath(*parts))
    from urllib.parse import quote

    return "/".join([mirror.rstrip("/"), *map(quote, parts)])


def download(source: Source, folder: Path, on_bytes: OnBytes) -> None:
    """Run the client of a source (any but ``url``), so that its package file, or what it unpacks, lies in `folder`.

    Parameters
    ----------
    source : Source
    folder : Path
        Empty and ours alone.
    on_bytes : callable (bytes so far) -> None

    Raises
    ------
    SourceError
        With the client's own words.
    """
    _CLIENTS[source.kind](source, folder, on_bytes)


def _pip(source: Source, folder: Path, on_bytes: OnBytes) -> None:
    assert source.package is not None
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--disable-pip-version-check"]
    options += ["--no-input", "--progress-bar=off", *_tags(source.package.file)]
    _client([sys.executable, "-m", "pip", "download", *options, f"--dest={folder}", source.spec], folder, on_bytes)


def _tags(wheel: str) -> Iterator[str]:
    """Give pip's options for a wheel of one platform, which this interpreter need not run: we only read it."""
    python, abi, platforms = wheel.removesuffix(".whl").split("-")[-3:]
    if platforms != "any":
        yield f"--abi={abi}"
        yield from (f"--platform={platform}" for platform in platforms.split("."))
        if match := re.fullmatch(r"([a-z]{2})(\d+)", python):
            yield f"--implementation={match[1]}"
            yield f"--python-version={match[2]}"


def _debian(source: Source, folder: Path, on_bytes: OnBytes) -> None:
    private = folder / "apt"
    for name in ("state/lists/partial", "cache/archives/partial"):
        (private / name).mkdir(parents=True)
    settings = private / "apt.conf"
    # Hooks of the machine (desktop catalogues, cache cleaning) would act on the system's own state.
    hooks = ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")
    settings.write_text("".join(f"#clear APT::Update::{hook};\n" for hook in hooks), encoding="utf-8")
    options = [f"--config-file={settings}"]
    for option in (
        f"Dir::State={private / 'state'}",
        f"Dir::Cache={private / 'cache'}",
        "Dir::Cache::pkgcache=",
        "Dir::Cache::srcpkgcache=",
        "APT::Sandbox::User=root",
        # Otherwise a repository that does not answer is a warning, and the package merely unknown.
        "APT::Update::Error-Mode=any",
        "Acquire::Languages=none",
        "Acquire::Retries=2",
        "Acquire::http::Timeout=30",
        "Acquire::https::Timeout=30",
    ):
        options += ["-o", option]
    update_error = None
    try:
        _client(["apt-get", *options, "update"], folder, lambda _: None)
    except SourceError as error:
        # One dead third-party repository fails the update; the package may still be known.
        update_error = error
    try:
        _client(["apt-get", *options, "download", source.spec], folder, on_bytes)
    except SourceError as error:
        raise SourceError(f"{error}; before it: {update_error}") if update_error else error from None


def _npm(source: Source, folder: Path, on_bytes: OnBytes) -> None:
    options = [f"--cache={folder / 'cache'}", "--ignore-scripts", "--loglevel=error", "--logs-max=0"]
    _client(["npm", "pack", *options, "--no-update-notifier", source.spec], folder, on_bytes)


def _torchvision(source: Source, folder: Path, on_bytes: OnBytes) -> None:
    # A process of its own keeps torch, and the progress bar that torchvision prints, out of this one.
    program = "import sys; from torchvision import datasets; getattr(datasets, sys.argv[1])(sys.argv[2], download=True)"
    _client([sys.executable, "-c", program, source.spec, str(folder)], folder, on_bytes)


_CLIENTS: Mapping[str, Callable[[Source, Path, OnBytes], None]] = {
    "pip": _pip,
    "debian": _debian,
    "npm": _npm,
    "torchvision": _torchvision,
}


def _client(command: Sequence[str], folder: Path, on_bytes: OnBytes) -> None:
    """Run a client in `folder`, watching the bytes that arrive there."""
    log = folder / "client.log"
    environment = os.environ | {"LC_ALL": "C", "TMPDIR": str(folder)}
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise SourceError(f"{command[0]} cannot be run: {error.strerror}") from error
    try:
        _watch(process, folder, on_bytes)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        raise SourceError(
            _complaint(log.read_text(errors="replace", encoding="utf-8")) or f"exit status {process.returncode}"
        )


def _watch(process: subprocess.Popen[bytes], folder: Path, on_bytes: OnBytes) -> None:
    before = size = _size(folder)
    changed = time.monotonic()
    while True:
        try:
            process.wait(0.2)
            return
        except subprocess.TimeoutExpired:
            now = _size(folder)
        if now != size:
            size, changed = now, time.monotonic()
            on_bytes(max(0, size - before))
        elif time.monotonic() - changed > STALLED:
            raise SourceError(f"nothing arrived for {STALLED:.0f} s")


def _size(folder: Path) -> int:
    total = 0
    # Clients rename and delete what they have under way, folders too: os.walk leaves out what has gone, rglob raises.
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def _complaint(log: str) -> str:
    """Return the lines of a client's output that say what went wrong."""
    lines = [line.strip()[:300] for line in log.splitlines() if line.strip()]
    telling = re.compile(r"(ERROR|E):|WARNING: Retrying|npm error code|\w*Error\b")
    errors = [index for index, line in enumerate(lines) if telling.match(line)]
    last = errors[-1] if errors else max(0, len(lines) - 3)
    return "; ".join([lines[index] for index in errors[-3:-1]] + lines[last : last + 3])
