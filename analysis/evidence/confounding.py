"""Whether the runs of a pair differ in more than their loss: in hardware, packages or code."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from analysis.read.origins import json_object


def confounding(first: pd.DataFrame, second: pd.DataFrame) -> str:
    """Say in how many pairs the two runs differ in more than their loss; empty if in none.

    Parameters
    ----------
    first, second : DataFrame
        The runs of two rows, a pair a line, with hardware, packages, code and commit as :func:`suite.tracking.frame`
        gives them. Nothing is said of what neither run of a pair has on record. Modules that one run alone used are its
        loss's own. Of commits only those count that have changes beside them, as what was run is then not known.
    """
    found = []
    for column in (name for name in ("hardware", "packages", "code") if name in first):
        names: set[str] = set()
        differing = unknown = 0
        texts = (part[column].fillna("").astype(str) for part in (first, second))
        for pair, count in Counter(zip(*texts, strict=True)).items():
            one, other = map(json_object, pair)
            changed = {name for name in one.keys() & other.keys() if one[name] != other[name]}
            names |= changed
            differing += count * bool(changed)
            unknown += count * (bool(one) != bool(other))
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        found += [(f"other {column} ({', '.join(sorted(names)[:2])}{more})", differing), (f"unknown {column}", unknown)]
    if "git" in first:
        unclean = (part["git"].astype(str).str.contains("dirty").to_numpy() for part in (first, second))
        found.append(("uncommitted code", sum(one != other for one, other in zip(*unclean, strict=True))))
    pairs = len(first)
    return ", ".join(
        f"{what} in {'every pair' if count == pairs else f'{count} of {pairs} pairs'}" for what, count in found if count
    )
