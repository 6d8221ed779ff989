"""A log of interactions to sequences, and the leave-one-out split.

Item 0 is padding; items are numbered from 1 in the sorted order of their names in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PADDING = 0
#: Of a shorter history nothing would be left to train on: two items are held out and a next item needs one before it.
SHORTEST_HISTORY = 4

_COLUMNS = ("user_id", "item_id", "timestamp")


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


@lru_cache(maxsize=4)
def load(path: Path) -> Split:
    """Read a RecBole interaction file and split it; once a process.

    A user's interactions are ordered by time stamp, ties by their order in the file. Ties are the rule: 76 % of the
    ratings of MovieLens-100K share their second with another one of the same user. Its file is shuffled, so the order
    among them is random; to break ties by item number would put one into the data that a model can learn, and would
    move unpopular items to the end (popularity then reaches a test NDCG@10 of .026 in place of .044). Users with fewer
    than four interactions are left out.

    Parameters
    ----------
    path : Path
        Tab-separated, typed header; needs ``user_id``, ``item_id`` and ``timestamp``.

    Raises
    ------
    ValueError
        If a column is missing, a line is malformed, or no user is left.
    """
    users, items, times = _columns(path)
    names, numbers = np.unique(items, return_inverse=True)
    _, user = np.unique(users, return_inverse=True)
    order = np.lexsort((times, user))
    counts = np.bincount(user)
    kept = (counts >= SHORTEST_HISTORY)[user[order]]
    lengths = counts[counts >= SHORTEST_HISTORY]
    if lengths.size == 0:
        raise ValueError(f"{path}: no user with at least {SHORTEST_HISTORY} interactions")
    offsets = np.concatenate([[0], lengths.cumsum()])
    sequences = Sequences(torch.from_numpy(numbers[order][kept] + 1), torch.from_numpy(offsets))
    return leave_one_out(sequences, len(names))


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


def _columns(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lines = path.read_text(encoding="utf-8").splitlines()
    header = [field.partition(":")[0] for field in lines[0].split("\t")] if lines else []
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)}; the header has {', '.join(header) or 'no columns'}")
    rows = [line.split("\t") for line in lines[1:]]
    wrong = next((number for number, row in enumerate(rows, start=2) if len(row) != len(header)), None)
    if wrong is not None:
        raise ValueError(f"{path}, line {wrong}: {len(rows[wrong - 2])} fields where the header has {len(header)}")
    users, items, times = (np.array([row[header.index(name)] for row in rows]) for name in _COLUMNS)
    try:
        return users, items, times.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"{path}: a timestamp is not a number ({error})") from error
