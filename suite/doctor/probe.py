"""What a probe job does on a node: looks around, and talks with the submitter through a folder that both should see.

The submitter writes ``here.json`` and holds ``here.lock``; the probe holds ``there.lock`` and writes ``hello.json``;
the submitter answers with ``answer.json``; the probe writes ``report.json``, which says everything.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import suite
from suite.data import cache_dir
from suite.doctor import devices, tracking
from suite.records.files import held, is_held, read_json, write_json

ANSWER_PATIENCE_S = 60.0
POLL_S = 0.05


def probe(folder: str, data: Mapping[str, int], tracking_uri: str) -> None:
    """Write what this node sees.

    Parameters
    ----------
    folder : str
        The folder to talk through.
    data : mapping of file to size
        Files that the submitter has in its data cache, by their paths in it.
    tracking_uri : str
        The address to try if it is a server's.
    """
    place = Path(folder)
    with held(place / "there.lock"):
        seen = read_json(place / "here.json")
        report: dict[str, Any] = {
            "host": socket.gethostname(),
            "here": seen is not None,
            "lock": lock_state(place / "here.lock"),
            "code": str(Path(suite.__file__).parent),
            "is_copy": Path(suite.__file__).resolve().is_relative_to(place.resolve()),
        }
        asked = time.time()
        write_json(place / "hello.json", report | {"time": asked})
        answer = wait_for(lambda: read_json(place / "answer.json"), ANSWER_PATIENCE_S)
        answered = time.time()
        if answer is not None:
            report["round_trip_s"] = answered - asked
            # the submitter read our clock when it answered: half-way there and back, if both ways take equally long
            report["ahead_s"] = (asked + answered) / 2 - answer["time"]
        report["machine"] = devices.measure().to_json()
        report["data_root"] = str(cache_dir())
        report["data_missing"] = [name for name, size in data.items() if _size(cache_dir() / name) != size]
        if tracking_uri.startswith("http"):
            report["tracking"] = tracking.answers(tracking_uri)
        write_json(place / "report.json", report)


def wait_for(look: Callable[[], Any], patience_s: float) -> Any:
    """Return what `look` returns once that is something, None if it stays nothing for so long."""
    deadline = time.monotonic() + patience_s
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return found


def lock_state(lock: Path) -> str:
    """Return ``held``, ``free``, or why that cannot be told."""
    try:
        return "held" if is_held(lock) else "free"
    except OSError as error:
        return f"refused: {error.strerror or error}"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1
