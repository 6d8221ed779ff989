"""What runs cost: hours, seconds a run, samples a second."""

from __future__ import annotations

import math

import pandas as pd

from analysis.evidence.choice import SECONDS, natural
from analysis.evidence.gather import Evidence
from analysis.evidence.rows import loss_order
from analysis.tables.table import MISSING, Block, Cell, Summary, Table

COLUMNS = ["benchmark", "loss", "runs", "hours", "seconds", "samples_per_s", "samples_per_s_std", "timed"]


def cost_table(evidence: Evidence) -> Table:
    """List hours, seconds a run and samples a second of training by benchmark and loss, all seeds together.

    The members of a sweep or a search are one line: they differ in a number, not in work.
    """
    runs = evidence.collected.runs
    runs = runs[runs["kind"] == "loss"]
    base = runs["loss"].str.partition("@")[0]
    timed = [name for name in SECONDS if name in runs]
    whole = runs[timed].astype(float).sum(axis=1, min_count=1)
    rate = runs["samples_per_s"].astype(float) if "samples_per_s" in runs else pd.Series(math.nan, index=runs.index)
    known = runs.assign(base=base, whole=whole, rate=rate)
    blocks, data = [], []
    for benchmark in sorted(known["benchmark"].unique(), key=natural):
        here, rows = known[known["benchmark"] == benchmark], []
        for loss in sorted(here["base"].unique(), key=loss_order):
            mine = here[here["base"] == loss]
            hours, seconds, samples = (
                mine["whole"].sum() / 3600,
                Summary.over(mine["whole"]),
                Summary.over(mine["rate"]),
            )
            rows.append((f"{benchmark}: {loss}", _cells(len(mine), hours, seconds, samples)))
            figures = [hours, seconds.mean, samples.mean, samples.std, samples.n]
            data.append([benchmark, loss, len(mine), *figures])
        blocks.append(Block(benchmark, rows))
    return Table(
        "cost",
        evidence.profile,
        f"Cost, profile {evidence.profile}: finished runs of every seed and of every member of a sweep or a search, "
        "their hours together, mean seconds a run (data, training, evaluation), and training samples a second, mean ± "
        "standard deviation over runs (number of runs). Workers shared a machine while this was measured.",
        ["", "runs", "hours", "seconds a run", "samples a second"],
        blocks,
        data=pd.DataFrame(data, columns=COLUMNS),
    )


def _cells(runs: int, hours: float, seconds: Summary, samples: Summary) -> list[Cell]:
    return [
        Cell(str(runs), value=runs),
        Cell(f"{hours:.2f}", value=hours),
        Cell(f"{seconds.mean:.1f}" if seconds.n else MISSING, value=seconds.mean),
        Cell(samples.text("0f"), value=samples.mean),
    ]
