"""What logged runs were made with, and where they differ in it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

DATA = "param.data."
Counts = dict[str, int]
"""How many runs have a value, by value."""


def provenance(runs: pd.DataFrame) -> dict[str, Any]:
    """Sum up what runs say about themselves.

    Parameters
    ----------
    runs : DataFrame
        As :func:`suite.tracking.frame` gives them.

    Returns
    -------
    dict
        ``runs``: their number by profile and benchmark; ``keys``; ``code``: by benchmark and module, the fingerprints
        with the number of runs that used them; ``data``: by file, the checksums; ``packages``: by name, the versions;
        ``hardware``: by quantity, the values; ``git``: the commits; and ``differing``: the dotted names of all of
        these that have more than one value.
    """
    code = {str(name): inside(part, "code") for name, part in runs.groupby("benchmark")}
    data = {name.removeprefix(DATA): _counts(runs, name) for name in runs.columns if str(name).startswith(DATA)}
    several = {
        "code": {f"{name}.{module}": counts for name, used in code.items() for module, counts in used.items()},
        "data": data,
        "packages": inside(runs, "packages"),
        "hardware": inside(runs, "hardware"),
    }
    git = _counts(runs, "git")
    return {
        "runs": {
            str(profile): {str(name): len(mine) for name, mine in part.groupby("benchmark")}
            for profile, part in runs.groupby("profile")
        },
        "keys": sorted(runs["key"].dropna().unique()),
        **several,
        "code": {name: used for name, used in code.items() if used},
        "git": git,
        "differing": sorted(_differing({**several, "": {"git": git}})),
    }


def inside(runs: pd.DataFrame, column: str) -> dict[str, Counts]:
    """Count the values inside a column of JSON objects by name, in order; what is no object counts for nothing."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for text, count in _counts(runs, column).items():
        for name, value in json_object(text).items():
            found[name][value if isinstance(value, str) else json.dumps(value)] += count
    return {name: dict(sorted(found[name].items())) for name in sorted(found)}


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object; what is none has nothing in it."""
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _counts(runs: pd.DataFrame, column: str) -> Counts:
    if column not in runs:
        return {}
    return {str(value): int(count) for value, count in sorted(runs[column].value_counts().items())}


def _differing(groups: Mapping[str, Mapping[str, Counts]]) -> Iterator[str]:
    for group, named in groups.items():
        yield from (f"{group}.{name}".lstrip(".") for name, counts in named.items() if len(counts) > 1)
