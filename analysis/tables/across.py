"""The table across benchmarks: average ranks, and mean differences in margins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from analysis.evidence.comparison import by_benchmark, described
from analysis.evidence.gather import Evidence
from analysis.statistics.aggregates import Aggregate, hierarchical_bootstrap, improvement
from analysis.statistics.ranks import Ranks, ranks
from analysis.tables.table import MISSING, Block, Cell, Table, interval_cell

ACROSS_COLUMNS = [
    "row", "mean_rank", "p_nemenyi", "mean", "low", "high", "median", "median_low", "median_high",
    "middle", "middle_low", "middle_high", "improvement",
]  # fmt: skip


def across_table(evidence: Evidence) -> Table | None:
    """Average ranks over benchmarks, and mean differences in margins with a hierarchical bootstrap; None for one."""
    scores = evidence.scores()
    if scores.shape[0] < 2 or scores.shape[1] < 2:
        return None
    ranked = ranks(scores, evidence.standard_errors())
    order = sorted(zip(ranked.mean_ranks, ranked.names, strict=True))
    base = evidence.baseline
    nemenyi = ranked.nemenyi[base].drop(base).to_dict() if base in ranked.nemenyi else {}
    tested = _scores(evidence)
    rows, data = [], []
    for rank, name in order:
        aggregate, chance = _aggregate(evidence, name), _improvement(tested, name, base)
        p = nemenyi.get(name, math.nan)
        cells = [Cell(f"{rank:.2f}", value=rank), Cell(MISSING if math.isnan(p) else f"{p:.2g}", value=p)]
        cells += [Cell(MISSING)] * 4 if aggregate is None else _in_margins(aggregate)
        cells.append(Cell(MISSING if math.isnan(chance) else f"{chance:.2f}", value=chance))
        rows.append((name, cells))
        data.append([name, rank, p, *_figures(aggregate), chance])
    return Table(
        "across",
        evidence.profile,
        f"Across {scores.shape[0]} benchmarks, profile {evidence.profile}, rows that no benchmark lacks: average rank "
        f"(1 is best), p of its difference from that of {base or 'the baseline'} by Nemenyi's test, which corrects for "
        "all pairs of rows, and the mean over benchmarks of the difference in margins with a 95 % interval of the "
        "hierarchical bootstrap (benchmarks, then seeds), which takes the benchmarks for a sample of such benchmarks; "
        "a few chosen ones are that only roughly. Beside it the median and the interquartile mean over benchmarks, "
        "which one benchmark cannot carry away, and the probability that a run of the row is better than one of "
        f"{base or 'the baseline'}, averaged over benchmarks.",
        [
            "",
            "average rank",
            "p (Nemenyi)",
            "mean difference in margins",
            "95 % interval",
            "median",
            "interquartile mean",
            "probability of improvement",
        ],
        [Block("", rows)],
        [_what_ranks_show(ranked), *_rests_on(evidence, ranked)],
        pd.DataFrame(data, columns=ACROSS_COLUMNS),
    )


def _rests_on(evidence: Evidence, ranked: Ranks) -> Iterator[str]:
    """Say which rows are left out, and how many seeds ranks rest on where rows have more."""
    apart = [label for label in evidence.labels if label not in ranked.names]
    if apart:
        yield f"Left out, for want of a benchmark or of half of the seeds that most rows have: {', '.join(apart)}."
    seeds = {name: len(here) for name, here in evidence.common().items()}
    losses = evidence.rows[evidence.rows["kind"] == "loss"]
    if any(losses.loc[losses["benchmark"] == name, "seed"].nunique() > many for name, many in seeds.items()):
        yield f"Ranks rest on common seeds: {', '.join(f'{name} {many}' for name, many in seeds.items())}."


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


def _aggregate(evidence: Evidence, row: str) -> Aggregate | None:
    mine = [one for one in evidence.comparisons if one.row == row]
    if len(mine) < len(evidence.benchmarks) or any(one.paired.n < 2 or math.isnan(one.margin) for one in mine):
        return None
    return hierarchical_bootstrap({one.benchmark: one.differences / one.margin for one in mine})


def _scores(evidence: Evidence) -> dict[str, dict[str, np.ndarray]]:
    """Return the scores of rows by benchmark and row, higher is better."""
    found = {}
    for benchmark, here in by_benchmark(evidence.rows).items():
        sign = -1.0 if described(here)[1] == "minimise" else 1.0
        found[benchmark] = {str(row): sign * test.to_numpy(dtype=float) for row, test in here.groupby("row")["test"]}
    return found


def _improvement(scores: Mapping[str, Mapping[str, np.ndarray]], row: str, baseline: str) -> float:
    both = [(here[row], here[baseline]) for here in scores.values() if row in here and baseline in here]
    return math.nan if row == baseline else improvement(both)


def _in_margins(found: Aggregate) -> list[Cell]:
    robust = []
    for one in (found.median, found.middle):
        mean, interval = aggregate_cells(one.value, one.low, one.high)
        robust.append(Cell(f"{mean.text} {interval.text}" if found.has_interval else mean.text, value=one.value))
    return [*aggregate_cells(found.mean, found.low, found.high), *robust]


def _figures(found: Aggregate | None) -> list[float]:
    if found is None:
        return [math.nan] * 9
    robust = [figure for one in (found.median, found.middle) for figure in (one.value, one.low, one.high)]
    return [found.mean, found.low, found.high, *robust]


def aggregate_cells(mean: float, low: float, high: float) -> list[Cell]:
    """Print a difference in margins and its interval, with no more decimals than resampling supports.

    The bounds are quantiles of 10,000 resamples, whose own standard error is about .007 of the interval's width.
    """
    width = high - low
    decimals = 2 if math.isnan(width) or width <= 0 else min(2, max(0, math.floor(-math.log10(0.014 * width))))
    return [Cell(f"{mean:+.{decimals}f}", value=mean), interval_cell(low, high, f"{decimals}f")]
