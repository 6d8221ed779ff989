"""What a run's folder says, in the words of MLflow, and what MLflow said of it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.records.specs import as_read, name_of
from suite.text.naming import clean_name, clean_text

PARAM_LIMIT = 6000
TAG_LIMIT = 5000
#: Of a source file's sha256: enough to tell versions apart.
CODE_DIGITS = 12

Json = dict[str, Any]
Point = tuple[str, int, float, int]
"""A metric's name, step, value and time in ms."""


@dataclass(frozen=True)
class Record:
    """A run as its folder shows it at one moment.

    Attributes
    ----------
    key, record : str
        What was run, and which execution of it.
    run : dict
        ``run.json``.
    result, failure : dict or None
        ``result.json`` and ``failure.json`` where they belong to this execution.
    digest : str
        sha256 of ``result.json``; empty without one.
    running : bool
        A worker holds the run.
    started : int
        Unix time in ms.
    """

    key: str
    record: str
    run: Json
    result: Json | None
    failure: Json | None
    digest: str
    running: bool
    started: int

    @property
    def status(self) -> str:
        """MLflow's word for the state."""
        if self.result is not None:
            return "FINISHED"
        if self.running:
            return "RUNNING"
        return "KILLED" if self.failure is None else "FAILED"

    @property
    def name(self) -> str:
        """MLflow's run name."""
        return name_of(self.run)

    @property
    def items(self) -> str:
        """sha256 of ``items.npz``; empty where the run kept no outcomes of test items."""
        said = (self.result or {}).get("items")
        return str(said.get("sha256", "")) if isinstance(said, dict) else ""

    def tags(self) -> dict[str, str]:
        """Return the MLflow tags but for the origin."""
        run, metric = self.run, self.run.get("metric") or {}
        provenance = run.get("provenance") or {}
        values = {
            "key": self.key,
            "record": self.record,
            "benchmark": run["benchmark"],
            "loss": run["loss"],
            "kind": run.get("kind", "loss"),
            "seed": run["seed"],
            "profile": run.get("profile", ""),
            "purpose": run.get("purpose", "evaluation"),
            "metric": clean_name(metric.get("name", "")),
            "goal": metric.get("goal", "maximise"),
            "margin": metric.get("margin", ""),
            "git": provenance.get("git", ""),
            "code": _compact({module: digest[:CODE_DIGITS] for module, digest in (run.get("code") or {}).items()}),
            "packages": _compact(provenance.get("packages") or {}),
            "hardware": _compact(provenance.get("hardware") or {}),
            "digest": self.digest,
            "failure": self.failure_line(),
        }
        return {f"suite.{name}": clean_text(str(value))[:TAG_LIMIT] for name, value in values.items() if value != ""}

    def failure_line(self) -> str:
        """Return the class and message of the failure in one line; empty without one."""
        if self.failure is None or self.result is not None:
            return ""
        message = str(self.failure.get("message", "")).strip().splitlines()
        return f"{self.failure.get('class', 'unknown')}: {message[0] if message else ''}".rstrip(": ")

    def params(self) -> dict[str, str]:
        """Return the resolved configuration, flattened with dots, with the checksums of the data that was read."""
        config = as_read(self.run.get("config") or {}, (self.run.get("provenance") or {}).get("data") or {})
        return {clean_name(name): shorten(value) for name, value in flatten(config)}

    def final_metrics(self) -> Iterator[Point]:
        """Yield the metrics and seconds of the result."""
        if self.result is None:
            return
        time = milliseconds(self.result.get("finished", 0))
        for name, value in (self.result.get("metrics") or {}).items():
            yield clean_name(name), 0, as_number(value), time
        for name, value in (self.result.get("seconds") or {}).items():
            yield clean_name(f"seconds/{name}"), 0, as_number(value), time
        if self.result.get("samples_per_s") is not None:
            yield "samples_per_s", 0, as_number(self.result["samples_per_s"]), time

    def ended(self, last_event: int) -> int:
        """Return when the run ended, ms; `last_event` is the time of its last event."""
        ending = self.result if self.result is not None else self.failure
        return max(milliseconds((ending or {}).get("finished", 0)) or last_event, self.started)


@dataclass
class Mirrored:
    """An MLflow run, as the store last showed it."""

    run_id: str
    status: str
    started: int
    tags: dict[str, str]

    @property
    def rank(self) -> tuple[bool, int, str]:
        """The larger one stays, of several with the same key."""
        return "suite.digest" in self.tags, self.started, self.tags.get("suite.record", "")

    def holds(self, record: Record) -> bool:
        """Whether nothing of a finished record is missing here."""
        same = self.tags.get("suite.record") == record.record and self.tags.get("suite.digest") == record.digest
        return same and self.status == "FINISHED" and record.digest != ""


def read_record(folder: Path, running: bool) -> Record | None:
    """Read a run's folder; None while it has no ``run.json``.

    Raises
    ------
    ValueError
        If a file of the record is damaged.
    """
    run, _ = _read_json(folder / "run.json")
    if run is None:
        return None
    missing = [name for name in ("record", "benchmark", "loss", "seed") if name not in run]
    if missing:
        raise ValueError(f"{folder / 'run.json'} lacks {', '.join(missing)}")
    record = str(run["record"])
    result, digest = _read_json(folder / "result.json")
    failure, _ = _read_json(folder / "failure.json")
    if result is not None and result.get("record", record) != record:
        result, digest = None, ""
    if failure is not None and failure.get("record", record) != record:
        failure = None
    started = _first_time(folder) or milliseconds((result or failure or {}).get("started", 0))
    return Record(
        key=str(run.get("key", folder.name)),
        record=record,
        run=run,
        result=result,
        failure=failure,
        digest=digest,
        running=running,
        started=started or (folder / "run.json").stat().st_mtime_ns // 1_000_000,
    )


class Events:
    """Reads the metrics of an ``events.jsonl`` from where it stopped last time.

    A line without its newline is left for later; the first value of a (metric, step) counts, as a resumed run logs the
    same steps again.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.last_time = 0
        self._inode = 0
        self._seen: set[tuple[str, int]] = set()

    def read(self, path: Path) -> tuple[list[Point], Events]:
        """Return the new points, and the reader to go on with once they are safely logged."""
        after = Events()
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino == self._inode and status.st_size >= self.offset:
                    after.offset, after.last_time, after._seen = self.offset, self.last_time, set(self._seen)
                after._inode = status.st_ino
                file.seek(after.offset)
                data = file.read()
        except FileNotFoundError:
            return [], self
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        complete = data[: data.rfind(b"\n") + 1]
        after.offset += len(complete)
        return list(after._points(complete)), after

    def _points(self, data: bytes) -> Iterator[Point]:
        for line in data.splitlines():
            event = _parse(line)
            if event is None:
                continue
            time = milliseconds(event.get("time", 0))
            self.last_time = max(self.last_time, time)
            for name, step, value in _logged(event):
                if (name, step) not in self._seen:
                    self._seen.add((name, step))
                    yield clean_name(name), step, as_number(value), time


def fingerprint(folder: Path, running: bool) -> tuple[object, ...]:
    """Return what changes whenever there is something new to mirror."""
    files = ("run.json", "events.jsonl", "result.json", "failure.json")
    return running, *(_signature(folder / name) for name in files)


def origin(out: Path) -> str:
    """Return a short name of this results folder on this machine, without revealing either."""
    return hashlib.sha256(f"{platform.node()}:{out.resolve()}".encode()).hexdigest()[:16]


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested mappings as (dotted name, text); an empty mapping or a list is a leaf."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def shorten(text: str, limit: int = PARAM_LIMIT) -> str:
    """Cut a text to MLflow's limit, showing that it was cut."""
    text = clean_text(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def milliseconds(seconds: float) -> int:
    """Convert unix seconds to MLflow's whole milliseconds."""
    return round(seconds * 1000)


def as_number(value: Any) -> float:
    """Convert a logged value to a float; None and what is no number become NaN."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _compact(values: Mapping[str, Any]) -> str:
    """Return a mapping as one line of JSON; empty, which is to say unknown, without entries or if MLflow would cut it.

    Fewer digits or a digest of several entries would not do: whoever compares runs does so entry by entry, and two runs
    that share an entry need not have the others in common.
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":")) if values else ""
    return text if len(text) <= TAG_LIMIT else ""


def _logged(event: Json) -> Iterator[tuple[str, int, Any]]:
    """Yield the values of an event by name and step; the shares of a histogram have their bin for a step."""
    if event.get("event") == "metrics" and isinstance(event.get("values"), dict):
        step = int(event.get("step", 0))
        yield from ((name, step, value) for name, value in event["values"].items())
    elif event.get("event") == "histograms" and isinstance(event.get("shares"), dict):
        for name, shares in event["shares"].items():
            yield from ((f"histogram/{name}", index, share) for index, share in enumerate(shares))


def _parse(line: bytes) -> Json | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _read_json(path: Path) -> tuple[Json | None, str]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    parsed = _parse(data)
    if parsed is None:
        raise ValueError(f"{path} is damaged")
    return parsed, hashlib.sha256(data).hexdigest()


def _first_time(folder: Path) -> int:
    try:
        with (folder / "events.jsonl").open("rb") as file:
            event = _parse(file.readline())
    except OSError:
        return 0
    return milliseconds((event or {}).get("time", 0))


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
