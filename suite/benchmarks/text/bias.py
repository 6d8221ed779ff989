"""Association tests of gender bias: WEAT on words, SEAT on sentences; and all bias measures of an encoder at once.

An association test has two sets of targets X, Y (*math*, *arts*) and two of attributes A, B (*he*, *she*). A target w
associates with A rather than B by s(w) = mean cos(w, a) - mean cos(w, b); the effect size d compares X and Y by it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from suite.benchmarks.text.evaluate import Embed
from suite.benchmarks.text.stereoset import Part, read_stereoset, select, stereoset_metrics

#: The gender tests of SEAT that need no first names, which few small vocabularies have: terms and career, math and
#: science against arts. bias-bench and MABEL report the six from 6 to 8b.
GENDER_TESTS_WITHOUT_NAMES = ("6b", "7", "8")
#: All gender tests of SEAT: names or terms, with career, math and arts, science and arts.
GENDER_TESTS = ("6", "6b", "7", "7b", "8", "8b")

#: Associations that all lie within this, the resolution of float32 embeddings, are equal.
RESOLUTION = 1e-6

_SETS = ("first_target", "second_target", "first_attribute", "second_attribute")
_FEWEST_TARGETS = 2


@dataclass(frozen=True)
class AssociationTest:
    """Words of an association test.

    Attributes
    ----------
    first_target, second_target, first_attribute, second_attribute : tuple of str
        X, Y, A, B. The effect is positive if X goes with A and Y with B.
    """

    first_target: tuple[str, ...]
    second_target: tuple[str, ...]
    first_attribute: tuple[str, ...]
    second_attribute: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """All words."""
        return self.first_target + self.second_target + self.first_attribute + self.second_attribute

    def restricted(self, known: Callable[[str], bool]) -> AssociationTest:
        """Return the test with known words only, the longer set of targets cut at its end to the length of the other.

        Raises
        ------
        ValueError
            If fewer than two targets or no attributes are left on a side.
        """
        left = {name: tuple(word for word in getattr(self, name) if known(word)) for name in _SETS}
        size = min(len(left["first_target"]), len(left["second_target"]))
        if size < _FEWEST_TARGETS or not left["first_attribute"] or not left["second_attribute"]:
            raise ValueError(
                f"too few known words in the association test of {', '.join(self.first_target)} against "
                f"{', '.join(self.second_target)}: {', '.join(f'{len(kept)} of {name}' for name, kept in left.items())}"
            )
        left["first_target"], left["second_target"] = left["first_target"][:size], left["second_target"][:size]
        return AssociationTest(**left)


@dataclass(frozen=True)
class Association:
    """Outcome of an association test.

    Attributes
    ----------
    effect_size : float
        d, in standard deviations.
    p_value : float
        One-sided, in (0, 1]: small if X goes with A and Y with B.
    """

    effect_size: float
    p_value: float


@lru_cache(maxsize=2)
def read_weat(path: Path) -> Mapping[str, AssociationTest]:
    """Read the ten tests of Caliskan et al. 2017 (arXiv 1608.07187), named "1" to "10"; once a process.

    6, 7 and 8 are about gender: male and female names with career and family, math and arts, and science and arts, with
    male and female terms. To these come the variants of May et al. 2019 (arXiv 1903.10561), of the same lists: "6b" has
    the terms of test 7 in place of names, "7b" and "8b" the names of test 6 in place of terms.

    Names that the paper left out as too rare in GloVe stay in: see :meth:`AssociationTest.restricted`. The effect sizes
    in the file are those of the human tests, not of WEAT.

    Parameters
    ----------
    path : Path
        JSON, a list of ten objects with ``first_target``, ``second_target``, ``first_attribute`` and
        ``second_attribute``, each with ``words``.

    Raises
    ------
    ValueError
        If it is something else.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        tests = {str(n): AssociationTest(*(tuple(row[s]["words"]) for s in _SETS)) for n, row in enumerate(rows, 1)}
        names, terms, science = tests["6"], tests["7"], tests["8"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no list of ten association tests ({error!r})") from error
    of_names = {"first_attribute": names.first_target, "second_attribute": names.second_target}
    tests["6b"] = replace(names, first_target=terms.first_attribute, second_target=terms.second_attribute)
    tests["7b"], tests["8b"] = replace(terms, **of_names), replace(science, **of_names)
    return tests


def effect_size(first: np.ndarray, second: np.ndarray) -> float:
    """Return (mean of `first` - mean of `second`) / standard deviation of both together.

    Caliskan et al. 2017. The deviation is that of a sample, with n - 1 in its denominator, as May et al. 2019 compute
    it. Where all associations are equal, as of a constant encoder, the effect size is 0.

    Parameters
    ----------
    first, second : array [n], [m]
        Associations of the two sets of targets.
    """
    both = np.concatenate([first, second])
    if np.ptp(both) < RESOLUTION:
        return 0.0
    return float((first.mean() - second.mean()) / both.std(ddof=1))


def permutation_p_value(
    first: np.ndarray, second: np.ndarray, generator: np.random.Generator | None = None, draws: int = 100_000
) -> float:
    """Return the probability that a random division of the targets into sets of these sizes has as large an effect.

    One-sided, as in Caliskan et al. 2017, but with "at least as large" where the paper has "larger": the division found
    is one of those that might have been, so p is never 0, and 1 where all associations are equal. May et al. 2019
    count in the same way.

    Parameters
    ----------
    first, second : array [n], [m]
        Associations of the two sets of targets.
    generator : numpy.random.Generator, optional
        Draws divisions where there are more than `draws`, else all are enumerated.
    draws : int
        Divisions looked at, that found among them.

    Raises
    ------
    ValueError
        If divisions must be drawn and there is no generator.
    """
    both = np.concatenate([first, second])
    if np.ptp(both) < RESOLUTION:
        return 1.0
    # Sizes are fixed and the total is the same for all, so the sum of the first set orders them as the effect does.
    found = first.sum() - 1e-12
    if math.comb(len(both), len(first)) <= draws:
        return float((both[_subsets(len(both), len(first))].sum(axis=1) >= found).mean())
    if generator is None:
        raise ValueError(f"more than {draws} divisions of {len(both)} targets: drawing from them needs a generator")
    drawn = generator.permuted(np.tile(both, (draws - 1, 1)), axis=1)[:, : len(first)].sum(axis=1)
    return float((1 + (drawn >= found).sum()) / draws)


@lru_cache(maxsize=4)
def _subsets(count: int, size: int) -> np.ndarray:
    return np.array(list(combinations(range(count), size)))


def weat(embed: Embed, test: AssociationTest, generator: np.random.Generator | None = None) -> Association:
    """Word embedding association test (Caliskan et al. 2017) of an encoder, given bare words.

    Parameters
    ----------
    embed : callable (sentences) -> Tensor [sentences, D]
    test : AssociationTest
    generator : numpy.random.Generator, optional
        See :func:`permutation_p_value`; of the gender tests all 12,870 divisions are enumerated.
    """
    return _associate(embed, test, lambda word: (word,), generator)


def seat(
    embed: Embed, test: AssociationTest, part: Part = "test", generator: np.random.Generator | None = None
) -> Association:
    """Sentence encoder association test (May et al. 2019): WEAT on the sentences of :func:`bleached`.

    The effect size is over sentences, as published. The permutation test moves words, with the mean association of
    their sentences, where May et al. move sentences: those of one word are no independent observations, and moving them
    one by one makes p far too small.

    Parameters
    ----------
    embed : callable (sentences) -> Tensor [sentences, D]
    test : AssociationTest
    part : str
        ``val`` or ``test``: which sentences.
    generator : numpy.random.Generator, optional
        See :func:`permutation_p_value`; of the gender tests all 12,870 divisions are enumerated.
    """
    return _associate(embed, test, lambda word: bleached(word, part), generator)


def _associate(
    embed: Embed,
    test: AssociationTest,
    sentences: Callable[[str], Sequence[str]],
    generator: np.random.Generator | None,
) -> Association:
    def unit(words: Iterable[str]) -> Tensor:
        vectors = embed([sentence for word in words for sentence in sentences(word)])
        return functional.normalize(vectors.detach().to(torch.float64), dim=1)

    first, second = (unit(words).mean(dim=0) for words in (test.first_attribute, test.second_attribute))
    targets = [
        (unit(words) @ (first - second)).view(len(words), -1).cpu().numpy()
        for words in (test.first_target, test.second_target)
    ]
    if not all(np.isfinite(association).all() for association in targets):
        raise ValueError("an association is not finite: the model has diverged")
    first_target, second_target = targets
    return Association(
        effect_size(first_target.ravel(), second_target.ravel()),
        permutation_p_value(first_target.mean(axis=1), second_target.mean(axis=1), generator),
    )


# What May et al. made of each kind of word, by hand; sentences for validation are those for test with "that" and
# "there" in place of "this" and "here", where English allows.
_TEMPLATES: dict[str, dict[Part, tuple[str, str]]] = {
    "name": {"test": ("This is {}.", "{} is here."), "val": ("That is {}.", "{} is there.")},
    "noun": {
        "test": ("This is {article} {}.", "The {} is here."),
        "val": ("That is {article} {}.", "The {} is there."),
    },
    "mass": {"test": ("This is {}.", "There is {}."), "val": ("That is {}.", "It is {}.")},
    "plural": {"test": ("These are {}.", "The {} are here."), "val": ("Those are {}.", "The {} are there.")},
    "adjective": {"test": ("This is {}.", "They are {}."), "val": ("That is {}.", "It is {}.")},
    "subject": {"test": ("{capital} is here.", "Here {} is."), "val": ("{capital} is there.", "There {} is.")},
    "object": {"test": ("This is {}.", "It is {}."), "val": ("That is {}.", "It was {}.")},
    "possessive": {"test": ("This is {}.", "{capital} is here."), "val": ("That is {}.", "{capital} is there.")},
}
_KINDS = {
    "mass": "NASA algebra art astronomy calculus chemistry geometry literature math physics poetry science",
    "plural": "children cousins equations numbers parents relatives",
    "adjective": "professional",
    "subject": "he she",
    "object": "him her",
    "possessive": "his hers",
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}


def bleached(word: str, part: Part = "test") -> tuple[str, str]:
    """Return two sentences that say next to nothing but the word.

    For *sister* and the test part, *This is a sister.* and *The sister is here.*

    The published sentences of SEAT (May et al. 2019) come in files that no package has, so some of them are made anew
    for the words of the gender tests, by kind of word: names, count, mass and plural nouns, the adjective
    *professional*, and pronouns. Differences: two sentences a word and part where SEAT has 3 to 14; no plural beside
    the singular of a noun, and plurals as WEAT lists them (*parents*), of which SEAT also has the singular; no
    sentences left out at random to make sets equal, as every word has two; *It is professional.* and *It was him.*,
    *her.*, which SEAT does not have. Other words are taken for names if they are capitalised, else for count nouns.

    Validation and test share words but no sentence, so a bias on validation foretells that on test and is no second
    sample of it.
    """
    kind = _KIND_OF.get(word, "name" if word[:1].isupper() else "noun")
    first, second = _TEMPLATES[kind][part]
    fields = {"article": "an" if word[:1] in "aeiou" else "a", "capital": word.capitalize()}
    return first.format(word, **fields), second.format(word, **fields)


def seat_metrics(embed: Embed, tests: Mapping[str, AssociationTest], part: Part) -> dict[str, float]:
    """Run :func:`seat` on several tests.

    Returns
    -------
    dict
        ``seat_<test>_d``, the effect size, 0 if unbiased and below 2 in size; ``seat_<test>_p``, its p-value in (0, 1];
        ``seat_abs_d``, the mean size of the effects.

    Notes
    -----
    A constant encoder has d = 0 and p = 1: read them beside the encoder's utility. An encoder with no association at
    all has ``seat_abs_d`` near .3, with a standard deviation of .15 (random vectors for words, tests 6b, 7 and 8): the
    tests have few words, and the mean of sizes does not average chance out. Less than that is no less bias.
    """
    found = {name: seat(embed, test, part) for name, test in tests.items()}
    metrics = {"seat_abs_d": float(np.mean([abs(association.effect_size) for association in found.values()]))}
    for name, association in found.items():
        metrics |= {f"seat_{name}_d": association.effect_size, f"seat_{name}_p": association.p_value}
    return metrics


def bias_metrics(
    embed: Embed,
    weat_file: Path,
    stereoset_file: Path,
    part: Part,
    tests: Sequence[str] = GENDER_TESTS_WITHOUT_NAMES,
    known: Callable[[str], bool] | None = None,
) -> dict[str, float]:
    """Return all measures of gender bias of an encoder, by :func:`seat_metrics` and :func:`stereoset_metrics`.

    Parameters
    ----------
    embed : callable (sentences) -> Tensor [sentences, D]
        Called once, with about a thousand different sentences.
    weat_file, stereoset_file : Path
        See :func:`read_weat` and :func:`read_stereoset`.
    part : str
        ``val`` or ``test``. They share no sentence, and no term of StereoSet.
    tests : sequence of str
        Association tests; mean |d| is comparable only between encoders with the same tests and known words.
    known : callable (word) -> bool, optional
        Whether the encoder has the word; those that it has not are left out of the association tests.

    Raises
    ------
    ValueError
        If an embedding is not finite, or too few words of a test are known.
    """
    published = read_weat(weat_file)
    chosen = {name: published[name].restricted(known) if known else published[name] for name in tests}
    items = select(read_stereoset(stereoset_file), part)
    completions = [sentence for item in items for sentence in item.sentences]
    embedded = _at_once(embed, [*_sentences(chosen, part), *completions])
    return seat_metrics(embedded, chosen, part) | stereoset_metrics(embedded, items)


def gender_seat_metrics(embed: Embed, weat_file: Path, part: Part) -> dict[str, float]:
    """Return :func:`seat_metrics` of all gender tests, for an encoder that knows every word.

    Parameters
    ----------
    embed : callable (sentences) -> Tensor [sentences, D]
        Called once, with a few hundred different sentences.
    weat_file : Path
        See :func:`read_weat`.
    part : str
        ``val`` or ``test``: which sentences.
    """
    published = read_weat(weat_file)
    chosen = {name: published[name] for name in GENDER_TESTS}
    return seat_metrics(_at_once(embed, _sentences(chosen, part)), chosen, part)


def _sentences(tests: Mapping[str, AssociationTest], part: Part) -> list[str]:
    return [sentence for test in tests.values() for word in test.words for sentence in bleached(word, part)]


def _at_once(embed: Embed, sentences: Sequence[str]) -> Embed:
    """Embed all sentences, each once, and return what looks them up."""
    row = {sentence: number for number, sentence in enumerate(dict.fromkeys(sentences))}
    matrix = embed(list(row)).detach()
    return lambda wanted: matrix[[row[sentence] for sentence in wanted]]
