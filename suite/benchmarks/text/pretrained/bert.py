"""BERT from its files: the encoder, and the head that predicts masked words.

What transformers' ``BertModel`` and ``BertForMaskedLM`` compute (a test compares), over sentences without padding, and
with the lowest layers apart, whose outputs may be kept when they are not trained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from suite.benchmarks.text.pretrained.packed import Layout, Packed

#: What the architecture leaves open and this module does not know otherwise; files without a field mean these.
_KNOWN = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}

#: Names of transformers' modules, the older ones of their parameters too, and what they are here.
_RENAMED = (
    (r"^bert\.", ""),
    (r"\bgamma$", "weight"),
    (r"\bbeta$", "bias"),
    (r"^embeddings\.(word|position|token_type)_embeddings\.", r"\1."),
    (r"^embeddings\.LayerNorm\.", "norm."),
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.self\.", "."),
    (r"\.attention\.output\.dense\.", ".attended."),
    (r"\.attention\.output\.LayerNorm\.", ".attention_norm."),
    (r"\.intermediate\.dense\.", ".wide."),
    (r"\.output\.dense\.", ".narrow."),
    (r"\.output\.LayerNorm\.", ".norm."),
    (r"^cls\.predictions\.transform\.dense\.", "head.dense."),
    (r"^cls\.predictions\.transform\.LayerNorm\.", "head.norm."),
    (r"^cls\.predictions\.(decoder\.)?bias$", "head.bias"),
)
#: Of no use here: heads for other tasks, a count of places, the decoder that is the word embedding again.
_UNUSED = re.compile(r"pooler\.|cls\.seq_relationship\.|cls\.predictions\.decoder\.weight|.*position_ids")


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT, as its ``config.json`` has them."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02

    @classmethod
    def read(cls, path: Path) -> BertConfig:
        """Read a ``config.json``.

        Raises
        ------
        ValueError
            If it is none, or of another architecture.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            other = {name: content[name] for name, known in _KNOWN.items() if content.get(name, known) != known}
            if other:
                raise ValueError(f"{path}: only BERT with {_KNOWN} is implemented, this model has {other}")
            names = {field.name for field in fields(cls)}
            return cls(**{name: value for name, value in content.items() if name in names})
        except (json.JSONDecodeError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: no configuration of a BERT ({error})") from error


class BertLayer(nn.Module):
    """Self-attention and a position-wise network, each beside a residual connection and before a layer norm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width, epsilon = config.hidden_size, config.layer_norm_eps
        self.heads, self.attention_dropout = config.num_attention_heads, config.attention_probs_dropout_prob
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attended = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, epsilon)
        self.wide = nn.Linear(width, config.intermediate_size)
        self.narrow = nn.Linear(config.intermediate_size, width)
        self.norm = nn.LayerNorm(width, epsilon)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: Tensor, layout: Layout) -> Tensor:
        """Return the layer's output: [tokens, D] -> [tokens, D]."""
        query, key, value = (
            layout.padded(part(hidden)).view(layout.sentences, layout.longest, self.heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        dropped = self.attention_dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, layout.mask, dropped)
        attended = self.attended(layout.packed(mixed.transpose(1, 2).flatten(2)))
        hidden = self.attention_norm(hidden + self.dropout(attended))
        result: Tensor = self.norm(hidden + self.dropout(self.narrow(functional.gelu(self.wide(hidden)))))
        return result


class MaskedHead(nn.Module):
    """What predicts a token from its vector: one layer, and the products with all words' embeddings.

    Parameters
    ----------
    config : BertConfig
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor, words: Tensor) -> Tensor:
        """Return logits: hidden [tokens, D] and words [vocabulary, D] -> [tokens, vocabulary]."""
        return functional.linear(self.norm(functional.gelu(self.dense(hidden))), words, self.bias)


class Bert(nn.Module):
    """BERT (Devlin et al. 2019, arXiv 1810.04805) without its pooling layer, for one segment of text.

    Parameters
    ----------
    config : BertConfig
    has_head : bool
        Whether it also has the head that predicts masked tokens.
    frozen : int
        How many of the lowest layers are never trained and have no dropout, the embeddings with them; 0 trains all.

    Raises
    ------
    ValueError
        If more layers are to be frozen than there are.
    """

    def __init__(self, config: BertConfig, has_head: bool = False, frozen: int = 0) -> None:
        super().__init__()
        if not 0 <= frozen <= config.num_hidden_layers:
            raise ValueError(f"{frozen} of {config.num_hidden_layers} layers cannot be frozen")
        self.config, self.frozen = config, frozen
        width = config.hidden_size
        self.word = nn.Embedding(config.vocab_size, width)
        self.position = nn.Embedding(config.max_position_embeddings, width)
        self.token_type = nn.Embedding(config.type_vocab_size, width)
        self.norm = nn.LayerNorm(width, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))
        self.head = MaskedHead(config) if has_head else None
        if frozen:
            lowest = (self.word, self.position, self.token_type, self.norm, *self.layers[:frozen])
            for parameter in (parameter for part in lowest for parameter in part.parameters()):
                parameter.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Bert:
        """Set the mode, but for the frozen layers: these have no dropout."""
        super().train(mode)
        for layer in self.layers[: self.frozen]:
            layer.eval()
        return self

    def forward(self, tokens: Packed) -> Packed:
        """Return the last hidden states: numbers of tokens -> vectors [tokens, D]."""
        return self.above(self.below(tokens))

    def below(self, tokens: Packed) -> Packed:
        """Return what enters the layers that are trained: numbers of tokens -> vectors [tokens, D]."""
        hidden = self.word(tokens.values) + self.token_type.weight[0]
        hidden = self.norm(hidden + self.position(tokens.within.to(hidden.device)))
        if not self.frozen:
            return tokens.with_values(self.dropout(hidden))
        layout = Layout(tokens)
        for layer in self.layers[: self.frozen]:
            hidden = layer(hidden, layout)
        return tokens.with_values(hidden)

    def above(self, hidden: Packed) -> Packed:
        """Return the last hidden states, given what :meth:`below` returns."""
        layout, values = Layout(hidden), hidden.values
        for layer in self.layers[self.frozen :]:
            values = layer(values, layout)
        return hidden.with_values(values)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits of all words for masked tokens: [tokens, D] -> [tokens, vocabulary].

        Raises
        ------
        ValueError
            If the model has no head for them.
        """
        if self.head is None:
            raise ValueError("this model has no head that predicts masked words")
        result: Tensor = self.head(hidden, self.word.weight)
        return result


def load_bert(config: Path, weights: Path, device: torch.device, has_head: bool = False, frozen: int = 0) -> Bert:
    """Read a BERT from its files, on `device` and in training mode.

    Parameters
    ----------
    config, weights : Path
        ``config.json`` and ``model.safetensors``, of ``BertModel``, ``BertForMaskedLM`` or ``BertForPreTraining``.
    device : torch.device
    has_head, frozen
        See :class:`Bert`.

    Raises
    ------
    ValueError
        If the architecture is another one, or a parameter is missing or has another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with device:
        model = Bert(BertConfig.read(config), has_head, frozen)
    try:
        read = load_file(weights)
    except SafetensorError as error:
        raise ValueError(f"{weights}: no file of safetensors ({error})") from error
    state = renamed(read)
    if not has_head:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
    elif not any(name.startswith("head.") for name in state):
        raise ValueError(f"{weights}: there is no head for masked words in it, which this benchmark needs")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{weights}: not the weights of {config}: {error}") from error
    return model


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state of transformers' under the names of :class:`Bert`, without what is of no use here."""
    found = {}
    for name, tensor in state.items():
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        if not _UNUSED.match(name):
            found[name] = tensor
    return found
