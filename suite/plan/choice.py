"""Which of several trials validation chooses: the one rule, on plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Best:
    """The trial that is chosen.

    Attributes
    ----------
    trial : int
    mean : float
        Its mean over the seeds; -infinity where every trial has a failed run.
    tied : tuple of int
        Later trials with the same mean.
    """

    trial: int
    mean: float
    tied: tuple[int, ...]


def best_trial(scores: Sequence[Sequence[float]]) -> Best:
    """Return the trial with the highest mean over its selection seeds; of equals the first.

    Parameters
    ----------
    scores : sequence [trials] of sequence [seeds] of float
        The primary validation metric, its sign turned where it is minimised: higher is better. A failed run is the
        worst that there is: -infinity.

    Raises
    ------
    ValueError
        If there are no trials, or one lacks a seed that another has: nothing may be chosen before all have run.
    """
    if not scores or not scores[0] or len({len(trial) for trial in scores}) > 1:
        raise ValueError("every trial needs a score of every selection seed")
    if any(math.isnan(score) for trial in scores for score in trial):
        raise ValueError("a score is missing: a failed run has -infinity")
    means = [math.fsum(trial) / len(trial) for trial in scores]
    best = means.index(max(means))
    return Best(best, means[best], tuple(i for i, mean in enumerate(means) if mean == means[best] and i > best))
