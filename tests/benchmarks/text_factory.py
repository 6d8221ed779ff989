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
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
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

    Those of data set ``minilm`` are written when they are asked for.
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


def write_bert(folder: Path, has_head: bool = False) -> None:
    """Write a tiny BERT with random weights, in the format of the transformers hub.

    Parameters
    ----------
    folder : Path
    has_head : bool
        Whether as ``BertForMaskedLM``, with the older names of parameters, as bert-base-uncased; else ``BertModel``.
    """
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    sizes = {"vocab_size": len(WORDS) + len(SPECIAL), "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "max_position_embeddings": 300, "type_vocab_size": 2}
    other = {"model_type": "bert", "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "layer_norm_eps": 1e-12}
    (folder / "config.json").write_text(json.dumps(sizes | other | {"attention_probs_dropout_prob": 0.1}))
    save_file(_bert_state(sizes, has_head), folder / "model.safetensors")
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    framing = [(name, SPECIAL.index(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=framing)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(folder / "tokenizer.json"))


def _bert_state(sizes: Mapping[str, int], has_head: bool) -> dict[str, torch.Tensor]:
    """Return random parameters under the names of the transformers hub."""
    width, inner, words = sizes["hidden_size"], sizes["intermediate_size"], sizes["vocab_size"]
    prefix, scale, shift = ("bert.", "gamma", "beta") if has_head else ("", "weight", "bias")
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (words, width),
        "embeddings.position_embeddings.weight": (sizes["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{number}" for number in range(sizes["num_hidden_layers"])):
        linear = {f"attention.self.{name}": (width, width) for name in ("query", "key", "value")}
        linear |= {"attention.output.dense": (width, width), "intermediate.dense": (inner, width)}
        for name, shape in (linear | {"output.dense": (width, inner)}).items():
            shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for norm in norms:
        shapes |= {f"{norm}.{scale}": (width,), f"{norm}.{shift}": (width,)}
    shapes = {prefix + name: shape for name, shape in shapes.items()}
    if has_head:
        head = "cls.predictions.transform"
        shapes |= {f"{head}.dense.weight": (width, width), f"{head}.dense.bias": (width,)}
        shapes |= {f"{head}.LayerNorm.{scale}": (width,), f"{head}.LayerNorm.{shift}": (width,)}
        shapes |= {"cls.predictions.bias": (words,), "cls.seq_relationship.weight": (2, width)}
    draw = torch.Generator().manual_seed(0)
    state = {
        name: 0.3 * torch.randn(shape, generator=draw) + name.endswith((f"Norm.{scale}",))
        for name, shape in shapes.items()
    }
    position_ids = torch.arange(sizes["max_position_embeddings"])[None]
    return state if has_head else state | {"embeddings.position_ids": position_ids}


def context(locate: Locate, seed: int = 0) -> Context:
    return Context(Streams(seed), torch.device("cpu"), locate)
