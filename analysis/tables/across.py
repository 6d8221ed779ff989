"""The table across benchmarks: average ranks, and mean differences in margins."""

from __future__ import annotations

import math

import pandas as pd

from analysis.evidence.gather import Evidence
from analysis.statistics.ranks import Ranks, hierarchical_bootstrap, ranks
from analysis.tables.table import MISSING, Block, Cell, Table


def across_table(evidence: Evidence) -> Table | None:
    """Average ranks over benchmarks, and mean differences in margins with a hierarchical bootstrap; None for one."""
    scores = evidence.scores()
    if scores.shape[0] < 2 or scores.shape[1] < 2:
        return None
    ranked = ranks(scores, evidence.standard_errors())
    order = sorted(zip(ranked.mean_ranks, ranked.names, strict=True))
    base = evidence.baseline
    nemenyi = ranked.nemenyi[base].drop(base).to_dict() if base in ranked.nemenyi else {}
    rows, data = [], []
    for rank, name in order:
        aggregate = _aggregate(evidence, name)
        p = nemenyi.get(name, math.nan)
        cells = [Cell(f"{rank:.2f}", value=rank), Cell(MISSING if math.isnan(p) else f"{p:.2g}", value=p)]
        cells += [Cell(MISSING)] * 2 if aggregate is None else aggregate_cells(*aggregate)
        rows.append((name, cells))
        data.append([name, rank, p, *(aggregate or (math.nan,) * 3)])
    return Table(
        "across",
        evidence.profile,
        f"Across {scores.shape[0]} benchmarks, profile {evidence.profile}, rows that no benchmark lacks: average rank "
        f"(1 is best), p of its difference from that of {base or 'the baseline'} by Nemenyi's test, which corrects for "
        "all pairs of rows, and the mean over benchmarks of the difference in margins with a 95 % interval of the "
        "hierarchical bootstrap (benchmarks, then seeds), which takes the benchmarks for a sample of such benchmarks; "
        "a few chosen ones are that only roughly.",
        ["", "average rank", "p (Nemenyi)", "mean difference in margins", "95 % interval"],
        [Block("", rows)],
        [_what_ranks_show(ranked)],
        pd.DataFrame(data, columns=["row", "mean_rank", "p_nemenyi", "mean", "low", "high"]),
    )


def _what_ranks_show(ranked: Ranks) -> str:
    if not ranked.can_separate:
        end = f"more than the largest that could be observed, {ranked.largest_difference:g}"
    else:
        power = (
            ""
            if math.isnan(ranked.power)
            else f", and finds a row that is a margin better with {ranked.power:.0%} power"
        )
        end = f"of at most {ranked.largest_difference:g}{power}"
    friedman = (
        "Friedman's test needs three rows"
        if math.isnan(ranked.friedman_p)
        else f"Friedman: statistic {ranked.friedman_statistic:.3g}, p = {ranked.friedman_p:.2g}"
    )
    return (
        f"{friedman}. Nemenyi's test takes a difference of {ranked.critical_difference:.2f} average ranks for real at "
        f"5 %, {end}."
    )


def _aggregate(evidence: Evidence, row: str) -> tuple[float, float, float] | None:
    mine = [one for one in evidence.comparisons if one.row == row]
    if len(mine) < len(evidence.benchmarks) or any(one.paired.n < 2 or math.isnan(one.margin) for one in mine):
        return None
    found = hierarchical_bootstrap({one.benchmark: one.differences / one.margin for one in mine})
    return found.mean, found.low, found.high


def aggregate_cells(mean: float, low: float, high: float) -> list[Cell]:
    """Print a mean difference in margins and its interval."""
    return [Cell(f"{mean:+.2f}", value=mean), Cell(f"[{low:+.2f}, {high:+.2f}]", value=low)]
