"""``scores.csv``: the primary metric of every run of a profile, a row a seed, for statistics of one's own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.evidence.choice import natural
from analysis.evidence.gather import Evidence

COLUMNS = ["benchmark", "loss", "row", "kind", "purpose", "seed", "split", "metric", "value", "key", "status"]
ORDER = ["benchmark", "loss", "row", "purpose", "seed", "split"]


def scores(evidence: Evidence, logged: pd.DataFrame) -> pd.DataFrame:
    """Return the primary metric of every run, on validation and with evaluation seeds on test as well.

    Parameters
    ----------
    evidence : Evidence
    logged : DataFrame
        All logged runs, for the keys of those that do not count.

    Returns
    -------
    DataFrame
        `COLUMNS`, in natural order. `row` is the label in the tables, empty for a run that stands in none; a run that
        stands in several comes with each. Runs that do not count are there as well, without a value, and `status`
        says why: ``counts``, or the reason.
    """
    runs = evidence.collected.runs
    labels = evidence.rows[["run_id", "row"]]
    told = ["run_id", "key", "benchmark", "loss", "kind", "purpose", "seed", "metric", "val", "test"]
    counted = runs[told].merge(labels, on="run_id", how="left").assign(status="counts")
    on_test = counted[counted["purpose"] == "evaluation"].assign(split="test").assign(value=lambda part: part["test"])
    on_val = counted.assign(split="val").assign(value=lambda part: part["val"])
    left_out = evidence.collected.left_out
    absent = left_out[["run_id", "benchmark", "loss", "purpose", "seed", "reason"]].rename(columns={"reason": "status"})
    absent = absent.merge(
        logged[["run_id", "key", "kind", "metric"]].drop_duplicates("run_id"), on="run_id", how="left"
    )
    absent = absent.assign(split=absent["purpose"].map({"selection": "val"}).fillna("test"), value=float("nan"))
    parts = [part.reindex(columns=COLUMNS).astype(object) for part in (on_test, on_val, absent) if len(part)]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(parts, ignore_index=True)
    table["row"] = table["row"].fillna("")
    return table.sort_values(ORDER, key=_natural, ignore_index=True)


def write(evidence: Evidence, logged: pd.DataFrame, folder: Path) -> Path:
    """Write ``scores.csv`` into a folder, values unrounded, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scores.csv"
    scores(evidence, logged).to_csv(path, index=False, lineterminator="\n")
    return path


def _natural(column: pd.Series) -> pd.Series:
    """Return the place of every value of a column in natural order."""
    known = sorted(column.astype(str).unique(), key=natural)
    return column.astype(str).map({value: place for place, value in enumerate(known)})
