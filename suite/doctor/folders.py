"""Whether a folder will do for results or data: room, permissions, locks, renames, kind of file system."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from suite.doctor.findings import Finding, State
from suite.records.files import atomic_write, held, is_held
from suite.text.sizes import shown_bytes

LEAST_FREE = 2**30
LEAST_FILES = 10_000
REPLACEMENTS = 200
ELSEWHERE = "use another folder: --out DIR for results, SUITE_DATA_DIR for data"
#: File systems without locks or atomic renames, on which no two workers may meet.
OBJECT_STORES = ("fuse.s3fs", "fuse.goofys", "fuse.gcsfuse", "fuse.rclone", "fuse.mount-s3", "fuse.blobfuse")
IN_MEMORY = ("tmpfs", "ramfs")
#: Mount options with which locks are seen on one machine alone, by kind of file system.
LOCAL_LOCKS = {
    "nfs": ("nolock", "local_lock=all", "local_lock=flock"),
    "nfs4": ("nolock", "local_lock=all", "local_lock=flock"),
    "lustre": ("localflock", "noflock"),
    "cifs": ("nobrl",),
    "smb3": ("nobrl",),
    "fuse.sshfs": ("",),
}


@dataclass(frozen=True)
class Space:
    """What is left on a file system: bytes, and files (None where it does not count them)."""

    free: int
    files: int | None


@dataclass(frozen=True)
class Mount:
    """A mounted file system."""

    point: str
    kind: str
    options: tuple[str, ...]


def findings(name: str, folder: Path, is_shared: bool) -> Iterator[Finding]:
    """Yield what a folder is good for; what is written to try it is removed.

    Parameters
    ----------
    name : str
        ``results folder`` or ``data cache``.
    folder : Path
        It need not exist: then the folder that it would be made in is tried.
    is_shared : bool
        Whether other machines have to see it.
    """
    place = nearest(folder)
    yield _room(name, folder, space(place))
    yield from _mounted(name, folder, is_shared)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as scratch:
            yield from _tried(name, folder, Path(scratch))
    except OSError as error:
        what = f"{name} {folder} cannot be written: {error.strerror or error}"
        yield Finding("disk", "problem", what, f"give yourself the right to write in {place}, or {ELSEWHERE}")


def nearest(folder: Path) -> Path:
    """Return the folder, or what is nearest above it and exists."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.exists(place))


def space(folder: Path) -> Space:
    """Return what is left for this user where a folder lies."""
    stat = os.statvfs(folder)
    return Space(stat.f_bavail * stat.f_frsize, stat.f_favail if stat.f_files else None)


def mount(folder: Path) -> Mount | None:
    """Return the file system that a folder lies on, None where the system does not tell."""
    with contextlib.suppress(OSError):
        real = nearest(folder).resolve()
        lines = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
        mounts = [Mount(_unescaped(point), kind, tuple(options.split(","))) for _, point, kind, options, *_ in lines]
        over = [one for one in mounts if real.is_relative_to(one.point)]
        # of two on one point, the later one hides the earlier
        return max(enumerate(over), key=lambda pair: (len(pair[1].point), pair[0]))[1] if over else None
    return None


def locks_fault(folder: Path) -> str | None:
    """Return what is wrong with flock in a folder that may be written, None if nothing is."""
    file = folder / "lock"
    try:
        with held(file) as ours:
            if not ours:
                return "a lock is refused though no process holds it"
            if not is_held(file):
                return "a lock is granted twice"
        return "a lock is still held after it was given back" if is_held(file) else None
    except OSError as error:
        return f"locks are refused: {error.strerror or error}"


def _room(name: str, folder: Path, left: Space) -> Finding:
    files = "" if left.files is None else f" and {left.files} files"
    what = f"{name} {folder}: room for {shown_bytes(left.free)}{files}"
    state: State = "ok"
    if left.free < LEAST_FREE or (left.files is not None and left.files < LEAST_FILES):
        state = "problem" if left.free < LEAST_FREE / 20 or left.files == 0 else "warning"
    return Finding("disk", state, what, "" if state == "ok" else f"make room (python -m suite clean), or {ELSEWHERE}")


def _mounted(name: str, folder: Path, is_shared: bool) -> Iterator[Finding]:
    found = mount(folder)
    if found is None:
        return
    what = f"{name} {folder} lies on {found.kind} ({found.point})"
    blind = [option for option in LOCAL_LOCKS.get(found.kind, ()) if not option or option in found.options]
    if found.kind in OBJECT_STORES:
        yield Finding("disk", "problem", f"{what}, which has no locks: runs would be executed twice", ELSEWHERE)
    elif blind:
        how = f", mounted with {blind[0]}" if blind[0] else ""
        state: State = "problem" if is_shared and name == "results folder" else "warning"
        advice = f"ask for a mount with locks that all machines share, or {ELSEWHERE}"
        yield Finding("disk", state, f"{what}{how}: locks are seen on this machine alone", advice)
    elif found.kind in IN_MEMORY:
        seen = ", and no other machine sees it" if is_shared else ""
        yield Finding("disk", "warning", f"{what}: it is gone with the next restart{seen}", ELSEWHERE)
    else:
        yield Finding("disk", "ok", what)


def _tried(name: str, folder: Path, scratch: Path) -> Iterator[Finding]:
    fault = locks_fault(scratch)
    if fault:
        what = f"{name} {folder}: {fault}; without locks a run may be executed twice"
        yield Finding("disk", "problem", what, f"mount it with locks (NFS: lockd; Lustre: -o flock), or {ELSEWHERE}")
    torn = _torn_reads(scratch)
    if torn:
        what = f"{name} {folder}: while a file was replaced, {torn} readers found it missing or incomplete"
        yield Finding("disk", "problem", what, ELSEWHERE)
    if not fault and not torn:
        yield Finding("disk", "ok", f"{name} {folder}: it can be written, locks hold, files are replaced in one step")


def _torn_reads(scratch: Path) -> int:
    """Replace a file over and over beside a reader; return how often the reader found neither version."""
    file, versions = scratch / "replaced", (b"a" * 4096, b"b" * 4096)
    atomic_write(file, lambda out: out.write(versions[0]))
    torn, done = 0, threading.Event()

    def read() -> None:
        nonlocal torn
        while not done.is_set():
            try:
                torn += file.read_bytes() not in versions
            except OSError:
                torn += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(REPLACEMENTS):
            atomic_write(file, lambda out, content=versions[number % 2]: out.write(content), durable=False)  # type: ignore[misc]
    finally:
        done.set()
        reader.join()
    return torn


def _unescaped(text: str) -> str:
    return text.encode().decode("unicode_escape")
