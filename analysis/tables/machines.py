"""Tables of replicates: the same runs on several machines."""

from __future__ import annotations

import pandas as pd

from analysis.evidence.gather import Evidence
from analysis.evidence.machines import is_moved, moved, spreads
from analysis.evidence.verdict import Verdict
from analysis.tables.table import MISSING, Block, Cell, Summary, Table, digits_for, interval_text

SPREAD_COLUMNS = ["benchmark", "row", "machine", "n", "mean", "std", "between_seeds", "between_machines"]
WORD_COLUMNS = ["claim", "benchmark", "machine", "label", "n", "mean", "low", "high", "moves"]


def machine_tables(evidence: Evidence) -> list[Table]:
    """Return the scores by machine beside the spread between machines, and the verdicts by machine; none without."""
    return [_spread_table(evidence), _replication_table(evidence)] if evidence.machines else []


def _spread_table(evidence: Evidence) -> Table:
    names = [one.name for one in evidence.machines]
    blocks: dict[str, Block] = {}
    data = []
    for one in spreads(evidence.machines):
        digits = digits_for(pd.Series(one.means))
        n = len(one.seeds)
        cells = [
            Cell(Summary(n, mean, std).text(digits), value=mean) for mean, std in zip(one.means, one.stds, strict=True)
        ]
        cells += [_std(one.between_seeds), _std(one.between_machines)]
        blocks.setdefault(one.benchmark, Block(one.benchmark, [])).rows.append((one.row, cells))
        data += [
            [one.benchmark, one.row, name, n, mean, std, one.between_seeds, one.between_machines]
            for name, mean, std in zip(names, one.means, one.stds, strict=True)
        ]
    return Table(
        "machines",
        evidence.profile,
        f"Replicates, profile {evidence.profile}: primary test metric by machine, mean ± standard deviation over the "
        "seeds that all machines have (number of seeds); the standard deviation between seeds on one machine, and "
        "between machines of one seed. Rows of what validation chose have on each machine what it chose there, "
        "which may be another configuration.",
        ["", *names, "between seeds", "between machines"],
        list(blocks.values()),
        [] if blocks else ["No row was run with the same seed on all machines."],
        pd.DataFrame(data, columns=SPREAD_COLUMNS),
        is_titled=True,
    )


def _replication_table(evidence: Evidence) -> Table:
    names = [one.name for one in evidence.machines]
    claims = {one.claim: one.declared.in_words() for machine in evidence.machines for one in machine.verdicts}
    blocks: dict[str, Block] = {}
    data = []
    for claim, benchmark, verdicts in moved(evidence.machines):
        moves = is_moved(verdicts)
        cells = [_word(one) for one in verdicts]
        blocks.setdefault(claim, Block(claims[claim], [])).rows.append(
            (benchmark or "overall", [*cells, Cell("yes" if moves else "no", bold=moves)])
        )
        data += [
            [claim, benchmark, name, one.label, *_figures(one), moves]
            for name, one in zip(names, verdicts, strict=True)
            if one is not None
        ]
    return Table(
        "replication",
        evidence.profile,
        f"Verdicts by machine, profile {evidence.profile}: each from the runs of one machine alone, with what "
        "validation chose there; differences with simultaneous 95 % intervals as in the table of verdicts.",
        ["", *names, "moves"],
        list(blocks.values()),
        [] if blocks else ["No claim can be judged on more than one machine."],
        pd.DataFrame(data, columns=WORD_COLUMNS),
        is_titled=True,
    )


def _std(value: float) -> Cell:
    return Cell(MISSING if value != value else f"{value:.2g}", value=value)


def _figures(one: Verdict) -> list[float | int | None]:
    if one.comparison is None:
        return [None] * 4
    paired = one.comparison.paired
    return [paired.n, paired.mean, paired.low, paired.high]


def _word(one: Verdict | None) -> Cell:
    if one is None:
        return Cell(MISSING)
    if one.comparison is None:
        return Cell(one.label)
    paired = one.comparison.paired
    digits = digits_for(pd.Series([paired.mean, paired.low, paired.high]), 2)
    figures = f"{paired.mean:+.{digits}} {interval_text(paired.low, paired.high, digits)}"
    return Cell(f"{one.label}, {figures} ({paired.n})", value=paired.mean)
