"""The mean over anchors, block by block: memory linear in the batch, value and gradient in one pass.

Each block of similarities is made, mapped, differentiated and dropped while it is in the cache. The gradient of the
embeddings is thus known when the value is; the backward pass only scales it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from suite.pairs import EmbeddedPairs, Pairs, Part, spans
from suite.pairs.gather import summed, world_size
from suite.pairs.roles import Roles


def mean_over_anchors(of_block: Callable[[Pairs], Tensor], pairs: Pairs, parameters: Sequence[Tensor]) -> Tensor:
    """Return the mean of each anchor's loss over the anchors with a positive: a scalar, the same in every process.

    With torch.distributed every process computes its own anchors' share.

    Parameters
    ----------
    of_block : callable (Pairs) -> Tensor [anchors]
        The loss of each anchor of a block.
    pairs : Pairs
    parameters : sequence of Tensor
        What `of_block` depends on besides the similarities and has to be differentiated by.
    """
    weight = _weights(pairs.roles)
    if not isinstance(pairs, EmbeddedPairs) or pairs.is_small:
        return _weighted(of_block(pairs), weight)
    tensors = [tensor for part in pairs.parts for tensor in (part.anchors, part.candidates, part.matched)]
    apply = _Blockwise.apply
    if torch.compiler.is_compiling():
        # here, since as a decorator it costs a second at import, compiled or not
        apply = torch.compiler.disable(apply)  # type: ignore[no-untyped-call]
    value: Tensor = apply(of_block, pairs, weight, torch.is_grad_enabled(), len(tensors), *tensors, *parameters)
    return value


def _weights(roles: Roles) -> Tensor:
    counted = (roles.positives() > 0).double()
    return counted / counted.sum().clamp(min=1)


def _weighted(terms: Tensor, weight: Tensor) -> Tensor:
    # an anchor without a positive may have any term, even an infinite one
    return (terms.where(weight > 0, 0.0) * weight.to(terms.dtype)).sum()


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        of_block: Callable[[Pairs], Tensor],
        pairs: EmbeddedPairs,
        weight: Tensor,
        differentiate: bool,
        embeddings: int,
        *tensors: Tensor | None,
    ) -> Tensor:
        needed = [need and differentiate for need in ctx.needs_input_grad[5:]]
        parameters = [tensor for tensor in tensors[embeddings:] if tensor is not None]
        gradients = [
            torch.zeros_like(tensor) if tensor is not None and need else None
            for tensor, need in zip(tensors, needed, strict=True)
        ]
        total = weight.new_zeros(())
        first = 0
        for number, part in enumerate(pairs.parts):
            own = _Gradients(gradients[3 * number : 3 * number + 3])
            for start, stop in spans(part.own, pairs.rows):
                rows = slice(first + start, first + stop)
                value, of_similarity, of_parameters = _block(
                    of_block, pairs, part, (start, stop), rows, weight[rows], parameters if any(needed) else None
                )
                total += value
                own.add(part, start, stop, of_similarity)
                for mine, more in zip(gradients[embeddings:], of_parameters, strict=False):
                    if mine is not None and more is not None:
                        mine += more
            first += len(part.anchors)
        ctx.gradients = gradients
        return summed(total).to(pairs.parts[0].anchors.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scale = gradient * world_size()
        return (None, None, None, None, None, *(None if g is None else g * scale for g in ctx.gradients))


class _Gradients:
    """Where the gradients of one part's anchors, candidates and matched rows are summed."""

    def __init__(self, sums: Sequence[Tensor | None]) -> None:
        self.anchors, self.candidates, self.matched = sums

    def add(self, part: Part, start: int, stop: int, of_similarity: Tensor | None) -> None:
        if of_similarity is None:
            return
        anchors = part.anchors[start:stop]
        if part.matched is not None:
            first, of_similarity = of_similarity[:, :1], of_similarity[:, 1:]
            if self.anchors is not None:
                self.anchors[start:stop] += first * part.matched[start:stop]
            if self.matched is not None:
                self.matched[start:stop] += first * anchors
        if self.anchors is not None:
            self.anchors[start:stop].addmm_(of_similarity, part.candidates)
        if self.candidates is not None:
            self.candidates.addmm_(of_similarity.T, anchors)


def _block(
    of_block: Callable[[Pairs], Tensor],
    pairs: EmbeddedPairs,
    part: Part,
    span: tuple[int, int],
    rows: slice,
    weight: Tensor,
    parameters: Sequence[Tensor] | None,
) -> tuple[Tensor, Tensor | None, Sequence[Tensor | None]]:
    """Return a block's share of the value, and its gradients unless `parameters` is None."""
    with torch.no_grad():
        similarity = part.similarity(*span)
    if parameters is None:
        with torch.no_grad():
            return _weighted(of_block(pairs.block(similarity, rows.start, rows.stop)), weight), None, ()
    with torch.enable_grad():
        similarity.requires_grad_()
        value = _weighted(of_block(pairs.block(similarity, rows.start, rows.stop)), weight)
        of_similarity, *of_parameters = torch.autograd.grad(value, [similarity, *parameters], allow_unused=True)
    return value.detach(), of_similarity, of_parameters
