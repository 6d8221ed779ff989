"""How well cosines of sentence embeddings order pairs of sentences as people do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from torch import Tensor
from torch.nn import functional

from suite.benchmarks.text.data import ScoredPairs

Embed = Callable[[Sequence[str]], Tensor]


def spearman(predicted: np.ndarray, scores: np.ndarray) -> float:
    """Return Spearman's rank correlation in [-1, 1], ties at their mean rank.

    It is undefined, and NaN in scipy, where all predictions are equal: they order nothing, and 0 is returned.

    Parameters
    ----------
    predicted, scores : array [pairs]

    Raises
    ------
    ValueError
        If a prediction is NaN or infinite.
    """
    if not np.isfinite(predicted).all():
        raise ValueError("a similarity is not finite: the model has diverged")
    if np.ptp(predicted) == 0:
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


def sts_metrics(embed: Embed, pairs: ScoredPairs) -> dict[str, float]:
    """Return ``spearman``: the rank correlation of the pairs' cosines with their scores.

    The protocol of SimCSE (Gao et al. 2021, arXiv 2104.08821) on the STS Benchmark (Cer et al. 2017): all pairs of a
    part in one ranking, no regression on top.
    """
    return {"spearman": spearman(cosines(embed, pairs), pairs.scores)}
