"""The same campaign on several machines: what each says by itself, and how far they lie apart.

Another processor gives other bits, and training makes of them other scores. Runs that are the same in all but the
machine are replicates: the tables have one of each, and here stands what the others would have said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from analysis.evidence.choice import natural
from analysis.evidence.verdict import Verdict
from analysis.read.collect import Collected


class Judged(Protocol):
    """What is derived of the runs of one machine."""

    @property
    def rows(self) -> pd.DataFrame:
        """Evaluation runs by the row of the tables that they stand in."""

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """By claim: overall first, then by benchmark."""


@dataclass(frozen=True)
class Machine:
    """What the runs of one machine say by themselves.

    Attributes
    ----------
    name : str
        Its processor or accelerator; ``unknown`` where runs do not say.
    rows : DataFrame
        As :class:`analysis.evidence.gather.Evidence` has them.
    verdicts : tuple of Verdict
    """

    name: str
    rows: pd.DataFrame
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Spread:
    """How far the scores of one row of a benchmark lie apart.

    Attributes
    ----------
    benchmark, row : str
    seeds : tuple of int
        Those that all machines have with this row.
    means, stds : tuple of float
        By machine, over these seeds.
    between_seeds : float
        Standard deviation over seeds on one machine, pooled over machines; NaN of one seed.
    between_machines : float
        Standard deviation over machines of one seed, pooled over seeds.
    """

    benchmark: str
    row: str
    seeds: tuple[int, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]
    between_seeds: float
    between_machines: float


def machines(collected: Collected, judged: Callable[[Collected], Judged]) -> tuple[Machine, ...]:
    """Judge the runs of every machine by themselves, that with the most runs first; none where nothing was replicated.

    Parameters
    ----------
    collected : Collected
        Of one profile.
    judged : callable (runs of one machine) -> Judged
    """
    if collected.replicates.empty:
        return ()
    both = pd.concat([collected.runs["machine"], collected.replicates["machine"]])
    counts = both.value_counts()
    found = []
    for name in sorted(counts.index, key=lambda name: (-counts[name], str(name))):
        alone = judged(collected.on(name))
        found.append(Machine(str(name) or "unknown", alone.rows, alone.verdicts))
    return tuple(found)


def spreads(machines: Sequence[Machine]) -> Iterator[Spread]:
    """Yield the spread of every row that all machines have on a benchmark with a seed in common."""
    scores = [one.rows.pivot_table(index=["benchmark", "row"], columns="seed", values="test") for one in machines]
    for benchmark, row in sorted(set().union(*(one.index for one in scores)), key=lambda pair: [*map(natural, pair)]):
        having = [one for one in scores if (benchmark, row) in one.index]
        if len(having) == len(machines):
            table = pd.concat([one.loc[(benchmark, row)].astype(float) for one in having], axis=1).dropna()
            if len(table):
                yield _spread(str(benchmark), str(row), table)


def _spread(benchmark: str, row: str, scores: pd.DataFrame) -> Spread:
    values = scores.to_numpy()  # [seeds, machines]
    stds = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], math.nan)
    return Spread(
        benchmark,
        row,
        tuple(int(seed) for seed in scores.index),
        tuple(map(float, values.mean(axis=0))),
        tuple(map(float, stds)),
        float(np.sqrt((stds**2).mean())),
        float(np.sqrt(values.var(axis=1, ddof=1).mean())),
    )


def moved(machines: Sequence[Machine]) -> list[tuple[str, str, tuple[Verdict | None, ...]]]:
    """Return every verdict that more than one machine can give: claim, benchmark, and the verdict by machine.

    A machine can give one where both sides of the claim were run with two common seeds or more; without a benchmark it
    is the overall verdict.
    """
    by_machine = [{(one.claim, one.benchmark): one for one in machine.verdicts} for machine in machines]
    found = []
    for name in dict.fromkeys(name for mine in by_machine for name in mine):
        verdicts = tuple(one if (one := mine.get(name)) and _is_told(one) else None for mine in by_machine)
        if sum(one is not None for one in verdicts) > 1:
            found.append((*name, verdicts))
    return found


def _is_told(one: Verdict) -> bool:
    if not one.benchmark:
        return one.aggregate is not None
    return one.comparison is not None and one.comparison.paired.n > 1


def is_moved(verdicts: Sequence[Verdict | None]) -> bool:
    """Whether machines disagree about the word."""
    return len({one.label for one in verdicts if one is not None}) > 1


def machine_notes(machines: Sequence[Machine]) -> Iterator[str]:
    """Say how many verdicts would be others on another machine."""
    if not machines:
        return
    told = moved(machines)
    other = [(claim, benchmark) for claim, benchmark, verdicts in told if is_moved(verdicts)]
    which = "; ".join(f"{claim} {f'on {benchmark}' if benchmark else 'overall'}" for claim, benchmark in other)
    yield (
        f"Runs were replicated on {len(machines)} machines ({', '.join(one.name for one in machines)}); the tables "
        f"have those of the machine with the most runs of a benchmark. {len(other)} of {len(told)} verdicts would be "
        f"others on another machine{f': {which}' if which else ''} (tables machines and replication)."
    )
