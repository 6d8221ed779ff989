"""all-MiniLM-L6-v2, a published sentence encoder, from files alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

LONGEST = 256
SENTENCES_AT_ONCE = 64


class MiniLM:
    """Sentences to vectors, by the mean of a BERT's last hidden states (Reimers & Gurevych 2019, arXiv 1908.10084).

    Reads local files and asks no hub.

    Parameters
    ----------
    config, tokenizer, weights : Path
        ``config.json``, ``tokenizer.json`` and ``model.safetensors`` of a BERT.
    device : torch.device
    """

    def __init__(self, config: Path, tokenizer: Path, weights: Path, device: torch.device) -> None:
        # Here, as they take seconds to import and nothing else needs them.
        from safetensors.torch import load_file
        from tokenizers import Tokenizer
        from transformers import BertConfig, BertModel

        self.device = device
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(LONGEST)
        with device:
            self.model: nn.Module = BertModel(BertConfig.from_json_file(config), add_pooling_layer=False)
        # The pooling layer is not used; position_ids are counted anew.
        unused = ("pooler.", "embeddings.position_ids")
        state = load_file(weights)
        self.model.load_state_dict({name: state[name] for name in state if not name.startswith(unused)})
        nn.Module.eval(self.model)

    def embed(self, sentences: Sequence[str]) -> Tensor:
        """Return one vector a sentence: [sentences, D], on the device."""
        encodings = [self.tokenizer.encode(sentence) for sentence in sentences]
        # Alike in length, so that little is padding.
        order = sorted(range(len(sentences)), key=lambda row: len(encodings[row].ids))
        parts = [order[i : i + SENTENCES_AT_ONCE] for i in range(0, len(order), SENTENCES_AT_ONCE)]
        embedded = torch.cat([self._mean([encodings[row].ids for row in part]) for part in parts])
        return embedded[torch.tensor(order, device=self.device).argsort()]

    def _mean(self, rows: list[list[int]]) -> Tensor:
        sentences = [torch.tensor(row, device=self.device) for row in rows]
        tokens = pad_sequence(sentences, batch_first=True)
        known = pad_sequence([torch.ones_like(row) for row in sentences], batch_first=True)
        with torch.no_grad():
            hidden: Tensor = self.model(input_ids=tokens, attention_mask=known).last_hidden_state
        return (hidden * known[:, :, None]).sum(dim=1) / known.sum(dim=1, keepdim=True)
