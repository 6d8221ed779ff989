"""Does each benchmark tell losses apart? Trained against untrained and raw, and the temperature against its noise.

A benchmark on which training changes nothing, or the temperature does not matter, cannot rank losses. Intervals are of
one comparison each, not corrected for their number: they are checks of the benchmarks, not verdicts on losses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import cached_property

import pandas as pd

from analysis.evidence.choice import Choice, choose, members, natural
from analysis.evidence.rows import loss_order
from analysis.read.collect import Collected
from analysis.statistics.paired import BlockTest, Difference, block_test
from analysis.tables.render import markdown
from analysis.tables.table import ARROWS, MISSING, Block, Cell, Summary, Table, decimals_for

SWEPT, PARAMETER = "infonce", "temperature"
UNTRAINED, NO_CONTRAST = "untrained", "no_contrast"
RAW = ("raw", "popularity")
ALPHA = 0.05

#: Names of the tables of a profile, in order.
SECTIONS = ("references", "temperature", "validation", "test")

Row = tuple[str, list[Cell]]


def separation_tables(collected: Collected, profile: str) -> list[Table]:
    """Return the tables of one profile, named as in `SECTIONS`."""
    runs = collected.of(profile).runs
    choices = {choice.benchmark: choice for choice in choose(runs) if choice.loss == SWEPT}
    benchmarks = [
        BenchmarkRuns(runs[runs["benchmark"] == name], choices.get(name))
        for name in sorted(runs["benchmark"].unique(), key=natural)
    ]
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


class BenchmarkRuns:
    """The runs of one benchmark in one profile.

    Parameters
    ----------
    runs : DataFrame
        From :func:`analysis.read.collect.collect`, of one benchmark; at least one.
    choice : Choice or None
        What validation chose of InfoNCE's temperatures.
    """

    def __init__(self, runs: pd.DataFrame, choice: Choice | None) -> None:
        newest = runs.sort_values(["start", "run_id"]).iloc[-1]
        self.name, self.metric, self.goal = (str(newest[column]) for column in ("benchmark", "metric", "goal"))
        self.title = f"{self.name}: {self.metric} {ARROWS[self.goal]}"
        self.sign = -1.0 if self.goal == "minimise" else 1.0
        self.choice = choice
        self.runs = runs
        self.selection, self.evaluation = (runs[runs["purpose"] == part] for part in ("selection", "evaluation"))

    def val(self, loss: str) -> pd.Series:
        """Return a loss's validation figures by selection seed."""
        return _by_seed(self.selection, "loss", loss, "val")

    def test(self, loss: str, kind: str = "loss") -> pd.Series:
        """Return a loss's or a reference's test figures by evaluation seed."""
        return _by_seed(self.evaluation, kind, loss, "test")

    @cached_property
    def host(self) -> float:
        """The host method's own temperature: that of ``infonce``, as logged; NaN if it was not run."""
        logged = self.runs[self.runs["loss"] == SWEPT].get(f"param.loss.{PARAMETER}", pd.Series(dtype=object))
        return float(pd.to_numeric(logged, errors="coerce").max())

    @cached_property
    def swept(self) -> pd.DataFrame:
        """Selection runs of InfoNCE's temperatures, with the temperature as `value`."""
        swept = members(self.selection)
        swept = swept[(swept["base"] == SWEPT) & swept["setting"].str.startswith(f"{PARAMETER}=")]
        return swept.assign(value=pd.to_numeric(swept["setting"].str.removeprefix(f"{PARAMETER}=")))

    @cached_property
    def sweep(self) -> pd.DataFrame:
        """Validation figures of the temperatures that have every selection seed: [seeds, temperatures], ascending."""
        layout = self.swept.pivot(index="seed", columns="value", values="val")
        return layout.dropna(axis=1).astype(float)

    @property
    def extremes(self) -> tuple[float, float]:
        """The temperatures of the sweep with the best and the worst mean; the sweep must not be empty."""
        means = self.sign * self.sweep.mean().to_numpy()
        return float(self.sweep.columns[int(means.argmax())]), float(self.sweep.columns[int(means.argmin())])

    @cached_property
    def validated(self) -> str | None:
        """The loss whose evaluation runs are InfoNCE's at the validated temperature; None if there are none."""
        if self.choice is None:
            return None
        if len(self.test(self.choice.member)):
            return self.choice.member
        return SWEPT if float(self.choice.value) == self.host and len(self.test(SWEPT)) else None

    @cached_property
    def others(self) -> list[str]:
        """The losses beside InfoNCE and its sweep."""
        losses = self.runs.loc[self.runs["kind"] == "loss", "loss"].unique()
        return sorted((one for one in losses if one != SWEPT and not one.startswith(f"{SWEPT}@")), key=loss_order)

    def host_val(self) -> pd.Series:
        """Return validation figures at the host temperature: of ``infonce``, or of the sweep's equal temperature."""
        own = self.val(SWEPT)
        return own if len(own) or self.host not in self.sweep else self.sweep[self.host]


def references_table(benchmarks: Iterable[BenchmarkRuns], profile: str) -> Table:
    """Tell whether InfoNCE's encoder, trained, beats what was not trained, on test."""
    blocks, notes, data = [], [], []
    for runs in benchmarks:
        loss, label = _trained(runs)
        rows: list[Row] = []
        said = list(_missing_references(runs, loss))
        trained = pd.Series(dtype=float) if loss is None else runs.test(loss)
        for name in (UNTRAINED, *RAW, NO_CONTRAST):
            reference = runs.test(name, "reference")
            if trained.empty or reference.empty:
                continue
            one, remarks = _against(trained, reference, name)
            said += remarks
            holds = None if name == NO_CONTRAST else one.excludes_zero(runs.sign)
            cells = _difference_cells(one, decimals_for(runs.evaluation["test"]))
            rows.append((f"{label} - {name}", [*cells, Cell(_yes_or_no(holds))]))
            data.append([runs.name, runs.metric, runs.goal, loss, name, *_figures(one), holds])
        blocks.append(_block(runs.title, rows, 3))
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
        layout = runs.sweep
        notes += [f"{runs.name}: {text}." for text in _missing_temperatures(runs)]
        if layout.shape[1] < 2:
            rows.append((runs.title, [Cell(MISSING)] * 7))
            continue
        best, worst = runs.extremes
        gap = Difference.between(layout[best], layout[worst])
        test = block_test(layout.to_numpy().T)
        holds = None if math.isnan(test.p) else test.p < ALPHA
        decimals = decimals_for(runs.selection["val"])
        figures = [f"{best:g}", f"{worst:g}", _spread(gap, decimals), _plain(test.residual_std, f".{decimals}f")]
        figures += [_f(test), _plain(test.p, ".2g"), _yes_or_no(holds)]
        rows.append((runs.title, [Cell(text) for text in figures]))
        tested = [test.residual_std, test.f, test.settings_df, test.residual_df, test.p, holds]
        data.append([runs.name, runs.metric, runs.goal, best, worst, gap.n, gap.mean, gap.std, *tested])
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
        layout, decimals = runs.sweep, decimals_for(runs.selection["val"])
        best = layout[runs.extremes[0]] if layout.shape[1] else pd.Series(dtype=float)
        bases = [best, runs.host_val(), layout.median(axis=1)]
        names = dict(zip(runs.swept["value"], runs.swept["loss"], strict=True))
        shown = {names[value]: values for value, values in layout.items()}
        shown |= {name: values for name in (SWEPT, *runs.others) if len(values := runs.val(name))}
        rows: list[Row] = []
        for name, values in shown.items():
            level = Summary.over(values)
            worse, of = _beaten(runs, values, layout.drop(columns=[value for value in layout if names[value] == name]))
            gaps = [Difference.between(values, base) for base in bases]
            cells = [level.text(decimals), f"{worse} of {of}" if of else MISSING, *(_spread(g, decimals) for g in gaps)]
            rows.append((name, [Cell(text) for text in cells]))
            where = [runs.name, runs.metric, runs.goal, name, level.n, level.mean, level.std, worse, of]
            data.append([*where, *(figure for gap in gaps for figure in (gap.n, gap.mean, gap.std))])
        blocks.append(_block(runs.title, rows, 5))
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
        decimals = decimals_for(runs.evaluation["test"])
        bases = [SWEPT, runs.validated]
        rows: list[Row] = []
        for name in dict.fromkeys([SWEPT, *([runs.validated] if runs.validated else []), *runs.others]):
            values = runs.test(name)
            if values.empty:
                notes.append(f"{runs.name}: {name} has no evaluation run.")
                continue
            level, cells = Summary.over(values), []
            figures: list[object] = []
            for base in bases:
                apart = base is not None and base != name
                one = Difference.between(values, runs.test(base) if apart and base else pd.Series(dtype=float))
                cells += _difference_cells(one, decimals)
                figures += _figures(one)
            rows.append((name, [Cell(level.text(decimals)), *cells]))
            data.append([runs.name, runs.metric, runs.goal, name, level.n, level.mean, level.std, *figures])
        blocks.append(_block(runs.title, rows, 5))
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


def _by_seed(runs: pd.DataFrame, kind: str, loss: str, split: str) -> pd.Series:
    mine = runs[(runs["kind"] == kind) & (runs["loss"] == loss)]
    return mine.set_index("seed")[split].astype(float)


def _against(trained: pd.Series, reference: pd.Series, name: str) -> tuple[Difference, list[str]]:
    """Pair by seed; what needs no seed, and so has one run, is compared with every one."""
    if name not in RAW or len(reference) > 1:
        return Difference.between(trained, reference), []
    remark = [f"{name} has one run, which every seed is compared with"] if len(trained) > 1 else []
    return Difference.of((trained - reference.iloc[0]).to_numpy()), remark


def _beaten(runs: BenchmarkRuns, values: pd.Series, temperatures: pd.DataFrame) -> tuple[int, int]:
    """Return how many temperatures have a worse mean than these values, over their common seeds, and of how many."""
    seeds = temperatures.index.intersection(values.index)
    if seeds.empty:
        return 0, 0
    gap = runs.sign * (values[seeds].mean() - temperatures.loc[seeds].mean())
    return int((gap > 0).sum()), temperatures.shape[1]


def _trained(runs: BenchmarkRuns) -> tuple[str | None, str]:
    """Return the loss that stands for "trained", and how its row is named."""
    if runs.validated is not None:
        return runs.validated, runs.validated
    return (SWEPT, f"{SWEPT} (host τ, not validated)") if len(runs.test(SWEPT)) else (None, SWEPT)


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


def _difference_cells(one: Difference, decimals: int) -> list[Cell]:
    interval = MISSING if math.isnan(one.low) else f"[{one.low:+.{decimals}f}, {one.high:+.{decimals}f}]"
    return [Cell(_spread(one, decimals)), Cell(interval)]


def _spread(one: Difference, decimals: int) -> str:
    if one.n == 0:
        return MISSING
    spread = "" if math.isnan(one.std) else f" ± {one.std:.{decimals}f}"
    return f"{one.mean:+.{decimals}f}{spread} ({one.n})"


def _f(test: BlockTest) -> str:
    return MISSING if math.isnan(test.f) else f"{test.f:.3g} ({test.settings_df}, {test.residual_df})"


def _plain(value: float, form: str) -> str:
    return MISSING if math.isnan(value) else f"{value:{form}}"


def _yes_or_no(holds: bool | None) -> str:
    return MISSING if holds is None else "yes" if holds else "no"
