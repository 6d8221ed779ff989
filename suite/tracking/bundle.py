"""A bundle of logged runs: the manifest that ``runs.parquet`` carries, and whether it still describes the file.

The runs come first, a column a value; then for every metric by step its curves (``curve.<metric>.step`` and
``.value``). The manifest has a digest of the runs, one of the curves of every metric, and one of ``items.parquet``
where that lies beside it (:mod:`analysis.read.items`). :mod:`analysis.read.bundle` writes bundles and reads them whole;
:func:`suite.verify.results.from_bundle` reads the runs alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from suite.problems import InputError, Problem

SCHEMA = 2
RUNS = "runs.parquet"
METADATA = b"contrastive-suite.manifest"
CURVE = "curve."
#: Columns that every bundle has. A value of a column of text may be missing, as may be the others of a frame.
NEEDED = (
    *("key", "record", "benchmark", "loss", "kind", "seed", "profile", "purpose", "metric", "goal", "failure"),
    *("status", "run_id", "start", "end"),
)
TEXT = {*NEEDED, "git", "code", "packages", "hardware"} - {"seed", "start", "end"}
ORIGINS = ("code", "packages", "hardware")
STATES = {"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"}
Manifest = dict[str, Any]


def read_runs(file: Path) -> tuple[pa.Table, Manifest]:
    """Read what a bundle has of its runs but for their curves, and its manifest.

    Raises
    ------
    InputError
        If there is no such file, if it is no bundle or one of another schema, or if its runs were changed after its
        export.
    """
    manifest = read_manifest(file)
    names = [name for name in pq.read_schema(file).names if not name.startswith(CURVE)]
    table = pq.read_table(file, columns=names)
    check(file, "runs", manifest["sha256"]["runs"], table)
    if problems := list(_wrong_columns(table)):
        raise InputError([Problem(str(file), "", message) for message in problems])
    return table.replace_schema_metadata(None), manifest


def read_manifest(file: Path) -> Manifest:
    """Return the manifest that a bundle carries.

    Raises
    ------
    InputError
        If there is no such file, or if it is no bundle or one of another schema.
    """
    if not file.exists():
        raise refusal(file, "there is no such file")
    if file.is_dir():
        raise refusal(file, f"is a folder; name the {RUNS} in it")
    try:
        metadata = pq.read_schema(file).metadata or {}
    except pa.ArrowInvalid as error:
        raise refusal(file, "is not a parquet file, or was cut off") from error
    except OSError as error:
        raise refusal(file, f"cannot be read: {error.strerror or error}") from error
    try:
        manifest = json.loads(metadata[METADATA])
        schema = manifest["schema"]
    except (KeyError, TypeError, ValueError) as error:
        raise refusal(file, "is not a bundle of this suite; `python -m analysis export` makes one") from error
    if schema != SCHEMA:
        raise refusal(file, f"has schema {schema}, and this version of the suite reads schema {SCHEMA}")
    if problems := list(_wrong_manifest(manifest)):
        raise InputError([Problem(str(file), "", f"its manifest {message}") for message in problems])
    said = declared_digest(manifest["declared"])
    if said != manifest["sha256"]["declared"]:
        message = f"was changed after its export: what it declares has sha256 {said[:12]}…, the manifest says"
        raise refusal(file, f"{message} {manifest['sha256']['declared'][:12]}…; take the original, or name --registry")
    lacking = [name for name in manifest["sha256"]["curves"] if not _has_curve(pq.read_schema(file), name)]
    if lacking:
        raise refusal(file, f"lacks the curves of {', '.join(lacking)}, which its manifest names")
    return dict(manifest)


def declared_digest(declared: Mapping[str, Any]) -> str:
    """Return the sha256 of what a registry claims: baseline, claims, margins, goals, published figures."""
    return hashlib.sha256(json.dumps(declared, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _wrong_manifest(manifest: Mapping[str, Any]) -> Iterator[str]:
    digests = manifest.get("sha256")
    if not isinstance(manifest.get("experiment"), str):
        yield "names no experiment"
    if not isinstance(manifest.get("declared"), dict):
        yield "has no declared claims"
    if not isinstance(digests, dict):
        yield "has no sha256 of its parts"
        return
    yield from (
        f"has no sha256 of the {part}" for part in ("runs", "declared") if not isinstance(digests.get(part), str)
    )
    if not isinstance(digests.get("items", ""), str):
        yield "has no sha256 of the items"
    curves = digests.get("curves")
    if not isinstance(curves, dict) or not all(isinstance(one, str) for one in curves.values()):
        yield "has no sha256 of the curves"


def _has_curve(schema: pa.Schema, name: str) -> bool:
    parts = [f"{CURVE}{name}.{part}" for part in ("step", "value")]
    return all(part in schema.names and pa.types.is_list(schema.field(part).type) for part in parts)


def _wrong_columns(table: pa.Table) -> Iterator[str]:
    """Yield what is wrong with the columns of runs: what is missing, and what holds something else than it should."""
    for name in NEEDED:
        if name not in table.column_names:
            yield f"has no column {name}"
    for name in table.column_names:
        kind = table.schema.field(name).type
        if name in TEXT or name.startswith("param."):
            expected, holds = "text", pa.types.is_string(kind) or pa.types.is_large_string(kind)
        elif name == "seed":
            expected, holds = "whole numbers", pa.types.is_integer(kind)
        elif name in ("start", "end"):
            expected, holds = "times", pa.types.is_timestamp(kind)
        else:
            expected, holds = "numbers", pa.types.is_floating(kind)
        if not holds:
            yield f"column {name} holds {kind}, not {expected}"
        else:
            yield from _wrong_values(name, table[name])


def _wrong_values(name: str, column: pa.ChunkedArray) -> Iterator[str]:
    """Yield what is wrong with the values of a column of the right type."""
    if name == "margin":
        wrong = [value for value in pc.unique(column).to_pylist() if value is not None and not 0 < value < np.inf]
        if any(value == value for value in wrong):
            yield f"column margin holds {wrong[0]:g}, and a margin is above 0"
    elif name == "status":
        wrong = [value for value in pc.unique(column).to_pylist() if value not in STATES]
        if wrong:
            yield f"column status holds {wrong[0]!r}; it knows {', '.join(sorted(STATES))}"
    elif name in ORIGINS and any(
        value is not None and not _is_object(value) for value in pc.unique(column).to_pylist()
    ):
        yield f"column {name} holds what is no object of JSON"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def check(file: Path, what: str, expected: str, table: pa.Table) -> None:
    """Compare a part of a bundle with the digest that the manifest has of it.

    Raises
    ------
    InputError
        If they differ.
    """
    found = digest(columns_of(table))
    if found != expected:
        message = f"was changed after its export: its {what} have sha256 {found[:12]}…, the manifest says"
        raise refusal(file, f"{message} {expected[:12]}…; export it again, or take the original")


def refusal(file: Path, message: str) -> InputError:
    """Return the error that says what is wrong with a bundle."""
    return InputError([Problem(str(file), "", message)])


def columns_of(table: pa.Table) -> dict[str, pa.Array]:
    """Return the columns of a table by name, each in one piece."""
    return {name: table[name].combine_chunks() for name in table.column_names}


def digest(columns: Mapping[str, pa.Array]) -> str:
    """Return the sha256 of the values of columns, whatever file or memory they lie in.

    Over the columns by name: name and type, a bit a value for whether there is one, and the values, in little-endian
    byte order; text and lists as all lengths, then all contents. Every NaN is the same.
    """
    total = hashlib.sha256()
    for name in sorted(columns):
        kind = columns[name].type
        # The items of a list bear one name in memory and another in a file.
        shown = f"list of {kind.value_type}" if pa.types.is_list(kind) else str(kind)
        total.update(f"{name}: {len(columns[name])} x {shown}\n".encode())
        for part in _contents(columns[name]):
            total.update(part)
    return total.hexdigest()


def _contents(array: pa.Array) -> Iterator[bytes | memoryview]:
    yield np.packbits(np.asarray(array.is_valid())).tobytes()
    if pa.types.is_list(array.type):
        yield pc.list_value_length(array).fill_null(0).to_numpy().astype("<i8").tobytes()
        yield from _contents(array.flatten())
    elif pa.types.is_string(array.type):
        yield pc.binary_length(array).fill_null(0).to_numpy().astype("<i8").tobytes()
        text = pa.concat_arrays([array.fill_null("")])
        ends = (
            np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1] if len(text) else [0]
        )
        yield memoryview(text.buffers()[2] or b"")[ends[0] : ends[-1]]
    elif pa.types.is_floating(array.type):
        values = array.fill_null(0).to_numpy(zero_copy_only=False)
        yield np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes()
    else:
        yield array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
