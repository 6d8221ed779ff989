"""What the runs say of every declared claim, in the words of :mod:`analysis.evidence.words`; and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import special

from analysis.evidence import words
from analysis.evidence.choice import natural
from analysis.evidence.comparison import Comparison, by_benchmark, compare
from analysis.evidence.failures import FailedRows, count_classes
from analysis.evidence.items import Items
from analysis.evidence.rows import label_of
from analysis.evidence.searches.trials import Search, budgets, is_searched, still_to_run, trials_of
from analysis.evidence.sensitivity import Blind, reason_not_to_tell
from analysis.evidence.words import Bounds
from analysis.statistics.aggregates import Aggregate, hierarchical_bootstrap
from analysis.statistics.differences import ALPHA, is_constant
from analysis.statistics.seeds import SeedsNeeded, needed
from suite.registry.claims import Claim

NONE = Bounds(math.nan, math.nan)


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim on one benchmark, or overall.

    Attributes
    ----------
    claim : str
        Its name in the registry.
    declared : Claim
    benchmark : str
        Empty for the overall verdict.
    label : str
        One of :data:`analysis.evidence.words.WORDS`, by the simultaneous interval; ``insensitive`` where the benchmark
        cannot tell (:mod:`analysis.evidence.sensitivity`) and the word would be ``not worse`` or ``equivalent``.
    holds : bool or None
        Whether the claim holds; None if the runs cannot tell.
    reason : str
        A sentence.
    comparison : Comparison or None
        The interval of its `paired` is the simultaneous one that the word goes by. None overall, and where there was
        nothing to compare.
    aggregate : Aggregate or None
        Overall: the mean difference over benchmarks in units of their margins.
    alone : Bounds
        The 95 % interval of this benchmark by itself, which the overall verdict goes by; NaN where there is none.
    seeds : SeedsNeeded or None
        How many seeds would tell, after the correction, where it is inconclusive.
    counts : bool
        Whether it counts towards the overall verdict: not where it rests on a margin to which the benchmark is blind.
    doubts : tuple of str
        What a reader must know beside the word: failed seeds, confounding, what was declared otherwise before.
    failures : str
        Overall: which side failed on how many seeds of all benchmarks, by class; empty if none did.
    """

    claim: str
    declared: Claim
    benchmark: str
    label: str
    holds: bool | None
    reason: str
    comparison: Comparison | None = None
    aggregate: Aggregate | None = None
    alone: Bounds = NONE
    seeds: SeedsNeeded | None = None
    doubts: tuple[str, ...] = ()
    counts: bool = True
    failures: str = ""

    @property
    def margin(self) -> float:
        """The margin of the benchmark; NaN overall."""
        return math.nan if self.comparison is None else self.comparison.margin


@dataclass(frozen=True)
class Circumstances:
    """What a verdict depends on beside the differences, by benchmark.

    Attributes
    ----------
    failed : mapping of (benchmark, row) to Failed
    insensitive : mapping of (benchmark, loss, whether it is by a search) to reason
        Where the whole sweep or search of a loss lies within the margin.
    changed : mapping of benchmark to str
        What was declared otherwise while runs existed.
    is_changed_accepted : bool
        Judge by a margin or goal that was changed while runs existed.
    confounded : mapping of (benchmark, row, row) to str
        What paired runs differ in beside the loss.
    searches : sequence of Search
    profile : str
        For the commands that make what is missing.
    items : Items or None
        The outcomes of test items.
    """

    failed: FailedRows
    insensitive: Blind
    changed: Mapping[str, str]
    is_changed_accepted: bool
    confounded: Mapping[tuple[str, str, str], str]
    searches: Sequence[Search] = ()
    profile: str = ""
    items: Items | None = None


def judge(claims: Mapping[str, Claim], rows: pd.DataFrame, given: Circumstances) -> list[Verdict]:
    """Judge claims by the evaluation runs of one profile: of each claim the overall verdict first, then by benchmark.

    Where fewer than two rows of losses were begun nothing can be compared, and nothing is said.

    Parameters
    ----------
    claims : mapping of name to Claim
    rows : DataFrame
        From :func:`analysis.evidence.rows.rows_of`, with the failed seeds that have no figure.
    given : Circumstances
    """
    of_benchmark = by_benchmark(rows)
    benchmarks = sorted(rows.loc[rows["kind"] == "loss", "benchmark"].unique(), key=natural)
    if rows.loc[rows["kind"] == "loss", "row"].nunique() < 2:
        return []
    run = {benchmark: set(here.loc[here["test"].notna(), "row"]) for benchmark, here in of_benchmark.items()}
    verdicts, most = [], budgets(given.searches)
    for name, claim in claims.items() if benchmarks else ():
        row, against = label_of(rows, claim.loss, claim.loss_at, most), label_of(rows, claim.than, claim.at, most)
        meant = [one for one in benchmarks if claim.benchmarks is None or one in claim.benchmarks]
        compared = [compare(of_benchmark[one], one, row, against, given.failed, given.items) for one in meant]
        tests = sum(_is_test(one) for one in compared)
        parts = []
        for one in compared:
            absent = [label for label in (row, against) if label not in run[one.benchmark]]
            why = _absence(claim, one.benchmark, (row, against), absent, given)
            parts.append(_judge_one(name, claim, one, tests, why, given))
        for benchmark in _awaited(claim, benchmarks, given) if meant else ():
            why = _absence(claim, benchmark, (row, against), (row, against), given)
            parts.append(Verdict(name, claim, benchmark, words.INCONCLUSIVE, None, why))
        parts.sort(key=lambda part: natural(part.benchmark))
        verdicts += [_overall(name, claim, parts), *parts]
    return verdicts


def _awaited(claim: Claim, run: Sequence[str], given: Circumstances) -> list[str]:
    """Return the benchmarks without an evaluation run that a claim names, or on which its losses are being tuned."""
    losses = {name.partition("@")[0] for name in (claim.loss, claim.than)}
    begun = {one.benchmark for one in given.searches if one.loss in losses}
    return sorted({*(begun if claim.benchmarks is None else claim.benchmarks)} - set(run), key=natural)


def _is_test(one: Comparison) -> bool:
    return one.paired.n > 1 and not one.is_same and not is_constant(one.differences)


def _judge_one(name: str, claim: Claim, one: Comparison, tests: int, absence: str, given: Circumstances) -> Verdict:
    doubts = list(_doubts(one, given))
    if not _is_test(one):
        label = words.EQUIVALENT if one.is_same else words.INCONCLUSIVE
        holds = True if one.is_same and claim.relation == "not_worse" else None
        alone = Bounds(0.0, 0.0) if one.is_same else NONE
        why = absence or _no_test(one)
        return Verdict(name, claim, one.benchmark, label, holds, why, one, alone=alone, doubts=tuple(doubts))
    alone = Bounds(one.paired.low, one.paired.high)
    one = at_level(one, tests)
    together = Bounds(one.paired.low, one.paired.high)
    label, holds = words.word(together, one.margin), words.answer(together, one.margin, claim.relation)
    why, seeds = _because(one, alone, label, tests), None
    forbidden = _forbidden(one, label, given)
    insensitive = reason_not_to_tell(given.insensitive, one.benchmark, claim.than, is_searched(claim.at))
    if forbidden:
        label, holds, alone, why = words.INCONCLUSIVE, None, NONE, forbidden
    elif insensitive and label in (words.NOT_WORSE, words.EQUIVALENT):
        why = f"{label} by the interval, but {insensitive}"
        label, holds = words.INSENSITIVE, None
    elif insensitive and label == words.WORSE_WITHIN and claim.relation == "not_worse":
        why, holds = f"{why}, but {insensitive}", None
    if label == words.INCONCLUSIVE:
        seeds = needed(one.paired.std, one.paired.n, one.margin, (1 - one.level) / 2)
    if seeds is not None and not forbidden:
        why += f"; were the two equal, {seeds.text} seeds would tell with 80 % power"
    resting = (words.NOT_WORSE, words.EQUIVALENT, words.WORSE_WITHIN)
    counts = not insensitive or (label != words.INSENSITIVE and words.word(alone, one.margin) not in resting)
    return Verdict(name, claim, one.benchmark, label, holds, why, one, None, alone, seeds, tuple(doubts), counts)


def at_level(one: Comparison, tests: int) -> Comparison:
    """Return a comparison with the simultaneous 95 % interval of so many, by Bonferroni's inequality."""
    level = 1 - ALPHA / max(tests, 1)
    scale = one.paired.std / math.sqrt(one.paired.n)
    half = float(special.stdtrit(one.paired.n - 1, (1 + level) / 2)) * scale
    mean = one.paired.mean
    return replace(one, level=level, paired=replace(one.paired, low=mean - half, high=mean + half))


def _absence(claim: Claim, benchmark: str, rows: tuple[str, str], absent: Sequence[str], given: Circumstances) -> str:
    """Say which rows have no evaluation run, and of a search what would make them; empty if both have some."""
    if not absent:
        return ""
    is_failed = any((benchmark, label) in given.failed for label in absent)
    said = f"no {'finished ' if is_failed else ''}evaluation run of {' nor of '.join(absent)}"
    most = budgets(given.searches)
    for label, loss, at in zip(rows, (claim.loss, claim.than), (claim.loss_at, claim.at), strict=True):
        if label in absent and is_searched(at):
            trials = trials_of(loss, at, most)
            said += f"; {still_to_run(given.searches, benchmark, loss, trials, given.profile)}"
    return said


def _no_test(one: Comparison) -> str:
    if one.is_same:
        return f"{one.row} and {one.against} are the same runs here"
    if one.paired.n == 0:
        return f"{one.row} and {one.against} have no evaluation seed in common"
    if one.paired.n == 1:
        return "one seed has no error bar"
    return "all differences are equal, so that a t-test has no noise to go by"


def _doubts(one: Comparison, given: Circumstances) -> list[str]:
    found = []
    for row, failed in ((one.row, one.failed), (one.against, one.failed_against)):
        if failed.classes:
            found.append(f"{row} failed on {len(failed.classes)} of {one.of} seeds ({failed.text})")
    if changed := given.changed.get(one.benchmark):
        found.append(f"declared otherwise for older runs: {changed}")
    if confounded := given.confounded.get((one.benchmark, one.row, one.against)):
        found.append(f"confounded: {confounded}")
    return found


def _forbidden(one: Comparison, label: str, given: Circumstances) -> str:
    """Return why a word may not be said; empty if it may."""
    if one.benchmark in given.changed and not given.is_changed_accepted:
        return "not judged by what was changed while runs existed; --accept-changes does"
    if one.unfinished:
        return f"{' and '.join(one.unfinished)} did not finish on any seed, and not for collapsing alone"
    favourable = (words.BETTER, words.BETTER_WITHIN, words.EQUIVALENT, words.NOT_WORSE, words.WORSE_WITHIN)
    for row, lost, favoured in (
        (one.row, one.failed.lost, favourable),
        (one.against, one.failed_against.lost, (words.WORSE, words.WORSE_WITHIN)),
    ):
        if lost and label in favoured:
            return f"the interval alone says {label}, but without seeds that {row} failed on ({len(lost)} of {one.of})"
    return ""


def _because(one: Comparison, alone: Bounds, label: str, tests: int) -> str:
    margin = f"{one.margin:g}"
    if label == words.INCONCLUSIVE:
        if math.isnan(one.margin):
            return "not above 0, and no margin is declared"
        own = words.word(alone, one.margin)
        if own != words.INCONCLUSIVE:
            return f"{own} by this benchmark's own interval, but not by the simultaneous one of {tests}"
        below = ", surely below 0, but by less or more than the margin is open" if one.paired.high < 0 else ""
        return f"the interval reaches across -{margin}{below}"
    return {
        words.BETTER: "the interval is above 0",
        words.BETTER_WITHIN: f"the interval is above 0 and below +{margin}",
        words.EQUIVALENT: f"the interval is inside of ±{margin}",
        words.NOT_WORSE: f"the interval is above -{margin}",
        words.WORSE_WITHIN: f"the interval is below 0 and above -{margin}",
        words.WORSE: f"the interval is below -{margin}",
    }[label]


def _overall(name: str, claim: Claim, parts: Sequence[Verdict]) -> Verdict:
    said = "; ".join(
        f"{label} on {', '.join(found)}"
        for label in (*words.WORDS, words.INSENSITIVE)
        if (found := [part.benchmark for part in parts if part.label == label])
    )
    if not parts:
        said = f"no run on {' nor on '.join(claim.benchmarks or ('any benchmark',))}"
    doubts = tuple(f"{part.benchmark}: {doubt}" for part in parts for doubt in part.doubts)
    label, holds = _overall_word(claim, parts)
    counted = sum(part.counts for part in parts)
    if counted < len(parts) and label != words.INSENSITIVE:
        said += f"; {counted} of {len(parts)} benchmarks could tell and count"
    failures = _failures([part.comparison for part in parts if part.comparison is not None])
    said = "; ".join(filter(None, [said, failures]))
    return Verdict(name, claim, "", label, holds, said, aggregate=_aggregate(parts), doubts=doubts, failures=failures)


def _failures(compared: Sequence[Comparison]) -> str:
    """Say which side failed on how many of all seeds, by class; empty if none did."""
    of = sum(one.of for one in compared)
    sides = [[(one.row, one.failed) for one in compared], [(one.against, one.failed_against) for one in compared]]
    said = []
    for side in sides:
        names = [name for _, failed in side for name in failed.classes.values()]
        if names:
            said.append(f"{side[0][0]} failed on {len(names)} of {of} seeds ({count_classes(names)})")
    return "; ".join(said)


def _overall_word(claim: Claim, parts: Sequence[Verdict]) -> tuple[str, bool | None]:
    compared = [(part, part.comparison) for part in parts if part.comparison is not None]
    shown = [
        (part.alone, Bounds(one.paired.low, one.paired.high) if not one.is_same else part.alone, one.margin)
        for part, one in compared
        if not math.isnan(part.alone.low) and part.counts
    ]
    if not shown:
        is_blind = any(not part.counts for part in parts) and not any(math.isnan(part.alone.low) for part in parts)
        return (words.INSENSITIVE if is_blind else words.INCONCLUSIVE), None
    fails = any(part.holds is False for part in parts)
    label = words.overall(*(list(column) for column in zip(*shown, strict=True)))
    unknown = any(math.isnan(part.alone.low) for part in parts)
    if unknown and label != words.WORSE:
        label = words.INCONCLUSIVE
    if fails:
        return label, False
    if claim.relation == "better":
        return label, True if label in (words.BETTER, words.BETTER_WITHIN) else None
    return label, True if label in words.SHOW_NOT_WORSE else None


def _aggregate(parts: Sequence[Verdict]) -> Aggregate | None:
    """Return the mean over benchmarks in units of the margin; None where that is not defined."""
    scaled: dict[str, np.ndarray] = {
        part.benchmark: part.comparison.differences / part.comparison.margin
        for part in parts
        if part.comparison is not None and part.comparison.paired.n > 1
    }
    usable = len(scaled) == len(parts) > 1 and not any(np.isnan(values).any() for values in scaled.values())
    return hierarchical_bootstrap(scaled) if usable else None
