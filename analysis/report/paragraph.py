"""A paragraph ready for a paper: what was compared, how, with which versions, and what the runs say of every claim."""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from analysis.evidence.choice import natural
from analysis.evidence.gather import Comparison, Evidence, Verdict
from analysis.evidence.searches.trials import budgets, tuned_label
from analysis.report import words
from analysis.tables.render import LATEX_NEEDS, escape_latex
from analysis.tables.table import MISSING

PACKAGES = ("scipy", "numpy", "pandas")
SUITE = "contrastive-suite"


def paragraph(evidence: Evidence) -> str:
    """Return sentences with the numbers, the tests and their versions; empty if no loss has an evaluation run."""
    losses = evidence.rows[evidence.rows["kind"] == "loss"]
    if losses.empty:
        return ""
    return " ".join([*_setting(evidence, losses), *_claims(evidence), _software()])


def _setting(evidence: Evidence, losses: pd.DataFrame) -> Iterator[str]:
    counts = losses.groupby(["benchmark", "row"])["seed"].nunique()
    fewest, most = int(counts.min()), int(counts.max())
    seeds = f"{most}" if fewest == most else f"{fewest} to {most}"
    names = evidence.benchmarks
    metrics = losses.groupby("benchmark")["metric"].last()
    listed = ", ".join(f"{name} ({metrics[name]})" for name in names if name in metrics)
    yield (
        f"We compare {_several(losses['loss'].nunique(), 'loss', 'losses')} on "
        f"{_several(len(names), 'benchmark')}, {listed}, at profile {evidence.profile}, with {seeds} evaluation "
        f"{'seed' if most == 1 else 'seeds'} for a loss and benchmark; for one seed, all losses share initial weights, "
        "data order and augmentations."
    )
    for loss in sorted({one.loss for one in evidence.choices}):
        mine = [one for one in evidence.choices if one.loss == loss]
        settings, chosen = max(one.settings for one in mine), max(one.seeds for one in mine)
        yield f"Parameters of {loss} were chosen on validation among {settings} settings with {chosen} selection seeds."
    yield from _tuning(evidence, losses)
    left_out = len(evidence.collected.left_out)
    if left_out:
        yield f"{_several(left_out, 'logged run')} of the profile {'does' if left_out == 1 else 'do'} not count."


def _tuning(evidence: Evidence, losses: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for all losses that were tuned alike."""
    alike: dict[tuple[int, str, int], list[str]] = {}
    for loss, trials in budgets(evidence.searches).items():
        tuned = set(losses.loc[losses["row"] == tuned_label(loss, trials), "benchmark"])
        where = "" if set(losses["benchmark"]) <= tuned else f" on {', '.join(sorted(tuned, key=natural))}"
        seeds = [len(one.seeds) for one in evidence.searches if one.loss == loss and one.benchmark in tuned]
        if seeds:
            alike.setdefault((trials, where, max(seeds)), []).append(loss)
    for (trials, where, seeds_of_selection), names in alike.items():
        listed = " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
        yield (
            f"Tuned{where} on validation: {listed}, with {trials} configurations of each loss, the declared one and "
            f"{trials - 1} drawn from its search space and the benchmark's, and "
            f"{_several(seeds_of_selection, 'selection seed')}."
        )


def _claims(evidence: Evidence) -> Iterator[str]:
    if not evidence.verdicts:
        return
    yield (
        "Differences are of the primary test metric, paired by seed and turned so that positive is better; brackets "
        "hold t-intervals of their mean, simultaneous at 95 % over the benchmarks of a claim (Bonferroni), by which "
        "verdicts go; overall verdicts are intersection-union tests."
    )
    for overall in (one for one in evidence.verdicts if not one.benchmark):
        parts = [one for one in evidence.verdicts if one.claim == overall.claim and one.benchmark]
        found = [_part(one, one.comparison) for one in parts if one.comparison is not None and one.comparison.paired.n]
        if found:
            answer = {True: "holds", False: "does not hold", None: "stays open"}[overall.holds]
            claim = overall.declared.in_words()
            yield f"The claim that {claim} {answer} (overall {overall.label}): {'; '.join(found)}."


def _part(verdict: Verdict, one: Comparison) -> str:
    margin = f", margin {one.margin:g}" if math.isfinite(one.margin) else ""
    difference = words.difference_of(one)
    if one.is_same or difference == MISSING:
        return f"{verdict.benchmark} {verdict.label} (the same runs)"
    return f"{verdict.benchmark} {verdict.label} ({difference}{margin}, n = {one.paired.n})"


def _software() -> str:
    used = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"Computed with {SUITE} {version(SUITE)}, {used}."


def _several(number: int, one: str, more: str = "") -> str:
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def write(evidence: Evidence, folder: Path) -> list[Path]:
    """Write ``paragraph.txt`` and ``paragraph.tex`` into a folder and return their paths; none without a paragraph."""
    text = evidence.declared.labels.put_into(paragraph(evidence))
    if not text:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    plain, latex = folder / "paragraph.txt", folder / "paragraph.tex"
    plain.write_text(f"{text}\n", encoding="utf-8")
    latex.write_text(f"% {LATEX_NEEDS}\n{escape_latex(text.replace(words.MINUS, '-'))}\n", encoding="utf-8")
    return [plain, latex]
