"""Where the numbers come from: commits, code, packages, hardware and data of the runs that count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from analysis.evidence.choice import natural
from analysis.read.origins import DATA, inside, json_object
from analysis.tables.table import MISSING, Block, Cell, Table

DIGITS = 12  # of a checksum


def provenance(runs: pd.DataFrame) -> list[Table]:
    """Return the tables of where runs come from.

    Parameters
    ----------
    runs : DataFrame
        Those that count, as :func:`suite.tracking.frame` gives them.
    """
    found = [_commits(runs), _code(runs), _packages(runs), _hardware(runs), _data(runs)]
    return [table for table in found if table.blocks or table.notes]


def _commits(runs: pd.DataFrame) -> Table:
    rows = [
        (str(commit)[:DIGITS], [_count(len(part)), Cell(_names(part["benchmark"]))])
        for commit, part in _grouped(runs, "git")
    ]
    caption = "Commits of the suite that the runs were made with."
    return _table("commits", caption, ["commit", "runs", "benchmarks"], rows)


def _code(runs: pd.DataFrame) -> Table:
    """List the modules of which runs used more than one version; what is the same everywhere needs no row."""
    versions = inside(runs, "code")
    rows = [
        (module, [Cell(fingerprint), _count(n)])
        for module in versions
        if len(versions[module]) > 1
        for fingerprint, n in sorted(versions[module].items(), key=lambda item: (-item[1], item[0]))
    ]
    same = len(versions) - len({module for module, _ in rows})
    others = "other modules" if rows else "modules"
    alike = [f"All runs that used one of {same} {others} used the same version of it."] if same else []
    caption = "Modules of the suite that runs used in more than one version." if rows else "Code of the suite."
    return _table("code", caption, ["module", "fingerprint", "runs"], rows, [*_unknown(runs, "code"), *alike])


def _packages(runs: pd.DataFrame) -> Table:
    rows = [
        (name, [Cell(version), _count(n)])
        for name, versions in inside(runs, "packages").items()
        for version, n in sorted(versions.items(), key=lambda item: natural(item[0]))
    ]
    caption = "Packages that the numbers depend on."
    return _table("packages", caption, ["package", "version", "runs"], rows, _unknown(runs, "packages"))


def _hardware(runs: pd.DataFrame) -> Table:
    rows = []
    for text, part in _grouped(runs, "hardware"):
        known = json_object(text)
        kind = str(known.pop("processor", "") or MISSING)
        rest = ", ".join(f"{name} {value}" for name, value in sorted(known.items()))
        rows.append((kind, [Cell(rest), _count(len(part))]))
    caption = "Machines that the runs were computed on."
    return _table("hardware", caption, ["processor", "", "runs"], rows, _unknown(runs, "hardware"))


def _data(runs: pd.DataFrame) -> Table:
    rows = []
    for column in sorted((str(name) for name in runs.columns if str(name).startswith(DATA)), key=natural):
        source, _, file = column.removeprefix(DATA).partition(".")
        for checksum, part in _grouped(runs, column):
            cells = [Cell(file), Cell(str(checksum)[:DIGITS]), Cell(_names(part["benchmark"])), _count(len(part))]
            rows.append((source, cells))
    header = ["data set", "file", "sha256", "benchmarks", "runs"]
    return _table("data", f"Data that the runs read, and the first {DIGITS} digits of its checksums.", header, rows)


def _grouped(runs: pd.DataFrame, column: str) -> list[tuple[Any, pd.DataFrame]]:
    if column not in runs:
        return []
    groups = runs.loc[runs[column].notna(), list({column, "benchmark"})].groupby(column, sort=True)
    return sorted(groups, key=lambda item: (-len(item[1]), str(item[0])))


def _unknown(runs: pd.DataFrame, column: str) -> list[str]:
    n = int(runs[column].isna().sum()) if column in runs else len(runs)
    return [f"Not logged by {n} of {len(runs)} runs."] if n else []


def _count(n: int) -> Cell:
    return Cell(f"{n:,}", value=n)


def _names(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}, key=natural))


def _table(
    name: str, caption: str, header: list[str], rows: list[tuple[str, list[Cell]]], notes: Sequence[str] = ()
) -> Table:
    return Table(name, "", caption, header, [Block("", rows)] if rows else [], list(notes))
