"""The outcomes of runs' test items: from records, from artifacts in MLflow, or from the second file of a bundle.

``items.parquet`` has a row for every run, metric and part of it (:class:`suite.outcomes.Outcomes`): ``run_id``,
``metric``, ``statistic``, ``part``, and the lists ``values``, ``truth`` and ``weights``, empty where there are none.
Its digest stands in the manifest of ``runs.parquet``. A bundle without it is whole: intervals are then over seeds
alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from suite.outcomes import FIELDS, Outcomes, from_arrays
from suite.records import items
from suite.records.files import read_json
from suite.text.naming import clean_name
from suite.tracking import TrackingUnavailable
from suite.tracking import items as artifacts
from suite.tracking.bundle import check, columns_of, digest, refusal

FILE = "items.parquet"
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("run_id", "metric", "statistic")),
        ("part", pa.int64()),
        *((name, pa.list_(pa.float64())) for name in FIELDS),
    ]
)
ByRun = dict[str, dict[str, Outcomes]]
"""Outcomes by run id, then by metric."""
OutcomesReader = Callable[[Sequence[str]], ByRun]
"""Takes run ids; leaves out the runs that have no outcomes."""

logger = logging.getLogger("suite")


def no_outcomes(run_ids: Sequence[str]) -> ByRun:
    """Return nothing: the reader of runs without outcomes."""
    return {}


def of_records(folders: Sequence[Path], runs: pd.DataFrame) -> OutcomesReader:
    """Return a reader of what the records of results folders keep; damaged files are named in a warning.

    Parameters
    ----------
    folders : sequence of Path
        Results folders; those that hold no records are passed over.
    runs : DataFrame
        With ``run_id``, ``key`` and ``record``: outcomes of another execution of a run are not its own.
    """

    def read(run_ids: Sequence[str]) -> ByRun:
        found: ByRun = {}
        wanted = runs.loc[runs["run_id"].isin(run_ids), ["run_id", "key", "record"]].dropna()
        for records in (folder / "runs" for folder in folders if (folder / "runs").is_dir()):
            for run_id, key, record in wanted[~wanted["run_id"].isin(list(found))].to_numpy():
                if outcomes := _of_record(records / key, record):
                    found[str(run_id)] = outcomes
        return found

    return read


def of_artifacts(uri: str, experiment: str) -> OutcomesReader:
    """Return a reader of what was logged in MLflow; a store that cannot be read is named in a warning."""

    def read(run_ids: Sequence[str]) -> ByRun:
        try:
            found = artifacts.read(uri, experiment, run_ids)
        except TrackingUnavailable as error:
            logger.warning("outcomes of test items count as missing: %s", error)
            return {}
        return {run_id: _named_as_metrics(outcomes) for run_id, outcomes in found.items()}

    return read


def of_either(first: OutcomesReader, second: OutcomesReader) -> OutcomesReader:
    """Return a reader that asks the second one for what the first one has not."""

    def read(run_ids: Sequence[str]) -> ByRun:
        found = first(run_ids)
        missing = [run_id for run_id in run_ids if run_id not in found]
        return {**found, **second(missing)} if missing else found

    return read


def _named_as_metrics(outcomes: Mapping[str, Outcomes]) -> dict[str, Outcomes]:
    """Return outcomes by the names that MLflow, and with it the analysis, has for their metrics."""
    return {clean_name(metric): one for metric, one in outcomes.items()}


def _of_record(folder: Path, record: str) -> dict[str, Outcomes]:
    result = read_json(folder / "result.json") or {}
    said = result.get("items")
    if result.get("record") != record or not isinstance(said, dict):
        return {}
    try:
        return _named_as_metrics(items.read(folder / items.FILE, str(said.get("sha256"))))
    except (OSError, ValueError) as error:
        logger.warning("%s; it counts as missing", error)
        return {}


def table_of(found: Mapping[str, Mapping[str, Outcomes]], run_ids: Sequence[str]) -> pa.Table:
    """Return outcomes as the table of a bundle, runs in the order of `run_ids`."""
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    for run_id in run_ids:
        for metric, outcomes in sorted(found.get(run_id, {}).items()):
            arrays = {name: np.atleast_2d(array).astype(float) for name, array in outcomes.arrays().items()}
            for part in range(len(arrays["values"])):
                row = {"run_id": run_id, "metric": metric, "statistic": outcomes.statistic, "part": part}
                row |= {name: arrays[name][part] if name in arrays else [] for name in FIELDS}
                for name, value in row.items():
                    columns[name].append(value)
    return pa.table(columns, schema=SCHEMA)


def write(table: pa.Table, folder: Path) -> Path:
    """Write the table of a bundle."""
    pq.write_table(table, folder / FILE, compression="zstd", compression_level=9)
    return folder / FILE


def digest_of(table: pa.Table) -> str:
    """Return the digest that the manifest of a bundle has of its outcomes."""
    return digest(columns_of(table))


def of_bundle(file: Path, expected: str | None) -> OutcomesReader:
    """Return a reader of the second file of a bundle, which is read once and when it is asked for.

    Parameters
    ----------
    file : Path
        The first one, ``runs.parquet``.
    expected : str or None
        The digest in its manifest; without one the bundle has no outcomes, nor has it without the file.
    """
    beside = file.with_name(FILE)
    if expected is None or not beside.exists():
        return no_outcomes
    held: list[pa.Table] = []

    def read(run_ids: Sequence[str]) -> ByRun:
        if not held:
            held.append(_checked(beside, expected))
        (table,) = held
        return _by_run(beside, table.filter(pc.is_in(table["run_id"], pa.array(list(run_ids), pa.string()))))

    return read


def _checked(file: Path, expected: str) -> pa.Table:
    try:
        schema = pq.read_schema(file)
        table = pq.read_table(file) if schema.equals(SCHEMA) else None
    except (pa.ArrowInvalid, OSError) as error:
        raise refusal(file, "is not a parquet file, was cut off, or cannot be read") from error
    if table is None:
        raise refusal(file, f"has other columns than {', '.join(SCHEMA.names)}")
    check(file, "outcomes", expected, table)
    return table


def _by_run(file: Path, table: pa.Table) -> ByRun:
    parts: dict[tuple[str, str, str], dict[str, list[np.ndarray]]] = {}
    columns = [table[name].to_pylist() for name in ("run_id", "metric", "statistic")]
    lists = {name: table[name].combine_chunks() for name in FIELDS}
    for place, identity in enumerate(zip(*columns, strict=True)):
        of_metric = parts.setdefault(identity, {})
        for name in FIELDS:
            values = lists[name][place].values
            if values is not None and len(values):
                of_metric.setdefault(name, []).append(values.to_numpy(zero_copy_only=False))
    found: ByRun = {}
    for (run_id, metric, statistic), fields in parts.items():
        try:
            arrays = {f"{metric}/{statistic}/{name}": _stacked(rows) for name, rows in fields.items()}
            found.setdefault(run_id, {}).update(from_arrays(arrays))
        except ValueError as error:
            raise refusal(file, f"run {run_id}: {error}") from error
    return found


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(rows) if len(rows) > 1 else rows[0]
