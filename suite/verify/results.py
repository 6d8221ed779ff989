"""Finished runs as they were logged: from the records of a results folder, or from a bundle (``runs.parquet``)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from suite.plan.run import Run
from suite.records.record import Store
from suite.records.specs import as_read, name_of
from suite.text.naming import clean_name
from suite.tracking.entry import flatten, shorten

COLUMNS: Final = ("key", "benchmark", "loss", "seed", "profile", "kind", "status")
ORIGIN: Final = ("code", "packages", "hardware")
METRICS: Final = ("val/", "test/")


@dataclass(frozen=True)
class LoggedRun:
    """A finished run as it was logged.

    Attributes
    ----------
    key, benchmark, loss, kind, seed, profile
        As in :class:`suite.plan.run.Run`.
    metrics : mapping of name to float
        ``val/...`` and ``test/...``, named as MLflow has them.
    settings : mapping of dotted name to text
        The configuration that the run says it had, as :func:`settings_of` has it.
    code : mapping of module to sha256, or the beginning of it
    packages : mapping of package to version
    hardware : mapping
        As :func:`suite.provenance.machine.collect` has it. These three are empty where nothing was logged.
    python : str
        Version; empty if not logged.
    seconds : float or None
        What it took.
    """

    key: str
    benchmark: str
    loss: str
    kind: Literal["loss", "reference"]
    seed: int
    profile: str
    metrics: Mapping[str, float] = field(repr=False)
    settings: Mapping[str, str] = field(repr=False)
    code: Mapping[str, str] = field(repr=False)
    packages: Mapping[str, str] = field(repr=False)
    hardware: Mapping[str, Any] = field(repr=False)
    python: str = ""
    seconds: float | None = None

    @property
    def name(self) -> str:
        """``image/infonce/seed3``."""
        return name_of(vars(self))


def settings_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a run's configuration as MLflow and bundles have it: dotted names, values as text."""
    return {clean_name(name): shorten(value) for name, value in flatten(config)}


def from_records(runs: Iterable[Run], store: Store) -> Iterator[LoggedRun]:
    """Yield those of the runs of a plan that are done, stale ones among them, as their records have them."""
    for run in runs:
        record = store.record(run.key)
        result = record.result() if run.state in ("done", "stale") else None
        if result is None:
            continue
        described = record.run() or {}
        origin = described.get("provenance", {})
        yield LoggedRun(
            **{name: getattr(run, name) for name in ("key", "benchmark", "loss", "kind", "seed", "profile")},
            metrics={clean_name(name): value for name, value in result["metrics"].items()},
            settings=settings_of(as_read(described.get("config", {}), origin.get("data", {}))),
            code=result["code"],
            packages=origin.get("packages", {}),
            hardware=origin.get("hardware", {}),
            python=origin.get("python", ""),
            seconds=sum(result["seconds"].values()),
        )


def from_bundle(file: Path) -> list[LoggedRun]:
    """Return the finished runs of a bundle, each key once; runs of other programs, without a key, are none of them.

    Parameters
    ----------
    file : Path
        As ``python -m analysis export`` writes it (``runs.parquet``).

    Raises
    ------
    InputError
        If there is no such file, if it is no bundle or one of another schema, or if its runs were changed after its
        export.
    """
    from suite.tracking.bundle import read_runs

    table, _ = read_runs(file)
    names, parts = (*COLUMNS, *ORIGIN), (*METRICS, "seconds/", "param.")
    rows = table.select([n for n in table.column_names if n in names or n.startswith(parts)]).to_pylist()
    return list({row["key"]: _of_row(row) for row in rows if row["status"] == "FINISHED" and row["key"]}.values())


def _of_row(row: Mapping[str, Any]) -> LoggedRun:
    known = {name: value for name, value in row.items() if value is not None and value == value}
    spent = [value for name, value in known.items() if name.startswith("seconds/")]
    code, packages, hardware = (json.loads(known.get(name) or "{}") for name in ORIGIN)
    return LoggedRun(
        **{name: row[name] for name in ("key", "benchmark", "loss", "kind", "profile")},
        seed=int(row["seed"]),
        metrics={name: value for name, value in known.items() if name.startswith(METRICS)},
        settings={n.removeprefix("param."): value for n, value in known.items() if n.startswith("param.")},
        code=code,
        packages=packages,
        hardware=hardware,
        seconds=math.fsum(spent) if spent else None,
    )
