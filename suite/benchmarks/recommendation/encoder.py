"""SASRec: a causal Transformer over a user's items (Kang & McAuley 2018, arXiv 1808.09781)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from suite.benchmarks.dropout import Dropout
from suite.benchmarks.recommendation.data import PADDING


class Block(nn.Module):
    """Self-attention and a position-wise network, each behind a layer norm and beside a residual connection.

    Parameters
    ----------
    width, heads : int
    dropout : float
        On the output of both parts.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.attention_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, last: Tensor | None = None) -> Tensor:
        """Transform every position, or the `last` one of each sequence alone.

        Parameters
        ----------
        hidden : Tensor [N, L, D]
        last : Tensor [N], int64, optional
            The only position of each sequence that is needed.

        Returns
        -------
        Tensor [N, L, D], or [N, 1, D] with `last`
        """
        normed = self.attention_norm(hidden)
        key, value = self._split(self.key_value(normed)).chunk(2, dim=1)
        if last is None:
            attended = functional.scaled_dot_product_attention(
                self._split(self.query(normed)), key, value, is_causal=True
            )
        else:
            here = last[:, None, None].expand(-1, 1, hidden.shape[2])
            query = self._split(self.query(normed.gather(1, here)))
            visible = torch.arange(hidden.shape[1], device=hidden.device) <= last[:, None]
            attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible[:, None, None])
            hidden = hidden.gather(1, here)
        hidden = hidden + self.dropout(self.attention_out(attended.transpose(1, 2).flatten(2)))
        output: Tensor = hidden + self.dropout(self.feed(self.feed_norm(hidden)))
        return output

    def _split(self, x: Tensor) -> Tensor:
        head_width = self.query.out_features // self.heads
        return x.view(*x.shape[:2], -1, head_width).transpose(1, 2)


class SASRec(nn.Module):
    """Items in, one representation a position out; a position sees itself and what came before.

    Sequences are padded at their end, where causality alone keeps padding from being seen.

    Parameters
    ----------
    n_items : int
        Items are 1 to `n_items`; 0 is padding and ``n_items + 1`` the mask of the augmentations.
    length : int
        Longest sequence.
    width, layers, heads : int
    dropout : float
        On the embedded input and in every block.
    """

    def __init__(self, n_items: int, length: int, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.n_items = n_items
        self.items = nn.Embedding(n_items + 2, width, padding_idx=PADDING)
        self.positions = nn.Embedding(length, width)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)
        nn.init.zeros_(self.items.weight[PADDING])

    @property
    def mask_token(self) -> int:
        """The item that stands for a masked one."""
        return self.n_items + 1

    def forward(self, sequence: Tensor) -> Tensor:
        """Return the representation at every position.

        Parameters
        ----------
        sequence : Tensor [N, L], int64

        Returns
        -------
        Tensor [N, L, D]
            Without meaning where the sequence is padding.
        """
        hidden = self._embed(sequence)
        for block in self.blocks:
            hidden = block(hidden)
        normed: Tensor = self.norm(hidden)
        return normed

    def last(self, sequence: Tensor, length: Tensor) -> Tensor:
        """Return the representation at the last item of every sequence, without computing the others to the end.

        Parameters
        ----------
        sequence : Tensor [N, L], int64
        length : Tensor [N], int64

        Returns
        -------
        Tensor [N, D]
        """
        hidden = self._embed(sequence)
        for block in self.blocks[:-1]:
            hidden = block(hidden)
        normed: Tensor = self.norm(self.blocks[-1](hidden, last=length - 1))
        return normed.squeeze(1)

    def catalogue(self) -> Tensor:
        """Return the output weights of items 0 to `n_items`, tied to the input: [n_items + 1, D]."""
        return self.items.weight[: self.n_items + 1]

    def _embed(self, sequence: Tensor) -> Tensor:
        embedded: Tensor = self.dropout(self.items(sequence) + self.positions.weight[: sequence.shape[1]])
        return embedded
