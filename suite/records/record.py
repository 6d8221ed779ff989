"""What runs leave on disk: ``results/runs/<key>/``, the truth that everything else is derived from.

``run.json`` (configuration, provenance), ``events.jsonl`` (append-only), ``result.json`` (atomic; its presence means
done), ``items.npz`` (beside it the outcomes of test items, if the benchmark gives them: :mod:`suite.records.items`),
``failure.json`` (the last attempt failed), ``checkpoint.pt``, ``log.txt``, and ``lock``, flock'ed by the worker
that executes the run: the kernel lets it go when the worker dies, however it dies.
"""

from __future__ import annotations

import json
import os
import shlex
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from suite.records.files import held, is_held, read_json, write_json

SCHEMA = 1
DEFAULT: Final = Path("results")
"""Where commands look without ``--out``."""
CHECKPOINTS = ("checkpoint.pt", "checkpoint.previous.pt")
"""The last one, and the one before it, for when that is damaged."""


class Record:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder.name

    @property
    def checkpoint(self) -> Path:
        """Where training is saved."""
        return self.folder / CHECKPOINTS[0]

    @property
    def log(self) -> Path:
        """What the run printed."""
        return self.folder / "log.txt"

    def run(self) -> dict[str, Any] | None:
        """Return ``run.json``: what the run is and where it ran; None before its first start."""
        return read_json(self.folder / "run.json")

    def result(self) -> dict[str, Any] | None:
        """Return ``result.json``; None unless the run is done."""
        return read_json(self.folder / "result.json")

    def failure(self) -> dict[str, Any] | None:
        """Return ``failure.json``; None unless the last attempt failed."""
        return read_json(self.folder / "failure.json")

    def is_done(self) -> bool:
        """Whether the run has its result."""
        return self.result() is not None

    def is_unreadable(self) -> bool:
        """Whether ``run.json`` is there and damaged."""
        return self.run() is None and (self.folder / "run.json").exists()

    def begin(self, run: Mapping[str, Any]) -> str:
        """Write ``run.json`` and return the record's id, new for a new record and kept when one is continued."""
        before = self.run()
        record = before["record"] if before else uuid.uuid4().hex
        write_json(self.folder / "run.json", {"schema": SCHEMA, "key": self.key, "record": record, **run})
        return str(record)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result; from here on the run is done."""
        write_json(self.folder / "result.json", {"schema": SCHEMA, "key": self.key, **result})
        (self.folder / "failure.json").unlink(missing_ok=True)
        for name in CHECKPOINTS:
            (self.folder / name).unlink(missing_ok=True)

    def fail(self, failure: Mapping[str, Any]) -> None:
        """Write why the attempt failed."""
        write_json(self.folder / "failure.json", {"schema": SCHEMA, "key": self.key, **failure})

    def append(self, event: str, **fields: Any) -> None:
        """Append one event to ``events.jsonl``."""
        line = json.dumps({"time": time.time(), "event": event, **fields}) + "\n"
        with (self.folder / "events.jsonl").open("ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a worker was killed while it wrote: close its torn line
                    line = "\n" + line
            file.write(line.encode())

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events in order, without lines that a kill has torn."""
        try:
            lines = (self.folder / "events.jsonl").read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event

    def is_running(self) -> bool:
        """Whether some worker holds the run's lock."""
        return is_held(self.folder / "lock")

    @contextmanager
    def claimed(self) -> Iterator[bool]:
        """Hold the run's lock inside the block; yields False, without waiting, if another worker has it."""
        with held(self.folder / "lock") as ours:
            yield ours

    def supersede(self, archive: Path) -> None:
        """Move what the record holds to ``archive/<key>-<record>``, to be executed anew. Needs the lock."""
        run = self.run()
        target = archive / f"{self.key}-{run['record'][:8] if run else uuid.uuid4().hex[:8]}"
        target.mkdir(parents=True, exist_ok=True)
        # the result goes first: without it the record is not done, whatever happens to the rest of this; then the
        # checkpoint: once run.json is gone, nothing tells that other code has made it
        for name in ("result.json", "items.npz", *CHECKPOINTS, "run.json", "failure.json", "events.jsonl", "log.txt"):
            if (self.folder / name).exists():
                os.replace(self.folder / name, target / name)


class Store:
    """A results folder.

    Parameters
    ----------
    out : Path
        ``results``, or what ``--out`` names.
    """

    def __init__(self, out: Path) -> None:
        self.out = out.absolute()
        self.runs = self.out / "runs"
        self.launches = self.out / "launches"
        self.superseded = self.out / "superseded"

    @property
    def is_default(self) -> bool:
        """Whether commands mean this folder where nothing is said."""
        return self.out == DEFAULT.absolute()

    @property
    def option(self) -> str:
        """What a further command has to be given to mean this folder; nothing where it means it by itself."""
        return "" if self.is_default else f" --out {shlex.quote(str(self.out))}"

    def record(self, key: str) -> Record:
        """Return the record of a key, whether or not it exists yet."""
        return Record(self.runs / key)

    def has_ended(self, key: str) -> bool:
        """Whether an attempt at a run has left a result or a failure, without a look into either.

        In text, not paths: launchers ask it of thousands of runs, several times a second.
        """
        folder = f"{self.runs}/{key}"
        return os.path.exists(f"{folder}/result.json") or os.path.exists(f"{folder}/failure.json")

    def keys(self) -> set[str]:
        """Return the keys that have a record."""
        try:
            return {entry.name for entry in os.scandir(self.runs) if len(entry.name) == 64}
        except FileNotFoundError:
            return set()

    def prepare(self) -> None:
        """Make the folder and check that it can be written.

        Raises
        ------
        OSError
            If it cannot: no permission, no space, a file in its place.
        """
        self.runs.mkdir(parents=True, exist_ok=True)
        self.launches.mkdir(exist_ok=True)
        probe = self.out / f".probe.{uuid.uuid4().hex[:8]}"
        try:
            probe.write_bytes(b"\0" * 4096)
        finally:
            probe.unlink(missing_ok=True)
