"""What training on a pretrained BERT needs beside a contrastive loss: masked words, and gradients of bounded size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from suite.benchmarks.text.alignment import alignment_term
from suite.benchmarks.text.pretrained.bert import Bert
from suite.benchmarks.text.pretrained.packed import Packed
from suite.pairs.gather import summed, world_size

#: Of the tokens of a sentence these shares are asked for, and of those masked, and replaced by any token; the rest of
#: them stays: Devlin et al. 2019, arXiv 1810.04805.
ASKED, MASKED, REPLACED = 0.15, 0.8, 0.1


class ClippedAdamW(torch.optim.AdamW):
    """AdamW on gradients that are scaled down where their norm is above a bound, as transformers' trainer does.

    Parameters
    ----------
    groups
        The model's parameters first: the norm is theirs, and that of a loss's own parameters does not enter.
    largest : float
        Bound of the norm.
    options
        Of AdamW.
    """

    def __init__(self, groups: Any, largest: float, **options: Any) -> None:
        super().__init__(groups, **options)
        self.largest = largest

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Scale the gradients of the model and take a step."""
        torch.nn.utils.clip_grad_norm_(self.param_groups[0]["params"], self.largest)
        loss: float | None = super().step(closure)
        return loss


def exact_alignment_term(first: Tensor, second: Tensor) -> Tensor:
    """Return MABEL's alignment term, in float32 also under autocast: it is of small differences of similarities.

    Parameters
    ----------
    first, second : Tensor
        As of :func:`suite.benchmarks.text.alignment.alignment_term`.
    """
    with torch.autocast(first.device.type, enabled=False):
        return alignment_term(*(views.to(torch.promote_types(views.dtype, torch.float32)) for views in (first, second)))


def masked_term(bert: Bert, tokens: Packed, mask: int, special: list[int]) -> Tensor:
    """Return the mean cross-entropy of masked tokens, drawn from torch's default generator.

    Over several processes, its mean over them is that over the masked tokens of all.

    Parameters
    ----------
    bert : Bert
        With a head for masked words.
    tokens : Packed
        Numbers of tokens.
    mask : int
        Number of the token that stands for a masked one.
    special : list of int
        Numbers of the tokens that are never asked for.
    """
    values = tokens.values
    draw = torch.rand(2, len(values))
    text = ~torch.isin(values.cpu(), torch.tensor(special))
    asked = (draw[0] < ASKED) & text
    any_token = torch.randint(bert.config.vocab_size, (len(values),))
    shown = torch.where(asked & (draw[1] < MASKED), torch.tensor(mask), values.cpu())
    shown = torch.where(asked & (draw[1] >= MASKED) & (draw[1] < MASKED + REPLACED), any_token, shown)
    places = asked.nonzero().squeeze(1).to(values.device)
    hidden = bert(tokens.with_values(shown.to(values.device))).values[places]
    total = functional.cross_entropy(bert.logits(hidden), values[places], reduction="sum")
    everywhere = summed(asked.sum().to(values.device)).clamp(min=1)
    return total * world_size() / everywhere
