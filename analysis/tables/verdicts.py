"""Tables of what the runs support: verdicts, published figures, tests against the baseline, and what seeds can show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import pandas as pd

from analysis.evidence.comparison import Comparison
from analysis.evidence.gather import Evidence
from analysis.evidence.reproduction import Reproduction
from analysis.evidence.verdict import Verdict
from analysis.evidence.words import ANSWERS, INSENSITIVE, Bounds, turning_margin
from analysis.statistics.differences import ALPHA
from analysis.statistics.paired import CONFIDENCE
from analysis.statistics.seeds import POWER
from analysis.tables.across import aggregate_cells
from analysis.tables.items import COLUMNS, HEADING, OVER_BOTH, OVER_SEEDS, crossed_cell, crossed_figures, has_items
from analysis.tables.table import MISSING, Block, Cell, Table, digits_at, digits_for, interval_cell
from analysis.tables.verdict_text import nothing_judged
from suite.plan.power import detectable, power, seeds_for_p, seeds_needed, smallest_flip_p

VERDICT_COLUMNS = [
    "claim", "benchmark", "label", "holds", "metric", "n", "mean", "low", "high", "level", "low_alone", "high_alone",
    "margin", "not_worse_above", "seeds", "seeds_low", "seeds_high", "failed", "failed_against", "doubts", "reason",
]  # fmt: skip
TEST_COLUMNS = [
    "row", "against", "benchmark", "metric", "goal", "n", "mean", "std", "low", "high", "boot_low", "boot_high",
    "effect", "effect_low", "effect_high", "p_t", "p_holm", "p_flip", "p_better", "p_not_worse", "p_worse",
    "p_equivalent", "margin",
]  # fmt: skip
SEED_COLUMNS = ["benchmark", "metric", "margin", "noise", "comparisons", "n", "power", "needed", "detectable"]
MOST_SEEDS = 1000
#: One-sided tests at this level agree with two-sided 95 % intervals.
LEVEL = ALPHA / 2


def verdicts_table(evidence: Evidence) -> Table:
    """List what the runs say of every declared claim, overall and by benchmark."""
    blocks, data = [], []
    crossed = has_items(verdict.comparison for verdict in evidence.verdicts)
    for name in dict.fromkeys(verdict.claim for verdict in evidence.verdicts):
        mine = [verdict for verdict in evidence.verdicts if verdict.claim == name]
        blocks.append(Block(mine[0].declared.in_words(), [_verdict_row(verdict, crossed) for verdict in mine]))
        data += [[*_verdict_figures(verdict), *crossed_figures(verdict.comparison)] for verdict in mine]
    columns = [*VERDICT_COLUMNS, *COLUMNS]
    return Table(
        "verdicts",
        evidence.profile,
        f"Claims of the registry, profile {evidence.profile}: differences on the primary test metric, paired by seed, "
        "positive is better, with simultaneous 95 % t-intervals over the benchmarks of a claim, by which words go: "
        "docs/verdicts.md has the rules. The overall word goes by each benchmark's own 95 % interval where it says "
        "everywhere (an intersection-union test), by the simultaneous ones where it says somewhere. "
        + (OVER_BOTH if crossed else OVER_SEEDS),
        [
            "",
            "verdict",
            "claim holds",
            "difference",
            "95 % interval",
            *([HEADING] if crossed else []),
            "margin",
            "n",
            "seeds to tell",
            "reason",
        ],
        blocks,
        list(_verdict_notes(evidence)) if blocks else [nothing_judged(evidence)],
        pd.DataFrame(data, columns=columns)[columns if crossed else VERDICT_COLUMNS],
        is_titled=True,
    )


def published_table(evidence: Evidence) -> Table | None:
    """Set published figures beside ours; None without any."""
    if not evidence.reproductions:
        return None
    rows = [_published_row(one) for one in evidence.reproductions]
    data = [
        [
            one.benchmark, one.published.loss, one.published.metric, one.published.value, one.published.std, one.label,
            one.n, one.mean, one.low, one.high, one.published.source, one.published.differs, one.reason,
        ]
        for one in evidence.reproductions
    ]  # fmt: skip
    columns = ["benchmark", "loss", "metric", "published", "published_std", "label", "n", "mean", "low", "high"]
    return Table(
        "published",
        evidence.profile,
        f"Published figures, profile {evidence.profile}: reproduced where our mean is within the margin of the "
        "published value (TOST, 5 %), not reproduced where its 95 % interval is outside of the margin, close where "
        "neither is shown.",
        ["", "published", "ours", "95 % interval", "n", "verdict", "reason", "source"],
        [Block("Figure", rows)],
        [f"{_figure(one)}: {one.published.differs}." for one in evidence.reproductions if one.published.differs],
        pd.DataFrame(data, columns=[*columns, "source", "differs", "reason"]),
    )


def significance_table(evidence: Evidence) -> Table:
    """Test every row against the baseline on every benchmark."""
    blocks, data = [], []
    crossed = has_items(evidence.comparisons)
    for benchmark in evidence.benchmarks:
        mine = [one for one in evidence.comparisons if one.benchmark == benchmark]
        if mine:
            cells = [(one.row, _test_cells(one, crossed)) for one in mine]
            blocks.append(Block(f"{benchmark}: {mine[0].metric}", cells))
        data += [[*_test_figures(one), *crossed_figures(one)] for one in mine]
    columns = [*TEST_COLUMNS, *COLUMNS]
    smallest = smallest_flip_p(min((one.paired.n for one in evidence.comparisons), default=0))
    return Table(
        "significance",
        evidence.profile,
        f"Against {evidence.baseline or 'the baseline'}, profile {evidence.profile}: differences on the primary test "
        "metric paired by seed, positive is better; 95 % t-interval and bootstrap interval of the mean; Hedges' g of "
        f"the paired differences; two-sided p of the paired t-test, the same after Holm's correction over the "
        "benchmarks of a row, and of the exact sign-flip permutation test; TOST p of equivalence within the margin."
        + (f" {OVER_BOTH}" if crossed else ""),
        [
            "",
            "difference",
            "95 % t",
            *([HEADING] if crossed else []),
            "95 % bootstrap",
            "g",
            "p (t)",
            "p (Holm)",
            "p (flip)",
            "p (TOST)",
        ],
        blocks,
        [f"The smallest p that the exact sign-flip test can give with the fewest seeds here is {smallest:.3g}."]
        if blocks
        else ["There is no baseline to test against, or nothing beside it."],
        pd.DataFrame(data, columns=columns)[columns if crossed else TEST_COLUMNS],
        is_titled=True,
    )


def seeds_table(evidence: Evidence) -> Table | None:
    """Say what the seeds at hand can show at the margin, and how many would, from the noise; None without rows."""
    if not evidence.comparisons:
        return None
    rows, data = [], []
    for benchmark in evidence.benchmarks:
        mine = [one for one in evidence.comparisons if one.benchmark == benchmark and one.paired.n > 1]
        mine = [one for one in mine if not one.is_same]
        if not mine or math.isnan(mine[0].margin):
            rows.append((benchmark, [Cell(MISSING)] * 6))
            continue
        noise, n, margin = _pooled(mine), min(one.paired.n for one in mine), mine[0].margin
        chance, needed = power(n, margin, noise, LEVEL, 1), seeds_needed(noise, margin, POWER, LEVEL, sides=1)
        least = detectable(n, noise, POWER, ALPHA, sides=2)
        digits = digits_for(pd.Series([margin, noise]), 3)
        cells = [f"{margin:g}", f"{noise:.{digits}}", str(n), f"{chance:.2f}"]
        cells += [str(needed) if needed and needed <= MOST_SEEDS else f"over {MOST_SEEDS}", f"{least:.{digits}}"]
        values = [margin, noise, n, chance, needed or math.inf, least]
        rows.append((benchmark, [Cell(text, value=value) for text, value in zip(cells, values, strict=True)]))
        data.append([benchmark, mine[0].metric, margin, noise, len(mine), n, chance, needed, least])
    tests = len(evidence.benchmarks)
    n = min((one.paired.n for one in evidence.comparisons if not one.is_same), default=0)
    return Table(
        "seeds",
        evidence.profile,
        f"What seeds can show, profile {evidence.profile}: the noise is the standard deviation of differences paired "
        "by seed, pooled over all rows against the baseline; the power of a one-sided test (2.5 %) to call a loss that "
        "equals the baseline not worse by the margin, and the seeds for which it is 80 %; the smallest difference that "
        "a two-sided test (5 %) finds with 80 % power with the seeds at hand. Before any correction for several tests.",
        ["", "margin", "noise", "seeds", "power at the margin", "seeds for 80 %", "detectable"],
        [Block("benchmark", rows)],
        [
            f"With {n} seeds the exact sign-flip test cannot give a p below {smallest_flip_p(n):.3g}; for the smallest "
            f"of a row's {tests} p to pass Holm's correction at {ALPHA:g} it needs "
            f"{seeds_for_p(ALPHA, max(tests, 1))} seeds.",
        ],
        pd.DataFrame(data, columns=SEED_COLUMNS),
    )


def _pooled(comparisons: Iterable[Comparison]) -> float:
    """Return the root of the mean variance, weighted by degrees of freedom."""
    pairs = [(one.paired.n - 1, one.paired.std) for one in comparisons]
    return math.sqrt(sum(df * std**2 for df, std in pairs) / sum(df for df, _ in pairs))


def _verdict_row(verdict: Verdict, crossed: bool) -> tuple[str, list[Cell]]:
    one = verdict.comparison
    answer = "" if one is not None and verdict.label == INSENSITIVE else ANSWERS[verdict.holds]
    cells = [Cell(verdict.label, bold=not verdict.benchmark), Cell(answer or MISSING)]
    if one is None and verdict.aggregate is not None:
        found = verdict.aggregate
        mean, interval = aggregate_cells(found.mean, found.low, found.high)
        cells += [Cell(f"{mean.text} margins", value=mean.value), interval, *[Cell("")] * (3 if crossed else 2)]
    elif one is None or one.paired.n == 0 or one.is_same:
        cells += [Cell(MISSING)] * (5 if crossed else 4)
    else:
        digits = digits_for(pd.Series([one.paired.mean, one.margin]), 3)
        cells += [*_difference(one, digits), *([crossed_cell(one, digits)] if crossed else [])]
        margin = MISSING if math.isnan(one.margin) else f"{one.margin:g}"
        cells += [Cell(margin, value=one.margin), Cell(str(one.paired.n), value=one.paired.n)]
    needed = verdict.seeds
    cells.append(Cell(MISSING) if needed is None else Cell(needed.text, value=needed.seeds or math.inf))
    return verdict.benchmark or "overall", [*cells, Cell("; ".join([verdict.reason, *_own_doubts(verdict)]))]


def _own_doubts(verdict: Verdict) -> tuple[str, ...]:
    """Return the doubts that a line says: of its own benchmark, or overall how many there are."""
    if verdict.benchmark or not verdict.doubts:
        return verdict.doubts
    return (f"with {len(verdict.doubts)} doubts, see the benchmarks",)


def _verdict_notes(evidence: Evidence) -> Iterator[str]:
    """Say why margins are what they are, and on which benchmarks "not worse" says nothing."""
    for benchmark in evidence.benchmarks:
        said = evidence.declared.margins.get(benchmark)
        if said is not None and said.reason:
            yield f"{benchmark}: margin {said.margin:g}, {said.reason}."
    for one in evidence.sensitivity:
        if one.is_blind:
            yield f"{one.benchmark}: {one.reason}."


def _verdict_figures(verdict: Verdict) -> list[object]:
    one, found, needed = verdict.comparison, verdict.aggregate, verdict.seeds
    figures: list[object] = ["", "", *[math.nan] * 6, math.nan, math.nan]
    if one is not None:
        paired, alone = one.paired, verdict.alone
        turning = turning_margin(Bounds(paired.low, paired.high))
        figures = [one.metric, paired.n, paired.mean, paired.low, paired.high, one.level, alone.low, alone.high]
        figures += [one.margin, turning]
    elif found is not None:
        figures = ["margins", "", found.mean, found.low, found.high, CONFIDENCE, math.nan, math.nan, 1.0, math.nan]
    where = [verdict.claim, verdict.benchmark or "overall", verdict.label, ANSWERS[verdict.holds]]
    seeds = [None] * 3 if needed is None else [needed.seeds, needed.low, needed.high]
    failed = ["", ""] if one is None else [len(one.failed.classes), len(one.failed_against.classes)]
    return [*where, *figures, *seeds, *failed, "; ".join(verdict.doubts), verdict.reason]


def _difference(one: Comparison, digits: str) -> list[Cell]:
    mean = one.paired.mean
    return [Cell(f"{mean:+.{digits}}", value=mean), interval_cell(one.paired.low, one.paired.high, digits)]


def _figure(one: Reproduction) -> str:
    return f"{one.benchmark}: {one.published.loss}, {one.published.metric}"


def _published_row(one: Reproduction) -> tuple[str, list[Cell]]:
    spread = "" if one.published.std is None else f" ± {one.published.std:g}"
    digits = digits_at(abs(one.mean), 4)
    interval = MISSING if math.isnan(one.low) else f"[{one.low:.{digits}}, {one.high:.{digits}}]"
    cells = [
        Cell(f"{one.published.value:g}{spread}", value=one.published.value),
        Cell(f"{one.mean:.{digits}}" if one.n else MISSING, value=one.mean),
        Cell(interval, value=one.low),
        Cell(str(one.n) if one.n else MISSING, value=one.n),
        Cell(one.label, bold=True),
        Cell(one.reason),
        Cell(one.published.source),
    ]
    return _figure(one), cells


def _test_cells(one: Comparison, crossed: bool) -> list[Cell]:
    if one.is_same or one.paired.n == 0:
        said = "the same runs" if one.is_same else "no common seed"
        return [Cell(said), *[Cell(MISSING)] * (8 if crossed else 7)]
    digits = digits_for(pd.Series([one.paired.mean, one.paired.std, one.margin]), 3)
    boot = one.paired.boot_low, one.paired.boot_high
    ps = (one.paired.p_t, one.p_holm, one.paired.p_flip, one.margins.p_equivalent)
    both = [crossed_cell(one, digits)] if crossed else []
    cells = [*_difference(one, digits), *both, interval_cell(*boot, digits)]
    cells.append(
        Cell(MISSING if math.isnan(one.paired.effect) else f"{one.paired.effect:+.2f}", value=one.paired.effect)
    )
    return [*cells, *(Cell(MISSING if math.isnan(p) else f"{p:.2g}", value=p) for p in ps)]


def _test_figures(one: Comparison) -> list[object]:
    p, m = one.paired, one.margins
    where = [one.row, one.against, one.benchmark, one.metric, one.goal]
    intervals = [p.n, p.mean, p.std, p.low, p.high, p.boot_low, p.boot_high, p.effect, p.effect_low, p.effect_high]
    tests = [p.p_t, one.p_holm, p.p_flip, m.p_better, m.p_not_worse, m.p_worse, m.p_equivalent, one.margin]
    return [*where, *intervals, *tests]
