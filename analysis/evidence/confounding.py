"""Whether two rows differ in more than their loss: all runs of one on other hardware, packages or code."""

from __future__ import annotations

import pandas as pd

from analysis.read.origins import json_object

ORIGINS = ("hardware", "packages", "code", "git")


def confounding(first: pd.DataFrame, second: pd.DataFrame) -> str:
    """Say what all runs of a row have in common and no run of another has; empty if there is nothing.

    Parameters
    ----------
    first, second : DataFrame
        Runs with the columns of `ORIGINS` as :func:`suite.tracking.frame` gives them. Where a column is unknown for a
        run nothing is said of it. Modules that the runs of one row alone used are its loss's own. Of commits only those
        count that have changes beside them, as what was run is then not known.
    """
    found = []
    for column in ("hardware", "packages", "code"):
        names = sorted(_differing(first, second, column))
        if names:
            more = f" and {len(names) - 2} more" if len(names) > 2 else ""
            found.append(f"{column} ({', '.join(names[:2])}{more})")
    unclean = [_is_unclean(part) for part in (first, second)]
    if unclean[0] != unclean[1]:
        found.append("uncommitted code")
    return f"all runs of one have other {' and '.join(found)} than those of the other" if found else ""


def _differing(first: pd.DataFrame, second: pd.DataFrame, column: str) -> set[str]:
    """Return the names inside a column of JSON objects of which two sets of runs share no value."""
    if column not in first or first[column].isna().any() or second[column].isna().any():
        return set()
    values = [[json_object(str(text)) for text in part[column].unique()] for part in (first, second)]
    common = set.intersection(*(set(one) for part in values for one in part)) if all(values) else set()
    return {name for name in common if not {str(v[name]) for v in values[0]} & {str(v[name]) for v in values[1]}}


def _is_unclean(runs: pd.DataFrame) -> bool:
    return "git" in runs and len(runs) > 0 and bool(runs["git"].astype(str).str.contains("dirty").all())
