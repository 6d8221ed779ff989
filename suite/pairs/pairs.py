"""Embeddings to cosine similarities with their roles.

A benchmark builds :class:`Pairs`; a loss sees nothing else. That is what lets any loss run in any benchmark. The matrix
of similarities is what costs time and memory: :class:`EmbeddedPairs` hold the embeddings and give it in blocks of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from suite.pairs.embeddings import check_types, normalise, sample_numbers
from suite.pairs.gather import gathered, rank, world_size
from suite.pairs.roles import ColumnRoles, DenseRoles, LabelRoles, Roles, joined, no_strangers

#: Similarities in one block: what stays in a processor's cache, what keeps a GPU busy.
BLOCK = {"cpu": 2**20, "cuda": 2**26}
LEAST_ROWS = 64
#: Rows and columns of a block where both are anchors.
SIDE = 512


class Pairs:
    """Cosine similarities between anchors and candidates, and what each of them means.

    Parameters
    ----------
    similarity : Tensor [anchors, candidates]
        Cosine in [-1, 1], float32 or wider whatever the autocast.
    positive : Tensor [anchors, candidates], bool
        Where anchor and candidate belong together.
    candidate : Tensor [anchors, candidates], bool
        What enters the denominator. Self-similarity does not.
    index : Tensor [anchors], int64
        The sample behind each anchor, for losses that keep a state for every sample.
    own_view : Tensor [anchors, candidates], bool, optional
        Which candidates are of the anchor's own view, for losses that spread each view by itself.

    Attributes
    ----------
    roles : Roles
        `positive` and `candidate` in a form that reductions are fast on.
    """

    index: Tensor
    roles: Roles

    def __init__(
        self, similarity: Tensor, positive: Tensor, candidate: Tensor, index: Tensor, own_view: Tensor | None = None
    ) -> None:
        self._similarity = similarity
        self.roles = DenseRoles(positive, candidate, own_view)
        self.index = index

    @classmethod
    def with_roles(cls, similarity: Tensor, roles: Roles, index: Tensor) -> Pairs:
        """Return pairs whose roles are given in any form."""
        pairs = cls.__new__(Pairs)
        pairs._similarity, pairs.roles, pairs.index = similarity, roles, index
        return pairs

    def __len__(self) -> int:
        """Return the number of anchors."""
        return len(self.index)

    def __repr__(self) -> str:
        anchors, candidates = self.similarity.shape
        return (
            f"Pairs(anchors={anchors}, candidates={candidates}, roles={type(self.roles).__name__}, "
            f"dtype={self.similarity.dtype}, device={self.device})"
        )

    @property
    def similarity(self) -> Tensor:
        """Cosines: [anchors, candidates]."""
        return self._similarity

    @property
    def positive(self) -> Tensor:
        """Where anchor and candidate belong together: bool [anchors, candidates]."""
        return self.roles.positive

    @property
    def candidate(self) -> Tensor:
        """What enters the denominator: bool [anchors, candidates]."""
        return self.roles.candidate

    @property
    def device(self) -> torch.device:
        """Where the similarities are."""
        return self.index.device

    def blocks(self) -> Iterator[Pairs]:
        """Give the pairs in blocks of anchors that fit into memory; all at once if they are few."""
        yield self

    def positive_similarity(self) -> Tensor:
        """Return each anchor's mean cosine to its positives, without a gradient: [anchors]."""
        with torch.no_grad():
            return torch.cat([block.roles.positive_mean(block.similarity) for block in self.blocks()])


@dataclass(frozen=True)
class Part:
    """Anchors that share their candidates, all of them rows of unit length.

    Attributes
    ----------
    anchors : Tensor [A, D]
    candidates : Tensor [M, D]
    matched : Tensor [A, D], optional
        One more candidate for each anchor, of its own: column 0.
    own : sequence of (start, stop)
        The anchors that this process answers for.
    is_two_views : bool
        Whether candidates and anchors are the same 2N rows, row i + N being the positive of row i and the other way.
    """

    anchors: Tensor
    candidates: Tensor
    matched: Tensor | None
    own: Sequence[tuple[int, int]]
    is_two_views: bool = False

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.candidates) + (self.matched is not None)

    def similarity(self, start: int, stop: int) -> Tensor:
        """Return the cosines of some anchors to their candidates: [anchors, width]."""
        matched = None if self.matched is None else self.matched[start:stop]
        with torch.autocast(self.anchors.device.type, enabled=False):
            result: Tensor = _Cosines.apply(self.anchors[start:stop], self.candidates, matched)
        return result


class EmbeddedPairs(Pairs):
    """Pairs that hold embeddings and compute similarities when they are asked for.

    Parameters
    ----------
    parts : sequence of Part
        Of one width; their anchors one below the other.
    roles : Roles
        Of all anchors.
    index : Tensor [anchors], int64
    rows : int, optional
        Anchors in a block; chosen by the device's cache when not given.
    """

    def __init__(self, parts: Sequence[Part], roles: Roles, index: Tensor, rows: int | None = None) -> None:
        self.parts = parts
        self.roles = roles
        self.index = index
        size = BLOCK.get(index.device.type, BLOCK["cuda"])
        self.rows = max(LEAST_ROWS, size // parts[0].width) if rows is None else rows
        self.side = SIDE if rows is None else rows
        self._whole: Tensor | None = None

    @property
    def similarity(self) -> Tensor:
        """All cosines at once: [anchors, candidates]."""
        if self._whole is None:
            with torch.enable_grad():  # kept for all who ask: it must not matter whether the first needs a gradient
                self._whole = torch.cat([part.similarity(0, len(part.anchors)) for part in self.parts])
        return self._whole

    @property
    def is_small(self) -> bool:
        """Whether one block holds them all, and this process all of it."""
        return len(self) <= self.rows and world_size() == 1

    def in_blocks(self, rows: int) -> EmbeddedPairs:
        """Return the same pairs, given in blocks of so many anchors."""
        return EmbeddedPairs(self.parts, self.roles, self.index, rows)

    def blocks(self) -> Iterator[Pairs]:
        """Give the pairs in blocks of anchors."""
        if len(self) <= self.rows:
            yield self
            return
        first = 0
        for part in self.parts:
            for start, stop in spans([(0, len(part.anchors))], self.rows):
                similarity = part.similarity(start, stop)
                yield self.block(similarity, first + start, first + stop)
            first += len(part.anchors)

    def positive_similarity(self) -> Tensor:
        """Return each anchor's mean cosine to its positives, without a gradient: [anchors]."""
        if not isinstance(self.roles, ColumnRoles):
            return super().positive_similarity()
        columns = torch.split(self.roles.column, [len(part.anchors) for part in self.parts])
        with torch.no_grad():
            # with_queue's positives are all matched, the others' are rows among the candidates
            positives = [
                part.candidates[column] if part.matched is None else part.matched
                for part, column in zip(self.parts, columns, strict=True)
            ]
            products = [(p.anchors * z).sum(dim=1) for p, z in zip(self.parts, positives, strict=True)]
            return torch.cat(products).clamp(-1.0, 1.0)

    def __repr__(self) -> str:
        part = self.parts[0]
        return (
            f"EmbeddedPairs(anchors={len(self)}, candidates={part.width}, dimensions={part.anchors.shape[1]}, "
            f"roles={type(self.roles).__name__}, dtype={part.anchors.dtype}, device={self.device})"
        )

    def block(self, similarity: Tensor, start: int, stop: int) -> Pairs:
        """Return some anchors' pairs, given their similarities."""
        return Pairs.with_roles(similarity, self.roles.rows(start, stop), self.index[start:stop])


def spans(ranges: Sequence[tuple[int, int]], rows: int) -> Iterator[tuple[int, int]]:
    """Cut ranges (start, stop) into pieces of at most `rows`."""
    for first, last in ranges:
        for start in range(first, last, rows):
            yield start, min(start + rows, last)


def two_view(z1: Tensor, z2: Tensor, index: Tensor | None = None) -> EmbeddedPairs:
    """Pool two views of N samples: 2N anchors, 2N - 1 candidates each, one of them positive (NT-Xent).

    The convention of SimCLR (Chen et al. 2020, eq. 1), GRACE (Zhu et al. 2020, eq. 1, both directions), CSI, DySTreSS.

    Parameters
    ----------
    z1, z2 : Tensor [N, D]
        Embeddings of the two views, row i of both from sample i; normalised here. Of this process: with
        torch.distributed those of the others are gathered, with gradients.
    index : Tensor [N], int64, optional
        The samples' numbers in the data set; 0 ... N-1 when not given.

    Raises
    ------
    ValueError
        If the views are no matrices, are empty, or differ in shape, device or precision.
    """
    index = sample_numbers(z1, z2, "two views", index)
    views = [gathered(normalise(z)) for z in (z1, z2)]
    n = len(views[0])
    pooled = torch.cat(views)
    anchor = torch.arange(2 * n, device=z1.device)
    roles = ColumnRoles(anchor.roll(n), anchor.unsqueeze(1), 2 * n, has_views=True)
    start, stop = _own(n)
    part = Part(pooled, pooled, None, [(start, stop), (n + start, n + stop)], is_two_views=True)
    return EmbeddedPairs([part], roles, gathered(index).repeat(2))


def cross_view(
    q: Tensor, k: Tensor, index: Tensor | None = None, symmetric: bool = False, decoupled: bool = False
) -> EmbeddedPairs:
    """Set queries against keys: N anchors, N candidates each, the positive on the diagonal.

    The convention of SimCSE, MABEL and DCRec; symmetric, that of CLIP; decoupled, that of GraphCL.

    Parameters
    ----------
    q, k : Tensor [N, D]
        Row i of both from sample i; normalised here, gathered from all processes.
    index : Tensor [N], int64, optional
        The samples' numbers in the data set; 0 ... N-1 when not given.
    symmetric : bool
        Make the keys anchors over the queries, too: 2N anchors.
    decoupled : bool
        Leave the positive out of the denominator, as GraphCL does.

    Raises
    ------
    ValueError
        If queries and keys are no matrices, are empty, or differ in shape, device or precision.
    """
    index = sample_numbers(q, k, "queries and keys", index)
    queries, keys = gathered(normalise(q)), gathered(normalise(k))
    index, n = gathered(index), len(queries)
    diagonal = torch.arange(n, device=q.device)
    roles = ColumnRoles(diagonal, no_strangers(diagonal), n, in_denominator=not decoupled)
    parts = [Part(queries, keys, None, [_own(n)])]
    if symmetric:
        parts.append(Part(keys, queries, None, [_own(n)]))
    return EmbeddedPairs(parts, joined([roles] * len(parts)), index.repeat(len(parts)))


def with_queue(q: Tensor, k: Tensor, queue: Tensor, index: Tensor | None = None) -> EmbeddedPairs:
    """Set queries against their keys and a queue of earlier keys: one positive, K negatives.

    The convention of MoCo (He et al. 2020, arXiv 1911.05722, eq. 1). Keys and queue get no gradient.

    Parameters
    ----------
    q, k : Tensor [N, D]
        Row i of both from sample i; normalised here, gathered from all processes. k is column 0.
    queue : Tensor [K, D]
        The same in every process.
    index : Tensor [N], int64, optional
        The samples' numbers in the data set; 0 ... N-1 when not given.

    Raises
    ------
    ValueError
        If shapes, devices or precisions do not fit.
    """
    index = sample_numbers(q, k, "queries and keys", index)
    if queue.ndim != 2 or queue.shape[1] != q.shape[1]:
        raise ValueError(f"a queue of shape [K, {q.shape[1]}] expected, got {tuple(queue.shape)}")
    check_types("queries and a queue", q, queue)
    queries, keys = gathered(normalise(q)), gathered(normalise(k.detach()))
    first = torch.zeros(len(queries), dtype=torch.int64, device=q.device)
    roles = ColumnRoles(first, no_strangers(first), len(queue) + 1)
    part = Part(queries, normalise(queue.detach()), keys, [_own(len(queries))])
    return EmbeddedPairs([part], roles, gathered(index))


def labelled(z: Tensor, y: Tensor, index: Tensor | None = None) -> EmbeddedPairs:
    """Set each embedding against all others, those of its label being positive (SupCon, Khosla et al. 2020, eq. 2).

    For SupCon's two views, give both views stacked and their labels twice.

    Parameters
    ----------
    z : Tensor [N, D]
        Normalised here, gathered from all processes.
    y : Tensor [N], int64
        Labels.
    index : Tensor [N], int64, optional
        The samples' numbers in the data set; 0 ... N-1 when not given.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    index = sample_numbers(z, z, "embeddings", index)
    if y.shape != z.shape[:1]:
        raise ValueError(f"labels of shape [{len(z)}] expected, got {tuple(y.shape)}")
    rows, labels = gathered(normalise(z)), gathered(y)
    roles = LabelRoles(labels, torch.arange(len(rows), device=z.device), labels)
    return EmbeddedPairs([Part(rows, rows, None, [_own(len(rows))])], roles, gathered(index))


def _own(n: int) -> tuple[int, int]:
    share = n // world_size()
    return rank() * share, (rank() + 1) * share


class _Cosines(torch.autograd.Function):
    """Products of unit rows, kept in [-1, 1] against rounding; that costs no gradient."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, candidates: Tensor, matched: Tensor | None) -> Tensor:
        ctx.save_for_backward(anchors, candidates, matched)
        similarity = anchors @ candidates.T
        if matched is not None:
            similarity = torch.cat([(anchors * matched).sum(dim=1, keepdim=True), similarity], dim=1)
        return similarity.clamp(-1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        anchors, candidates, matched = ctx.saved_tensors
        (gradient,) = gradients
        of_anchors = of_matched = None
        if matched is not None:
            first, gradient = gradient[:, :1], gradient[:, 1:]
            of_anchors, of_matched = first * matched, first * anchors
        to_anchors = gradient @ candidates
        return (
            to_anchors if of_anchors is None else of_anchors + to_anchors,
            gradient.T @ anchors if ctx.needs_input_grad[1] else None,
            of_matched,
        )
