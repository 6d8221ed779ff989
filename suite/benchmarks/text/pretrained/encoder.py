"""One vector a sentence, by a pretrained BERT."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn

from suite.benchmarks.text.pretrained.bert import Bert, load_bert
from suite.benchmarks.text.pretrained.packed import Packed

Pooling = Literal["cls", "mean"]

#: What a pretrained model consists of, as a data set of the catalogue.
CONFIG, TOKENIZER, WEIGHTS = FILES = ("config.json", "tokenizer.json", "model.safetensors")
#: Where all-MiniLM-L6-v2 cuts a sentence.
LONGEST: Final = 256
SENTENCES_AT_ONCE: Final = 64


class Tokeniser:
    """Sentences to numbers of tokens, with those that begin and end a sentence.

    Parameters
    ----------
    path : Path
        A ``tokenizer.json``.
    longest : int
        Tokens after which a sentence is cut, the first and the last one among them.
    """

    def __init__(self, path: Path, longest: int) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest)

    def rows(self, sentences: Iterable[str]) -> list[list[int]]:
        """Return the numbers of the tokens of each sentence."""
        return [self._tokenizer.encode(sentence).ids for sentence in sentences]

    def inner(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a text, without those that begin and end a sentence."""
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return str(self._tokenizer.decode(list(tokens)))

    def number(self, token: str) -> int:
        """Return the number of a token.

        Raises
        ------
        ValueError
            If the vocabulary has no such token.
        """
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"the vocabulary has no token {token!r}")
        return int(found)

    @property
    def special(self) -> list[int]:
        """The numbers of the tokens that stand for no text: those that begin and end a sentence, the mask, ..."""
        framing: list[int] = self._tokenizer.encode("").ids
        return sorted({*self._tokenizer.get_added_tokens_decoder(), *framing})


class SentenceBert(nn.Module):
    """A BERT, a vector a sentence, and what training puts on top of it.

    Parameters
    ----------
    bert : Bert
    pooling : "cls" or "mean"
        Of the last hidden states of a sentence: the first one, or the mean.
    projections : int
        Linear layers of the head that the vectors pass in training alone; behind the first there is a tanh. SimCSE has
        one, MABEL two; 0 trains the vectors themselves.
    """

    def __init__(self, bert: Bert, pooling: Pooling, projections: int = 0) -> None:
        super().__init__()
        self.bert = bert
        self.pooling = pooling
        width = bert.config.hidden_size
        layers: list[nn.Module] = []
        for number in range(projections):
            linear = nn.Linear(width, width)
            nn.init.normal_(linear.weight, std=bert.config.initializer_range)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.Tanh()] if number == 0 else [linear]
        self.projection = nn.Sequential(*layers)

    def forward(self, tokens: Packed) -> Tensor:
        """Return the vector of each sentence, as it is used after training: [sentences, D]."""
        return self.pooled(self.bert(tokens))

    def views(self, entering: Packed) -> Tensor:
        """Return what training compares, given what :meth:`Bert.below` returns: [sentences, D], float32."""
        projected: Tensor = self.projection(self.pooled(self.bert.above(entering)))
        return projected.float()

    def pooled(self, hidden: Packed) -> Tensor:
        """Return one vector a sentence, of its hidden states."""
        return hidden.first() if self.pooling == "cls" else hidden.mean()


class SentenceEmbedder:
    """Sentences to vectors, without dropout and without a gradient.

    Parameters
    ----------
    encoder : SentenceBert
    tokeniser : Tokeniser
    device : torch.device
        Where the encoder is.
    """

    def __init__(self, encoder: SentenceBert, tokeniser: Tokeniser, device: torch.device) -> None:
        self.encoder = encoder
        self.tokeniser = tokeniser
        self.device = device

    def embed(self, sentences: Sequence[str]) -> Tensor:
        """Return one vector a sentence: [sentences, D], on the device."""
        training = self.encoder.training
        self.encoder.eval()
        with torch.no_grad():
            embedded = self._embed(sentences)
        self.encoder.train(training)
        return embedded

    def _embed(self, sentences: Sequence[str]) -> Tensor:
        rows = self.tokeniser.rows(sentences)
        # Alike in length, so that attention sees little padding.
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        parts = (order[i : i + SENTENCES_AT_ONCE] for i in range(0, len(order), SENTENCES_AT_ONCE))
        embedded = torch.cat([self.encoder(Packed.of([rows[row] for row in part], self.device)) for part in parts])
        return embedded[torch.tensor(order).argsort().to(self.device)]


def sentence_transformer(config: Path, tokenizer: Path, weights: Path, device: torch.device) -> SentenceEmbedder:
    """Return a published sentence encoder: the mean of a BERT's last hidden states.

    Reimers & Gurevych 2019, arXiv 1908.10084. Reads local files and asks no hub.

    Parameters
    ----------
    config, tokenizer, weights : Path
        ``config.json``, ``tokenizer.json`` and ``model.safetensors`` of a BERT.
    device : torch.device
    """
    encoder = SentenceBert(load_bert(config, weights, device), "mean")
    return SentenceEmbedder(encoder, Tokeniser(tokenizer, LONGEST), device)
