"""The table of prices: the trials that a loss needs to reach another one that was not tuned."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from analysis.evidence.gather import Evidence
from analysis.evidence.searches.budget import DRAWN, FIRST, Priced, budgets_of, prices_of
from analysis.statistics.budget import Price
from analysis.tables.table import MISSING, Block, Cell, Table

COLUMNS = ["benchmark", "loss", "against", "question", "trials", "low", "high", "budget", "reason"]


def price_table(evidence: Evidence) -> Table | None:
    """List the trials that every searched loss needs to reach what claims are about as declared; None without any."""
    found = priced(evidence)
    if not found:
        return None
    blocks = []
    for against in dict.fromkeys(one.against for one in found):
        mine = [one for one in found if one.against == against]
        rows = [(f"{one.benchmark}: {one.loss}", _cells(one)) for one in mine]
        blocks.append(Block(f"to reach {_declared(against)}", rows))
    return Table(
        "price",
        evidence.profile,
        f"The price of tuning, profile {evidence.profile}: how many trials a loss needs until the best of them by "
        "validation is expected to score on test what another loss scores as it is declared, without a trial. Drawn: "
        "of configurations that are drawn at random from the search space, as of a loss that nobody has tuned before. "
        "Declared first: the first trial is the configuration that the registry declares, which others may have "
        "tuned. In brackets a 95 % interval over configurations and seeds, by the pointwise intervals of the curves "
        "(table budget) minus the other loss, paired by seed. 1: at once; > 8: not with 8 trials.",
        ["", "drawn", "95 % interval", "declared first", "95 % interval"],
        blocks,
        [
            f"{one.benchmark}: no price of {one.loss} against {one.against}: {one.reason}."
            for one in found
            if one.reason
        ],
        pd.DataFrame([line for one in found for line in _figures(one)], columns=COLUMNS),
        is_titled=True,
    )


def priced(evidence: Evidence) -> list[Priced]:
    """Return every price of a profile."""
    return prices_of(evidence.searches, budgets_of(evidence.searches), evidence.declared)


def lines(evidence: Evidence) -> Iterator[str]:
    """Yield what the terminal shows: of configurations drawn at random, a line a benchmark and loss."""
    found = priced(evidence)
    for against in dict.fromkeys(one.against for one in found):
        yield ""
        yield f"Trials to reach {_declared(against)}, drawn from the search space [95 % interval]"
        mine = [one for one in found if one.against == against]
        widths = [max(map(len, names)) for names in zip(*((one.benchmark, one.loss) for one in mine), strict=True)]
        for one in mine:
            said = one.prices[DRAWN].text if one.prices else one.reason
            yield f"  {one.benchmark:{widths[0]}}  {one.loss:{widths[1]}}  {said}"


def _declared(against: str) -> str:
    """Name what is to be reached; the name of a member of a sweep says what it sets."""
    return against if "@" in against else f"{against} (declared)"


def _cells(one: Priced) -> list[Cell]:
    if not one.prices:
        return [Cell(MISSING)] * 4
    cells = []
    for question in (DRAWN, FIRST):
        found = one.prices[question]
        number = Price(found.trials, None, None, found.budget, is_bounded=False).text
        cells += [Cell(number, value=found.trials or math.inf), Cell(found.interval_text or MISSING)]
    return cells


def _figures(one: Priced) -> Iterator[list[object]]:
    for question, found in one.prices.items():
        ends = [found.low or math.inf, found.high or math.inf] if found.is_bounded else [math.nan, math.nan]
        where = [one.benchmark, one.loss, one.against, question]
        yield [*where, found.trials or math.inf, *ends, found.budget, ""]
    if not one.prices:
        yield [one.benchmark, one.loss, one.against, "", math.nan, math.nan, math.nan, "", one.reason]
