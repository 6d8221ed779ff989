"""How often verdicts err, and how often they tell: by simulation, with fixed generators.

``python -m tests.analysis.verdict_simulations --write`` writes docs/simulations.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import special

from analysis.evidence.words import (
    BETTER,
    BETTER_WITHIN,
    EQUIVALENT,
    SHOW_NOT_WORSE,
    WORSE,
    WORSE_WITHIN,
    Bounds,
    overall,
    word,
)
from analysis.statistics.best import may_be_best
from analysis.statistics.items import crossed_interval, influence, item_variance
from analysis.statistics.paired import Difference
from suite.outcomes import Outcomes
from tests.analysis import budget_simulations

PAGE = Path(__file__).parents[2] / "docs" / "simulations.md"
MARGIN, NOISE = 1.0, 0.4
REPETITIONS, OF_SETS = 4000, 1000
SEEDS = (5, 10, 20)
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
NOISES: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(0, NOISE, shape),
    "skewed": lambda rng, shape: NOISE * (1 - rng.exponential(size=shape)),
    "heavy-tailed": lambda rng, shape: NOISE * rng.standard_t(3, shape) / math.sqrt(3),
    "collapsing": lambda rng, shape: rng.normal(0, NOISE, shape) - 4 * MARGIN * ((rng.random(shape) < 0.1) - 0.1),
}
"""Differences of mean 0, in margins: to the left skewed ones are exponential; a tenth of collapsing seeds loses 4."""
ITEMS = 200
OF_ITEMS = {
    "no noise of items": (0, 0),
    "as five seeds": (1, 0),
    "three times that": (3, 0),
    "as five seeds, other items with every seed": (0, 1),
}
"""Noise of a mean over the items, and of what item and seed have alone together, in that of a mean over five seeds."""


def intervals(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the t-intervals of the means over the last axis."""
    n = values.shape[-1]
    half = special.stdtrit(n - 1, (1 + confidence) / 2) * values.std(axis=-1, ddof=1) / math.sqrt(n)
    return values.mean(axis=-1) - half, values.mean(axis=-1) + half


def said(draw: Draw, n: int, truth: float, repetitions: int = REPETITIONS) -> list[str]:
    """Return the words of so many campaigns on one benchmark with a true difference, in margins."""
    rng = np.random.default_rng([n, round(1000 * (truth + 10))])
    bounds = intervals(truth + draw(rng, (repetitions, n)))
    return [word(Bounds(low, high), MARGIN) for low, high in zip(*bounds, strict=True)]


def share(words: list[str], *meant: str) -> float:
    """Return how often one of some words was said."""
    return sum(one in meant for one in words) / len(words)


#: What is said though it is not true, at the boundary where that happens most often.
ERRORS: dict[str, Callable[[Draw, int], float]] = {
    "better, at 0": lambda draw, n: share(said(draw, n, 0.0), BETTER, BETTER_WITHIN),
    "better within the margin, at +m": lambda draw, n: share(said(draw, n, 1.0), BETTER_WITHIN, EQUIVALENT),
    "equivalent, at -m": lambda draw, n: share(said(draw, n, -1.0), EQUIVALENT),
    "not worse (any word that shows it), at -m": lambda draw, n: share(said(draw, n, -1.0), *SHOW_NOT_WORSE),
    "worse within the margin, at 0": lambda draw, n: share(said(draw, n, 0.0), WORSE_WITHIN, WORSE),
    "worse, at -m": lambda draw, n: share(said(draw, n, -1.0), WORSE),
}
#: What is said and true.
POWERS: dict[str, Callable[[Draw, int], float]] = {
    "better, at +m": lambda draw, n: share(said(draw, n, 1.0), BETTER, BETTER_WITHIN),
    "better within the margin, at +m/2": lambda draw, n: share(said(draw, n, 0.5), BETTER_WITHIN),
    "equivalent, at 0": lambda draw, n: share(said(draw, n, 0.0), EQUIVALENT),
    "not worse (any word that shows it), at 0": lambda draw, n: share(said(draw, n, 0.0), *SHOW_NOT_WORSE),
    "worse within the margin, at -m/2": lambda draw, n: share(said(draw, n, -0.5), WORSE_WITHIN),
    "worse, at -2 m": lambda draw, n: share(said(draw, n, -2.0), WORSE),
}


def coverage(draw: Draw, n: int, benchmarks: int, repetitions: int = REPETITIONS) -> float:
    """Return how often all simultaneous intervals of a claim hold the truth."""
    rng = np.random.default_rng([n, benchmarks])
    low, high = intervals(draw(rng, (repetitions, benchmarks, n)), 1 - 0.05 / benchmarks)
    return float(((low <= 0) & (high >= 0)).all(axis=1).mean())


def crossed_coverage(draw: Draw, n: int, noise: str, over_items: bool, repetitions: int = OF_SETS) -> float:
    """Return how often an interval of a mean difference holds what other seeds *and* other items would give.

    The difference of an item with a seed is that of the seed, plus that of the item, plus what is of both alone.
    """
    rng = np.random.default_rng([n, *map(ord, noise)])
    of_item, of_both = (times * NOISE * math.sqrt(ITEMS / 5) for times in OF_ITEMS[noise])
    covered = 0
    for _ in range(repetitions):
        layout = draw(rng, (n, 1)) + of_item * rng.normal(size=ITEMS) + of_both * rng.normal(size=(n, ITEMS))
        seeds = Difference.of(layout.mean(axis=1))
        of_items = item_variance(influence(Outcomes("mean", layout.mean(axis=0)))) if over_items else 0.0
        low, high = crossed_interval(seeds.mean, seeds.std, n, of_items, 0.95)
        covered += low <= 0 <= high
    return covered / repetitions


def holds_the_best(draw: Draw, n: int, losses: int, repetitions: int = OF_SETS, unequal: bool = False) -> float:
    """Return how often the bold set holds a given best loss, where all are equally good, the least favourable case."""
    rng = np.random.default_rng([n, losses])
    noise = draw(rng, (repetitions, n, losses)) / math.sqrt(2)
    scales = np.where(np.arange(losses) % 2, 3.0, 1.0) if unequal else np.ones(losses)
    scores = rng.normal(size=(repetitions, n, 1)) + noise * scales
    return float(np.mean([may_be_best(one)[0] for one in scores]))


def overall_error(draw: Draw, n: int, benchmarks: int, claim: str, repetitions: int = REPETITIONS) -> float:
    """Return how often a claim holds overall that is not true: one benchmark at the boundary, others far above it.

    ``not worse``: one is worse by the margin, the others better by two. ``better``: all are equal.
    """
    rng = np.random.default_rng([n, benchmarks, len(claim)])
    truth = np.zeros(benchmarks) if claim == "better" else np.where(np.arange(benchmarks) == 0, -1.0, 2.0)
    values = truth[:, None] + draw(rng, (repetitions, benchmarks, n))
    alone, together = intervals(values), intervals(values, 1 - 0.05 / benchmarks)
    meant = (BETTER, BETTER_WITHIN) if claim == "better" else SHOW_NOT_WORSE
    words = [
        overall(
            [Bounds(*pair) for pair in zip(alone[0][i], alone[1][i], strict=True)],
            [Bounds(*pair) for pair in zip(together[0][i], together[1][i], strict=True)],
            [MARGIN] * benchmarks,
        )
        for i in range(repetitions)
    ]
    return share(words, *meant)


def table(head: str, rows: dict[str, Callable[[Draw, int], float]]) -> Iterator[str]:
    """Yield a table of Markdown: a row a case, a column a noise, three numbers of seeds in a cell."""
    yield f"| {head} | " + " | ".join(NOISES) + " |"
    yield "|---" * (1 + len(NOISES)) + "|"
    for name, of in rows.items():
        cells = (" / ".join(f"{of(draw, n):.3f}" for n in SEEDS) for draw in NOISES.values())
        yield f"| {name} | " + " | ".join(cells) + " |"


def page() -> str:
    """Return docs/simulations.md."""
    sets = {f"{k} losses": lambda draw, n, k=k: holds_the_best(draw, n, k) for k in (5, 10, 30)}
    sets["10 losses, every other three times as noisy"] = lambda draw, n: holds_the_best(draw, n, 10, unequal=True)
    covered = {f"{k} benchmarks": lambda draw, n, k=k: coverage(draw, n, k) for k in (1, 5, 20)}
    crossed = {
        f"{over}: {noise}": lambda draw, n, noise=noise, both=both: crossed_coverage(draw, n, noise, both)
        for noise in OF_ITEMS
        for over, both in (("seeds and items", True), ("seeds", False))
    }
    erring = {
        f"{claim}, {k} benchmarks": lambda draw, n, k=k, claim=claim: overall_error(draw, n, k, claim, 1000)
        for claim in ("not worse", "better")
        for k in (5, 20)
    }
    return "\n".join(
        [
            TEXT,
            *table("error", ERRORS),
            "\n## Power: how often a word is said that is true\n",
            *table("power", POWERS),
            "\n## The simultaneous 95 % intervals of a claim all cover\n",
            *table("coverage", covered),
            f"\n## The 95 % interval over seeds and {ITEMS} test items covers\n\nWhat other seeds would give on other "
            "items; beside it the interval over seeds, which does not claim to. `as five seeds`: the noise that items "
            "bring is that of a mean over five seeds. *Other items with every seed* is noise that items do not share "
            "between seeds; it is counted twice.\n",
            *table("coverage", crossed),
            "\n## The bold set holds the best of equally good losses\n",
            *table("share", sets),
            "\n## A claim holds overall that is not true\n\nNot worse: one benchmark is worse by the margin, the "
            "others better by two. Better: all are equal.\n",
            *table("error", erring),
            *budget_simulations.lines(),
            "",
        ]
    )


TEXT = f"""# How often verdicts err

Written by `python -m tests.analysis.verdict_simulations --write`, with fixed generators: {REPETITIONS:,} repetitions a
figure ({OF_SETS:,} for bold sets, overall verdicts and items), so that .025 has a standard error of .0025 (.005).
In every cell: 5 / 10 / 20 seeds. The standard deviation of paired differences is {NOISE:g} margins. Skewed differences
are exponential with the tail to the left, heavy-tailed ones have Student's t with 3 degrees of freedom, and of
collapsing seeds a tenth loses 4 margins. Nominal are .025 for errors on either side, .95 for coverage and the bold set.
What it comes to:

- **With normal or heavy-tailed differences everything errs as often as it should or less**, but for the simulation's
  own error.
- **With skewed or collapsing seeds, "not worse" and "better" are said far too often**: with five seeds in 11 % and 23 %
  of the campaigns at the boundary, and still in 7 % and 12 % with twenty. A sample without a collapse looks better, and
  quieter, than the truth. Overall verdicts inherit that, and simultaneous intervals of many benchmarks do not cover.
  Where a loss collapses on some seeds its verdict is to be read with that; a seed that fails altogether is counted
  (docs/verdicts.md).
- On the other side the same noise makes "worse" a rarer error, and with collapsing seeds hard to show.
- The bold set holds the best with 95 % for 5, 10 and 30 losses of alike noise, whatever its shape; with losses of
  unlike noise for normal and heavy-tailed differences alone.
- Of what other seeds would give on other test items, the interval over seeds covers less the more items matter: 88 %
  of the time where they bring as much noise as five seeds, 60 % where three times that, and ever less with more seeds.
  That over seeds and items covers 93 % to 97 %; where items matter little, skewed and collapsing seeds spoil it as they
  do the one over seeds.

## Error of a word at its boundary, one benchmark
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} instead of printing it")
    text = page()
    if parser.parse_args().write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
