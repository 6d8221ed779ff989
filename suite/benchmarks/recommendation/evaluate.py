"""Ranking metrics over the whole catalogue and over a sample of it, with the expectation over random orders of ties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from suite.training import Evaluated, Outcomes

CUTOFFS = (5, 10, 20)
SAMPLED_CUTOFFS = (1, 5, 10)
NEGATIVES: Final = 100


def ranking_gains(
    scores: Tensor, target: Tensor, excluded: Tensor, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, Tensor]:
    """Hit ratio and NDCG of one relevant item a user, ranked against every item that is not excluded, user by user.

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
    dict of name to Tensor [users], float64
        ``hr_<k>`` and ``ndcg_<k>`` in [0, 1] for every k of `cutoffs`; :func:`over_users` takes their means.

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
    by_user = {}
    for k in cutoffs:
        first, beyond = above.clamp(max=k), (above + tied + 1).clamp(max=k)
        by_user[f"hr_{k}"] = (beyond - first) / (tied + 1.0).double()
        by_user[f"ndcg_{k}"] = (gain[beyond] - gain[first]) / (tied + 1.0).double()
    return by_user


def over_users(parts: Sequence[Mapping[str, Tensor]]) -> Evaluated:
    """Return the mean of each metric over the users of all parts, with their outcomes.

    Parameters
    ----------
    parts : sequence of mapping
        As :func:`ranking_gains` gives them, of some users each.
    """
    by_user = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return Evaluated(
        {name: values.mean().item() for name, values in by_user.items()},
        {name: Outcomes("mean", values.cpu().numpy()) for name, values in by_user.items()},
    )


def sampled_gains(
    scores: Tensor, target: Tensor, excluded: Tensor, weights: Tensor, draw: np.random.Generator
) -> dict[str, Tensor]:
    """Hit ratio and NDCG of the target among 100 sampled items: secondary, to compare with papers that use them.

    They estimate no figure of :func:`ranking_gains`, and need not even order models as it does (Krichene & Rendle
    2020, "On Sampled Metrics for Item Recommendation"): do not choose by them, nor compare them with figures over the
    whole catalogue.

    Parameters
    ----------
    scores, target, excluded
        As of :func:`ranking_gains`.
    weights : Tensor [items]
        How likely an item is to be drawn; see :func:`sample_negatives`.
    draw : np.random.Generator

    Returns
    -------
    dict of name to Tensor [users], float64
        ``hr_<k>`` and ``ndcg_<k>`` in [0, 1] for k = 1, 5 and 10; chance is HR@k = k / 101.
    """
    negatives = sample_negatives(weights, excluded.scatter(1, target[:, None], True), NEGATIVES, draw)
    return ranking_gains(scores, target, ~negatives, SAMPLED_CUTOFFS)


def sample_negatives(weights: Tensor, excluded: Tensor, count: int, draw: np.random.Generator) -> Tensor:
    """Draw different items for every user, one after the other with probability proportional to their weights.

    As exponential variates of these rates, of which the smallest are taken (Efraimidis & Spirakis 2006). The sampler of
    RecBole behind DCRec's ``pop100`` may draw an item more than once.

    Parameters
    ----------
    weights : Tensor [items]
        Not negative; items of weight 0 are not drawn.
    excluded : Tensor [users, items], bool
        Not drawn.
    count : int
        Items a user; where fewer can be drawn, all of them are.
    draw : np.random.Generator

    Returns
    -------
    Tensor [users, items], bool
        What is drawn.
    """
    uniform = torch.from_numpy(draw.random(tuple(excluded.shape))).to(excluded.device)
    arrival = (-torch.log1p(-uniform) / weights).masked_fill(excluded | (weights == 0), torch.inf)
    first, items = arrival.topk(min(count, arrival.shape[1]), dim=1, largest=False)
    return torch.zeros_like(excluded).scatter(1, items, first.isfinite())
