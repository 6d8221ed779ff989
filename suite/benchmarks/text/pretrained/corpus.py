"""What to train on: sentences, or pairs of which the second follows from the first; and counterfactuals of both."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from suite.benchmarks.text.counterfactual import has_gendered_word, swap
from suite.benchmarks.text.data import lower_words, read_sentences

#: ``boolq``: sentences of the passages of BoolQ. ``wikipedia``: SimCSE's million sentences. ``inference``: premises of
#: SNLI and MultiNLI with what they entail.
Corpus = Literal["boolq", "wikipedia", "inference"]
Locate = Callable[[str, str], Path]
#: What one item of training consists of: a sentence, or a premise and its hypothesis.
Texts = tuple[str, ...]


@dataclass(frozen=True)
class TokenisedItems:
    """Items as numbers of tokens.

    Attributes
    ----------
    first, second : list of list of int
        What is contrasted: two times the same sentences, or premises and hypotheses. With counterfactuals these are
        behind the originals, in their order.
    alike : int
        Items left out since an encoder cannot tell them apart from what would be their negatives.
    """

    first: list[list[int]]
    second: list[list[int]]
    alike: int


def read_corpus(data: Locate, corpus: Corpus, most: int) -> list[Texts]:
    """Return the first items of a corpus, in the order of its files.

    Parameters
    ----------
    data : callable (dataset, member) -> Path
    corpus : Corpus
    most : int
        How many items at most.
    """
    if corpus == "boolq":
        return [(sentence,) for sentence in read_sentences(data("boolq", "boolq.jsonl"))[:most]]
    if corpus == "wikipedia":
        return [(sentence,) for sentence in read_lines(data("wiki1m", "wiki1m_for_simcse.txt"))[:most]]
    return list(read_entailments(data("nli_for_simcse", "nli_for_simcse.csv"))[:most])


@lru_cache(maxsize=1)
def read_lines(path: Path) -> tuple[str, ...]:
    """Read a sentence a line, without those that are empty; once a process."""
    with path.open(encoding="utf-8") as lines:
        return tuple(sentence for line in lines if (sentence := line.strip()))


@lru_cache(maxsize=1)
def read_entailments(path: Path) -> tuple[Texts, ...]:
    """Read SimCSE's table of SNLI and MultiNLI: (premise, what it entails); once a process.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        if lacking := {"sent0", "sent1"} - set(reader.fieldnames or ()):
            raise ValueError(f"{path}, line 1: the table has columns {', '.join(sorted(lacking))}")
        return tuple((row["sent0"], row["sent1"]) for row in reader)


def not_evaluated(items: Iterable[Texts], evaluated: Collection[str]) -> list[Texts]:
    """Leave out the items of which a sentence has the words of one that is evaluated, in that order."""
    keys = {lower_words(sentence) for sentence in evaluated}
    return [item for item in items if not any(lower_words(text) in keys for text in item)]


def tokenised(items: Collection[Texts], tokenise: Callable[[Iterable[str]], list[list[int]]]) -> TokenisedItems:
    """Return items as tokens, each sentence once.

    Sentences of the same tokens embed alike, and would be each other's negatives: those behind the first are left out.
    Of pairs none is, since a premise has several hypotheses.

    Raises
    ------
    ValueError
        If there are no items.
    """
    parts = [tokenise(part) for part in _columns(items)]
    if len(parts) > 1:
        return TokenisedItems(parts[0], parts[1], 0)
    distinct = {tuple(row): row for row in reversed(parts[0])}
    kept = [row for row in parts[0] if distinct.get(tuple(row)) is row]
    return TokenisedItems(kept, kept, len(parts[0]) - len(kept))


def with_counterfactuals(
    items: Iterable[Texts], tokenise: Callable[[Iterable[str]], list[list[int]]]
) -> TokenisedItems:
    """Return the items with a gendered word as tokens and, behind all of them, those of their counterfactuals.

    Items that an encoder cannot tell from their counterfactuals are left out, since the two would be each other's
    negatives: a part of them has the same tokens in both, because its gendered words are beyond the longest sentence
    or, of a pair, all in its other part. So are sentences that occurred before, as such or as a counterfactual.

    Raises
    ------
    ValueError
        If no item has a gendered word, or none of those that have can be told apart.
    """
    originals = [item for item in items if any(map(has_gendered_word, item))]
    others = [tuple(map(swap, item)) for item in originals]
    tokens, swapped = ([tokenise(part) for part in _columns(side)] for side in (originals, others))
    kept: list[int] = []
    seen: set[tuple[int, ...]] = set()
    for number in range(len(originals)):
        pairs = [(tuple(mine[number]), tuple(other[number])) for mine, other in zip(tokens, swapped, strict=True)]
        is_alike = any(mine == other for mine, other in pairs)
        if len(pairs) == 1:
            is_alike = is_alike or not seen.isdisjoint(pairs[0])
            seen.update(pairs[0])
        if not is_alike:
            kept.append(number)
    if not kept:
        raise ValueError("nothing to train on is left of the corpus: no item differs from its counterfactual")
    parts = [[*_rows(mine, kept), *_rows(other, kept)] for mine, other in zip(tokens, swapped, strict=True)]
    return TokenisedItems(parts[0], parts[-1], len(originals) - len(kept))


def _columns(items: Collection[Texts]) -> list[Texts]:
    """Return the first sentences of all items and, of pairs, their second ones."""
    if not items:
        raise ValueError("nothing to train on is left of the corpus")
    return list(zip(*items, strict=True))


def _rows(tokens: Sequence[list[int]], numbers: Iterable[int]) -> list[list[int]]:
    return [tokens[number] for number in numbers]
