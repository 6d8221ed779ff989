"""Does each benchmark tell losses apart? Trained against untrained and raw, and the temperature against its noise.

A benchmark on which training changes nothing, or the temperature does not matter, cannot rank losses. Intervals are of
single comparisons, not corrected for their number: they are checks of the benchmarks, not verdicts on losses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from analysis.evidence.choice import Choice, choose, members, natural
from analysis.evidence.rows import loss_order
from analysis.read.collect import Collected
from analysis.statistics.paired import BlockTest, Difference, block_test
from suite.registry.search import TRIAL

SWEPT, PARAMETER = "infonce", "temperature"
#: Settings of a sweep of the temperature alone.
OF_PARAMETER = f"{PARAMETER}=[^@]+"
UNTRAINED, NO_CONTRAST = "untrained", "no_contrast"
RAW = ("raw", "popularity")
ALPHA = 0.05


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
        swept = swept[(swept["base"] == SWEPT) & swept["setting"].str.fullmatch(OF_PARAMETER)]
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
        others = (one for one in losses if one != SWEPT and not one.startswith(f"{SWEPT}@") and f"@{TRIAL}=" not in one)
        return sorted(others, key=loss_order)

    def host_val(self) -> pd.Series:
        """Return validation figures at the host temperature: of ``infonce``, or of the sweep's equal temperature."""
        own = self.val(SWEPT)
        return own if len(own) or self.host not in self.sweep else self.sweep[self.host]


@dataclass(frozen=True)
class Reference:
    """InfoNCE's trained encoder beside something that was not trained so, on test.

    Attributes
    ----------
    name : str
        Of the reference.
    difference : Difference
        Trained minus reference.
    is_single : bool
        The reference needs no seed: its single run is compared with every seed.
    holds : bool or None
        Whether the interval excludes 0 on the better side; None where that is not asked or there is no interval.
    """

    name: str
    difference: Difference
    is_single: bool
    holds: bool | None


@dataclass(frozen=True)
class Temperature:
    """InfoNCE's temperatures on validation: the best and the worst, and all of them against the noise.

    Attributes
    ----------
    best, worst : float
    gap : Difference
        Best minus worst, paired by seed: too large by itself, as the two are chosen as extremes.
    test : BlockTest
    holds : bool or None
        Whether the temperature matters; None where that cannot be tested.
    """

    best: float
    worst: float
    gap: Difference
    test: BlockTest
    holds: bool | None


@dataclass(frozen=True)
class Beside:
    """A loss beside InfoNCE: its values by seed, and their differences from several bases.

    Attributes
    ----------
    loss : str
    values : Series
        By seed.
    gaps : tuple of Difference
        On validation from the best temperature, the host's, and the median of the sweep; on test from the host's and
        the validated one.
    worse, of : int
        How many (other) temperatures have a worse mean over common seeds, and of how many; 0 on test.
    """

    loss: str
    values: pd.Series
    gaps: tuple[Difference, ...]
    worse: int = 0
    of: int = 0


def benchmark_runs(collected: Collected, profile: str) -> list[BenchmarkRuns]:
    """Return the runs of one profile, a benchmark each, with what validation chose of InfoNCE's temperatures."""
    runs = collected.of(profile).runs
    swept = runs[runs["loss"].str.fullmatch(f"{SWEPT}@{OF_PARAMETER}")]
    choices = {choice.benchmark: choice for choice in choose(swept)}
    return [
        BenchmarkRuns(runs[runs["benchmark"] == name], choices.get(name))
        for name in sorted(runs["benchmark"].unique(), key=natural)
    ]


def trained(runs: BenchmarkRuns) -> str | None:
    """Return the loss that stands for "trained": InfoNCE as validated, else as declared; None if neither was run."""
    if runs.validated is not None:
        return runs.validated
    return SWEPT if len(runs.test(SWEPT)) else None


def against_references(runs: BenchmarkRuns) -> Iterator[Reference]:
    """Yield the references that were run beside InfoNCE's trained encoder."""
    loss = trained(runs)
    values = pd.Series(dtype=float) if loss is None else runs.test(loss)
    for name in (UNTRAINED, *RAW, NO_CONTRAST):
        reference = runs.test(name, "reference")
        if values.empty or reference.empty:
            continue
        is_single = name in RAW and len(reference) == 1
        one = (
            Difference.of((values - reference.iloc[0]).to_numpy())
            if is_single
            else Difference.between(values, reference)
        )
        yield Reference(name, one, is_single, None if name == NO_CONTRAST else one.excludes_zero(runs.sign))


def of_temperature(runs: BenchmarkRuns) -> Temperature | None:
    """Tell whether InfoNCE's temperature matters on validation; None for fewer than two temperatures."""
    layout = runs.sweep
    if layout.shape[1] < 2:
        return None
    best, worst = runs.extremes
    test = block_test(layout.to_numpy().T)
    holds = None if math.isnan(test.p) else test.p < ALPHA
    return Temperature(best, worst, Difference.between(layout[best], layout[worst]), test, holds)


def on_validation(runs: BenchmarkRuns) -> Iterator[Beside]:
    """Yield every member of the sweep, InfoNCE and every other loss beside the whole sweep."""
    layout = runs.sweep
    best = layout[runs.extremes[0]] if layout.shape[1] else pd.Series(dtype=float)
    bases = [best, runs.host_val(), layout.median(axis=1)]
    names = dict(zip(runs.swept["value"], runs.swept["loss"], strict=True))
    shown = {names[value]: values for value, values in layout.items()}
    shown |= {name: values for name in (SWEPT, *runs.others) if len(values := runs.val(name))}
    for name, values in shown.items():
        others = layout.drop(columns=[value for value in layout if names[value] == name])
        gaps = tuple(Difference.between(values, base) for base in bases)
        yield Beside(name, values, gaps, *_beaten(runs, values, others))


def on_test(runs: BenchmarkRuns) -> Iterator[Beside]:
    """Yield InfoNCE at its two temperatures and every other loss; without values where it has no evaluation run."""
    for name in dict.fromkeys([SWEPT, *([runs.validated] if runs.validated else []), *runs.others]):
        bases = (
            runs.test(base) if base and base != name else pd.Series(dtype=float) for base in (SWEPT, runs.validated)
        )
        values = runs.test(name)
        yield Beside(name, values, tuple(Difference.between(values, base) for base in bases))


def _by_seed(runs: pd.DataFrame, kind: str, loss: str, split: str) -> pd.Series:
    mine = runs[(runs["kind"] == kind) & (runs["loss"] == loss)]
    return mine.set_index("seed")[split].astype(float)


def _beaten(runs: BenchmarkRuns, values: pd.Series, temperatures: pd.DataFrame) -> tuple[int, int]:
    """Return how many temperatures have a worse mean than these values, over their common seeds, and of how many."""
    seeds = temperatures.index.intersection(values.index)
    if seeds.empty:
        return 0, 0
    gap = runs.sign * (values[seeds].mean() - temperatures.loc[seeds].mean())
    return int((gap > 0).sum()), temperatures.shape[1]
