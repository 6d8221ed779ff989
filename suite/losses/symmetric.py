"""Two views at the cost of their products: each similarity is computed once and serves both of its anchors.

Similarities are taken in blocks that stay in the cache, only those on and above the diagonal. What they become, the
slope of e^logit, is kept for the gradient, which is known when the sums of all rows are: half of one product for the
similarities and a whole one for the gradient, where a pass over rows takes three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from suite.losses.exponentials import Exponential
from suite.pairs import EmbeddedPairs, Pairs, spans
from suite.pairs.gather import world_size

#: Slopes that are kept between the passes, at most; what does not fit is computed again.
KEPT = 2**24

Head = Callable[[Tensor, Tensor], Tensor]


def is_symmetric(pairs: Pairs) -> bool:
    """Return whether these are two views on a processor, in one process, and so many that they come in blocks."""
    return (
        isinstance(pairs, EmbeddedPairs)
        and pairs.parts[0].is_two_views
        and not pairs.is_small
        and len(pairs) > 2
        and world_size() == 1
        and pairs.device.type == "cpu"
    )


def mean_over_two_views(pairs: EmbeddedPairs, exponential: Exponential, head: Head) -> Tensor:
    """Return the mean of each anchor's loss: a scalar.

    Parameters
    ----------
    pairs : EmbeddedPairs
        For which :func:`is_symmetric`.
    exponential : Exponential
        From a negative's cosine.
    head : callable (log_negatives, positive) -> Tensor
        The anchors' losses [anchors], given the logarithm of their sums of e^logit over negatives [anchors] and the
        cosines of their positives [anchors].
    """
    apply = _TwoViews.apply
    if torch.compiler.is_compiling():
        apply = torch.compiler.disable(apply)  # type: ignore[no-untyped-call]
    value: Tensor = apply(pairs.parts[0].anchors, exponential, head, pairs.side, torch.is_grad_enabled())
    return value


class _TwoViews(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, exponential: Exponential, head: Head, side: int, differentiate: bool) -> Tensor:
        differentiate = differentiate and ctx.needs_input_grad[0]
        blocks = _Blocks(rows, exponential, side, keep=differentiate)
        sums, positive = blocks.sums()
        with torch.set_grad_enabled(differentiate):
            logarithm = sums.log().to(rows.dtype).requires_grad_(differentiate)
            value = head(logarithm, positive.requires_grad_(differentiate)).mean()
        if differentiate:
            with torch.enable_grad():
                of_logarithm, of_positive = torch.autograd.grad(value, [logarithm, positive])
            factor = (of_logarithm / sums * exponential.factor).to(rows.dtype)
            ctx.gradient = blocks.gradient(factor, of_positive)
        return value.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.gradient * gradient, None, None, None, None


class _Blocks:
    """The upper half of the matrix of similarities of 2N rows, row i + N belonging to row i."""

    def __init__(self, rows: Tensor, exponential: Exponential, side: int, keep: bool) -> None:
        self.rows = rows
        self.exponential = exponential
        self.spans = list(spans([(0, len(rows))], side))
        side = min(side, len(rows))
        self._similarity, self._slope = (rows.new_empty(side * side) for _ in range(2))
        self._kept: list[Tensor] = []
        self._room = KEPT if keep else 0

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return the sums of e^logit over each row's negatives, in float64, and its positive's cosine: [2N] each."""
        sums = self.rows.new_zeros(len(self.rows), dtype=torch.float64)
        positive = self.rows.new_empty(len(self.rows) // 2)
        for (start, stop), (first, last) in self._places():
            size = (stop - start) * (last - first)
            keep = size <= self._room
            slope = self.rows.new_empty(size) if keep else self._slope[:size]
            exponential = self._exponentials(start, stop, first, last, slope, positive)
            sums[start:stop] += exponential.sum(dim=1)
            if first != start:
                sums[first:last] += exponential.sum(dim=0)
            if keep:
                self._kept.append(slope)
                self._room -= size
            else:
                self._room = 0  # what is kept are the first blocks
        return sums, positive.clamp_(-1.0, 1.0).repeat(2)

    def gradient(self, factor: Tensor, of_positive: Tensor) -> Tensor:
        """Return the gradient of the rows: each slope times the factors of both its anchors, and the positives' part.

        Parameters
        ----------
        factor, of_positive : Tensor [2N]
            What each row's slopes are multiplied by, and the derivative with respect to its positive's cosine.
        """
        rows, n = self.rows, len(self.rows) // 2
        both = (of_positive[:n] + of_positive[n:]).unsqueeze(1)
        gradient = torch.cat([rows[n:] * both, rows[:n] * both])
        for number, ((start, stop), (first, last)) in enumerate(self._places()):
            shape = stop - start, last - first
            size = shape[0] * shape[1]
            if number < len(self._kept):
                slope = self._kept[number]
            else:
                slope = self._slope[:size]
                self._exponentials(start, stop, first, last, slope, None)
            factors = torch.add(
                factor[start:stop].unsqueeze(1), factor[first:last], out=self._similarity[:size].view(shape)
            )
            weights = factors.mul_(slope.view(shape))
            gradient[start:stop].addmm_(weights, rows[first:last])
            if first != start:
                gradient[first:last].addmm_(weights.T, rows[start:stop])
        return gradient

    def _places(self) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        for number, of_rows in enumerate(self.spans):
            for of_columns in self.spans[number:]:
                yield of_rows, of_columns

    def _exponentials(
        self, start: int, stop: int, first: int, last: int, slope: Tensor, positive: Tensor | None
    ) -> Tensor:
        """Return a block's e^logit, 0 where there is no negative; write the slopes, and the positives' cosines."""
        rows, n = self.rows, len(self.rows) // 2
        shape = stop - start, last - first
        similarity = self._similarity[: len(slope)].view(shape)
        torch.mm(rows[start:stop], rows[first:last].T, out=similarity)
        others = []
        if first == start:
            others.append(0)
        offset = n + start - first  # of the positives' diagonal, in this block
        if -shape[0] < offset < shape[1]:
            others.append(offset)
            if positive is not None:
                at = max(start, first - n)
                found = similarity.diagonal(offset)
                positive[at : at + len(found)] = found
        if first == start and n < shape[0]:
            others.append(-n)
        for diagonal in others:
            similarity.diagonal(diagonal).zero_()
        slopes = slope.view(shape)
        exponential = self.exponential.apply(similarity, slopes)
        for diagonal in others:
            exponential.diagonal(diagonal).zero_()
            slopes.diagonal(diagonal).zero_()
        return exponential
