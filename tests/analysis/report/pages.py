"""A report made by hand: two profiles, tables with blocks and gaps, figures that share ids, hostile names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis.evidence.gather import Evidence, Reproduction
from analysis.report import write_report
from analysis.report.page import Figure
from analysis.tables.table import MISSING, Block, Cell, Table
from suite.registry.claims import Published
from tests.analysis import evidences

HOSTILE = "</script><script>alert('x')</script><b>\"&"
SCORES = {"infonce": 0.7, "dystress": 10.2, "temperature_free": 9.1, HOSTILE: math.nan}
FIGURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="200pt" viewBox="0 0 400 200">'
    '<defs><path id="same" d="M0 0H400V200Z"/></defs><use href="#same" style="fill: #4c72b0"/></svg>'
)
MARKED = "</ScRiPt><!--"


def build(path: Path) -> Path:
    """Write the report to a path."""
    mini = evidence()
    smoke = _renamed(evidences.evidence(benchmarks=["image"], seeds=range(2)), "smoke")
    points = evidences.curves(mini)
    whole, other = (made.collected.runs.join(made.collected.tested, on="run_id") for made in (mini, smoke))
    runs = [whole, _logged(mini.collected.left_out), other]
    logged = replace(evidences.logged(mini, points), runs=_with_curves(pd.concat(runs, ignore_index=True), points))
    tables = {"mini": tables_of("mini"), "smoke": tables_of("smoke")}
    figures: dict[str, Sequence[Figure]] = {
        "mini": [("one", f"First {HOSTILE}.", FIGURE.format(width=400)), ("two", "Second.", FIGURE.format(width=900))]
    }
    return write_report([mini, smoke], tables, figures, logged, path)


def evidence() -> Evidence:
    """Return the evidence of a campaign with everything that a page can show."""
    made = evidences.evidence(effects={("temperature_free", "graph"): -5.0, ("dystress", "image"): 3.0})
    failed = {"status": "FAILED", "reason": f"failed: {HOSTILE}", "loss": HOSTILE, "run_id": "hostile"}
    left_out = made.collected.runs.head(1).assign(**failed)
    published = Published("infonce", "accuracy", 0.833, f"A paper {MARKED}", "theirs is larger", 0.004, "paper")
    few = made.rows[~((made.rows["row"] == "dystress") & (made.rows["benchmark"] == "image") & (made.rows["seed"] > 2))]
    return replace(
        made,
        rows=few,
        collected=replace(made.collected, left_out=left_out[list(made.collected.left_out.columns)]),
        reproductions=(Reproduction("graph", published, "close", "Neither.", 5, 0.83, 0.82, 0.84),),
        notes=(f"A note with {HOSTILE}",),
    )


def _renamed(made: Evidence, profile: str) -> Evidence:
    """Return evidence as if its runs were of another profile."""
    runs = made.collected.runs
    runs = runs.assign(profile=profile, run_id=runs["run_id"] + profile, key=runs["key"] + profile)
    tested = made.collected.tested.rename(index=lambda run_id: run_id + profile)
    return replace(made, profile=profile, collected=replace(made.collected, runs=runs, tested=tested))


def _logged(left_out: pd.DataFrame) -> pd.DataFrame:
    return left_out.drop(columns="reason").assign(key="hostile", kind="loss")


def _with_curves(runs: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    return runs.assign(**dict.fromkeys(points["name"].unique(), 0.0))


def tables_of(profile: str) -> list[Table]:
    """Return two tables: one to sort, and one that is wider than any page."""
    rows = [(name, [Cell(_text(score), score == 10.2, score), Cell("some words")]) for name, score in SCORES.items()]
    references = [("untrained", [Cell("0.5", value=0.5), Cell("b")]), ("raw", [Cell("0.6", value=0.6), Cell("a")])]
    header = ["", "accuracy ↑", "remark"]
    main = Table("main", profile, "The main table.", header, [Block("Losses", rows), Block("References", references)])
    wide = [("row", [Cell("0.123456", value=0.123456)] * 40), ("other", [Cell("0.2", value=0.2)] * 40)]
    seconds = ["", *[f"time {i} [s]" for i in range(40)]]
    return [replace(main, notes=[f"Note {HOSTILE}"]), Table("wide", profile, "Wide.", seconds, [Block("Rows", wide)])]


def _text(score: float) -> str:
    return MISSING if math.isnan(score) else f"{score:.4f} ± 0.1 (5)"
