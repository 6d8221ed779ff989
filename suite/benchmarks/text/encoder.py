"""A small Transformer over fixed word vectors, and one vector a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from suite.benchmarks.dropout import Dropout
from suite.benchmarks.text.data import FIRST_WORD, Vocabulary

SENTENCES_AT_ONCE = 256


class Block(nn.Module):
    """Self-attention and a position-wise network, each behind a layer norm and beside a residual connection.

    Parameters
    ----------
    width, heads : int
        `heads` divides `width`.
    dropout : float
        On the output of both parts.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, inside: Tensor) -> Tensor:
        """Transform the words of several sentences.

        Parameters
        ----------
        hidden : Tensor [words, D]
            Of all sentences, end to end: padding takes part in attention alone, where it costs little.
        inside : Tensor [N, L], bool
            Which places of the padded sentences they fill.
        """
        padded = hidden.new_zeros(*inside.shape, 3 * hidden.shape[1])
        padded[inside] = self.query_key_value(self.attention_norm(hidden))
        query, key, value = padded.view(*inside.shape, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, inside[:, None, None])
        joined = attended.transpose(1, 2).flatten(2)[inside]
        hidden = hidden + self.dropout(self.attention_out(joined))
        result: Tensor = hidden + self.dropout(self.feed(self.feed_norm(hidden)))
        return result


class SentenceEncoder(nn.Module):
    """Word vectors, mapped to the width of a Transformer without positions, and the mean over a sentence's words.

    The vectors are not trained and not part of the state: they come with the data.

    Parameters
    ----------
    vectors : Tensor [words, dimensions]
    width, layers, heads : int
    dropout : float
        What makes two passes over one sentence two views (SimCSE).
    """

    vectors: Tensor

    def __init__(self, vectors: Tensor, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=False)
        self.start = nn.Parameter(torch.zeros(width))
        self.map = nn.Linear(vectors.shape[1], width)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))

    def forward(self, tokens: Tensor, lengths: Tensor, views: int = 1) -> Tensor:
        """Embed sentences, each `views` times.

        Parameters
        ----------
        tokens : Tensor [N, L], int64
            Each row a start token and words, padded at its end.
        lengths : Tensor [N], int64
            How many tokens of each row count.
        views : int
            How often each sentence is embedded, with dropout of its own; what is the same in all views is computed
            once.

        Returns
        -------
        Tensor [views N, D]
            All sentences in the first view, then in the second, ...
        """
        inside = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        word = tokens[inside] - FIRST_WORD
        hidden = self.map(self.vectors[word.clamp(min=0)])
        hidden = torch.where(word[:, None] < 0, self.start, hidden)
        hidden, inside, lengths = hidden.repeat(views, 1), inside.repeat(views, 1), lengths.repeat(views)
        hidden = self.dropout(hidden)
        for block in self.blocks:
            hidden = block(hidden, inside)
        padded = hidden.new_zeros(*inside.shape, hidden.shape[1])
        padded[inside] = hidden
        mean: Tensor = padded.sum(dim=1) / lengths[:, None]
        return mean


class Embedder:
    """Sentences to vectors, by an encoder and its vocabulary.

    Parameters
    ----------
    encoder : nn.Module (tokens, lengths) -> Tensor [N, D]
    vocabulary : Vocabulary
    device : torch.device
        Where the encoder is.
    """

    def __init__(self, encoder: nn.Module, vocabulary: Vocabulary, device: torch.device) -> None:
        self.encoder = encoder
        self.vocabulary = vocabulary
        self.device = device

    def embed(self, sentences: Sequence[str]) -> Tensor:
        """Return one vector a sentence, without dropout and without a gradient: [sentences, D], on the device."""
        training = self.encoder.training
        self.encoder.eval()
        with torch.no_grad():
            tokens = self.vocabulary.encode(sentences)
            parts = (tokens[rows].to(self.device) for rows in torch.split(torch.arange(len(tokens)), SENTENCES_AT_ONCE))
            embedded = torch.cat([self.encoder(part.tokens, part.lengths) for part in parts])
        self.encoder.train(training)
        return embedded


class WordAverage(nn.Module):
    """The mean of the vectors of a sentence's words; zero where none has a vector.

    Parameters
    ----------
    vectors : Tensor [words, dimensions]
    """

    vectors: Tensor

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=False)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the means: tokens [N, L], lengths [N] -> [N, dimensions]."""
        known = tokens >= FIRST_WORD
        total = (self.vectors[(tokens - FIRST_WORD).clamp(min=0)] * known[:, :, None]).sum(dim=1)
        return total / known.sum(dim=1, keepdim=True).clamp(min=1)
