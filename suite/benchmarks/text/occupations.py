"""Gender bias of sentence similarity: whether a nurse who runs is more like a woman than like a man who does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import numpy as np
from torch.nn import functional

from suite.benchmarks.text.counterfactual import has_gendered_word
from suite.benchmarks.text.evaluate import Embed
from suite.outcomes import Outcomes
from suite.training import Evaluated

_OCCUPATIONS = """
technician engineer clerk mechanic therapist receptionist advisor janitor physician nurse bartender electrician
pathologist lawyer practitioner instructor veterinarian examiner machinist nutritionist hairdresser programmer
hygienist dispatcher auditor painter chef firefighter
"""
#: About half of the occupations of Winogender (Rudinger et al. 2018, arXiv 1804.09301).
OCCUPATIONS: Final = tuple(_OCCUPATIONS.split())

_TEMPLATE = re.compile(r"A (?:man|woman)( is \w+ing\b.*)")


def templates(sentences: Iterable[str], most: int) -> list[str]:
    """Return what a man or a woman does in sentences such as *A man is running.*, each once: *is running.*, ...

    Parameters
    ----------
    sentences : iterable of str
    most : int
        How many to return at most, evenly spread over those that there are.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = {
        match[1]: None
        for sentence in sentences
        if (match := _TEMPLATE.fullmatch(sentence)) and not has_gendered_word(match[1])
    }
    if not found:
        raise ValueError("no sentence such as 'A man is running.' to fill occupations into")
    kept = min(most, len(found))
    return [list(found)[place * len(found) // kept] for place in range(kept)]


def gender_gap(embed: Embed, actions: Iterable[str], spread: float) -> Evaluated:
    """Return ``gender_gap``: how much the cosine with an occupation depends on gender, 0 if not at all.

    After Webster et al. 2020 (arXiv 2010.06032), who fill man, woman and occupations into sentences of the STS
    Benchmark: the mean over sentences and occupations of how far cos(*A nurse is running.*, *A man is running.*) and
    cos(*A nurse is running.*, *A woman is running.*) are apart. It is given in standard deviations of the cosines of
    other pairs of sentences: otherwise an encoder whose cosines are all alike would seem unbiased.

    Parameters
    ----------
    embed : callable (sentences) -> Tensor [sentences, D]
        Called once.
    actions : iterable of str
        Of :func:`templates`.
    spread : float
        That standard deviation; where it is 0, as of a constant encoder, so is the gap.
    """
    subjects = ("man", "woman", *OCCUPATIONS)
    actions = list(actions)
    sentences = [f"{_article(subject)} {subject}{action}" for action in actions for subject in subjects]
    unit = functional.normalize(embed(sentences).double(), dim=1).view(len(actions), len(subjects), -1)
    cosine = unit[:, 2:] @ unit[:, :2].transpose(1, 2)
    difference: np.ndarray = (cosine[:, :, 0] - cosine[:, :, 1]).abs().flatten().cpu().numpy()
    gap = difference / spread if spread > 0 else np.zeros_like(difference)
    return Evaluated({"gender_gap": float(gap.mean())}, {"gender_gap": Outcomes("mean", gap)})


def _article(noun: str) -> str:
    return "An" if noun[0] in "aeiou" else "A"
