"""Tables of whether each benchmark tells losses apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import pandas as pd

from analysis.evidence.separation import (
    ALPHA,
    NO_CONTRAST,
    RAW,
    SWEPT,
    UNTRAINED,
    BenchmarkRuns,
    against_references,
    benchmark_runs,
    of_temperature,
    on_test,
    on_validation,
    trained,
)
from analysis.read.collect import Collected
from analysis.statistics.paired import BlockTest, Difference
from analysis.tables.render import markdown
from analysis.tables.table import ARROWS, MISSING, Block, Cell, Summary, Table, digits_for, interval_cell

#: Names of the tables of a profile, in order.
SECTIONS = ("references", "temperature", "validation", "test")

Row = tuple[str, list[Cell]]


def separation_tables(collected: Collected, profile: str) -> list[Table]:
    """Return the tables of one profile, named as in `SECTIONS`."""
    benchmarks = benchmark_runs(collected, profile)
    tables = [
        make(benchmarks, profile) for make in (references_table, temperature_table, validation_table, evaluation_table)
    ]
    if left_out := len(collected.of(profile).left_out):
        tables[0].notes.append(f"Runs left out: {left_out}; python -m analysis tables lists them and says why.")
    return tables


def document(tables: Iterable[Table]) -> str:
    """Return the tables as one page of Markdown, a chapter a profile and a section a table."""
    parts, profile = ["# What the benchmarks tell apart"], None
    for table in tables:
        if table.profile != profile:
            profile = table.profile
            parts.append(f"## Profile {profile}")
        parts += [f"### {table.name}", markdown(table).rstrip()]
    return "\n\n".join(parts) + "\n"


def references_table(benchmarks: Iterable[BenchmarkRuns], profile: str) -> Table:
    """Tell whether InfoNCE's encoder, trained, beats what was not trained, on test."""
    blocks, notes, data = [], [], []
    for runs in benchmarks:
        loss = trained(runs)
        rows: list[Row] = []
        said = list(_missing_references(runs, loss))
        for one in against_references(runs):
            if one.is_single and len(runs.test(loss or "")) > 1:
                said.append(f"{one.name} has one run, which every seed is compared with")
            cells = _difference_cells(one.difference, digits_for(runs.evaluation["test"]))
            rows.append((f"{_trained_label(runs)} - {one.name}", [*cells, Cell(_yes_or_no(one.holds))]))
            data.append([runs.name, runs.metric, runs.goal, loss, one.name, *_figures(one.difference), one.holds])
        blocks.append(_block(_title(runs), rows, 3))
        notes += [f"{runs.name}: {text}." for text in said]
    columns = ["benchmark", "metric", "goal", "loss", "reference", "n", "mean", "std", "low", "high", "holds"]
    return Table(
        "references",
        profile,
        f"Trained against untrained, profile {profile}: differences on the primary test metric, paired by seed, mean ± "
        "standard deviation (number of seeds), with 95 % t-intervals. The encoder is trained by InfoNCE at the "
        "temperature that validation chose. It holds where the interval excludes 0 on the better side (↑ above, ↓ "
        f"below); {NO_CONTRAST} is reported as it is.",
        ["benchmark", "", "difference", "95 % interval", "holds"],
        blocks,
        notes,
        pd.DataFrame(data, columns=columns),
    )


def temperature_table(benchmarks: Iterable[BenchmarkRuns], profile: str) -> Table:
    """Tell whether InfoNCE's temperature matters, on validation."""
    rows: list[Row] = []
    notes, data = [], []
    for runs in benchmarks:
        notes += [f"{runs.name}: {text}." for text in _missing_temperatures(runs)]
        one = of_temperature(runs)
        if one is None:
            rows.append((_title(runs), [Cell(MISSING)] * 7))
            continue
        digits, test = digits_for(runs.selection["val"]), one.test
        figures = [f"{one.best:g}", f"{one.worst:g}", _spread(one.gap, digits)]
        figures += [_plain(test.residual_std, f".{digits}"), _f(test), _plain(test.p, ".2g"), _yes_or_no(one.holds)]
        rows.append((_title(runs), [Cell(text) for text in figures]))
        gap = [one.gap.n, one.gap.mean, one.gap.std]
        tested = [test.residual_std, test.f, test.settings_df, test.residual_df, test.p, one.holds]
        data.append([runs.name, runs.metric, runs.goal, one.best, one.worst, *gap, *tested])
    columns = ["benchmark", "metric", "goal", "best", "worst", "n", "mean", "std"]
    columns += ["residual_std", "f", "settings_df", "residual_df", "p", "holds"]
    return Table(
        "temperature",
        profile,
        f"InfoNCE's temperature, profile {profile}: the primary validation metric over the sweep and the selection "
        "seeds. Best - worst is paired by seed, mean ± standard deviation (number of seeds), and by itself too large: "
        "the two are chosen as extremes, which noise alone would set apart. So temperatures are tested together: F of "
        "the randomised block design (value = temperature + seed + noise), with the noise's standard deviation. It "
        f"holds where p < {ALPHA}.",
        ["benchmark", "best τ", "worst τ", "best - worst", "noise", "F (df)", "p", "holds"],
        [Block("benchmark", rows)],
        notes,
        pd.DataFrame(data, columns=columns),
    )


def validation_table(benchmarks: Iterable[BenchmarkRuns], profile: str) -> Table:
    """Set every loss beside the whole sweep, on validation with the selection seeds."""
    blocks, notes, data = [], [], []
    for runs in benchmarks:
        digits = digits_for(runs.selection["val"])
        rows: list[Row] = []
        for one in on_validation(runs):
            level = Summary.over(one.values)
            cells = [level.text(digits), f"{one.worse} of {one.of}" if one.of else MISSING]
            cells += [_spread(gap, digits) for gap in one.gaps]
            rows.append((one.loss, [Cell(text) for text in cells]))
            where = [runs.name, runs.metric, runs.goal, one.loss, level.n, level.mean, level.std, one.worse, one.of]
            data.append([*where, *(figure for gap in one.gaps for figure in (gap.n, gap.mean, gap.std))])
        blocks.append(_block(_title(runs), rows, 5))
        notes += [f"{runs.name}: {text}." for text in _missing_on_validation(runs)]
    gaps_of = [f"{figure}_minus_{what}" for what in ("best", "host", "median") for figure in ("n", "mean", "std")]
    return Table(
        "validation",
        profile,
        f"Losses beside InfoNCE's whole sweep, profile {profile}: the primary validation metric over the selection "
        "seeds, mean ± standard deviation (number of seeds); how many (other) temperatures have a worse mean; and "
        "differences paired by seed from the best temperature (chosen on these figures, so flattered by them), the "
        "host method's own, and the median of the sweep at each seed, which half of the temperatures beat.",
        ["benchmark", "", "level", "beats τ", "- best τ", "- host τ", "- median"],
        blocks,
        notes,
        pd.DataFrame(
            data, columns=["benchmark", "metric", "goal", "loss", "n", "mean", "std", "beats", "of", *gaps_of]
        ),
    )


def evaluation_table(benchmarks: Iterable[BenchmarkRuns], profile: str) -> Table:
    """Set every loss beside InfoNCE at its two temperatures, on test with the evaluation seeds."""
    blocks, notes, data = [], [], []
    for runs in benchmarks:
        digits = digits_for(runs.evaluation["test"])
        rows: list[Row] = []
        for one in on_test(runs):
            if one.values.empty:
                notes.append(f"{runs.name}: {one.loss} has no evaluation run.")
                continue
            level = Summary.over(one.values)
            cells = [cell for gap in one.gaps for cell in _difference_cells(gap, digits)]
            rows.append((one.loss, [Cell(level.text(digits)), *cells]))
            figures = [figure for gap in one.gaps for figure in _figures(gap)]
            data.append([runs.name, runs.metric, runs.goal, one.loss, level.n, level.mean, level.std, *figures])
        blocks.append(_block(_title(runs), rows, 5))
        notes += [f"{runs.name}: {text}." for text in _without_validated(runs)]
    differences = [f"{f}_minus_{base}" for base in ("host", "validated") for f in ("n", "mean", "std", "low", "high")]
    return Table(
        "test",
        profile,
        f"Losses beside InfoNCE, profile {profile}: the primary test metric over the evaluation seeds, mean ± standard "
        "deviation (number of seeds), and differences paired by seed, with 95 % t-intervals, from InfoNCE at the host "
        "method's temperature and at the temperature that validation chose.",
        ["benchmark", "", "level", "- host τ", "95 % interval", "- validated τ", "95 % interval"],
        blocks,
        notes,
        pd.DataFrame(data, columns=["benchmark", "metric", "goal", "loss", "n", "mean", "std", *differences]),
    )


def _title(runs: BenchmarkRuns) -> str:
    return f"{runs.name}: {runs.metric} {ARROWS[runs.goal]}"


def _trained_label(runs: BenchmarkRuns) -> str:
    return runs.validated if runs.validated is not None else f"{SWEPT} (host τ, not validated)"


def _without_validated(runs: BenchmarkRuns) -> Iterator[str]:
    if runs.choice is None:
        yield "no temperature sweep with selection seeds, so no validated temperature"
    elif runs.validated is None:
        yield f"validation chose {runs.choice.member}, which has no evaluation run"
    elif runs.validated == SWEPT:
        yield f"validation chose the host temperature, {runs.choice.value}"


def _missing_references(runs: BenchmarkRuns, loss: str | None) -> Iterator[str]:
    yield from _without_validated(runs)
    if loss is None:
        yield f"no evaluation run of {SWEPT}"
    if runs.test(UNTRAINED, "reference").empty:
        yield f"no run of {UNTRAINED}"
    if all(runs.test(name, "reference").empty for name in RAW):
        yield f"no run of {' or '.join(RAW)}"


def _missing_temperatures(runs: BenchmarkRuns) -> Iterator[str]:
    if runs.choice is None:
        yield "no temperature sweep with selection seeds"
    elif runs.choice.skipped:
        yield f"{', '.join(runs.choice.skipped)} left out, selection seeds are missing"
    if runs.sweep.shape[1] == 1:
        yield "one temperature, nothing to compare it with"
    elif runs.sweep.shape[0] == 1:
        yield "one selection seed, no noise to compare with"


def _missing_on_validation(runs: BenchmarkRuns) -> Iterator[str]:
    yield from _missing_temperatures(runs)
    if runs.host_val().empty:
        known = f"host temperature {runs.host:g}" if not math.isnan(runs.host) else "host temperature"
        yield f"no selection run at the {known}"
    for name in runs.others:
        if runs.val(name).empty:
            yield f"no selection run of {name}"


def _block(title: str, rows: list[Row], columns: int) -> Block:
    """Put the benchmark before its first row."""
    filled = rows or [(MISSING, [Cell(MISSING)] * columns)]
    return Block("benchmark", [("" if i else title, [Cell(name), *cells]) for i, (name, cells) in enumerate(filled)])


def _figures(one: Difference) -> list[object]:
    return [one.n, one.mean, one.std, one.low, one.high]


def _difference_cells(one: Difference, digits: str) -> list[Cell]:
    return [Cell(_spread(one, digits)), interval_cell(one.low, one.high, digits)]


def _spread(one: Difference, digits: str) -> str:
    if one.n == 0:
        return MISSING
    spread = "" if math.isnan(one.std) else f" ± {one.std:.{digits}}"
    return f"{one.mean:+.{digits}}{spread} ({one.n})"


def _f(test: BlockTest) -> str:
    return MISSING if math.isnan(test.f) else f"{test.f:.3g} ({test.settings_df}, {test.residual_df})"


def _plain(value: float, form: str) -> str:
    return MISSING if math.isnan(value) else f"{value:{form}}"


def _yes_or_no(holds: bool | None) -> str:
    return MISSING if holds is None else "yes" if holds else "no"
