"""Word vectors, sentences to train on, scored pairs of sentences, and sentences as the numbers of their words."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

#: Token 0 fills up a batch's rows, token 1 begins every sentence, words follow in the order of the vectors.
PADDING, START, FIRST_WORD = range(3)

SHORTEST, LONGEST = 5, 60

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_STS_COLUMNS = 7


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors.

    Attributes
    ----------
    number : mapping of str to int
        Row of each word; as the file spells it.
    matrix : Tensor [words, dimensions], float32
    """

    number: Mapping[str, int]
    matrix: Tensor


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs of sentences and how similar people found them.

    Attributes
    ----------
    first, second : tuple of str
    scores : array [pairs], float64
        From 0 (unrelated) to 5 (equivalent).
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    scores: np.ndarray

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.scores)

    def where(self, rows: np.ndarray) -> ScoredPairs:
        """Return some of the pairs, by number or by a mask."""
        first, second = (tuple(np.array(part, dtype=object)[rows]) for part in (self.first, self.second))
        return ScoredPairs(first, second, self.scores[rows])


@dataclass(frozen=True)
class Tokens:
    """Sentences as numbers.

    Attributes
    ----------
    tokens : Tensor [sentences, longest], int64
        Padded at the end.
    lengths : Tensor [sentences], int64
        At least 1: every sentence has its start.
    """

    tokens: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.lengths)

    def __getitem__(self, rows: Tensor) -> Tokens:
        """Return some of the sentences, no wider than the longest of them."""
        lengths = self.lengths[rows]
        return Tokens(self.tokens[rows, : int(lengths.max())], lengths)

    def to(self, device: torch.device) -> Tokens:
        """Return the sentences on `device`."""
        return Tokens(self.tokens.to(device), self.lengths.to(device))


class Vocabulary:
    """Sentences to tokens.

    A word is a run of letters, digits and underscores. It is looked up as it stands, then in lower case: the subset of
    the GoogleNews vectors is in lower case but for a few names. Words without a vector are left out; among them are
    *a*, *and*, *of*, *to* and all numbers, which word2vec did not keep.

    Parameters
    ----------
    number : mapping of str to int
        Rows of the words with a vector.
    longest : int
        Words after which a sentence is cut.
    """

    def __init__(self, number: Mapping[str, int], longest: int) -> None:
        self.number = number
        self.longest = longest

    def encode(self, sentences: Iterable[str]) -> Tokens:
        """Return the tokens of at least one sentence, each with its start token."""
        rows = [[START, *islice(self._words(sentence), self.longest)] for sentence in sentences]
        lengths = np.array([len(row) for row in rows])
        tokens = np.full((len(rows), lengths.max()), PADDING)
        tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = np.fromiter(chain.from_iterable(rows), np.int64)
        return Tokens(torch.from_numpy(tokens), torch.from_numpy(lengths))

    def knows(self, word: str) -> bool:
        """Return whether a word has a vector."""
        return word in self.number or word.lower() in self.number

    def _words(self, sentence: str) -> Iterator[int]:
        for word in words(sentence):
            row = self.number.get(word, self.number.get(word.lower()))
            if row is not None:
                yield FIRST_WORD + row


def words(sentence: str) -> list[str]:
    """Return the words of a sentence, without punctuation, as they are spelt."""
    return _WORD.findall(sentence)


@lru_cache(maxsize=2)
def read_word2vec(path: Path) -> WordVectors:
    """Read word2vec's binary format; once a process, so never write into it.

    A line ``<words> <dimensions>``, then for every word its name, a space and its vector in little-endian float32,
    with or without a line break before the next.

    Raises
    ------
    ValueError
        If the file is no such file, ends early, goes on, or names a word twice.
    """
    content = path.read_bytes()
    header = re.match(rb"(\d+) (\d+)\n", content)
    if header is None:
        raise ValueError(f"{path}: no line '<words> <dimensions>' at the start")
    count, dimensions = map(int, header.groups())
    number: dict[str, int] = {}
    matrix = np.empty((count, dimensions), dtype=np.float32)
    position = header.end()
    for row in range(count):
        end = content.find(b" ", position)
        if end < 0 or end + 1 + 4 * dimensions > len(content):
            raise ValueError(f"{path}: ends within word {row + 1} of {count}")
        word = content[position:end].lstrip(b"\n").decode()
        if number.setdefault(word, row) != row:
            raise ValueError(f"{path}: word {word!r} occurs twice")
        matrix[row] = np.frombuffer(content, "<f4", dimensions, end + 1)
        position = end + 1 + 4 * dimensions
    if content[position:].strip():
        raise ValueError(f"{path}: goes on after its {count} words")
    return WordVectors(number, torch.from_numpy(matrix))


@lru_cache(maxsize=4)
def read_sts(path: Path) -> ScoredPairs:
    """Read a part of the STS Benchmark; once a process.

    Columns, separated by tabs and never quoted: genre, file, year, number, score, the two sentences and, in some rows,
    the two sources.

    Raises
    ------
    ValueError
        If a row has fewer than seven columns or its score is not a number from 0 to 5.
    """
    first, second, scores = [], [], []
    with path.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
            if len(row) < _STS_COLUMNS:
                raise ValueError(f"{path}, line {number}: {len(row)} columns, at least {_STS_COLUMNS} expected")
            try:
                score = float(row[4])
            except ValueError:
                score = float("nan")
            if not 0 <= score <= 5:
                raise ValueError(f"{path}, line {number}: score {row[4]!r} is not a number from 0 to 5")
            first.append(row[5].strip())
            second.append(row[6].strip())
            scores.append(score)
    return ScoredPairs(tuple(first), tuple(second), np.array(scores))


@lru_cache(maxsize=2)
def read_sentences(path: Path) -> tuple[str, ...]:
    """Read the sentences of 5 to 60 words of BoolQ's passages, each once, in the order of the file; once a process.

    The passages are paragraphs of Wikipedia behind the title of their page and `` -- ``, which is left out.

    Parameters
    ----------
    path : Path
        A JSON object a line, with ``passage``; of questions and answers nothing is read.

    Raises
    ------
    ValueError
        If a line is no such object.
    """
    found: dict[str, None] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                passage = json.loads(line)["passage"]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: no JSON object with a passage ({error})") from error
            text = passage.partition(" -- ")[2] or passage
            found.update(dict.fromkeys(_SENTENCE_END.split(text.strip())))
    return tuple(sentence for sentence in found if SHORTEST <= len(sentence.split()) <= LONGEST)


def without(sentences: Iterable[str], held_out: Collection[str]) -> list[str]:
    """Leave out the sentences whose words, in lower case, are those of one that is held out, in that order."""
    keys = {lower_words(sentence) for sentence in held_out}
    return [sentence for sentence in sentences if lower_words(sentence) not in keys]


def lower_words(sentence: str) -> tuple[str, ...]:
    """Return the words of a sentence in lower case."""
    return tuple(words(sentence.lower()))
