"""Sentences of different lengths, end to end, so that nothing is computed for padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """Something of every token of several sentences, one sentence behind the other.

    Attributes
    ----------
    values : Tensor [tokens, ...]
        Numbers of tokens, or vectors.
    lengths : Tensor [sentences], int64, on the CPU
        How many tokens each sentence has, at least one; their sum is that of all tokens.
    """

    values: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], device: torch.device) -> Packed:
        """Return sentences that are given as numbers of tokens, on `device`."""
        lengths = torch.tensor([len(row) for row in rows])
        return cls(torch.tensor([number for row in rows for number in row], device=device), lengths)

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.lengths)

    def __getitem__(self, rows: Tensor) -> Packed:
        """Return some of the sentences: int64 [n], on the CPU."""
        lengths = self.lengths[rows]
        shift = self.starts[rows] - (lengths.cumsum(0) - lengths)
        places = torch.arange(int(lengths.sum())) + shift.repeat_interleave(lengths)
        return Packed(self.values[places.to(self.values.device)], lengths)

    @property
    def starts(self) -> Tensor:
        """Where each sentence begins: int64 [sentences], on the CPU."""
        return self.lengths.cumsum(0) - self.lengths

    @property
    def within(self) -> Tensor:
        """The place of each token in its sentence, from 0: int64 [tokens], on the CPU."""
        return torch.arange(len(self.values)) - self.starts.repeat_interleave(self.lengths)

    def with_values(self, values: Tensor) -> Packed:
        """Return something else of the same tokens."""
        return Packed(values, self.lengths)

    def join(self, other: Packed) -> Packed:
        """Return these sentences and, behind them, others."""
        return Packed(torch.cat([self.values, other.values]), torch.cat([self.lengths, other.lengths]))

    def first(self) -> Tensor:
        """Return the values of each sentence's first token: [sentences, ...]."""
        return self.values[self.starts.to(self.values.device)]

    def mean(self) -> Tensor:
        """Return the mean over each sentence's tokens, of vectors: [sentences, D]."""
        device = self.values.device
        sentence = torch.arange(len(self)).repeat_interleave(self.lengths).to(device)
        total = self.values.new_zeros(len(self), self.values.shape[1]).index_add(0, sentence, self.values)
        return total / self.lengths.to(device)[:, None]


class Layout:
    """Where packed tokens lie when sentences are padded to one length, as attention needs them.

    Parameters
    ----------
    packed : Packed
    """

    def __init__(self, packed: Packed) -> None:
        device = packed.values.device
        self.sentences, self.longest = len(packed), int(packed.lengths.max())
        row = torch.arange(self.sentences).repeat_interleave(packed.lengths)
        self.places = (row * self.longest + packed.within).to(device)
        inside = torch.arange(self.longest) < packed.lengths[:, None]
        self.mask = None if bool(inside.all()) else inside[:, None, None].to(device)

    def padded(self, values: Tensor) -> Tensor:
        """Return packed vectors with zeros behind each sentence: [tokens, D] -> [sentences, longest, D]."""
        rows = values.new_zeros(self.sentences * self.longest, values.shape[1])
        return rows.index_copy(0, self.places, values).view(self.sentences, self.longest, -1)

    def packed(self, values: Tensor) -> Tensor:
        """Return padded vectors without what is behind each sentence: the inverse of :meth:`padded`."""
        return values.flatten(0, 1)[self.places]
