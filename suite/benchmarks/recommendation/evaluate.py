"""Ranking metrics over the whole catalogue, with the expectation over random orders of ties."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

CUTOFFS = (5, 10, 20)


def ranking_metrics(
    scores: Tensor, target: Tensor, excluded: Tensor, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, float]:
    """Hit ratio and NDCG of one relevant item a user, ranked against every item that is not excluded.

    HR@k is the share of users whose target is among the first k. NDCG@k is the mean over users of 1 / log2(1 + rank)
    where the rank, counted from 1, is at most k, else of 0: with one relevant item the ideal DCG is 1 (Järvelin &
    Kekäläinen 2002). Where other items score the same as the target, the expectation over their random order is taken,
    so that a constant scorer is at chance.

    Parameters
    ----------
    scores : Tensor [users, items]
        Higher is better.
    target : Tensor [users], int64
        Ranked whether it is excluded or not.
    excluded : Tensor [users, items], bool
        Not ranked.
    cutoffs : sequence of int

    Returns
    -------
    dict
        ``hr_<k>`` and ``ndcg_<k>`` in [0, 1] for every k of `cutoffs`.

    Raises
    ------
    ValueError
        If a score is NaN or infinite: no comparison with NaN holds, and the target would come first.
    """
    if not torch.isfinite(scores).all():
        raise ValueError("scores are not finite: the model has diverged")
    score = scores.gather(1, target[:, None])
    rival = ~excluded
    rival.scatter_(1, target[:, None], False)
    above = ((scores > score) & rival).sum(dim=1)
    tied = ((scores == score) & rival).sum(dim=1)
    # The target is equally likely at each of the ranks above + 1 ... above + tied + 1.
    discount = 1.0 / torch.arange(2, scores.shape[1] + 2, dtype=torch.float64, device=scores.device).log2()
    gain = torch.cat([discount.new_zeros(1), discount.cumsum(0)])
    metrics = {}
    for k in cutoffs:
        first, beyond = above.clamp(max=k), (above + tied + 1).clamp(max=k)
        metrics[f"hr_{k}"] = ((beyond - first) / (tied + 1.0).double()).mean().item()
        metrics[f"ndcg_{k}"] = ((gain[beyond] - gain[first]) / (tied + 1.0).double()).mean().item()
    return metrics
