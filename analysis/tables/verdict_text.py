"""Verdicts as lines for the terminal, as narrow as that may be."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.evidence.comparison import Comparison
from analysis.evidence.gather import Evidence
from analysis.evidence.reproduction import Reproduction
from analysis.evidence.verdict import Verdict
from analysis.evidence.words import ANSWERS
from analysis.tables.across import aggregate_cells
from analysis.tables.items import over_items
from analysis.tables.table import digits_at, digits_for, interval_text
from analysis.tables.tuning import price


def nothing_judged(evidence: Evidence) -> str:
    """Say why there is no verdict: no claim, or nothing that one could be judged by."""
    if not evidence.declared.claims:
        return "The registry declares no claim."
    compared = f"the only row of a loss is {evidence.labels[0]}" if evidence.labels else "no loss was run"
    return f"No claim is judged: {compared}, and a verdict compares two."


def lines(evidence: Evidence) -> Iterator[str]:
    """Yield the claims with their verdicts, what tuning takes, then published figures beside ours."""
    for verdict in evidence.verdicts:
        if verdict.benchmark:
            yield _part(verdict, evidence.benchmarks)
        else:
            yield from _headline(verdict)
    if not evidence.verdicts:
        yield nothing_judged(evidence)
    yield from price.lines(evidence)
    if evidence.reproductions:
        yield ""
        yield "Published figures"
    for one in evidence.reproductions:
        yield f"  {one.benchmark}: {one.published.loss} {one.published.metric}: {one.label}; {_ours(one)}{one.reason}"


def _headline(verdict: Verdict) -> Iterator[str]:
    yield ""
    failures = f"; {verdict.failures}" if verdict.failures else ""
    yield f"{verdict.declared.in_words()}: {ANSWERS[verdict.holds]}{failures}"
    found = verdict.aggregate
    if found is not None:
        mean, interval = (cell.text for cell in aggregate_cells(found.mean, found.low, found.high))
        bounds = f" {interval}" if found.has_interval else ""
        average = f"on average {mean} margins{bounds} over {found.benchmarks} benchmarks"
        yield f"  overall {verdict.label}; {average}{failures}"
    else:
        yield f"  overall {verdict.label}{failures}"


def _part(verdict: Verdict, benchmarks: list[str]) -> str:
    width = max(map(len, benchmarks), default=0)
    figures = "" if verdict.comparison is None else _figures(verdict.comparison)
    said = "; ".join(filter(None, [verdict.reason, over_items(verdict.comparison), *verdict.doubts]))
    return f"  {verdict.benchmark:{width}}  {verdict.label:12}  {figures}{said}"


def _figures(one: Comparison) -> str:
    if one.paired.n == 0 or one.is_same:
        return ""
    digits = digits_for(pd.Series([one.paired.mean, one.margin]), 3)
    interval = "" if one.paired.n == 1 else f" {interval_text(one.paired.low, one.paired.high, digits)}"
    return f"{one.paired.mean:+.{digits}}{interval} {one.metric}, n = {one.paired.n}: "


def _ours(one: Reproduction) -> str:
    published = f"published {one.published.value:g}"
    return f"{published}, ours {one.mean:.{digits_at(abs(one.mean), 4)}} (n = {one.n}): " if one.n else f"{published}: "
