"""Every table of a profile."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis.evidence.choice import SECONDS, natural
from analysis.evidence.gather import Evidence
from analysis.evidence.sweeps import swept_losses
from analysis.tables.across import across_table
from analysis.tables.costs import cost_table
from analysis.tables.machines import machine_tables
from analysis.tables.main import Spread, main_table, run_name
from analysis.tables.sweeps import selection_table, sweep_table
from analysis.tables.table import MISSING, Block, Cell, Summary, Table, digits_for
from analysis.tables.tuning.budget import budget_table
from analysis.tables.tuning.price import price_table
from analysis.tables.tuning.settings import settings_table
from analysis.tables.verdicts import published_table, seeds_table, significance_table, verdicts_table

METRIC_COLUMNS = ["row", "kind", "benchmark", "metric", "n", "mean", "std"]


def all_tables(evidence: Evidence, spread: Spread = "std") -> list[Table]:
    """Return every table of a profile: results, verdicts and tests, sweeps, costs, benchmarks, what was left out."""
    made = [
        main_table(evidence, spread),
        verdicts_table(evidence),
        published_table(evidence),
        *significance_tables(evidence),
        price_table(evidence),
        budget_table(evidence),
        settings_table(evidence),
        selection_table(evidence),
        *(sweep_table(evidence, loss) for loss in swept_losses(evidence.collected)),
        cost_table(evidence),
        *machine_tables(evidence),
        *(benchmark_table(evidence, benchmark) for benchmark in evidence.benchmarks),
        left_out_table(evidence),
        *_offered(evidence),
    ]
    labels = evidence.declared.labels
    return [replace(table, labels=labels) for table in made if table is not None]


def _offered(evidence: Evidence) -> Iterator[Table | None]:
    """Make the tables of modules of this folder that offer one as ``TABLE``, in the order of their names."""
    for found in pkgutil.iter_modules([str(Path(__file__).parent)]):
        make = getattr(importlib.import_module(f"{__package__}.{found.name}"), "TABLE", None)
        if make is not None:
            yield make(evidence)


def significance_tables(evidence: Evidence) -> list[Table]:
    """Return the tests against the baseline, those across benchmarks, and what the seeds at hand can show."""
    made = (significance_table(evidence), across_table(evidence), seeds_table(evidence))
    return [table for table in made if table is not None]


def benchmark_table(evidence: Evidence, benchmark: str) -> Table:
    """All test metrics of one benchmark and the mean seconds of its runs.

    A failed seed has the primary metric that it counts as, and no other.
    """
    here = evidence.rows[evidence.rows["benchmark"] == benchmark]
    tested = evidence.collected.tested.reindex(here["run_id"].unique()).dropna(axis=1, how="all")
    primaries = [f"test/{metric}" for metric in here["metric"].unique()]
    metrics = [*primaries, *sorted({str(name) for name in tested} - set(primaries), key=natural)]
    seconds = [name for name in SECONDS if name in here and here[name].notna().any()]
    runs = here[["run_id", "row", "kind", *seconds]].join(tested, on="run_id")
    runs = runs.assign(**{name: here["test"].where("test/" + here["metric"] == name) for name in primaries})
    by_row = dict(iter(runs.groupby(["kind", "row"])))
    digits = {name: digits_for(runs[name]) for name in metrics}
    blocks, data = [], []
    for kind, title, labels in (
        ("loss", "Losses", evidence.labels),
        ("reference", "References", evidence.references),
    ):
        rows = []
        for row in labels:
            mine = by_row.get((kind, row))
            if mine is None:
                continue
            found = {name: Summary.over(mine[name]) for name in (*metrics, *seconds)}
            cells = [Cell(found[name].text(digits[name]), value=found[name].mean) for name in metrics]
            cells += [Cell(_plain(found[name]), value=found[name].mean) for name in seconds]
            rows.append((row, cells))
            data += [[row, kind, benchmark, name, one.n, one.mean, one.std] for name, one in found.items()]
        if rows:
            blocks.append(Block(title, rows))
    return Table(
        f"benchmark-{benchmark}",
        evidence.profile,
        f"{benchmark}, profile {evidence.profile}: test metrics, mean ± standard deviation over seeds (number of "
        "seeds), and mean seconds a run.",
        ["", *(name.removeprefix("test/") for name in metrics), *(f"{name.partition('/')[2]} [s]" for name in seconds)],
        blocks,
        ["Failed seeds count in the primary metric alone: other metrics are of fewer."] if here["failed"].any() else [],
        pd.DataFrame(data, columns=METRIC_COLUMNS),
    )


def left_out_table(evidence: Evidence) -> Table:
    """List every run of the profile that does not count, and why."""
    left_out = evidence.collected.left_out
    rows = [(run_name(run), [Cell(str(run["status"])), Cell(str(run["reason"]))]) for _, run in left_out.iterrows()]
    return Table(
        "left-out",
        evidence.profile,
        f"Runs of profile {evidence.profile} that do not enter the tables.",
        ["", "status", "reason"],
        [Block("Runs", rows)],
        data=left_out,
    )


def _plain(one: Summary) -> str:
    return MISSING if one.n == 0 else f"{one.mean:.1f}"
