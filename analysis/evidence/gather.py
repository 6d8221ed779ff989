"""What the runs of one profile say, computed once: rows, comparisons, verdicts. Tables, figures and report draw it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd

from analysis.evidence.choice import VALIDATED, Choice, choose, incomplete, natural
from analysis.evidence.comparison import Comparison, by_benchmark, compare, families
from analysis.evidence.confounding import confounding
from analysis.evidence.failures import COUNTED, FailedRows, failures_of, with_failures
from analysis.evidence.items import Items
from analysis.evidence.machines import Machine, machine_notes, machines
from analysis.evidence.reproduction import Reproduction, reproductions
from analysis.evidence.rows import (
    AT_ORDER,
    DECLARED,
    ROW_COLUMNS,
    label_of,
    labels_of,
    notes_on,
    on_common_seeds,
    rows_of,
    search_notes,
)
from analysis.evidence.searches.trials import TUNED, Search, budgets, searches
from analysis.evidence.sensitivity import Sensitivity, blind, sensitivities
from analysis.evidence.verdict import Circumstances, Verdict, judge
from analysis.read.collect import Collected
from analysis.read.items import OutcomesReader, no_outcomes
from suite.registry.claims import Claim, Declared, Published

__all__ = ["ROW_COLUMNS", "Claim", "Comparison", "Evidence", "Published", "Reproduction", "Verdict", "gather"]


@dataclass(frozen=True)
class Evidence:
    """Everything derived from the runs of one profile.

    Attributes
    ----------
    profile : str
    collected : Collected
        Of this profile.
    choices : tuple of Choice
        What validation chose of every sweep in every benchmark.
    rows : DataFrame
        From :func:`analysis.evidence.rows.rows_of`: evaluation runs by the row of the tables that they stand in. `row`
        is the label, `loss` and `at` (``declared``, ``validated``, ``median``, ``tuned``, a number of trials, or empty
        for a loss without a sweep) what it stands for.
    labels, references : tuple of str
        Labels of the losses' rows and of the references', in the order of the tables.
    baseline : str
        The label of the row that all others are compared with; empty if there is none.
    comparisons : tuple of Comparison
        Every other row of a loss against the baseline, benchmark by benchmark; a family for Holm's correction a row.
    verdicts : tuple of Verdict
        By claim: overall first, then by benchmark.
    reproductions : tuple of Reproduction
    notes : tuple of str
        What a reader of any table must know.
    failures : mapping of (benchmark, row) to Failed
        The evaluation seeds on which runs of a row failed.
    sensitivity : tuple of Sensitivity
        Of every benchmark to every sweep and search.
    declared : Declared
    searches : tuple of Search
        The trials of every loss on every benchmark that has some.
    machines : tuple of Machine
        What every machine says by itself; none where nothing was run on more than one.
    """

    profile: str
    collected: Collected
    choices: tuple[Choice, ...]
    rows: pd.DataFrame
    labels: tuple[str, ...]
    references: tuple[str, ...]
    baseline: str
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]
    reproductions: tuple[Reproduction, ...]
    notes: tuple[str, ...]
    failures: FailedRows = field(default_factory=dict)
    sensitivity: tuple[Sensitivity, ...] = ()
    declared: Declared = field(default_factory=Declared)
    searches: tuple[Search, ...] = ()
    machines: tuple[Machine, ...] = ()

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks with evaluation runs, in the order of the tables."""
        return sorted(self.rows["benchmark"].unique(), key=natural)

    def scores(self) -> pd.DataFrame:
        """Return mean test metrics [benchmarks, rows of losses], higher is better, over :meth:`common`.

        Without rows where there is no common seed on a benchmark.
        """
        means = pd.DataFrame({benchmark: here.mean() for benchmark, here in self.common().items()}).T
        return means.dropna(axis=1, how="any")

    def common(self) -> dict[str, pd.DataFrame]:
        """Return test metrics [seeds, rows of losses] by benchmark, higher is better, on the seeds that all rows have.

        Of the rows that no benchmark lacks, and that have enough seeds on each
        (:func:`analysis.evidence.rows.on_common_seeds`).
        """
        losses = self.rows.loc[self.rows["kind"] == "loss", ["benchmark", "row", "seed", "test", "goal"]]
        losses = losses.assign(score=losses["test"].astype(float).where(losses["goal"] != "minimise", -losses["test"]))
        layouts = {
            name: losses[losses["benchmark"] == name].pivot(index="seed", columns="row", values="score")
            for name in self.benchmarks
        }
        names = [label for label in self.labels if all(label in here for here in layouts.values())]
        enough = [on_common_seeds(here[names]).columns for here in layouts.values()]
        names = [label for label in names if all(label in columns for columns in enough)]
        return {name: here[names].dropna() for name, here in layouts.items()}

    def standard_errors(self) -> list[float]:
        """Return the standard error of a row's mean on each benchmark, in margins: the noise behind its ranks.

        Without what all rows of a seed share: the median over rows of the standard deviation of paired differences,
        over sqrt(2 n). NaN where it is not known.
        """
        found = []
        for benchmark in self.benchmarks:
            mine = [one for one in self.comparisons if one.benchmark == benchmark and not one.is_same]
            errors = [one.paired.std / one.margin / math.sqrt(2 * one.paired.n) for one in mine if one.paired.n > 1]
            found.append(statistics.median(errors) if errors else math.nan)
        return found


def gather(
    collected: Collected,
    declared: Declared,
    profile: str,
    accept_changes: bool = False,
    outcomes: OutcomesReader = no_outcomes,
) -> Evidence:
    """Derive everything that the tables, the figures and the report of a profile show.

    Parameters
    ----------
    collected : Collected
        Of one or of more profiles.
    declared : Declared
        What the registry claims; without a baseline, InfoNCE if there is one.
    profile : str
    accept_changes : bool
        Judge claims by margins, goals and metrics that were changed while runs existed.
    outcomes : callable
        Reads the outcomes of test items.
    """
    mine = collected.of(profile)
    choices = choose(mine.runs)
    tried = searches(with_failures(mine.runs, mine.failed, declared.failures, "selection"))
    evaluated = with_failures(mine.runs, mine.failed, declared.failures)
    everything = rows_of(evaluated, choices, tried, declared.claims.values())
    failed, rows = failures_of(everything), everything[everything["test"].notna()].reset_index(drop=True)
    sensitivity = sensitivities(mine.runs, tried, mine.failed)
    labels = labels_of(rows, "loss")
    baseline = _baseline(rows, declared.baseline or "infonce")
    apart = machines(mine, lambda part: gather(part, declared, profile, accept_changes))
    items = Items(outcomes, rows.loc[rows["kind"] == "loss", "run_id"])
    compared = [
        compare(here, benchmark, label, baseline, failed, items)
        for benchmark, here in by_benchmark(rows).items()
        for label in labels
        if label != baseline and {label, baseline} <= set(here["row"].unique())
    ]
    return Evidence(
        profile,
        mine,
        tuple(choices),
        rows,
        tuple(labels),
        tuple(labels_of(rows, "reference")),
        baseline,
        tuple(families(compared)),
        tuple(
            judge(
                declared.claims,
                everything,
                Circumstances(
                    failed,
                    blind(sensitivity),
                    _changed(mine, declared),
                    accept_changes,
                    _confounded(declared, everything, mine.origins, budgets(tried)),
                    tried,
                    profile,
                    items,
                ),
            )
        ),
        tuple(reproductions(declared.published, everything, mine.tested, profile)),
        (
            *notes_on(rows, choices),
            *search_notes(rows, tried, profile),
            *_baseline_notes(rows, baseline),
            *(one.text for one in incomplete(mine.runs)),
            *_failure_notes(failed, declared),
            *machine_notes(apart),
        ),
        failed,
        tuple(sensitivity),
        declared,
        tuple(tried),
        apart,
    )


def _changed(collected: Collected, declared: Declared) -> dict[str, str]:
    """Return by benchmark what was declared otherwise for runs that count, or is by now."""
    told: dict[str, list[str]] = {}
    for change in collected.changes:
        told.setdefault(change.benchmark, []).append(change.text)
    newest = collected.runs.drop_duplicates("benchmark")
    for run in newest.to_dict("records"):
        said = declared.margins.get(str(run["benchmark"]))
        if said is None:
            continue
        pairs = (("metric", said.metric), ("goal", said.goal), ("margin", said.margin))
        told.setdefault(str(run["benchmark"]), []).extend(
            f"the {what} of the runs is {run[what]}, and {now} in the registry"
            for what, now in pairs
            if what in run and pd.notna(run[what]) and run[what] != now
        )
    return {benchmark: "; ".join(texts) for benchmark, texts in told.items() if texts}


def _confounded(
    declared: Declared, rows: pd.DataFrame, origins: pd.DataFrame, most: Mapping[str, int]
) -> dict[tuple[str, str, str], str]:
    """Return by benchmark and the two rows of a claim what paired runs differ in beside the loss."""
    found = {}
    rows = rows.loc[~rows["failed"], ROW_COLUMNS]
    for claim in declared.claims.values():
        row, against = label_of(rows, claim.loss, claim.loss_at, most), label_of(rows, claim.than, claim.at, most)
        both = rows[rows["row"].isin([row, against])]
        for benchmark, here in both.groupby("benchmark"):
            by_seed = [here[here["row"] == name].set_index("seed")["run_id"] for name in (row, against)]
            pairs = pd.concat(by_seed, axis=1, join="inner")
            if text := confounding(*(origins.loc[pairs.iloc[:, side]] for side in (0, 1))):
                found[str(benchmark), row, against] = text
    return found


def _failure_notes(failed: FailedRows, declared: Declared) -> Iterator[str]:
    for (benchmark, row), one in failed.items():
        for name in sorted(set(one.classes.values())):
            seeds = [seed for seed, why in one.classes.items() if why == name]
            how = "left out, so that nothing speaks for it" if seeds[0] in one.lost else COUNTED
            which = ", ".join(map(str, seeds))
            yield f"{benchmark}: {row} failed on seed {which} ({name}; failures: {declared.failures}; {how})."


def _baseline_notes(rows: pd.DataFrame, baseline: str) -> Iterator[str]:
    """Say where rows have no mark because what they would be compared with was not run."""
    losses = rows[rows["kind"] == "loss"]
    having = set(losses.loc[losses["row"] == baseline, "benchmark"])
    for benchmark in sorted(set(losses["benchmark"]) - having if baseline else (), key=natural):
        yield f"{benchmark}: no row is compared with {baseline}, which has no finished evaluation run there."


def _baseline(rows: pd.DataFrame, loss: str) -> str:
    """Return the label of a loss's tuned row, else of its validated or declared one; empty if it was not run."""
    mine = rows[(rows["loss"] == loss) & (rows["kind"] == "loss")].drop_duplicates("row")
    by_at = dict(zip(mine["at"], mine["row"], strict=True))
    return next((str(by_at[at]) for at in (TUNED, VALIDATED, DECLARED, AT_ORDER[0]) if at in by_at), "")
