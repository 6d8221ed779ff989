"""What goes wrong. A fault strikes a campaign once, and says what it hit, or None if there was nothing to hit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from tests.storm.campaign import Campaign
from tests.storm.tracking import Server

Draw = np.random.Generator
Fault = Callable[[Campaign, Draw], str | None]

DAMAGED = ("runs/*/checkpoint.pt", "runs/*/checkpoint.previous.pt", "runs/*/run.json", "runs/*/events.jsonl",
           "runs/*/result.json", "runs/*/failure.json", "launches/*/launch.json", "launches/*/workers/*.json",
           "mlflow.db")  # fmt: skip


def _signal(number: signal.Signals, whose: str) -> Fault:
    def strike(campaign: Campaign, draw: Draw) -> str | None:
        if whose == "launcher":
            victims = [psutil.Process(campaign.launcher.pid)] if campaign.launcher and campaign.is_attached() else []
        else:
            victims = campaign.workers()
        if not victims:
            return None
        victim = victims[draw.integers(len(victims))]
        try:
            victim.send_signal(number)
            if number == signal.SIGSTOP:
                time.sleep(draw.uniform(0.2, 2.0))
                victim.send_signal(signal.SIGCONT)
        except psutil.Error:
            return None
        return f"{whose} {victim.pid}"

    return strike


def _damage(how: str) -> Fault:
    """A node is lost, and with it a part of one of the files that were written last."""

    def strike(campaign: Campaign, draw: Draw) -> str | None:
        found = sorted({pattern for pattern in DAMAGED if any(campaign.results.glob(pattern))})
        if not found:
            return None
        pattern = found[draw.integers(len(found))]
        campaign.lose_the_node()
        files = sorted(campaign.results.glob(pattern))
        if not files:
            return None
        file = files[draw.integers(len(files))]
        size = file.stat().st_size
        kept = int(draw.integers(size)) if size else 0
        with file.open("r+b") as content:
            content.truncate(0 if how == "emptied" else kept)
            if how == "zero-filled":
                content.truncate(size)  # the file system had given it its length, and not yet its content
        place = file.relative_to(campaign.results)
        return f"{place.parts[-1]} of {place.parts[1][:12] if len(place.parts) > 1 else 'results'}, {kept} of {size} B"

    return strike


def lost_node(campaign: Campaign, draw: Draw) -> str | None:
    """Everything is killed at once."""
    if not campaign.processes():
        return None
    campaign.lose_the_node()
    return "all processes"


def removed_store(campaign: Campaign, draw: Draw) -> str | None:
    """MLflow's file is deleted, between two commands."""
    if not (campaign.results / "mlflow.db").exists():
        return None
    campaign.lose_the_node()
    for path in campaign.results.glob("mlflow.db*"):
        path.unlink()
    return "mlflow.db"


def full_disk(campaign: Campaign, draw: Draw) -> str | None:
    """No byte is left on the file system of the results, for a while."""
    if os.statvfs(campaign.folder).f_blocks * os.statvfs(campaign.folder).f_frsize > 1 << 30:
        return None  # this is not a file system of the storm's own
    filler = campaign.folder.parent / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"\0" * (1 << 16)):
            pass
    time.sleep(draw.uniform(0.3, 2.0))
    filler.unlink()
    return "for a while"


@contextmanager
def immutable(folder: Path) -> Iterator[bool]:
    """Have the kernel refuse new files in a folder, to root, too; yields False where it cannot."""
    done = subprocess.run(["chattr", "+i", folder], capture_output=True).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["chattr", "-i", folder], check=True, capture_output=True)


def read_only_folder(campaign: Campaign, draw: Draw) -> str | None:
    """A folder cannot be written, for a while."""
    folders = sorted(path for path in (campaign.results, *campaign.results.glob("*/*")) if path.is_dir())
    if not folders:
        return None
    folder = folders[draw.integers(len(folders))]
    with immutable(folder) as done:
        time.sleep(draw.uniform(0.3, 2.0))
    return str(folder.relative_to(campaign.folder))[:40] if done else None


def jumped_clock(campaign: Campaign, draw: Draw) -> str | None:
    """The next launcher and its workers have another time: days behind, hours ahead."""
    campaign.lose_the_node()
    campaign.offset = str(draw.choice(["-3d", "-10m", "+10m", "+1d"]))
    return campaign.offset


def lost_server(campaign: Campaign, draw: Draw) -> str | None:
    """The tracking server is killed, and comes back."""
    if not isinstance(campaign.tracking, Server):
        return None
    campaign.tracking.server.stop()
    time.sleep(draw.uniform(0.2, 2.0))
    campaign.tracking.server.start()
    return "killed and started"


#: By the name in the table.
EVERYWHERE: dict[str, Fault] = {
    "kill -9 of a worker": _signal(signal.SIGKILL, "worker"),
    "kill -9 of the launcher": _signal(signal.SIGKILL, "launcher"),
    "TERM to a worker": _signal(signal.SIGTERM, "worker"),
    "TERM to the launcher": _signal(signal.SIGTERM, "launcher"),
    "INT to a worker": _signal(signal.SIGINT, "worker"),
    "INT to the launcher": _signal(signal.SIGINT, "launcher"),
    "STOP and CONT of a worker": _signal(signal.SIGSTOP, "worker"),
    "STOP and CONT of the launcher": _signal(signal.SIGSTOP, "launcher"),
    "lost node": lost_node,
    "lost node, a file cut": _damage("cut"),
    "lost node, a file zero-filled": _damage("zero-filled"),
    "lost node, a file emptied": _damage("emptied"),
    "MLflow's store removed": removed_store,
    "full disk": full_disk,
    "read-only folder": read_only_folder,
    "clock that jumps": jumped_clock,
    "tracking server that goes and comes": lost_server,
}
