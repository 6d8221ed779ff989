"""Small synthetic files in the formats of the text benchmark's data sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from suite.benchmarks.text import SentenceRepresentation
from suite.training import Context
from suite.training.streams import Streams

Locate = Callable[[str, str], Path]
Row = tuple[float, str, str]

TOPICS, WORDS_A_TOPIC, DIMENSIONS = 4, 6, 12
COMMON = ("the", "is", "was", "here", "there", "this", "that", "it", "they", "are", "these", "those")
GENDERED = ("he", "she", "him", "his", "hers", "man", "woman", "son", "daughter", "uncle", "aunt")
PROFESSIONS = ("salary", "career", "home", "family", "math", "algebra", "art", "novel", "science", "physics", "poetry")
WORDS = (*COMMON, *GENDERED, *PROFESSIONS, "dance", *(f"t{t}w{w}" for t in range(TOPICS) for w in range(WORDS_A_TOPIC)))

TINY = SentenceRepresentation(epochs=2, batch=16, learning_rate=1e-2, width=16, longest=12)


def vectors() -> np.ndarray:
    """Return a vector of unit length for each word; the words of a topic are alike."""
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(len(WORDS), DIMENSIONS))
    matrix[-TOPICS * WORDS_A_TOPIC :] += np.repeat(2 * draw.normal(size=(TOPICS, DIMENSIONS)), WORDS_A_TOPIC, axis=0)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def write_word2vec(path: Path, words: Sequence[str], matrix: np.ndarray, line_break: bytes = b"") -> Path:
    rows = (
        word.encode() + b" " + row.astype("<f4").tobytes() + line_break for word, row in zip(words, matrix, strict=True)
    )
    path.write_bytes(f"{len(words)} {matrix.shape[1]}\n".encode() + b"".join(rows))
    return path


def scored_pairs(seed: int, count: int = 60) -> list[Row]:
    """Return pairs of sentences, the more alike the more words they share."""
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        first = draw.choice(WORDS, 5)
        shared = draw.integers(0, 6)
        rows.append((float(shared), " ".join(first), " ".join([*first[:shared], *draw.choice(WORDS, 5 - shared)])))
    return rows


def write_sts(path: Path, rows: Sequence[Row]) -> Path:
    lines = (f"genre\tfile\t2017\t{n:04}\t{score:.3f}\t{a}\t{b}\n" for n, (score, a, b) in enumerate(rows))
    path.write_text("".join(lines), encoding="utf-8")
    return path


def passages(seed: int = 7, count: int = 30) -> list[str]:
    """Return paragraphs of three sentences about one topic, every other one with a gendered word."""
    draw = np.random.default_rng(seed)
    topic = [[f"t{t}w{w}" for w in range(WORDS_A_TOPIC)] for t in range(TOPICS)]
    sentence = lambda n: " ".join([*draw.choice(COMMON, 3), *draw.choice(topic[n % TOPICS], 4)])  # noqa: E731
    who = lambda n: draw.choice(GENDERED) if n % 2 else "it"  # noqa: E731
    return [f"Title {n} -- " + " ".join(f"The {who(n)} {sentence(n)}." for _ in range(3)) for n in range(count)]


def write_passages(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(json.dumps({"question": "is it", "passage": text}) + "\n" for text in texts))
    return path


def write_weat(path: Path) -> Path:
    lists = {
        6: (("John", "Paul"), ("Amy", "Joan"), ("salary", "career"), ("home", "family")),
        7: (("math", "algebra"), ("art", "novel"), ("he", "man", "son"), ("she", "woman", "daughter")),
        8: (("science", "physics"), ("poetry", "dance"), ("his", "uncle"), ("hers", "aunt")),
    }
    names = ("first_target", "second_target", "first_attribute", "second_attribute")
    rows = [
        {k: {"words": w} for k, w in zip(names, lists.get(n, (("a", "b"),) * 4), strict=True)} for n in range(1, 11)
    ]
    path.write_text(json.dumps(rows))
    return path


def write_stereoset(path: Path, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    rows = [
        {"type": kind, "target": target, "bias_type": "gender"}
        | {
            field: " ".join(draw.choice(WORDS, 5))
            for field in ("context", "stereotype", "anti-stereotype", "unrelated")
        }
        for kind in ("intersentence", "intrasentence")
        for target in ("aunt", "man", "son", "uncle")
        for _ in range(4)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_files(folder: Path, **others: Sequence[Row]) -> Locate:
    """Write all files, with other pairs for the parts of STS-B that are named; return what finds them.

    Those of data set ``minilm`` are written when they are asked for: transformers takes seconds to import.
    """
    folder.mkdir(exist_ok=True)
    files: Mapping[str, Path] = {
        "googlenews_bolukbasi": write_word2vec(folder / "vectors.bin", WORDS, vectors()),
        "boolq": write_passages(folder / "boolq.jsonl", passages()),
        "weat": write_weat(folder / "weat.json"),
        "stereoset": write_stereoset(folder / "stereoset.jsonl"),
    }
    for seed, part in enumerate(("dev", "test")):
        write_sts(folder / f"sts-{part}.csv", others.get(part) or scored_pairs(seed))

    def locate(dataset: str, member: str) -> Path:
        if dataset == "minilm" and not (folder / member).exists():
            write_bert(folder)
        return folder / member if dataset in ("sts_b", "minilm") else files[dataset]

    return locate


def write_bert(folder: Path) -> None:
    """Write a tiny BERT with random weights as the members of data set ``minilm``."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS) + 3,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=300,
    )
    model = BertModel(config)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state | {"embeddings.position_ids": torch.arange(300)[None]}, folder / "model.safetensors")
    config.to_json_file(folder / "config.json")
    vocabulary = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[SEP]", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 2)])
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(folder / "tokenizer.json"))


def context(locate: Locate, seed: int = 0) -> Context:
    return Context(Streams(seed), torch.device("cpu"), locate)
