"""How well cosines of sentence embeddings order pairs of sentences as people do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from torch import Tensor
from torch.nn import functional

from suite.benchmarks.text.data import ScoredPairs
from suite.training import Evaluated, Outcomes

Embed = Callable[[Sequence[str]], Tensor]


#: Rounding of an encoder's output in float32, relative to its length: what its sums leave, with a margin.
ROUNDING = 16 * float(np.finfo(np.float32).eps)


def spearman(predicted: np.ndarray, scores: np.ndarray, resolution: float = 0.0) -> float:
    """Return Spearman's rank correlation in [-1, 1], ties at their mean rank.

    It is undefined, and NaN in scipy, where all predictions are equal: they order nothing, and 0 is returned.

    Parameters
    ----------
    predicted, scores : array [pairs]
    resolution : float
        Predictions that all lie within so much of each other count as equal.

    Raises
    ------
    ValueError
        If a prediction is NaN or infinite, or all scores are equal.
    """
    if not np.isfinite(predicted).all():
        raise ValueError("a similarity is not finite: the model has diverged")
    if np.ptp(scores) == 0:
        raise ValueError(
            f"all {len(scores)} pairs have the score {scores[0]:g}: they order nothing, choose other pairs"
        )
    if np.ptp(predicted) <= resolution:
        return 0.0
    return float(stats.spearmanr(predicted, scores).statistic)


def cosines(embed: Embed, pairs: ScoredPairs) -> np.ndarray:
    """Return the cosine of each pair's embeddings: float64 [pairs]; of a zero embedding it is 0.

    Parameters
    ----------
    embed : callable (sentences) -> Tensor [sentences, D]
    pairs : ScoredPairs
    """
    first, second = (functional.normalize(embed(part).double(), dim=1) for part in (pairs.first, pairs.second))
    cosine: np.ndarray = (first * second).sum(dim=1).cpu().numpy()
    return cosine


def resolution(cosine: np.ndarray) -> float:
    """Return how far cosines of equal pairs may lie apart, by the rounding of their embeddings in float32.

    A rounding that turns a row by an angle a moves the cosine c by a sqrt(1 - c^2) and, near c = 1, by a^2.

    Parameters
    ----------
    cosine : array [pairs]
    """
    sine = np.sqrt(max(0.0, 1.0 - float(np.min(np.abs(cosine))) ** 2))
    return float(ROUNDING * (sine + ROUNDING))


def sts_metrics(embed: Embed, pairs: ScoredPairs) -> Evaluated:
    """Return ``spearman``: the rank correlation of the pairs' cosines with their scores.

    The protocol of SimCSE (Gao et al. 2021, arXiv 2104.08821) on the STS Benchmark (Cer et al. 2017): all pairs of a
    part in one ranking, no regression on top. Cosines that differ by rounding alone order nothing.
    """
    cosine = cosines(embed, pairs)
    ordered = spearman(cosine, pairs.scores, resolution(cosine))
    if np.ptp(cosine) <= resolution(cosine):
        cosine = np.zeros_like(cosine)
    return Evaluated({"spearman": ordered}, {"spearman": Outcomes("spearman", cosine, pairs.scores)})
