"""All runs of an experiment in one file, with where they come from: what `export` writes and merges read.

``runs.parquet`` has a row a run: the columns of :func:`suite.tracking.frame`, then for every metric by step two columns
of lists, ``curve.<metric>.step`` and ``curve.<metric>.value``, which are read only when curves are asked for. The
manifest stands in the file itself, and beside it for people. The same runs give the same bytes: no time of export, no
path and no address is in them. Claims keep the order in which the registry declares them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.read import items
from analysis.read.logged import Logged
from analysis.read.origins import provenance
from suite.problems import InputError, Problem
from suite.registry.claims import Declared
from suite.tracking.bundle import (
    CURVE,
    METADATA,
    RUNS,
    SCHEMA,
    check,
    columns_of,
    declared_digest,
    digest,
    read_runs,
    refusal,
)
from suite.tracking.frame import COLUMNS
from suite.tracking.series import long_table

MANIFEST = "manifest.json"
ORDER = ["benchmark", "loss", "seed", "run_id"]
NUMBERS = {"seed": pa.int64(), "margin": pa.float64()}


def write(logged: Logged, folder: Path) -> list[Path]:
    """Write runs and curves as ``runs.parquet``, and its manifest as ``manifest.json``.

    Parameters
    ----------
    logged : Logged
        All of it is written, whether it counts or not: what counts is decided by whoever reads.
    folder : Path
        Made if it is missing.

    Returns
    -------
    list of Path
        The two files; and ``items.parquet``, if evaluation runs kept the outcomes of their test items.
    """
    runs = _ordered(logged.runs).reset_index(drop=True)
    table = _table(runs)
    digests = {}
    curves: dict[str, pa.Array] = {}
    for name in logged.curve_names:
        lists = _curve(runs["run_id"], logged.curves(names=[name]))
        digests[name] = digest(lists)
        curves |= {f"{CURVE}{name}.{part}": column for part, column in lists.items()}
    declared = logged.declared.to_json()
    evaluated = list(runs.loc[runs["purpose"].eq("evaluation"), "run_id"])  # nothing is made of those of a search
    outcomes = items.table_of(logged.outcomes(evaluated), evaluated)
    manifest = {
        "schema": SCHEMA,
        "experiment": logged.experiment,
        **provenance(runs),
        "declared": declared,
        "sha256": {
            "runs": digest(columns_of(table)),
            "declared": declared_digest(declared),
            "curves": digests,
            **({"items": items.digest_of(outcomes)} if len(outcomes) else {}),
        },
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    for name, column in curves.items():
        table = table.append_column(name, column)
    table = table.replace_schema_metadata({METADATA: json.dumps(manifest)})
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / RUNS, compression="zstd", compression_level=9)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    if not len(outcomes):
        (folder / items.FILE).unlink(missing_ok=True)  # of an earlier export
        return [folder / RUNS, folder / MANIFEST]
    return [folder / RUNS, folder / MANIFEST, items.write(outcomes, folder)]


def read(file: Path) -> Logged:
    """Read a bundle; its curves when they are asked for.

    Raises
    ------
    InputError
        If there is no such file, if it is no bundle or one of another schema, or if it was changed after its export.
    """
    table, manifest = read_runs(file)
    runs = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    try:
        declared = Declared.from_json(manifest["declared"])
    except ValueError as error:
        raise refusal(file, f"its manifest declares what this version cannot read: {error}") from error
    reader = functools.partial(_read_points, file, runs["run_id"], manifest["sha256"]["curves"])
    outcomes = items.of_bundle(file, manifest["sha256"].get("items"))
    return Logged(runs, declared, str(file), manifest["experiment"], reader, outcomes)


def merge(parts: Sequence[Logged], declared: Declared | None = None) -> Logged:
    """Merge the parts of one experiment; a run that is in several of them is one run.

    Of a run that was exported both before and after its end, the finished one counts.

    Parameters
    ----------
    parts : sequence of Logged
        At least one.
    declared : Declared, optional
        In place of what the parts declare, but for the settings that their searches set: those are of all parts.

    Raises
    ------
    InputError
        If two parts have a finished run of one key and record with different values.
    """
    claiming = [part.declared for part in parts if part.declared != Declared()]
    if declared is None:
        declared = claiming[0] if claiming else Declared()
    declared = replace(declared, searched=_searched([declared, *(part.declared for part in parts)]))
    runs = pd.concat([part.runs for part in parts], keys=range(len(parts)))
    _refuse_contradictions(runs, parts)
    runs = _ordered(_once(runs))
    owner = dict(zip(runs["run_id"], runs.index.get_level_values(0), strict=True))

    def read_points(run_ids: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
        asked = [[run_id for run_id in run_ids if owner.get(run_id) == number] for number in range(len(parts))]
        points = [part.curves(mine, names) for part, mine in zip(parts, asked, strict=True)]
        return pd.concat(points).sort_values(["run_id", "name", "step"], kind="stable", ignore_index=True)

    def read_outcomes(run_ids: Sequence[str]) -> items.ByRun:
        found: items.ByRun = {}
        for number, part in enumerate(parts):
            found |= part.outcomes(run_id for run_id in run_ids if owner.get(run_id) == number)
        return found

    origin = ", ".join(part.origin for part in parts)
    experiment = parts[0].experiment
    return Logged(runs.reset_index(drop=True), declared, origin, experiment, read_points, read_outcomes)


def _searched(all_declared: Sequence[Declared]) -> dict[str, list[str]]:
    """Return by benchmark the settings that trials of any part set for themselves."""
    found: dict[str, dict[str, None]] = {}
    for declared in all_declared:
        for benchmark, settings in declared.searched.items():
            found.setdefault(benchmark, {}).update(dict.fromkeys(settings))
    return {benchmark: list(settings) for benchmark, settings in found.items()}


def _refuse_contradictions(runs: pd.DataFrame, parts: Sequence[Logged]) -> None:
    """Raise if one execution of a run has other results in another part: one of them was not what was run."""
    results = [name for name in runs.columns if str(name).startswith(("val/", "test/"))]
    finished = runs[(runs["status"] == "FINISHED") & runs["key"].notna() & runs["record"].notna()]
    repeated = finished[finished.duplicated(["key", "record"], keep=False)]
    problems = []
    for (key, record), same in repeated.groupby(["key", "record"]):
        differing = [str(name) for name in results if same[name].dropna().nunique() > 1]
        if differing:
            where = " and ".join(parts[number].origin for number in same.index.get_level_values(0).unique())
            message = f"run {str(key)[:12]} (record {record}) has different {', '.join(differing)}: {where}"
            problems.append(Problem(where, "", f"{message}; one of them was changed, take the right one alone"))
    if problems:
        raise InputError(problems)


def _once(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep one row a run: the finished one, then the one with the latest end, then the one with most to tell."""
    identity = runs["key"].fillna("") + "/" + runs["record"].fillna(runs["run_id"])
    told = runs.notna().sum(axis=1)
    rank = runs[["end", "run_id"]].assign(identity=identity, finished=runs["status"] == "FINISHED", told=told)
    rank = rank.sort_values(["finished", "end", "told", "run_id"], na_position="first", kind="stable")
    return runs.loc[rank.drop_duplicates("identity", keep="last").index]


def _ordered(runs: pd.DataFrame) -> pd.DataFrame:
    """Put rows and columns in the order that :func:`suite.tracking.frame` gives them."""
    rest = sorted(set(runs.columns) - set(COLUMNS))
    return runs[[*(name for name in COLUMNS if name in runs), *rest]].sort_values(ORDER, kind="stable")


def _table(runs: pd.DataFrame) -> pa.Table:
    return pa.table({str(name): _array(str(name), runs[name]) for name in runs.columns})


def _array(name: str, column: pd.Series) -> pa.Array:
    if name in ("start", "end"):
        naive = pd.to_datetime(column, utc=True).dt.tz_convert(None)
        return pa.array(naive, pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    is_text = name in COLUMNS or name.startswith("param.")
    kind = NUMBERS.get(name, pa.string() if is_text else pa.float64())
    return pa.array(column, kind, from_pandas=True)


def _curve(run_ids: pd.Series, points: pd.DataFrame) -> dict[str, pa.Array]:
    """Return steps and values of one metric as lists, in the order of `run_ids`; empty where there are none."""
    row = pd.Index(run_ids).get_indexer(pd.Index(points["run_id"]))
    order = np.lexsort((points["step"], row))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(run_ids)))]).astype(np.int32)
    return {
        "step": pa.ListArray.from_arrays(offsets, pa.array(points["step"].to_numpy(np.int64)[order])),
        "value": pa.ListArray.from_arrays(offsets, pa.array(points["value"].to_numpy(float)[order])),
    }


def _read_points(
    file: Path, order: pd.Series, digests: Mapping[str, str], run_ids: Sequence[str], names: Sequence[str]
) -> pd.DataFrame:
    wanted = order[order.isin(run_ids)].sort_values()
    parts = []
    for name in sorted(names):
        table = pq.read_table(file, columns=[f"{CURVE}{name}.{part}" for part in ("step", "value")])
        table = table.rename_columns(["step", "value"])
        check(file, f"curves of {name}", digests.get(name, ""), table)
        chosen = table.take(pa.array(wanted.index))
        lengths = pc.list_value_length(chosen["step"]).to_numpy()
        flat = [pc.list_flatten(chosen[part]).to_numpy() for part in ("step", "value")]
        parts.append((np.arange(len(wanted)).repeat(lengths), *flat))
    return long_table(list(wanted), sorted(names), parts)
