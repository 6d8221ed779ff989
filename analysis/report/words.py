"""Verdicts in plain words and in figures, as the page prints them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from markupsafe import Markup

from analysis.evidence.gather import Comparison, Reproduction, Verdict
from analysis.statistics.aggregates import Aggregate
from analysis.tables.across import aggregate_cells
from analysis.tables.items import over_items
from analysis.tables.table import ARROWS, MISSING, digits_at
from suite.registry.claims import Published

MINUS = "\u2212"
WIDE_GLANCE = 8  # benchmarks; beyond, the table of all claims shows signs without their words
WIDEST = 6  # margins on either side of 0 in a strip; what lies beyond ends in an arrow


def slug(text: str) -> str:
    """Return a text as a part of an id: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unnamed"


def reason_of(verdict: Verdict) -> str:
    """Return the reason as a sentence, with what a reader must know beside it; overall only how much that is."""
    doubts = verdict.doubts
    if not verdict.benchmark and doubts:
        doubts = (f"with {len(doubts)} doubt{'s' if len(doubts) > 1 else ''}, said by benchmark below",)
    return sentence(capital("; ".join(filter(None, [verdict.reason, over_items(verdict.comparison), *doubts]))))


def sentence(text: str) -> str:
    """Return a text with a full stop at its end."""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def capital(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def metric_of(comparison: Comparison) -> str:
    """Return the metric with the direction that is better."""
    return f"{comparison.metric} {ARROWS.get(comparison.goal, '')}".rstrip()


def sort_value(value: float | None) -> Markup:
    """Return the attribute by which a cell is sorted, unrounded; nothing where there is no number."""
    if value is None or not math.isfinite(value):
        return Markup("")
    return Markup(' data-value="{!r}"').format(float(value))


def difference_of(comparison: Comparison) -> str:
    """Return ``+0.0021 [-0.0010, +0.0052]``, to about a hundredth of the margin."""
    one = comparison.paired
    if not math.isfinite(one.mean):
        return MISSING
    digits = _digits(comparison)
    interval = f" [{one.low:+.{digits}}, {one.high:+.{digits}}]" if math.isfinite(one.low) else ""
    return f"{one.mean:+.{digits}}{interval}".replace("-", MINUS)


def in_margins(aggregate: Aggregate) -> str:
    """Return ``+0.6 [-0.4, +1.6]``: a mean difference in margins, as tables print it; of few benchmarks the mean."""
    mean, interval = (cell.text for cell in aggregate_cells(aggregate.mean, aggregate.low, aggregate.high))
    return (f"{mean} {interval}" if aggregate.has_interval else mean).replace("-", MINUS)


def margin_of(comparison: Comparison) -> str:
    """Return the margin, or the mark of what is missing."""
    return f"{comparison.margin:g}" if math.isfinite(comparison.margin) else MISSING


def published_value(published: Published) -> str:
    """Return ``0.833 ± 0.004``."""
    return f"{published.value:g}" + (f" ± {published.std:g}" if published.std is not None else "")


def ours(one: Reproduction) -> str:
    """Return our mean with its interval, with the decimals of the published value and one more."""
    if not math.isfinite(one.mean):
        return MISSING
    digits = digits_at(abs(one.mean), len(f"{one.published.value:g}".partition(".")[2]) + 1)
    interval = f" [{one.low:.{digits}}, {one.high:.{digits}}]" if math.isfinite(one.low) else ""
    return f"{one.mean:.{digits}}{interval}"


def strip_limit(verdicts: Sequence[Verdict]) -> float:
    """Return how many margins a strip reaches on either side, the same for all verdicts that stand together."""
    reaches = [abs(end) for verdict in verdicts for end in (_in_margins(verdict) or ())[1:]]
    finite = [reach for reach in reaches if math.isfinite(reach)]
    return float(min(WIDEST, max([2, *(math.ceil(reach * 1.05) for reach in finite)])))


def strip(verdict: Verdict, limit: float) -> Markup:
    """Draw the difference and its interval in units of the margin, as SVG that repeats what the cells beside it say.

    Parameters
    ----------
    verdict : Verdict
    limit : float
        From :func:`strip_limit`.
    """
    placed = _in_margins(verdict)
    if placed is None or not all(map(math.isfinite, placed)):
        return Markup("")
    width, half = 200.0, 10.0

    def x(value: float) -> str:
        return f"{(min(max(value, -limit), limit) + limit) / (2 * limit) * width:.1f}"

    mean, low, high = placed
    parts = [
        f'<rect class="within" x="{x(-1)}" y="0" width="{width / limit:.1f}" height="20"/>',
        f'<line class="zero" x1="{x(0)}" y1="0" x2="{x(0)}" y2="20"/>',
        f'<line class="interval" x1="{x(low)}" y1="10" x2="{x(high)}" y2="10"/>',
    ]
    if low < -limit:
        parts.append(f'<path class="beyond" d="M0 {half:g}l7 -5v10z"/>')
    if high > limit:
        parts.append(f'<path class="beyond" d="M{width:g} {half:g}l-7 -5v10z"/>')
    if abs(mean) <= limit:
        parts.append(f'<circle class="mean" cx="{x(mean)}" cy="10" r="4"/>')
    return Markup('<svg class="strip" viewBox="-4 0 208 20" aria-hidden="true" focusable="false">{}</svg>').format(
        Markup("".join(parts))
    )


def _in_margins(verdict: Verdict) -> tuple[float, float, float] | None:
    if verdict.aggregate is not None:
        return verdict.aggregate.mean, verdict.aggregate.low, verdict.aggregate.high
    one = verdict.comparison
    if one is None or not one.margin > 0:
        return None
    return one.paired.mean / one.margin, one.paired.low / one.margin, one.paired.high / one.margin


def _digits(comparison: Comparison) -> str:
    mean, margin = abs(comparison.paired.mean), comparison.margin if comparison.margin > 0 else 0.0
    decimals = min(8, max(1, 1 - math.floor(math.log10((margin or max(mean, 1e-4)) / 4))))
    return digits_at(max(mean, margin), decimals)
