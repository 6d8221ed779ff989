"""Sequences of items, one a user, and the leave-one-out split.

Item 0 is padding; items are numbered from 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PADDING = 0


@dataclass(frozen=True)
class Sequences:
    """Sequences of different lengths, end to end.

    Attributes
    ----------
    items : Tensor [total], int64
        All sequences, one after the other.
    offsets : Tensor [sequences + 1], int64
        Sequence i is ``items[offsets[i]:offsets[i + 1]]``.
    """

    items: Tensor
    offsets: Tensor

    def __len__(self) -> int:
        """Return the number of sequences."""
        return self.offsets.numel() - 1

    @property
    def lengths(self) -> Tensor:
        """Length of every sequence: int64 [sequences]."""
        return self.offsets.diff()

    def windows(self, rows: Tensor, start: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Cut one window out of each of the given sequences.

        Parameters
        ----------
        rows : Tensor [N], int64
            Which sequences.
        start : Tensor [N], int64
            First position of the window in its sequence.
        width : int
            Items a window; it ends early where its sequence does.

        Returns
        -------
        tuple of Tensor [N, width] and Tensor [N], int64
            The windows, padded at their end, and how many items each of them holds.
        """
        length = (self.lengths[rows] - start).clamp(max=width)
        position = torch.arange(width, device=rows.device)
        inside = position < length[:, None]
        index = (self.offsets[rows] + start)[:, None] + position
        return self.items[index.where(inside, 0)].where(inside, PADDING), length

    def last(self, width: int) -> tuple[Tensor, Tensor]:
        """Return the last `width` items of every sequence, as :meth:`windows` does."""
        rows = torch.arange(len(self), device=self.items.device)
        return self.windows(rows, (self.lengths - width).clamp(min=0), width)

    def members(self, n_items: int) -> Tensor:
        """Return which items occur in which sequence: bool [sequences, n_items + 1]."""
        row = torch.repeat_interleave(torch.arange(len(self), device=self.items.device), self.lengths)
        found = torch.zeros(len(self), n_items + 1, dtype=torch.bool, device=self.items.device)
        found[row, self.items] = True
        return found

    def to(self, device: torch.device) -> Sequences:
        """Return the sequences on `device`."""
        return Sequences(self.items.to(device), self.offsets.to(device))

    def without_last(self, count: int) -> Sequences:
        """Return a copy without the last `count` items of every sequence, none of which may be shorter."""
        kept = torch.ones(self.items.numel(), dtype=torch.bool)
        for back in range(1, count + 1):
            kept[self.offsets[1:] - back] = False
        return Sequences(self.items[kept], self.offsets - count * torch.arange(self.offsets.numel()))

    def between(self, start: int, stop: int) -> Sequences:
        """Return sequences `start` to `stop`, or to the last."""
        offsets = self.offsets[start : stop + 1]
        return Sequences(self.items[offsets[0] : offsets[-1]], offsets - offsets[0])

    def final(self) -> Tensor:
        """Return the last item of every sequence: int64 [sequences]."""
        return self.items[self.offsets[1:] - 1]


@dataclass(frozen=True)
class HeldOut:
    """What a model may see at evaluation, and the item that it should predict.

    Attributes
    ----------
    history : Sequences
    target : Tensor [sequences], int64
    """

    history: Sequences
    target: Tensor


@dataclass(frozen=True)
class Split:
    """A log, split by leave-one-out: per user the last item tests, the one before validates, the rest trains.

    Attributes
    ----------
    n_items : int
        Items in the log.
    train : Sequences
        Holds no item of the other parts: a copy, not a view.
    val, test : HeldOut
        Histories are all that came before the target; that of `test` ends with the target of `val`.
    """

    n_items: int
    train: Sequences
    val: HeldOut
    test: HeldOut


def leave_one_out(sequences: Sequences, n_items: int) -> Split:
    """Split sequences of at least four items each; items are numbered 1 to `n_items`."""
    before_test = sequences.without_last(1)
    train = sequences.without_last(2)
    return Split(
        n_items=n_items,
        train=train,
        val=HeldOut(train, before_test.final()),
        test=HeldOut(before_test, sequences.final()),
    )
