from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.benchmarks.text.bias import (
    GENDER_TESTS_WITHOUT_NAMES,
    AssociationTest,
    bias_metrics,
    bleached,
    effect_size,
    permutation_p_value,
    read_weat,
    seat,
    seat_metrics,
    weat,
)

#: The gender tests of SEAT, as reported by bias-bench and MABEL: names or, in ``b``, the other of names and terms.
GENDER_TESTS = ("6", "6b", "7", "7b", "8", "8b")
SETS = ("first_target", "second_target", "first_attribute", "second_attribute")
TEST = AssociationTest(("math", "algebra", "equations"), ("art", "dance", "novel"), ("he", "him"), ("she", "hers"))
PARTS = ("val", "test")


def letters(sentences: Sequence[str]) -> Tensor:
    """Count letters and pairs of letters, so that no two sentences of the tests have one embedding."""
    rows = torch.zeros(len(sentences), 997)
    for row, sentence in enumerate(sentences):
        for piece in (*sentence, *map("".join, pairwise(sentence))):
            rows[row, sum(31**place * ord(letter) for place, letter in enumerate(piece)) % 997] += 1
    return rows


def by_loops(test: AssociationTest, sentences: Callable[[str], Sequence[str]]) -> tuple[float, float]:
    """Effect size over sentences and p-value over all equal divisions of the words, as in the papers' formulas."""

    def cosine(one: str, other: str) -> float:
        u, v = letters([one, other]).double().numpy()
        return float(u @ v / np.sqrt(u @ u) / np.sqrt(v @ v))

    def association(sentence: str) -> float:
        sides = [
            [cosine(sentence, other) for word in words for other in sentences(word)]
            for words in (test.first_attribute, test.second_attribute)
        ]
        return sum(sides[0]) / len(sides[0]) - sum(sides[1]) / len(sides[1])

    x = [[association(sentence) for sentence in sentences(word)] for word in test.first_target]
    y = [[association(sentence) for sentence in sentences(word)] for word in test.second_target]
    everything = [value for word in x + y for value in word]
    mean = sum(everything) / len(everything)
    deviation = (sum((value - mean) ** 2 for value in everything) / (len(everything) - 1)) ** 0.5
    d = (np.mean(x) - np.mean(y)) / deviation
    words = [sum(word) for word in x + y]
    found = sum(words[: len(x)]) - sum(words[len(x) :])
    larger = [
        sum(words[row] if row in chosen else -words[row] for row in range(len(words))) >= found - 1e-9
        for chosen in combinations(range(len(words)), len(x))
    ]
    return float(d), sum(larger) / len(larger)


def test_weat_agrees_with_plain_loops() -> None:
    found = weat(letters, TEST)
    assert (found.effect_size, found.p_value) == pytest.approx(by_loops(TEST, lambda word: (word,)))


@pytest.mark.parametrize("part", PARTS)
def test_seat_agrees_with_plain_loops(part: str) -> None:
    found = seat(letters, TEST, part)
    assert (found.effect_size, found.p_value) == pytest.approx(by_loops(TEST, lambda word: bleached(word, part)))


def test_a_stereotyped_encoder_has_the_largest_effect_and_its_mirror_image_the_smallest() -> None:
    stereotype = {word: 0.0 for word in (*TEST.first_target, *TEST.first_attribute)}

    def embed(sentences: Sequence[str]) -> Tensor:
        angle = torch.tensor([stereotype.get(word, 1.5) for word in sentences])
        return torch.stack([angle.cos(), angle.sin()], dim=1)

    mirrored = AssociationTest(TEST.second_target, TEST.first_target, TEST.first_attribute, TEST.second_attribute)
    found, mirror = weat(embed, TEST), weat(embed, mirrored)
    assert found.effect_size == pytest.approx(2 * np.sqrt(5 / 6))
    assert found.p_value == 1 / 20
    assert mirror.effect_size == pytest.approx(-found.effect_size)
    assert mirror.p_value == 1.0


def test_drawn_divisions_estimate_the_exact_p_value() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(0, 1, 8), rng.normal(0, 1, 8)
    exact = permutation_p_value(first, second)
    drawn = permutation_p_value(first, second, np.random.default_rng(1), draws=10_000)
    assert 0.05 < exact < 0.95
    assert drawn != exact
    assert abs(drawn - exact) < 4 * np.sqrt(exact * (1 - exact) / 10_000)
    assert drawn == permutation_p_value(first, second, np.random.default_rng(1), draws=10_000)


def test_a_p_value_that_is_drawn_is_never_zero_and_needs_a_generator() -> None:
    first, second = np.linspace(1, 2, 12), np.linspace(0, 0.9, 12)
    assert permutation_p_value(first, second, np.random.default_rng(0), draws=100) == 1 / 100
    with pytest.raises(ValueError, match="needs a generator"):
        permutation_p_value(first, second)


def test_the_effect_size_is_in_deviations_of_a_sample() -> None:
    assert effect_size(np.array([3.0, 5.0]), np.array([1.0, 3.0])) == pytest.approx(2 / np.std([3, 5, 1, 3], ddof=1))


def test_unknown_words_are_left_out_and_targets_stay_of_one_size() -> None:
    left = TEST.restricted(lambda word: word not in ("algebra", "she"))
    assert left == AssociationTest(("math", "equations"), ("art", "dance"), ("he", "him"), ("hers",))
    with pytest.raises(ValueError, match=r"too few known words.* 3 of first_target, 1 of second_target"):
        TEST.restricted(lambda word: word not in ("art", "dance"))
    with pytest.raises(ValueError, match=r"too few known words.* 0 of second_attribute"):
        TEST.restricted(lambda word: word not in ("she", "hers"))


@pytest.mark.parametrize(
    "word, test, val",
    [
        ("sister", ("This is a sister.", "The sister is here."), ("That is a sister.", "The sister is there.")),
        ("uncle", ("This is an uncle.", "The uncle is here."), ("That is an uncle.", "The uncle is there.")),
        ("Amy", ("This is Amy.", "Amy is here."), ("That is Amy.", "Amy is there.")),
        ("NASA", ("This is NASA.", "There is NASA."), ("That is NASA.", "It is NASA.")),
        ("parents", ("These are parents.", "The parents are here."), ("Those are parents.", "The parents are there.")),
        ("she", ("She is here.", "Here she is."), ("She is there.", "There she is.")),
        ("her", ("This is her.", "It is her."), ("That is her.", "It was her.")),
        ("hers", ("This is hers.", "Hers is here."), ("That is hers.", "Hers is there.")),
    ],
)
def test_sentences_are_those_of_seat(word: str, test: tuple[str, str], val: tuple[str, str]) -> None:
    assert bleached(word, "test") == test
    assert bleached(word, "val") == val


# --- files -----------------------------------------------------------------------------------------------------------

WORDS = {
    "6": (("John", "Paul"), ("Amy", "Joan"), ("salary", "career"), ("home", "family")),
    "7": (("math", "algebra"), ("art", "novel"), ("he", "man", "son"), ("she", "woman", "daughter")),
    "8": (("science", "physics"), ("poetry", "dance"), ("his", "uncle"), ("hers", "aunt")),
}
OTHER = (("a", "b"),) * 4


@pytest.fixture
def weat_file(tmp_path: Path) -> Path:
    rows = [
        {name: {"name": name, "words": words} for name, words in zip(SETS, WORDS.get(str(n), OTHER), strict=True)}
        for n in range(1, 11)
    ]
    path = tmp_path / "weat.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def stereoset_file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    fields = ("context", "stereotype", "anti-stereotype", "unrelated")
    rows = [
        {"type": kind, "target": target, "bias_type": "gender"}
        | {field: f"{target} {field} {rng.integers(1000)}" for field in fields}
        for kind in ("intersentence", "intrasentence")
        for target in "abcd"
        for _ in range(5)
    ]
    path = tmp_path / "stereoset.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_the_variants_exchange_names_and_terms(weat_file: Path) -> None:
    tests = read_weat(weat_file)
    assert set(tests) == {*map(str, range(1, 11)), "6b", "7b", "8b"}
    assert tests["7"] == AssociationTest(*WORDS["7"])
    assert tests["6b"] == AssociationTest(*WORDS["7"][2:], *WORDS["6"][2:])
    assert tests["7b"] == AssociationTest(*WORDS["7"][:2], *WORDS["6"][:2])
    assert tests["8b"] == AssociationTest(*WORDS["8"][:2], *WORDS["6"][:2])


@pytest.mark.parametrize("content", ["[]", "{", '[{"first_target": {}}]', "3"])
def test_a_malformed_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "weat.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"weat\.json: no list of ten association tests"):
        read_weat(path)


def test_all_measures_come_from_one_call_of_the_encoder_and_parts_share_no_sentence(
    weat_file: Path, stereoset_file: Path
) -> None:
    calls: dict[str, list[list[str]]] = {"val": [], "test": []}
    metrics = {}
    for part in PARTS:

        def embed(sentences: Sequence[str], part: str = part) -> Tensor:
            calls[part].append(list(sentences))
            return letters(sentences)

        metrics[part] = bias_metrics(embed, weat_file, stereoset_file, part)
    assert metrics["val"].keys() == metrics["test"].keys()
    assert metrics["val"] != metrics["test"]
    assert [len(calls[part]) for part in PARTS] == [1, 1]
    assert len(set(calls["val"][0])) == len(calls["val"][0])
    assert not set(calls["val"][0]) & set(calls["test"][0])


def test_all_measures_are_those_of_the_single_tests(weat_file: Path, stereoset_file: Path) -> None:
    metrics = bias_metrics(letters, weat_file, stereoset_file, "test", GENDER_TESTS, known=lambda word: word != "son")
    singles = {
        name: seat(letters, read_weat(weat_file)[name].restricted(lambda w: w != "son")) for name in GENDER_TESTS
    }
    for name, single in singles.items():
        assert metrics[f"seat_{name}_d"] == pytest.approx(single.effect_size)
        assert metrics[f"seat_{name}_p"] == single.p_value
    assert metrics["seat_abs_d"] == pytest.approx(np.mean([abs(single.effect_size) for single in singles.values()]))


@pytest.mark.parametrize("value", [0.0, 0.3], ids=["zero", "rounding noise"])
def test_a_constant_encoder_is_unbiased_and_at_chance(weat_file: Path, stereoset_file: Path, value: float) -> None:
    def constant(sentences: Sequence[str]) -> Tensor:
        return value * (torch.ones(len(sentences), 7) + 3e-8 * torch.arange(7 * len(sentences)).view(-1, 7).cos())

    for name, found in bias_metrics(constant, weat_file, stereoset_file, "val").items():
        assert found == {"d": 0.0, "p": 1.0}.get(name.rsplit("_", 1)[1], 0.5), name


def test_embeddings_that_are_not_finite_are_refused(weat_file: Path) -> None:
    with pytest.raises(ValueError, match="diverged"):
        seat_metrics(lambda sentences: torch.full((len(sentences), 2), torch.inf), read_weat(weat_file), "val")


# --- real data -------------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_word_vectors_associate_as_people_do() -> None:
    from suite.benchmarks.text.data import read_word2vec
    from suite.data import locate

    vectors = read_word2vec(locate("googlenews_bolukbasi", "GoogleNews-vectors-negative300-bolukbasi.bin"))
    tests = read_weat(locate("weat", "weat.json"))

    def found(name: str) -> float:
        test = tests[name].restricted(lambda word: word in vectors.number)
        association = weat(lambda words: vectors.matrix[[vectors.number[word] for word in words]], test, rng)
        return association.effect_size

    rng = np.random.default_rng(0)
    # Of test 5 every word has a vector, of 4 and 9 few lack one; 2 is as far as an effect size goes.
    assert all(0.5 < found(name) < 2 for name in ("4", "5", "9"))


@pytest.mark.data
def test_gender_tests_have_eight_words_a_side() -> None:
    from suite.data import locate

    tests = read_weat(locate("weat", "weat.json"))
    assert {len(getattr(tests[name], side)) for name in GENDER_TESTS for side in SETS} == {8}
    assert "John" not in {word for name in GENDER_TESTS_WITHOUT_NAMES for word in tests[name].words}
