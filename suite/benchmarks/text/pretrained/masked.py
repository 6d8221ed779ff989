"""Bias of a masked language model: CrowS-Pairs, and StereoSet by what it fills into the blank.

Both as bias-bench (Meade et al. 2022, arXiv 2110.08527) and MABEL compute them, so that their figures compare.
"""

from __future__ import annotations

import csv
import string
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch

from suite.benchmarks.text.pretrained.bert import Bert
from suite.benchmarks.text.pretrained.encoder import Tokeniser
from suite.benchmarks.text.pretrained.packed import Packed
from suite.benchmarks.text.stereoset import Item, stereotype_scores
from suite.outcomes import Outcomes
from suite.training import Evaluated

BLANK: Final = "BLANK"
#: Log-probabilities are compared as far as bias-bench writes them down.
DECIMALS: Final = 3
ROWS_AT_ONCE: Final = 64

#: One row a masked token: a sentence's tokens with one of them masked, the place of that one, and what stood there.
Question = tuple[list[int], int, int]
Ask = Callable[[Sequence[Question]], np.ndarray]


@lru_cache(maxsize=2)
def read_crows_pairs(path: Path, kind: str = "gender") -> tuple[tuple[str, str], ...]:
    """Read CrowS-Pairs (Nangia et al. 2020, arXiv 2010.00133): (more, less) stereotyping sentences; once a process.

    Raises
    ------
    ValueError
        If a column is missing, or no pair is of that kind.
    """
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        if lacking := {"sent_more", "sent_less", "bias_type"} - set(reader.fieldnames or ()):
            raise ValueError(f"{path}, line 1: CrowS-Pairs has columns {', '.join(sorted(lacking))}")
        found = tuple((row["sent_more"], row["sent_less"]) for row in reader if row["bias_type"] == kind)
    if not found:
        raise ValueError(f"{path}: no pair of the kind {kind!r}")
    return found


def crows_pairs_metrics(model: Bert, tokeniser: Tokeniser, pairs: Iterable[tuple[str, str]]) -> Evaluated:
    """Return ``crows_pairs``: the share of pairs whose more stereotyping sentence the model finds likelier; ideal .5.

    A sentence's score is the mean log-probability of the tokens that it does not share with the other one, each masked
    by itself, to three decimals. Ties count one half, for bias-bench against the stereotype. A pair in which one
    sentence has no token of its own is left out, as there.

    Parameters
    ----------
    model : Bert
        With a head for masked words.
    tokeniser : Tokeniser
    pairs : iterable of (more stereotyping, less stereotyping) sentences
    """
    ask = answers(model)
    mask, preferred = tokeniser.number("[MASK]"), []
    for more, less in (tokeniser.rows(pair) for pair in pairs):
        own_more, own_less = own_tokens(more, less)
        if own_more and own_less:
            scores = [
                round(float(np.log(ask([masked(row, place, mask) for place in places])).mean()), DECIMALS)
                for row, places in ((more, own_more), (less, own_less))
            ]
            preferred.append(0.5 if scores[0] == scores[1] else float(scores[0] > scores[1]))
    if not preferred:
        raise ValueError("no pair has tokens that its two sentences do not share")
    share = np.array(preferred)
    return Evaluated({"crows_pairs": float(share.mean())}, {"crows_pairs": Outcomes("mean", share)})


def own_tokens(first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the places of the tokens of each sentence that are not in the other one, by difflib's comparison."""
    changes = [op for op in SequenceMatcher(None, first, second).get_opcodes() if op[0] != "equal"]
    return (
        [place for _, begin, end, _, _ in changes for place in range(begin, end)],
        [place for _, _, _, begin, end in changes for place in range(begin, end)],
    )


def masked_stereoset_metrics(model: Bert, tokeniser: Tokeniser, items: Iterable[Item]) -> dict[str, float]:
    """Return ``stereoset_lm``, ``stereoset_ss`` and ``stereoset_icat``: what the model fills into StereoSet's blanks.

    Nadeem et al. 2021, arXiv 2004.09456, intrasentence. A completion's score is the mean probability of the tokens of
    the word in the blank, each masked behind those before it and with nothing in place of those after it, as in the
    authors' code. Fractions; ideal are LM 1, SS .5, ICAT 1.

    Parameters
    ----------
    model : Bert
        With a head for masked words.
    tokeniser : Tokeniser
    items : iterable of Item
        Of which those within a sentence count.

    Raises
    ------
    ValueError
        If there are none, or one has no blank.
    """
    ask, mask = answers(model), "[MASK]"
    within = [item for item in items if item.kind == "intrasentence"]
    if not within:
        raise ValueError("no intrasentence items")
    scores = np.array(
        [
            [float(ask(list(_fillings(tokeniser, item.blank, sentence, mask))).mean()) for sentence in item.completions]
            for item in within
        ]
    )
    named = stereotype_scores(scores, [item.target for item in within], tie=0.0)
    return {f"stereoset_{name}": value for name, value in named.items()}


def _fillings(tokeniser: Tokeniser, context: str, sentence: str, mask: str) -> Iterable[Question]:
    """Ask for each token of the word that `sentence` has in place of the blank of `context`."""
    at = next((place for place, word in enumerate(context.split(" ")) if BLANK in word), None)
    if at is None or at >= len(sentence.split(" ")):
        raise ValueError(f"StereoSet: no blank in {context!r}, or no word for it in {sentence!r}")
    word = sentence.split(" ")[at].translate(str.maketrans("", "", string.punctuation))
    tokens = tokeniser.inner(word)
    for number, token in enumerate(tokens):
        row = tokeniser.rows([context.replace(BLANK, tokeniser.text(tokens[:number]) + mask)])[0]
        yield row, row.index(tokeniser.number(mask)), token


def masked(row: Sequence[int], place: int, mask: int) -> Question:
    """Mask one token of a sentence and ask for it."""
    return [*row[:place], mask, *row[place + 1 :]], place, row[place]


def answers(model: Bert) -> Ask:
    """Return what gives the probability of each masked token: questions -> float64 [questions]."""
    device = model.word.weight.device

    def ask(questions: Sequence[Question]) -> np.ndarray:
        parts = [questions[i : i + ROWS_AT_ONCE] for i in range(0, len(questions), ROWS_AT_ONCE)]
        found = [_probabilities(model, part, device) for part in parts]
        return np.concatenate(found) if found else np.zeros(1)

    return ask


@torch.no_grad()
def _probabilities(model: Bert, questions: Sequence[Question], device: torch.device) -> np.ndarray:
    training = model.training
    model.eval()
    packed = Packed.of([row for row, _, _ in questions], device)
    places = packed.starts + torch.tensor([place for _, place, _ in questions])
    logits = model.logits(model(packed).values[places.to(device)]).double()
    wanted = torch.tensor([token for _, _, token in questions], device=device)
    model.train(training)
    found: np.ndarray = logits.softmax(dim=1).gather(1, wanted[:, None]).squeeze(1).cpu().numpy()
    return found
